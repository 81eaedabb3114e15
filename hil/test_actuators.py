"""A board drives a battery inverter that is simulated at the far end of its wires.

The inverter's books are its own; what the meter counts is compared with them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from hil import live_street
from hil.backends import DRIVEN_ADC, Board
from hil.live_street import START_S, LiveStreet
from hushmeter.emulate.peers import wires
from hushmeter.emulate.peers.battery import BatteryFacts
from hushmeter.emulate.peers.inverter import DEVICE_FAILURE, PwmInverter, SunSpecInverter
from hushmeter.emulate.pico import EmulatedPico
from hushmeter.link import Link

MEMBERS = 5
SLOT_S = 20
LEAD_S = 6
RATE_W = 500
REVERT_S = 3
PATIENCE_S = 120.0
BAUD = 9600
FACTS = BatteryFacts(rated_w=1000, capacity_wh=1000, charge_wh=500, delay_s=0.2)
WAY_S = 0.4
"""From a whole second to the first watt, with the inverter's delay."""

SECONDS = 6
ALONE = """
import time
from hushfw.drivers import sunspec
driver = sunspec.make(
    {"uart": %d, "tx": %d, "rx": %d, "baud": %d, "unit": 1, "rated_w": 1000}
)
began_ms = time.ticks_ms()
for second in range(%d):
    settled = driver.settle()
    print(int(settled), driver.tell(100 * second - 250, -1000), driver.fault)
    while time.ticks_diff(time.ticks_ms(), began_ms) < 1000 * (second + 1):
        time.sleep_ms(20)
        driver.poll()
print("DONE")
"""
"""The driver without the meter, which takes an emulated board long to boot."""

DUTY_W = (0, 600, -1000, 250)
BY_DUTY = """
import time
from hushfw.drivers import pwm
driver = pwm.make({"pin": %d, "ready_pin": %d, "rated_w": 1000})
time.sleep_ms(100)
for power_w in (0, 600, -1000, 250):
    told = driver.tell(power_w, -1000)
    time.sleep_ms(400)
    print(int(driver.settle()), told, driver.fault)
print("DONE")
"""


class House:
    """A live meter, the load at its pin, and its battery."""

    def __init__(self, board: Board, files: Mapping[str, bytes], street: LiveStreet) -> None:
        uart = board.facts.pins.uart
        assert uart is not None
        self.inverter = SunSpecInverter(FACTS)
        self.pico = cast(EmulatedPico, board.boot(files))
        self.pico.attach(wires.uart(uart.id, self.inverter, BAUD))
        self.link = Link(self.pico, timeout_s=PATIENCE_S, tries=1)
        boots = self.link.request("hello_request").fields["boots"]
        self.began_s = self.pico.simulated_s + LEAD_S
        self.link.request("clock", **street.clock(boots, (START_S - LEAD_S) * 1000))
        self.pico.drive_adc(26, self.watts)

    def watts(self, now_s: float) -> int:
        """Another load every second, changed in the middle between two samples."""
        return 600 + 37 * (int(now_s - self.began_s + LEAD_S + 0.5) * 7 % 30)

    def run_to(self, second: float) -> None:
        self.pico.run(self.began_s + second - self.pico.simulated_s)
        self.inverter.run(self.pico.simulated_s)

    def demand_ws(self, first: int, last: int) -> int:
        return sum(self.watts(self.began_s + s) for s in range(first, last))

    def truth_ws(self, first: int, last: int) -> float:
        energy = self.inverter.battery.energy_ws
        return energy(self.began_s + first, self.began_s + last)

    def steps(self, first: float, last: float) -> list[float]:
        """How long after its whole second each set-point arrived, s."""
        times = [at_s - self.began_s for at_s, _ in self.inverter.writes]
        return [at_s % 1 for at_s in times if first <= at_s < last]


def driving_files(board: Board, folder: Path) -> tuple[LiveStreet, dict[str, bytes]]:
    uart = board.facts.pins.uart
    assert uart is not None
    controller = {"name": "ls2", "capacity_wh": 500, "rate_w": RATE_W}
    street = LiveStreet(board.facts.name, MEMBERS + 1, SLOT_S, controller)
    files = live_street.enrolled(street, MEMBERS, folder)
    actuator: dict[str, Any] = {
        "name": "sunspec",
        "uart": uart.id,
        "tx": uart.tx,
        "rx": uart.rx,
        "baud": BAUD,
        "unit": 1,
        "rated_w": 1000,
        "revert_s": REVERT_S,
    }
    config = json.loads(files["config.json"]) | {"actuator": actuator}
    return street, files | {"config.json": json.dumps(config).encode()}


@pytest.mark.needs("uart", DRIVEN_ADC)
def test_every_set_point_arrives_and_is_acknowledged(board: Board) -> None:
    uart = board.facts.pins.uart
    assert uart is not None
    script = ALONE % (uart.id, uart.tx, uart.rx, BAUD, SECONDS)
    pico = cast(EmulatedPico, board.boot({}, main=script.encode()))
    inverter = SunSpecInverter(FACTS)
    pico.attach(wires.uart(uart.id, inverter, BAUD))
    said = b""
    while b"DONE" not in said and pico.simulated_s < 3 * SECONDS:
        said += pico.read(1.0)
    found = said.decode().split("\r\n")[:SECONDS]
    # The first second finds the inverter.
    wanted = [f"1 {100 * second - 250} None" for second in range(1, SECONDS)]
    assert found[1:] == wanted
    powers_w = [step / 10 for _, step in inverter.writes if step]
    assert powers_w == [100 * second - 250 for second in range(1, SECONDS)]


@pytest.mark.nightly("tests/drivers/test_pwm.py has the same on CPython")
@pytest.mark.needs("pwm", DRIVEN_ADC)
@pytest.mark.parametrize("refuses", [False, True])
def test_the_duty_is_the_power_while_the_inverters_line_is_high(
    board: Board, refuses: bool
) -> None:
    pin = board.facts.roles()["pwm"]
    script = BY_DUTY % (pin, pin + 1)
    pico = cast(EmulatedPico, board.boot({}, main=script.encode()))
    inverter = PwmInverter(FACTS)
    inverter.refuses = refuses
    pico.attach(wires.pwm(pin, pin + 1, inverter))
    said = b""
    while b"DONE" not in said and pico.simulated_s < 10:
        said += pico.read(1.0)
    found = said.decode().split("\r\n")[: len(DUTY_W)]
    powers_w = {round(power_w) for _, power_w, _ in inverter.battery.history}
    if refuses:
        assert found == ["0 None not_ready"] * len(DUTY_W)
        assert powers_w == {0}
    else:
        assert found == [f"1 {power_w} None" for power_w in DUTY_W]
        assert powers_w == set(DUTY_W)


@pytest.mark.nightly("tests/meter/test_failure_rule.py has the same on CPython")
@pytest.mark.needs("adc", "uart", DRIVEN_ADC)
def test_the_battery_follows_and_the_meter_counts_what_it_does(
    board: Board, tmp_path: Path
) -> None:
    street, files = driving_files(board, tmp_path / "enrolled")
    house = House(board, files, street)
    house.run_to(SLOT_S + 7)
    life = house.link.request("life_request").fields
    status = house.link.request("status_request").fields
    record = live_street.home_records(board.files())[0]
    assert (record["slot"], record["flags"], life["missed_samples"]) == (1, 0, 0)
    assert record["demand_ws"] == house.demand_ws(0, SLOT_S)
    truth_ws = house.demand_ws(0, SLOT_S) + house.truth_ws(0, SLOT_S)
    # Whole watt-hours are reported.
    assert abs(record["import_wh"] * 3600 - truth_ws) < 3600 + WAY_S * 2 * RATE_W
    late_s = house.steps(0, SLOT_S)
    assert len(late_s) == SLOT_S
    board.numbers["set_point_latest_ms"] = round(1000 * max(late_s))
    board.numbers["free_heap_bytes"] = status["free_heap_bytes"]
    board.numbers["worst_late_ms_driving"] = life["worst_late_ms"]


@pytest.mark.nightly("tests/meter/test_failure_rule.py has the same on CPython")
@pytest.mark.needs("adc", "uart", DRIVEN_ADC)
def test_an_inverter_that_fails_counts_as_idle(board: Board, tmp_path: Path) -> None:
    street, files = driving_files(board, tmp_path / "enrolled")
    house = House(board, files, street)
    house.run_to(SLOT_S + 4.5)
    house.inverter.faults.exception = DEVICE_FAILURE
    house.run_to(2 * SLOT_S - 5.5)
    assert house.inverter.battery.power_w == 0
    assert house.truth_ws(SLOT_S + 9, 2 * SLOT_S - 6) == 0
    house.inverter.faults.exception = 0
    house.run_to(2 * SLOT_S)
    assert house.truth_ws(2 * SLOT_S - 4, 2 * SLOT_S) != 0
    house.run_to(3 * SLOT_S + 7)
    records = live_street.home_records(board.files())
    assert [(r["slot"], r["flags"]) for r in records] == [(1, 0), (2, 0), (3, 0)]
    counted_ws = sum(r["import_wh"] for r in records) * 3600
    truth_ws = house.demand_ws(0, 3 * SLOT_S) + house.truth_ws(0, 3 * SLOT_S)
    bound_ws = 3600 + WAY_S * 2 * RATE_W + RATE_W * (REVERT_S + 1)
    assert abs(counted_ws - truth_ws) < bound_ws
