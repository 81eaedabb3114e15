"""A second board as a stimulus generator: the same package puts the program and the trace on it.

    board = load_board("pico")
    wired = Wired.of(board, board, "level", {"zero": 0, "num": 4095, "den": 65535})
    play_on_port("/dev/ttyACM1", board, wired, trace, seconds=60)

The file of the board under test says to which of the generator's pins its wires lead. The program
is :mod:`hushfw.stimulus`, run at the generator's prompt, so nothing of it stays but its files.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hushfw import stimulus as device
from hushmeter.assets import hushfw_dir
from hushmeter.devices.boardfiles import BoardFiles
from hushmeter.devices.boards import Board
from hushmeter.devices.bytecode import compile_files
from hushmeter.devices.console import Console
from hushmeter.emulate.stimulus import Trace
from hushmeter.errors import HushmeterError

ROWS_FILE = "stimulus.bin"
_MODULES = ("__init__.py", "stimulus.py", "core/__init__.py", "core/crc16.py", "core/modbus.py")
_MOST_MS = (1 << 30) // 2
"""Ticks on a board wrap; the program takes differences up to half of that."""
_PATIENCE_S = 30.0

NEEDED: Mapping[str, Mapping[str, int]] = {
    "level": {"zero": 0, "num": 4095, "den": 65535},
    "clamp": {"hz": 50, "mains_v": 230, "most_a": 141, "most_v": 400},
    "pulse": {"per_kwh": 1000},
    "pzem": {"address": 1, "mains_v": 230},
    "p1": {},
}
"""What each generator takes besides its pins, with what it is where nobody says."""


@dataclass(frozen=True)
class Wired:
    """A generator's settings: what it plays into, its own pins, and numbers."""

    settings: Mapping[str, Any]

    @property
    def into(self) -> str:
        return str(self.settings["into"])

    @classmethod
    def of(cls, under_test: Board, generator: Board, into: str, given: Mapping[str, int]) -> Wired:
        """The settings for the wires of a board under test.

        Raises
        ------
        HushmeterError
            There is no such generator, no such setting, or no such wire.
        """
        if into not in NEEDED:
            raise HushmeterError(f"no stimulus goes into {into!r}; there are {', '.join(NEEDED)}")
        unknown = set(given) - set(NEEDED[into])
        if unknown:
            raise HushmeterError(
                f"the stimulus {into} has no setting {min(unknown)!r}; it has "
                f"{', '.join(NEEDED[into]) or 'none'}"
            )
        pins = _pins(under_test, generator, into)
        return cls({"into": into, **NEEDED[into], **given, **pins})


def _pins(under_test: Board, generator: Board, into: str) -> dict[str, int]:
    if into in ("level", "pulse"):
        return {"pin": _far_pin(under_test, into)}
    if into == "clamp":
        return {part: _far_pin(under_test, f"clamp.{part}") for part in ("current", "voltage")}
    rx, tx = _far_pin(under_test, "uart.tx"), _far_pin(under_test, "uart.rx")
    for uart in (generator.pins.uart, generator.hil.uart):
        if uart is not None and (uart.tx, uart.rx) == (tx, rx):
            return {"uart": uart.id, "tx": tx, "rx": rx}
    raise HushmeterError(
        f"the UART of {under_test.name} is wired to pins {rx} and {tx}; the file of "
        f"{generator.name} has no UART there"
    )


def _far_pin(under_test: Board, role: str) -> int:
    for wire in under_test.hil.wires:
        if wire.role == role and wire.peer is not None:
            return int(wire.peer)
    raise HushmeterError(f"the file of {under_test.name} names no wire for {role}")


def rows_file(trace: Trace) -> bytes:
    """The trace as the device reads it; times in whole ms, whole watts, power factor in permille.

    Raises
    ------
    HushmeterError
        A time is beyond what the device's ticks can count.
    """
    if trace.times_s[-1] * 1000 > _MOST_MS:
        raise HushmeterError(
            f"the trace lasts {trace.times_s[-1]:.0f} s; a board plays up to {_MOST_MS // 1000} s"
        )
    rows = zip(trace.times_s, trace.steps_w, trace.power_factors, strict=True)
    return device.MAGIC + b"".join(
        struct.pack(device.ROW, round(time_s * 1000), round(watts), round(factor * 1000))
        for time_s, watts, factor in rows
    )


def board_files(generator: Board, trace: Trace) -> dict[str, bytes]:
    """What the generator needs on its filesystem, by path."""
    sources = {f"hushfw/{name}": (hushfw_dir() / name).read_bytes() for name in _MODULES}
    compiled = compile_files(sources, generator)
    return {f"lib/{name}": data for name, data in compiled.items()} | {ROWS_FILE: rows_file(trace)}


def program(wired: Wired, seconds: float) -> str:
    """The code that plays at the generator's prompt."""
    return (
        "import sys\n"
        'sys.path.insert(0, "/lib")\n'
        "from hushfw.stimulus import play\n"
        f"play({dict(wired.settings)!r}, {'/' + ROWS_FILE!r}, {round(seconds * 1000)})\n"
    )


def play_on_port(
    port: str,
    generator: Board,
    wired: Wired,
    trace: Trace,
    seconds: float,
    echo: Callable[[str], None] = lambda text: None,
) -> None:
    """Put program and trace on the board at a port and play for so long.

    Raises
    ------
    HushmeterError
        Another board is at the port, or it was lost.
    """
    with Console(port) as console:
        console.require(generator)
        files = BoardFiles(console)
        for path, data in board_files(generator, trace).items():
            files.write(path, data)
        echo(f"playing into {wired.into} for {seconds:g} s")
        console.run(program(wired, seconds), seconds + _PATIENCE_S)
