"""The two kinds of board that can be measured here, behind one interface."""

from __future__ import annotations

import functools
import hashlib
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from hushmeter.assets import firmware_files
from hushmeter.devices.boards import Board, load_board
from hushmeter.devices.bytecode import STAY_SOURCE, compile_files
from hushmeter.devices.images import find_image
from hushmeter.devices.shortening import firmware_table, shorten
from hushmeter.emulate.interpreter import find_micropython
from hushmeter.emulate.meters import EmulatedMeter
from hushmeter.emulate.pico import EmulatedPico
from hushmeter.emulate.unix import UnixMeter
from hushmeter.errors import HushmeterError

ENTROPY_SEED = 1
"""An emulated board's entropy repeats, and with it every simulated time."""

TIMEOUT_S = 300.0
"""For one request or one script, in the board's time."""

_IDLE_S, _IDLE_PICO_S, _IDLE_UNIX_S = 0.02, 0.012, 0.0002
"""Idle time of a meter, and for each of its partners: masks and the next day's keys."""

DEVICE_SCRIPTS = Path(__file__).resolve().parent / "device"

Files = Mapping[str, bytes]


@dataclass(frozen=True)
class Machine:
    """A meter that is off.

    ``now_s`` is its clock, for differences; ``flash`` reads its flash chip, None without one;
    ``idle`` leaves it alone until it has made ahead what it can, in a street of so many meters.
    """

    meter: EmulatedMeter
    now_s: Callable[[], float]
    flash: Callable[[], bytes] | None
    idle: Callable[[int], None]


class Backend(Protocol):
    """A kind of board."""

    facts: Board
    clock: str
    """``simulated`` or ``wall``."""

    def identity(self) -> dict[str, Any]:
        """What runs the firmware: its name, version and SHA-256."""

    def meter(self, files: Files) -> AbstractContextManager[Machine]:
        """A meter with the firmware and ``files`` on its storage; its power is cut at the end."""

    def run(self, code: str, files: Files) -> list[str]:
        """The lines that ``code`` prints at the prompt of a board with only these files."""


def firmware_source() -> dict[str, bytes]:
    """The firmware as it is written, by path on the board."""
    return {name: path.read_bytes() for name, path in firmware_files().items()}


@functools.cache
def firmware_compiled(board: str) -> dict[str, bytes]:
    """The firmware as it goes onto this board."""
    return compile_files(firmware_source(), load_board(board))


def modules(files: Files) -> dict[str, bytes]:
    """The files without the start-up scripts: a board with these stays at its prompt."""
    return {name: data for name, data in files.items() if name not in STAY_SOURCE}


def script(name: str) -> dict[str, bytes]:
    """A script of the folder ``device`` as a file of a board whose firmware is compiled."""
    source = (DEVICE_SCRIPTS / f"{name}.py").read_text(encoding="utf-8")
    return {f"{name}.py": shorten(source, firmware_table(), is_script=True).encode()}


def make_backend(name: str) -> Backend:
    """The backend of a board.

    Raises
    ------
    HushmeterError
        There is no such board, or its image, interpreter or emulator is not at hand.
    """
    facts = load_board(name)
    backend: Backend = UnixBackend(facts) if facts.chip == "host" else PicoBackend(facts)
    backend.identity()
    firmware_compiled(facts.name)
    return backend


class PicoBackend:
    """An emulated RP2040; its clock is the simulation's."""

    clock = "simulated"

    def __init__(self, facts: Board) -> None:
        self.facts = facts

    def identity(self) -> dict[str, Any]:
        image = find_image(self.facts)
        if image is None or self.facts.image is None:
            raise HushmeterError(
                f"the MicroPython image of the board {self.facts.name} is not at hand",
                f"fetch it with: hushmeter image {self.facts.name} --fetch",
            )
        return {"name": image.name, "version": self.facts.image.version} | _digest(image)

    @contextmanager
    def meter(self, files: Files) -> Iterator[Machine]:
        firmware = firmware_compiled(self.facts.name)
        pico = EmulatedPico(self.facts, entropy=ENTROPY_SEED, files={**firmware, **files})
        try:
            yield Machine(
                pico,
                lambda: pico.simulated_s,
                pico.flash_image,
                lambda members: pico.run(_IDLE_S + members * _IDLE_PICO_S),
            )
        finally:
            pico.kill()

    def run(self, code: str, files: Files) -> list[str]:
        with EmulatedPico(self.facts, entropy=ENTROPY_SEED, files=files) as pico:
            return pico.execute(code, TIMEOUT_S).splitlines()


class UnixBackend:
    """The unix port, a process a meter; its clock is this machine's."""

    clock = "wall"

    def __init__(self, facts: Board) -> None:
        self.facts = facts

    def identity(self) -> dict[str, Any]:
        found = find_micropython()
        return {"name": found.path.name, "version": found.version} | _digest(found.path)

    @contextmanager
    def meter(self, files: Files) -> Iterator[Machine]:
        with tempfile.TemporaryDirectory() as folder:
            storage = Path(folder, "meter")
            _write(storage, files)
            process = UnixMeter(storage)
            try:
                yield Machine(
                    process,
                    time.perf_counter,
                    None,
                    lambda members: time.sleep(_IDLE_S + members * _IDLE_UNIX_S),
                )
            finally:
                process.kill()

    def run(self, code: str, files: Files) -> list[str]:
        with tempfile.TemporaryDirectory() as folder:
            _write(Path(folder), files)
            heap = f"heapsize={self.facts.heap.bytes}"
            done = subprocess.run(
                [str(find_micropython().path), "-X", heap, "-c", code],
                cwd=folder,
                env={**os.environ, "MICROPYPATH": f".frozen{os.pathsep}{folder}"},
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
                check=False,
            )
        if done.returncode:
            raise HushmeterError((done.stdout + done.stderr).strip())
        return done.stdout.splitlines()


def _digest(path: Path) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def _write(folder: Path, files: Files) -> None:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
