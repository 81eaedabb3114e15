"""Meters for the link's tests: a transport that answers as told, and the same behind a tty."""

from __future__ import annotations

import os
import select
import threading
import tty
from collections.abc import Callable
from typing import Any

from hushfw.core import frame, messages
from hushmeter.errors import HushmeterError

Behaviour = Callable[["Request"], bytes]
"""What a meter sends back for a request; b"" is silence."""

HELLO: dict[str, Any] = {
    "board": "fake",
    "firmware": "0",
    "protocol": 1,
    "modes": 0,
    "meter_id": 7,
    "public_key": bytes(range(32)),
    "epoch": 0,
    "next_slot": 1,
    "boots": 1,
    "max_payload": 1024,
    "problem": "",
}
REPORT: dict[str, Any] = {
    "meter_id": 7,
    "epoch": 1,
    "slot": 3,
    "flags": 0,
    "words": bytes(8),
    "tag": bytes(16),
}


class Request:
    """A request as the meter got it; `times` counts how often it came, in a row, so far."""

    def __init__(self, number: int, sequence: int, payload: bytes, times: int) -> None:
        self.name, self.fields = messages.decode(number, payload)
        self.sequence = sequence
        self.times = times

    def reply(self, name: str, **fields: Any) -> bytes:
        return framed(name, self.sequence, **fields)

    def hello(self) -> bytes:
        return self.reply("hello", **HELLO)

    def refusal(self, code: int, detail: str = "") -> bytes:
        return self.reply("refused", code=code, detail=detail)


def framed(name: str, sequence: int, **fields: Any) -> bytes:
    number, payload = messages.encode(name, fields)
    return bytes(frame.encode(number, sequence, payload))


def says_hello(request: Request) -> bytes:
    return request.hello()


def silent(request: Request) -> bytes:
    return b""


class Gone(HushmeterError):
    """The fake meter's process, as it were, has ended."""


class FakeMeter:
    """A transport whose other end is a function; with a descriptor or, simulated, without."""

    def __init__(self, behaviour: Behaviour, simulated: bool = False) -> None:
        self.name = "fake"
        self.requests: list[Request] = []
        self.dead = False
        self._behaviour = behaviour
        self._simulated = simulated
        self._decoder = frame.Decoder()
        self._last: tuple[int, int, bytes] | None = None
        self._times = 0
        self._out, self._in = os.pipe()

    def write(self, data: bytes) -> None:
        if self.dead:
            raise Gone("fake has ended")
        for number, sequence, payload in self._decoder.feed(data):
            place = (number, sequence, bytes(payload))
            self._times = self._times + 1 if place == self._last else 1
            self._last = place
            self.requests.append(Request(number, sequence, payload, self._times))
            self.say(self._behaviour(self.requests[-1]))

    def say(self, data: bytes) -> None:
        """Send these bytes now."""
        os.write(self._in, data)

    def read(self, timeout_s: float) -> bytes:
        if self.dead:
            raise Gone("fake has ended")
        if not select.select([self._out], [], [], 0 if self._simulated else timeout_s)[0]:
            return b""
        return os.read(self._out, 4096)

    def fileno(self) -> int | None:
        return None if self._simulated else self._out

    def close(self) -> None:
        os.close(self._in)
        os.close(self._out)


class TtyMeter:
    """A pseudo-terminal with a fake meter behind it, in a thread; `port` is its path."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._meter, self._terminal = os.openpty()
        tty.setraw(self._terminal)
        self.port = os.ttyname(self._terminal)
        self._behaviour = behaviour
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        decoder = frame.Decoder()
        while not self._stop.is_set():
            if not select.select([self._meter], [], [], 0.02)[0]:
                continue
            for number, sequence, payload in decoder.feed(os.read(self._meter, 4096)):
                os.write(self._meter, self._behaviour(Request(number, sequence, payload, 1)))

    def unplug(self) -> None:
        """The meter's end goes away, as when a cable is pulled."""
        self._stop.set()
        self._thread.join()
        if self._meter >= 0:
            os.close(self._meter)
            os.close(self._terminal)
        self._meter = self._terminal = -1
