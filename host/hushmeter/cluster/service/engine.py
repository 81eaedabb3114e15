"""A worker without its broker: leases, streets and commits.

Messages go in, frames come out; between the two lies one commit a shard. Streets of the worker's
own shard are taken as soon as nobody holds them. Streets of other shards are taken when their
lease has run out or was released, and handed back when a worker of that shard asks.

What a failed commit may have left in memory is not trusted: the streets of that shard are read
from the store again.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hushmeter.cluster.service.conversations import Outgoing
from hushmeter.cluster.service.folders import read_streets
from hushmeter.cluster.service.metrics import Metrics
from hushmeter.cluster.service.sql import Lease, LeaseLost, ShardStore
from hushmeter.cluster.service.stores import open_stores, shard_of
from hushmeter.cluster.service.street import Incoming, ServedStreet
from hushmeter.errors import HushmeterError

log = logging.getLogger("hushmeter.aggregate")

_RETRY_S = 5.0


@dataclass(frozen=True)
class EngineSettings:
    """What a worker serves, and how patiently.

    Attributes
    ----------
    owner:
        A name that no other worker has.
    lease_s:
        How long a street of a worker that died stays unserved, at most; renewed at a third of it.
    reply_timeout_s:
        After which a request to a meter is repeated.
    grace_s:
        How long, after a take-over or an outage of the broker, round one waits for meters that are
        not back yet; it ends sooner when all have reported.
    keep_s:
        How long messages are kept after their slot has expired; None: for ever.
    takes_over:
        Whether streets of other shards are served when nobody does.
    rescan_s:
        How often the streets' folder is looked at for new streets and rosters.
    """

    streets: Path
    store: str
    shard: int
    shards: int
    owner: str
    lease_s: float = 10.0
    reply_timeout_s: float = 15.0
    grace_s: float = 120.0
    keep_s: float | None = None
    takes_over: bool = True
    rescan_s: float = 10.0


class Engine:
    """All streets of one worker. One thread at a time.

    Raises
    ------
    HushmeterError
        The streets or the store cannot be read, now or later.
    """

    def __init__(self, settings: EngineSettings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._folders = read_streets(settings.streets)
        self._stores = open_stores(settings.store, settings.shards)
        self._shards: dict[int, ShardStore] = {}
        self._leases: dict[str, Lease] = {}
        self._served: dict[str, ServedStreet] = {}
        self._alive: dict[str, dict[int, bool]] = defaultdict(dict)
        self._not_before: dict[str, float] = {}
        self._next_lease_s = 0.0
        self._next_scan_s = 0.0
        self._foreign_from_s = time.monotonic() + 2 * settings.lease_s
        self._shard_store(settings.shard)

    @property
    def streets(self) -> frozenset[str]:
        """The streets that are served now."""
        return frozenset(self._leases)

    def _shard_store(self, number: int) -> ShardStore:
        if number not in self._shards:
            self._shards[number] = self._stores.shard(number)
        return self._shards[number]

    def _shard_of(self, name: str) -> int:
        return shard_of(name, self._settings.shards)

    def heard(self, street: str, meter_id: int, alive: bool) -> None:
        """A meter's connection came or went."""
        self._alive[street][meter_id] = alive
        if street in self._served:
            self._served[street].heard(meter_id, alive)

    def rest(self) -> None:
        """Keep the leases while there is no broker; no slot is judged by what cannot arrive."""
        self._keep_leases()

    def resume(self) -> None:
        """The broker is back: open slots are left the time of grace."""
        for served in self._served.values():
            served.resume(time.time())

    def step(self, incoming: Sequence[Incoming]) -> dict[str, list[Outgoing]]:
        """Take messages and do what is due; frames to publish by street.

        Faults of the store are logged and counted, not raised: nothing was acknowledged, and what
        is missing is asked for again.
        """
        began_s = time.monotonic()
        self._keep_leases()
        by_street: dict[str, list[Incoming]] = defaultdict(list)
        for one in incoming:
            by_street[one.street].append(one)
        by_shard: dict[int, list[str]] = defaultdict(list)
        for name in self._leases:
            by_shard[self._shard_of(name)].append(name)
        out: dict[str, list[Outgoing]] = {}
        for number, names in by_shard.items():
            try:
                out.update(self._step_shard(self._shards[number], names, by_street))
            except Exception as error:
                # Also what nobody thought of: one odd message must not stop every worker in turn.
                self._failed(error)
                for name in names:
                    self._served.pop(name, None)
        if incoming:
            self._metrics.took(len(incoming), time.monotonic() - began_s)
        return out

    def _step_shard(
        self, shard: ShardStore, names: Sequence[str], by_street: dict[str, list[Incoming]]
    ) -> dict[str, list[Outgoing]]:
        out = {}
        ready = [name for name in names if name in self._served or self._begin(shard, name)]
        with shard.group():
            for name in ready:
                try:
                    served = self._served[name]
                    came = by_street.get(name, ())
                    out[name] = served.step(came, time.time(), time.monotonic())
                except LeaseLost as error:
                    self._lose(name, error)
        return out

    def _begin(self, shard: ShardStore, name: str) -> bool:
        """Read a street from the store; one that cannot be served is tried again later."""
        if time.monotonic() < self._not_before.get(name, 0.0):
            return False
        settings = self._settings
        began_s = time.perf_counter()
        try:
            store = shard.street(self._leases[name])
            served = ServedStreet(
                self._folders[name],
                store,
                time.time(),
                settings.reply_timeout_s,
                settings.grace_s,
                settings.keep_s,
            )
        except LeaseLost as error:
            self._lose(name, error)
            return False
        except HushmeterError as error:
            self._not_before[name] = time.monotonic() + _RETRY_S
            log.error("street not served", extra={"street": name, "reason": error.message})
            return False
        for meter_id, alive in self._alive[name].items():
            served.heard(meter_id, alive)
        self._served[name] = served
        took_s = round(time.perf_counter() - began_s, 3)
        log.info("street begins", extra={"street": name, "took_s": took_s})
        return True

    def _lose(self, name: str, error: HushmeterError) -> None:
        self._metrics.counts["leases_lost"] += 1
        self._leases.pop(name, None)
        self._served.pop(name, None)
        log.warning("lease lost", extra={"street": name, "reason": error.message})

    def _failed(self, error: Exception) -> None:
        if isinstance(error, HushmeterError):
            self._metrics.counts["store_failures"] += 1
            log.error("store failed", extra={"reason": error.message})
        else:
            self._metrics.counts["faults"] += 1
            log.error("fault", exc_info=error)

    def _keep_leases(self) -> None:
        now_s = time.monotonic()
        if now_s < self._next_lease_s:
            return
        self._next_lease_s = now_s + self._settings.lease_s / 3
        try:
            if now_s >= self._next_scan_s:
                self._next_scan_s = now_s + self._settings.rescan_s
                self._scan()
            for number, shard in list(self._shards.items()):
                self._renew(number, shard)
            self._acquire(now_s)
        except HushmeterError as error:
            self._failed(error)

    def _scan(self) -> None:
        """Look for new streets and rosters; a roster is sent ahead, and used from its first slot.

        One that does not follow the roster in use is left aside until it is replaced.
        """
        try:
            found = read_streets(self._settings.streets)
        except HushmeterError as error:
            log.error("streets not read", extra={"reason": error.message})
            return
        for name, folder in found.items():
            known = self._folders.get(name)
            if known is not None and folder.roster.device.epoch <= known.roster.device.epoch:
                continue
            try:
                if name in self._served:
                    self._served[name].follow(folder.roster)
            except HushmeterError as error:
                log.error("roster not used", extra={"street": name, "reason": error.message})
            else:
                self._folders[name] = folder

    def _renew(self, number: int, shard: ShardStore) -> None:
        settings = self._settings
        held = shard.renew(settings.owner, int(settings.lease_s * 1000))
        for name, lease in list(self._leases.items()):
            if settings.shards > 1 and self._shard_of(name) != number:
                continue
            term, wanted = held.get(name, (0, ""))
            if term != lease.term:
                self._lose(name, LeaseLost("another worker took the street over"))
            elif wanted and number != settings.shard:
                log.info("street handed back", extra={"street": name})
                self._leases.pop(name)
                self._served.pop(name, None)
                shard.release(lease)

    def _acquire(self, now_s: float) -> None:
        settings = self._settings
        for name in self._folders:
            number = self._shard_of(name)
            at_home = number == settings.shard
            if name in self._leases:
                continue
            if not at_home and not (settings.takes_over and now_s >= self._foreign_from_s):
                continue
            shard = self._shard_store(number)
            ttl_ms = int(settings.lease_s * 1000)
            lease = shard.acquire(name, settings.owner, ttl_ms, at_home=at_home)
            if lease is not None:
                self._leases[name] = lease
                log.info("street taken", extra={"street": name, "term": lease.term})
            elif at_home:
                shard.want(name, settings.owner)

    def release(self) -> None:
        """Hand every street over: a clean stop."""
        for name, lease in list(self._leases.items()):
            try:
                self._shards[self._shard_of(name)].release(lease)
            except HushmeterError as error:
                self._failed(error)
            self._leases.pop(name)
        self._served.clear()

    def close(self) -> None:
        for shard in self._shards.values():
            shard.close()

    def snapshot(self) -> dict[str, Any]:
        """Counts over all streets, with stable keys."""
        served = list(self._served.values())
        states: Counter[str] = sum((s.states() for s in served), Counter())
        refused: Counter[str] = sum((s.refused for s in served), Counter())
        return {
            "owner": self._settings.owner,
            "shard": f"{self._settings.shard}/{self._settings.shards}",
            "streets": sorted(self._leases),
            "slots_open": states["open"],
            "slots_answering": states["answering"],
            "slots_done": states["done"] + states["completed"],
            "slots_void": states["void"],
            "refused": sum(refused.values()),
            "refused_by_code": dict(sorted(refused.items())),
            "rosters_refused": sum(s.rosters_refused for s in served),
            "requests_repeated": sum(s.conversations.repeated for s in served),
            "requests_dropped": sum(s.conversations.dropped for s in served),
        }
