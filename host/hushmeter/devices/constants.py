"""Which constants of a sensor follow from which loads: one recipe a driver that has constants.

A recipe mirrors what the driver computes from its raw quantities, so that the loads need to be
measured only once. Drivers that are not here take no constants; points correct them all the same.

All of them fit a complex gain: how much longer and further turned the measured power is than the
true one, P + jQ, by least squares with each load's weight 1 / its size. The true reactive power
comes from the reference's power factor, below 0 where the current leads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hushmeter.errors import HushmeterError

if TYPE_CHECKING:
    from hushmeter.devices.calibration import Load

Constants = Mapping[str, int]

_FLOOR_VA = 20.0
_PICO = 1e12
_MICRO = 1e6
_Q8 = 256
# Of the ADE7953: gain 1, and the delay of a step of phase, at 50 Hz.
_UNITY = 1 << 22
_STEP_RAD = 2 * math.pi * 50 * 1.117e-6


@dataclass(frozen=True)
class Recipe:
    """How the constants of one driver are found.

    Attributes
    ----------
    asks:
        What the reference instrument is asked for besides watts: attributes of a load.
    fit:
        The constants that fit loads best, given those under which the loads were read.
    watts:
        What the driver reads of a load under new constants, given the old ones.
    """

    asks: tuple[str, ...]
    fit: Callable[[Sequence[Load], Constants], dict[str, int]]
    watts: Callable[[Load, Constants, Constants], float]


def recipe_of(driver: str) -> Recipe | None:
    """The driver's recipe; None where it takes no constants."""
    return _RECIPES.get(driver)


def reactive(load: Load) -> float | None:
    """True reactive power in var, above 0 where the current lags; None where it is not known."""
    factor = load.power_factor
    if factor is None:
        return None
    if not 0.05 <= abs(factor) <= 1:
        raise HushmeterError(
            f"a power factor of {factor:g}; it must be 0.05 to 1, below 0 where the current leads"
        )
    return math.copysign(abs(load.true_w) * math.tan(math.acos(abs(factor))), factor)


def _weight(load: Load) -> float:
    return 1 / max(abs(load.true_w), _FLOOR_VA)


def _complex_gain(
    known: Sequence[tuple[complex, complex | float, float]],
) -> complex:
    """The g for which g * measured is closest to true; a plain number is true watts alone."""
    rows: list[list[float]] = []
    wanted: list[float] = []
    for measured, true, weight in known:
        rows.append([weight * measured.real, -weight * measured.imag])
        wanted.append(weight * true.real)
        if isinstance(true, complex):
            rows.append([weight * measured.imag, weight * measured.real])
            wanted.append(weight * true.imag)
    found = np.linalg.lstsq(np.array(rows), np.array(wanted), rcond=None)[0]
    return complex(found[0], found[1])


def _fit_clamp(loads: Sequence[Load], current: Constants) -> dict[str, int]:
    """voltage_uv from volts; current_ua and phase_mdeg from watts and power factors."""
    volts = [(load.raw["voltage_q8"] / _Q8, load.true_v) for load in loads if load.true_v]
    if not volts:
        raise HushmeterError(
            "no load has the reference's volts, and a clamp needs them once",
            hint="read the voltage too: true_v in a plan",
        )
    if all(load.power_factor is None for load in loads):
        raise HushmeterError(
            "no load has the reference's power factor, and a clamp needs one",
            hint="a kettle or a heater has 1: power_factor in a plan",
        )
    steps, true = np.array(volts).T
    voltage_uv = round(_MICRO * float(steps @ true) / float(steps @ steps))
    gain = _complex_gain([(_clamp_power(load), _true_power(load), _weight(load)) for load in loads])
    return {
        "voltage_uv": voltage_uv,
        "current_ua": round(abs(gain) * _Q8 * _PICO / max(1, voltage_uv)),
        "phase_mdeg": round(1000 * math.degrees(math.atan2(gain.imag, gain.real))),
    }


def _clamp_power(load: Load) -> complex:
    return complex(load.raw["real_q8"], load.raw["reactive_q8"])


def _true_power(load: Load) -> complex | float:
    var = reactive(load)
    return load.true_w if var is None else complex(load.true_w, var)


def _watts_of_clamp(load: Load, constants: Constants, current: Constants) -> float:
    turned = _clamp_power(load) * np.exp(1j * math.radians(constants["phase_mdeg"] / 1000))
    return float(turned.real * constants["voltage_uv"] * constants["current_ua"] / (_Q8 * _PICO))


def _fit_ade7953(loads: Sequence[Load], current: Constants) -> dict[str, int]:
    """watt_gain from watts; phase from loads whose power factor is not 1. The chip applies both.

    The true reactive power stands in for the chip's, which the driver does not read: their
    difference is of second order.
    """
    old_gain, old_phase = current.get("watt_gain", _UNITY), current.get("phase", 0)
    turned = [load for load in loads if load.power_factor is not None]
    rows = np.array([[load.true_w, reactive(load) or 0.0] for load in loads])
    weights = np.array([_weight(load) for load in loads])
    read = np.array([load.read_w for load in loads])
    columns = 2 if any(abs(load.power_factor or 1) < 0.9 for load in turned) else 1
    found = np.linalg.lstsq(rows[:, :columns] * weights[:, None], read * weights, rcond=None)[0]
    gain, lead = (float(found[0]), float(found[1])) if columns == 2 else (float(found[0]), 0.0)
    if gain <= 0:
        raise HushmeterError(
            "what was read falls as the truth rises",
            hint="the clamp is the wrong way round: turn it, measure again",
        )
    return {
        "watt_gain": round(old_gain / math.hypot(gain, lead)),
        "phase": old_phase + round(math.atan2(lead, gain) / _STEP_RAD),
    }


def _watts_of_ade7953(load: Load, constants: Constants, current: Constants) -> float:
    scale = constants["watt_gain"] / current.get("watt_gain", _UNITY)
    delay = (constants["phase"] - current.get("phase", 0)) * _STEP_RAD
    size = abs(load.read_w / load.true_w) if abs(load.true_w) >= 1 else 1.0
    var = size * (reactive(load) or 0.0)
    return scale * (load.read_w * math.cos(delay) - var * math.sin(delay))


_RECIPES = {
    "clamp": Recipe(("true_v", "power_factor"), _fit_clamp, _watts_of_clamp),
    "ade7953": Recipe(("power_factor",), _fit_ade7953, _watts_of_ade7953),
}
