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
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from hushmeter.devices import ports
from hushmeter.devices.address import Address
from hushmeter.devices.boards import Board
from hushmeter.devices.greeting import greet
from hushmeter.devices.rawrepl import BoardError, PromptError, RawRepl
from hushmeter.errors import HushmeterError
from hushmeter.printable import printable

__all__ = ["BoardError", "Console", "Identity", "PromptError", "WrongAnswer", "WrongBoard"]

T = TypeVar("T")

PATIENCE_S = 30.0
_GREETING_S = 1.5
_MOST_GREETING_S = 12.0
_RUN_S = 30.0
_TRIES = 3
_PAUSE_S = 0.2
_RESETTING_S = 0.5
_MOMENT_MS = 200
# Emulated boards were seen at 15 to 50. What is said of a board stretches every time-out, so the
# word of one that may be real is not taken for more.
MOST_SLOWNESS = 60.0
_MOST_EMULATED_SLOWNESS = 300.0

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

_MOST_WORDS = 300
_Words = Annotated[str, Meta(max_length=200)]
_U32 = Annotated[int, Meta(ge=0, lt=1 << 32)]
_Said = tuple[_Words, Annotated[list[_U32], Meta(max_length=3)], _Words, _Words, _U32]

_IDENTIFY = """
i = sys.implementation
answer = [i.name, list(i.version)[:3], sys.platform, getattr(i, "_machine", ""),
          getattr(i, "_mpy", 0)]
"""


class WrongAnswer(HushmeterError):
    """What runs at the prompt answered, and not what MicroPython would."""


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
        self._repl: RawRepl | None = None
        self._prepared = ""

    def __enter__(self) -> "Console":
        if self._repl is None:
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
        repl, self._repl = self._repl, None
        self._prepared = ""
        if repl is not None:
            repl.leave()

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
        if self._repl is None:
            raise PromptError(f"{self.address.device} is not at its prompt")
        return self._repl.run(code, timeout_s)

    def value(self, code: str, *modules: str, shape: Any = Any) -> Any:
        """Run code that sets ``answer``, and return that through JSON; tried again where lost.

        The code must be such that running it twice is as good as once.

        Parameters
        ----------
        shape:
            The answer's type, as msgspec takes it.

        Raises
        ------
        WrongAnswer
            The answer has another one.
        """
        program = f"import json, binascii{''.join(f', {name}' for name in modules)}\n{code}\n"
        program += "answer = json.dumps(answer)\n"
        program += "print(len(answer), binascii.crc32(answer.encode()), answer)"
        return self.again(lambda: self._checked(self.run(program), shape))

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
        name, version, platform, machine, mpy = self.value(_IDENTIFY, "sys", shape=_Said)
        if name != "micropython":
            raise WrongBoard(
                f"{self.address.device} runs {printable(name)}, not MicroPython",
                hint="put MicroPython on the board: hushmeter flash",
            )
        index = mpy >> 10 & 0x3F
        return Identity(
            version=".".join(map(str, version)),
            platform=printable(platform),
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
        emulated = ports.is_pseudo_terminal(self.address.device)
        most = _MOST_EMULATED_SLOWNESS if emulated else MOST_SLOWNESS
        with contextlib.suppress(PromptError, BoardError):
            began = time.monotonic()
            self.run("")
            asked = time.monotonic()
            self.run(_LET_A_MOMENT_PASS, most * _MOMENT_MS / 1000)
            took_s = (time.monotonic() - asked) - (asked - began)
            self.slowness = min(max(1.0, took_s * 1000 / _MOMENT_MS), most)
        return self.slowness

    def reset(self) -> None:
        """Restart the board as after a power cut; it is not waited for."""
        if self._repl is not None:
            self.measure()
        repl, self._repl = self._repl, None
        self._prepared = ""
        if repl is not None:
            repl.run_last(_RESET)
            time.sleep(_RESETTING_S)

    def _enter_again(self) -> None:
        prepared = self._prepared
        self.close()
        try:
            insistently(self._enter, self.patience_s)
        except PromptError:
            # A port that is gone has an error of its own.
            ports.check_free(self.address.now())
            raise
        if prepared:
            self.prepare(prepared)

    def _enter(self) -> None:
        """One try: ask a meter to leave, then interrupt what runs and take the prompt."""
        device = self.address.now()
        restart, self._restart = self._restart, self._fresh and not self._restart
        self._ask_meter(device)
        self._repl = RawRepl(device, restart=restart)
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

    def _checked(self, text: str, shape: Any) -> Any:
        size, crc, value = (text.strip().split(" ", 2) + ["", ""])[:3]
        data = value.encode()
        if size != str(len(value)) or str(zlib.crc32(data)) != crc:
            raise PromptError(f"an answer of {self.address.device} came cut short")
        try:
            return msgspec.json.decode(data, type=shape)
        except (msgspec.DecodeError, RecursionError) as error:
            raise WrongAnswer(
                f"the board at {self.address.device} gave an answer that MicroPython would not: "
                f"{printable(str(error))[:_MOST_WORDS]}",
                hint="its interpreter or its flash is damaged, or it runs another program: "
                "hushmeter flash",
            ) from None


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
