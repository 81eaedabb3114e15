"""Serial lines between a peer and a meter: on an emulated board, a pseudo-terminal, or in a test.

A peer hears bytes one by one as they arrive, and says at which time which bytes leave it. The line
gives each byte its time at the line's true baud rate, both ways:

    pico.attach(uart(1, peer, baud=9600))       # UART 1 of an emulated board
    with Terminal(peer) as path: ...            # a serial port of this machine, for a real program
    line = Line(peer, baud=9600)                # by hand, with a test's own time
"""

import os
import pty
import threading
import time
import tty
from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol

from hushmeter.emulate.pico import Attachment

BITS = 10
"""Start, eight data bits, stop."""

MOST_OFF = 0.03
"""Two ends whose rates differ by more than this share do not understand each other."""

_USB_PLL_HZ, _SYSTEM_HZ = 48_000_000, 125_000_000
_PERI_SOURCE_SHIFT, _PERI_SOURCE_MASK, _PERI_SOURCE_USB_PLL = 5, 7, 2
_RESTING_S = 0.001
_PWM_LOOK_NS = 10_000_000
_GARBLED = 0xA5

Now = Callable[[], float]
"""A peer's time, in simulated seconds."""


class UartPeer(Protocol):
    """What sits at the far end of a serial line. Times are in seconds and never go back."""

    def receive(self, byte: int, now_s: float) -> None:
        """Take one byte that has just arrived."""

    def next_out(self) -> tuple[float, bytes] | None:
        """Give up the next message: when its first byte leaves, and its bytes; None: nothing.

        Asked for again after each message has left, and after each byte that arrives while none
        is on its way. A time in the past means now.
        """


class Line:
    """The line itself, without a clock: ask it for ``due_s``, then let it ``run`` to there.

    Parameters
    ----------
    peer:
        The far end.
    baud:
        Bytes per second times ten, as long as nobody sets ``byte_s``.
    """

    def __init__(self, peer: UartPeer, baud: int = 9600) -> None:
        self.peer = peer
        self.byte_s = BITS / baud
        self.garbled = False
        """Both ends differ in their rate: what arrives is not what was sent."""
        self._leaving = b""
        self._at_s = 0.0
        self._sent_s = 0.0

    def receive(self, byte: int, now_s: float) -> None:
        """Take one byte from the meter's end, which has arrived at ``now_s``."""
        self.peer.receive(byte ^ _GARBLED if self.garbled else byte, now_s)

    def due_s(self, now_s: float) -> float | None:
        """Return when the next byte from the peer has arrived, s; None while it has nothing."""
        if not self._leaving:
            message = self.peer.next_out()
            if message is None or not message[1]:
                return None
            begin_s, self._leaving = message
            self._at_s = max(begin_s, self._sent_s, now_s) + self.byte_s
        return self._at_s

    def take(self) -> int:
        """Return the byte that has arrived at ``due_s``; the next follows a byte time later."""
        byte, self._leaving = self._leaving[0], self._leaving[1:]
        self._sent_s = self._at_s
        self._at_s += self.byte_s
        return byte ^ _GARBLED if self.garbled else byte


def uart(unit: int, peer: UartPeer, baud: int | None = None) -> Attachment:
    """Return what connects a peer to a UART of an emulated board, for ``EmulatedPico.attach``.

    The peer's time is the board's simulated time in seconds and goes on across resets and power
    cuts; what is on its way while the board is off or its UART is not set up is lost. With
    ``baud`` the peer has a rate of its own: at another rate than the board's neither understands
    the other. Without, it follows the board.
    """
    line = Line(peer, baud or 9600)
    return across_resets(
        lambda machine, now_s: _Wired(machine, machine.uart[unit], line, baud, now_s)
    )


def across_resets(wire: Callable[[Any, Now], object]) -> Attachment:
    """Return what wires each machine of one board; the peer's time goes on across them."""
    before: list[Any] = []
    passed_s = 0.0

    def connect(machine: Any) -> None:
        nonlocal passed_s
        if before:
            passed_s += before.pop().clock.nanos / 1e9
        before.append(machine)
        since_s = passed_s
        wire(machine, lambda: since_s + float(machine.clock.nanos) / 1e9)

    return connect


class _Wired:
    """A line on one machine, from its power-up to its end."""

    def __init__(self, machine: Any, uart: Any, line: Line, baud: int | None, now_s: Now) -> None:
        self._machine, self._uart, self._line, self._baud = machine, uart, line, baud
        self._now_s = now_s
        self._alarm = machine.clock.create_alarm(self._arrived)
        self._armed = False
        uart.on_byte = self._sent
        self._look()

    def _sent(self, byte: int) -> None:
        self._set_rate()
        self._line.receive(byte, self._now_s())
        self._look()

    def _arrived(self) -> None:
        self._armed = False
        byte = self._line.take()
        if self._uart.enabled and self._uart.rx_enabled:
            self._uart.feed_byte(byte)
        self._look()

    def _look(self) -> None:
        if self._armed:
            return
        self._set_rate()
        due_s = self._line.due_s(self._now_s())
        if due_s is not None:
            self._armed = True
            self._alarm.schedule(max(0.0, due_s - self._now_s()) * 1e9)

    def _set_rate(self) -> None:
        """The board's true rate counts; the emulator's own figure has the wrong clock."""
        board_s = byte_s(self._machine, self._uart)
        own_s = None if self._baud is None else BITS / self._baud
        self._line.byte_s = own_s or board_s
        self._line.garbled = own_s is not None and abs(board_s / own_s - 1) > MOST_OFF


def byte_s(machine: Any, uart: Any) -> float:
    """Return how long a byte takes on an emulated UART as it is set up now, s."""
    source = machine.clocks.peri_ctrl >> _PERI_SOURCE_SHIFT & _PERI_SOURCE_MASK
    clock_hz = _USB_PLL_HZ if source == _PERI_SOURCE_USB_PLL else _SYSTEM_HZ
    return BITS * 16 * max(float(uart.baud_divider), 1.0) / clock_hz


class DutyPeer(Protocol):
    """What sits behind a duty cycle and answers with a level."""

    @property
    def ready(self) -> bool:
        """The level of its line."""

    def duty(self, share: float, now_s: float) -> None:
        """Take the duty cycle at its input, 0 to 1, at a time in s."""


def pwm(pin: int, ready_pin: int, peer: DutyPeer) -> Attachment:
    """Return what connects a peer to a PWM output and an input of an emulated board.

    The peer measures the duty every ``_PWM_LOOK_NS``; an output that is off is a duty of 0. Its
    time is the board's simulated time in seconds and goes on across resets and power cuts.
    """

    def wire(machine: Any, now_s: Now) -> None:
        def look() -> None:
            peer.duty(_duty(machine, pin), now_s())
            machine.gpio[ready_pin].set_input_value(peer.ready)
            alarm.schedule(_PWM_LOOK_NS)

        alarm = machine.clock.create_alarm(look)
        alarm.schedule(_PWM_LOOK_NS)

    return across_resets(wire)


def _duty(machine: Any, pin: int) -> float:
    """Return the share of time that a PWM slice keeps this pin high (RP2040 datasheet, 4.5)."""
    slice_ = machine.pwm.channels[pin >> 1 & 7]
    if not slice_.csr & 1:
        return 0.0
    level = slice_.cc >> (16 if pin & 1 else 0) & 0xFFFF
    return min(1.0, float(level) / (float(slice_.top) + 1))


class Terminal:
    """A peer on a pseudo-terminal, in real time; for programs that open a serial port.

    A pseudo-terminal has no baud rate: bytes leave in the time they would take, and arrive at once.
    """

    def __init__(
        self, peer: UartPeer, baud: int = 9600, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._line = Line(peer, baud)
        self._now_s = now_s
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> str:
        """Open it and return the path of the meter's end."""
        self._own, self._theirs = pty.openpty()
        tty.setraw(self._theirs)
        os.set_blocking(self._own, False)
        self._thread.start()
        return os.ttyname(self._theirs)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ends.set()
        self._thread.join()
        os.close(self._own)
        os.close(self._theirs)

    def _run(self) -> None:
        while not self._ends.wait(_RESTING_S):
            try:
                for byte in os.read(self._own, 256):
                    self._line.receive(byte, self._now_s())
            except BlockingIOError:
                pass
            while (due_s := self._line.due_s(self._now_s())) is not None:
                if due_s > self._now_s():
                    break
                os.write(self._own, bytes((self._line.take(),)))
