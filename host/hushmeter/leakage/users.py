"""Several independent users who share one source: who gets how much, and what leaks in all.

Their leakages add up, so the least sum over allocations with sum P_i <= P has one slope s for all:
-dI_i/dP_i = s, or P_i at the end of its range (the paper's (9)). Each user's power at slope s is
exact: by isotonic regression for a discrete load, min(mean, 1 / s) for an exponential one; their
sum falls with s, and a search for the one slope is all that is left. For binary loads this is the
paper's (12), for exponential ones reverse water-filling with the level 1 / s, both in nats per unit
of power. Each user then runs its own policy.

The certificate: at any slope, sum_i F_i(s) - s P is no more than the leakage of any allocation.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hushmeter.errors import HushmeterError
from hushmeter.leakage import power_isotonic as isotonic
from hushmeter.leakage.distributions import Discrete, Exponential
from hushmeter.leakage.entropies import NATS_TO_BITS, entropy
from hushmeter.leakage.power import GAP_NATS, NOTHING, check_power, rounding_bits

Floats = NDArray[np.float64]
Load = Discrete | Exponential

_MOST_STEPS = 300
_SAME = 1e-14
"""Powers that differ by this part of the whole are one power."""


@dataclass(frozen=True)
class Allocation:
    """How a source is shared.

    Attributes
    ----------
    total, lower, upper:
        Bits a step of all users together.
    per_user, allocation:
        Bits a step and mean power of each, in the order of the loads.
    multiplier_nats:
        The one slope, nats per unit of power: infinite at no power, 0 where there is power left.
    water_level:
        1 / multiplier if a load is exponential: the power that each such user gets unless it takes
        less. Else None.
    """

    total: float
    lower: float
    upper: float
    per_user: tuple[float, ...]
    allocation: tuple[float, ...]
    multiplier_nats: float
    water_level: float | None
    iterations: int
    seconds: float


@dataclass(frozen=True)
class _Share:
    """One user at one slope: its power and leakage (nats), and the dual value F(s)."""

    power: float
    leakage: float
    dual: float


def solve(loads: Sequence[Load], power: float) -> Allocation:
    """The allocation of a source that leaks least.

    Parameters
    ----------
    power:
        P, from 0 to the sum of the means; above 0 if a load is exponential.

    Raises
    ------
    HushmeterError
        There is no load, or the power is out of its range.
    """
    if not loads:
        raise HushmeterError("there is no user; name one load or more")
    power = check_power(power, math.fsum(load.mean for load in loads), "the sum of the means")
    has_exponential = any(isinstance(load, Exponential) for load in loads)
    if power == 0 and has_exponential:
        raise HushmeterError(
            "the power is 0, and an exponential load then leaks without bound; it must be above 0"
        )
    began = time.perf_counter()
    reduced = [_reduced(load) for load in loads]
    shares, slope, bound, steps = _solved(reduced, power)
    rounding = math.fsum(
        rounding_bits(len(load.levels) if isinstance(load, Discrete) else 2) for load in reduced
    )
    total = math.fsum(share.leakage for share in shares) * NATS_TO_BITS
    return Allocation(
        total=total,
        lower=min(total, max(0.0, bound * NATS_TO_BITS - rounding)),
        upper=total + rounding,
        per_user=tuple(share.leakage * NATS_TO_BITS for share in shares),
        allocation=tuple(share.power for share in shares),
        multiplier_nats=slope,
        water_level=_water_level(loads, slope),
        iterations=steps,
        seconds=time.perf_counter() - began,
    )


def binary_allocation(low: float, delta: float, multiplier_nats: float) -> float:
    """The paper's (12): the power of a user with a binary load at this multiplier."""
    hidden = -math.expm1(-multiplier_nats * delta)
    if low >= hidden:
        return delta * (1 - low)
    return delta * low * (1 - hidden) / hidden


def reverse_water_filling(means: Sequence[float], power: float) -> float:
    """The level at which sum_i min(level, mean_i) is `power`, exactly, for exponential loads."""
    rest, left = power, len(means)
    for mean in sorted(means):
        if mean * left >= rest:
            return rest / left
        rest -= mean
        left -= 1
    return max(means)


def _solved(loads: Sequence[Load], power: float) -> tuple[list[_Share], float, float, int]:
    """(each user's share, the slope, the dual bound in nats, steps)."""
    most = math.fsum(_most(load) for load in loads)
    if power <= NOTHING * most:
        shares = [_without(load) for load in loads]
        return shares, math.inf if most else 0.0, math.fsum(s.leakage for s in shares), 0
    if power >= most * (1 - _SAME):
        slope = 0.0 if power > most * (1 + _SAME) else _last_slope(loads)
        return [_Share(_most(load), 0.0, 0.0) for load in loads], slope, 0.0, 0
    slope, steps = _slope(loads, power)
    shares = [_at_slope(load, slope) for load in loads]
    return shares, slope, math.fsum(share.dual for share in shares) - slope * power, steps


def _water_level(loads: Sequence[Load], slope: float) -> float | None:
    means = [load.mean for load in loads if isinstance(load, Exponential)]
    if not means:
        return None
    return 1 / slope if slope else max(means)


def _reduced(load: Load) -> Load:
    """Without levels of probability 0."""
    if isinstance(load, Exponential):
        return load
    kept = load.probabilities > 0
    return Discrete(load.probabilities[kept], load.levels[kept])


def _most(load: Load) -> float:
    """The power beyond which more is of no use to this user."""
    if isinstance(load, Exponential):
        return load.mean
    return float(load.probabilities @ (load.levels - load.levels[0]))


def _without(load: Load) -> _Share:
    law = load.probabilities if isinstance(load, Discrete) else np.ones(1)
    nats = entropy(law) / NATS_TO_BITS
    return _Share(0.0, nats, nats)


def _at_slope(load: Load, slope: float) -> _Share:
    if isinstance(load, Exponential):
        power = min(load.mean, 1 / slope)
        leakage = math.log(load.mean / power)
        return _Share(power, leakage, leakage + slope * power)
    n = len(load.levels)
    if n == 1:
        return _Share(0.0, 0.0, 0.0)
    law, levels = load.probabilities, load.levels
    first, mass, descend = np.empty(n, np.int64), np.empty(n), np.empty(n)
    count, power = isotonic.power_at(law, levels, slope, first, mass, descend)
    return _Share(
        power,
        max(0.0, isotonic.leakage_of(count, mass, descend)),
        isotonic.dual_of(law, levels, slope, count, first, mass),
    )


def _drawn(loads: Sequence[Load], slope: float) -> float:
    return math.fsum(_at_slope(load, slope).power for load in loads)


def _slope(loads: Sequence[Load], power: float) -> tuple[float, int]:
    """(slope at which all together take no more than `power`, and as good as all of it; steps)."""
    low, high, steps = 0.0, 1 / power, 1
    drawn = _drawn(loads, high)
    low_value = math.log(math.fsum(_most(load) for load in loads) / power)
    while drawn > power:
        low, low_value = high, math.log(drawn / power)
        high *= 2
        drawn, steps = _drawn(loads, high), steps + 1
    high_value = math.log(drawn / power) if drawn > 0 else -700.0
    while high * (power - drawn) > GAP_NATS and steps < _MOST_STEPS:
        middle = low + (high - low) * low_value / (low_value - high_value)
        if steps % 3 == 0 or not low < middle < high:
            middle = low + (high - low) / 2
        if not low < middle < high:
            break
        found, steps = _drawn(loads, middle), steps + 1
        value = math.log(found / power) if found > 0 else -700.0
        if found > power:
            low, low_value, high_value = middle, value, high_value / 2
        else:
            high, high_value, drawn, low_value = middle, value, found, low_value / 2
    return high, steps


def _last_slope(loads: Sequence[Load]) -> float:
    """The largest slope at which everything is still hidden: what the last power was worth."""
    return min(
        (1 / load.mean if isinstance(load, Exponential) else _hiding_slope(load))
        for load in loads
        if _most(load) > 0
    )


def _hiding_slope(load: Discrete) -> float:
    """The largest slope at which one pool holds every level of a load."""
    law, levels = load.probabilities, load.levels
    n = len(law)
    first, mass = np.empty(n, np.int64), np.empty(n)
    low, high = 0.0, 1 / _most(load)
    while isotonic.pools(law, levels, high, first, mass) == 1:
        low, high = high, 2 * high
    while low < (middle := (low + high) / 2) < high:
        if isotonic.pools(law, levels, middle, first, mass) == 1:
            low = middle
        else:
            high = middle
    return low
