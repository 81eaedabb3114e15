"""Policies for Markov loads: made better on an automaton, and what they leak at most.

The leakage rate of a policy q(y | x, s, m), whose memory m the outputs move, is the limit of
H(Y_t | Y^{t-1}), less H(Y | X, S, m). To forget all but the last k outputs, and m before them, can
only raise the first term. So I(X, S; Y | memory k steps ago, k outputs) is at least the leakage
rate, for every k, and falls with k.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.linalg import splu
from scipy.special import xlogy

from hushmeter.leakage.deadline import NEVER, Deadline
from hushmeter.leakage.markov_flow import RESOLVENT, Cells, stationary
from hushmeter.leakage.markov_load import MarkovLoad
from hushmeter.leakage.policy import Policy

_DISCOUNT = 1e-7
_RAREST = 1e-30
_MOST_HISTORIES = 20_000
_MOST_MASSES = 20_000_000
"""Of (history, level, state, output), held at once."""


def chances_of(cells: Cells, flow: NDArray[np.float64]) -> NDArray[np.float64]:
    """q(y | m, x, s) by cell, of a flow."""
    rows = np.bincount(cells.leaves, flow, minlength=int(np.prod(cells.shape)))
    return np.asarray(flow / rows[cells.leaves])


def improved(
    cells: Cells,
    chances: NDArray[np.float64],
    most: int,
    enough: float,
    deadline: Deadline = NEVER,
) -> tuple[NDArray[np.float64], float, int]:
    """(flow of a policy with less I(X, S; Y | m), that in nats, steps), from q by cell.

    For a fixed law r(y | m) of the outputs, E log q / r is at least that information, with equality
    at their true law; it is the cost of a decision process whose best policy is
    r(y | m) exp(-E[relative value after]), normalised. The two are improved in turn, as by Arimoto
    and Blahut. It need not be the global minimum, so it serves as an upper bound only. The policy
    of any step does; the first step is taken whatever the deadline.
    """
    rows = int(np.prod(cells.shape))
    leaves, places = cells.leaves, cells.memory * cells.outputs + cells.output
    used = np.bincount(leaves, minlength=rows) > 0
    law = np.where(used, 1.0, 0.0)
    chances = chances / np.bincount(leaves, chances, minlength=rows)[leaves]
    best, best_value, before, step = chances, np.inf, np.inf, 0
    rounds = deadline.rounds()
    while step < most and rounds.fits():
        step += 1
        law = stationary(cells, chances, law)
        flow = chances * law[leaves]
        outputs = np.bincount(places, flow, minlength=cells.shape[0] * cells.outputs)
        sums = np.repeat(outputs.reshape(cells.shape[0], -1).sum(1), cells.outputs)
        reference = np.maximum(outputs / np.maximum(sums, 1e-300), _RAREST)[places]
        cost = np.log(np.maximum(chances, 1e-300) / reference)
        value = float(flow @ cost)
        if value < best_value:
            best, best_value = flow, value
        if before - value < enough and step > 5:
            break
        before = value
        stage = np.bincount(leaves, chances * cost, minlength=rows) - value
        moves = cells.moves(chances)[used][:, used]
        keep = sp.identity(moves.shape[0], format="csc") * (1 + _DISCOUNT)
        relative = np.zeros(rows)
        relative[used] = splu((keep - moves.T).tocsc()).solve(stage[used])
        after = (cells.transition[cells.place] * relative[cells.enters]).sum(1)
        chances = _normalised(np.log(reference) - after, leaves, rows)
    return best, best_value, step


def _normalised(
    logs: NDArray[np.float64], leaves: NDArray[np.int64], rows: int
) -> NDArray[np.float64]:
    """exp(logs), with sum 1 over the cells of a row."""
    top = np.full(rows, -np.inf)
    np.maximum.at(top, leaves, logs)
    masses = np.exp(logs - top[leaves])
    return np.asarray(masses / np.bincount(leaves, masses, minlength=rows)[leaves])


def policy_of(
    load: MarkovLoad, cells: Cells, flow: NDArray[np.float64], next_memory: NDArray[np.int64]
) -> Policy:
    """The policy whose flow this is; where the flow never comes, the draw is the load."""
    memories, n, states = cells.shape
    law = np.bincount(cells.leaves, flow, minlength=memories * n * states)
    held = np.zeros((memories, n, states, cells.outputs))
    held[cells.memory, cells.place, cells.state, cells.output] = flow
    draws = np.zeros((memories, states, cells.outputs, cells.outputs))
    draws[:, :, np.arange(cells.outputs), np.arange(cells.outputs)] = 1.0
    rows = held.sum(3, keepdims=True)
    passing = np.zeros_like(held)
    passing[:, np.arange(n), :, load.levels] = 1.0
    chances = np.where(rows > 0, held / np.where(rows > 0, rows, 1.0), passing)
    draws[:, :, load.levels] = chances.transpose(0, 2, 1, 3)
    initial = law.reshape(cells.shape).sum(1)
    return Policy(draws, initial / initial.sum(), next_memory, "optimal-markov")


def leaks_at_most(
    load: MarkovLoad, policy: Policy, most: int = _MOST_HISTORIES, deadline: Deadline = NEVER
) -> float:
    """An upper bound of the leakage rate of a policy, bits a step, from its start law on.

    Parameters
    ----------
    most:
        Histories (a memory, and outputs since) that may be told apart.
    deadline:
        The bound is looser where it comes before them; that of the memory alone is always computed.
    """
    chances = policy.draws[:, :, load.levels].transpose(0, 2, 1, 3)
    memories, n, states, outputs = chances.shape
    law = _long_run(load, policy, chances)
    memory = np.arange(memories)
    bound = np.inf
    rounds = deadline.rounds(grows=outputs)
    while rounds.fits():
        joint = law[:, :, :, None] * chances[memory]
        by_output = joint.sum((1, 2))
        told = xlogy(joint, chances[memory]).sum() - xlogy(by_output, by_output).sum()
        told += xlogy(by_output.sum(1), by_output.sum(1)).sum()
        bound = min(bound, float(told) / float(np.log(2)))
        if len(memory) * outputs > most or joint.size * outputs > _MOST_MASSES:
            break
        after = np.zeros((len(memory), outputs, n, states))
        for place, level in enumerate(load.levels):
            for y in range(outputs):
                rise = y - int(level)
                if abs(rise) >= states:
                    continue
                source = joint[:, place, max(0, -rise) : states - max(0, rise), y]
                after[:, y, place, max(0, rise) : states - max(0, -rise)] += source
        law = np.einsum("hyxs,xz->hyzs", after, load.transition).reshape(-1, n, states)
        memory = policy.next_memory[memory].ravel()
        seen = law.sum((1, 2)) > 0
        law, memory = law[seen], memory[seen]
    return bound


def _long_run(
    load: MarkovLoad, policy: Policy, chances: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Shape (memories, n, states): the law of (m, x, s) in the long run."""
    memories, n, states, _ = chances.shape
    m, x, s, y = np.nonzero(chances)
    after = s - load.levels[x] + y
    leaves = np.ravel_multi_index((m, x, s), (memories, n, states))
    enters = policy.next_memory[m, y][:, None] * n * states + after[:, None]
    enters = enters + np.arange(n) * states
    masses = chances[m, x, s, y][:, None] * load.transition[x]
    entries = (masses.ravel(), (enters.ravel(), np.repeat(leaves, n)))
    rows = memories * n * states
    moves = sp.coo_matrix(entries, shape=(rows, rows)).tocsc()
    factors = splu((sp.identity(rows, format="csc") * (1 + RESOLVENT) - moves).tocsc())
    law = (policy.initial[:, None, :] * load.stationary()[:, None]).ravel()
    for _ in range(3):
        law = np.maximum(factors.solve(law), 0.0)
        law /= law.sum()
    return law.reshape(memories, n, states)
