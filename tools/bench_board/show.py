"""The rows as a table for the terminal."""

from __future__ import annotations

import statistics
from collections.abc import Collection
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from tools.bench.show import amount
from tools.bench_board.figures import Failure, Row, Rows

SIMULATED = (
    "Emulated board, nothing here ran on silicon. Times are simulated; they leave out what flash "
    "takes to erase and program, and what a miss of the flash cache costs."
)
WALL = "Processes of the unix port: times are wall time on this machine, heaps twice a board's."

MOST_FOR_A_MEDIAN = 3


def table(title: str, clock: str, rows: Rows) -> RenderableType:
    """Figures by topic, a column for each size of street, then what went wrong."""
    out = Table(
        title=Text(title, style="bold"),
        title_justify="left",
        caption=Text(SIMULATED if clock == "simulated" else WALL, style="dim"),
        caption_justify="left",
        box=None,
        pad_edge=False,
    )
    figures = [row for row in rows if isinstance(row, Row)]
    sizes = sorted({row.members for row in figures if row.members is not None})
    out.add_column("median, or mean and worst of many", no_wrap=True)
    for heading in ("any street", *(f"{size:,} meters" for size in sizes)):
        out.add_column(heading, justify="right", no_wrap=True)
    out.add_column("", style="dim", overflow="fold")
    for topic in dict.fromkeys(row.topic for row in figures):
        out.add_row(Text(topic, style="bold"))
        under = [row for row in figures if row.topic == topic]
        for case in dict.fromkeys(row.case for row in under):
            found = {row.members: row for row in under if row.case == case}
            cells = [_cell(found.get(size)) for size in (None, *sizes)]
            out.add_row(*map(Text, [f"  {case}", *cells, _note(found.values())]))
    failures = [Text(_failure(row), style="red") for row in rows if isinstance(row, Failure)]
    return Group(out, *failures, Text(""))


def _cell(row: Row | None) -> str:
    if row is None:
        return ""
    if len(row.samples) <= MOST_FOR_A_MEDIAN:
        return amount(row.median, row.unit)
    mean = statistics.fmean(row.samples)
    return f"{amount(mean, row.unit)}, {amount(max(row.samples), row.unit)}"


def _note(rows: Collection[Row]) -> str:
    """What the rows of one case say; a note that not all of them share names its streets."""
    sizes: dict[str, list[str]] = {}
    for row in rows:
        sizes.setdefault(row.note, []).append(f"{row.members:,}" if row.members else "")
    sizes.pop("", None)
    if len(sizes) == 1 and len(next(iter(sizes.values()))) == len(rows):
        return next(iter(sizes))
    return "; ".join(f"{', '.join(where)}: {note}" for note, where in sizes.items())


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


class Progress:
    """Which parts are done, a line for each, and how many are not."""

    def __init__(self, console: Console, count: int, done: int) -> None:
        self._console = console
        self._count = count
        self._done = done
        self._status = console.status(self._left())

    def __enter__(self) -> Self:
        self._status.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._status.stop()

    def _left(self) -> str:
        return f"measuring, {self._done} of {self._count} parts done"

    def ended(self, name: str, took_s: float, is_whole: bool) -> None:
        """One more part came to its end."""
        self._done += 1
        failed = "" if is_whole else ", failed"
        line = f"{self._done:3} of {self._count}  {name}, {took_s:,.0f} s{failed}"
        self._console.print(Text(line, style="dim"))
        self._status.update(self._left())
