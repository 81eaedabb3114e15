"""The page of the DREAM study.

pictures = draw_dream(study)
page(study, pictures, command)      # the text of one file that needs no other
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hushmeter.report import page as pages
from hushmeter.report.pictures import FORMS, Form, Picture, draw
from hushmeter.report.pictures import dream as pictures_of_dream
from hushmeter.study.dream import PAPER, DreamStudy
from hushmeter.study.dream_exposure import Exposure
from hushmeter.study.dream_published import (
    HOURS,
    TABLE_1,
    TABLE_2,
    TABLE_3,
    contradictions,
    statements,
)


@dataclass(frozen=True)
class TableView:
    """A table as text."""

    title: str
    head: tuple[str, ...]
    rows: list[tuple[str, ...]]


def draw_dream(found: DreamStudy, forms: Sequence[Form] = FORMS) -> list[Picture]:
    """The study's pictures, in the order of the page."""
    return [draw(plan, forms) for plan in pictures_of_dream.plans(found)]


def page(found: DreamStudy, pictures: Sequence[Picture], command: str) -> str:
    """The page's text."""
    told = statements(found)
    settings = found.settings
    return (
        pages.environment()
        .get_template("dream.html.j2")
        .render(
            study=found,
            paper=PAPER,
            pictures={picture.name: picture for picture in pictures},
            tables=tables_of(found),
            statements=told,
            agreed=sum(statement.agrees for statement in told),
            contradictions=contradictions(found),
            coalitions=found.coalitions,
            epsilon=f"{float(settings.epsilon):g}",
            refused=any(not row.is_unsplittable for row in found.errors if row.mode == "hardened"),
            clip_error=max((row.clip_error for row in found.errors), default=0.0),
            command=command,
        )
    )


def tables_of(found: DreamStudy) -> dict[int, TableView]:
    """Number of the paper's table -> what is here."""
    return {
        1: _errors(found),
        2: TableView(
            "What a home shows over hours, the worst stretch of a day: epsilon (spread over homes)",
            ("N", "hours", "faithful", "hardened", "accounted for", "the paper"),
            _exposed(found.exposures, by_size=True),
        ),
        3: TableView(
            "What an appliance shows over hours, in homes and on days in which it ran, N = 100",
            ("appliance", "hours", "faithful", "hardened", "accounted for", "the paper"),
            _exposed(found.appliances, by_size=False),
        ),
    }


def _errors(found: DreamStudy) -> TableView:
    rows: list[tuple[str, ...]] = []
    for row in found.errors:
        paper = TABLE_1.get((row.n, row.alpha)) if row.mode == "faithful" else None
        half = (row.interval[1] - row.interval[0]) / 2
        rows.append(
            (
                f"{row.n:,}", f"{row.alpha:g}", row.mode, f"{row.mean_error:.4f} ± {half:.4f}",
                f"{row.sd_error:.4f}", f"{row.theory_error:.4f}", f"{row.theory_sigma:.4f}",
                f"{paper[0]:g} ({paper[1]:g})" if paper else "",
            )
        )  # fmt: skip
    head = (
        "N", "alpha", "mode", "mean error", "spread", "Theorem 2", "its sigma", "the paper"
    )  # fmt: skip
    return TableView("Error of totals, and how it spreads over clusters", head, rows)


def _exposed(rows: Sequence[Exposure], by_size: bool) -> list[tuple[str, ...]]:
    shown: list[tuple[str, ...]] = []
    for faithful, hardened in zip(rows[::2], rows[1::2], strict=True):
        place = HOURS.index(faithful.hours)
        printed = TABLE_2.get(faithful.n) if by_size else TABLE_3[faithful.what]
        # The paper's columns count ten-minute slots.
        paper = f"{printed[place][0]:.2f} ({printed[place][1]:.2f})" if printed else ""
        shown.append(
            (
                f"{faithful.n:,}" if by_size else faithful.what, f"{faithful.hours:g}",
                f"{faithful.mean:.2f} ({faithful.sd:.2f})",
                f"{hardened.mean:.2f} ({hardened.sd:.2f})", f"{faithful.spent:g}", paper,
            )
        )  # fmt: skip
    return shown
