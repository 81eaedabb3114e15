"""The least that one battery can leak, J*(C), for a load that is independent from step to step.

Li, Khisti, Mahajan (IEEE Trans. IT 2018); Liu, Lee, Khisti, eq. 12. With S the charge, of law
theta,

    J*(C) = min over theta of F(theta),    F = I(S - X; X) = H(S - X) - H(S).

Why the bound below holds: F, extended to masses that do not sum to 1, is convex and homogeneous of
degree 1, so F(theta') >= <grad F(theta), theta'>, at least the least entry of grad F(theta) for
every law theta'. With r the law of S - X, grad_s = log theta(s) - sum_x P(x) log r(s - x). Hence
F(theta) - min_s grad_s bounds the error of any theta, and everybody can compute it from theta.

States fall into classes between which no difference of two levels leads (a load of even levels
never changes the parity of the charge). F is the sum over classes, so the best class decides; the
bound runs over the classes that have mass, and the others are solved and found to be no better.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from hushmeter.errors import HushmeterError
from hushmeter.leakage import single_kernels
from hushmeter.leakage.distributions import discrete
from hushmeter.leakage.entropies import NATS_TO_BITS
from hushmeter.leakage.policy import Policy, memoryless

MOST_CAPACITY = 10_000

_RAREST = 1e-18
"""Rarer levels change J* by less than the rounding (Fannes' inequality), and are left out."""

_ROUNDING = 2e-14
"""Bits by which the bounds are widened: logarithms of ratios up to e^300, summed with weights P."""

_ENOUGH = 1e-14
_WARM_UP = 3
_MOST_STEPS = 500


@dataclass(frozen=True)
class SingleOptimum:
    """J*(C) between bounds.

    Attributes
    ----------
    value:
        F(theta), bits a step.
    lower, upper:
        The bounds of J*, bits a step: least gradient entry and F, each widened by the rounding.
    theta:
        Shape (capacity + 1,): law of the charge; 0 in classes of states that are no use.
    iterations:
        Steps of the solver, over all classes.
    seconds:
        Wall time of the solver; compilation (once a machine) is not in it.
    """

    value: float
    lower: float
    upper: float
    theta: NDArray[np.float64]
    iterations: int
    seconds: float


@dataclass(frozen=True)
class _ClassOptimum:
    """The optimum of one class, in nats; theta has the length of all states."""

    theta: NDArray[np.float64]
    value: float
    least: float
    iterations: int


def solve(law: NDArray[np.float64] | list[float], capacity: int) -> SingleOptimum:
    """J* and the law of the charge that attains it.

    Parameters
    ----------
    law:
        Shape (n,): Pr[X = 0, 1, ..., n - 1].
    capacity:
        Highest charge, at least 1.

    Raises
    ------
    HushmeterError
        A probability is out of its range, they do not sum to 1, or the capacity is out of its.
    """
    chances = _checked(law, capacity)
    _compile()
    started = time.perf_counter()
    groups = _groups(chances, capacity)
    solved = [_solve_class(chances, capacity, members[0]) for members in groups]
    best = min(range(len(groups)), key=lambda place: solved[place].value)
    theta = _spread(solved[best].theta, groups[best])
    value = max(0.0, solved[best].value * NATS_TO_BITS)
    lower = min(found.least for found in solved) * NATS_TO_BITS - _ROUNDING
    return SingleOptimum(
        value=value,
        lower=min(value, max(0.0, lower)),
        upper=value + _ROUNDING,
        theta=theta,
        iterations=sum(found.iterations for found in solved),
        seconds=time.perf_counter() - started,
    )


def optimal_policy(
    law: NDArray[np.float64] | list[float], theta: NDArray[np.float64], name: str = "optimal"
) -> Policy:
    """q(y | x, s) = P(y) theta(s - x + y) / r(s - x), started from theta; memoryless.

    The next state is then independent of the output and again has law theta, so the outputs are
    independent with the load's law. States without mass, where a meter may yet start, follow the
    optimum of their own class.

    Parameters
    ----------
    law:
        Shape (n,): Pr[X = 0, 1, ...].
    theta:
        Shape (states,): as from `solve`, or any law of the charge.
    """
    theta = np.asarray(theta, dtype=np.float64)
    capacity = len(theta) - 1
    chances = _checked(law, capacity)
    shape = theta.copy()
    for members in _groups(chances, capacity):
        idle = [states for states in members if not theta[states].any()]
        if idle:
            shape += _spread(_solve_class(chances, capacity, idle[0]).theta, idle)
    inputs = len(chances)
    draws = np.zeros((capacity + 1, inputs, inputs))
    for s, x in np.ndindex(capacity + 1, inputs):
        low, high = max(0, x - s), min(inputs - 1, capacity - s + x)
        row = chances[low : high + 1] * shape[s - x + low : s - x + high + 1]
        total = row.sum()
        if total > 0:
            draws[s, x, low : high + 1] = row / total
        else:
            draws[s, x, x] = 1.0
    return memoryless(draws, theta / theta.sum(), name)


def leakage_of(law: NDArray[np.float64], theta: NDArray[np.float64]) -> float:
    """I(S - X; X) in bits for S of law theta, which need not be the best."""
    levels, support = _support(np.asarray(law, dtype=np.float64))
    states = np.flatnonzero(theta)
    mixed, gradient = np.empty(len(theta) + len(law)), np.empty(len(states))
    weights = np.asarray(theta, dtype=np.float64)[states]
    value, _ = single_kernels.evaluate(
        support, levels, states, weights / weights.sum(), mixed, gradient
    )
    return value * NATS_TO_BITS


def _checked(law: NDArray[np.float64] | list[float], capacity: int) -> NDArray[np.float64]:
    if not 1 <= capacity <= MOST_CAPACITY:
        raise HushmeterError(
            f"the capacity is {capacity}; it must be a whole number from 1 to {MOST_CAPACITY}"
        )
    return discrete(law).probabilities


def _support(law: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The levels that occur, and their probabilities."""
    levels = np.flatnonzero(law > _RAREST)
    return levels, law[levels] / math.fsum(law[levels])


def _groups(law: NDArray[np.float64], capacity: int) -> list[list[NDArray[np.int64]]]:
    """The classes, those that differ by a shift alone in one list: they have the same optimum."""
    labels = single_kernels.classes(_support(law)[0], capacity + 1)
    if not labels.any():
        return [[np.arange(capacity + 1)]]
    groups: dict[bytes, list[NDArray[np.int64]]] = {}
    for label in np.unique(labels):
        states = np.flatnonzero(labels == label)
        groups.setdefault((states - states[0]).tobytes(), []).append(states)
    return list(groups.values())


def _spread(theta: NDArray[np.float64], members: list[NDArray[np.int64]]) -> NDArray[np.float64]:
    """The optimum of the first class, shared out evenly over its shifts."""
    out = np.zeros_like(theta)
    for states in members:
        out[states] += theta[members[0]] / len(members)
    return out


def _solve_class(
    law: NDArray[np.float64], capacity: int, states: NDArray[np.int64]
) -> _ClassOptimum:
    levels, chances = _support(law)
    theta = np.zeros(capacity + 1)
    if len(states) == 1:
        # The draw has to follow the load: all of it leaks.
        theta[states] = 1.0
        value = -float(chances @ np.log(chances))
        return _ClassOptimum(theta, value, value, 0)
    within = np.searchsorted(states, states + (levels[-1] - levels[0]), "right")
    span = int((within - np.arange(len(states))).max())
    angle = np.pi * (np.arange(len(states)) + 1.0) / (len(states) + 1.0)
    start = np.sin(angle) ** 2
    found, value, least, steps = single_kernels.minimise(
        chances, levels, states, span, start / start.sum(), _WARM_UP, _MOST_STEPS, _ENOUGH
    )
    theta[states] = found
    return _ClassOptimum(theta, value, least, steps)


@lru_cache(1)
def _compile() -> None:
    """Compiles, or reads from the cache, before a clock runs."""
    law = np.array([0.5, 0.5])
    _solve_class(law, 2, np.arange(3))
    _groups(law, 2)
