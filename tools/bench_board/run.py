"""Runs the tasks, several at a time, and keeps each one's figures as soon as it is done.

A whole run takes hours. One that is broken off has lost nothing but what was under way: with
``--resume`` the next one of the same firmware takes over the rest.
"""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hushmeter.errors import HushmeterError
from tools.bench_board.figures import Failure, Row, Rows
from tools.bench_board.tasks import Task


@dataclass(frozen=True)
class Done:
    """What a task came to."""

    name: str
    took_s: float
    rows: Rows

    @property
    def is_whole(self) -> bool:
        return not any(isinstance(row, Failure) for row in self.rows)


def timed(task: Task) -> Done:
    """Run one task here."""
    began_s = time.monotonic()
    rows = task.measure()
    return Done(task.name, time.monotonic() - began_s, rows)


def run_all(work: Sequence[Task], jobs: int) -> Iterator[Done]:
    """Each task's figures as it ends; the longest are begun first."""
    longest_first = sorted(work, key=lambda task: -task.minutes)
    if jobs == 1:
        yield from map(timed, longest_first)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool, cancelled(pool):
        running: set[Future[Done]] = {pool.submit(timed, task) for task in longest_first}
        while running:
            ended, running = wait(running, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in ended)


@contextmanager
def cancelled(pool: Executor) -> Iterator[None]:
    """After an error nothing new is begun."""
    try:
        yield
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise


class Kept:
    """The file of a run: what it belongs to, and the figures so far.

    Parameters
    ----------
    order:
        Names of the run's tasks, as the table shows them.
    about:
        The board, its firmware and the kind of run: figures are put together only if all of it is
        the same.
    machine:
        What is known of the computer, which simulated times do not depend on.
    """

    def __init__(
        self, path: Path, order: Sequence[str], about: Mapping[str, Any], machine: Any
    ) -> None:
        self.path = path
        self._order = order
        self._about = dict(about)
        self._machine = machine
        self._done: dict[str, Done] = {}

    def resume(self) -> None:
        """Take over what the file has of this run's tasks; those that failed are run again."""
        try:
            before = json.loads(self.path.read_text(encoding="utf-8"))
            about = {name: before[name] for name in self._about}
            parts = [(part["name"], part["took_s"]) for part in before["parts"]]
            rows = [(entry["part"], Row.from_json(entry)) for entry in before["rows"]]
            failed = {entry["part"] for entry in before["failures"]}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise HushmeterError(
                f"{self.path} holds no run of this benchmark: {type(error).__name__}",
                hint="run it without --resume",
            ) from error
        if about != self._about:
            raise HushmeterError(
                f"{self.path} is of another firmware, board or kind of run",
                hint="run it without --resume, or with the options it was begun with",
            )
        for name, took_s in parts:
            if name in self._order and name not in failed:
                mine: Rows = [row for part, row in rows if part == name]
                self._done[name] = Done(name, took_s, mine)

    def has(self, name: str) -> bool:
        return name in self._done

    def add(self, done: Done) -> None:
        """Keep a task's figures, in the file as well."""
        self._done[done.name] = done
        self.write()

    def in_order(self) -> list[Done]:
        return [self._done[name] for name in self._order if name in self._done]

    def rows(self) -> Rows:
        return [row for done in self.in_order() for row in done.rows]

    def text(self) -> str:
        """The file's content."""
        done = self.in_order()
        rows = [(part.name, row) for part in done for row in part.rows]
        kept = {
            **self._about,
            "machine": self._machine,
            "complete": len(done) == len(self._order),
            "parts": [{"name": d.name, "took_s": round(d.took_s, 1)} for d in done],
            "rows": [{**r.as_json(), "part": p} for p, r in rows if isinstance(r, Row)],
            "failures": [{**r.as_json(), "part": p} for p, r in rows if isinstance(r, Failure)],
        }
        return json.dumps(kept, indent=2)

    def write(self) -> None:
        """Replace the file as a whole."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        beside = self.path.with_name(self.path.name + ".tmp")
        beside.write_text(self.text() + "\n", encoding="utf-8")
        beside.replace(self.path)
