"""A machine under a load that is independent from step to step: the chain of its hidden states.

The rate is h(Y) - h(Y | X). Where state, load and draw give the next state, the second term is
E H(Y | load, state) in the long run, which needs no simulation. The law in the long run is over the
closed classes of states: the chain ends in one of them, and in which one tells the reader a bounded
amount, once, so the rate is the mean over the classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph
from scipy.sparse.linalg import spsolve

from hushmeter.errors import HushmeterError
from hushmeter.leakage.entropies import entropy
from hushmeter.leakage.machine import Machine

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_DENSE = 300
_SUM_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Process:
    """The machine's arcs that the load allows.

    Attributes
    ----------
    law:
        Pr[X = x], shape (inputs,).
    tail, load, draw, head, chance:
        As in `Machine`, without loads of probability 0.
    weight:
        Pr[load, draw, head | tail], shape (arcs,).
    """

    machine: Machine
    law: Floats
    tail: Integers
    load: Integers
    draw: Integers
    head: Integers
    chance: Floats
    weight: Floats

    @property
    def states(self) -> int:
        """How many hidden states there are."""
        return self.machine.states

    @cached_property
    def moves(self) -> sparse.csr_array:
        """Of the hidden state, shape (states, states); rows sum to 1."""
        size = self.states
        return sparse.csr_array((self.weight, (self.tail, self.head)), shape=(size, size))

    @cached_property
    def classes(self) -> list[tuple[float, Floats]]:
        """(probability of ending there, law in the long run) of each closed class."""
        return closed_classes(self.moves, self.machine.initial)

    @cached_property
    def stationary(self) -> Floats:
        """The law of the hidden state in the long run, shape (states,)."""
        total: Floats = np.sum([share * law for share, law in self.classes], axis=0)
        return total

    def is_invariant(self, tolerance: float) -> bool:
        """Whether the next state, in the long run, is independent of the draw; total variation."""
        masses = self.stationary[self.tail] * self.weight
        cell = self.draw * self.states + self.head
        cells, place = np.unique(cell, return_inverse=True)
        joint = np.bincount(place, masses)
        draw, head = np.divmod(cells, self.states)
        draws = np.bincount(self.draw, masses)
        # What is independent has its mass where the joint law has some, or all of it is amiss.
        expected = draws[draw] * self.stationary[head]
        apart = np.abs(joint - expected).sum() + 1 - expected.sum()
        return bool(apart / 2 < tolerance)

    @cached_property
    def single_letter(self) -> tuple[float, float]:
        """(H(Y), H(Y | X, hidden state)) in the long run, bits."""
        arrival = self.stationary[self.tail]
        draws = np.bincount(self.draw, arrival * self.weight).astype(np.float64)
        key = (self.tail * self.machine.inputs + self.load) * self.machine.outputs + self.draw
        unique, place = np.unique(key, return_inverse=True)
        chance = np.bincount(place, self.chance)
        tail, load = np.divmod(unique // self.machine.outputs, self.machine.inputs)
        pair = self.stationary[tail] * self.law[load]
        return entropy(draws), float(-(pair * chance * np.log2(chance)).sum())


def under(machine: Machine, law: Floats) -> Process:
    """The machine under this load.

    Raises
    ------
    HushmeterError
        The load has levels that the machine does not take, or is no law.
    """
    law = np.asarray(law, dtype=np.float64)
    if law.ndim != 1 or not np.all(law >= 0) or abs(law.sum() - 1) > _SUM_TOLERANCE:
        raise HushmeterError("the probabilities of the load must be 0 or more and sum to 1")
    most = int(np.flatnonzero(law)[-1])
    if most >= machine.inputs:
        raise HushmeterError(
            f"{machine.name} takes loads of 0 to {machine.inputs - 1}, but --dist has {most}; "
            "the alphabets must fit"
        )
    full = np.zeros(machine.inputs)
    full[: most + 1] = law[: most + 1] / law.sum()
    kept = full[machine.load] > 0
    load, chance = machine.load[kept], machine.chance[kept]
    return Process(
        machine, full, machine.tail[kept], load, machine.draw[kept], machine.head[kept],
        chance, chance * full[load],
    )  # fmt: skip


def closed_classes(moves: sparse.csr_array, initial: Floats) -> list[tuple[float, Floats]]:
    """Where a Markov chain ends: probability and stationary law of each closed class.

    Parameters
    ----------
    moves:
        Shape (states, states), rows sum to 1.
    initial:
        Law of the first state.
    """
    count, label = csgraph.connected_components(moves, connection="strong")
    tail, head = moves.nonzero()
    leaving = np.zeros(count, dtype=bool)
    leaving[label[tail[label[tail] != label[head]]]] = True
    transient = np.flatnonzero(leaving[label])
    arriving = initial.copy()
    if len(transient):
        stay = sparse.eye_array(len(transient)) - moves[transient][:, transient]
        visits = np.atleast_1d(spsolve(stay.T.tocsc(), initial[transient]))
        arriving += visits @ moves[transient]
    found = []
    for one in np.flatnonzero(~leaving):
        members = np.flatnonzero(label == one)
        share = float(arriving[members].sum())
        if share > 0:
            law = np.zeros(len(initial))
            law[members] = stationary_law(moves[members][:, members])
            found.append((share, law))
    total = sum(share for share, _ in found)
    return [(share / total, law) for share, law in found]


def stationary_law(moves: sparse.csr_array) -> Floats:
    """Of an irreducible chain, shape (states,)."""
    size = moves.shape[0]
    if size <= _DENSE:
        return _by_elimination(moves.toarray())
    # The first entry is set to 1; the equations of the others determine them.
    system = (sparse.eye_array(size) - moves).T.tocsc()
    rest = spsolve(system[1:, 1:], -system[1:, [0]].toarray().ravel())
    law = np.concatenate([[1.0], np.maximum(rest, 0.0)])
    return np.asarray(law / law.sum(), dtype=np.float64)


def _by_elimination(moves: Floats) -> Floats:
    """Grassmann, Taksar, Heyman 1985: no subtraction, so every entry is right to rounding."""
    moves = moves.copy()
    size = len(moves)
    for last in range(size - 1, 0, -1):
        moves[:last, last] /= moves[last, :last].sum()
        moves[:last, :last] += np.outer(moves[:last, last], moves[last, :last])
    law: Floats = np.ones(size)
    for state in range(1, size):
        law[state] = law[:state] @ moves[:state, state]
    law /= law.sum()
    return law
