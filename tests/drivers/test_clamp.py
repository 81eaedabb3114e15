"""The clamp driver reads real power and its direction off two pins, or says what is wrong."""

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from hushfw.core import config, peripherals
from hushfw.core.errors import HushError
from hushfw.drivers import FAULTS, alternating, calibrated, clamp, polled
from hushmeter.emulate.peers.mains import FLAT_TOP, SWITCH_MODE, Fault, Mains
from tests.drivers.fake_adc import FakeAdc

SETTINGS = {
    "name": "clamp",
    "export": True,
    "voltage_pin": 27,
    "current_pin": 26,
    "voltage_uv": 200_000,
    "current_ua": 75_000,
}
NOISE_W = 6.5
"""Noise of a reading is 1.8 W RMS at the polled source's 100 pairs: 230 V * 78 mA / sqrt(100).
Every seed is fixed, so what passes once passes always."""


def connected(mains: Mains) -> FakeAdc:
    return FakeAdc({26: mains.current_level, 27: mains.voltage_level})


def driver_of(mains: Mains, **settings: Any) -> tuple[Any, FakeAdc]:
    machine = connected(mains)
    return clamp.make(SETTINGS | settings, machine), machine


@pytest.mark.parametrize("factor", [1.0, 0.8, -0.8, 0.5, -0.5])
@pytest.mark.parametrize("watts", [-4000.0, 0.0, 60.0, 900.0, 12_000.0])
def test_power_and_its_direction_come_from_both_pins(watts: float, factor: float) -> None:
    driver, machine = driver_of(Mains(watts=watts, power_factor=factor, seed=1))
    for _ in range(2):
        found = driver.read()
        assert driver.fault is None
        assert abs(found - watts) < NOISE_W + abs(watts) * 0.002
        machine.wait(0.93)
    if abs(watts) >= 900 and factor != 1:
        # A load that feeds in is the same circuit with the current the other way round.
        assert (driver.raw()["reactive_q8"] > 0) == (factor * watts > 0)
    assert driver.sees_export and driver.live


def test_rms_values_are_those_of_the_mains() -> None:
    driver, _ = driver_of(Mains(watts=4600.0, power_factor=0.8, frequency_hz=60.0))
    driver.read()
    raw = driver.raw()
    assert abs(raw["voltage_q8"] * 200_000 // 256_000 - 230_000) < 300
    assert abs(raw["current_q8"] * 75_000 // 256_000 - 25_000) < 60
    assert abs(raw["frequency_mhz"] - 60_000) < 100


def test_a_rectifiers_current_is_read_right() -> None:
    mains = Mains(watts=700.0, current_harmonics=SWITCH_MODE, voltage_harmonics=FLAT_TOP)
    driver, _ = driver_of(mains)
    assert abs(driver.read() - 700) < NOISE_W + 7


def test_the_window_shrinks_to_the_mains_and_grows_again_where_it_is_lost() -> None:
    mains = Mains(watts=500.0, frequency_hz=60.0)
    driver, machine = driver_of(mains)
    counts = []
    for fault in (None, None, "voltage_lost", "voltage_lost", None, None):
        mains.fault = fault  # type: ignore[assignment]
        machine.taken.clear()
        driver.read()
        counts.append(len(machine.taken))
        machine.wait(0.9)
    assert counts[0] == counts[2 + 1] == counts[4] > counts[1] == counts[2]
    assert abs(counts[1] - counts[5]) <= 6


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("voltage_lost", "no_mains"),
        ("overdriven", "clipped"),
        ("current_stuck", "stuck"),
        ("voltage_stuck", "stuck"),
        ("current_grounded", "stuck"),
        ("voltage_grounded", "stuck"),
    ],
)
def test_a_fault_is_no_reading_and_it_passes(fault: Fault, told: str) -> None:
    mains = Mains(watts=2000.0)
    driver, machine = driver_of(mains)
    assert driver.read() is not None
    mains.fault = fault
    for times in (1, 2):
        assert driver.read() is None
        assert driver.fault == told and driver.faults == {told: times}
    assert told in FAULTS
    assert driver.raw() == {}
    mains.fault = None
    assert abs(driver.read() - 2000) < NOISE_W + 4
    assert driver.fault is None
    del machine


def test_a_rest_far_from_the_middle_is_no_reading() -> None:
    driver, _ = driver_of(Mains(watts=100.0, current_offset=-800.0))
    assert driver.read() is None
    assert driver.fault == "out_of_range"


def test_a_clamp_the_wrong_way_round_is_told_where_nothing_can_be_fed_in() -> None:
    mains = Mains(watts=300.0, fault="reversed")
    driver, _ = driver_of(mains, export=False)
    assert driver.read() is None
    assert driver.fault == "negative"
    mains.fault = None
    assert abs(driver.read() - 300) < NOISE_W
    mains.fault = "reversed"
    feeding, _ = driver_of(mains)
    assert abs(feeding.read() + 300) < NOISE_W


def test_noise_around_no_load_is_not_negative_where_nothing_can_be_fed_in() -> None:
    driver, machine = driver_of(Mains(watts=0.0), export=False)
    found = []
    for _ in range(20):
        found.append(driver.read())
        machine.wait(0.9)
    assert min(found) == 0 and max(found) < NOISE_W


def test_an_interrupt_shorter_than_a_spacing_passes_and_a_longer_one_cuts_the_window() -> None:
    driver, machine = driver_of(Mains(watts=2000.0))
    machine.stalls[0.02] = 0.000_120
    assert abs(driver.read() - 2000) < NOISE_W + 4
    machine.stalls[machine.now_s + 0.02] = 0.002
    assert driver.read() is None
    assert driver.fault == "cut"


def test_samples_are_taken_by_turns_at_the_spacing() -> None:
    driver, machine = driver_of(Mains(watts=2000.0), spacing_us=100)
    driver.read()
    pins, times_s = zip(*machine.taken, strict=True)
    assert set(pins[::2]) == {27} and set(pins[1::2]) == {26}
    apart_us = [round((b - a) * 1e6) for a, b in zip(times_s, times_s[1:], strict=False)]
    assert min(apart_us) >= 90 and max(apart_us) <= 110
    assert abs(sum(apart_us) / len(apart_us) - 100) < 0.1


def test_calibration_stands_in_place_of_the_settings() -> None:
    mains = Mains(watts=1000.0, power_factor=0.5, ct_lead_deg=4.0, seed=3)
    nominal, _ = driver_of(mains)
    assert nominal.read() > 1100
    constants = {"phase_mdeg": 4000, "current_ua": 150_000}
    assert set(constants) < set(calibrated("clamp"))
    calibrated_one, _ = driver_of(mains, calibration=constants)
    assert abs(calibrated_one.read() - 2000) < 2 * NOISE_W
    assert abs(driver_of(mains, calibration={"phase_mdeg": 4000})[0].read() - 1000) < NOISE_W


def test_raw_quantities_are_enough_to_find_gain_and_phase() -> None:
    """What a calibration does: a load of known watts and power factor."""
    mains = Mains(watts=3000.0, power_factor=0.5, ct_lead_deg=2.5, seed=2)
    driver, _ = driver_of(mains)
    driver.read()
    raw = driver.raw()
    unit_w = 0.2 * 0.075 / 256
    assert abs(raw["real_q8"] * unit_w - 3221) < 10
    assert abs(raw["reactive_q8"] * unit_w - 5060) < 15
    assert abs(raw["voltage_q8"] * 0.2 / 256 - 230) < 0.3
    assert raw["cycles"] >= 2


def test_power_beyond_a_homes_is_no_reading() -> None:
    driver, _ = driver_of(Mains(watts=20_000.0), calibration={"current_ua": 1_900_000})
    assert driver.read() is None
    assert driver.fault == "out_of_range"


@pytest.mark.parametrize(("voltage_pin", "current_pin"), [(3, 26), (27, 4)])
def test_a_pin_without_a_converter_is_refused(voltage_pin: int, current_pin: int) -> None:
    settings = SETTINGS | {"voltage_pin": voltage_pin, "current_pin": current_pin}
    for hardware in (connected(Mains()), SimpleNamespace()):
        with pytest.raises(HushError) as refusal:
            clamp.make(settings, hardware)
        assert refusal.value.code == "bad_config"
        assert "analogue inputs" in refusal.value.message


def test_settings_that_cannot_be_right_are_named() -> None:
    config._driver(SETTINGS)
    config._driver(SETTINGS | {"cycles": 3, "phase_mdeg": -1500, "spacing_us": 100})
    for changes, named in (
        ({"current_pin": 27}, "current_pin"),
        ({"voltage_uv": 0}, "voltage_uv"),
        ({"current_ua": 1_900_000}, "current_ua"),
        ({"cycles": 0}, "cycles"),
        ({"phase_mdeg": 90_000}, "phase_mdeg"),
        ({"spacing_us": 1}, "spacing_us"),
    ):
        with pytest.raises(HushError, match=named):
            config._driver(SETTINGS | changes)


def test_every_window_that_a_configuration_allows_fits_the_sums() -> None:
    _, _, optional = peripherals.LOADS["clamp"]
    settings = {"cycles": optional["cycles"][1], "spacing_us": optional["spacing_us"][0]}
    driver, _ = driver_of(Mains(), **settings)
    assert driver._window.pairs <= 4096


class Registers(dict[int, int]):
    """An RP2040's registers, as far as `Streamed` looks at them."""

    def __missing__(self, address: int) -> int:
        return {0x40000000: 0x20002927, 0x4004C000: 1 << 8}.get(address, 0)


def test_the_kind_of_source_follows_what_the_chip_can(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = connected(Mains())
    machine.mem32 = Registers()  # type: ignore[attr-defined]
    dma = SimpleNamespace(pack_ctrl=lambda **named: 0)
    monkeypatch.setitem(sys.modules, "rp2", SimpleNamespace(DMA=lambda: dma))
    assert isinstance(alternating.make(machine, 27, 26), polled.Polled)
    monkeypatch.setattr(alternating.sys, "platform", "rp2")
    assert isinstance(alternating.make(machine, 27, 26), alternating.Streamed)
    machine.mem32[0x40000000] = 0x00004927  # type: ignore[attr-defined]
    assert isinstance(alternating.make(machine, 27, 26), polled.Polled)
    del machine.mem32[0x40000000]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "rp2", SimpleNamespace())
    assert isinstance(alternating.make(machine, 27, 26), polled.Polled)
