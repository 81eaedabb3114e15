"""What the suite runs against: one interface, three kinds of board.

A test sees a :class:`Board` and not what is behind it. It may

* run code at the interpreter's prompt (``execute``, ``run_script``), with the device package and
  everything in ``hil/device`` importable, and
* boot a meter (``boot``): fresh storage with the files given, the firmware's ``main.py`` running,
  and a transport to it; then ``reset`` it as a power cut would, and look at its ``files``.

On a port both happen on the one board there is, so code at the prompt ends a booted meter.
"""

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from hushmeter.assets import firmware_files, micropython_environment
from hushmeter.devices import boards
from hushmeter.emulate.bytecode import compile_files
from hushmeter.emulate.interpreter import find_micropython
from hushmeter.emulate.pico import EmulatedPico, Entropy, GuestError
from hushmeter.emulate.unix import UnixMeter
from hushmeter.errors import HushmeterError
from hushmeter.link import Link, SerialTransport, Transport

DEVICE_SCRIPTS = Path(__file__).resolve().parent / "device"
EXECUTE_TIMEOUT_S = 60.0
SCRIPT_TIMEOUT_S = 600.0
SEEDED_ENTROPY = "seeded_entropy"
"""Capability of a backend: ``boot`` takes an integer as the seed of the entropy source."""


class Board(Protocol):
    """A board under test.

    Attributes
    ----------
    name:
        As the command line names it.
    facts:
        The board's file.
    capabilities:
        The board's, and what the backend adds; the marker ``needs`` asks for them.
    numbers:
        Figures a test wants recorded, by name; written to a file when the suite ends.
    """

    name: str
    facts: boards.Board
    capabilities: frozenset[str]
    numbers: dict[str, Any]

    def execute(self, code: str, timeout_s: float = EXECUTE_TIMEOUT_S) -> str:
        """Run code at the prompt; return what it printed, lines ended by ``\\n``."""

    def run_script(self, path: Path, timeout_s: float = SCRIPT_TIMEOUT_S) -> list[str]:
        """Run a script of ``hil/device`` in a fresh interpreter; return the lines it printed."""

    def boot(
        self, files: Mapping[str, bytes], *, entropy: Entropy = "os", main: bytes | None = None
    ) -> Transport:
        """Start a meter on fresh storage with ``files``; ``main`` replaces ``main.py``."""

    def reset(self) -> Transport:
        """Restart the booted meter as after a power cut; its storage stays."""

    def files(self) -> dict[str, bytes]:
        """Return what is in the booted meter's storage, without the firmware."""

    def close(self) -> None:
        """Stop everything and leave nothing behind."""


def make_board(name: str) -> Board:
    """Return the board that the option ``--board`` names.

    Raises
    ------
    HushmeterError
        If there is no such board, or something is missing to run it.
    """
    if "/" in name or ":" in name or name.upper().startswith("COM"):
        return PortBoard(name)
    facts = boards.load_board(name)
    return UnixBoard(facts) if facts.chip == "host" else EmulatedBoard(facts)


class UnixBoard:
    """The unix port: every run is a process."""

    def __init__(self, facts: boards.Board) -> None:
        self.name = facts.name
        self.facts = facts
        self.capabilities = frozenset[str](facts.capabilities)
        self.numbers: dict[str, Any] = {}
        self._interpreter = find_micropython().path
        self._folder = tempfile.TemporaryDirectory(prefix="hushmeter-hil-")
        self._count = 0
        self._meter: UnixMeter | None = None

    def execute(self, code: str, timeout_s: float = EXECUTE_TIMEOUT_S) -> str:
        return self._python("-c", code, timeout_s)

    def run_script(self, path: Path, timeout_s: float = SCRIPT_TIMEOUT_S) -> list[str]:
        return self._python(str(path), None, timeout_s).splitlines()

    def boot(
        self, files: Mapping[str, bytes], *, entropy: Entropy = "os", main: bytes | None = None
    ) -> Transport:
        if isinstance(entropy, int):
            raise HushmeterError(f"{self.name} takes its entropy from the system, not from a seed")
        self._stop()
        self._count += 1
        storage = Path(self._folder.name, f"meter{self._count}")
        _write_folder(storage, files)
        script = None
        if main is not None:
            script = storage.with_suffix(".py")
            script.write_bytes(main)
        self._meter = UnixMeter(storage, script=script, interpreter=self._interpreter)
        self._meter.start()
        return self._meter

    def reset(self) -> Transport:
        meter = _booted(self._meter)
        meter.kill()
        meter.start()
        return meter

    def files(self) -> dict[str, bytes]:
        return _booted(self._meter).files()

    def close(self) -> None:
        self._stop()
        self._folder.cleanup()

    def _stop(self) -> None:
        if self._meter is not None:
            self._meter.kill()
            self._meter = None

    def _python(self, script: str, code: str | None, timeout_s: float) -> str:
        command = [str(self._interpreter), "-X", f"heapsize={self.facts.heap.bytes}", script]
        done = subprocess.run(
            command if code is None else [*command, code],
            cwd=self._folder.name,
            env=micropython_environment([DEVICE_SCRIPTS]),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        if done.returncode:
            raise GuestError(done.stdout + done.stderr)
        return done.stdout


class EmulatedBoard:
    """An emulated RP2040. One machine stays at its prompt for all scripts, to save its start."""

    def __init__(self, facts: boards.Board) -> None:
        self.name = facts.name
        self.facts = facts
        self.capabilities = frozenset(facts.capabilities) | {"entropy", SEEDED_ENTROPY}
        self.numbers: dict[str, Any] = {}
        scripts = {path.name: path.read_bytes() for path in DEVICE_SCRIPTS.glob("*.py")}
        self._firmware = compile_files(_contents(firmware_files()), facts)
        at_prompt = {p: c for p, c in self._firmware.items() if p not in ("boot.py", "main.py")}
        self._prompt = EmulatedPico(facts, files=at_prompt | compile_files(scripts, facts))
        self._prompt.start()
        self._meter: EmulatedPico | None = None

    def execute(self, code: str, timeout_s: float = EXECUTE_TIMEOUT_S) -> str:
        return self._prompt.execute(code, timeout_s).replace("\r\n", "\n")

    def run_script(self, path: Path, timeout_s: float = SCRIPT_TIMEOUT_S) -> list[str]:
        self._prompt.soft_reset()
        return self.execute(f"import {path.stem}", timeout_s).splitlines()

    def boot(
        self, files: Mapping[str, bytes], *, entropy: Entropy = "os", main: bytes | None = None
    ) -> Transport:
        on_flash = {**self._firmware, **files}
        if main is not None:
            on_flash["main.py"] = main
        self._meter = EmulatedPico(self.facts, entropy=entropy, files=on_flash)
        self._meter.start()
        return self._meter

    def reset(self) -> Transport:
        meter = _booted(self._meter)
        meter.reset()
        return meter

    def files(self) -> dict[str, bytes]:
        found = _booted(self._meter).files()
        return {path: content for path, content in found.items() if path not in self._firmware}

    def close(self) -> None:
        self._prompt.close()
        if self._meter is not None:
            self._meter.close()


class PortBoard:
    """A board on a serial port, through mpremote and the framed link. Its files are replaced."""

    def __init__(self, port: str) -> None:
        self.name = port
        self.numbers: dict[str, Any] = {}
        self._port = port
        self._link: SerialTransport | None = None
        self._to_prompt()
        self.facts = boards.load_board(self._ask(_WHICH_BOARD).strip())
        self.capabilities = frozenset[str](self.facts.capabilities)
        self._firmware = compile_files(_contents(firmware_files()), self.facts)
        self._on_board: set[str] = set()
        self._ready_for_scripts = False

    def execute(self, code: str, timeout_s: float = EXECUTE_TIMEOUT_S) -> str:
        self._stop()
        self._prepare_scripts()
        return self._ask(code, timeout_s)

    def run_script(self, path: Path, timeout_s: float = SCRIPT_TIMEOUT_S) -> list[str]:
        self._stop()
        self._prepare_scripts()
        self._mpremote("soft-reset")
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

    def close(self) -> None:
        self._stop()

    def _start(self) -> Transport:
        self._mpremote("reset")
        self._link = _open_again(self._port)
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
        if not self._ready_for_scripts:
            scripts = {path.name: path.read_bytes() for path in DEVICE_SCRIPTS.glob("*.py")}
            at_prompt = {p: c for p, c in self._firmware.items() if p not in ("boot.py", "main.py")}
            self._replace_files(at_prompt | compile_files(scripts, self.facts))
            self._ready_for_scripts = True

    def _replace_files(self, files: Mapping[str, bytes]) -> None:
        self._ready_for_scripts = False
        self._ask(_REMOVE_FILES)
        with tempfile.TemporaryDirectory() as folder:
            _write_folder(Path(folder), files)
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
