"""Entropy rates through the reader's beliefs: the law of the hidden state given the symbols so far.

Let V_n(b) be the entropy of the next n symbols from a belief b; V_n(b) = H(next symbol | b) +
E V_n-1(belief after it). Where few beliefs occur (one for an invariant policy; a run's length for
best effort, whose changes pin the state), the beliefs are a finite Markov chain and the rate is the
mean of H(next symbol | b) in the long run.

Beliefs that are nearly equal are taken for one, and one too unlikely to matter is taken for a
likely one. That is accounted for: laws at total variation e differ in V_n by at most e D + h(e),
with h the binary entropy, as V_n is concave in b and rises by no more than h(e) in a mixture. D
bounds how much V_n differs between any two laws: if k steps bring all laws to a total variation of
t < 1, then V_n is within k log2(symbols) of V_n-k after them, so

    D  <=  (k log2(symbols) + h(t)) / (1 - t).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from hushmeter.leakage.entropies import NATS_TO_BITS
from hushmeter.leakage.machine_load import Process, closed_classes

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

MOST_BELIEFS = 30_000
MOST_WORK = 160_000_000
"""Numbers that are gone through before it counts as too long: half a second or so."""
CHUNK = 2_000_000
"""Numbers that are held at once for the beliefs after some."""
ROW = 500
"""What one more belief costs beside its numbers, in the same unit."""
_MOST_NUMBERS = 15_000_000
_MOST_STATES = 1_200
_MOST_PRODUCTS = 15_000_000_000
_GRID = 2.0**-47
_LEAST_PATH = 1e-15
_ROUNDING = 1e-15
_MOST_DOUBLINGS = 24


@dataclass(frozen=True)
class Channel:
    """What a reader sees of a closed class of hidden states: symbols.

    Attributes
    ----------
    moves:
        Shape (states, symbols * states): weight of symbol and next state together, rows sum to 1.
    law:
        Of the state in the long run, shape (states,).
    symbols:
        How many there are.
    """

    moves: sparse.csr_array
    law: Floats
    symbols: int

    @property
    def states(self) -> int:
        """How many hidden states there are."""
        return len(self.law)

    @cached_property
    def work(self) -> int:
        """Of what follows on one belief, in numbers gone through: `after`, and its results."""
        return int(self.moves.nnz) + 4 * self.symbols * self.states + ROW

    def after(self, beliefs: Floats) -> tuple[Floats, Floats]:
        """Laws of symbol and next state from each belief: (rows, symbols, states), and symbols."""
        joint = np.asarray((self.moves.T @ beliefs.T).T)
        joint = joint.reshape(len(beliefs), self.symbols, self.states)
        return joint, joint.sum(2)

    def of_states(self) -> Floats:
        """Pr[symbol | state], shape (states, symbols)."""
        moves = self.moves.tocoo()
        chances = np.zeros((self.states, self.symbols))
        np.add.at(chances, (moves.row, moves.col // self.states), moves.data)
        return chances

    def transitions(self) -> sparse.csr_array:
        """Of the hidden state, shape (states, states)."""
        moves = self.moves.tocoo()
        pair = (moves.row, moves.col % self.states)
        return sparse.csr_array((moves.data, pair), shape=(self.states, self.states))


def channel(process: Process, law: Floats, *, with_load: bool) -> Channel:
    """The draws, or loads and draws, of one of the process's classes; law as in its `classes`."""
    members = np.flatnonzero(law)
    number = np.full(process.states, -1)
    number[members] = np.arange(len(members))
    kept = number[process.tail] >= 0
    symbol = process.draw[kept]
    if with_load:
        symbol = symbol + process.machine.outputs * process.load[kept]
    _, symbol = np.unique(symbol, return_inverse=True)
    count = int(symbol.max()) + 1
    column = symbol * len(members) + number[process.head[kept]]
    shape = (len(members), count * len(members))
    moves = sparse.csr_array((process.weight[kept], (number[process.tail[kept]], column)), shape)
    return Channel(moves, law[members], count)


def entropies(masses: Floats) -> Floats:
    """Of each row, bits."""
    positive = np.where(masses > 0, masses, 1.0)
    return np.asarray(-(masses * np.log(positive)).sum(-1) * NATS_TO_BITS)


def binary_entropy(share: Floats) -> Floats:
    """h(e), and 1 from 1/2 on, where it stands for a bound that rises."""
    share = np.minimum(share, 0.5)
    return entropies(np.stack([share, 1 - share], axis=-1))


def entropy_rate(seen: Channel, part: float = 1) -> tuple[float, float] | None:
    """(rate, how far it may be off), bits; None where the beliefs are too many or never mix.

    Too many for that part of `MOST_WORK`.
    """
    if seen.states > _MOST_STATES:
        return None
    graph = _Graph(seen)
    if not graph.explore(int(part * MOST_WORK)):
        return None
    spread = _spread(seen)
    return None if spread is None else graph.rate(spread)


def _spread(seen: Channel) -> float | None:
    """D of the module's head, by Doeblin's coefficient of powers of the chain."""
    power = seen.transitions().toarray()
    best = np.inf
    steps = 1
    for _ in range(min(_MOST_DOUBLINGS, _MOST_PRODUCTS // seen.states**3)):
        apart = 1 - power.min(0).sum()
        if apart < 1:
            bound = (steps * np.log2(seen.symbols) + 1) / (1 - apart)
            best = min(best, bound)
            if bound > best or apart < 1 / 4:
                break
        power = power @ power
        steps *= 2
    return float(best) if np.isfinite(best) else None


class _Graph:
    """Beliefs that were found, and what leads from one to another."""

    def __init__(self, seen: Channel) -> None:
        self.seen = seen
        self.beliefs = [seen.law]
        self.number = {_name(seen.law): 0}
        self.path = [1.0]
        self.costs: list[float] = []
        self.edges: list[tuple[Integers, Integers, Floats, Floats]] = []

    def explore(self, work: int) -> bool:
        """All beliefs that are likely enough, level by level; False if they are too many."""
        most = min(MOST_BELIEFS, _MOST_NUMBERS // self.seen.states)
        rows = max(1, CHUNK // (self.seen.symbols * self.seen.states))
        front = np.array([0])
        while len(front):
            fresh = []
            for at in range(0, len(front), rows):
                work -= len(front[at : at + rows]) * self.seen.work
                if work < 0 or len(self.beliefs) > most:
                    return False
                fresh.append(self._expand(front[at : at + rows]))
                work -= ROW * len(self.edges[-1][0])
            front = np.concatenate(fresh)
        return True

    def _expand(self, front: Integers) -> Integers:
        joint, chances = self.seen.after(np.array([self.beliefs[node] for node in front]))
        fresh = []
        row, symbol = np.nonzero(chances)
        ahead = joint[row, symbol] / chances[row, symbol][:, None]
        targets = np.zeros(len(row), dtype=np.int64)
        names = np.round(ahead / _GRID).astype(np.int64)
        for i, belief in enumerate(ahead):
            path = self.path[front[row[i]]] * chances[row[i], symbol[i]]
            node = self.number.get(names[i].tobytes(), -1)
            if node < 0 and path < _LEAST_PATH:
                node = 0
            elif node < 0:
                node = len(self.beliefs)
                self.number[names[i].tobytes()] = node
                self.beliefs.append(belief)
                self.path.append(path)
                fresh.append(node)
            targets[i] = node
        moved = np.abs(ahead - np.array([self.beliefs[node] for node in targets])).sum(1) / 2
        self.edges.append((front[row], targets, chances[row, symbol], moved))
        self.costs.extend(entropies(chances))
        return np.array(fresh, dtype=np.int64)

    def rate(self, spread: float) -> tuple[float, float]:
        """(rate, how far it may be off)."""
        tail, head, chance, moved = (
            np.concatenate([edge[part] for edge in self.edges]) for part in range(4)
        )
        size = len(self.beliefs)
        moves = sparse.csr_array((chance, (tail, head)), shape=(size, size))
        start = np.zeros(size)
        start[0] = 1
        law = np.sum([share * one for share, one in closed_classes(moves, start)], axis=0)
        moved = moved + _ROUNDING
        lost = moved * spread + binary_entropy(moved)
        return float(law @ np.array(self.costs)), float((law[tail] * chance * lost).sum())


def _name(belief: Floats) -> bytes:
    return np.round(belief / _GRID).astype(np.int64).tobytes()
