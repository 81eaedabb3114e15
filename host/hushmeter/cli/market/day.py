"""``hushmeter market day``: a day of a market on an emulated street of real meters."""

from __future__ import annotations

import json
import shlex
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hushmeter.cli.market.clear import caps_option, epsilon_option
from hushmeter.errors import HushmeterError

if TYPE_CHECKING:
    from hushmeter.crypto.paillier import PrivateKey
    from hushmeter.emulate.market_day import DayRun, DaySettings

_FILE = click.Path(path_type=Path)
_PHASES = ("report", "answer")
_INTERVAL_S = 900
_MOST_INTERVALS = 96
_PAIRS_BY_HAND = 150
_CAPS_WH = (8000, 8000)
"""32 kW over a quarter of an hour."""


@click.command()
@click.option("--meters", type=click.IntRange(3, 1000), default=12, show_default=True)
@click.option(
    "--intervals", type=click.IntRange(1, _MOST_INTERVALS), default=_MOST_INTERVALS,
    show_default=True, help="Quarters of an hour, from noon on.",
)  # fmt: skip
@click.option(
    "--wholesale", type=_FILE, metavar="FILE.csv",
    help="Wholesale prices: interval,micro_per_wh. Without it, those of a synthetic winter day.",
)  # fmt: skip
@click.option(
    "--home", "homes", type=_FILE, multiple=True, metavar="FILE",
    help="Settings of a home, TOML or JSON, the same in every interval; repeat it for each meter. "
    "Without it, synthetic homes with heat pumps, cars, batteries and panels.",
)  # fmt: skip
@click.option("--prices", metavar="PRICE,...", help="The grid, micro-units per Wh, ascending.")
@click.option(
    "--fallback", type=click.IntRange(0, (1 << 32) - 1), metavar="PRICE",
    help="Of an interval that is void. [default: the grid's first at or above the mean wholesale]",
)  # fmt: skip
@click.option(
    "--tolerate", type=click.IntRange(1), metavar="M",
    help="Most silent meters. [default: max(K, N/10), at least 1]",
)  # fmt: skip
@click.option(
    "--dropouts", type=click.IntRange(0), default=0, show_default=True,
    help="K meters that are away during the middle third.",
)  # fmt: skip
@click.option(
    "--dropout-phase", type=click.Choice(_PHASES), default="report", show_default=True,
    help="They die before they report, or between report and answer, which voids the interval.",
)  # fmt: skip
@click.option(
    "--board", default="unix", show_default=True, metavar="BOARD[:K]",
    help="Run K of the meters on this emulated board, as hushmeter emulate.",
)  # fmt: skip
@click.option(
    "--backend", type=click.Choice(("masked", "paillier-ring")), default="masked",
    show_default=True, help="How the meters' curves are summed.",
)  # fmt: skip
@click.option(
    "--key", type=_FILE, metavar="FILE",
    help="The utility's private key for a ring, from hushmeter market keygen. [default: a new one]",
)  # fmt: skip
@click.option(
    "--trust-key", is_flag=True,
    help="In a ring: the meters take this host's check of the key for theirs, which takes an "
    "emulated board a quarter of an hour.",
)  # fmt: skip
@epsilon_option
@caps_option
@click.option(
    "--floors-only", is_flag=True,
    help="Leave the Wh that rounding leaves over to the utility, and count no remainders.",
)  # fmt: skip
@click.option("--seed", help="Replaces all entropy: repeatable and insecure.")
@click.option("--homes-seed", type=click.IntRange(0), default=1, show_default=True,
              help="Of the synthetic homes; no entropy of a meter.")  # fmt: skip
@click.option("--out", type=_FILE, help="Folder for page, transcript and tables.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def day(out: Path | None, as_json: bool, **given: Any) -> None:
    """Run a day of a market on real firmware: every meter is asked, masks, answers and settles.

    Each home sets its meter over its own link. The meter makes its curves, masks them, answers the
    set of silent meters once, and works out its own share from the totals that all are told. The
    supplier sees masked words, totals and counts. An interval that cannot be summed takes the
    fallback price. With --backend paillier-ring curves go round in sealed letters, under a key of
    2048 bits that every meter checks first; an emulated board takes its time for it.

    \b
    Example:
      hushmeter market day --meters 12 --intervals 96 --dropouts 2 --out out/day
      hushmeter market verify out/day/transcript.json
    """
    from hushmeter.emulate.market_day import summary

    settings = _settings(given)
    run = _run(settings, as_json)
    found = summary(run)
    if out is not None:
        _write(run, found, out)
    if as_json:
        click.echo(json.dumps(found, allow_nan=False))
    else:
        _show(run, found, out)


def _settings(given: dict[str, Any]) -> DaySettings:
    from hushmeter.cli.emulate import absences_in_the_middle, boards_of
    from hushmeter.emulate.market_day import DayHome, DaySettings
    from hushmeter.market.meters import MarketTerms
    from hushmeter.market.responses import read_responses
    from hushmeter.study import market as study
    from hushmeter.study.market_homes import made_homes

    meters, intervals = given["meters"], given["intervals"]
    costs = _wholesale(given["wholesale"], intervals)
    grid = _grid(given["prices"])
    homes: list[Any] = [DayHome(read_responses(path)) for path in given["homes"]]
    if homes and len(homes) != meters:
        raise HushmeterError(
            f"{len(homes)} --home files for {meters} meters; give one for each, or none"
        )
    missing = _tolerated(given, meters)
    mean = sum(costs) / len(costs)
    fallback = given["fallback"]
    if fallback is None:
        fallback = next((price for price in grid if price >= mean), grid[-1])
    return DaySettings(
        homes=homes or made_homes(meters, given["homes_seed"], *study.battery_prices(costs)),
        wholesale=costs,
        steps=study.utility_steps(meters),
        grid=grid,
        fallback=fallback,
        start_s=study.NOON_S,
        terms=MarketTerms(_INTERVAL_S, given["caps"] or _CAPS_WH, given["epsilon"]),
        missing=missing,
        counts=not given["floors_only"],
        absences=absences_in_the_middle(
            meters, intervals, given["dropouts"], given["dropout_phase"]
        ),
        seed=given["seed"],
        provision_pairs=meters > _PAIRS_BY_HAND,
        boards=boards_of(given["board"], meters),
        noise_sampler="bounded" if given["epsilon"] else "exact",
        ring=_ring_key(given, meters),
        key_trusted=given["trust_key"],
    )


def _ring_key(given: dict[str, Any], meters: int) -> PrivateKey | None:
    """The utility's key from its file, or a new one of 2048 bits; None for masked words."""
    from hushfw.core.ring import MOST_MEMBERS
    from hushmeter.crypto.keyfiles import read_private
    from hushmeter.crypto.paillier import generate

    if given["backend"] == "masked":
        if given["key"] is not None or given["trust_key"]:
            raise HushmeterError(
                "--key and --trust-key are for --backend paillier-ring; masked words need none"
            )
        return None
    if meters > MOST_MEMBERS:
        raise HushmeterError(
            f"--meters {meters}: a ring of meters has at most {MOST_MEMBERS}",
            hint="masked words sum a thousand",
        )
    return generate(2048) if given["key"] is None else read_private(given["key"])


def _tolerated(given: dict[str, Any], meters: int) -> int:
    dropouts, asked = given["dropouts"], given["tolerate"]
    missing: int = max(dropouts, meters // 10, 1) if asked is None else asked
    if dropouts > missing:
        raise HushmeterError(
            f"--dropouts {dropouts} is above --tolerate {missing}: such intervals could only be "
            "void",
            hint="raise --tolerate or leave it out",
        )
    if 2 * missing + 1 >= meters:
        raise HushmeterError(
            f"2 M + T = {2 * missing + 1} must be below the number of meters, {meters}",
            hint=f"take at least {2 * missing + 2} --meters, or fewer --dropouts",
        )
    return missing


def _wholesale(path: Path | None, intervals: int) -> list[int]:
    from hushmeter.market.wholesale import read_wholesale
    from hushmeter.study.market import synthetic_wholesale

    costs = synthetic_wholesale() if path is None else read_wholesale(path)
    if len(costs) < intervals:
        raise HushmeterError(f"{path}: {len(costs)} prices for {intervals} --intervals")
    return costs[:intervals]


def _grid(text: str | None) -> list[int]:
    from hushmeter.cli.market.curve import price_grid
    from hushmeter.market.curves import check_prices
    from hushmeter.market.meters import packed_prices
    from hushmeter.study.market import GRID

    grid = list(GRID) if text is None else price_grid(text)
    check_prices(grid, "--prices")
    packed_prices(grid)
    return grid


def _run(settings: DaySettings, as_json: bool) -> DayRun:
    from hushmeter.cli.emulate import Bars
    from hushmeter.emulate.market_day import MarketDay
    from hushmeter.emulate.meters import street_meters

    street = settings.street()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        bars = stack.enter_context(Bars(as_json))
        return MarketDay(settings, street_meters(street, folder), bars).run()


def _write(run: DayRun, found: dict[str, Any], out: Path) -> None:
    """All files, which appear together, the page last."""
    from hushmeter.cli.study_parts import csv_table
    from hushmeter.market.transcript import written
    from hushmeter.outputs import Outputs
    from hushmeter.report.market_day import draw_day, intervals_table, page

    pictures = draw_day(run)
    command = shlex.join(["hushmeter", *sys.argv[1:]])
    text = page(run, found, pictures, command)
    with Outputs() as outputs:
        entries = [row.outcome.entry for row in run.intervals]
        outputs.put(out / "transcript.json", written(entries))
        outputs.put(out / "day.json", json.dumps(found, indent=1).encode() + b"\n")
        outputs.put(out / "intervals.csv", csv_table(intervals_table(run)))
        for picture in pictures:
            outputs.put(out / f"{picture.name}.png", picture.png)
        outputs.put(out / "report.html", text.encode())


def _show(run: DayRun, found: dict[str, Any], out: Path | None) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    if found["insecure"]:
        console.print(Text("INSECURE: " + ", ".join(found["insecure"]), style="bold red"))
    prices = [price for price in found["price"] if price is not None]
    table = Table(title=f"Market day, {found['meters']} emulated meters", title_justify="left")
    table.add_column("")
    table.add_column("", justify="right")
    traded = sum(amount for amount in found["traded_wh"] if amount is not None)
    rows = [
        ("intervals with a price", f"{len(prices)} of {found['intervals']}"),
        ("with silent meters", str(found["recovered_intervals"])),
        ("void, at the fallback price", str(len(found["void_intervals"]))),
        ("price, micro-units per Wh", f"{min(prices)} to {max(prices)}" if prices else "none"),
        ("traded, kWh", f"{traded / 1000:,.1f}"),
        ("sums are those of the homes", _word(found["sums_right"])),
        ("shares the meters worked out agree", _word(found["shares_agree"])),
        ("bytes a meter and interval", f"{found['bytes_a_meter_and_interval']:,.0f}"),
        ("an interval took, s", f"{found['seconds_an_interval']:.2f}"),
    ]
    for row in rows:
        table.add_row(*row)
    console.print(table)
    if out is not None:
        console.print(f"Written: {out / 'report.html'}  ({run.seconds:.0f} s)")


def _word(right: bool) -> str:
    return "yes" if right else "no"
