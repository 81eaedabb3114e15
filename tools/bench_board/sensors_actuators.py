"""What driving a battery takes of a board: time of each second, latency and memory."""

from __future__ import annotations

from hushmeter.emulate.peers import wires
from hushmeter.emulate.peers.battery import BatteryFacts
from hushmeter.emulate.peers.inverter import SunSpecInverter
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

ACTUATORS = "Actuators"
BAUD = 9600
FACTS = BatteryFacts(rated_w=1000, delay_s=0.2)
_SCALES = {"us": (1e-6, "s"), "ms": (1e-3, "s"), "bytes": (1, "bytes")}


def measure_actuators(board: str, quick: bool) -> Rows:
    """The SunSpec actuator at 9600 baud, with an inverter that replies after 20 ms.

    Nothing on a board without a UART.
    """
    facts = make_backend(board).facts
    uart = facts.pins.uart
    if uart is None:
        return []

    def measure(add: Add) -> None:
        inverter = SunSpecInverter(FACTS)
        files = modules(firmware_compiled(facts.name)) | script("driving")
        seconds = 6 if quick else 20
        where = f"{uart.id}, {uart.tx}, {uart.rx}, {BAUD}"
        pico = EmulatedPico(facts, entropy=ENTROPY_SEED, files=files)
        pico.attach(wires.uart(uart.id, inverter, BAUD))
        with pico:
            said = pico.execute(f"import driving\ndriving.run({seconds}, {where})", TIMEOUT_S)
        for line in said.splitlines():
            case, unit, samples = line.split("\t")
            scale, unit = _SCALES[unit]
            found = [int(sample) * scale for sample in samples.split()]
            note = "" if unit == "bytes" else f"SunSpec at {BAUD} baud"
            add(ACTUATORS, case, unit, found, note=note)

    return collect("actuators", None, measure)
