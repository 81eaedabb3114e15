"""``hushmeter study leakage-hil``: measures what a board leaks, against its design."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from hushmeter.errors import HushmeterError
from hushmeter.outputs import Outputs, make_folder

if TYPE_CHECKING:
    from hushmeter.leakage.policy_file import Design
    from hushmeter.study.leakage_hil import Measured

_FILE = click.Path(path_type=Path)


@click.command("leakage-hil")
@click.option(
    "--board",
    "boards",
    multiple=True,
    metavar="unix|pico|PORT",
    help="A process, an emulated Pico, or a deployed board's port; twice for two boards in series. "
    "[default: unix]",
)
@click.option("--dist", metavar="LAW", help="Of the load, in quanta.")
@click.option("--capacity", type=int, metavar="C", help="Of each battery, in quanta.")
@click.option("--source-power", type=float, metavar="P", help="A second supply's, in quanta.")
@click.option(
    "--series", type=click.IntRange(1, 2), help="2: the draws of one board are the next one's load."
)
@click.option("--policy", "policy_path", type=_FILE, help="A file of `hushmeter design` instead.")
@click.option("--steps", type=int, metavar="N", help="[default: as many as take a minute or two]")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Of the load.")
@click.option(
    "--repeatable", is_flag=True, help="Seed the board's generator too, which no meter does."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@click.option("--out", type=_FILE, help="Folder for data, picture and page.")
def leakage_hil(out: Path | None, as_json: bool, **given: Any) -> None:
    """Drive a board with a random load and measure what leaks.

    The board runs the firmware's own controller with the policy it was designed. The load is drawn
    here; the choices come from the meter's own generator. Ends with status 1 if the leakage or the
    draws are not as designed.

    \b
    Example:
      hushmeter study leakage-hil --board unix --dist 0.5,0.5 --capacity 2
      hushmeter study leakage-hil --board pico --series 2 --dist 0.5,0.5 --capacity 1
    """
    from hushmeter.study import leakage_hil as experiment

    if out is not None:
        make_folder(out)
    design = _design(given)
    boards = _boards(given["boards"], len(design.parts))
    steps = experiment.steps_for(boards) if given["steps"] is None else given["steps"]
    with _bars(as_json) as bars:
        task = bars.add_task("leakage-hil", total=None)
        found = experiment.study(
            design, boards, steps, given["seed"], given["repeatable"],
            lambda done, total: bars.update(task, completed=done, total=total),
        )  # fmt: skip
    written = [] if out is None else _write(found, _command(given, boards, steps), out)
    if as_json:
        click.echo(json.dumps(experiment.as_json(found), allow_nan=False))
    else:
        _show(found, written)
    if not found.passed:
        raise click.exceptions.Exit(1)


def _design(given: dict[str, Any]) -> Design:
    from hushmeter.leakage import design as designing
    from hushmeter.leakage import policy_file
    from hushmeter.leakage.distributions import parse_discrete

    sizes = given["capacity"], given["source_power"]
    if given["policy_path"] is not None:
        if given["dist"] is not None or sizes != (None, None):
            raise HushmeterError("--policy has its own load and size; leave --dist and those out")
        design = policy_file.read(given["policy_path"])
        if given["series"] not in (None, len(design.parts)):
            raise HushmeterError(f"--series is {given['series']}; the policy is for one board")
        return design
    if given["dist"] is None or (sizes[0] is None) == (sizes[1] is None):
        raise HushmeterError(
            "a load and a size are needed",
            hint="--dist 0.5,0.5 --capacity 2, or --dist uniform:4 --source-power 0.5",
        )
    load = parse_discrete(given["dist"])
    if sizes[1] is not None:
        if given["series"] == 2:
            raise HushmeterError("--series 2 is for batteries; a second supply is one board's")
        return designing.source(load, sizes[1])
    return (designing.cascade if given["series"] == 2 else designing.battery)(load, sizes[0])


def _boards(named: tuple[str, ...], parts: int) -> list[str]:
    """One for each part; an emulated one that is named once stands for as many as it takes."""
    from hushmeter.study.board_prompt import PICO, UNIX

    boards = list(named) or [UNIX]
    if len(boards) == 1 and boards[0] in (UNIX, PICO):
        return boards * parts
    if len(boards) != parts or len(set(boards) - {UNIX, PICO}) < sum(
        board not in (UNIX, PICO) for board in boards
    ):
        raise HushmeterError(
            f"{parts} boards are needed, and {len(boards)} named: {', '.join(boards)}",
            hint="give --board once for each, every port of its own",
        )
    return boards


def _command(given: dict[str, Any], boards: list[str], steps: int) -> str:
    words = ["hushmeter", "study", "leakage-hil"]
    for board in boards:
        words += ["--board", board]
    for option, name in (
        ("--policy", "policy_path"), ("--dist", "dist"), ("--capacity", "capacity"),
        ("--source-power", "source_power"), ("--series", "series"),
    ):  # fmt: skip
        if given[name] is not None:
            words += [option, str(given[name])]
    words += ["--steps", str(steps), "--seed", str(given["seed"])]
    words += ["--repeatable"] if given["repeatable"] else []
    return shlex.join([*words, "--out", "FOLDER"])


def _write(found: Measured, command: str, out: Path) -> list[Path]:
    """All files, which appear together, the page last."""
    from hushmeter.leakage import policy_file
    from hushmeter.report import leakage_hil as report
    from hushmeter.report.pictures import draw, leakage_hil
    from hushmeter.study.leakage_hil import as_json

    picture = draw(leakage_hil.plan(found))
    text = report.page(found, picture, command)
    with Outputs() as outputs:
        table = as_json(found)
        outputs.put(out / "leakage-hil.json", json.dumps(table, indent=1).encode() + b"\n")
        outputs.put(out / "policy.json", policy_file.write(found.design))
        outputs.put(out / f"{picture.name}.png", picture.png)
        outputs.put(out / "report.html", text.encode())
        return outputs.paths


def _bars(quiet: bool) -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TimeElapsedColumn(), console=console, disable=quiet and not console.is_terminal,
    )  # fmt: skip


def _show(found: Measured, written: list[Path]) -> None:
    from hushmeter.report.leakage_hil import leakage_rows, test_rows

    console = Console()
    table = Table(title="Leakage of a board, bits a step", show_header=False, box=None)
    for name, value in leakage_rows(found):
        table.add_row(name, value)
    for one in found.boards:
        table.add_row("", "")
        table.add_row(f"board {one.board}", "")
        for name, value in test_rows(one):
            table.add_row(name, value)
    console.print(table, markup=False)
    console.print(f"{found.steps:,} steps, seed {found.seed}, {found.seconds:.1f} s")
    for path in written:
        console.print(f"Written: {path}", markup=False)
