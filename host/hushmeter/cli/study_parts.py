"""What the commands of ``hushmeter study`` share: bars of progress, tables as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


def progress_bars(quiet: bool) -> Progress:
    """On standard error; with quiet only where that is a terminal."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description:>18}"), BarColumn(), MofNCompleteColumn(),
        TimeElapsedColumn(), console=console, disable=quiet and not console.is_terminal,
    )  # fmt: skip


def csv_table(rows: Sequence[dict[str, Any]]) -> bytes:
    """Rows of one structure; an interval becomes two columns, what is not known an empty cell."""
    flat = []
    for row in rows:
        cells: dict[str, Any] = {}
        for key, value in row.items():
            if isinstance(value, list):
                cells[f"{key}_low"], cells[f"{key}_high"] = value
            else:
                cells[key] = value
        flat.append(cells)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(flat[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return text.getvalue().encode()
