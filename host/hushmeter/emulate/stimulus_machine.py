"""The module `machine` of a board that is not there: its pins lead to peers, its time is given.

    machine = SimulatedMachine()
    machine.adc[26] = lambda now_s: 2048
    machine.wire(1, peer)                           # UART 1
    driver = level.make(settings, machine)
    machine.run_to(1.0)

Device code runs on CPython with it, a day in seconds, where the emulated Pico takes hours. What an
interpreter does to the moment of a sample (other work, garbage collections) is not in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from hushmeter.emulate.peers.buses import I2cPeer
from hushmeter.emulate.peers.wires import BITS, UartPeer

TICKS_PERIOD = 1 << 30
CONVERSION_S = 11e-6
"""Between two conversions one after the other in a driver's loop, as on the emulated Pico."""

_LONGEST_WAIT_US = 2000

AdcLevel = Callable[[float], int]
"""What a 12-bit converter reads at a time."""


class EdgePeer(Protocol):
    """What drives a digital pin: asked when to look next, and for the level from then on."""

    def next_edge_s(self, now_s: float) -> float:
        """When it may change next."""

    def level(self, now_s: float) -> int | None:
        """The level from then on; None where it stays as it is."""


class SimulatedMachine:
    """Stands in for `machine`; everything on it shares one time, in seconds.

    Attributes
    ----------
    now_s:
        Passes in `run_to`, and in a conversion.
    adc:
        What is on an analogue pin, by its number.
    buses:
        What answers on an I2C bus, by its number: an object with the methods of `machine.I2C`.
    """

    def __init__(self, conversion_s: float = CONVERSION_S) -> None:
        self.now_s = 0.0
        self.adc: dict[int, AdcLevel] = {}
        self.buses: dict[int, Any] = {}
        self.pins: dict[int, SimulatedPin] = {}
        self.conversion_s = conversion_s
        self.on_time: list[Callable[[float], None]] = []
        """Called with the time up to which something may happen, before that time is reached."""
        self._uarts: dict[int, SimulatedUart] = {}
        self._awaited_us: int | None = None
        machine = self

        class Pin(SimulatedPin):
            IN, OUT, PULL_UP, PULL_DOWN = 0, 1, 1, 2
            IRQ_RISING, IRQ_FALLING = 8, 4

            def __new__(cls, number: int, *args: Any, **named: Any) -> Any:
                return machine.pins.setdefault(number, object.__new__(cls))

        self.Pin = Pin

    def wire(self, unit: int, peer: UartPeer) -> None:
        """Puts a peer at the far end of a UART."""
        self._uarts[unit] = SimulatedUart(self, peer)

    def run_to(self, second: float) -> None:
        """Lets time pass."""
        for happen in self.on_time:
            happen(second)
        for uart in self._uarts.values():
            uart.settle(second)
        self.now_s = max(self.now_s, second)

    def ticks_ms(self) -> int:
        # The millionth: a whole second is not to be a millisecond short by the float's rounding.
        return int(self.now_s * 1000 + 1e-6) % TICKS_PERIOD

    def ticks_us(self) -> int:
        if self._awaited_us is not None:
            # Whoever waits for a moment in a loop finds it has come; the loop is not played.
            self.now_s = max(self.now_s, self._awaited_us / 1e6)
            self._awaited_us = None
        return round(self.now_s * 1e6) % TICKS_PERIOD

    def ticks_add(self, ticks: int, delta: int) -> int:
        """As MicroPython's; a moment in the microseconds to come is one that is waited for."""
        now_us = round(self.now_s * 1e6)
        ahead_us = self.ticks_diff(ticks + delta, now_us)
        if 0 < ahead_us < _LONGEST_WAIT_US:
            self._awaited_us = now_us + ahead_us
        return (ticks + delta) % TICKS_PERIOD

    @staticmethod
    def ticks_diff(later: int, earlier: int) -> int:
        half = TICKS_PERIOD // 2
        return (later - earlier + half) % TICKS_PERIOD - half

    def disable_irq(self) -> int:
        return 0

    def enable_irq(self, state: int) -> None:
        """Interrupts come in `run_to` only, so nothing was held up."""

    def ADC(self, pin: Any) -> Any:  # noqa: N802 (the name on a board)
        number = pin if isinstance(pin, int) else pin.number
        if number not in self.adc:
            raise ValueError(f"Pin({number}) doesn't have ADC capabilities")
        return SimulatedAdc(self, self.adc[number])

    def UART(self, unit: int, *args: Any, **named: Any) -> Any:  # noqa: N802
        if unit not in self._uarts:
            raise ValueError(f"UART({unit}) doesn't exist")
        uart = self._uarts[unit]
        if args or "baudrate" in named:
            uart.init(args[0] if args else named["baudrate"], named.get("rxbuf", 256))
        return uart

    def chips(self, unit: int, peers: Mapping[int, I2cPeer]) -> None:
        """Puts chips on an I2C bus."""
        self.buses[unit] = SimulatedI2c(self, peers)

    def drive(self, pin: int, peer: EdgePeer) -> None:
        """Has a peer drive a digital pin, edge by edge."""
        line = self.Pin(pin)

        def happen(second: float) -> None:
            while (edge_s := peer.next_edge_s(self.now_s)) <= second:
                self.now_s = max(self.now_s, edge_s)
                level = peer.level(self.now_s)
                if level is not None:
                    line.drive(level)

        line.drive(peer.level(self.now_s) or 0)
        self.on_time.append(happen)

    def I2C(self, unit: int, *args: Any, **named: Any) -> Any:  # noqa: N802
        return self.buses[unit]


class SimulatedAdc:
    """One analogue pin."""

    def __init__(self, machine: SimulatedMachine, level: AdcLevel) -> None:
        self._machine, self._level = machine, level

    def read_u16(self) -> int:
        level = self._level(self._machine.now_s)
        self._machine.now_s += self._machine.conversion_s
        return level << 4 | level >> 8


class SimulatedPin:
    """One digital pin: whoever drives it from outside calls `drive`."""

    number: int
    level = 0
    handler: Callable[[Any], None] | None = None

    def __init__(self, number: int, *args: Any, **named: Any) -> None:
        self.number = number

    def value(self, level: int | None = None) -> int:
        if level is not None:
            self.level = level
        return self.level

    __call__ = value

    def irq(self, handler: Any = None, trigger: int = 0, **named: Any) -> Any:
        self.handler, self.trigger = handler, trigger
        return self

    def drive(self, level: int) -> None:
        """A new level from outside; the interrupt comes where it is an edge that is wanted."""
        was, self.level = self.level, level
        wanted = 8 if level else 4
        if was != level and self.handler is not None and self.trigger & wanted:
            self.handler(self)


class SimulatedUart:
    """One end of a line; who looks sees all bytes that have come by then."""

    def __init__(self, machine: SimulatedMachine, peer: UartPeer) -> None:
        self._machine, self._peer = machine, peer
        self._byte_s = BITS / 9600
        self._heard = bytearray()
        self._room = 256
        self._coming: tuple[float, bytes] | None = None
        self._free_from_s = 0.0
        self.lost = 0

    def init(self, baudrate: int = 115_200, rxbuf: int = 256, **named: Any) -> None:
        self._byte_s = BITS / baudrate
        self._room = rxbuf

    def any(self) -> int:
        return len(self._heard)

    def read(self, count: int | None = None) -> bytes | None:
        data = bytes(self._heard[:count])
        del self._heard[: len(data)]
        return data or None

    def readinto(self, buffer: Any, count: int | None = None) -> int | None:
        data = self.read(len(buffer) if count is None else min(count, len(buffer)))
        if data is None:
            return None
        buffer[: len(data)] = data
        return len(data)

    def write(self, data: bytes) -> int:
        now_s = self._machine.now_s
        for place, byte in enumerate(data, start=1):
            self._peer.receive(byte, now_s + place * self._byte_s)
        return len(data)

    def deinit(self) -> None:
        self._heard.clear()

    def settle(self, second: float) -> None:
        """What has arrived by then, a part of a message too."""
        while True:
            if self._coming is None:
                message = self._peer.next_out()
                if message is None:
                    return
                # What leaves at a past time leaves now: the peer was asked too late to say so.
                begin_s = max(message[0], self._free_from_s)
                self._coming = begin_s, message[1]
            begin_s, data = self._coming
            arrived = min(len(data), int((second - begin_s) / self._byte_s + 1e-6))
            if arrived <= 0:
                return
            self._take(data[:arrived])
            end_s = begin_s + arrived * self._byte_s
            self._coming = (end_s, data[arrived:]) if arrived < len(data) else None
            self._free_from_s = end_s

    def _take(self, data: bytes) -> None:
        room = self._room - len(self._heard)
        self._heard += data[:room]
        self.lost += max(0, len(data) - room)


class SimulatedI2c:
    """A bus with chips on it, by their addresses; a transfer takes no time."""

    def __init__(self, machine: SimulatedMachine, peers: Mapping[int, I2cPeer]) -> None:
        self._machine, self._peers = machine, peers

    def writeto_mem(self, address: int, register: int, data: bytes, *, addrsize: int = 8) -> None:
        peer = self._call(address, register, addrsize)
        for byte in data:
            peer.i2c_write(byte, self._machine.now_s)
        peer.i2c_stop(self._machine.now_s)

    def readfrom_mem_into(
        self, address: int, register: int, buffer: bytearray, *, addrsize: int = 8
    ) -> None:
        now_s = self._machine.now_s
        peer = self._call(address, register, addrsize)
        peer.i2c_start(True, now_s)
        for place in range(len(buffer)):
            buffer[place] = peer.i2c_read(now_s)
        peer.i2c_stop(now_s)

    def _call(self, address: int, register: int, addrsize: int) -> I2cPeer:
        peer = self._peers.get(address)
        if peer is None or not peer.i2c_start(False, self._machine.now_s):
            raise OSError(5)
        for byte in register.to_bytes(addrsize // 8, "big"):
            peer.i2c_write(byte, self._machine.now_s)
        return peer
