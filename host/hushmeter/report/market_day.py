"""The page of a market day on emulated meters.

pictures = draw_day(run)
page(run, summary, pictures, command)      # the text of one file that needs no other
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hushmeter.emulate.market_day import DayRun
from hushmeter.report import page as pages
from hushmeter.report.pictures import FORMS, Form, Picture, draw
from hushmeter.report.pictures import market_day as pictures_of_day

_HEADINGS = {
    "prices": "What energy costs",
    "traded": "What changes hands",
    "clearing": "One interval",
}


def draw_day(run: DayRun, forms: Sequence[Form] = FORMS) -> list[Picture]:
    """The pictures in the order of the page."""
    return [draw(plan, forms) for plan in pictures_of_day.plans(run)]


def intervals_table(run: DayRun) -> list[dict[str, Any]]:
    """One row an interval, of public numbers only."""
    rows = []
    for k, row in enumerate(run.intervals):
        found = row.outcome.clearing
        rows.append(
            {
                "interval": k,
                "number": row.number,
                "wholesale": row.wholesale,
                "price": run.settings.fallback if found is None else found.price,
                "void": row.outcome.reason,
                "homes": len(row.outcome.present),
                "demand_wh": "" if found is None else found.demand[found.at],
                "supply_wh": "" if found is None else found.supply[found.at],
                "traded_wh": "" if found is None else found.traded_wh,
            }
        )
    return rows


def page(run: DayRun, found: Mapping[str, Any], pictures: Sequence[Picture], command: str) -> str:
    """The page's text."""
    return (
        pages.environment()
        .get_template("market_day.html.j2")
        .render(
            run=run,
            found=found,
            pictures=pictures,
            headings=_HEADINGS,
            rows=intervals_table(run),
            board=run.settings.boards,
            command=command,
        )
    )
