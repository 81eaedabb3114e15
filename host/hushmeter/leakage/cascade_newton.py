"""One start of the cascade's minimisation: a primal-dual interior-point Newton method.

All steps stay in the span of the basis, so every iterate is an invariant policy; positivity is kept
by a logarithmic barrier with multipliers of its own. Where the reduced Hessian is not positive
definite (the problem is not convex) a multiple of the identity is added until it is, so each step
goes down and the end is a local minimum, to the rounding level, not a saddle that one passed by.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hushmeter.compiler import compiled
from hushmeter.leakage.cascade_kernels import derivatives, value

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

LAST_BARRIER = 1e-12
_FIRST_BARRIER = 1e-2
_MOST_STEPS = 200
_TO_THE_EDGE = 0.995
_ARMIJO = 1e-4


@compiled
def _factor(matrix: Floats, factor: Floats) -> bool:
    """Cholesky's lower factor; False where the matrix is not safely positive definite."""
    size = matrix.shape[0]
    largest = 0.0
    for i in range(size):
        largest = max(largest, abs(matrix[i, i]))
    for i in range(size):
        for j in range(i + 1):
            rest = matrix[i, j]
            for k in range(j):
                rest -= factor[i, k] * factor[j, k]
            if i == j:
                if not rest > 1e-14 * largest:
                    return False
                factor[i, i] = np.sqrt(rest)
            else:
                factor[i, j] = rest / factor[j, j]
    return True


@compiled
def _direction(matrix: Floats, slope: Floats) -> Floats:
    """-(matrix + shift)^-1 slope, the shift the least of a rising sequence that descends."""
    size = len(slope)
    factor = np.zeros((size, size))
    largest = 1e-8
    for i in range(size):
        largest = max(largest, abs(matrix[i, i]))
    shift = 0.0
    while not _factor(matrix, factor):
        grown = max(4 * shift, 1e-6 * largest)
        for i in range(size):
            matrix[i, i] += grown - shift
        shift = grown
    step = -slope
    for i in range(size):
        for k in range(i):
            step[i] -= factor[i, k] * step[k]
        step[i] /= factor[i, i]
    for i in range(size - 1, -1, -1):
        for k in range(i + 1, size):
            step[i] -= factor[k, i] * step[k]
        step[i] /= factor[i, i]
    return step


@compiled
def _across(columns: Integers, places: Integers, entries: Floats, vector: Floats) -> Floats:
    """Z^T vector."""
    found = np.zeros(len(columns) - 1)
    for column in range(len(found)):
        for at in range(columns[column], columns[column + 1]):
            found[column] += entries[at] * vector[places[at]]
    return found


@compiled
def _along(columns: Integers, places: Integers, entries: Floats, step: Floats, size: int) -> Floats:
    """Z step."""
    found = np.zeros(size)
    for column in range(len(step)):
        for at in range(columns[column], columns[column + 1]):
            found[places[at]] += entries[at] * step[column]
    return found


@compiled
def _reduced(columns: Integers, places: Integers, entries: Floats, hessian: Floats) -> Floats:
    """Z^T hessian Z; in loops of its own, as a library's threads cost more than they gain here."""
    size = len(columns) - 1
    found = np.zeros((size, size))
    for column in range(size):
        row = np.zeros(len(hessian))
        for at in range(columns[column], columns[column + 1]):
            row += entries[at] * hessian[places[at]]
        found[column] = _across(columns, places, entries, row)
    return found


@compiled
def _largest_step(masses: Floats, step: Floats) -> float:
    most = 1.0
    for place in range(len(step)):
        if step[place] < 0:
            most = min(most, -_TO_THE_EDGE * masses[place] / step[place])
    return most


@compiled
def descend(
    first: Floats, index: Integers, owner: Integers, law: Floats,
    columns: Integers, places: Integers, entries: Floats,
) -> tuple[Floats, float, int]:  # fmt: skip
    """(masses, value in nats without 2 H(P), steps) of a local minimum.

    Parameters
    ----------
    first:
        Shape (policies, variables), invariant policies, above 0.
    columns, places, entries:
        The basis Z, of shape (policies * variables, freedoms), by columns: those of a column are
        at places[columns[i] : columns[i + 1]].

    The rest as for :func:`hushmeter.leakage.cascade_kernels.value`.
    """
    shape = first.shape
    masses = first.copy().ravel()
    barrier = _FIRST_BARRIER / len(masses)
    duals = barrier / masses
    steps, now = 0, 0.0
    while steps < _MOST_STEPS:
        steps += 1
        now, gradient, hessian = derivatives(masses.reshape(shape), index, owner, law)
        while barrier > LAST_BARRIER:
            off = np.abs(_across(columns, places, entries, gradient - duals)).max()
            gap = np.abs(masses * duals - barrier).max()
            if max(off, gap) > 5 * barrier:
                break
            barrier = max(LAST_BARRIER, min(0.2 * barrier, barrier**1.5))
        slope = _across(columns, places, entries, gradient - barrier / masses)
        if barrier == LAST_BARRIER and np.abs(slope).max() < 1e-9:
            break
        for place in range(len(masses)):
            hessian[place, place] += duals[place] / masses[place]
        inner = _direction(_reduced(columns, places, entries, hessian), slope)
        step = _along(columns, places, entries, inner, len(masses))
        dual_step = barrier / masses - duals - duals / masses * step
        fall = (slope * inner).sum()
        length = _search(masses, step, now, barrier, fall, shape, index, owner, law)
        if length == 0:
            if barrier == LAST_BARRIER:
                break
            barrier = max(LAST_BARRIER, 0.1 * barrier)
            continue
        masses += length * step
        duals += _largest_step(duals, dual_step) * dual_step
        for place in range(len(masses)):
            middle = barrier / masses[place]
            duals[place] = min(max(duals[place], 1e-8 * middle), 1e8 * middle)
    return masses.reshape(shape), now, steps


@compiled
def _search(
    masses: Floats, step: Floats, now: float, barrier: float, slope: float,
    shape: tuple[int, int], index: Integers, owner: Integers, law: Floats,
) -> float:  # fmt: skip
    """The length of the step that lessens value and barrier as the slope promises; 0 if none."""
    length = _largest_step(masses, step)
    while length > 1e-12:
        tried = masses + length * step
        then = value(tried.reshape(shape), index, owner, law)
        for place in range(len(masses)):
            then -= barrier * np.log(tried[place] / masses[place])
        if then <= now + _ARMIJO * length * slope + 1e-15:
            return length
        length *= 0.5
    return 0.0
