"""What each generator of a second board puts out is what the driver it is for reads.

Both run here, on this machine: the generator's pins and UART lead to the driver's, and its clock is
polled by the millisecond. Two emulated boards do the same in hil/test_stimulus.py.
"""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest

from hushfw import drivers, port
from hushfw import stimulus as device
from hushmeter.devices.boards import load_board
from hushmeter.emulate.stimulus_board import Wired
from hushmeter.emulate.stimulus_machine import SimulatedMachine

BOARD = load_board("rpi_pico")
LEVEL_PIN, VOLTAGE_PIN, CURRENT_PIN, PULSE_PIN = 26, 28, 27, 15
LINE = {"uart": 1, "tx": 4, "rx": 5}
HALF = 2047.5
DRIVERS: dict[str, dict[str, Any]] = {
    "level": {"pin": LEVEL_PIN, "zero": 0, "num": 4095, "den": 65_535, "n": 4},
    "clamp": {
        "voltage_pin": VOLTAGE_PIN, "current_pin": CURRENT_PIN, "export": 1,
        "voltage_uv": round(400 / HALF * 1e6), "current_ua": round(141 / HALF * 1e6),
    },
    "pulse": {"pin": PULSE_PIN, "imp_per_kwh": 1000, "most_w": 25_000, "debounce_ms": 10,
              "silent_s": 500},
    "pzem": {**LINE, "unit": 1},
    "p1": {**LINE, "invert": 0, "most_w": 25_000, "export": 1},
}  # fmt: skip


class Output:
    """A pin that the generator drives, by a duty or a level."""

    def __init__(self, duty_u16: int = 0, value: int = 0, **more: Any) -> None:
        self.duty, self.level = duty_u16, value

    def duty_u16(self, duty: int) -> None:
        self.duty = duty

    def value(self, level: int) -> None:
        self.level = level


class Pin:
    """A number to an input's or a PWM's user, an output to who asks for one."""

    OUT = 1

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    def __call__(self, number: int, mode: int = 0, **more: Any) -> Any:
        return self._bench.output(number, **more) if mode == self.OUT else number


class Line:
    """The generator's end of a UART, and the peer at the driver's."""

    def __init__(self) -> None:
        self.heard = b""
        self.out: list[tuple[float, bytes]] = []
        self.now_s = 0.0

    def any(self) -> int:
        return len(self.heard)

    def read(self) -> bytes:
        data, self.heard = self.heard, b""
        return data

    def write(self, data: bytes) -> None:
        self.out.append((self.now_s, data))

    def receive(self, byte: int, now_s: float) -> None:
        self.heard += bytes((byte,))

    def next_out(self) -> tuple[float, bytes] | None:
        return self.out.pop(0) if self.out else None


class Bench:
    """A generator and a driver, and the wires between them."""

    def __init__(self, into: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.machine = SimulatedMachine()
        self.now_s = 0.0
        self.line = Line()
        self.outputs: dict[int, Output] = {}
        monkeypatch.setattr(device, "time", self)
        monkeypatch.setattr(port, "ticks_ms", self.machine.ticks_ms)
        hardware = SimpleNamespace(Pin=Pin(self), PWM=self.output, UART=lambda *a, **k: self.line)
        wired = Wired.of(BOARD, BOARD, into, {})
        self.generator: Any = device.GENERATORS[into](wired.settings, hardware)
        self.pins = {name: wired.settings.get(name) for name in ("pin", "current", "voltage")}
        for pin, name in ((LEVEL_PIN, "pin"), (CURRENT_PIN, "current"), (VOLTAGE_PIN, "voltage")):
            self.machine.adc[pin] = lambda now_s, name=name: self._converted(name, now_s)  # type: ignore[misc]
        self.machine.wire(LINE["uart"], self.line)
        self.machine.on_time.append(self._pass)
        self.driver: Any = drivers.make({"name": into, **DRIVERS[into]}, self.machine)

    def output(self, number: int, **more: Any) -> Output:
        return self.outputs.setdefault(number, Output(**more))

    def _converted(self, name: str, now_s: float) -> int:
        self._poll(now_s)
        return self.outputs[self.pins[name]].duty >> 4

    def _poll(self, now_s: float) -> None:
        self.now_s = self.line.now_s = max(self.now_s, now_s)
        self.generator.poll(self.ticks_ms())

    def _pass(self, second: float) -> None:
        """As seldom as on a busy board; by the millisecond where an edge would be late."""
        step_ms = 1 if self.pins["pin"] == PULSE_PIN else 7
        last_ms = math.floor(second * 1000 + 1e-6)
        for at_ms in range(math.ceil(self.now_s * 1000), last_ms + 1, step_ms):
            self._poll(at_ms / 1000)
            if self.pins["pin"] == PULSE_PIN:
                self.machine.now_s = max(self.machine.now_s, self.now_s)
                self.machine.Pin(PULSE_PIN).drive(self.outputs[PULSE_PIN].level)

    def ticks_ms(self) -> int:
        return int(self.now_s * 1000 + 1e-6)

    def ticks_us(self) -> int:
        """Wraps in the third second."""
        return int(self.now_s * 1e6 + (1 << 30) - 2.5e6) % (1 << 30)

    @staticmethod
    def ticks_diff(later: int, earlier: int) -> int:
        return (later - earlier + (1 << 29)) % (1 << 30) - (1 << 29)

    def read(self, seconds: int) -> list[int | None]:
        begin = round(self.machine.now_s)
        found = []
        for second in range(begin + 1, begin + seconds + 1):
            self.machine.run_to(second)
            found.append(self.driver.read())
        return found


@pytest.mark.parametrize(
    ("into", "loads", "settled", "tolerance_w"),
    [
        ("level", ((1234, 1000), (60, 1000)), 1, 2),
        ("clamp", ((3000, 1000), (2000, 500), (-1500, 1000), (1000, -800)), 1, 30),
        ("pulse", ((6000, 1000), (12_000, 1000)), 4, 100),
        ("pzem", ((1230, 1000), (500, 800)), 4, 1),
        ("p1", ((1230, 1000), (-700, 1000)), 4, 0),
    ],
)
def test_a_driver_reads_what_its_generator_plays(
    into: str,
    loads: tuple[tuple[int, int], ...],
    settled: int,
    tolerance_w: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench(into, monkeypatch)
    for watts, permille in loads:
        bench.generator.set(watts, permille)
        read = bench.read(settled + 4)[settled:]
        assert all(one is not None and abs(one - watts) <= tolerance_w for one in read), read
    assert not getattr(bench.driver, "faults", {})


def test_every_generator_is_held_to_its_driver() -> None:
    assert set(DRIVERS) == set(device.GENERATORS)
