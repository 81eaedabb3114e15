"""``hushmeter study``: a publication's experiments run again, into data, pictures and a page."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

from hushmeter.cli.study_cascade import cascade
from hushmeter.cli.study_chain import chain
from hushmeter.cli.study_dream import dream
from hushmeter.cli.study_leakage_hil import leakage_hil
from hushmeter.cli.study_market import market
from hushmeter.cli.study_parts import csv_table, progress_bars
from hushmeter.cli.study_power import power
from hushmeter.cli.study_sensors import sensors
from hushmeter.errors import HushmeterError
from hushmeter.outputs import Outputs, make_folder

if TYPE_CHECKING:
    from hushmeter.study.homes import Home
    from hushmeter.study.stepping import Study

_QUICK_HOMES = 3
_QUICK_DAYS = 21
_FILE = click.Path(path_type=Path)


@click.group()
def study() -> None:
    """Run a publication's experiments again; write data, pictures and one page.

    Every study takes --json, which prints what it found as one JSON object.

    \b
    Example:
      hushmeter study stepping --out out/stepping
    """


study.add_command(cascade)
study.add_command(chain)
study.add_command(dream)
study.add_command(leakage_hil)
study.add_command(market)
study.add_command(power)
study.add_command(sensors)


@study.command()
@click.option(
    "--homes", "count", type=click.IntRange(1, 10_000),
    help="How many. [default: 6 like M1 to M6, with --seconds 4 like S1 to S4]",
)  # fmt: skip
@click.option(
    "--days", type=click.IntRange(2, 3660),
    help="At most so many of each. [default: 365 to 244, with --seconds 30]",
)  # fmt: skip
@click.option("--seconds", is_flag=True, help="Steps of a second, as the paper's S1 to S4.")
@click.option("--load", "load_file", type=_FILE, help="Your own loads: UCI file or wide CSV.")
@click.option(
    "--seed", type=click.IntRange(0), default=1, show_default=True, help="Same seed, same results."
)
@click.option("--quick", is_flag=True, help=f"{_QUICK_HOMES} homes, {_QUICK_DAYS} days.")
@click.option("--jobs", type=click.IntRange(1, 1024), help="Processes. [default: all cores]")
@click.option("--dask", metavar="ADDRESS", help="Run on the dask cluster of this scheduler.")
@click.option("--out", type=_FILE, help="Folder for data, pictures and page.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def stepping(out: Path | None, as_json: bool, **given: Any) -> None:
    """Stepping controllers against BE and NILL (Yang et al., CCS 2012).

    \b
    Example:
      hushmeter study stepping --quick --out out/stepping
    """
    from hushmeter.battery.simulator import usable_processors
    from hushmeter.study import stepping as experiment

    _check(given, out)
    began = time.perf_counter()
    homes = _homes(given)
    with progress_bars(as_json) as bars:
        task = bars.add_task("stepping", total=None)
        found = experiment.study(
            homes,
            given["seed"],
            given["jobs"] or usable_processors(),
            given["dask"],
            lambda done, total: bars.update(task, completed=done, total=total),
        )
    written = [] if out is None else _write(found, _command(given), out)
    seconds = time.perf_counter() - began
    if as_json:
        click.echo(json.dumps({**experiment.as_json(found), "seconds": seconds}))
        return
    _show(found, seconds, written)


def _check(given: dict[str, Any], out: Path | None) -> None:
    """What can be refused at once, before an hour of work."""
    if given["dask"] is not None and given["jobs"] is not None:
        raise HushmeterError("--jobs is for this machine and --dask for a cluster; give one")
    if given["load_file"] is not None and given["seconds"]:
        raise HushmeterError("--seconds is for synthetic homes; the file's rows say their length")
    if out is not None:
        make_folder(out)


def _homes(given: dict[str, Any]) -> list[Home]:
    from hushmeter.loads import read_load
    from hushmeter.study.homes import file_homes, synthetic_homes

    count, days = given["count"], given["days"]
    if given["load_file"] is not None:
        load = read_load(given["load_file"])
        if given["quick"]:
            count, days = count or min(_QUICK_HOMES, load.homes), days or _QUICK_DAYS
        return file_homes(load, count, days)
    if given["quick"]:
        count, days = count or _QUICK_HOMES, days or _QUICK_DAYS
    return synthetic_homes(count, days, given["seed"], given["seconds"])


def _command(given: dict[str, Any]) -> str:
    """The command that repeats the run, without what changes nothing in it."""
    words = ["hushmeter", "study", "stepping"]
    for option, name in (("--homes", "count"), ("--days", "days"), ("--load", "load_file")):
        if given[name] is not None:
            words += [option, str(given[name])]
    words += [f"--{name}" for name in ("seconds", "quick") if given[name]]
    return shlex.join([*words, "--seed", str(given["seed"]), "--out", "FOLDER"])


def _write(found: Study, command: str, out: Path) -> list[Path]:
    """All files, which appear together, the page last."""
    from hushmeter.report.study import draw_stepping, page
    from hushmeter.study.stepping import as_json

    table = as_json(found)
    pictures = draw_stepping(found)
    text = page(found, pictures, command)
    with Outputs() as outputs:
        outputs.put(out / "study.json", json.dumps(table, indent=1).encode() + b"\n")
        for key in ("by_size", "by_home", "equal_privacy", "equal_privacy_curves"):
            outputs.put(out / f"{key}.csv", csv_table(table[key]))
        outputs.put(out / "stretch.csv", csv_table(_stretch(found)))
        for picture in pictures:
            outputs.put(out / f"{picture.name}.png", picture.png)
        outputs.put(out / "report.html", text.encode())
        return outputs.paths


def _stretch(found: Study) -> list[dict[str, Any]]:
    from hushmeter.battery.record import clock

    part = found.stretch
    return [
        {
            "time": clock(part.start_s + place * part.step_s),
            "demand_w": int(demand_w),
            **{
                f"{name.replace(':', '_')}_grid_w": int(grid_w[place])
                for name, grid_w in part.grid_w.items()
            },
        }
        for place, demand_w in enumerate(part.demand_w)
    ]


def _show(found: Study, seconds: float, written: Sequence[Path]) -> None:
    from hushmeter.report.study import ratio_rows

    console = Console()
    loads = "synthetic homes" if found.is_synthetic else found.source
    said = Table("the paper says", "here", "agrees", title=f"Stepping study, {loads}")
    for statement in found.statements:
        said.add_row(statement.paper, statement.here, "yes" if statement.agrees else "NO")
    console.print(said)
    sizes = Table("home", "LS2 has", "BE (sat)", "BE (idle)", "NILL", title="Battery over LS2's")
    for row in ratio_rows(found):
        sizes.add_row(*row)
    console.print(sizes)
    days = sum(about.days for about in found.about)
    console.print(
        f"{len(found.about)} homes, {days:,} days, steps of {found.step_s} s, "
        f"seed {found.seed}, {seconds:.0f} s"
    )
    for path in written:
        console.print(f"Written: {path}")
