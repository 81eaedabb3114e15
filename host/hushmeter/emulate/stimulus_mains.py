"""The mains of :class:`Mains` for a whole day: the same levels, several times as fast.

What a conversion costs is kept small by working out amplitude and phase once for each stretch in
which the load stays the same, drawing the converter's noise beforehand, and looking up its wide
codes. Without harmonics, drift and faults; a test holds it equal to :class:`Mains`.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from hushmeter.emulate.peers.mains import FULL_SCALE, MIDDLE, RP2040_NOISE_STEPS, rp2040_code
from hushmeter.emulate.stimulus import Trace

_PARTS = 16
"""Of a step, in the table of codes."""
_NOISE = 1 << 16
_HELD_S = 0.01
_BEYOND = 8 * FULL_SCALE
_MOST_PARTS = 7.0 * FULL_SCALE * _PARTS
"""A larger swing looks the same: it is clipped nearly always."""


class QuickMains:
    """Voltage and current of a trace on two analogue pins.

    Parameters
    ----------
    trace:
        Its time 0 is ``lead_s`` on the mains' clock.
    """

    def __init__(  # noqa: PLR0913
        self,
        trace: Trace,
        *,
        lead_s: float = 0.0,
        voltage_v: float = 230.0,
        frequency_hz: float = 50.0,
        volts_per_step: float = 0.2,
        amps_per_step: float = 0.075,
        ct_lead_deg: float = 0.0,
        noise_steps: float = RP2040_NOISE_STEPS,
        nonlinear: bool = True,
        gain: float = 1.0,
        seed: int = 0,
    ) -> None:
        self.trace, self.lead_s = trace, lead_s
        self._voltage_v, self._turn = voltage_v, 2 * math.pi * frequency_hz
        self._volts = math.sqrt(2) * voltage_v / volts_per_step * _PARTS
        self._per_amp = gain * math.sqrt(2) / amps_per_step * _PARTS
        self._ct_lead_rad = math.radians(ct_lead_deg)
        self._codes = _codes(nonlinear)
        drawn = np.random.default_rng(seed).normal(0.0, noise_steps * _PARTS, _NOISE)
        self._noise: list[float] = (drawn + _BEYOND * _PARTS).tolist()
        self._place = 0
        self._until_s = -math.inf
        self._amps = self._phase_rad = 0.0

    def voltage_level(self, now_s: float) -> int:
        """What the voltage's pin reads, 0 to 4095."""
        return self._code(self._volts * math.sin(self._turn * now_s))

    def current_level(self, now_s: float) -> int:
        """What the clamp's pin reads, 0 to 4095."""
        if not self._until_s - _HELD_S <= now_s < self._until_s:
            self._look(now_s)
        return self._code(self._amps * math.sin(self._turn * now_s + self._phase_rad))

    def _look(self, now_s: float) -> None:
        """The load from now on, for a little while and not beyond its next change."""
        at_s = now_s - self.lead_s
        row = self.trace.row(at_s)
        watts, factor = self.trace.steps_w[row], self.trace.power_factors[row]
        parts = self._per_amp * watts / (self._voltage_v * abs(factor))
        self._amps = max(-_MOST_PARTS, min(_MOST_PARTS, parts))
        lag_rad = math.copysign(math.acos(min(1.0, abs(factor))), factor)
        self._phase_rad = self._ct_lead_rad - lag_rad
        self._until_s = now_s + _HELD_S
        times_s = self.trace.times_s
        following = row + 1 if times_s[row] <= at_s else row
        if following < len(times_s):
            self._until_s = min(self._until_s, times_s[following] + self.lead_s)

    def _code(self, parts: float) -> int:
        self._place = place = (self._place + 1) % _NOISE
        return self._codes[int(parts + self._noise[place])]


@cache
def _codes(nonlinear: bool) -> list[int]:
    """The code of every sixteenth of a step, from far below the scale to far above."""
    count, below = 2 * _BEYOND * _PARTS, (_BEYOND - MIDDLE - 1) * _PARTS
    within = []
    for at in range((FULL_SCALE + 2) * _PARTS):
        steps = (at + 0.5) / _PARTS - 1
        code = rp2040_code(steps) if nonlinear else math.floor(steps + 0.5)
        within.append(min(FULL_SCALE, max(0, code)))
    return [0] * below + within + [FULL_SCALE] * (count - below - len(within))
