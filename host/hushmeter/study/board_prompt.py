"""Code at a board's prompt, whatever the board is: a process, an emulated RP2040, a serial port.

    with open_prompt("unix") as prompt:
        prompt.run("print(1 + 1)")       # "2\\n"

The device package can be imported there. A prompt keeps its names from one run to the next.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from hushmeter.assets import firmware_files, micropython_environment
from hushmeter.devices.boards import load_board
from hushmeter.errors import HushmeterError

UNIX, PICO = "unix", "pico"
RUN_S = 600.0
"""In the board's time."""

# A program comes as one line of hexadecimal digits; its output ends with a line of its own.
_LOOP = """
import binascii, sys
names = {}
while True:
    line = sys.stdin.readline()
    if not line:
        break
    try:
        exec(binascii.unhexlify(line.strip()).decode(), names)
        print("DONE")
    except Exception as error:
        print("FAILED", repr(error))
"""
_PLACE = """
import json, sys
try:
    with open("/fw/use.json") as file:
        sys.path.insert(0, "/fw/" + json.load(file)["use"])
except OSError:
    pass
"""


class Prompt(Protocol):
    """Where code is run."""

    def run(self, code: str) -> str:
        """Runs code; gives what it printed, lines ended by ``\\n``."""


class _Process:
    """The unix port of MicroPython."""

    def __init__(self) -> None:
        from hushmeter.emulate.interpreter import find_micropython

        self._process = subprocess.Popen(
            [str(find_micropython().path), "-X", "heapsize=4M", "-c", _LOOP],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=micropython_environment(),
            text=True,
        )

    def run(self, code: str) -> str:
        into, out = self._process.stdin, self._process.stdout
        if into is None or out is None:
            raise HushmeterError("the board's process has no pipes")
        printed = []
        try:
            into.write(code.encode().hex() + "\n")
            into.flush()
            while (line := out.readline()) and line != "DONE\n":
                if line.startswith("FAILED "):
                    raise HushmeterError(f"the board's process says: {line[7:].strip()}")
                printed.append(line)
        except BrokenPipeError:
            line = ""
        if not line:
            raise HushmeterError("the board's process has ended")
        return "".join(printed)

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


@contextmanager
def open_prompt(board: str) -> Iterator[Prompt]:
    """The prompt of ``unix``, ``pico`` (emulated), or of the deployed board on a port.

    Raises
    ------
    HushmeterError
        What is needed to run it is missing, or nothing answers at the port.
    """
    if board == UNIX:
        process = _Process()
        try:
            yield process
        finally:
            process.close()
    elif board == PICO:
        with _emulated() as prompt:
            yield prompt
    else:
        with _on_port(board) as prompt:
            yield prompt


@contextmanager
def _emulated() -> Iterator[Prompt]:
    from hushmeter.devices.bytecode import STAY_SOURCE, compile_files
    from hushmeter.emulate.pico import EmulatedPico

    facts = load_board(PICO)
    files = {name: path.read_bytes() for name, path in firmware_files().items()}
    for name in STAY_SOURCE:
        files.pop(name, None)

    class Emulated:
        def run(self, code: str) -> str:
            return machine.execute(code, RUN_S).replace("\r\n", "\n")

    with EmulatedPico(facts, files=compile_files(files, facts)) as machine:
        yield Emulated()


@contextmanager
def _on_port(port: str) -> Iterator[Prompt]:
    from hushmeter.devices.console import Console

    class OnPort:
        def run(self, code: str) -> str:
            return console.run(code, RUN_S)

    with Console(port) as console:
        console.prepare(_PLACE)
        yield OnPort()
