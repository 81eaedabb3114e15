"""Epochs one after the other over one store: nothing old goes on, and nothing waits for ever."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hushmeter.cluster.aggregator import ANSWERING, COMPLETED, DONE, OPEN, VOID, Aggregator
from hushmeter.cluster.roster import (
    Member,
    SignedRoster,
    check_follows,
    difference,
    plan_after,
    plan_of,
)
from hushmeter.cluster.store import Store
from hushmeter.cluster.succession import Wanted, checked, successor
from hushmeter.errors import HushmeterError
from tests.cluster.street_kit import Kit, contents, make_street, run_slot, take

KIT = make_street(7, missing=2)
VALUES = {meter_id: [meter_id] for meter_id in KIT.meters}
TOTAL = [sum(VALUES)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "street.db"


@pytest.fixture
def aggregator(path: Path) -> Iterator[Aggregator]:
    made = KIT.aggregator(path)
    yield made
    made._store.close()


def unfinished(aggregator: Aggregator) -> None:
    """Slot 1 is done, 2 is void, 3 waits for an answer, 4 for reports."""
    run_slot(aggregator, KIT, 1, VALUES)
    for number in (2, 3):
        aggregator.open(number)
        take(aggregator, KIT.reports(number, VALUES))
        announced = aggregator.announce(number)
        answers = [KIT.meters[m].answer(number, f["silent"]) for m, f in announced.items()]
        take(aggregator, answers[1:])
    aggregator.close(2)
    aggregator.open(4)
    take(aggregator, KIT.reports(4, {10: [1]}))
    states = [slot.state for slot in aggregator.slots.values()]
    assert states == [DONE, VOID, ANSWERING, OPEN]


def test_what_is_not_done_when_an_epoch_begins_is_void_with_a_reason(
    aggregator: Aggregator,
) -> None:
    unfinished(aggregator)
    second = KIT.next_epoch()
    ended = aggregator.begin(second.roster)
    assert [slot.number for slot in ended] == [3, 4]
    assert {slot.state for slot in ended} == {VOID}
    rows = {row.slot: row for row in aggregator._store.slots()}
    assert [rows[n].state for n in (1, 2, 3, 4)] == [DONE, VOID, VOID, VOID]
    assert rows[2].reason == "no answer from 10"
    assert rows[3].reason == rows[4].reason == "not complete when epoch 2 began"
    assert rows[3].totals is None and rows[1].totals == TOTAL


def test_the_street_goes_on_in_the_same_aggregator(aggregator: Aggregator, path: Path) -> None:
    run_slot(aggregator, KIT, 1, VALUES)
    second = KIT.next_epoch()
    assert aggregator.begin(second.roster) == []
    assert run_slot(aggregator, second, 2, VALUES).totals == TOTAL
    third = second.next_epoch()
    aggregator.begin(third.roster)
    assert run_slot(aggregator, third, 3, VALUES).totals == TOTAL
    aggregator._store.close()
    again = Aggregator(Store(path), KIT.supplier)
    assert again.roster.hash == third.roster.hash and list(again.slots) == [3]
    assert [(row.epoch, row.totals) for row in again._store.slots()] == [
        (1, TOTAL), (2, TOTAL), (3, TOTAL),
    ]  # fmt: skip
    again._store.close()


def test_an_old_epoch_is_never_opened_again(aggregator: Aggregator) -> None:
    """Neither by its roster nor by a message, and a late answer completes none of its slots."""
    unfinished(aggregator)
    second = KIT.next_epoch()
    silent = aggregator.slots[3].silent
    assert silent is not None
    aggregator.begin(second.roster)
    before = contents(aggregator._store)
    forked = KIT.next_epoch(expiry_s=80000)
    third = second.next_epoch()
    jump = third.next_epoch()
    for roster in (KIT.roster, second.roster, forked.roster, jump.roster):
        with pytest.raises(HushmeterError, match="not above the newest|is missing"):
            aggregator.begin(roster)
    branch = second.next_epoch(previous=forked.roster.hash)
    with pytest.raises(HushmeterError, match="does not follow"):
        aggregator.begin(branch.roster)
    for body in (KIT.meters[10].answer(3, silent), KIT.meters[13].report(4, [1])):
        (verdict,) = aggregator.accept([body])
        assert (verdict.accepted, verdict.code) == (False, "wrong_epoch")
    for number in (1, 2, 3, 4):
        with pytest.raises(HushmeterError, match="was used in epoch 1"):
            aggregator.open(number)
    assert contents(aggregator._store) == before
    assert aggregator.roster.hash == second.roster.hash


def test_another_suppliers_roster_changes_nothing(aggregator: Aggregator) -> None:
    stranger = make_street(7, missing=2, seed=9)
    plan = replace(plan_of(KIT.next_epoch().roster), epoch=2)
    members = list(KIT.roster.members)
    roster = KIT.authority.sign(plan, members, stranger.supplier.public_key)
    before = contents(aggregator._store)
    with pytest.raises(HushmeterError, match="another supplier"):
        aggregator.begin(roster)
    assert contents(aggregator._store) == before and aggregator.roster is KIT.roster


def test_a_meter_that_owed_answers_is_back_with_a_new_roster(aggregator: Aggregator) -> None:
    for number in (1, 2, 3):
        aggregator.open(number)
        take(aggregator, KIT.reports(number, VALUES))
        announced = aggregator.announce(number)
        take(
            aggregator,
            [KIT.meters[m].answer(number, f["silent"]) for m, f in announced.items() if m != 10],
        )
        aggregator.close(number)
    assert aggregator.left_out == {10}
    second = KIT.next_epoch()
    aggregator.begin(second.roster)
    assert aggregator.left_out == frozenset()
    assert run_slot(aggregator, second, 4, VALUES).state == DONE


def test_a_void_slot_still_completes_within_its_epoch(aggregator: Aggregator) -> None:
    """The control: it is the new roster that ends it."""
    unfinished(aggregator)
    silent = aggregator.slots[2].silent
    assert silent is not None
    take(aggregator, [KIT.meters[10].answer(2, silent)])
    assert aggregator.slots[2].state == COMPLETED


def other_member(meter_id: int, kit: Kit = KIT) -> Member:
    """A key that is in no roster here."""
    made = make_street(3, seed=50 + meter_id)
    return Member(meter_id, next(iter(made.meters.values())).public_key)


def next_of(before: SignedRoster, **wanted: object) -> SignedRoster:
    return successor(before, Wanted(first_slot=20, **wanted), KIT.authority)  # type: ignore[arg-type]


def test_the_next_roster_says_who_joined_left_or_has_another_key() -> None:
    new, device = other_member(40), other_member(13)
    after = next_of(KIT.roster, join=[new], leave=[10], replace=[device])
    changes = difference(KIT.roster, after)
    assert (changes.joined, changes.left, changes.rekeyed) == ((40,), (10,), (13,))
    check_follows(KIT.roster, after)
    rules, old = after.device, KIT.roster.device
    assert (rules.epoch, rules.first_slot, rules.previous) == (2, 20, KIT.roster.hash)
    assert rules.start_s == old.slot_start_s(20)
    assert plan_of(after) == plan_after(KIT.roster, 20)


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        ({"join": [other_member(10)]}, "already in the roster"),
        ({"leave": [11]}, "not in the roster"),
        ({"replace": [other_member(11)]}, "not in the roster"),
        ({"leave": [10], "replace": [other_member(10)]}, "change twice"),
        ({"leave": [10, 13]}, "2 M . T must be below N"),
        ({"join": [Member(40, KIT.roster.members[0].public_key)]}, "another member's key"),
        ({"missing": 3}, "2 M . T must be below N"),
    ],
)
def test_a_next_roster_that_cannot_be_is_refused(wanted: dict[str, object], why: str) -> None:
    with pytest.raises(HushmeterError, match=why):
        next_of(KIT.roster, **wanted)


def test_without_a_slot_the_next_roster_leaves_a_whole_slot_to_send_it() -> None:
    start_s = KIT.roster.device.slot_start_s(7) + 5
    after = successor(KIT.roster, Wanted(leave=[10]), KIT.authority, now_s=start_s)
    assert after.device.first_slot == 9


def test_another_authority_cannot_sign_the_next_roster() -> None:
    with pytest.raises(HushmeterError, match="not that of the authority"):
        successor(KIT.roster, Wanted(first_slot=20), make_street(3, seed=9).authority)


def test_what_a_roster_protects_less_than_the_one_before_is_named() -> None:
    after = next_of(KIT.roster, leave=[10])
    assert checked(after, KIT.roster).looser == ["members", "honest"]
    same = next_of(KIT.roster, leave=[10], join=[other_member(41)])
    assert checked(same, KIT.roster).looser == []
