"""A point of the privacy-power function: time and error, beside general solvers.

Points of the load of the paper's Fig. 4, among them those where outputs vanish (P = 0.5, 0.9) and
alternating methods crawl. The peers: scipy's SLSQP over p(y | x) with gradients, cvxpy with an
exponential cone (Clarabel), `dit`'s Blahut-Arimoto, and a plain Blahut-Arimoto that stops on the
duality gap; these two are told the right slope, which saves them the search for it. The error is
against the certified value at the power that the peer's own policy takes.
"""

from __future__ import annotations

import importlib
import math
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import xlogy

from hushmeter.leakage import power, users, users_joint
from hushmeter.leakage.distributions import Discrete, parse_discrete
from hushmeter.leakage.entropies import mutual_information
from tools.bench.figures import Benchmark, Figure, Skipped
from tools.bench.measure import in_fresh_process

Floats = NDArray[np.float64]
UNIFORM = parse_discrete("uniform:21").scaled_to(1.0)
POWERS = (0.05, 0.5, 0.9, 0.999)
PEAK = 1.5
LEVELS = (21, 64, 256, 1024)
PEAK_LEVELS = (21, 64, 256)
THREADS = "OPENBLAS_NUM_THREADS"
MOST_STEPS = 200_000
GAP_NATS = 1e-8
NEXT_TO_NOTHING = 1e-200
FAR = 1e6
"""Stands for an infinite cost in `dit`, which multiplies costs by probabilities that are 0."""


def apart(load: Discrete) -> Floats:
    return load.levels[:, None] - load.levels[None, :]


def error_bits(load: Discrete, policy: Floats, peak: float | None = None) -> float:
    """How much more a policy leaks than is least at the power that it takes."""
    drawn = float(load.probabilities @ (policy * np.maximum(apart(load), 0)).sum(1))
    least = power.solve(load, min(max(drawn, 0.0), load.mean), peak).value
    return mutual_information(load.probabilities[:, None] * policy) - least


def by_slsqp(load: Discrete, watts: float) -> Floats:
    """p(y | x) from rows that are uniform over what is allowed, scaled to the power."""
    costs, law = apart(load), load.probabilities
    n = len(law)
    rows, columns = np.nonzero(costs >= 0)
    rough = np.tril(np.ones((n, n))) / np.arange(1, n + 1)[:, None]
    share = min(1.0, watts / float(law @ (rough * np.maximum(costs, 0)).sum(1)))
    start = (share * rough + (1 - share) * np.eye(n))[rows, columns]
    prices = law[rows] * costs[rows, columns]
    sums = np.zeros((n, len(rows)))
    sums[rows, np.arange(len(rows))] = 1

    def leakage(v: Floats) -> tuple[float, Floats]:
        v = np.maximum(v, 1e-300)
        seen = np.zeros(n)
        np.add.at(seen, columns, law[rows] * v)
        value = float((law[rows] * xlogy(v, v / seen[columns])).sum())
        return value, law[rows] * np.log(v / seen[columns])

    found = minimize(
        leakage, start, jac=True, method="SLSQP", bounds=[(0, 1)] * len(rows),
        constraints=[
            {"type": "eq", "fun": lambda v: sums @ v - 1, "jac": lambda v: sums},
            {"type": "ineq", "fun": lambda v: watts - prices @ v, "jac": lambda v: -prices},
        ],
        options={"ftol": 1e-10, "maxiter": 300},
    )  # fmt: skip
    policy = np.zeros((n, n))
    policy[rows, columns] = np.maximum(found.x, 0)
    policy /= policy.sum(1, keepdims=True)
    return policy


def by_cvxpy(cvxpy: Any, load: Discrete, watts: float) -> Floats:
    """p(y | x) by a conic solver at its tightest settings."""
    costs, law = apart(load), load.probabilities
    rows, columns = np.nonzero(costs >= 0)
    cells = np.arange(len(rows))
    joint = cvxpy.Variable(len(rows), nonneg=True)
    by_row, by_column = np.zeros((2, len(law), len(rows)))
    by_row[rows, cells] = by_column[columns, cells] = 1
    other = cvxpy.multiply(law[rows], (by_column.T @ by_column) @ joint)
    rules = [by_row @ joint == law, costs[rows, columns] @ joint <= watts]
    problem = cvxpy.Problem(cvxpy.Minimize(cvxpy.sum(cvxpy.rel_entr(joint, other))), rules)
    problem.solve(solver="CLARABEL", tol_gap_abs=1e-10, tol_gap_rel=1e-10, tol_feas=1e-10)
    policy = np.zeros(costs.shape)
    policy[rows, columns] = np.maximum(joint.value, 0)
    policy /= policy.sum(1, keepdims=True)
    return policy


def by_dit(dit: Any, load: Discrete, slope: float) -> Floats:
    """Blahut-Arimoto that stops once the distortion hardly changes, from its uniform start."""
    costs = np.where(apart(load) >= 0, apart(load), FAR)
    law = load.probabilities
    _, joint = dit.blahut_arimoto(
        law, slope / math.log(2), lambda p, q: costs, max_iters=MOST_STEPS, restarts=1
    )
    return np.asarray(joint) / law[:, None]


def by_blahut(load: Discrete, slope: float, most: int) -> tuple[Floats, int]:
    """(p(y | x), steps) of Blahut-Arimoto to a duality gap of `GAP_NATS`, or as far as it came."""
    kernel = np.where(apart(load) >= 0, np.exp(-slope * np.maximum(apart(load), 0)), 0.0)
    law, r = load.probabilities, np.full(len(load.levels), 1 / len(load.levels))
    steps = 0
    while steps < most:
        reach = kernel.T @ (law / (kernel @ r))
        if math.log(reach.max()) < GAP_NATS:
            break
        r = r * reach
        r[r < NEXT_TO_NOTHING] = 0.0
        steps += 1
    policy = kernel * r
    return policy / policy.sum(1, keepdims=True), steps


def timed(action: Callable[[], Any]) -> tuple[Any, float]:
    started = time.perf_counter()
    found = action()
    return found, time.perf_counter() - started


def point(case: str, load: Discrete, watts: float, peak: float | None, quick: bool) -> Figure:
    power.solve(load, 0.9 * watts, peak)
    found = [power.solve(load, watts, peak) for _ in range(3 if quick else 25)]
    facts = {
        "gap_bits": found[0].upper - found[0].lower,
        "outputs_used": float(found[0].levels_used),
    }
    samples = tuple(one.seconds for one in found)
    return Figure(case, len(load.levels), "s", samples, None, None, facts)


def peer_figures(case: str, watts: float, quick: bool) -> Iterator[Figure | Skipped]:
    size, load = len(UNIFORM.levels), UNIFORM
    slope = power.solve(load, watts).slope

    def figure(name: str, policy: Floats, took_s: float, **facts: float) -> Figure:
        facts = {"error_bits": error_bits(load, policy), **facts}
        return Figure(f"{case}, {name}", size, "s", (took_s,), case, None, facts)

    most = MOST_STEPS // (100 if quick else 1)
    (policy, steps), took_s = timed(lambda: by_blahut(load, slope, most))
    yield figure("Blahut-Arimoto on the gap", policy, took_s, steps=float(steps))
    if not quick:
        yield figure("scipy SLSQP", *timed(lambda: by_slsqp(load, watts)))
    others: list[tuple[str, str, Callable[[Any], Floats]]] = [
        ("cvxpy", "cvxpy", lambda module: by_cvxpy(module, load, watts)),
        ("dit", "dit.rate_distortion.blahut_arimoto", lambda module: by_dit(module, load, slope)),
    ]
    for name, where, call in others:
        try:
            module = importlib.import_module(where)
        except ImportError:
            yield Skipped(f"{case}, {name}", size, f"{name} is not installed")
            continue
        call(module)
        yield figure(name, *timed(partial(call, module)))


def growth_figures(quick: bool) -> Iterator[Figure]:
    rng = np.random.default_rng(1)
    for size in LEVELS[: 2 if quick else None]:
        load = Discrete(rng.dirichlet(np.ones(size)), np.arange(float(size)))
        yield point("random law, P = 0.4 of the mean", load, 0.4 * load.mean, None, quick)
    for size in PEAK_LEVELS[: 1 if quick else None]:
        load = Discrete(rng.dirichlet(np.ones(size)), np.arange(float(size)))
        case = "random law, peak of 0.6 of the range"
        yield point(case, load, 0.3 * load.mean, 0.6 * (size - 1), quick)


def shared_figures(quick: bool) -> Iterator[Figure]:
    loads = [parse_discrete(f"binary:{low}:1") for low in (0.9, 0.5, 0.1)]
    users.solve(loads, 0.3)
    for count in (3, 300):
        many = loads * (count // 3)
        found = [users.solve(many, 0.2 * count / 3) for _ in range(2 if quick else 9)]
        facts = {"gap_bits": found[0].upper - found[0].lower}
        samples = tuple(one.seconds for one in found)
        yield Figure("binary users who share", count, "s", samples, None, None, facts)
    vector = users_joint.independent(loads)
    users_joint.solve(vector, 0.3)
    joint = [users_joint.solve(vector, 0.2) for _ in range(2 if quick else 9)]
    facts = {"gap_bits": joint[0].upper - joint[0].lower}
    samples = tuple(one.seconds for one in joint)
    yield Figure("three binary users as one vector", 3, "s", samples, None, None, facts)


def figures(quick: bool) -> list[Figure | Skipped]:
    found: list[Figure | Skipped] = []
    for watts in POWERS[1:2] if quick else POWERS:
        case = f"uniform, mean 1, P = {watts:g}"
        found.append(point(case, UNIFORM, watts, None, quick))
        found += peer_figures(case, watts, quick)
    for watts in (0.5, 0.7):
        case = f"uniform, mean 1, P = {watts:g}, peak {PEAK:g}"
        found.append(point(case, UNIFORM, watts, PEAK, quick))
    return [*found, *growth_figures(quick), *shared_figures(quick)]


def run(quick: bool) -> Iterator[Figure | Skipped]:
    # The number of threads is read when the library is loaded, so it takes a process of its own.
    before = os.environ.get(THREADS)
    os.environ[THREADS] = "1"
    try:
        yield from in_fresh_process(figures, quick)
    finally:
        os.environ.pop(THREADS)
        if before is not None:
            os.environ[THREADS] = before


BENCHMARK = Benchmark(
    name="leakage_power",
    title="Privacy-power function: a point, certified; one core",
    about="Compilation is not counted. gap_bits is upper less lower bound; error_bits is what a "
    "peer's policy leaks beyond the least at its own power. Blahut-Arimoto and dit are told the "
    "slope.",
    sizes="levels or users",
    run=run,
)
