"""``hushmeter study market``: a day of homes at a flat price and on the market."""

from __future__ import annotations

import json
import shlex
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
    from hushmeter.study.market import MarketStudy

_FILE = click.Path(path_type=Path)


@click.command()
@click.option("--homes", "count", type=click.IntRange(2, 1000), help="How many. [default: 100]")
@click.option(
    "--wholesale", type=_FILE, metavar="FILE.csv",
    help="Prices: a line interval,micro_per_wh and one for each of 96 intervals from noon on.",
)  # fmt: skip
@click.option(
    "--seed", type=click.IntRange(0), default=1, show_default=True, help="Same seed, same homes."
)
@click.option("--plain", is_flag=True, help="Add the curves in the clear; the totals are the same.")
@click.option("--quick", is_flag=True, help="12 homes, added in the clear.")
@click.option("--out", type=_FILE, help="Folder for data, pictures and page.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def market(out: Path | None, as_json: bool, **given: Any) -> None:
    """A day of synthetic homes, flat tariff against market: peak, cost, welfare.

    \b
    Example:
      hushmeter study market --out out/market
    """
    from hushmeter.market.wholesale import read_wholesale
    from hushmeter.study import market as experiment

    if out is not None:
        make_folder(out)
    prices = None if given["wholesale"] is None else read_wholesale(given["wholesale"])
    usual = experiment.QUICK_HOMES if given["quick"] else experiment.HOMES
    began = time.perf_counter()
    with progress_bars(as_json) as bars:
        task = bars.add_task("intervals", total=None)
        found = experiment.study(
            given["count"] or usual,
            given["seed"],
            prices,
            not (given["plain"] or given["quick"]),
            lambda done, total: bars.update(task, completed=done, total=total),
        )
        written = [] if out is None else _write(found, _command(given), out, bars)
    seconds = time.perf_counter() - began
    if as_json:
        table = experiment.as_json(found)
        timed = {"seconds": seconds, "seconds_an_interval": found.seconds_an_interval}
        click.echo(json.dumps({**table, **timed}, allow_nan=False))
        return
    _show(found, seconds, written)


def _command(given: dict[str, Any]) -> str:
    words = ["hushmeter", "study", "market"]
    for option, name in (("--homes", "count"), ("--wholesale", "wholesale")):
        if given[name] is not None:
            words += [option, str(given[name])]
    words += [f"--{name}" for name in ("plain", "quick") if given[name]]
    return shlex.join([*words, "--seed", str(given["seed"]), "--out", "FOLDER"])


def _write(found: MarketStudy, command: str, out: Path, bars: Progress) -> list[Path]:
    """All files, which appear together, the page last."""
    from hushmeter.market.transcript import written
    from hushmeter.report.market import page, rows
    from hushmeter.report.pictures import draw
    from hushmeter.report.pictures.market import plans
    from hushmeter.study.market import as_json

    table = as_json(found)
    pictures = [draw(plan) for plan in bars.track(plans(found), description="pictures")]
    text = page(found, pictures, command)
    both = zip(table["flat"]["intervals"], table["market"]["intervals"], strict=True)
    intervals = [
        {
            **{name: flat[name] for name in ("interval", "wholesale")},
            **{f"flat_{key}": flat[key] for key in flat if key not in ("interval", "wholesale")},
            **{f"market_{key}": one[key] for key in one if key not in ("interval", "wholesale")},
        }
        for flat, one in both
    ]
    summary = [{"what": what, "flat": flat, "market": one} for what, flat, one in rows(found)]
    names = ("prices", "demand", "supply")
    totals = zip(*(table["curves"][name] for name in names), strict=True)
    with Outputs() as outputs:
        outputs.put(out / "study.json", json.dumps(table, indent=1).encode() + b"\n")
        outputs.put(out / "intervals.csv", csv_table(intervals))
        outputs.put(out / "summary.csv", csv_table(summary))
        outputs.put(
            out / "curves.csv",
            csv_table([dict(zip(("price", *names[1:]), row, strict=True)) for row in totals]),
        )
        outputs.put(out / "transcript.json", written(found.transcript))
        for picture in pictures:
            outputs.put(out / f"{picture.name}.png", picture.png)
        outputs.put(out / "report.html", text.encode())
        return outputs.paths


def _show(found: MarketStudy, seconds: float, written: Sequence[Path]) -> None:
    from hushmeter.report.market import rows

    console = Console()
    table = Table("", title=f"Market study, {found.homes} synthetic homes", title_justify="left")
    for heading in ("flat price", "market"):
        table.add_column(heading, justify="right")
    for row in rows(found):
        table.add_row(*row)
    console.print(table)
    gain = (found.flat.cost_micro - found.market.cost_micro) / 1_000_000
    console.print(f"Welfare of the day: {gain:+,.2f} on the market, in units of the currency")
    how = "masked" if found.masked else "in the clear"
    console.print(f"96 intervals summed {how}, seed {found.seed}, {seconds:.1f} s")
    for path in written:
        console.print(f"Written: {path}")
