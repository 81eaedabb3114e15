"""The store keeps all of a transaction or none, and every fault is one clear error."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hushmeter.cluster.aggregator import ANSWERING, DONE, OPEN, VOID, Aggregator
from hushmeter.cluster.store import SlotRow, Store
from hushmeter.errors import HushmeterError
from tests.cluster.street_kit import CAP_WH, contents, make_street, run_slot, take

KIT = make_street(5, missing=1)
VALUES = {m: [m] for m in KIT.meters}
TOTAL = sum(KIT.meters)


def fill(store: Store) -> None:
    """Let the disk be full: the file may not grow by one more page."""
    (pages,) = store._db.execute("PRAGMA page_count").fetchone()
    store._db.execute(f"PRAGMA max_page_count={pages}")


def free(store: Store) -> None:
    store._db.execute("PRAGMA max_page_count=1000000")


def accepted_until_full(aggregator: Aggregator) -> int:
    """How many slots of reports go in before the disk is full; the slot that failed is next."""
    fill(aggregator._store)
    for number in range(1, 1000):
        try:
            aggregator.open(number)
            take(aggregator, KIT.reports(number, VALUES))
        except HushmeterError as error:
            assert "database or disk is full" in error.message
            assert "free space" in str(error.hint)
            return number
    raise AssertionError("the disk was never full")


def test_on_a_full_disk_nothing_is_acknowledged_and_nothing_changes(tmp_path: Path) -> None:
    aggregator = KIT.aggregator(tmp_path / "street.db")
    failed = accepted_until_full(aggregator)
    store = aggregator._store
    before = contents(store)
    reports = KIT.reports(failed, VALUES)
    for _ in range(2):
        with pytest.raises(HushmeterError, match="database or disk is full"):
            aggregator.open(failed)
            aggregator.accept(reports)
    assert contents(store) == before
    assert store.messages(failed, 1) == {}
    assert failed not in aggregator.slots or aggregator.slots[failed].reports == {}
    free(store)
    aggregator.open(failed)
    take(aggregator, reports)
    assert run_slot(aggregator, KIT, failed, VALUES).totals == [TOTAL]
    store.close()


class Broken(Exception):
    """Stands for whatever may go wrong between two statements."""


def failing(store: Store, monkeypatch: pytest.MonkeyPatch, method: str, error: Exception) -> None:
    def fail(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(store, method, fail)


FULL = sqlite3.OperationalError("database or disk is full")


@pytest.mark.parametrize("error", [FULL, Broken()])
def test_a_set_that_could_not_be_kept_was_never_announced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """A meter may still report; S is then another one, and the only one."""
    aggregator = KIT.aggregator(tmp_path / "street.db")
    aggregator.open(1)
    take(aggregator, KIT.reports(1, {m: VALUES[m] for m in KIT.ids()[:4]}))
    with monkeypatch.context() as patch:
        failing(aggregator._store, patch, "put_slot", error)
        with pytest.raises((HushmeterError, Broken)):
            aggregator.announce(1)
    assert (aggregator.slots[1].state, aggregator.slots[1].silent) == (OPEN, None)
    assert not aggregator._store._db.in_transaction
    take(aggregator, KIT.reports(1, {22: [22]}))
    silent = aggregator.announce(1)[10]["silent"]
    assert silent == bytes(1)
    aggregator._store.close()
    again = Aggregator(Store(tmp_path / "street.db"), KIT.supplier)
    assert again.announce(1)[10]["silent"] == silent
    again._store.close()


@pytest.mark.parametrize("method", ["put_messages", "put_slot"])
def test_a_last_answer_and_its_total_are_kept_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    aggregator = KIT.aggregator(tmp_path / "street.db")
    slot = aggregator.open(1)
    take(aggregator, KIT.reports(1, VALUES))
    silent = aggregator.announce(1)[10]["silent"]
    answers = [meter.answer(1, silent) for meter in KIT.meters.values()]
    take(aggregator, answers[:-1])
    before = contents(aggregator._store)
    with monkeypatch.context() as patch:
        failing(aggregator._store, patch, method, FULL)
        with pytest.raises(HushmeterError, match="disk is full"):
            aggregator.accept(answers[-1:])
    assert (slot.state, slot.totals, len(slot.answers)) == (ANSWERING, None, 4)
    assert contents(aggregator._store) == before
    take(aggregator, answers[-1:])
    assert (slot.state, slot.totals) == (DONE, [TOTAL])
    aggregator._store.close()


def test_a_slot_that_could_not_be_closed_stays_open_for_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aggregator = KIT.aggregator(tmp_path / "street.db")
    slot = aggregator.open(1)
    take(aggregator, KIT.reports(1, VALUES))
    aggregator.announce(1)
    with monkeypatch.context() as patch:
        failing(aggregator._store, patch, "put_slot", FULL)
        with pytest.raises(HushmeterError, match="disk is full"):
            aggregator.close(1)
    assert slot.state == ANSWERING
    assert aggregator._store.slots()[0].state == ANSWERING
    assert aggregator.close(1).state == VOID
    aggregator._store.close()


def test_the_database_may_have_rolled_back_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first fault is told, not that there was nothing left to roll back."""
    store = Store(tmp_path / "street.db")
    with pytest.raises(HushmeterError, match="disk I/O error"), store.transaction():
        store._db.execute("ROLLBACK")
        raise sqlite3.OperationalError("disk I/O error")
    with store.transaction():
        store.put_epoch(1, b"roster")
    assert store.last_epoch() == (1, b"roster")
    store.close()


def test_what_is_put_is_read_again(tmp_path: Path) -> None:
    store = Store(tmp_path / "street.db")
    rows = [
        SlotRow(1, 1, "done", b"\x02", False, "", [-5, 1 << 62]),
        SlotRow(2, 1, "void", None, True, "why", None),
        SlotRow((1 << 63) - 1, 2, "open", b"", False, "", [0]),
    ]
    with store.transaction():
        for row in reversed(rows):
            store.put_slot(row)
        store.put_messages([(1, 2, 7, b"b"), (1, 1, 9, b"a"), (2, 1, 7, b"c")])
    store.close()
    store = Store(tmp_path / "street.db")
    assert store.slots() == rows
    assert store.messages(1, 1) == {9: b"a"}
    assert store.message(1, 2, 7) == b"b"
    assert store.message(1, 2, 8) is None
    assert list(store.all_bodies()) == [b"a", b"b", b"c"]
    store.close()


def not_a_database(path: Path) -> None:
    path.write_bytes(b"no database at all\n" * 100)


def of_a_newer_release(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE slots (slot)")
        db.execute("PRAGMA user_version=2")
    db.close()


def of_another_program(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE photographs (name)")
    db.close()


def a_folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (not_a_database, "not a database"),
        (of_a_newer_release, "store version 2, this program reads 1"),
        (of_another_program, "database of another program"),
        (a_folder, "unable to open"),
    ],
)
def test_a_file_that_is_no_store_is_refused_and_left_as_it_is(
    tmp_path: Path, make: Callable[[Path], None], message: str
) -> None:
    path = tmp_path / "street.db"
    make(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(HushmeterError, match=message):
        Store(path)
    assert before is None or path.read_bytes() == before


def test_a_store_whose_folder_is_not_there_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(HushmeterError, match="unable to open database file"):
        Store(tmp_path / "absent" / "street.db")


def test_tables_that_went_away_are_one_clear_error(tmp_path: Path) -> None:
    aggregator = KIT.aggregator(tmp_path / "street.db")
    aggregator.open(1)
    aggregator._store._db.execute("DROP TABLE messages")
    with pytest.raises(HushmeterError, match="no such table: messages"):
        aggregator.accept([KIT.meters[10].report(1, [CAP_WH])])
    with pytest.raises(HushmeterError, match="no such table"):
        aggregator.transcript_sha256()
    aggregator._store.close()


def test_two_programs_never_use_one_store(tmp_path: Path) -> None:
    """Each could announce its own S."""
    path = tmp_path / "street.db"
    store = Store(path)
    script = (
        "import sys; from pathlib import Path; from hushmeter.cluster.store import Store\n"
        "from hushmeter.errors import HushmeterError\n"
        "try: Store(Path(sys.argv[1]))\n"
        "except HushmeterError as error: print(error.message, error.hint)\n"
        "else: print('opened')\n"
    )
    command = [sys.executable, "-c", script, str(path)]
    environment = {"PYTHONPATH": ":".join(sys.path)}

    def other() -> str:
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=60, check=True
        ).stdout

    assert "locked" in (said := other()) and "another program uses it" in said
    store.close()
    assert other().strip() == "opened"
