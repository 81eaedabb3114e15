"""Where the privacy-power paper cannot stand as printed: a formula or word, and the right one.

Each correction comes with figures that anyone can check.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

from hushmeter.leakage import heuristics
from hushmeter.study.power import SAME_MEAN, PowerStudy, private_from, uniform_load
from hushmeter.study.power_published import binary_entropy, value_of

_SHAPE = 1e-6
"""Differences of slopes of less are rounding."""


@dataclass(frozen=True)
class Correction:
    """What the paper prints, what is right, and figures that show it."""

    key: str
    where: str
    printed: str
    right: str
    shown: str


def corrections(found: PowerStudy) -> list[Correction]:
    """Where a formula or a sentence of the paper cannot stand as printed."""
    return [
        _output_limit(),
        _shannon(),
        _time_division(),
        _own_function_is_convex(found),
        _rising_p(),
        _no_power(found),
        _from_the_grid(),
    ]


def _output_limit() -> Correction:
    powers, leaks = heuristics.output_limits(uniform_load())
    printed = heuristics.output_limits_printed(uniform_load())
    k = 11
    return Correction(
        "output_limit",
        "Section V-A, Limit maximum output load",
        "I = log2 N − ((N − k) / (2N)) log2(N − k)",
        "I = log2 N − ((N − k) / N) log2(N − k). The 2 belongs to the power, "
        "(N − 1 − k)(N − k) c / (2N), which is right.",
        f"N = 21, k = {k}, P = {powers[k]:.4f}: {leaks[k]:.4f} bits, printed {printed[k]:.4f}; a "
        f"limit of 0 leaks {leaks[0]:.4f}, printed {printed[0]:.4f}.",
    )


def _shannon() -> Correction:
    mean, watts = 1.0, 0.5
    value = math.log2(mean / watts)
    return Correction(
        "shannon",
        "(15), (16e), (18), (19)",
        "I(P) ≥ h(X) − ln P; user i is cut off at P = exp(h(X_i))",
        "I(P) ≥ h(X) − 1 − ln P: an exponential law of mean P has the entropy 1 + ln P. The cut is "
        "at exp(h(X_i) − 1). The paper's own (20) agrees with this and not with (15).",
        f"Exponential load of mean {mean:g}, P = {watts:g}: I = {value:.4f} bits by (20); (15) as "
        f"printed says at least {value + 1 / math.log(2):.4f}, with the 1 {value:.4f}.",
    )


def _time_division() -> Correction:
    load = uniform_load()
    exact = heuristics.time_division(load, 0.5) or 0.0
    printed = heuristics.time_division_printed(load, 0.5)
    return Correction(
        "time_division",
        "Section V-A, Time division",
        "I = log2(N) (1 − P / E[X])",
        "I = H(X) − Pr(Y = 0) H(X | Y = 0). The printed formula has Y = 0 only while the source is "
        "in use; a load that is 0 itself reads 0 as well, so less leaks.",
        f"N = 21, mean 1, P = 0.5: {exact:.4f} bits, printed {printed:.4f}.",
    )


def _own_function_is_convex(found: PowerStudy) -> Correction:
    first = found.tables["same_mean"]
    own = [(value_of(row, "user_1_power"), value_of(row, "user_1_bits")) for row in first]
    steps = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in pairwise(own) if b[0] - a[0] > 1e-6]
    rising = all(later >= earlier - _SHAPE for earlier, later in pairwise(steps))
    turn = private_from(SAME_MEAN)[1]
    return Correction(
        "own_function_is_convex",
        "Section V-B, on Fig. 6",
        "User 1's privacy-power function is concave, user 3's piecewise convex",
        "Every user's privacy-power function I_i(P_i) is convex, by the paper's Lemma 1. What is "
        "drawn is I_i against the total P, a function of both I_i and the allocation, which need "
        "not be convex.",
        f"Drawn over its own power, user 1's curve is {'convex' if rising else 'not convex'} "
        f"throughout; over the total it is concave up to P = {turn:.3g} and convex beyond.",
    )


def _rising_p() -> Correction:
    return Correction(
        "rising_p",
        "Section V-A, on Fig. 3",
        "“the privacy-power function is decreasing in p and convex”",
        "It decreases in P. In p it cannot: at P = 0 it is the entropy of p, which rises and "
        "falls, and the paper's next sentence has the curves cross.",
        "P = 0: "
        + ", ".join(f"{binary_entropy(p):.4f} bits at p = {p:g}" for p in (0.1, 0.5, 0.9))
        + ".",
    )


def _no_power(found: PowerStudy) -> Correction:
    rows = found.tables["exponential"]
    return Correction(
        "no_power",
        "Section V-B, on Figs. 7 and 8",
        "As P goes to zero, the leakage is the sum of the entropies of the loads",
        "So it is for binary loads. An exponential load leaks ln(mean / P) nats, which grows "
        "without bound; its differential entropy is no limit.",
        f"One user of mean 1 at P = {value_of(rows[0], 'power'):g}: "
        f"{value_of(rows[0], 'users_1'):.4f} bits; its differential entropy is "
        f"{1 / math.log(2):.4f}.",
    )


def _from_the_grid() -> Correction:
    return Correction(
        "from_the_grid",
        "Introduction, on exponential loads",
        "“the users with high average load receive the same amount of energy from the grid”",
        "The same from the alternative source (section IV-A says so), the rest from the grid.",
        "Means 1, 2, 3 and P = 3: 1 each from the source; 0, 1 and 2 from the grid.",
    )
