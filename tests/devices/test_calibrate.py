"""Fits of calibrations: what is found of a sensor whose errors are known, and what is refused."""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hushfw.core import calibration as device
from hushfw.core.peripherals import ACTUATORS, LOADS
from hushfw.drivers import FAULTS
from hushmeter.devices import calibration, calibration_plan, findings, sensor_advice, wiring
from hushmeter.devices.boards import load_board
from hushmeter.devices.calibration import Load, fit
from hushmeter.devices.constants import recipe_of
from hushmeter.errors import HushmeterError

TRUE_W = (0.0, 5.0, 60.0, 250.0, 1000.0, 2300.0, 7000.0)


def bent(true_w: float) -> float:
    """A sensor with an offset, a wrong gain, and a bend."""
    return 4 + 0.97 * true_w - 2e-6 * true_w**2


def loads(*true_w: float, noise_w: float = 0.0, seed: int = 1) -> list[Load]:
    chance = np.random.default_rng(seed)
    return [Load(bent(w) + noise_w * chance.normal(), w) for w in true_w or TRUE_W]


def refusal(driver: str, some: list[Load]) -> HushmeterError:
    with pytest.raises(HushmeterError) as caught:
        fit(driver, some)
    assert caught.value.hint or "beyond" in caught.value.message
    return caught.value


def test_what_was_measured_is_corrected_to_a_watt_and_the_rest_lies_between() -> None:
    found = fit("level", loads())
    assert found.constants == {} and len(found.points) == len(TRUE_W)
    assert all(abs(row.after_w) <= 1 for row in found.residuals)
    for true_w in (30, 500, 1500, 4000):
        said_w = calibration.corrected(found.points, bent(true_w))
        assert said_w is not None and abs(said_w - true_w) < 0.01 * true_w
    before, after = found.to_dict()["rms_before_w"], found.to_dict()["rms_left_out_w"]
    assert before > 100 > 30 > after


def test_a_residual_of_a_load_left_out_is_no_flattery() -> None:
    """Noise goes through every point, so residuals vanish; those left out have the noise."""
    found = fit("level", loads(*range(0, 3000, 250), noise_w=20.0))
    said = found.to_dict()
    assert said["rms_after_w"] < 1 and said["rms_left_out_w"] > 10


def test_more_loads_than_points_are_fitted_by_least_squares() -> None:
    true_w = [float(w) for w in np.linspace(0, 9000, 60)]
    found = fit("level", loads(*true_w, noise_w=10.0))
    assert len(found.points) == device.MOST_POINTS
    assert found.to_dict()["rms_after_w"] < 10
    assert found.to_dict()["rms_left_out_w"] < 14


def test_a_load_measured_again_is_one_point() -> None:
    found = fit("level", loads(0, 1000, 1000, 1001, 2000))
    assert len(found.points) == 3


def test_what_is_found_is_what_a_meter_takes() -> None:
    data = fit("level", loads()).calibration(3, 1_800_000_000, b"abcd")
    made = device.parse(data)
    assert (made.version, made.driver, made.settings) == (3, "level", b"abcd")


@pytest.mark.parametrize(
    ("some", "word"),
    [
        ([], "0 load"),
        (loads(100), "1 load"),
        ([Load(100, 100), Load(100, 101)], "all loads read the same"),
        ([Load(100, 100), Load(101, 300)], "one of the two is wrong"),
        ([Load(0, 0), Load(100, 200), Load(200, 150)], "must rise"),
        ([Load(0, 0), Load(100, 900)], "it rises 900 W for 100 W"),
        ([Load(0, 0), Load(-990, 1000)], "1000 W true were read as -990 W"),
        ([Load(0, 0), Load(1e6, 1000)], "no home"),
        ([Load(0, 0), Load(math.nan, 1000)], "no home"),
    ],
)
def test_loads_that_cannot_be_right_are_refused(some: list[Load], word: str) -> None:
    assert word in refusal("level", some).message


CLAMP = {"voltage_uv": 310_000, "current_ua": 24_500, "phase_mdeg": 2_400}


def clamp_load(va: float, factor: float, seed: int = 0, volts: float = 230.0) -> Load:
    """What a clamp of these constants has raw, of a load with this power factor."""
    angle = math.copysign(math.acos(abs(factor)), factor)
    power = va * np.exp(1j * angle)
    gain = CLAMP["voltage_uv"] * CLAMP["current_ua"] / (256 * 1e12)
    raw = power / gain * np.exp(-1j * math.radians(CLAMP["phase_mdeg"] / 1000))
    noise = np.random.default_rng(seed).normal(size=2) * 0.3 / gain
    quantities = {
        "voltage_q8": 256e6 * volts / CLAMP["voltage_uv"],
        "real_q8": raw.real + noise[0],
        "reactive_q8": raw.imag + noise[1],
    }
    return Load(raw.real * gain * 1.05, power.real, None, quantities, volts, None, factor)


def test_a_clamps_constants_are_found_from_volts_watts_and_power_factors() -> None:
    some = [clamp_load(va, f, seed) for seed, (va, f) in enumerate(
        [(60, 1), (500, 1), (2000, 1), (6000, 1), (700, 0.6), (300, -0.7)]
    )]  # fmt: skip
    found = fit("clamp", some)
    for name, wanted in CLAMP.items():
        assert abs(found.constants[name] - wanted) <= max(0.003 * wanted, 60), name
    assert all(abs(row.after_w) < 3 for row in found.residuals)
    assert device.parse(found.calibration(1, 0, b"abcd")).constants == dict(found.constants)


def test_a_clamps_recipe_says_what_the_drivers_formula_says() -> None:
    clamp = importlib.import_module("hushfw.drivers.clamp")
    recipe = recipe_of("clamp")
    assert recipe is not None and set(clamp.CALIBRATED) == set(CLAMP)
    load = clamp_load(2000, 0.5)
    assert recipe.watts(load, CLAMP, {}) == pytest.approx(load.true_w, abs=1)


def test_a_clamp_without_volts_or_power_factor_is_told_what_to_read() -> None:
    some = [clamp_load(va, 1) for va in (100, 1000, 3000)]
    assert "volts" in refusal("clamp", [replace(x, true_v=None) for x in some]).message
    assert "power factor" in refusal("clamp", [replace(x, power_factor=None) for x in some]).message
    assert "0.05 to 1" in str(
        pytest.raises(HushmeterError, fit, "clamp", [replace(x, power_factor=2) for x in some])
    )
    mixed = [some[0], replace(some[1], raw={})]
    assert "either" in refusal("clamp", mixed).message


def test_constants_beyond_a_drivers_bounds_are_no_calibration() -> None:
    some = [clamp_load(va, 1) for va in (100, 1000, 3000)]
    wild = [replace(x, true_v=1e5) for x in some]
    assert "voltage_uv must be" in refusal("clamp", wild).message


def test_loads_without_raw_quantities_leave_the_constants_as_they_are() -> None:
    found = fit("clamp", loads(0, 500, 2000), CLAMP)
    assert found.constants == CLAMP and len(found.points) == 3


def chip_load(true_w: float, factor: float, gain: float, lead_rad: float) -> Load:
    var = math.copysign(abs(true_w) * math.tan(math.acos(abs(factor))), factor)
    read_w = gain * (true_w * math.cos(lead_rad) + var * math.sin(lead_rad))
    return Load(read_w, true_w, None, {"energy": read_w}, power_factor=factor)


def test_a_metering_chips_gain_and_phase_are_found_and_added_to_those_in_use() -> None:
    lead_rad = 20 * 2 * math.pi * 50 * 1.117e-6
    some = [chip_load(w, f, 1.04, lead_rad) for w, f in ((40, 1), (900, 1), (3000, 1), (800, 0.5))]
    current = {"watt_gain": 4_000_000, "phase": -7}
    found = fit("ade7953", some, current)
    assert abs(found.constants["watt_gain"] - 4_000_000 / 1.04) < 40
    assert abs(found.constants["phase"] - 13) <= 1
    assert all(abs(row.after_w) < 2 for row in found.residuals)
    resistive = fit("ade7953", some[:3], current)
    assert resistive.constants["phase"] == -7


def test_every_driver_with_constants_has_a_recipe_for_exactly_these() -> None:
    for name in LOADS:
        bounds = importlib.import_module(f"hushfw.drivers.{name}").__dict__.get("CALIBRATED", {})
        assert (recipe_of(name) is not None) == bool(bounds), name


def test_every_fault_has_its_advice() -> None:
    assert set(FAULTS) == set(sensor_advice.SENSOR_ADVICE)
    modbus = importlib.import_module("hushfw.core.modbus")
    missing = set(modbus.FAULTS) - {"exception"} - set(sensor_advice.ACTUATOR_ADVICE)
    assert not missing
    assert sensor_advice.advice_of("new one") and sensor_advice.actuator_advice_of("new one")


def test_words_about_faults_are_taken_apart_and_rubbish_is_left_out() -> None:
    said = sensor_advice.spelled({"words": b"silent;silent 3,bad_crc 12;sunspec;off;off 2"})
    assert said == {
        "fault": "silent", "faults": {"silent": 3, "bad_crc": 12},
        "actuator": "sunspec", "actuator_fault": "off", "actuator_faults": {"off": 2},
    }  # fmt: skip
    odd = sensor_advice.spelled({"words": b"\x1b[31m;\xff 3,silent x,<b> 4,cut 2"})
    assert "\x1b" not in odd["fault"]
    assert (odd["faults"], odd["actuator"]) == ({"cut": 2}, "")


def test_a_plan_is_read_with_and_without_readings(tmp_path: Path) -> None:
    path = tmp_path / "loads.csv"
    path.write_text("true_w,read_w,power_factor\n0,3,\n500,,0.9\n")
    first, second = calibration_plan.read(path)
    assert (first.true_w, first.read_w, first.power_factor) == (0, 3, None)
    assert (second.read_w, second.power_factor) == (None, 0.9)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "has no column true_w"),
        ("watts\n3\n", "has no column true_w"),
        ("true_w,colour\n3,red\n", "'colour' is not known"),
        ("true_w\n", "has no loads"),
        ("true_w\nmuch\n", "line 2: true_w is 'much'"),
        ("true_w\nnan\n", "line 2"),
        ("true_w,read_w\n,3\n", "line 2: true_w is empty"),
        ("true_w\n3,4\n", "more fields"),
        ('true_w\n"3\n', "is not CSV"),
    ],
)
def test_a_plan_that_is_none_is_refused_with_its_line(tmp_path: Path, text: str, word: str) -> None:
    path = tmp_path / "loads.csv"
    path.write_text(text)
    with pytest.raises(HushmeterError, match=word):
        calibration_plan.read(path)


def everything(name: str, table: dict[str, Any]) -> dict[str, int]:
    """Every setting that has to be given, at its least."""
    pins = set(wiring.WIRING[name].settings) | set(wiring.WIRING[name].fixed)
    return {setting: least for setting, (least, _) in table.items() if setting not in pins}


def parts() -> Iterator[tuple[str, dict[str, Any], dict[str, Any], Any]]:
    for name, (_, needed, optional) in LOADS.items():
        yield name, needed, optional, wiring.sensor_settings
    for name, (needed, optional) in ACTUATORS.items():
        yield name, needed, optional, wiring.actuator_settings


def test_every_sensor_and_actuator_gets_its_pins_from_every_board_that_can_have_it() -> None:
    for name, needed, optional, settings in parts():
        given = everything(name, needed)
        for board in ("rpi_pico", "rpi_pico_w", "esp32_generic", "esp32_s3"):
            made = settings(load_board(board), name, given)
            assert made["name"] == name and set(needed) <= set(made)
            assert set(made) <= {"name", *needed, *optional}
        with pytest.raises(HushmeterError, match="board unix has no"):
            settings(load_board("unix"), name, given)


def test_what_is_missing_or_unknown_is_named_with_its_bounds() -> None:
    pico = load_board("pico")
    with pytest.raises(HushmeterError, match="also needs imp_per_kwh, most_w") as caught:
        wiring.sensor_settings(pico, "pulse", {"debounce_ms": 20, "silent_s": 60})
    assert "driver.imp_per_kwh=N, with N from 1 to 100000" in str(caught.value.hint)
    with pytest.raises(HushmeterError, match="has no setting colour"):
        wiring.sensor_settings(pico, "level", {"colour": 3})
    with pytest.raises(HushmeterError, match="no actuator 'crane'; known actuators: none, log"):
        wiring.actuator_settings(pico, "crane", {})
    assert wiring.sensor_settings(pico, "pzem", {"unit": 1, "uart": 0, "tx": 0, "rx": 1})["tx"] == 0


def test_a_sensor_and_an_actuator_on_one_uart_are_refused() -> None:
    pico = load_board("pico")
    pzem = wiring.sensor_settings(pico, "pzem", {"unit": 1})
    inverter = wiring.actuator_settings(pico, "sunspec", {"baud": 9600, "unit": 1, "rated_w": 3000})
    with pytest.raises(HushmeterError, match="both on UART 1"):
        wiring.check_apart(pzem, inverter)
    wiring.check_apart(pzem, inverter | {"uart": 0, "tx": 0, "rx": 1})
    wiring.check_apart(pzem, "log")


def provisioned(*arguments: str) -> Any:
    """The parts of a configuration that these options make; no board is needed for that."""
    from hushmeter.cli.provision import _plan as plan_of
    from hushmeter.cli.provision import provision
    from hushmeter.devices.meter_plan import configuration

    words = ["--board", "pico", "--port", "P", "--street", "Elm", "--meter-id", "7"]
    words += ["--authority", "d7" * 32, *arguments]
    with provision.make_context("provision", words) as context:
        options = dict(context.params)
        board = load_board(options.pop("board_name"))
        return configuration(plan_of(board, options))


def test_sensors_and_actuators_are_provisioned_by_name_and_settings() -> None:
    made = provisioned(
        "--driver", "clamp", "--actuator", "pwm", "--controller", "ls2",
        "--capacity-wh", "500", "--rate-w", "500", "--set", "driver.voltage_uv=310000",
        "--set", "driver.current_ua=24500",
        "--set", "actuator.rated_w=3000", "--set", "actuator.ready_pin=17",
    )  # fmt: skip
    assert made["driver"] == {
        "name": "clamp", "current_pin": 27, "voltage_pin": 28, "voltage_uv": 310_000,
        "current_ua": 24_500, "export": False,
    }  # fmt: skip
    assert made["actuator"] == {"name": "pwm", "pin": 16, "ready_pin": 17, "rated_w": 3000}
    assert provisioned("--actuator", "log")["actuator"] == "log"


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--driver", "crystal"], "no driver 'crystal'; known drivers: replay, ade7953"),
        (["--driver", "level", "--set", "driver.zero=x"], "whole number"),
        (["--driver", "level"], "also needs zero, num"),
        (["--actuator", "log", "--set", "actuator.pin=3"], "log takes no settings"),
        (["--driver", "pzem", "--set", "driver.unit=300"], "driver.unit: must be an integer"),
        (["--driver", "pzem", "--set", "driver.unit=3", "--export"], "cannot tell feed-in"),
        (
            ["--driver", "pzem", "--set", "driver.unit=3", "--driver-set", "unit=3"],
            "given twice",
        ),
    ],
)
def test_what_cannot_be_provisioned_is_said_before_a_board_is_touched(
    arguments: list[str], word: str
) -> None:
    with pytest.raises(HushmeterError, match=word):
        provisioned(*arguments)


def test_doctor_names_faults_an_idle_battery_and_what_to_do() -> None:
    said = {
        "driver": "pzem", "fault": "silent", "faults": {"silent": 3, "cut": 1}, "problem": "",
        "session_s": 0, "actuator": "pwm", "acknowledged": 0, "actuator_fault": "not_ready",
    }  # fmt: skip
    seen = findings.Examination("P", sensors=said)
    hello = {"problem": "", "board": "", "modes": 0, "epoch": 1}
    seen.hello = hello
    findings.about_meter(seen, None)
    found = {finding.code: finding for finding in seen.findings}
    assert set(found) == {"sensor_fault", "sensor_faults", "battery_idle"} and not seen.ok
    assert "ready line" in found["battery_idle"].advice
    assert "wires" in found["sensor_fault"].advice and not found["sensor_faults"].problem
    unusable = said | {"fault": "", "faults": {}, "acknowledged": 1, "problem": "it is damaged"}
    seen = findings.Examination("P", hello=hello, sensors=unusable)
    findings.about_meter(seen, None)
    assert [f.code for f in seen.findings] == ["calibration_unusable"]
    assert "hushmeter calibrate --port P" in seen.findings[0].advice
