"""Real power by the clamp driver on a board whose two analogue pins see simulated mains.

One short test runs always; what it takes to know the error over loads, and what interrupts do, is
for the night.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from hil import live_street
from hil.backends import DRIVEN_ADC, Board
from hil.test_sampling import MEMBERS, SLOT_S, Talk, live_meter
from hushmeter.devices.shortening import firmware_table, shorten
from hushmeter.emulate.peers.mains import Mains
from hushmeter.emulate.pico import EmulatedPico

VOLTAGE_PIN, CURRENT_PIN = 27, 26
AMPS_PER_STEP = 0.075
NOISE_W = 1.27
"""RMS of a reading with 200 pairs and one step of noise: 230 V * 78 mA / sqrt(200)."""
PAUSE_S = 0.04
"""Between two windows there is more."""

SETUP = """
import gc, sys, time
from hushfw.drivers import clamp
driver = clamp.make({"voltage_pin": 27, "current_pin": 26, "voltage_uv": 200000,
    "current_ua": %d, "export": 1%s})
"""
READ = """
for _ in range(%d):
    time.sleep_ms(50)
    print(driver.read(), driver.fault)
"""
POLLED = shorten(
    """
from hushfw.drivers import alternating
alternating._dma = lambda hardware: None
""",
    firmware_table(),
    is_script=True,
)
CHATTER = """
from machine import Timer
def noise(_):
    sys.stdout.write("#" * 60 + "\\n")
timer = Timer(period=3, callback=noise)
"""


class Bench:
    """A board at its prompt, and when each pin was sampled."""

    def __init__(self, board: Board) -> None:
        self.pico = cast(EmulatedPico, board.boot({}, main=b""))
        self.taken: list[tuple[int, float]] = []
        self.mains = Mains()
        self.pico.drive_adc(VOLTAGE_PIN, lambda now_s: self._sample(VOLTAGE_PIN, now_s))
        self.pico.drive_adc(CURRENT_PIN, lambda now_s: self._sample(CURRENT_PIN, now_s))

    def _sample(self, pin: int, now_s: float) -> int:
        self.taken.append((pin, now_s))
        is_voltage = pin == VOLTAGE_PIN
        return self.mains.voltage_level(now_s) if is_voltage else self.mains.current_level(now_s)

    def set_up(self, before: str = "", current_ua: int = 75_000, more: str = "") -> None:
        self.pico.execute(before + SETUP % (current_ua, more))

    def read(self, count: int, after: str = "") -> list[tuple[str, str]]:
        """Reading and fault of the last lines that look like one."""
        self.taken.clear()
        lines = self.pico.execute(READ % count + after).replace("#", "").splitlines()
        words = [line.split() for line in lines if len(line.split()) == 2]
        assert len(words) == count, lines
        return [(watts, fault) for watts, fault in words]

    def watts(self, count: int) -> list[int]:
        found = self.read(count)
        assert {fault for _, fault in found} == {"None"}, found
        return [int(watts) for watts, _ in found]

    def apart_us(self) -> list[float]:
        """Time between the samples of each window, one after another."""
        gaps: list[float] = []
        last_pin, last_s = 0, -1.0
        for pin, at_s in self.taken:
            if at_s - last_s < PAUSE_S:
                assert pin != last_pin
                gaps.append((at_s - last_s) * 1e6)
            else:
                assert pin == VOLTAGE_PIN
            last_pin, last_s = pin, at_s
        return gaps


@pytest.mark.needs("adc", DRIVEN_ADC)
def test_power_direction_and_a_fault_are_read_off_two_pins(board: Board) -> None:
    bench = Bench(board)
    bench.mains = Mains(watts=1000.0, power_factor=0.5, seed=1)
    bench.set_up()
    (drawn,) = bench.watts(1)
    assert abs(drawn - 1000) < 6 * NOISE_W + 1
    apart_us = bench.apart_us()
    assert max(apart_us) - min(apart_us) < 0.1
    bench.mains = Mains(watts=-1000.0, power_factor=0.5, seed=2)
    (fed,) = bench.watts(1)
    assert abs(fed + 1000) < 6 * NOISE_W + 1
    bench.mains.fault = "voltage_lost"
    assert bench.read(1) == [("None", "no_mains")]
    board.numbers["clamp_pairs_per_cycle"] = round(1e6 / 50 / (2 * apart_us[0]))


@pytest.mark.nightly("the driver's arithmetic is tests/core/test_mains.py; this is its whole table")
@pytest.mark.needs("adc", DRIVEN_ADC)
def test_the_error_from_5_w_to_20_kw_is_within_the_drivers_own_bound(board: Board) -> None:
    bench = Bench(board)
    bench.set_up(current_ua=130_000)
    for factor in (1.0, 0.8, 0.5):
        for watts in (5.0, 50.0, 500.0, 5000.0, 20_000.0):
            bench.mains = Mains(watts=watts, power_factor=factor, amps_per_step=0.13, seed=3)
            found = bench.watts(3)
            error_w = sum(found) / len(found) - watts
            board.numbers[f"clamp_error_w_{watts:g}_pf_{factor:g}"] = round(error_w, 2)
            # Three readings of 230 V * 135 mA / sqrt(200) each.
            assert abs(error_w) < 6 * 2.2 / 3**0.5 + 0.001 * watts / factor


@pytest.mark.nightly("nothing a meter does in a slot depends on it; 20 s of emulation")
@pytest.mark.needs("adc", DRIVEN_ADC)
@pytest.mark.parametrize("before", ["", POLLED], ids=["streamed", "polled"])
def test_a_busy_console_does_not_move_samples_beyond_use(board: Board, before: str) -> None:
    bench = Bench(board)
    bench.set_up(before)
    bench.mains = Mains(watts=2000.0, power_factor=0.8, seed=4)
    kind = "polled" if before else "streamed"
    quiet = bench.watts(3)
    for state in ("quiet", "busy"):
        if state == "busy":
            bench.pico.execute(CHATTER)
        found = bench.read(3, "\ntimer.deinit()\n" if state == "busy" else "")
        apart_us = bench.apart_us()
        board.numbers[f"clamp_{kind}_{state}_longest_gap_us"] = round(max(apart_us), 1)
        if kind == "streamed":
            assert max(apart_us) - min(apart_us) < 0.1
        else:
            assert max(apart_us) - min(apart_us) > 0.1, "these samples were not polled"
        for watts, fault in found:
            assert fault in ("None", "cut")
            assert fault == "cut" or abs(int(watts) - 2000) < 20
    assert all(abs(watts - 2000) < 20 for watts in quiet)


@pytest.mark.nightly("test_sampling does the same with a sensor that does not block")
@pytest.mark.needs("adc", DRIVEN_ADC)
def test_every_second_has_its_window_while_the_meter_computes(
    board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two reports, and a new roster with a new partner: a signature and an X25519."""
    sensor = {"name": "clamp", "voltage_pin": 27, "current_pin": 26, "voltage_uv": 200_000}
    monkeypatch.setattr(live_street, "TRANSDUCER", sensor | {"current_ua": 75_000})
    talk = Talk(board, *live_meter(board, tmp_path))
    mains = Mains(watts=1500.0, power_factor=0.8, seed=6)
    talk.pico.drive_adc(VOLTAGE_PIN, mains.voltage_level)
    talk.pico.drive_adc(CURRENT_PIN, mains.current_level)
    talk.run_to(SLOT_S + 7)
    assert [slot for slot, _, _ in talk.reports()] == [1]
    live_street.hand_over(talk.link, talk.street.sign(MEMBERS + 1))
    talk.run_to(3 * SLOT_S + 7)
    assert [(slot, flags) for slot, _, flags in talk.reports()] == [(2, 0), (3, 0)]
    life = talk.life()
    board.numbers["clamp_worst_late_ms_with_a_roster"] = life["worst_late_ms"]
    assert life["missed_samples"] == 0 and life["failed_samples"] == 0
    for record in live_street.home_records(board.files()):
        assert abs(record["demand_ws"] - 1500 * SLOT_S) < 6 * NOISE_W * SLOT_S**0.5 + SLOT_S
