"""Wherever the aggregator's machine loses its power, what was told holds, and the street goes on.

A play of two epochs is recorded on a disk that tells what it does (`disk`); then the disk is put
into each state that a crash at any of its writes, truncations, deletions and syncs may leave, and
opened by SQLite as it comes with Python. What a process killed at any write leaves is tried too.
HUSHMETER_MORE=1 tears writes at many more places, takes more orders, and goes on from more states.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from hushmeter.cluster.store import Store
from hushmeter.errors import HushmeterError
from tests.cluster import crash_play
from tests.cluster.disk import Delete, Record, Told, Truncate, Write, recording, states, unsynced

MORE = bool(os.environ.get("HUSHMETER_MORE"))
SEED = 5
SAMPLES = 256 if MORE else 4
TEARS = 100 if MORE else 1
GO_ON_EVERY = 3 if MORE else 12


def played(folder: Path, replaced: Mapping[str, str] | None = None) -> Record:
    """The play, recorded without a crash."""
    with recording(Record(), replaced=replaced or {}) as record:
        crash_play.run(folder / "street.db", record.tell)
    return record


def told_until(record: Record, place: int) -> list[Any]:
    return [event.what for event in record.events[:place] if isinstance(event, Told)]


def crashed(
    record: Record, folder: Path, samples: int, tears: int
) -> Iterator[tuple[str, list[Any], Path]]:
    """(kind, what was told, the store's file) of every state, one after the other in a folder."""
    folder.mkdir()
    for state in states(record.events, SEED, samples, tears):
        state.write(folder)
        yield state.kind, told_until(record, state.place), folder / "street.db"


@unsynced()
def faults_of(path: Path, told: list[Any], go_on: bool) -> list[str]:
    """What is wrong with a store after a crash, and with what is told from there on."""
    wrong: list[str] = []
    try:
        wrong += crash_play.broken_promises(path, told)
        if go_on:
            later = list(told)
            crash_play.run(path, later.append, all_there=True)
            wrong += crash_play.contradictions(later)
            wrong += crash_play.broken_promises(path, later)
    except (HushmeterError, AssertionError) as error:
        wrong.append(f"stuck: {error}")
    return wrong


def test_the_play_has_every_kind_of_change_in_it(tmp_path: Path) -> None:
    record = played(tmp_path)
    kinds = Counter(type(event) for event in record.events)
    assert kinds[Write] > 100 and kinds[Truncate] and kinds[Delete] > 2
    # The log goes into the database on the way, not only at the end.
    into = [i for i, e in enumerate(record.events) if isinstance(e, Write) and e.file[-3:] == ".db"]
    silent = [
        i for i, e in enumerate(record.events) if isinstance(e, Told) and e.what[0] == "silent"
    ]
    assert sum(silent[0] < place < silent[-1] for place in into) > 5
    states_told = Counter(what[0] for what in told_until(record, len(record.events)))
    assert states_told["total"] == 8 and states_told["silent"] == 6 and states_told["epoch"] == 2


@pytest.mark.timeout(3600)
def test_no_crash_loses_what_was_told_or_makes_a_second_total(
    tmp_path: Path, record_property: Any
) -> None:
    record = played(tmp_path)
    tried: Counter[str] = Counter()
    for kind, told, path in crashed(record, tmp_path / "crashed", SAMPLES, TEARS):
        tried[kind] += 1
        wrong = faults_of(path, told, tried.total() % GO_ON_EVERY == 0)
        assert not wrong, (kind, len(told), wrong)
    record_property("crashes", dict(tried))
    print(f"crashes tried: {dict(tried)}")
    assert tried["prefix"] > 200 and tried["torn"] > 700 and tried["reordered"] > 200
    assert tried["spoilt"] > 100 and tried["reordered and torn"] > 200


@contextmanager
def acknowledged_before_commit(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each transaction is committed when the next one begins."""

    @contextmanager
    def transaction(self: Store) -> Iterator[None]:
        if self._db.in_transaction:
            self._db.execute("COMMIT")
        self._db.execute("BEGIN IMMEDIATE")
        yield

    with monkeypatch.context() as patch:
        patch.setattr(Store, "transaction", transaction)
        yield


def found_at(record: Record, folder: Path, wanted: set[str]) -> set[str]:
    """What was wrong after crashes, by its first word, until all that is wanted was seen."""
    found: set[str] = set()
    some = islice(crashed(record, folder, 4, 0), 0, None, 5)
    for place, (_, told, path) in enumerate(some):
        found |= {fault.split()[0] for fault in faults_of(path, told, place % 3 == 0)}
        if wanted <= found:
            break
    return found & wanted


@pytest.mark.parametrize("level", ["OFF", "NORMAL"])
def test_a_store_that_does_not_wait_for_the_disk_is_found(tmp_path: Path, level: str) -> None:
    """Positive control."""
    lax = {"PRAGMA synchronous=FULL": f"PRAGMA synchronous={level}"}
    wanted = {"kept", "silent", "total"}
    assert found_at(played(tmp_path, lax), tmp_path / "crashed", wanted) == wanted


def test_a_store_that_acknowledges_before_it_commits_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Positive control; S is then told twice, as two."""
    with acknowledged_before_commit(monkeypatch):
        record = played(tmp_path)
    wanted = {"kept", "silent", "total", "two"}
    assert found_at(record, tmp_path / "crashed", wanted) == wanted


def test_a_kill_at_every_change_of_the_files_loses_nothing(
    tmp_path: Path, record_property: Any
) -> None:
    """By SIGKILL in the middle of each write, and before each truncation and deletion.

    HUSHMETER_MORE=1: before each write too.
    """
    changes = played(tmp_path).changes
    numbers = list(range(2 * changes))[:: 1 if MORE else 2]
    folder = tmp_path / "killed"
    folder.mkdir()
    result = subprocess.run(
        [sys.executable, "-m", "tests.cluster.crash_play", str(folder), *map(str, numbers)],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
    )
    lives = [json.loads(line) for line in result.stdout.splitlines()]
    assert [life["change"] for life in lives] == numbers
    for life in lives:
        assert os.WIFSIGNALED(life["status"]), life["change"]
        path = folder / str(life["change"]) / "street.db"
        wrong = faults_of(path, life["told"], MORE or life["change"] % 8 == 0)
        assert not wrong, (life["change"], wrong)
    record_property("kills", len(lives))
