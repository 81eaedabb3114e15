"""A board on a serial port as one meter of an emulated street.

    guest = PortMeter("/dev/ttyACM0")
    seat = guest.look(invitation)      # which board it is, whose meter it is, whether it may come
    guest.provision(files)             # only where it is to be this street's meter alone
    guest.start()                      # from here on it is a transport like any other

It is looked at from its prompt, which stays open until it is started, so that it restarts once. Its
port may go away at any time: whoever reads or writes then gets an error, and may start it again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hushfw.core import config as device_config
from hushmeter.devices import ports
from hushmeter.devices.boardfiles import BoardFiles
from hushmeter.devices.boards import Board, load_board, recognise
from hushmeter.devices.console import Console, WrongBoard
from hushmeter.devices.meter_plan import CONFIG_FILE, IDENTITY_FILE, Whose, checked
from hushmeter.devices.meterlink import PATIENCE_S, await_health
from hushmeter.devices.provision_board import HasIdentity, check_deployed, own_files
from hushmeter.errors import HushmeterError
from hushmeter.link import SerialTransport

_PAUSE_SHARE = 10
_HOME_LOGS = ("home.bin.old", "home.bin")


@dataclass(frozen=True)
class Invitation:
    """What a street asks of a board that is to be its meter.

    Attributes
    ----------
    emulated_street:
        Name of streets that exist for one run: a key made for one of them is worth nothing after.
    provision:
        Configure the board for this run, unless it belongs to this street already.
    replace_identity:
        Do so also where that gives up a key of another street.
    """

    street: str
    authority_key: bytes
    meters: int
    emulated_street: str
    provision: bool = False
    replace_identity: bool = False


@dataclass(frozen=True)
class Seat:
    """A board's place in the street.

    Attributes
    ----------
    meter_id:
        The one in its own configuration, or None where the street is to give it one.
    config:
        Its configuration where it keeps that.
    """

    port: str
    board: str
    meter_id: int | None
    config: Mapping[str, Any] | None

    @property
    def is_own(self) -> bool:
        """Whether the board comes with its own key and configuration."""
        return self.config is not None

    def described(self) -> str:
        """In words, for who waits."""
        if self.is_own:
            return f"a {self.board}, meter {self.meter_id} of this street, with its own key"
        return f"a {self.board}; it is configured for this run and gets a key for it"


class PortMeter:
    """One board; ``text`` is a port, ``auto``, or ``BOARD=PORT`` where it cannot name itself."""

    def __init__(self, text: str, patience_s: float = PATIENCE_S) -> None:
        self._board = _named_board(text)
        port = text.partition("=")[2] if self._board is not None else text
        fresh = self._board is None or not self._board.is_process
        device = ports.choose_port(port, self._board)
        self._console = Console(device, patience_s=patience_s, fresh=fresh)
        self._at_prompt = False
        self._give_up: list[str] = []
        self._transport: SerialTransport | None = None
        self._next_look_s = 0.0
        self.name = device

    @property
    def slowness(self) -> float:
        """Seconds that pass here in one of the board's; at least 1."""
        return self._console.slowness

    def look(self, invitation: Invitation) -> Seat:
        """Take the board to its prompt and see whether it may come as it is.

        Raises
        ------
        HushmeterError
            It may not; nothing on it was changed, and the hint is the next step.
        """
        self._console.open()
        self._at_prompt = True
        storage = BoardFiles(self._console)
        sizes = storage.listing()
        check_deployed(self._console, sizes)
        data = storage.read(CONFIG_FILE) if CONFIG_FILE in sizes else None
        board = self._which(data)
        whose = Whose.said_by(data)
        if data is not None and whose is not None and _belongs(whose, invitation):
            config = self._checked(data)
            self._check_board(whose, board)
            self._check_own(config, invitation)
            return Seat(self.name, board.name, whose.meter_id, config)
        self._check_consent(whose, IDENTITY_FILE in sizes, invitation)
        self._give_up = own_files(sizes)
        return Seat(self.name, board.name, None, None)

    def provision(self, files: Mapping[str, bytes]) -> None:
        """Give up what the board was, and write what this street made for it; the prompt is open.

        The configuration goes last: a cut before that leaves a board that is nobody's meter.
        """
        storage = BoardFiles(self._console)
        storage.remove(self._give_up)
        for name in sorted(files, key=lambda name: name == CONFIG_FILE):
            storage.replace(name, files[name])

    def start(self) -> None:
        """Leave the prompt, if it is open, and open the port for the link."""
        if self._at_prompt:
            self._at_prompt = False
            self._console.reset()
            health = await_health(
                self._console.address, self._console.patience_s * self._console.slowness
            )
            if health.problem:
                raise HushmeterError(
                    f"the meter at {self.name} does not work: {health.problem}",
                    hint=f"hushmeter doctor --port {self.name}",
                )
        if self._transport is None:
            self._transport = ports.open_port(self._console.address.now())

    def is_back(self) -> bool:
        """Whether the port of a meter that went away is there again; it is then open.

        A port that is not there says so at once, and is looked for every time: else how long this
        machine took to say so would decide in which slot a board is back.
        """
        if time.monotonic() < self._next_look_s:
            return False
        try:
            self.start()
        except HushmeterError:
            return False
        return True

    def put_off(self, took_s: float) -> None:
        """Do not look for the board for a while: its port is there, and silent for so long."""
        self._next_look_s = time.monotonic() + took_s * _PAUSE_SHARE

    def kill(self) -> None:
        """Close the port; the board goes on, for nobody here can cut its power."""
        if self._at_prompt:
            self._at_prompt = False
            self._console.reset()
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()

    def close(self) -> None:
        """As :meth:`kill`, which is the name that every meter of a street has for it."""
        self.kill()

    def files(self) -> dict[str, bytes]:
        """The home's own log, read at the prompt; the meter restarts after that.

        Raises
        ------
        HushmeterError
            The board is not there.
        """
        self.kill()
        self._console.open()
        try:
            storage = BoardFiles(self._console)
            sizes = storage.listing()
            return {n: storage.read_long(n, sizes[n]) for n in _HOME_LOGS if n in sizes}
        finally:
            self._console.reset()

    def write(self, data: bytes) -> None:
        self._open().write(data)

    def read(self, timeout_s: float) -> bytes:
        return self._open().read(timeout_s)

    def fileno(self) -> int | None:
        return self._transport.fileno() if self._transport is not None else None

    def _open(self) -> SerialTransport:
        if self._transport is None:
            raise HushmeterError(f"the board at {self.name} is not connected")
        return self._transport

    def _which(self, config: bytes | None) -> Board:
        """The board that was named, or else the one that the interpreter says it is."""
        if self._board is not None:
            self._console.require(self._board)
            return self._board
        try:
            return recognise(self._console.identify().machine)
        except WrongBoard:
            raise
        except HushmeterError as error:
            raise HushmeterError(
                f"{error.message}", hint=f"name the board: --port BOARD={self.name}"
            ) from error

    def _checked(self, data: bytes) -> dict[str, Any]:
        """The configuration of a meter of this street."""
        try:
            return checked(data)
        except HushmeterError as error:
            raise HushmeterError(
                f"the configuration of the board at {self.name} is wrong: {error.message}",
                hint="provision it again; its key stays",
            ) from error

    def _check_board(self, whose: Whose, board: Board) -> None:
        """Refuse a board that was given another one's files, and with them its key."""
        if whose.board != board.name:
            raise HushmeterError(
                f"the board at {self.name} is a {board.name}, and its configuration is for a "
                f"{whose.board}",
                hint=f"hushmeter doctor --board {board.name} --port {self.name}",
            )

    def _check_own(self, config: Mapping[str, Any], invitation: Invitation) -> None:
        """What is wrong with a meter of this street that cannot be mended by its roster."""
        if device_config.live(config) or config["driver"]["source"] != "link":
            how = "reads its load from a file"
            if device_config.live(config):
                how = f"measures with the driver {config['driver']['name']}"
            raise HushmeterError(
                f"the board at {self.name} {how}; an emulated street gives its meters the load",
                hint="provision it with --driver replay for this",
            )
        if not 1 <= config["meter_id"] <= invitation.meters:
            raise HushmeterError(
                f"the board at {self.name} is meter {config['meter_id']}; this street has meters "
                f"1 to {invitation.meters}",
                hint=f"ask for {config['meter_id']} --meters or more, or provision it with another "
                "--meter-id",
            )

    def _check_consent(self, whose: Whose | None, has_key: bool, invitation: Invitation) -> None:
        """Refuse to configure a board for this run where nobody has said that it may be."""
        street = "" if whose is None else whose.street
        worthless = not has_key or street == invitation.emulated_street
        if invitation.provision and (worthless or invitation.replace_identity):
            return
        if whose is None:
            what = "has a key, but no configuration" if has_key else "is nobody's meter yet"
        else:
            what = f"is meter {whose.meter_id} of street {street!r}"
            if street == invitation.street:
                what += " under another authority"
        if worthless:
            raise HushmeterError(
                f"the board at {self.name} {what}",
                hint="let this street configure it: --provision",
            )
        raise HasIdentity(
            f"the board at {self.name} {what}",
            hint="run its own street with --street NAME --authority FILE; or give up its key, "
            "journal and rosters: --provision --replace-identity",
        )


def _named_board(text: str) -> Board | None:
    """The board before an equals sign; None where that is a part of the port's own name."""
    name, equals, _ = text.partition("=")
    if not equals or "/" in name:
        return None
    return load_board(name)


def _belongs(whose: Whose, invitation: Invitation) -> bool:
    key = invitation.authority_key.hex()
    return whose.street == invitation.street and whose.authority_key == key
