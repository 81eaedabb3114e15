"""Pages torn at any byte, and operations in any order between syncs: files and meter survive both.

Files are looked at after every such cut: they must be those of one moment, no older than the last
sync. The meter is restarted after a sample. HUSHMETER_MORE=1 tears at every byte, takes every
order, and restarts after ten times as many.
"""

import hashlib
import os
from collections.abc import Iterable
from random import Random

import pytest

from hil.power import caches
from hil.power.cuts import Played, Tally, restarts
from hil.power.record import BLOCK_BYTES, PAGE_BYTES, Cut, Erase, Program, Record, Sync
from hil.power.recovery import ANSWERED_TWICE, MASKED_TWICE, STUCK
from hil.power.street import PowerStreet
from hil.power.unix_machine import UnixMachine, image_of
from hushmeter.emulate import littlefs
from hushmeter.errors import HushmeterError

MORE = bool(os.environ.get("HUSHMETER_MORE"))
TEARS, ORDERS = (PAGE_BYTES, 1 << caches.ALL_SUBSETS_OF) if MORE else (2, 12)
RESTARTS = 300 if MORE else 25
CACHED = 8
DEPTH = 3


@pytest.fixture(scope="module")
def played() -> Played:
    street = PowerStreet("unix")
    with UnixMachine() as machine:
        return Played.on(machine, street, image_of(street.files()))


def digest_of(image: bytes) -> bytes:
    return hashlib.sha256(repr(littlefs.read(image)).encode()).digest()


def moments(record: Record) -> list[bytes]:
    """What the files are before each event, as digests."""
    found: list[bytes] = []
    last = b""
    for image in record.images([Cut(i, "before") for i in range(len(record.events) + 1)]):
        if image != last:
            found.append(digest_of(image))
            last = image
        else:
            found.append(found[-1])
    return found


def not_of_one_moment(record: Record, cuts: Iterable[Cut]) -> tuple[list[Cut], int]:
    """Cuts that leave files as they never were since the first loss; how many were tried."""
    known = moments(record)
    cuts = list(cuts)
    wrong = []
    for cut, image in zip(cuts, record.images(cuts), strict=True):
        since = min(cut.lost, default=cut.event)
        try:
            same = digest_of(image) in known[since : cut.event + 2]
        except HushmeterError:
            same = False
        if not same:
            wrong.append(cut)
    return wrong, len(cuts)


@pytest.mark.timeout(1800)
def test_a_page_torn_at_any_byte_leaves_the_files_before_it_or_after_it(played: Played) -> None:
    wrong, tried = not_of_one_moment(played.record, caches.torn(played.record, Random(1), TEARS))
    print(f"torn pages tried: {tried}")
    assert not wrong, wrong[:5]
    assert tried > 500


@pytest.mark.timeout(1800)
def test_operations_in_any_order_between_syncs_leave_the_files_of_one_moment(
    played: Played,
) -> None:
    cuts = caches.reordered(played.record, Random(1), ORDERS)
    wrong, tried = not_of_one_moment(played.record, cuts)
    print(f"orders tried: {tried}")
    assert not wrong, wrong[:5]
    assert tried > 500


def sample(cuts: Iterable[Cut], count: int) -> list[Cut]:
    """So many, spread over all of the record."""
    every = list(cuts)
    return every[:: max(1, len(every) // count)]


@pytest.mark.parametrize("how", ["torn", "reordered"])
@pytest.mark.timeout(1800)
def test_a_meter_goes_on_after_torn_pages_and_other_orders(played: Played, how: str) -> None:
    make = {"torn": caches.torn, "reordered": caches.reordered}[how]
    cuts = sample(make(played.record, Random(2), 4), RESTARTS)
    tally = Tally()
    with UnixMachine() as machine:
        for cut, faults in restarts(machine, played, cuts, DEPTH):
            tally.add(cut, faults)
    print(f"restarts after {how}: {tally}")
    assert tally.cuts.total() == len(cuts) >= 25
    assert not tally.faults, tally.faults[:5]


def test_a_medium_that_lies_about_syncs_is_found(played: Played) -> None:
    """Positive control, and a limit: no check of the journal's finds that it is older than it was.

    Some losses it refuses, as damage; after others slots are masked and answered twice.
    """
    wanted = {MASKED_TWICE, ANSWERED_TWICE, STUCK}
    cuts = [c for c in caches.lying(played.record, Random(1), 2, CACHED) if c.event > 90]
    if not MORE:
        cuts = cuts[::4]
    tally = Tally()
    with UnixMachine() as machine:
        for cut, faults in restarts(machine, played, cuts, DEPTH):
            tally.add(cut, faults)
            if not MORE and all(map(tally.found, wanted)):
                break
    print(f"on a medium that lies: {tally}")
    assert {kind for kind in wanted if tally.found(kind)} == wanted


def small_record() -> Record:
    """A block is erased and gets two pages; after a sync, another block is erased."""
    pages = [Program(at, bytes(PAGE_BYTES)) for at in (0, PAGE_BYTES)]
    return Record(
        b"\x55" * (2 * BLOCK_BYTES),
        [Erase(0, BLOCK_BYTES), *pages, Sync(), Erase(BLOCK_BYTES, BLOCK_BYTES)],
    )


def test_only_what_was_not_synced_is_lost_and_no_page_goes_into_an_unerased_block() -> None:
    lost = {(cut.event, cut.lost) for cut in caches.reordered(small_record(), Random(1), 8)}
    assert lost == {(3, (1,))}


def test_a_lie_may_lose_what_was_synced() -> None:
    lost = {cut.lost for cut in caches.lying(small_record(), Random(1), 8, 4)}
    assert (1, 2) in lost and (0, 1, 2) in lost and (0, 1) not in lost


def test_a_page_torn_at_a_byte_has_so_many_new_bytes() -> None:
    image = small_record().image(Cut(1, "torn", size=3))
    assert image[:5] == bytes(3) + b"\xff\xff"
