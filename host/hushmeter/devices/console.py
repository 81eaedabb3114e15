"""The interpreter's prompt of a board, through mpremote, with its known moods tried again.

A running meter is asked for its prompt first (the maintenance message). A meter with a watchdog
resets to give it, and every hard reset makes a USB port vanish and come back, perhaps under
another name: it is found again by its serial number. A prompt that does not come, a port that goes
away and an answer that is cut short are tried again, for as long as ``patience_s``; what stays
wrong ends as one error that says what to do.

How long a restart may take is counted in the board's own seconds: before a reset the board is asked
to let a moment pass by its clock, which shows how much longer that is here. An emulated board, or
one on a loaded machine, so gets the time that it needs, and a real one no more than before.

    with Console("/dev/ttyACM0") as console:
        console.require(load_board("pico"))
        console.value("answer = os.listdir()", "os")
"""

import contextlib
import io
import json
import secrets
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeVar

import serial
from mpremote.transport import TransportError, TransportExecError
from mpremote.transport_serial import SerialTransport as MpremoteTransport

from hushmeter.devices import ports
from hushmeter.devices.address import Address
from hushmeter.devices.boards import Board
from hushmeter.devices.greeting import greet
from hushmeter.errors import HushmeterError
from hushmeter.printable import printable

T = TypeVar("T")

PATIENCE_S = 30.0
_GREETING_S = 1.5
_MOST_GREETING_S = 12.0
_QUIET_S = 0.15
_ENTER_S = 5.0
_READ_S = 5.0
_RUN_S = 30.0
_TRIES = 3
_PAUSE_S = 0.2
_RESETTING_S = 0.5
_MOMENT_MS = 200
_MOST_MOMENT_S = 60.0

# In the order of the numbers that an interpreter gives them.
_ARCHITECTURES = ["none", "x86", "x64", "armv6", "armv6m", "armv7m", "armv7em", "armv7emsp"]
_ARCHITECTURES += ["armv7emdp", "xtensa", "xtensawin", "rv32imc", "rv64imc"]

# A busy loop: a board that sleeps may keep time where one that works does not.
_LET_A_MOMENT_PASS = f"""
import time
began = time.ticks_ms()
while time.ticks_diff(time.ticks_ms(), began) < {_MOMENT_MS}:
    pass
"""

# The meter's life message tells this note instead of the watchdog, by which some chips do every
# reset; where no meter lies there is nobody to take it. Nor is a start that a host cut short a
# failed try: the loader would come to safe mode by visits alone.
_RESET = """
import os, json, machine
try:
    os.stat("main.py")
    with open("reset.txt", "w") as note:
        note.write("host")
    with open("fw/use.json") as file:
        use = json.load(file)
    if use["tries"] > 1:
        use["tries"] = 0
        with open("fw/use.json.tmp", "w") as file:
            json.dump(use, file)
        os.rename("fw/use.json.tmp", "fw/use.json")
except (OSError, ValueError, KeyError, TypeError):
    pass
machine.reset()
"""

_IDENTIFY = """
i = sys.implementation
answer = [i.name, list(i.version)[:3], sys.platform, getattr(i, "_machine", ""),
          getattr(i, "_mpy", 0)]
"""


class PromptError(HushmeterError):
    """The prompt was not reached or was lost; it may come when it is tried again."""


class BoardError(HushmeterError):
    """Code raised on the board; the message ends with the last line of its traceback."""


class WrongBoard(HushmeterError):
    """What answers at the port is not the board that was named."""


@dataclass(frozen=True)
class Identity:
    """What the interpreter says of itself.

    Attributes
    ----------
    machine:
        Such as ``Raspberry Pi Pico with RP2040``.
    mpy:
        Version of the bytecode that it loads, such as ``6.3``.
    architecture:
        Name of the native code that it loads, as mpy-cross calls it, or ``none``.
    """

    version: str
    platform: str
    machine: str
    mpy: str
    architecture: str


class Console:
    """The prompt of one board, open as long as the context lasts.

    Parameters
    ----------
    port:
        Path or URL; ``auto`` must have been resolved.
    patience_s:
        How long a board may take to show its prompt, or to be back after a reset.
    fresh:
        Restart the interpreter on entering (without ``main.py``), so that all memory is free;
        where a try at that fails, the next one does without.
    """

    def __init__(self, port: str, *, patience_s: float = PATIENCE_S, fresh: bool = True) -> None:
        self.address = Address(port)
        self.patience_s = patience_s
        self.hello: dict[str, Any] | None = None
        """What a running meter said before it gave the prompt."""
        self.slowness = 1.0
        """Seconds that pass here in one of the board's, at least 1; measured before each reset."""
        self._fresh = self._restart = fresh
        self._greeting_s = _GREETING_S
        self._transport: Any = None
        self._prepared = ""

    def __enter__(self) -> "Console":
        if self._transport is None:
            self.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def open(self) -> None:
        """Get the prompt, from a running meter or from whatever else runs.

        Raises
        ------
        PortError
            The port is absent, in use or forbidden.
        PromptError
            Nothing that is behind it shows a prompt.
        """
        ports.check_free(self.address.now())
        try:
            insistently(self._enter, self.patience_s)
        except PromptError as error:
            raise PromptError(
                f"nothing answers at {self.address.device}, neither a meter nor MicroPython's "
                f"prompt ({error.message})",
                hint="press the board's reset button and try again; if it has no MicroPython yet: "
                "hushmeter flash",
            ) from error

    def close(self) -> None:
        """Leave the prompt as it is, and the port to others."""
        transport, self._transport = self._transport, None
        self._prepared = ""
        if transport is not None:
            with contextlib.suppress(*_LOST, PromptError):
                transport.exit_raw_repl()
            with contextlib.suppress(*_LOST):
                transport.close()

    def prepare(self, code: str) -> None:
        """Run ``code`` now, and again whenever the prompt had to be entered anew."""
        self._prepared = code
        self.run(code)

    def run(self, code: str, timeout_s: float = _RUN_S) -> str:
        """Run code and return what it printed, lines ended by ``\\n``; it is tried once.

        Raises
        ------
        BoardError
            The code raised.
        PromptError
            The prompt was lost; nobody knows how far the code came.
        """
        if self._transport is None:
            raise PromptError(f"{self.address.device} is not at its prompt")
        with _one_error(self.address.device):
            output, error = self._transport.exec_raw(code, timeout=timeout_s)
        if error:
            raise BoardError(_last_line(self.address.device, error))
        return bytes(output).decode(errors="replace").replace("\r\n", "\n")

    def value(self, code: str, *modules: str) -> Any:
        """Run code that sets ``answer``, and return that through JSON; tried again where lost.

        The code must be such that running it twice is as good as once.
        """
        program = f"import json, binascii{''.join(f', {name}' for name in modules)}\n{code}\n"
        program += "answer = json.dumps(answer)\n"
        program += "print(len(answer), binascii.crc32(answer.encode()), answer)"
        return self.again(lambda: self._checked(self.run(program)))

    def again(self, action: Callable[[], T]) -> T:
        """Do ``action``; where the prompt is lost, enter it anew and do all of it again."""
        for _ in range(_TRIES - 1):
            try:
                return action()
            except PromptError:
                self._enter_again()
        return action()

    def identify(self) -> Identity:
        """Which interpreter this is; a :class:`WrongBoard` if it is not MicroPython."""
        name, version, platform, machine, mpy = self.value(_IDENTIFY, "sys")
        if name != "micropython":
            raise WrongBoard(
                f"{self.address.device} runs {name}, not MicroPython",
                hint="put MicroPython on the board: hushmeter flash",
            )
        index = mpy >> 10 & 0x3F
        return Identity(
            version=".".join(map(str, version)),
            platform=platform,
            machine=printable(machine),
            mpy=f"{mpy & 0xFF}.{mpy >> 8 & 3}",
            architecture=_ARCHITECTURES[index] if index < len(_ARCHITECTURES) else str(index),
        )

    def require(self, board: Board) -> Identity:
        """Which interpreter this is, if it is one for ``board``; else a :class:`WrongBoard`."""
        identity = self.identify()
        if not board.machine or board.machine == identity.machine:
            return identity
        raise WrongBoard(
            f"the board at {self.address.device} is a {identity.machine}, not a {board.name}",
            hint="name the right --port or the right --board; see: hushmeter boards",
        )

    def measure(self) -> float:
        """How many seconds pass here in one of the board's, where the prompt tells; at least 1."""
        with contextlib.suppress(PromptError, BoardError):
            began = time.monotonic()
            self.run("")
            asked = time.monotonic()
            self.run(_LET_A_MOMENT_PASS, _MOST_MOMENT_S)
            took_s = (time.monotonic() - asked) - (asked - began)
            self.slowness = max(1.0, took_s * 1000 / _MOMENT_MS)
        return self.slowness

    def reset(self) -> None:
        """Restart the board as after a power cut; it is not waited for."""
        if self._transport is not None:
            self.measure()
        transport, self._transport = self._transport, None
        self._prepared = ""
        if transport is None:
            return
        with contextlib.suppress(*_LOST), contextlib.redirect_stdout(io.StringIO()):
            transport.exec_raw_no_follow(_RESET)
        with contextlib.suppress(*_LOST):
            transport.close()
        time.sleep(_RESETTING_S)

    def _enter_again(self) -> None:
        prepared = self._prepared
        self.close()
        insistently(self._enter, self.patience_s)
        if prepared:
            self.prepare(prepared)

    def _enter(self) -> None:
        """One try: ask a meter to leave, then interrupt what runs and take the prompt."""
        device = self.address.now()
        restart, self._restart = self._restart, self._fresh and not self._restart
        self._ask_meter(device)
        with _one_error(device), contextlib.redirect_stdout(io.StringIO()):
            transport = MpremoteTransport(device, ports.BAUD)
            # mpremote waits without end by default, and a board may have gone away.
            transport.serial.timeout = transport.serial.write_timeout = _READ_S
            try:
                transport.enter_raw_repl(soft_reset=restart, timeout_overall=_ENTER_S)
                _fall_in_step(transport)
            except BaseException:
                with contextlib.suppress(*_LOST):
                    transport.close()
                raise
        self._transport = transport
        self._restart = self._fresh

    def _ask_meter(self, device: str) -> None:
        """Let a meter go to its prompt, if one answers; each try waits longer than the one before.

        A meter that computes is silent, and so is a program that only the prompt's key ends.
        """
        patience_s, self._greeting_s = (
            self._greeting_s,
            min(2 * self._greeting_s, _MOST_GREETING_S),
        )
        try:
            greeted = greet(device, patience_s)
        except HushmeterError:
            return
        self.hello = self.hello or greeted.hello
        with contextlib.suppress(HushmeterError):
            greeted.link.request("maintenance", timeout_s=patience_s)
        greeted.link.close()

    def _checked(self, text: str) -> Any:
        size, crc, value = (text.strip().split(" ", 2) + ["", ""])[:3]
        data = value.encode()
        if size != str(len(value)) or str(zlib.crc32(data)) != crc:
            raise PromptError(f"an answer of {self.address.device} came cut short")
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            raise PromptError(f"an answer of {self.address.device} is none in JSON") from None


def insistently(action: Callable[[], T], patience_s: float) -> T:
    """Do ``action`` until it raises no :class:`PromptError`, for as long as that."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return action()
        except PromptError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_S)


def _fall_in_step(transport: Any) -> None:
    """Make sure that the next answer is to the next question.

    What was typed before, or a program's last words, may have left a prompt in the line too many.
    """
    port = transport.serial
    port.timeout = _QUIET_S
    while port.read(256):
        pass
    port.timeout = _READ_S
    port.write(b"\x01")
    word = secrets.token_hex(4)
    if transport.exec(f"print('{word}')").strip() != word.encode():
        raise TransportError("the prompt is out of step")


_LOST = (
    TransportError,
    serial.SerialException,
    OSError,
    struct.error,
    ValueError,
    IndexError,
)


@contextlib.contextmanager
def _one_error(device: str) -> Iterator[None]:
    """Turn what mpremote and the port raise into a :class:`PromptError`."""
    try:
        yield
    except TransportExecError as error:
        raise BoardError(_last_line(device, error.error_output.encode())) from error
    except _LOST as error:
        raise PromptError(f"the prompt of {device} was lost: {error}") from error


def _last_line(device: str, traceback: bytes) -> str:
    lines = traceback.decode(errors="replace").strip().splitlines() or ["no message"]
    return f"the board at {device} could not do it: {printable(lines[-1])}"
