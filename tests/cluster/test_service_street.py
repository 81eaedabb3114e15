"""One street in a worker: its slots by a clock, take-overs in every state, meters that misbehave.

Time is the test's own; the meters are the load test's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from hushfw.core import frame, messages
from hushmeter.cluster.aggregator import ANSWERING, COMPLETED, DONE, OPEN, VOID
from hushmeter.cluster.service.conversations import TRIES, Conversations, Outgoing
from hushmeter.cluster.service.folders import StreetFolder, read_streets, write_street
from hushmeter.cluster.service.simulated import LoadPlan, SimulatedStreet
from hushmeter.cluster.service.sql import ShardStore
from hushmeter.cluster.service.stores import open_stores
from hushmeter.cluster.service.street import Incoming, ServedStreet
from hushmeter.errors import HushmeterError

START_S = 20_000 * 86400
SLOT_S = 60
TIMEOUT_S = 15.0
PLAN = LoadPlan("elm row", 20, START_S, 100, SLOT_S, 3, 0.0, expiry_s=600)
ROSTER = PLAN.roster()
FOLDER = StreetFolder("elm row", ROSTER, PLAN.supplier())


class Scene:
    """A street's meters, and a worker after the other that serves them."""

    def __init__(self, folder: Path, keep_s: float | None = None) -> None:
        self.folder = folder
        self.meters = SimulatedStreet(PLAN, ROSTER)
        self.now_s = float(START_S)
        self.workers, self.keep_s = 0, keep_s
        self.begin()

    def begin(self) -> None:
        """A new worker takes the street over; the one before is gone as if killed."""
        self.workers += 1
        self.shard: ShardStore = open_stores(str(self.folder), 1).shard(0)
        lease = self.shard.acquire("elm row", f"w{self.workers}", 0, at_home=True)
        assert lease is not None
        store = self.shard.street(lease)
        self.served = ServedStreet(FOLDER, store, self.now_s, TIMEOUT_S, SLOT_S, self.keep_s)

    def step(self, came: Iterable[tuple[int, bytes]] = ()) -> list[Outgoing]:
        incoming = [Incoming("elm row", m, data, self.now_s) for m, data in came]
        return self.served.step(incoming, self.now_s, self.now_s)

    def talk(self, out: Sequence[Outgoing]) -> None:
        """Let the meters reply until nobody says anything more."""
        while out:
            out = self.step(
                [(one.meter_id, self.meters.reply(one.meter_id, one.data)[0]) for one in out]
            )

    def state(self, slot: int) -> str:
        return self.served.aggregator.slots[slot].state

    def total(self, slot: int) -> list[int] | None:
        return self.served.aggregator.slots[slot].totals


def names(out: Sequence[Outgoing]) -> list[str]:
    decoder = frame.Decoder()
    kinds = [kind for one in out for kind, _, _ in decoder.feed(one.data)]
    return [messages.BY_NUMBER[kind][1] for kind in kinds]


def ended(scene: Scene, slot: int = 1) -> list[tuple[int, bytes]]:
    """The reports of a slot, at its end."""
    scene.now_s = START_S + slot * SLOT_S - 1
    scene.step()
    scene.now_s += 1
    return scene.meters.close(slot)


def test_a_slot_in_which_all_speak_is_done_before_its_window_ends(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.talk(scene.step(ended(scene)))
    assert scene.state(1) == DONE
    assert scene.total(1) == [scene.meters.truth(1, bytes(3))]
    assert all(len(scene.meters.acknowledged[1, turn]) == 20 for turn in (1, 2))


def test_silent_meters_are_asked_once_and_then_left_out(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    reports = ended(scene)
    scene.talk(scene.step(reports[:18]))
    assert scene.state(1) == OPEN
    scene.now_s += 0.6 * SLOT_S
    out = scene.step()
    assert names(out) == ["resend", "resend"]
    assert {one.meter_id for one in out} == {reports[18][0], reports[19][0]}
    scene.talk(scene.step([reports[18]]))
    scene.now_s = START_S + 2 * SLOT_S
    scene.talk(scene.step())
    slot = scene.served.aggregator.slots[1]
    assert slot.state == DONE
    assert slot.silent is not None
    assert slot.totals == [scene.meters.truth(1, slot.silent)]
    assert sum(byte.bit_count() for byte in slot.silent) == 1


def test_a_report_that_got_lost_is_asked_for_and_comes(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.talk(scene.step(ended(scene)[:15]))
    scene.now_s += 0.6 * SLOT_S
    scene.talk(scene.step())
    assert scene.state(1) == DONE
    assert scene.total(1) == [scene.meters.truth(1, bytes(3))]


def test_a_missing_answer_makes_the_slot_void_until_it_comes(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    out = scene.step(ended(scene))
    scene.talk([one for one in out if one.meter_id != 7])
    assert scene.state(1) == ANSWERING
    scene.now_s += SLOT_S
    scene.step()
    assert scene.state(1) == VOID
    scene.talk(scene.step([(7, scene.meters.hello(7))]))
    scene.now_s += TIMEOUT_S
    scene.talk(scene.step())
    assert scene.state(1) == COMPLETED
    assert scene.total(1) == [scene.meters.truth(1, bytes(3))]


@pytest.mark.parametrize("when", ["before reports", "amid reports", "amid answers", "at the end"])
def test_a_street_that_is_taken_over_at_any_time_loses_nothing(tmp_path: Path, when: str) -> None:
    scene = Scene(tmp_path)
    reports = ended(scene)
    kept = {"before reports": 0, "amid reports": 12}.get(when, 20)
    out = scene.step(reports[:kept])
    if when == "amid answers":
        scene.step([(one.meter_id, scene.meters.reply(one.meter_id, one.data)[0]) for one in out])
    elif when == "at the end":
        scene.talk(out)
    sets = [bytes(slot.silent or b"") for slot in scene.served.aggregator.slots.values()]
    # The reports that had not come are lost with the worker; a whole window passes.
    scene.now_s += 3 * SLOT_S
    scene.shard.close()
    scene.begin()
    scene.talk(scene.step())
    for _ in range(3):
        scene.now_s += TIMEOUT_S
        scene.talk(scene.step())
    row = next(row for row in scene.served.aggregator._store.slots() if row.slot == 1)
    assert row.state in (DONE, COMPLETED)
    assert row.totals == [scene.meters.truth(1, row.silent or b"")]
    assert row.silent == bytes(3)
    assert not sets[0] or sets[0] == row.silent
    assert scene.meters.refusals.count("refused") == 0
    assert all(
        len(scene.meters.acknowledged[1, turn]) >= (20 if turn == 2 else kept) for turn in (1, 2)
    )


def test_a_broker_that_is_back_gives_open_slots_a_new_window(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    ended(scene)
    scene.now_s += 5 * SLOT_S
    scene.served.resume(scene.now_s)
    scene.talk(scene.step())
    assert scene.state(1) == DONE
    assert scene.total(1) == [scene.meters.truth(1, bytes(3))]


def test_another_meters_report_on_a_topic_is_refused(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    (one, data), *_ = ended(scene)
    assert names(scene.step([(one + 1, data)])) == []
    assert scene.served.refused == {"wrong_topic": 1}
    assert names(scene.step([(one, data)])) == ["stored"]


def test_noise_on_a_topic_changes_nothing(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    reports = ended(scene)
    damaged = bytearray(reports[0][1])
    damaged[20] ^= 1
    forged = frame.encode(0x44, 0, bytes.fromhex("00000001") + bytes(60))
    unknown = frame.encode(0x7E, 0, b"?")
    for noise in (
        b"",
        b"\0" * 99,
        bytes(damaged),
        bytes(100_000),
        forged,
        unknown,
        frame.encode(0x41, 0, b"cut"),
    ):
        assert scene.step([(1, noise)]) == []
    assert scene.served.aggregator.slots[1].reports == {}
    assert sum(scene.served.refused.values()) == 3
    scene.talk(scene.step(reports))
    assert scene.state(1) == DONE


def test_a_meter_that_says_hello_is_told_the_time_bound_to_its_boot(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    out = scene.step([(5, scene.meters.hello(5))])
    assert names(out) == ["clock"]
    assert scene.step([(5, scene.meters.hello(6))]) == []
    assert scene.served.refused == {"unknown_meter": 1}


def test_slots_that_expired_are_in_the_store_alone(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    for slot in range(1, 31):
        scene.talk(scene.step(ended(scene, slot)))
    assert set(scene.served.aggregator.slots) <= set(range(18, 32))
    assert len(scene.served.aggregator._store.slots()) >= 30
    scene.shard.close()
    scene.begin()
    loaded = scene.served.aggregator.slots
    assert all(not slot.reports for slot in loaded.values() if slot.state == DONE)


def test_old_messages_are_dropped_and_totals_stay(tmp_path: Path) -> None:
    scene = Scene(tmp_path, keep_s=0.0)
    for slot in range(1, 31):
        scene.talk(scene.step(ended(scene, slot)))
    store = scene.served.aggregator._store
    rows = {row.slot: row for row in store.slots()}
    assert [rows[slot].totals for slot in range(1, 31)] == [
        [scene.meters.truth(slot, bytes(3))] for slot in range(1, 31)
    ]
    kept = {int.from_bytes(body[9:17], "big") for body in store.all_bodies()}
    # Looked at every ten minutes: at the end of slot 22, when slots to 11 had expired.
    assert min(kept) > 10 and max(kept) == 30
    scene.shard.close()
    scene.begin()
    assert set(scene.served.aggregator.slots) == set(range(1, 32))


def test_a_request_is_repeated_byte_for_byte_and_then_dropped() -> None:
    talks = Conversations(10.0)
    fields = {"epoch": 1, "slot": 1, "round": 1}
    talks.ask(7, "resend", fields)
    talks.ask(7, "resend", {**fields, "slot": 2})
    sent = talks.due(0.0, {7})
    for again in range(1, TRIES):
        assert talks.due(10.0 * again - 0.1, {7}) == []
        assert [one.data for one in talks.due(10.0 * again, {7})] == [sent[0].data]
    (following,) = talks.due(10.0 * TRIES, {7})
    assert talks.dropped == 1
    ((_, sequence, _),) = frame.Decoder().feed(following.data)
    assert talks.replied(7, sequence - 1) is None
    replied = talks.replied(7, sequence)
    assert replied is not None and replied.name == "resend"
    assert talks.due(10.0 * TRIES, {7}) == []


def test_a_folder_of_streets_is_read_and_a_bad_one_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(HushmeterError, match="holds no street"):
        read_streets(tmp_path)
    write_street(tmp_path / "a", ROSTER, PLAN.secret("supplier"))
    assert list(read_streets(tmp_path)) == ["elm row"]
    (tmp_path / "a" / "supplier.pem").chmod(0o644)
    with pytest.raises(HushmeterError, match="can be read by others"):
        read_streets(tmp_path)
    (tmp_path / "a" / "supplier.pem").unlink()
    write_street(tmp_path / "a", ROSTER, PLAN.secret("another"))
    with pytest.raises(HushmeterError, match="not the key of the roster's supplier"):
        read_streets(tmp_path)
    (tmp_path / "a" / "roster.bin").write_bytes(ROSTER.data[:-1])
    with pytest.raises(HushmeterError, match=r"roster\.bin"):
        read_streets(tmp_path)
    slashed = replace(PLAN, street="elm/row")
    write_street(tmp_path / "b", slashed.roster(), slashed.secret("supplier"))
    (tmp_path / "a" / "roster.bin").unlink()
    with pytest.raises(HushmeterError, match="cannot be an MQTT topic"):
        read_streets(tmp_path)
