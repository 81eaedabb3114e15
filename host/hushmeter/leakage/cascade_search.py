"""Better than Theorem 1: policies whose true rate, over many steps and with memory, is certified.

Theorem 1 looks at one step of invariant policies and tells the reader all states before it. Two
things are lost by that. The bound of many steps is lower, by more with a larger battery
(:mod:`hushmeter.leakage.cascade_grid`), and its least is at other policies. And a battery may
remember what it drew, which makes its state depend on the past that all may know.

The policies here start at Theorem 1's optimum. First the bound of a few steps is lessened, then
that on a grid of beliefs, both with exact gradients (quasi-Newton steps over logits); last, the
bound is computed on the finest grid that fits. Every value on the way is a bound on a rate that
policies reach, so nothing rests on the search having found a minimum.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from hushmeter.leakage.cascade import CascadeOptimum
from hushmeter.leakage.cascade_family import Bound, Family
from hushmeter.leakage.policy import Policy

Floats = NDArray[np.float64]
Effort = Literal["none", "quick", "thorough"]
EFFORTS: tuple[Effort, ...] = get_args(Effort)

ROUNDING_BITS = 1e-9
"""Added to a rate from a grid, whose beliefs are snapped by up to 1e-13 at each of many steps."""
_THEOREM_ROUNDING_BITS = 1e-12

_MOST_ARCS = {"quick": 6_000, "thorough": 16_000}
_RECALL_ARCS = {"quick": 700, "thorough": 6_000}
_SEARCH_POINTS = {"quick": 1_000, "thorough": 6_000}
_FINAL_POINTS = {"quick": 10_000, "thorough": 60_000}
_FINES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48)
_GROWTH = 2.5
_MOST_ROUNDS = {"quick": 60, "thorough": 200}
_LOGITS = 10.0
_EVEN_SHARE = 0.2
_FLAT = 1e-12
_LEAST_GAIN = 1e-8
_MOST_HALVINGS = 25
_KEPT_PAIRS = 20
_JITTER = 0.2
_LEAF_WORK = 60_000


@dataclass(frozen=True)
class Certified:
    """Policies, and a rate that they do not exceed.

    Attributes
    ----------
    bits:
        The rate is at most this, bits a step, rounding included.
    policies:
        One for each battery.
    recalled:
        How many of its own outputs each battery remembers.
    fine, draw_steps:
        What the bound was computed with: parts of the grid (0: one step, Theorem 1), outputs that
        h(Y) looks back over.
    seconds:
        Of the search, compilation included.
    """

    bits: float
    policies: tuple[Policy, ...]
    recalled: tuple[int, ...]
    fine: int
    draw_steps: int
    seconds: float


def improve(
    found: CascadeOptimum, law: Floats, effort: Effort = "quick", seed: int = 1
) -> Certified:
    """The smallest rate that was certified, Theorem 1's own included.

    Parameters
    ----------
    found:
        An optimum over invariant policies, one for each battery (or the same for all).
    law:
        Shape (levels,): Pr[X = 0, 1, ...], as it was found for.
    effort:
        ``none`` takes Theorem 1's. The others differ in how fine the grids are and how much
        memory is tried; neither looks at a clock.
    seed:
        Of the small disturbance that the search begins with.
    """
    started = time.perf_counter()
    batteries = len(found.policies)
    recalled = (0,) * batteries
    best = Certified(
        found.upper_bound + _THEOREM_ROUNDING_BITS, found.policies, recalled, 0, 1, 0.0
    )
    capacity = found.policies[0].capacity
    chances = tuple(float(chance) for chance in law)
    for memory in _memories(chances, capacity, batteries, effort):
        tried = _optimised(Family(chances, capacity, memory), found, effort, seed)
        if tried.bits < best.bits:
            best = tried
    seconds = time.perf_counter() - started
    return Certified(best.bits, best.policies, best.recalled, best.fine, best.draw_steps, seconds)


def certify(family: Family, entries: Floats, most: int) -> tuple[Bound, int, int]:
    """(bound, parts of the grid, outputs looked back over) on the finest grid of `most` points."""
    draw_steps = _draw_steps(family, deep=True)
    fine = _finest(family, entries, most)
    bound = family.grid_bound(entries, fine, draw_steps, most)
    if bound is None:  # `_finest` counted it, so only the coarsest can be too large
        return family.path_bound(entries, (1, draw_steps)), 1, draw_steps
    return bound, fine, draw_steps


def rows_of(family: Family, logits: Floats) -> Floats:
    """Entries whose rows are the softmax of the logits."""
    rows = family.rows
    top = np.full(rows.max() + 1, -np.inf)
    np.maximum.at(top, rows, logits)
    weights = np.exp(logits - top[rows])
    return np.asarray(weights / np.bincount(rows, weights)[rows])


def _optimised(family: Family, found: CascadeOptimum, effort: Effort, seed: int) -> Certified:
    entries = family.entries(list(found.policies))
    generator = np.random.default_rng(seed)
    # Draws that Theorem 1 never makes must be within reach, as those between the load's levels.
    even = rows_of(family, np.zeros(len(entries)))
    start = np.log((1 - _EVEN_SHARE) * entries + _EVEN_SHARE * even)
    disturbed = start + _JITTER * generator.standard_normal(len(entries))
    steps = _pair_steps(family), _draw_steps(family, deep=False)
    rounds = _MOST_ROUNDS[effort]
    logits = _descend(family, disturbed, lambda now: family.path_bound(now, steps), rounds)
    entries = rows_of(family, logits)
    fine = _finest(family, entries, _SEARCH_POINTS[effort])
    if fine > 1:
        # The grid's size changes a little with the policies.
        room = 4 * _SEARCH_POINTS[effort]
        logits = _descend(
            family,
            logits,
            lambda now: family.grid_bound(now, fine, steps[1], room, with_slope=True),
            rounds,
        )
        entries = rows_of(family, logits)
    bound, fine, draw_steps = certify(family, entries, _FINAL_POINTS[effort])
    policies = family.policies(entries, bound.law)
    return Certified(bound.bits + ROUNDING_BITS, policies, family.recalled, fine, draw_steps, 0.0)


def _descend(
    family: Family, logits: Floats, bound_of: Callable[[Floats], Bound | None], rounds: int
) -> Floats:
    """Logits with a lower bound."""
    rows = family.rows

    def value(now: Floats) -> tuple[float, Floats]:
        entries = rows_of(family, now)
        try:
            bound = bound_of(entries)
        except ValueError:  # no single stationary law
            bound = None
        if bound is None:
            return np.inf, np.zeros(len(now))
        mean = np.bincount(rows, entries * bound.gradient)
        return bound.bits, np.asarray(entries * (bound.gradient - mean[rows]))

    return _lbfgs(value, logits, rounds)


def _lbfgs(value: Callable[[Floats], tuple[float, Floats]], point: Floats, rounds: int) -> Floats:
    """The limited-memory BFGS method with backtracking, within the box of logits.

    scipy's own calls a library whose threads cost more than all else at some dozens of unknowns.
    """
    now, gradient = value(point)
    pairs: list[tuple[Floats, Floats]] = []
    for _ in range(rounds):
        way = -_quasi_newton(pairs, gradient)
        fall = float(way @ gradient)
        if fall > -_FLAT:
            break
        length = 1.0 if pairs else min(1.0, 1 / float(np.abs(way).max()))
        for _ in range(_MOST_HALVINGS):
            tried = np.clip(point + length * way, -_LOGITS, _LOGITS)
            then, ahead = value(tried)
            if then <= now + 1e-4 * length * fall:
                break
            length /= 2
        else:
            break
        step, change = tried - point, ahead - gradient
        if float(step @ change) > 1e-14:
            pairs = [*pairs[-_KEPT_PAIRS:], (step, change)]
        gained = now - then
        point, now, gradient = tried, then, ahead
        if gained < _LEAST_GAIN:
            break
    return point


def _quasi_newton(pairs: list[tuple[Floats, Floats]], gradient: Floats) -> Floats:
    """The inverse Hessian that steps and changes of the gradient imply, times the gradient."""
    found = gradient.copy()
    shares = []
    for step, change in reversed(pairs):
        shares.append(float(step @ found) / float(step @ change))
        found -= shares[-1] * change
    if pairs:
        step, change = pairs[-1]
        found *= float(step @ change) / float(change @ change)
    for (step, change), share in zip(pairs, reversed(shares), strict=True):
        found += (share - float(change @ found) / float(step @ change)) * step
    return found


def _memories(
    law: tuple[float, ...], capacity: int, batteries: int, effort: Effort
) -> list[tuple[int, ...]]:
    """What is tried: no memory, then the first battery's last output, its last two, and so on.

    Memory of the first battery is what helps; the last one's outputs tell its state to nobody.
    """
    if effort == "none":
        return []
    rest = (0,) * (batteries - 1)
    wanted = [(1, *rest), (2, *rest)]
    if effort == "thorough":
        wanted += [(3, *rest), (1, *rest[:-1], 1)] if batteries > 1 else [(3,)]
    fitting = [
        memory for memory in wanted if _arc_count(law, capacity, memory) <= _RECALL_ARCS[effort]
    ]
    plain = (0, *rest)
    return [plain, *fitting] if _arc_count(law, capacity, plain) <= _MOST_ARCS[effort] else []


def _arc_count(law: tuple[float, ...], capacity: int, memory: tuple[int, ...]) -> int:
    """About how many arcs a family has."""
    levels = len(law)
    draws = min(levels, capacity + 1)
    states = math.prod(levels**recalled * (capacity + 1) for recalled in memory)
    return int(states * np.count_nonzero(law) * (0.75 * draws) ** len(memory))


def _draw_steps(family: Family, *, deep: bool) -> int:
    """As many outputs as the work allows, at least 2."""
    arcs = len(family.arcs.tail)
    work = (16 if deep else 1) * max(_LEAF_WORK, 4 * arcs)
    return max(2, min(12, int(math.log(max(4.0, work / arcs)) / math.log(family.levels)) + 1))


def _pair_steps(family: Family) -> int:
    """Steps with load and draw, whose paths part more often: 1 to 3."""
    arcs = len(family.arcs.tail)
    ways = np.count_nonzero(family.law) * min(family.levels, family.capacity + 1)
    return max(1, min(3, int(math.log(max(1.0, 20 * _LEAF_WORK / arcs)) / math.log(ways))))


def _finest(family: Family, entries: Floats, most: int) -> int:
    """The finest grid with about `most` points."""
    fine = 1
    for tried in _FINES:
        count = family.grid_points(entries, tried, most)
        if count is None:
            break
        fine = tried
        if count * _GROWTH > most:
            break
    return fine
