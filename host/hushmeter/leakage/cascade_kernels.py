"""Theorem 1's bound for n batteries in series, with gradient and Hessian, in nats.

Liu, Lee and Khisti's bound (10) is I(S_1, ..., S_n, X; Y) of one step. With the masses M_i of
:mod:`hushmeter.leakage.cascade_space` and D = diag(1 / P), the joint law of all states, load and
draw is a product along the chain,

    Pi(s_1, ..., s_n, x, y) = [M_1(s_1) D M_2(s_2) D ... M_n(s_n)](x, y),

linear in each battery's masses, and since P_Y = P_X the bound is

    sum Pi ln Pi + sum_i H(theta_i) + 2 H(P)

with everything inside linear in M_i too: convex in the masses of one battery while the others stay,
though not in all together. The terms in P alone are left to the caller.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hushmeter.compiler import compiled

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@compiled
def _chain(
    config: int, masses: Floats, index: Integers, owner: Integers, law: Floats
) -> tuple[Integers, Floats, Floats, Floats]:
    """States of a configuration, prefix products, suffix products, and their product Pi.

    left[i] is M_1 D ... M_{i-1} D, right[i] is D M_{i+1} ... D M_n; identities at the ends.
    """
    batteries, states, levels = len(owner), index.shape[0], index.shape[1]
    at = np.empty(batteries, np.int64)
    for i in range(batteries - 1, -1, -1):
        at[i] = config % states
        config //= states
    left = np.zeros((batteries + 1, levels, levels))
    right = np.zeros((batteries, levels, levels))
    for a in range(levels):
        left[0, a, a] = 1.0
        right[batteries - 1, a, a] = 1.0
    variables = masses.shape[1]
    for i in range(batteries):
        own = masses[owner[i]]
        for a in range(levels):
            for b in range(levels):
                place = index[at[i], a, b]
                if place < 0 or place >= variables:
                    continue
                scale = 1.0 if i == batteries - 1 else 1 / law[b]
                for x in range(levels):
                    left[i + 1, x, b] += left[i, x, a] * own[place] * scale
    for i in range(batteries - 2, -1, -1):
        own = masses[owner[i + 1]]
        for a in range(levels):
            for b in range(levels):
                place = index[at[i + 1], a, b]
                if place < 0:
                    continue
                for y in range(levels):
                    right[i, a, y] += own[place] * right[i + 1, b, y] / law[a]
    return at, left, right, left[batteries]


@compiled
def value(masses: Floats, index: Integers, owner: Integers, law: Floats) -> float:
    """The bound in nats without 2 H(P).

    Parameters
    ----------
    masses:
        Shape (policies, variables), above 0.
    index:
        Shape (states, levels, levels).
    owner:
        Shape (batteries,): which policy a battery has.
    law:
        Shape (levels,).
    """
    total = 0.0
    for config in range(index.shape[0] ** len(owner)):
        joint = _chain(config, masses, index, owner, law)[3]
        for mass in joint.ravel():
            if mass > 0:
                total += mass * np.log(mass)
    theta = _thetas(masses, index)
    for i in range(len(owner)):
        for mass in theta[owner[i]]:
            if mass > 0:
                total -= mass * np.log(mass)
    return total


@compiled
def _thetas(masses: Floats, index: Integers) -> Floats:
    theta = np.zeros((masses.shape[0], index.shape[0]))
    for s in range(index.shape[0]):
        for place in index[s].ravel():
            if place >= 0:
                for j in range(masses.shape[0]):
                    theta[j, s] += masses[j, place]
    return theta


@compiled
def derivatives(
    masses: Floats, index: Integers, owner: Integers, law: Floats
) -> tuple[float, Floats, Floats]:
    """`value`, its gradient and its Hessian over all masses, policy after policy."""
    size = masses.size
    gradient, hessian = np.zeros(size), np.zeros((size, size))
    total = 0.0
    for config in range(index.shape[0] ** len(owner)):
        total += _add_configuration(config, masses, index, owner, law, gradient, hessian)
    total += _add_states(masses, index, owner, gradient, hessian)
    return total, gradient, hessian


@compiled
def _add_states(
    masses: Floats, index: Integers, owner: Integers, gradient: Floats, hessian: Floats
) -> float:
    """The entropies of the batteries' states."""
    variables, total = masses.shape[1], 0.0
    theta = _thetas(masses, index)
    for i in range(len(owner)):
        first = owner[i] * variables
        for s in range(index.shape[0]):
            mass = theta[owner[i], s]
            total -= mass * np.log(mass)
            for one in index[s].ravel():
                if one < 0:
                    continue
                gradient[first + one] -= np.log(mass) + 1
                for other in index[s].ravel():
                    if other >= 0:
                        hessian[first + one, first + other] -= 1 / mass
    return total


@compiled
def _add_configuration(
    config: int, masses: Floats, index: Integers, owner: Integers, law: Floats,
    gradient: Floats, hessian: Floats,
) -> float:  # fmt: skip
    """Adds sum_(x, y) Pi ln Pi of one configuration of states, and its derivatives."""
    batteries, levels, variables = len(owner), index.shape[1], masses.shape[1]
    at, left, right, joint = _chain(config, masses, index, owner, law)
    places = np.empty(batteries * levels * levels, np.int64)
    slopes = np.empty(batteries * levels * levels)
    total = 0.0
    for x in range(levels):
        for y in range(levels):
            mass = joint[x, y]
            if mass <= 0:
                continue
            logarithm = np.log(mass)
            total += mass * logarithm
            count = 0
            for i in range(batteries):
                first = owner[i] * variables
                for a in range(levels):
                    if left[i, x, a] == 0:
                        continue
                    for b in range(levels):
                        place = index[at[i], a, b]
                        if place >= 0 and right[i, b, y] != 0:
                            places[count] = first + place
                            slopes[count] = left[i, x, a] * right[i, b, y]
                            count += 1
            for p in range(count):
                gradient[places[p]] += (logarithm + 1) * slopes[p]
                for q in range(count):
                    hessian[places[p], places[q]] += slopes[p] * slopes[q] / mass
    _add_pairs(at, left, right, joint, masses, index, owner, law, hessian)
    return total


@compiled
def _add_pairs(
    at: Integers, left: Floats, right: Floats, joint: Floats, masses: Floats, index: Integers,
    owner: Integers, law: Floats, hessian: Floats,
) -> None:  # fmt: skip
    """Adds what comes from Pi being a product: (ln Pi + 1) times its mixed derivatives."""
    batteries, levels = len(owner), index.shape[1]
    for i in range(batteries - 1):
        between = np.diag(1 / law)
        for j in range(i + 1, batteries):
            for a in range(levels):
                for d in range(levels):
                    weight = _outside(left[i, :, a], right[j, d], joint)
                    if weight != 0:
                        outputs, inputs = index[at[i], a], index[at[j], :, d]
                        first = owner[i] * masses.shape[1], owner[j] * masses.shape[1]
                        _add_block(weight, between, outputs, inputs, first, hessian)
            between = _onwards(between, masses[owner[j]], index[at[j]], law)


@compiled
def _outside(before: Floats, behind: Floats, joint: Floats) -> float:
    """sum over load x and draw y of before(x) (ln Pi(x, y) + 1) behind(y)."""
    weight = 0.0
    for x in range(len(before)):
        for y in range(len(behind)):
            if before[x] != 0 and behind[y] != 0 and joint[x, y] > 0:
                weight += before[x] * (np.log(joint[x, y]) + 1) * behind[y]
    return weight


@compiled
def _add_block(
    weight: float, between: Floats, outputs: Integers, inputs: Integers, first: tuple[int, int],
    hessian: Floats,
) -> None:  # fmt: skip
    """Adds weight between(b, c) for output b of one battery and input c of a later one, twice."""
    for b in range(len(outputs)):
        for c in range(len(inputs)):
            if outputs[b] >= 0 and inputs[c] >= 0:
                p, q = first[0] + outputs[b], first[1] + inputs[c]
                hessian[p, q] += weight * between[b, c]
                hessian[q, p] += weight * between[b, c]


@compiled
def _onwards(between: Floats, own: Floats, index: Integers, law: Floats) -> Floats:
    """between M D: the product grows by one battery."""
    found = np.zeros(between.shape)
    for c in range(len(law)):
        for d in range(len(law)):
            if index[c, d] >= 0:
                for row in range(between.shape[0]):
                    found[row, d] += between[row, c] * own[index[c, d]] / law[d]
    return found
