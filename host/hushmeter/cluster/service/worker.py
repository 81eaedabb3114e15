"""A worker: an engine behind a broker.

Messages that arrive while a batch is being committed are the next batch, so the load itself sets
its size: one message when there is little to do, thousands when there is much. The engine runs in
one thread of its own; meanwhile the event loop reads on.
"""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import ssl
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hushmeter.cluster.service.bus import Bus
from hushmeter.cluster.service.conversations import Outgoing
from hushmeter.cluster.service.engine import Engine, EngineSettings
from hushmeter.cluster.service.metrics import Metrics
from hushmeter.cluster.service.street import Incoming
from hushmeter.link.broker import Broker
from hushmeter.outputs import write_whole

log = logging.getLogger("hushmeter.aggregate")

PREFIX = "hush1"

_MOST_IN_BATCH = 5000
_MOST_PENDING = 200_000
_IDLE_S = 0.05
_METRICS_S = 1.0


@dataclass(frozen=True)
class WorkerSettings:
    """An engine's settings and what is around it.

    Attributes
    ----------
    context:
        What certificates the broker may show; None without TLS.
    metrics_file:
        JSON, replaced every second; None for none.
    metrics_port:
        Of an HTTP server on 127.0.0.1 that gives the same under /metrics; None for none.
    """

    engine: EngineSettings
    broker: Broker
    context: ssl.SSLContext | None = None
    metrics_file: Path | None = None
    metrics_port: int | None = None


class Worker:
    """Runs until :meth:`stop` or a signal."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._metrics = Metrics()
        self._engine = Engine(settings.engine, self._metrics)
        self._thread = ThreadPoolExecutor(1, "engine")
        self._pending: list[Incoming] = []
        self._news: list[tuple[str, int, bool]] = []
        self._wake = asyncio.Event()
        self._stopping = False
        self._subscribed: frozenset[str] = frozenset()
        self._is_back = False
        self._bus = Bus(
            settings.broker,
            settings.engine.owner,
            self._receive,
            self._connected,
            settings.context,
        )

    def snapshot(self) -> dict[str, Any]:
        """All metrics, with stable keys."""
        return {
            **self._metrics.snapshot(),
            **self._engine.snapshot(),
            "broker_connected": self._bus.is_connected,
            "broker_reconnects": self._bus.reconnects,
            "unsent": self._bus.unsent,
        }

    def stop(self) -> None:
        """Finish the batch, hand the streets over, and return from :meth:`run`."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Serve.

        Raises
        ------
        HushmeterError
            The broker is not there at the start; later it is waited for.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        await self._bus.start()
        helpers = [asyncio.create_task(helper()) for helper in self._helpers()]
        log.info("worker begins", extra={"owner": self._settings.engine.owner})
        try:
            while not self._stopping:
                await self._turn()
            await loop.run_in_executor(self._thread, self._engine.release)
        finally:
            for helper in helpers:
                helper.cancel()
            await self._bus.stop()
            self._write_metrics()
            self._thread.shutdown()
            self._engine.close()
        log.info("worker ends", extra={"owner": self._settings.engine.owner})

    def _helpers(self) -> list[Callable[[], Coroutine[Any, Any, None]]]:
        helpers: list[Callable[[], Coroutine[Any, Any, None]]] = []
        if self._settings.metrics_file is not None:
            helpers.append(self._keep_metrics)
        if self._settings.metrics_port is not None:
            helpers.append(self._serve_metrics)
        return helpers

    async def _turn(self) -> None:
        """One batch, or a look at the clock when nothing comes."""
        if not self._pending:
            with suppress(TimeoutError):
                async with asyncio.timeout(_IDLE_S):
                    await self._wake.wait()
        self._wake.clear()
        batch, self._pending = (
            self._pending[:_MOST_IN_BATCH],
            self._pending[_MOST_IN_BATCH:],
        )
        news, self._news = self._news, []
        loop = asyncio.get_running_loop()
        outgoing = await loop.run_in_executor(self._thread, self._step, batch, news)
        self._follow_streets()
        for street, frames in outgoing.items():
            self._publish(street, frames)

    def _connected(self) -> None:
        self._is_back = True

    def _step(
        self, batch: list[Incoming], news: list[tuple[str, int, bool]]
    ) -> dict[str, list[Outgoing]]:
        for street, meter_id, alive in news:
            self._engine.heard(street, meter_id, alive)
        if not self._bus.is_connected:
            self._engine.rest()
            return {}
        if self._is_back:
            self._is_back = False
            self._engine.resume()
        return self._engine.step(batch)

    def _follow_streets(self) -> None:
        streets = self._engine.streets
        if streets == self._subscribed:
            return
        self._bus.subscribe(_topics(streets - self._subscribed))
        self._bus.unsubscribe(_topics(self._subscribed - streets))
        self._subscribed = streets

    def _publish(self, street: str, frames: list[Outgoing]) -> None:
        now_s = time.monotonic()
        for one in frames:
            sent = self._bus.publish(f"{PREFIX}/{street}/{one.meter_id}/down", one.data)
            if sent and one.received_s is not None:
                self._metrics.acknowledged(now_s - one.received_s)

    def _receive(self, topic: str, payload: bytes) -> None:
        parts = topic.split("/")
        if len(parts) != 4 or not parts[2].isdecimal() or len(parts[2]) > 10:
            return
        street, meter_id = parts[1], int(parts[2])
        if parts[3] == "alive":
            self._news.append((street, meter_id, payload != b"0"))
        elif len(self._pending) < _MOST_PENDING:
            self._pending.append(Incoming(street, meter_id, payload, time.monotonic()))
            self._wake.set()
        else:
            # Not acknowledged, so asked for again.
            self._metrics.counts["overflowed"] += 1

    async def _keep_metrics(self) -> None:
        while True:
            await asyncio.sleep(_METRICS_S)
            self._write_metrics()

    def _write_metrics(self) -> None:
        if self._settings.metrics_file is not None:
            text = json.dumps(self.snapshot(), indent=2) + "\n"
            write_whole(self._settings.metrics_file, text.encode())

    async def _serve_metrics(self) -> None:
        from hushmeter.cluster.service.http import serve

        assert self._settings.metrics_port is not None
        await serve(self._settings.metrics_port, self.snapshot)


def _topics(streets: frozenset[str]) -> list[str]:
    kinds = ("up", "alive")
    return [f"{PREFIX}/{street}/+/{kind}" for street in sorted(streets) for kind in kinds]
