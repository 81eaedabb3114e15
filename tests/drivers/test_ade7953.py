"""The metering chip is read exactly, over both buses, and what goes wrong is no reading."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hushfw.core import config
from hushfw.core.errors import HushError
from hushfw.drivers import FAULTS, ade7953
from hushmeter.emulate.peers.ade7953 import ADDRESS, Ade7953
from tests.drivers.fake_bus import FakeMachine

SETTINGS: dict[str, Any] = {
    "name": "ade7953",
    "unit": 0,
    "full_mv": 400_000,
    "full_ma": 100_000,
    "export": True,
}
PINS: dict[int, dict[str, int]] = {
    0: {"bus": 0, "sda": 20, "scl": 21},
    1: {"bus": 1, "sck": 2, "mosi": 3, "miso": 4, "cs": 5},
}
LSB_W = 400 * 100 / 206_900


class Bench:
    """A chip, and a driver that is asked once a second."""

    def __init__(self, watts: Callable[[float], float], bus: int = 0, **settings: Any) -> None:
        self.machine = FakeMachine()
        self.chip = Ade7953(watts=watts)
        self.machine.chips[ADDRESS] = self.machine.spi_chip = self.chip
        self.driver = ade7953.make(SETTINGS | PINS[bus] | settings, self.machine)
        assert self.driver.read() is None

    def run(self, seconds: int) -> list[int | None]:
        found = []
        for _ in range(seconds):
            self.machine.run(1.0)
            found.append(self.driver.read())
        return found


@pytest.fixture(params=[0, 1], ids=["i2c", "spi"])
def bus(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.mark.parametrize("watts", [5.0, 750.3, 20_000.0, -3210.5])
def test_readings_are_the_power_and_their_sum_its_energy(bus: int, watts: float) -> None:
    bench = Bench(lambda now_s: watts, bus)
    read = bench.run(50)
    assert None not in read
    assert all(abs((value or 0) - watts) <= 1 + LSB_W for value in read)
    assert abs(sum(value or 0 for value in read) - 50 * watts) <= 1 + LSB_W
    assert bench.driver.faults == {} and bench.driver.sees_export


def test_no_cycle_is_lost_when_a_reading_comes_late() -> None:
    course = [100.0, 3000.0, 50.0, 8000.0] * 8
    bench = Bench(lambda now_s: course[int(now_s + 1e-9) % 32])
    total = 0
    for late_s in (0.45, 0.0, 0.85, 0.05) * 8:
        bench.machine.run(1.0 + late_s - (bench.machine.now_s % 1.0))
        total += bench.driver.read() or 0
    bench.machine.run(32.0 - bench.machine.now_s)
    total += bench.driver.read() or 0
    assert total == pytest.approx(sum(course), abs=20)


def test_a_second_that_was_missed_does_not_make_the_next_one_larger(bus: int) -> None:
    bench = Bench(lambda now_s: 2000.0, bus)
    bench.run(3)
    bench.machine.run(2.0)
    assert bench.run(3) == [pytest.approx(2000, abs=1)] * 3


def test_the_chip_is_set_up_as_its_data_sheet_asks(bus: int) -> None:
    bench = Bench(lambda now_s: 0.0, bus, noload_w=2, gain=1)
    writes = [register for kind, register in bench.chip.transfers if kind == "write"]
    assert writes[writes.index(0x120) - 1] == 0x0FE
    registers = bench.chip.registers
    assert registers[0x120] == 0x30
    assert registers[0x102] & 0x8000 == 0 and registers[0x102] & 0x0004
    assert registers[0x203] == 65536 - int(400 * 100 / 2 / 1.4)
    assert registers[0x008] == 1
    assert registers[0x001] == 0


def test_creep_below_the_no_load_threshold_is_nothing_and_five_watts_are_five() -> None:
    bench = Bench(lambda now_s: 0.6 if now_s < 20 else 5.0)
    assert bench.run(19) == [0] * 19
    assert bench.run(10)[1:] == [pytest.approx(5, abs=1)] * 9
    assert all(Bench(lambda now_s: 0.6, noload_w=0).run(10)[at] in (0, 1) for at in range(10))


def test_calibration_is_in_the_chips_own_registers() -> None:
    late = {"phase_error_s": 100e-6, "power_factor": lambda now_s: 0.5}

    def read(**calibration: int) -> int:
        bench = Bench(lambda now_s: 1000.0, calibration=calibration)
        for name, value in late.items():
            setattr(bench.chip, name, value)
        return bench.run(10)[-1] or 0

    assert read() == pytest.approx(945, abs=2)
    assert read(phase=round(100 / 1.117)) == pytest.approx(1000, abs=2)
    assert read(phase=-100) < read()
    assert read(watt_gain=round(1.05 * (1 << 22))) == pytest.approx(992, abs=2)
    assert set(ade7953.CALIBRATED) == {"watt_gain", "phase"}
    bench = Bench(lambda now_s: 1000.0)
    bench.run(2)
    raw = bench.driver.raw()
    assert raw["energy"] == pytest.approx(206_900 * 1000 / 40_000, rel=0.001)
    assert raw["voltage"] == pytest.approx(9_032_007 * 230 / 400, rel=0.001)


def test_a_chip_that_does_not_answer_is_silent(bus: int) -> None:
    bench = Bench(lambda now_s: 1500.0, bus)
    bench.run(3)
    bench.chip.absent = True
    # All ones over SPI look like a reset, and then like no chip of this kind.
    assert bench.run(4) == [None] * 4
    assert bench.driver.fault == "silent"
    bench.chip.absent = False
    assert bench.run(5)[-3:] == [pytest.approx(1500, abs=1)] * 3
    assert bench.driver.fault is None


def test_a_chip_that_was_never_there_is_no_reading_and_may_come_later(bus: int) -> None:
    machine = FakeMachine()
    driver = ade7953.make(SETTINGS | PINS[bus], machine)
    assert [driver.read(), driver.fault] == [None, "silent"]
    machine.chips[ADDRESS] = machine.spi_chip = Ade7953(watts=lambda now_s: 10.0)
    assert driver.read() is None
    machine.run(1.0)
    assert driver.read() == pytest.approx(10, abs=1)


def test_a_reset_of_the_chip_is_a_gap_and_it_is_set_up_again(bus: int) -> None:
    bench = Bench(lambda now_s: 900.0, bus)
    bench.run(3)
    bench.machine.run(0.5)
    bench.chip.reset(bench.machine.now_s)
    assert bench.chip.registers[0x120] == 0
    assert bench.run(1) == [None]
    assert bench.driver.faults == {"silent": 1}
    assert bench.chip.registers[0x120] == 0x30
    assert bench.run(3) == [pytest.approx(900, abs=1)] * 3


def test_settings_that_changed_by_themselves_are_found_and_written_again(bus: int) -> None:
    bench = Bench(lambda now_s: 900.0, bus)
    bench.run(3)
    bench.chip.disturb(0x282, 0x500000)
    assert bench.run(1) == [None]
    assert bench.driver.fault == "bad_crc"
    assert bench.chip.registers[0x282] == 0x400000
    assert bench.run(3) == [pytest.approx(900, abs=1)] * 3


def test_a_checksum_flag_alone_is_no_fault(bus: int) -> None:
    bench = Bench(lambda now_s: 900.0, bus)
    bench.chip._status |= 1 << 21
    assert bench.run(2) == [pytest.approx(900, abs=1)] * 2


def test_an_energy_with_a_wrong_bit_is_no_reading(bus: int) -> None:
    bench = Bench(lambda now_s: 900.0, bus)
    for _ in range(20):
        bench.run(1)
        bench.machine.run(1.0)
        get, bench.driver._get = bench.driver._get, None

        def spoilt(register: int, get: Any = get) -> Any:
            bench.chip.corrupted = 1 if register == 0x21E else 0
            return get(register)

        bench.driver._get = spoilt
        assert bench.driver.read() is None
        assert bench.driver.fault == "bad_crc"
        bench.driver._get = get


def test_the_same_to_the_last_bit_is_stuck_and_no_load_is_not(bus: int) -> None:
    bench = Bench(lambda now_s: 700.0, bus)
    bench.run(5)
    bench.chip.frozen = True
    read = bench.run(20)
    assert read[-8:] == [None] * 8 and bench.driver.fault == "stuck"
    bench.chip.frozen = False
    assert bench.run(3)[-1] is not None
    idle = Bench(lambda now_s: 0.0, bus)
    assert idle.run(40) == [0] * 40


def test_no_voltage_is_no_reading_and_not_zero() -> None:
    bench = Bench(lambda now_s: 0.0)
    bench.chip.volts = lambda now_s: 0.0
    assert bench.run(2) == [None, None]
    assert bench.driver.fault == "no_mains"


def test_beyond_full_scale_and_an_overflow_are_out_of_range() -> None:
    bench = Bench(lambda now_s: 45_000.0)
    assert bench.run(1) == [None] and bench.driver.fault == "out_of_range"
    long = Bench(lambda now_s: 20_000.0)
    long.machine.run(100.0)
    assert long.driver.read() is None and long.driver.fault == "out_of_range"
    assert long.run(2) == [pytest.approx(20_000, abs=1)] * 2


def test_what_is_fed_in_is_negative_or_where_export_is_off_no_reading() -> None:
    assert Bench(lambda now_s: -500.0).run(2)[-1] == pytest.approx(-500, abs=1)
    bench = Bench(lambda now_s: -500.0, export=False)
    assert bench.run(2) == [None, None]
    assert bench.driver.fault == "negative"


def test_its_faults_are_faults_of_the_interface() -> None:
    found = {"silent", "stuck", "out_of_range", "negative", "bad_crc", "no_mains"}
    assert found <= set(FAULTS)


def test_a_bus_that_the_board_has_not_is_refused() -> None:
    with pytest.raises(HushError, match="driver.unit") as refusal:
        ade7953.make(SETTINGS | PINS[0] | {"unit": 3}, FakeMachine())
    assert refusal.value.code == "bad_config"


def test_settings_that_cannot_be_right_are_named() -> None:
    config._driver(SETTINGS | PINS[0])
    config._driver(SETTINGS | PINS[1] | {"gain": 5, "noload_w": 0})
    without = {name: value for name, value in PINS[1].items() if name != "cs"}
    for settings, what in (
        (PINS[0] | {"bus": 2}, "bus"),
        (without, "cs"),
        (PINS[0] | {"full_ma": 400_000}, "100000 W"),
        (PINS[0] | {"gain": 6}, "gain"),
    ):
        with pytest.raises(HushError, match=what):
            config._driver(SETTINGS | settings)


class Cut:
    """A bus whose next transfer of one register ends in an error, after the chip has sent."""

    def __init__(self, bus: Any, register: int, error: Exception | None = None) -> None:
        self.bus, self.register, self.left = bus, register, 1
        self.error = error or OSError(110, "ETIMEDOUT")

    def read(self, register: int, size: int) -> int:
        value = int(self.bus.read(register, size))
        if register == self.register and self.left:
            self.left = 0
            raise self.error
        return value

    def write(self, register: int, value: int, size: int) -> None:
        self.bus.write(register, value, size)


def test_an_energy_that_was_lost_on_its_way_makes_no_later_reading_smaller(bus: int) -> None:
    bench = Bench(lambda now_s: 2000.0, bus)
    bench.run(3)
    bench.driver._bus = Cut(bench.driver._bus, 0x21E)
    read = bench.run(6)
    assert read[0] is None
    assert bench.driver.faults == {"silent": 2}
    assert read[2:] == [pytest.approx(2000, abs=1)] * 4
    assert all(value is None or abs(value - 2000) <= 1 for value in read)


def test_asked_again_at_once_after_running_out_of_memory_it_makes_up_no_zero(bus: int) -> None:
    bench = Bench(lambda now_s: 2000.0, bus)
    bench.run(3)
    bench.driver._bus = Cut(bench.driver._bus, 0x21E, MemoryError())
    bench.machine.run(1.0)
    with pytest.raises(MemoryError):
        bench.driver.read()
    assert [bench.driver.read(), bench.driver.fault] == [None, "silent"]
    assert bench.run(3) == [pytest.approx(2000, abs=1)] * 3


@pytest.mark.parametrize("cut", [True, False], ids=["cut", "misread"])
def test_a_reset_whose_flag_was_lost_on_its_way_is_found_all_the_same(bus: int, cut: bool) -> None:
    """A chip as delivered has another gain: its readings would be made up."""
    bench = Bench(lambda now_s: 1000.0, bus, calibration={"watt_gain": 5 << 20})
    bench.run(3)
    bench.chip.reset(bench.machine.now_s)
    if cut:
        bench.driver._bus = Cut(bench.driver._bus, 0x22E)
    else:
        bench.chip._status = 0
    read = bench.run(6)
    assert read[0] is None and bench.driver.faults["silent"] >= 1
    assert bench.chip.registers[0x282] == 5 << 20
    assert read[2:] == [pytest.approx(1250, abs=1)] * 4
