"""``hushmeter study chain``: a day from the clamp to the grid, and what leaks."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

from hushmeter.cli.study_parts import csv_table, progress_bars
from hushmeter.errors import HushmeterError
from hushmeter.outputs import Outputs, make_folder

if TYPE_CHECKING:
    from hushmeter.study.chain import ChainStudy
    from hushmeter.study.chain_source import Source

_DAY_S = 86_400
_FILE = click.Path(path_type=Path)


@click.command()
@click.option("--load", "load_file", type=_FILE, help="UCI file or wide CSV. [default: synthetic]")
@click.option("--day", type=click.IntRange(1), default=1, show_default=True, help="Of the load.")
@click.option(
    "--controller", "controllers", multiple=True, type=click.Choice(["ls2", "table"]),
    help="May be given twice. [default: both]",
)  # fmt: skip
@click.option(
    "--seconds", type=click.IntRange(600, _DAY_S), default=_DAY_S, show_default=True,
    help="Of that day.",
)  # fmt: skip
@click.option("--slot", "slot_s", type=click.IntRange(20, 3600), default=600, show_default=True)
@click.option(
    "--emulated", "emulated_s", type=click.IntRange(20, 3600), metavar="SECONDS",
    help="So much of it on an emulated board too, compared second by second; takes minutes.",
)  # fmt: skip
@click.option("--out", type=_FILE, help="Folder for data, picture and page.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def chain(out: Path | None, as_json: bool, **given: Any) -> None:
    """A home's day through sensor, meter, inverter and battery; what the grid sees. Simulated.

    \b
    Example:
      hushmeter study chain --load household.csv --day 1 --out out/chain
      hushmeter study chain --controller ls2 --seconds 3600 --json
    """
    from hushmeter.study import chain as experiment
    from hushmeter.study.chain_source import file_source, synthetic_source

    if out is not None:
        make_folder(out)
    if given["seconds"] < given["slot_s"]:
        raise HushmeterError("--seconds must be a slot at least")
    source = (
        synthetic_source(given["day"])
        if given["load_file"] is None
        else file_source(given["load_file"], given["day"])
    )
    with progress_bars(as_json) as bars:
        task = bars.add_task("chain", total=None)
        found = experiment.study(
            source.trace,
            source.name,
            min(given["seconds"], source.seconds),
            list(dict.fromkeys(given["controllers"])) or ["ls2", "table"],
            given["slot_s"],
            source.truth,
            lambda what, done, total: bars.update(
                task, description=what, completed=done, total=total
            ),
        )
        if given["emulated_s"] is not None:
            found = _with_excerpt(found, source, given)
        written = [] if out is None else _write(found, _command(given), out)
    if as_json:
        click.echo(json.dumps(experiment.as_json(found), allow_nan=False))
        return
    _show(found, written)


def _with_excerpt(found: ChainStudy, source: Source, given: dict[str, Any]) -> ChainStudy:
    from hushmeter.study.chain_board import excerpt

    return replace(
        found, excerpt=excerpt(source.trace, given["emulated_s"], next(iter(found.runs)))
    )


def _command(given: dict[str, Any]) -> str:
    words = ["hushmeter", "study", "chain"]
    if given["load_file"] is not None:
        words += ["--load", str(given["load_file"])]
    words += ["--day", str(given["day"]), "--seconds", str(given["seconds"])]
    for name in given["controllers"]:
        words += ["--controller", name]
    if given["emulated_s"] is not None:
        words += ["--emulated", str(given["emulated_s"])]
    return shlex.join([*words, "--slot", str(given["slot_s"]), "--out", "FOLDER"])


def _write(found: ChainStudy, command: str, out: Path) -> list[Path]:
    """All files, which appear together, the page last."""
    from hushmeter.report import chain as report
    from hushmeter.report.pictures import chain as pictures
    from hushmeter.report.pictures import draw
    from hushmeter.study.chain import as_json

    picture = draw(pictures.plan(found))
    text = report.page(found, picture, command)
    with Outputs() as outputs:
        outputs.put(
            out / "study.json",
            json.dumps(as_json(found), indent=1, allow_nan=False).encode() + b"\n",
        )
        for name in found.runs:
            outputs.put(out / f"{name}.csv", csv_table(_seconds(found, name)))
        outputs.put(out / f"{picture.name}.png", picture.png)
        outputs.put(out / "report.html", text.encode())
        return outputs.paths


def _seconds(found: ChainStudy, name: str) -> list[dict[str, Any]]:
    lived = found.runs[name].lived
    series = (lived.demand_w, lived.metered_w, lived.commanded_w, lived.battery_w, lived.grid_w)
    return [
        {
            "second": second,
            **{
                key: "" if value != value else round(value, 1)
                for key, value in zip(
                    ("demand_w", "metered_w", "commanded_w", "battery_w", "grid_w"),
                    values, strict=True,
                )
            },
        }
        for second, values in enumerate(zip(*(one.tolist() for one in series), strict=True))
    ]  # fmt: skip


def _show(found: ChainStudy, written: Sequence[Path]) -> None:
    from hushmeter.report.chain import leakage_rows, rows

    console = Console()
    table = Table("", *found.runs, title=f"The whole chain, simulated: {found.source}")
    for name, cells in rows(found):
        table.add_row(name, *cells)
    console.print(table)
    leaks = Table("", "step", "bits (by chance)", "Markov", "claims right", "found", "R²")
    for name, step, bits, _, _, markov, right, got, r2 in leakage_rows(found):
        leaks.add_row(name, step, bits, markov, right, got, r2)
    console.print(leaks)
    if found.excerpt is not None:
        for key, value in found.excerpt.items():
            console.print(f"emulated, {key}: {value}", markup=False)
    for path in written:
        console.print(f"Written: {path}", markup=False)
