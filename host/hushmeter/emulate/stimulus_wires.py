"""Two emulated boards side by side: what one puts out on its pins, the other one's sensor sees.

    bench = SideBySide(generator, under_test)
    bench.low_pass(from_pin=16, to_pin=26)      # PWM behind 10 kOhm and 1 uF, into a converter
    bench.wire(from_pin=15, to_pin=15)          # a pulse
    bench.uart(from_unit=1, to_unit=1)          # crossed, both ways
    bench.run(10.0)

The machines are stepped in turn, a slice of simulated time each, so what crosses a wire arrives up
to one slice late. Their clocks begin together when the bench is made.
"""

from __future__ import annotations

import math
from typing import Any

from hushmeter.emulate.pico import EmulatedPico

SLICE_S = 0.001
RC_S = 0.01
"""10 kOhm and 1 uF."""
ADC_STEPS = 4095


class SideBySide:
    """A generator and a board under test, both started.

    Parameters
    ----------
    slice_s:
        How long one of them runs before the other one does. A duty is held for as long: waves of
        the mains need a short one.
    """

    def __init__(
        self, generator: EmulatedPico, under_test: EmulatedPico, slice_s: float = SLICE_S
    ) -> None:
        self.generator, self.under_test = generator, under_test
        self._slice_s = slice_s
        self._filters: list[_LowPass] = []
        self._wires: dict[tuple[int, int], bool | None] = {}
        self._to_test: list[tuple[int, int]] = []
        self._to_generator: list[tuple[int, int]] = []

    def low_pass(self, from_pin: int, to_pin: int) -> None:
        """A PWM pin's mean voltage goes to a converter's pin."""
        made = _LowPass(from_pin)
        self._filters.append(made)
        self.under_test.drive_adc(to_pin, lambda now_s: round(made.share(now_s) * ADC_STEPS))

    def wire(self, from_pin: int, to_pin: int) -> None:
        """A digital level goes across."""
        self._wires[from_pin, to_pin] = None

    def uart(self, from_unit: int, to_unit: int) -> None:
        """Every byte goes across, both ways."""
        self.generator.attach(_hear(from_unit, to_unit, self._to_test))
        self.under_test.attach(_hear(to_unit, from_unit, self._to_generator))

    def run(self, seconds: float) -> None:
        """Let time pass on both."""
        end_s = self.under_test.simulated_s + seconds
        ahead_s = self.generator.simulated_s - self.under_test.simulated_s
        while (left_s := end_s - self.under_test.simulated_s) > 0:
            until_s = self.under_test.simulated_s + min(self._slice_s, left_s)
            self.generator.run(max(0.0, until_s + ahead_s - self.generator.simulated_s))
            self._cross()
            self.under_test.run(max(0.0, until_s - self.under_test.simulated_s))

    def _cross(self) -> None:
        source, sink = self.generator._machine, self.under_test._machine
        for one in self._filters:
            one.follow(duty(source, one.pin), self.under_test.simulated_s)
        for (from_pin, to_pin), before in self._wires.items():
            level = bool(source.gpio[from_pin].output_value)
            # Only a change: the emulator takes every call for an edge.
            if level is not before:
                self._wires[from_pin, to_pin] = level
                sink.gpio[to_pin].set_input_value(level)
        for machine, waiting in ((sink, self._to_test), (source, self._to_generator)):
            for unit, byte in waiting:
                machine.uart[unit].feed_byte(byte)
            waiting.clear()


class _LowPass:
    """A capacitor that follows a duty."""

    def __init__(self, pin: int) -> None:
        self.pin = pin
        self._duty = self._from = self._since_s = 0.0

    def follow(self, share: float, now_s: float) -> None:
        """The duty is this from now on."""
        self._from, self._since_s, self._duty = self.share(now_s), now_s, share

    def share(self, now_s: float) -> float:
        """The voltage, of the supply's."""
        return self._duty + (self._from - self._duty) * math.exp((self._since_s - now_s) / RC_S)


def duty(machine: Any, pin: int) -> float:
    """The share of the time that a PWM pin of an emulated machine is high."""
    channel = machine.pwm.channels[pin // 2 % 8]
    compare = channel.cc >> 16 if pin % 2 else channel.cc & 0xFFFF
    return min(1.0, compare / (channel.top + 1)) if channel.csr & 1 else 0.0


def _hear(unit: int, far_unit: int, waiting: list[tuple[int, int]]) -> Any:
    def connect(machine: Any) -> None:
        machine.uart[unit].on_byte = lambda byte: waiting.append((far_unit, byte))

    return connect
