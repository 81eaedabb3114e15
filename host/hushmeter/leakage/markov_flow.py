"""A convex programme over stationary flows, which bounds what a battery leaks for a Markov load.

An automaton m' = next[m, y] that the outputs move is a function of what the observer knows. The
joint masses of (m, x, s, y) in the long run, under any policy whatsoever, are a stationary flow:
what enters (m', x', s') leaves it. Given m and y, (x, s) -> (x, s' = s - x + y) is one to one, so
the entropies telescope and the leakage rate is E[phi(rho)], where rho is the law of (X, S') given
all outputs and

    phi(rho) = H(X' | S') - H(X | S'),    X' the next load,

is convex (data processing) and homogeneous of degree 1. To forget all but (m, y) can only lower
E[phi], hence the leakage rate of every policy is at least

    L(automaton) = min over stationary flows of sum over m, y, s' of phi(flow of (m, y, ., s')).

A flow and multipliers c(m, x, s) certify a bound, since phi(rho) >= <grad phi(rho0), rho>:

    L >= min over (m, x, s, y) of
         grad phi(m, y, s')(x) + sum_x' Q(x, x') c(m', x', s') - c(m, x, s).

The programme is solved by a primal-dual interior-point method; the Hessian has a block for each
(m, y, s'), so a step costs one Cholesky factor with a row for each (m, x, s). In nats.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import splu

from hushmeter.leakage.deadline import NEVER, Deadline

_CENTRING = 0.15
_TO_BOUNDARY = 0.97
_MOST_STEPS = 60
_UNBALANCED = 1e-9
_MOST_SWEEPS = 300
_INNER = 2
_LEAST_LOG = -200.0
_REGULAR = 1e-13
_STEPS_SHARE = 0.8
"""Of the time that Newton's steps may take; the rest polishes the bound."""

RESOLVENT = 1e-12
"""Of inverse iteration; what it leaves of a law that is not stationary."""


@dataclass(frozen=True)
class Cells:
    """The cells (m, x, s, y) that a stationary flow can use, and what they lead to.

    Attributes
    ----------
    transition:
        Shape (n, n): Q(x, x'), by place of the level.
    memory, place, state, output:
        Shape (cells,): m, place of the level x, s and y.
    next_memory, next_state:
        Shape (cells,): m' and s'.
    shape:
        (memories, n, states): the rows that flow is balanced in.
    outputs:
        How many outputs there are.
    """

    transition: NDArray[np.float64]
    memory: NDArray[np.int64]
    place: NDArray[np.int64]
    state: NDArray[np.int64]
    output: NDArray[np.int64]
    next_memory: NDArray[np.int64]
    next_state: NDArray[np.int64]
    shape: tuple[int, int, int]
    outputs: int

    @property
    def leaves(self) -> NDArray[np.int64]:
        """Shape (cells,): the row (m, x, s), as one number."""
        rows = (self.memory, self.place, self.state)
        return np.ravel_multi_index(rows, self.shape).astype(np.int64)

    @property
    def enters(self) -> NDArray[np.int64]:
        """Shape (cells, n): the rows (m', x', s') for every x'."""
        _, n, states = self.shape
        first = self.next_memory * n * states + self.next_state
        return first[:, None] + np.arange(n) * states

    def only(self, kept: NDArray[np.bool_]) -> Cells:
        """Some of the cells."""
        names = ("memory", "place", "state", "output", "next_memory", "next_state")
        chosen = {name: getattr(self, name)[kept] for name in names}
        return Cells(self.transition, **chosen, shape=self.shape, outputs=self.outputs)

    def moves(self, chances: NDArray[np.float64]) -> sp.csc_matrix:
        """Shape (rows, rows): Pr(row' | row) at [row', row], under q(y | m, x, s) by cell."""
        rows = int(np.prod(self.shape))
        masses = chances[:, None] * self.transition[self.place]
        leaves = np.repeat(self.leaves, self.shape[1])
        entries = (masses.ravel(), (self.enters.ravel(), leaves))
        found = sp.coo_matrix(entries, shape=(rows, rows)).tocsc()
        found.eliminate_zeros()
        return found


@dataclass(frozen=True)
class Solution:
    """A flow over cells; directions over cells and multipliers over rows, and what they certify."""

    flow: NDArray[np.float64]
    directions: NDArray[np.float64]
    multipliers: NDArray[np.float64]
    lower: float
    iterations: int


def cells_of(
    transition: NDArray[np.float64],
    levels: NDArray[np.int64],
    capacity: int,
    next_memory: NDArray[np.int64],
) -> Cells:
    """All cells of the end components: where a flow can stay for ever under some policy."""
    memories, outputs = next_memory.shape
    m, x, s, y = np.meshgrid(
        *(np.arange(size) for size in (memories, len(levels), capacity + 1, outputs)),
        indexing="ij",
    )
    after = s - levels[x] + y
    fits = (after >= 0) & (after <= capacity)
    shape = (memories, len(levels), capacity + 1)
    m, x, s, y, after = (column[fits] for column in (m, x, s, y, after))
    cells = Cells(transition, m, x, s, y, next_memory[m, y], after, shape, outputs)
    while True:
        graph = cells.moves(np.ones(len(cells.memory)))
        _, component = connected_components(graph.T, connection="strong")
        possible = transition[cells.place] > 0
        has_cell = np.zeros(graph.shape[0], np.bool_)
        has_cell[cells.leaves] = True
        inside = (component[cells.enters] == component[cells.leaves][:, None]) & has_cell[
            cells.enters
        ]
        kept = np.all(inside | ~possible, axis=1)
        if kept.all():
            return cells
        cells = cells.only(kept)


def stationary(
    cells: Cells, chances: NDArray[np.float64], start: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Shape (rows,): the law of (m, x, s) in the long run, from `start`, under q by cell.

    Inverse iteration: (1 + e - P)^-1 keeps what P leaves alone and shrinks the rest by e.
    """
    used = np.zeros(len(start), np.bool_)
    used[cells.leaves] = True
    moves = cells.moves(chances)[used][:, used]
    factors = splu(sp.identity(moves.shape[0], format="csc") * (1 + RESOLVENT) - moves)
    law = start[used]
    for _ in range(3):
        law = np.maximum(factors.solve(law), 0)
        law /= law.sum()
    out = np.zeros(len(start))
    out[used] = law
    return out


def even_flow(cells: Cells) -> NDArray[np.float64]:
    """The flow of the policy that takes every cell of a row with the same probability."""
    rows = int(np.prod(cells.shape))
    choices = np.bincount(cells.leaves, minlength=rows)
    chances = 1.0 / choices[cells.leaves]
    return chances * stationary(cells, chances, np.where(choices > 0, 1.0, 0.0))[cells.leaves]


class Programme:
    """min sum phi over the stationary flows of some cells."""

    def __init__(self, cells: Cells) -> None:
        self.cells = cells
        memories, n, states = cells.shape
        keys = (cells.memory, cells.output, cells.next_state)
        group = np.ravel_multi_index(keys, (memories, cells.outputs, states))
        _, self.group = np.unique(group, return_inverse=True)
        groups = int(self.group.max()) + 1
        self.number = np.full((groups, n), -1)
        self.number[self.group, cells.place] = np.arange(len(group))
        self.present = self.number >= 0
        self.used, row = np.unique(cells.leaves, return_inverse=True)
        self.balance = self._balance(row)
        pairs = self.present[:, :, None] & self.present[:, None, :]
        self.blocks = np.nonzero(pairs)
        self.rows = self.number[self.blocks[0], self.blocks[1]]
        self.columns = self.number[self.blocks[0], self.blocks[2]]

    def _balance(self, row: NDArray[np.int64]) -> sp.csr_matrix:
        """Shape (used rows, cells): what leaves a row less what enters it."""
        cells, count = self.cells, len(row)
        shape = (len(self.used), count)
        leaving = sp.coo_matrix((np.ones(count), (row, np.arange(count))), shape=shape)
        masses = cells.transition[cells.place]
        seen = masses > 0
        entered = np.searchsorted(self.used, cells.enters[seen])
        columns = np.broadcast_to(np.arange(count)[:, None], masses.shape)[seen]
        entering = sp.coo_matrix((masses[seen], (entered, columns)), shape=shape)
        return (leaving - entering).tocsr()

    def gradient(
        self, flow: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(grad phi by cell, masses of (group, x') after the load has moved)."""
        before = np.where(self.present, flow[self.number], 0.0)
        after = before @ self.cells.transition
        logs = np.log(np.where(after > 0, after, 1.0)) @ self.cells.transition.T
        slope = np.log(np.where(self.present, before, 1.0)) - logs
        return slope[self.group, self.cells.place], after

    def bound(self, directions: NDArray[np.float64], multipliers: NDArray[np.float64]) -> float:
        """The lower bound that positive masses and multipliers of the used rows certify."""
        slope, _ = self.gradient(directions)
        return float((slope - self.balance.T @ multipliers).min())

    def solve(self, tolerance: float, deadline: Deadline = NEVER) -> Solution:
        """The flow, and a bound that is `tolerance` below its value where the arithmetic allows.

        Every flow and bound on the way is valid, so a deadline costs nothing but closeness.
        """
        flow = even_flow(self.cells)
        count = len(flow)
        multipliers = np.zeros(len(self.used))
        slack = np.full(count, 0.1)
        value, step = np.inf, 0
        rounds = deadline.share(_STEPS_SHARE).rounds()
        while step < _MOST_STEPS and deadline.left_s() > 0 and rounds.fits():
            slope, after = self.gradient(flow)
            reduced = slope - self.balance.T @ multipliers
            value = float(flow @ slope)
            if value - reduced.min() < tolerance / 2 or flow @ slack < tolerance / 8:
                break
            step += 1
            target = _CENTRING * (flow @ slack) / count
            moved = self._newton(flow, slack, reduced, after, target)
            if moved is None:
                break
            by_flow, by_multipliers = moved
            by_slack = (target - slack * by_flow) / flow - slack
            there = flow + _longest(flow, by_flow) * by_flow
            if np.abs(self.balance @ there).max() > _UNBALANCED:
                break
            longest = _longest(slack, by_slack)
            flow = there
            slack = slack + longest * by_slack
            multipliers = multipliers + longest * by_multipliers
        lower, directions, multipliers = self._polish(
            flow, multipliers, value - tolerance, deadline
        )
        return Solution(flow, directions, multipliers, lower, step)

    def _polish(
        self,
        flow: NDArray[np.float64],
        multipliers: NDArray[np.float64],
        enough: float,
        deadline: Deadline,
    ) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
        """(bound, directions, multipliers): value iteration, which never lowers the bound.

        Groups without mass have a gradient too, that of any direction; the best one solves a small
        convex problem, by v <- exp(b + Q log(Q^T v)), normalised, with b the difference of the
        multipliers. With these gradients as costs, multipliers are relative values.
        """
        cells = self.cells
        log_directions = np.log(flow)
        row = np.searchsorted(self.used, cells.leaves)
        order = np.argsort(row, kind="stable")
        starts = np.searchsorted(row[order], np.arange(len(self.used)))
        best = (-np.inf, np.exp(log_directions), multipliers)
        sweep, rounds = 0, deadline.rounds()
        while rounds.fits() and sweep < _MOST_SWEEPS and best[0] < enough:
            sweep += 1
            differs = self.balance.T @ multipliers
            for _ in range(_INNER):
                directions = self._normalised(log_directions)
                slope, _ = self.gradient(directions)
                log_directions = np.log(directions) + differs - slope
            directions = self._normalised(log_directions)
            slope, _ = self.gradient(directions)
            reduced = slope - differs
            if reduced.min() > best[0]:
                best = (float(reduced.min()), directions, multipliers)
            least = np.minimum.reduceat(reduced[order], starts)
            multipliers = multipliers + 0.5 * (least - least.min())
        return best

    def _normalised(self, logs: NDArray[np.float64]) -> NDArray[np.float64]:
        """exp(logs), with greatest entry 1 in each group, and none below a floor."""
        by_group = np.where(self.present, logs[self.number], -np.inf)
        less = logs - by_group.max(1)[self.group]
        return np.asarray(np.exp(np.maximum(less, _LEAST_LOG)))

    def _newton(
        self,
        flow: NDArray[np.float64],
        slack: NDArray[np.float64],
        reduced: NDArray[np.float64],
        after: NDArray[np.float64],
        target: float,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """Steps of the flow and the multipliers; None where the factor cannot be formed."""
        inverse = self._inverse_hessian(flow, slack, after)
        rows = sp.vstack([self.balance, sp.csr_matrix(np.ones(len(flow)))]).tocsr()
        short = -np.append(self.balance @ flow, flow.sum() - 1.0)
        right = target / flow - reduced
        through = rows @ inverse
        schur = (through @ rows.T).toarray()
        scale = 1.0 / np.sqrt(np.maximum(schur.diagonal(), 1e-300))
        schur *= scale[:, None] * scale
        schur[np.diag_indices(len(schur))] += _REGULAR
        try:
            factor = scipy.linalg.cho_factor(schur, overwrite_a=True, check_finite=False)
        except scipy.linalg.LinAlgError:
            return None
        found = scale * scipy.linalg.cho_solve(factor, scale * (through @ right - short))
        by_flow = inverse @ (right - rows.T @ found)
        if not np.isfinite(by_flow).all():
            return None
        return by_flow, -found[:-1]

    def _inverse_hessian(
        self, flow: NDArray[np.float64], slack: NDArray[np.float64], after: NDArray[np.float64]
    ) -> sp.csr_matrix:
        """Of the Lagrangian with the barrier, a block for each group.

        A block is scaled by the roots of its flows first, which keeps it well conditioned.
        """
        n = self.cells.shape[1]
        roots = np.where(self.present, np.sqrt(np.where(self.present, flow[self.number], 1.0)), 0.0)
        over = np.where(after > 0, 1.0 / np.where(after > 0, after, 1.0), 0.0)
        part = roots[:, :, None] * self.cells.transition[None]
        block = -(part * over[:, None, :]) @ part.transpose(0, 2, 1)
        diagonal = np.where(self.present, 1.0 + slack[self.number], 1.0)
        block[:, np.arange(n), np.arange(n)] += diagonal
        inverse = np.linalg.inv(block) * roots[:, :, None] * roots[:, None, :]
        entries = (inverse[self.blocks], (self.rows, self.columns))
        return sp.csr_matrix(entries, shape=(len(flow), len(flow)))


def _longest(values: NDArray[np.float64], by: NDArray[np.float64]) -> float:
    """The part of a step that keeps the values positive."""
    falls = by < 0
    if not falls.any():
        return 1.0
    return float(min(1.0, _TO_BOUNDARY * np.min(values[falls] / -by[falls])))
