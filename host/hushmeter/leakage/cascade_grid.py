"""A certified rate of batteries in series over many steps: beliefs split onto a grid.

h(Y | X) is the mean of H(Y | X, b) over the beliefs b that somebody has of the hidden states who
sees all loads and draws. There are endlessly many such beliefs; but if he is told more, the entropy
falls, so that h(Y) - H(Y | X, told) is still at least the rate. Here he is told, after each step,
which grid point g_i is meant, drawn with the weights of b = sum_i lambda_i g_i, where the g_i are
the corners of the grid's simplex around b (Freudenthal's triangulation). His beliefs then stay on
the grid, a finite Markov chain. On a grid of 1 he is told the states, which is Theorem 1; the cost
of a finer one falls with the square of its width.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from hushmeter.compiler import compiled

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_ROUND_STEPS = 16
_MOST_ROUNDS = 120
_SETTLED = 1e-11
_VALUES_SETTLED = 1e-6


@compiled
def _find(point: Integers, points: Integers, table: Integers, count: int) -> int:
    """The number of a grid point: an old one's, or `count`, which the table then holds."""
    size = len(table)
    code = np.uint64(1469598103934665603)
    for part in point:
        code = (code ^ np.uint64(part)) * np.uint64(1099511628211)
    code ^= code >> np.uint64(29)
    slot = int(np.int64(code % np.uint64(size)))
    while table[slot] >= 0:
        same = True
        for z in range(len(point)):
            if points[table[slot], z] != point[z]:
                same = False
                break
        if same:
            return int(table[slot])
        slot = slot + 1 if slot + 1 < size else 0
    table[slot] = count
    for z in range(len(point)):
        points[count, z] = point[z]
    return count


@compiled
def _corners(
    belief: Floats, fine: int, corners: Integers, weights: Floats, raised: Integers
) -> int:
    """The grid points around a belief and their weights; returns how many there are.

    In sums from the left the grid is that of whole numbers: their corner below, then one coordinate
    after the other is raised, the largest fraction first. raised[i] is the coordinate on the way
    to corner i; coordinates with equal fractions go together and the first one is named.
    """
    states = len(belief)
    whole, part = np.zeros(states, np.int64), np.zeros(states)
    above = 0.0
    for z in range(states):
        above += belief[z] * fine
        near = np.rint(above)
        if abs(above - near) < 1e-13 * fine:
            above = near
        whole[z] = int(np.floor(above))
        part[z] = above - whole[z]
    whole[states - 1], part[states - 1] = fine, 0.0
    order = np.argsort(-part, kind="mergesort")
    count, last, first_raised = 0, 1.0, -1
    for place in range(states + 1):
        next_part = part[order[place]] if place < states else 0.0
        if last - next_part > 0:
            before = 0
            for z in range(states):
                corners[count, z] = whole[z] - before
                before = whole[z]
            weights[count] = last - next_part
            raised[count] = first_raised
            first_raised = order[place] if place < states else -1
            count += 1
        if next_part == 0:
            break
        whole[order[place]] += 1
        last = next_part
    return count


@compiled
def explore(
    fine: int, most: int, first: Integers, arcs: Integers, head: Integers, chance: Floats
) -> tuple[Integers, Floats, Integers, Integers, Floats]:
    """The chain of grid beliefs that the hidden states themselves, told, lead to.

    Parameters
    ----------
    fine:
        Parts that a belief is divided in.
    most:
        Grid points that may be found.
    first, arcs, head, chance:
        As in :mod:`hushmeter.leakage.cascade_paths`, by load and draw.

    Returns
    -------
    (points, costs, tails, heads, weights):
        The grid points, the hidden states' own being the first ones, none at all if they are too
        many; the joint entropy of load and draw at each, nats; the moves between them.
    """
    groups, states = first.shape[0], first.shape[1] - 1
    points = np.zeros((most + states + 1, states), np.int64)
    table = np.full(4 * (most + states) + 16, -1)
    costs = np.zeros(most + states + 1)
    room = 1 << 14
    tails, heads = np.zeros(room, np.int64), np.zeros(room, np.int64)
    weights = np.zeros(room)
    corners, parts = np.zeros((states + 1, states), np.int64), np.zeros(states + 1)
    raised, child = np.zeros(states + 1, np.int64), np.zeros(states)
    for z in range(states):
        corners[0, :] = 0
        corners[0, z] = fine
        _find(corners[0], points, table, z)
    count, moves, done = states, 0, 0
    while done < count:
        for group in range(groups):
            mass = _follow(done, group, points, fine, first, arcs, head, chance, child)
            if mass <= 0:
                continue
            costs[done] -= mass * np.log(mass)
            found = _corners(child / mass, fine, corners, parts, raised)
            if moves + found > room:
                tails = np.concatenate((tails, np.zeros(room, np.int64)))
                heads = np.concatenate((heads, np.zeros(room, np.int64)))
                weights = np.concatenate((weights, np.zeros(room)))
                room *= 2
            for corner in range(found):
                number = _find(corners[corner], points, table, count)
                if number == count:
                    count += 1
                    if count > most + states:
                        return points[:0], costs[:0], tails[:0], heads[:0], weights[:0]
                tails[moves], heads[moves] = done, number
                weights[moves] = mass * parts[corner]
                moves += 1
        done += 1
    return points[:count], costs[:count], tails[:moves], heads[:moves], weights[:moves]


@compiled
def _follow(
    point: int, group: int, points: Integers, fine: int, first: Integers, arcs: Integers,
    head: Integers, chance: Floats, child: Floats,
) -> float:  # fmt: skip
    """Weights of the hidden states after a load and draw from a grid belief; returns their sum."""
    child[:] = 0.0
    for z in range(points.shape[1]):
        if points[point, z] > 0:
            for at in range(first[group, z], first[group, z + 1]):
                child[head[arcs[at]]] += points[point, z] / fine * chance[arcs[at]]
    return float(child.sum())


@compiled
def slopes(
    fine: int, points: Integers, heads: Integers, shares: Floats, values: Floats,
    first: Integers, arcs: Integers, head: Integers, chance: Floats,
) -> Floats:  # fmt: skip
    """Gradient of the mean cost over the arcs' chances.

    `shares` is the chain's long-run law and `values` its relative values, so that a change of the
    moves changes the mean by shares * (dcosts + dmoves values). Between grid points the values are
    interpolated linearly, by sums from the left, which is what has a gradient here.
    """
    groups, states = first.shape[0], first.shape[1] - 1
    corners, parts = np.zeros((states + 1, states), np.int64), np.zeros(states + 1)
    raised, child = np.zeros(states + 1, np.int64), np.zeros(states)
    below, found_slope = np.zeros(states), np.zeros(len(chance))
    moves = 0
    for point in range(len(points)):
        for group in range(groups):
            mass = _follow(point, group, points, fine, first, arcs, head, chance, child)
            if mass <= 0:
                continue
            found = _corners(child / mass, fine, corners, parts, raised)
            below[:] = 0.0
            for corner in range(1, found):
                step = values[heads[moves + corner]] - values[heads[moves + corner - 1]]
                below[raised[corner]] = step
            constant = -np.log(mass) - 1
            for corner in range(found):
                constant += parts[corner] * values[heads[moves + corner]]
            moves += found
            above = 0.0
            for z in range(states):
                above += child[z] / mass
                constant -= below[z] * fine * above
            tail_sum = 0.0
            for z in range(states - 1, -1, -1):
                tail_sum += below[z]
                below[z] = constant + fine * tail_sum
            for z in range(states):
                if points[point, z] > 0:
                    weight = shares[point] * points[point, z] / fine
                    for at in range(first[group, z], first[group, z + 1]):
                        found_slope[arcs[at]] += weight * below[head[arcs[at]]]
    return found_slope


def told_entropy(
    fine: int, most: int, by_pair: tuple[Integers, Integers], head: Integers, chance: Floats,
    law: Floats, *, with_slope: bool = False,
) -> tuple[float, Floats] | None:  # fmt: skip
    """At most the entropy rate of loads and draws together, nats, and its gradient over chances.

    `law` is the stationary law of the hidden states. The value after any number of steps is a
    bound, settled or not. None if the grid has more than `most` points; no gradient is empty.
    """
    points, costs, tails, heads, weights = explore(fine, most, *by_pair, head, chance)
    if not len(points):
        return None
    shape = (len(points), len(points))
    forward = sparse.csr_array((weights, (heads, tails)), shape=shape)
    shares = np.zeros(len(points))
    shares[: len(law)] = law
    shares = _settled(forward, shares, costs)
    mean = float(shares @ costs)
    if not with_slope:
        return mean, np.zeros(0)
    backward = sparse.csr_array((weights, (tails, heads)), shape=shape)
    values = _relative_values(backward, costs, mean)
    return mean, slopes(fine, points, heads, shares, values, *by_pair, head, chance)


def _settled(forward: sparse.csr_array, shares: Floats, costs: Floats) -> Floats:
    value = float(shares @ costs)
    for _ in range(_MOST_ROUNDS):
        for _ in range(_ROUND_STEPS):
            shares = forward @ shares
        shares /= shares.sum()
        before, value = value, float(shares @ costs)
        if abs(value - before) < _SETTLED:
            break
    return shares


def _relative_values(backward: sparse.csr_array, costs: Floats, mean: float) -> Floats:
    values = costs - mean
    for _ in range(_MOST_ROUNDS):
        before = values
        for _ in range(_ROUND_STEPS):
            values = costs - mean + backward @ values
        values = values - values[0]
        if np.abs(values - before + before[0]).max() < _VALUES_SETTLED:
            break
    return values
