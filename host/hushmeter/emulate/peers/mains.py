"""The mains of a home, as a current clamp and a voltage transformer show it to a converter.

A truth model in plain Python: volts, watts and power factor as functions of time, and from them
what two analogue pins read. What the sensor spoils (phase, offset, noise, steps, non-linearity,
faults) is in the levels only, never in the truth.

    mains = Mains(watts=lambda now_s: 400.0, power_factor=0.8, seed=1)
    pico.drive_adc(26, mains.current_level)
    pico.drive_adc(27, mains.voltage_level)
    mains.true_power_w(3.0, 4.0)                    # 400.0

With theta the angle of the mains, U and I the RMS of the fundamentals and phi the lag,

    u = sqrt(2) U (sin theta + sum over h of a_h sin(h theta + alpha_h))
    i = sqrt(2) I (sin(theta - phi) + sum over h of b_h sin(h (theta - phi) + beta_h))

and I is such that the mean of u i over a whole cycle is the power asked for.
"""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

Course = Callable[[float], float]
"""A quantity as a function of simulated time, s."""

Fault = Literal[
    "unplugged",
    "reversed",
    "overdriven",
    "voltage_lost",
    "current_stuck",
    "voltage_stuck",
    "current_grounded",
    "voltage_grounded",
]
"""What can be wrong with the sensor.

unplugged
    The clamp's jack is empty and shorted: its bias and noise are there, and no current.
reversed
    The clamp is the wrong way round.
overdriven
    The clamp's burden is 16 times too large, so that the converter is driven to its rails.
voltage_lost
    The transformer is unplugged: bias and noise, no voltage.
current_stuck, voltage_stuck
    The converter gives one code for ever.
current_grounded, voltage_grounded
    The pin reads 0, as where an empty jack pulls it down.
"""

FULL_SCALE = 4095
MIDDLE = 2048
_OVERDRIVE = 16.0

RP2040_NOISE_STEPS = 1.0
"""RMS of the RP2040's own noise: 0.97 to 1.36 steps were measured on a Pico
(pico-adc.markomo.me)."""

_WIDE_CODE_PERIOD, _FIRST_WIDE_CODE, _WIDE_CODE_STEPS = 1024, 512, 9.0
"""Codes 512, 1536, 2560 and 3584 are about nine steps wide (RP2040 datasheet, RP2040-E11)."""


@dataclass(frozen=True)
class Harmonic:
    """A harmonic of voltage or current.

    Attributes
    ----------
    order:
        2 or more.
    share:
        Of the fundamental's amplitude.
    phase_rad:
        Of its sine, against ``order`` times the fundamental's angle.
    """

    order: int
    share: float
    phase_rad: float = 0.0


SWITCH_MODE = (
    Harmonic(3, 0.8, math.pi),
    Harmonic(5, 0.6, 0.0),
    Harmonic(7, 0.35, math.pi),
    Harmonic(9, 0.15, 0.0),
)
"""The current of a rectifier with a capacitor: short pulses at the voltage's peaks."""

FLAT_TOP = (Harmonic(3, 0.01, 0.0), Harmonic(5, 0.02, math.pi))
"""A street's voltage with such rectifiers on it."""


@dataclass(kw_only=True)
class Mains:
    """One home's supply and load, and its sensor.

    Attributes
    ----------
    watts:
        Real power drawn, W; negative where the home feeds in.
    power_factor:
        The cosine of the fundamental's phase, 0 excluded to 1; a negative number means that the
        current leads (a capacitor), whatever the direction of power.
    voltage_rms_v:
        Of the fundamental, V. 0 is an outage: no power flows.
    frequency_hz, drift_hz, drift_period_s:
        The frequency swings around the first by the second, once in the third.
    volts_per_step, amps_per_step:
        The sensor's gains, per step of a 12-bit converter.
    voltage_offset, current_offset:
        How far the pins' rest is from the middle of the scale, steps.
    vt_lead_deg, ct_lead_deg:
        By how much each transformer's output leads its input at the fundamental; at harmonic h it
        is 1/h of that, as magnetisation makes it.
    noise_steps:
        RMS of the converter's noise, steps.
    nonlinear:
        Whether the converter has the RP2040's wide codes.
    fault:
        What is wrong at the moment; may be changed while it runs.
    """

    watts: Course | float = 0.0
    power_factor: Course | float = 1.0
    voltage_rms_v: Course | float = 230.0
    frequency_hz: float = 50.0
    drift_hz: float = 0.0
    drift_period_s: float = 60.0
    voltage_harmonics: tuple[Harmonic, ...] = ()
    current_harmonics: tuple[Harmonic, ...] = ()
    volts_per_step: float = 0.2
    amps_per_step: float = 0.075
    voltage_offset: float = 0.0
    current_offset: float = 0.0
    vt_lead_deg: float = 0.0
    ct_lead_deg: float = 0.0
    noise_steps: float = RP2040_NOISE_STEPS
    nonlinear: bool = False
    seed: int = 0
    fault: Fault | None = None
    _noise: dict[str, random.Random] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._noise = {pin: random.Random(f"{self.seed} {pin}") for pin in ("voltage", "current")}

    def power_w(self, now_s: float) -> float:
        """Real power drawn at this moment, as a mean over a cycle, W."""
        return _at(self.watts, now_s) if _at(self.voltage_rms_v, now_s) else 0.0

    def true_power_w(self, from_s: float, to_s: float, step_s: float = 0.02) -> float:
        """Mean real power from one time to another, W, by midpoints at most ``step_s`` apart.

        Exact for a load that changes only at multiples of ``step_s`` from ``from_s`` on.
        """
        count = max(1, round((to_s - from_s) / step_s))
        each_s = (to_s - from_s) / count
        return math.fsum(self.power_w(from_s + (k + 0.5) * each_s) for k in range(count)) / count

    def volts(self, now_s: float) -> float:
        """The voltage at this moment, V."""
        return self._volts(now_s, 0.0)

    def amps(self, now_s: float) -> float:
        """The current at this moment, A."""
        return self._amps(now_s, 0.0)

    def voltage_level(self, now_s: float) -> int:
        """What the converter reads on the voltage's pin, 0 to 4095."""
        if self.fault == "voltage_grounded":
            return 0
        if self.fault == "voltage_stuck":
            return MIDDLE
        lost = self.fault == "voltage_lost"
        volts = 0.0 if lost else self._volts(now_s, math.radians(self.vt_lead_deg))
        return self._level("voltage", volts / self.volts_per_step + self.voltage_offset)

    def current_level(self, now_s: float) -> int:
        """What the converter reads on the clamp's pin, 0 to 4095."""
        if self.fault == "current_grounded":
            return 0
        if self.fault == "current_stuck":
            return MIDDLE
        factor = {"unplugged": 0.0, "reversed": -1.0, "overdriven": _OVERDRIVE}.get(
            self.fault or "", 1.0
        )
        amps = factor * self._amps(now_s, math.radians(self.ct_lead_deg)) if factor else 0.0
        return self._level("current", amps / self.amps_per_step + self.current_offset)

    def angle_rad(self, now_s: float) -> float:
        """Angle of the mains: the integral of its frequency."""
        cycles = self.frequency_hz * now_s
        if self.drift_hz:
            turn = 2 * math.pi / self.drift_period_s
            cycles += self.drift_hz * (1 - math.cos(turn * now_s)) / turn
        return 2 * math.pi * (cycles % 1.0)

    def _volts(self, now_s: float, lead_rad: float) -> float:
        peak = math.sqrt(2) * _at(self.voltage_rms_v, now_s)
        return peak * _wave(self.angle_rad(now_s), lead_rad, self.voltage_harmonics)

    def _amps(self, now_s: float, lead_rad: float) -> float:
        rms_v, lag_rad = _at(self.voltage_rms_v, now_s), self._lag_rad(now_s)
        if not rms_v:
            return 0.0
        rms_a = _at(self.watts, now_s) / (rms_v * self._power_of_unit(lag_rad))
        angle_rad = self.angle_rad(now_s) - lag_rad
        return math.sqrt(2) * rms_a * _wave(angle_rad, lead_rad, self.current_harmonics)

    def _lag_rad(self, now_s: float) -> float:
        factor = _at(self.power_factor, now_s)
        return math.copysign(math.acos(min(1.0, abs(factor))), factor)

    def _power_of_unit(self, lag_rad: float) -> float:
        """Real power where both fundamentals have an RMS of 1."""
        total = math.cos(lag_rad)
        for a in self.voltage_harmonics:
            for b in self.current_harmonics:
                if a.order == b.order:
                    apart_rad = a.phase_rad - b.phase_rad + b.order * lag_rad
                    total += a.share * b.share * math.cos(apart_rad)
        return total

    def _level(self, pin: str, steps: float) -> int:
        steps += MIDDLE + self._noise[pin].gauss(0.0, self.noise_steps)
        code = math.floor(steps + 0.5)
        if self.nonlinear:
            code = rp2040_code(steps)
        return min(FULL_SCALE, max(0, code))


def rp2040_code(steps: float) -> int:
    """The code of an input of so many steps, with wide codes; those between are the narrower.

    Each block of 1024 codes starts with a wide one and has its true width in total, so that the
    greatest deviation is eight steps.
    """
    at = steps + 0.5 - _FIRST_WIDE_CODE
    block, within = divmod(at, _WIDE_CODE_PERIOD)
    narrow = (_WIDE_CODE_PERIOD - 1) / (_WIDE_CODE_PERIOD - _WIDE_CODE_STEPS)
    code = 0 if within < _WIDE_CODE_STEPS else 1 + math.floor((within - _WIDE_CODE_STEPS) * narrow)
    return _FIRST_WIDE_CODE + _WIDE_CODE_PERIOD * int(block) + code


def _at(course: Course | float, now_s: float) -> float:
    return course(now_s) if callable(course) else course


def _wave(angle_rad: float, lead_rad: float, harmonics: tuple[Harmonic, ...]) -> float:
    """The fundamental with an amplitude of 1, and what comes with it."""
    total = math.sin(angle_rad + lead_rad)
    for h in harmonics:
        total += h.share * math.sin(h.order * angle_rad + h.phase_rad + lead_rad / h.order)
    return total
