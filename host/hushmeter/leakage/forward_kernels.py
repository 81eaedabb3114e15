"""The forward recursion, compiled: many chains side by side.

Each chain draws its own path from a counter-based generator (SplitMix64: Steele, Lea, Flood, OOPSLA
2014; the word of step t is a mix of key + t * STRIDE, so nothing depends on the order of work),
picks an arc with Walker's alias method, and carries the law of its hidden state given the draws so
far. Arrays are (row, lane) with a chain in each lane, so the inner loops go over lanes and become
vector instructions; the arcs are the same for all lanes.

A group is all arcs into one head with one draw (and one load, where the load is known): their sum
counts for that draw's probability in every lane and for the next law where the lane drew it.
"""

from typing import Any, cast

import numba
import numpy as np
from numpy.typing import NDArray

from hushmeter.compiler import Function, compiled

Word = Any
Real = Any
Words = NDArray[np.uint64]
Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

STRIDE = np.uint64(0x9E3779B97F4A7C15)
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_U30, _U27, _U31 = np.uint64(30), np.uint64(27), np.uint64(31)
_FRACTION = np.int64((1 << 52) - 1)
_HALF = np.int64(0x3FE0000000000000)
_ROOT_HALF = 0.7071067811865476
_TWO_BY_LN_2 = 2.8853900817779268


def inlined(function: Function) -> Function:
    """Compiled into what calls it; a division by zero gives infinity instead of an error."""
    return cast(Function, numba.njit(forceinline=True, error_model="numpy")(function))


@inlined
def mixed(counter: Word) -> Word:
    """SplitMix64's output for a counter."""
    word = (counter ^ (counter >> _U30)) * _MIX_1
    word = (word ^ (word >> _U27)) * _MIX_2
    return word ^ (word >> _U31)


@inlined
def log2(value: Real) -> Real:
    """Of a normal positive number, to 2e-16 or so; finite at 0, so that 0 log 0 comes out as 0.

    value = 2^e m with m in [sqrt 1/2, sqrt 2); ln m = 2 artanh z with z = (m - 1) / (m + 1).
    """
    bits = np.float64(value).view(np.int64)
    exponent = np.float64((bits >> 52) - 1022)
    fraction = np.int64((bits & _FRACTION) | _HALF).view(np.float64)
    small = fraction < _ROOT_HALF
    fraction = fraction + fraction if small else fraction
    exponent = exponent - 1.0 if small else exponent
    z = (fraction - 1.0) / (fraction + 1.0)
    w = z * z
    series = 1 / 15 + w * (1 / 17 + w * (1 / 19 + w * (1 / 21)))
    series = 1 / 7 + w * (1 / 9 + w * (1 / 11 + w * (1 / 13 + w * series)))
    series = 1.0 + w * (1 / 3 + w * (1 / 5 + w * series))
    return exponent + _TWO_BY_LN_2 * z * series


@inlined
def inverse(value: Real) -> Real:
    return 1.0 / value


@inlined
def forecast(
    law: Floats,
    ahead: Floats,
    chance: Floats,
    total: Floats,
    groups: Any,
    drawn: Integers,
    loaded: Integers,
    with_load: bool,
) -> None:
    """Probabilities of all draws in every lane, and what its own draw leaves of each state."""
    heads, draws, loads, first, tails, weights = groups
    lanes = law.shape[1]
    ahead[:] = 0.0
    chance[:] = 0.0
    for group in range(len(heads)):
        head, draw, load = heads[group], draws[group], loads[group]
        total[:] = 0.0
        for arc in range(first[group], first[group + 1]):
            tail, weight = tails[arc], weights[arc]
            for lane in range(lanes):
                total[lane] += law[tail, lane] * weight
        if with_load:
            for lane in range(lanes):
                total[lane] = total[lane] if loaded[lane] == load else 0.0
        for lane in range(lanes):
            chance[draw, lane] += total[lane]
            ahead[head, lane] += total[lane] if drawn[lane] == draw else 0.0


@inlined
def settle(
    law: Floats, ahead: Floats, chance: Floats, total: Floats, drawn: Integers, gained: Floats
) -> None:
    """Adds each lane's H(draw | law) to `gained`; its law is then that after its draw."""
    lanes = law.shape[1]
    total[:] = 0.0
    for draw in range(len(chance)):
        for lane in range(lanes):
            total[lane] += chance[draw, lane]
    for draw in range(len(chance)):
        for lane in range(lanes):
            share = chance[draw, lane] * inverse(total[lane])
            gained[lane] -= share * log2(share)
    total[:] = 0.0
    for draw in range(len(chance)):
        for lane in range(lanes):
            total[lane] += chance[draw, lane] if drawn[lane] == draw else 0.0
    for lane in range(lanes):
        total[lane] = inverse(total[lane])
    for state in range(len(law)):
        for lane in range(lanes):
            law[state, lane] = ahead[state, lane] * total[lane]


@compiled
def walk(
    keys: Words,
    state: Words,
    bits: int,
    keep: Words,
    other: Words,
    arc_draw: Integers,
    arc_head: Words,
    values: Floats,
    steps: int,
) -> tuple[Floats, Floats]:
    """Chains without the recursion: of each, sums of its draws' values, and of products of two.

    The products are of successive draws. The words are those that `run` takes.
    """
    shift, width = np.uint64(64 - bits), np.uint64(bits)
    rest = (np.uint64(1) << shift) - np.uint64(1)
    sums, products = np.zeros(len(keys)), np.zeros(len(keys))
    for lane in range(len(keys)):
        now, counter, last = state[lane], keys[lane], 0.0
        for _ in range(steps):
            counter += STRIDE
            word = mixed(counter)
            place = (now << width) | (word >> shift)
            arc = place if (word & rest) < keep[place] else other[place]
            now = arc_head[arc]
            value = values[arc_draw[arc]]
            sums[lane] += value
            products[lane] += value * last
            last = value
    return sums, products


@compiled
def run(
    keys: Words,
    state: Words,
    bits: int,
    keep: Words,
    other: Words,
    arc_draw: Integers,
    arc_load: Integers,
    arc_head: Words,
    law: Floats,
    known: Floats,
    groups: Any,
    pairs: Any,
    outputs: int,
    unseen: int,
    steps: int,
) -> tuple[Floats, Floats]:
    lanes = len(keys)
    shift = np.uint64(64 - bits)
    width = np.uint64(bits)
    rest = (np.uint64(1) << shift) - np.uint64(1)
    resolved = len(known) == 0
    drawn = np.zeros(lanes, np.int64)
    loaded = np.zeros(lanes, np.int64)
    ahead, chance, total = np.zeros_like(law), np.zeros((outputs, lanes)), np.zeros(lanes)
    known_ahead = np.zeros_like(known)
    from_draws, from_pairs = np.zeros(lanes), np.zeros(lanes)
    counter = np.uint64(0)
    for step in range(unseen + steps):
        if step == unseen:
            from_draws[:] = 0.0
            from_pairs[:] = 0.0
        counter += STRIDE
        for lane in range(lanes):
            word = mixed(keys[lane] + counter)
            # A shift by 64 is not defined, so the columns have one bit at least.
            place = (state[lane] << width) | (word >> shift)
            arc = place if (word & rest) < keep[place] else other[place]
            drawn[lane] = arc_draw[arc]
            loaded[lane] = arc_load[arc]
            state[lane] = arc_head[arc]
        forecast(law, ahead, chance, total, groups, drawn, loaded, False)
        settle(law, ahead, chance, total, drawn, from_draws)
        if not resolved:
            forecast(known, known_ahead, chance, total, pairs, drawn, loaded, True)
            settle(known, known_ahead, chance, total, drawn, from_pairs)
    return from_draws, from_pairs
