"""Pulses and a metering chip on an emulated board, with the wires driven edge by edge, bit by bit.

The peers know what they gave out, so every reading is compared with the truth.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from hil.backends import DRIVEN_ADC, Board, firmware_for
from hushmeter.devices.bytecode import STAY_SOURCE
from hushmeter.devices.shortening import firmware_table, shorten
from hushmeter.emulate.peers.ade7953 import ADDRESS, Ade7953
from hushmeter.emulate.peers.buses import i2c, spi
from hushmeter.emulate.peers.pulse import PulseOutput
from hushmeter.emulate.pico import Attachment, EmulatedPico

PIN = 15
SPI_PINS = {"sck": 2, "mosi": 3, "miso": 4, "cs": 5}
PULSE = {"name": "pulse", "pin": PIN, "imp_per_kwh": 1000, "most_w": 30_000, "silent_s": 120}
CHIP = {"name": "ade7953", "unit": 0, "full_mv": 400_000, "full_ma": 100_000, "export": True}

BEGIN = """
import sys
sys.path.insert(0, "/lib")
import json, time
from hushfw import drivers
def each_second(driver, seconds, act):
    read = []
    due = time.ticks_ms()
    for _ in range(seconds):
        due = time.ticks_add(due, 1000)
        act()
        time.sleep_ms(max(0, time.ticks_diff(due, time.ticks_ms())))
        began = time.ticks_us()
        watts = driver.read()
        read.append((watts, driver.fault, time.ticks_diff(time.ticks_us(), began)))
    return read
def nothing():
    pass
def agree():
    from hushfw.core import x25519
    x25519.public_key(bytes(range(32)))
def verify():
    from hushfw.core import ed25519
    try:
        ed25519.verify(ed25519.public_key(bytes(32)), b"pulses", bytes(64))
    except Exception:
        pass
driver = drivers.make(json.loads('%s'))
driver.read()
"""


@contextmanager
def prompt(board: Board, peers: list[Attachment], settings: Mapping[str, Any]) -> Iterator[Any]:
    """A board at its prompt with peers on its wires and a driver that has read once."""
    files = {
        name: data for name, data in firmware_for(board.facts).items() if name not in STAY_SOURCE
    }
    pico = EmulatedPico(board.facts, entropy=1, files=files)
    for peer in peers:
        pico.attach(peer)
    with pico:
        pico.execute(BEGIN % json.dumps(settings))
        yield pico


def readings(pico: EmulatedPico, seconds: int, act: str = "nothing") -> list[list[Any]]:
    said = pico.execute(f"print(json.dumps(each_second(driver, {seconds}, {act})))", 60.0 + seconds)
    found: list[list[Any]] = json.loads(said)
    return found


@pytest.mark.needs("pin", DRIVEN_ADC)
def test_no_pulse_is_lost_while_keys_are_agreed_on(board: Board) -> None:
    """As fast as pulses of class A can come: 30 ms each, and 30 ms between them."""
    output = PulseOutput(watts=lambda now_s: 24_000.0, imp_per_kwh=2000, bounces=2)
    settings = PULSE | {"imp_per_kwh": 2000, "debounce_ms": 5}
    with prompt(board, [output.connect(PIN)], settings) as pico:
        missed = output.pulses
        read = readings(pico, 4, "agree")
        counted = int(pico.execute("driver.read()\nprint(driver.raw()['pulses'])"))
        assert pico.execute("print(driver.is_hard(), driver.faults)").split() == ["True", "{}"]
    # One may be in its debounce time at either end.
    assert abs(output.pulses - missed - counted) <= 1
    assert [watts for watts, _, _ in read[2:]] == [pytest.approx(24_000, rel=0.02)] * 2
    board.numbers["pulse_read_us"] = max(took_us for _, _, took_us in read)


@pytest.mark.nightly("test_no_pulse_is_lost_while_keys_are_agreed_on has the same interrupt")
@pytest.mark.needs("pin", DRIVEN_ADC)
@pytest.mark.parametrize("act", ["nothing", "verify"])
def test_the_pulses_of_an_led_are_all_counted(board: Board, act: str) -> None:
    """The most that settings allow of 1 ms debounce: 277 pulses a second, 1.5 ms each."""
    watts, imp = 100_000.0, 10_000
    output = PulseOutput(watts=lambda now_s: watts, imp_per_kwh=imp, pulse_s=0.0015)
    settings = PULSE | {"imp_per_kwh": imp, "most_w": 100_000, "debounce_ms": 1}
    with prompt(board, [output.connect(PIN)], settings) as pico:
        missed = output.pulses
        read = readings(pico, 3, act)
        counted = int(pico.execute("driver.read()\nprint(driver.raw()['pulses'])"))
    assert abs(output.pulses - missed - counted) <= 1
    assert read[-1][0] == pytest.approx(watts, rel=0.01)


@pytest.mark.nightly("tests/drivers/test_pulse.py has the same faults without a board")
@pytest.mark.needs("pin", DRIVEN_ADC)
def test_bounce_spikes_floods_and_a_cut_wire_on_a_board(board: Board) -> None:
    output = PulseOutput(watts=lambda now_s: 6000.0, bounces=5)
    settings = PULSE | {"debounce_ms": 5, "silent_s": 5}
    with prompt(board, [output.connect(PIN)], settings) as pico:
        assert readings(pico, 6)[-1][:2] == [pytest.approx(6000, rel=0.02), None]
        output.spike(pico.simulated_s + 0.2, 0.002)
        assert [fault for _, fault, _ in readings(pico, 3)].count("bounce") == 1
        output.flood_hz = 3000.0
        flooded = readings(pico, 3)
        assert [watts for watts, _, _ in flooded] == [None] * 3
        assert flooded[-1][1] == "flood"
        output.flood_hz = 0.0
        assert readings(pico, 8)[-1][0] == pytest.approx(6000, rel=0.02)
        output.cut = True
        assert readings(pico, 8)[-1][:2] == [None, "silent"]


@pytest.mark.nightly("figures of the estimator, minutes of simulated time")
@pytest.mark.needs("pin", DRIVEN_ADC)
@pytest.mark.parametrize("watts", [100, 1000, 10_000])
def test_a_step_is_read_within_two_pulses(board: Board, watts: int) -> None:
    """After a step from half the power, with 1000 impulses a kWh."""
    stepped_s: list[float] = []

    def course(now_s: float) -> float:
        return float(watts) if stepped_s and now_s >= stepped_s[0] else watts / 2

    output = PulseOutput(watts=course)
    with prompt(board, [output.connect(PIN)], PULSE | {"debounce_ms": 5}) as pico:
        before = 3 * 2 * 3600 // watts + 3
        settled = readings(pico, before)
        assert settled[-1][0] == pytest.approx(watts / 2, rel=0.01, abs=1)
        stepped_s.append(pico.simulated_s)
        read = [value for value, _, _ in readings(pico, 3 * 3600 // watts + 12)]
    late_s = next(at for at in range(len(read)) if all(_near(value, watts) for value in read[at:]))
    assert late_s <= 2 * 3600 / watts + 2
    board.numbers[f"pulse_latency_at_{watts}_w_s"] = late_s


def _near(value: int | None, watts: int) -> bool:
    return value is not None and abs(value - watts) <= max(1, watts // 100)


@pytest.mark.nightly("tests/drivers/test_ade7953.py has the same driver on simulated buses")
@pytest.mark.needs("i2c", "spi", DRIVEN_ADC)
@pytest.mark.parametrize("bus", ["i2c", "spi"])
def test_the_metering_chip_is_read_to_the_truth(board: Board, bus: str) -> None:
    course = [5.0, 20_000.0, -3000.0, 750.3, 0.0, 60.0]
    began_s: list[float] = []

    def truth(now_s: float) -> float:
        return course[int(now_s - began_s[0]) % len(course)] if began_s else 100.0

    chip = Ade7953(watts=truth)
    sda, scl = board.facts.roles()["i2c.sda"], board.facts.roles()["i2c.scl"]
    pins = {"bus": 0, "sda": sda, "scl": scl} if bus == "i2c" else {"bus": 1, **SPI_PINS}
    wires = [i2c(0, {ADDRESS: chip}, sda, scl) if bus == "i2c" else spi(0, SPI_PINS["cs"], chip)]
    with prompt(board, wires, CHIP | pins) as pico:
        readings(pico, 2)
        began_s.append(pico.simulated_s)
        read = readings(pico, 4 * len(course))
        assert [fault for _, fault, _ in read] == [None] * len(read)
        seconds = float(len(read))
        true_ws = seconds / len(course) * sum(course)
        assert sum(watts for watts, _, _ in read) == pytest.approx(true_ws, abs=400)
        board.numbers[f"ade7953_{bus}_read_us"] = max(took_us for _, _, took_us in read)
        chip.reset(pico.simulated_s)
        assert [fault for _, fault, _ in readings(pico, 2)] == ["silent", None]
        chip.absent = True
        assert readings(pico, 2)[-1][:2] == [None, "silent"]


@pytest.mark.nightly("a bus is scanned by nobody here; for whoever looks for a chip on a board")
@pytest.mark.needs("i2c", DRIVEN_ADC)
def test_a_chip_is_found_by_a_scan_of_its_bus(board: Board) -> None:
    chip = Ade7953(watts=lambda now_s: 0.0)
    sda, scl = board.facts.roles()["i2c.sda"], board.facts.roles()["i2c.scl"]
    settings = CHIP | {"bus": 0, "sda": sda, "scl": scl}
    with prompt(board, [i2c(0, {ADDRESS: chip}, sda, scl)], settings) as pico:
        scan = shorten("print(driver._bus._bus.scan())", firmware_table(), is_script=True)
        assert pico.execute(scan).strip() == f"[{ADDRESS}]"
