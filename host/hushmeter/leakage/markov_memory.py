"""Which pasts an automaton tells apart: states are split where merging them costs most.

A policy that forgets which (m, y) led to m' leaks I(X', S'; (M, Y) | M' = m') more than the bound
of the relaxation. So the state with the largest such term is split in two, its arrivals parted by
the divergence of their beliefs from the two means (2-means for the Kullback-Leibler divergence).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import rel_entr

from hushmeter.leakage.markov_flow import Cells

_RAREST = 1e-13
_ROUNDS = 20


def split(
    cells: Cells,
    flow: NDArray[np.float64],
    next_memory: NDArray[np.int64],
    share: float,
    most: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(finer automaton, shape (more memories, outputs); which memory each comes from).

    Parameters
    ----------
    share:
        The states that make up this part of the whole cost are split.
    most:
        Memories that there may be.
    """
    beliefs = _beliefs(cells, flow)
    masses = beliefs.sum(1)
    laws = beliefs / np.maximum(masses, 1e-300)[:, None]
    arrives = next_memory.ravel()
    means = np.zeros((len(next_memory), beliefs.shape[1]))
    np.add.at(means, arrives, beliefs)
    means /= np.maximum(means.sum(1, keepdims=True), 1e-300)
    costs = masses * rel_entr(laws, means[arrives]).sum(1)
    by_state = np.bincount(arrives, costs, minlength=len(next_memory))
    order = np.argsort(-by_state, kind="stable")
    whole = np.cumsum(by_state[order])
    count = int(np.searchsorted(whole, share * whole[-1])) + 1
    parted, copied = arrives.copy(), list[int]()
    for state in order[:count]:
        if len(next_memory) + len(copied) == most:
            break
        pairs = np.flatnonzero((arrives == state) & (masses > _RAREST))
        if len(pairs) < 2:
            continue
        second = _second_part(laws[pairs], masses[pairs], means[state])
        if second.any() and not second.all():
            parted[pairs[second]] = len(next_memory) + len(copied)
            copied.append(int(state))
    finer = parted.reshape(next_memory.shape)
    origin = np.concatenate([np.arange(len(finer)), np.array(copied, dtype=np.int64)])
    return finer[origin], origin


def _beliefs(cells: Cells, flow: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shape (memories x outputs, n x states): masses of (m, y), and of (x', s') with them."""
    memories, n, states = cells.shape
    first = (cells.memory * cells.outputs + cells.output) * n * states + cells.next_state
    where = first[:, None] + np.arange(n) * states
    masses = flow[:, None] * cells.transition[cells.place]
    size = memories * cells.outputs * n * states
    found = np.bincount(where.ravel(), masses.ravel(), minlength=size)
    return np.asarray(found.reshape(memories * cells.outputs, n * states), dtype=np.float64)


def _second_part(
    laws: NDArray[np.float64], masses: NDArray[np.float64], mean: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Which laws go to the second of two means."""
    far = int(np.argmax(masses * rel_entr(laws, mean).sum(1)))
    first, second = mean, laws[far]
    chosen = np.zeros(len(laws), np.bool_)
    for _ in range(_ROUNDS):
        divergences = [rel_entr(laws, centre).sum(1) for centre in (first, second)]
        chosen_now = divergences[1] < divergences[0]
        if chosen_now.all() or not chosen_now.any() or np.array_equal(chosen_now, chosen):
            return np.asarray(chosen_now)
        chosen = chosen_now
        first = np.average(laws[~chosen], axis=0, weights=masses[~chosen])
        second = np.average(laws[chosen], axis=0, weights=masses[chosen])
    return chosen
