"""Sensors on CPython: the device's drivers over a simulated `machine`, each with its peer.

    rigs = HostRigs(seed=1)
    rig = rigs("clamp", constant(1000.0, 0.8))
    rig.read(1)

What each sensor is, is in `SENSORS`: the settings of its driver and what its peer has wrong.
A clamp's lead is what its setting says, and its gain is calibrated at one load.
"""

from __future__ import annotations

import contextlib
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from statistics import fmean
from typing import Any

from hushfw import drivers
from hushfw import port as device_port
from hushmeter.emulate.peers.ade7953 import ADDRESS, Ade7953
from hushmeter.emulate.peers.p1 import P1
from hushmeter.emulate.peers.pulse import PulseOutput
from hushmeter.emulate.peers.pzem import Pzem
from hushmeter.emulate.stimulus import Trace
from hushmeter.emulate.stimulus import constant as constant_load
from hushmeter.emulate.stimulus_machine import SimulatedMachine
from hushmeter.emulate.stimulus_mains import QuickMains
from hushmeter.errors import HushmeterError
from hushmeter.study.sensors_limits import BASIC_A, VOLTAGE_V

LEVEL_PIN, VOLTAGE_PIN, CURRENT_PIN, PULSE_PIN, UART = 26, 28, 27, 15, 1
LEVEL_MOST_W = 25_000
LEVEL_ZERO = 2048 << 4 | 2048 >> 8
IMP_PER_KWH = 1000
CLAMP_LEAD_DEG = 1.5
_NOISE_STEPS = 1.0
_CALIBRATED_SEED, _CALIBRATED_S = 99, 100


@dataclass(frozen=True)
class Kind:
    """One kind of sensor.

    Attributes
    ----------
    settings:
        Of its driver, as in a configuration.
    about:
        What it is, and what is wrong with it here.
    knows_factor:
        Whether its error may depend on the load's power factor.
    pulses_per_kwh:
        0 for all but a pulse input: a reading of those takes some pulses.
    gain_of:
        The constant that calibration at one load, the basic current, finds; "" where none is done.
    """

    settings: Mapping[str, Any]
    about: str
    knows_factor: bool = True
    pulses_per_kwh: int = 0
    gain_of: str = ""


SENSORS: Mapping[str, Kind] = {
    "clamp": Kind(
        {
            "voltage_pin": VOLTAGE_PIN, "current_pin": CURRENT_PIN, "voltage_uv": 200_000,
            "current_ua": 75_000, "phase_mdeg": round(CLAMP_LEAD_DEG * 1000), "export": 1,
        },
        "clamp of 108 A and transformer on two pins of a 12-bit converter with the RP2040's wide "
        "codes and one step of noise; its phase is known and its gain calibrated at 2.3 kW",
        gain_of="current_ua",
    ),
    "level": Kind(
        {
            "pin": LEVEL_PIN, "zero": LEVEL_ZERO, "num": LEVEL_MOST_W,
            "den": 65_535 - LEVEL_ZERO, "n": 16, "export": 1,
        },
        "transducer of 25 kW either way on one pin of a 12-bit converter, one step of noise",
        knows_factor=False,
    ),
    "pulse": Kind(
        {
            "pin": PULSE_PIN, "imp_per_kwh": IMP_PER_KWH, "most_w": 25_000, "debounce_ms": 10,
            "silent_s": 500,
        },
        "1000 impulses a kWh of a meter without error; no reading below 7.2 W",
        knows_factor=False, pulses_per_kwh=IMP_PER_KWH,
    ),
    "pzem": Kind(
        {"uart": UART, "tx": 4, "rx": 5, "unit": 1},
        "module without an error but its steps of 0.1 W; it sees no direction",
    ),
    "p1": Kind(
        {"uart": UART, "tx": 4, "rx": 5, "invert": 0, "most_w": 25_000, "export": 1},
        "DSMR 5 telegrams each second of a meter without an error but its steps of 1 W",
        knows_factor=False,
    ),
    "ade7953": Kind(
        {
            "bus": 0, "unit": 0, "sda": 20, "scl": 21, "full_mv": 400_000, "full_ma": 100_000,
            "export": 1,
        },
        "metering chip of 400 V and 100 A at full scale, without an error but its counts",
    ),
}  # fmt: skip


@dataclass
class HostRig:
    """A driver, its peer and their machine."""

    driver: Any
    machine: SimulatedMachine
    kind: Kind

    @property
    def sees_export(self) -> bool:
        return bool(self.driver.sees_export)

    @property
    def knows_factor(self) -> bool:
        return self.kind.knows_factor

    @property
    def about(self) -> str:
        return self.kind.about

    def span_s(self, watts: float) -> tuple[int, int]:
        """Seconds until its readings are of a load, and seconds of readings for a mean."""
        if not self.kind.pulses_per_kwh:
            return 5, 30
        pulse_s = 3.6e6 / self.kind.pulses_per_kwh / max(1.0, abs(watts))
        return 5 + round(3 * pulse_s), 30 + round(20 * pulse_s)

    def read(self, second: int) -> int | None:
        """The driver's reading at a whole second, of the machine's own ticks."""
        self.machine.run_to(second)
        with _ticks_of(self.machine):
            reading = self.driver.read()
        return None if reading is None else int(reading)


@dataclass(frozen=True)
class HostRigs:
    """Makes rigs.

    Attributes
    ----------
    gain:
        What the sensor shows is so many times the truth: an error that must be found.
    """

    seed: int = 1
    gain: float = 1.0
    kinds: Mapping[str, Kind] = field(default_factory=lambda: SENSORS)

    def __call__(self, name: str, trace: Trace) -> HostRig:
        """A rig of a sensor that is shown a trace from second 0 on.

        Raises
        ------
        HushmeterError
            There is no such sensor.
        """
        if name not in self.kinds:
            raise HushmeterError(f"no sensor {name!r}; there are {', '.join(self.kinds)}")
        return self.made(name, trace, calibration(self.kinds[name], name))

    def made(self, name: str, trace: Trace, constants: Mapping[str, int]) -> HostRig:
        """A rig with these constants of calibration."""
        kind = self.kinds[name]
        machine = SimulatedMachine()
        _WIRED[name](machine, trace, self)
        settings = {"name": name, **kind.settings, "calibration": dict(constants)}
        with _ticks_of(machine):
            driver = drivers.make(settings, machine)
        return HostRig(driver, machine, kind)

    def shown_w(self, trace: Trace) -> Callable[[float], float]:
        """The trace's watts with the gain's error."""
        if self.gain == 1.0:
            return trace.watts
        return lambda now_s: self.gain * trace.watts(now_s)


def calibration(kind: Kind, name: str) -> dict[str, int]:
    """The constants that calibration finds; {} where none is done."""
    return {kind.gain_of: _gain(name, kind.gain_of)} if kind.gain_of else {}


@cache
def _gain(name: str, constant: str) -> int:
    """The constant with which a good sensor reads the basic current's load right."""
    watts = VOLTAGE_V * BASIC_A
    rig = HostRigs(seed=_CALIBRATED_SEED).made(name, constant_load(watts), {})
    readings = [rig.read(second) for second in range(1, _CALIBRATED_S + 1)]
    known = [reading for reading in readings if reading is not None]
    nominal = int(SENSORS[name].settings[constant])
    return round(nominal * watts / fmean(known))


@contextlib.contextmanager
def _ticks_of(machine: SimulatedMachine) -> Iterator[None]:
    port: Any = device_port
    plain = port.ticks_ms
    port.ticks_ms = machine.ticks_ms
    try:
        yield
    finally:
        port.ticks_ms = plain


def _clamp(machine: SimulatedMachine, trace: Trace, rigs: HostRigs) -> None:
    mains = QuickMains(trace, ct_lead_deg=CLAMP_LEAD_DEG, gain=rigs.gain, seed=rigs.seed)
    machine.adc[VOLTAGE_PIN], machine.adc[CURRENT_PIN] = mains.voltage_level, mains.current_level


def transducer(watts: Callable[[float], float], seed: int) -> Callable[[float], int]:
    """What a converter reads of a transducer of 25 kW either way."""
    chance = random.Random(seed)

    def level(now_s: float) -> int:
        steps = 2048 + watts(now_s) * 2048 / LEVEL_MOST_W + chance.gauss(0.0, _NOISE_STEPS)
        return min(4095, max(0, round(steps)))

    return level


def _level(machine: SimulatedMachine, trace: Trace, rigs: HostRigs) -> None:
    machine.adc[LEVEL_PIN] = transducer(rigs.shown_w(trace), rigs.seed)


def _pulse(machine: SimulatedMachine, trace: Trace, rigs: HostRigs) -> None:
    machine.drive(PULSE_PIN, PulseOutput(rigs.shown_w(trace), imp_per_kwh=IMP_PER_KWH))


def _pzem(machine: SimulatedMachine, trace: Trace, rigs: HostRigs) -> None:
    factor = abs(trace.power_factors[0])
    machine.wire(UART, Pzem(watts=rigs.shown_w(trace), power_factor=factor))


def _p1(machine: SimulatedMachine, trace: Trace, rigs: HostRigs) -> None:
    machine.wire(UART, P1(watts=rigs.shown_w(trace)))


def _ade7953(machine: SimulatedMachine, trace: Trace, rigs: HostRigs) -> None:
    chip = Ade7953(rigs.shown_w(trace), power_factor=trace.power_factor, seed=rigs.seed)
    machine.chips(0, {ADDRESS: chip})


_WIRED: Mapping[str, Callable[[SimulatedMachine, Trace, HostRigs], None]] = {
    name: getattr(sys.modules[__name__], f"_{name}") for name in SENSORS
}
