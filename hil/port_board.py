"""The backend for a real board on a serial port: mpremote for files and code, frames for the link.

The suite replaces the files on the board. Every ``mpremote exec`` starts with a soft reset, so
each script finds a fresh interpreter.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hil.backends import (
    EXECUTE_TIMEOUT_S,
    SCRIPT_TIMEOUT_S,
    firmware_for,
    scripts_for,
    write_folder,
)
from hushmeter.devices import boards
from hushmeter.emulate.pico import Entropy, GuestError
from hushmeter.errors import HushmeterError
from hushmeter.link import Link, SerialTransport, Transport

_COME_BACK_S = 10.0
_WHICH_MACHINE = "import sys\nprint(sys.implementation._machine)"
_WALK = """
import os, binascii
def walk(folder):
    for name, kind, *_ in os.ilistdir(folder or "/"):
        path = folder + "/" + name
        if kind & 0x4000:
            yield from walk(path)
        yield path, bool(kind & 0x4000)
"""
_LIST_FILES = (
    _WALK
    + """
for path, folder in walk(""):
    if not folder:
        print(binascii.hexlify(open(path, "rb").read()).decode(), path[1:])
"""
)
_REMOVE_FILES = (
    _WALK
    + """
for path, folder in list(walk("")):
    (os.rmdir if folder else os.remove)(path)
"""
)


class PortBoard:
    """A board on a serial port. It is asked to reset itself: nobody cuts its power."""

    def __init__(self, port: str) -> None:
        self.name = port
        self.numbers: dict[str, Any] = {}
        self._port = port
        self._link: SerialTransport | None = None
        self._to_prompt()
        self.facts = _board_of(self._ask(_WHICH_MACHINE).strip())
        self.capabilities = frozenset[str](self.facts.capabilities)
        self._firmware = firmware_for(self.facts)
        self._ready_for_scripts = False

    def execute(self, code: str, timeout_s: float = EXECUTE_TIMEOUT_S) -> str:
        self._prepare_scripts()
        return self._ask(code, timeout_s)

    def run_script(self, path: Path, timeout_s: float = SCRIPT_TIMEOUT_S) -> list[str]:
        self._prepare_scripts()
        return self._ask(f"import {path.stem}", timeout_s).splitlines()

    def boot(
        self, files: Mapping[str, bytes], *, entropy: Entropy = "os", main: bytes | None = None
    ) -> Transport:
        if isinstance(entropy, int):
            raise HushmeterError(f"{self.name} takes its entropy from its chip, not from a seed")
        self._stop()
        on_flash = {**self._firmware, **files}
        if main is not None:
            on_flash["main.py"] = main
        self._replace_files(on_flash)
        return self._start()

    def reset(self) -> Transport:
        self._stop()
        return self._start()

    def files(self) -> dict[str, bytes]:
        self._stop()
        lines = self._ask(_LIST_FILES).splitlines()
        pairs = (line.split(" ", 1) for line in lines if line)
        found = {path: bytes.fromhex(content) for content, path in pairs}
        return {path: content for path, content in found.items() if path not in self._firmware}

    def clock_s(self) -> float:
        return time.monotonic()

    def close(self) -> None:
        self._stop()

    def _start(self) -> Transport:
        self._mpremote("reset")
        self._link = _open_when_back(self._port)
        return self._link

    def _stop(self) -> None:
        """Leave a running meter, so that the prompt answers."""
        if self._link is not None:
            self._link.close()
            self._link = None
            self._to_prompt()

    def _to_prompt(self) -> None:
        link = Link(SerialTransport(self._port), timeout_s=1.0, tries=2)
        try:
            link.request("maintenance")
        except HushmeterError:
            # No meter runs: the prompt is there already, and mpremote interrupts what else runs.
            pass
        finally:
            link.close()

    def _prepare_scripts(self) -> None:
        self._stop()
        if not self._ready_for_scripts:
            self._replace_files(scripts_for(self.facts))
            self._ready_for_scripts = True

    def _replace_files(self, files: Mapping[str, bytes]) -> None:
        self._ready_for_scripts = False
        self._ask(_REMOVE_FILES)
        with tempfile.TemporaryDirectory() as folder:
            write_folder(Path(folder), files)
            top = sorted(str(path) for path in Path(folder).iterdir())
            self._mpremote("fs", "cp", "-r", *top, ":")

    def _ask(self, code: str, timeout_s: float = EXECUTE_TIMEOUT_S) -> str:
        return self._mpremote("exec", code, timeout_s=timeout_s)

    def _mpremote(self, *command: str, timeout_s: float = EXECUTE_TIMEOUT_S) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "mpremote", "connect", self._port, *command],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        if done.returncode:
            raise GuestError(f"mpremote {command[0]}: {done.stdout}{done.stderr}")
        return done.stdout.replace("\r\n", "\n")


def _board_of(machine: str) -> boards.Board:
    """Return the board that calls itself ``machine``: its name, "with", and its chip."""
    wanted = machine.replace(" with ", " (", 1) + ")"
    known = [boards.load_board(name) for name in boards.board_names()]
    for board in known:
        if board.description == wanted:
            return board
    names = ", ".join(board.description for board in known)
    raise HushmeterError(f"the board at this port is {wanted}, which is none of: {names}")


def _open_when_back(port: str) -> SerialTransport:
    """Open a port that vanishes for a moment while its board restarts."""
    deadline = time.monotonic() + _COME_BACK_S
    while True:
        try:
            return SerialTransport(port)
        except HushmeterError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
