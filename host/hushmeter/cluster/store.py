"""The aggregator's durable store: every accepted message and every slot's state, in SQLite.

A message is committed before it is acknowledged, and S before it is announced, so whoever kills
the aggregator at any point and starts it again finds all that a meter was told. Write-ahead log,
full synchronisation: a commit survives a crash of the machine as well.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

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
CREATE TABLE missed_answers (
    meter_id INTEGER NOT NULL, slot INTEGER NOT NULL, PRIMARY KEY (meter_id, slot)
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


class Store:
    """Tables of one street.

    Parameters
    ----------
    path:
        The database file; made if it is not there.

    Raises
    ------
    HushmeterError
        The file is no store, or of a newer version.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._db = sqlite3.connect(path, isolation_level=None, timeout=10)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._migrate()
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def _migrate(self) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version == 0:
            script = f"BEGIN;{_SCHEMA}PRAGMA user_version={_SCHEMA_VERSION};COMMIT;"
            self._db.executescript(script)
        elif version != _SCHEMA_VERSION:
            raise HushmeterError(
                f"{self._path} has store version {version}, this program reads {_SCHEMA_VERSION}",
                hint="use the release that wrote it, or another --out folder",
            )

    def _failed(self, error: sqlite3.Error) -> HushmeterError:
        return HushmeterError(
            f"the store {self._path} failed: {error}",
            hint="check the free space and the permissions of its folder",
        )

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All writes inside are kept together or not at all."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise self._failed(error) from error

    def put_epoch(self, epoch: int, roster: bytes) -> None:
        self._db.execute("INSERT INTO epochs VALUES (?, ?)", (epoch, roster))

    def last_epoch(self) -> tuple[int, bytes] | None:
        row = self._db.execute("SELECT epoch, roster FROM epochs ORDER BY epoch DESC LIMIT 1")
        found: tuple[int, bytes] | None = row.fetchone()
        return found

    def put_slot(self, row: SlotRow) -> None:
        totals = None if row.totals is None else ",".join(map(str, row.totals))
        self._db.execute(
            "INSERT OR REPLACE INTO slots VALUES (?, ?, ?, ?, ?, ?, ?)",
            (row.slot, row.epoch, row.state, row.silent, row.late, row.reason, totals),
        )

    def slots(self) -> list[SlotRow]:
        rows = self._db.execute(
            "SELECT slot, epoch, state, silent, late, reason, totals FROM slots ORDER BY slot"
        )
        return [
            SlotRow(*row[:4], bool(row[4]), row[5], _integers(row[6])) for row in rows.fetchall()
        ]

    def put_messages(self, rows: Iterable[tuple[int, int, int, bytes]]) -> None:
        """Rows are slot, round, meter id, body."""
        self._db.executemany("INSERT INTO messages VALUES (?, ?, ?, ?)", rows)

    def messages(self, slot: int, turn: int) -> dict[int, bytes]:
        """Bodies of one slot and round by meter id."""
        rows = self._db.execute(
            "SELECT meter_id, body FROM messages WHERE slot = ? AND round = ? ORDER BY meter_id",
            (slot, turn),
        )
        return dict(rows.fetchall())

    def all_bodies(self) -> Iterator[bytes]:
        """Every accepted message in order of slot, round and meter."""
        for (body,) in self._db.execute("SELECT body FROM messages ORDER BY slot, round, meter_id"):
            yield body

    def put_missed_answers(self, slot: int, meters: Iterable[int]) -> None:
        self._db.executemany(
            "INSERT OR IGNORE INTO missed_answers VALUES (?, ?)",
            [(meter_id, slot) for meter_id in meters],
        )

    def missed_answers(self) -> dict[int, int]:
        """In how many slots each meter reported and did not answer in time."""
        rows = self._db.execute("SELECT meter_id, COUNT(*) FROM missed_answers GROUP BY meter_id")
        return dict(rows.fetchall())

    def close(self) -> None:
        self._db.close()


def _integers(text: str | None) -> list[int] | None:
    return None if text is None else [int(part) for part in text.split(",")]
