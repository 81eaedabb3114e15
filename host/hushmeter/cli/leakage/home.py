"""``hushmeter leakage home``: what a home's load file leaks, and the least it could."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from hushmeter.cli.compiling import says_compiling
from hushmeter.cli.values import day
from hushmeter.errors import HushmeterError

if TYPE_CHECKING:
    from hushmeter.battery.hiding import Progress as Telling
    from hushmeter.battery.record import Record
    from hushmeter.leakage.home import Asked
    from hushmeter.outputs import Outputs
    from hushmeter.report.leakage_model import LeakageReport

_FILE = click.Path(path_type=Path)
_COLUMNS = (
    "at most: bits a step that the draws told, learned from other days, and its standard "
    "error; a day: as yes-or-no questions; changes: mutual information of load changes; R²: load "
    "got back by a filter; of all: changes that an attack got back; cycles: a day; W: rate"
)


def _load_options(command: Any) -> Any:
    for option in reversed(
        (
            click.option("--load", "load_file", type=_FILE, required=True, help="UCI or wide CSV."),
            click.option("--home", help="Column of a file with several homes."),
            click.option("--step-s", type=int, help="Seconds; mean of rows. [default: a row]"),
            click.option(
                "--bridge-gaps", is_flag=True, help="Pass over gaps of more than an hour."
            ),
            click.option("--levels", type=int, help="At most so many. [default: 40]"),
            click.option("--quantum-w", type=int, help="W of a level. [default: by --levels]"),
        )
    ):
        command = option(command)
    return command


def _output_options(command: Any) -> Any:
    for option in reversed(
        (
            click.option("--day", callback=day, help="Day shown. [default: a usual one]"),
            click.option("--dist-out", type=_FILE, help="The fitted law, for --dist file:FILE."),
            click.option("--markov-out", type=_FILE, help="The fitted chain, for --markov FILE."),
            click.option("--page", "page_file", type=_FILE, help="HTML, in one file."),
            click.option("--json", "as_json", is_flag=True, help="One JSON object."),
        )
    ):
        command = option(command)
    return command


@click.command()
@_load_options
@click.option("--capacity-wh", type=int, default=500, show_default=True)
@click.option("--rate-w", type=int, help="Charge and discharge. [default: capacity in an hour]")
@click.option(
    "--controller", "controllers", metavar="C[,C...]", default="none,be,hold-mean,ls2,rc,table",
    show_default=True, help="As of hide; table is the i.i.d. optimum, designed here.",
)  # fmt: skip
@click.option("--source-w", type=float, help="Mean power of a second source, marked on its curve.")
@click.option("--thorough", is_flag=True, help="Bracket the Markov optimum, minutes if need be.")
@click.option("--seed", type=int, default=1, show_default=True)
@_output_options
@says_compiling
def home(**given: Any) -> None:
    """Say how much a home's meter tells, and how little it could behind a battery.

    The load is fitted by levels, an i.i.d. law and a Markov chain, and how well they describe it is
    said. A limit that no controller beats stands beside what controllers tell on the load itself.

    \b
    Example:
      hushmeter leakage home --load load.csv --capacity-wh 500 --source-w 100 --page leakage.html
      hushmeter leakage home --load homes.csv --home home_0_w --step-s 900 --json
    """
    from hushmeter.leakage.home import analyse
    from hushmeter.outputs import Outputs
    from hushmeter.report.battery_model import BatteryReport, day_window
    from hushmeter.report.leakage_model import LeakageReport

    with Outputs() as outputs:
        _reserve(outputs, given)
        asked, record = _asked(given), _record(given)
        shown = BatteryReport.of(record, day_window(record, day=given["day"]))
        with _bars(given["as_json"]) as progress:
            found = analyse(record, asked, progress, shown.add)
        report = LeakageReport(found, shown, shlex.join(["hushmeter", *sys.argv[1:]]))
        _write(outputs, report, given)
    _tell(report, given["as_json"], outputs.paths)


def _reserve(outputs: Outputs, given: dict[str, Any]) -> None:
    """Refuses outputs that cannot be written before the work is done."""
    for name in ("page_file", "dist_out", "markov_out"):
        path = given[name]
        if path is None:
            continue
        if path.resolve() == given["load_file"].resolve():
            raise HushmeterError(f"{path} is read; it cannot be the output too")
        outputs.open(path)


def _asked(given: dict[str, Any]) -> Asked:
    from hushmeter.leakage.fit_levels import USUAL_LEVELS
    from hushmeter.leakage.home import Asked

    if given["levels"] is not None and given["quantum_w"] is not None:
        raise HushmeterError("--levels and --quantum-w say the same; give one of them")
    rate_w = given["rate_w"]
    return Asked(
        capacity_wh=given["capacity_wh"],
        rate_w=given["capacity_wh"] if rate_w is None else rate_w,
        levels=USUAL_LEVELS if given["levels"] is None else given["levels"],
        quantum_w=given["quantum_w"],
        controllers=[name.strip() for name in given["controllers"].split(",") if name.strip()],
        source_w=given["source_w"],
        thorough=given["thorough"],
        seed=given["seed"],
    )


def _record(given: dict[str, Any]) -> Record:
    from hushmeter.battery.record import record_of
    from hushmeter.loads import read_load

    load = read_load(given["load_file"])
    return record_of(load, given["home"], given["step_s"], given["bridge_gaps"])


@contextmanager
def _bars(as_json: bool) -> Iterator[Telling]:
    """Progress on standard error; nothing where only JSON is wanted and nobody watches."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description:>18}"), BarColumn(), TaskProgressColumn())
    hidden = as_json and not console.is_terminal
    with Progress(*columns, TimeElapsedColumn(), console=console, disable=hidden) as bars:

        def tell(what: str, done: int, total: int) -> None:
            if not bars.tasks or bars.tasks[-1].description != what:
                bars.add_task(what, total=total)
            bars.update(bars.tasks[-1].id, completed=done, total=total)

        yield tell


def _write(outputs: Outputs, report: LeakageReport, given: dict[str, Any]) -> None:
    from hushmeter.leakage import fit

    for name, written in (("dist_out", fit.law_json), ("markov_out", fit.chain_json)):
        if given[name] is not None:
            outputs.put(given[name], written(report.found.model).encode())
    if given["page_file"] is not None:
        from hushmeter.report import leakage as pages

        outputs.put(given["page_file"], pages.page(report, pages.draw_pictures(report)).encode())


def _tell(report: LeakageReport, as_json: bool, written: list[Path]) -> None:
    if as_json:
        click.echo(json.dumps(report.found.summary(), allow_nan=False))
        return
    from hushmeter.report import leakage as pages

    console = Console()
    for sentence in pages.opening(report):
        console.print(sentence, markup=False, highlight=False)
    facts = Table(title="A home's meter", show_header=False, box=None)
    for row in pages.summary_rows(report):
        facts.add_row(row.label, row.value, row.note)
    console.print(facts, markup=False)
    table = Table(title="Controllers on this load", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for place, name in enumerate(pages.COLUMNS):
        table.add_column(
            name, justify="right" if place else "left", no_wrap=place > 0, overflow="fold"
        )
    for cells in pages.controller_rows(report):
        table.add_row(*cells)
    console.print(table, markup=False)
    console.print(_COLUMNS)
    for sentence in [*pages.verdict(report), *(f"Mind: {one}" for one in report.found.warnings())]:
        console.print(sentence, markup=False, highlight=False)
    for path in written:
        console.print(f"Written: {path}", markup=False)
