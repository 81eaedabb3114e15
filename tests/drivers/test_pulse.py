"""The pulse input counts what a meter gave out, and knows when it cannot."""

from __future__ import annotations

from typing import Any

import pytest

from hushfw.core import config
from hushfw.core.errors import HushError
from hushfw.drivers import FAULTS, pulse
from hushmeter.emulate.peers.pulse import PulseOutput
from tests.drivers.fake_bus import FakeMachine

SETTINGS: dict[str, Any] = {
    "name": "pulse",
    "pin": 15,
    "imp_per_kwh": 1000,
    "most_w": 20_000,
    "debounce_ms": 5,
    "silent_s": 120,
    "export": False,
}


class Bench:
    """A driver, the output at its pin, and what was read each second."""

    def __init__(self, output: PulseOutput, has_hard: bool = True, **settings: Any) -> None:
        self.machine = FakeMachine(has_hard)
        self.driver = pulse.make(SETTINGS | settings, self.machine)
        self.output = output
        self.machine.put(15, output)
        self.read: list[int | None] = []

    def run(self, seconds: int) -> list[int | None]:
        """Readings of the next seconds."""
        found = []
        for _ in range(seconds):
            found.append(self.driver.read())
            self.machine.run(1.0)
        self.read += found
        return found


def test_pulses_are_watts_and_their_energy_is_the_meters() -> None:
    course = [1000.0] * 60 + [4000.0] * 60 + [250.0] * 60
    output = PulseOutput(watts=lambda now_s: course[min(int(now_s), 179)])
    bench = Bench(output)
    read = bench.run(180)
    assert read[20:55] == [pytest.approx(1000, abs=2)] * 35
    assert read[70:115] == [pytest.approx(4000, abs=2)] * 45
    assert read[150:175] == [pytest.approx(250, abs=2)] * 25
    known = [(watts, truth) for watts, truth in zip(read, course, strict=True) if watts is not None]
    assert abs(sum(watts - truth for watts, truth in known)) <= 3600 + 1000
    assert bench.driver.fault is None and bench.driver.faults == {}
    assert bench.driver.live and not bench.driver.sees_export


def test_bounce_is_not_counted_and_costs_no_reading() -> None:
    output = PulseOutput(watts=lambda now_s: 5000.0, bounces=6)
    bench = Bench(output)
    read = bench.run(60)
    assert None not in read[3:]
    assert bench.driver.raw()["pulses"] == output.pulses
    assert bench.driver.raw()["bounces"] >= 10 * output.pulses
    assert bench.driver.faults == {}


def test_without_debounce_bounce_would_be_counted() -> None:
    """The positive control: springs of 4 ms against 1 ms of debounce."""
    output = PulseOutput(watts=lambda now_s: 2000.0, bounces=3, bounce_s=0.004, pulse_s=0.1)
    bench = Bench(output, debounce_ms=1, most_w=60_000)
    bench.run(30)
    assert bench.driver.raw()["pulses"] > output.pulses


def test_pulses_of_an_led_are_counted_with_a_shorter_debounce() -> None:
    output = PulseOutput(watts=lambda now_s: 3000.0, imp_per_kwh=10_000, pulse_s=0.004, active=1)
    bench = Bench(output, imp_per_kwh=10_000, debounce_ms=2, edge=1, pull=2)
    read = bench.run(30)
    assert read[5:] == [pytest.approx(3000, abs=3)] * 25
    assert bench.driver.raw()["pulses"] == output.pulses


def test_a_spike_is_a_gap_of_its_second_and_no_pulse() -> None:
    output = PulseOutput(watts=lambda now_s: 1000.0)
    bench = Bench(output)
    bench.run(20)
    before = bench.driver.raw()["pulses"]
    output.spike(bench.machine.now_s + 0.3, 0.001)
    read = bench.run(10)
    assert [at for at, watts in enumerate(read) if watts is None] == [1]
    assert bench.driver.faults == {"bounce": 1}
    assert bench.driver.raw()["pulses"] - before == pytest.approx(10 / 3.6, abs=1)
    assert [watts for watts in read if watts is not None] == [pytest.approx(1000, abs=2)] * 9


def test_a_pulse_within_a_write_to_the_flash_is_a_gap_and_not_lost_in_silence() -> None:
    output = PulseOutput(watts=lambda now_s: 1000.0)
    bench = Bench(output)
    bench.run(20)
    pulses = output.pulses
    while output.pulses == pulses:
        due_s = output.next_edge_s(bench.machine.now_s)
        bench.machine.run(max(0.0, due_s - bench.machine.now_s - 0.0005))
        bench.machine.block(0.05)
    bench.machine.run(0.5)
    assert bench.driver.read() is None
    assert bench.driver.fault == "bounce"


def test_a_flood_switches_the_interrupt_off_until_the_next_reading() -> None:
    output = PulseOutput(watts=lambda now_s: 1000.0)
    bench = Bench(output)
    bench.run(20)
    output.flood_hz = 4000.0
    counted = bench.driver.raw()["bounces"]
    assert bench.run(3)[1:] == [None, None]
    assert bench.driver.fault == "flood"
    assert bench.driver.raw()["bounces"] - counted < 1500
    output.flood_hz = 0.0
    read = bench.run(20)
    assert read[-8:] == [pytest.approx(1000, abs=2)] * 8
    assert bench.driver.fault is None


def test_pulses_faster_than_the_greatest_power_are_a_flood() -> None:
    output = PulseOutput(watts=lambda now_s: 1000.0)
    bench = Bench(output)
    bench.run(20)
    output.flood_hz = 16.0
    assert None in bench.run(4)[1:]
    assert bench.driver.faults.keys() == {"flood"}


def test_a_cut_wire_is_silence_and_never_zero_for_long() -> None:
    output = PulseOutput(watts=lambda now_s: 1000.0)
    bench = Bench(output, silent_s=10)
    bench.run(20)
    output.cut = True
    read = bench.run(20)
    assert read[13:] == [None] * 7
    assert bench.driver.fault == "silent"
    output.cut = False
    assert bench.run(15)[-1] == pytest.approx(1000, abs=2)


def test_a_second_pin_is_export() -> None:
    sun = {"w": 0.0}
    drawn = PulseOutput(watts=lambda now_s: 2000.0 - sun["w"])
    fed = PulseOutput(watts=lambda now_s: sun["w"] - 2000.0)
    bench = Bench(drawn, export=True, export_pin=14)
    bench.machine.put(14, fed)
    assert bench.driver.sees_export
    assert bench.run(20)[-1] == pytest.approx(2000, abs=2)
    sun["w"] = 5000.0
    assert bench.run(20)[-8:] == [pytest.approx(-3000, abs=3)] * 8
    assert bench.driver.raw()["export_pulses"] == fed.pulses
    assert bench.driver.faults == {}


def test_where_there_is_no_hard_interrupt_a_soft_one_is_taken() -> None:
    for has_hard in (True, False):
        bench = Bench(PulseOutput(watts=lambda now_s: 1000.0), has_hard)
        assert bench.run(20)[-1] == pytest.approx(1000, abs=2)
        assert bench.driver.is_hard() is has_hard


def test_a_reading_that_was_missed_does_not_make_the_next_one_larger() -> None:
    bench = Bench(PulseOutput(watts=lambda now_s: 6000.0))
    bench.run(10)
    bench.machine.run(2.0)
    assert bench.run(5) == [pytest.approx(6000, abs=3)] * 5


def test_its_faults_are_faults_of_the_interface() -> None:
    assert {"flood", "bounce", "silent"} <= set(FAULTS)
    assert pulse.CALIBRATED == {}


@pytest.mark.parametrize(
    ("field", "changes"),
    [("pin", {"pin": 40}), ("export_pin", {"export": True, "export_pin": 40})],
)
def test_a_pin_that_the_board_has_not_is_refused(field: str, changes: dict[str, Any]) -> None:
    with pytest.raises(HushError, match="driver." + field) as refusal:
        pulse.make(SETTINGS | changes, FakeMachine())
    assert refusal.value.code == "bad_config"


def test_settings_that_cannot_be_right_are_named() -> None:
    config._driver(SETTINGS)
    config._driver(SETTINGS | {"export": True, "export_pin": 14})
    for changes, what in (
        ({"imp_per_kwh": 0}, "imp_per_kwh"),
        ({"silent_s": 501}, "silent_s"),
        ({"export": True}, "export_pin"),
        ({"export_pin": 14}, "export_pin"),
        ({"export": True, "export_pin": 15}, "another pin"),
        ({"most_w": 100_000, "debounce_ms": 18}, "less than half of 36 ms"),
    ):
        with pytest.raises(HushError, match=what):
            config._driver(SETTINGS | changes)


def test_no_energy_is_lost_when_a_reading_comes_late() -> None:
    bench = Bench(PulseOutput(watts=lambda now_s: 9000.0))
    bench.run(20)
    total = 0
    for late_s in (0.6, 0.0, 0.85, 0.3, 0.0) * 8:
        bench.machine.run(1.0 + late_s - (bench.machine.now_s % 1.0))
        total += bench.driver.read() or 0
    assert total == pytest.approx(9000 * 41, abs=9000 + 3600)
    assert bench.driver.faults == {}


def test_pulses_that_were_taken_and_not_counted_make_no_later_reading_smaller(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Out of memory in the middle, and asked again at once, as the meter does."""
    bench = Bench(PulseOutput(watts=lambda now_s: 9000.0))
    bench.run(20)
    with monkeypatch.context() as patch, pytest.raises(MemoryError):
        patch.setattr(bench.driver._pulses, "take", lambda *taken: _full())
        bench.driver.read()
    assert bench.driver.read() is None
    bench.machine.run(1.0)
    read = [watts for watts in bench.run(20) if watts is not None]
    assert len(read) >= 16
    assert read == [pytest.approx(9000, abs=5)] * len(read)


def _full() -> None:
    raise MemoryError
