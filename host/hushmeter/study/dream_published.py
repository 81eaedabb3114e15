"""What the DREAM paper prints, whether it is seen here, and where it cannot be right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING

from hushmeter.study.dream_clusters import theorem_2
from hushmeter.study.published import Statement

if TYPE_CHECKING:
    from hushmeter.study.dream import DreamStudy
    from hushmeter.study.dream_exposure import Exposure

_COLUMNS = (0.0, 0.1, 0.3, 0.5)
_TABLE_1 = {
    100: ((0.118, 0.021), (0.135, 0.023), (0.150, 0.026), (0.177, 0.032)),
    300: ((0.047, 0.004), (0.050, 0.005), (0.054, 0.006), (0.070, 0.007)),
    500: ((0.029, 0.002), (0.031, 0.002), (0.036, 0.002), (0.044, 0.003)),
    800: ((0.019, 0.001), (0.020, 0.001), (0.023, 0.001), (0.028, 0.001)),
    1000: ((0.015, 0.0008), (0.016, 0.0008), (0.019, 0.001), (0.023, 0.001)),
}
TABLE_1 = {
    (size, alpha): cell
    for size, cells in _TABLE_1.items()
    for alpha, cell in zip(_COLUMNS, cells, strict=True)
}
"""(N, alpha) -> (mean, dev)."""
HOURS = (0.5, 4.0, 8.0, 24.0)
TABLE_2 = {
    100: ((2.34, 0.40), (9.05, 2.59), (14.18, 3.94), (26.24, 4.52)),
    300: ((2.02, 0.44), (7.60, 2.69), (11.81, 4.14), (20.95, 4.62)),
    500: ((1.87, 0.45), (7.04, 2.76), (10.90, 4.25), (19.01, 4.85)),
    800: ((1.76, 0.45), (6.64, 2.79), (10.27, 4.34), (17.56, 5.10)),
    1000: ((1.67, 0.47), (6.35, 2.87), (9.83, 4.47), (16.55, 5.40)),
}
TABLE_3 = {
    "Lighting": ((0.91, 1.28), (2.68, 1.82), (3.63, 2.29), (4.89, 2.97)),
    "Cassette / CD player": ((0.02, 0.04), (0.05, 0.05), (0.07, 0.05), (0.09, 0.07)),
    "Vacuum": ((1.67, 7.59), (1.82, 7.58), (1.90, 7.60), (1.94, 7.63)),
    "Personal computer": ((0.21, 0.32), (0.83, 0.49), (1.09, 0.58), (1.42, 0.83)),
    "TV": ((0.15, 0.47), (0.37, 0.52), (0.45, 0.58), (0.50, 0.63)),
    "Microwave": ((1.13, 4.23), (1.26, 4.24), (1.29, 4.27), (1.31, 4.29)),
    "Kettle": ((0.55, 2.71), (0.72, 2.73), (0.83, 2.76), (1.02, 2.79)),
    "Washing machine": ((1.23, 1.43), (1.96, 1.63), (2.55, 1.76), (3.07, 2.07)),
    "DESWH": ((3.34, 14.01), (6.13, 14.06), (7.83, 14.23), (10.85, 14.57)),
    "Storage heaters": ((3.22, 0.32), (20.20, 1.99), (30.45, 4.23), (30.45, 4.23)),
    "Refrigerator": ((0.44, 0.22), (1.06, 0.49), (1.40, 0.64), (1.92, 0.80)),
}
_PAPER_SLOTS = (3, 24, 48, 144)
_PAPER_CLUSTERS = 200
_HALF_DIGIT = 0.0005
_CLEAR = 3.0
"""Standard errors beyond which a cell counts as clearly off; beyond rounding alone it is slightly
so."""
_SIGMAS = 5


@dataclass(frozen=True)
class Contradiction:
    """Something printed that cannot be right; `weight` is how clearly."""

    where: str
    printed: str
    right: str
    weight: str


def contradictions(found: DreamStudy) -> list[Contradiction]:
    """Where the paper's tables contradict its theorem, its own definitions, or an exact law."""
    return [*_cells_off(), _dev_is_not_sigma(), *_spreads_too_wide(), _shape_without_t(found)]


def _cells_off() -> list[Contradiction]:
    """Cells of Table 1 that are not Theorem 2's factor times the cell for alpha = 0.

    With everybody present the theorem is an equality whatever the loads, so a row's cells are in
    fixed proportions, but for rounding and for the clusters' being drawn anew.
    """
    off = []
    for (size, alpha), (mean, dev) in TABLE_1.items():
        base, base_dev = TABLE_1[size, 0.0]
        factor = theorem_2(1 / (1 - alpha))[0]
        gap = abs(mean - factor * base) - _HALF_DIGIT * (1 + factor)
        error = sqrt((dev**2 + (factor * base_dev) ** 2) / _PAPER_CLUSTERS)
        if gap <= 0 or gap < error / 2:
            continue
        off.append(
            Contradiction(
                f"Table 1, N = {size}, alpha = {alpha:g}",
                f"{mean:.3f}",
                f"{factor * base:.3f} = {factor:.4f} x {base:.3f} by Theorem 2",
                f"{'clearly' if gap > _CLEAR * error else 'slightly'}: {gap / error:.1f} standard "
                "errors beyond rounding",
            )
        )
    return off


def _dev_is_not_sigma() -> Contradiction:
    mean, dev = TABLE_1[100, 0.0]
    return Contradiction(
        "Table 1, dev",
        f"{dev:.3f} beside a mean of {mean:.3f}",
        f"Theorem 2: sigma(t) = mu(t) at alpha = 0, which would be {mean:.3f}; the column is the "
        "spread of clusters' means",
        "clearly",
    )


def _spreads_too_wide() -> list[Contradiction]:
    """epsilon(t) = used / lambda(t) is at most 1, lambda being the largest reading of all.

    So s slots, or the s + 1 that the paper's sums have, show at most s + 1, and a mean m in 0..b
    allows no spread beyond sqrt(m (b - m)) (Bhatia and Davis).
    """
    off = []
    for name, cells in TABLE_3.items():
        mean, dev = cells[0]
        most = _PAPER_SLOTS[0] + 1
        room = sqrt(mean * (most - mean))
        if dev > room + 0.02:
            off.append(
                Contradiction(
                    f"Table 3, {name}, s = 3",
                    f"{mean:.2f} with dev {dev:.2f}",
                    f"at most {most} in s + 1 slots, so dev is at most {room:.2f}",
                    "clearly",
                )
            )
    return off


def _shape_without_t(found: DreamStudy) -> Contradiction:
    one = next(c for c in found.coalitions if c.colluding == 25 and c.colluding_bound == 0)
    return Contradiction(
        "Section 6, shape 1/(N - M)",
        f"secure with a fraction alpha of colluding nodes; epsilon {one.nominal:g}",
        f"{one.measured:.2f} for those who know 25 of 100 shares; {one.nominal:g} needs the shape "
        "1/(N - M - T)",
        "clearly",
    )


def statements(found: DreamStudy) -> list[Statement]:
    """What the paper says of its tables, as far as the tables were computed."""
    told = [_coalitions_stay_nominal(found)]
    if found.errors:
        told += [_theorem_is_met(found), _larger_is_better(found), _errors_like_table_1(found)]
    if found.exposures:
        told += [_shows_less_in_larger(found), _grows_slower(found)]
    if found.appliances:
        told += [_appliances_show_less(found), _heaters_show_most(found)]
    return told


def _coalitions_stay_nominal(found: DreamStudy) -> Statement:
    within = [one for one in found.coalitions if one.is_within_bounds]
    most = max(one.measured / one.nominal for one in within)
    return Statement(
        "coalitions_stay_nominal",
        "The total is epsilon-differentially private whatever the adversary knows.",
        f"With shapes 1/(N - M - T) the largest epsilon within the bounds is {most:.3f} times the "
        "nominal one.",
        "not above nominal, from exact laws",
        most <= 1 + 1e-9,
    )


def _theorem_is_met(found: DreamStudy) -> Statement:
    # Clipping adds to the drawn error; the theorem is about noise alone.
    gaps = [
        max(0.0, abs(row.mean_error - row.theory_error) - row.clip_error)
        / max((row.interval[1] - row.interval[0]) / 4, 1e-12)
        for row in found.errors
    ]
    return Statement(
        "theorem_is_met",
        "Theorem 2 bounds the error.",
        f"With everybody present it is an equality: drawn and computed differ by at most "
        f"{max(gaps):.1f} standard errors in {len(gaps)} rows.",
        f"{_SIGMAS} standard errors of the clusters' mean at most, clipping apart",
        max(gaps) <= _SIGMAS,
    )


def _larger_is_better(found: DreamStudy) -> Statement:
    pairs = 0
    held = 0
    for row in found.errors:
        for other in found.errors:
            if (other.alpha, other.mode) == (row.alpha, row.mode) and other.n > row.n:
                pairs += 1
                held += other.theory_error < row.theory_error
    return Statement(
        "larger_is_better",
        "Higher N causes smaller error.",
        f"So it does in {held} of {pairs} pairs of sizes.",
        "every pair",
        held == pairs,
    )


def _errors_like_table_1(found: DreamStudy) -> Statement:
    cells = [
        (row, TABLE_1[row.n, row.alpha][0])
        for row in found.errors
        if row.mode == "faithful" and (row.n, row.alpha) in TABLE_1
    ]
    ratios = [row.mean_error / printed for row, printed in cells]
    seen = f"{min(ratios):.2f} to {max(ratios):.2f} times the printed" if ratios else "no such cell"
    return Statement(
        "errors_are_like_table_1",
        "Table 1: errors of 0.118 at N = 100 down to 0.015 at N = 1000.",
        f"The faithful mode's errors on these homes are {seen}.",
        "within a factor of 2: other homes, other largest readings",
        all(0.5 <= ratio <= 2 for ratio in ratios),
    )


def _faithful(rows: Sequence[Exposure]) -> list[Exposure]:
    return [row for row in rows if row.mode == "faithful"]


def _shows_less_in_larger(found: DreamStudy) -> Statement:
    rows = _faithful(found.exposures)
    sizes = sorted({row.n for row in rows})
    falls = [
        low.mean >= high.mean
        for low in rows
        for high in rows
        if low.hours == high.hours and low.n < high.n
    ]
    return Statement(
        "shows_less_in_larger",
        "As the cluster size increases, the privacy bound decreases (Table 2).",
        f"It falls in {sum(falls)} of {len(falls)} pairs of sizes from {sizes[0]} to {sizes[-1]}; "
        "only where noise follows the largest reading. With a cap it does not depend on N.",
        "every pair, faithful mode",
        all(falls),
    )


def _grows_slower(found: DreamStudy) -> Statement:
    rows = _faithful(found.exposures)
    first = rows[0].n
    own = [row for row in rows if row.n == first]
    growth = own[-1].mean / own[0].mean
    slots = own[-1].slots / own[0].slots
    return Statement(
        "grows_slower_than_s",
        "A day shows 26.24 / 2.34 = 11 times as much as its 30 minutes, not 48 times (N = 100).",
        f"{growth:.1f} times for {slots:.0f} times the slots at N = {first}: the table is of the "
        "worst stretch of a day, not of any.",
        "less than half of the ratio of the slots",
        growth < slots / 2 or slots <= 1,
    )


def _appliances_show_less(found: DreamStudy) -> Statement:
    rows = [row for row in _faithful(found.appliances) if row.hours == HOURS[-1]]
    small = [row for row in rows if row.mean < 5]
    return Statement(
        "appliances_show_little",
        "Most appliances show little over a day (Table 3).",
        f"{len(small)} of {len(rows)} show less than 5 in the mean; the paper's 9 of 11.",
        "as many as the paper's 9, or more",
        len(small) >= 9,
    )


def _heaters_show_most(found: DreamStudy) -> Statement:
    rows = [row for row in _faithful(found.appliances) if row.hours == HOURS[-1]]
    ranked = [row.what for row in sorted(rows, key=lambda row: -row.mean)][:2]
    return Statement(
        "heaters_show_most",
        "Storage heaters and the water heater show most (Table 3).",
        f"Here {ranked[0]} and {ranked[1]} do.",
        "the same two",
        set(ranked) == {"Storage heaters", "DESWH"},
    )
