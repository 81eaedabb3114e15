"""Load driver `clamp`: a current clamp and a voltage transformer on two analogue pins.

A reading is the real power of one window of whole mains cycles, taken when it is asked for: the
call blocks for (cycles + 1) periods of the mains, 62 ms for two cycles of 50 Hz, and then some
milliseconds for the sums. The power's sign is its direction, from the phase between both pins.
Noise of s steps RMS in the clamp's pin makes an error of U * s * current_ua / sqrt(pairs) RMS in a
reading, and does not bias it; see `hushfw.core.mains` for the rest.

Both pins rest near the middle of the scale (a divider and a capacitor) and swing around it; the
exact rest does not matter. Gains are per step of 12 bits.

Settings: `voltage_pin`, `current_pin`; `voltage_uv`, microvolts of mains per step; `current_ua`,
microamperes per step; `cycles` (default 2), the least that a window holds; `phase_mdeg` (default
0), by how much the clamp's signal leads the voltage's beyond the truth, 1/1000 degree;
`spacing_us`, between two samples, by default what suits the board; `export` (default 0): power may
be fed in. Without it, power that is negative by more than two steps of current at 230 V is no
reading: the clamp is the wrong way round. Of what calibration finds, voltage_uv, current_ua and
phase_mdeg stand in place of the settings.

An empty jack reads like a home that draws nothing, unless it pulls its pin to a rail: wire it so.
"""

from hushfw.borrowed import Borrowed
from hushfw.core import mains
from hushfw.core.errors import HushError
from hushfw.core.peripherals import MAX_POWER_W
from hushfw.drivers import alternating

CALIBRATED = {
    "voltage_uv": (1000, 2000000),
    "current_ua": (100, 2000000),
    "phase_mdeg": (-20000, 20000),
}

_SLACK_STEPS, _NOMINAL_V = 2, 230
_PICO = 1000000000000  # microvolts times microamperes in a watt


def make(settings, hardware=None):
    """The driver on this board's converter; hardware stands in for the module `machine`."""
    if hardware is None:
        import machine as hardware
    pins = settings["voltage_pin"], settings["current_pin"]
    try:
        source = alternating.make(hardware, pins[0], pins[1], settings.get("spacing_us"))
    except (AttributeError, ValueError, TypeError):
        raise HushError(
            "bad_config",
            "driver: voltage_pin %d and current_pin %d must both be analogue inputs" % pins,
        ) from None
    return Clamp(settings, source)


class Clamp:
    live = True
    stack_bytes = 2400

    def __init__(self, settings, source):
        self.sees_export = bool(settings.get("export", 0))
        self.fault = None
        self.faults = {}
        self._source = source
        self._cycles = settings.get("cycles", 2)
        constants = dict(settings)
        constants.update(settings.get("calibration") or {})
        self._voltage_uv, self._current_ua = constants["voltage_uv"], constants["current_ua"]
        self._slack_uw = _SLACK_STEPS * _NOMINAL_V * self._current_ua
        self._turn = mains.turn_by(constants.get("phase_mdeg", 0))
        self._most_pairs = self._pairs_at(mains.LEAST_MHZ)
        self._window = mains.Window(self._most_pairs, alternating.FULL_SCALE)
        self._pairs = self._most_pairs

    def read(self):
        watts = None
        self.fault = self._take()
        if self.fault is None:
            watts = self._watts()
            self.fault = self._judge(watts)
        if self.fault is None:
            return watts if self.sees_export else max(0, watts)
        self.faults[self.fault] = self.faults.get(self.fault, 0) + 1
        return None

    def raw(self):
        """See `mains_figures.raw`."""
        with Borrowed("core.mains_figures") as figures:
            return figures.raw(self._window)

    def _pairs_at(self, mhz):
        """Pairs that hold the cycles of a window wherever in a cycle it begins."""
        pairs_a_second = 1000000000 // self._source.pair_ns
        return (self._cycles + 1) * pairs_a_second * 1000 // mhz + 4

    def _take(self):
        """A window in the buffer and its sums, or what is wrong with it."""
        window, pairs = self._window, self._pairs
        # The next one is as long as it takes where the mains' frequency is not known.
        self._pairs = self._most_pairs
        if not self._source.take(window.samples, pairs):
            window.cycles = 0
            return "cut"
        fault = window.evaluate(pairs, self._source.pair_ns, self._cycles)
        if fault is None:
            known = self._pairs_at(window.frequency_mhz - window.frequency_mhz // 50)
            self._pairs = min(self._most_pairs, known)
        return fault

    def _watts(self):
        real = self._window.real_q8(self._turn)
        unit = 256 * _PICO
        return (2 * real * self._voltage_uv * self._current_ua + unit) // (2 * unit)

    def _judge(self, watts):
        if not -MAX_POWER_W <= watts <= MAX_POWER_W:
            return "out_of_range"
        if self.sees_export or watts >= 0:
            return None
        return "negative" if -watts * 1000000 > self._slack_uw else None
