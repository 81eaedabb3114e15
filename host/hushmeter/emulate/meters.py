"""Emulated meters of a street on the boards that its settings name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hushmeter.assets import firmware_files
from hushmeter.devices.boards import load_board
from hushmeter.emulate.bytecode import compile_files
from hushmeter.emulate.pico import EmulatedPico
from hushmeter.emulate.street import EmulatedMeter, MakeMeter, StreetSettings, unix_meters

_HOST_CHIP = "host"


def street_meters(settings: StreetSettings, folder: Path) -> MakeMeter:
    """Meters as processes with storage below ``folder``, or on emulated boards with a flash.

    Raises
    ------
    HushmeterError
        When a meter is made: its board is unknown, or its image or compiler is not at hand.
    """
    on_unix = unix_meters(folder)

    def make(index: int, files: Mapping[str, bytes]) -> EmulatedMeter:
        board = load_board(settings.board(index))
        if board.chip == _HOST_CHIP:
            return on_unix(index, files)
        firmware = {name: path.read_bytes() for name, path in firmware_files().items()}
        return EmulatedPico(
            board,
            files={**compile_files(firmware, board), **files},
            name=f"{board.name}:meter-{index + 1:04d}",
        )

    return make
