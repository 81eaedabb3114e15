"""Batteries in series: Theorem 1's bound at its least, and the policies that attain it.

    found = solve(law, capacity=2)                  # each battery may have a policy of its own
    found.upper_bound, found.lower_bound, found.policies
    solve(law, capacity=2, policies="same", batteries=3)

Liu, Lee, Khisti: "Information-Theoretic Privacy in Smart Metering Systems using Cascaded
Rechargeable Batteries". The least leakage of n batteries of capacity C each lies between J*(nC)
(Theorem 2) and I(S_1, ..., S_n, X; Y) of one step under any invariant policies (Theorem 1).

The second is minimised over a polytope: with joint masses as variables all constraints are linear
(:mod:`hushmeter.leakage.cascade_space`), the objective has exact derivatives
(:mod:`hushmeter.leakage.cascade_kernels`), and Newton's method takes a few dozen steps
(:mod:`hushmeter.leakage.cascade_newton`). The problem is convex in one battery's policy, but not in
all, so it is started from many places.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import linprog

from hushmeter.errors import HushmeterError
from hushmeter.leakage import cascade_kernels, cascade_newton, cascade_space, single
from hushmeter.leakage.cascade_space import Space
from hushmeter.leakage.distributions import discrete
from hushmeter.leakage.entropies import NATS_TO_BITS, entropy
from hushmeter.leakage.policy import Policy

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Kind = Literal["same", "different", "individual"]
KINDS: tuple[Kind, ...] = get_args(Kind)

MOST_STARTS = 60
_AGREEING = 8
"""So many starts must have reached the least value before the search stops early."""
_EQUAL_BITS = 1e-9
_TOLERANCES = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
_MOST_WORK = 3_000_000
_MOST_VARIABLES = 3_000


@dataclass(frozen=True)
class CascadeOptimum:
    """Theorem 1's bound for some policies, and what certifies them.

    Attributes
    ----------
    kind:
        Which policies were allowed.
    lower_bound:
        J*(n C) of one battery, less its own certified error.
    upper_bound:
        I(S_1, ..., S_n, X; Y) of one step under `policies`, bits; what they leak is not more.
    policies:
        One for each battery from the load to the meter; memoryless, started from their theta.
    starts:
        How many places it was started from; 0 for `individual`, which is no minimisation.
    reached:
        How many of them ended within 1e-9 bit of the least value.
    stationarity_gap:
        Bits; see :func:`stationarity_gap`.
    steps:
        Newton steps, all starts together.
    seconds:
        Wall time without compilation, which is done before the clock starts.
    """

    kind: Kind
    lower_bound: float
    upper_bound: float
    policies: tuple[Policy, ...]
    starts: int
    reached: int
    stationarity_gap: float
    steps: int
    seconds: float


@dataclass(frozen=True)
class Problem:
    """What is minimised: one space of policies, and which battery has which of them."""

    space: Space
    owner: Integers

    @property
    def distinct(self) -> int:
        """How many policies are chosen."""
        return int(self.owner.max()) + 1

    @cached_property
    def basis(self) -> tuple[Integers, Integers, Floats]:
        """Directions in the masses of all policies, by columns (start of each; places; entries)."""
        columns = sparse.csc_array(self.space.basis)
        whole = sparse.block_diag([columns] * self.distinct, format="csc")
        return whole.indptr.astype(np.int64), whole.indices.astype(np.int64), whole.data

    def bound(self, masses: Floats) -> float:
        """Theorem 1's bound in bits for masses of shape (distinct, variables)."""
        nats = cascade_kernels.value(masses, self.space.index, self.owner, self.space.law)
        return self.bits(nats)

    def bits(self, nats: float) -> float:
        """The bound in bits from the kernels' value, which leaves 2 H(P) out."""
        return nats * NATS_TO_BITS + 2 * entropy(self.space.law)


def solve(
    law: Floats | Sequence[float],
    capacity: int,
    policies: Kind = "different",
    batteries: int = 2,
    seed: int = 1,
    most_starts: int = MOST_STARTS,
) -> CascadeOptimum:
    """The least of Theorem 1's bound over invariant policies.

    Parameters
    ----------
    law:
        Shape (levels,): Pr[X = 0, 1, ...].
    capacity:
        The highest state of each battery, at least 1.
    policies:
        ``different``: one for each battery. ``same``: one for all, as in the paper's curve 2.
        ``individual``: each as if it were alone, curve 3; nothing is minimised jointly.
    batteries:
        How many stand in series.
    seed:
        Of the random starts.
    most_starts:
        No more are made; fewer once 8 have reached the least value seen.

    Raises
    ------
    HushmeterError
        A probability, the capacity or a size is out of its range.
    """
    problem = _problem(law, capacity, policies, batteries)
    chances = discrete(list(law)).probabilities
    _compile()
    started = time.perf_counter()
    below = single.solve(chances, batteries * capacity)
    alone = single.solve(chances, capacity)
    if policies == "individual":
        masses = problem.space.masses(single.optimal_policy(chances, alone.theta))[None]
        starts, reached, steps = 0, 0, 0
    else:
        masses, starts, reached, steps = _search(problem, alone.theta, seed, most_starts)
    return CascadeOptimum(
        kind=policies,
        lower_bound=below.lower,
        upper_bound=max(0.0, problem.bound(masses)),
        policies=_named(problem, masses, policies),
        starts=starts,
        reached=reached,
        stationarity_gap=stationarity_gap(problem, masses),
        steps=steps,
        seconds=time.perf_counter() - started,
    )


def stationarity_gap(problem: Problem, masses: Floats) -> float:
    """How far the linearised bound could still fall, bits: max over feasible V of <-grad, V - M>.

    A first-order certificate (the Frank-Wolfe gap), from one linear programme for each policy over
    the whole polytope. It vanishes exactly at stationary points. It says nothing about minima
    elsewhere, with one exception: where each battery has a policy of its own, the bound is convex
    in that policy, so no change of one battery's policy and theta alone lowers it by more than
    this. The programme is solved to a tolerance of 1e-10, relative to the steepest slope.
    """
    space = problem.space
    floor = 1e-300
    _, gradient, _ = cascade_kernels.derivatives(
        np.maximum(masses, floor), space.index, problem.owner, space.law
    )
    equations = cascade_space.constraints(space.index, space.levels, space.law)
    expected = np.zeros(len(equations))
    expected[-1] = 1.0
    gap = 0.0
    for own, slope in zip(masses, gradient.reshape(masses.shape), strict=True):
        # Masses that are zero together with a state have slopes that cancel along the polytope.
        scale = max(1.0, float(np.abs(slope).max()))
        found = linprog(
            slope / scale, A_eq=equations, b_eq=expected, bounds=(0, None), options=_TOLERANCES
        )
        if found.status != 0:
            raise HushmeterError(f"the stationarity gap could not be computed: {found.message}")
        gap += max(0.0, float(slope @ own) - scale * float(found.fun))
    return gap * NATS_TO_BITS


def descend(problem: Problem, first: Floats) -> tuple[Floats, float, int]:
    """One start: (masses, bound in bits, Newton steps) of the local minimum that is reached."""
    space = problem.space
    masses, nats, steps = cascade_newton.descend(
        first, space.index, problem.owner, space.law, *problem.basis
    )
    return masses, problem.bits(nats), steps


def starting_points(problem: Problem, theta: Floats, seed: int) -> list[Floats]:
    """Where the search begins: near the optimum of one battery, then wherever chance will have it.

    Later ones reach further: laws of the state less even, couplings closer to the edges.
    """
    generator = np.random.default_rng(seed)
    space, states = problem.space, len(theta)
    points = []
    for number in range(MOST_STARTS):
        spread = 0.05 if number == 0 else 3.0 * generator.random()
        rows = []
        for _ in range(problem.distinct):
            other = generator.dirichlet(np.ones(states))
            share = 0.02 if number == 0 else 0.9 * generator.random()
            mixed = 0.95 * ((1 - share) * theta + share * other) + 0.05 / states
            rows.append(cascade_space.random_masses(space, mixed, generator, spread))
        points.append(np.array(rows))
    return points


def _search(
    problem: Problem, theta: Floats, seed: int, most_starts: int
) -> tuple[Floats, int, int, int]:
    """(masses of the least bound, starts, starts that reached it, steps)."""
    best: tuple[Floats, float] | None = None
    values: list[float] = []
    steps = 0
    for first in starting_points(problem, theta, seed)[:most_starts]:
        masses, bits, took = descend(problem, first)
        values.append(bits)
        steps += took
        if best is None or bits < best[1]:
            best = masses, bits
        if _reached(values) >= _AGREEING:
            break
    assert best is not None  # noqa: S101 - most_starts is at least 1
    return best[0], len(values), _reached(values), steps


def _reached(values: list[float]) -> int:
    return sum(value <= min(values) + _EQUAL_BITS for value in values)


def _named(problem: Problem, masses: Floats, kind: Kind) -> tuple[Policy, ...]:
    return tuple(
        problem.space.policy(masses[own], f"battery {chr(ord('A') + place)}, {kind}")
        for place, own in enumerate(problem.owner)
    )


def _problem(
    law: Floats | Sequence[float], capacity: int, policies: Kind, batteries: int
) -> Problem:
    if policies not in KINDS:
        raise HushmeterError(f"policies are {policies!r}; they must be one of {', '.join(KINDS)}")
    if batteries < 1:
        raise HushmeterError(f"there are {batteries} batteries; there must be 1 or more")
    if capacity < 1:
        raise HushmeterError(f"the capacity is {capacity}; it must be a whole number from 1")
    chances = discrete(list(law)).probabilities
    levels = int(np.count_nonzero(chances))
    owner = np.arange(batteries) if policies == "different" else np.zeros(batteries, np.int64)
    work = batteries * math.log(capacity + 1) + math.log(levels**3)
    variables = (int(owner.max()) + 1) * levels * min(levels, capacity + 1) * (capacity + 1)
    if work > math.log(_MOST_WORK) or variables > _MOST_VARIABLES:
        raise HushmeterError(
            f"{batteries} batteries of capacity {capacity} with {levels} levels are too large "
            "a problem",
            hint="take fewer batteries, a smaller capacity or fewer levels",
        )
    return Problem(cascade_space.make(chances, capacity), owner.astype(np.int64))


@lru_cache(1)
def _compile() -> None:
    """Compiles the kernels, or reads them from the cache."""
    law = np.array([0.5, 0.5])
    problem = _problem(law, 1, "different", 2)
    theta = single.solve(law, 1).theta
    masses, _, _ = descend(problem, starting_points(problem, theta, 1)[0])
    problem.bound(masses)
    stationarity_gap(problem, masses)
