"""``hushmeter study sensors``: every sensor's error, beside the limits of two accuracy classes."""

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

from hushmeter.cli.study_parts import csv_table, progress_bars
from hushmeter.errors import HushmeterError
from hushmeter.outputs import Outputs, make_folder

if TYPE_CHECKING:
    from hushmeter.emulate.stimulus import Trace
    from hushmeter.study.sensors import SensorStudy

HOST = "host"
_FILE = click.Path(path_type=Path)


@click.command()
@click.option("--sensors", "wanted", metavar="S[,S...]", help="[default: all]")
@click.option(
    "--board", default=HOST, show_default=True, metavar="host|NAME[:1]",
    help="The device's code on this machine, or on an emulated board of this kind.",
)  # fmt: skip
@click.option(
    "--trace", "trace_file", type=_FILE, help="Your own day: time_s,watts[,power_factor]."
)
@click.option("--load", "load_file", type=_FILE, help="A day of a UCI file or wide CSV instead.")
@click.option("--gain", type=click.FloatRange(0.5, 2), default=1.0, help="An error to be found.")
@click.option("--quick", is_flag=True, help="A few loads and a quarter of an hour.")
@click.option("--out", type=_FILE, help="Folder for data, picture and page.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def sensors(out: Path | None, as_json: bool, **given: Any) -> None:
    """Every sensor against a load that is known: error, latency, gaps. Simulated.

    \b
    Example:
      hushmeter study sensors --sensors clamp,pulse --out out/sensors
      hushmeter study sensors --board pico:1 --sensors clamp --quick
    """
    from hushmeter.study import sensors as experiment

    if out is not None:
        make_folder(out)
    day, source = _day(given)
    names = _names(given["wanted"])
    began = time.perf_counter()
    with progress_bars(as_json) as bars:
        task = bars.add_task("sensors", total=None)
        found = _found(
            names, day, source, given,
            lambda done, total: bars.update(task, completed=done, total=total),
        )  # fmt: skip
        written = [] if out is None else _write(found, _command(given), out)
    seconds = time.perf_counter() - began
    if as_json:
        click.echo(json.dumps({**experiment.as_json(found), "seconds": seconds}, allow_nan=False))
        return
    _show(found, seconds, written)


def _names(wanted: str | None) -> list[str]:
    from hushmeter.study.sensors_rigs import SENSORS

    names = list(SENSORS) if wanted is None else [name.strip() for name in wanted.split(",")]
    for name in names:
        if name not in SENSORS:
            raise HushmeterError(f"no sensor {name!r}; there are {', '.join(SENSORS)}")
    return list(dict.fromkeys(names))


def _day(given: dict[str, Any]) -> tuple[Trace, str]:
    """The day and what it is called."""
    from hushmeter.emulate.stimulus import of_load, read_trace
    from hushmeter.loads import read_load
    from hushmeter.loads.synthetic.simple import synthetic_street

    trace_file, load_file = given["trace_file"], given["load_file"]
    if trace_file is not None and load_file is not None:
        raise HushmeterError("--trace and --load are both a day; give one")
    if trace_file is not None:
        return read_trace(trace_file), trace_file.name
    if load_file is None:
        return of_load(synthetic_street(1, 1, 1)), "a synthetic day"
    load = read_load(load_file)
    rows = min(load.rows, 86_400 // load.row_s)
    return of_load(load, 0, 0, rows), f"{load.source}, its first day"


def _found(
    names: Sequence[str], day: Trace, source: str, given: dict[str, Any], progress: Any
) -> SensorStudy:
    from hushmeter.study import sensors as experiment
    from hushmeter.study.sensors_rigs import HostRigs

    extent = experiment.Extent.quick() if given["quick"] else experiment.Extent()
    name = given["board"].partition(":")[0]
    if name != HOST:
        from hushmeter.study.sensors_board import study_on_board

        return study_on_board(name, names, day, source, given["gain"], given["quick"], progress)
    rigs = HostRigs(gain=given["gain"])
    return experiment.study(names, rigs, day, source, HOST, extent, progress)


def _command(given: dict[str, Any]) -> str:
    words = ["hushmeter", "study", "sensors", "--board", given["board"]]
    for option, name in (
        ("--sensors", "wanted"), ("--trace", "trace_file"), ("--load", "load_file"),
    ):  # fmt: skip
        if given[name] is not None:
            words += [option, str(given[name])]
    words += ["--gain", f"{given['gain']:g}"] if given["gain"] != 1 else []
    return shlex.join([*words, *(["--quick"] if given["quick"] else []), "--out", "FOLDER"])


def _write(found: SensorStudy, command: str, out: Path) -> list[Path]:
    """All files, which appear together, the page last."""
    from hushmeter.report import sensors as report
    from hushmeter.report.pictures import draw
    from hushmeter.report.pictures import sensors as pictures
    from hushmeter.study.sensors import as_json

    table = as_json(found)
    picture = draw(pictures.plan(found))
    text = report.page(found, picture, command)
    rows = [
        {"sensor": name, **point}
        for name, one in table["sensors"].items()
        for point in one["points"]
    ]
    with Outputs() as outputs:
        outputs.put(out / "study.json", json.dumps(table, indent=1).encode() + b"\n")
        if rows:
            outputs.put(out / "points.csv", csv_table(rows))
        outputs.put(out / f"{picture.name}.png", picture.png)
        outputs.put(out / "report.html", text.encode())
        return outputs.paths


def _show(found: SensorStudy, seconds: float, written: Sequence[Path]) -> None:
    from hushmeter.report.sensors import figures

    console = Console()
    table = Table(
        "sensor", "day's energy", "latency", "missed", "gaps", "beyond class 1", "beyond class 2",
        "sees feed-in", title=f"Sensors, simulated, on {found.board}",
    )  # fmt: skip
    for one in found.sensors.values():
        table.add_row(*figures(one))
    console.print(table)
    for name, reason in found.left_out.items():
        console.print(f"Left out: {name}: {reason}", markup=False)
    console.print(f"{found.day_source}, {seconds:.0f} s", markup=False)
    for path in written:
        console.print(f"Written: {path}", markup=False)
