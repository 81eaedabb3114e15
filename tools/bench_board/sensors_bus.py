"""Pulse input and metering chip on an emulated board: lost pulses, time, error, latency, memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from hushmeter.devices.boards import Board, load_board
from hushmeter.emulate.peers.ade7953 import ADDRESS, Ade7953
from hushmeter.emulate.peers.buses import i2c, spi
from hushmeter.emulate.peers.pulse import PulseOutput
from hushmeter.emulate.pico import Attachment, EmulatedPico
from tools.bench_board.backends import ENTROPY_SEED, firmware_compiled, modules, script
from tools.bench_board.figures import Add, Rows, collect

SENSORS = "Pulse input and metering chip"
IMP_PER_KWH = 1000
LOADS_W = (100, 1000, 10_000)
_SPI_PINS = {"sck": 2, "mosi": 3, "miso": 4, "cs": 5}
_FAST_IMP = 100_000
_PULSE_WS = 3_600_000 / _FAST_IMP

MEANWHILE = {
    "at rest": "p.rest(300)",
    "while keys are agreed on": "p.agree()",
    "while memory is collected": "p.collect()",
}
HARD_HZ, SOFT_HZ = (500, 1000, 2000, 3000, 4000, 5000), (20, 50, 100, 200, 500, 1000)
"""Rates tried, pulses a second; the search ends at the first that loses one."""


def measure_bus(board: str, quick: bool) -> Rows:
    """Figures of both sensors; nothing where a board is not emulated with its pins."""
    facts = load_board(board)
    if facts.chip != "rp2040":
        return []

    def measure(add: Add) -> None:
        _measure_rates(facts, add, quick)
        _measure_readings(facts, add, LOADS_W[1:2] if quick else LOADS_W)
        _measure_chip(facts, add, 5 if quick else 30)

    return collect("pulse input and metering chip", None, measure)


@dataclass
class _Train:
    """Pulses at a rate that changes between runs."""

    hz: float = 0.0
    output: PulseOutput = field(init=False)

    def __post_init__(self) -> None:
        self.output = PulseOutput(watts=lambda now_s: self.hz * _PULSE_WS, imp_per_kwh=_FAST_IMP)


@contextmanager
def _prompt(facts: Board, wires: Sequence[Attachment]) -> Iterator[EmulatedPico]:
    files = modules(firmware_compiled(facts.name)) | script("pulse_input")
    pico = EmulatedPico(facts, entropy=ENTROPY_SEED, files=files)
    for wire in wires:
        pico.attach(wire)
    with pico:
        pico.execute("import sys\nsys.path.insert(0, '/lib')")
        yield pico


def _measure_rates(facts: Board, add: Add, quick: bool) -> None:
    train = _Train()
    pin = facts.roles()["pulse"]
    with _prompt(facts, [train.output.connect(pin)]) as pico:
        pico.execute("import pulse_input as p")
        for kind, hard, tried in (("hard", True, HARD_HZ), ("soft", False, SOFT_HZ)):
            for name, action in MEANWHILE.items():
                safe_hz = 0
                for hz in tried[:2] if quick else tried:
                    given, counted, _ = _counted(pico, train, f"{pin}, {hard}", hz, action)
                    if counted != given:
                        break
                    safe_hz = hz
                add(SENSORS, f"pulses a second without loss, {kind}, {name}", "pulses", safe_hz)
        _add_edge(pico, train, pin, add)


def _counted(
    pico: EmulatedPico, train: _Train, line: str, hz: int, action: str
) -> tuple[int, int, int]:
    """Pulses given and counted while something runs, and the time it took, us."""
    train.output.pulse_s = 0.45 / hz
    pico.execute(f"c = p.Counter({line})")
    before = train.output.pulses
    train.hz = float(hz)
    took_us = int(pico.execute(f"print(p.took_us(lambda: {action}))"))
    train.hz = 0.0
    pico.run(0.01 + 2 / hz)
    return train.output.pulses - before, int(pico.execute("print(c.counted())")), took_us


def _add_edge(pico: EmulatedPico, train: _Train, pin: int, add: Add) -> None:
    """How much longer a computation takes with two interrupts a pulse, and what that makes."""
    quiet_us = int(pico.execute("print(p.took_us(p.agree))"))
    given, _, busy_us = _counted(pico, train, f"{pin}, True", 1000, "p.agree()")
    edge_s = (busy_us - quiet_us) / 1e6 / (2 * given)
    add(SENSORS, "an interrupt", "s", edge_s)
    for watts in LOADS_W:
        note = f"{IMP_PER_KWH} imp/kWh"
        share_s = 2 * edge_s * watts * IMP_PER_KWH / 3_600_000
        add(SENSORS, f"interrupts in a second at {watts} W", "s", share_s, note=note)


def _measure_readings(facts: Board, add: Add, loads_w: Sequence[int]) -> None:
    pin = facts.roles()["pulse"]
    settings = {"name": "pulse", "pin": pin, "imp_per_kwh": IMP_PER_KWH, "most_w": 20_000}
    settings |= {"debounce_ms": 5, "silent_s": 200}
    note = f"{IMP_PER_KWH} imp/kWh"
    for watts in loads_w:
        steps_s: list[float] = []
        output = PulseOutput(watts=_step(watts, steps_s), imp_per_kwh=IMP_PER_KWH)
        with _prompt(facts, [output.connect(pin)]) as pico:
            _add_memory(pico, settings, add if watts == loads_w[0] else _nowhere)
            # The step comes in the middle of a second.
            before_s = 6 * 3600 // watts + 4
            after_s = 4 * 3600 // watts + 12
            steps_s.append(pico.simulated_s + before_s + 0.5)
            read = _each_second(pico, settings, before_s + after_s)
        found = [reading[0] for reading in read]
        late_s = _settled_s(found[before_s:], watts)
        add(SENSORS, f"latency of a step to {watts} W", "s", late_s + 0.5, note=note)
        steady = [abs(value - watts) for value in found[before_s + late_s :]]
        add(SENSORS, f"greatest error at {watts} W", "watts", max(steady), note=note)
        add(SENSORS, f"a reading at {watts} W", "s", [row[1] / 1e6 for row in read[-8:]])
        add(SENSORS, f"heap of a reading at {watts} W", "bytes", [row[2] for row in read[-8:]])


def _nowhere(*figures: Any, **named: Any) -> None:
    """Figures that were measured before."""


def _step(watts: int, at_s: Sequence[float]) -> Callable[[float], float]:
    return lambda now_s: float(watts) if at_s and now_s >= at_s[0] else watts / 2


def _settled_s(found: Sequence[int | None], watts: int) -> int:
    """The first second from which on every reading is right to 1 %, or to a watt."""
    near = [value is not None and abs(value - watts) <= max(1, watts // 100) for value in found]
    return next(at for at in range(len(near)) if all(near[at:]))


def _measure_chip(facts: Board, add: Add, seconds: int) -> None:
    roles = facts.roles()
    for name in ("I2C", "SPI"):
        chip = Ade7953(watts=lambda now_s: 1234.56)
        settings = {"name": "ade7953", "unit": 0, "full_mv": 400_000, "full_ma": 100_000}
        if name == "I2C":
            sda, scl = roles["i2c.sda"], roles["i2c.scl"]
            wire = i2c(0, {ADDRESS: chip}, sda, scl)
            settings |= {"bus": 0, "sda": sda, "scl": scl}
        else:
            wire = spi(0, _SPI_PINS["cs"], chip)
            settings |= {"bus": 1, **_SPI_PINS}
        with _prompt(facts, [wire]) as pico:
            _add_memory(pico, settings, add if name == "I2C" else _nowhere)
            read = _each_second(pico, settings, seconds)
        add(SENSORS, f"a reading of the chip over {name}", "s", [row[1] / 1e6 for row in read])
        add(SENSORS, f"heap of a reading over {name}", "bytes", [row[2] for row in read])
        # The first is of the time since it was set up, less than a second.
        errors = [abs(row[0] - 1234.56) for row in read[1:]]
        add(SENSORS, f"greatest error over {name}", "watts", max(errors), note="1234.56 W")


def _each_second(
    pico: EmulatedPico, settings: Mapping[str, Any], seconds: int
) -> list[tuple[Any, int, int]]:
    """(watts or None, us, bytes) of each reading."""
    code = f"import pulse_input as p, json\nq = json.loads('{json.dumps(settings)}')\n"
    said = pico.execute(f"{code}print(json.dumps(p.each_second(q, {seconds})))", 60.0 + seconds)
    return [(row[0], row[1], row[2]) for row in json.loads(said)]


def _add_memory(pico: EmulatedPico, settings: Mapping[str, Any], add: Add) -> None:
    """Before the script is imported, for that loads the driver."""
    name = settings["name"]
    code = (
        "import gc, json, machine\nimport hushfw.core.errors, hushfw.port, hushfw.drivers\n"
        f"q = json.loads('{json.dumps(settings)}')\ngc.collect()\nfree = gc.mem_free()\n"
        "driver = hushfw.drivers.make(q)\ndriver.read()\ngc.collect()\n"
        "print(free - gc.mem_free())"
    )
    add(SENSORS, f"driver {name} in memory", "bytes", int(pico.execute(code)))
