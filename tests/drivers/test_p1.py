"""The P1 driver: a telegram's power for its own period, and a gap with its reason otherwise."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from hushfw import port
from hushfw.core import config, telegram
from hushfw.core.errors import HushError
from hushfw.drivers import FAULTS, p1
from hushmeter.emulate.peers.p1 import P1
from tests.drivers.fake_uart import FakeMachine

SETTINGS = {"name": "p1", "uart": 0, "rx": 1, "invert": 0, "export": True}
OLD = {"baud": 9600, "period_s": 10, "crc": 0}


class Bench:
    """A driver, its meter, and a read at each whole second."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, peer: Any, **more: Any) -> None:
        self.machine = FakeMachine({0: peer})
        monkeypatch.setattr(port, "ticks_ms", self.machine.ticks_ms)
        self.peer = peer
        self.driver = p1.make(SETTINGS | more, self.machine)

    def read(self) -> int | None:
        self.machine.run(1.0)
        return self.driver.read()

    def reads(self, count: int) -> list[int | None]:
        return [self.read() for _ in range(count)]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Bench]:
    def make(
        watts: Callable[[float], float] | float = 500.0,
        own: dict[str, Any] | None = None,
        **peers: Any,
    ) -> Bench:
        level = watts if callable(watts) else lambda now_s: watts
        return Bench(monkeypatch, P1(watts=level, **peers), **(own or {}))

    return make


def sloping(now_s: float) -> float:
    """Another power in every second, through zero."""
    return 300.0 - 10.0 * (now_s // 1)


def test_a_reading_is_the_power_of_the_telegram_of_this_second(
    bench: Callable[..., Bench],
) -> None:
    found = bench(sloping, start_s=0.0)
    assert found.reads(40)[2:] == [300 - 10 * k for k in range(1, 39)]
    assert found.driver.faults == {} and found.driver.sees_export and found.driver.live


def test_power_and_energy_of_both_directions_are_the_raw_quantities(
    bench: Callable[..., Bench],
) -> None:
    found = bench(-1234.0, drawn_wh=5_000_001.0, fed_wh=7_000.0)
    assert found.reads(3)[-1] == -1234
    raw = found.driver.raw()
    assert raw == {"drawn_w": 0, "fed_w": 1234, "drawn_wh": 5_000_001, "fed_wh": 7_001}


@pytest.mark.parametrize(
    ("peers", "own"),
    [
        ({"phases": 1}, {}),
        ({"phases": 3, "totals": False}, {}),
        ({"phases": 1, "totals": False}, {}),
        ({"version": 42, "period_s": 10.0}, {"period_s": 10}),
        ({"version": 22, "period_s": 10.0}, OLD),
        ({"version": 22, "period_s": 10.0, "start_s": 3.0}, OLD | {"export": False}),
    ],
)
def test_every_version_and_number_of_phases_is_read(
    bench: Callable[..., Bench], peers: dict[str, Any], own: dict[str, Any]
) -> None:
    found = bench(2310.0, own, **peers)
    readings = found.reads(40)
    assert readings[12:] == [2310] * 28
    assert found.driver.faults == {}


def test_a_telegram_stands_for_its_period_and_not_longer(bench: Callable[..., Bench]) -> None:
    found = bench(700.0, {"period_s": 10}, version=42, period_s=10.0, silent=(35.0, 65.0))
    readings = found.reads(80)
    # Telegrams at 0.3, 10.3, 20.3 and 30.3 s; the next one is at 70.3 s.
    assert readings[:40] == [700] * 40
    assert readings[40:70] == [None] * 30
    assert readings[70:] == [700] * 10
    assert found.driver.faults == {"silent": 30}


@pytest.mark.parametrize("start_s", [0.0, 0.35, 0.9, 0.94, 0.97])
def test_telegrams_out_of_step_lose_no_second_but_the_first(
    bench: Callable[..., Bench], start_s: float
) -> None:
    """They take 56 ms; sent 40 ms early or late in turn, one second has none, the next has two."""
    jitter = (0.0, 0.04, -0.04, 0.02, -0.03)
    found = bench(sloping, start_s=start_s, jitter_s=lambda number: jitter[number % 5])
    readings = found.reads(60)
    gaps = [second for second, watts in enumerate(readings) if watts is None]
    assert len([second for second in gaps if second > 2]) <= 1
    # Each power is used once, in its order, none older than two seconds.
    values = [watts for watts in readings if watts is not None]
    assert values == sorted(set(values), reverse=True)
    for second, watts in enumerate(readings):
        assert watts is None or 300 - 10 * second - 10 <= watts <= 300 - 10 * second + 30


def test_a_meter_whose_clock_runs_fast_or_slow_costs_one_second_a_slip(
    bench: Callable[..., Bench],
) -> None:
    for period_s, gaps in ((1.01, 4), (0.99, 1)):
        readings = bench(450.0, period_s=period_s).reads(310)
        assert readings.count(None) <= gaps


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        ("bad_crc", "bad_crc"),
        ("lost", "bad_crc"),
        ("cut", "cut"),
        ("over", "out_of_range"),
        ("stuck", "stuck"),
        ("encrypted", "encrypted"),
    ],
)
def test_each_fault_is_a_gap_with_a_name_and_ends_with_it(
    bench: Callable[..., Bench], fault: Any, named: str
) -> None:
    found = bench(640.0)
    found.reads(5)
    found.peer.fault = fault
    found.reads(4)
    assert found.reads(10) == [None] * 10
    assert found.driver.fault == named and named in FAULTS
    found.peer.fault = None
    found.reads(4)
    assert found.read() == 640 and found.driver.fault is None


def test_a_telegram_in_two_halves_is_one_telegram(bench: Callable[..., Bench]) -> None:
    found = bench(640.0)
    found.reads(5)
    found.peer.fault = "halved"
    readings = found.reads(20)
    assert readings.count(None) <= 1 and readings.count(640) >= 19
    assert set(found.driver.faults) <= {"cut"}


def test_a_silent_port_is_a_gap_and_never_the_last_value(bench: Callable[..., Bench]) -> None:
    found = bench(640.0, silent=(10.0, float("inf")))
    found.reads(11)
    assert found.reads(5)[1:] == [None] * 4
    assert found.driver.fault == "silent"


def test_feed_in_is_bad_input_where_the_home_has_none(bench: Callable[..., Bench]) -> None:
    found = bench(sloping, {"export": False}, start_s=0.0)
    readings = found.reads(50)
    assert min(w for w in readings if w is not None) == 0
    assert readings[40:] == [None] * 10 and found.driver.fault == "negative"


def test_power_that_stands_still_while_energy_runs_is_stuck(bench: Callable[..., Bench]) -> None:
    found = bench(2500.0)
    found.reads(20)
    found.peer.fault = "power"
    found.reads(130)
    assert found.read() is None and found.driver.fault == "stuck"
    found.peer.fault = None
    found.reads(130)
    assert found.read() == 2500


def test_a_wrong_period_is_found_by_the_energy(bench: Callable[..., Bench]) -> None:
    found = bench(2500.0, {"period_s": 10})
    found.reads(200)
    assert found.driver.fault == "stuck"


@pytest.mark.parametrize("load_w", [30.0, 2000.0, -9000.0])
def test_an_honest_meter_is_never_called_stuck(bench: Callable[..., Bench], load_w: float) -> None:
    found = bench(lambda now_s: load_w * (now_s // 7 % 2))
    found.reads(400)
    assert found.driver.faults == {}


def test_what_nobody_looked_for_in_time_is_no_reading(bench: Callable[..., Bench]) -> None:
    found = bench(sloping, start_s=0.0)
    found.reads(5)
    found.machine.run(20.0)
    assert found.driver.read() is None and found.driver.fault is None
    assert found.reads(3)[-1] == 300 - 10 * 26


def test_bytes_that_are_no_telegram_are_no_silence(bench: Callable[..., Bench]) -> None:
    found = bench()
    found.machine.lines[0].garbled = True
    found.machine.uarts[0].line.garbled = True
    found.reads(6)
    assert found.driver.fault == "cut"


@pytest.mark.parametrize("flood", [b"/", b"/!\r\n", b"\n", b"/A\n\n", b"!\n", b"x", b"/ABC5\r\n1"])
def test_the_work_of_one_read_is_bounded_whatever_comes(
    monkeypatch: pytest.MonkeyPatch, flood: bytes
) -> None:
    class Flood:
        """A far end that never rests."""

        def receive(self, byte: int, now_s: float) -> None:
            pass

        def next_out(self) -> tuple[float, bytes]:
            return 0.0, flood * 100

    found = Bench(monkeypatch, Flood())
    looked: list[int] = []
    look_at = telegram.Telegrams._look_at
    monkeypatch.setattr(
        telegram.Telegrams, "_look_at", lambda *all: looked.append(1) or look_at(*all)
    )
    ends = 0
    for _ in range(4):
        assert found.read() is None
        ends, before = sum(found.driver.faults.values()), ends
        assert ends - before <= telegram.MOST_ENDED + 2
        assert len(looked) <= (telegram.MOST_ENDED + 1) * (telegram.MOST_LINES + 1)
        looked.clear()


def test_the_pin_is_inverted_by_the_chip_unless_a_transistor_does_it() -> None:
    asked: dict[str, Any] = {}

    class Uart:
        INV_RX = 2

        def __init__(self, number: int, **named: Any) -> None:
            asked.clear()
            asked.update(named)

    class Machine:
        UART = Uart
        Pin = FakeMachine.Pin

    p1.make({"uart": 0, "rx": 1}, Machine())
    assert asked["invert"] == 2 and asked["bits"] == 8 and asked["baudrate"] == 115200
    p1.make({"uart": 0, "rx": 1, "invert": 0, "baud": 9600}, Machine())
    assert "invert" not in asked and asked["bits"] == 7 and asked["parity"] == 0
    Machine.UART = FakeMachine.UART  # type: ignore[assignment]
    with pytest.raises(HushError, match=r"driver\.invert"):
        p1.make({"uart": 0, "rx": 1}, Machine())


def test_settings_that_cannot_be_right_are_named() -> None:
    config._driver(SETTINGS)
    config._driver(SETTINGS | OLD | {"tx": 0, "most_w": 17_000})
    for change, named in (
        ({"baud": 19200}, "baud"),
        ({"period_s": 0}, "period_s"),
        ({"invert": 2}, "invert"),
        ({"unit": 1}, "unit"),
    ):
        with pytest.raises(HushError) as refusal:
            config._driver(SETTINGS | change)
        assert refusal.value.code == "bad_config" and named in str(refusal.value)


def test_a_piece_that_was_lost_in_the_meter_itself_joins_no_digits(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A telegram without a CRC, whose middle fell to a memory that was full."""
    found = bench(0.0, OLD | {"period_s": 1}, silent=(0.0, math.inf))
    text = P1(watts=lambda now_s: 4120.0, version=22).telegram(1000.0, 4120)
    digits = text.index(b"1-0:1.7.0(") + len(b"1-0:1.7.0(") + 3
    line = found.machine.uarts[0]._incoming

    def full(*taken: Any) -> None:
        raise MemoryError

    line += text[:digits]
    assert found.read() is None
    line += text[digits : digits + 1]
    with monkeypatch.context() as patch, pytest.raises(MemoryError):
        patch.setattr(telegram.Telegrams, "_keep", full)
        found.read()
    line += text[digits + 1 :]
    assert found.reads(3) == [None] * 3
