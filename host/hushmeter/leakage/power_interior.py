"""The least I(X;Y) within a mean cost, whatever the outputs cost: interior points on the slope.

Inputs x of probability p_x > 0, outputs y at cost d_xy >= 0, infinite where x cannot give y; every
x has an output of cost 0. At slope s, with A_xy = exp(-s d_xy), the least of I + s E[d] is

    F(s)  =  the least over r >= 0, sum r = 1, of  -sum_x p_x ln (A r)_x
          =  the most over m > 0 with A^T m <= 1 of  sum_x p_x ln (m_x / p_x),

reached by q(y|x) = r_y A_xy / (A r)_x. With z = A r and t = 1 - A^T m both optimality conditions
are products, z_x m_x = p_x and r_y t_y = 0, of linear maps, so Newton steps towards them keep
r, m, z, t positive and both problems feasible at all times (a primal-dual path with weights).

F is concave and E[d] falls with s, so the slope is bracketed; mixing the two policies at the ends
of the bracket meets P exactly, also on a straight piece of I(P), where one slope has many powers.

**Certificate.** Upper: the leakage of the mixed q, computed from q alone. Lower: the dual value at
any slope less s P, with m divided by the largest entry of A^T m; it holds converged or not.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hushmeter.compiler import compiled

Floats = NDArray[np.float64]

_MOST_STEPS = 80
_MOST_SLOPES = 250
_TO_THE_WALL = 0.995
_NARROWED = 48
"""From so many outputs on, those that the slope before had no use for are tried last."""
_CURVED = 0.2
"""Part of the mean product that is kept as the target where the first step was stopped short."""


@compiled
def _room(values: Floats, moves: Floats, longest: float) -> float:
    """The longest step, at most `longest`, that keeps the values from falling below 0."""
    for i in range(len(values)):
        if moves[i] < 0.0:
            longest = min(longest, -values[i] / moves[i])
    return longest


@compiled
def path(law: Floats, kernel: Floats, gap: float) -> tuple[Floats, Floats, int]:
    """(r, m, steps) within `gap` nats of each other, for `kernel` = A, shape (inputs, outputs)."""
    inputs, outputs = kernel.shape
    across = np.ascontiguousarray(kernel.T)
    r = np.full(outputs, 1.0 / outputs)
    z = kernel @ r
    m = law / z
    m *= 0.5 / (across @ m).max()
    t = 1.0 - across @ m
    steps = 0
    while steps < _MOST_STEPS and (law * np.log(law / (m * z))).sum() + math.log(r.sum()) > gap:
        steps += 1
        scaled = kernel * np.sqrt(m / z).reshape((inputs, 1))
        matrix = scaled.T @ scaled
        for y in range(outputs):
            matrix[y, y] += t[y] / r[y]
        mean = (r * t).mean()
        target, second = 0.0, 0.0
        dr, dt, dz, dm = r, t, z, m
        for corrector in range(2):
            if corrector:
                wanted = (law - second * dm * dz) / z - m
                side = (target - second * dr * dt) / r - t
            else:
                wanted = law / z - m
                side = -t
            dr = np.linalg.solve(matrix, side + across @ wanted)
            dz = kernel @ dr
            dm = wanted - m * dz / z
            dt = -(across @ dm)
            wall = 1.0 / _TO_THE_WALL if corrector else 1.0
            length = _room(m, dm, _room(z, dz, _room(r, dr, _room(t, dt, wall))))
            if not corrector:
                after = ((r + length * dr) * (t + length * dt)).mean()
                target = mean * max((after / mean) ** 3, _CURVED * (1.0 - length))
                # The second order of a step that was stopped short says little.
                second = length**3
        length *= _TO_THE_WALL
        r = r + length * dr
        m = m + length * dm
        t = t + length * dt
        z = kernel @ r
    return r / r.sum(), m, steps


@compiled
def at_slope(
    law: Floats, kernel: Floats, kept: NDArray[np.bool_], gap: float
) -> tuple[Floats, float, float, int]:
    """(r, -sum p ln z, dual value, steps), nats.

    Of many outputs only the `kept` ones are tried first; then all are checked, and those with
    (A^T m)_y above 1 come in. `kept` leaves with the outputs that a slope nearby will need.
    """
    outputs = kernel.shape[1]
    steps = 0
    while True:
        places = np.flatnonzero(kept)
        part = np.ascontiguousarray(kernel[:, places])
        if part.sum(axis=1).min() <= 1e-200:
            kept[:] = True
            continue
        some, m, more = path(law, part, gap)
        steps += more
        reach = m @ kernel
        if math.log(reach.max()) <= gap or len(places) == outputs:
            break
        for y in range(outputs):
            kept[y] = kept[y] or reach[y] > 1.0
    r = np.zeros(outputs)
    r[places] = some
    if outputs >= _NARROWED:
        for y in range(outputs):
            kept[y] = r[y] > 1e-9 or reach[y] > 0.999
    bound = (law * np.log(m / law)).sum() - math.log(reach.max())
    return r, -(law * np.log(kernel @ r)).sum(), bound, steps


@compiled
def kernel_of(costs: Floats, slope: float) -> Floats:
    """exp(-slope * costs), 0 where a cost is infinite."""
    kernel = np.zeros(costs.shape)
    for x in range(costs.shape[0]):
        for y in range(costs.shape[1]):
            if costs[x, y] < math.inf:
                kernel[x, y] = math.exp(-slope * costs[x, y])
    return kernel


@compiled
def policy_of(kernel: Floats, r: Floats) -> Floats:
    """q(y|x)."""
    policy = kernel * r
    for x in range(len(policy)):
        policy[x] /= policy[x].sum()
    return policy


@compiled
def power_of(law: Floats, costs: Floats, policy: Floats) -> float:
    """E[d] of a policy."""
    total = 0.0
    for x in range(costs.shape[0]):
        for y in range(costs.shape[1]):
            if policy[x, y] > 0.0:
                total += law[x] * policy[x, y] * costs[x, y]
    return total


@compiled
def leakage_of(law: Floats, policy: Floats) -> float:
    """I(X;Y) of a policy in nats."""
    seen = law @ policy
    found = 0.0
    for x in range(policy.shape[0]):
        for y in range(policy.shape[1]):
            if policy[x, y] > 0.0:
                found += law[x] * policy[x, y] * math.log(policy[x, y] / seen[y])
    return found


@compiled
def _between(low: Floats, high: Floats, power: float, turn: int) -> float:
    """The next slope to look at, from (slope, power, F) at both ends of the bracket."""
    width = high[0] - low[0]
    middle = float(low[0] + width / 2)
    guess = middle
    if turn % 3 == 0 and high[1] > 0.0:  # as if ln(power) were linear in the slope
        guess = low[0] + width * math.log(low[1] / power) / math.log(low[1] / high[1])
    elif turn % 3 == 1 and low[1] > high[1]:  # where the tangents of F meet: right at a corner
        guess = (high[2] - low[2] + low[1] * low[0] - high[1] * high[0]) / (low[1] - high[1])
    if not low[0] + 1e-3 * width < guess < high[0] - 1e-3 * width:
        edge = low[0] if guess < middle else high[0]
        guess = edge + 1e-3 * (middle - edge)
    return float(guess)


@compiled
def solve(
    law: Floats, costs: Floats, power: float, gap: float
) -> tuple[Floats, float, float, float, float, int]:
    """(q, its leakage, its power, dual bound, slope, Newton steps); nats.

    Parameters
    ----------
    costs:
        Shape (inputs, outputs); finite ones of size about 1.
    power:
        P, above 0.
    """
    low, high = np.zeros(3), np.zeros(3)  # slope, power, F
    kernel, kept = kernel_of(costs, 0.0), np.ones(costs.shape[1], np.bool_)
    r, value, bound, steps = at_slope(law, kernel, kept, 0.1 * gap)
    policy = policy_of(kernel, r)
    low[1], low[2] = power_of(law, costs, policy), value
    low_policy, high_policy, slope = policy, policy, 0.0
    if low[1] <= power:
        return policy, leakage_of(law, policy), low[1], bound, 0.0, steps
    best, bracketed, slope = bound, False, 1.0 / power
    for turn in range(_MOST_SLOPES):
        kernel = kernel_of(costs, slope)
        r, value, bound, more = at_slope(law, kernel, kept, 0.1 * gap)
        policy = policy_of(kernel, r)
        drawn = power_of(law, costs, policy)
        steps += more
        best = max(best, bound - slope * power)
        if drawn > power:
            low[0], low[1], low[2], low_policy = slope, drawn, value, policy
        else:
            high[0], high[1], high[2], high_policy = slope, drawn, value, policy
            bracketed = True
        if not bracketed:
            slope *= 4.0
            continue
        share = (power - high[1]) / (low[1] - high[1])
        above = share * (low[2] - low[0] * low[1]) + (1 - share) * (high[2] - high[0] * high[1])
        if above - best < gap or high[0] - low[0] <= 1e-15 * high[0]:
            break
        slope = _between(low, high, power, turn)
    share = (power - high[1]) / (low[1] - high[1])
    policy = share * low_policy + (1.0 - share) * high_policy
    return policy, leakage_of(law, policy), power_of(law, costs, policy), best, slope, steps
