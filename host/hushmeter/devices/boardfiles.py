"""Files on a board: the few operations that deployment and provisioning are made of.

Each one is run at the interpreter's prompt and may be run twice: where the prompt is lost in the
middle it is done again from its beginning. A file that is replaced is written whole under another
name, compared by its SHA-256 and then renamed, so that a cut leaves the old one or the new one.
Paths are relative to the root of the board's filesystem.
"""

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from hushmeter.devices.console import BoardError, Console, PromptError, WrongAnswer
from hushmeter.errors import HushmeterError

_CHUNK = 768
_PIECE = 4096
_MOST_NAMES = 40
_MOST_LONG = 1 << 24
TEMPORARY = ".tmp"

_Path = Annotated[str, Meta(min_length=1, max_length=1024)]
_Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
_Count = Annotated[int, Meta(ge=0, lt=1 << 53)]
_BlockBytes = Annotated[int, Meta(ge=1, le=1 << 24)]

_HELPERS = """
import os, sys, hashlib, binascii
if sys.platform not in ("linux", "darwin"):
    os.chdir("/")
def h_list(folder):
    found = {}
    for entry in os.ilistdir(folder) if folder else os.ilistdir():
        path = folder + "/" + entry[0] if folder else entry[0]
        if entry[1] & 0x4000:
            found[path + "/"] = 0
            found.update(h_list(path))
        else:
            found[path] = entry[3] if len(entry) > 3 else os.stat(path)[6]
    return found
def h_digest(path):
    digest, piece = hashlib.sha256(), bytearray(1024)
    try:
        file = open(path, "rb")
    except OSError:
        return None
    with file:
        count = file.readinto(piece)
        while count:
            digest.update(memoryview(piece)[:count])
            count = file.readinto(piece)
    return binascii.hexlify(digest.digest()).decode()
def h_folders(path):
    at = path.find("/")
    while at > 0:
        try:
            os.mkdir(path[:at])
        except OSError:
            os.stat(path[:at])
        at = path.find("/", at + 1)
def h_copy(source, target):
    piece = bytearray(1024)
    with open(source, "rb") as read, open(target, "wb") as write:
        count = read.readinto(piece)
        while count:
            write.write(memoryview(piece)[:count])
            count = read.readinto(piece)
def h_remove(path):
    try:
        (os.rmdir if path[-1] == "/" else os.remove)(path.rstrip("/"))
    except OSError as error:
        if error.args[0] != 2:
            raise
"""


class FilesystemFull(HushmeterError):
    """There is no room on the board for what was to be written."""


@dataclass(frozen=True)
class Room:
    """Space of a filesystem: whole blocks are what files take."""

    block_bytes: int
    total_bytes: int
    free_bytes: int


class BoardFiles:
    """The filesystem behind a prompt that is open.

    Raises
    ------
    HushmeterError
        From each operation: the filesystem is not mounted, is full, or refused.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        try:
            console.again(lambda: console.prepare(_HELPERS))
        except BoardError as error:
            raise HushmeterError(
                f"{console.address.device} has no filesystem that works: {error.message}",
                hint="what is on it may still be read with mpremote; an empty one is made by "
                "hushmeter flash --erase, or on a board with a drive by an image that erases the "
                "flash",
            ) from error

    def room(self) -> Room:
        """How much space there is."""
        block, size, free = self._console.value(
            "s = os.statvfs(os.getcwd())\nanswer = [s[1] or s[0], s[2], s[3]]",
            "os",
            shape=tuple[_BlockBytes, _Count, _Count],
        )
        return Room(block, block * size, block * free)

    def listing(self) -> dict[str, int]:
        """Size in bytes of every file by path; a folder ends in ``/`` and has size 0."""
        found: dict[str, int] = self._console.value(
            "answer = h_list('')", shape=dict[_Path, _Count]
        )
        return dict(sorted(found.items()))

    def digests(self, paths: Iterable[str]) -> dict[str, str | None]:
        """SHA-256 (hex) of each file; None where there is none."""
        found: dict[str, str | None] = {}
        wanted = list(paths)
        for at in range(0, len(wanted), _MOST_NAMES):
            some = wanted[at : at + _MOST_NAMES]
            values = self._console.value(
                f"answer = [h_digest(p) for p in {some!r}]",
                shape=Annotated[
                    list[_Digest | None], Meta(min_length=len(some), max_length=len(some))
                ],
            )
            found.update(zip(some, values, strict=True))
        return found

    def read(self, path: str) -> bytes | None:
        """A small file whole, or None where there is none."""
        code = (
            f"try:\n with open({path!r}, 'rb') as f: answer = f.read()\n"
            " answer = binascii.b2a_base64(answer).decode()\n"
            "except OSError: answer = None"
        )
        text: str | None = self._console.value(code, shape=str | None)
        return None if text is None else self._decoded(path, text)

    def read_long(self, path: str, size: int) -> bytes:
        """The first ``size`` bytes of a file that may not fit into the board's memory at once."""
        if size > _MOST_LONG:
            raise WrongAnswer(f"{path} is said to have {size} bytes, more than any board's flash")
        pieces = []
        for at in range(0, size, _PIECE):
            code = (
                f"with open({path!r}, 'rb') as f:\n f.seek({at})\n answer = f.read({_PIECE})\n"
                "answer = binascii.b2a_base64(answer).decode()"
            )
            pieces.append(self._decoded(path, self._console.value(code, shape=str)))
        return b"".join(pieces)[:size]

    @staticmethod
    def _decoded(path: str, text: str) -> bytes:
        try:
            return base64.b64decode(text)
        except ValueError:
            raise WrongAnswer(f"what the board gave for {path} is no Base64") from None

    def write(self, path: str, data: bytes) -> None:
        """Write a file in place, with the folders above it, and compare it."""
        self._console.again(lambda: self._write(path, data))

    def replace(self, path: str, data: bytes) -> None:
        """Replace a file so that a cut leaves the old one or the new one."""
        temporary = path + TEMPORARY
        self.write(temporary, data)
        wanted = hashlib.sha256(data).hexdigest()
        # Renamed already where an answer was lost: then the name is gone and the digest is right.
        code = (
            f"if h_digest({path!r}) != {wanted!r} or h_digest({temporary!r}) is not None:\n"
            f" os.rename({temporary!r}, {path!r})"
        )
        self._again(code)

    def copy(self, source: str, target: str, digest: str) -> None:
        """Copy a file on the board and compare it."""

        def copy() -> None:
            self._run(f"h_folders({target!r})\nh_copy({source!r}, {target!r})", target)
            self._compare(target, digest)

        self._console.again(copy)

    def remove(self, paths: Iterable[str]) -> None:
        """Remove files and empty folders (ending in ``/``), in this order, where they are there."""
        for path in paths:
            self._again(f"h_remove({path!r})")

    def _again(self, code: str) -> None:
        self._console.again(lambda: self._console.run(code))

    def _write(self, path: str, data: bytes) -> None:
        self._run(f"h_folders({path!r})\nf = open({path!r}, 'wb')", path)
        for at in range(0, len(data), _CHUNK):
            piece = base64.b64encode(data[at : at + _CHUNK]).decode()
            self._run(f"n = f.write(binascii.a2b_base64({piece!r}))", path)
        self._run("f.close()", path)
        self._compare(path, hashlib.sha256(data).hexdigest())

    def _compare(self, path: str, digest: str) -> None:
        if self._console.run(f"print(h_digest({path!r}))").strip() != digest:
            raise PromptError(f"{path} came to the board damaged")

    def _run(self, code: str, path: str) -> None:
        try:
            self._console.run(code)
        except BoardError as error:
            if "ENOSPC" in error.message or error.message.endswith("OSError: 28"):
                raise FilesystemFull(
                    f"the board's filesystem is full: {path} could not be written",
                    hint="remove files that are not the meter's own; hushmeter doctor shows them",
                ) from error
            raise
