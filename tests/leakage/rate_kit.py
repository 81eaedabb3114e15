"""What the tests of leakage rates share: loads, policies, and entropies by brute force."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hushmeter.leakage.machine import Machine
from hushmeter.leakage.machine_load import Process, under
from hushmeter.leakage.policy import Policy, memoryless

Floats = NDArray[np.float64]

FAIR = np.array([0.5, 0.5])
TERNARY = np.array([0.25, 0.5, 0.25])
SKEW = np.array([0.7, 0.2, 0.1])


def random_policy(law: Floats, capacity: int, seed: int) -> Policy:
    """Any draw that the battery allows may come."""
    rng = np.random.default_rng(seed)
    state, load, draw = np.ogrid[: capacity + 1, : len(law), : len(law)]
    after = state - load + draw
    draws = rng.random(np.broadcast(state, load, draw).shape) * (after >= 0) * (after <= capacity)
    draws /= draws.sum(-1, keepdims=True)
    return memoryless(draws, np.full(capacity + 1, 1 / (capacity + 1)), f"random {seed}")


def blind_policy(law: Floats, capacity: int) -> Policy:
    """Whatever comes in goes out: the state never moves, so every state is a class of its own."""
    draws = np.broadcast_to(np.eye(len(law)), (capacity + 1, len(law), len(law)))
    return memoryless(draws.copy(), np.full(capacity + 1, 1 / (capacity + 1)), "blind")


def entropy_of(masses: Floats) -> float:
    positive = masses[masses > 0]
    return float(-(positive * np.log2(positive)).sum())


def brute_bracket(machine: Machine, law: Floats, length: int) -> tuple[float, float]:
    """h(Y) - h(Y | X) from blocks of so many steps, by the definition, each sequence by itself.

    With Z the hidden state before the block, the last symbol's entropy given the others is at least
    h, and given Z as well at most h; for Y, and for (X, Y) less H(X).
    """
    process = under(machine, law)
    draws = last_entropies(process, length, with_load=False)
    pairs = last_entropies(process, length, with_load=True)
    load = entropy_of(law)
    return draws[0] - (pairs[1] - load), draws[1] - (pairs[0] - load)


def last_entropies(process: Process, length: int, *, with_load: bool) -> tuple[float, float]:
    """(H(last | others, Z), H(last | others)) of a block of symbols."""
    symbol = process.draw + (process.machine.outputs * process.load if with_load else 0)
    size = process.states
    moves = {}
    for kind in np.unique(symbol):
        moves[kind] = np.zeros((size, size))
        chosen = symbol == kind
        np.add.at(moves[kind], (process.tail[chosen], process.head[chosen]), process.weight[chosen])
    ends, before = np.ones((1, size)), np.ones((1, size))
    for _ in range(length):
        before, ends = ends, np.concatenate([ends @ one.T for one in moves.values()])
    before, ends = process.stationary * before, process.stationary * ends
    known = entropy_of(ends) - entropy_of(before)
    unknown = entropy_of(ends.sum(1)) - entropy_of(before.sum(1))
    return known, unknown
