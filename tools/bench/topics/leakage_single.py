"""The least leakage of one battery: time against capacity, and error, beside general solvers.

The peers minimise the same convex function of the charge's law: scipy's SLSQP with gradients, and
cvxpy with an exponential cone (Clarabel). `dit` has no optimiser for it: it is asked for
I(S - X; X) at our theta, which checks the value independently. For a fair coin the error is
against the closed form -log2 cos(pi / (C + 3)); for the other load against our certified value.
Markov loads have no peer; the facts say how near the bounds came.
"""

from __future__ import annotations

import importlib
import math
import os
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from hushmeter.leakage import markov, single
from hushmeter.leakage.markov_load import markov_load
from tools.bench.figures import Benchmark, Figure, Skipped
from tools.bench.measure import in_fresh_process

Floats = NDArray[np.float64]
FAIR = np.array([0.5, 0.5])
WIDE = np.random.default_rng(1).dirichlet(np.ones(21))
LOADS = {"fair coin": FAIR, "21 random levels": WIDE}
CAPACITIES = (1, 2, 4, 8, 12, 25, 50, 100, 200, 500, 1000)
QUICK_CAPACITIES = (1, 12, 100)
PEER_CAPACITIES = {"scipy SLSQP": (4, 12, 50, 100), "cvxpy": (4, 12, 50, 500), "dit": (4, 12, 50)}
THREADS = "OPENBLAS_NUM_THREADS"
STICKY = [[0.9, 0.1], [0.2, 0.8]]
TERNARY = [[0.8, 0.1, 0.1], [0.2, 0.6, 0.2], [0.1, 0.3, 0.6]]


def truth(name: str, capacity: int) -> float:
    if name == "fair coin":
        return -math.log2(math.cos(math.pi / (capacity + 3)))
    return single.solve(LOADS[name], capacity).value


def leaks(law: Floats, theta: Floats) -> float:
    theta = np.maximum(theta, 0)
    return single.leakage_of(law, theta / theta.sum())


def by_slsqp(law: Floats, capacity: int) -> float:
    """The value at the law that scipy finds, from the uniform one."""
    place = np.arange(capacity + 1)
    cells = place[:, None] - np.arange(len(law)) + len(law) - 1

    def information(theta: Floats) -> tuple[float, Floats]:
        theta = np.maximum(theta, 1e-300)
        mixed = np.convolve(theta, law[::-1])
        slope = np.log(theta) - np.log(mixed)[cells] @ law
        return float(theta @ slope), slope

    found = minimize(
        information, np.full(capacity + 1, 1 / (capacity + 1)), jac=True, method="SLSQP",
        bounds=[(0, 1)] * (capacity + 1),
        constraints={"type": "eq", "fun": lambda v: v.sum() - 1, "jac": np.ones_like},
        options={"ftol": 1e-14, "maxiter": 1000},
    )  # fmt: skip
    return leaks(law, found.x)


def by_cvxpy(cvxpy: Any, law: Floats, capacity: int) -> float:
    """The value at the law that a conic solver finds at its tightest settings."""
    theta = cvxpy.Variable(capacity + 1)
    mixed = cvxpy.convolve(law[::-1], theta)
    parts = [
        law[x] * cvxpy.sum(cvxpy.rel_entr(theta, mixed[start : start + capacity + 1]))
        for x, start in enumerate(range(len(law) - 1, -1, -1))
    ]
    problem = cvxpy.Problem(cvxpy.Minimize(sum(parts)), [cvxpy.sum(theta) == 1])
    with warnings.catch_warnings():
        # It says that it may be inaccurate; how much so is among the facts.
        warnings.simplefilter("ignore")
        problem.solve(solver="CLARABEL", tol_gap_abs=1e-10, tol_gap_rel=1e-10, tol_feas=1e-10)
    return leaks(law, theta.value)


def by_dit(dit: Any, law: Floats, capacity: int) -> float:
    """I(S - X; X) at our theta; the minimum itself `dit` cannot find."""
    theta = single.solve(law, capacity).theta
    outcomes = [(s - x, x) for s in range(capacity + 1) for x in range(len(law))]
    joint = dit.Distribution(outcomes, np.outer(theta, law).ravel())
    return float(dit.shannon.mutual_information(joint, [0], [1]))


PEERS: dict[str, tuple[str | None, Callable[..., float]]] = {
    "scipy SLSQP": (None, by_slsqp),
    "cvxpy": ("cvxpy", by_cvxpy),
    "dit": ("dit", by_dit),
}


def our_figures(quick: bool) -> Iterator[Figure]:
    for name, law in LOADS.items():
        for capacity in QUICK_CAPACITIES if quick else CAPACITIES:
            found = [single.solve(law, capacity) for _ in range(3 if quick else 25)]
            one = found[0]
            facts = {"gap_bits": one.upper - one.lower, "iterations": float(one.iterations)}
            if name == "fair coin":
                facts["error_bits"] = abs(one.value - truth(name, capacity))
            samples = tuple(run.seconds for run in found)
            yield Figure(name, capacity, "s", samples, None, None, facts)


def peer_figures(quick: bool) -> Iterator[Figure | Skipped]:
    for peer, (where, call) in PEERS.items():
        try:
            solver = partial(call, importlib.import_module(where)) if where else call
        except ImportError:
            yield Skipped(peer, 0, f"{peer} is not installed")
            continue
        solver(FAIR, 1)
        for name, law in LOADS.items():
            for capacity in PEER_CAPACITIES[peer][: 1 if quick else None]:
                started = time.perf_counter()
                value = solver(law, capacity)
                took_s = time.perf_counter() - started
                facts = {"error_bits": abs(value - truth(name, capacity))}
                yield Figure(f"{name}, {peer}", capacity, "s", (took_s,), name, None, facts)


def markov_figures(quick: bool) -> Iterator[Figure]:
    cases = {"binary Markov load": STICKY, "ternary Markov load": TERNARY}
    for name, transition in cases.items():
        load = markov_load(transition)
        for capacity in (1,) if quick else (1, 3, 8):
            found = markov.solve(load, capacity, most_seconds=1.0 if quick else 10.0)
            facts = {"gap_bits": found.upper - found.lower, "memories": float(found.memories)}
            yield Figure(name, capacity, "s", (found.seconds,), None, None, facts)


def all_figures(quick: bool) -> list[Figure | Skipped]:
    return [*our_figures(quick), *peer_figures(quick), *markov_figures(quick)]


def run(quick: bool) -> Iterator[Figure | Skipped]:
    before = os.environ.get(THREADS)
    os.environ[THREADS] = "1"
    try:
        found = in_fresh_process(all_figures, quick)
    finally:
        if before is None:
            del os.environ[THREADS]
        else:
            os.environ[THREADS] = before
    yield from found


BENCHMARK = Benchmark(
    name="leakage_single",
    title="The least leakage of one battery, one core",
    about="J*(C) of a fair coin and of a law on 21 levels, compilation not counted; error against "
    "the closed form or the certified value. dit evaluates our optimum, since it cannot find one. "
    "Markov loads run to a gap of 1e-6 bit or for 10 s.",
    sizes="capacity",
    run=run,
    picture=True,
)
