"""What the letter on batteries in series says of its Fig. 2, and whether it holds.

Each statement has a rule, written beside it, by which it counts as agreed with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hushmeter.study.cascade import CascadeStudy, Estimate, Row
from hushmeter.study.published import Statement

_ERRORS = 4
_SLACK = 1e-9
KNOWN = {
    "lower_bound": 0.305758,
    "theorem_1_same": 0.322786,
    "theorem_1_different": 0.311278,
    "individual": 0.344361,
}
"""Binary, two batteries of capacity 1, to six decimals."""


def statements(found: CascadeStudy) -> list[Statement]:
    """What the letter says of its curves, and what is added here."""
    return [
        _below_best_effort(found),
        _below_hold_mean(found),
        _individual_is_worse(found),
        _between_the_theorems(found),
        _larger_leaks_less(found),
        _theorem_1_is_a_bound(found),
        _different_is_better(found),
        _best_is_better(found),
    ]


def _below_best_effort(found: CascadeStudy) -> Statement:
    held = [
        row.theorem_1_same < _least(row.best_effort)
        and row.theorem_1_same < _least(row.best_effort_pass)
        for row in found.rows
    ]
    ratios = [row.theorem_1_same / row.best_effort.bits for row in found.rows]
    return Statement(
        "below_best_effort",
        "The C-C system leaks less than best effort on one battery of the total size (4 above 2).",
        f"Curve 2 is below best effort, in both readings, in {_count(held)} sizes; it is "
        f"{min(ratios):.0%} to {max(ratios):.0%} of it.",
        f"every size, by {_ERRORS} standard errors where simulated",
        all(held),
    )


def _below_hold_mean(found: CascadeStudy) -> Statement:
    held = [row.theorem_1_same < _least(row.hold_mean) for row in found.rows]
    return Statement(
        "below_hold_mean",
        "It leaks less than Yang's rule without a price (5 above 2).",
        f"Curve 2 is below hold-mean in {_count(held)} sizes.",
        f"every size, by {_ERRORS} standard errors where simulated",
        all(held),
    )


def _individual_is_worse(found: CascadeStudy) -> Statement:
    held = [row.individual > row.theorem_1_same + _SLACK for row in found.rows]
    most = max(row.individual / row.theorem_1_same for row in found.rows)
    return Statement(
        "individual_is_worse",
        "Policies that are best for each battery alone do not minimise the bound: 3 is above 2.",
        f"So it is in {_count(held)} sizes, by a factor of up to {most:.2f}.",
        "every size",
        all(held),
    )


def _between_the_theorems(found: CascadeStudy) -> Statement:
    held = [
        row.lower_bound < row.best_upper <= row.theorem_1_different + 1e-8 for row in found.rows
    ]
    return Statement(
        "between_the_theorems",
        "The optimal leakage of the C-C system lies between 1 and 2; it may be higher than that of "
        "one battery of the total size.",
        f"Curve 1 is below curve 2 in {_count(held)} sizes. No policy was found that reaches "
        "curve 1, which does not prove that there is none.",
        "curve 1 < best certified rate <= Theorem 1 in every size",
        all(held),
    )


def _larger_leaks_less(found: CascadeStudy) -> Statement:
    curves: tuple[Callable[[Row], float], ...] = (
        lambda row: row.lower_bound,
        lambda row: row.theorem_1_same,
        lambda row: row.individual,
        lambda row: row.best_effort.bits,
        lambda row: row.hold_mean.bits,
    )
    falls = [
        all(curve(after) < curve(before) for before, after in zip(rows, rows[1:], strict=False))
        for curve in curves
        for rows in _loads(found)
    ]
    return Statement(
        "larger_leaks_less",
        "Leakage falls with the size of the batteries (all curves of Fig. 2).",
        f"{sum(falls)} of {len(falls)} curves fall from size to size.",
        "all of them",
        all(falls),
    )


def _theorem_1_is_a_bound(found: CascadeStudy) -> Statement:
    pairs = [
        (bound, estimate)
        for row in found.rows
        for bound, estimate in (
            (row.theorem_1_same, row.rate_same),
            (row.theorem_1_different, row.rate_different),
            (row.individual, row.rate_individual),
        )
    ]
    held = [_least(estimate) <= bound for bound, estimate in pairs]
    ratios = [row.rate_individual.bits / row.individual for row in found.rows]
    return Statement(
        "theorem_1_is_a_bound",
        "Theorem 1 bounds the leakage of invariant policies from above.",
        f"The simulated rate is not above the bound in {_count(held)} cases. The bound is loosest "
        f"for curve 3, whose policies leak {min(ratios):.0%} to {max(ratios):.0%} of it.",
        f"rate less {_ERRORS} standard errors <= bound, every case",
        all(held),
    )


def _different_is_better(found: CascadeStudy) -> Statement:
    parts = [1 - row.theorem_1_different / row.theorem_1_same for row in found.rows]
    return Statement(
        "different_is_better",
        "For simplicity both batteries use the same policy (curve 2).",
        f"With a policy of its own for each battery the bound falls by {min(parts):.0%} to "
        f"{max(parts):.0%}.",
        "different < same in every size: what the letter leaves open",
        min(parts) > 0,
    )


def _best_is_better(found: CascadeStudy) -> Statement:
    closed = [row.gap_closed for row in found.rows]
    return Statement(
        "best_is_better",
        "Theorem 1 over invariant policies is the letter's upper bound.",
        "Certified over many steps, for policies chosen by that, the leakage goes "
        f"{min(closed):.0%} to {max(closed):.0%} of the way from curve 2 down to curve 1.",
        "best certified rate < different in every size",
        all(row.best_upper < row.theorem_1_different for row in found.rows),
    )


def _loads(found: CascadeStudy) -> list[list[Row]]:
    return [found.of(load) for load in dict.fromkeys(row.load for row in found.rows)]


def _least(estimate: Estimate) -> float:
    return estimate.bits - _ERRORS * estimate.stderr


def _count(held: Sequence[bool]) -> str:
    return f"{sum(held)} of {len(held)}"
