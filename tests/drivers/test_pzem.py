"""The PZEM-004T driver: readings that add up, and a gap with its reason for each fault."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hushfw import port
from hushfw.core import config, modbus
from hushfw.core.errors import HushError
from hushfw.drivers import pzem
from hushmeter.emulate.peers.pzem import Pzem
from tests.drivers.fake_uart import FakeMachine

SETTINGS = {"name": "pzem", "uart": 1, "tx": 4, "rx": 5, "unit": 1}


class Bench:
    """A driver, its module, and a read at each whole second."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, peer: Any, unit: int = 1) -> None:
        self.machine = FakeMachine({1: peer}, start_s=1000.0)
        monkeypatch.setattr(port, "ticks_ms", self.machine.ticks_ms)
        self.peer = peer
        self.driver = pzem.make(SETTINGS | {"unit": unit}, self.machine)

    def read(self) -> int | None:
        self.machine.run(1.0)
        return self.driver.read()

    def reads(self, count: int) -> list[int | None]:
        return [self.read() for _ in range(count)]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Bench]:
    def make(watts: Callable[[float], float] | float = 500.0, unit: int = 1, **more: Any) -> Bench:
        level = watts if callable(watts) else lambda now_s: watts
        return Bench(monkeypatch, Pzem(watts=level, **more), unit)

    return make


def test_a_reading_is_the_power_of_a_second_ago(bench: Callable[..., Bench]) -> None:
    found = bench(lambda now_s: 100 + 10 * (now_s // 1 - 1000))
    assert found.reads(6) == [None, 100, 110, 120, 130, 140]
    assert found.driver.fault is None and found.driver.faults == {}
    assert found.driver.live and not found.driver.sees_export


def test_tenths_of_a_watt_add_up_to_whole_ones(bench: Callable[..., Bench]) -> None:
    found = bench(0.7)
    found.read()
    readings = found.reads(1000)
    assert sum(w for w in readings if w is not None) == 700
    assert set(readings) == {0, 1}


def test_a_day_of_readings_is_the_energy_register(bench: Callable[..., Bench]) -> None:
    """Two hours, to the register's own step; the truth changes within seconds."""
    found = bench(lambda now_s: 300.0 + (now_s * 7 % 90) * 10)
    found.read()
    start_wh = found.peer.registers(found.machine.now_s)[5]
    readings = found.reads(7200)
    assert None not in readings
    counted_wh = sum(w for w in readings if w is not None) / 3600
    assert abs(counted_wh - (found.peer.registers(found.machine.now_s)[5] - start_wh)) < 1.5


def test_the_raw_quantities_are_those_of_the_reading(bench: Callable[..., Bench]) -> None:
    found = bench(1150.0, power_factor=0.5, energy_wh=70_000.0)
    found.reads(3)
    raw = found.driver.raw()
    assert raw["power_dw"] == 11_500 and raw["energy_wh"] == 70_000
    assert abs(raw["voltage_dv"] - 2300) < 6 and abs(raw["current_ma"] - 10_000) < 30
    found.read()
    found.read()
    assert found.driver.raw() | {"power_factor_percent": 50, "frequency_dhz": 500} == (
        found.driver.raw()
    )


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        ("silent", "silent"),
        ("exception", "silent"),
        ("bad_crc", "bad_crc"),
        ("lost", "cut"),
        ("cut", "cut"),
        ("over", "out_of_range"),
    ],
)
def test_each_fault_is_a_gap_with_a_name_and_ends_with_it(
    bench: Callable[..., Bench], fault: Any, named: str
) -> None:
    found = bench()
    found.reads(3)
    found.peer.fault = fault
    found.read()
    readings = found.reads(12)
    assert readings == [None] * 12
    assert named in found.driver.faults
    found.peer.fault = None
    found.reads(12)
    assert found.read() == 500 and found.driver.fault is None


@pytest.mark.parametrize("delay_s", [1.0, 1.2, 2.5, 3.1, 3.99, 4.5, 6.0, 7.5])
def test_a_late_reply_is_never_taken_for_a_newer_questions(
    bench: Callable[..., Bench], delay_s: float
) -> None:
    """The module measures when it is asked, so a stale reply would show an old power."""
    found = bench(lambda now_s: 100 + 10 * (now_s // 1 - 1000), delay_s=delay_s)
    for second in range(40):
        watts = found.read()
        # A power of this second or the one before, or none.
        assert watts is None or watts >= 100 + 10 * (second - 2)
    assert found.driver.faults and set(found.driver.faults) <= {"silent", "cut", "bad_crc"}


def test_the_control_a_driver_that_takes_any_reply_does_take_late_ones(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pzem, "_COUNTS", (10, 10, 10, 10))
    found = bench(lambda now_s: 100 + 10 * (now_s // 1 - 1000), delay_s=2.5)
    readings = [(second, found.read()) for second in range(40)]
    assert any(watts is not None and watts < 100 + 10 * (s - 2) for s, watts in readings)


def test_a_reply_that_nobody_looked_for_in_time_is_no_reading(bench: Callable[..., Bench]) -> None:
    found = bench()
    found.reads(3)
    found.machine.run(4.0)
    assert found.driver.read() is None and found.driver.fault is None
    assert found.read() == 500


def test_a_module_that_changes_its_address_is_named_by_where_it_is(
    bench: Callable[..., Bench],
) -> None:
    found = bench()
    found.reads(3)
    found.peer.unit = 7
    assert found.reads(20)[1:] == [None] * 19
    assert found.driver.fault == "wrong_address"
    assert found.driver.raw() == {"address": 7}
    found.peer.unit = 1
    found.reads(9)
    assert found.read() == 500


def test_a_module_that_dies_elsewhere_is_silent_and_no_more_at_an_address(
    bench: Callable[..., Bench],
) -> None:
    found = bench()
    found.peer.unit = 7
    found.reads(20)
    found.machine.lines[1].peer = Script(b"")
    found.reads(9)
    assert found.driver.fault == "silent"
    assert found.driver.raw() == {}


def test_another_units_reply_is_none_of_ours(bench: Callable[..., Bench]) -> None:
    class Other(Pzem):
        """One that answers our questions under its own number."""

        def _send(self, reply: bytes, at_s: float) -> None:
            super()._send(modbus.request(9, reply[1], reply[2:-2]), at_s)

    found = bench()
    found.machine.lines[1].peer = Other(watts=lambda now_s: 500.0)
    assert found.reads(4) == [None] * 4
    assert found.driver.fault == "wrong_address" and found.driver.raw() == {"address": 9}


def test_the_general_address_reads_whichever_module_is_there(bench: Callable[..., Bench]) -> None:
    found = bench(unit=pzem.ANY_UNIT)
    found.peer.unit = 77
    assert found.reads(4)[1:] == [500] * 3


@pytest.mark.parametrize("fault", ["power", "energy"])
def test_a_register_that_stands_still_while_the_other_runs_is_stuck(
    bench: Callable[..., Bench], fault: Any
) -> None:
    found = bench(lambda now_s: 2000.0 if now_s >= 1060 else 50.0)
    found.reads(60)
    found.peer.fault = fault
    found.reads(130)
    assert found.driver.fault == "stuck"
    assert found.reads(10) == [None] * 10
    found.peer.fault = None
    found.reads(130)
    assert found.read() == 2000


def test_a_module_that_repeats_itself_is_stuck(bench: Callable[..., Bench]) -> None:
    found = bench(5.0)
    found.reads(3)
    found.peer.fault = "stuck"
    readings = found.reads(910)
    assert readings[-1] is None and found.driver.fault == "stuck"
    found.peer.fault = None
    assert found.reads(3)[-1] == 5


@pytest.mark.parametrize("load_w", [0.0, 3.0, 150.0, 20_000.0])
def test_an_honest_module_is_never_called_stuck(bench: Callable[..., Bench], load_w: float) -> None:
    found = bench(lambda now_s: load_w * (now_s // 13 % 2))
    found.reads(3000)
    assert found.driver.faults == {}


def test_a_register_set_to_zero_is_no_fault(bench: Callable[..., Bench]) -> None:
    found = bench(3000.0, energy_wh=60_000.0)
    found.reads(50)
    found.peer.energy_wh = 0.0
    assert None not in found.reads(200)[1:]


REPLY = modbus.request(1, 4, bytes.fromhex("14 08fc 03e80000 08fc0000 00640000 01f4 0064 0000"))


class Script:
    """A far end that says given bytes after each question."""

    def __init__(self, said: bytes) -> None:
        self.said = said
        self.heard = 0

    def receive(self, byte: int, now_s: float) -> None:
        self.heard += 1
        self.now_s = now_s

    def next_out(self) -> tuple[float, bytes] | None:
        if self.heard < 8:
            return None
        self.heard = 0
        return self.now_s + 0.01, self.said


def answered(monkeypatch: pytest.MonkeyPatch, said: bytes) -> list[int | None]:
    found = Bench(monkeypatch, Script(said))
    readings = found.reads(9)
    assert set(found.driver.faults) <= {"silent", "cut", "bad_crc", "wrong_address"}
    return readings


def test_the_scripted_reply_is_a_reading_at_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control of the tests below: 230.0 V, 1 A, 230.0 W."""
    assert answered(monkeypatch, REPLY).count(230) == 2


@settings(deadline=None, max_examples=150)
@given(said=st.binary(max_size=90))
def test_random_bytes_are_no_reading(said: bytes) -> None:
    """Sixteen bits of CRC let one in 65536 pass by chance: none among these few."""
    with pytest.MonkeyPatch.context() as patch:
        assert answered(patch, said) == [None] * 9


@settings(deadline=None, max_examples=150)
@given(bits=st.sets(st.integers(0, 8 * len(REPLY) - 1), min_size=1, max_size=3))
def test_up_to_three_flipped_bits_are_never_a_reading(bits: set[int]) -> None:
    said = bytearray(REPLY)
    for bit in bits:
        said[bit // 8] ^= 1 << bit % 8
    with pytest.MonkeyPatch.context() as patch:
        assert answered(patch, bytes(said)) == [None] * 9


@settings(deadline=None, max_examples=60)
@given(first=st.integers(0, len(REPLY) - 1), size=st.integers(1, len(REPLY)))
def test_a_reply_with_bytes_missing_is_never_a_reading(first: int, size: int) -> None:
    said = REPLY[:first] + REPLY[first + size :]
    with pytest.MonkeyPatch.context() as patch:
        assert answered(patch, said) == [None] * 9


def test_a_line_that_never_rests_does_not_hold_a_read_up(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Bench(monkeypatch, Script(REPLY * 40))
    for _ in range(5):
        found.read()
        assert found.machine.uarts[1].any() == 0


def test_settings_that_cannot_be_right_are_named() -> None:
    whole = SETTINGS | {"export": False}
    config._driver(whole)
    for change, named in (
        ({"unit": 0}, "unit"),
        ({"unit": 249}, "unit"),
        ({"export": True}, "export"),
        ({"baud": 9600}, "baud"),
    ):
        with pytest.raises(HushError) as refusal:
            config._driver(whole | change)
        assert refusal.value.code == "bad_config" and named in str(refusal.value)
    with pytest.raises(HushError, match="driver.uart"):
        pzem.make(SETTINGS | {"uart": 6}, FakeMachine({}))
