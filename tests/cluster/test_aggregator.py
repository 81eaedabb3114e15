"""The aggregator opens exactly the street's total, once, and only from the right messages."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hushfw.core import masking, messages
from hushmeter.cluster.aggregator import (
    ANSWERING,
    COMPLETED,
    DONE,
    MOST_MISSED_ANSWERS,
    OPEN,
    VOID,
    Aggregator,
)
from hushmeter.cluster.store import Store
from hushmeter.cluster.supplier import Supplier
from hushmeter.errors import HushmeterError
from tests.cluster.street_kit import (
    CAP_WH,
    DAY_S,
    Kit,
    changed,
    contents,
    encoded,
    make_street,
    run_slot,
    secret,
    take,
)

SIX = make_street(6, missing=2)
VALUES = {meter_id: [10 * meter_id] for meter_id in SIX.meters}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "street.db"


@pytest.fixture
def aggregator(path: Path) -> Iterator[Aggregator]:
    made = SIX.aggregator(path)
    yield made
    made._store.close()


def restarted(aggregator: Aggregator, kit: Kit = SIX) -> Aggregator:
    """The aggregator anew, from nothing but its store."""
    store = aggregator._store
    store.close()
    return Aggregator(Store(store._path), kit.supplier)


def refusal(aggregator: Aggregator, body: bytes) -> str:
    """The code with which a message is refused; the store must stay as it is."""
    before, counted = contents(aggregator._store), aggregator.messages_refused
    (verdict,) = aggregator.accept([body])
    assert not verdict.accepted
    assert verdict.reason
    assert contents(aggregator._store) == before
    assert aggregator.messages_refused == counted + 1
    return verdict.code


@st.composite
def streets(draw: st.DrawFn) -> tuple[int, int, int, bool, list[int], int]:
    """(meters, M, lanes, gamma, indexes of the silent, seed of the readings)."""
    meters = draw(st.integers(3, 12))
    missing = draw(st.integers(0, (meters - 2) // 2))
    silent = draw(st.lists(st.integers(0, meters - 1), max_size=missing, unique=True))
    return (
        meters,
        missing,
        draw(st.integers(1, 2)),
        draw(st.booleans()),
        silent,
        draw(st.integers(0, 1 << 32)),
    )


@settings(deadline=None, max_examples=60)
@given(streets())
def test_the_total_is_the_sum_of_who_reported_for_any_set_of_silent_meters(
    drawn: tuple[int, int, int, bool, list[int], int],
) -> None:
    meters, missing, lanes, gamma, silent, seed = drawn
    random = Random(seed)
    epsilon = Fraction(3, 2) if gamma else None
    kit = make_street(
        meters, missing=missing, lanes=lanes, epsilon=epsilon, gamma_noise=gamma, seed=seed
    )
    bits = 16 if gamma else 0
    there = [m for i, m in enumerate(kit.ids()) if i not in silent]
    values = {
        m: [
            (random.randint(0, CAP_WH) << bits) + (random.randint(-(1 << 20), 1 << 20) * gamma)
            for _ in range(lanes)
        ]
        for m in there
    }
    with TemporaryDirectory() as folder:
        aggregator = kit.aggregator(Path(folder) / "street.db")
        slot = run_slot(aggregator, kit, 1, values)
        aggregator._store.close()
    sums = [sum(values[m][lane] for m in there) for lane in range(lanes)]
    assert slot.state == DONE
    assert slot.totals == sums
    for lane in range(lanes):
        total_wh = aggregator.total_wh(slot, lane)
        assert total_wh == (sums[lane] / (1 << 16) if gamma else sums[lane])
        assert isinstance(total_wh, float if gamma else int)


def test_many_slots_over_days_and_in_any_order_all_come_out_right(path: Path) -> None:
    kit = make_street(4, missing=1, slot_s=4 * 3600)
    aggregator = kit.aggregator(path)
    random = Random(5)
    for number in (1, 3, 2, 7, 5, 13, 12, 11, 30, 29):
        values = {m: [random.randint(0, CAP_WH)] for m in random.sample(kit.ids(), 3)}
        slot = run_slot(aggregator, kit, number, values)
        assert slot.totals == [sum(value for (value,) in values.values())]
    states = {number: slot.totals for number, slot in aggregator.slots.items()}
    again = restarted(aggregator, kit)
    assert {number: slot.totals for number, slot in again.slots.items()} == states


def test_with_m_zero_there_is_one_round_and_a_slot_needs_everybody(path: Path) -> None:
    kit = make_street(3)
    aggregator = kit.aggregator(path)
    values = {m: [m] for m in kit.meters}
    slot = aggregator.open(1)
    take(aggregator, kit.reports(1, values))
    assert slot.state == OPEN
    assert aggregator.announce(1) == {}
    assert slot.state == DONE and slot.totals == [sum(kit.meters)]
    assert refusal(aggregator, kit.meters[10].answer(1, bytes(1))) == "wrong_slot"

    missing = aggregator.open(2)
    take(aggregator, kit.reports(2, {10: [1], 13: [2]}))
    assert aggregator.announce(2) == {}
    assert missing.state == VOID and missing.totals is None
    assert "1 meters are silent" in missing.reason
    assert refusal(aggregator, kit.meters[16].report(2, [3])) == "late"
    assert restarted(aggregator, kit).slots[2].state == VOID


def test_more_silent_meters_than_m_make_the_slot_void_and_announce_nothing(
    aggregator: Aggregator,
) -> None:
    slot = aggregator.open(1)
    take(aggregator, SIX.reports(1, {10: [1], 13: [2], 16: [3]}))
    assert aggregator.announce(1) == {}
    assert slot.state == VOID and slot.silent is None
    assert aggregator.close(1).totals is None
    assert refusal(aggregator, SIX.meters[19].report(1, [4])) == "late"
    assert refusal(aggregator, SIX.meters[10].answer(1, bytes(1))) == "wrong_slot"
    assert restarted(aggregator).announce(1) == {}


def test_the_announcement_names_exactly_the_silent_and_is_tagged_for_each_meter(
    aggregator: Aggregator,
) -> None:
    aggregator.open(1)
    take(aggregator, SIX.reports(1, {m: VALUES[m] for m in (10, 16, 22, 25)}))
    announced = aggregator.announce(1)
    assert set(announced) == {10, 16, 22, 25}
    for meter_id, fields in announced.items():
        assert masking.silent_indexes(fields["silent"], 6) == [1, 3]
        tag = masking.tag(
            SIX.meters[meter_id].tag_down,
            b"announce",
            SIX.roster.hash,
            meter_id,
            1,
            fields["silent"],
        )
        assert fields["tag"] == tag


def test_an_acknowledgement_is_tagged_for_meter_slot_and_round(aggregator: Aggregator) -> None:
    fields = aggregator.acknowledgement(7, messages.ANSWER_ROUND, 13)
    meter = SIX.meters[13]
    tag = masking.tag(meter.tag_down, b"stored", SIX.roster.hash, 13, 7, bytes((2,)))
    assert fields == {"epoch": 1, "slot": 7, "round": 2, "tag": tag}


def test_there_is_never_a_second_set_of_silent_meters(aggregator: Aggregator) -> None:
    slot = aggregator.open(1)
    take(aggregator, SIX.reports(1, {m: VALUES[m] for m in SIX.ids()[:5]}))
    first = aggregator.announce(1)
    assert refusal(aggregator, SIX.meters[25].report(1, VALUES[25])) == "late"
    assert aggregator.announce(1) == first
    again = restarted(aggregator)
    assert refusal(again, SIX.meters[25].report(1, VALUES[25])) == "late"
    assert again.announce(1) == first
    take(again, [SIX.meters[10].answer(1, slot.silent)])
    again.close(1)
    later = restarted(again)
    assert later.announce(1) == {m: f for m, f in first.items() if m != 10}


def test_answers_to_different_sets_open_nothing(aggregator: Aggregator) -> None:
    """Half the meters answer another S, and claim otherwise: the masks E do not cancel."""
    slot = aggregator.open(1)
    take(aggregator, SIX.reports(1, {m: VALUES[m] for m in SIX.ids()[:5]}))
    silent = aggregator.announce(1)[10]["silent"]
    other = masking.silent_map(6, [4, 5])
    answers = [SIX.meters[m].answer(1, silent) for m in (10, 13)]
    answers += [SIX.meters[m].answer(1, other, claimed=silent) for m in (16, 19, 22)]
    take(aggregator, answers)
    assert slot.state == VOID and slot.totals is None
    assert "outside the window" in slot.reason
    again = restarted(aggregator).slots[1]
    assert again.state == VOID and again.totals is None


@pytest.mark.parametrize("others", range(1, 5))
def test_no_mixture_of_answers_gives_any_sum(others: int) -> None:
    """By hand, as an aggregator that plays meters apart would: neither S gives its total."""
    slot, ids = 1, SIX.ids()
    sets = {a: masking.silent_map(6, [a]) for a in (4, 5)}
    chosen = {m: 4 if place < others else 5 for place, m in enumerate(ids[:5])}

    def words(body: bytes) -> int:
        (word,) = masking.unpack_words(messages.decode(body[0], body[1:])[1]["words"])
        return int(word)

    total = 0
    for m in ids[:5]:
        meter = SIX.meters[m]
        key = meter._on_day(meter._keystream, slot)
        total += words(meter.report(slot, VALUES[m])) - words(meter.answer(slot, sets[chosen[m]]))
        total -= masking.pads(key, masking.USE_KEYSTREAM, 1, slot, 1)[0]
    honest = sum(VALUES[m][0] for m in ids[:5])
    assert abs(masking.signed(total % (1 << 64)) - honest) > 1 << 32


def test_an_answer_to_another_set_is_refused(aggregator: Aggregator) -> None:
    aggregator.open(1)
    take(aggregator, SIX.reports(1, {m: VALUES[m] for m in SIX.ids()[:5]}))
    aggregator.announce(1)
    for other in ([], [0], [4, 5], [0, 1]):
        answer = SIX.meters[16].answer(1, masking.silent_map(6, other))
        assert refusal(aggregator, answer) == "bad_tag"


def test_the_same_bytes_again_are_accepted_and_kept_once(aggregator: Aggregator) -> None:
    aggregator.open(1)
    reports = SIX.reports(1, VALUES)
    take(aggregator, [*reports, *reports, reports[0]])
    before = contents(aggregator._store)
    take(aggregator, reports)
    assert contents(aggregator._store) == before
    silent = aggregator.announce(1)[10]["silent"]
    answers = [meter.answer(1, silent) for meter in SIX.meters.values()]
    take(aggregator, answers[:1] * 3)
    assert aggregator.slots[1].state == ANSWERING
    take(aggregator, answers)
    before = contents(aggregator._store)
    take(aggregator, reports + answers)
    assert contents(aggregator._store) == before
    assert aggregator.messages_refused == 0
    assert aggregator.slots[1].totals == [sum(VALUES[m][0] for m in VALUES)]


def test_another_message_of_the_same_meter_and_round_is_refused(aggregator: Aggregator) -> None:
    aggregator.open(1)
    meter = SIX.meters[10]
    other = meter.report(1, [11])
    verdicts = aggregator.accept([meter.report(1, [10]), other])
    assert [(v.accepted, v.code) for v in verdicts] == [(True, ""), (False, "duplicate")]
    assert refusal(aggregator, other) == "duplicate"
    assert refusal(aggregator, meter.report(1, [10], flags=messages.FLAG_GAP)) == "duplicate"
    take(aggregator, SIX.reports(1, {m: VALUES[m] for m in SIX.ids()[1:]}))
    silent = aggregator.announce(1)[10]["silent"]
    take(aggregator, [meter.answer(1, silent)])
    forged = meter.answer(1, masking.silent_map(6, [5]), claimed=silent)
    assert refusal(aggregator, forged) == "duplicate"
    assert refusal(restarted(aggregator), forged) == "duplicate"


def test_the_order_of_messages_changes_nothing(tmp_path: Path) -> None:
    outcomes = set()
    for seed in range(4):
        aggregator = SIX.aggregator(tmp_path / f"{seed}.db")
        random = Random(seed)
        aggregator.open(1)
        aggregator.open(2)
        reports = SIX.reports(1, VALUES) + SIX.reports(2, VALUES)
        random.shuffle(reports)
        for report in reports:
            take(aggregator, [report])
        answers = [
            SIX.meters[m].answer(number, fields["silent"])
            for number in (1, 2)
            for m, fields in aggregator.announce(number).items()
        ]
        random.shuffle(answers)
        take(aggregator, answers)
        totals = tuple(slot.totals[0] for slot in aggregator.slots.values())
        outcomes.add((totals, aggregator.transcript_sha256()))
        aggregator._store.close()
    assert len(outcomes) == 1


def test_messages_at_the_wrong_time_are_refused(aggregator: Aggregator) -> None:
    meter = SIX.meters[10]
    assert refusal(aggregator, meter.report(1, [1])) == "wrong_slot"
    aggregator.open(1)
    assert refusal(aggregator, meter.answer(1, bytes(1))) == "wrong_slot"
    take(aggregator, SIX.reports(1, {m: VALUES[m] for m in SIX.ids()[:5]}))
    silent = aggregator.announce(1)[10]["silent"]
    absent = SIX.meters[25]
    assert refusal(aggregator, absent.report(1, [1])) == "late"
    assert refusal(aggregator, absent.answer(1, silent)) == "wrong_slot"
    take(aggregator, [SIX.meters[m].answer(1, silent) for m in SIX.ids()[:5]])
    assert aggregator.slots[1].state == DONE
    assert refusal(aggregator, absent.answer(1, silent)) == "late"
    assert refusal(aggregator, absent.report(1, [1])) == "late"


def test_every_cut_and_every_flipped_byte_is_refused(aggregator: Aggregator) -> None:
    for number in (1, 2):
        aggregator.open(number)
    take(aggregator, SIX.reports(1, {m: VALUES[m] for m in SIX.ids()[:5]}))
    silent = aggregator.announce(1)[10]["silent"]
    codes = set()
    for body in (SIX.meters[13].report(2, [5]), SIX.meters[13].answer(1, silent)):
        for end in range(len(body)):
            codes.add(refusal(aggregator, body[:end]))
        codes.add(refusal(aggregator, body + b"\0"))
        for at in range(len(body)):
            for flip in (1, 128, 255):
                forged = body[:at] + bytes((body[at] ^ flip,)) + body[at + 1 :]
                codes.add(refusal(aggregator, forged))
        take(aggregator, [body])
    assert codes <= {
        "bad_message",
        "unknown_message",
        "unknown_meter",
        "wrong_epoch",
        "wrong_slot",
        "bad_tag",
    }


def moved_to_another_slot(kit: Kit) -> bytes:
    return changed(kit.meters[10].report(1, [1]), slot=2)


def given_to_another_meter(kit: Kit) -> bytes:
    return changed(kit.meters[10].report(2, [1]), meter_id=13)


def report_as_an_answer(kit: Kit) -> bytes:
    body = kit.meters[10].report(1, [1])
    fields = messages.decode(body[0], body[1:])[1]
    del fields["flags"]
    return encoded("answer", fields)


def answer_as_a_report(kit: Kit) -> bytes:
    body = kit.meters[10].answer(2, bytes(1))
    return encoded("report", {**messages.decode(body[0], body[1:])[1], "flags": 0})


def flag_taken_off(kit: Kit) -> bytes:
    return changed(kit.meters[10].report(2, [1], flags=messages.FLAG_GAP), flags=0)


def words_of_another_slot(kit: Kit) -> bytes:
    other = kit.meters[10].report(1, [1])
    words = messages.decode(other[0], other[1:])[1]["words"]
    return changed(kit.meters[10].report(2, [1]), words=words)


def from_another_street(kit: Kit) -> bytes:
    return make_street(6, missing=2, seed=99).meters[10].report(2, [1])


def of_a_later_epoch(kit: Kit) -> bytes:
    return kit.next_epoch().meters[10].report(2, [1])


def of_a_later_epoch_relabelled(kit: Kit) -> bytes:
    return changed(of_a_later_epoch(kit), epoch=1)


def of_an_unknown_meter(kit: Kit) -> bytes:
    return changed(kit.meters[10].report(2, [1]), meter_id=11)


def of_the_supplier(kit: Kit) -> bytes:
    return changed(kit.meters[10].report(2, [1]), meter_id=0)


def of_a_slot_that_is_not_open(kit: Kit) -> bytes:
    return kit.meters[10].report(3, [1])


def of_a_slot_beyond_the_roster(kit: Kit) -> bytes:
    return changed(kit.meters[10].report(3, [1]), slot=(1 << 64) - 1)


def two_lanes_where_there_is_one(kit: Kit) -> bytes:
    meter = kit.meters[10]
    tag = meter.tag(b"report", 2, bytes(17))
    return meter.body("report", 2, flags=0, words=bytes(16), tag=tag)


def no_words(kit: Kit) -> bytes:
    meter = kit.meters[10]
    return meter.body("report", 2, flags=0, words=b"", tag=meter.tag(b"report", 2, b"\0"))


def of_the_hosts_own_kind(kit: Kit) -> bytes:
    return encoded("resend", {"epoch": 1, "slot": 2, "round": 1})


def empty(kit: Kit) -> bytes:
    return b""


@pytest.mark.parametrize(
    ("made", "code"),
    [
        (moved_to_another_slot, "bad_tag"),
        (given_to_another_meter, "bad_tag"),
        (report_as_an_answer, "bad_tag"),
        (answer_as_a_report, "bad_tag"),
        (flag_taken_off, "bad_tag"),
        (words_of_another_slot, "bad_tag"),
        (from_another_street, "bad_tag"),
        (of_a_later_epoch, "wrong_epoch"),
        (of_a_later_epoch_relabelled, "bad_tag"),
        (of_an_unknown_meter, "unknown_meter"),
        (of_the_supplier, "unknown_meter"),
        (of_a_slot_that_is_not_open, "wrong_slot"),
        (of_a_slot_beyond_the_roster, "wrong_slot"),
        (two_lanes_where_there_is_one, "bad_message"),
        (no_words, "bad_message"),
        (of_the_hosts_own_kind, "unknown_message"),
        (empty, "bad_message"),
    ],
)
def test_a_message_out_of_place_is_refused_with_its_code(
    aggregator: Aggregator, made: Callable[[Kit], bytes], code: str
) -> None:
    """Slot 1 is answering, slot 2 is open."""
    for number in (1, 2):
        aggregator.open(number)
    take(aggregator, SIX.reports(1, VALUES))
    aggregator.announce(1)
    assert refusal(aggregator, made(SIX)) == code


def test_a_refused_message_does_not_stop_the_others_of_its_batch(aggregator: Aggregator) -> None:
    aggregator.open(1)
    reports = SIX.reports(1, VALUES)
    verdicts = aggregator.accept([b"\xff", reports[0], reports[1][:-1], reports[2]])
    assert [verdict.accepted for verdict in verdicts] == [False, True, False, True]
    assert set(aggregator.slots[1].reports) == {10, 16}


def test_a_void_slot_is_completed_by_the_answer_that_comes_late(aggregator: Aggregator) -> None:
    slot = aggregator.open(1)
    take(aggregator, SIX.reports(1, VALUES))
    silent = aggregator.announce(1)[10]["silent"]
    take(aggregator, [SIX.meters[m].answer(1, silent) for m in SIX.ids()[:5]])
    assert aggregator.close(1).state == VOID
    assert slot.reason == "no answer from 25"
    assert aggregator.total_wh(slot) is None
    again = restarted(aggregator)
    run_slot(again, SIX, 2, VALUES)
    assert again.announce(1)[25]["silent"] == silent
    take(again, [SIX.meters[25].answer(1, silent)])
    done = again.slots[1]
    assert (done.state, done.late, done.reason) == (COMPLETED, True, "")
    assert done.totals == [sum(VALUES[m][0] for m in VALUES)]
    assert again.announce(1) == {}
    assert restarted(again).slots[1] == done


def test_an_answer_after_its_keys_are_erased_is_refused_and_the_slot_stays_void(
    path: Path,
) -> None:
    kit = make_street(4, missing=1, slot_s=DAY_S)
    aggregator = kit.aggregator(path)
    values = {m: [1] for m in kit.meters}
    answers = {}
    for number in (1, 2):
        aggregator.open(number)
        take(aggregator, kit.reports(number, values))
        silent = aggregator.announce(number)[10]["silent"]
        take(aggregator, [kit.meters[m].answer(number, silent) for m in kit.ids()[1:]])
        answers[number] = kit.meters[10].answer(number, silent)
        aggregator.close(number)
    run_slot(aggregator, kit, 3, values)
    assert refusal(aggregator, answers[1]) == "late"
    again = restarted(aggregator, kit)
    assert refusal(again, answers[1]) == "late"
    take(again, [answers[2]])
    assert [again.slots[n].state for n in (1, 2, 3)] == [VOID, COMPLETED, DONE]


def test_a_meter_that_denied_three_slots_is_left_out_also_after_a_restart(
    aggregator: Aggregator,
) -> None:
    silents = {}
    for number in range(1, MOST_MISSED_ANSWERS + 1):
        aggregator = restarted(aggregator)
        assert aggregator.left_out == frozenset()
        aggregator.open(number)
        take(aggregator, SIX.reports(number, VALUES))
        silents[number] = aggregator.announce(number)[10]["silent"]
        take(aggregator, [SIX.meters[m].answer(number, silents[number]) for m in SIX.ids()[:5]])
        aggregator.close(number)
        aggregator.close(number)
    for judged in (aggregator, restarted(aggregator)):
        assert judged.left_out == {25}
        aggregator = judged
    aggregator.open(9)
    assert refusal(aggregator, SIX.meters[25].report(9, [1])) == "left_out"
    slot = run_slot(aggregator, SIX, 9, {m: VALUES[m] for m in SIX.ids()[:5]})
    assert masking.silent_indexes(slot.silent, 6) == [5]
    assert slot.state == DONE
    take(aggregator, [SIX.meters[25].answer(1, silents[1])])
    assert aggregator.slots[1].state == COMPLETED
    # Two slots are still owed: one answer in time, and the meter is back in.
    for judged in (aggregator, restarted(aggregator)):
        assert judged.left_out == frozenset()


def test_a_slot_that_failed_for_another_reason_counts_against_nobody(
    aggregator: Aggregator,
) -> None:
    for number in range(1, 6):
        run_slot(aggregator, SIX, number, {10: [1], 13: [2]})
    assert aggregator.left_out == frozenset()


@pytest.mark.parametrize(
    ("extra", "state"),
    [(4800 + 6000, DONE), (4800 + 6001, VOID), (-4800, DONE), (-4801, VOID), (1 << 63, VOID)],
)
def test_a_total_is_taken_within_the_window_and_not_one_beyond(
    path: Path, extra: int, state: str
) -> None:
    """N * cap is 600 Wh, lambda 100 Wh, k is 2, the tail 48 lambda; one meter lies by so much."""
    kit = make_street(6, missing=2, cap_wh=1000, epsilon=Fraction(10))
    aggregator = kit.aggregator(path)
    values = {m: [0] for m in kit.meters}
    values[10] = [extra]
    slot = run_slot(aggregator, kit, 1, values)
    assert slot.state == state
    assert slot.totals == ([extra] if state == DONE else None)
    assert aggregator.close(1).state == state


def test_with_m_zero_the_window_is_checked_too(path: Path) -> None:
    kit = make_street(3)
    aggregator = kit.aggregator(path)
    slot = run_slot(aggregator, kit, 1, {10: [CAP_WH], 13: [CAP_WH], 16: [CAP_WH + 1]})
    assert slot.state == VOID and "window" in slot.reason
    assert run_slot(aggregator, kit, 2, {m: [CAP_WH] for m in kit.meters}).state == DONE


def test_a_new_epoch_must_be_higher(aggregator: Aggregator, path: Path) -> None:
    run_slot(aggregator, SIX, 1, VALUES)
    second, third = SIX.next_epoch(), SIX.next_epoch().next_epoch()
    aggregator._store.close()
    store = Store(path)
    with pytest.raises(HushmeterError, match="epoch 1 is not above the newest one, 1"):
        Aggregator(store, SIX.supplier, SIX.next_epoch(epoch=1, expiry_s=80000).roster)
    with pytest.raises(HushmeterError, match="epoch 2 does not follow the one of epoch 1"):
        Aggregator(store, SIX.supplier, SIX.next_epoch(previous=bytes(32)).roster)
    with pytest.raises(HushmeterError, match="epoch 3 does not follow epoch 1: 2 is missing"):
        Aggregator(store, SIX.supplier, third.roster)
    Aggregator(store, SIX.supplier, second.roster)
    Aggregator(store, SIX.supplier, third.roster)
    before = contents(store)
    for roster in (SIX.roster, second.roster):
        with pytest.raises(HushmeterError, match="is not above the newest one, 3"):
            Aggregator(store, SIX.supplier, roster)
    assert contents(store) == before
    assert Aggregator(store, SIX.supplier).roster.device.epoch == 3
    assert Aggregator(store, SIX.supplier, third.roster).roster == third.roster
    assert contents(store) == before
    store.close()


def test_a_slot_of_an_earlier_epoch_is_not_used_again(aggregator: Aggregator, path: Path) -> None:
    done = run_slot(aggregator, SIX, 1, VALUES)
    aggregator.open(2)
    take(aggregator, SIX.reports(2, {10: [1]}))
    before = contents(aggregator._store)
    aggregator._store.close()
    second = SIX.next_epoch()
    later = second.aggregator(path)
    for number in (1, 2):
        with pytest.raises(HushmeterError, match=f"slot {number} was used in epoch 1"):
            later.open(number)
        with pytest.raises(HushmeterError, match="is not open"):
            later.announce(number)
        assert refusal(later, second.meters[13].report(number, [5])) == "wrong_slot"
        assert refusal(later, SIX.meters[13].report(number, [5])) == "wrong_epoch"
    kept = [line for line in contents(later._store) if line in before]
    (opened,) = [line for line in before if line not in kept]
    assert opened == "INSERT INTO \"slots\" VALUES(2,1,'open',NULL,0,'',NULL);"
    assert done.totals == [sum(VALUES[m][0] for m in VALUES)]
    assert run_slot(later, second, 3, VALUES).totals == done.totals
    later._store.close()


def test_a_store_without_a_roster_and_another_suppliers_roster_are_refused(path: Path) -> None:
    store = Store(path)
    with pytest.raises(HushmeterError, match="no roster yet"):
        Aggregator(store, SIX.supplier)
    before = contents(store)
    with pytest.raises(HushmeterError, match="another supplier's key"):
        Aggregator(store, Supplier(secret("somebody else")), SIX.roster)
    assert contents(store) == before
    store.close()


def test_slots_outside_the_roster_are_not_opened(aggregator: Aggregator) -> None:
    before = contents(aggregator._store)
    for number in (0, -1, 1001, 1 << 70):
        with pytest.raises(HushmeterError, match="outside the roster's 1 to 1000"):
            aggregator.open(number)
    for act in (aggregator.announce, aggregator.close):
        with pytest.raises(HushmeterError, match="slot 5 is not open"):
            act(5)
    assert contents(aggregator._store) == before


def test_opening_a_slot_twice_changes_nothing(aggregator: Aggregator) -> None:
    slot = run_slot(aggregator, SIX, 1, VALUES)
    before = contents(aggregator._store)
    assert aggregator.open(1) is slot
    assert contents(aggregator._store) == before


def test_the_transcript_is_in_order_of_slot_round_and_meter(aggregator: Aggregator) -> None:

    for number in (2, 1):
        run_slot(aggregator, SIX, number, VALUES)
    digest = hashlib.sha256()
    for number in (1, 2):
        silent = aggregator.slots[number].silent
        bodies = SIX.reports(number, VALUES)
        bodies += [meter.answer(number, silent) for meter in SIX.meters.values()]
        for body in bodies:
            digest.update(len(body).to_bytes(2, "big") + body)
    assert aggregator.transcript_sha256() == digest.hexdigest()
    assert restarted(aggregator).transcript_sha256() == digest.hexdigest()
