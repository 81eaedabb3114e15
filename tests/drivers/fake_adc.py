"""A `machine` with analogue pins for CPython: levels are functions of time, and asking takes time.

machine = FakeAdc({26: mains.current_level, 27: mains.voltage_level})
driver = make(settings, machine)
machine.now_s                         # moves on with every conversion and every look at the clock
machine.stalls[0.010] = 0.0004        # an interrupt of 400 us at the first moment after 10 ms
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace

TICKS_PERIOD = 1 << 30
FIRST_US = TICKS_PERIOD - 20_000
"""The counter wraps 20 ms after the start, in the middle of the first window."""

LOOK_US, CONVERSION_US = 4, 10


class FakeAdc:
    """Pins by their number; those without a level have no converter."""

    def __init__(self, levels: Mapping[int, Callable[[float], int]]) -> None:
        self._levels = dict(levels)
        self._passed_us = 0
        self.taken: list[tuple[int, float]] = []
        """Pin and time (s) of each conversion."""
        self.stalls: dict[float, float] = {}

    @property
    def now_s(self) -> float:
        return self._passed_us / 1e6

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self._passed_us += round(seconds * 1e6)

    def Pin(self, number: int) -> int:  # noqa: N802 (the name on a board)
        return number

    def ADC(self, pin: int) -> SimpleNamespace:  # noqa: N802
        if pin not in self._levels:
            raise ValueError("Pin doesn't have ADC capabilities")
        return SimpleNamespace(read_u16=lambda: self._convert(pin))

    def ticks_us(self) -> int:
        self._passed_us += LOOK_US
        return (FIRST_US + self._passed_us) % TICKS_PERIOD

    def ticks_diff(self, later: int, earlier: int) -> int:
        half = TICKS_PERIOD // 2
        return (later - earlier + half) % TICKS_PERIOD - half

    def ticks_add(self, ticks: int, us: int) -> int:
        return (ticks + us) % TICKS_PERIOD

    def _convert(self, pin: int) -> int:
        for at_s in [at_s for at_s in self.stalls if at_s <= self.now_s]:
            self.wait(self.stalls.pop(at_s))
        self.taken.append((pin, self.now_s))
        level = self._levels[pin](self.now_s)
        self._passed_us += CONVERSION_US
        return level << 4 | level >> 8
