"""The firmware as it lies on a board: two places, and a small file that says which is in use.

    main.py              the loader
    fw/a/  fw/b/         hushfw as bytecode, and manifest.json, which is written last
    fw/use.json          the place in use, and whether that firmware has proved itself

A place is complete if its manifest is there and every file that it lists has the listed size.
`hushmeter deploy` writes this layout piece by piece, and an emulated board gets it on its flash at
once from :func:`flash_files`: what both put there is made here.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

import hushfw
from hushmeter.assets import firmware_files
from hushmeter.devices.boards import Board
from hushmeter.devices.bytecode import STAY_SOURCE, architecture, check_fit, compile_files
from hushmeter.printable import printable

PLACES = ("a", "b")
FOLDER = "fw"
USE_FILE = "fw/use.json"
MANIFEST = "manifest.json"
LOADER = "main.py"
OLD_PACKAGE = "hushfw"
"""Where the firmware lay before there were two places."""

_FORMAT: Literal[1] = 1

_Words = Annotated[str, Meta(max_length=64)]
_Size = Annotated[int, Meta(ge=0, lt=1 << 32)]


class _ManifestFile(msgspec.Struct):
    """What lies in ``manifest.json``."""

    version: _Words
    format: Literal[1]
    mpy: _Words
    arch: _Words
    files: dict[str, tuple[_Size, _Words]]


class _UseFile(msgspec.Struct):
    """What lies in ``use.json``, as far as it matters here."""

    use: Literal["a", "b"]
    confirmed: bool


@dataclass(frozen=True)
class Manifest:
    """What a place holds: a version, and each file's size and SHA-256."""

    version: str
    mpy: str
    architecture: str
    files: Mapping[str, tuple[int, str]]

    def to_json(self) -> bytes:
        """The manifest as the loader reads it."""
        fields = {
            "version": self.version,
            "format": _FORMAT,
            "mpy": self.mpy,
            "arch": self.architecture,
            "files": {path: list(entry) for path, entry in self.files.items()},
        }
        return json.dumps(fields, separators=(",", ":")).encode()

    @staticmethod
    def from_json(data: bytes) -> "Manifest | None":
        """The manifest in a file; None where the file holds none that can be trusted."""
        try:
            found = msgspec.json.decode(data, type=_ManifestFile)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        return Manifest(printable(found.version), found.mpy, found.arch, found.files)


@dataclass(frozen=True)
class Firmware:
    """One build of the device package: content by path within a place."""

    version: str
    mpy: str
    architecture: str
    files: Mapping[str, bytes]

    @property
    def manifest(self) -> Manifest:
        """Sizes and digests of the files."""
        entries = {
            path: (len(data), hashlib.sha256(data).hexdigest()) for path, data in self.files.items()
        }
        return Manifest(self.version, self.mpy, self.architecture, entries)

    @property
    def bytes(self) -> int:
        """Size of all files together, without the manifest."""
        return sum(map(len, self.files.values()))


@dataclass(frozen=True)
class Use:
    """Which place the loader takes, and whether its firmware has once run well."""

    place: str
    confirmed: bool

    def to_json(self) -> bytes:
        """The file as the loader reads it, before any try."""
        return json.dumps({"use": self.place, "confirmed": self.confirmed, "tries": 0}).encode()

    @staticmethod
    def from_json(data: bytes) -> "Use | None":
        """What a file says; None where it is damaged."""
        try:
            found = msgspec.json.decode(data, type=_UseFile)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        return Use(found.use, found.confirmed)


def build(board: Board, *, source: bool = False) -> Firmware:
    """The device package for a board, compiled for its interpreter, or as source.

    Raises
    ------
    HushmeterError
        A module does not compile, or the compiler is not installed.
    """
    files = {
        name: path.read_bytes()
        for name, path in firmware_files().items()
        if name not in STAY_SOURCE
    }
    if source:
        return Firmware(hushfw.__version__, "", "none", files)
    compiled = compile_files(files, board)
    check_fit(compiled, board)
    version = board.bytecode.version if board.bytecode is not None else ""
    return Firmware(hushfw.__version__, version, architecture(board), compiled)


def loader() -> bytes:
    """``main.py``, which is the same on every board."""
    return firmware_files()[LOADER].read_bytes()


def in_place(firmware: Firmware, place: str) -> dict[str, bytes]:
    """A complete place by path on the board, the manifest last."""
    files = {f"{FOLDER}/{place}/{path}": data for path, data in firmware.files.items()}
    files[f"{FOLDER}/{place}/{MANIFEST}"] = firmware.manifest.to_json()
    return files


def flash_files(board: Board, *, source: bool = False) -> dict[str, bytes]:
    """Everything that deployment puts on an empty board, by path: the loader and place a."""
    firmware = build(board, source=source)
    use = Use(PLACES[0], confirmed=True)
    return {LOADER: loader(), **in_place(firmware, PLACES[0]), USE_FILE: use.to_json()}
