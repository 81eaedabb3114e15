"""The page of one or several runs of the board suite.

    runs, _ = gather([Path("out/hil")])
    render(runs, Path("out/hil/report.html"))

Runs of one board are shown together: the newest in full, the others as its trend.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from hushmeter.devices import hil_run
from hushmeter.devices.hil_run import Number, Result, Run
from hushmeter.errors import HushmeterError
from hushmeter.outputs import write_whole
from hushmeter.report import page
from hushmeter.report.pictures import FORMS, Form, Picture, draw
from hushmeter.report.pictures import board as pictures

_HOW = {
    "silicon": "a real board",
    "emulated": "an emulated chip with an official image",
    "process": "a process on the host",
}
_SHORT_DIGEST = 12


@dataclass(frozen=True)
class BoardRuns:
    """All runs of one board, the oldest first."""

    runs: tuple[Run, ...]

    @property
    def newest(self) -> Run:
        """The run that is shown in full."""
        return self.runs[-1]

    @property
    def before(self) -> Run | None:
        """The run that changes are counted from."""
        return self.runs[-2] if len(self.runs) > 1 else None

    @property
    def label(self) -> str:
        """What the board is called."""
        return self.newest.board.label

    def trend(self, name: str) -> list[int | float | None]:
        """A figure in each run; None where it was not taken."""
        found = [run.numbers.get(name) for run in self.runs]
        return [number.value if number is not None else None for number in found]


@dataclass(frozen=True)
class FigureRow:
    """One figure as the table shows it."""

    name: str
    value: str
    unit: str
    change: str


def gather(paths: Sequence[Path]) -> tuple[list[BoardRuns], list[str]]:
    """Read runs and put those of a board together.

    Parameters
    ----------
    paths:
        Files, each of which must be a run; or folders, in which other JSON files are passed over.

    Returns
    -------
    tuple[list[BoardRuns], list[str]]
        The boards by label, and why files were passed over.

    Raises
    ------
    HushmeterError
        A file is no run, or there is none at all.
    """
    runs: list[Run] = []
    passed_over: list[str] = []
    for path in paths:
        if path.is_file():
            runs.append(hil_run.read(path))
            continue
        for file in sorted(path.glob("*.json")):
            try:
                runs.append(hil_run.read(file))
            except HushmeterError as error:
                passed_over.append(error.message)
    if not runs:
        where = ", ".join(map(str, paths))
        raise HushmeterError(
            f"{where}: there is no run of the board suite", hint="make one with: pytest hil"
        )
    boards: dict[tuple[str, str, str], list[Run]] = defaultdict(list)
    for run in sorted(runs, key=lambda run: run.began):
        boards[run.board.label, run.board.name, run.board.how].append(run)
    return [BoardRuns(tuple(boards[key])) for key in sorted(boards)], passed_over


def render(boards: Sequence[BoardRuns], path: Path, forms: Sequence[Form] = FORMS) -> None:
    """Write the page; it needs no other file and no network.

    Raises
    ------
    HushmeterError
        It cannot be written; an earlier page then stays as it was.
    """
    drawn = {
        id(board): [draw(plan, forms) for plan in pictures.plans(board.runs)] for board in boards
    }
    write_whole(path, _text(boards, drawn).encode())


def as_json(boards: Sequence[BoardRuns]) -> dict[str, Any]:
    """Everything on the page as one object: all runs, and every figure's trend."""
    return {
        "boards": [
            {
                "label": board.label,
                "runs": msgspec.to_builtins(board.runs),
                "trends": {
                    name: {
                        "unit": number.unit,
                        "began": [run.began for run in board.runs],
                        "values": board.trend(name),
                    }
                    for name, number in board.newest.numbers.items()
                },
            }
            for board in boards
        ]
    }


def figure_rows(board: BoardRuns) -> list[FigureRow]:
    """The newest run's figures, sizes in their order, with the change since the run before."""
    before = board.before.numbers if board.before is not None else {}
    return [
        FigureRow(name, _amount(number.value), number.unit, _change(number, before.get(name)))
        for name, number in sorted(board.newest.numbers.items(), key=lambda item: _order(item[0]))
    ]


def headline(boards: Sequence[BoardRuns]) -> str:
    """The newest runs of all boards in one sentence."""
    ran = [len(board.newest.with_outcome("passed", "failed")) for board in boards]
    failed = sum(board.newest.outcomes["failed"] for board in boards)
    rest = sum(len(board.newest.with_outcome("skipped", "not_run")) for board in boards)
    idle = [board.label for board, count in zip(boards, ran, strict=True) if not count]
    if len(idle) == len(boards):
        return f"nothing ran on {_boards(len(boards))}; {rest} were not run"
    verdict = "all passed" if not failed else f"{failed} FAILED"
    said = f"{sum(ran)} tests ran on {_boards(len(boards) - len(idle))}, {verdict}"
    said += f", and nothing ran on {', '.join(idle)}" if idle else ""
    return f"{said}; {rest} were not run"


def _boards(count: int) -> str:
    return "1 board" if count == 1 else f"{count} boards"


def _text(boards: Sequence[BoardRuns], drawn: dict[int, list[Picture]]) -> str:
    templates = page.environment()
    templates.filters |= {"seconds": _seconds, "clock": _clock, "short": _short, "parts": _parts}
    return templates.get_template("hil.html.j2").render(
        headline=headline(boards),
        failed=any(board.newest.failed for board in boards),
        silicon=any(run.board.how == "silicon" for board in boards for run in board.runs),
        boards=[
            {
                "runs": board,
                "newest": board.newest,
                "how": _HOW[board.newest.board.how],
                "facts": _facts(board.newest),
                "ran": _by_outcome(board.newest),
                "left": board.newest.with_outcome("skipped", "not_run"),
                "figures": figure_rows(board),
                "pictures": drawn[id(board)],
            }
            for board in boards
        ],
    )


def _by_outcome(run: Run) -> list[Result]:
    return run.with_outcome("failed") + run.with_outcome("passed")


def _facts(run: Run) -> list[tuple[str, str]]:
    """What ran on what: a label and a text a line."""
    board, said, image, firmware = run.board, run.interpreter, run.image, run.firmware
    lines = [("Board", f"{board.name}: {board.description}")]
    lines.append(("Is", _HOW[board.how] + (f", on {board.port}" if board.port else "")))
    if said is not None:
        lines.append(("Calls itself", said.machine))
        lines.append(("Interpreter", f"{said.name} {said.version}, bytecode {said.mpy}"))
    if image is not None:
        lines.append(("Image", f"{image.file}, SHA-256 {image.sha256}"))
    if firmware is not None:
        size = f"{firmware.files} files, {firmware.bytes:,} bytes"
        lines.append(("Firmware", f"{firmware.version}, {size}, SHA-256 {firmware.sha256}"))
    lines.append(("Wired", _wired(run)))
    host = run.host
    lines.append(("Host", f"hushmeter {host.hushmeter}, {host.python}, {host.system}"))
    lines.append(("Asked for", f"pytest {' '.join(run.choice.arguments)}"))
    workers = "1 process" if run.choice.workers == 1 else f"{run.choice.workers} processes"
    lines.append(("Began", f"{_clock(run.began)} UTC, took {_seconds(run.took_s)}, {workers}"))
    return lines


def _wired(run: Run) -> str:
    if not run.wiring.wires:
        return "nothing"
    by = f" to {run.wiring.stimulus}" if run.wiring.stimulus else ""
    ends = [
        f"{wire.role} (pin {wire.pin}{'' if wire.peer is None else f' to pin {wire.peer}'})"
        for wire in run.wiring.wires
    ]
    return f"{', '.join(ends)}{by}, by {run.wiring.source}"


def _change(number: Number, before: Number | None) -> str:
    if before is None or not before.value:
        return ""
    percent = 100 * (number.value - before.value) / before.value
    return f"{percent:+.0f} %" if abs(percent) >= 0.5 else "same"


def _amount(value: int | float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.6g}"


def _order(name: str) -> list[tuple[int, str]]:
    """Sort key by which n_100 follows n_12."""
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if seconds >= 100:
        return f"{seconds / 60:,.1f} min"
    return f"{seconds:,.1f} s" if seconds >= 1 else f"{1000 * seconds:,.0f} ms"


def _clock(stamp: str) -> str:
    try:
        return datetime.fromisoformat(stamp).strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return stamp


def _short(digest: str) -> str:
    return digest[:_SHORT_DIGEST]


def _parts(name: str) -> tuple[str, str]:
    """A test's name as its file, and the rest."""
    file, _, rest = name.partition("::")
    return file, rest
