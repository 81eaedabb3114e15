"""Many streets in one SQL database, each served by one worker at a time.

A worker holds a lease on each street that it serves: an owner, a term that grows whenever the
owner changes, and a time at which it runs out. Every transaction of a street first looks for its
lease with this owner and this term, in the same transaction. So a worker that was stopped for
longer than its lease and goes on as if nothing had happened commits nothing: its term is over.

The time at which a lease runs out is the database's own, whatever the workers' clocks say.

Streets that change at the same moment share one commit::

    with shard.group():
        first_aggregator.accept(...)
        second_aggregator.accept(...)

The same statements run on SQLite and PostgreSQL; what differs is in a `Driver`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from hushmeter.cluster.store import SlotRow
from hushmeter.errors import HushmeterError

SCHEMA_VERSION = 1

TABLES = (
    "CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE streets (street {serial}, name TEXT NOT NULL UNIQUE)",
    "CREATE TABLE leases (name TEXT PRIMARY KEY, owner TEXT NOT NULL, term BIGINT NOT NULL, "
    "expires_ms BIGINT NOT NULL, wanted TEXT NOT NULL DEFAULT '')",
    "CREATE TABLE epochs (street BIGINT NOT NULL, epoch BIGINT NOT NULL, roster {blob} NOT NULL, "
    "PRIMARY KEY (street, epoch))",
    "CREATE TABLE slots (street BIGINT NOT NULL, slot BIGINT NOT NULL, epoch BIGINT NOT NULL, "
    "state TEXT NOT NULL, silent {blob}, late INTEGER NOT NULL, reason TEXT NOT NULL, totals TEXT, "
    "PRIMARY KEY (street, slot))",
    "CREATE TABLE messages (street BIGINT NOT NULL, slot BIGINT NOT NULL, round SMALLINT NOT NULL, "
    "meter_id BIGINT NOT NULL, body {blob} NOT NULL, "
    "PRIMARY KEY (street, slot, round, meter_id)) {clustered}",
)

_SLOT = "slot, epoch, state, silent, late, reason, totals"
_KEPT_PLACES = 16
"""Slots and rounds of a street whose messages are held in memory."""


class LeaseLost(HushmeterError):
    """Another worker serves this street now, or may; nothing was written."""


@dataclass(frozen=True)
class Lease:
    """The right to serve a street: term is the fencing token."""

    name: str
    owner: str
    term: int


class Driver(Protocol):
    """One connection to a database. Statements have ``?`` for values; every fault that the
    database reports is a HushmeterError without secrets."""

    now_ms: str
    """An SQL expression: the database's unix time in milliseconds."""
    locking: str
    """What makes a SELECT hold its rows until the end of the transaction."""

    def run(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """The rows of one statement, if it gives any."""

    def run_many(self, statement: str, rows: Sequence[Sequence[object]]) -> None: ...

    def transaction(self) -> AbstractContextManager[None]:
        """Commits at its end, or rolls back."""

    def savepoint(self) -> AbstractContextManager[None]:
        """Inside a transaction: on an error only what is inside is undone."""

    def close(self) -> None: ...


class ShardStore:
    """The streets of one database. One thread at a time.

    Every method raises HushmeterError where the database fails.
    """

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._in_group = False
        self._group: AbstractContextManager[None] | None = None
        self._fenced: set[str] = set()

    def close(self) -> None:
        self._driver.close()

    def acquire(self, name: str, owner: str, ttl_ms: int, *, at_home: bool) -> Lease | None:
        """A lease on a street that nobody holds, or None.

        A worker of another shard (`at_home` false) leaves a street that its own worker asked for
        to that one, for the time of a lease.
        """
        now = self._driver.now_ms
        patience = "0" if at_home else f"(CASE leases.wanted WHEN '' THEN 0 ELSE {int(ttl_ms)} END)"
        rows = self._driver.run(
            "INSERT INTO leases (name, owner, term, expires_ms, wanted) "
            f"VALUES (?, ?, 1, {now} + ?, '') ON CONFLICT (name) DO UPDATE SET "
            "owner = excluded.owner, term = leases.term + 1, expires_ms = excluded.expires_ms, "
            f"wanted = '' WHERE leases.expires_ms + {patience} <= {now} RETURNING term",
            (name, owner, ttl_ms),
        )
        return Lease(name, owner, int(rows[0][0])) if rows else None

    def renew(self, owner: str, ttl_ms: int) -> dict[str, tuple[int, str]]:
        """Prolong all leases of an owner: the term of each, and who asked for it (or "")."""
        rows = self._driver.run(
            f"UPDATE leases SET expires_ms = {self._driver.now_ms} + ? WHERE owner = ? "
            "RETURNING name, term, wanted",
            (ttl_ms, owner),
        )
        return {name: (int(term), wanted) for name, term, wanted in rows}

    def want(self, name: str, owner: str) -> None:
        """Ask the worker of another shard that holds this street to hand it over."""
        self._driver.run(
            "UPDATE leases SET wanted = ? WHERE name = ? AND owner <> ? AND wanted <> ?",
            (owner, name, owner, owner),
        )

    def release(self, lease: Lease) -> None:
        """Let another worker have the street at once."""
        self._driver.run(
            f"UPDATE leases SET expires_ms = {self._driver.now_ms} "
            "WHERE name = ? AND owner = ? AND term = ?",
            (lease.name, lease.owner, lease.term),
        )

    def holders(self) -> dict[str, str]:
        """Who serves which street: owners of leases that have not run out."""
        now = self._driver.now_ms
        return dict(self._driver.run(f"SELECT name, owner FROM leases WHERE expires_ms > {now}"))

    def known_streets(self) -> list[str]:
        """The names of all streets that were ever served from here."""
        return [row[0] for row in self._driver.run("SELECT name FROM streets ORDER BY name")]

    def street(self, lease: Lease) -> Street:
        """The tables of one street, for the worker that holds this lease."""
        with self.group():
            with self.fenced(lease):
                self._driver.run(
                    "INSERT INTO streets (name) VALUES (?) ON CONFLICT (name) DO NOTHING",
                    (lease.name,),
                )
            rows = self._driver.run("SELECT street FROM streets WHERE name = ?", (lease.name,))
        return Street(self, self._driver, int(rows[0][0]), lease)

    def reader(self, name: str) -> Street:
        """The tables of one street, to read.

        Raises
        ------
        HushmeterError
            The street was never served from here.
        """
        rows = self._driver.run("SELECT street FROM streets WHERE name = ?", (name,))
        if not rows:
            raise HushmeterError(f"the store holds no street {name}")
        return Street(self, self._driver, int(rows[0][0]), Lease(name, "", 0))

    @contextmanager
    def group(self) -> Iterator[None]:
        """Whatever streets write inside is one commit, at the end; nothing written, no commit."""
        if self._in_group:
            yield
            return
        self._in_group = True
        try:
            yield
        except BaseException as error:
            self._finish(error)
            raise
        else:
            self._finish(None)

    def _finish(self, error: BaseException | None) -> None:
        begun, self._group = self._group, None
        self._in_group = False
        self._fenced.clear()
        if begun is not None:
            begun.__exit__(type(error) if error else None, error, None)

    @contextmanager
    def fenced(self, lease: Lease) -> Iterator[None]:
        """Writes of one street: all or none, and none without its lease.

        Raises
        ------
        LeaseLost
            The lease has another owner or term.
        """
        if not self._in_group:
            with self.group(), self.fenced(lease):
                yield
            return
        if self._group is None:
            begun = self._driver.transaction()
            begun.__enter__()
            self._group = begun
        if lease.name not in self._fenced:
            self._look_for(lease)
        with self._driver.savepoint():
            yield

    def _look_for(self, lease: Lease) -> None:
        held = self._driver.run(
            "SELECT 1 FROM leases WHERE name = ? AND owner = ? AND term = ?" + self._driver.locking,
            (lease.name, lease.owner, lease.term),
        )
        if not held:
            raise LeaseLost(f"the lease of street {lease.name} has another owner or term")
        self._fenced.add(lease.name)


class Street:
    """One street's tables, as an aggregator wants them (:class:`cluster.store.StreetStore`).

    Messages of the latest slots are held in memory too: while the lease holds nobody else writes
    them, so a message is looked up without asking the database. What a commit did not keep must
    not stay there, so whoever sees a transaction fail takes a new Street.
    """

    def __init__(self, shard: ShardStore, driver: Driver, number: int, lease: Lease) -> None:
        self._shard = shard
        self._driver = driver
        self._number = number
        self.lease = lease
        self._held: dict[tuple[int, int], dict[int, bytes]] = {}

    def transaction(self) -> AbstractContextManager[None]:
        return self._shard.fenced(self.lease)

    def put_epoch(self, epoch: int, roster: bytes) -> None:
        self._driver.run("INSERT INTO epochs VALUES (?, ?, ?)", (self._number, epoch, roster))

    def last_epoch(self) -> tuple[int, bytes] | None:
        rows = self._driver.run(
            "SELECT epoch, roster FROM epochs WHERE street = ? ORDER BY epoch DESC LIMIT 1",
            (self._number,),
        )
        return (int(rows[0][0]), bytes(rows[0][1])) if rows else None

    def rosters_after(self, epoch: int) -> list[bytes]:
        """The rosters of later epochs, ascending."""
        rows = self._driver.run(
            "SELECT roster FROM epochs WHERE street = ? AND epoch > ? ORDER BY epoch",
            (self._number, epoch),
        )
        return [bytes(row[0]) for row in rows]

    def put_slot(self, row: SlotRow) -> None:
        totals = None if row.totals is None else ",".join(map(str, row.totals))
        self._driver.run(
            f"INSERT INTO slots (street, {_SLOT}) VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (street, slot) DO UPDATE SET epoch = excluded.epoch, "
            "state = excluded.state, silent = excluded.silent, late = excluded.late, "
            "reason = excluded.reason, totals = excluded.totals",
            (
                self._number,
                row.slot,
                row.epoch,
                row.state,
                row.silent,
                int(row.late),
                row.reason,
                totals,
            ),
        )

    def slots(self) -> list[SlotRow]:
        rows = self._driver.run(
            f"SELECT {_SLOT} FROM slots WHERE street = ? ORDER BY slot", (self._number,)
        )
        return [_slot_row(row) for row in rows]

    def put_messages(self, rows: Iterable[tuple[int, int, int, bytes]]) -> None:
        fresh = list(rows)
        if not fresh:
            return
        for slot, turn, meter_id, body in fresh:
            self._place(slot, turn)[meter_id] = body
        self._driver.run_many(
            "INSERT INTO messages (street, slot, round, meter_id, body) VALUES (?, ?, ?, ?, ?)",
            [(self._number, *row) for row in fresh],
        )

    def _place(self, slot: int, turn: int) -> dict[int, bytes]:
        held = self._held.get((slot, turn))
        if held is None:
            while len(self._held) >= _KEPT_PLACES:
                del self._held[next(iter(self._held))]
            held = self._held[slot, turn] = self._read(slot, turn)
        return held

    def _read(self, slot: int, turn: int) -> dict[int, bytes]:
        rows = self._driver.run(
            "SELECT meter_id, body FROM messages WHERE street = ? AND slot = ? AND round = ? "
            "ORDER BY meter_id",
            (self._number, slot, turn),
        )
        return {int(meter_id): bytes(body) for meter_id, body in rows}

    def drop_messages(self, before_slot: int) -> None:
        """Remove the messages of earlier slots; states and totals stay."""
        with self.transaction():
            self._driver.run(
                "DELETE FROM messages WHERE street = ? AND slot < ?", (self._number, before_slot)
            )
        for place in [place for place in self._held if place[0] < before_slot]:
            del self._held[place]

    def messages(self, slot: int, turn: int) -> dict[int, bytes]:
        return dict(self._place(slot, turn))

    def message(self, slot: int, turn: int, meter_id: int) -> bytes | None:
        return self._place(slot, turn).get(meter_id)

    def all_bodies(self) -> Iterator[bytes]:
        for (slot,) in self._driver.run(
            "SELECT DISTINCT slot FROM messages WHERE street = ? ORDER BY slot", (self._number,)
        ):
            for (body,) in self._driver.run(
                "SELECT body FROM messages WHERE street = ? AND slot = ? ORDER BY round, meter_id",
                (self._number, slot),
            ):
                yield bytes(body)


def _slot_row(row: tuple[Any, ...]) -> SlotRow:
    slot, epoch, state, silent, late, reason, totals = row
    return SlotRow(
        int(slot),
        int(epoch),
        state,
        None if silent is None else bytes(silent),
        bool(late),
        reason,
        None if totals is None else [int(part) for part in totals.split(",")],
    )


def prepare(driver: Driver, blob: str, serial: str, clustered: str, has_tables: bool) -> None:
    """Make the tables in an empty database, or check that those that are there are ours.

    Call it inside a transaction that excludes others.
    """
    if has_tables:
        try:
            rows = driver.run("SELECT value FROM about WHERE name = 'schema'")
        except HushmeterError:
            rows = []
        version = rows[0][0] if rows else "of another program"
        if version != str(SCHEMA_VERSION):
            raise HushmeterError(
                f"the store is {version}, this program reads version {SCHEMA_VERSION}",
                hint="use the release that wrote it, or an empty database",
            )
        return
    for table in TABLES:
        driver.run(table.format(blob=blob, serial=serial, clustered=clustered))
    driver.run("INSERT INTO about VALUES ('schema', ?)", (str(SCHEMA_VERSION),))
