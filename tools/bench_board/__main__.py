"""``python -m tools.bench_board``: measure the firmware, show the figures, keep them as JSON."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import click
from rich.console import Console

import hushfw
from hushfw.core.roster import MAX_MEMBERS
from hushmeter.devices.boards import load_board
from hushmeter.errors import HushmeterError
from tools.bench.measure import machine_facts
from tools.bench_board import show
from tools.bench_board.backends import Backend, firmware_source, make_backend
from tools.bench_board.figures import Failure
from tools.bench_board.run import Kept, run_all
from tools.bench_board.slots import MONTH
from tools.bench_board.tasks import MEMBERS, QUICK_MEMBERS, back_to_back, tasks

BOARD = "pico"
DEFAULT_OUT = Path("out/bench/board.json")
MOST_JOBS = 4


def sizes(context: click.Context, parameter: click.Parameter, text: str) -> tuple[int, ...]:
    """Sizes of streets from a text such as ``12,100``."""
    try:
        found = tuple(sorted({int(word) for word in text.split(",") if word}))
    except ValueError:
        found = (0,)
    if any(not 4 <= size <= MAX_MEMBERS for size in found):
        raise click.BadParameter(f"{text!r}: wanted sizes of streets, 4 to {MAX_MEMBERS}: 12,100")
    return found


def facts_of(backend: Backend) -> dict[str, Any]:
    """What the figures belong to: the board, what ran, and what it ran."""
    digest = hashlib.sha256()
    for name, data in sorted(firmware_source().items()):
        digest.update(f"{name} {len(data)}\n".encode() + data)
    return {
        "name": backend.facts.name,
        "description": backend.facts.description,
        "emulated": True,
        "clock": backend.clock,
        "interpreter": backend.identity(),
        "firmware": {"version": hushfw.__version__, "sha256": digest.hexdigest()},
    }


@click.command(epilog="Example: python -m tools.bench_board --members 12,100 --jobs 2")
@click.option("--board", default=BOARD, show_default=True, help="pico (emulated) or unix.")
@click.option("--quick", is_flag=True, help="12 meters with pairs at hand: a trial, no figures.")
@click.option("--members", default="", callback=sizes, help="Sizes of streets, such as 12,100.")
@click.option("--slots", type=click.IntRange(4), help="Only so many slots back to back.")
@click.option("--month", is_flag=True, help="Only a month of slots back to back.")
@click.option("--jobs", type=click.IntRange(1), help="Emulated boards at a time.")
@click.option("--resume", is_flag=True, help="Go on with the run that the file has the begin of.")
@click.option("--json", "as_json", is_flag=True, help="Print the JSON and no table.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default=DEFAULT_OUT)
def main(
    board: str,
    quick: bool,
    members: tuple[int, ...],
    slots: int | None,
    month: bool,
    jobs: int | None,
    resume: bool,
    as_json: bool,
    out: Path,
) -> None:
    """Measure the firmware on a board that is not there.

    The whole takes hours. Each part is in the file as soon as it is done, and --resume goes on.
    """
    console = Console(stderr=as_json, width=None if Console().is_terminal else 160)
    backend = make_backend(board)
    facts = facts_of(backend)
    console.print(show.board_line(facts))
    members = members or (QUICK_MEMBERS if quick else MEMBERS)
    # Simulated time does not care what else this machine does; wall time does.
    if backend.clock == "wall":
        jobs = 1
    jobs = jobs or min(MOST_JOBS, len(os.sched_getaffinity(0)))
    count = MONTH if month else slots
    work = back_to_back(board, members, count) if count else tasks(board, members, quick)
    kept = Kept(
        out, [task.name for task in work], {"quick": quick, "board": facts}, machine_facts()
    )
    if resume:
        kept.resume()
    left = [task for task in work if not kept.has(task.name)]
    progress = show.Progress(console, len(work), len(work) - len(left))
    try:
        with progress:
            for done in run_all(left, jobs):
                kept.add(done)
                progress.ended(done.name, done.took_s, done.is_whole)
    except KeyboardInterrupt:
        console.print(f"broken off; {out} has what is done: go on with --resume")
        raise
    kept.write()
    if as_json:
        click.echo(kept.text())
    else:
        console.print(show.table(load_board(board).description, backend.clock, kept.rows()))
        console.print(f"written to {out}")
    if any(isinstance(row, Failure) for row in kept.rows()):
        raise SystemExit(1)


if __name__ == "__main__":
    try:
        main()
    except HushmeterError as error:
        hint = f"\nhint: {error.hint}" if error.hint else ""
        click.echo(f"error: {error}{hint}", err=True)
        raise SystemExit(2) from error
