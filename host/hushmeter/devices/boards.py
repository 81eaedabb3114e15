"""Board facts: reads and checks ``boards/<name>/board.toml``.

A board is data. Code asks for a fact (`board.heap.bytes`) or a capability (`"uart" in
board.capabilities`), never for a board's name.
"""

import functools
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from hushmeter.assets import boards_dir
from hushmeter.errors import HushmeterError

Capability = Literal[
    "adc",
    "assembler",
    "entropy",
    "i2c",
    "pin",
    "reset",
    "sockets",
    "spi",
    "timer",
    "uart",
    "watchdog",
]

Positive = Annotated[int, msgspec.Meta(gt=0)]
NotNegative = Annotated[int, msgspec.Meta(ge=0)]
UsbId = Annotated[int, msgspec.Meta(ge=0, le=0xFFFF)]


class Heap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The interpreter's heap as it starts: used and free bytes together."""

    bytes: Positive


class Flash(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole flash chip, the smallest piece it erases and the smallest it programs."""

    bytes: Positive
    erase_bytes: Positive
    program_bytes: Positive


class Filesystem(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where files are kept: a folder of the host, or a part of the flash."""

    kind: Literal["folder", "littlefs2"]
    start: NotNegative = 0
    bytes: NotNegative = 0
    block_bytes: NotNegative = 0


class Console(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the framed link reaches the interpreter's standard input and output."""

    kind: Literal["stdio", "uart", "usb-cdc"]
    usb_vendor: UsbId | None = None
    usb_product: UsbId | None = None


class Image(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An official MicroPython image, named by its digest."""

    version: str
    file: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    url: Annotated[str, msgspec.Meta(pattern=r"^https?://")]
    bytes: Positive
    sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]


class Board(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One board: everything that code may want to know of it."""

    name: str
    description: str
    chip: str
    port: str
    small_int_bits: Positive
    float_bits: Literal[32, 64]
    heap: Heap
    filesystem: Filesystem
    console: Console
    capabilities: frozenset[Capability] = frozenset()
    aliases: tuple[str, ...] = ()
    frequency_hz: Positive | None = None
    flash: Flash | None = None
    image: Image | None = None


def _problem(board: Board, folder: str) -> str | None:
    """What the single fields' types cannot say; None if the board is in order."""
    if board.name != folder:
        return f"name is {board.name!r}; it must be the folder's name, {folder!r}"
    place = board.filesystem
    if place.kind == "folder":
        return None
    if board.flash is None:
        return f"flash is missing; a filesystem of kind {place.kind!r} lies in flash"
    if not place.block_bytes or not place.bytes or place.bytes % place.block_bytes:
        return "filesystem.bytes must be a positive multiple of filesystem.block_bytes"
    if place.start + place.bytes > board.flash.bytes:
        return f"filesystem ends behind the flash, which has {board.flash.bytes} bytes"
    return None


def _read(path: Path) -> Board:
    """One board file, checked; a :class:`HushmeterError` names the file and the field."""
    try:
        raw: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        board = msgspec.convert(raw, Board)
    except OSError as error:
        raise HushmeterError(f"{path}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise HushmeterError(f"{path}: is not TOML: {error}") from error
    except msgspec.ValidationError as error:
        raise HushmeterError(f"{path}: {error}") from error
    problem = _problem(board, path.parent.name)
    if problem is not None:
        raise HushmeterError(f"{path}: {problem}")
    return board


@functools.cache
def _boards(folder: Path) -> dict[str, Board]:
    """All boards beneath a folder by name."""
    return {path.parent.name: _read(path) for path in sorted(folder.glob("*/board.toml"))}


def board_names() -> list[str]:
    """The names of all boards, in alphabetical order."""
    return list(_boards(boards_dir()))


def load_board(name: str) -> Board:
    """The board of this name or alias; a :class:`HushmeterError` lists the known ones."""
    boards = _boards(boards_dir())
    if name in boards:
        return boards[name]
    for board in boards.values():
        if name in board.aliases:
            return board
    raise HushmeterError(f"there is no board {name!r}; known boards: {', '.join(boards)}")
