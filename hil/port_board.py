"""The backend for a board on a serial port: its prompt for files and code, frames for the link.

The suite replaces the files on the board, and sends those only that differ from what is there.
Every script starts with a soft reset, so it finds a fresh interpreter.
"""

import hashlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from hil.backends import (
    EXECUTE_TIMEOUT_S,
    OPEN_UART,
    READ_UART,
    SCRIPT_TIMEOUT_S,
    firmware_for,
    scripts_for,
    without_firmware,
)
from hushmeter.devices import boards, ports
from hushmeter.devices.address import Address
from hushmeter.devices.bench import Place, Stimulus
from hushmeter.devices.boardfiles import BoardFiles
from hushmeter.devices.console import BoardError, Console
from hushmeter.devices.facts import Uart
from hushmeter.devices.hil_run import How, Interpreter, WireInPlace, Wiring
from hushmeter.emulate.pico import Entropy, GuestError
from hushmeter.errors import HushmeterError
from hushmeter.link import SerialTransport, Transport

_COME_BACK_S = 10.0
_PAUSE_S = 0.1
_SETTLE_S = 0.2
"""For the wires' low pass, 10 kOhm and 1 uF."""
_PWM_HZ = 20_000
_FULL = 65_535
_READS = 16
_HOST_CHIP = "host"


class PortBoard:
    """A board on a serial port. It is asked to reset itself: nobody cuts its power.

    Parameters
    ----------
    place:
        What a bench file says of it; without one, the board at the port says which it is.
    """

    clock: Literal["simulated", "wall"] = "wall"
    image: Path | None = None

    def __init__(self, port: str, place: Place | None = None) -> None:
        self.name = place.label if place is not None else port
        self.port = port
        # No figure of a program behind a pseudo-terminal may be called one of silicon.
        self.how: How = "emulated" if ports.is_pseudo_terminal(port) else "silicon"
        self.numbers: dict[str, Any] = {}
        # A process in a board's stead would end where a board restarts its interpreter.
        fresh = place is None or place.board.chip != _HOST_CHIP
        self._console = Console(port, fresh=fresh)
        self._link: SerialTransport | None = None
        self._ready_for_scripts = False
        self._console.open()
        said = self._console.identify()
        self._said = Interpreter("micropython", said.version, said.machine, said.mpy)
        self.facts = place.board if place is not None else boards.recognise(said.machine)
        self._console.require(self.facts)
        self.capabilities = frozenset[str](self.facts.capabilities)
        self.wiring = _wiring(place)
        self.deployed: Mapping[str, bytes] = firmware_for(self.facts)
        self._stimulus = _StimulusBoard(place.stimulus) if place and place.stimulus else None

    def identify(self) -> Interpreter:
        return self._said

    def execute(self, code: str, timeout_s: float = EXECUTE_TIMEOUT_S) -> str:
        self._prepare_scripts()
        try:
            return self._console.run(code, timeout_s)
        except BoardError as error:
            raise GuestError(error.message) from error

    def run_script(self, path: Path, timeout_s: float = SCRIPT_TIMEOUT_S) -> list[str]:
        self._prepare_scripts()
        self._console.close()
        self._console.open()
        return self.execute(f"import {path.stem}", timeout_s).splitlines()

    def boot(
        self, files: Mapping[str, bytes], *, entropy: Entropy = "os", main: bytes | None = None
    ) -> Transport:
        if isinstance(entropy, int):
            raise HushmeterError(f"{self.name} takes its entropy from its chip, not from a seed")
        on_flash = {**self.deployed, **files}
        if main is not None:
            on_flash["main.py"] = main
        self._replace_files(on_flash)
        return self.reset()

    def reset(self) -> Transport:
        self._to_prompt()
        self._console.reset()
        self._link = _open_when_back(self._console.address)
        return self._link

    def files(self) -> dict[str, bytes]:
        self._to_prompt()
        on_board = BoardFiles(self._console)
        found = {path: on_board.read(path) for path in on_board.listing() if path[-1] != "/"}
        there = {path: content for path, content in found.items() if content is not None}
        return without_firmware(there, self.deployed)

    def drive(self, role: str, share: float) -> None:
        stimulus, pin = self._far_end(role)
        stimulus.drive(pin, share)

    def sense(self, role: str) -> float:
        stimulus, pin = self._far_end(role)
        return stimulus.sense(pin)

    def tell(self, bus: str, data: bytes) -> None:
        stimulus, uart = self._far_uart(bus)
        stimulus.tell(uart, data)

    def hear(self, bus: str) -> bytes:
        stimulus, uart = self._far_uart(bus)
        return stimulus.hear(uart)

    def clock_s(self) -> float:
        return time.monotonic()

    def close(self) -> None:
        self._to_prompt()
        self._console.close()
        if self._stimulus is not None:
            self._stimulus.close()

    def _far_end(self, role: str) -> tuple["_StimulusBoard", int]:
        """The board at the other end of a role's wire, and its pin there."""
        if self._stimulus is None:
            raise HushmeterError(f"{self.name} has no stimulus board")
        (wire,) = [wire for wire in self.wiring.wires if wire.role == role]
        return self._stimulus, wire.peer or 0

    def _far_uart(self, bus: str) -> tuple["_StimulusBoard", Uart]:
        """The board at the other end of a UART's wires, and its UART on those pins."""
        stimulus, rx = self._far_end(f"{bus}.tx")
        _, tx = self._far_end(f"{bus}.rx")
        for uart in (stimulus.board.pins.uart, stimulus.board.hil.uart):
            if uart is not None and (uart.tx, uart.rx) == (tx, rx):
                return stimulus, uart
        raise HushmeterError(
            f"{bus} of {self.name} is wired to pins {rx} and {tx} of a {stimulus.board.name}, "
            "whose file has no UART there"
        )

    def _to_prompt(self) -> None:
        """Leave a running meter, so that the prompt answers."""
        if self._link is not None:
            self._link.close()
            self._link = None
            self._console.open()

    def _prepare_scripts(self) -> None:
        self._to_prompt()
        if not self._ready_for_scripts:
            self._replace_files(scripts_for(self.facts))
            self._ready_for_scripts = True

    def _replace_files(self, files: Mapping[str, bytes]) -> None:
        """Make these the only files on the board."""
        self._ready_for_scripts = False
        self._to_prompt()
        on_board = BoardFiles(self._console)
        sizes = on_board.listing()
        folders = {
            f"{path[:at]}/" for path in files for at, letter in enumerate(path) if letter == "/"
        }
        on_board.remove(sorted(set(sizes) - set(files) - folders, reverse=True))
        same_size = [path for path, data in files.items() if sizes.get(path) == len(data)]
        there = on_board.digests(same_size)
        for path, data in files.items():
            if there.get(path) != hashlib.sha256(data).hexdigest():
                on_board.write(path, data)


class _StimulusBoard:
    """The other end of the wires: a board at its prompt, whose pins are set from here."""

    def __init__(self, stimulus: Stimulus) -> None:
        self._console = Console(stimulus.port, fresh=stimulus.board.chip != _HOST_CHIP)
        self._console.open()
        self._console.require(stimulus.board)
        self.board = stimulus.board
        self._uart: Uart | None = None

    def drive(self, pin: int, share: float) -> None:
        """Pulses of this duty; the wire's low pass makes a level of them."""
        duty = round(share * _FULL)
        self._console.run(
            f"from machine import Pin, PWM\nPWM(Pin({pin}), freq={_PWM_HZ}, duty_u16={duty})"
        )
        time.sleep(_SETTLE_S)

    def sense(self, pin: int) -> float:
        """What a converter's pin has, as a share of the supply voltage."""
        time.sleep(_SETTLE_S)
        read = self._console.run(
            f"from machine import ADC, Pin\nconverter = ADC(Pin({pin}))\n"
            f"print(sum([converter.read_u16() for _ in range({_READS})]) // {_READS})"
        )
        return int(read) / _FULL

    def tell(self, uart: Uart, data: bytes) -> None:
        self._open(uart)
        self._console.run(f"uart.write({data!r})")
        time.sleep(_SETTLE_S)

    def hear(self, uart: Uart) -> bytes:
        self._open(uart)
        time.sleep(_SETTLE_S)
        return bytes.fromhex(self._console.run(READ_UART))

    def _open(self, uart: Uart) -> None:
        """One at a time; what came to it before is gone."""
        if uart != self._uart:
            self._console.run(OPEN_UART.format(id=uart.id, tx=uart.tx, rx=uart.rx))
            self._uart = uart

    def close(self) -> None:
        self._console.close()


def _wiring(place: Place | None) -> Wiring:
    if place is None or place.stimulus is None:
        return Wiring()
    roles = place.board.roles()
    wires = [WireInPlace(w.role, roles[w.role], w.peer, w.through) for w in place.wires]
    return Wiring("the bench file", place.stimulus.label, tuple(wires))


def _open_when_back(address: Address) -> SerialTransport:
    """Open a port that vanishes for a moment while its board restarts."""
    deadline = time.monotonic() + _COME_BACK_S
    while True:
        try:
            return ports.open_port(address.now())
        except HushmeterError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_S)
