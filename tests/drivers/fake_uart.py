"""A `machine` with UARTs for CPython: the far ends are peers, and time passes when a test says so.

machine = FakeMachine({1: peer}, baud=9600)
driver = make(settings, machine)
machine.run(1.0)                      # a second passes on every line
machine.ticks_ms()                    # simulated time, wrapping as a board's does
"""

from __future__ import annotations

from typing import Any

from hushmeter.emulate.peers.wires import BITS, Line, UartPeer

TICKS_PERIOD = 1 << 30
FIRST_S = TICKS_PERIOD / 1000 - 5.0
"""Ticks wrap five seconds after the start, so every test of some length has it in it."""


class Pin:
    """A pin by its number; nothing is read from it here."""

    IN, OUT = 0, 1

    def __init__(self, number: int, *args: Any, **named: Any) -> None:
        self.number = number


class FakeUart:
    """`machine.UART` over one line: what is written leaves at the line's rate."""

    def __init__(self, machine: FakeMachine, number: int) -> None:
        self._machine = machine
        self.line = machine.lines[number]
        self.settings: dict[str, Any] = {}
        self._outgoing: list[tuple[float, int]] = []
        self._incoming = bytearray()
        self.lost = 0
        self.written = bytearray()

    def init(self, baudrate: int = 115200, **named: Any) -> None:
        self.settings = {"baudrate": baudrate, **named}
        self.line.byte_s = BITS / self._machine.bauds.get(id(self.line.peer), baudrate)
        self.line.garbled = abs(self.line.byte_s * baudrate / BITS - 1) > 0.03

    def any(self) -> int:
        return len(self._incoming)

    def read(self, count: int | None = None) -> bytes | None:
        data = bytes(self._incoming[:count])
        del self._incoming[: len(data)]
        return data or None

    def readinto(self, buffer: Any, count: int | None = None) -> int | None:
        data = self.read(min(len(buffer), len(buffer) if count is None else count))
        if data is None:
            return None
        buffer[: len(data)] = data
        return len(data)

    def write(self, data: bytes) -> int:
        begin_s = max(self._machine.now_s, self._outgoing[-1][0] if self._outgoing else 0.0)
        byte_s = BITS / self.settings["baudrate"]
        for index, byte in enumerate(data):
            self._outgoing.append((begin_s + (index + 1) * byte_s, byte))
        self.written += data
        return len(data)

    def deinit(self) -> None:
        self._incoming.clear()

    def next_s(self) -> float | None:
        """When something happens on the line next."""
        times = [self._outgoing[0][0]] if self._outgoing else []
        due_s = self.line.due_s(self._machine.now_s)
        return min([*times, due_s] if due_s is not None else times, default=None)

    def step(self) -> None:
        """What happens on the line at this moment."""
        now_s = self._machine.now_s
        if self._outgoing and self._outgoing[0][0] <= now_s:
            self.line.receive(self._outgoing.pop(0)[1], now_s)
            return
        due_s = self.line.due_s(now_s)
        if due_s is not None and due_s <= now_s:
            byte = self.line.take()
            if len(self._incoming) < self.settings.get("rxbuf", 256):
                self._incoming.append(byte)
            else:
                self.lost += 1


class FakeMachine:
    """Stands in for `machine`; `UART(number, ...)` gives the line to the peer of that number.

    With ``bauds`` a peer has a rate of its own, by its UART's number; else it follows the meter.
    """

    Pin = Pin

    def __init__(
        self, peers: dict[int, UartPeer], bauds: dict[int, int] | None = None, start_s: float = 0.0
    ) -> None:
        self.lines = {number: Line(peer) for number, peer in peers.items()}
        self.bauds = {id(peers[number]): baud for number, baud in (bauds or {}).items()}
        self.uarts: dict[int, FakeUart] = {}
        self.now_s = start_s

    def UART(self, number: int, *args: Any, **named: Any) -> FakeUart:  # noqa: N802 (its name)
        if number not in self.lines:
            raise ValueError(f"UART({number}) doesn't exist")
        uart = self.uarts.setdefault(number, FakeUart(self, number))
        if args:
            named["baudrate"] = args[0]
        if named:
            uart.init(**named)
        return uart

    def ticks_ms(self) -> int:
        return int((FIRST_S + self.now_s) * 1000) % TICKS_PERIOD

    def run(self, seconds: float) -> None:
        """Let time pass on every line."""
        end_s = self.now_s + seconds
        while True:
            due = [
                (at_s, n) for n, uart in self.uarts.items() if (at_s := uart.next_s()) is not None
            ]
            if not due or min(due)[0] > end_s:
                break
            at_s, number = min(due)
            self.now_s = max(self.now_s, at_s)
            self.uarts[number].step()
        self.now_s = end_s
