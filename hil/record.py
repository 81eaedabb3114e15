"""Keeps what a run did: every test with its outcome, times and reason, and what it ran on.

With pytest-xdist each worker has a board, and only the process that started them sees all reports.
So a worker hands over what it alone knows (figures, facts of its board, what was deselected), and
times travel with the reports.
"""

from __future__ import annotations

import contextlib
import platform
import re
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hil.backends import Board
from hushmeter import __version__
from hushmeter.devices import hil_run
from hushmeter.devices.boards import Board as Facts
from hushmeter.devices.hil_run import Result
from hushmeter.devices.images import digest_of
from hushmeter.errors import HushmeterError

WHY_NOT_RUN = pytest.StashKey[str]()
"""On an item: why it was left out; without it, somebody chose others."""

_NOT_CHOSEN = "other tests were chosen"
_ENDED = "the run ended before it"
_BOARD_S = "board_s"
_BEGAN_S = pytest.StashKey[float]()
_MOST_CHARACTERS = 400


class Subject(msgspec.Struct, frozen=True):
    """What a run was of; all but ``board`` is unknown where the board was not at hand."""

    board: hil_run.BoardUnderTest
    firmware: hil_run.Firmware | None = None
    image: hil_run.Image | None = None
    interpreter: hil_run.Interpreter | None = None
    wiring: hil_run.Wiring = hil_run.Wiring()


def subject_of(board: Board) -> Subject:
    """Everything known of a board that was used."""
    facts = board.facts
    image = None
    if board.image is not None and facts.image is not None:
        image = hil_run.Image(board.image.name, digest_of(board.image), facts.image.version)
    size = sum(map(len, board.deployed.values()))
    firmware = hil_run.Firmware(
        __version__, hil_run.files_digest(board.deployed), len(board.deployed), size
    )
    said = None
    with contextlib.suppress(HushmeterError, ValueError):
        said = board.identify()
    under_test = hil_run.BoardUnderTest(
        board.name, facts.name, facts.description, board.how, board.port, board.clock
    )
    return Subject(under_test, firmware, image, said, board.wiring)


def absent(label: str, facts: Facts) -> Subject:
    """A board that was asked for and is not at hand."""
    how: hil_run.How = "process" if facts.chip == "host" else "emulated"
    clock: Any = "wall" if how == "process" else "simulated"
    return Subject(hil_run.BoardUnderTest(label, facts.name, facts.description, how, "", clock))


class Recorder:
    """A plugin; ``subject`` is set by whoever owns the board."""

    def __init__(self) -> None:
        self.subject: Subject | None = None
        self.numbers: dict[str, Any] = {}
        self._began = time.time()
        self._names: list[str] = []
        self._tests: dict[str, Result] = {}
        self._left_out: dict[str, str] = {}

    @property
    def not_asked_for(self) -> dict[str, str]:
        """Tests by name that were left out for a reason of their own."""
        return {name: why for name, why in self._left_out.items() if why != _NOT_CHOSEN}

    @property
    def others_chosen(self) -> int:
        """How many were left out because the command line chose others."""
        return len(self._left_out) - len(self.not_asked_for)

    def handed_over(self) -> dict[str, Any]:
        """What a worker knows, fit for its output."""
        subject = msgspec.to_builtins(self.subject) if self.subject is not None else None
        return {"numbers": self.numbers, "subject": subject, "left_out": self._left_out}

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take over what a worker knows."""
        known = getattr(node, "workeroutput", {}).get("hil")
        if known is None:
            return
        self.numbers.update(known["numbers"])
        self._left_out.update(known["left_out"])
        if known["subject"] is not None:
            self.subject = msgspec.convert(known["subject"], Subject)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: Iterable[str]) -> None:
        self._names = [_name(nodeid) for nodeid in ids]

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._names = self._names or [_name(item.nodeid) for item in session.items]

    def pytest_deselected(self, items: Iterable[pytest.Item]) -> None:
        for item in items:
            self._left_out[_name(item.nodeid)] = item.stash.get(WHY_NOT_RUN, _NOT_CHOSEN)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name = _name(report.nodeid)
        before = self._tests.get(name, Result(name, "passed"))
        outcome, reason = before.outcome, before.reason
        if report.failed and outcome != "failed":
            outcome, reason = "failed", _why_failed(report)
        elif report.skipped and outcome == "passed":
            outcome, reason = "skipped", why_skipped(report)
        board_s: Any = dict(report.user_properties).get(_BOARD_S)
        wall_s = (before.wall_s or 0.0) + report.duration
        self._tests[name] = Result(name, outcome, reason, round(wall_s, 3), board_s)

    def run(self, choice: hil_run.Choice) -> hil_run.Run | None:
        """The run so far; None if nobody knows what it was of, or nothing was run."""
        if self.subject is None or not self._tests:
            return None
        tests = list(self._tests.values())
        tests += [_not_run(name, _ENDED) for name in self._names if name not in self._tests]
        tests += [_not_run(name, why) for name, why in self._left_out.items()]
        ordered = tuple(sorted(tests, key=lambda test: test.name))
        subject = self.subject
        return hil_run.Run(
            schema=hil_run.SCHEMA,
            began=_stamp(self._began),
            took_s=round(time.time() - self._began, 1),
            host=hil_run.Host(
                hushmeter=__version__,
                python=f"{platform.python_implementation()} {platform.python_version()}",
                system=f"{platform.system()} {platform.machine()}",
            ),
            board=subject.board,
            firmware=subject.firmware,
            image=subject.image,
            interpreter=subject.interpreter,
            wiring=subject.wiring,
            choice=choice,
            outcomes=hil_run.tally(ordered),
            tests=ordered,
            numbers=hil_run.numbers_with_units(self.numbers),
        )


def begin(item: pytest.Item, board: Board) -> None:
    """Note the board's time before a test is set up."""
    item.stash[_BEGAN_S] = board.clock_s()


def end(item: pytest.Item, board: Board) -> None:
    """Let the board's time since then travel with the last report."""
    took_s = round(board.clock_s() - item.stash[_BEGAN_S], 4)
    item.user_properties.append((_BOARD_S, took_s))


def path_in(folder: Path, run: hil_run.Run) -> Path:
    """Where a run is kept: the board's label, then when it began."""
    label = re.sub(r"\W+", "_", run.board.label).strip("_")
    return folder / f"{label}-{re.sub(r'[-:]', '', run.began)}.json"


def why_skipped(report: pytest.TestReport) -> str:
    """The reason of a skipped test."""
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")


def _why_failed(report: pytest.TestReport) -> str:
    """What went wrong in its first line, and where if it was not in the test itself."""
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash is not None else str(report.longrepr)
    line = next((line for line in text.splitlines() if line.strip()), "no message")
    when = "" if report.when == "call" else f"in {report.when}: "
    return (when + line)[:_MOST_CHARACTERS]


def _not_run(name: str, why: str) -> Result:
    return Result(name, "not_run", why)


def _name(nodeid: str) -> str:
    """A test's name without the group that pytest-xdist adds to it."""
    head, bracket, tail = nodeid.rpartition("]")
    return head + bracket + tail.partition("@")[0]


def _stamp(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
