"""What carries bytes between the host and a meter: a port, a process, an emulated board.

A transport knows nothing of frames. Everything that can be read from in a group of many gives a
file descriptor; an emulated board, which only runs while it is being read, gives none.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import serial

from hushmeter.errors import HushmeterError

_WRITE_TIMEOUT_S = 10.0


@runtime_checkable
class Transport(Protocol):
    """Bytes to and from one meter."""

    name: str

    def write(self, data: bytes) -> None:
        """Send all of data."""

    def read(self, timeout_s: float) -> bytes:
        """What has arrived; b"" when nothing came within the time."""

    def fileno(self) -> int | None:
        """A descriptor to wait on together with others, or None."""

    def close(self) -> None:
        """Give the meter's end back."""


class SerialTransport:
    """A serial port or a pseudo-terminal, through pyserial.

    Parameters
    ----------
    port:
        A device path such as ``/dev/ttyACM0`` or a pyserial URL.
    baud:
        Ignored by USB consoles, obeyed by UARTs.

    Raises
    ------
    HushmeterError
        The port is not there, in use, or not a terminal.
    """

    def __init__(self, port: str, baud: int = 115200) -> None:
        self.name = port
        try:
            self._serial = serial.serial_for_url(
                port, baud, timeout=0, write_timeout=_WRITE_TIMEOUT_S, exclusive=True
            )
        except (serial.SerialException, ValueError, OSError) as error:
            raise HushmeterError(
                f"port {port} cannot be opened: {error}",
                hint="plug the board in, close other programs that use the port, "
                "and list the ports with: python -m serial.tools.list_ports",
            ) from error

    def write(self, data: bytes) -> None:
        try:
            self._serial.write(data)
        except (serial.SerialException, OSError) as error:
            raise self._gone(error) from error

    def read(self, timeout_s: float) -> bytes:
        try:
            self._serial.timeout = timeout_s
            first: bytes = self._serial.read(1)
            if not first:
                return b""
            return first + bytes(self._serial.read(self._serial.in_waiting))
        except (serial.SerialException, OSError) as error:
            raise self._gone(error) from error

    def fileno(self) -> int | None:
        try:
            return int(self._serial.fileno())
        except (AttributeError, OSError, serial.SerialException):
            return None  # Closed, or a URL without a descriptor.

    def close(self) -> None:
        self._serial.close()

    def _gone(self, error: Exception) -> HushmeterError:
        return HushmeterError(
            f"port {self.name} went away: {error}", hint="plug the board in again and retry"
        )
