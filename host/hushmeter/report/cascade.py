"""The page of the study of batteries in series.

pictures = draw_cascade(study)
page(study, pictures, command)      # the text of one file that needs no other
"""

from __future__ import annotations

from collections.abc import Sequence

from hushmeter.report import page as pages
from hushmeter.report.pictures import FORMS, Form, Picture, draw
from hushmeter.report.pictures import cascade as pictures_of_cascade
from hushmeter.study.cascade import LOADS, PAPER, CascadeStudy, Estimate, Row
from hushmeter.study.cascade_published import KNOWN, statements

SHOWN_BESIDE = {
    "figure_2": (
        "below_best_effort",
        "below_hold_mean",
        "individual_is_worse",
        "between_the_theorems",
        "larger_leaks_less",
    ),
    "above_the_bound": ("theorem_1_is_a_bound", "different_is_better", "best_is_better"),
}
"""Which of the letter's statements belong to which picture."""

_LINES = (
    "capacity of each", "1 lower bound", "best certified", "Theorem 1, different",
    "2 Theorem 1, same", "3 individual", "rate of best", "rate of different", "rate of 2",
    "rate of 3", "4 best effort", "4 best effort (pass)", "5 hold-mean", "gap closed",
    "outputs recalled",
)  # fmt: skip

_HEADINGS = {
    "figure_2": ("Leakage against battery size", "as Fig. 2 of the letter"),
    "above_the_bound": ("What lies between the bounds", "new"),
}


def draw_cascade(found: CascadeStudy, forms: Sequence[Form] = FORMS) -> list[Picture]:
    """The study's two pictures, in the order of the page."""
    return [draw(plan, forms) for plan in pictures_of_cascade.plans(found)]


def page(found: CascadeStudy, pictures: Sequence[Picture], command: str) -> str:
    """The page's text."""
    told = statements(found)
    by_key = {statement.key: statement for statement in told}
    return (
        pages.environment()
        .get_template("cascade.html.j2")
        .render(
            study=found,
            paper=PAPER,
            pictures=pictures,
            headings=_HEADINGS,
            beside={name: [by_key[key] for key in keys] for name, keys in SHOWN_BESIDE.items()},
            agreed=sum(statement.agrees for statement in told),
            statements=told,
            closed=(
                min(row.gap_closed for row in found.rows),
                max(row.gap_closed for row in found.rows),
            ),
            known=_known(found),
            tables={name: _table(found.of(name)) for name in LOADS},
            worst_gap=max(row.stationarity_gap for row in found.rows),
            command=command,
        )
    )


def _known(found: CascadeStudy) -> list[tuple[str, str, str]]:
    """(which, known, here) for two batteries of capacity 1 and fair bits."""
    row = found.of("binary")[0]
    names = {
        "lower_bound": "lower bound",
        "theorem_1_same": "Theorem 1, same policy",
        "theorem_1_different": "Theorem 1, different policies",
        "individual": "Theorem 1, individually optimal",
    }
    return [
        (names[key], f"{value:.6f}", f"{getattr(row, key):.6f}") for key, value in KNOWN.items()
    ]


def _table(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """A line for each curve, a column for each size; the first line has the sizes."""
    return list(zip(_LINES, *(_cells(row) for row in rows), strict=True))


def _cells(row: Row) -> list[str]:
    bounds = (
        row.lower_bound, row.best_upper, row.theorem_1_different, row.theorem_1_same,
        row.individual,
    )  # fmt: skip
    estimates = (
        row.rate_best, row.rate_different, row.rate_same, row.rate_individual, row.best_effort,
        row.best_effort_pass, row.hold_mean,
    )  # fmt: skip
    recalls = ", ".join(str(outputs) for outputs in row.best_recalls)
    return [
        str(row.capacity),
        *(f"{bits:.6f}" for bits in bounds),
        *(_estimate(estimate) for estimate in estimates),
        f"{row.gap_closed:.0%}",
        recalls,
    ]


def _estimate(estimate: Estimate) -> str:
    if estimate.stderr == 0:
        return f"{estimate.bits:.6f}"
    return f"{estimate.bits:.5f} ± {estimate.stderr:.5f}"
