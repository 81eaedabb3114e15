"""Emulated meters of a street, each on the board that the settings name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from hushmeter.assets import firmware_files
from hushmeter.devices.boards import load_board
from hushmeter.emulate.bytecode import compile_files
from hushmeter.emulate.pico import EmulatedPico
from hushmeter.emulate.settings import StreetSettings
from hushmeter.emulate.unix import UnixMeter
from hushmeter.link import Transport

_HOST_CHIP = "host"


class EmulatedMeter(Transport, Protocol):
    """A board that is not there: a transport that can be switched on and off."""

    def start(self) -> None:
        """Switch on; the storage is as it was."""

    def kill(self) -> None:
        """Cut the power."""

    def files(self) -> dict[str, bytes]:
        """The storage's files."""


MakeMeter = Callable[[int, Mapping[str, bytes]], EmulatedMeter]
"""From the meter's index and the files that it was provisioned with."""


def unix_meters(folder: Path) -> MakeMeter:
    """Meters as processes of the unix port, each with a storage folder below this one."""

    def make(index: int, files: Mapping[str, bytes]) -> EmulatedMeter:
        storage = folder / f"meter-{index + 1:04d}"
        storage.mkdir(parents=True)
        for name, data in files.items():
            (storage / name).write_bytes(data)
        return UnixMeter(storage)

    return make


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
