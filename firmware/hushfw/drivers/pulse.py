"""Load driver `pulse`: the S0 output of an electricity meter (IEC 62053-31), or its blinking LED.

An interrupt comes at every edge. It is a hard one where the board has such: it runs in the middle
of anything but a write to the flash, assembler and garbage collections included, and takes no
memory. It keeps the level and since when it holds; a level that held for `debounce_ms` is settled,
and a pulse is a settled change to the active level, stamped with its beginning. So neither bounce
nor a spike is counted, and a pulse counts although nobody has asked in between. S0 pulses and the
pauses between them last 30 ms or more, with up to 5 ms of bounce; those of an LED are shorter, and
`debounce_ms` must be, too.

What leaves a settled level and settles there again, without a pulse, was a spike, or a pulse of
which the flash has hidden a part: "bounce", and that second has no reading. More edges than the
greatest power can make switch the interrupt off until the next reading, so that the meter goes on
with its own work: "flood". How readings are made of pulses, see `core.pulses`.

Settings: `pin`; `imp_per_kwh`; `most_w`, the greatest power; `debounce_ms`; `silent_s`, in which
the least load of the home makes a pulse; `edge` (0: a pulse begins by falling, the default, as an
open collector pulls it; 1: rising); `pull` (0 none, 1 up, the default, 2 down); `export_pin`, the
meter's output for energy fed in, if `export` is on.
"""

import time

from hushfw.core.errors import HushError
from hushfw.core.pulses import PULSE, Pulses

CALIBRATED = {}
_SPARE_EDGES = 200
_EDGES_A_PULSE = 6


def make(settings, hardware=None):
    """The driver on this board's pins; hardware stands in for the module `machine`."""
    if hardware is None:
        import machine as hardware
    return PulseInput(settings, hardware)


class PulseInput:
    live = True

    def __init__(self, settings, hardware):
        self._hardware = hardware
        self._clock = hardware if hasattr(hardware, "ticks_us") else time
        fields = ["pin", "export_pin"] if settings.get("export") else ["pin"]
        self.sees_export = len(fields) == 2
        self._lines = [_Line(self._clock, self._pin(settings, field), settings) for field in fields]
        self._pulses = Pulses(settings["imp_per_kwh"], settings["most_w"], settings["silent_s"])
        self._read_us = None
        self.fault = None
        self.faults = {}

    def _pin(self, settings, field):
        kind = self._hardware.Pin
        pulls = (None, kind.PULL_UP, kind.PULL_DOWN)
        try:
            return kind(settings[field], kind.IN, pulls[settings.get("pull", 1)])
        except (KeyError, ValueError, TypeError):
            raise HushError(
                "bad_config",
                "driver.%s: %r is no pin of this board" % (field, settings.get(field)),
            ) from None

    def is_hard(self):
        """Whether its interrupts come also within assembler and collections, once it has read."""
        return self._lines[0].hard

    def raw(self):
        """Pulses and edges within the debounce time, since boot."""
        raw = {"pulses": self._lines[0].count, "bounces": self._lines[0].bounces}
        if self.sees_export:
            raw["export_pulses"] = self._lines[1].count
            raw["export_bounces"] = self._lines[1].bounces
        return raw

    def read(self):
        """Watts of the last second, None where the pulses do not tell them."""
        try:
            watts, self.fault = self._read()
        except Exception:
            # Out of memory, say: pulses may have been taken that were not counted.
            self._pulses.forget(None)
            raise
        if self.fault is not None:
            watts = None
            self.faults[self.fault] = self.faults.get(self.fault, 0) + 1
        return watts

    def _read(self):
        if self._read_us is None:
            self._read_us = self._clock.ticks_us()
            for line in self._lines:
                line.listen()
            return None, None
        taken = []
        doubtful = flooded = False
        for line in self._lines:
            taken += line.take(self._hardware)
            doubtful = doubtful or line.doubtful
            flooded = flooded or line.flooded
        now_us = self._clock.ticks_us()
        elapsed_us = self._clock.ticks_diff(now_us, self._read_us)
        self._read_us = now_us
        if flooded or elapsed_us < 0:
            self._pulses.forget("flood" if flooded else None)
            return None, self._pulses.fault
        watts = self._pulses.take(elapsed_us, *taken)
        return watts, self._pulses.fault or ("bounce" if doubtful else None)


class _Line:
    """One pin. What `_edge` touches it touches in interrupts."""

    def __init__(self, clock, pin, settings):
        self._ticks_us, self._diff, self._add = clock.ticks_us, clock.ticks_diff, clock.ticks_add
        self._pin = pin
        self._active = settings.get("edge", 0)
        self._debounce_us = settings["debounce_ms"] * 1000
        most = settings["most_w"] * settings["imp_per_kwh"] // PULSE + 1
        self._most_edges = _SPARE_EDGES + _EDGES_A_PULSE * most
        # Made once: an interrupt has no memory to bind it in.
        self._handler = self._edge
        self.hard = False
        self.count = 0
        self.bounces = 0
        self.doubtful = self.flooded = False
        self._taken = 0
        self._doubts = 0
        self._stamp_us = 0

    def listen(self):
        """From now on; a pulse that is under way is not counted."""
        self._at_us = self._ticks_us()
        self._level = self._settled = self._pin.value()
        self._restless = False
        self._left = self._most_edges
        edges = self._pin.IRQ_FALLING | self._pin.IRQ_RISING
        try:
            self._pin.irq(self._handler, edges, hard=True)
            self.hard = True
        except TypeError:
            self._pin.irq(self._handler, edges)

    def _edge(self, pin):
        now_us = self._ticks_us()
        level = pin.value()
        if self._diff(now_us, self._at_us) >= self._debounce_us:
            self._settle()
            # Two edges in one: it was elsewhere, for less than an interrupt takes to come.
            self._restless = level == self._level
        else:
            self._restless = True
            self.bounces += 1
        self._level = level
        self._at_us = now_us
        self._left -= 1
        if self._left < 0:
            pin.irq(None, 0)

    def _settle(self):
        """The level has held long enough to be meant."""
        if self._level == self._settled:
            if self._restless:
                self._doubts += 1
        else:
            self._settled = self._level
            if self._level == self._active:
                self.count += 1
                self._stamp_us = self._at_us
        self._restless = False

    def take(self, hardware):
        """(pulses since the call before, age of the last one in us); `doubtful`, `flooded`."""
        masked = hardware.disable_irq()
        now_us = self._ticks_us()
        if self._diff(now_us, self._at_us) >= self._debounce_us:
            self._settle()
            # Still settled; without this the ticks of a line that rests would wrap.
            self._at_us = self._add(now_us, -self._debounce_us)
        pulses, self._taken = self.count - self._taken, self.count
        age_us = self._diff(now_us, self._stamp_us) if pulses else 0
        self.doubtful, self._doubts = self._doubts > 0, 0
        self.flooded, self._left = self._left < 0, self._most_edges
        hardware.enable_irq(masked)
        if self.flooded:
            self.listen()
        return pulses, age_us
