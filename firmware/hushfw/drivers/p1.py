"""Load driver `p1`: the telegrams that a smart meter sends on its P1 port (DSMR, ESMR, eMUCS).

The meter sends by its own clock, every second (DSMR 5) or every ten (older ones). Each telegram's
power stands for its own period and no longer, in whole seconds of this meter: so energy adds up,
and nothing is made up. The two clocks are not in step. A telegram that comes before the one before
has stood its time waits, for one second at most; where none comes and none waits, that second has
no reading. Only one ever waits, so no reading is older than its period and two seconds.

Power is drawn minus fed in, at the grid connection. It is what the home's load is only where no
battery that this meter drives is behind the same connection.

Where the version has a CRC it must be right; a telegram that was damaged at random passes once in
2^16 times. Versions before DSMR 4 have none (`crc` 0): there only the structure can be asked for,
see `telegram`, and a digit that became another is not found but by the energy registers.

Wiring: the data line is an open collector of the meter, idle and sunk the wrong way round for a
UART. With 1 to 10 kOhm from it to 3.3 V the receive pin must be inverted (`invert` 1, the default);
behind a transistor or a ready-made cable it must not. Data request goes to the port's 5 V for good.
The UART's transmit pin stays free: name a pin that nothing hangs on as `tx`, if the board's default
is in use.

Settings: `uart`, `rx`; and `tx`, `invert` (1), `baud` (115200 with 8N1; 9600 means 7E1, DSMR 2 and
3), `period_s` (1), `crc` (1), `most_w` (the fuses' power), `export` (whether the home may feed in).

Faults: "silent", "cut" also where bytes come that are no telegram (wrong rate, wrong inversion);
"stuck" where the telegram's own time stands still, or its energy registers tell another story (as
they do where `period_s` is wrong); "encrypted" where the grid's company has it encrypted, which no
setting here can help: ask it for the key and use a reader that decrypts.
"""

from hushfw import port
from hushfw.core.crosscheck import Check
from hushfw.core.peripherals import MAX_POWER_W
from hushfw.core.telegram import Telegrams
from hushfw.drivers import serial

CALIBRATED = {}

BAUD, OLD_BAUD = 115200, 9600
RXBUF = 2048

_PIECE = 256
_PIECES = 2 * RXBUF // _PIECE
_MOST_AGE_MS = 2500
_WS_PER_WH = 3600
_START_READS = 2


def make(settings, hardware=None):
    """The driver on this board's UART; hardware stands in for the module `machine`."""
    baud = settings.get("baud", BAUD)
    is_old = baud == OLD_BAUD
    more = {"bits": 7 if is_old else 8, "parity": 0 if is_old else None, "stop": 1}
    if settings.get("invert", 1):
        more.update(serial.inverted(hardware))
    return P1(settings, serial.open_line(settings, hardware, baud, RXBUF, **more))


class P1:
    live = True
    stack_bytes = 3600

    def __init__(self, settings, line):
        self.sees_export = bool(settings.get("export", 0))
        self.fault = None
        self.faults = {}
        self._line = line
        self._period_s = settings.get("period_s", 1)
        self._most_w = settings.get("most_w", MAX_POWER_W)
        self._telegrams = Telegrams(bool(settings.get("crc", 1)), self._ended)
        self._check = Check(_WS_PER_WH, MAX_POWER_W * self._period_s // _WS_PER_WH + 10)
        self._piece = bytearray(_PIECE)
        self._asked_ms = None
        # Reads since a telegram ended, whether one has, and what was wrong with the last.
        self._since = 0
        self._has_ended = False
        self._bad = None
        self._raw = {}
        self._stamp = b""
        self._same = 0
        # What stands now and for how many reads yet; what waits, and for how many reads it has.
        self._watts = None
        self._stands = 0
        self._waiting = None
        self._waited = 0

    def read(self):
        now_ms = port.ticks_ms()
        if self._asked_ms is not None:
            if port.ticks_diff(now_ms, self._asked_ms) > _MOST_AGE_MS:
                self._forget()
        self._asked_ms = now_ms
        self._since += 1
        came = self._take()
        if self._waiting is not None and (not self._stands or self._waited):
            self._next()
        self._waited += 1
        if self._stands:
            self._stands -= 1
            self.fault = None
            return self._watts
        self.fault = self._why(came)
        return None

    def raw(self):
        """Of the last telegram, if it was good: power and energy, drawn and fed in."""
        return self._raw

    def _take(self):
        """Parses what has come; bounded, whatever comes. Whether anything has."""
        came = False
        self._telegrams.count = 0
        for _ in range(_PIECES):
            count = serial.take(self._line, self._piece)
            if not count:
                break
            came = True
            try:
                self._telegrams.take(self._piece, count)
            except Exception:
                # Out of memory, say: the two ends of what is lost must not be joined.
                self._telegrams.drop()
                raise
        return came

    def _forget(self):
        """Nobody looked for seconds: what is in the buffer is from then."""
        for _ in range(_PIECES):
            if not serial.take(self._line, self._piece):
                break
        self._telegrams.drop()
        self._check.forget()
        self._since = self._stands = 0
        self._has_ended = False
        self._waiting = self._bad = None

    def _why(self, came):
        """Why there is no reading; None at the start, when no telegram can have come yet."""
        if self._bad is not None and self._since <= self._period_s:
            return self._bad
        if not self._has_ended and self._since <= self._period_s + _START_READS:
            return None
        fault = ("encrypted" if self._telegrams.ciphered else "cut") if came else "silent"
        self._count(fault)
        return fault

    def _count(self, fault):
        self.faults[fault] = self.faults.get(fault, 0) + 1

    def _next(self):
        self._watts, self._waiting = self._waiting, None
        self._stands = self._period_s

    def _ended(self, fault):
        """A telegram has ended, damaged or whole."""
        self._since = 0
        self._has_ended = True
        self._raw = {}
        if fault is None:
            fault = self._judge()
        else:
            self._check.forget()
            if self._telegrams.ciphered:
                fault = "encrypted"
        self._bad = fault
        if fault is not None:
            self._count(fault)
            return
        if self._waiting is not None:
            # One waits already: it takes the place of what is older still.
            self._next()
        self._waiting = self._telegrams.drawn_w - self._telegrams.fed_w
        self._waited = 0

    def _judge(self):
        """What is wrong with a telegram that came through, or None."""
        told = self._telegrams
        watts = told.drawn_w - told.fed_w
        is_stuck = self._is_stuck(told, watts)
        if told.drawn_w > self._most_w or told.fed_w > self._most_w:
            return "out_of_range"
        if watts < 0 and not self.sees_export:
            return "negative"
        if is_stuck:
            return "stuck"
        self._raw = {"drawn_w": told.drawn_w, "fed_w": told.fed_w}
        if told.drawn_wh is not None and told.fed_wh is not None:
            self._raw["drawn_wh"] = told.drawn_wh
            self._raw["fed_wh"] = told.fed_wh
        return None

    def _is_stuck(self, told, watts):
        is_same = told.stamp != b"" and told.stamp == self._stamp
        self._same = self._same + 1 if is_same else 0
        self._stamp = told.stamp
        # Seconds are whole: two telegrams a second apart may bear the same one.
        if self._same * self._period_s >= 2:
            return True
        if told.drawn_wh is None or told.fed_wh is None:
            return False
        return not self._check.agree(watts * self._period_s, told.drawn_wh - told.fed_wh)
