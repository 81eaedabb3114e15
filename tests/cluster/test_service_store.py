"""Streets share a database, and one street has one writer; on SQLite and PostgreSQL alike."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from hushmeter.cluster.aggregator import ANSWERING, VOID, Aggregator
from hushmeter.cluster.service.sql import Lease, LeaseLost, ShardStore
from hushmeter.cluster.service.stores import open_stores, parse_shard, shard_of
from hushmeter.cluster.store import SlotRow, Store
from hushmeter.errors import HushmeterError
from tests.cluster.street_kit import make_street, run_slot, take

KIT = make_street(5, missing=1)
LONG_MS = 60_000


def opened(url: str) -> ShardStore:
    return open_stores(url, 1).shard(0)


def leased(shard: ShardStore, name: str = "kit", owner: str = "a", ttl_ms: int = LONG_MS) -> Lease:
    lease = shard.acquire(name, owner, ttl_ms, at_home=True)
    assert lease is not None
    return lease


def row(slot: int) -> SlotRow:
    return SlotRow(slot, 1, "open", None, False, "", None)


def test_two_workers_never_hold_one_street(store_url: str) -> None:
    first, second = opened(store_url), opened(store_url)
    assert leased(first).term == 1
    assert second.acquire("kit", "b", LONG_MS, at_home=True) is None
    assert first.acquire("kit", "a", LONG_MS, at_home=True) is None
    assert second.acquire("other", "b", LONG_MS, at_home=True) is not None
    assert first.holders() == {"kit": "a", "other": "b"}
    first.close()
    second.close()


def test_a_worker_whose_lease_ran_out_commits_nothing_once_another_serves(store_url: str) -> None:
    slow, quick = opened(store_url), opened(store_url)
    late = slow.street(leased(slow, ttl_ms=20))
    with late.transaction():
        late.put_slot(row(1))
    time.sleep(0.05)
    lease = leased(quick, owner="b")
    assert lease.term == 2
    street = quick.street(lease)
    assert [one.slot for one in street.slots()] == [1]
    with pytest.raises(LeaseLost), late.transaction():
        late.put_slot(row(2))
    assert slow.renew("a", LONG_MS) == {}
    slow.release(late.lease)
    with street.transaction():
        street.put_slot(row(3))
    assert [one.slot for one in street.slots()] == [1, 3]
    slow.close()
    quick.close()


def test_an_aggregator_that_lost_its_street_announces_no_second_set(store_url: str) -> None:
    slow, quick = opened(store_url), opened(store_url)
    late = Aggregator(slow.street(leased(slow, ttl_ms=20)), KIT.supplier, KIT.roster)
    late.open(1)
    take(late, KIT.reports(1, {m: [m] for m in KIT.ids()[:4]}))
    time.sleep(0.05)
    taken = Aggregator(quick.street(leased(quick, owner="b")), KIT.supplier, KIT.roster)
    take(taken, KIT.reports(1, {KIT.ids()[4]: [KIT.ids()[4]]}))
    announced = taken.announce(1)
    with pytest.raises(LeaseLost):
        late.announce(1)
    assert late.slots[1].silent is None
    assert taken.announce(1) == announced
    slow.close()
    quick.close()


def test_a_released_street_is_taken_at_once_and_kept_for_its_own_shard(store_url: str) -> None:
    home, guest = opened(store_url), opened(store_url)
    lease = guest.acquire("kit", "guest", LONG_MS, at_home=False)
    assert lease is not None
    assert home.acquire("kit", "home", LONG_MS, at_home=True) is None
    home.want("kit", "home")
    assert guest.renew("guest", LONG_MS) == {"kit": (1, "home")}
    guest.release(lease)
    time.sleep(0.005)
    assert guest.acquire("kit", "guest", LONG_MS, at_home=False) is None
    assert leased(home, owner="home").term == 2
    home.close()
    guest.close()


def test_what_a_group_did_not_commit_is_not_there(store_url: str) -> None:
    shard = opened(store_url)
    streets = [shard.street(leased(shard, name)) for name in ("one", "two")]
    with pytest.raises(ValueError), shard.group():
        for street in streets:
            with street.transaction():
                street.put_slot(row(1))
        raise ValueError
    assert [street.slots() for street in streets] == [[], []]
    with shard.group():
        with streets[0].transaction():
            streets[0].put_slot(row(1))
        with pytest.raises(ValueError), streets[1].transaction():
            streets[1].put_slot(row(1))
            raise ValueError
    assert [len(street.slots()) for street in streets] == [1, 0]
    shard.close()


def test_a_lost_lease_leaves_the_other_streets_of_the_commit_alone(store_url: str) -> None:
    shard, other = opened(store_url), opened(store_url)
    lost = shard.street(leased(shard, "lost", ttl_ms=1))
    kept = shard.street(leased(shard, "kept"))
    time.sleep(0.02)
    leased(other, "lost", owner="b")
    with shard.group():
        with kept.transaction():
            kept.put_slot(row(1))
        with pytest.raises(LeaseLost), lost.transaction():
            lost.put_slot(row(1))
    assert (len(kept.slots()), len(lost.slots())) == (1, 0)
    shard.close()
    other.close()


def test_a_street_is_the_same_on_every_store(store_url: str, tmp_path: Path) -> None:
    plain = Store(tmp_path / "street.db")
    shard = opened(store_url)
    street = shard.street(leased(shard))
    found = []
    for store in (plain, street):
        kit = make_street(5, missing=1)
        aggregator = Aggregator(store, kit.supplier, kit.roster)
        for slot in (1, 2):
            run_slot(aggregator, kit, slot, {m: [m] for m in kit.ids()[: 6 - slot]})
        aggregator.open(3)
        take(aggregator, kit.reports(3, {m: [m] for m in kit.ids()}))
        aggregator.announce(3)
        aggregator.close(3)
        found.append((store.slots(), store.last_epoch(), aggregator.transcript_sha256()))
    assert found[0] == found[1]
    assert [one.state for one in found[0][0]] == ["done", "done", VOID]
    again = Aggregator(shard.street(street.lease), KIT.supplier)
    assert again.transcript_sha256() == found[0][2]
    assert again.slots[3].unanswered() == KIT.ids()
    plain.close()
    shard.close()


def test_an_announced_set_outlives_the_worker(store_url: str) -> None:
    shard, next_shard = opened(store_url), opened(store_url)
    lease = leased(shard)
    aggregator = Aggregator(shard.street(lease), KIT.supplier, KIT.roster)
    aggregator.open(1)
    take(aggregator, KIT.reports(1, {m: [m] for m in KIT.ids()[:4]}))
    announced = aggregator.announce(1)
    shard.release(lease)
    shard.close()
    time.sleep(0.005)
    taken = Aggregator(next_shard.street(leased(next_shard, owner="b")), KIT.supplier)
    assert taken.slots[1].state == ANSWERING
    assert taken.announce(1) == announced
    next_shard.close()


def test_shards_of_sqlite_keep_their_number(tmp_path: Path) -> None:
    open_stores(str(tmp_path), 2).shard(1).close()
    assert [path.name for path in tmp_path.glob("*.db")] == ["shard-1-of-2.db"]
    with pytest.raises(HushmeterError, match="made for 2 shards, not 3"):
        open_stores(f"sqlite://{tmp_path}", 3)


@pytest.mark.parametrize(
    "url",
    ["", "mysql://host/db", "sqlite://host/path", "sqlite:///", "sqlite:", "http://x"],
)
def test_an_address_of_no_store_is_refused_in_one_line(url: str) -> None:
    with pytest.raises(HushmeterError) as caught:
        open_stores(url, 1)
    assert "\n" not in caught.value.message


def test_a_password_is_in_no_error() -> None:
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    for url in (
        "postgresql://hush:s3cret@127.0.0.1:1/none",
        "postgresql://hush:s3cret@127.0.0.1:1/none?colour=red",
    ):
        with pytest.raises(HushmeterError, match="PostgreSQL") as caught:
            open_stores(url, 1).shard(0)
        assert "s3cret" not in f"{caught.value.message} {caught.value.hint}"
        assert "\n" not in caught.value.message


@pytest.mark.parametrize("text", ["3/2", "2/2", "-1/2", "1", "a/b", "1/0", "0/", "", "0/1/2"])
def test_a_shard_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(HushmeterError, match="i/n"):
        parse_shard(text)


def test_every_street_has_one_shard_and_shards_fill_evenly() -> None:
    assert parse_shard("1/4") == (1, 4)
    counts = [0] * 4
    for number in range(4000):
        counts[shard_of(f"street {number}", 4)] += 1
    assert all(900 < count < 1100 for count in counts)
