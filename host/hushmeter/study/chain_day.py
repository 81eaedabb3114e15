"""A home's day through the whole chain: sensor, meter, controller, inverter, battery, grid.

    plan = chain_plan(trace, seconds=86_400, controller="ls2")
    lived = live_through(plan, folder)
    lived.grid_w                     # the truth at the grid, one mean a second

The mains of the home, the battery and its inverter are simulated peers with a truth of their own;
everything between them is the device's firmware. In second t the meter reads the clamp for some
60 ms from t on, and tells the inverter what to do; the inverter follows after a delay. So

    grid_w[t] = mean of demand over [t, t+1) + mean of the battery's real power over [t, t+1)

is what a utility's meter would have seen, and what the home's own meter counts is set beside it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hushfw.drivers import clamp
from hushmeter.devices.boards import load_board
from hushmeter.emulate.peers.battery import BatteryFacts
from hushmeter.emulate.peers.inverter import SunSpecInverter
from hushmeter.emulate.stimulus import Trace, constant
from hushmeter.emulate.stimulus_machine import SimulatedMachine
from hushmeter.emulate.stimulus_mains import QuickMains
from hushmeter.leakage import design as designing
from hushmeter.leakage.distributions import discrete
from hushmeter.leakage.policy_file import Design
from hushmeter.study.chain_meter import ChainStreet, SimulatedMeter, street

Watts = NDArray[np.float64]
Progress = Callable[[int, int], None]

START_S = 1_700_006_400
BOARD = "pico"
SLOT_S = 600
LEAD_S = 3
"""From the clock's setting to the first second that counts. A meter looks for its inverter from its
first sample on, for more than a second, and until it has found it the battery is idle."""

CAPACITY_WH, RATE_W = 500, 500
EFFICIENCY_PERMILLE = 950
REAL_CAPACITY_WH = 1000.0
DELAY_S, RAMP_W_PER_S = 0.3, 5000.0
INVERTER_W = 5000
BAUD = 19_200
UART = {"uart": 1, "tx": 4, "rx": 5}
VOLTAGE_PIN, CURRENT_PIN = 28, 27
VOLTS_PER_STEP, AMPS_PER_STEP = 0.2, 0.0375
"""A transformer that fills the converter at 290 V, and a clamp that does at 54 A."""
CLAMP_LEAD_DEG = 1.5
_CALIBRATED_W, _CALIBRATED_S = 2300.0, 60
QUARTZ_PPM = 40.0
TOLD_EVERY_S = 3600

TABLE_QUANTUM_W = 500
TABLE_CAPACITY = 300
"""In quanta of a second: 42 Wh. A table must be in a meter's memory whole."""


@dataclass(frozen=True)
class ChainPlan:
    """What is run.

    Attributes
    ----------
    trace:
        The home's demand from second 0 on; power factors too.
    controller:
        Its label, and the device's object for it.
    tables:
        Files of the meter, by name.
    rated_w:
        Of the inverter.
    usable_wh:
        What of the battery the controller uses.
    """

    trace: Trace
    seconds: int
    label: str
    controller: Mapping[str, Any]
    rated_w: int
    usable_wh: float
    slot_s: int = SLOT_S
    tables: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    delay_s: float = DELAY_S
    seed: int = 1

    def parts(self) -> dict[str, Any]:
        """Driver, controller and actuator as a configuration has them."""
        return {
            "driver": {
                "name": "clamp",
                "voltage_pin": VOLTAGE_PIN,
                "current_pin": CURRENT_PIN,
                "voltage_uv": round(VOLTS_PER_STEP * 1e6),
                "current_ua": calibrated_ua(),
                "phase_mdeg": round(CLAMP_LEAD_DEG * 1000),
            },
            "controller": dict(self.controller),
            "actuator": {
                "name": "sunspec", **UART, "baud": BAUD, "unit": 1, "rated_w": self.rated_w,
            },
        }  # fmt: skip

    def chain_street(self) -> ChainStreet:
        """The meter's storage and its street; slot 1 begins at second 0."""
        return street(load_board(BOARD).name, START_S, self.slot_s, self.parts(), self.tables)

    def mains(self) -> QuickMains:
        """The home's mains and the clamp; its time 0 is the meter's power-up."""
        return QuickMains(
            self.trace,
            lead_s=LEAD_S,
            volts_per_step=VOLTS_PER_STEP,
            amps_per_step=AMPS_PER_STEP,
            ct_lead_deg=CLAMP_LEAD_DEG,
            seed=self.seed,
        )

    def inverter(self) -> SunSpecInverter:
        """The battery's inverter; its time 0 is the meter's power-up."""
        return SunSpecInverter(
            BatteryFacts(
                capacity_wh=REAL_CAPACITY_WH,
                charge_wh=REAL_CAPACITY_WH / 2,
                rated_w=self.rated_w,
                charge_efficiency=EFFICIENCY_PERMILLE / 1000,
                discharge_efficiency=EFFICIENCY_PERMILLE / 1000,
                delay_s=self.delay_s,
                ramp_w_per_s=RAMP_W_PER_S,
            ),
            byte_s=10 / BAUD,
        )


@cache
def calibrated_ua() -> int:
    """The clamp's gain as calibration at one load finds it: without, wide codes make it 0.6 %."""
    machine = SimulatedMachine()
    mains = QuickMains(
        constant(_CALIBRATED_W), volts_per_step=VOLTS_PER_STEP, amps_per_step=AMPS_PER_STEP, seed=99
    )
    machine.adc[VOLTAGE_PIN], machine.adc[CURRENT_PIN] = mains.voltage_level, mains.current_level
    nominal = {"voltage_uv": round(VOLTS_PER_STEP * 1e6), "current_ua": round(AMPS_PER_STEP * 1e6)}
    pins = {"voltage_pin": VOLTAGE_PIN, "current_pin": CURRENT_PIN}
    driver = clamp.make({**pins, **nominal}, machine)
    read: list[int] = []
    for second in range(1, _CALIBRATED_S):
        machine.run_to(second)
        read.append(int(driver.read()))
    return round(nominal["current_ua"] * _CALIBRATED_W * len(read) / sum(read))


def ls2_plan(trace: Trace, seconds: int, **changes: Any) -> ChainPlan:
    """The stepping controller LS2 with a battery of 500 Wh and 500 W."""
    controller = {"name": "ls2", "capacity_wh": CAPACITY_WH, "rate_w": RATE_W, **_losses()}
    return ChainPlan(trace, seconds, "ls2", controller, INVERTER_W, CAPACITY_WH, **changes)


def table_plan(trace: Trace, seconds: int, **changes: Any) -> ChainPlan:
    """The policy that leaks least for this day's law of load, taken as independent each second."""
    made = table_design(trace, seconds)
    needed = designing.needs(made)
    lost = 1000 / EFFICIENCY_PERMILLE
    # Losses ask for a little more of each.
    rate_w = int(max(needed.charge_rate_w, needed.discharge_rate_w) * lost * lost) + 1
    controller = {
        "name": "table",
        "capacity_wh": int(needed.capacity_wh * lost) + 2,
        "rate_w": rate_w,
        "quantum_w": made.quantum_w,
        "demand_levels": int(made.law.size),
        **_losses(),
    }
    return ChainPlan(
        trace, seconds, "table", controller, max(INVERTER_W, rate_w), needed.capacity_wh,
        tables={"table.bin": made.table()}, **changes,
    )  # fmt: skip


def table_design(trace: Trace, seconds: int) -> Design:
    """A policy for the demand's law in quanta of a second."""
    watts = np.array([trace.watts(float(second)) for second in range(seconds)])
    quanta = np.floor(np.maximum(watts, 0) / TABLE_QUANTUM_W).astype(np.int64)
    # The remainder of a quantum is carried on, so the level above is met too.
    counts = np.bincount(quanta, minlength=int(quanta.max()) + 2).astype(np.float64)
    share = np.clip(watts / TABLE_QUANTUM_W - quanta, 0, 1)
    law = counts.copy()
    np.add.at(law, quanta, -share)
    np.add.at(law, quanta + 1, share)
    law = np.maximum(law, 1e-6)
    return designing.battery(
        discrete(law / law.sum(), "the day's load"), TABLE_CAPACITY, 1, TABLE_QUANTUM_W
    )


def _losses() -> dict[str, int]:
    return {
        "charge_efficiency_permille": EFFICIENCY_PERMILLE,
        "discharge_efficiency_permille": EFFICIENCY_PERMILLE,
    }


PLANS: Mapping[str, Callable[..., ChainPlan]] = {"ls2": ls2_plan, "table": table_plan}


@dataclass(frozen=True)
class Lived:
    """A day that was lived through; all series have one entry a second, shape (seconds,).

    Attributes
    ----------
    demand_w, battery_w, grid_w:
        The truth: means over each second; the battery's positive where it charges.
    metered_w:
        The meter's readings; NaN where there was none.
    commanded_w:
        What the inverter was told in the second; NaN where nothing.
    records:
        The home's own log, a record a slot.
    """

    plan: ChainPlan
    demand_w: Watts
    battery_w: Watts
    metered_w: Watts
    commanded_w: Watts
    records: list[dict[str, int]]
    life: Mapping[str, Any]
    actuator: Mapping[str, Any]
    charge_wh: tuple[float, float]
    worst_clock_ms: float
    took_s: float

    @property
    def grid_w(self) -> Watts:
        found: Watts = self.demand_w + self.battery_w
        return found


def live_through(
    plan: ChainPlan, folder: Path, progress: Progress = lambda done, total: None
) -> Lived:
    """Runs a whole meter through the plan, in a folder of its own."""
    began = time.perf_counter()
    machine = SimulatedMachine()
    mains, inverter = plan.mains(), plan.inverter()
    machine.adc[VOLTAGE_PIN], machine.adc[CURRENT_PIN] = mains.voltage_level, mains.current_level
    machine.wire(UART["uart"], inverter)
    worst_ms = 0.0
    chain = plan.chain_street()
    with SimulatedMeter(folder, machine, chain, QUARTZ_PPM) as meter:
        _tell(meter)
        for second in range(plan.slot_s // 2, plan.seconds, TOLD_EVERY_S):
            # Not where a slot ends: the meter is quiet until its report has left.
            meter.run_to(LEAD_S + second + 0.5)
            _tell(meter)
            worst_ms = max(worst_ms, abs(meter.life()["clock_offset_ms"]))
            progress(second, plan.seconds)
        meter.run_to(LEAD_S + plan.seconds + plan.slot_s // 2 + 1)
        records, life, actuator = meter.records(), meter.life(), meter.actuator()
        seconds = meter.seconds
    inverter.run(machine.now_s)
    demand, battery = truth(plan, inverter)
    return Lived(
        plan=plan,
        demand_w=demand,
        battery_w=battery,
        metered_w=readings(seconds, plan.seconds),
        commanded_w=commands(inverter, plan),
        records=[one for one in records if one["slot"] <= plan.seconds // plan.slot_s],
        life=life,
        actuator=actuator,
        charge_wh=(inverter.battery.facts.charge_wh, inverter.battery.charge_wh),
        worst_clock_ms=worst_ms,
        took_s=time.perf_counter() - began,
    )


def _tell(meter: SimulatedMeter) -> None:
    meter.tell_time(lambda now_s: START_S * 1000 + round((now_s - LEAD_S) * 1000))


def truth(plan: ChainPlan, inverter: SunSpecInverter) -> tuple[Watts, Watts]:
    """Means of demand and of the battery's power over each second."""
    demand = [plan.trace.mean_w(second, second + 1) for second in range(plan.seconds)]
    battery = [
        inverter.battery.energy_ws(LEAD_S + second, LEAD_S + second + 1)
        for second in range(plan.seconds)
    ]
    return np.array(demand), np.array(battery)


def readings(seconds: list[tuple[int, int | None, bool]], count: int) -> Watts:
    """The meter's readings by their second; NaN where there is none."""
    found: Watts = np.full(count, np.nan)
    for unix_s, demand_w, clock_is_set in seconds:
        if clock_is_set and demand_w is not None and 0 <= unix_s - START_S < count:
            found[unix_s - START_S] = demand_w
    return found


def commands(inverter: SunSpecInverter, plan: ChainPlan) -> Watts:
    """What the inverter was told, by the second in which it was."""
    found: Watts = np.full(plan.seconds, np.nan)
    quantum_w = plan.rated_w / 10_000
    for at_s, step in inverter.writes:
        second = int(at_s - LEAD_S)
        if 0 <= second < plan.seconds and at_s >= LEAD_S:
            found[second] = step * quantum_w
    return found
