"""The rate of a machine by the forward recursion (Arnold, Loeliger et al. 2006), on many chains.

    h(Y)      the mean of H(Y_t | Y_1 ... Y_t-1), which has the mean of -log p(y_t | past) and far
              less spread; the past is carried as the law of the hidden state given the draws
    h(Y | X)  where state, load and draw give the next state: E H(Y | load, state) in the long run,
              without error; else a second recursion in which the loads and the first state are
              known (batteries in series)

Both start in the long run's law, so no draw is from a transient; the conditional entropies settle
as the recursion forgets its start, from above and below, and that part is not counted. Where the
states do not forget in that time, as with loads that hardly ever change, the same chains are run
again with what is told of the start exchanged: what was too high is then too low. The rate is the
middle, and half the distance goes into the standard error. The chains are independent, so the rest
of it is from the spread of their means, whatever the correlation within a chain. `LEAST_STDERR`
stands for rounding, and for tables known to so many digits.

A policy may be invariant: every draw is independent of those before it (the optimum of one battery
is such). The law of the state given the draws is then its law in the long run at every step, so it
is not followed, and H(Y_t | past) is H(Y). The chains are walked all the same, and their draws have
to bear that out: else the recursion is run.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hushmeter.errors import HushmeterError
from hushmeter.leakage import forward_kernels, forward_sparse
from hushmeter.leakage.exact import least_of_all
from hushmeter.leakage.machine import Machine
from hushmeter.leakage.machine_load import Process, under

Floats = NDArray[np.float64]
Tables = tuple[NDArray[Any], ...]

CHAINS = 64
LEAST_STDERR = 1e-9
LEAST_CHAINS = 8
MOST_STEPS = 10**12
_LANES = 64
_WORKING_SET_BYTES = 1 << 15
_UNSEEN_PART = 4
_FORGOTTEN = 1e-9
_UNMOVED = 1e-7
_STILL = 1e-12
_UNLIKELY = 6.5
"""Standard errors by which the draws of chains under test may be off: false alarm below 1e-7."""
_MOST_POWERED = 400
_MANY_ARCS = 600
_MANY_LEVELS = 8


@dataclass(frozen=True)
class Rate:
    """A simulated leakage rate.

    Attributes
    ----------
    rate, stderr:
        Bits a step.
    steps:
        That were counted, over all chains.
    seconds:
        Without compilation.
    """

    rate: float
    stderr: float
    steps: int
    seconds: float


@dataclass(frozen=True)
class Alias:
    """Walker's table: a word's upper bits choose a column of the state, the rest one of its two.

    Attributes
    ----------
    bits:
        Each state has 2^bits columns, 1 or more.
    keep, other:
        Shape (states << bits,): below `keep` it is the column's own outcome, else that of `other`.
    draw, load, head:
        Of the outcome of each column.
    """

    bits: int
    keep: NDArray[np.uint64]
    other: NDArray[np.uint64]
    draw: NDArray[np.int64]
    load: NDArray[np.int64]
    head: NDArray[np.uint64]


def run(machine: Machine, law: Floats, steps: int, seed: int | str, chains: int) -> Rate:
    """As `rate.simulate`, for a machine."""
    if not 1 <= steps <= MOST_STEPS:
        raise HushmeterError(f"the number of steps is {steps}; it must be 1 to {MOST_STEPS:,}")
    if chains < LEAST_CHAINS:
        raise HushmeterError(f"{chains} chains; a standard error takes {LEAST_CHAINS} or more")
    process = under(machine, law)
    each = -(-steps // chains)
    if _draws_are_independent(process):
        found = _walked(process, each, seed, chains)
        if found is not None:
            return found
    plan = _Plan(process, chains)
    plan.run(1, 0, _key(seed))
    started = time.perf_counter()
    unseen = _unseen(process, each)
    draws, pairs = plan.run(each, unseen, _key(seed))
    means, off = _rates(process, draws, pairs, each), 0.0
    is_invariant = process.is_invariant(_UNMOVED)
    if not (is_invariant and machine.is_resolved) and not _forgets(process, unseen):
        told, pairs = plan.run(each, unseen, _key(seed), is_told=True)
        # An invariant policy's draws are independent: what was told of the start is too much.
        other = _rates(process, draws if is_invariant else told, pairs, each)
        off = abs(float((means - other).mean())) / 2
        means = (means + other) / 2
    seconds = time.perf_counter() - started
    stderr = float(np.hypot(means.std(ddof=1) / np.sqrt(chains), off))
    return Rate(float(means.mean()), max(stderr, LEAST_STDERR), each * chains, seconds)


def _draws_are_independent(process: Process) -> bool:
    """Whether H(Y) is h(Y) to `LEAST_STDERR`: the policy is invariant, or leaks no more than J*."""
    if not process.machine.is_resolved or len(process.classes) != 1:
        return False
    outer, inner = process.single_letter
    is_least = outer - inner - least_of_all(process) < LEAST_STDERR
    return is_least or process.is_invariant(_STILL)


def _walked(process: Process, each: int, seed: int | str, chains: int) -> Rate | None:
    """The rate of independent draws, from chains that are walked without the recursion.

    None where their draws do not have the mean they should, or are correlated from step to step.
    """
    table, key = alias(process), _key(seed)
    masses = np.bincount(process.draw, process.stationary[process.tail] * process.weight)
    levels: Floats = np.arange(len(masses), dtype=np.float64)
    beyond = levels - float(masses @ levels)
    spread = np.sqrt(float(masses @ beyond**2))
    values: Floats = (beyond / max(spread, np.finfo(float).tiny)).astype(np.float64)
    numbers = range(chains)
    arguments = (
        np.array([_chain_key(key, number) for number in numbers], dtype=np.uint64),
        first_states(process.stationary, key, numbers).astype(np.uint64),
        table.bits, table.keep, table.other, table.draw, table.head, values,
    )  # fmt: skip
    forward_kernels.walk(*arguments, 1)
    started = time.perf_counter()
    sums, products = forward_kernels.walk(*arguments, each)
    seconds = time.perf_counter() - started
    total = each * chains
    # Bernstein's bound: values that are rare and large come in lumps.
    largest = float(np.abs(values[masses > 0]).max())
    for found, most in ((sums, largest), (products, largest**2)):
        if abs(found.sum()) > _UNLIKELY * np.sqrt(total) + _UNLIKELY**2 * most:
            return None
    outer, inner = process.single_letter
    return Rate(outer - inner, LEAST_STDERR, total, seconds)


def first_states(law: Floats, key: int, numbers: Iterable[int]) -> NDArray[np.int64]:
    """Of these chains, from the law of the state in the long run."""
    starts = np.array([_uniform(key, int(number)) for number in numbers])
    state = np.searchsorted(np.cumsum(law), starts, side="right")
    return np.asarray(np.minimum(state, int(np.flatnonzero(law)[-1])), dtype=np.int64)


class _Plan:
    """The tables of a process, and its chains a block at a time."""

    def __init__(self, process: Process, chains: int) -> None:
        self.process = process
        self.chains = chains
        self.alias = alias(process)
        resolved = process.machine.is_resolved
        levels = len(np.unique(process.load))
        self.is_sparse = levels >= _MANY_LEVELS and len(process.tail) > _MANY_ARCS
        made = rows if self.is_sparse else groups
        self.draws = made(process, known_load=False)
        self.pairs = made(process, known_load=not resolved)
        self.known_states = 0 if resolved else process.states
        row_bytes = 16 * (process.states + self.known_states)
        lanes = chains if self.is_sparse else min(_LANES, max(8, _WORKING_SET_BYTES // row_bytes))
        self.lanes = int(min(lanes, chains))

    def run(
        self, steps: int, unseen: int, key: int, *, is_told: bool = False
    ) -> tuple[Floats, Floats]:
        """Sums over the steps of the entropies of the draws, without and with the loads known.

        The reader who knows the loads knows the first state; with `is_told` the other one does.
        """
        blocks = [
            self._block(
                np.arange(at, min(at + self.lanes, self.chains)), steps, unseen, key, is_told
            )
            for at in range(0, self.chains, self.lanes)
        ]
        draws, pairs = zip(*blocks, strict=True)
        return np.concatenate(draws), np.concatenate(pairs)

    def _block(
        self, numbers: NDArray[np.int64], steps: int, unseen: int, key: int, is_told: bool
    ) -> tuple[Floats, Floats]:
        law, alias, machine = self.process.stationary, self.alias, self.process.machine
        state = first_states(law, key, numbers)
        chains = (
            np.array([_chain_key(key, int(number)) for number in numbers], dtype=np.uint64),
            state.astype(np.uint64),
            alias.bits, alias.keep, alias.other, alias.draw, alias.load, alias.head,
        )  # fmt: skip
        if self.is_sparse:
            return forward_sparse.run(
                *chains, law, self.draws, self.pairs, machine.is_resolved, machine.inputs,
                machine.outputs, unseen, steps, is_told,
            )  # fmt: skip
        unknown = np.repeat(law[:, None], len(numbers), axis=1)
        known = np.zeros_like(unknown)
        known[state, np.arange(len(numbers))] = 1.0
        draws, pairs = (known, unknown) if is_told else (unknown, known)
        return forward_kernels.run(
            *chains, draws, pairs[: self.known_states].copy(), self.draws, self.pairs,
            machine.outputs, unseen, steps,
        )  # fmt: skip


def _unseen(process: Process, steps: int) -> int:
    """Steps before those that count: a share of them, and some for each state."""
    return max(steps // _UNSEEN_PART, 64, min(8 * process.states, 4 * steps))


def _rates(process: Process, draws: Floats, pairs: Floats, steps: int) -> Floats:
    """Of each chain, from the sums of its entropies."""
    if process.machine.is_resolved:
        return draws / steps - process.single_letter[1]
    return (draws - pairs) / steps


def _forgets(process: Process, steps: int) -> bool:
    """Whether so many steps on the state has nearly the same law wherever it began."""
    if process.states > _MOST_POWERED:
        return False
    power = np.linalg.matrix_power(process.moves.toarray(), steps)
    return all(np.abs(power[law > 0] - law).sum(1).max() < _FORGOTTEN for _, law in process.classes)


def alias(process: Process) -> Alias:
    """The alias tables of Pr[load, draw, head | tail] of each state."""
    counts = np.bincount(process.tail, minlength=process.states)
    bits = max(1, int(counts.max() - 1).bit_length())
    columns = 1 << bits
    one = 1 << (64 - bits)
    size = process.states * columns
    keep = np.full(size, one - 1, dtype=np.uint64)
    other = np.arange(size, dtype=np.uint64)
    first = np.concatenate([[0], np.cumsum(counts)])
    place = process.tail * columns + np.arange(len(process.tail)) - first[process.tail]
    for state in range(process.states):
        weights = process.weight[first[state] : first[state + 1]]
        _fill(weights / weights.sum() * columns, state * columns, one, keep, other, columns)
    labels = [np.zeros(size, dtype=np.int64) for _ in range(3)]
    for label, values in zip(labels, (process.draw, process.load, process.head), strict=True):
        label[place] = values
    return Alias(bits, keep, other, labels[0], labels[1], labels[2].astype(np.uint64))


def _fill(  # noqa: PLR0913
    weights: Floats,
    at: int,
    one: int,
    keep: NDArray[np.uint64],
    other: NDArray[np.uint64],
    columns: int,
) -> None:
    """One state's columns: Vose's form of Walker's method, weights summing to `columns`."""
    left = np.zeros(columns)
    left[: len(weights)] = weights
    small = [column for column in range(columns) if left[column] < 1]
    large = [column for column in range(columns) if left[column] >= 1]
    while small and large:
        column, donor = small.pop(), large[-1]
        keep[at + column] = min(one - 1, round(left[column] * one))
        other[at + column] = at + donor
        left[donor] -= 1 - left[column]
        if left[donor] < 1:
            small.append(large.pop())
    for column in range(len(weights), columns):
        if other[at + column] == at + column:
            other[at + column], keep[at + column] = at + int(np.argmax(weights)), 0


def groups(process: Process, *, known_load: bool) -> Tables:
    """Arcs by (head, draw, load): heads, draws, loads, first arc of each; tails and weights."""
    load = process.load if known_load else np.zeros_like(process.load)
    weight = process.chance if known_load else process.weight
    machine = process.machine
    group = (process.head * machine.outputs + process.draw) * machine.inputs + load
    unique, place = np.unique(group * process.states + process.tail, return_inverse=True)
    weights = np.bincount(place, weight)
    group, tails = np.divmod(unique, process.states)
    group, first = np.unique(group, return_index=True)
    rest, loads = np.divmod(group, machine.inputs)
    heads, draws = np.divmod(rest, machine.outputs)
    return heads, draws, loads, np.append(first, len(tails)), tails, weights


def rows(process: Process, *, known_load: bool) -> Tables:
    """Draws of each key, and arcs of each key and draw; keys as in `forward_sparse`.

    First draw of each key, draws, their probabilities; first arc of each (key, draw), heads,
    weights.
    """
    weight = process.chance if known_load else process.weight
    machine = process.machine
    key = process.tail * machine.inputs + process.load if known_load else process.tail
    keys = process.states * (machine.inputs if known_load else 1)
    row = key * machine.outputs + process.draw
    draw_of, place = np.unique(row, return_inverse=True)
    mass = np.bincount(place, weight)
    first = np.searchsorted(draw_of, np.arange(keys + 1) * machine.outputs)
    arc_of, place = np.unique(row * process.states + process.head, return_inverse=True)
    arc_row, head = np.divmod(arc_of, process.states)
    arc_first = np.searchsorted(arc_row, np.arange(keys * machine.outputs + 1))
    weights = np.bincount(place, weight)
    return first, draw_of % machine.outputs, mass, arc_first, head, weights


def _key(seed: int | str) -> int:
    digest = hashlib.sha256(f"hushmeter leakage rate {seed}".encode()).digest()
    return int.from_bytes(digest[:16], "big")


def _chain_key(key: int, chain: int) -> int:
    digest = hashlib.sha256(b"%d chain %d" % (key, chain)).digest()
    return int.from_bytes(digest[:8], "big")


def _uniform(key: int, chain: int) -> float:
    digest = hashlib.sha256(b"%d start %d" % (key, chain)).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) * 2.0**-53
