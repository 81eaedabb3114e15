"""`hushmeter study cascade`: Fig. 2 of Liu, Lee and Khisti's letter, and what lies beneath it.

Leakage against total battery size for the paper's two loads. Its five curves

    lower_bound        one battery as large as both (Theorem 2)
    theorem_1_same     Theorem 1 at its least, one policy for both batteries
    individual         Theorem 1 where each battery has the policy that is best for it alone
    best_effort        one battery of the total size under best effort, with both readings of it
    hold_mean          the same under Yang's rule without a price

and, new, theorem_1_different, where the two policies may differ, best_upper, the smallest rate that
is certified for policies that were found, and what the policies of Theorem 1 leak in truth.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hushmeter.leakage import cascade, cascade_search, rate
from hushmeter.leakage.policy import Policy
from hushmeter.study.run import rounded

Progress = Callable[[int, int], None]

PAPER = (
    "Liu, Lee, Khisti: Information-Theoretic Privacy in Smart Metering Systems using Cascaded "
    "Rechargeable Batteries"
)
LOADS = {"binary": (0.5, 0.5), "ternary": (0.25, 0.5, 0.25)}
CAPACITIES = (1, 2, 3, 4, 5, 6)
QUICK_CAPACITIES = (1, 2, 3)
STEPS, QUICK_STEPS = 4_000_000, 400_000
CONTROLLERS = {
    "best_effort": "best-effort",
    "best_effort_pass": "best-effort-pass",
    "hold_mean": "hold-mean",
}
"""Name here -> name of the controller, on one battery of the total size."""


@dataclass(frozen=True)
class Estimate:
    """Bits a step with a standard error; 0 where the value is exact."""

    bits: float
    stderr: float


@dataclass(frozen=True)
class Row:
    """One load with two batteries of `capacity`; bits a step.

    The rates are of the policies of the bound of that name; `best_recalls` says how many of its
    outputs each battery remembers under the policies of `best_upper`.
    """

    load: str
    capacity: int
    total: int
    lower_bound: float
    theorem_1_same: float
    theorem_1_different: float
    individual: float
    best_upper: float
    best_recalls: tuple[int, ...]
    best_effort: Estimate
    best_effort_pass: Estimate
    hold_mean: Estimate
    rate_same: Estimate
    rate_different: Estimate
    rate_individual: Estimate
    rate_best: Estimate
    stationarity_gap: float

    @property
    def gap_closed(self) -> float:
        """The part of the way from the paper's curve 2 to the lower bound that best_upper goes."""
        way = self.theorem_1_same - self.lower_bound
        return (self.theorem_1_same - self.best_upper) / way

    def flat(self) -> dict[str, Any]:
        """As in the files: an estimate is two columns."""
        found: dict[str, Any] = {}
        for key, value in asdict(self).items():
            if isinstance(value, dict):
                found[key], found[f"{key}_stderr"] = value["bits"], value["stderr"]
            elif isinstance(value, tuple):
                found[key] = " ".join(map(str, value))
            else:
                found[key] = value
        return {**found, "gap_closed": self.gap_closed}


@dataclass(frozen=True)
class CascadeStudy:
    """Everything that the study found; rows by load and rising size."""

    rows: list[Row]
    seed: int
    steps: int
    is_quick: bool

    def of(self, load: str) -> list[Row]:
        """The rows of a load."""
        return [row for row in self.rows if row.load == load]


def study(
    seed: int, quick: bool = False, progress: Progress = lambda done, total: None
) -> CascadeStudy:
    """Computes every point; the same seed gives the same study."""
    capacities = QUICK_CAPACITIES if quick else CAPACITIES
    points = [(load, capacity) for load in LOADS for capacity in capacities]
    steps = QUICK_STEPS if quick else STEPS
    rows = []
    for done, (load, capacity) in enumerate(points):
        progress(done, len(points))
        rows.append(_row(load, capacity, seed, steps))
    progress(len(points), len(points))
    return CascadeStudy(rows, seed, steps, quick)


def as_json(found: CascadeStudy) -> dict[str, Any]:
    """The study as one object with stable keys; floats to nine decimals."""
    from hushmeter.study.cascade_published import statements

    table: dict[str, Any] = {
        "study": "cascade",
        "paper": PAPER,
        "seed": found.seed,
        "steps": found.steps,
        "loads": {name: list(law) for name, law in LOADS.items()},
        "rows": [row.flat() for row in found.rows],
        "statements": [vars(statement) for statement in statements(found)],
    }
    result: dict[str, Any] = rounded(table)
    return result


def _row(load: str, capacity: int, seed: int, steps: int) -> Row:
    law = np.array(LOADS[load])
    bounds = {kind: cascade.solve(law, capacity, kind, seed=seed) for kind in cascade.KINDS}
    best = cascade_search.improve(bounds["different"], law, "quick", seed)

    def simulated(policies: tuple[Policy, ...]) -> Estimate:
        found = rate.simulate_cascade(policies, law, steps, seed)
        return Estimate(float(found.rate), float(found.stderr))

    return Row(
        load=load,
        capacity=capacity,
        total=2 * capacity,
        lower_bound=bounds["same"].lower_bound,
        theorem_1_same=bounds["same"].upper_bound,
        theorem_1_different=bounds["different"].upper_bound,
        individual=bounds["individual"].upper_bound,
        best_upper=best.bits,
        best_recalls=best.recalled,
        rate_same=simulated(bounds["same"].policies),
        rate_different=simulated(bounds["different"].policies),
        rate_individual=simulated(bounds["individual"].policies),
        rate_best=simulated(best.policies),
        stationarity_gap=max(bounds[kind].stationarity_gap for kind in ("same", "different")),
        **{
            name: _one_battery(controller, law, 2 * capacity, steps, seed)
            for name, controller in CONTROLLERS.items()
        },
    )


def _one_battery(
    controller: str, law: NDArray[np.float64], capacity: int, steps: int, seed: int
) -> Estimate:
    """Exact where that is known, else by the forward recursion."""
    policy = rate.named(controller, law, capacity)
    exact = rate.exact(policy, law)
    if exact is not None:
        return Estimate(exact.value, 0.0)
    found = rate.simulate(policy, law, steps, seed)
    return Estimate(float(found.rate), float(found.stderr))
