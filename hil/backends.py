"""What the suite runs against: one interface, three kinds of board.

A test sees a :class:`Board` and not what is behind it. It may

* run code at the interpreter's prompt (``execute``, ``run_script``), with the device package and
  everything in ``hil/device`` importable, and
* boot a meter (``boot``): fresh storage with the files given, the firmware's ``main.py`` running,
  and a transport to it; then ``reset`` it as a power cut would, and look at its ``files``.

On a port both happen on the one board there is, so code at the prompt ends a booted meter.
"""

import json
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from hushmeter.assets import firmware_files, micropython_environment
from hushmeter.devices import boards
from hushmeter.devices.bench import Place
from hushmeter.devices.bytecode import STAY_SOURCE, compile_files
from hushmeter.devices.firmware import USE_FILE
from hushmeter.devices.hil_run import How, Interpreter, WireInPlace, Wiring
from hushmeter.devices.images import find_image
from hushmeter.emulate.interpreter import find_micropython
from hushmeter.emulate.pico import EmulatedPico, Entropy, GuestError
from hushmeter.emulate.unix import UnixMeter
from hushmeter.errors import HushmeterError
from hushmeter.link import Transport

DEVICE_SCRIPTS = Path(__file__).resolve().parent / "device"
EXECUTE_TIMEOUT_S = 60.0
SCRIPT_TIMEOUT_S = 120.0
"""In the board's time."""
IDENTIFY = """
import sys, json
i = sys.implementation
mpy = getattr(i, "_mpy", 0)
print(json.dumps([i.name, ".".join([str(n) for n in i.version[:3]]), getattr(i, "_machine", ""),
    "%d.%d" % (mpy & 255, mpy >> 8 & 3)]))
"""
ADC_STEPS = 4095
"""Highest value of an emulated converter."""
OPEN_UART = """
from machine import Pin, UART
uart = UART({id}, 9600, tx=Pin({tx}), rx=Pin({rx}))
uart.read()
"""
"""Run at either end of a UART's wires; what lay in its buffer is gone."""
READ_UART = """
from binascii import hexlify
print(str(hexlify(uart.read() or b""), "ascii"))
"""
DRIVEN_ADC = "driven_adc"
"""Capability of a backend: its boards are emulated Picos, whose analogue pins a test drives."""
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
    wiring:
        The wires that are in place; the marker ``wired`` asks for their roles.
    numbers:
        Figures a test wants recorded, by name with the unit in it; kept when the suite ends.
    how, clock:
        What kind of board it is, and whose time ``clock_s`` tells.
    port:
        "" for a board that is not on one.
    deployed:
        The firmware under test as it lies on the board, by path.
    image:
        The image that the backend put on, if it did.
    """

    name: str
    facts: boards.Board
    capabilities: frozenset[str]
    wiring: Wiring
    numbers: dict[str, Any]
    how: How
    clock: Literal["simulated", "wall"]
    port: str
    deployed: Mapping[str, bytes]
    image: Path | None

    def identify(self) -> Interpreter:
        """Return what the interpreter says of itself."""

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

    def drive(self, role: str, share: float) -> None:
        """Put this share of the supply voltage on the pin of a wired role, and wait for it."""

    def sense(self, role: str) -> float:
        """Return which share of the supply voltage is at the far end of a role's wire."""

    def tell(self, bus: str, data: bytes) -> None:
        """Send bytes from the far end of a UART's two wires; the first call opens that end."""

    def hear(self, bus: str) -> bytes:
        """Return what has come to the far end of a UART's two wires since the last call."""

    def clock_s(self) -> float:
        """Return the board's time, simulated where there is such, for differences."""

    def close(self) -> None:
        """Stop everything and leave nothing behind."""


class NotAtHand(HushmeterError):
    """Something is missing to run this kind of board here."""


def make_board(name: str, force: bool = False, place: Place | None = None) -> Board:
    """Return the board that the option ``--board`` names; a real one only with ``force``.

    Parameters
    ----------
    place:
        The board's place in a bench file, where ``name`` is its label.

    Raises
    ------
    NotAtHand
        If the interpreter, the emulator or the image is missing.
    HushmeterError
        If there is no such board or port.
    """
    if is_port(name) or (place is not None and place.port):
        if not force:
            raise HushmeterError(
                "this is a real board: the suite deletes its files and provisions it with a fixed "
                "seed, which is insecure; say --force if that is right"
            )
        from hil.port_board import PortBoard

        return PortBoard(place.port if place is not None else name, place)
    facts = place.board if place is not None else boards.load_board(name)
    backend = UnixBoard if facts.chip == "host" else EmulatedBoard
    try:
        backend.require(facts)
    except HushmeterError as error:
        raise NotAtHand(error.message, error.hint) from error
    board = backend(facts)
    board.name = place.label if place is not None else board.name
    return board


def is_port(name: str) -> bool:
    """Whether ``--board`` names a serial port and not a board."""
    return "/" in name or ":" in name or name.upper().startswith("COM")


class UnixBoard:
    """The unix port: every run is a process."""

    how: How = "process"
    clock: Literal["simulated", "wall"] = "wall"
    port = ""
    image: Path | None = None
    wiring = Wiring()

    @staticmethod
    def require(facts: boards.Board) -> None:
        """Raise what is missing to run it."""
        find_micropython()
        compile_files({"empty.py": b""}, facts)

    def __init__(self, facts: boards.Board) -> None:
        self.name = facts.name
        self.facts = facts
        self.capabilities = frozenset[str](facts.capabilities)
        self.numbers: dict[str, Any] = {}
        self.deployed: Mapping[str, bytes] = firmware_for(facts)
        self._interpreter = find_micropython().path
        self._folder = tempfile.TemporaryDirectory(prefix="hushmeter-hil-")
        self._firmware = Path(self._folder.name, "firmware")
        write_folder(self._firmware, scripts_for(facts))
        self._count = 0
        self._meter: UnixMeter | None = None

    def identify(self) -> Interpreter:
        return asked(self)

    def execute(self, code: str, timeout_s: float = EXECUTE_TIMEOUT_S) -> str:
        command = [str(self._interpreter), "-X", f"heapsize={self.facts.heap.bytes}", "-c", code]
        done = subprocess.run(
            command,
            cwd=self._folder.name,
            env=micropython_environment([self._firmware]),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        if done.returncode:
            raise GuestError(done.stdout + done.stderr)
        return done.stdout

    def run_script(self, path: Path, timeout_s: float = SCRIPT_TIMEOUT_S) -> list[str]:
        return self.execute(f"import {path.stem}", timeout_s).splitlines()

    def boot(
        self, files: Mapping[str, bytes], *, entropy: Entropy = "os", main: bytes | None = None
    ) -> Transport:
        if isinstance(entropy, int):
            raise HushmeterError(f"{self.name} takes its entropy from the system, not from a seed")
        self._stop()
        self._count += 1
        storage = Path(self._folder.name, f"meter{self._count}")
        write_folder(storage, files)
        script = None
        if main is not None:
            script = storage.with_suffix(".py")
            script.write_bytes(main)
        self._meter = UnixMeter(
            storage, script=script, modules=(self._firmware,), interpreter=self._interpreter
        )
        self._meter.start()
        return self._meter

    def reset(self) -> Transport:
        meter = booted(self._meter)
        meter.kill()
        meter.start()
        return meter

    def files(self) -> dict[str, bytes]:
        return booted(self._meter).files()

    def drive(self, role: str, share: float) -> None:
        raise HushmeterError(f"{self.name} has no pin for {role}")

    def sense(self, role: str) -> float:
        raise HushmeterError(f"{self.name} has no pin for {role}")

    def tell(self, bus: str, data: bytes) -> None:
        raise HushmeterError(f"{self.name} has no {bus}")

    def hear(self, bus: str) -> bytes:
        raise HushmeterError(f"{self.name} has no {bus}")

    def clock_s(self) -> float:
        return time.monotonic()

    def close(self) -> None:
        self._stop()
        self._folder.cleanup()

    def _stop(self) -> None:
        if self._meter is not None:
            self._meter.kill()
            self._meter = None


class EmulatedBoard:
    """An emulated RP2040. One machine stays at its prompt for all scripts, to save its start."""

    how: How = "emulated"
    clock: Literal["simulated", "wall"] = "simulated"
    port = ""

    @staticmethod
    def require(facts: boards.Board) -> None:
        """Raise what is missing to run it."""
        EmulatedPico(facts)
        compile_files({"empty.py": b""}, facts)

    def __init__(self, facts: boards.Board) -> None:
        self.name = facts.name
        self.facts = facts
        self.capabilities = frozenset(facts.capabilities) | {"entropy", SEEDED_ENTROPY, DRIVEN_ADC}
        self.numbers: dict[str, Any] = {}
        self.deployed: Mapping[str, bytes] = firmware_for(facts)
        self.image = find_image(facts)
        self.wiring = emulated_wiring(facts)
        self._prompt = EmulatedPico(facts, files=scripts_for(facts))
        self._prompt.start()
        self._meter: EmulatedPico | None = None
        self._earlier_meters_s = 0.0

    def identify(self) -> Interpreter:
        return asked(self)

    def execute(self, code: str, timeout_s: float = EXECUTE_TIMEOUT_S) -> str:
        return self._prompt.execute(code, timeout_s).replace("\r\n", "\n")

    def run_script(self, path: Path, timeout_s: float = SCRIPT_TIMEOUT_S) -> list[str]:
        self._prompt.soft_reset()
        return self.execute(f"import {path.stem}", timeout_s).splitlines()

    def boot(
        self, files: Mapping[str, bytes], *, entropy: Entropy = "os", main: bytes | None = None
    ) -> Transport:
        on_flash = {**self.deployed, **files}
        if main is not None:
            on_flash["main.py"] = main
        if self._meter is not None:
            self._earlier_meters_s += self._meter.simulated_s
        self._meter = EmulatedPico(self.facts, entropy=entropy, files=on_flash)
        self._meter.start()
        return self._meter

    def reset(self) -> Transport:
        meter = booted(self._meter)
        meter.reset()
        return meter

    def files(self) -> dict[str, bytes]:
        found = booted(self._meter).files()
        return without_firmware(found, self.deployed)

    def drive(self, role: str, share: float) -> None:
        level = round(share * ADC_STEPS)
        for machine in (self._prompt, self._meter):
            if machine is not None:
                machine.drive_adc(self.facts.roles()[role], lambda now_s: level)

    def sense(self, role: str) -> float:
        raise HushmeterError(f"{self.name} is emulated: no wire leads from {role}")

    def tell(self, bus: str, data: bytes) -> None:
        raise HushmeterError(f"{self.name} is emulated: no wire leads to {bus}")

    def hear(self, bus: str) -> bytes:
        raise HushmeterError(f"{self.name} is emulated: no wire leads from {bus}")

    def clock_s(self) -> float:
        meter_s = self._meter.simulated_s if self._meter is not None else 0.0
        return self._prompt.simulated_s + self._earlier_meters_s + meter_s

    def close(self) -> None:
        self._prompt.close()
        if self._meter is not None:
            self._meter.close()


def asked(board: Board) -> Interpreter:
    """Return what an interpreter says of itself, asked at its prompt."""
    return Interpreter(*json.loads(board.execute(IDENTIFY)))


def firmware_for(facts: boards.Board) -> dict[str, bytes]:
    """Return the firmware as it goes onto a board, modules compiled."""
    return compile_files(
        {name: path.read_bytes() for name, path in firmware_files().items()}, facts
    )


def emulated_wiring(facts: boards.Board) -> Wiring:
    """Return the wires of a board's file that the emulator stands for: those to a converter."""
    converters = facts.header.adc if facts.header is not None else ()
    roles = facts.roles()
    wires = [
        WireInPlace(wire.role, roles[wire.role], None, "")
        for wire in facts.hil.wires
        if roles[wire.role] in converters
    ]
    return Wiring("the emulator", "", tuple(wires))


def without_firmware(files: Mapping[str, bytes], deployed: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the meter's own files: neither the firmware, nor the loader's note of its tries."""
    not_ours = {*deployed, USE_FILE}
    return {path: content for path, content in files.items() if path not in not_ours}


def scripts_for(facts: boards.Board) -> dict[str, bytes]:
    """Return what scripts need on a board that stays at its prompt."""
    firmware = firmware_for(facts)
    for name in STAY_SOURCE:
        firmware.pop(name, None)
    scripts = {path.name: path.read_bytes() for path in DEVICE_SCRIPTS.glob("*.py")}
    return firmware | compile_files(scripts, facts)


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write ``files`` into a folder, which is made if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    for path, content in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


M = TypeVar("M")


def booted(meter: M | None) -> M:
    """Return the meter that runs, or say that there is none."""
    if meter is None:
        raise HushmeterError("no meter runs: call boot() first")
    return meter
