"""Load driver `level`: one analogue input whose voltage is proportional to power.

A power transducer's analogue output, or a bench's stimulus. One reading is the mean of n
conversions on the 16-bit scale of `machine.ADC`, whatever the converter's own resolution:

    watts = (mean - zero) * num / den        in integers, rounded to the nearest

Settings: `pin`, the number that `machine.Pin` takes; `zero`, the level at 0 W; `num` / `den`, watts
per level; `n`; `export` (default 0): levels below zero are power fed in. Without it a level
slightly below zero is the converter's noise and reads 0 W; one more than 1/64 of the scale below
is no reading but the fault "negative": the transducer is unplugged or the wrong way round.
"""

from hushfw.core.errors import HushError

FULL_SCALE = 65535
_SLACK = FULL_SCALE // 64


def make(settings, hardware=None):
    """The driver on this board's converter; hardware stands in for the module `machine`."""
    if hardware is None:
        import machine as hardware
    try:
        converter = hardware.ADC(hardware.Pin(settings["pin"]))
    except (AttributeError, ValueError, TypeError):
        raise HushError(
            "bad_config", "driver.pin: %d is no analogue input of this board" % settings["pin"]
        ) from None
    return Level(settings, converter)


class Level:
    live = True

    def __init__(self, settings, converter):
        self.sees_export = bool(settings.get("export", 0))
        self._converter = converter
        self._count = settings["n"]
        self._zero = settings["zero"] * self._count
        self._least = 0 if self.sees_export else self._zero - _SLACK * self._count
        self._num = settings["num"]
        self._den = settings["den"] * self._count
        self._total = 0
        self.fault = None
        self.faults = {}

    def read(self):
        total = 0
        for _ in range(self._count):
            total += self._converter.read_u16()
        self._total = total
        self.fault = "negative" if total < self._least else None
        if self.fault is not None:
            self.faults[self.fault] = self.faults.get(self.fault, 0) + 1
            return None
        watts = (2 * (total - self._zero) * self._num + self._den) // (2 * self._den)
        return watts if self.sees_export else max(0, watts)

    def raw(self):
        """The mean level of the last reading."""
        return {"level": self._total // self._count}
