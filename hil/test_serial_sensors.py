"""A metering module and a smart meter's port, simulated at the far ends of a board's UARTs.

At the prompt each fault is a gap with its name; on a meter that measures, every telegram of the
port is counted once while it masks, reports and answers.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from hil import live_street
from hil.backends import DRIVEN_ADC, Board
from hil.live_street import START_S, LiveStreet
from hushmeter.devices import meter_plan
from hushmeter.emulate.peers import wires
from hushmeter.emulate.peers.p1 import P1
from hushmeter.emulate.peers.pzem import Pzem
from hushmeter.emulate.pico import EmulatedPico
from hushmeter.link import Link

MEMBERS = 4
SLOT_S = 10
LEAD_S = 2
PATIENCE_S = 120.0
MOST_LATE_MS = 500
"""A telegram's end takes more of the stack than some points of a computation have left."""
WHY_NIGHTLY = "tests/drivers has the same peers and faults; here it is a board's own UART"

SETUP = """
from hushfw import drivers
driver = drivers.make(%r)
"""
READ = "print(driver.read(), driver.fault)"


class Bench:
    """A board at its prompt with one sensor, read at every whole second of simulated time."""

    def __init__(self, board: Board, peer: Any, baud: int, **settings: Any) -> None:
        uart = board.facts.pins.uart
        assert uart is not None
        self.pico = cast(EmulatedPico, board.boot({}, main=b""))
        self.pico.attach(wires.uart(uart.id, peer, baud))
        pins = {"uart": uart.id, "tx": uart.tx, "rx": uart.rx}
        self.pico.execute(SETUP % (pins | settings))

    def read(self, count: int = 1) -> list[tuple[str, str]]:
        """Reading and fault of so many seconds."""
        found = []
        for _ in range(count):
            now_s = self.pico.simulated_s
            self.pico.run(math.floor(now_s) + 1 - now_s)
            watts, fault = self.pico.execute(READ).split()
            found.append((watts, fault))
        return found


@pytest.mark.nightly(WHY_NIGHTLY)
@pytest.mark.needs("uart", DRIVEN_ADC)
def test_a_metering_module_is_read_and_its_faults_are_named(board: Board) -> None:
    peer = Pzem(watts=lambda now_s: 1230.4)
    bench = Bench(board, peer, 9600, name="pzem", unit=1)
    assert set(bench.read(5)[1:]) == {("1230", "None"), ("1231", "None")}
    faults: tuple[tuple[Any, str], ...] = (("bad_crc", "bad_crc"), ("lost", "cut"))
    for fault, named in faults:
        peer.fault = fault
        assert bench.read(2)[-1] == ("None", named)
    peer.fault = None
    peer.unit = 9
    assert bench.read(12)[-1] == ("None", "wrong_address")
    peer.unit = 1
    assert bench.read(10)[-1][0] in ("1230", "1231")


@pytest.mark.nightly(WHY_NIGHTLY)
@pytest.mark.needs("uart", DRIVEN_ADC)
def test_a_smart_meters_port_is_read_and_its_faults_are_named(board: Board) -> None:
    peer = P1(watts=lambda now_s: -321.0)
    bench = Bench(board, peer, 115200, name="p1", invert=0, export=True)
    assert bench.read(4)[2:] == [("-321", "None")] * 2
    faults: tuple[tuple[Any, str], ...] = (
        ("bad_crc", "bad_crc"),
        ("cut", "cut"),
        ("encrypted", "encrypted"),
    )
    for fault, named in faults:
        peer.fault = fault
        assert bench.read(6)[-1] == ("None", named)
    peer.fault = None
    assert bench.read(4)[-1] == ("-321", "None")


class House:
    """A live meter whose sensor is a P1 port; its load is another one in every second."""

    def __init__(self, board: Board, files: Mapping[str, bytes], street: LiveStreet) -> None:
        uart = board.facts.pins.uart
        assert uart is not None
        config = json.loads(files[meter_plan.CONFIG_FILE])
        config["driver"] = {
            "name": "p1",
            "uart": uart.id,
            "tx": uart.tx,
            "rx": uart.rx,
            "invert": 0,
            "export": False,
        }
        configured = json.dumps(config).encode()
        chance = random.Random(5)
        self.watts = [chance.randrange(4000) for _ in range(200)]
        # Between two samples, wherever the meter's second begins.
        self.port = P1(watts=lambda now_s: self.watts[int(now_s)], start_s=1.0)
        self.pico = cast(EmulatedPico, board.boot({**files, meter_plan.CONFIG_FILE: configured}))
        self.pico.attach(wires.uart(uart.id, self.port, 115200))
        self.link = Link(self.pico, timeout_s=PATIENCE_S, tries=1)
        boots = self.link.request("hello_request").fields["boots"]
        self.began_s = math.floor(self.pico.simulated_s) + 1.5
        self.pico.run(self.began_s - self.pico.simulated_s)
        self.link.request("clock", **street.clock(boots, (START_S - LEAD_S) * 1000))

    def run_to(self, second: float) -> None:
        """Until so many seconds after slot 1 began."""
        self.pico.run(self.began_s + LEAD_S + second - self.pico.simulated_s)

    def counted_ws(self, slot: int, before_s: int) -> int:
        """The energy of a slot's telegrams, if the first is so many seconds older than the slot."""
        first = int(self.began_s) + LEAD_S + (slot - 1) * SLOT_S - before_s
        return sum(self.watts[first : first + SLOT_S])


@pytest.mark.nightly("it takes half a minute; test_sampling runs always")
@pytest.mark.needs("uart", DRIVEN_ADC)
def test_every_telegram_is_counted_once_while_the_meter_computes(
    board: Board, tmp_path: Path
) -> None:
    street = LiveStreet(board.facts.name, MEMBERS, SLOT_S)
    files = live_street.enrolled(street, MEMBERS, tmp_path / "enrolled")
    house = House(board, files, street)
    house.run_to(SLOT_S + 7)
    house.link.request("announce", **street.announcement(1))
    house.run_to(2 * SLOT_S + 7)
    life = house.link.request("life_request").fields
    assert life["missed_samples"] == 0
    board.numbers["p1_worst_late_ms"] = life["worst_late_ms"]
    assert life["worst_late_ms"] < MOST_LATE_MS
    records = live_street.home_records(board.files())
    assert [(record["slot"], record["flags"]) for record in records] == [
        (slot, 0) for slot in (1, 2)
    ]
    counted = [record["demand_ws"] for record in records]
    shifts = [
        before_s
        for before_s in range(4)
        if counted == [house.counted_ws(slot, before_s) for slot in (1, 2)]
    ]
    assert len(shifts) == 1
    board.numbers["p1_telegrams_behind_s"] = shifts[0]
