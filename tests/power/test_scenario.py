"""The scenario that is cut has everything in it that writes to the flash."""

import pickle

import pytest

from hil.power.cuts import Played
from hil.power.ledger import Ledger
from hil.power.record import Program, Restarted
from hil.power.scenario import CLOSED, DECLARED_SILENT, LAST_EPOCH_SLOTS, SLOTS
from hil.power.street import PowerStreet
from hil.power.unix_machine import UnixMachine, image_of


@pytest.fixture(scope="module")
def played() -> Played:
    street = PowerStreet("unix")
    with UnixMachine() as machine:
        return Played.on(machine, street, image_of(street.files()))


def test_every_slot_is_reported_and_answered_but_the_two_that_must_not_be(played: Played) -> None:
    left = Ledger.of(played.record.events)
    slots = set(range(1, SLOTS + 1))
    first = {(1, slot) for slot in slots}
    second = {(2, slot) for slot in range(SLOTS + 1, SLOTS + 1 + LAST_EPOCH_SLOTS)}
    assert set(left.reports) == (first | second) - {(1, CLOSED)}
    assert set(left.answers) == set(left.reports) - {(1, DECLARED_SILENT)}
    assert left.barred == {(1, DECLARED_SILENT)} and left.closed == {(1, CLOSED)}
    assert len(left.stored) == len(left.reports) + len(left.answers) + 1
    assert (left.epoch, left.boots) == (2, 2)


@pytest.mark.parametrize(
    "name", ["journal.bin.tmp", "seed.bin.tmp", "identity.bin.tmp", "pairs.bin", "home.bin"]
)
def test_every_file_is_written_in_it(played: Played, name: str) -> None:
    """A file's name is programmed when the file is made."""
    pages = [event.data for event in played.record.events if isinstance(event, Program)]
    assert any(name.encode() in page for page in pages)


def test_keys_ratchet_and_slots_expire_in_it(played: Played) -> None:
    pages = [event.data for event in played.record.events if isinstance(event, Program)]
    days = {page[at : at + 12] for page in pages for at in [page.find(b"keys-1-")] if at >= 0}
    assert len(days) > 1
    left = Ledger.of(played.record.events)
    assert left.expired(1) and not left.expired(SLOTS)


def test_the_power_goes_once_on_purpose(played: Played) -> None:
    assert sum(isinstance(event, Restarted) for event in played.record.events) == 1
    assert len(played.record.operations()) > 200


def test_a_played_scenario_can_be_handed_to_another_process(played: Played) -> None:
    """However processes are started on this system, they get the whole of it."""
    copy = pickle.loads(pickle.dumps(played))
    assert copy.record.events == played.record.events
    assert Ledger.of(copy.record.events).reports == Ledger.of(played.record.events).reports
