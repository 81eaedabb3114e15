"""One serial meter's connection to the broker, kept as a meter with Wi-Fi keeps its own.

The topics, the will, the clean session and the bounded queue are those of
``hushfw.links.mqtt``: behind a broker nobody can tell how a meter is connected. The library is the
one that the aggregator's workers use; what it adds here is one hook, so that a frame stays in the
queue until the broker has acknowledged it.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from hushfw.core import mqtt
from hushfw.core.errors import HushError
from hushmeter.errors import HushmeterError
from hushmeter.link.broker import Broker

try:
    import gmqtt
    from gmqtt.mqtt.constants import MQTTv311
    from gmqtt.storage import PersistentStorage
except ImportError as error:
    raise HushmeterError("MQTT needs gmqtt", hint="pip install 'hushmeter[service]'") from error

MOST_FRAMES = 256
"""Frames that wait for the broker; the oldest are dropped and counted."""

_MOST_IN_FLIGHT = 16
_KEEPALIVE_S = 60
_CONNECT_S = 10.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 60.0


class _Acknowledgements(PersistentStorage):  # type: ignore[misc]
    """Tells which packet a message became, and when the broker has it."""

    def __init__(self, acknowledged: Callable[[int], None]) -> None:
        super().__init__()
        self.last = 0
        self._acknowledged = acknowledged

    def push_message(self, mid: int, raw_package: Any) -> None:
        super().push_message(mid, raw_package)
        self.last = mid

    def remove_message_by_mid(self, mid: int) -> None:
        super().remove_message_by_mid(mid)
        self._acknowledged(mid)


class Uplink:
    """Publishes a meter's frames and hands over what comes for it; runs in one event loop.

    Parameters
    ----------
    on_down:
        Called with the payload of each message to the meter.
    on_up:
        Called after each connection: the meter is to be asked for its hello.

    Attributes
    ----------
    published, dropped:
        Frames that the broker acknowledged, and those that a full queue gave up.
    connects:
        Connections so far.
    """

    def __init__(
        self,
        broker: Broker,
        context: ssl.SSLContext | None,
        street: str,
        meter_id: int,
        on_down: Callable[[bytes], None],
        on_up: Callable[[], None] = lambda: None,
    ) -> None:
        try:
            mqtt.check_street(street)
        except HushError as error:
            raise HushmeterError(error.message) from error
        self._broker, self._context = broker, context
        self._street, self._meter_id = street, meter_id
        self._on_down, self._on_up = on_down, on_up
        self._waiting: OrderedDict[int, bytes] = OrderedDict()
        self._in_flight: dict[int, int] = {}
        self._next = 0
        self._client: Any = None
        self._storage = _Acknowledgements(self._acknowledge)
        self._broken = asyncio.Event()
        self._broken.set()
        self.published = self.dropped = self.connects = 0

    @property
    def is_up(self) -> bool:
        return not self._broken.is_set()

    @property
    def queued(self) -> int:
        """Frames that the broker has not acknowledged."""
        return len(self._waiting)

    def topic(self, leaf: str) -> str:
        return str(mqtt.topic(self._street, self._meter_id, leaf))

    def put(self, data: bytes) -> None:
        """One whole frame of the meter, for the aggregator."""
        self._waiting[self._next] = data
        self._next += 1
        if len(self._waiting) > MOST_FRAMES:
            self._waiting.popitem(last=False)
            self.dropped += 1
        self._send()

    async def connect(self) -> None:
        """One try.

        Raises
        ------
        HushmeterError
            The broker is not there, shows a wrong certificate, or does not let the meter in.
        """
        will = gmqtt.Message(self.topic(mqtt.ALIVE), b"0", qos=1, retain=True)
        storage = _Acknowledgements(self._acknowledge)
        name = mqtt.client_id(self._street, self._meter_id)
        client = gmqtt.Client(name, will_message=will, persistent_storage=storage)
        client.set_config({"reconnect_retries": 0})
        broken = asyncio.Event()
        client.on_disconnect = lambda *_: broken.set()
        client.on_message = self._receive
        if self._broker.username:
            client.set_auth_credentials(self._broker.username, self._broker.password)
        try:
            async with asyncio.timeout(_CONNECT_S):
                await client.connect(
                    self._broker.host,
                    self._broker.port,
                    ssl=self._context or False,
                    keepalive=_KEEPALIVE_S,
                    version=MQTTv311,
                )
        except (OSError, TimeoutError, gmqtt.MQTTConnectError) as error:
            reason = getattr(error, "strerror", None) or str(error) or "no answer in time"
            raise HushmeterError(
                f"the MQTT broker at {self._broker} cannot be used: {reason}",
                hint="start it, or name another with --broker",
            ) from None
        self._client, self._storage, self._broken = client, storage, broken
        self._in_flight.clear()
        self.connects += 1
        client.subscribe(self.topic(mqtt.DOWN), qos=1)
        client.publish(self.topic(mqtt.ALIVE), b"1", qos=1, retain=True)
        self._on_up()
        self._send()

    async def keep(self) -> None:
        """Connect again whenever the connection is gone; for ever."""
        while True:
            await self._broken.wait()
            pause_s = _FIRST_PAUSE_S
            while self._broken.is_set():
                # Not all meters of a broker that comes back should come at the same moment.
                await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
                with suppress(HushmeterError):
                    await self.connect()

    async def leave(self) -> None:
        """Say that the meter is away, and go; the connection may be made again."""
        if not self.is_up:
            return
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(2):
                self._client.publish(self.topic(mqtt.ALIVE), b"0", qos=1, retain=True)
                await self._client.disconnect()
        self._broken.set()

    def _send(self) -> None:
        """Hand over what the broker may have; what it owes an answer for is bounded."""
        if not self.is_up:
            return
        sent = set(self._in_flight.values())
        for number, data in self._waiting.items():
            if len(self._in_flight) >= _MOST_IN_FLIGHT:
                return
            if number not in sent:
                with suppress(OSError):
                    self._client.publish(self.topic(mqtt.UP), data, qos=1)
                    self._in_flight[self._storage.last] = number

    def _acknowledge(self, mid: int) -> None:
        number = self._in_flight.pop(mid, None)
        if number is not None and self._waiting.pop(number, None) is not None:
            self.published += 1
        self._send()

    def _receive(self, client: Any, topic: str, payload: bytes, qos: int, properties: Any) -> int:
        if topic == self.topic(mqtt.DOWN):
            self._on_down(bytes(payload))
        return 0
