"""Load driver `pzem`: a PZEM-004T v3 metering module, Modbus RTU at 9600 baud, asked each second.

`read` takes the reply to the question of a second ago, then asks the next, so nothing waits. Modbus
replies do not say which question they answer. Therefore questions that follow each other ask for
different counts of registers (10, 9, 8, 7, and again), and a reply tells its question by its
length: one that comes up to three seconds late is known and thrown away. After four questions
without an answer none is asked for four seconds, so one later than that finds no open question.
Only a module that answers eight seconds late could pass an old reading off as new.

Power comes in tenths of a watt; what is left of a whole watt goes to the next reading. The module's
own energy register is the cross-check (see `crosscheck`), and its voltage, which is never the same
to 0.1 V for a quarter of an hour.

The module sees no direction: power that a home feeds in it counts as drawn. Its place is a home, or
a circuit, that feeds nothing in. It must be alone on its line: the address 248, which every module
answers to, is asked where ours stays silent, to tell a changed address from a dead module.

Settings: `uart`, `tx`, `rx`; `unit`, its address, 1 to 247, or 248 for whichever is there.

Faults: "silent" also stands for an answer that is an exception; at a "wrong_address" `raw` has the
address that it was found at. A reply that was damaged at random has a right CRC once in 2^16 times,
and then must still be in range, with no more power than volts times amperes.

Registers: Peacefair, PZEM-004T V3.0 user manual.
"""

from hushfw import port
from hushfw.core import crc16, modbus
from hushfw.core.crosscheck import Check
from hushfw.drivers import serial

CALIBRATED = {}

ANY_UNIT = 248
BAUD = 9600

# Registers: voltage, current, power and energy (low word first), frequency, power factor, alarm.
_COUNTS = (10, 9, 8, 7)
_LATER = ("frequency_dhz", "power_factor_percent", "alarm")
_QUIET = 8
_ADDRESS = 2
_MOST_AGE_MS = 1500
_MOST_SAME = 900
_HEAD, _CRC_SIZE = 3, 2
_EXCEPTION, _EXCEPTION_SIZE = 0x80, 5

# What the module measures: tenths of volts, milliamperes, tenths of watts, tenths of hertz.
_VOLTAGE_DV = 800, 2600
_MOST_CURRENT_MA = 100000
_MOST_POWER_DW = 230000
_FREQUENCY_DHZ = 450, 650
_MOST_FACTOR = 100
_DWS_PER_WH = 36000
# No load takes more than 7 Wh in a second.
_MOST_STEP_WH = 20


def make(settings, hardware=None):
    """The driver on this board's UART; hardware stands in for the module `machine`."""
    line = serial.open_line(settings, hardware, BAUD, 256, bits=8, parity=None, stop=1)
    return Pzem(settings["unit"], line)


class Pzem:
    live = True
    stack_bytes = 2200
    sees_export = False

    def __init__(self, unit, line):
        self.fault = None
        self.faults = {}
        self._unit = unit
        self._line = line
        self._buffer = bytearray(64)
        self._check = Check(_DWS_PER_WH, _MOST_STEP_WH)
        # Where the registers of the last reading are in the buffer, and how many; 0 for none.
        self._at = 0
        self._registers = 0
        self._asked = 0
        self._asked_ms = None
        self._turn = 0
        self._unanswered = 0
        self._found_at = None
        # Whether the last question was for whichever is there.
        self._seeks = False
        self._carry_dw = 0
        self._same = 0
        self._last_dv = None

    def read(self):
        now_ms = port.ticks_ms()
        count = self._take()
        age_ms = 0 if self._asked_ms is None else port.ticks_diff(now_ms, self._asked_ms)
        self.fault = None
        self._registers = 0
        watts = None
        if self._asked_ms is None or age_ms > _MOST_AGE_MS:
            # Nobody looked for longer than a second: what came is too old.
            self._check.forget()
        else:
            watts = self._answer(count)
        if self.fault is not None:
            self.faults[self.fault] = self.faults.get(self.fault, 0) + 1
        self._ask(now_ms)
        return watts

    def raw(self):
        """Of the last reading; `address` where the module answers at another than ours."""
        if self._registers:
            word = self._word
            found = {
                "voltage_dv": word(0),
                "current_ma": word(1) | word(2) << 16,
                "power_dw": word(3) | word(4) << 16,
                "energy_wh": word(5) | word(6) << 16,
            }
            for place in range(7, self._registers):
                found[_LATER[place - 7]] = word(place)
            return found
        return {} if self._found_at is None else {"address": self._found_at}

    def _take(self):
        """What has come into the buffer, at most three replies; a rest is nothing of ours."""
        count = serial.take(self._line, self._buffer)
        rest = self._line.any()
        if rest:
            self._line.read(rest)
        return count

    def _ask(self, now_ms):
        phase = self._unanswered % _QUIET
        self._asked_ms = now_ms
        self._asked = 0
        self._seeks = False
        if phase < len(_COUNTS):
            self._turn = (self._turn + 1) % len(_COUNTS)
            self._asked = _COUNTS[self._turn]
            data = modbus.span(0, self._asked)
            self._line.write(modbus.request(self._unit, modbus.READ_INPUT, data))
        elif phase == len(_COUNTS) and self._unit != ANY_UNIT:
            data = modbus.span(_ADDRESS, 1)
            self._line.write(modbus.request(ANY_UNIT, modbus.READ_HOLDING, data))
            self._seeks = True

    def _answer(self, count):
        """Watts from the reply among so many bytes that came, or None, and why."""
        at = 0
        fault = None
        if self._seeks:
            # Where it was found before says nothing of a module that now is dead.
            self._found_at = None
        while at < count and fault is None and not self._registers:
            size = self._frame_size(at, count)
            fault = self._damage(at, size, count)
            if fault is None:
                self._look_at(at)
                at += size
        if not self._registers:
            self.fault = fault or self._silence()
            self._unanswered += 1
            self._check.forget()
            return None
        self._unanswered = 0
        self._found_at = None
        return self._watts()

    def _frame_size(self, at, count):
        if at + _HEAD > count or self._buffer[at + 1] & _EXCEPTION:
            return _EXCEPTION_SIZE
        return _HEAD + self._buffer[at + 2] + _CRC_SIZE

    def _damage(self, at, size, count):
        if at + size > count:
            return "cut"
        return "bad_crc" if crc16.update(0xFFFF, self._buffer, at, at + size) else None

    def _look_at(self, at):
        """Takes a whole frame for what it is: the reply asked for, one that is late, another's."""
        unit, function, size = self._buffer[at], self._buffer[at + 1], self._buffer[at + 2]
        if function == modbus.READ_HOLDING and size == 2:
            self._found_at = self._buffer[at + _HEAD + 1]
        elif unit != self._unit and self._unit != ANY_UNIT:
            self._found_at = unit
        elif self._asked and function == modbus.READ_INPUT and size == 2 * self._asked:
            self._at = at + _HEAD
            self._registers = self._asked

    def _silence(self):
        """What it means that no reply to the open question came."""
        is_elsewhere = self._found_at not in (None, self._unit, ANY_UNIT)
        return "wrong_address" if is_elsewhere else "silent"

    def _word(self, place):
        at = self._at + 2 * place
        return self._buffer[at] << 8 | self._buffer[at + 1]

    def _watts(self):
        power_dw = self._word(3) | self._word(4) << 16
        if not self._is_in_range(power_dw):
            self.fault = "out_of_range"
            self._check.forget()
            return None
        agree = self._check.agree(power_dw, self._word(5) | self._word(6) << 16)
        if self._is_frozen() or not agree:
            self.fault = "stuck"
            self._carry_dw = 0
            return None
        watts, self._carry_dw = divmod(power_dw + self._carry_dw, 10)
        return watts

    def _is_in_range(self, power_dw):
        voltage_dv = self._word(0)
        current_ma = self._word(1) | self._word(2) << 16
        if not _VOLTAGE_DV[0] <= voltage_dv <= _VOLTAGE_DV[1]:
            return False
        if current_ma > _MOST_CURRENT_MA or power_dw > _MOST_POWER_DW:
            return False
        if self._registers > 7 and not _FREQUENCY_DHZ[0] <= self._word(7) <= _FREQUENCY_DHZ[1]:
            return False
        if self._registers > 8 and self._word(8) > _MOST_FACTOR:
            return False
        # Real power is at most apparent power; 2 % and 5 W more are let pass.
        apparent_dw = voltage_dv * current_ma // 1000
        return power_dw <= apparent_dw + apparent_dw // 50 + 50

    def _is_frozen(self):
        voltage_dv = self._word(0)
        self._same = self._same + 1 if voltage_dv == self._last_dv else 0
        self._last_dv = voltage_dv
        return self._same >= _MOST_SAME
