"""Shards in SQLite: one file a shard, in one folder, on the machine of its workers.

Write-ahead log, full synchronisation: a commit survives a crash of the machine. Workers of one
machine may share the folder; for workers of several machines there is PostgreSQL, because SQLite's
locks do not work across a network.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hushmeter.cluster.service import sql
from hushmeter.errors import HushmeterError

_BUSY_S = 10.0
_NAME = re.compile(r"shard-(\d+)-of-(\d+)\.db")


class SqliteDriver:
    """A connection to one shard's file; made if it is not there."""

    now_ms = "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"
    locking = ""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._guarded():
            # The worker opens its stores in one thread and uses them in another, never in both.
            self._db = sqlite3.connect(
                path, isolation_level=None, timeout=_BUSY_S, check_same_thread=False
            )
        try:
            with self._guarded():
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.execute("PRAGMA synchronous=FULL")
            with self.transaction():
                (tables,) = self.run("SELECT COUNT(*) FROM sqlite_master")[0]
                serial = "INTEGER PRIMARY KEY"
                sql.prepare(self, "BLOB", serial, "WITHOUT ROWID", bool(tables))
        except HushmeterError:
            self._db.close()
            raise

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise HushmeterError(
                f"the store {self._path} failed: {error}",
                hint="check the free space and the permissions of its folder",
            ) from error

    def run(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        with self._guarded():
            return self._db.execute(statement, values).fetchall()

    def run_many(self, statement: str, rows: Sequence[Sequence[object]]) -> None:
        with self._guarded():
            self._db.executemany(statement, rows)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self.run("BEGIN IMMEDIATE")
        try:
            yield
            self.run("COMMIT")
        except BaseException:
            # After some faults, a full disk among them, SQLite has rolled back by itself.
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        self.run("SAVEPOINT street")
        try:
            yield
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK TO street")
                self._db.execute("RELEASE street")
            raise
        self.run("RELEASE street")

    def close(self) -> None:
        self._db.close()


class SqliteStores:
    """The folder of all shards.

    Raises
    ------
    HushmeterError
        The folder cannot be written, or it was made for another number of shards.
    """

    def __init__(self, folder: Path, shards: int) -> None:
        self._folder, self._shards = folder, shards
        try:
            folder.mkdir(parents=True, exist_ok=True)
            names = [path.name for path in folder.iterdir()]
        except OSError as error:
            raise HushmeterError(
                f"the store {folder} cannot be used: {error.strerror}",
                hint="name a folder that can be written, or a postgresql:// address",
            ) from error
        found = {int(match[2]) for match in map(_NAME.fullmatch, names) if match}
        if found - {shards}:
            raise HushmeterError(
                f"the store {folder} was made for {min(found - {shards})} shards, not {shards}",
                hint="keep the number of shards; in PostgreSQL it may change",
            )

    def shard(self, number: int) -> sql.ShardStore:
        path = self._folder / f"shard-{number}-of-{self._shards}.db"
        return sql.ShardStore(SqliteDriver(path))
