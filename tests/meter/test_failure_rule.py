"""No acknowledgement means the battery is idle: what the meter counts, and what the battery did.

The whole meter runs here on CPython with a simulated inverter on its UART. What it counted of the
battery is compared with the inverter's own books. They may differ by the way of a set-point to its
power (a fraction of a second of the last step), and in each episode of a fault by what the inverter
still does with the last set-point it heard: at most its power for `revert_s` and a second.
"""

from __future__ import annotations

import json
import random
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hil import live_street
from hil.live_street import START_S, LiveStreet
from hil.twin import Twin
from hushfw import following, port
from hushfw.core import frame, messages
from hushfw.core.errors import HushError
from hushfw.counting import Counting
from hushfw.drivers import log
from hushmeter.emulate.peers import inverter as sim
from hushmeter.emulate.peers.inverter import SunSpecInverter
from tests.drivers.fake_uart import FakeMachine
from tests.meter.driving_kit import (
    ACTUATOR,
    CONTROLLER,
    EPISODE_WS,
    FACTS,
    LEAD_S,
    RATE_W,
    SLOT_S,
    WAY_S,
    Driven,
    House,
)

MEMBERS = 5
TWO_RATES = {
    "name": "be:sat",
    "capacity_wh": 500,
    "charge_rate_w": 500,
    "discharge_rate_w": 501,
}

Make = Callable[..., House]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    current: list[Driven] = []

    def read_u16() -> int:
        return current[-1].read_u16()

    monkeypatch.setattr(
        port, "ticks_ms", lambda: port.ticks_add(-90_000, current[-1].local_ms) if current else 0
    )

    class Booted(Driven):
        def reset(self) -> Twin:
            current.append(self)
            return super().reset()

    def made(
        controller: dict[str, Any] | None = None, slot_s: int = SLOT_S, **changes: Any
    ) -> House:
        inverter = SunSpecInverter(FACTS)
        lines = FakeMachine({1: inverter})
        monkeypatch.setattr(sys.modules["machine"], "UART", lines.UART, raising=False)
        street = LiveStreet("unix", MEMBERS + 1, slot_s, controller or CONTROLLER)
        files = street.files(MEMBERS)
        config = json.loads(files["config.json"]) | {"actuator": ACTUATOR} | changes
        files["config.json"] = json.dumps(config).encode()
        Booted.lines = lines
        meter = Booted(tmp_path / f"m{len(current)}", files)
        live_street.enrol(meter.link, street.sign(MEMBERS))
        house = House(meter, street, inverter)
        watch(house)
        return house

    def watch(house: House) -> None:
        count = Counting._count

        def seen(slots: Any, start_s: int, demand_w: int, grid_w: int, step_s: int) -> None:
            assert start_s not in house.counted
            house.counted[start_s] = (demand_w, grid_w)
            count(slots, start_s, demand_w, grid_w, step_s)

        monkeypatch.setattr(Counting, "_count", seen)

    with live_street.on_this_interpreter(read_u16):
        yield made


def set_fault(name: str, value: Any = True) -> Callable[[House], None]:
    return lambda house: setattr(house.inverter.faults, name, value)


FAULTS: dict[str, Callable[[House], None]] = {
    "silent": set_fault("silent"),
    "deaf": set_fault("deaf"),
    "bad crc": set_fault("bad_crc"),
    "cut": set_fault("cut", 2),
    "another unit": set_fault("other_unit"),
    "refuses": set_fault("exception", sim.DEVICE_FAILURE),
    "lags": set_fault("reply_s", 0.7),
    "ignores": set_fault("ignores"),
    "off": lambda house: house.inverter.restart(house.meter.local_ms / 1000, 20),
    "restarts": lambda house: house.inverter.restart(house.meter.local_ms / 1000),
}


def test_the_grid_that_is_counted_is_the_grid_that_was(make: Make) -> None:
    house = make()
    house.begin()
    house.run_to(2 * SLOT_S + 10)
    assert house.meter.reported() == [1, 2]
    assert [r["flags"] for r in house.meter.records()] == [0, 0]
    assert house.actuator.unacknowledged == 0
    assert house.actuator.idle_seconds <= LEAD_S
    moved = [abs(g - d) for d, g in house.counted.values()]
    assert sum(moved) > 100 * len(moved)
    assert house.worst_ws(2 * SLOT_S) <= WAY_S * 2 * RATE_W
    for record in house.meter.records():
        first = START_S + (record["slot"] - 1) * SLOT_S
        assert record["demand_ws"] == sum(house.counted[first + s][0] for s in range(SLOT_S))


def test_each_second_is_counted_once_and_the_battery_is_what_the_controller_says(
    make: Make,
) -> None:
    """Without quantisation to speak of, the controller's charge is what the grid gave."""
    house = make()
    house.begin()
    house.run_to(0)
    slots = house.meter.slots
    before_ws = house.actuator._told[4][0]
    house.run_to(100)
    told = house.actuator._told
    assert sorted(house.counted) == [START_S + s for s in range(100)]
    assert told[1] == START_S + 100
    assert told[4][0] - before_ws == house.counted_ws(0, 100)
    assert slots._controller.charge_ws - told[4][0] == told[3] - told[2]


@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_fails_the_battery_counts_as_idle_and_is_within_the_bound(
    make: Make, fault: str
) -> None:
    house = make()
    house.begin()
    house.run_to(30)
    charge_ws = house.meter.slots._controller.charge_ws
    FAULTS[fault](house)
    house.run_to(50)
    if fault != "restarts":
        assert not house.actuator.acknowledged
        assert house.actuator.fault is not None
        # One that ignores what it is told follows as long as it is told the same.
        first = 35 if fault == "ignores" else 31
        for second in range(first, 49):
            demand_w, grid_w = house.counted[START_S + second]
            assert grid_w == demand_w
        assert house.inverter.battery.power_w == 0
        assert fault == "ignores" or house.meter.slots._controller.charge_ws == charge_ws
    assert house.actuator.unacknowledged >= 1
    house.inverter.faults = sim.Faults()
    last = SLOT_S + 25
    house.run_to(last)
    assert house.actuator.acknowledged
    assert house.actuator.fault is None
    assert house.actuator.state()["idle_seconds"] < LEAD_S + 45
    assert any(g != d for s, (d, g) in house.counted.items() if s > START_S + 60)
    assert house.worst_ws(last) <= EPISODE_WS + WAY_S * 2 * RATE_W
    # The public report does not tell.
    assert [fields["flags"] for _, fields in house.meter.reports] == [0]


def test_a_meter_that_believes_what_nobody_acknowledged_is_caught(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The positive control of the bound: the same books, with the rule switched off."""
    monkeypatch.setattr(following.Following, "_was_acknowledged", lambda actuator: True)
    monkeypatch.setattr(
        following.Following, "_tell", lambda actuator, power_w, least_w: told(actuator, power_w)
    )

    def told(actuator: Any, power_w: int) -> int:
        actuator._driver.tell(power_w, -100_000)
        return power_w

    house = make(dict(CONTROLLER, name="ls1"))
    house.demand_w = 740
    monkeypatch.setattr(house, "chance", random.Random(1))
    house.begin()
    house.run_to(10)
    FAULTS["deaf"](house)
    house.run_to(2 * SLOT_S + 10)
    assert house.worst_ws(2 * SLOT_S) > EPISODE_WS + WAY_S * 2 * RATE_W


def test_the_books_of_an_hour_with_faults_at_random_hold(make: Make) -> None:
    house = make(slot_s=900)
    house.begin()
    chance = random.Random(7)
    at, episodes = 20, 0
    while at < 3500:
        house.run_to(at)
        FAULTS[chance.choice(sorted(FAULTS))](house)
        house.run_to(at + chance.randrange(1, 30))
        house.inverter.faults = sim.Faults()
        episodes += 1
        at += chance.randrange(60, 400)
    house.run_to(3610)
    assert house.meter.reported() == [1, 2, 3, 4]
    assert [record["flags"] & 1 for record in house.meter.records()] == [0, 0, 0, 0]
    assert sorted(house.counted) == [START_S + s for s in range(3610)]
    assert house.worst_ws(3600) <= episodes * EPISODE_WS + WAY_S * 2 * RATE_W
    hiding = sum(g != d for d, g in house.counted.values())
    assert hiding > 2000
    assert house.actuator.unacknowledged >= episodes // 2


def test_a_second_without_a_reading_is_a_gap_and_no_set_point_outlives_it(make: Make) -> None:
    house = make(dict(CONTROLLER, name="ls1"))
    house.begin()
    house.run_to(20)
    assert house.inverter.battery.power_w != 0
    house.meter.watts = lambda: 1 // 0
    house.run_to(22)
    assert house.inverter.battery.power_w == 0
    charge_ws = house.meter.slots._controller.charge_ws
    house.run_to(25)
    assert house.meter.slots._controller.charge_ws == charge_ws
    house.meter.watts = house.watts
    house.run_to(2 * SLOT_S + 10)
    assert [record["flags"] for record in house.meter.records()] == [1, 0]
    assert START_S + 19 in house.counted
    assert START_S + 23 not in house.counted


def test_a_controller_that_refuses_leaves_an_idle_battery(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = make()
    house.begin()
    house.run_to(20)

    def refuse(demand_w: int) -> int:
        raise HushError("bad_feed", "no")

    monkeypatch.setattr(house.meter.slots._controller, "step", refuse)
    house.run_to(22)
    assert house.inverter.battery.power_w == 0
    assert START_S + 19 in house.counted
    assert START_S + 21 not in house.counted


def test_a_new_roster_takes_the_second_that_is_not_settled_with_it(make: Make) -> None:
    house = make()
    house.begin()
    house.run_to(SLOT_S + 20.4)
    roster = house.street.sign(MEMBERS)
    reply = live_street.hand_over(house.meter.link, roster).fields
    while reply["done"] != reply["total"]:
        reply = house.meter.link.request("roster_commit").fields
    house.run_to(3 * SLOT_S + 10)
    assert house.meter.reported() == [1, 2, 3]
    assert [record["flags"] for record in house.meter.records()] == [0, 0, 0]
    assert sorted(house.counted) == [START_S + s for s in range(3 * SLOT_S + 10)]
    assert house.worst_ws(3 * SLOT_S) <= WAY_S * 2 * RATE_W


def test_a_slot_that_is_given_up_does_not_count_into_the_next(make: Make) -> None:
    house = make()
    house.begin()
    house.run_to(20)
    boots = house.meter.ask("hello_request")["boots"]
    told = house.actuator._told
    jumped_ms = (START_S + SLOT_S - 3) * 1000
    house.meter.ask("clock", **house.street.clock(boots, jumped_ms))
    house.run(3.0 + SLOT_S + 10)
    assert house.meter.reported() == [2]
    assert told[0] == 1
    assert told[1] not in house.counted
    assert {record["slot"]: record["flags"] for record in house.meter.records()} == {1: 1, 2: 0}


def test_a_controller_that_draws_every_second_is_taken_back_and_goes_on(make: Make) -> None:
    """Its check of a state refuses what cannot be its own: none is refused here."""
    house = make({"name": "rc", "capacity_wh": 200, "rate_w": RATE_W})
    house.begin()
    for at in range(5, 55, 5):
        house.run_to(at)
        house.inverter.faults.bad_crc = at % 10 == 5
    house.run_to(SLOT_S + 10)
    assert house.meter.reported() == [1]
    assert house.meter.records()[0]["flags"] == 0
    assert house.actuator.unacknowledged >= 4


def test_a_log_beside_it_has_what_was_counted(make: Make) -> None:
    house = make(actuator=ACTUATOR | {"log": 1})
    house.begin()
    house.run_to(10)
    FAULTS["deaf"](house)
    house.run_to(SLOT_S + 10)
    data = house.meter.files()["battery.log"]
    size = struct.calcsize(log.RECORD)
    logged = {
        second: (demand_w, grid_w)
        for second, demand_w, grid_w, _ in (
            struct.unpack_from(log.RECORD, data, at) for at in range(0, len(data), size)
        )
    }
    seconds = [second for second in house.counted if second in logged]
    assert len(seconds) >= SLOT_S
    assert all(logged[second] == house.counted[second] for second in seconds)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"driver": {"name": "replay", "export": False, "source": "link"}}, "meter replays"),
        ({"actuator": ACTUATOR | {"rated_w": RATE_W - 1}}, "rated_w allows 499 or less"),
        (
            {"controller": {"name": "cascade", "first": CONTROLLER, "second": TWO_RATES}},
            "controller.discharge_rate_w: is 1001 in both parts together",
        ),
        (
            {"controller": {"name": "source", "quantum_w": 100, "demand_levels": 8}},
            "controller.name: source has no battery",
        ),
    ],
)
def test_what_cannot_drive_is_refused_at_boot(
    make: Make, changes: dict[str, Any], said: str
) -> None:
    config = {"driver": {"name": "level", "export": False}, "controller": CONTROLLER}
    with pytest.raises(HushError, match=said) as refused:
        following.make(config | {"actuator": ACTUATOR} | changes, 0, FakeMachine({}))
    assert refused.value.code == "bad_config"


def test_a_driver_that_raises_leaves_the_meter_going(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = make()
    house.begin()
    house.run_to(20)

    def broken(*given: Any) -> None:
        raise OSError(5)

    for name in ("tell", "settle", "poll"):
        monkeypatch.setattr(house.actuator._driver, name, broken)
    house.run_to(SLOT_S + 10)
    assert house.meter.reported() == [1]
    assert house.meter.records()[0]["flags"] == 0
    assert house.actuator.state()["last_fault"] == "failed"
    assert all(g == d for s, (d, g) in house.counted.items() if s > START_S + 21)


def test_no_sample_after_the_way_out_gives_the_battery_another_set_point(make: Make) -> None:
    house = make(dict(CONTROLLER, name="ls1"))
    house.begin()
    house.run_to(20)
    assert house.inverter.battery.power_w != 0
    house.meter.ask("maintenance")
    writes = len(house.inverter.writes)
    house.run_to(22)
    assert house.inverter.battery.power_w == 0
    assert all(step == 0 for _, step in house.inverter.writes[writes:])


def test_a_way_out_that_is_refused_leaves_the_battery_following(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = make(dict(CONTROLLER, name="ls1"))
    house.begin()
    house.run_to(20)

    def full() -> None:
        raise HushError("storage", "the filesystem is full")

    monkeypatch.setattr(house.meter.meter.life, "prepare_maintenance", full)
    assert house.meter.refusal("maintenance") == "storage"
    house.run_to(25)
    assert house.actuator.acknowledged
    assert house.inverter.battery.power_w != 0


def abroad(house: House, name: str, sequence: int) -> dict[str, Any]:
    """What the meter answers to this request over its network."""
    number, payload = messages.encode(name, {})
    said = house.meter.meter.receive_from(1, number, sequence, payload)
    kind, _, answer = next(iter(frame.Decoder().feed(said[-1])))
    return dict(messages.decode(kind, answer)[1])


def test_a_network_is_not_told_when_the_sensor_fails_or_the_battery_is_idle(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = [100_000]
    monkeypatch.setattr(port, "free_heap", lambda: free[0])
    house = make()
    house.begin()
    house.run_to(20)
    before = abroad(house, "life_request", 1)
    assert abroad(house, "status_request", 2)["free_heap_bytes"] == 98_304
    house.meter.watts = lambda: 1 // 0
    free[0] += 200
    house.run_to(30)
    said = abroad(house, "life_request", 3)
    assert (said["samples"] - before["samples"], said["failed_samples"]) == (10, 0)
    assert abroad(house, "status_request", 4)["free_heap_bytes"] == 98_304
    assert house.meter.ask("life_request")["failed_samples"] == 10
    assert house.meter.ask("status_request")["free_heap_bytes"] == 100_200
    for name in ("unacknowledged", "idle_seconds"):
        assert name not in said
    free[0] += 50_000
    assert abroad(house, "status_request", 5)["free_heap_bytes"] == 98_304
