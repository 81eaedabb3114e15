"""A bench as data: which boards are on which ports, and what each is wired to.

    [boards.left]                       # the label names the run and its file
    board = "NAME"                      # of boards/
    port = "/dev/serial/by-id/..."      # or: emulated = true
    stimulus = "wiggler"                # the board that its wires go to
    wires = [{ role = "level", peer = 16 }]     # default: all wires of the board's file

    [stimuli.wiggler]                   # gives stimuli and is not under test
    board = "NAME"
    port = "/dev/serial/by-id/..."

Everything is checked before any port is opened.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec

from hushmeter.devices.boards import load_board, read_table
from hushmeter.devices.facts import Board, Table, Wire
from hushmeter.devices.rules import wire_problem
from hushmeter.errors import HushmeterError

_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


class _Stimulus(Table, frozen=True):
    board: str
    port: Annotated[str, msgspec.Meta(min_length=1)]


class _Board(Table, frozen=True):
    board: str
    port: str = ""
    emulated: bool = False
    stimulus: str = ""
    wires: tuple[Wire, ...] | None = None


class _Bench(Table, frozen=True):
    boards: dict[str, _Board]
    stimuli: dict[str, _Stimulus] = {}


@dataclass(frozen=True)
class Stimulus:
    """A board that drives the other ends of wires.

    Attributes
    ----------
    label:
        Its name in the bench file.
    """

    label: str
    board: Board
    port: str


@dataclass(frozen=True)
class Place:
    """One board under test, and what it is joined to.

    Attributes
    ----------
    label:
        Its name in the bench file.
    port:
        "" for a board that is emulated.
    wires:
        Those that are in place; none without a stimulus board.
    """

    label: str
    board: Board
    port: str
    stimulus: Stimulus | None
    wires: tuple[Wire, ...]


def load(path: Path) -> dict[str, Place]:
    """The boards of a bench file by label, in the file's order.

    Raises
    ------
    HushmeterError
        The file cannot be read or breaks a rule; the message names the file and the place in it.
    """
    bench = read_table(path, _Bench)
    problem = next(_problems(bench), None)
    if problem is not None:
        raise HushmeterError(f"{path}: {problem}")
    places = {label: _place(label, bench) for label in bench.boards}
    problem = next(_wire_problems(places), None)
    if problem is not None:
        raise HushmeterError(f"{path}: {problem}")
    return places


def _place(label: str, bench: _Bench) -> Place:
    entry = bench.boards[label]
    board = load_board(entry.board)
    stimulus = None
    wires: tuple[Wire, ...] = ()
    if entry.stimulus:
        found = bench.stimuli[entry.stimulus]
        stimulus = Stimulus(entry.stimulus, load_board(found.board), found.port)
        wires = board.hil.wires if entry.wires is None else entry.wires
    return Place(label, board, entry.port, stimulus, wires)


def _problems(bench: _Bench) -> Iterator[str]:
    """What is wrong with boards and ports."""
    if not bench.boards:
        yield "no board is named; a bench has at least one table [boards.LABEL]"
    named: list[tuple[str, str, _Board | _Stimulus]] = []
    named += [("boards", label, entry) for label, entry in bench.boards.items()]
    named += [("stimuli", label, entry) for label, entry in bench.stimuli.items()]
    taken: dict[str, str] = {}
    for group, label, entry in named:
        where = f"{group}.{label}"
        if not _LABEL.fullmatch(label):
            yield f"{where}: a label has letters, digits, - and _ only: it names files"
        try:
            load_board(entry.board)
        except HushmeterError as error:
            yield f"{where}.board: {error.message}"
        if not entry.port:
            continue
        # A port may have several names, as those in /dev/serial/by-id.
        first = taken.setdefault(os.path.realpath(entry.port), where)
        if first != where:
            yield f"{where}.port is {entry.port}, which {first} has already"
    for label, board in bench.boards.items():
        yield from _board_problems(f"boards.{label}", board, bench)


def _board_problems(where: str, entry: _Board, bench: _Bench) -> Iterator[str]:
    if not entry.port and not entry.emulated:
        yield f"{where}.port is missing; name the board's serial port, or say emulated = true"
    if entry.port and entry.emulated:
        yield f"{where}: an emulated board has no port; leave one of the two out"
    if entry.emulated and entry.stimulus:
        yield f"{where}: an emulated board has no wires; its harness drives its pins"
    if entry.stimulus and entry.stimulus not in bench.stimuli:
        known = ", ".join(bench.stimuli) or "none"
        yield f"{where}.stimulus is {entry.stimulus!r}; stimuli of this file: {known}"
    if entry.wires is not None and not entry.stimulus:
        yield f"{where}.wires: stimulus is missing; it says which board the wires go to"


def _wire_problems(places: dict[str, Place]) -> Iterator[str]:
    """What is wrong with wires: their two ends exist, and no pin has two."""
    taken: dict[tuple[str, int], str] = {}
    for place in places.values():
        if place.stimulus is None:
            continue
        for wire in place.wires:
            breach = wire_problem(wire, place.board, place.stimulus.board)
            if breach:
                yield f"boards.{place.label}.wires: {breach}"
            where = f"boards.{place.label}.wires: {wire.role}"
            first = taken.setdefault((place.stimulus.label, wire.peer), where)
            if first != where:
                yield f"{where} goes to pin {wire.peer}, where another wire is"
