"""``hushmeter homes``: synthetic homes into a load file, with the appliances' truth."""

from __future__ import annotations

import json
import time
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from hushmeter.cli.values import day
from hushmeter.errors import HushmeterError

if TYPE_CHECKING:
    from hushmeter.loads.synthetic.figures import Tally
    from hushmeter.loads.synthetic.files import StreetFiles
    from hushmeter.loads.synthetic.street import Block, Street
    from hushmeter.outputs import Outputs

_START = "2023-01-01"
_MOST_ROWS = 2_000_000_000
_PICTURE_DAYS = 7


def _residents(ctx: click.Context, option: click.Parameter, text: str | None) -> list[int] | None:
    """2, or 1,2,2,5: taken in turn. None for the published mix."""
    if text is None:
        return None
    try:
        residents = [int(part) for part in text.split(",")]
    except ValueError:
        residents = []
    if not residents or not all(1 <= count <= 5 for count in residents):
        raise HushmeterError(f"--residents is {text!r}; it must be 1 to 5, or a list such as 1,2,4")
    return residents


@click.command()
@click.option("--homes", "count", type=click.IntRange(1), default=10, show_default=True)
@click.option("--days", type=click.IntRange(1, 36_500), default=7, show_default=True)
@click.option(
    "--residents", callback=_residents, metavar="N[,N...]",
    help="1 to 5, or a list taken in turn. [default: household sizes as published]",
)  # fmt: skip
@click.option("--seed", type=int, default=1, show_default=True, help="Same seed, same homes.")
@click.option("--start", callback=day, default=_START, show_default=True, help="The first day.")
@click.option(
    "--step", type=click.Choice(["60", "1"]), default="60", show_default=True,
    help="Seconds a row; with 1 also surges, switching and noise within a minute.",
)  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), help="Loads: wide CSV in watts.")
@click.option("--truth", type=click.Path(path_type=Path), help="JSON: what ran when.")
@click.option("--plot", is_flag=True, help="Pictures beside --out: a week, and the mean day.")
@click.option("--threads", type=click.IntRange(1, 64), default=1, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def homes(  # noqa: PLR0913
    count: int,
    days: int,
    residents: list[int] | None,
    seed: int,
    start: date,
    step: str,
    out: Path | None,
    truth: Path | None,
    plot: bool,
    threads: int,
    as_json: bool,
) -> None:
    """Make the loads of synthetic homes, and compare them with published figures.

    \b
    Example:
      hushmeter homes --homes 100 --days 365 --seed 1 --out out/homes.csv --truth out/truth.json
    """
    _check(count, days, int(step), start, out, truth, plot)
    from hushmeter.loads.synthetic.files import StreetFiles
    from hushmeter.loads.synthetic.street import Street
    from hushmeter.outputs import Outputs

    chosen = count if residents is None else (residents * -(-count // len(residents)))[:count]
    street = Street(chosen, seed, start, int(step))
    with Outputs() as outputs:
        files = None
        if out is not None:
            loads = outputs.open(out)
            files = StreetFiles(street, loads, None if truth is None else outputs.open(truth))
        began = time.perf_counter()
        total, first = _run(street, days, threads, files, as_json)
        seconds = time.perf_counter() - began
        if plot and out is not None:
            _plot(total, first, out, outputs)
    summary = _summary(total, seconds)
    if as_json:
        click.echo(json.dumps(summary))
        return
    _show(summary, outputs.paths)


def _check(  # noqa: PLR0913
    count: int,
    days: int,
    step_s: int,
    start: date,
    out: Path | None,
    truth: Path | None,
    plot: bool,
) -> None:
    if truth is not None and out is None:
        raise HushmeterError("--truth without --out: the truth of loads that are not kept")
    if plot and out is None:
        raise HushmeterError("--plot without --out: the pictures lie beside the loads")
    if out is not None and truth is not None and out.resolve() == truth.resolve():
        raise HushmeterError(f"--out and --truth are both {out}")
    if out is not None and count * days * (86_400 // step_s) > _MOST_ROWS:
        raise HushmeterError(
            f"{count} homes x {days} days in rows of {step_s} s are more than "
            f"{_MOST_ROWS} readings in one file",
            hint="fewer homes or days, or leave out --out",
        )
    if not date(1971, 1, 1) <= start <= date(2101, 1, 1) - timedelta(days):
        raise HushmeterError(f"{days} days from {start}; they must lie between 1971 and 2100")


def _run(
    street: Street, days: int, threads: int, files: StreetFiles | None, quiet: bool
) -> tuple[Tally, Block]:
    """Streams the street into the files and the tally; its first block too, for the picture."""
    from hushmeter.loads.synthetic.figures import Tally

    console = Console(stderr=True)
    bars = Progress(
        TextColumn("{task.description:>18}"), BarColumn(), MofNCompleteColumn(),
        TimeRemainingColumn(), console=console, disable=quiet and not console.is_terminal,
    )  # fmt: skip
    block_days = _PICTURE_DAYS if street.step_s > 1 else 1
    total = Tally(street)
    kept: list[Block] = []
    with bars:
        task = bars.add_task("days", total=days)
        for block in street.blocks(days, block_days, threads):
            total.add(block)
            if files is not None:
                files.add(block)
            kept = kept or [block]
            bars.advance(task, block.days)
    if files is not None:
        files.end()
    return total, kept[0]


def _plot(total: Tally, first: Block, out: Path, outputs: Outputs) -> None:
    from hushmeter.report.pictures.homes import mean_day_png, week_png

    outputs.put(out.with_name(f"{out.stem}-week.png"), week_png(total.street, first))
    outputs.put(out.with_name(f"{out.stem}-day.png"), mean_day_png(total))


def _summary(total: Tally, seconds: float) -> dict[str, Any]:
    figures = total.figures()
    homes = len(total.street.homes)
    return {
        "homes": homes,
        "days": total.days,
        "step_s": total.street.step_s,
        "seed": total.street.seed,
        "start": total.street.start.isoformat(),
        "figures": {figure.key: figure.value for figure in figures},
        "ranges": {figure.key: [figure.low, figure.high] for figure in figures},
        "sources": {figure.key: figure.source for figure in figures},
        "within": {figure.key: figure.within for figure in figures},
        "annual_kwh_by_residents": {
            str(count): kwh for count, kwh in total.annual_kwh_by_residents().items()
        },
        "annual_kwh_by_appliance": total.annual_kwh_by_kind(),
        "seconds": seconds,
        "household_days_per_s": homes * total.days / seconds,
    }


def _show(summary: dict[str, Any], written: list[Path]) -> None:
    console = Console()
    table = Table("figure", "here", "range", "published", title="Synthetic homes")
    for key, value in summary["figures"].items():
        low, high = summary["ranges"][key]
        shown = "-" if value is None else f"{value:,.3g}" if value < 100 else f"{value:,.0f}"
        mark = "" if summary["within"][key] in (True, None) else " outside"
        table.add_row(key, shown + mark, f"{low:g} to {high:g}", summary["sources"][key])
    console.print(table)
    console.print(
        f"{summary['homes']} homes x {summary['days']} days in {summary['seconds']:.1f} s "
        f"({summary['household_days_per_s']:,.0f} household-days a second)"
    )
    for path in written:
        console.print(f"Written: {path}")
