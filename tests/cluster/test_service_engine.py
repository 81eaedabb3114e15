"""A worker without its broker: commits that fail, streets that change hands between shards."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hushmeter.cluster.service import store_sqlite
from hushmeter.cluster.service.conversations import Outgoing
from hushmeter.cluster.service.engine import Engine, EngineSettings
from hushmeter.cluster.service.folders import write_street
from hushmeter.cluster.service.metrics import Metrics
from hushmeter.cluster.service.simulated import LoadPlan, SimulatedStreet
from hushmeter.cluster.service.stores import open_stores, shard_of
from hushmeter.cluster.service.street import Incoming, ServedStreet
from hushmeter.errors import HushmeterError

LEASE_S = 0.5
NAME = "elm row"


def street(folder: Path) -> SimulatedStreet:
    """A street whose first slot of a second ended just now."""
    plan = LoadPlan(NAME, 8, int(time.time()) - 1, 3600, 1, 4, 0.0, expiry_s=60)
    write_street(folder / "streets" / "elm", plan.roster(), plan.secret("supplier"))
    return SimulatedStreet(plan, plan.roster())


def engine(folder: Path, shard: int = 0, shards: int = 1, name: str = "a") -> Engine:
    return Engine(
        EngineSettings(
            streets=folder / "streets",
            store=str(folder / "store"),
            shard=shard,
            shards=shards,
            owner=name,
            lease_s=LEASE_S,
            grace_s=30.0,
        ),
        Metrics(),
    )


def incoming(meter_id: int, data: bytes) -> Incoming:
    return Incoming(NAME, meter_id, data, time.monotonic())


def talk(one: Engine, meters: SimulatedStreet, out: dict[str, list[Outgoing]]) -> None:
    """Let the meters reply until nobody says anything more."""
    while any(out.values()):
        sent = [frame for frames in out.values() for frame in frames]
        out = one.step([incoming(f.meter_id, meters.reply(f.meter_id, f.data)[0]) for f in sent])


def until(found: Callable[[], bool], *engines: Engine, within_s: float = 10.0) -> None:
    """Let the engines look at their leases until something holds."""
    end_s = time.monotonic() + within_s
    while not found():
        assert time.monotonic() < end_s
        for one in engines:
            one.step([])
        time.sleep(0.02)


class Odd(Exception):
    """What nobody thought of."""


@pytest.mark.parametrize("error", [HushmeterError("database or disk is full"), Odd()])
def test_what_was_not_committed_is_not_acknowledged_and_comes_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    meters = street(tmp_path)
    one = engine(tmp_path)
    one.step([])
    reports = [incoming(m, data) for m, data in meters.close(1)]

    @contextmanager
    def failing(driver: store_sqlite.SqliteDriver) -> Iterator[None]:
        driver.run("BEGIN IMMEDIATE")
        try:
            yield
            raise error
        finally:
            driver.run("ROLLBACK")

    with monkeypatch.context() as patch:
        patch.setattr(store_sqlite.SqliteDriver, "transaction", failing)
        assert one.step(reports) == {}
        assert one.snapshot()["slots_open"] == 0
    store = open_stores(str(tmp_path / "store"), 1).shard(0)
    assert store.reader(NAME).messages(1, 1) == {}
    talk(one, meters, one.step([]))
    row = next(row for row in store.reader(NAME).slots() if row.slot == 1)
    assert row.totals == [meters.truth(1, bytes(1))]
    assert meters.refusals.count("refused") == 0
    store.close()
    one.close()


def test_a_street_that_cannot_be_served_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meters = street(tmp_path)
    bad = LoadPlan("bad", 8, int(time.time()), 60, 1, 4, 0.0, expiry_s=60)
    write_street(tmp_path / "streets" / "bad", bad.roster(), bad.secret("supplier"))
    begin = ServedStreet.__init__

    def picky(served: ServedStreet, folder: object, *arguments: object) -> None:
        if getattr(folder, "name", "") == "bad":
            raise HushmeterError("the roster does not follow")
        begin(served, folder, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(ServedStreet, "__init__", picky)
    one = engine(tmp_path)
    talk(one, meters, one.step([incoming(m, data) for m, data in meters.close(1)]))
    assert len(meters.acknowledged[1, 2]) == 8
    one.close()


def test_a_workers_streets_go_to_another_shards_worker_and_come_back(tmp_path: Path) -> None:
    street(tmp_path)
    home_shard = shard_of(NAME, 2)
    home = engine(tmp_path, home_shard, 2, "home")
    guest = engine(tmp_path, 1 - home_shard, 2, "guest")
    until(lambda: home.streets == {NAME}, home, guest)
    # The home worker is killed: its lease runs out.
    home.close()
    until(lambda: guest.streets == {NAME}, guest)
    back = engine(tmp_path, home_shard, 2, "home again")
    until(lambda: back.streets == {NAME}, back, guest)
    assert guest.streets == frozenset()
    # A clean stop needs no lease to run out.
    back.release()
    began_s = time.monotonic()
    until(lambda: guest.streets == {NAME}, guest)
    assert time.monotonic() - began_s < 4 * LEASE_S
    guest.close()
    back.close()


def test_a_worker_that_was_suspended_finds_its_streets_gone(tmp_path: Path) -> None:
    meters = street(tmp_path)
    slow, quick = engine(tmp_path, name="slow"), engine(tmp_path, name="quick")
    slow.step([])
    assert slow.streets == {NAME}
    until(lambda: quick.streets == {NAME}, quick)
    # It believes in its lease until it looks; the transaction does not.
    slow._next_lease_s = time.monotonic() + 60
    assert slow.step([incoming(m, data) for m, data in meters.close(1)]) == {}
    assert slow.streets == frozenset()
    assert slow._metrics.snapshot()["leases_lost"] == 1
    slow.close()
    quick.close()
