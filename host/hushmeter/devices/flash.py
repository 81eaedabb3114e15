"""Puts a MicroPython image onto a board: a copy to its drive, picotool, or esptool.

Whatever the way, the image is looked at before (:mod:`hushmeter.devices.formats`): one for another
chip, a part of one, or one that would write over the board's files is refused.

What stays: an image writes only what it covers. On every board here the files lie behind that, so
they stay as long as the new image keeps them in the same place. An ESP image also covers the
chip's own settings (``nvs``), which are lost.
"""

import contextlib
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hushmeter.devices import programs
from hushmeter.devices.boards import Board, boards_with_image
from hushmeter.devices.console import Console, PromptError
from hushmeter.devices.facts import Esp, Method, Uf2
from hushmeter.devices.ports import check_free
from hushmeter.errors import HushmeterError

INFO_FILE = "INFO_UF2.TXT"
DRIVE_WAIT_S = 15.0
RESTART_WAIT_S = 15.0

_CHUNK_BYTES = 1 << 15
_MOST_INFO = 4096
_POLL_S = 0.1
_BOOTLOADER_S = 3.0
_LOADER_S = 2.0
_FLASH_SIZE = re.compile(r"Detected flash size:\s*(\d{1,9})([KM])B")

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Job:
    """What is to be put where.

    Attributes
    ----------
    image:
        A file that :func:`hushmeter.devices.formats.check_image` has passed.
    port:
        Serial port, resolved; "" if none is needed.
    drive:
        Where the board's drive is mounted; None to look for it.
    erase:
        Erase the whole flash first, with every file on it.
    """

    board: Board
    image: Path
    method: Method
    port: str = ""
    drive: Path | None = None
    erase: bool = False


def choose_method(board: Board, method: str | None) -> Method:
    """The method to take: the one that is named, if the board has it, else the board's first."""
    if board.loader is None:
        raise HushmeterError(f"board {board.name} runs no image: nothing is flashed onto it")
    for known in board.loader.methods:
        if method in (None, known):
            return known
    ways = ", ".join(board.loader.methods)
    raise HushmeterError(f"board {board.name} is not flashed with {method}; it takes: {ways}")


def check_erase(job: Job) -> None:
    """Refuse to erase in a way that cannot."""
    if job.erase and job.method != "esptool":
        raise HushmeterError(
            f"--erase needs the method esptool, not {job.method}",
            hint="a board with a drive is erased by an image made for that; its makers have one "
            "(flash nuke)",
        )


def consequences(job: Job) -> list[str]:
    """What the user should know before it is done, a sentence each."""
    if job.erase:
        return ["The whole flash is erased first: files, keys and journal of a meter are lost."]
    found = ["Files on the board stay, as long as the board ran an image of the same layout."]
    if job.method == "esptool":
        found.append("The chip's own settings (nvs: Wi-Fi, calibration) are overwritten.")
        found.append("A board that never ran MicroPython should be erased first: --erase.")
    twins = _twins(job.board)
    if twins and not job.port:
        found.append(f"Its loader does not tell it from {', '.join(twins)}: look at the board.")
    return found


def _twins(board: Board) -> list[str]:
    """Boards that show the same drive, and take an image that is not theirs without a word."""
    uf2 = board.loader.uf2 if board.loader is not None else None
    if uf2 is None:
        return []
    others = [other for other in boards_with_image() if other.name != board.name]
    return [each.name for each in others if each.loader and each.loader.uf2 == uf2]


def flash(job: Job, progress: Progress | None = None, echo: programs.Echo | None = None) -> None:
    """Do the job.

    Parameters
    ----------
    progress:
        Bytes copied so far and in all; only the copy to a drive knows them.
    echo:
        Gets the lines that a program says.

    Raises
    ------
    HushmeterError
        It could not be done; the hint is the next step.
    """
    loader = job.board.loader
    check_erase(job)
    if job.method == "esptool" and loader is not None and loader.esp is not None:
        _esptool(job, loader.esp, echo)
    elif job.method == "picotool":
        if job.port:
            enter_bootloader(job.port, job.board)
            time.sleep(_LOADER_S)
        programs.run(
            programs.PICOTOOL,
            ["load", "-v", "-x", str(job.image)],
            board=job.board.name,
            echo=echo,
        )
    elif loader is not None and loader.uf2 is not None:
        if job.port:
            enter_bootloader(job.port, job.board)
        drive = job.drive if job.drive is not None else wait_for_drive(loader.uf2, bool(job.port))
        check_drive(drive, loader.uf2)
        copy_to_drive(job.image, drive, progress)


def enter_bootloader(port: str, board: Board) -> None:
    """Ask the interpreter at a port, if it is this board's, to start the chip's loader.

    Raises
    ------
    HushmeterError
        Nothing answers there, it is another board, or the board has no such function.
    """
    if "bootloader" not in board.capabilities:
        raise HushmeterError(
            f"board {board.name} cannot be put into its loader from the prompt",
            hint="use the buttons of the board, and leave --port out",
        )
    with Console(port) as console:
        console.require(board)
        # The port goes away with the interpreter, before it could answer.
        with contextlib.suppress(PromptError):
            console.run("import machine\nmachine.bootloader()", timeout_s=_BOOTLOADER_S)


def mount_points() -> list[Path]:
    """Where drives are mounted: /proc's list on Linux, /Volumes on macOS."""
    try:
        lines = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:
        return sorted(Path("/Volumes").glob("*"))
    fields = (line.split(" ") for line in lines)
    return [Path(_unescaped(field[1])) for field in fields if len(field) > 1]


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)


def find_drives(uf2: Uf2) -> list[Path]:
    """Mounted drives of boards in their loader that say they take this board's images."""
    return [path for path in mount_points() if _board_id(path) == uf2.board_id]


def _board_id(drive: Path) -> str | None:
    """The Board-ID in a drive's information file; None if there is no such file."""
    try:
        with (drive / INFO_FILE).open(encoding="ascii", errors="replace") as file:
            text = file.read(_MOST_INFO)
    except OSError:
        return None
    found = re.search(r"^Board-ID:\s*(\S{1,60})", text, re.MULTILINE)
    return found[1] if found else ""


def wait_for_drive(uf2: Uf2, may_come: bool) -> Path:
    """The one drive that fits; where a board was just asked for it, it is waited for."""
    deadline = time.monotonic() + (DRIVE_WAIT_S if may_come else 0.0)
    drives = find_drives(uf2)
    while not drives and time.monotonic() < deadline:
        time.sleep(_POLL_S)
        drives = find_drives(uf2)
    if not drives:
        raise HushmeterError(
            f"no drive {uf2.drive} is mounted",
            hint="hold BOOTSEL while plugging the board in; if the drive shows but is not "
            "mounted, mount it and name the place with --drive",
        )
    if len(drives) > 1:
        listed = ", ".join(map(str, drives))
        raise HushmeterError(f"{len(drives)} drives fit: {listed}", hint="name one with --drive")
    return drives[0]


def check_drive(drive: Path, uf2: Uf2) -> None:
    """Refuse a folder that is not the drive of a board of this kind."""
    board_id = _board_id(drive)
    if board_id is None:
        raise HushmeterError(
            f"{drive} is not the drive of a board: it has no {INFO_FILE}",
            hint="hold BOOTSEL while plugging the board in",
        )
    if board_id != uf2.board_id:
        raise HushmeterError(
            f"{drive} belongs to a board {board_id or 'without a name'}, not {uf2.board_id}",
            hint="name the right --board or the right --drive; see: hushmeter boards",
        )


def copy_to_drive(image: Path, drive: Path, progress: Progress | None = None) -> None:
    """Copy an image to a drive and wait until the board has restarted from it.

    The board restarts as soon as it has the last block, which takes the drive away under the copy.
    An error that comes after the last byte, with the drive gone, is therefore how it should be.
    """
    target = drive / image.name
    total = image.stat().st_size
    done = 0
    try:
        with image.open("rb") as source, target.open("wb", buffering=0) as sink:
            while chunk := source.read(_CHUNK_BYTES):
                _write_all(sink.fileno(), chunk)
                done += len(chunk)
                os.fsync(sink.fileno())
                if progress is not None:
                    progress(done, total)
    except OSError as error:
        if done < total or _board_id(drive) is not None:
            raise HushmeterError(
                f"{target}: {done} of {total} bytes were written: {error.strerror}",
                hint="plug the board in again with BOOTSEL held, and try again",
            ) from error
    deadline = time.monotonic() + RESTART_WAIT_S
    while _board_id(drive) is not None:
        if time.monotonic() > deadline:
            raise HushmeterError(
                f"{drive}: the image was copied, but the board has not restarted",
                hint="plug the board in again with BOOTSEL held, and try again",
            )
        time.sleep(_POLL_S)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _esptool(job: Job, esp: Esp, echo: programs.Echo | None) -> None:
    """Look which chip is there and how much flash it has, then write; each a run of its own."""
    if not job.port:
        raise HushmeterError("esptool needs a port", hint="say --port auto, or name it")
    check_free(job.port)
    start = ["--chip", esp.chip, "--port", job.port]

    def run(*arguments: str) -> str:
        return programs.run(
            programs.ESPTOOL,
            [*start, *arguments],
            board=job.board.name,
            port=job.port,
            echo=echo,
        )

    _check_flash_size(run("flash_id"), job)
    # Version 5 still knows these spellings, which are the only ones of version 4.
    if job.erase:
        run("erase_flash")
    run("--baud", str(esp.baud), "write_flash", "-z", hex(esp.offset), str(job.image))


def _check_flash_size(said: str, job: Job) -> None:
    found = _FLASH_SIZE.search(said)
    if found is None or job.board.flash is None:
        return
    size = int(found[1]) << (20 if found[2] == "M" else 10)
    if size < job.board.flash.bytes:
        raise HushmeterError(
            f"the board at {job.port} has {size} bytes of flash; "
            f"board {job.board.name} has {job.board.flash.bytes}",
            hint="name the right --board; see: hushmeter boards",
        )
