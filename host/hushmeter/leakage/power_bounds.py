"""The Shannon lower bound on the privacy-power function, and when it is reached.

X - Y is not negative and has mean P at most, so I(X;Y) = h(X) - h(X - Y | Y) >= h(X) - (1 + ln P)
nats: the exponential law has the greatest entropy, 1 + ln P. The paper's (15) drops the 1, and its
(18) with it: a user is cut off at P = exp(h(X) - 1).

For discrete loads the same argument with the entropies of discrete laws gives H(X) less the
greatest entropy of a difference of two levels, at most P on average; that is what is offered there.

**When it is reached** (Theorem 3): X = V + Y with V exponential of mean P, independent of Y. Then Y
has the density f + P f' where f is smooth, and an atom P (jump of f) where f jumps; these must not
be negative. So it is reached up to P_0 = 1 / sup(-f' / f), and not at all if f jumps down.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize_scalar

from hushmeter.errors import HushmeterError
from hushmeter.leakage.distributions import Discrete
from hushmeter.leakage.entropies import NATS_TO_BITS, entropy
from hushmeter.leakage.power import NOTHING

Floats = NDArray[np.float64]
Function = Callable[[Floats], Floats]

_GRID = 4001
_SAME = 1e-12


@dataclass(frozen=True)
class Density:
    """The density of a load on x >= 0, smooth but for a few places.

    Attributes
    ----------
    value, slope:
        f and f' of an array of places, none of them in `breaks`.
    breaks:
        Rising; where f may jump. The first is where the load's range begins; f is 0 before it.
    end:
        Where f ends, or where its tail is too thin to matter; f may jump to 0 there.
    """

    value: Function
    slope: Function
    breaks: Sequence[float]
    end: float
    endless: bool = True

    def jumps(self) -> list[tuple[float, float]]:
        """(place, f after it less f before it) at each break, and at the end if there is one."""
        near = 1e-9 * (self.end - self.breaks[0])
        found = []
        for place in [*self.breaks, *([] if self.endless else [self.end])]:
            after = 0.0 if place == self.end else float(self.value(np.array([place + near]))[0])
            before = (
                0.0 if place == self.breaks[0] else float(self.value(np.array([place - near]))[0])
            )
            found.append((place, after - before))
        return found


def critical_power(density: Density) -> float:
    """P_0, up to which the Shannon lower bound is reached; 0 if f jumps down, inf if f never falls.

    The supremum of -f' / f is sought on a grid and refined, so a density that falls steeply on a
    stretch far shorter than a thousandth of its range must have a break there.
    """
    steps = density.jumps()
    size = max(abs(jump) for _, jump in steps) + float(
        np.max(density.value(np.linspace(density.breaks[0], density.end, _GRID)[1:-1]))
    )
    if any(jump < -1e-6 * size for _, jump in steps):
        return 0.0
    fastest = max(
        _fastest_fall(density, start, stop)
        for start, stop in zip(density.breaks, [*density.breaks[1:], density.end], strict=True)
    )
    return math.inf if fastest <= 0 else 1 / fastest


def is_tight(density: Density, power: float) -> bool:
    """Whether I(P) = h(X) - 1 - ln P at this power."""
    return 0 < power <= critical_power(density) * (1 + 1e-9)


def output_law(density: Density, power: float) -> tuple[Function, list[tuple[float, float]]]:
    """Theorem 3's law of Y: its density f + P f', and its atoms (place, probability).

    Raises
    ------
    HushmeterError
        The bound is not reached at this power: the density or an atom would be negative.
    """
    if not is_tight(density, power):
        raise HushmeterError(
            f"at a power of {power:g} the Shannon lower bound is not reached; it is up to "
            f"{critical_power(density):g}"
        )

    def continuous(y: Floats) -> Floats:
        found: Floats = density.value(y) + power * density.slope(y)
        return np.maximum(found, 0.0)

    return continuous, [(place, power * max(jump, 0.0)) for place, jump in density.jumps()]


def continuous_lower(entropy_nats: float, power: float) -> float:
    """The Shannon lower bound in bits, not below 0, of a load with this differential entropy."""
    if power <= 0:
        return math.inf
    return max(0.0, (entropy_nats - 1 - math.log(power)) * NATS_TO_BITS)


def discrete_lower(load: Discrete, power: float, peak: float | None = None) -> float:
    """H(X) less the greatest entropy of a difference of two levels with mean P at most; bits."""
    law, levels = load.probabilities, load.levels[load.probabilities > 0]
    if len(levels) == 1:
        return 0.0
    apart = (levels[:, None] - levels[None, :])[np.tril_indices(len(levels))]
    span = float(levels[-1] - levels[0])
    places = np.unique(np.round(apart / span / _SAME)) * _SAME
    if peak is not None:
        places = places[places <= peak / span + _SAME]
    return max(0.0, entropy(law) - _most_entropy(places, power / span) * NATS_TO_BITS)


def _most_entropy(places: Floats, mean: float) -> float:
    """Nats of the law exp(-k d) / Z on `places` d >= 0 (0 among them) whose mean is `mean`."""
    if mean <= NOTHING or len(places) == 1:
        return 0.0
    if mean >= places.mean():
        return math.log(len(places))

    def surplus(rate: float) -> float:
        weights = np.exp(-rate * places)
        return float(weights @ places / weights.sum()) - mean

    high = 1.0 / mean
    while surplus(high) > 0:
        high *= 2
    # Any rate gives an upper bound on the entropy, so one that is slightly off is safe.
    rate = float(brentq(surplus, 0.0, high, maxiter=300, disp=False))
    return math.log(float(np.exp(-rate * places).sum())) + rate * mean


def _fastest_fall(density: Density, start: float, stop: float) -> float:
    """The supremum of -f' / f between two breaks, where f is above 0."""
    near = 1e-9 * (stop - start)

    def fall(x: Floats) -> Floats:
        value = density.value(x)
        with np.errstate(divide="ignore", invalid="ignore"):
            rate: Floats = np.where(value > 0, -density.slope(x) / value, -np.inf)
        return rate

    grid = np.linspace(start + near, stop - near, _GRID)
    found = fall(grid)
    best = int(np.argmax(found))
    low, high = grid[max(best - 1, 0)], grid[min(best + 1, _GRID - 1)]
    refined = minimize_scalar(
        lambda x: -float(fall(np.array([x]))[0]), bounds=(low, high), method="bounded"
    )
    return max(float(found[best]), -float(refined.fun))
