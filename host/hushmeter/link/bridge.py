"""Serial meters behind a broker: frames are carried both ways and nothing is added to them.

The meter's part of a network that it does not have is done here, and no more: the greeting after
each connection, the refusal of what only the console may ask for, the queue. The bridge holds no
key; it sees what a broker sees.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import signal
import ssl
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from hushfw.core import frame, messages, mqtt
from hushfw.core.errors import CODES
from hushmeter.errors import HushmeterError
from hushmeter.link.broker import Broker
from hushmeter.link.transport import Transport
from hushmeter.link.uplink import Uplink

FEEDING = ("feed", "advance")
"""What an emulated meter takes from the broker besides: there is no home behind it."""

_MOST_REQUESTS = 64
_LOOK_AGAIN_S = 2.0
_HELLO = messages.BY_NAME["hello"][0]
_CONSOLE_ONLY = CODES["unknown_message"]


@dataclass(frozen=True)
class Served:
    """One meter of a bridge: whose it is, and how to reach it once more after it went away."""

    street: str
    meter_id: int
    open: Callable[[], Transport]
    transport: Transport
    allowed: Collection[str] = mqtt.OVER_NETWORK


class Bridged:
    """One meter with its connection.

    Attributes
    ----------
    refused:
        Requests from the broker that only the console may make.
    lost_requests:
        Requests that came faster than the meter took them, or while it was away.
    """

    def __init__(
        self,
        served: Served,
        broker: Broker,
        context: ssl.SSLContext | None,
        say: Callable[[str], None],
    ) -> None:
        self.served = served
        self.uplink = Uplink(
            broker, context, served.street, served.meter_id, self._take, self._greet
        )
        self.refused = self.lost_requests = 0
        self._say = say
        self._transport: Transport | None = served.transport
        self._decoder = frame.Decoder()
        self._requests: asyncio.Queue[bytes] = asyncio.Queue(_MOST_REQUESTS)
        self._greeting = 0
        self._gone = asyncio.Event()

    def to_dict(self) -> dict[str, Any]:
        """An object fit for JSON, with keys that stay."""
        return {
            "meter_id": self.served.meter_id,
            "street": self.served.street,
            "name": self.served.transport.name,
            "present": self._transport is not None,
            "connects": self.uplink.connects,
            "published": self.uplink.published,
            "queued": self.uplink.queued,
            "dropped": self.uplink.dropped,
            "refused": self.refused,
            "lost_requests": self.lost_requests,
            "damaged_frames": int(self._decoder.damaged),
        }

    async def run(self) -> None:
        """Carry frames until cancelled; the first connection has been made."""
        tasks = [asyncio.create_task(job()) for job in (self._write, self._attend)]
        keeper = asyncio.create_task(self.uplink.keep())
        self._listen()
        try:
            await asyncio.gather(*tasks, keeper)
        finally:
            for task in (*tasks, keeper):
                task.cancel()
            await self.uplink.leave()
            if self._transport is not None:
                self._deafen()
                self._transport.close()

    async def _attend(self) -> None:
        """Wait for a meter that went away, and open it again."""
        while True:
            await self._gone.wait()
            await self.uplink.leave()
            while self._transport is None:
                await asyncio.sleep(_LOOK_AGAIN_S)
                with suppress(HushmeterError):
                    self._transport = await asyncio.to_thread(self.served.open)
            self._gone.clear()
            self._say(f"meter {self.served.meter_id} is back at {self._transport.name}")
            self._decoder = frame.Decoder()
            self._listen()
            self._greet()

    def _listen(self) -> None:
        descriptor = self._transport.fileno() if self._transport is not None else None
        if descriptor is not None:
            asyncio.get_running_loop().add_reader(descriptor, self._read)

    def _deafen(self) -> None:
        descriptor = self._transport.fileno() if self._transport is not None else None
        if descriptor is not None:
            asyncio.get_running_loop().remove_reader(descriptor)

    def _went_away(self, error: HushmeterError) -> None:
        if self._transport is None:
            return
        self._say(f"meter {self.served.meter_id} went away: {error.message}")
        self._deafen()
        with suppress(HushmeterError, OSError):
            self._transport.close()
        self._transport = None
        self._gone.set()

    def _read(self) -> None:
        if self._transport is None:
            return
        try:
            data = self._transport.read(0)
        except HushmeterError as error:
            self._went_away(error)
            return
        for kind, sequence, payload in self._decoder.feed(data):
            if kind == _HELLO and sequence and sequence == self._greeting:
                self._greeting = sequence = 0
            self.uplink.put(frame.encode(kind, sequence, payload))

    def _greet(self) -> None:
        """The hello of a new connection; the meter says it to us, and it goes on as unasked."""
        self._greeting = secrets.randbelow(0xFFFF) + 1
        number, payload = messages.encode("hello_request", {})
        self._hand_over(frame.encode(number, self._greeting, payload))

    def _take(self, payload: bytes) -> None:
        """What came from the broker: only whole frames that may be asked for reach the meter."""
        decoder = frame.Decoder()
        for kind, sequence, body in decoder.feed(payload):
            row = messages.BY_NUMBER.get(kind)
            if row is not None and row[1] not in self.served.allowed:
                self.refused += 1
                self._refuse(sequence, row[1])
            else:
                self._hand_over(frame.encode(kind, sequence, body))

    def _refuse(self, sequence: int, name: str) -> None:
        detail = f"{name} is for the console only"
        number, payload = messages.encode("refused", {"code": _CONSOLE_ONLY, "detail": detail})
        self.uplink.put(frame.encode(number, sequence, payload))

    def _hand_over(self, data: bytes) -> None:
        try:
            self._requests.put_nowait(data)
        except asyncio.QueueFull:
            self.lost_requests += 1

    async def _write(self) -> None:
        """A meter that takes nothing holds a write up, but no other meter."""
        while True:
            data = await self._requests.get()
            transport = self._transport
            if transport is None:
                self.lost_requests += 1
                continue
            # While one writes nobody else reads: what the meter says meanwhile is kept.
            self._deafen()
            try:
                await asyncio.to_thread(transport.write, data)
            except HushmeterError as error:
                self._went_away(error)
                continue
            self._listen()
            self._read()


def _cancel_this_task() -> Callable[[], object]:
    task = asyncio.current_task()
    return task.cancel if task is not None else lambda: None


async def serve(
    meters: Sequence[Served],
    broker: Broker,
    context: ssl.SSLContext | None,
    say: Callable[[str], None],
    seconds: float | None = None,
) -> list[dict[str, Any]]:
    """Bridge all these meters until interrupted or terminated, or for so many seconds.

    Raises
    ------
    HushmeterError
        The broker cannot be used at the start; later it is waited for.
    """
    # The library complains of every write to a lost connection; here one line says that it is lost.
    logging.getLogger("gmqtt").setLevel(logging.CRITICAL)
    bridged = [Bridged(served, broker, context, say) for served in meters]
    tasks: list[asyncio.Task[None]] = []
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, _cancel_this_task())
    try:
        for one in bridged:
            await one.uplink.connect()
        say(f"{len(bridged)} meters at {broker}")
        tasks = [asyncio.create_task(one.run()) for one in bridged]
        # Interrupted is how it ends: the meters are said to be away, and the figures given.
        with suppress(TimeoutError, asyncio.CancelledError):
            async with asyncio.timeout(seconds):
                await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return [one.to_dict() for one in bridged]
