"""Rosters, the time and acknowledgements from the service to whole meters, on the test's clock."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from hil.live_street import private_key
from hil.twin import Twin
from hushfw.core import errors, frame, messages
from hushmeter.cluster.aggregator import DONE
from hushmeter.cluster.clock import TRIES
from hushmeter.cluster.roster import (
    Authority,
    LanePlan,
    Member,
    SignedRoster,
    StreetPlan,
    plan_after,
)
from hushmeter.cluster.service.clocks import CLOCK_S, Clocks
from hushmeter.cluster.service.folders import StreetFolder
from hushmeter.cluster.service.stores import open_stores
from hushmeter.cluster.service.street import Incoming, ServedStreet
from hushmeter.cluster.supplier import Supplier
from hushmeter.devices import meter_plan
from hushmeter.emulate import pairs
from hushmeter.errors import HushmeterError

STREET = "elm row"
SLOT_S, START_S = 600, 1_700_006_400
AUTHORITY, SUPPLIER = Authority(private_key("authority")), Supplier(private_key("supplier"))
MODES = ("fixed-seed", "provisioned-pairs", "no-noise")
FOUR, FIVE = 4, 5


def meter_files() -> list[dict[str, bytes]]:
    """Storage of five meters without a roster."""
    out = []
    keys = [private_key(f"meter key {i}") for i in range(FIVE)]
    for meter_id, own in enumerate(pairs.files(keys, SUPPLIER.public_key), 1):
        wanted = meter_plan.MeterPlan(
            meter_id=meter_id,
            street=STREET,
            board="unix",
            authority_key=AUTHORITY.public_key,
            floors=meter_plan.Floors(3, 1, Fraction(1), 60),
            controller={"name": "none"},
            permitted_modes=MODES,
            fixed_seed=f"meter {meter_id}",
            provisioned_pairs=True,
        )
        out.append(meter_plan.files(wanted) | own)
    return out


def members(count: int) -> list[Member]:
    keys = [private_key(f"meter key {i}") for i in range(count)]
    return [Member(i, pairs.public_key(key)) for i, key in enumerate(keys, 1)]


def first_roster() -> SignedRoster:
    plan = StreetPlan(
        street=STREET,
        epoch=1,
        start_s=START_S,
        first_slot=1,
        last_slot=1000,
        slot_s=SLOT_S,
        missing=1,
        colluders=1,
        lanes=(LanePlan(1000, None),),
        allowed_modes=MODES,
    )
    return AUTHORITY.sign(plan, members(FOUR), SUPPLIER.public_key)


def after(roster: SignedRoster, first_slot: int, count: int = FOUR) -> SignedRoster:
    return AUTHORITY.sign(plan_after(roster, first_slot), members(count), SUPPLIER.public_key)


class Scene:
    """Meters, and a worker after the other; what is said to a meter that is off is lost."""

    def __init__(self, folder: Path, files: list[dict[str, bytes]]) -> None:
        self._folder = folder
        self.meters = {i: Twin(folder / f"m{i}", own) for i, own in enumerate(files, 1)}
        self.off: set[int] = set()
        self.now_s = float(START_S)
        self.asked: list[tuple[int, str]] = []
        self.workers = 0
        self.roster = first_roster()
        self.begin()

    def begin(self) -> None:
        """A worker takes the street over; the broker tells it who is connected."""
        self.workers += 1
        shard = open_stores(str(self._folder / "store"), 1).shard(0)
        lease = shard.acquire(STREET, f"w{self.workers}", 0, at_home=True)
        assert lease is not None
        folder = StreetFolder(STREET, self.roster, SUPPLIER)
        self.served = ServedStreet(folder, shard.street(lease), self.now_s, 15.0, 60.0)
        for meter_id in self.meters:
            self.served.heard(meter_id, meter_id not in self.off)
        self.pass_time(2)

    def follow(self, roster: SignedRoster) -> None:
        self.roster = roster
        self.served.follow(roster)
        self.talk([])

    def pass_time(self, seconds: float) -> None:
        self.now_s += seconds
        self.talk([])

    def talk(self, came: list[Incoming]) -> None:
        while out := self.served.step(came, self.now_s, self.now_s):
            came = []
            for one in out:
                for kind, _, _ in frame.Decoder().feed(one.data):
                    self.asked.append((one.meter_id, messages.BY_NUMBER[kind][1]))
                if one.meter_id not in self.off:
                    came.append(self._said(one.meter_id, one.data))

    def _said(self, meter_id: int, data: bytes) -> Incoming:
        meter = self.meters[meter_id]
        meter.write(data)
        return Incoming(STREET, meter_id, meter.read(0), self.now_s)

    def leave(self, meter_id: int) -> None:
        self.off.add(meter_id)
        self.served.heard(meter_id, False)

    def come_back(self, meter_id: int) -> None:
        """The meter starts again, is told by its home what time it is, and says hello."""
        self.off.discard(meter_id)
        self.meters[meter_id].reset()
        self.tell(meter_id, "advance", now_s=int(self.now_s))
        self.served.heard(meter_id, True)
        kind, payload = messages.encode("hello_request", {})
        self.talk([self._said(meter_id, frame.encode(kind, 0, payload))])

    def tell(self, meter_id: int, name: str, **fields: Any) -> list[Incoming]:
        kind, payload = messages.encode(name, fields)
        return [self._said(meter_id, frame.encode(kind, 60_000, payload))]

    def live(self, slot: int, wh: int = 10) -> None:
        """A slot in which every meter that is on uses so much."""
        start_s = START_S + (slot - 1) * SLOT_S
        self.now_s = start_s + 1.0
        self.talk([])
        row = (3600 * wh).to_bytes(4, "little")
        self.now_s = float(start_s + SLOT_S)
        came = []
        for meter_id in self.meters.keys() - self.off:
            came += self.tell(meter_id, "feed", start_s=start_s, row_s=SLOT_S, rows=row)
            came += self.tell(meter_id, "advance", now_s=start_s + SLOT_S)
        self.talk(came)
        self.pass_time(61)
        self.pass_time(61)

    def epoch(self, meter_id: int) -> int:
        kind, payload = messages.encode("hello_request", {})
        meter = self.meters[meter_id]
        meter.write(frame.encode(kind, 61_000, payload))
        ((number, _, body),) = frame.Decoder().feed(meter.read(0))
        return int(messages.decode(number, body)[1]["epoch"])

    def epochs(self) -> list[int]:
        return [self.epoch(meter_id) for meter_id in self.meters]


@pytest.fixture(scope="module", autouse=True)
def _no_collections() -> Iterator[None]:
    """A meter tidies its small heap again and again; the heap of a test run is no meter's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gc, "collect", lambda *_: 0)
        yield


@pytest.fixture(scope="module")
def enrolled(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, bytes]]:
    """Storage of the meters once the service has given them the first roster."""
    scene = Scene(tmp_path_factory.mktemp("enrolled"), meter_files())
    assert scene.epochs() == [1, 1, 1, 1, 0]
    return [meter.files() for meter in scene.meters.values()]


@pytest.fixture
def scene(tmp_path: Path, enrolled: list[dict[str, bytes]]) -> Scene:
    return Scene(tmp_path, enrolled)


def test_a_roster_is_sent_ahead_and_used_when_the_slot_before_it_is_done(scene: Scene) -> None:
    scene.live(1)
    slot = scene.served.aggregator.slots[1]
    assert (slot.state, slot.totals) == (DONE, [40])
    scene.follow(after(scene.roster, 3, FIVE))
    # Who joins has no slots that the new roster could cut off.
    assert scene.epochs() == [1, 1, 1, 1, 2]
    assert scene.served.aggregator.roster.device.epoch == 1
    scene.live(2)
    assert scene.served.aggregator.roster.device.epoch == 2
    assert scene.epochs() == [2] * FIVE
    scene.live(3)
    assert scene.served.aggregator.slots[3].totals == [50]
    rows = scene.served.aggregator._store.slots()
    assert [(row.epoch, row.totals) for row in rows[:3]] == [(1, [40]), (1, [40]), (2, [50])]


def test_a_meter_that_missed_rosters_passes_them_and_uses_the_newest(scene: Scene) -> None:
    scene.live(1)
    scene.leave(4)
    for first_slot in (3, 5):
        scene.follow(after(scene.roster, first_slot))
        scene.live(first_slot - 1)
        scene.live(first_slot)
    assert scene.epochs() == [3, 3, 3, 1, 0]
    scene.asked.clear()
    scene.come_back(4)
    assert scene.epoch(4) == 3
    asked = [name for meter_id, name in scene.asked if meter_id == 4]
    # Zeros first, to ask what it knows; then epoch 2.
    assert asked.count("roster_pass") == 2
    scene.live(7)
    slot = scene.served.aggregator.slots[7]
    assert (slot.state, slot.totals, slot.silent) == (DONE, [40], b"\0")


def test_a_worker_that_takes_over_goes_on_with_the_roster_that_is_to_follow(scene: Scene) -> None:
    scene.live(1)
    scene.follow(after(scene.roster, 3))
    scene.begin()
    assert scene.served.aggregator.roster.device.epoch == 1
    scene.now_s = START_S + 2.0 * SLOT_S
    for meter_id in range(1, FOUR + 1):
        scene.tell(meter_id, "advance", now_s=int(scene.now_s))
    # Now its first slot runs.
    scene.begin()
    scene.live(3)
    assert scene.served.aggregator.roster.device.epoch == 2
    assert scene.epochs() == [2, 2, 2, 2, 0]
    assert scene.served.aggregator.slots[3].totals == [40]


def test_a_roster_that_does_not_follow_is_left_aside_and_the_street_goes_on(scene: Scene) -> None:
    forked = replace(plan_after(scene.roster, 3), previous=bytes(32))
    with pytest.raises(HushmeterError, match="does not follow"):
        scene.served.follow(AUTHORITY.sign(forked, members(FOUR), SUPPLIER.public_key))
    scene.live(1)
    assert scene.served.aggregator.slots[1].totals == [40]
    assert scene.epochs() == [1, 1, 1, 1, 0]


def test_an_acknowledgement_without_a_reply_is_said_again_at_the_next_hello(scene: Scene) -> None:
    scene.live(1)
    came = []
    scene.now_s = START_S + 2.0 * SLOT_S - 1
    scene.talk([])
    for meter_id in range(1, FOUR + 1):
        row = (36000).to_bytes(4, "little")
        start_s = START_S + SLOT_S
        came += scene.tell(meter_id, "feed", start_s=start_s, row_s=SLOT_S, rows=row)
        came += scene.tell(meter_id, "advance", now_s=start_s + SLOT_S)
    scene.now_s += 1
    scene.leave(2)
    scene.asked.clear()
    scene.talk([one for one in came if one.meter_id == 2])
    assert scene.asked == [(2, "stored")]
    scene.come_back(2)
    assert scene.asked.count((2, "stored")) == 2


def test_a_meter_at_work_is_told_the_time_a_few_times_and_then_hourly() -> None:
    told: list[float] = []
    now_s = 0.0
    roster = first_roster()
    clocks = Clocks(SUPPLIER, lambda _: roster, lambda meter_id, fields: told.append(now_s))
    clocks.hello(1, 1, 1, now_s)
    for _ in range(20):
        if told[-1] == now_s:
            clocks.refused(1, errors.CODES["busy"], now_s)
        now_s += 1
        clocks.tick(now_s, ())
    assert told == [float(i) for i in range(1 + TRIES)]
    now_s = told[-1] + CLOCK_S
    clocks.tick(now_s, {1})
    assert len(told) == 1 + TRIES
    clocks.tick(now_s, ())
    assert told[-1] == now_s
