"""A stretch of the chain on an emulated board, second by second beside the same on CPython.

The emulated board runs the firmware as it is compiled for it, on the same storage, with the same
peers on its pins and its UART. Its readings differ from those of CPython in what the converter's
moments and noise differ; what is counted here is by how much.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hushmeter.assets import firmware_files
from hushmeter.devices.boards import load_board
from hushmeter.devices.bytecode import STAY_SOURCE, compile_files
from hushmeter.emulate.peers import wires
from hushmeter.emulate.pico import EmulatedPico
from hushmeter.emulate.stimulus import Trace
from hushmeter.emulate.stimulus_machine import SimulatedMachine
from hushmeter.link import Link
from hushmeter.study.chain_day import (
    BOARD,
    CURRENT_PIN,
    LEAD_S,
    PLANS,
    START_S,
    UART,
    VOLTAGE_PIN,
    ChainPlan,
    Watts,
    live_through,
    readings,
)  # fmt: skip
from hushmeter.study.chain_meter import SimulatedMeter, home_records

_PATIENCE_S = 120.0
_AFTER_S = 12
_SLOT_S = 60
_RECORD = "<Ii"
_NO_READING = -(1 << 31)
_LOG_FILE = "seconds.bin"
MAIN = b"""
import struct
from hushfw import live
plain = live.LiveSlots.sample
gathered = bytearray()
def sample(self, second, demand_w, clock_is_set):
    if clock_is_set:
        gathered.extend(struct.pack("<Ii", second, -(1 << 31) if demand_w is None else demand_w))
    plain(self, second, demand_w, clock_is_set)
    if len(gathered) >= 80:
        with open("seconds.bin", "ab") as file:
            file.write(gathered)
        gathered[:] = b""
live.LiveSlots.sample = sample
from hushfw import app
app.main()
"""
"""The meter's program, and a file of what each sample was."""


def excerpt(trace: Trace, seconds: int, controller: str) -> dict[str, Any]:
    """Both runs of the same stretch, compared."""
    plan = PLANS[controller](trace, seconds, slot_s=min(_SLOT_S, seconds))
    with tempfile.TemporaryDirectory(prefix="hushmeter-chain-") as folder:
        here = live_through(plan, Path(folder))
    there = on_board(plan)
    return {
        "board": BOARD,
        "controller": controller,
        "seconds": seconds,
        **_readings(here.metered_w, there["metered_w"]),
        **_commands(here.commanded_w, there["commanded_w"]),
        "grid_rms_difference_w": _rms(here.grid_w - there["grid_w"]),
        "energy_error_percent": _error(there["metered_w"], here.demand_w),
        "energy_error_percent_here": _error(here.metered_w, here.demand_w),
        **there["figures"],
    }


def enrolled(plan: ChainPlan) -> dict[str, bytes]:
    """The meter's storage with its roster, enrolled on CPython to save a slow board that."""
    chain = plan.chain_street()
    machine = SimulatedMachine()
    mains = plan.mains()
    machine.adc[VOLTAGE_PIN], machine.adc[CURRENT_PIN] = mains.voltage_level, mains.current_level
    machine.wire(UART["uart"], plan.inverter())
    with tempfile.TemporaryDirectory(prefix="hushmeter-chain-") as folder:
        with SimulatedMeter(Path(folder), machine, chain):
            pass
        return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def on_board(plan: ChainPlan) -> dict[str, Any]:
    """The stretch on the emulated board: readings, commands, the truth at the grid, figures."""
    facts = load_board(BOARD)
    source = {name: path.read_bytes() for name, path in firmware_files().items()}
    kept = {name: data for name, data in source.items() if name in STAY_SOURCE}
    firmware = compile_files(source, facts) | kept
    pico = EmulatedPico(facts, entropy=1, files=firmware | enrolled(plan) | {"main.py": MAIN})
    began: list[float] = []
    late = _Late(plan, began)
    pico.drive_adc(VOLTAGE_PIN, late.voltage_level)
    pico.drive_adc(CURRENT_PIN, late.current_level)
    inverter = plan.inverter()
    pico.attach(wires.uart(UART["uart"], inverter))
    chain = plan.chain_street()
    with pico:
        link = Link(pico, timeout_s=_PATIENCE_S, tries=1)
        boots = link.request("hello_request").fields["boots"]
        began.append(pico.simulated_s + LEAD_S)
        link.request("clock", **chain.clock(boots, (START_S - LEAD_S) * 1000))
        pico.run(began[0] + plan.seconds + _AFTER_S - pico.simulated_s)
        while link.pump(0.05):
            pass
        life = link.request("life_request").fields
        heap = link.request("status_request").fields["free_heap_bytes"]
        reports = sum(one.name == "report" for one in link.unasked())
        files = pico.files()
    inverter.run(pico.simulated_s)
    return {
        "metered_w": readings(_logged(files), plan.seconds),
        "commanded_w": _told(inverter.writes, plan, began[0]),
        "grid_w": _grid(plan, inverter, began[0]),
        "figures": {
            "reports": reports,
            "free_heap_bytes": heap,
            "missed_samples": life["missed_samples"],
            "failed_samples": life["failed_samples"],
            "worst_late_ms": life["worst_late_ms"],
            "slots": [one["slot"] for one in home_records(files)],
        },
    }


class _Late:
    """The plan's mains, whose time 0 is known once the clock was told."""

    def __init__(self, plan: ChainPlan, began: list[float]) -> None:
        self._began = began
        self._mains = plan.mains()

    def voltage_level(self, now_s: float) -> int:
        return self._mains.voltage_level(now_s)

    def current_level(self, now_s: float) -> int:
        if self._began and self._mains.lead_s != self._began[0]:
            self._mains.lead_s = self._began[0]
        return self._mains.current_level(now_s)


def _logged(files: Mapping[str, bytes]) -> list[tuple[int, int | None, bool]]:
    data = files.get(_LOG_FILE, b"")
    size = struct.calcsize(_RECORD)
    rows = struct.iter_unpack(_RECORD, data[: len(data) // size * size])
    return [(second, None if watts == _NO_READING else watts, True) for second, watts in rows]


def _told(writes: list[tuple[float, int]], plan: ChainPlan, began_s: float) -> Watts:
    found: Watts = np.full(plan.seconds, np.nan)
    for at_s, step in writes:
        second = int(np.floor(at_s - began_s))
        if 0 <= second < plan.seconds:
            found[second] = step * plan.rated_w / 10_000
    return found


def _grid(plan: ChainPlan, inverter: Any, began_s: float) -> Watts:
    battery = [
        inverter.battery.energy_ws(began_s + second, began_s + second + 1)
        for second in range(plan.seconds)
    ]
    demand = [plan.trace.mean_w(second, second + 1) for second in range(plan.seconds)]
    found: Watts = np.array(demand) + np.array(battery)
    return found


def _readings(here: Watts, there: Watts) -> dict[str, Any]:
    both = ~np.isnan(here) & ~np.isnan(there)
    apart = np.abs(here - there)[both]
    return {
        "compared": int(both.sum()),
        "same_readings": int((apart == 0).sum()),
        "within_2_w": int((apart <= 2).sum()),
        "worst_difference_w": float(apart.max()) if apart.size else None,
        "rms_difference_w": _rms(apart),
        "mean_difference_w": float((there - here)[both].mean()) if apart.size else None,
    }


def _commands(here: Watts, there: Watts) -> dict[str, Any]:
    both = ~np.isnan(here) & ~np.isnan(there)
    apart = np.abs(here - there)[both]
    return {
        "compared_commands": int(both.sum()),
        "same_commands": int((apart < 1e-6).sum()),
        "commands_within_5_w": int((apart <= 5).sum()),
        "worst_command_difference_w": float(apart.max()) if apart.size else None,
        "commands_rms_difference_w": _rms(apart),
    }


def _rms(values: Watts) -> float | None:
    return float(np.sqrt((values**2).mean())) if values.size else None


def _error(metered: Watts, demand: Watts) -> float | None:
    known = ~np.isnan(metered)
    true = float(demand[known].sum())
    return 100 * (float(metered[known].sum()) / true - 1) if true else None
