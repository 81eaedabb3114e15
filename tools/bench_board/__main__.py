"""``python -m tools.bench_board``: measure the firmware, show the figures, keep them as JSON."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
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
from tools.bench_board.alone import measure_board, measure_firmware, measure_street
from tools.bench_board.backends import Backend, firmware_source, make_backend
from tools.bench_board.crypto import parts as crypto_parts
from tools.bench_board.figures import LARGE, Failure, Row, Rows
from tools.bench_board.flash import measure_flash
from tools.bench_board.life import measure_life
from tools.bench_board.market import measure_market, measure_ring
from tools.bench_board.sensors import measure_clamp
from tools.bench_board.sensors_actuators import measure_actuators
from tools.bench_board.sensors_bus import measure_bus
from tools.bench_board.sensors_serial import measure_serial
from tools.bench_board.slots import MONTH, measure_slots

BOARD = "pico"
DEFAULT_OUT = Path("out/bench/board.json")
AGREED_MEMBERS = 12
"""Up to this size the meter makes its own key and agrees on every pair by X25519."""

MEMBERS, QUICK_MEMBERS = (12, 100, 1000), (12,)
SLOTS, QUICK_SLOTS = 24, 4
"""Run back to back unless more are asked for."""

MOST_JOBS = 4


@dataclass(frozen=True)
class Task:
    """What one process measures; the larger the street, the longer it takes."""

    members: int
    measure: Callable[[], Rows]


def sizes(context: click.Context, parameter: click.Parameter, text: str) -> tuple[int, ...]:
    """Sizes of streets from a text such as ``12,100``."""
    try:
        found = tuple(sorted({int(word) for word in text.split(",") if word}))
    except ValueError:
        found = (0,)
    if any(not 4 <= size <= MAX_MEMBERS for size in found):
        raise click.BadParameter(f"{text!r}: wanted sizes of streets, 4 to {MAX_MEMBERS}: 12,100")
    return found


def tasks(board: str, members: tuple[int, ...], quick: bool) -> list[Task]:
    """What can be measured side by side, in the order of the table."""
    lives = [
        Task(size, partial(measure_life, board, size, quick or size > AGREED_MEMBERS, quick))
        for size in members
    ]
    parts = [Task(size, partial(measure_street, board, size, quick)) for size in members]
    firmware = Task(0, partial(measure_firmware, board, quick))
    chip = [Task(0, partial(measure_flash, board, quick))] if load_board(board).flash else []
    alone = [Task(0, partial(measure_board, board, quick)), *parts]
    few = tuple(size for size in members if size <= LARGE)
    heaps = back_to_back(board, few, QUICK_SLOTS if quick else SLOTS)
    trade = [Task(size, partial(measure_market, board, size, quick)) for size in few]
    trade.append(Task(0, partial(measure_ring, board, quick)))
    wired = (measure_clamp, measure_serial, measure_bus, measure_actuators)
    sensors = [Task(0, partial(measure, board, quick)) for measure in wired]
    crypto = [Task(0, part) for part in crypto_parts(board, quick, max(few, default=MEMBERS[0]))]
    return [firmware, *lives, *chip, *heaps, *alone, *trade, *sensors, *crypto]


def back_to_back(board: str, members: tuple[int, ...], count: int) -> list[Task]:
    """Slots without a pause, in streets of these sizes."""
    return [Task(size, partial(measure_slots, board, size, count)) for size in members]


def run_all(work: list[Task], jobs: int) -> Rows:
    """The rows of all tasks in their order; those of large streets start first."""
    if jobs == 1:
        return [row for task in work for row in task.measure()]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool, cancelled(pool):
        longest_first = sorted(range(len(work)), key=lambda i: -work[i].members)
        running: dict[int, Future[Rows]] = {i: pool.submit(work[i].measure) for i in longest_first}
        return [row for i in sorted(running) for row in running[i].result()]


@contextmanager
def cancelled(pool: Executor) -> Iterator[None]:
    """After an error nothing new is begun."""
    try:
        yield
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise


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


@click.command()
@click.option("--board", default=BOARD, show_default=True, help="pico (emulated) or unix.")
@click.option("--quick", is_flag=True, help="12 meters with pairs at hand: a trial, no figures.")
@click.option("--members", default="", callback=sizes, help="Sizes of streets, such as 12,100.")
@click.option("--slots", type=click.IntRange(4), help="Only so many slots back to back.")
@click.option("--month", is_flag=True, help="Only a month of slots back to back.")
@click.option("--jobs", type=click.IntRange(1), help="Emulated boards at a time.")
@click.option("--json", "as_json", is_flag=True, help="Print the JSON and no table.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default=DEFAULT_OUT)
def main(
    board: str,
    quick: bool,
    members: tuple[int, ...],
    slots: int | None,
    month: bool,
    jobs: int | None,
    as_json: bool,
    out: Path,
) -> None:
    """Measure the firmware on a board that is not there."""
    console = Console(stderr=as_json, width=None if Console().is_terminal else 160)
    backend = make_backend(board)
    facts = facts_of(backend)
    console.print(show.board_line(facts))
    members = members or (QUICK_MEMBERS if quick else MEMBERS)
    # Simulated time does not care what else this machine does; wall time does.
    if backend.clock == "wall":
        jobs = 1
    jobs = jobs or min(MOST_JOBS, len(os.sched_getaffinity(0)))
    with console.status(f"measuring, streets of {', '.join(map(str, members))}"):
        count = MONTH if month else slots
        work = back_to_back(board, members, count) if count else tasks(board, members, quick)
        rows = run_all(work, jobs)
    failures = [row for row in rows if isinstance(row, Failure)]
    kept = {
        "quick": quick,
        "board": facts,
        "machine": machine_facts(),
        "rows": [row.as_json() for row in rows if isinstance(row, Row)],
        "failures": [failure.as_json() for failure in failures],
    }
    text = json.dumps(kept, indent=2)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text + "\n", encoding="utf-8")
    if as_json:
        click.echo(text)
    else:
        console.print(show.table(load_board(board).description, backend.clock, rows))
        console.print(f"written to {out}")
    if failures:
        raise SystemExit(1)


if __name__ == "__main__":
    try:
        main()
    except HushmeterError as error:
        hint = f"\nhint: {error.hint}" if error.hint else ""
        raise SystemExit(f"error: {error}{hint}") from error
