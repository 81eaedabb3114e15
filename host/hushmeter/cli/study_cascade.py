"""``hushmeter study cascade``: Fig. 2 of the letter on batteries in series, and beneath it."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

from hushmeter.cli.study_parts import csv_table, progress_bars
from hushmeter.outputs import Outputs, make_folder

if TYPE_CHECKING:
    from hushmeter.study.cascade import CascadeStudy


@click.command()
@click.option("--quick", is_flag=True, help="Three sizes and fewer steps.")
@click.option(
    "--seed", type=click.IntRange(0), default=1, show_default=True, help="Same seed, same results."
)
@click.option("--out", type=click.Path(path_type=Path), help="Folder for data, pictures and page.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def cascade(quick: bool, seed: int, out: Path | None, as_json: bool) -> None:
    """What two batteries in series leak: figure 2 and better (Liu, Lee and Khisti).

    \b
    Example:
      hushmeter study cascade --out out/cascade
    """
    from hushmeter.study import cascade as experiment

    if out is not None:
        make_folder(out)
    began = time.perf_counter()
    with progress_bars(as_json) as bars:
        task = bars.add_task("cascade", total=None)
        found = experiment.study(
            seed, quick, lambda done, total: bars.update(task, completed=done, total=total)
        )
        written = [] if out is None else _write(found, _command(quick, seed), out)
    seconds = time.perf_counter() - began
    if as_json:
        click.echo(json.dumps({**experiment.as_json(found), "seconds": seconds}, allow_nan=False))
        return
    _show(found, seconds, written)


def _command(quick: bool, seed: int) -> str:
    return f"hushmeter study cascade {'--quick ' if quick else ''}--seed {seed} --out FOLDER"


def _write(found: CascadeStudy, command: str, out: Path) -> list[Path]:
    """All files, which appear together, the page last."""
    from hushmeter.report.cascade import draw_cascade, page
    from hushmeter.study.cascade import as_json

    table: dict[str, Any] = as_json(found)
    pictures = draw_cascade(found)
    text = page(found, pictures, command)
    with Outputs() as outputs:
        outputs.put(out / "study.json", json.dumps(table, indent=1).encode() + b"\n")
        for key in ("rows", "statements"):
            outputs.put(out / f"{key}.csv", csv_table(table[key]))
        for picture in pictures:
            outputs.put(out / f"{picture.name}.png", picture.png)
        outputs.put(out / "report.html", text.encode())
        return outputs.paths


def _show(found: CascadeStudy, seconds: float, written: Sequence[Path]) -> None:
    from hushmeter.study.cascade_published import statements

    console = Console()
    said = Table("the letter", "here", "agrees", title="Study of batteries in series")
    for statement in statements(found):
        said.add_row(statement.paper, statement.here, "yes" if statement.agrees else "NO")
    console.print(said)
    sizes = Table(
        "load", "each", "1 lower", "best", "different", "2 same", "3 alone", "4 effort", "5 hold",
        title="Bits a step",
    )  # fmt: skip
    for row in found.rows:
        values = (
            row.lower_bound, row.best_upper, row.theorem_1_different, row.theorem_1_same,
            row.individual, row.best_effort.bits, row.hold_mean.bits,
        )  # fmt: skip
        sizes.add_row(row.load, str(row.capacity), *(f"{value:.4f}" for value in values))
    console.print(sizes)
    console.print(f"{len(found.rows)} points, seed {found.seed}, {seconds:.0f} s")
    for path in written:
        console.print(f"Written: {path}")
