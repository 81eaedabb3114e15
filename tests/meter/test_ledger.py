"""The privacy ledger on the meter: every report once, never too little, whatever is cut."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hushfw import journal as journals
from hushfw.core import config, messages
from hushfw.core.errors import HushError
from hushfw.core.roster import MAX_WINDOW_DAYS, Lane
from hushfw.ledger import Ledger
from hushmeter.cluster.aggregator import Aggregator
from hushmeter.cluster.roster import LanePlan
from hushmeter.cluster.store import Store
from hushmeter.devices.meter_plan import PrivacyCap, configuration
from hushmeter.privacy.ledger import asked, stored
from hushmeter.report.ledger import summary
from tests.meter import kit, market_kit
from tests.meter.test_power import records

DAY_S = 86400
START_S = kit.START_S


def rules(epoch: int = 1, *epsilons: tuple[int, int], **changes: Any) -> Any:
    """What the ledger reads of a roster: ten-minute slots from a midnight on."""
    fields = {
        "epoch": epoch,
        "start_s": START_S,
        "first_slot": 1,
        "slot_s": 600,
        "lane_list": [Lane(1000, *epsilon) for epsilon in epsilons or ((1, 1),)],
    }
    return SimpleNamespace(**(fields | changes))


def report(slot: int) -> bytes:
    return slot.to_bytes(8, "big") + b"a report of two hundred bytes" * 7


@pytest.fixture(autouse=True)
def frozen() -> Iterator[None]:
    """A journal collects garbage when it is opened; what the test run holds is none of it."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.bin"


def opened(path: Path) -> Any:
    return journals.Journal(str(path))


def total(book: Any) -> Fraction:
    return Fraction(book.ledger.total, book.ledger.den)


def window(book: Any, days: int, today: int = 0) -> Fraction:
    spent, boundless = book.ledger.window(days, today)
    assert not boundless
    return Fraction(spent, book.ledger.den)


def test_every_report_spends_the_sum_of_its_lanes(path: Path) -> None:
    book = opened(path)
    book.open_account(rules(1, (1, 2), (1, 3)))
    for slot in (3, 4, 9):
        book.append(journals.REPORT, report(slot))
    assert total(book) == 3 * Fraction(5, 6)
    assert total(opened(path)) == total(book)
    assert opened(path).ledger.reports == 3


def test_answers_and_other_records_spend_nothing(path: Path) -> None:
    book = opened(path)
    book.open_account(rules())
    book.append(journals.REPORT, report(1))
    for kind in (journals.ANSWER, journals.BARRED, journals.CLOSED, journals.EXPIRED):
        book.append(kind, (1).to_bytes(8, "big"))
    assert total(book) == total(opened(path)) == 1


def test_what_a_rewrite_drops_stays_counted(path: Path) -> None:
    book = opened(path)
    book.open_account(rules(1, (1, 7)))
    for slot in range(1, 301):
        book.append(journals.REPORT, report(slot))
        book.expire(slot - 3)
    assert book.rewrites > 3
    assert os.path.getsize(path) < 20_000
    assert total(book) == total(opened(path)) == Fraction(300, 7)


def test_epochs_with_different_epsilons_add_up_exactly(path: Path) -> None:
    book = opened(path)
    wanted = Fraction(0)
    slot = 0
    for epoch, epsilon in enumerate([(1, 3), (2, 7), (5, 4), (1, 3)], 1):
        book.open_account(rules(epoch, epsilon))
        for _ in range(epoch):
            slot += 1
            book.append(journals.REPORT, report(slot))
            wanted += Fraction(*epsilon)
        book.expire(slot)
        book.expired_through = slot
    assert total(book) == total(opened(path)) == wanted
    assert book.ledger.den == 84


def test_an_epoch_in_use_opens_no_second_account(path: Path) -> None:
    book = opened(path)
    book.open_account(rules())
    size = os.path.getsize(path)
    book.open_account(rules())
    opened(path).open_account(rules())
    assert os.path.getsize(path) == size


def test_denominators_without_room_round_up_and_never_down(path: Path) -> None:
    book = opened(path)
    wanted = Fraction(0)
    primes = (4294967291, 4294967279, 4294967231, 4294967197)
    for epoch, den in enumerate(primes, 1):
        book.open_account(rules(epoch, (1, den)))
        for slot in range(10 * epoch, 10 * epoch + 5):
            book.append(journals.REPORT, report(slot))
            wanted += Fraction(1, den)
    assert wanted <= total(book) <= wanted + Fraction(100, 1 << 63)
    assert book.ledger.den < 1 << 64
    assert total(opened(path)) == total(book)


def cuts(data: bytes, before: int) -> Iterator[bytes]:
    """The file as a power cut may leave it while its end is written."""
    for size in range(before, len(data) + 1):
        yield data[:size]
    yield data[:before] + bytes(len(data) - before)


def test_a_cut_at_any_byte_of_a_report_counts_it_once_or_not_at_all(path: Path) -> None:
    book = opened(path)
    book.open_account(rules(1, (1, 3)))
    book.append(journals.REPORT, report(1))
    before = os.path.getsize(path)
    book.append(journals.REPORT, report(2))
    data = path.read_bytes()
    for left in cuts(data, before):
        path.write_bytes(left)
        again = opened(path)
        # Counted exactly where the record is whole, so before the report could leave.
        assert total(again) == Fraction(1 + (again.last_masked == 2), 3)
        assert again.last_masked == (2 if len(left) == len(data) and left == data else 1)


def test_a_cut_while_an_account_is_opened_loses_nothing(path: Path) -> None:
    book = opened(path)
    book.open_account(rules(1, (1, 3)))
    for slot in (1, 2):
        book.append(journals.REPORT, report(slot))
    before = os.path.getsize(path)
    book.open_account(rules(2, (1, 5)))
    for left in cuts(path.read_bytes(), before):
        path.write_bytes(left)
        again = opened(path)
        assert total(again) == Fraction(2, 3)
        # The next start finds the epoch in use and opens the account that is missing.
        again.open_account(rules(2, (1, 5)))
        again.append(journals.REPORT, report(3))
        assert total(again) == total(opened(path)) == Fraction(2, 3) + Fraction(1, 5)


def test_a_rewrite_that_is_cut_leaves_the_sums(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    book = opened(path)
    book.open_account(rules())
    for slot in range(1, 6):
        book.append(journals.REPORT, report(slot))
    book.expire(4)

    def cut(name: str, pieces: Any) -> None:
        with open(name + ".tmp", "wb") as f:
            f.write(next(iter(pieces)))
        raise HushError("storage", "cut")

    monkeypatch.setattr(journals, "replace", cut)
    with pytest.raises(HushError):
        book._rewrite()
    assert total(opened(path)) == 5


def test_a_window_is_the_days_that_end_with_the_last() -> None:
    ledger = Ledger()
    ledger.restore(ledger.begun(rules(), 0))
    for slot in range(1, 3 * 144 + 1, 12):
        ledger.count(slot)
    today = ledger.newest_day
    assert [ledger.window(days, 0)[0] for days in (1, 2, 3, 30)] == [12, 24, 36, 36]
    assert [ledger.window(1, today + more)[0] for more in (0, 1, 2)] == [12, 0, 0]
    assert ledger.window(2, today + 1)[0] == 12
    assert ledger.total == 36


def test_days_leave_the_longest_window_and_never_the_total() -> None:
    ledger = Ledger()
    ledger.restore(ledger.begun(rules(slot_s=DAY_S), 0))
    for slot in (*range(1, 200), 400):
        ledger.count(slot)
    assert ledger.window(MAX_WINDOW_DAYS, 0)[0] == 1
    assert ledger.total == 200


def test_a_calendar_that_goes_back_moves_nothing_out_of_the_window() -> None:
    ledger = Ledger()
    ledger.restore(ledger.begun(rules(slot_s=DAY_S), 0))
    ledger.count(50)
    early = rules(2, slot_s=DAY_S, start_s=START_S - 1000 * DAY_S, first_slot=51)
    ledger.restore(ledger.begun(early, 50))
    ledger.count(51)
    assert ledger.window(1, 0)[0] == 2


def test_the_cap_is_reached_by_the_report_that_spends_its_last_part() -> None:
    ledger = Ledger()
    ledger.restore(ledger.begun(rules(1, (1, 3)), 0))
    cap = {"epsilon": [5, 3], "window_days": 1}
    reached = []
    for slot in range(1, 8):
        reached.append(ledger.reaches(cap, slot))
        ledger.count(slot)
    assert reached == [False] * 4 + [True] * 3
    assert ledger.fields(cap, 0)["reached"] == 1
    # A new day has the whole cap again.
    assert not ledger.reaches(cap, 145)
    assert not ledger.reaches(None, 8)


def test_a_report_without_noise_is_beyond_every_cap() -> None:
    ledger = Ledger()
    ledger.restore(ledger.begun(rules(1, (0, 0), slot_s=DAY_S), 0))
    cap = {"epsilon": [0xFFFFFFFF, 1], "window_days": 2}
    assert ledger.reaches(cap, 1)
    ledger.count(1)
    assert ledger.window(2, 0) == (0, True)
    ledger.restore(ledger.begun(rules(2, (1, 1), slot_s=DAY_S), 1))
    assert [ledger.reaches(cap, slot) for slot in (2, 3)] == [True, False]
    assert ledger.fields(cap, 0)["noiseless"] == 1


def test_a_journal_older_than_the_ledger_is_taken_over_from_above(path: Path) -> None:
    book = opened(path)
    for slot in (5, 8, 9):
        book.append(journals.REPORT, report(slot))
    book.open_account(rules(3, first_slot=4))
    assert (total(book), book.ledger.since) == (6, 4)
    assert window(book, 1) == 6
    book.append(journals.REPORT, report(10))
    assert total(opened(path)) == 7


def test_an_old_journal_of_an_epoch_before_says_where_counting_begins(path: Path) -> None:
    book = opened(path)
    book.append(journals.REPORT, report(5))
    book.open_account(rules(3, first_slot=100))
    assert (total(book), book.ledger.since, book.ledger.reports) == (0, 6, 0)


def test_a_meter_that_only_starts_writes_no_ledger(street: kit.Street) -> None:
    """A firmware on trial that is given up leaves a journal that the one before it reads."""
    meter = street.meters[1].restart()

    def kinds() -> list[int]:
        return [kind for _, kind, _ in records(meter.storage()["journal.bin"])]

    assert meter.hello()["epoch"] == 1
    assert journals.LEDGER not in kinds()
    meter.run(1)
    assert kinds()[-2:] == [journals.LEDGER, journals.REPORT]


def test_who_asks_before_the_first_report_sees_the_epoch_in_use(street: kit.Street) -> None:
    account = asked(street.meters[1].link)
    assert (account.epoch, account.slots, account.epsilon_per_slot) == (1, 0, 1)


GOOD_CAP = {"epsilon": [4320, 1], "window_days": 30}


@pytest.mark.parametrize(
    ("cap", "field"),
    [
        (7, "privacy_cap.:"),
        ({"epsilon": [1, 1]}, "privacy_cap.window_days: is missing"),
        ({**GOOD_CAP, "window_days": 0}, "privacy_cap.window_days"),
        ({**GOOD_CAP, "window_days": MAX_WINDOW_DAYS + 1}, "from 1 to 92"),
        ({**GOOD_CAP, "epsilon": [1, 0]}, "privacy_cap.epsilon"),
        ({**GOOD_CAP, "epsilon": 1.5}, "privacy_cap.epsilon: must be [numerator, denominator]"),
        ({**GOOD_CAP, "hours": 2}, "privacy_cap.hours"),
    ],
)
def test_a_cap_that_is_none_is_refused_by_name(cap: Any, field: str, street: kit.Street) -> None:
    made = configuration(kit.plan_of_meter(1, street.authority))
    assert config.check({**made, "privacy_cap": GOOD_CAP})
    assert config.complete(made)["privacy_cap"] is None
    with pytest.raises(HushError) as refused:
        config.check({**made, "privacy_cap": cap})
    assert field in refused.value.message


CAP = PrivacyCap(Fraction(3), 1)


@pytest.fixture
def capped(tmp_path: Path) -> Iterator[kit.Street]:
    made = kit.street(tmp_path, privacy_cap=CAP)
    made.enrol()
    yield from kit.running(made)


def test_a_real_meter_counts_reports_and_not_what_it_sends_again(capped: kit.Street) -> None:
    meter = capped.meters[1]
    for slot in (1, 2):
        meter.run(slot)
    meter.ask("resend", epoch=1, slot=2, round=1)
    assert len(meter.reports[2]) == 2
    meter.restart()
    meter.ask("resend", epoch=1, slot=2, round=1)
    account = asked(meter.link)
    assert (account.slots, account.epsilon_total, account.cap_reached) == (2, 2, False)
    assert account.epsilon_per_slot == 1
    assert stored(meter.unix.storage).to_dict() == {
        **account.to_dict(),
        "days": [{"day": "2023-11-15", "epsilon": 2}],
    }


@pytest.mark.parametrize(("epsilon", "number"), [([3, 2], 1.5), (None, None)])
def test_the_epsilon_of_a_market_interval_is_listed_beside_the_sums(
    tmp_path: Path, epsilon: list[int] | None, number: float | None
) -> None:
    made = market_kit.street(tmp_path, market={**market_kit.TERMS, "epsilon": epsilon})
    for street in kit.running(made):
        meter = street.meters[1]
        trade = market_kit.Market(street, terms=(*market_kit.Market.terms[:2], epsilon))
        meter.ask("market_ask", **trade.ask(1, market_kit.FIRST))
        account = asked(meter.link)
        found = account.to_dict()
        assert found["market_epsilon_per_interval"] == number
        assert found["market_intervals"] == 1
        assert found["epsilon_total"] == found["epsilon_window"] == found["slots"] == 0
        # Only the meter itself knows what day it is.
        assert stored(meter.unix.storage).to_dict() == {**found, "window_ends": None}
        note = {row.label: row.note for row in summary(account, [])}["Intervals on the market"]
        assert ("exact" in note) == (epsilon is None)


def test_void_and_expired_slots_stay_spent(capped: kit.Street) -> None:
    meter = capped.meters[1]
    meter.run(1)
    # Nobody announces: the slot is void, and hours later its time is over.
    meter.ask("advance", now_s=kit.end_s(40))
    meter.run(41)
    account = asked(meter.link)
    assert (account.slots, account.epsilon_total) == (2, 2)


def test_the_flag_comes_with_the_report_that_reaches_the_cap_and_the_total_is_labelled(
    capped: kit.Street, tmp_path: Path
) -> None:
    store = Store(tmp_path / "street.db")
    aggregator = Aggregator(store, capped.supplier, capped.signed())
    for slot in range(1, 5):
        aggregator.open(slot)
        bodies = []
        for meter in capped.meters.values():
            fields = meter.run(slot)
            assert fields["flags"] == (messages.FLAG_CAP if slot >= 3 else 0)
            bodies.append(meter.reports[slot][-1])
        assert all(verdict.accepted for verdict in aggregator.accept(bodies))
        assert aggregator.over_budget(slot) == ([1, 2, 3, 4] if slot >= 3 else [])
    store.close()
    again = Store(tmp_path / "street.db")
    assert Aggregator(again, capped.supplier).over_budget(3) == [1, 2, 3, 4]
    again.close()
    assert asked(capped.meters[1].link).cap_reached


def test_the_flag_is_under_the_tag(capped: kit.Street, tmp_path: Path) -> None:
    meter = capped.meters[1]
    for slot in (1, 2, 3):
        meter.run(slot)
    store = Store(tmp_path / "street.db")
    aggregator = Aggregator(store, capped.supplier, capped.signed())
    aggregator.open(3)
    number, payload = messages.encode("report", {**meter.report(3), "flags": 0})
    (verdict,) = aggregator.accept([bytes((number,)) + payload])
    assert verdict.code == "bad_tag"
    store.close()


def test_two_epochs_of_a_real_meter_are_one_account(capped: kit.Street) -> None:
    for meter in capped.meters.values():
        meter.run(1)
    lanes = (LanePlan(kit.CAP_WH, Fraction(1, 4)),)
    capped.enrol(kit.plan(epoch=2, first_slot=2, start_s=kit.end_s(1), lanes=lanes))
    meter = capped.meters[2]
    meter.run(2)
    meter.restart()
    account = asked(meter.link)
    assert (account.epoch, account.epsilon_per_slot) == (2, Fraction(1, 4))
    assert (account.slots, account.epsilon_total) == (2, Fraction(5, 4))
