"""``hushmeter study power``: the figures of the privacy-power paper, computed again."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from hushmeter.cli.study_parts import csv_table, progress_bars
from hushmeter.outputs import Outputs, make_folder

if TYPE_CHECKING:
    from hushmeter.study.power import PowerStudy


@click.command()
@click.option("--quick", is_flag=True, help="Fewer points a curve.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for data, pictures and page.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def power(quick: bool, out: Path | None, as_json: bool) -> None:
    """Leakage with a second source: figures 3 to 8 (Gómez-Vilardebó and Gündüz, 2015).

    \b
    Example:
      hushmeter study power --out out/power
    """
    from hushmeter.study import power as experiment

    if out is not None:
        make_folder(out)
    began = time.perf_counter()
    with progress_bars(as_json) as bars:
        task = bars.add_task("figures", total=None)
        found = experiment.study(
            experiment.QUICK_POINTS if quick else experiment.POINTS,
            lambda done, total: bars.update(task, completed=done, total=total),
        )
        written = [] if out is None else _write(found, _command(quick), out, bars)
    seconds = time.perf_counter() - began
    if as_json:
        click.echo(json.dumps({**experiment.as_json(found), "seconds": seconds}, allow_nan=False))
        return
    _show(found, seconds, written)


def _command(quick: bool) -> str:
    return f"hushmeter study power {'--quick ' if quick else ''}--out FOLDER"


def _write(found: PowerStudy, command: str, out: Path, bars: Progress) -> list[Path]:
    """All files, which appear together, the page last."""
    from hushmeter.report.pictures import draw
    from hushmeter.report.pictures.power import plans
    from hushmeter.report.power import page
    from hushmeter.study.power import FIGURES, as_json

    table: dict[str, Any] = as_json(found)
    pictures = [draw(plan) for plan in bars.track(plans(found), description="pictures")]
    text = page(found, pictures, command)
    with Outputs() as outputs:
        outputs.put(out / "study.json", json.dumps(table, indent=1).encode() + b"\n")
        for key in (*FIGURES, "statements", "corrections"):
            outputs.put(out / f"{key}.csv", csv_table(table[key]))
        for picture in pictures:
            outputs.put(out / f"{picture.name}.png", picture.png)
        outputs.put(out / "report.html", text.encode())
        return outputs.paths


def _show(found: PowerStudy, seconds: float, written: Sequence[Path]) -> None:
    from hushmeter.study.power_corrections import corrections
    from hushmeter.study.power_published import statements

    console = Console()
    said = Table("the paper says", "here", "agrees", title="Privacy-power study")
    for statement in statements(found):
        said.add_row(statement.paper, statement.here, "yes" if statement.agrees else "NO")
    console.print(said)
    wrong = Table(
        "printed", "right", "it shows in", title="What the paper prints, and what is right"
    )
    for correction in corrections(found):
        wrong.add_row(correction.printed, correction.right, correction.shown)
    console.print(wrong)
    console.print(
        f"{found.solved:,} points, bounds at most {found.worst_gap:.1g} bits apart, {seconds:.1f} s"
    )
    for path in written:
        console.print(f"Written: {path}")
