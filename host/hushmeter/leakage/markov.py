"""The least that one battery can leak for a load that is a Markov chain, between bounds.

The optimum is that of a decision process on the belief Pr(X, S | all outputs) (Li, Khisti, Mahajan,
IEEE Trans. IT 2018), which is no finite problem. Here an automaton that the outputs move takes the
belief's place. It gives a lower bound for every policy (`markov_flow`), a policy with its upper
bound (`markov_policy`), and the states whose splitting brings the two together (`markov_memory`).
For every binary load that was tried the bounds meet, to rounding, once the automaton knows the last
output; so they do with a single state where all rows are equal, at the value of an independent
load. Loads of more levels need many states, and the bounds approach each other slowly.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hushmeter.errors import HushmeterError
from hushmeter.leakage.deadline import Deadline
from hushmeter.leakage.entropies import NATS_TO_BITS
from hushmeter.leakage.markov_flow import Cells, Programme, cells_of
from hushmeter.leakage.markov_load import MarkovLoad
from hushmeter.leakage.markov_memory import split
from hushmeter.leakage.markov_policy import chances_of, improved, leaks_at_most, policy_of
from hushmeter.leakage.policy import Policy

MOST_ROWS = 2_400
"""Of (memory, level, state) in a lower bound: a dense factor of this size is formed each step."""

MOST_POLICY_ROWS = 10_000
"""Of (memory, level, state) in a policy: a sparse factor of this size is formed each step."""

MOST_CELLS = 200_000

_ROUNDING = 1e-10
_SHARE = 0.6
_IMPROVEMENTS = 60
_FIRST_IMPROVEMENTS = 500

_LOWER_SHARE, _POLICY_SHARE = 0.5, 0.7
"""Of the time left: what a lower bound may take, and of the rest, what policies may."""

_FACTOR_POWER = 2.5
"""The time of a lower bound grows with about this power of its rows."""


@dataclass(frozen=True)
class Certificate:
    """What anybody can compute the lower bound from, with `certified`.

    Attributes
    ----------
    next_memory:
        Shape (memories, outputs): the automaton.
    directions, multipliers:
        Shapes (cells,) and (used rows,), in the order of `cells_of` and of the rows they use.
    """

    next_memory: NDArray[np.int64]
    directions: NDArray[np.float64]
    multipliers: NDArray[np.float64]


@dataclass(frozen=True)
class MarkovOptimum:
    """The least leakage rate between bounds.

    Attributes
    ----------
    value:
        What `policy` is known to leak at most; the optimum is between lower and upper.
    lower, upper:
        Bits a step, each widened by the rounding (1e-10).
    policy:
        Its leakage rate is at most `upper`.
    certificate:
        Of `lower`.
    memories:
        States of the largest automaton.
    iterations:
        Newton's steps and improvements of policies, in all.
    seconds:
        Wall time.
    """

    value: float
    lower: float
    upper: float
    policy: Policy
    certificate: Certificate
    memories: int
    iterations: int
    seconds: float


def solve(
    load: MarkovLoad,
    capacity: int,
    tolerance: float = 1e-6,
    most_seconds: float = 10.0,
    progress: Callable[[int, float, float], None] | None = None,
) -> MarkovOptimum:
    """The bounds, until they are `tolerance` bits apart or the time is over.

    Parameters
    ----------
    most_seconds:
        Kept within a step of the methods inside. The bounds are valid whenever they are stopped;
        a first look is always taken, which takes some seconds for the largest loads.
    progress:
        Called after every automaton with its states, and the bounds so far.

    Raises
    ------
    HushmeterError
        The capacity is below 1, or capacity, levels and outputs are together too many.
    """
    _check(load, capacity)
    search = _Search(load, capacity, tolerance, most_seconds)
    going = True
    while going:
        going = search.refine()
        if progress is not None:
            progress(len(search.automaton), search.lower, search.upper)
    return MarkovOptimum(
        value=search.upper,
        lower=max(0.0, min(search.lower - _ROUNDING, search.upper)),
        upper=search.upper + _ROUNDING,
        policy=search.policy,
        certificate=search.certificate,
        memories=len(search.automaton),
        iterations=search.iterations,
        seconds=time.perf_counter() - search.started,
    )


def certified(load: MarkovLoad, capacity: int, certificate: Certificate) -> float:
    """The lower bound, bits a step, computed from its certificate alone."""
    cells = cells_of(load.transition, load.levels, capacity, certificate.next_memory)
    bound = Programme(cells).bound(certificate.directions, certificate.multipliers)
    return bound * NATS_TO_BITS


class _Search:
    """Finer and finer automata, with the best bounds so far."""

    def __init__(
        self, load: MarkovLoad, capacity: int, tolerance: float, most_seconds: float
    ) -> None:
        self.load, self.capacity = load, capacity
        self.tolerance = tolerance
        self.started = time.perf_counter()
        self.deadline = Deadline(self.started + most_seconds)
        self.pairs = len(load.levels) * (capacity + 1)
        self.automaton = np.zeros((1, int(load.levels[-1]) + 1), dtype=np.int64)
        self.iterations = 0
        self.lower, self.upper, self.programme_rate = -np.inf, np.inf, np.inf
        cells = self._cells()
        flow = self._raise_lower(cells)
        self._lower_upper(cells, [chances_of(cells, flow)])

    def refine(self) -> bool:
        """Bounds of a finer automaton; False where it is not needed or there is no time."""
        if self.upper - self.lower < self.tolerance:
            return False
        automaton, origin = self._finer()
        grows = len(automaton) / len(self.automaton)
        if grows == 1 or grows * self.policy_s > self.deadline.left_s():
            return False
        self.automaton = automaton
        cells = self._cells()
        rows = len(automaton) * self.pairs
        expected_s = self.programme_rate * rows**_FACTOR_POWER
        held = self.last.draws[origin]
        where = (cells.memory, cells.state, self.load.levels[cells.place], cells.output)
        starts = [held[where]]
        if rows <= MOST_ROWS and expected_s < self.deadline.left_s():
            starts.append(chances_of(cells, self._raise_lower(cells)))
        self._lower_upper(cells, starts)
        return True

    def _cells(self) -> Cells:
        return cells_of(self.load.transition, self.load.levels, self.capacity, self.automaton)

    def _finer(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The next automaton, and which memory each of its memories comes from."""
        outputs = self.automaton.shape[1]
        most = MOST_POLICY_ROWS // self.pairs
        if len(self.automaton) == 1 and outputs <= most:
            last_output = np.tile(np.arange(outputs), (outputs, 1))
            return last_output, np.zeros(outputs, dtype=np.int64)
        return split(self.last_cells, self.last_flow, self.automaton, _SHARE, most)

    def _raise_lower(self, cells: Cells) -> NDArray[np.float64]:
        """The flow that solves the programme, whose bound is kept if it is the best."""
        began = time.perf_counter()
        enough = 0.01 * self.tolerance / NATS_TO_BITS
        found = Programme(cells).solve(enough, self.deadline.share(_LOWER_SHARE))
        took_s = time.perf_counter() - began
        rows = len(self.automaton) * self.pairs
        self.programme_rate = min(self.programme_rate, took_s / rows**_FACTOR_POWER)
        self.iterations += found.iterations
        if found.lower * NATS_TO_BITS > self.lower:
            self.lower = found.lower * NATS_TO_BITS
            self.certificate = Certificate(self.automaton, found.directions, found.multipliers)
        return found.flow

    def _lower_upper(self, cells: Cells, starts: list[NDArray[np.float64]]) -> None:
        """Improves policies given by cell; the best is kept if it is the best so far.

        The policy of the coarser automaton treats the parts of a split state alike, which may be a
        saddle; that of the programme does not.
        """
        began = time.perf_counter()
        enough = 0.01 * self.tolerance / NATS_TO_BITS
        most = _FIRST_IMPROVEMENTS if len(self.automaton) == 1 else _IMPROVEMENTS
        found = [
            improved(cells, chances, most, enough, self.deadline.share(_POLICY_SHARE / still))
            for still, chances in zip(range(len(starts), 0, -1), starts, strict=True)
        ]
        flow = min(found, key=lambda one: one[1])[0]
        self.last_cells, self.last_flow = cells, flow
        self.last = policy_of(self.load, cells, flow, self.automaton)
        self.iterations += sum(steps for _, _, steps in found)
        upper = max(0.0, leaks_at_most(self.load, self.last, deadline=self.deadline))
        if upper < self.upper:
            self.upper, self.policy = upper, self.last
        self.policy_s = time.perf_counter() - began


def _check(load: MarkovLoad, capacity: int) -> None:
    if capacity < 1:
        raise HushmeterError(f"the capacity is {capacity}; it must be a whole number from 1")
    rows = len(load.levels) * (capacity + 1)
    cells = rows * (int(load.levels[-1]) + 1)
    if rows > MOST_ROWS or cells > MOST_CELLS:
        raise HushmeterError(
            f"{len(load.levels)} levels up to {load.levels[-1]} and a capacity of {capacity} make "
            f"{rows} pairs of load and charge and {cells} with the draw; at most {MOST_ROWS} and "
            f"{MOST_CELLS} can be solved",
            "take a larger quantum: fewer levels and a smaller capacity in quanta",
        )
