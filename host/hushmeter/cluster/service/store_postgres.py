"""Shards in PostgreSQL: all in one database, so their number may change at any time.

Commits are synchronous, as the server's default is; a session that finds this switched off is
refused, because an acknowledged message could then be lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hushmeter.cluster.service import sql
from hushmeter.errors import HushmeterError

try:
    import psycopg
except ImportError as error:
    raise HushmeterError(
        "a store in PostgreSQL needs psycopg", hint="pip install 'hushmeter[service]'"
    ) from error

_CONNECT_TIMEOUT_S = 5
_SETTINGS = "-c lock_timeout=10000 -c statement_timeout=60000"
_SETUP_LOCK = 0x68757368
"""An advisory lock, so that workers that start together make the tables once."""


class PostgresDriver:
    """A connection to the database; a lost one is made anew before the next transaction.

    Parameters
    ----------
    url:
        ``postgresql://user:password@host:port/name``; never shown.
    """

    now_ms = "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)"
    locking = " FOR UPDATE"

    def __init__(self, url: str) -> None:
        self._url = url
        self._in_transaction = False
        self._db = self._connected()
        try:
            with self.transaction():
                self.run("SELECT pg_advisory_xact_lock(?)", (_SETUP_LOCK,))
                tables = self.run("SELECT to_regclass('about')")[0][0]
                serial = "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"
                sql.prepare(self, "BYTEA", serial, "", tables is not None)
            if self.run("SHOW synchronous_commit")[0][0] == "off":
                raise HushmeterError(
                    "the database commits asynchronously, so acknowledged messages could be lost",
                    hint="switch synchronous_commit on",
                )
        except HushmeterError:
            self._db.close()
            raise

    def _connected(self) -> psycopg.Connection[tuple[Any, ...]]:
        with self._guarded():
            return psycopg.connect(
                self._url, autocommit=True, connect_timeout=_CONNECT_TIMEOUT_S, options=_SETTINGS
            )

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except psycopg.ProgrammingError as error:
            # Also what an address with a wrong option raises, which may quote the address.
            where = error.sqlstate or "an address that is not understood"
            raise HushmeterError(f"the PostgreSQL store failed: {where}") from None
        except psycopg.Error as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise HushmeterError(
                f"the PostgreSQL store failed: {reason}",
                hint="check that the server runs, and the postgresql:// address",
            ) from None

    def _alive(self) -> psycopg.Connection[tuple[Any, ...]]:
        if self._db.closed or self._db.broken:
            self._db = self._connected()
        return self._db

    def run(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        db = self._db if self._in_transaction else self._alive()
        with self._guarded():
            cursor = db.execute(_marked(statement), values)
            return cursor.fetchall() if cursor.description else []

    def run_many(self, statement: str, rows: Sequence[Sequence[object]]) -> None:
        with self._guarded(), self._db.cursor() as cursor:
            cursor.executemany(_marked(statement), rows)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        db = self._alive()
        self._in_transaction = True
        try:
            with self._guarded(), db.transaction():
                yield
        finally:
            self._in_transaction = False

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        with self._guarded(), self._db.transaction():
            yield

    def close(self) -> None:
        self._db.close()


def _marked(statement: str) -> str:
    """psycopg's own marks for values."""
    return statement.replace("?", "%s")


class PostgresStores:
    """One database for all shards."""

    def __init__(self, url: str) -> None:
        self._url = url

    def shard(self, number: int) -> sql.ShardStore:
        return sql.ShardStore(PostgresDriver(self._url))
