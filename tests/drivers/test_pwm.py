"""The actuator with a duty cycle: nothing is claimed without the inverter's line."""

from __future__ import annotations

import pytest

from hushfw.core.errors import HushError
from hushfw.drivers import pwm
from hushmeter.emulate.peers.battery import BatteryFacts
from hushmeter.emulate.peers.inverter import PwmInverter

RATED_W = 4000
ANY_W = -1_000_000


class Bench:
    """A `machine`: its output leads to a simulated inverter, its input to the inverter's line."""

    class Pin:
        IN, PULL_DOWN = 0, 2
        bench: Bench

        def __init__(self, number: int, *mode: int) -> None:
            if number > 29:
                raise ValueError("invalid pin")

        def value(self) -> int:
            return int(self.bench.inverter.ready and self.bench.wired)

    def __init__(self) -> None:
        self.Pin.bench = self
        self.inverter = PwmInverter(BatteryFacts(rated_w=RATED_W))
        self.now_s = 0.0
        self.wired = True

    def PWM(self, pin: object, freq: int, duty_u16: int) -> Bench:  # noqa: N802 (its name)
        self.duty_u16(duty_u16)
        return self

    def duty_u16(self, level: int) -> None:
        self.inverter.duty(level / 65536, self.now_s)

    def second(self, driver: pwm.Pwm, power_w: int, least_w: int = ANY_W) -> int | None:
        commanded: int | None = driver.tell(power_w, least_w)
        self.now_s += 1
        self.inverter.battery.advance(self.now_s)
        return commanded if driver.settle() else None


@pytest.fixture
def bench() -> Bench:
    return Bench()


def make(bench: Bench) -> pwm.Pwm:
    return pwm.make({"pin": 15, "ready_pin": 16, "rated_w": RATED_W}, bench)


def test_the_duty_is_the_power_and_one_half_is_idle(bench: Bench) -> None:
    driver = make(bench)
    quantum_w = driver.state()["quantum_mw"] / 1000
    assert quantum_w < 1
    for power_w in (0, 1, -1, 1234, -3999, RATED_W, -RATED_W):
        assert bench.second(driver, power_w) == power_w
        assert abs(bench.inverter.battery.power_w - power_w) <= quantum_w + 0.1


def test_beyond_the_rated_power_and_below_the_least_nothing_is_commanded(bench: Bench) -> None:
    driver = make(bench)
    assert bench.second(driver, 9000) == RATED_W
    assert bench.second(driver, -9000) == -RATED_W
    assert bench.second(driver, -500, -200) == -200


def test_without_its_line_nothing_is_acknowledged_and_the_duty_is_idle(bench: Bench) -> None:
    driver = make(bench)
    bench.wired = False
    assert bench.second(driver, 1000) is None
    assert driver.fault == "not_ready"
    assert bench.inverter.battery.power_w == 0
    bench.wired = True
    assert bench.second(driver, 1000) == 1000
    assert driver.fault is None


def test_a_line_that_falls_for_a_moment_makes_the_second_idle(bench: Bench) -> None:
    driver = make(bench)
    driver.tell(1000, ANY_W)
    bench.wired = False
    driver.poll()
    assert bench.inverter.battery.power_w == 0
    bench.wired = True
    assert not driver.settle()
    assert driver.faults == {"not_ready": 1}


def test_a_cut_wire_is_no_set_point(bench: Bench) -> None:
    bench.inverter.duty(0.9, 0)
    assert bench.inverter.battery.power_w > 0
    for level in (0.0, 1.0):
        bench.inverter.duty(level, 0)
        assert bench.inverter.battery.power_w == 0


def test_a_pin_that_the_board_does_not_have_is_named(bench: Bench) -> None:
    with pytest.raises(HushError, match="no PWM on pin 99"):
        pwm.make({"pin": 99, "ready_pin": 16, "rated_w": RATED_W}, bench)
