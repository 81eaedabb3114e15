"""The forward recursion, compiled, for machines with many arcs: one chain after another.

`forward_kernels` goes through all arcs in every step. Here a step goes through the states that are
possible after the draws so far, of each through the probabilities of its draws, and then through
the arcs of the one that was drawn. A best effort of n levels knows its last draw, so an n-th of its
states; a load of n levels has n^2 arcs a state, of which n have a given draw.

The arcs of a key and a draw, and the draws of a key, lie in rows as in a sparse matrix; the key of
a state is its number, or where the load is known (state, load).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hushmeter.compiler import compiled
from hushmeter.leakage.forward_kernels import STRIDE, inlined, inverse, log2, mixed

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Words = NDArray[np.uint64]
Real = Any
Whole = Any


@inlined
def one_step(
    law: Floats,
    support: Integers,
    count: Whole,
    ahead: Floats,
    next_support: Integers,
    chance: Floats,
    table: Any,
    loads: Whole,
    load: Whole,
    drawn: Whole,
) -> tuple[Whole, Real]:
    """(number of states possible after the draw, H(draw | law)); moves the law on."""
    first, draw, mass, arc_first, head, weight = table
    outputs = len(chance)
    chance[:] = 0.0
    for place in range(count):
        state = support[place]
        key = state * loads + load
        for entry in range(first[key], first[key + 1]):
            chance[draw[entry]] += law[state] * mass[entry]
    gained = 0.0
    total = chance.sum()
    for one in range(outputs):
        if chance[one] > 0.0:
            share = chance[one] * inverse(total)
            gained -= share * log2(share)
    scale = inverse(chance[drawn])
    found = 0
    for place in range(count):
        state = support[place]
        row = (state * loads + load) * outputs + drawn
        for arc in range(arc_first[row], arc_first[row + 1]):
            to = head[arc]
            if ahead[to] == 0.0:
                next_support[found] = to
                found += 1
            ahead[to] += law[state] * weight[arc] * scale
        law[state] = 0.0
    kept = 0
    for place in range(found):
        to = next_support[place]
        # What is too unlikely to be a normal number is given up; its weight is of no account.
        if ahead[to] > 1e-280:
            law[to] = ahead[to]
            support[kept] = to
            kept += 1
        ahead[to] = 0.0
    return kept, gained


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
    start: Floats,
    table: Any,
    pairs: Any,
    is_resolved: bool,
    loads: int,
    outputs: int,
    unseen: int,
    steps: int,
    is_told: bool,
) -> tuple[Floats, Floats]:
    lanes, states = len(keys), len(start)
    shift, width = np.uint64(64 - bits), np.uint64(bits)
    rest = (np.uint64(1) << shift) - np.uint64(1)
    from_draws, from_pairs = np.zeros(lanes), np.zeros(lanes)
    chance, ahead = np.zeros(outputs), np.zeros(states)
    support, known_support = np.zeros(states, np.int64), np.zeros(states, np.int64)
    next_support = np.zeros(states, np.int64)
    for lane in range(lanes):
        law, known = start.copy(), np.zeros(states)
        count = 0
        for one in range(states):
            if law[one] > 0.0:
                support[count] = one
                count += 1
        at = state[lane]
        known[at], known_support[0], known_count = 1.0, np.int64(at), 1
        if is_told:
            law, known = known, law
            support, known_support = known_support, support
            count, known_count = known_count, count
        counter = np.uint64(0)
        for step in range(unseen + steps):
            counter += STRIDE
            word = mixed(keys[lane] + counter)
            place = (at << width) | (word >> shift)
            arc = place if (word & rest) < keep[place] else other[place]
            drawn, load = arc_draw[arc], arc_load[arc]
            at = arc_head[arc]
            count, gained = one_step(
                law, support, count, ahead, next_support, chance, table, 1, 0, drawn
            )
            if step >= unseen:
                from_draws[lane] += gained
            if not is_resolved:
                known_count, gained = one_step(
                    known, known_support, known_count, ahead, next_support, chance, pairs,
                    loads, load, drawn,
                )  # fmt: skip
                if step >= unseen:
                    from_pairs[lane] += gained
    return from_draws, from_pairs
