"""A process of the load test that plays the meters of some streets.

All meters of a street share one MQTT connection here, so that a thousand of them fit into a process
or two; topics and messages are those of meters with a connection each. What differs is the broker's
work: it keeps fewer sockets, and no time is lost in handshakes.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from hushfw.core import messages
from hushmeter.cluster.aggregator import COMPLETED, DONE, VOID
from hushmeter.cluster.service.bus import Bus
from hushmeter.cluster.service.metrics import cpu_s
from hushmeter.cluster.service.simulated import LoadPlan, SimulatedStreet
from hushmeter.cluster.service.stores import open_stores, shard_of
from hushmeter.errors import HushmeterError
from hushmeter.link.broker import Broker

_SPREAD = 0.5
"""Part of the report window over which a street's reports leave."""

_TICK_S = 0.005
_QUIET_S = 0.1


@dataclass
class Played:
    """What came of one street; times are unix seconds.

    Attributes
    ----------
    acknowledgements:
        (slot, round, meter, when the message first left, when it was acknowledged).
    """

    street: str
    sent: int = 0
    acknowledgements: list[tuple[int, int, int, float, float]] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)


class _Player:
    """One street's meters over one connection."""

    def __init__(self, street: SimulatedStreet, broker: Broker) -> None:
        self._street = street
        self._plan = street.plan
        self.played = Played(street.plan.street)
        self._sent_s: dict[tuple[int, int, int], float] = {}
        self._acknowledged: set[tuple[int, int, int]] = set()
        self._bus = Bus(
            broker, f"load-{street.plan.street}-{os.getpid()}", self._receive, self._hello
        )

    async def run(self, until_s: float) -> None:
        """Every slot, and then the time until all is acknowledged or `until_s`."""
        self._bus.subscribe([f"hush1/{self._plan.street}/+/down"])
        await self._bus.start()
        for number in range(1, self._plan.slots + 1):
            end_s = self._plan.start_s + number * self._plan.slot_s
            await asyncio.sleep(max(0.0, end_s - time.time()))
            await self._report(number, end_s)
        while time.time() < until_s and not self._street.is_settled():
            await asyncio.sleep(_QUIET_S)
        await self._bus.stop()

    async def _report(self, number: int, end_s: float) -> None:
        frames = self._street.close(number)
        spread_s = _SPREAD * self._plan.slot_s
        for place, (meter_id, data) in enumerate(frames):
            due_s = end_s + spread_s * place / len(frames)
            while time.time() < due_s:
                await asyncio.sleep(_TICK_S)
            self._sent(number, messages.REPORT_ROUND, meter_id)
            self._publish(meter_id, data)

    def _sent(self, number: int, turn: int, meter_id: int) -> None:
        if (number, turn, meter_id) not in self._sent_s:
            self._sent_s[number, turn, meter_id] = time.time()
            self.played.sent += 1

    def _hello(self) -> None:
        for meter_id in range(1, self._plan.meters + 1):
            self._publish(meter_id, self._street.hello(meter_id))

    def _publish(self, meter_id: int, data: bytes) -> None:
        self._bus.publish(f"hush1/{self._plan.street}/{meter_id}/up", data)

    def _receive(self, topic: str, payload: bytes) -> None:
        meter_id = int(topic.split("/")[2])
        out, stored = self._street.reply(meter_id, payload)
        now_s = time.time()
        for number, turn in stored:
            place = (number, turn, meter_id)
            if place not in self._acknowledged:
                self._acknowledged.add(place)
                self.played.acknowledgements.append((*place, self._sent_s[place], now_s))
        for number in self._street.answered():
            self._sent(number, messages.ANSWER_ROUND, meter_id)
        self._publish(meter_id, out)
        self.played.refusals = self._street.refusals


@dataclass
class Verified:
    """What the store holds of one street, against what its meters know."""

    street: str
    done: int = 0
    void: int = 0
    unfinished: int = 0
    wrong: int = 0
    lost: int = 0


def verify(street: SimulatedStreet, played: Played, url: str, shards: int) -> Verified:
    """Hold every total against the truth, and every acknowledgement against the store."""
    shard = open_stores(url, shards).shard(shard_of(played.street, shards))
    found = Verified(played.street)
    try:
        store = shard.reader(played.street)
        rows = {row.slot: row for row in store.slots()}
        for number in range(1, street.plan.slots + 1):
            row = rows.get(number)
            if row is None or row.state not in (DONE, COMPLETED, VOID):
                found.unfinished += 1
            elif row.state == VOID:
                found.void += 1
            else:
                found.done += 1
                found.wrong += row.totals != [street.truth(number, row.silent or b"")]
        for number, turn, meter_id, _, _ in played.acknowledgements:
            kept = store.message(number, turn, meter_id)
            found.lost += kept != street.body(number, turn, meter_id)
    finally:
        shard.close()
    return found


def main(
    plans: Sequence[LoadPlan],
    broker: Broker,
    url: str,
    shards: int,
    until_s: float,
    pipe: Connection,
) -> None:
    """The process: play, give what came of it, wait for a word, verify, give the verdicts."""
    try:
        streets = [SimulatedStreet(plan, plan.roster()) for plan in plans]
        players = asyncio.run(_play(streets, broker, until_s))
        pipe.send(([player.played for player in players], cpu_s(os.getpid())))
        pipe.recv()
        result: Any = [
            verify(street, player.played, url, shards)
            for street, player in zip(streets, players, strict=True)
        ]
    except HushmeterError as error:
        result = error.message
    pipe.send(result)


async def _play(
    streets: Sequence[SimulatedStreet], broker: Broker, until_s: float
) -> list[_Player]:
    players = [_Player(street, broker) for street in streets]
    await asyncio.gather(*(player.run(until_s) for player in players))
    return players
