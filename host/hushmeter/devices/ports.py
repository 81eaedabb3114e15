"""Serial ports for every command with ``--port``: which there are, which is meant, and opening it.

A port is chosen by name or as ``auto``, which is right only when exactly one port has the USB
numbers of a board. Two boards may share these numbers, so a fitting port is not yet the right
board: that is asked of the board itself.

    device = choose_port("auto", load_board("pico"))
    transport = open_port(device)          # of the framed link, held exclusively
    check_free(device)                     # before another program (mpremote, esptool) opens it
"""

import contextlib
import errno
import getpass
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from serial.tools import list_ports

from hushmeter.devices.boards import Board, board_names, load_board
from hushmeter.errors import HushmeterError
from hushmeter.link import SerialTransport

AUTO = "auto"
BAUD = 115200

_BUSY = {errno.EAGAIN, errno.EWOULDBLOCK, errno.EBUSY}
_ABSENT = {errno.ENOENT, errno.ENXIO, errno.ENODEV}
_DENIED = {errno.EACCES, errno.EPERM}


class PortError(HushmeterError):
    """The port that was named cannot be used, or none was found."""


@dataclass(frozen=True)
class Port:
    """One serial port of this machine.

    Attributes
    ----------
    device:
        Its path, as ``--port`` takes it.
    usb_id:
        Vendor and product as in the board files (``2e8a:0005``); empty if it is no USB port.
    serial_number:
        The device's own, which tells two boards of one kind apart; may be empty.
    """

    device: str
    description: str
    usb_id: str = ""
    serial_number: str = ""

    def __str__(self) -> str:
        detail = " ".join(part for part in (self.description, self.usb_id) if part)
        return f"{self.device} ({detail})" if detail else self.device


def list_all() -> list[Port]:
    """Every serial port that the system lists, by name; pseudo-terminals are not among them."""
    found = []
    for info in list_ports.comports():
        known = info.vid is not None and info.pid is not None
        usb_id = f"{info.vid:04x}:{info.pid:04x}" if known else ""
        description = "" if info.description in (None, "n/a") else info.description
        found.append(Port(info.device, description, usb_id, info.serial_number or ""))
    return sorted(found, key=lambda port: port.device)


def fits(port: Port, board: Board | None = None) -> bool:
    """Whether the port's USB numbers are those of the board, or of any board if none is named."""
    boards = [board] if board is not None else [load_board(name) for name in board_names()]
    return any(port.usb_id in each.console.usb_ids for each in boards)


def choose_port(name: str, board: Board | None = None) -> str:
    """The port that ``--port`` means.

    Parameters
    ----------
    name:
        A path or pyserial URL, which is returned as it is, or ``auto``.
    board:
        Narrows what ``auto`` may choose to ports with this board's USB numbers.

    Raises
    ------
    PortError
        ``auto`` fits no port, or more than one.
    """
    if name != AUTO:
        return name
    ports = list_all()
    fitting = [port for port in ports if fits(port, board)]
    wanted = f"board {board.name}" if board is not None else "a known board"
    if not fitting:
        raise PortError(
            f"no port has the USB numbers of {wanted}",
            hint=f"plug the board in, or name its port; ports here: {_listed(ports)}",
        )
    if len(fitting) > 1:
        raise PortError(
            f"{len(fitting)} ports could be {wanted}",
            hint=f"name one of them with --port: {_listed(fitting)}",
        )
    return fitting[0].device


def open_port(name: str, board: Board | None = None, baud: int = BAUD) -> SerialTransport:
    """Open a port (or ``auto``) for the framed link; no second program gets it meanwhile.

    Raises
    ------
    PortError
        The port is absent, in use, forbidden, or no serial port; the hint is the next step.
    """
    device = choose_port(name, board)
    with translated(device):
        return SerialTransport(device, baud)


def is_pseudo_terminal(device: str) -> bool:
    """Whether a program of this machine is behind the port, such as an emulated board."""
    return os.path.realpath(device).startswith("/dev/pts/")


def check_free(name: str, board: Board | None = None) -> str:
    """Open a port (or ``auto``) and close it again, so that another program can; return its path.

    Raises
    ------
    PortError
        As :func:`open_port`.
    """
    transport = open_port(name, board)
    transport.close()
    return transport.name


@contextlib.contextmanager
def translated(device: str) -> Iterator[None]:
    """Turn what opening a port raises into a :class:`PortError` with the right next step."""
    try:
        yield
    except PortError:
        raise
    except (HushmeterError, OSError) as error:
        cause = error.__cause__ if isinstance(error, HushmeterError) else error
        message, hint = _explain(device, cause if cause is not None else error)
        raise PortError(message, hint) from error


def _explain(device: str, error: BaseException) -> tuple[str, str]:
    number = getattr(error, "errno", None)
    if number in _ABSENT:
        return (
            f"port {device} is not there",
            f"plug the board in, or name another port; ports here: {_listed(list_all())}",
        )
    if number in _DENIED:
        return f"port {device} may not be opened by {_user()}", _permission_hint(device)
    if number in _BUSY:
        holders = ", ".join(_holders(device)) or "another program"
        return f"port {device} is in use by {holders}", "end that program, then try again"
    if os.path.exists(device) and not _is_character_device(device):
        return (
            f"{device} is not a serial port",
            f"name a serial port; ports here: {_listed(list_all())}",
        )
    return (
        f"port {device} cannot be opened: {error}",
        f"name a serial port; ports here: {_listed(list_all())}",
    )


def _listed(ports: list[Port]) -> str:
    return ", ".join(map(str, ports)) or "none"


def _is_character_device(device: str) -> bool:
    try:
        return Path(device).is_char_device()
    except OSError:
        return False


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "this user"


def _permission_hint(device: str) -> str:
    """The group that owns the port is the one to join; who is in it can open the port."""
    try:
        group = Path(device).group()
    except (KeyError, OSError, NotImplementedError):
        return "ask who administers this machine for access to the port"
    return (
        f"the port belongs to the group {group}: "
        f"sudo usermod -aG {group} {_user()}, then log out and in again"
    )


def _holders(device: str) -> list[str]:
    """Programs of this user that hold the port open, as far as Linux's /proc tells."""
    target = os.path.realpath(device)
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            files = [os.path.realpath(link) for link in (process / "fd").iterdir()]
            if target in files and int(process.name) != os.getpid():
                name = (process / "comm").read_text(encoding="utf-8", errors="replace").strip()
                found.append(f"{name} (process {process.name})")
    return sorted(found)
