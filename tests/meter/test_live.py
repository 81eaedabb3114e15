"""A meter that measures: its slots, its reports, and what whoever tells the time can do to them.

The whole meter runs here on CPython; its ticks and its converter are the test's.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hil import live_street
from hil.live_street import START_S, LiveStreet
from hil.twin import Twin
from hushfw import live, port, store
from hushfw.clock import MOST_DRIFT_PPB, SLEW_PPB
from hushfw.core import pace
from hushfw.core.errors import HushError
from hushmeter.link import Refused
from tests.meter.simulated import Simulated

SLOT_S = 60
MEMBERS = 5
START_MS = START_S * 1000
MOST_FAST_PPB = MOST_DRIFT_PPB + SLEW_PPB


Make = Callable[..., tuple[Simulated, LiveStreet]]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Boots an enrolled meter on ticks and a converter of ours."""
    current: list[Simulated] = []

    def read_u16() -> int:
        return current[-1].read_u16()

    def ticks() -> int:
        return port.ticks_add(-90_000, current[-1].local_ms) if current else 0

    monkeypatch.setattr(port, "ticks_ms", ticks)

    class Booted(Simulated):
        def reset(self) -> Twin:
            current.append(self)
            return super().reset()

    def made(**street_fields: Any) -> tuple[Simulated, LiveStreet]:
        street = LiveStreet("unix", MEMBERS + 1, SLOT_S, **street_fields)
        meter = Booted(tmp_path / f"m{len(current)}", street.files(MEMBERS))
        live_street.enrol(meter.link, street.sign(MEMBERS))
        return meter, street

    with live_street.on_this_interpreter(read_u16):
        yield made


def tell(meter: Simulated, street: LiveStreet, unix_ms: int) -> None:
    boots = meter.ask("hello_request")["boots"]
    meter.ask("clock", **street.clock(boots, unix_ms))


def begin(meter: Simulated, street: LiveStreet) -> None:
    """Slot 1 begins now, and its first sample is taken."""
    tell(meter, street, START_MS - 1)
    meter.run(0.001)


def refused_time(meter: Simulated, street: LiveStreet, unix_ms: int) -> str:
    boots = meter.ask("hello_request")["boots"]
    return meter.refusal("clock", **street.clock(boots, unix_ms))


def test_it_reports_every_slot_by_its_own_clock_and_counts_every_second(make: Make) -> None:
    chance = random.Random(5)
    seen: dict[int, int] = {}
    meter, street = make()

    def watts() -> int:
        second = meter.meter._clock.now_ms() // 1000
        return seen.setdefault(second, chance.randrange(0, 4096))

    meter.watts = watts
    tell(meter, street, START_MS - 20_300)
    meter.run(20.3 + 5 * SLOT_S + 10)
    assert meter.reported() == [1, 2, 3, 4, 5]
    assert all(fields["flags"] == 0 for _, fields in meter.reports)
    for record in meter.records():
        begin_s = START_S + (record["slot"] - 1) * SLOT_S
        assert record["demand_ws"] == sum(seen[s] for s in range(begin_s, begin_s + SLOT_S))
    life = meter.meter.sampling()
    assert life["missed_samples"] == 0
    assert life["samples"] >= 5 * SLOT_S + 20


def test_a_report_leaves_at_a_fixed_time_after_its_slot(make: Make) -> None:
    meter, street = make()
    tell(meter, street, START_MS - 500)
    meter.run(0.5 + 3 * SLOT_S + 10)
    after_ms = [at_ms - 500 - fields["slot"] * SLOT_S * 1000 for at_ms, fields in meter.reports]
    assert after_ms == [5000, 5000, 5000]


def test_before_it_is_told_the_time_nothing_is_counted_into_a_slot(make: Make) -> None:
    meter, street = make(controller={"name": "ls2", "capacity_wh": 500, "rate_w": 500})
    charge_ws = meter.slots._controller.charge_ws
    meter.run(200)
    assert meter.meter.sampling()["samples"] == 200
    assert meter.slots._controller.charge_ws != charge_ws
    assert (meter.reported(), meter.records()) == ([], [])
    assert meter.slots._register.state() == (0,)
    tell(meter, street, START_MS + 1000)
    meter.run(2 * SLOT_S + 10)
    assert meter.reported() == [2]


def test_only_a_slot_that_was_whole_since_the_clock_was_set_is_reported(make: Make) -> None:
    for told_ms, first in ((-1, 1), (0, 2), (1, 2), (59_999, 2), (60_000, 3)):
        meter, street = make()
        tell(meter, street, START_MS + told_ms)
        meter.run(4 * SLOT_S)
        assert meter.reported()[0] == first, told_ms
        assert meter.reports[0][1]["flags"] == 0


def test_a_step_forward_gives_up_the_running_slot_and_the_next_whole_one_goes_on(
    make: Make,
) -> None:
    meter, street = make()
    begin(meter, street)
    meter.run(SLOT_S + 20)
    tell(meter, street, START_MS + (SLOT_S + 20 + 35) * 1000)
    meter.run(3 * SLOT_S)
    assert meter.reported() == [1, 3, 4]
    assert {record["slot"]: record["flags"] for record in meter.records()} == {
        1: 0,
        2: 1,
        3: 0,
        4: 0,
    }


def test_a_step_back_across_a_slots_end_counts_no_second_twice(make: Make) -> None:
    meter, street = make()
    begin(meter, street)
    meter.run(2 * SLOT_S + 10)
    assert meter.reported() == [1, 2]
    tell(meter, street, START_MS + (2 * SLOT_S - 20) * 1000)
    meter.run(4 * SLOT_S)
    assert meter.reported() == [1, 2, 4, 5]
    records = meter.records()
    assert [record["slot"] for record in records] == [1, 2, 3, 4, 5]
    whole = [record for record in records if not record["flags"]]
    assert [record["demand_ws"] for record in whole] == [1200 * SLOT_S] * 4


def test_a_reboot_reports_no_slot_again_and_no_half_one(make: Make) -> None:
    meter, street = make()
    begin(meter, street)
    meter.run(2 * SLOT_S + 30)
    assert meter.reported() == [1, 2]
    meter.reset()
    for early_ms in (0, SLOT_S * 1000, 2 * SLOT_S * 1000 - 1):
        assert refused_time(meter, street, START_MS + early_ms) == "bad_clock"
    tell(meter, street, START_MS + 2 * SLOT_S * 1000)
    meter.run(10)
    meter.reset()
    tell(meter, street, START_MS + (2 * SLOT_S + 45) * 1000)
    meter.run(2 * SLOT_S)
    assert meter.reported() == [1, 2, 4]


def test_the_journal_guards_a_slot_whatever_the_clock_and_the_queue_say(make: Make) -> None:
    """Even were the live path to close one slot twice, it would be masked once."""
    meter, street = make()
    begin(meter, street)
    meter.run(SLOT_S + 10)
    slots = meter.slots
    ended = slots._ended
    assert ended.slot == slots._journal.last_masked == 1
    slots._queue.append(ended)
    slots._last_begun = 0
    meter.run(SLOT_S)
    assert meter.reported() == [1, 2]
    assert slots.reports == 2


def test_a_message_of_time_is_good_once_and_for_one_boot(make: Make) -> None:
    meter, street = make()
    boots = meter.ask("hello_request")["boots"]
    first = street.clock(boots, START_MS)
    meter.ask("clock", **first)
    meter.run(5)
    second = street.clock(boots, START_MS + 5000)
    meter.ask("clock", **second)
    meter.run(5)
    for old in (first, second, street.clock(boots, START_MS + 4999)):
        assert meter.refusal("clock", **old) == "bad_clock"
    meter.reset()
    for old in (first, second):
        assert meter.refusal("clock", **old) == "bad_tag"
    meter.ask("clock", **street.clock(boots + 1, START_MS + 10_000))


def test_a_time_that_is_not_the_suppliers_is_refused(make: Make) -> None:
    meter, street = make()
    boots = meter.ask("hello_request")["boots"]
    good = street.clock(boots, START_MS)
    silent = street.announcement(1)["tag"]
    for bad in (
        good | {"tag": bytes(16)},
        good | {"tag": silent},
        good | {"unix_ms": START_MS + 1},
        good | {"epoch": 2},
        street.clock(boots + 1, START_MS),
    ):
        assert meter.refusal("clock", **bad) == "bad_tag"
    assert not meter.meter._clock.is_set
    meter.ask("clock", **good)


def test_rows_and_a_clock_that_anybody_sets_are_refused(make: Make) -> None:
    meter, _ = make()
    rows = bytes(4)
    assert meter.refusal("feed", start_s=START_S, row_s=60, rows=rows) == "bad_feed"
    assert meter.refusal("advance", now_s=START_S + 600) == "bad_feed"
    assert meter.slots.clock_s == 0


class Work:
    """What takes long: time passes in it, and points come every 10 ms."""

    def __init__(self, meter: Simulated, seconds: float) -> None:
        self.meter = meter
        self.points = round(seconds * 100)

    def __call__(self) -> None:
        for _ in range(self.points):
            self.meter.local_ms += 10
            pace.point()


def slowed(meter: Simulated, name: str, work: Work) -> None:
    """Lets one method of the slots take long."""
    plain = getattr(meter.slots, name)

    def slow(*arguments: Any) -> Any:
        work()
        return plain(*arguments)

    setattr(meter.slots, name, slow)


@pytest.mark.parametrize("seconds", [3.5, 70, 150])
def test_masking_takes_its_time_and_the_next_slots_lose_nothing(make: Make, seconds: float) -> None:
    meter, street = make()
    begin(meter, street)
    slowed(meter, "_mask", Work(meter, seconds))
    meter.run(14 * SLOT_S)
    assert meter.meter.sampling()["missed_samples"] == 0
    assert meter.meter.sampling()["worst_late_ms"] <= 10
    whole = [record for record in meter.records() if record["flags"] == 0]
    assert [record["demand_ws"] for record in whole] == [1200 * SLOT_S] * len(whole)
    assert [record["slot"] for record in whole][:3] == [1, 2, 3]
    assert meter.reported() == sorted(set(meter.reported()))
    assert (len(meter.reported()) == 13) == (seconds < SLOT_S)


def test_without_the_hook_the_same_work_loses_samples(make: Make) -> None:
    """The positive control of the test above."""
    meter, street = make()
    begin(meter, street)
    pace.install(None)
    slowed(meter, "_mask", Work(meter, 3.5))
    meter.run(2 * SLOT_S + 20)
    assert meter.meter.sampling()["missed_samples"] == 2 * 2
    assert [fields["flags"] for _, fields in meter.reports] == [0, 1]


def test_a_missed_last_second_leaves_a_gap_and_not_the_slot(make: Make) -> None:
    meter, street = make()
    begin(meter, street)
    meter.run(SLOT_S - 2.5)
    meter.local_ms += 4000
    meter.run(10)
    assert [(fields["slot"], fields["flags"]) for _, fields in meter.reports] == [(1, 1)]
    assert meter.meter.sampling()["missed_samples"] == 3
    meter.run(2 * SLOT_S)
    assert [fields["flags"] for _, fields in meter.reports] == [1, 1, 0]


def test_a_sensor_that_fails_makes_a_gap(make: Make) -> None:
    meter, street = make()

    def fails() -> int:
        raise OSError("no answer")

    begin(meter, street)
    meter.run(10.5)
    meter.watts = fails
    meter.run(1)
    meter.watts = lambda: 1200
    meter.run(2 * SLOT_S)
    assert [fields["flags"] for _, fields in meter.reports] == [1, 0]
    assert meter.records()[0]["demand_ws"] == 1200 * (SLOT_S - 1)


def test_samples_touch_no_draw_of_the_main_generator(make: Make) -> None:
    """The controller's coins fall in the middle of other draws, and C stays what it would be."""
    words = []
    for spread in (0, 4000):
        chance = random.Random(1)
        meter, street = make(controller={"name": "ls2", "capacity_wh": 500, "rate_w": 500})
        meter.watts = lambda chance=chance, spread=spread: chance.randrange(spread + 1)
        begin(meter, street)
        meter.run(3 * SLOT_S + 10)
        words.append([meter.recovery_words(slot) for slot in (1, 2, 3)])
    assert words[0] == words[1]


def test_a_new_roster_costs_no_slot_and_the_running_one_is_masked_once(make: Make) -> None:
    meter, street = make(controller={"name": "ls2", "capacity_wh": 500, "rate_w": 500})
    begin(meter, street)
    meter.run(SLOT_S + 20)
    charge_ws = meter.slots._controller.charge_ws
    live_street.enrol(meter.link, street.sign(MEMBERS + 1))
    assert meter.slots._controller.charge_ws == charge_ws
    meter.run(3 * SLOT_S)
    got = [(fields["slot"], fields["epoch"], fields["flags"]) for _, fields in meter.reports]
    assert got == [(1, 1, 0), (2, 2, 0), (3, 2, 0), (4, 2, 0)]
    assert meter.meter.sampling()["missed_samples"] == 0
    assert [record["demand_ws"] for record in meter.records()] == [1200 * SLOT_S] * 4


def test_a_full_filesystem_loses_the_slot_and_not_the_meter(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter, street = make()
    begin(meter, street)
    meter.run(SLOT_S - 1)

    def full(*arguments: object) -> None:
        raise OSError(28)

    with monkeypatch.context() as patch:
        patch.setattr(meter.slots._journal, "append", full)
        meter.run(10)
    meter.run(SLOT_S)
    assert meter.reported() == [2]
    assert meter.ask("status_request")["refusals"] == 1


def test_a_home_log_without_room_keeps_no_old_slot_in_the_journal(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a full flash would fill the more: what is over must go."""
    meter, street = make()
    begin(meter, street)

    def full(*arguments: object) -> None:
        raise HushError("storage", "full")

    monkeypatch.setattr(meter.meter._home_log, "append", full)
    meter.run(25 * SLOT_S)
    assert meter.reported() == list(range(1, 25))
    kept = list(meter.slots._journal.slots)
    assert kept == list(range(kept[0], 26)) and len(kept) < 23


def test_a_home_log_without_room_keeps_no_roster_from_being_used(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter, street = make()
    begin(meter, street)
    meter.run(10)

    def full(*arguments: object) -> None:
        raise HushError("storage", "full")

    with monkeypatch.context() as patch:
        patch.setattr(meter.meter._home_log, "append", full)
        live_street.enrol(meter.link, street.sign(MEMBERS))
    meter.run(2 * SLOT_S)
    assert [(fields["slot"], fields["epoch"]) for _, fields in meter.reports] == [(1, 2), (2, 2)]


def test_files_that_cannot_be_removed_leave_no_slots_of_the_roster_before(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The roster is in use by then; slots of the one before would have its keys."""
    meter, street = make()
    begin(meter, street)
    meter.run(10)
    remove = store.remove

    def refused(path: str) -> None:
        if path.endswith(".bin"):
            raise OSError(28)
        remove(path)

    with monkeypatch.context() as patch:
        patch.setattr(store, "remove", refused)
        live_street.enrol(meter.link, street.sign(MEMBERS))
    assert {"roster-1.bin", "roster-2.bin"} <= set(meter.files())
    meter.run(2 * SLOT_S)
    assert [(fields["slot"], fields["epoch"]) for _, fields in meter.reports] == [(1, 2), (2, 2)]


@pytest.mark.parametrize("broken", ["raises", "reads nothing"])
def test_a_sensor_that_fails_ends_no_slot_late_and_leaves_a_gap(make: Make, broken: str) -> None:
    """Also where it fails from the middle of one slot to the middle of the next but one."""
    meter, street = make()
    begin(meter, street)
    meter.run(30)

    def fails() -> int:
        if broken == "raises":
            raise OSError(5)
        return None  # type: ignore[return-value]

    driver = meter.meter._driver
    read, driver.read = driver.read, fails
    meter.run(2 * SLOT_S)
    driver.read = read
    meter.run(2 * SLOT_S)
    told = [
        (local_ms // 1000, fields["slot"], fields["flags"]) for local_ms, fields in meter.reports
    ]
    assert [row[1:] for row in told] == [(1, 1), (2, 1), (3, 1), (4, 0)]
    assert [row[0] for row in told] == [SLOT_S * slot + 5 for slot in (1, 2, 3, 4)]
    figures = meter.ask("life_request")
    assert figures["failed_samples"] == 2 * SLOT_S
    assert figures["missed_samples"] == 0
    assert [record["demand_ws"] // 1200 for record in meter.records()] == [31, 0, 29, SLOT_S]


def test_a_full_filesystem_at_a_step_of_the_clock_stops_no_sample(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter, street = make()
    begin(meter, street)
    meter.run(30)

    def full(*arguments: object) -> None:
        raise HushError("storage", "full")

    for step_ms in (-20_000, 20_000):
        with monkeypatch.context() as patch:
            patch.setattr(meter.meter._home_log, "append", full)
            now_ms = meter.meter._clock.now_ms()
            assert refused_time(meter, street, now_ms + step_ms) == "storage"
        before = meter.meter.sampling()["samples"]
        meter.run(2 * SLOT_S)
        assert meter.meter.sampling()["samples"] in (before + 2 * SLOT_S, before + 2 * SLOT_S + 1)
    assert meter.meter.sampling()["missed_samples"] == 0


def test_slots_that_do_not_start_leave_none_of_the_roster_before(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would go on with its caps and the new roster's keys and noise."""
    meter, street = make()
    begin(meter, street)
    meter.run(10)

    def fails(*arguments: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(type(meter.slots), "start", fails)
        with pytest.raises(Refused, match="busy"):
            live_street.enrol(meter.link, street.sign(MEMBERS + 1))
    meter.run(3 * SLOT_S)
    assert meter.reports == []
    assert meter.refusal("resend", epoch=2, slot=1, round=1) == "not_enrolled"
    meter.reset()
    begin_s = START_MS + 10 * SLOT_S * 1000
    tell(meter, street, begin_s - 1)
    meter.run(SLOT_S + 10)
    assert [(fields["slot"], fields["epoch"]) for _, fields in meter.reports] == [(11, 2)]


def hostile(meter: Simulated, street: LiveStreet, seed: int, hours: int) -> None:
    """Whoever has the supplier's key tells times of their liking, and cuts the power at times."""
    chance = random.Random(seed)
    begin(meter, street)
    end_ms = meter.local_ms + hours * 3_600_000
    while meter.local_ms < end_ms:
        meter.run(chance.choice((0.2, 1, 7, 58, 61, 200)))
        now_ms = meter.meter._clock.now_ms()
        lie_ms = now_ms + chance.choice((1000, 1000, 60_000, 59_000, -59_000, 1001, -1001, 30_000))
        boots = meter.ask("hello_request")["boots"]
        with contextlib.suppress(Exception):
            meter.ask("clock", **street.clock(boots, max(lie_ms, 1)))
        if chance.random() < 0.02:
            meter.reset()


def check_nothing_is_disclosed(meter: Simulated) -> None:
    """Slots ascend, and each report has a whole slot of this meter's quartz behind it."""
    slots = meter.reported()
    assert slots == sorted(set(slots))
    least_ms = SLOT_S * 1000 * (10**9 - MOST_FAST_PPB) // 10**9 - 2
    ended = [at_ms for at_ms, _ in meter.reports]
    apart = [later - earlier for earlier, later in zip(ended, ended[1:], strict=False)]
    # A report leaves 5 s after its slot on the meter's clock, which a step may shorten.
    assert all(ms >= least_ms - 5000 for ms in apart)
    for record in meter.records():
        if record["slot"] in slots and not record["flags"]:
            assert record["demand_ws"] == 1200 * SLOT_S
    assert len(slots) <= ended[-1] // least_ms + 1


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_hostile_clock_denies_and_does_not_disclose(make: Make, seed: int) -> None:
    meter, street = make()
    hostile(meter, street, seed, hours=4)
    assert len(meter.reports) > 5
    check_nothing_is_disclosed(meter)


def test_slots_that_a_step_makes_short_would_be_caught(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The positive control: a meter that goes on with the running slot after a step."""

    def careless(slots: Any, now_ms: int) -> None:
        slots._whole_from_s = slots._quiet_to_ms = 0

    monkeypatch.setattr(live.LiveSlots, "jumped", careless)
    meter, street = make()
    hostile(meter, street, 1, hours=4)
    with pytest.raises(AssertionError):
        check_nothing_is_disclosed(meter)


def test_a_roster_committed_in_quiet_time_drops_no_report(make: Make) -> None:
    """The report was made and waits for its moment; the roster waits for it."""
    meter, street = make()
    begin(meter, street)
    meter.run(SLOT_S - 5)
    roster = street.sign(MEMBERS + 1)
    meter.ask("roster_begin", size=len(roster.data), digest=roster.hash)
    meter.ask("roster_chunk", offset=0, data=roster.data)
    meter.run(6)
    assert meter.reported() == []
    with pytest.raises(Refused, match="busy"):
        meter.ask("roster_commit")
    assert meter.reported() == [1]
    assert meter.ask("roster_commit") == {"done": MEMBERS + 1, "total": MEMBERS + 1}
    meter.run(2 * SLOT_S)
    got = [(fields["slot"], fields["epoch"], fields["flags"]) for _, fields in meter.reports]
    assert got[:2] == [(1, 1, 0), (2, 2, 0)]


def test_a_live_meter_keeps_its_slots_until_the_first_of_a_roster_sent_ahead(make: Make) -> None:
    meter, street = make()
    begin(meter, street)
    meter.run(20)
    ahead = {"first_slot": 3, "start_s": live_street.START_S + 2 * SLOT_S}
    with pytest.raises(Refused, match="wrong_slot"):
        live_street.hand_over(meter.link, street.sign(MEMBERS + 1, **ahead))
    meter.run(2 * SLOT_S + 10)
    assert meter.ask("roster_commit")["done"] == MEMBERS + 1
    meter.run(2 * SLOT_S)
    got = [(fields["slot"], fields["epoch"], fields["flags"]) for _, fields in meter.reports]
    assert got == [(1, 1, 0), (2, 1, 0), (3, 2, 0), (4, 2, 0)]
    assert meter.meter.sampling()["missed_samples"] == 0
