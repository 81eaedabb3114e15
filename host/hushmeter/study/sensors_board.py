"""The sensors' drivers on an emulated board, with the same peers on its pins and wires.

One stretch a sensor: each load stands for some seconds, the driver is asked at whole seconds at the
interpreter's prompt, and the readings of the second half of the stretch are a point. There is no
time for a day here, so the day's figures are of this stretch; latency is not measured.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any

from hushmeter.assets import firmware_files
from hushmeter.devices.boards import load_board
from hushmeter.devices.bytecode import compile_files
from hushmeter.emulate.peers import buses, wires
from hushmeter.emulate.peers.ade7953 import ADDRESS, Ade7953
from hushmeter.emulate.peers.p1 import P1
from hushmeter.emulate.peers.pulse import PulseOutput
from hushmeter.emulate.peers.pzem import Pzem
from hushmeter.emulate.pico import EmulatedPico
from hushmeter.emulate.stimulus import Trace, even
from hushmeter.emulate.stimulus_mains import QuickMains
from hushmeter.study.sensors import Crossing, Day, Point, Progress, Sensor, SensorStudy
from hushmeter.study.sensors_limits import limits
from hushmeter.study.sensors_rigs import (
    CLAMP_LEAD_DEG,
    CURRENT_PIN,
    IMP_PER_KWH,
    LEVEL_PIN,
    PULSE_PIN,
    SENSORS,
    UART,
    VOLTAGE_PIN,
    calibration,
    transducer,
)  # fmt: skip

LOADS_W = (50, 500, 5000, 20_000)
QUICK_LOADS_W = (200, 5000)
EACH_S = 12
_LEAD_S = 2.0
_PROGRAM = """
import sys, time
sys.path.insert(0, "/lib")
from hushfw import drivers
driver = drivers.make({settings!r})
said, spent = [], []
began = time.ticks_ms()
for second in range(1, {count} + 1):
    time.sleep_ms(max(0, time.ticks_diff(began + 1000 * second, time.ticks_ms())))
    at = time.ticks_us()
    said.append(driver.read())
    spent.append(time.ticks_diff(time.ticks_us(), at))
print((said, max(spent), driver.sees_export, driver.faults if hasattr(driver, "faults") else {{}}))
"""


def study_on_board(  # noqa: PLR0913
    board: str,
    names: Sequence[str],
    day: Trace,
    day_source: str,
    gain: float,
    quick: bool,
    progress: Progress,
) -> SensorStudy:
    """Each sensor on an emulated board of this kind.

    Raises
    ------
    HushmeterError
        There is no such board, or it cannot be emulated here.
    """
    facts = load_board(board)
    sources = {
        name: path.read_bytes()
        for name, path in firmware_files().items()
        if name.startswith("hushfw/")
    }
    modules = {f"lib/{name}": data for name, data in compile_files(sources, facts).items()}
    loads_w = QUICK_LOADS_W if quick else LOADS_W
    found = {}
    for place, name in enumerate(names):
        progress(place, len(names))
        found[name] = _sensor(EmulatedPico(facts, files=modules), name, loads_w, gain)
    progress(len(names), len(names))
    return SensorStudy(f"an emulated {facts.name}", "the loads one after the other", found)


def _sensor(pico: EmulatedPico, name: str, loads_w: Sequence[float], gain: float) -> Sensor:
    kind = SENSORS[name]
    count = EACH_S * len(loads_w)
    with pico:
        began_s = pico.simulated_s + _LEAD_S
        shown = even([gain * watts for watts in loads_w], EACH_S, began_s)
        _WIRED[name](pico, shown)
        pico.run(max(0.0, began_s - 0.5 - pico.simulated_s))
        settings = {"name": name, **kind.settings, "calibration": calibration(kind, name)}
        program = _PROGRAM.format(settings=settings, count=count)
        start_s = pico.simulated_s
        said = ast.literal_eval(pico.execute(program, timeout_s=count + 30.0).strip())
    readings, spent_us, sees_export, faults = said
    # The program itself says when it began only roughly: to the second, which halves are for.
    late = round(start_s - began_s)
    points = []
    for place, watts in enumerate(loads_w):
        first = place * EACH_S + EACH_S // 2 - late
        known = [one for one in readings[first : first + EACH_S // 2 - 1] if one is not None]
        error = 100 * (fmean(known) / watts - 1) if known else None
        points.append(Point(watts, 1.0, error, limits(watts, 1.0)))
    missed = sum(one is None for one in readings)
    note = (
        f"{kind.about}; a reading took up to {spent_us / 1000:.1f} ms; faults: {faults or 'none'}"
    )
    counted = sum(one or 0 for one in readings)
    true_ws = sum(
        loads_w[second // EACH_S] for second, one in enumerate(readings) if one is not None
    )
    return Sensor(
        name, bool(sees_export), points, Day(count, counted, true_ws, missed, int(missed > 0)),
        None, Crossing(None, None, 0, 0), note,
    )  # fmt: skip


def _clamp(pico: EmulatedPico, trace: Trace) -> None:
    mains = QuickMains(trace, ct_lead_deg=CLAMP_LEAD_DEG)
    pico.drive_adc(VOLTAGE_PIN, mains.voltage_level)
    pico.drive_adc(CURRENT_PIN, mains.current_level)


def _level(pico: EmulatedPico, trace: Trace) -> None:
    pico.drive_adc(LEVEL_PIN, transducer(trace.watts, 1))


def _pulse(pico: EmulatedPico, trace: Trace) -> None:
    pico.attach(PulseOutput(trace.watts, imp_per_kwh=IMP_PER_KWH).connect(PULSE_PIN))


def _pzem(pico: EmulatedPico, trace: Trace) -> None:
    pico.attach(wires.uart(UART, Pzem(watts=trace.watts)))


def _p1(pico: EmulatedPico, trace: Trace) -> None:
    pico.attach(wires.uart(UART, P1(watts=trace.watts)))


def _ade7953(pico: EmulatedPico, trace: Trace) -> None:
    pins: Any = SENSORS["ade7953"].settings
    chip = Ade7953(trace.watts)
    pico.attach(buses.i2c(0, {ADDRESS: chip}, sda=pins["sda"], scl=pins["scl"]))


_WIRED: dict[str, Callable[[EmulatedPico, Trace], None]] = {
    "clamp": _clamp, "level": _level, "pulse": _pulse, "pzem": _pzem, "p1": _p1,
    "ade7953": _ade7953,
}  # fmt: skip
