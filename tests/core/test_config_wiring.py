"""One pin and one UART are for one thing: what cannot be wired is refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from hushfw.core import config
from hushfw.core.errors import HushError
from tests.core.test_config import GOOD

PZEM: dict[str, Any] = {"name": "pzem", "export": False, "uart": 0, "tx": 0, "rx": 1, "unit": 1}
CLAMP: dict[str, Any] = {
    "name": "clamp",
    "export": True,
    "voltage_pin": 26,
    "current_pin": 27,
    "voltage_uv": 200_000,
    "current_ua": 40_000,
}
SUNSPEC: dict[str, Any] = {
    "name": "sunspec",
    "uart": 1,
    "tx": 4,
    "rx": 5,
    "baud": 9600,
    "unit": 1,
    "rated_w": 3000,
}
PWM: dict[str, Any] = {"name": "pwm", "pin": 16, "ready_pin": 17, "rated_w": 3000}
I2C: dict[str, Any] = {
    "name": "ade7953", "export": False, "bus": 0, "unit": 0, "sda": 4, "scl": 5,
    "full_mv": 400_000, "full_ma": 100_000,
}  # fmt: skip


def checked(driver: dict[str, Any], actuator: Any, watchdog_ms: int = 8000) -> dict[str, Any]:
    controller = {"name": "none"} if driver["export"] else GOOD["controller"]
    parts = {"driver": driver, "actuator": actuator, "controller": controller}
    parts["watchdog_ms"] = watchdog_ms
    return dict(config.check(GOOD | parts))


@pytest.mark.parametrize("driver", [PZEM, CLAMP])
@pytest.mark.parametrize("actuator", [SUNSPEC, PWM, "log", "none"])
def test_a_sensor_and_an_actuator_with_their_own_pins_are_taken(
    driver: dict[str, Any], actuator: Any
) -> None:
    assert checked(driver, actuator)["driver"] == driver


@pytest.mark.parametrize(
    ("driver", "actuator", "field"),
    [
        (PZEM, SUNSPEC | {"uart": 0}, "actuator.uart"),
        (PZEM, SUNSPEC | {"rx": 1}, "actuator.rx"),
        (PZEM | {"rx": 0}, "none", "driver.tx"),
        (CLAMP, PWM | {"ready_pin": 27}, "actuator.ready_pin"),
        (I2C, SUNSPEC, "actuator.rx"),
        (I2C | {"scl": 4}, "log", "driver.sda"),
    ],
)
def test_what_two_would_share_is_refused_by_name(
    driver: dict[str, Any], actuator: Any, field: str
) -> None:
    with pytest.raises(HushError) as refused:
        checked(driver, actuator)
    assert refused.value.code == "bad_config"
    assert refused.value.message.startswith(field + ": ")


@pytest.mark.parametrize("margin", [0, 9])
def test_a_duty_that_a_cut_wire_shows_too_is_no_set_point(margin: int) -> None:
    with pytest.raises(HushError, match="margin_permille"):
        checked(CLAMP, PWM | {"margin_permille": margin})


def test_an_output_that_goes_on_by_itself_needs_a_watchdog() -> None:
    assert checked(CLAMP, SUNSPEC, 0)["watchdog_ms"] == 0
    with pytest.raises(HushError, match="watchdog_ms: must be above 0: pwm goes on"):
        checked(CLAMP, PWM, 0)
