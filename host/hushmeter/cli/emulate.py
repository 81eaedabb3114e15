"""``hushmeter emulate`` and its showcase ``hushmeter demo``."""

from __future__ import annotations

import json
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from hushfw.core.battery import CONTROLLERS
from hushmeter.battery.setups import SHORT, Battery
from hushmeter.cli.battery import batteries, battery_options
from hushmeter.cli.guests import Guests, check_port_options
from hushmeter.cli.values import noise_sampler_option, positive_fraction, privacy_cap_option
from hushmeter.cluster.store import Store
from hushmeter.devices.boards import load_board
from hushmeter.devices.controller import ControllerPlan
from hushmeter.emulate.changes import RosterChange, newcomers
from hushmeter.emulate.changes import parse as parse_changes
from hushmeter.emulate.meters import street_meters
from hushmeter.emulate.settings import (
    ANSWER,
    REPORT,
    STREET,
    Absence,
    StreetSettings,
    check,
    check_size,
)
from hushmeter.emulate.street import Street, StreetRun, fresh_folder
from hushmeter.errors import HushmeterError
from hushmeter.loads import Load, read_load
from hushmeter.loads.synthetic import synthetic_street
from hushmeter.report.street import render
from hushmeter.report.table import insecure_banner, summary_table

_SYNTHETIC_SEED = 2011
_MOST_SYNTHETIC_DAYS = 15_000
_PAIRS_BY_HAND = 150
_DEMO_LOAD = "uci-2007-02-01.csv"
_DATA = "HUSHMETER_DATA"


def _epsilon(ctx: click.Context, option: click.Parameter, text: str) -> Fraction | None:
    """The Fraction of a positive decimal or fraction; None for inf, no noise."""
    if text.strip().lower() in ("inf", "infinity"):
        return None
    epsilon = positive_fraction(text)
    if epsilon is None or max(epsilon.as_integer_ratio()) >= 1 << 32:
        raise HushmeterError(
            f"--epsilon is {text!r}; it must be inf, or a positive number of at most nine digits "
            "such as 0.5, 1 or 3/2"
        )
    return epsilon


def _controller(ctx: click.Context, option: click.Parameter, name: str) -> str:
    if SHORT.get(name, name) not in CONTROLLERS or name == "cascade":
        known = ", ".join(one for one in CONTROLLERS if one != "cascade")
        raise HushmeterError(f"--controller is {name!r}; it must be one of {known}, or be")
    return name


def _roster_changes(
    ctx: click.Context, option: click.Parameter, text: str | None
) -> tuple[RosterChange, ...]:
    return () if text is None else parse_changes(text)


@click.command()
@click.option("--meters", type=int, default=12, show_default=True, help="Meters in the street.")
@click.option("--slots", type=int, default=144, show_default=True, help="Slots to run.")
@click.option(
    "--load",
    "load_file",
    type=click.Path(path_type=Path),
    help="UCI household file, or wide CSV (first column time, one column a home, Wh per row). "
    "Without it a small synthetic load is made.",
)
@click.option("--slot-minutes", type=click.IntRange(1, 1440), default=10, show_default=True)
@click.option(
    "--controller", callback=_controller, default="none", show_default=True, metavar="C",
    help="be (= be:sat), be:idle, nill, lc, ls1, ls2, rc, hold-mean, smooth, table, source, or "
    "none.",
)  # fmt: skip
@battery_options
@click.option(
    "--epsilon", callback=_epsilon, default="1", show_default=True, help="Per slot; inf: no noise."
)
@click.option(
    "--peak-w", type=click.IntRange(1, 1_000_000), default=10000, show_default=True,
    help="Readings are clipped to this power's energy in a slot.",
)  # fmt: skip
@click.option(
    "--tolerate", type=click.IntRange(0), help="M: most silent meters. [default: max(K, N/10)]"
)
@click.option(
    "--colluders", type=click.IntRange(1), default=1, show_default=True, help="T: most colluders."
)
@click.option(
    "--dropouts", type=click.IntRange(0), default=0, show_default=True,
    help="K meters that are away during the middle third.",
)  # fmt: skip
@click.option(
    "--dropout-phase", type=click.Choice([REPORT, ANSWER]), default=REPORT, show_default=True,
    help="They die before they report, or between report and answer.",
)  # fmt: skip
@click.option(
    "--roster-changes", callback=_roster_changes, metavar="SLOT:ACTION=METER,...",
    help="Meters that join, leave, are replaced or renew their keys while the street runs, such as "
    "20:join=13,20:leave=4,40:renew=2,60:replace=5. Slots count from 0.",
)  # fmt: skip
@click.option(
    "--board", default="unix", show_default=True, metavar="BOARD[:K]",
    help="Run K of the meters (without :K all) on this emulated board, the rest on unix. "
    "An emulated RP2040 takes minutes a slot where a process takes milliseconds.",
)  # fmt: skip
@click.option(
    "--port", "ports", multiple=True, metavar="[BOARD=]P",
    help="A board on this serial port (or auto) is one of the meters; repeatable. It must be "
    "flashed and deployed. BOARD= where it cannot say itself which board it is.",
)  # fmt: skip
@click.option(
    "--provision", is_flag=True,
    help="Configure the boards on --port for this run; they get keys of their own.",
)  # fmt: skip
@click.option(
    "--replace-identity", is_flag=True,
    help="Do so although that gives up a board's key, journal and rosters of another street.",
)  # fmt: skip
@click.option(
    "--authority", type=click.Path(path_type=Path),
    help="The street's key, from hushmeter authority: boards provisioned for it keep their own.",
)  # fmt: skip
@click.option("--street", default=STREET, show_default=True, metavar="NAME", help="Its name.")
@click.option("--force", is_flag=True, help="Put a --seed, which is insecure, onto real boards.")
@click.option("--seed", help="Replaces all entropy: repeatable and insecure.")
@click.option("--gamma-noise", is_flag=True, help="The paper's gamma shares, in fixed point.")
@click.option(
    "--bills", is_flag=True,
    help="Meters commit to their readings under keys of their homes, and sign; into OUT/bills.",
)  # fmt: skip
@noise_sampler_option
@privacy_cap_option
@click.option(
    "--provision-pairs/--agree-pairs", default=None,
    help="Keys and pair secrets made on the host (insecure), or agreed by the meters. "
    f"[default: on the host above {_PAIRS_BY_HAND} meters]",
)  # fmt: skip
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder for report, store and storage."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def emulate(  # noqa: PLR0913
    load_file: Path | None,
    out: Path | None,
    as_json: bool,
    dropouts: int,
    dropout_phase: str,
    **options: Any,
) -> None:
    """Run a street of emulated meters: real firmware, one process a meter, or boards on ports.

    A board that is unplugged is silent, and the street goes on; plugged in again, it is back.

    \b
    Example:
      hushmeter emulate --meters 12 --slots 144 --epsilon 1 --dropouts 2 --out out/street
      hushmeter emulate --meters 4 --slots 12 --port auto --provision
      hushmeter emulate --slots 72 --roster-changes 20:join=13,20:leave=4,40:renew=2
    """
    meters, slots = options["meters"], options["slots"]
    check_size(meters, slots)
    if dropouts >= meters:
        raise HushmeterError(f"--dropouts is {dropouts}; it must be below --meters, {meters}")
    check_port_options(options)
    battery, second = batteries(options)
    homes = meters + len(newcomers(options["roster_changes"], meters))
    settings = StreetSettings(
        meters=meters,
        slots=slots,
        load=_load(load_file, homes, slots, options["slot_minutes"] * 60),
        slot_s=options["slot_minutes"] * 60,
        controller=ControllerPlan(options["controller"], battery, second),
        epsilon=options["epsilon"],
        peak_w=options["peak_w"],
        missing=_tolerated(options, dropouts),
        colluders=options["colluders"],
        absences=absences_in_the_middle(meters, slots, dropouts, dropout_phase),
        seed=options["seed"],
        gamma_noise=options["gamma_noise"],
        noise_sampler=options["noise_sampler"],
        bills=options["bills"],
        privacy_cap=options["privacy_cap"],
        provision_pairs=_provision_pairs(options["provision_pairs"], meters),
        boards=boards_of(options["board"], meters),
        street=options["street"],
        roster_changes=options["roster_changes"],
    )
    _run(settings, out, as_json, Guests(options))


@click.command()
@click.option(
    "--load", "load_file", type=click.Path(path_type=Path),
    help=f"As for emulate. [default: {_DEMO_LOAD} from the folder {_DATA}, else synthetic]",
)  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), default=Path("out/demo"), show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def demo(load_file: Path | None, out: Path, as_json: bool) -> None:
    """Show a day of a street of 12 meters: two die before they report, one before it answers.

    \b
    Example:
      hushmeter demo --out out/demo
    """
    if load_file is None and os.environ.get(_DATA):
        found = Path(os.environ[_DATA]) / _DEMO_LOAD
        load_file = found if found.exists() else None
    meters, slots = 12, 144
    two = absences_in_the_middle(meters, slots, 2, REPORT)
    settings = StreetSettings(
        meters=meters,
        slots=slots,
        load=_load(load_file, meters, slots, 600),
        controller=ControllerPlan("ls2", Battery(500, 500, 500)),
        epsilon=Fraction(4),
        peak_w=6000,
        missing=3,
        absences=(*two, Absence(6, ANSWER, 64, 80)),
    )
    _run(settings, out, as_json)


def _load(path: Path | None, meters: int, slots: int, slot_s: int) -> Load:
    if path is not None:
        return read_load(path)
    days = -(-slots * slot_s // 86400)
    if meters * days > _MOST_SYNTHETIC_DAYS:
        raise HushmeterError(
            f"{meters} meters for {days} days are too much for the synthetic load; "
            f"it makes at most {_MOST_SYNTHETIC_DAYS} days of one home",
            hint="give a --load, or ask for fewer --meters or --slots",
        )
    return synthetic_street(meters, days, _SYNTHETIC_SEED)


def _tolerated(options: Mapping[str, Any], dropouts: int) -> int:
    """M: as asked; else the dropouts, a tenth, or the boards on ports as far as the rules allow."""
    asked: int | None = options["tolerate"]
    meters: int = options["meters"]
    colluders: int = options["colluders"]
    if asked is None:
        allowed = max(0, (meters - colluders - 1) // 2)
        return max(dropouts, meters // 10, min(len(options["ports"]), allowed))
    if dropouts > asked:
        raise HushmeterError(
            f"--dropouts {dropouts} is above --tolerate {asked}: such slots could only be void",
            hint="raise --tolerate or leave it out",
        )
    return asked


def absences_in_the_middle(
    meters: int, slots: int, dropouts: int, phase: str
) -> tuple[Absence, ...]:
    """The K last meters, away during the middle third of the slots."""
    begin, end = slots // 3, 2 * slots // 3
    if begin == end:
        end = min(begin + 1, slots)
    return tuple(Absence(meters - 1 - i, phase, begin, end) for i in range(dropouts))


def boards_of(text: str, meters: int) -> tuple[str, ...]:
    """The boards of --board, one name a meter; the unix port is what no board is named for."""
    name, _, count = text.partition(":")
    board = load_board(name)
    if count and not (count.isdecimal() and 0 < int(count) <= meters):
        raise HushmeterError(f"--board {text}: the number behind the colon is 1 to {meters}")
    if board.is_process:
        return ()
    return (board.name,) * (int(count) if count else meters)


def _provision_pairs(asked: bool | None, meters: int) -> bool:
    return meters > _PAIRS_BY_HAND if asked is None else asked


def _run(
    settings: StreetSettings, out: Path | None, as_json: bool, guests: Guests | None = None
) -> None:
    check(settings)
    began = time.perf_counter()
    with ExitStack() as stack:
        if guests is not None:
            settings = guests.seat(settings, stack)
        folder = out or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        street = stack.enter_context(fresh_folder(folder / "street"))
        store = Store(street / "street.db")
        stack.callback(store.close)
        with Bars(as_json) as progress:
            run = Street(
                settings,
                street_meters(settings, street, guests.boards if guests else None),
                store,
                progress,
                authority=guests.authority if guests else None,
                notice=progress.say,
            ).run()
        if out is not None:
            _write(run, out)
    if as_json:
        click.echo(json.dumps(run.summary))
        return
    console = Console()
    banner = insecure_banner(run.report)
    if banner is not None:
        console.print(banner)
    console.print(summary_table(run.report))
    if out is not None:
        console.print(f"Report: {out / 'report.html'}  ({time.perf_counter() - began:.0f} s)")


def _write(run: StreetRun, out: Path) -> None:
    command = shlex.join(["hushmeter", *sys.argv[1:]])
    render(replace(run.report, command=command), out / "report.html")
    (out / "run.json").write_text(json.dumps(run.summary))
    if run.bills is not None:
        run.bills.write(out / "bills")


class Bars:
    """A bar a stage on standard error; nothing where only JSON is wanted and nobody watches."""

    def __init__(self, as_json: bool) -> None:
        console = Console(stderr=True)
        self._bars = Progress(
            TextColumn("{task.description:>18}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            disable=as_json and not console.is_terminal,
        )
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> Bars:
        self._bars.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bars.stop()

    def say(self, text: str) -> None:
        """A line of its own on standard error, above the bars."""
        if self._bars.disable:
            click.echo(text, err=True)
        else:
            self._bars.console.print(text, markup=False, highlight=False)

    def __call__(self, what: str, done: int, total: int) -> None:
        if what not in self._tasks:
            self._tasks[what] = self._bars.add_task(what, total=total)
        self._bars.update(self._tasks[what], completed=done, total=total)
