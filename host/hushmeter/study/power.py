"""`hushmeter study power`: Figs. 3 to 8 of the privacy-power paper, computed again.

    binary       one user, a binary load                            Fig. 3
    uniform      one user, 21 levels, mean 1; simple ways beside it Fig. 4
    same_levels  three users who are 0 or 1                         Fig. 5
    same_mean    three users with a mean of 1                       Fig. 6
    users        one, two, three binary users, mean 1 in all        Fig. 7
    exponential  one, two, three exponential users, mean 1 in all   Fig. 8

Every point is solved to its certificate; nothing is random. The paper's text says what Figs. 4 to 6
were computed from. Of Figs. 3, 7 and 8 it says less; `BINARY`, `CROWDS` and `EXPONENTIAL_PARTS` are
chosen here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hushmeter.leakage import heuristics, power, power_bounds, users
from hushmeter.leakage.distributions import Discrete, Exponential
from hushmeter.study.run import rounded

Progress = Callable[[int, int], None]
Row = dict[str, float | None]

PAPER = (
    "Gómez-Vilardebó, Gündüz: Smart meter privacy for multiple users in the presence of an "
    "alternative energy source, IEEE Trans. Information Forensics and Security 10 (2015)"
)
POINTS, QUICK_POINTS = 121, 25
FIGURES = {
    "binary": "Fig. 3",
    "uniform": "Fig. 4",
    "same_levels": "Fig. 5",
    "same_mean": "Fig. 6",
    "users": "Fig. 7",
    "exponential": "Fig. 8",
}
BINARY = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Pr(X = 0) of the curves of Fig. 3; the paper's own are in its picture alone."""
LEVELS = 21
SAME_LEVELS = ((0.9, 1.0), (0.5, 1.0), (0.1, 1.0))
SAME_MEAN = ((0.9, 10.0), (0.5, 2.0), (0.1, 1.11))
"""(Pr(X = 0), the other level); 1.11 is the paper's rounding of 10/9."""
CROWDS = ((0.9,), (0.9, 0.5), (0.9, 0.5, 0.1))
"""Pr(X = 0) of Fig. 7's users: the first of Fig. 5's, all with the level that makes the mean 1."""
EXPONENTIAL_PARTS = ((1.0,), (1.0, 2.0), (1.0, 2.0, 3.0))
"""Means of Fig. 8's users, scaled to 1 in all."""
LEAST_EXPONENTIAL = 0.01
"""Where Fig. 8 begins: an exponential load leaks without bound at 0."""


@dataclass(frozen=True)
class PowerStudy:
    """Everything that the study found.

    Attributes
    ----------
    tables:
        Name of `FIGURES` -> rows by rising power; leakage in bits a step.
    worst_gap:
        The widest distance of upper and lower bound of any point, bits.
    points:
        Of a curve.
    """

    tables: dict[str, list[Row]]
    worst_gap: float
    solved: int
    points: int


class _Certified:
    """Solves points and keeps the widest gap."""

    def __init__(self) -> None:
        self.worst_gap = 0.0
        self.solved = 0

    def point(self, load: Discrete, watts: float) -> power.PowerPoint:
        found = power.solve(load, watts)
        self._seen(found.upper - found.lower)
        return found

    def shared(self, loads: Sequence[users.Load], watts: float) -> users.Allocation:
        found = users.solve(loads, watts)
        self._seen(found.upper - found.lower)
        return found

    def _seen(self, gap: float) -> None:
        self.worst_gap = max(self.worst_gap, gap)
        self.solved += 1


def study(points: int = POINTS, progress: Progress = lambda done, total: None) -> PowerStudy:
    """Computes every figure; `points` of each curve."""
    solver = _Certified()
    makers: dict[str, Callable[[_Certified, int], list[Row]]] = {
        "binary": _binary,
        "uniform": _uniform,
        "same_levels": lambda solver, points: _three(solver, points, SAME_LEVELS),
        "same_mean": lambda solver, points: _three(solver, points, SAME_MEAN),
        "users": _crowds,
        "exponential": _exponential,
    }
    tables = {}
    for done, (name, make) in enumerate(makers.items()):
        progress(done, len(makers))
        tables[name] = make(solver, points)
    progress(len(makers), len(makers))
    return PowerStudy(tables, solver.worst_gap, solver.solved, points)


def uniform_load() -> Discrete:
    """Fig. 4's load."""
    return Discrete(np.full(LEVELS, 1 / LEVELS), np.arange(float(LEVELS))).scaled_to(1.0)


def binary_load(low: float, delta: float) -> Discrete:
    """0 with probability `low`, else `delta`."""
    return Discrete(np.array([low, 1 - low]), np.array([0.0, delta]))


def private_from(settings: Sequence[tuple[float, float]]) -> list[float]:
    """The total power from which each of these binary users leaks nothing.

    User i is done once the common slope is down to where (12) gives it all, 1 - exp(-s D_i) = p_i.
    """
    found = []
    for low, delta in settings:
        slope = -math.log1p(-low) / delta
        # A user that is done at the same slope counts as done, whatever the rounding.
        parts = [users.binary_allocation(p, d, slope * (1 - 1e-14)) for p, d in settings]
        found.append(math.fsum(parts))
    return found


def as_json(found: PowerStudy) -> dict[str, Any]:
    """The study as one object with stable keys; floats to nine decimals."""
    from hushmeter.study.power_corrections import corrections
    from hushmeter.study.power_published import statements

    table: dict[str, Any] = {
        "study": "power",
        "paper": PAPER,
        "points": found.points,
        "solved": found.solved,
        "worst_gap_below_1e_9": found.worst_gap < 1e-9,
        "figures": FIGURES,
        **found.tables,
        "statements": [vars(statement) for statement in statements(found)],
        "corrections": [vars(correction) for correction in corrections(found)],
    }
    result: dict[str, Any] = rounded(table)
    return result


def _binary(solver: _Certified, points: int) -> list[Row]:
    """Long rows: one load and power a row, since every load has powers of its own."""
    rows: list[Row] = []
    for low in BINARY:
        load = binary_load(low, 1.0)
        for watts in np.linspace(0, load.mean, points):
            found = solver.point(load, float(watts))
            closed = power.binary(low, 1.0, float(watts))
            row = {"p_low": low, "power": float(watts), "bits": found.value, "closed_form": closed}
            rows.append({**row, "time_division_exact": heuristics.time_division(load, watts)})
    return rows


def _uniform(solver: _Certified, points: int) -> list[Row]:
    load = uniform_load()
    limit_powers, limits = heuristics.output_limits(load)
    printed = heuristics.output_limits_printed(load)
    rows: list[Row] = []
    for watts in np.linspace(0, 1, points):
        found = solver.point(load, float(watts))
        row: Row = {
            "power": float(watts),
            "optimal": found.value,
            "output_limit": heuristics.output_limit(load, float(watts)),
            "output_limit_printed": float(np.interp(watts, limit_powers[::-1], printed[::-1])),
            "time_division_exact": heuristics.time_division(load, float(watts)),
            "time_division_printed": heuristics.time_division_printed(load, float(watts)),
            "shannon_lower": power_bounds.discrete_lower(load, float(watts)),
            "levels_used": found.levels_used,
        }
        rows.append(row)
    return rows


def _three(solver: _Certified, points: int, settings: Sequence[tuple[float, float]]) -> list[Row]:
    loads = [binary_load(low, delta) for low, delta in settings]
    most = math.fsum(load.mean for load in loads)
    return [_shared_row(solver, loads, float(watts)) for watts in np.linspace(0, most, points)]


def _shared_row(solver: _Certified, loads: Sequence[users.Load], watts: float) -> Row:
    found = solver.shared(loads, watts)
    slope = found.multiplier_nats
    row: Row = {
        "power": watts,
        "total": found.total,
        "multiplier_nats": slope if math.isfinite(slope) else None,
    }
    for number, (bits, part) in enumerate(
        zip(found.per_user, found.allocation, strict=True), start=1
    ):
        row[f"user_{number}_bits"] = bits
        row[f"user_{number}_power"] = part
    return row


def _crowds(solver: _Certified, points: int) -> list[Row]:
    groups = []
    for crowd in CROWDS:
        delta = 1 / math.fsum(1 - low for low in crowd)
        groups.append([binary_load(low, delta) for low in crowd])
    return _by_count(solver, groups, np.linspace(0, 1, points))


def _exponential(solver: _Certified, points: int) -> list[Row]:
    groups = [
        [Exponential(part / math.fsum(parts)) for part in parts] for parts in EXPONENTIAL_PARTS
    ]
    return _by_count(solver, groups, np.geomspace(LEAST_EXPONENTIAL, 1, points))


def _by_count(
    solver: _Certified, groups: Sequence[Sequence[users.Load]], powers: np.ndarray[Any, Any]
) -> list[Row]:
    """Total leakage of each group and how many of its users still leak."""
    rows: list[Row] = []
    for watts in powers:
        row: Row = {"power": float(watts)}
        for group in groups:
            found = solver.shared(group, float(watts))
            row[f"users_{len(group)}"] = found.total
            row[f"seen_{len(group)}"] = sum(bits > 1e-9 for bits in found.per_user)
        rows.append(row)
    return rows
