"""What batteries in series leak at most, certified by following every path of a few steps.

The leakage rate of stationary policies is h(Y) - h(Y | X), and for every k

    h(Y)     <= H(Y_k | Y_1 ... Y_{k-1}, M_1)                       M: what outputs alone decide
    h(Y | X) >= H(Y_k | Y_1 ... Y_{k-1}, X_1 ... X_k, Z_1)          Z: all states and memories

for what is conditioned on is less, or more, than the whole past. So the difference bounds the rate
from above, falling in both numbers of steps; Theorem 1 is the case of one step for invariant
policies, whose outputs are independent. Both sides are sums of p ln p over all paths of a tree, and
its gradient comes out of the same walk, backwards: at a node with weights a over the hidden states,
d(sum below)/da is the sum over its children of T d(sum below the child).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hushmeter.compiler import compiled

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@compiled
def _leave(
    depth: int, group: int, ahead: Floats, back: Floats, first: Integers, arcs: Integers,
    head: Integers, chance: Floats, slope: Floats,
) -> None:  # fmt: skip
    """Adds the gradient from the child that `group` leads to, to its parent and to the arcs."""
    for z in range(ahead.shape[1]):
        if ahead[depth, z] > 0:
            for at in range(first[group, z], first[group, z + 1]):
                arc = arcs[at]
                below = back[depth + 1, head[arc]]
                back[depth, z] += chance[arc] * below
                slope[arc] += ahead[depth, z] * below


@compiled
def _walk(
    most: int, ahead: Floats, back: Floats, first: Integers, arcs: Integers,
    head: Integers, chance: Floats, slope: Floats,
) -> float:  # fmt: skip
    """sum p ln p over paths of `most` steps less the same over those one step shorter.

    ahead[0] holds the weights of the hidden states before the first step, and back[0] gets the
    gradient with respect to them; the rows behind are of the nodes on the way. `slope` is added the
    gradient with respect to the arcs' chances.
    """
    turn = np.zeros(most + 1, np.int64)
    back[0, :] = 0.0
    total, depth = 0.0, 0
    while True:
        if depth == most or turn[depth] == first.shape[0]:
            # A leaf, or a node whose children are all done.
            if depth >= most - 1:
                mass, sign = ahead[depth].sum(), 1.0 if depth == most else -1.0
                total += sign * mass * np.log(mass)
                rise = sign * (np.log(mass) + 1)
                for z in range(back.shape[1]):
                    back[depth, z] += rise
            if depth == 0:
                return total
            depth -= 1
            _leave(depth, turn[depth] - 1, ahead, back, first, arcs, head, chance, slope)
            continue
        group = turn[depth]
        turn[depth] += 1
        ahead[depth + 1, :] = 0.0
        reached = 0.0
        for z in range(ahead.shape[1]):
            if ahead[depth, z] > 0:
                for at in range(first[group, z], first[group, z + 1]):
                    part = ahead[depth, z] * chance[arcs[at]]
                    ahead[depth + 1, head[arcs[at]]] += part
                    reached += part
        if reached > 0:
            depth += 1
            turn[depth] = 0
            back[depth, :] = 0.0


@compiled
def _solved(system: Floats, right: Floats) -> Floats:
    """system^-1 right, by elimination in loops of its own: a library's threads cost more here.

    Raises
    ------
    ValueError
        The system is singular.
    """
    size = len(right)
    rows, found = system.copy(), right.copy()
    for pivot in range(size):
        best = pivot
        for row in range(pivot + 1, size):
            if abs(rows[row, pivot]) > abs(rows[best, pivot]):
                best = row
        if abs(rows[best, pivot]) < 1e-14:
            raise ValueError("the hidden states fall apart into classes that never meet")
        if best != pivot:
            for column in range(size):
                kept = rows[pivot, column]
                rows[pivot, column] = rows[best, column]
                rows[best, column] = kept
            found[pivot], found[best] = found[best], found[pivot]
        for row in range(pivot + 1, size):
            factor = rows[row, pivot] / rows[pivot, pivot]
            if factor != 0:
                for column in range(pivot, size):
                    rows[row, column] -= factor * rows[pivot, column]
                found[row] -= factor * found[pivot]
    for row in range(size - 1, -1, -1):
        for column in range(row + 1, size):
            found[row] -= rows[row, column] * found[column]
        found[row] /= rows[row, row]
    return found


@compiled
def stationary(
    chance: Floats, tail: Integers, head: Integers, states: int
) -> tuple[Floats, Floats]:
    """The stationary law of the hidden states, and the matrix it solves: B law = 1.

    Raises
    ------
    ValueError
        There is more than one such law.
    """
    system, moves = np.ones((states, states)), np.zeros((states, states))
    for z in range(states):
        system[z, z] += 1.0
    for arc in range(len(chance)):
        system[head[arc], tail[arc]] -= chance[arc]
        moves[tail[arc], head[arc]] += chance[arc]
    law = _balanced(moves)
    if not law.sum() > 0:
        law = np.maximum(_solved(system, np.ones(states)), 0.0)
    return law / law.sum(), system


@compiled
def _balanced(moves: Floats) -> Floats:
    """The stationary law, not scaled, by Grassmann, Taksar and Heyman's elimination.

    It subtracts nothing, so every entry is accurate however slowly the states mix. Zeros, where
    states are left without a way to those before them.
    """
    states = len(moves)
    law = np.zeros(states)
    for last in range(states - 1, 0, -1):
        out = moves[last, :last].sum()
        if out <= 0:
            return law
        for z in range(last):
            moves[z, last] /= out
            if moves[z, last] > 0:
                for to in range(last):
                    moves[z, to] += moves[z, last] * moves[last, to]
    law[0] = 1.0
    for z in range(1, states):
        law[z] = (law[:z] * moves[:z, z]).sum()
    return law


@compiled
def pairs(
    law: Floats, first: Integers, arcs: Integers, head: Integers, chance: Floats, steps: int
) -> tuple[float, Floats, Floats]:
    """-H(X_k, Y_k | X_1 ... Y_{k-1}, Z_1), nats; gradients over the law of Z_1 and the chances.

    Parameters
    ----------
    law:
        Shape (states,): of the hidden states.
    first, arcs:
        The arcs of a (load, draw) and tail z: arcs[first[group, z] : first[group, z + 1]].
    head, chance:
        Shape (arcs,): the state after, and the probability given the state before.
    steps:
        k, at least 1.
    """
    states = len(law)
    ahead, back = np.zeros((steps + 1, states)), np.zeros((steps + 1, states))
    slope, slope_law, total = np.zeros(len(chance)), np.zeros(states), 0.0
    for z in range(states):
        if law[z] > 0:
            ahead[0, :] = 0.0
            ahead[0, z] = law[z]
            total += _walk(steps, ahead, back, first, arcs, head, chance, slope)
            slope_law[z] = back[0, z]
    return total, slope_law, slope


@compiled
def draws(
    law: Floats, known: Integers, first: Integers, arcs: Integers, head: Integers, chance: Floats,
    steps: int,
) -> tuple[float, Floats, Floats]:  # fmt: skip
    """-H(Y_k | Y_1 ... Y_{k-1}, M_1), as `pairs`; `known` says which M_1 a hidden state has."""
    states = len(law)
    ahead, back = np.zeros((steps + 1, states)), np.zeros((steps + 1, states))
    slope, slope_law, total = np.zeros(len(chance)), np.zeros(states), 0.0
    for what in range(known.max() + 1):
        for z in range(states):
            ahead[0, z] = law[z] if known[z] == what else 0.0
        if ahead[0].sum() > 0:
            total += _walk(steps, ahead, back, first, arcs, head, chance, slope)
            for z in range(states):
                if known[z] == what:
                    slope_law[z] = back[0, z]
    return total, slope_law, slope


@compiled
def chances(entries: Floats, uses: Integers, load_chance: Floats) -> Floats:
    """Of each arc: P(x) times the entries that it uses, shape (arcs,)."""
    found = load_chance.copy()
    for arc in range(len(found)):
        for battery in range(uses.shape[1]):
            found[arc] *= entries[uses[arc, battery]]
    return found


@compiled
def pulled_back(entries: Floats, uses: Integers, load_chance: Floats, slope: Floats) -> Floats:
    """A gradient over the arcs' chances as one over the entries."""
    gradient = np.zeros(len(entries))
    for arc in range(len(slope)):
        for battery in range(uses.shape[1]):
            part = slope[arc] * load_chance[arc]
            for other in range(uses.shape[1]):
                if other != battery:
                    part *= entries[uses[arc, other]]
            gradient[uses[arc, battery]] += part
    return gradient


@compiled
def through_law(
    system: Floats, law: Floats, slope_law: Floats, tail: Integers, head: Integers
) -> Floats:
    """What a gradient over the stationary law adds to that over the chances.

    B law = 1 with B = 1 1^T + I - T^T, so that d law = B^-1 dT^T law.
    """
    adjoint = _solved(system.T, slope_law)
    slope = np.zeros(len(tail))
    for arc in range(len(tail)):
        slope[arc] = law[tail[arc]] * adjoint[head[arc]]
    return slope
