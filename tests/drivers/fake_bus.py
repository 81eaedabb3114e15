"""A `machine` with pins, interrupts, I2C and SPI for CPython; time passes when a test says so.

machine = FakeMachine()
machine.put(15, PulseOutput(watts=lambda now_s: 1000.0))     # what drives a pin
machine.chips[0x38] = machine.spi_chip = Ade7953(...)        # what sits on the buses
driver = make(settings, machine)
machine.run(1.0)                      # a second passes, with all its edges and interrupts
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

TICKS_PERIOD = 1 << 30
FIRST_S = TICKS_PERIOD / 1e6 - 5.0
"""Microseconds wrap five seconds after the start, so every test of some length has it in it."""


class Output(Protocol):
    """What drives a pin, as `PulseOutput` does."""

    def next_edge_s(self, now_s: float) -> float: ...

    def level(self, now_s: float) -> int | None: ...


class FakePin:
    """`machine.Pin` with an interrupt that comes at once, or when a blocked board is free again."""

    IN, OUT, PULL_UP, PULL_DOWN = 0, 1, 1, 2
    IRQ_RISING, IRQ_FALLING = 8, 4

    def __init__(self, machine: FakeMachine, number: int, pull: int | None) -> None:
        self._machine = machine
        self.number = number
        self.pull = pull
        self.level = 0 if pull == self.PULL_DOWN else 1
        self.handler: Callable[[FakePin], None] | None = None
        self.trigger = 0
        self.hard = False
        self.pending = False
        self.select: Callable[[bool], None] = lambda selected: None

    def value(self) -> int:
        return self.level

    def __call__(self, level: int) -> None:
        self.select(not level)

    def irq(self, handler: Any = None, trigger: int = 0, **named: Any) -> None:
        if "hard" in named and not self._machine.has_hard:
            raise TypeError("extra keyword arguments given")
        self.handler, self.trigger, self.hard = handler, trigger, bool(named.get("hard"))
        self.pending = False

    def put(self, level: int | None) -> None:
        resting = 0 if self.pull == self.PULL_DOWN else 1
        level = resting if level is None else level
        if level != self.level:
            self.level = level
            wanted = self.IRQ_RISING if level else self.IRQ_FALLING
            self.pending = self.pending or bool(self.trigger & wanted)
        if not self._machine.blocked:
            self.deliver()

    def deliver(self) -> None:
        pending, self.pending = self.pending, False
        if pending and self.handler is not None:
            self.handler(self)


class FakeMachine:
    """The module `machine` and its clock.

    ``blocked``: interrupts wait, as during a write to the flash; edges of a pin then are one.
    """

    def __init__(self, has_hard: bool = True) -> None:
        self.now_s = 0.0
        self.has_hard = has_hard
        self.blocked = False
        self.chips: dict[int, Any] = {}
        self.spi_chip: Any = None
        self.made: dict[str, Any] = {}
        self._pins: dict[int, FakePin] = {}
        self._outputs: list[tuple[FakePin, Output]] = []
        machine = self

        class Pin(FakePin):
            def __new__(cls, number: int, *args: Any, **named: Any) -> Any:
                return machine.pin(number, args[1] if len(args) > 1 else None)

            def __init__(self, number: int, *args: Any, **named: Any) -> None: ...

        class I2C(FakeI2c):
            def __init__(self, unit: int, **named: Any) -> None:
                super().__init__(machine, unit, named)

        class SPI(FakeSpi):
            def __init__(self, unit: int, **named: Any) -> None:
                super().__init__(machine, unit, named)

        self.Pin, self.I2C, self.SPI = Pin, I2C, SPI

    def pin(self, number: int, pull: int | None) -> FakePin:
        if number > 28:
            raise ValueError("invalid pin")
        if number not in self._pins:
            self._pins[number] = FakePin(self, number, pull)
        return self._pins[number]

    def put(self, number: int, output: Output) -> None:
        """Connect what drives a pin; the driver must have been made, or sets the pull."""
        self._outputs.append((self.pin(number, FakePin.PULL_UP), output))

    def run(self, seconds: float) -> None:
        end_s = self.now_s + seconds
        while True:
            due_s = min([o.next_edge_s(self.now_s) for _, o in self._outputs], default=end_s)
            self.now_s = min(due_s, end_s)
            for pin, output in self._outputs:
                pin.put(output.level(self.now_s))
            if self.now_s >= end_s:
                return

    def block(self, seconds: float) -> None:
        """Interrupts wait for so long; then each pin has one, whatever it has done."""
        self.blocked = True
        self.run(seconds)
        self.blocked = False
        for pin in self._pins.values():
            pin.deliver()

    def ticks_us(self) -> int:
        return round((FIRST_S + self.now_s) * 1e6) % TICKS_PERIOD

    def ticks_ms(self) -> int:
        return round(TICKS_PERIOD - 3000 + self.now_s * 1e3) % TICKS_PERIOD

    def ticks_diff(self, later: int, earlier: int) -> int:
        half = TICKS_PERIOD // 2
        return (later - earlier + half) % TICKS_PERIOD - half

    def ticks_add(self, ticks: int, us: int) -> int:
        return (ticks + us) % TICKS_PERIOD

    def disable_irq(self) -> int:
        return 1

    def enable_irq(self, state: int) -> None: ...


class FakeI2c:
    def __init__(self, machine: FakeMachine, unit: int, settings: dict[str, Any]) -> None:
        if unit > 1:
            raise ValueError("I2C doesn't exist")
        machine.made["i2c"] = settings
        self._machine = machine

    def _talk(self, address: int, data: bytes) -> Any:
        chip, now_s = self._machine.chips.get(address), self._machine.now_s
        if chip is None or not chip.i2c_start(False, now_s):
            raise OSError(5, "EIO")
        for byte in data:
            chip.i2c_write(byte, now_s)
        return chip

    def readfrom_mem_into(
        self, address: int, register: int, buffer: bytearray, *, addrsize: int = 8
    ) -> None:
        now_s = self._machine.now_s
        chip = self._talk(address, register.to_bytes(addrsize // 8, "big"))
        chip.i2c_start(True, now_s)
        for at in range(len(buffer)):
            buffer[at] = chip.i2c_read(now_s)
        chip.i2c_stop(now_s)

    def writeto_mem(self, address: int, register: int, data: bytes, *, addrsize: int = 8) -> None:
        chip = self._talk(address, register.to_bytes(addrsize // 8, "big") + data)
        chip.i2c_stop(self._machine.now_s)


class FakeSpi:
    def __init__(self, machine: FakeMachine, unit: int, settings: dict[str, Any]) -> None:
        machine.made["spi"] = settings
        self._machine = machine
        self.selected = False
        for pin in machine._pins.values():
            pin.select = self._select

    def _select(self, selected: bool) -> None:
        chip, now_s = self._machine.spi_chip, self._machine.now_s
        self.selected = selected
        if chip is not None:
            (chip.spi_select if selected else chip.spi_release)(now_s)

    def write_readinto(self, out: bytearray, into: bytearray) -> None:
        chip = self._machine.spi_chip
        for at, byte in enumerate(bytes(out)):
            alive = chip is not None and self.selected
            into[at] = chip.spi_exchange(byte, self._machine.now_s) if alive else 0xFF
