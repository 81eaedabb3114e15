"""The rows as a table for the terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tools.bench.show import amount
from tools.bench_board.figures import Failure, Row, Rows

SIMULATED = (
    "Emulated board, nothing here ran on silicon. Times are simulated; they leave out what flash "
    "takes to erase and program, and what a miss of the flash cache costs."
)
WALL = "Processes of the unix port: times are wall time on this machine, heaps twice a board's."


def table(title: str, clock: str, rows: Rows) -> RenderableType:
    """Figures by topic, in the order in which topics first appear, then what went wrong."""
    out = Table(
        title=Text(title, style="bold"),
        title_justify="left",
        caption=Text(SIMULATED if clock == "simulated" else WALL, style="dim"),
        caption_justify="left",
        box=None,
        pad_edge=False,
    )
    out.add_column("meters", justify="right")
    out.add_column("figure", no_wrap=True)
    for name in ("median", "min to max"):
        out.add_column(name, justify="right", no_wrap=True)
    out.add_column("", style="dim", overflow="fold")
    figures = [row for row in rows if isinstance(row, Row)]
    for topic in dict.fromkeys(row.topic for row in figures):
        out.add_row("", Text(topic, style="bold"))
        for row in _by_case([row for row in figures if row.topic == topic]):
            out.add_row(*(Text(cell) for cell in _cells(row)))
    failures = [Text(_failure(row), style="red") for row in rows if isinstance(row, Failure)]
    return Group(out, *failures, Text(""))


def _by_case(rows: list[Row]) -> list[Row]:
    """One case after the other, each from the smallest street to the largest."""
    order = list(dict.fromkeys(row.case for row in rows))
    return sorted(rows, key=lambda row: (order.index(row.case), row.members or 0))


def _cells(row: Row) -> list[str]:
    low, high = (amount(bound(row.samples), row.unit) for bound in (min, max))
    mean = f"mean {amount(row.as_json()['mean'], row.unit)} of {len(row.samples)}"
    notes = [mean] if len(row.samples) > 3 else []
    return [
        "" if row.members is None else f"{row.members:,}",
        row.case,
        amount(row.median, row.unit),
        "" if low == high else f"{low} to {high}",
        "; ".join([*notes, row.note] if row.note else notes),
    ]


def _failure(failure: Failure) -> str:
    street = "" if failure.members is None else f", {failure.members:,} meters"
    return f"failed: {failure.part}{street}: {failure.reason}"


def board_line(facts: dict[str, Any]) -> Text:
    runs = facts["interpreter"]
    return Text(
        f"{facts['description']}: {runs['name']} {runs['version']} (sha256 {runs['sha256'][:16]}), "
        f"firmware {facts['firmware']['version']} (sha256 {facts['firmware']['sha256'][:16]})\n",
        style="dim",
    )
