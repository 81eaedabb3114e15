"""The sensors on a serial line: time and memory of a reading, and how long a change takes to show.

The load steps between two levels at times that are spread over the second of the meter; the far end
is a simulated PZEM-004T or P1 port on a UART of the emulated board.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from hushmeter.devices.boards import Board
from hushmeter.emulate.peers import wires
from hushmeter.emulate.peers.p1 import P1
from hushmeter.emulate.peers.pzem import Pzem
from hushmeter.emulate.pico import EmulatedPico
from hushmeter.errors import HushmeterError
from tools.bench_board.backends import ENTROPY_SEED, firmware_compiled, make_backend, modules
from tools.bench_board.backends import script as device_script
from tools.bench_board.figures import Add, Rows, collect

SERIAL = "Sensors on a serial line"
LOW_W, HIGH_W = 500.0, 2500.0
STEP_S = 4.3
"""From step to step: no whole number of seconds, so that steps fall everywhere in one."""

LEAD_S = 4.0
QUICK_STEPS, STEPS = 3, 10


@dataclass(frozen=True)
class Sensor:
    """What is measured: the driver's settings besides its pins, and its far end."""

    name: str
    baud: int
    settings: dict[str, Any]
    peer: Callable[..., Any]
    pins: tuple[str, ...] = ("uart", "tx", "rx")


SENSORS = (
    Sensor("pzem", 9600, {"unit": 1}, Pzem),
    Sensor("p1", 115200, {"invert": 0, "export": True}, P1),
    Sensor(
        "p1, DSMR 2.2",
        9600,
        {"baud": 9600, "period_s": 10, "crc": 0},
        partial(P1, version=22, period_s=10.0),
    ),
)


@dataclass(frozen=True)
class Reading:
    """One reading: when it was asked for, s, and what it took."""

    at_s: float
    watts: int | None
    took_us: int
    drew_bytes: int


def load_w(start_s: float, now_s: float) -> float:
    """The load: it steps every ``STEP_S`` from ``start_s`` on."""
    return HIGH_W if math.floor((now_s - start_s) / STEP_S) % 2 else LOW_W


def measure_serial(board: str, quick: bool) -> Rows:
    """Every sensor's figures; none on a board without a UART."""
    facts = make_backend(board).facts
    if facts.pins.uart is None:
        return []
    sensors = SENSORS[:2] if quick else SENSORS

    def measure(add: Add) -> None:
        for sensor in sensors:
            measure_one(facts, sensor, QUICK_STEPS if quick else STEPS, add)

    return collect("sensors on a serial line", None, measure)


def measure_one(facts: Board, sensor: Sensor, steps: int, add: Add) -> None:
    """Read one sensor each second while its load steps."""
    uart = facts.pins.uart
    if uart is None:
        raise HushmeterError(f"{facts.name} has no UART")
    files = modules(firmware_compiled(facts.name)) | device_script("sensing_reads")
    with EmulatedPico(facts, entropy=ENTROPY_SEED, files=files) as pico:
        start_s = LEAD_S
        period_s = sensor.settings.get("period_s", 1)
        pico.attach(
            wires.uart(uart.id, sensor.peer(watts=partial(load_w, start_s)), baud=sensor.baud)
        )
        pins = {"uart": uart.id, "tx": uart.tx, "rx": uart.rx}
        named = {"name": sensor.name.partition(",")[0]} | pins | sensor.settings
        heap = int(pico.execute(f"import sensing_reads as s\ns.begin({named!r})"))
        readings = read_each_second(pico, start_s + steps * STEP_S + period_s + 3)
    settled = [reading for reading in readings if reading.at_s > start_s + period_s]
    case = sensor.name
    add(SERIAL, f"{case}: one reading", "s", [r.took_us / 1e6 for r in settled])
    add(SERIAL, f"{case}: drawn from the heap", "bytes", [r.drew_bytes for r in settled])
    add(SERIAL, f"{case}: driver and its modules", "bytes", heap)
    missing = sum(reading.watts is None for reading in settled)
    add(SERIAL, f"{case}: seconds without a reading", "seconds", missing)
    if period_s == 1:
        latency = latencies(readings, start_s, steps)
        add(SERIAL, f"{case}: from a change of load to its reading", "s", latency)


def read_each_second(pico: EmulatedPico, until_s: float) -> list[Reading]:
    """A reading at every whole second of simulated time."""
    readings = []
    while pico.simulated_s < until_s:
        pico.run(math.floor(pico.simulated_s) + 1 - pico.simulated_s)
        at_s = pico.simulated_s
        watts, _, took_us, drew = pico.execute("s.read()").split()
        value = None if watts == "None" else int(watts)
        readings.append(Reading(at_s, value, int(took_us), int(drew)))
    return readings


def latencies(readings: list[Reading], start_s: float, steps: int) -> list[float]:
    """From each step to the first reading that is nearer to the new level than to the old, s."""
    middle_w = (LOW_W + HIGH_W) / 2
    found = []
    for step in range(1, steps):
        at_s = start_s + step * STEP_S
        is_high = load_w(start_s, at_s + STEP_S / 2) > middle_w
        later = [r for r in readings if r.at_s >= at_s and r.watts is not None]
        shows = [r.at_s for r in later if r.watts is not None and (r.watts > middle_w) == is_high]
        found.append(shows[0] - at_s)
    return found
