"""MicroPython's raw prompt at one port, through mpremote, with bounds that mpremote does not have.

Whatever mpremote and the port raise becomes one of two errors: the prompt was lost (it may come
back when it is tried again), or the code itself raised on the board. What a board says for one
question is bounded in bytes and in time, also where it never stops talking: mpremote looks at its
time-outs in silence only.
"""

import contextlib
import io
import secrets
import struct
import time
from collections.abc import Iterator
from typing import Any

import serial
from mpremote.transport import TransportError, TransportExecError
from mpremote.transport_serial import SerialTransport as MpremoteTransport

from hushmeter.devices import ports
from hushmeter.errors import HushmeterError
from hushmeter.printable import printable

_QUIET_S = 0.15
_ENTER_S = 5.0
_READ_S = 5.0
_MOST_ENTER_S = 60.0
_MOST_BYTES = 1 << 20
# A time-out is one of silence; a program that says a little again and again has this much longer.
_MOST_TIMEOUTS = 10
_MOST_WORDS = 300


class PromptError(HushmeterError):
    """The prompt was not reached or was lost; it may come when it is tried again."""


class BoardError(HushmeterError):
    """Code raised on the board; the message ends with the last line of its traceback."""


LOST = (
    TransportError,
    serial.SerialException,
    OSError,
    struct.error,
    ValueError,
    IndexError,
)
"""What mpremote and the port raise where a prompt is lost."""


class RawRepl:
    """The raw prompt of a port, taken by interrupting what runs there.

    Parameters
    ----------
    device:
        Path or URL of the port.
    restart:
        Restart the interpreter, without ``main.py``, so that all of its memory is free.

    Raises
    ------
    PromptError
        There is no prompt.
    """

    def __init__(self, device: str, *, restart: bool) -> None:
        self._device = device
        with _one_error(device):
            self._transport: Any = MpremoteTransport(device, ports.BAUD)
            # mpremote waits without end by default, and a board may have gone away.
            port = self._transport.serial
            port.timeout = port.write_timeout = _READ_S
            self._port = self._transport.serial = _Bounded(port)
            try:
                self._port.allow(_MOST_ENTER_S)
                self._transport.enter_raw_repl(soft_reset=restart, timeout_overall=_ENTER_S)
                self._fall_in_step()
            except BaseException:
                self.close()
                raise

    def run(self, code: str, timeout_s: float) -> str:
        """Run code once and return what it printed, lines ended by ``\\n``.

        Parameters
        ----------
        timeout_s:
            How long it may say nothing.

        Raises
        ------
        BoardError
            The code raised.
        PromptError
            The prompt was lost; nobody knows how far the code came.
        """
        self._port.allow(_MOST_TIMEOUTS * timeout_s)
        with _one_error(self._device):
            output, error = self._transport.exec_raw(code, timeout=timeout_s)
        if error:
            raise BoardError(_last_line(self._device, error))
        return bytes(output).decode(errors="replace").replace("\r\n", "\n")

    def run_last(self, code: str) -> None:
        """Run code that ends the prompt, such as a reset, and close the port."""
        self._port.allow(_MOST_ENTER_S)
        with contextlib.suppress(*LOST), contextlib.redirect_stdout(io.StringIO()):
            self._transport.exec_raw_no_follow(code)
        self.close()

    def leave(self) -> None:
        """Give the prompt back as it was before, and the port."""
        self._port.allow(_MOST_ENTER_S)
        with contextlib.suppress(*LOST):
            self._transport.exit_raw_repl()
        self.close()

    def close(self) -> None:
        """Give the port back."""
        with contextlib.suppress(*LOST):
            self._transport.close()

    def _fall_in_step(self) -> None:
        """Make sure that the next answer is to the next question.

        What was typed before, or a program's last words, may have left a prompt in the line too
        many.
        """
        self._port.timeout = _QUIET_S
        while self._port.read(256):
            pass
        self._port.timeout = _READ_S
        self._port.write(b"\x01")
        word = secrets.token_hex(4)
        if self._transport.exec(f"print('{word}')").strip() != word.encode():
            raise TransportError("the prompt is out of step")


class _Bounded:
    """A port of which no more is read than a question may cost; all else is the port's own."""

    def __init__(self, port: serial.Serial) -> None:
        self.__dict__["_own"] = {"port": port, "until_s": 0.0, "bytes": 0}

    def allow(self, seconds: float) -> None:
        """A question begins, which may take this long."""
        self._own.update(until_s=time.monotonic() + seconds, bytes=_MOST_BYTES)

    def read(self, size: int = 1) -> bytes:
        self._check()
        data = bytes(self._own["port"].read(size))
        self._own["bytes"] -= len(data)
        return data

    def inWaiting(self) -> int:  # noqa: N802 - pyserial's name, which mpremote uses
        self._check()
        return int(self._own["port"].in_waiting)

    def _check(self) -> None:
        if self._own["bytes"] <= 0 or time.monotonic() > self._own["until_s"]:
            raise TransportError("it does not stop talking")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own["port"], name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._own["port"], name, value)


@contextlib.contextmanager
def _one_error(device: str) -> Iterator[None]:
    """Turn what mpremote and the port raise into a :class:`PromptError`; mpremote also prints."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    except TransportExecError as error:
        raise BoardError(_last_line(device, error.error_output.encode())) from error
    except LOST as error:
        said = printable(str(error))[:_MOST_WORDS]
        raise PromptError(
            f"the prompt of {device} was lost: {said}",
            hint="check the cable, press the board's reset button, and try again",
        ) from error


def _last_line(device: str, traceback: bytes) -> str:
    lines = traceback.decode(errors="replace").strip().splitlines() or ["no message"]
    said = printable(lines[-1])[:_MOST_WORDS]
    return f"the board at {device} could not do it: {said}"
