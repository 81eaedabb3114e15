"""Two simple ways to use a second source, and what they leak; bits, beside the least possible.

Time division: all of a step's energy comes from one side, the source with probability P / E[X]. The
paper prints H(X) (1 - P / E[X]), as if nothing but the source could make Y = 0. A load that is 0 at
times reads 0 without it, so the exact I(X;Y) is smaller.

Output limit: Y = min(X, v_k), so it leaks H(Y) = H(X) - Pr(X >= v_k) H(X | X >= v_k). For a uniform
load with N levels that is log2 N - ((N - k) / N) log2(N - k); the paper prints half of the second
term. Between the powers of two levels the two are used in turn, on a public schedule.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hushmeter.leakage.distributions import Discrete
from hushmeter.leakage.entropies import entropy

Floats = NDArray[np.float64]


def time_division_printed(load: Discrete, power: float) -> float:
    """H(X) (1 - P / E[X]), as in the paper for a uniform load."""
    if load.mean == 0:
        return 0.0
    return entropy(load.probabilities) * max(0.0, 1 - power / load.mean)


def time_division(load: Discrete, power: float, peak: float | None = None) -> float | None:
    """I(X;Y) of time division; None if the source cannot give the highest level alone."""
    law, levels = load.probabilities, load.levels
    if peak is not None and levels[law > 0].max() > peak:
        return None
    if load.mean == 0:
        return 0.0
    from_source = min(1.0, power / load.mean)
    at_zero = law * np.where(levels == 0, 1.0, from_source)
    silent = float(at_zero.sum())
    left = entropy(at_zero) - entropy(np.array([silent]))
    return max(0.0, entropy(law) - left)


def output_limits(load: Discrete) -> tuple[Floats, Floats]:
    """(power, leakage) of the limit at each level, lowest level first: both arrays (levels,)."""
    law, levels = load.probabilities, load.levels
    above = np.maximum(levels[None, :] - levels[:, None], 0.0)
    powers = above @ law
    leaks = [entropy(np.append(law[:k], law[k:].sum())) for k in range(len(law))]
    return powers, np.maximum(leaks, 0.0)


def output_limits_printed(load: Discrete) -> Floats:
    """The paper's leakage of the same limits, with its factor 1/2; meant for a uniform load."""
    whole = entropy(load.probabilities)
    return whole - (whole - output_limits(load)[1]) / 2


def output_limit(load: Discrete, power: float, peak: float | None = None) -> float:
    """The leakage with this power: of one limit, or of two neighbours in turn.

    With a peak the limit goes no lower than the source can follow, and power may be left over.
    """
    powers, leaks = output_limits(load)
    highest = load.levels[load.probabilities > 0].max()
    usable = np.ones(len(powers), np.bool_) if peak is None else highest - load.levels <= peak
    # Powers fall with the level; interpolation wants them rising.
    return float(np.interp(power, powers[usable][::-1], leaks[usable][::-1]))
