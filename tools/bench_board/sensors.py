"""Load sensors on an emulated board: the clamp's samples, times, memory and error."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from contextlib import contextmanager

from hushmeter.devices.boards import load_board
from hushmeter.emulate.peers.mains import Mains
from hushmeter.emulate.pico import EmulatedPico
from tools.bench_board.backends import (
    ENTROPY_SEED,
    TIMEOUT_S,
    firmware_compiled,
    make_backend,
    modules,
    script,
)
from tools.bench_board.figures import Add, Rows, collect

CLAMP = "Clamp and voltage on two analogue pins"
VOLTAGE_PIN, CURRENT_PIN = 27, 26
AMPS_PER_STEP = 0.13
"""A clamp of 200 A, so that 20 kW at a power factor of 0.5 do not clip; 100 A have 0.075."""

WATTS, QUICK_WATTS = (5.0, 50.0, 500.0, 5000.0, 20_000.0), (5.0, 20_000.0)
FACTORS = (1.0, 0.8, 0.5)
PAUSE_S = 0.02


class Pins:
    """What the board's two pins see, and when they were looked at."""

    def __init__(self) -> None:
        self.mains = Mains()
        self.taken_s: list[float] = []

    def drive(self, pico: EmulatedPico) -> None:
        """Connect both pins of a board."""
        pico.drive_adc(VOLTAGE_PIN, lambda now_s: self._sample(True, now_s))
        pico.drive_adc(CURRENT_PIN, lambda now_s: self._sample(False, now_s))

    def _sample(self, voltage: bool, now_s: float) -> int:
        self.taken_s.append(now_s)
        return self.mains.voltage_level(now_s) if voltage else self.mains.current_level(now_s)

    def gaps_us(self) -> list[float]:
        """Time between samples of one window."""
        pairs = zip(self.taken_s, self.taken_s[1:], strict=False)
        return [1e6 * (b - a) for a, b in pairs if b - a < PAUSE_S]


@contextmanager
def clamped(board: str, pins: Pins) -> Iterator[EmulatedPico]:
    """A board at its prompt with the firmware, its pins connected."""
    files = modules(firmware_compiled(board)) | script("clamping")
    with EmulatedPico(load_board(board), entropy=ENTROPY_SEED, files=files) as pico:
        pins.drive(pico)
        yield pico


def measure_clamp(board: str, quick: bool) -> Rows:
    """Times, memory and error of the clamp; nothing on a board that has no pins."""

    def measure(add: Add) -> None:
        facts = make_backend(board).facts
        if facts.chip == "host":
            return
        pins = Pins()
        with clamped(facts.name, pins) as pico:
            run = f"import clamping\nclamping.start({round(AMPS_PER_STEP * 1e6)})"
            module_bytes, own_bytes = map(int, pico.execute(run, TIMEOUT_S).split())
            add(CLAMP, "modules", "bytes", module_bytes)
            add(CLAMP, "driver and its buffer", "bytes", own_bytes)
            _add_times(pico, pins, 2 if quick else 10, add)
            _add_errors(pico, pins, quick, add)

    return collect("the clamp", None, measure)


def readings(pico: EmulatedPico, count: int) -> list[list[int]]:
    """Watts, microseconds in all and for the sums, bytes and cycles of each reading."""
    lines = pico.execute(f"import clamping\nclamping.read({count})", TIMEOUT_S).splitlines()
    return [[int(word) for word in line.split()] for line in lines]


def _add_times(pico: EmulatedPico, pins: Pins, count: int, add: Add) -> None:
    pins.mains = Mains(watts=2000.0, power_factor=0.8, amps_per_step=AMPS_PER_STEP, seed=1)
    # The first window is longer, since it does not know the mains' frequency.
    readings(pico, 1)
    pins.taken_s.clear()
    found = readings(pico, count)
    gaps_us = pins.gaps_us()
    _, whole_us, sums_us, used, cycles = (list(column) for column in zip(*found, strict=True))
    per_cycle = [sums / each for sums, each in zip(sums_us, cycles, strict=True)]
    add(CLAMP, "pairs a mains cycle", "pairs", 1e6 / 50 / (2 * statistics.fmean(gaps_us)))
    add(CLAMP, "longest less shortest spacing", "s", (max(gaps_us) - min(gaps_us)) / 1e6)
    add(CLAMP, "a reading", "s", [us / 1e6 for us in whole_us], note="window and sums")
    add(CLAMP, "sums of a window", "s", [us / 1e6 for us in sums_us])
    add(CLAMP, "sums of a mains cycle", "s", [us / 1e6 for us in per_cycle])
    add(CLAMP, "share of time", "%", [us / 1e4 for us in whole_us], note="one reading a second")
    add(CLAMP, "left on the heap by a reading", "bytes", used)


def _add_errors(pico: EmulatedPico, pins: Pins, quick: bool, add: Add) -> None:
    for nonlinear in (False, True):
        converter = "with RP2040-E11" if nonlinear else "linear converter"
        for factor in FACTORS:
            for watts in QUICK_WATTS if quick else WATTS:
                pins.mains = Mains(
                    watts=watts,
                    power_factor=factor,
                    amps_per_step=AMPS_PER_STEP,
                    nonlinear=nonlinear,
                    seed=2,
                )
                found = [row[0] - watts for row in readings(pico, 1 if quick else 5)]
                case = f"error at {watts:g} W, power factor {factor:g}, {converter}"
                add(CLAMP, case, "W", found, note="200 A clamp, one step of noise")
