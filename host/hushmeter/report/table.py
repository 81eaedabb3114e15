"""The summary of a street's run for the terminal."""

from __future__ import annotations

from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from hushmeter.report.model import StreetReport
from hushmeter.report.street import summary_rows


def summary_table(report: StreetReport) -> Table:
    """The run in a dozen lines; print it with a `rich` console.

    Texts are never read as markup, whatever they hold. Print :func:`insecure_banner` before it.
    """
    title = Text(f"A street of {report.meters:,} meters, {report.slots:,} slots", style="bold")
    table = Table(title=title, title_justify="left", show_header=False, box=None, pad_edge=False)
    table.add_column("what", style="dim", no_wrap=True)
    table.add_column("value", overflow="fold")
    table.add_column("note", style="dim", overflow="fold")
    for row in summary_rows(report):
        table.add_row(
            Text(row.label), Text(row.value, style="bold red" if row.bad else ""), Text(row.note)
        )
    return table


def insecure_banner(report: StreetReport) -> Panel | None:
    """A loud panel that names the weakening modes; None if there are none."""
    if not report.insecure:
        return None
    modes = Text(", ".join(report.insecure), style="bold")
    return Panel(modes, title="INSECURE MODES IN FORCE", style="bold red", expand=False)
