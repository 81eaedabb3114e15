"""The privacy-power function at a given slope, exactly, and the slope of a given power.

Levels v_0 < ... < v_n-1 with probabilities p_x > 0, output law r, slope s (nats per unit of power):
the least of I(X;Y) + s E[X - Y] over 0 <= Y <= X is the least over r of -sum_x p_x ln z_x with
z_x = sum_{y<=x} r_y exp(-s (v_x - v_y)). Write W_x = exp(s v_x) z_x. Then r >= 0 says that W does
not fall, sum r = 1 says that sum_x a_x W_x = 1 with a_x = exp(-s v_x) - exp(-s v_x+1) (the last one
without its second term), and what is to be made large is sum_x p_x ln W_x: isotonic regression of
p_x / a_x with weights a_x. Pooling adjacent violators solves it exactly in one pass (Barlow,
Bartholomew, Bremner, Brunk 1972), so a point where outputs vanish is no harder than any other:
levels that share a pool share an output, the lowest of them.

A pool b from level u_b to before the next, u_b + L_b, holds the probability P_b and has
W_b = exp(s u_b) P_b / (1 - exp(-s L_b)). The optimal law is Pr(Y <= u_k | X in b) = W_k / W_b: from
its own pool the output descends from pool to pool, each time with probability W_b-1 / W_b. Power,
entropies and the output's law follow pool by pool from sums of positive terms, without overflow.

The power falls continuously with the slope; the search for the slope ends on the certificate.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hushmeter.compiler import compiled

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_MOST_STEPS = 200


@compiled
def _spread(slope: float, length: float) -> float:
    """1 - exp(-slope * length); the last pool has no end."""
    return 1.0 if length == math.inf else -math.expm1(-slope * length)


@compiled
def pools(law: Floats, levels: Floats, slope: float, first: Ints, mass: Floats) -> int:
    """Fills the first level and the probability of each pool; returns how many there are."""
    n = len(law)
    count = 0
    for x in range(n):
        first[count], mass[count] = x, law[x]
        count += 1
        end = levels[x + 1] if x + 1 < n else math.inf
        while count > 1:
            low, high = levels[first[count - 2]], levels[first[count - 1]]
            # W of the lower pool is not below W of the upper one, both times positive numbers.
            lower = mass[count - 2] * math.exp(-slope * (high - low)) * _spread(slope, end - high)
            if lower < mass[count - 1] * _spread(slope, high - low):
                break
            count -= 1
            mass[count - 1] += mass[count]
    return count


@compiled
def descents(
    levels: Floats, slope: float, count: int, first: Ints, mass: Floats, descend: Floats
) -> None:
    """Fills the probability of going on from each pool to the one beneath, 0 for the lowest."""
    descend[0] = 0.0
    for b in range(1, count):
        here, below = levels[first[b]], levels[first[b - 1]]
        end = levels[first[b + 1]] if b + 1 < count else math.inf
        ratio = mass[b - 1] / mass[b] * math.exp(-slope * (here - below))
        ratio *= _spread(slope, end - here) / _spread(slope, here - below)
        descend[b] = min(ratio, 1.0)


@compiled
def power_of(
    law: Floats, levels: Floats, count: int, first: Ints, mass: Floats, descend: Floats
) -> float:
    """E[X - Y] of a descent."""
    total = 0.0
    below = 0.0  # mean of u_b - Y, given pool b
    for b in range(count):
        if b:
            below = descend[b] * (below + levels[first[b]] - levels[first[b - 1]])
        last = first[b + 1] if b + 1 < count else len(law)
        for x in range(first[b], last):
            total += law[x] * (levels[x] - levels[first[b]])
        total += mass[b] * below
    return total


@compiled
def leakage_of(count: int, mass: Floats, descend: Floats) -> float:
    """I(X;Y) of a descent in nats: H(Y) - sum_b P_b H(Y | b)."""
    conditional, entropy = 0.0, 0.0
    for b in range(count):
        down, stay = descend[b], 1.0 - descend[b]
        entropy *= down
        if down > 0.0:
            entropy -= down * math.log(down)
        if stay > 0.0:
            entropy -= stay * math.log(stay)
        conditional += mass[b] * entropy
    found, arriving = -conditional, 0.0
    for b in range(count - 1, -1, -1):
        arriving += mass[b]
        output = (1.0 - descend[b]) * arriving
        if output > 0.0:
            found -= output * math.log(output)
        arriving *= descend[b]
    return found


@compiled
def policy_of(levels: int, count: int, first: Ints, descend: Floats) -> Floats:
    """q(y|x) of a descent, shape (levels, levels)."""
    policy = np.zeros((levels, levels))
    for b in range(count):
        arrived = 1.0
        start = first[b]
        for below in range(b, -1, -1):
            policy[start, first[below]] = arrived * (1.0 - descend[below])
            arrived *= descend[below]
        last = first[b + 1] if b + 1 < count else levels
        for x in range(start + 1, last):
            for y in range(levels):
                policy[x, y] = policy[start, y]
    return policy


@compiled
def dual_of(
    law: Floats, levels: Floats, slope: float, count: int, first: Ints, mass: Floats
) -> float:
    """A bound F below I(X;Y) + slope E[X - Y] in nats, for whatever policy.

    Any l_x > 0 with sum_x p_x l_x exp(-s (v_x - v_y)) <= 1 for all y give F = sum_x p_x ln l_x.
    Here l_x = 1 / z_x, divided by the largest of those sums, which is 1 but for rounding.
    """
    n = len(law)
    found, largest, carried = 0.0, 0.0, 0.0
    b = count - 1
    for x in range(n - 1, -1, -1):
        start = levels[first[b]]
        end = levels[first[b + 1]] if b + 1 < count else math.inf
        above = slope * (levels[x] - start)
        at_start = _spread(slope, end - start) / mass[b]
        found += law[x] * (above + math.log(at_start))
        if x + 1 < n:
            carried *= math.exp(-slope * (levels[x + 1] - levels[x]))
        carried += math.exp(math.log(law[x] * at_start) + above)
        largest = max(largest, carried)
        if x == first[b]:
            b -= 1
    return found - math.log(largest)


@compiled
def power_at(
    law: Floats, levels: Floats, slope: float, first: Ints, mass: Floats, descend: Floats
) -> tuple[int, float]:
    """(pools, E[X - Y]) of the best policy at a slope above 0; fills the arrays."""
    count = pools(law, levels, slope, first, mass)
    descents(levels, slope, count, first, mass, descend)
    return count, power_of(law, levels, count, first, mass, descend)


@compiled
def slope_of(law: Floats, levels: Floats, power: float, gap: float) -> tuple[float, int]:
    """(slope whose power is at most `power` and leaves slope * (rest) <= gap nats, steps).

    `power` is above 0 and below mean - lowest level.
    """
    n = len(law)
    first, mass, descend = np.empty(n, np.int64), np.empty(n), np.empty(n)
    low, low_value = 0.0, 1.0
    high = 1.0 / power
    steps = 1
    high_power = power_at(law, levels, high, first, mass, descend)[1]
    while high_power > power:
        low, low_value = high, math.log(high_power / power)
        high *= 2.0
        high_power = power_at(law, levels, high, first, mass, descend)[1]
        steps += 1
    if low == 0.0:
        low_value = math.log((law @ (levels - levels[0])) / power)
    high_value = math.log(high_power / power) if high_power > 0.0 else -700.0
    # Regula falsi on ln(power), nearly linear in the slope; a bisection whenever it is slow.
    while high * (power - high_power) > gap and steps < _MOST_STEPS:
        width = high - low
        middle = low + width * low_value / (low_value - high_value)
        if steps % 3 == 0 or not low < middle < high:
            middle = low + width / 2
        if not low < middle < high:
            break
        found = power_at(law, levels, middle, first, mass, descend)[1]
        steps += 1
        value = math.log(found / power) if found > 0.0 else -700.0
        if found > power:
            low, low_value = middle, value
            high_value *= 0.5
        else:
            high, high_value, high_power = middle, value, found
            low_value *= 0.5
    return high, steps
