"""The SunSpec actuator against a simulated inverter: what it commands, and what it believes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hushfw import port
from hushfw.core.errors import HushError
from hushfw.drivers import sunspec
from hushmeter.emulate.peers import inverter as sim
from hushmeter.emulate.peers.battery import Battery, BatteryFacts
from hushmeter.emulate.peers.inverter import SunSpecInverter
from tests.drivers.fake_uart import FakeMachine

ANY_W = -1_000_000
POLL_S = 0.03
STARTS_S = 6
"""Seconds within which an inverter that answers is found and driven."""


class Bench:
    """A driver, an inverter and a second after the other."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, inverter: SunSpecInverter, **settings: int
    ) -> None:
        self.inverter = inverter
        self.machine = FakeMachine({1: inverter})
        monkeypatch.setattr(port, "ticks_ms", self.machine.ticks_ms)
        wanted = {"uart": 1, "tx": 4, "rx": 5, "baud": 9600, "unit": 1, "rated_w": 3000}
        self.driver = sunspec.make(wanted | settings, self.machine)
        self.seconds = 0

    def second(self, power_w: int, least_w: int = ANY_W, polls: bool = True) -> int | None:
        """Tell a set-point, let a second pass; the power commanded if it was acknowledged."""
        commanded: int | None = self.driver.tell(power_w, least_w)
        self.seconds += 1
        while polls and self.machine.now_s + POLL_S < self.seconds:
            self.machine.run(POLL_S)
            self.driver.poll()
        self.machine.run(self.seconds - self.machine.now_s)
        self.inverter.run(self.machine.now_s)
        return commanded if self.driver.settle() else None

    def start(self, polls: bool = True) -> None:
        for _ in range(STARTS_S):
            self.second(0, polls=polls)
            if self.driver.settle():
                return
        raise AssertionError(self.driver.fault)


Make = Callable[..., Bench]


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Make:
    def made(inverter: SunSpecInverter | None = None, **settings: int) -> Bench:
        return Bench(monkeypatch, inverter or SunSpecInverter(), **settings)

    return made


@pytest.mark.parametrize("base", [40_000, 50_000, 0])
@pytest.mark.parametrize("polls", [True, False])
def test_the_model_is_found_wherever_the_map_begins(make: Make, base: int, polls: bool) -> None:
    bench = make(SunSpecInverter(base=base))
    for _ in range(12):
        bench.second(0, polls=polls)
    assert bench.driver.settle()
    assert bench.driver.state()["model_at"] == base + 2 + 68 + 52


def test_charging_and_discharging_arrive_with_both_limits_pinned(make: Make) -> None:
    bench = make()
    bench.start()
    for power_w in (1200, -800, 0, 3000, -3000):
        assert bench.second(power_w) == power_w
        assert bench.inverter.battery.power_w == power_w
        out, into = bench.inverter.storage[sim.OUT_W_RTE], bench.inverter.storage[sim.IN_W_RTE]
        assert (out + into) & 0xFFFF == 0


@pytest.mark.parametrize("scale", [-2, -1, 0, 1])
def test_what_is_counted_is_what_was_commanded_and_energy_is_right_in_the_long_run(
    make: Make, scale: int
) -> None:
    bench = make(SunSpecInverter(BatteryFacts(rated_w=5000, capacity_wh=50_000), scale=scale))
    bench.start()
    quantum_w = 5000 * 10**scale / 100
    assert bench.driver.state()["quantum_mw"] == quantum_w * 1000
    begin_s, wished, counted = bench.machine.now_s, 0, 0
    for second in range(60):
        power_w = 777 if second < 30 else -333
        commanded_w = bench.second(power_w)
        assert commanded_w is not None
        assert abs(commanded_w - power_w) <= quantum_w + 1
        wished, counted = wished + power_w, counted + commanded_w
    truth_ws = bench.inverter.battery.energy_ws(begin_s, bench.machine.now_s)
    assert abs(counted - wished) <= quantum_w + 2
    # A set-point arrives some tens of milliseconds after the second has begun.
    assert abs(counted - truth_ws) < 0.06 * (2 * 1110 + 60 * quantum_w) + 1


@pytest.mark.parametrize("scale", [-2, 0, 1])
def test_without_export_no_rounding_gives_more_than_the_home_draws(make: Make, scale: int) -> None:
    bench = make(SunSpecInverter(BatteryFacts(rated_w=5000), scale=scale))
    bench.start()
    for demand_w in (0, 1, 49, 50, 51, 120, 700, 3, 0, 999):
        commanded_w = bench.second(-demand_w, -demand_w)
        assert commanded_w is not None
        assert demand_w + commanded_w >= 0
        assert bench.inverter.battery.power_w >= -demand_w


def test_nothing_beyond_the_rated_power_is_ever_commanded(make: Make) -> None:
    bench = make(rated_w=2000)
    bench.start()
    assert bench.second(4000) == 2000
    assert bench.second(-4000) == -2000


def lose(name: str, value: Any = True) -> Callable[[Bench], None]:
    return lambda bench: setattr(bench.inverter.faults, name, value)


FAULTS = {
    "silent": lose("silent"),
    "deaf": lose("deaf"),
    "bad crc": lose("bad_crc"),
    "cut": lose("cut", 3),
    "another unit": lose("other_unit"),
    "refuses": lose("exception", sim.DEVICE_FAILURE),
    "lags": lose("reply_s", 0.6),
    "lags for more than a second": lose("reply_s", 1.3),
    "acknowledges and ignores": lose("ignores"),
    "is off": lambda bench: bench.inverter.restart(bench.machine.now_s, 30),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_fails_is_not_acknowledged_and_falls_back_to_idle(make: Make, fault: str) -> None:
    bench = make()
    bench.start()
    assert bench.second(1500) == 1500
    FAULTS[fault](bench)
    assert bench.second(1400) is None
    assert bench.driver.fault is not None
    for _ in range(5):
        assert bench.second(0) is None
    assert bench.inverter.battery.power_w == 0
    assert sum(bench.driver.faults.values()) > 0


@pytest.mark.parametrize("fault", FAULTS)
def test_it_goes_on_when_the_fault_is_over(make: Make, fault: str) -> None:
    bench = make()
    bench.start()
    FAULTS[fault](bench)
    for _ in range(4):
        bench.second(500)
    bench.inverter.faults = sim.Faults()
    for _ in range(31):
        bench.second(0)
    assert bench.second(-900) == -900
    assert bench.driver.fault is None
    assert bench.inverter.battery.power_w == -900


def test_a_restart_too_short_to_be_heard_is_found_by_reading_back(make: Make) -> None:
    bench = make()
    bench.start()
    bench.second(1500)
    bench.inverter.restart(bench.machine.now_s)
    assert bench.second(1500) is None
    assert bench.driver.faults["restarted"] == 1
    assert bench.inverter.battery.power_w == 0


def test_a_battery_that_is_empty_or_full_does_not_follow(make: Make) -> None:
    for charge_wh, power_w, fault in ((0, -500, "empty"), (100, 500, "full")):
        bench = make(SunSpecInverter(BatteryFacts(capacity_wh=100, charge_wh=charge_wh)))
        bench.start()
        assert bench.second(power_w) is None
        assert bench.driver.fault == fault
        for _ in range(3):
            bench.second(0)
        assert bench.second(-power_w) == -power_w


def test_a_lost_read_back_does_not_take_the_acknowledgement_away(make: Make) -> None:
    bench = make()
    bench.start()
    bench.driver.tell(700, ANY_W)
    for _ in range(2):
        bench.machine.run(0.1)
        bench.driver.poll()
    bench.inverter.faults.deaf = True
    bench.machine.run(0.8)
    assert bench.driver.settle()
    assert bench.inverter.battery.power_w == 700


def test_where_nothing_could_be_sent_the_set_point_before_does_not_go_on(make: Make) -> None:
    bench = make()
    bench.start()
    bench.driver.tell(700, ANY_W)
    for _ in range(2):
        bench.machine.run(0.1)
        bench.driver.poll()
    bench.inverter.faults.deaf = True
    bench.machine.run(0.8)
    assert bench.driver.settle()
    bench.inverter.faults.deaf = False
    # The line rests after the read-back that was lost.
    assert bench.driver.tell(700, ANY_W) is None
    for _ in range(6):
        bench.machine.run(0.08)
        bench.driver.poll()
    bench.inverter.run(bench.machine.now_s)
    assert bench.inverter.battery.power_w == 0


def test_one_lost_read_back_costs_no_second(make: Make) -> None:
    bench = make()
    bench.start()
    assert bench.second(700) == 700
    bench.driver.tell(700, ANY_W)
    polled_s = bench.machine.now_s
    while bench.machine.now_s < polled_s + 0.95:
        bench.machine.run(0.08)
        bench.driver.poll()
        bench.inverter.faults.deaf = 0.08 <= bench.machine.now_s - polled_s < 0.5
    bench.seconds += 1
    bench.machine.run(bench.seconds - bench.machine.now_s)
    assert bench.driver.settle()
    assert sum(bench.driver.faults.values()) == 1
    assert bench.second(650) == 650


def test_a_meter_that_dies_leaves_an_idle_battery(make: Make) -> None:
    bench = make(revert_s=4)
    bench.start()
    bench.second(2000)
    bench.machine.run(3.5)
    bench.inverter.run(bench.machine.now_s)
    assert bench.inverter.battery.power_w == 0


@pytest.mark.parametrize(
    ("point", "value", "fault"),
    [
        (sim.RVRT_TMS, sim.ABSENT, "no_timeout"),
        (sim.CHA_GRI_SET, 0, "pv_only"),
        (sim.W_CHA_MAX, 2000, "rating"),
        (sim.IN_OUT_W_RTE_SF, 3, "scale"),
        (0, 125, "no_model"),
    ],
)
def test_an_inverter_that_cannot_be_driven_safely_is_not_driven(
    make: Make, point: int, value: int, fault: str
) -> None:
    inverter = SunSpecInverter()
    inverter.storage[point] = value
    bench = make(inverter)
    for _ in range(10):
        assert bench.second(1000) is None
    assert fault in bench.driver.faults
    assert inverter.writes == []


def test_a_second_fits_at_the_slowest_rate_with_the_longest_lag(make: Make) -> None:
    inverter = SunSpecInverter(byte_s=10 / 4800)
    inverter.faults.reply_s = 0.34
    bench = make(inverter, baud=4800, most_lag_ms=350)
    bench.start()
    for _ in range(20):
        assert bench.second(1000) == 1000
    assert bench.driver.faults == {}
    assert bench.driver.state()["charge_permille"] >= 500


def test_a_board_without_that_uart_is_told_so() -> None:
    settings = {"uart": 2, "tx": 4, "rx": 5, "baud": 9600, "unit": 1, "rated_w": 3000}
    with pytest.raises(HushError, match="no UART 2 with tx on pin 4"):
        sunspec.make(settings, FakeMachine({}))


def follow(bench: Bench, power_w: int, seconds: int) -> int:
    """Ask for this power wherever the second before was acknowledged; how often it counted."""
    counted, follows = 0, True
    for _ in range(seconds):
        commanded_w = bench.second(power_w if follows else 0)
        follows = commanded_w is not None
        counted += bool(commanded_w)
    return counted


def test_a_battery_that_holds_counts_less_and_less_and_at_once_when_it_moves(make: Make) -> None:
    bench = make(SunSpecInverter(BatteryFacts(delay_s=1e9)))
    bench.start()
    assert follow(bench, 1000, 600) <= 3 * 8
    assert bench.inverter.battery.grid_ws == 0
    assert bench.driver.fault == "holding"
    bench.inverter.battery = Battery(BatteryFacts())
    bench.inverter.battery.advance(bench.machine.now_s)
    follow(bench, 1000, 520)
    assert follow(bench, 1000, 50) == 50
    assert bench.driver.fault is None
    assert bench.driver._pause_s == 0


@pytest.mark.parametrize("scale", [0x7FFF, 0x8001, 2])
def test_a_charge_with_a_scale_of_nothing_is_unknown_and_takes_no_time(
    make: Make, scale: int
) -> None:
    bench = make()
    bench.inverter.storage[sim.CHA_STATE_SF] = scale
    bench.start()
    assert bench.second(700) == 700
    assert bench.driver.state()["charge_permille"] == -1
