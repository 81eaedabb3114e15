"""The invariant policies of one battery as a polytope.

A policy is kept as its joint masses M(s, x, w) = theta(s) P(x) q(w | x, s). It is invariant (Liu,
Lee, Khisti, eqs. 8 and 9) when the state after a step is again theta and independent of the
output, which forces P_W = P_X. With u = s - x = s' - w the masses fall into blocks M_u(x, w), each
a coupling of the vector theta(u + x) P(x) with itself:

    sum_w M_u(x, w) = theta(u + x) P(x),    sum_x M_u(x, w) = theta(u + w) P(w),    M >= 0.

All of it is linear in M, for theta is a marginal of M.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hushmeter.leakage.policy import Policy, memoryless

Floats = NDArray[np.float64]

_SINKHORN_ROUNDS = 200
_SINKHORN_CLOSE = 1e-13


@dataclass(frozen=True)
class Space:
    """Coordinates of the policies of one battery; levels with probability zero are left out.

    Attributes
    ----------
    law:
        Shape (k,): probabilities of the levels that occur.
    levels:
        Shape (k,): those levels.
    index:
        Shape (capacity + 1, k, k): place of (s, x, w) among the variables, -1 where infeasible.
    basis:
        Shape (variables, freedoms): spans what may change in M; a column has few entries.
    alphabet:
        Number of levels, those with probability zero included.
    """

    law: Floats
    levels: NDArray[np.int64]
    index: NDArray[np.int64]
    basis: Floats
    alphabet: int

    @property
    def capacity(self) -> int:
        """The highest state."""
        return int(self.index.shape[0]) - 1

    @property
    def variables(self) -> int:
        """How many masses there are."""
        return int(self.basis.shape[0])

    @cached_property
    def orthonormal(self) -> Floats:
        """The span of `basis` with orthonormal columns."""
        return np.asarray(np.linalg.qr(self.basis)[0])

    def dense(self, masses: Floats) -> Floats:
        """Masses as an array of shape (states, k, k), zero where infeasible."""
        return np.where(self.index >= 0, masses[self.index], 0.0)

    def flat(self, dense: Floats) -> Floats:
        """The opposite of `dense`."""
        masses = np.zeros(self.variables)
        masses[self.index[self.index >= 0]] = dense[self.index >= 0]
        return masses

    def policy(self, masses: Floats, name: str) -> Policy:
        """q(w | x, s) on the whole alphabet; where nothing ever happens, w = x."""
        dense = self.dense(masses)
        theta = dense.sum((1, 2))
        states = self.capacity + 1
        draws = np.zeros((states, self.alphabet, self.alphabet))
        draws[:, np.arange(self.alphabet), np.arange(self.alphabet)] = 1.0
        rows = dense.sum(2)
        for s, place in zip(*np.nonzero(rows > 0), strict=True):
            row = dense[s, place] / rows[s, place]
            draws[s, self.levels[place]] = 0.0
            draws[s, self.levels[place], self.levels] = row / row.sum()
        return memoryless(draws, theta / theta.sum(), name)

    def masses(self, chosen: Policy) -> Floats:
        """The masses of a memoryless policy on this alphabet."""
        rows = chosen.draws[0][:, self.levels][:, :, self.levels]
        return self.flat(chosen.initial[0][:, None, None] * self.law[:, None] * rows)


def make(law: Floats, capacity: int) -> Space:
    """Coordinates for a load Pr[X = 0, 1, ...] = law and a battery of states 0..capacity."""
    levels = np.flatnonzero(law > 0)
    after = np.arange(capacity + 1)[:, None, None] - levels[:, None] + levels
    feasible = (after >= 0) & (after <= capacity)
    index = np.full(feasible.shape, -1, dtype=np.int64)
    index[feasible] = np.arange(np.count_nonzero(feasible))
    return Space(law[levels], levels, index, _basis(index, levels, law[levels]), len(law))


def _basis(index: NDArray[np.int64], levels: NDArray[np.int64], law: Floats) -> Floats:
    """What invariant masses may differ by, a column each.

    Theta moves from a state to the next one while w = x; and in the block of u = s - x four masses
    at neighbouring inputs and outputs change by +, -, -, +, which keeps all marginals.
    """
    states, count, _ = index.shape
    columns: list[list[tuple[int, float]]] = [
        [
            (int(index[s + up, x, x]), sign * law[x])
            for up, sign in ((0, 1.0), (1, -1.0))
            for x in range(count)
        ]
        for s in range(states - 1)
    ]
    for u in range(-int(levels[-1]), states):
        inside = np.flatnonzero((u + levels >= 0) & (u + levels < states))
        for x, next_x in itertools.pairwise(inside):
            for w, next_w in itertools.pairwise(inside):
                corners = ((x, w, 1.0), (x, next_w, -1.0), (next_x, w, -1.0), (next_x, next_w, 1.0))
                columns.append([(int(index[u + levels[a], a, b]), sign) for a, b, sign in corners])
    basis = np.zeros((int(index.max()) + 1, len(columns)))
    for number, column in enumerate(columns):
        for place, value in column:
            basis[place, number] += value
    return basis


def constraints(index: NDArray[np.int64], levels: NDArray[np.int64], law: Floats) -> Floats:
    """Rows whose product with M is zero for invariant policies, and last the sum of M.

    theta(s) is the sum of M(s, ., .), so every equation is in M alone.
    """
    states, count, _ = index.shape
    total = int(index.max()) + 1
    theta = np.zeros((states, total))
    before = np.zeros((states, count, total))
    after = np.zeros((states, count, total))
    for s, x, w in zip(*np.nonzero(index >= 0), strict=True):
        place = index[s, x, w]
        theta[s, place] = 1.0
        before[s, x, place] = 1.0
        after[s - levels[x] + levels[w], w, place] = 1.0
    expected = theta[:, None] * law[None, :, None]
    rows = [before - expected, after - expected, np.ones((1, 1, total))]
    return np.concatenate([part.reshape(-1, total) for part in rows])


def random_masses(
    space: Space, theta: Floats, generator: np.random.Generator, spread: float
) -> Floats:
    """A policy inside the polytope: in each block a random matrix scaled to its marginals.

    `spread` 0 gives the independent coupling, which is optimal for one battery (Li, Khisti,
    Mahajan); larger ones reach further towards the edges.
    """
    shape = space.index.shape[1:]
    couplings = [
        _couplings(space, theta, np.exp(reach * generator.standard_normal(shape)))
        for reach in (0.0, spread)
    ]
    inside, step = couplings[0], couplings[1] - couplings[0]
    # Rounding, and scalings that were cut short, leave the polytope by a little.
    step = space.orthonormal @ (space.orthonormal.T @ step)
    falling = step < 0
    most = np.min(-inside[falling] / step[falling], initial=np.inf)
    masses: Floats = inside + min(1.0, 0.98 * most) * step
    return masses


def _couplings(space: Space, theta: Floats, kernel: Floats) -> Floats:
    """Masses whose block for each u = s - x is the kernel, scaled to the block's marginals."""
    dense = np.zeros(space.index.shape)
    places = np.arange(len(space.levels))
    for u in range(-int(space.levels[-1]), space.capacity + 1):
        inside = places[(u + space.levels >= 0) & (u + space.levels <= space.capacity)]
        if not len(inside):
            continue
        states = u + space.levels[inside]
        marginal = theta[states] * space.law[inside]
        block = kernel[np.ix_(inside, inside)] * marginal
        dense[states[:, None], inside[:, None], inside[None, :]] = _scaled(block, marginal)
    return space.flat(dense)


def _scaled(kernel: Floats, marginal: Floats) -> Floats:
    """diag(a) kernel diag(b) with both marginals equal to `marginal` (Sinkhorn's iteration)."""
    right = np.ones(len(marginal))
    for _ in range(_SINKHORN_ROUNDS):
        left = marginal / (kernel @ right)
        new = marginal / (kernel.T @ left)
        if np.all(np.abs(new - right) <= _SINKHORN_CLOSE * new):
            break
        right = new
    # Rows fit exactly; `random_masses` takes what is left over of the columns away.
    return left[:, None] * kernel * right
