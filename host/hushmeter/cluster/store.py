"""The aggregator's durable store: every accepted message and every slot's state, in SQLite.

A message is committed before it is acknowledged, and S before it is announced, so whoever kills
the aggregator at any point and starts it again finds all that a meter was told. Write-ahead log,
full synchronisation: a commit survives a crash of the machine as well. The file is locked as long
as it is open: two aggregators on one store could announce two different S.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from hushmeter.errors import HushmeterError

_SCHEMA_VERSION = 1

_SCHEMA = """
CREATE TABLE epochs (epoch INTEGER PRIMARY KEY, roster BLOB NOT NULL);
CREATE TABLE slots (
    slot INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, state TEXT NOT NULL,
    silent BLOB, late INTEGER NOT NULL DEFAULT 0, reason TEXT NOT NULL DEFAULT '', totals TEXT
);
CREATE TABLE messages (
    slot INTEGER NOT NULL, round INTEGER NOT NULL, meter_id INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (slot, round, meter_id)
) WITHOUT ROWID;
"""


class SlotRow(NamedTuple):
    """One slot as stored: totals are the lanes' sums in lane units, None before they are known."""

    slot: int
    epoch: int
    state: str
    silent: bytes | None
    late: bool
    reason: str
    totals: list[int] | None


class StreetStore(Protocol):
    """What an aggregator asks of the place where its street is kept.

    Every method raises HushmeterError where the database fails.
    """

    def transaction(self) -> AbstractContextManager[None]:
        """All writes inside are kept together or not at all."""

    def put_epoch(self, epoch: int, roster: bytes) -> None: ...

    def last_epoch(self) -> tuple[int, bytes] | None:
        """The newest epoch and its roster's bytes."""

    def put_slot(self, row: SlotRow) -> None: ...

    def slots(self) -> list[SlotRow]:
        """Every slot of every epoch, in order."""

    def put_messages(self, rows: Iterable[tuple[int, int, int, bytes]]) -> None:
        """Rows are slot, round, meter id, body."""

    def messages(self, slot: int, turn: int) -> dict[int, bytes]:
        """Bodies of one slot and round by meter id."""

    def message(self, slot: int, turn: int, meter_id: int) -> bytes | None:
        """The body of one meter's message, if it was kept."""

    def all_bodies(self) -> Iterator[bytes]:
        """Every accepted message in order of slot, round and meter."""


class Store:
    """Tables of one street.

    Parameters
    ----------
    path:
        The database file; made if it is not there.

    Raises
    ------
    HushmeterError
        The file is no store, of a newer version, or in use. Every method raises it where the
        database fails, for instance because the disk is full.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._guarded():
            # A cut that spoils the sector it falls into must not reach what was committed before:
            # without this, SQLite takes it that a disk never does that, and shares sectors.
            address = f"{path.absolute().as_uri()}?psow=0"
            self._db = sqlite3.connect(address, uri=True, isolation_level=None, timeout=2)
        try:
            with self._guarded():
                self._db.execute("PRAGMA locking_mode=EXCLUSIVE")
                fresh = self._is_fresh()
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.execute("PRAGMA synchronous=FULL")
                if fresh:
                    version = f"PRAGMA user_version={_SCHEMA_VERSION};"
                    self._db.executescript(f"BEGIN;{_SCHEMA}{version}COMMIT;")
        except HushmeterError:
            self._db.close()
            raise

    def _is_fresh(self) -> bool:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        (tables,) = self._db.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
        if tables and version != _SCHEMA_VERSION:
            raise HushmeterError(
                f"{self._path} has store version {version}, this program reads {_SCHEMA_VERSION}"
                if version
                else f"{self._path} is a database of another program",
                hint="use the release that wrote it, or another --out folder",
            )
        return not tables

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Every fault of the database as a HushmeterError."""
        try:
            yield
        except sqlite3.Error as error:
            locked = "locked" in str(error)
            raise HushmeterError(
                f"the store {self._path} failed: {error}",
                hint="another program uses it; stop that one first"
                if locked
                else "check the free space and the permissions of its folder",
            ) from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All writes inside are kept together or not at all."""
        with self._guarded():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                # After some faults, a full disk among them, SQLite has rolled back by itself.
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _read(self, query: str, *values: int) -> list[Any]:
        with self._guarded():
            return self._db.execute(query, values).fetchall()

    def put_epoch(self, epoch: int, roster: bytes) -> None:
        self._db.execute("INSERT INTO epochs VALUES (?, ?)", (epoch, roster))

    def last_epoch(self) -> tuple[int, bytes] | None:
        """The newest epoch and its roster's bytes."""
        rows = self._read("SELECT epoch, roster FROM epochs ORDER BY epoch DESC LIMIT 1")
        return (int(rows[0][0]), bytes(rows[0][1])) if rows else None

    def put_slot(self, row: SlotRow) -> None:
        totals = None if row.totals is None else ",".join(map(str, row.totals))
        self._db.execute(
            "INSERT OR REPLACE INTO slots VALUES (?, ?, ?, ?, ?, ?, ?)",
            (row.slot, row.epoch, row.state, row.silent, row.late, row.reason, totals),
        )

    def slots(self) -> list[SlotRow]:
        """Every slot of every epoch, in order."""
        rows = self._read(
            "SELECT slot, epoch, state, silent, late, reason, totals FROM slots ORDER BY slot"
        )
        return [
            SlotRow(slot, epoch, state, silent, bool(late), reason, _integers(totals))
            for slot, epoch, state, silent, late, reason, totals in rows
        ]

    def put_messages(self, rows: Iterable[tuple[int, int, int, bytes]]) -> None:
        """Rows are slot, round, meter id, body."""
        self._db.executemany("INSERT INTO messages VALUES (?, ?, ?, ?)", rows)

    def messages(self, slot: int, turn: int) -> dict[int, bytes]:
        """Bodies of one slot and round by meter id."""
        query = "SELECT meter_id, body FROM messages WHERE slot = ? AND round = ? ORDER BY meter_id"
        return dict(self._read(query, slot, turn))

    def message(self, slot: int, turn: int, meter_id: int) -> bytes | None:
        """The body of one meter's message, if it was kept."""
        query = "SELECT body FROM messages WHERE slot = ? AND round = ? AND meter_id = ?"
        rows = self._read(query, slot, turn, meter_id)
        return bytes(rows[0][0]) if rows else None

    def all_bodies(self) -> Iterator[bytes]:
        """Every accepted message in order of slot, round and meter."""
        query = "SELECT body FROM messages ORDER BY slot, round, meter_id"
        with self._guarded():
            for (body,) in self._db.execute(query):
                yield body

    def close(self) -> None:
        self._db.close()


def _integers(text: str | None) -> list[int] | None:
    return None if text is None else [int(part) for part in text.split(",")]
