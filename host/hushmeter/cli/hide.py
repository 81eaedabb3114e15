"""``hushmeter hide``: a home's load behind a battery, and what the grid draw still tells."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from hushmeter.cli.battery import batteries, battery_options
from hushmeter.cli.values import day
from hushmeter.errors import HushmeterError

if TYPE_CHECKING:
    from hushmeter.battery.hiding import HiddenRun, Judging
    from hushmeter.battery.record import Record
    from hushmeter.battery.setups import Setup
    from hushmeter.outputs import Outputs
    from hushmeter.report.battery_model import BatteryReport

_ROWS_AT_ONCE = 1 << 16
_COLUMNS = (
    "bits, binary, Markov: mutual information of load changes, bits a sample; chance: of the first "
    "by chance; R²: load got back by a filter; change, cycle: a day; claims: of the load-change "
    "attack, how many are right, and of all changes how many it got back; ms: the controller's own"
)
_FILE = click.Path(path_type=Path)


def _sizes(ctx: click.Context, option: click.Parameter, text: str | None) -> list[int]:
    if text is None:
        return []
    try:
        return [int(one) for one in text.split(",")]
    except ValueError as error:
        raise HushmeterError(
            f"--sizes is {text!r}; it must be whole Wh with commas between, such as 100,250,500"
        ) from error


def _output_options(command: Any) -> Any:
    """What is looked at, and where it goes."""
    for option in reversed(
        (
            click.option("--tariff", "tariff_file", type=_FILE, help="Prices, for the cost."),
            click.option(
                "--truth", "truth_file", type=_FILE,
                help="What `hushmeter homes --truth` wrote, for the appliance attack.",
            ),
            click.option("--day", callback=day, help="Day shown. [default: a usual one]"),
            click.option("--out", type=_FILE, help="CSV: time,demand_w,grid_w,charge_wh."),
            click.option(
                "--sizes", "sizes_wh", callback=_sizes, metavar="WH[,WH...]",
                help="Measure behind batteries of these sizes too, each charged and emptied in an "
                "hour.",
            ),
            click.option(
                "--plot", type=_FILE,
                help="PNG; with several also NAME-controllers.png, with --sizes NAME-sizes.png.",
            ),
            click.option("--page", "page_file", type=_FILE, help="HTML, in one file."),
            click.option(
                "--json", "as_json", is_flag=True, help="One JSON object on standard output."
            ),
        )
    ):  # fmt: skip
        command = option(command)
    return command


@click.command()
@click.option("--load", "load_file", type=_FILE, required=True, help="UCI file or wide CSV.")
@click.option(
    "--controller", default="ls2", show_default=True, metavar="C[,C...]",
    help="be (= be:sat), be:idle, nill, lc, ls1, ls2, rc, hold-mean, smooth, table, source, "
    "none, or all.",
)  # fmt: skip
@click.option("--compare", is_flag=True, help="Run all the others beside it.")
@battery_options
@click.option("--home", help="Column of a file with several homes.")
@click.option("--step", "step_s", type=int, help="Seconds; mean of rows. [default: a row]")
@click.option("--export", is_flag=True, help="The home may feed the grid.")
@click.option("--bridge-gaps", is_flag=True, help="Pass over gaps of more than an hour too.")
@click.option(
    "--warm-up-days", type=click.IntRange(0, 36_500), default=0, show_default=True,
    help="Left out of what is measured.",
)  # fmt: skip
@click.option(
    "--bin", "bin_w", type=int, default=20, show_default=True,
    help="Width of a bin of load changes, W.",
)  # fmt: skip
@click.option(
    "--threshold", "threshold_w", type=int, default=20, show_default=True,
    help="Binary measure: changes above it count, W.",
)  # fmt: skip
@click.option(
    "--seed", default="1", show_default=True, help="Number or text; same seed, same draw."
)
@_output_options
def hide(**given: Any) -> None:
    """Hide a home's load behind a battery; measure and attack what the grid sees.

    A step without a reading is passed over: the controller is not called, and what is measured
    leaves it out. Gaps above an hour are refused unless --bridge-gaps is given.

    \b
    Example:
      hushmeter hide --controller ls2 --capacity-wh 500 --rate-w 500 --load load.csv \\
        --seed 1 --out out.csv --plot out.png --page out.html
      hushmeter hide --controller be,nill,ls2 --load load.csv --page out.html
      hushmeter hide --controller be,ls2 --load load.csv --sizes 100,250,500,1000 --plot out.png
    """
    from hushmeter.battery.setups import setups
    from hushmeter.battery.sizes import over_sizes
    from hushmeter.outputs import Outputs

    named = [name.strip() for name in given["controller"].split(",") if name.strip()]
    battery, second = batteries(given)
    with Outputs() as outputs:
        _reserve(outputs, given)
        record = _record(given)
        chosen = setups(named, battery, record.step_s, given["export"], second)
        written = [setup.label for setup in chosen]
        if given["compare"]:
            # Settings of a controller's own go to those that were named.
            everything = setups(
                [*named, "all"], replace(battery, own={}), record.step_s, given["export"], second
            )
            chosen += [one for one in everything if one.label not in written]
        tables = _tables(outputs, given["out"], written)
        if given["sizes_wh"] and second is not None:
            raise HushmeterError("--sizes is of one battery; leave out --second")
        report, judged = _run(record, chosen, given, tables)
        if given["sizes_wh"]:
            with _bars(given["as_json"]) as progress:
                report.sizes = over_sizes(
                    record,
                    named,
                    battery,
                    given["sizes_wh"],
                    _judging(record, given),
                    _seed(given),
                    given["export"],
                    progress,
                )
        _draw(outputs, report, given)
    _tell(report, judged, len(written), given, outputs.paths)


def _reserve(outputs: Outputs, given: dict[str, Any]) -> None:
    """Refuses outputs that cannot be written before the work is done."""
    for name in ("plot", "page_file"):
        if given[name] is not None:
            outputs.open(given[name])
    inputs = [given[name] for name in ("load_file", "tariff_file", "truth_file", "table")]
    for path in (given["out"], given["plot"], given["page_file"]):
        if path is not None and path.resolve() in [one.resolve() for one in inputs if one]:
            raise HushmeterError(f"{path} is read; it cannot be the output too")


def _record(given: dict[str, Any]) -> Record:
    from hushmeter.battery.record import record_of
    from hushmeter.loads import read_load

    load = read_load(given["load_file"], allow_export=given["export"])
    return record_of(load, given["home"], given["step_s"], given["bridge_gaps"])


def _tables(outputs: Outputs, out: Path | None, labels: list[str]) -> dict[str, BinaryIO]:
    """The CSV of each run: --out itself, or for several one each beside it."""
    if out is None:
        return {}
    if len(labels) == 1:
        return {labels[0]: outputs.open(out)}
    return {
        label: outputs.open(out.with_name(f"{out.stem}-{label.replace(':', '-')}{out.suffix}"))
        for label in labels
    }


@dataclass
class _Bars:
    """Progress on standard error; nothing where only JSON is wanted and nobody watches."""

    bars: Progress

    def __call__(self, what: str, done: int, total: int) -> None:
        if not self.bars.tasks or self.bars.tasks[-1].description != what:
            self.bars.add_task(what, total=total)
        self.bars.update(self.bars.tasks[-1].id, completed=done, total=total)


@contextmanager
def _bars(as_json: bool) -> Iterator[_Bars]:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description:>18}"), BarColumn(), TaskProgressColumn())
    hidden = as_json and not console.is_terminal
    with Progress(*columns, TimeElapsedColumn(), console=console, disable=hidden) as bars:
        yield _Bars(bars)


def _run(
    record: Record, chosen: list[Setup], given: dict[str, Any], tables: dict[str, BinaryIO]
) -> tuple[BatteryReport, list[dict[str, Any]]]:
    """Runs and judges one controller after the other; only one run is held."""
    from hushmeter.battery.hiding import compare
    from hushmeter.report.battery_model import BatteryReport, day_window

    judging = _judging(record, given)
    window = day_window(record, judging.options.warm_up_s, given["day"])
    report = BatteryReport.of(record, window)
    beyond: list[str] = []
    report.command = shlex.join(["hushmeter", *sys.argv[1:]])
    with _bars(given["as_json"]) as progress:
        for judged in compare(record, chosen, judging, _seed(given), progress):
            report.add(judged)
            label = judged.label
            beyond += [f"{label}: {warning}" for warning in judged.run.warnings()]
            if label in tables:
                for done in write_run(tables[label], record, judged.run):
                    progress(f"{label}, writing", done, record.steps)
    for warning in beyond:
        click.echo(f"warning: {warning}", err=True)
    return report, [run.figures for run in report.runs]


def _seed(given: dict[str, Any]) -> int | str:
    seed: str = given["seed"]
    return int(seed) if seed.isdecimal() else seed


def _judging(record: Record, given: dict[str, Any]) -> Judging:
    from hushmeter.battery.hiding import Judging
    from hushmeter.battery.metrics import DAY_S, Options
    from hushmeter.battery.tariff import read_tariff
    from hushmeter.battery.truth import read_truth

    truth_file, tariff_file = given["truth_file"], given["tariff_file"]
    return Judging(
        options=Options(
            bin_w=given["bin_w"],
            threshold_w=given["threshold_w"],
            warm_up_s=given["warm_up_days"] * DAY_S,
        ),
        prices=None if tariff_file is None else read_tariff(tariff_file),
        truth=None if truth_file is None else read_truth(truth_file, record),
    )


def write_run(file: BinaryIO, record: Record, run: HiddenRun) -> Iterator[int]:
    """Writes the table of a run; yields the rows that are done.

    `time` is when the step begins (UTC), `charge_wh` the charge at its end, to a millionth, which
    tells the Ws exactly. Demand and draw of a missing step are empty.
    """
    import numpy as np

    from hushmeter.battery.setups import WS_PER_WH

    file.write(b"time,demand_w,grid_w,charge_wh\n")
    for first in range(0, record.steps, _ROWS_AT_ONCE):
        last = min(record.steps, first + _ROWS_AT_ONCE)
        stamps = record.start + np.arange(first, last) * record.step_s
        times = np.datetime_as_string(stamps.astype("datetime64[s]")).tolist()
        rows = zip(
            times,
            record.demand_w[first:last].tolist(),
            run.grid_w[first:last].tolist(),
            (run.charge_ws[first + 1 : last + 1] / WS_PER_WH).tolist(),
            record.missing[first:last].tolist(),
            strict=True,
        )
        lines = [
            f"{time},,,{charge_wh:.6f}\n" if gap else f"{time},{demand},{grid},{charge_wh:.6f}\n"
            for time, demand, grid, charge_wh, gap in rows
        ]
        file.write("".join(lines).encode("ascii"))
        yield last


def _draw(outputs: Outputs, report: BatteryReport, given: dict[str, Any]) -> None:
    plot, page_file = given["plot"], given["page_file"]
    if plot is None and page_file is None:
        return
    from hushmeter.report import battery
    from hushmeter.report.pictures import FORMS

    pictures = battery.draw_pictures(report, FORMS if page_file is not None else FORMS[:1])
    if plot is not None:
        outputs.put(plot, pictures[0].png)
        for picture in pictures[1:]:
            outputs.put(plot.with_name(f"{plot.stem}-{picture.name}{plot.suffix}"), picture.png)
    if page_file is not None:
        outputs.put(page_file, battery.page(report, pictures).encode())


def _tell(
    report: BatteryReport,
    judged: list[dict[str, Any]],
    named: int,
    given: dict[str, Any],
    written: list[Path],
) -> None:
    if given["as_json"]:
        if named == 1:
            found = judged[0] | ({"compared": judged[1:]} if len(judged) > 1 else {})
        else:
            found = {"runs": judged}
        if report.sizes:
            found["sizes"] = [row.summary() for row in report.sizes]
        click.echo(json.dumps(found, allow_nan=False))
        return
    from hushmeter.report import battery

    console = Console()
    if len(report.runs) == 1:
        rows = battery.summary_rows(report)
        table = Table(title=f"A home behind {report.runs[0].label}", show_header=False, box=None)
        for row in rows:
            table.add_row(row.label, row.value, row.note)
    else:
        table = Table(title="Controllers", box=None, pad_edge=False, padding=(0, 1, 0, 0))
        for place, name in enumerate(battery.MEASURES):
            # Where it gets narrow the names are folded; a figure is never cut.
            table.add_column(
                name, justify="right" if place else "left", no_wrap=place > 0, overflow="fold"
            )
        for cells in battery.measure_rows(report.runs):
            table.add_row(*cells)
    console.print(table, markup=False)
    if len(report.runs) > 1:
        console.print(_COLUMNS)
    for warning in battery.warnings(report.runs):
        console.print(f"Mind: {warning}", markup=False)
    for path in written:
        console.print(f"Written: {path}", markup=False)
