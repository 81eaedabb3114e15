"""Peers on a wire: a line keeps its time, and a simulated battery keeps its books."""

from __future__ import annotations

import math
import os
import time

import pytest

from hushmeter.emulate.peers.battery import Battery, BatteryFacts
from hushmeter.emulate.peers.inverter import (
    EMPTY,
    IN_W_RTE,
    OUT_W_RTE,
    RVRT_TMS,
    STOR_CTL_MOD,
    SunSpecInverter,
    crc,
)
from hushmeter.emulate.peers.wires import BITS, Line, Terminal

BAUD = 9600


def question(unit: int, function: int, *words: int, values: tuple[int, ...] = ()) -> bytes:
    frame = bytes((unit, function)) + b"".join(word.to_bytes(2, "big") for word in words)
    if values:
        frame += bytes((2 * len(values),))
        frame += b"".join((value & 0xFFFF).to_bytes(2, "big") for value in values)
    return frame + crc(frame).to_bytes(2, "little")


def ask(inverter: SunSpecInverter, frame: bytes, now_s: float) -> bytes:
    for at, byte in enumerate(frame):
        inverter.receive(byte, now_s + at * BITS / BAUD)
    reply = inverter.next_out()
    return reply[1] if reply is not None else b""


def drive(inverter: SunSpecInverter, step: int, now_s: float, revert_s: int = 0) -> None:
    """Charging by so many hundredths of a percent, with both limits switched on."""
    place = 40_000 + 2 + 68 + 52
    limits = (-step, step, 0, revert_s)
    assert len(ask(inverter, question(1, 16, place + OUT_W_RTE, 4, values=limits), now_s)) == 8
    assert len(ask(inverter, question(1, 6, place + STOR_CTL_MOD, 3), now_s + 0.1)) == 8


def test_energy_is_power_over_time_with_delay_and_ramp() -> None:
    battery = Battery(BatteryFacts(delay_s=0.5, ramp_w_per_s=1000))
    battery.order(2000, 1.0)
    battery.advance(10)
    # Nothing until 1.5 s, then 2 s on the way to 2000 W.
    assert battery.energy_ws(0, 1.5) == pytest.approx(0)
    assert battery.energy_ws(1.5, 3.5) == pytest.approx(2000)
    assert battery.energy_ws(0, 10) == pytest.approx(2000 + 6.5 * 2000)
    assert battery.energy_ws(2.5, 3.0) == pytest.approx(0.5 * 1250)
    assert battery.power_w == 2000


def test_losses_are_the_batterys_and_not_the_grids() -> None:
    facts = BatteryFacts(charge_efficiency=0.9, discharge_efficiency=0.8, standby_w=10)
    battery = Battery(facts)
    battery.order(1000, 0)
    battery.advance(3600)
    battery.order(-1000, 3600)
    battery.advance(7200)
    assert battery.energy_ws(0, 7200) == pytest.approx(0, abs=1)
    assert battery.charge_wh == pytest.approx(2500 + 900 - 1250 - 20, abs=0.01)


@pytest.mark.parametrize("ramp_w_per_s", [math.inf, 5000.0])
def test_a_battery_stops_where_it_is_empty_or_full(ramp_w_per_s: float) -> None:
    battery = Battery(BatteryFacts(capacity_wh=10, charge_wh=5, ramp_w_per_s=ramp_w_per_s))
    battery.order(3600, 0)
    battery.advance(20)
    assert (battery.power_w, battery.charge_wh) == (0, pytest.approx(10, abs=1e-3))
    battery.order(-3600, 20)
    battery.advance(60)
    assert (battery.power_w, battery.charge_wh) == (0, pytest.approx(0, abs=1e-3))
    assert battery.energy_ws(0, 60) == pytest.approx(-5 * 3600, abs=5)


def test_an_inverter_follows_pinned_limits_until_they_expire() -> None:
    inverter = SunSpecInverter()
    drive(inverter, -2000, 1.0, revert_s=4)
    inverter.run(3)
    assert inverter.battery.power_w == -1000
    inverter.run(7)
    assert inverter.battery.power_w == 0
    assert inverter.battery.energy_ws(0, 7) == pytest.approx(-1000 * 3.9, rel=0.02)


def test_a_frame_with_a_pause_in_it_is_not_heard() -> None:
    inverter = SunSpecInverter()
    frame = question(1, 3, 40_000, 2)
    assert ask(inverter, frame, 1.0)[3:7] == b"SunS"
    for at, byte in enumerate(frame):
        inverter.receive(byte, 2.0 + at * BITS / BAUD + (0.005 if at > 3 else 0))
    assert inverter.next_out() is None


def test_a_restarted_inverter_is_idle_with_its_mode_off() -> None:
    inverter = SunSpecInverter(BatteryFacts(charge_wh=0))
    drive(inverter, 2000, 1.0)
    inverter.run(2)
    assert inverter.battery.power_w == 1000
    inverter.restart(2, 1.0)
    assert inverter.storage[STOR_CTL_MOD] == inverter.storage[RVRT_TMS] == 0
    assert inverter.storage[OUT_W_RTE] == inverter.storage[IN_W_RTE] == 10_000
    assert ask(inverter, question(1, 3, 40_000, 2), 2.5) == b""
    assert ask(inverter, question(1, 3, 40_000, 2), 3.5) != b""
    assert inverter.battery.power_w == 0
    assert inverter._status() != EMPTY


def test_a_line_gives_each_byte_its_time() -> None:
    inverter = SunSpecInverter()
    line = Line(inverter, BAUD)
    for at, byte in enumerate(question(1, 3, 40_000, 2)):
        line.receive(byte, (at + 1) * BITS / BAUD)
    now_s, heard, times_s = 8 * BITS / BAUD, bytearray(), []
    while (due_s := line.due_s(now_s)) is not None:
        now_s = due_s
        times_s.append(now_s)
        heard.append(line.take())
    assert bytes(heard[:7]) == b"\x01\x03\x04SunS"
    assert times_s[0] == pytest.approx((8 + 1) * BITS / BAUD + 0.02)
    assert times_s[-1] - times_s[0] == pytest.approx((len(heard) - 1) * BITS / BAUD)


def test_a_program_reaches_a_peer_through_a_terminal() -> None:
    with Terminal(SunSpecInverter(), 115_200) as path:
        port = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        os.write(port, question(1, 3, 40_000, 2))
        heard, end_s = b"", time.monotonic() + 5
        while len(heard) < 9 and time.monotonic() < end_s:
            time.sleep(0.005)
            try:
                heard += os.read(port, 64)
            except BlockingIOError:
                continue
        os.close(port)
    assert heard[3:7] == b"SunS"
    assert crc(heard) == 0
