"""Board facts: reads and checks ``boards/<name>/board.toml``.

A board is data. Code asks for a fact (`board.heap.bytes`) or a capability (`"uart" in
board.capabilities`), never for a board's name. The facts' types are in
:mod:`hushmeter.devices.facts`.
"""

import functools
import tomllib
from pathlib import Path
from typing import TypeVar

import msgspec

from hushmeter.assets import boards_dir
from hushmeter.devices import rules
from hushmeter.devices.facts import Board, Capability, Filesystem, Flash, Heap, Image, Table
from hushmeter.errors import HushmeterError

__all__ = [
    "Board",
    "Capability",
    "Filesystem",
    "Flash",
    "Heap",
    "Image",
    "board_names",
    "boards_with_image",
    "load_board",
    "read_table",
    "recognise",
]

T = TypeVar("T", bound=Table)


def read_table(path: Path, kind: type[T]) -> T:
    """A TOML file as a table; a :class:`HushmeterError` names the file and the field."""
    try:
        return msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), kind)
    except OSError as error:
        raise HushmeterError(f"{path}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise HushmeterError(f"{path}: is not TOML: {error}") from error
    except msgspec.ValidationError as error:
        raise HushmeterError(f"{path}: {error}") from error


def _read(path: Path) -> Board:
    """One board file, checked; a :class:`HushmeterError` names the file and the field."""
    board = read_table(path, Board)
    problem = rules.problem(board, path.parent.name)
    if problem is not None:
        raise HushmeterError(f"{path}: {problem}")
    return board


@functools.cache
def _boards(folder: Path) -> dict[str, Board]:
    """All boards beneath a folder by name."""
    boards = {path.parent.name: _read(path) for path in sorted(folder.glob("*/board.toml"))}
    wrong = rules.problem_among(boards)
    if wrong is not None:
        name, problem = wrong
        raise HushmeterError(f"{folder / name / 'board.toml'}: {problem}")
    return boards


def board_names() -> list[str]:
    """The names of all boards, in alphabetical order."""
    return list(_boards(boards_dir()))


def boards_with_image() -> list[Board]:
    """All boards that run an image, in alphabetical order."""
    return [board for board in _boards(boards_dir()).values() if board.image is not None]


def load_board(name: str) -> Board:
    """The board of this name or alias; a :class:`HushmeterError` lists the known ones."""
    boards = _boards(boards_dir())
    if name in boards:
        return boards[name]
    for board in boards.values():
        if name in board.aliases:
            return board
    raise HushmeterError(f"there is no board {name!r}; known boards: {', '.join(boards)}")


def recognise(machine: str) -> Board:
    """The board whose interpreter calls itself so (``sys.implementation._machine``).

    Raises
    ------
    HushmeterError
        No board file names this machine.
    """
    known = [board for board in _boards(boards_dir()).values() if board.machine]
    for board in known:
        if board.machine == machine:
            return board
    names = ", ".join(f"{board.name} ({board.machine})" for board in known)
    raise HushmeterError(f"the interpreter runs on {machine!r}, which is none of: {names}")
