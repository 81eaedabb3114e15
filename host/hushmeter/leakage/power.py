"""The privacy-power function: the least leakage when a second source gives power P on average.

    point = solve(load, power=0.5)          # a discrete load, with peak= a limit on the source
    point.value, point.lower, point.upper   # bits; upper - lower is certified
    point.conditional[x, y]                 # what a meter draws from the grid

I(P) is the least I(X;Y) over 0 <= Y <= X with E[X - Y] <= P (Gomez-Vilardebo and Gunduz, Theorem
1), reached by a memoryless random choice of Y.

**Outputs.** Y need only take the load's own levels (Theorem 2): raising Y to the next level of X
is a function of Y, so it leaks no more, keeps Y <= X, and draws less from the source. Since it
lowers X - Y, it also keeps a limit X - Y <= peak; and only levels of positive probability count.

**Methods.** Without a peak limit: isotonic regression (:mod:`hushmeter.leakage.power_isotonic`),
exact at each slope. With one: an interior-point method (:mod:`hushmeter.leakage.power_interior`).
Both end on the gap between the policy that they return and a dual bound.

**Bounds.** `upper` is the leakage of the policy returned, whose power is at most P up to rounding;
`lower` is the dual bound. Both are widened by a rounding allowance of 8 eps n log2(2n) bits for n
levels: 4e-15 for 2, 2e-11 for 1024. They end less than 1e-11 bit apart on ordinary loads; where
distances of levels differ by fourteen orders of magnitude, the slope's own rounding leaves 5e-9.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hushmeter.errors import HushmeterError
from hushmeter.leakage import power_interior as interior
from hushmeter.leakage import power_isotonic as isotonic
from hushmeter.leakage.distributions import Discrete, Exponential
from hushmeter.leakage.entropies import NATS_TO_BITS, entropy

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

GAP_NATS = 1e-13
"""Where the search for the slope ends."""
PEAK_GAP_NATS = 1e-11
"""The same with a peak limit."""
_SAME = 1e-14
"""Powers that differ by this part of the load's range are one power."""
NOTHING = 1e-100
"""A power that is no more than this part of the load's range is 0: it saves less than rounding."""
_UNUSED = 1e-9
"""An output of less probability is not counted; an interior point leaves none at exactly 0."""


@dataclass(frozen=True)
class PowerPoint:
    """A point of the privacy-power function of a discrete load.

    Attributes
    ----------
    value, lower, upper:
        Bits a step; the truth lies between the last two, and `value` too.
    conditional:
        Shape (levels, levels): p(y | x), rows summing to 1, in the order of the load's levels.
    power:
        What the policy draws from the source on average, in the unit of the levels: at most what
        was allowed.
    slope:
        -dI/dP in nats per unit of power; infinite where P = 0 lets nothing be hidden, 0 where more
        power is of no use.
    levels_used:
        How many outputs have a positive probability.
    seconds:
        Of this point; compilation, which happens once, is not counted when it is done before.
    """

    value: float
    lower: float
    upper: float
    conditional: Floats
    power: float
    slope: float
    levels_used: int
    iterations: int
    seconds: float


@dataclass(frozen=True)
class ExponentialPoint:
    """A point of the privacy-power function of an exponential load, in closed form.

    Y is 0 with probability `atom_at_zero`, else has the load's own density; given X = x it has the
    density (m / P) exp(-(x - y) / P) exp(x / m) f_Y(y), with m the load's mean.
    """

    value: float
    power: float
    slope: float
    atom_at_zero: float

    @property
    def lower(self) -> float:
        """The value itself: a closed form."""
        return self.value

    @property
    def upper(self) -> float:
        """The value itself: a closed form."""
        return self.value


def rounding_bits(levels: int) -> float:
    """The allowance for rounding in a bound."""
    return 8 * float(np.finfo(np.float64).eps) * levels * math.log2(2 * levels)


def check_power(power: float, mean: float, what: str = "the load's mean") -> float:
    """The power, not above the mean by more than rounding.

    Raises
    ------
    HushmeterError
        It is negative, no number, or above what the load takes.
    """
    if not power >= 0:
        raise HushmeterError(f"the power is {power:g}; it must be 0 or more")
    if power > mean * (1 + 1e-9):
        raise HushmeterError(
            f"the power is {power:.10g}, beyond {what}, {mean:.10g}; a source can give no more "
            f"than the load takes, and {mean:.10g} hides all"
        )
    return min(power, mean)


def check_peak(peak: float | None) -> None:
    """Raises an error if the limit on the source is negative or no number."""
    if peak is not None and not peak >= 0:
        raise HushmeterError(f"the peak is {peak:g}; it must be 0 or more")


def solve(load: Discrete, power: float, peak: float | None = None) -> PowerPoint:
    """I(P) of a discrete load and the policy that reaches it.

    Parameters
    ----------
    power:
        P, in the unit of the load's levels, from 0 to the mean.
    peak:
        The most that the source gives in a step; None for no limit.

    Raises
    ------
    HushmeterError
        The power or the peak is out of its range.
    """
    check_peak(peak)
    power = check_power(power, load.mean)
    began = time.perf_counter()
    kept = np.flatnonzero(load.probabilities > 0)
    law, levels = load.probabilities[kept], load.levels[kept]
    span = float(levels[-1] - levels[0])
    nearest = float(np.diff(levels).min()) if len(law) > 1 else math.inf
    if peak is not None and peak < nearest - _SAME * span:
        found = _all_seen(law, slope=0.0)
    elif power <= NOTHING * span or len(law) == 1:
        found = _all_seen(law, slope=math.inf if len(law) > 1 else 0.0)
    elif peak is not None and peak < span:
        found = _peak_limited(law, levels, power, peak)
    else:
        found = _unlimited(law, levels, power)
    conditional = _on_all_levels(load, kept, found.conditional, peak)
    return PowerPoint(
        value=max(0.0, found.leakage),
        lower=min(max(0.0, found.bound - rounding_bits(len(law))), max(0.0, found.leakage)),
        upper=max(0.0, found.leakage) + rounding_bits(len(law)),
        conditional=conditional,
        power=found.power,
        slope=found.slope,
        levels_used=found.levels_used,
        iterations=found.iterations,
        seconds=time.perf_counter() - began,
    )


def exponential(load: Exponential, power: float) -> ExponentialPoint:
    """I(P) = log2(mean / P) of an exponential load (the paper's (20)).

    Raises
    ------
    HushmeterError
        The power is above the mean, or 0, where such a load leaks without bound.
    """
    power = check_power(power, load.mean)
    if power == 0:
        raise HushmeterError(
            "the power is 0, and an exponential load then leaks without bound; it must be above 0"
        )
    bits = math.log2(load.mean / power)
    return ExponentialPoint(bits, power, 1 / power, power / load.mean)


def binary(low: float, delta: float, power: float) -> float:
    """I(P) in bits of a load that is L with probability `low`, else L + `delta` (the paper's (11)).

    The level L itself is of no concern: a load with L above 0 has the same function.
    """
    moved = min(power / delta, 1 - low)
    terms = [entropy(np.array([mass])) for mass in (low + moved, 1 - low, moved)]
    return max(0.0, terms[0] + terms[1] - terms[2])


@dataclass(frozen=True)
class _Found:
    """A policy on the levels of positive probability, with its bounds in bits."""

    leakage: float
    bound: float
    power: float
    slope: float
    levels_used: int
    iterations: int
    conditional: Floats


def _all_seen(law: Floats, slope: float) -> _Found:
    """Y = X: nothing can be hidden, for lack of power, or needs to be, with one level alone."""
    bits = entropy(law)
    return _Found(bits, bits, 0.0, slope, len(law), 0, np.eye(len(law)))


def _unlimited(law: Floats, levels: Floats, power: float) -> _Found:
    n = len(law)
    most = float(law @ (levels - levels[0]))
    if power >= most - _SAME * (levels[-1] - levels[0]):
        conditional = np.zeros((n, n))
        conditional[:, 0] = 1.0
        return _Found(0.0, 0.0, most, 0.0, 1, 0, conditional)
    slope, steps = isotonic.slope_of(law, levels, power, GAP_NATS)
    first, mass, descend = np.empty(n, np.int64), np.empty(n), np.empty(n)
    count, drawn = isotonic.power_at(law, levels, slope, first, mass, descend)
    leakage = isotonic.leakage_of(count, mass, descend)
    bound = isotonic.dual_of(law, levels, slope, count, first, mass) - slope * power
    conditional = isotonic.policy_of(n, count, first, descend)
    bits = NATS_TO_BITS
    return _Found(leakage * bits, bound * bits, drawn, slope, count, steps, conditional)


def _peak_limited(law: Floats, levels: Floats, power: float, peak: float) -> _Found:
    span = levels[-1] - levels[0]
    apart = levels[:, None] - levels[None, :]
    # A level that differs from the peak by rounding alone is within it.
    allowed = (apart >= 0) & (apart <= peak + _SAME * span)
    costs = np.where(allowed, apart / span, np.inf)
    q, leakage, drawn, bound, slope, steps = interior.solve(law, costs, power / span, PEAK_GAP_NATS)
    used = int(np.count_nonzero(law @ q > _UNUSED))
    bits = NATS_TO_BITS
    return _Found(leakage * bits, bound * bits, drawn * span, slope / span, used, steps, q)


def _on_all_levels(load: Discrete, kept: Ints, found: Floats, peak: float | None) -> Floats:
    """p(y | x) with rows for levels of probability 0 as well.

    Such a level is treated as the next lower one that does occur, which shows no new output; where
    the peak does not allow that, or there is none, it is drawn from the grid as it is.
    """
    n = len(load.levels)
    if len(kept) == n:
        return found
    whole = np.eye(n)
    for x in range(n):
        below = int(np.searchsorted(kept, x, side="right")) - 1
        if below < 0:
            continue
        lowest = kept[np.flatnonzero(found[below])[0]]
        if peak is None or kept[below] == x or load.levels[x] - load.levels[lowest] <= peak:
            whole[x] = 0.0
            whole[x, kept] = found[below]
    return whole
