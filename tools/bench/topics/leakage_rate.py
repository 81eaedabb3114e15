"""The forward recursion: steps a second on one core, beside recursions in numpy; exact rates.

The peers carry the law of the hidden state in the same way: one chain in a loop over its steps, as
it is mostly written, and thousands of chains side by side, a step of all of them at a time. Both
take -log2 p(y | past), as the publications do. `dit` gets the law of nine draws and says
H(Y_9 | eight before), which is above the rate. How far off each is, is among the facts.
"""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hushmeter.leakage import rate
from hushmeter.leakage.exact import bracket
from hushmeter.leakage.machine import Machine, from_policy, series
from hushmeter.leakage.machine_load import Process, under
from tools.bench.figures import Benchmark, Figure, Skipped
from tools.bench.measure import in_fresh_process

FAIR, TERNARY = np.array([0.5, 0.5]), np.array([0.25, 0.5, 0.25])
STEPS = 20_000_000
LOOP_STEPS = 200_000
CHAINS = 4096
BLOCK = 9
QUICK = 100
OURS, LOOP, BESIDE = "compiled", "numpy, one chain", "numpy, 4,096 chains"
BINARY = {"best-effort": (1, 2, 3, 6, 12, 50), "optimal": (1, 12), "rc": (4,)}
TERNARY_SIZES = (1, 3, 12)
IN_SERIES = (1, 2, 5)


def matrices(process: Process) -> NDArray[np.float64]:
    """Shape (draws, states, states): probability of draw and next state together."""
    moves = np.zeros((process.machine.outputs, process.states, process.states))
    np.add.at(moves, (process.draw, process.tail, process.head), process.weight)
    return moves


def one_chain(process: Process, steps: int) -> tuple[float, float]:
    """(mean of -log2 p(y | past), seconds), the path included."""
    rng = np.random.default_rng(1)
    moves = matrices(process)
    cumulated = moves.transpose(1, 0, 2).reshape(process.states, -1).cumsum(1)
    started = time.perf_counter()
    law, total = process.stationary, 0.0
    state = int(rng.choice(process.states, p=law))
    for number in rng.random(steps):
        arc = int(cumulated[state].searchsorted(number * cumulated[state, -1], side="right"))
        draw, state = divmod(arc, process.states)
        ahead = law @ moves[draw]
        chance = ahead.sum()
        law = ahead / chance
        total -= np.log2(chance)
    return total / steps, time.perf_counter() - started


def many_chains(process: Process, steps: int) -> tuple[float, float]:
    """As `one_chain`, over `CHAINS` chains of so many steps each."""
    rng = np.random.default_rng(1)
    moves = matrices(process)
    cumulated = moves.transpose(1, 0, 2).reshape(process.states, -1).cumsum(1)
    started = time.perf_counter()
    law = np.repeat(process.stationary[:, None], CHAINS, axis=1)
    state = rng.choice(process.states, size=CHAINS, p=process.stationary)
    total = 0.0
    for _ in range(steps):
        numbers = rng.random((CHAINS, 1)) * cumulated[state, -1:]
        draw, state = np.divmod((cumulated[state] <= numbers).sum(1), process.states)
        ahead = np.zeros_like(law)
        for one, matrix in enumerate(moves):
            drew = draw == one
            ahead[:, drew] = matrix.T @ law[:, drew]
        chance = ahead.sum(0)
        law = ahead / chance
        total -= float(np.log2(chance).sum())
    return total / (steps * CHAINS), time.perf_counter() - started


def blocks(dit: Any, process: Process) -> tuple[float, float]:
    """(H(Y_9 | eight before) as dit has it, seconds)."""
    moves = matrices(process)
    words = list(product(range(len(moves)), repeat=BLOCK))
    started = time.perf_counter()
    ends = process.stationary[None]
    for _ in range(BLOCK):
        ends = np.concatenate([ends @ one for one in moves])
    # The first symbol varies fastest in `ends`; words are turned round to match.
    law = dit.Distribution([word[::-1] for word in words], ends.sum(1))
    whole = dit.shannon.entropy(law)
    part = dit.shannon.entropy(law, list(range(BLOCK - 1)))
    return float(whole - part), time.perf_counter() - started


def ours(case: str, machine: Machine, law: NDArray[np.float64], size: int, quick: bool) -> Figure:
    part, repeats = (QUICK, 1) if quick else (1, 5)
    found = [rate.simulate(machine, law, STEPS // part, seed) for seed in range(repeats)]
    truth = bracket(machine, law)
    facts = {
        "off_bits": abs(found[0].rate - truth.value),
        "truth_width_bits": truth.upper - truth.lower,
        "stderr_bits": found[0].stderr,
        "steps": float(found[0].steps),
        "hidden_states": float(machine.states),
    }
    rates = tuple(one.steps / one.seconds for one in found)
    return Figure(f"{case}, {OURS}", size, "/s", rates, None, None, facts)


def peers(case: str, process: Process, size: int, truth: float, quick: bool) -> Iterator[Figure]:
    """Each in a process of its own, whose numpy has one thread."""
    steps = LOOP_STEPS // (QUICK if quick else 1)
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    for name, run, each, chains in (
        (LOOP, one_chain, steps, 1),
        (BESIDE, many_chains, max(2, 5 * steps // CHAINS), CHAINS),
    ):
        value, took_s = in_fresh_process(run, process, each)
        off = abs(value - process.single_letter[1] - truth)
        facts = {"off_bits": off, "steps": float(each * chains)}
        rates = (each * chains / took_s,)
        yield Figure(f"{case}, {name}", size, "/s", rates, f"{case}, {OURS}", None, facts)


def forward_figures(quick: bool) -> Iterator[Figure]:
    cases = [(f"{name}, fair", FAIR, name, size) for name in BINARY for size in BINARY[name]]
    cases += [("best-effort, ternary", TERNARY, "best-effort", size) for size in TERNARY_SIZES]
    for case, law, name, size in cases:
        machine = from_policy(rate.named(name, law, size))
        figure = ours(case, machine, law, size, quick)
        yield figure
        if size in (1, 12):
            process = under(machine, law)
            yield from peers(case, process, size, bracket(machine, law).value, quick)
    for size in IN_SERIES:
        policy = rate.named("optimal", FAIR, size)
        yield ours("two optimal in series, fair", series([policy, policy]), FAIR, size, quick)


def exact_figures(quick: bool) -> Iterator[Figure | Skipped]:
    sizes = (1, 3, 12, 50)
    for size in sizes[:2] if quick else sizes:
        machine = from_policy(rate.named("best-effort", TERNARY, size))
        found = [bracket(machine, TERNARY) for _ in range(1 if quick else 5)]
        facts = {"width_bits": found[0].upper - found[0].lower}
        samples = tuple(one.seconds for one in found)
        yield Figure("exact best-effort, ternary", size, "s", samples, None, None, facts)
    try:
        dit = importlib.import_module("dit")
    except ImportError:
        yield Skipped("exact best-effort, ternary, dit", 1, "dit is not installed")
        return
    process = under(from_policy(rate.named("best-effort", TERNARY, 1)), TERNARY)
    value, took_s = blocks(dit, process)
    off = abs(value - process.single_letter[1] - bracket(process.machine, TERNARY).value)
    facts = {"off_bits": off, "block": float(BLOCK)}
    peer = "exact best-effort, ternary"
    yield Figure(f"{peer}, dit", 1, "s", (took_s,), peer, None, facts)


def run(quick: bool) -> Iterator[Figure | Skipped]:
    yield from forward_figures(quick)
    yield from exact_figures(quick)


BENCHMARK = Benchmark(
    name="leakage_rate",
    title="Leakage rates: forward recursion, steps a second, one core; exact values",
    about="Steps that count, drawing of the load and of the policy included, compilation not; a "
    "quarter more steps are simulated before. The capacity is in quanta. numpy's recursions take "
    "-log2 p, ours the entropy of what comes next, so their errors differ at equal steps.",
    sizes="capacity",
    run=run,
)
