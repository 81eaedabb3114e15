"""Meters of an emulated street, each on the board that the settings name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hushmeter.devices.boards import load_board
from hushmeter.devices.firmware import flash_files
from hushmeter.emulate.pico import EmulatedPico
from hushmeter.emulate.port_meter import PortMeter
from hushmeter.emulate.settings import StreetSettings
from hushmeter.emulate.unix import UnixMeter
from hushmeter.link import Link, Transport


class EmulatedMeter(Transport, Protocol):
    """A board that is not there: a transport that can be switched on and off."""

    def start(self) -> None:
        """Switch on; the storage is as it was."""

    def kill(self) -> None:
        """Cut the power."""

    def files(self) -> dict[str, bytes]:
        """The storage's files."""


@dataclass
class StreetMeter:
    """A meter with its link, which there is while it is switched on and answers."""

    meter_id: int
    index: int
    emulated: EmulatedMeter
    link: Link | None = None
    bytes_sent: int = 0
    bytes_received: int = 0

    @property
    def board(self) -> PortMeter | None:
        """The board on a port that this meter is; None for one whose power is in our hands."""
        return self.emulated if isinstance(self.emulated, PortMeter) else None

    def start(self) -> Link:
        """Switch it on, or open its port."""
        self.emulated.start()
        self.link = Link(self.emulated)
        if self.board is not None:
            self.link.slowness = self.board.slowness
        return self.link

    def kill(self) -> None:
        """Cut its power, or close its port."""
        if self.link is not None:
            self.bytes_sent += self.link.bytes_sent
            self.bytes_received += self.link.bytes_received
        self.link = None
        self.emulated.kill()


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


def street_meters(
    settings: StreetSettings, folder: Path, boards: Mapping[str, PortMeter] | None = None
) -> MakeMeter:
    """Meters as processes with storage below ``folder``, or on boards, emulated or on a port.

    Parameters
    ----------
    boards:
        Those on ports, by port; they are at their prompts.

    Raises
    ------
    HushmeterError
        When a meter is made: its board is unknown, or its image or compiler is not at hand.
    """
    on_unix = unix_meters(folder)

    def make(index: int, files: Mapping[str, bytes]) -> EmulatedMeter:
        seat = settings.ports.get(index)
        if seat is not None:
            guest = (boards or {})[seat.port]
            if not seat.is_own:
                guest.provision(files)
            return guest
        board = load_board(settings.board(index))
        if board.is_process:
            return on_unix(index, files)
        return EmulatedPico(
            board,
            files={**flash_files(board), **files},
            name=f"{board.name}:meter-{index + 1:04d}",
        )

    return make
