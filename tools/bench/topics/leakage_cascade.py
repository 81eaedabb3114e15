"""Time of one start of the cascade's minimisation, beside scipy's general solvers.

Every way minimises the same bound from the same point: Theorem 1's with a policy for each battery.
scipy gets the masses as variables, the linear constraints without those that others imply, bounds,
and the exact gradient; the interior-point method that the letter used is like trust-constr.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import qr
from scipy.optimize import Bounds, LinearConstraint, minimize

from hushmeter.leakage import cascade, cascade_kernels, cascade_space, single
from tools.bench.figures import Benchmark, Figure, Skipped
from tools.bench.measure import in_fresh_process

Floats = NDArray[np.float64]

LAWS = {"fair bits": (0.5, 0.5), "ternary": (0.25, 0.5, 0.25)}
SIZES = (1, 2, 5, 12)
PEER_SIZES = (1, 2, 5)
OURS, SLSQP, TRUST = "a start", "SLSQP", "trust-constr"
_RANK = 1e-9
_FLOOR = 1e-12
_MOST_MISSED = 1e-6


@dataclass(frozen=True)
class Found:
    """Bound in bits, seconds of each repeat, and how far constraints were missed."""

    bits: float
    seconds: tuple[float, ...]
    steps: int
    missed: float = 0.0


def problem_of(name: str, capacity: int) -> tuple[cascade.Problem, list[Floats]]:
    """The problem and its starting points."""
    law = np.array(LAWS[name])
    problem = cascade.Problem(cascade_space.make(law, capacity), np.array([0, 1]))
    theta = single.solve(law, capacity).theta
    return problem, cascade.starting_points(problem, theta, 1)


def ours(name: str, capacity: int, repeats: int) -> Found:
    """Different starts, after one that is not counted."""
    problem, points = problem_of(name, capacity)
    cascade.descend(problem, points[0])
    took, best, steps = [], np.inf, 0
    for point in points[:repeats]:
        began = time.perf_counter()
        _, bits, steps = cascade.descend(problem, point)
        took.append(time.perf_counter() - began)
        best = min(best, bits)
    return Found(float(best), tuple(took), steps)


def general(name: str, capacity: int, method: str) -> Found:
    """scipy from our first starting point."""
    problem, points = problem_of(name, capacity)
    space, shape = problem.space, points[0].shape
    rows = cascade_space.constraints(space.index, space.levels, space.law)
    _, triangle, order = qr(rows.T, pivoting=True)
    kept = np.sort(order[: np.count_nonzero(np.abs(np.diag(triangle)) > _RANK)])
    one = np.zeros(len(rows))
    one[-1] = 1.0
    equations = np.kron(np.eye(2), rows[kept])
    sides = np.tile(one[kept], 2)

    def value(flat: Floats) -> tuple[float, Floats]:
        inside = np.maximum(flat, _FLOOR).reshape(shape)
        rest = (space.index, problem.owner, space.law)
        nats, gradient, _ = cascade_kernels.derivatives(inside, *rest)
        return nats, gradient

    value(points[0].ravel())
    began = time.perf_counter()
    done = minimize(
        value, points[0].ravel(), jac=True, method=method, bounds=Bounds(_FLOOR, 1),
        constraints=[LinearConstraint(equations, sides, sides)],
        options={"maxiter": 2000, **({"ftol": 1e-12} if method == SLSQP else {"gtol": 1e-9})},
    )  # fmt: skip
    took = time.perf_counter() - began
    masses = np.maximum(done.x, _FLOOR).reshape(shape)
    missed = float(np.abs(equations @ masses.ravel() - sides).max())
    return Found(problem.bound(masses), (took,), int(done.nit), missed)


def run(quick: bool) -> Iterator[Figure | Skipped]:
    # Threads of a library that others also use would be a measurement of the others.
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    for name in LAWS:
        for capacity in SIZES[:2] if quick else SIZES:
            found = in_fresh_process(ours, name, capacity, 3 if quick else 12)
            case = f"{OURS}, {name}"
            facts = {"bits": found.bits, "steps": float(found.steps)}
            yield Figure(case, capacity, "s", found.seconds, None, None, facts)
            if capacity not in PEER_SIZES:
                continue
            for method in (SLSQP, TRUST):
                other = in_fresh_process(general, name, capacity, method)
                if other.missed > _MOST_MISSED:
                    said = f"ended outside the constraints, by {other.missed:.1g}"
                    yield Skipped(f"{method}, {name}", capacity, said)
                    continue
                facts = {
                    "bits": other.bits,
                    "above_ours_bits": other.bits - found.bits,
                    "steps": float(other.steps),
                }
                yield Figure(f"{method}, {name}", capacity, "s", other.seconds, case, None, facts)


BENCHMARK = Benchmark(
    name="leakage_cascade",
    title="Batteries in series: one start of the minimisation of Theorem 1's bound, one core",
    about="Two batteries with a policy each; sizes are the capacity of each. From a point inside "
    "to a stationary one; compilation not counted. scipy's solvers get the same objective, exact "
    "gradient and linear constraints; above_ours_bits is how much higher the value is that they "
    "end at.",
    sizes="capacity",
    run=run,
)
