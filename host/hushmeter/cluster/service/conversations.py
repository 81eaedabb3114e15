"""Requests to the meters of one street: one at a time to each, repeated until it replies.

A meter repeats its reply to a request that comes again byte for byte, so a request that got no
reply in time is sent again as it was. After the last try it is dropped and counted: nothing is
lost by that, for whatever it was about is in the store and is asked again when the meter says
hello. With a hello everything begins anew: a meter's session at the broker is clean, so what it
was asked while it was away is gone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hushfw.core import frame, messages

TRIES = 3
_MOST_WAITING = 64
_SEQUENCES = 65535

Fields = Mapping[str, Any] | Callable[[], Mapping[str, Any]]


@dataclass(frozen=True)
class Outgoing:
    """A frame for a meter; `received_s` is when what it acknowledges came (monotonic)."""

    meter_id: int
    data: bytes
    received_s: float | None = None


@dataclass
class Request:
    """What a meter is asked; `fields` as they were given."""

    name: str
    fields: Fields
    tries: int
    received_s: float | None = None
    data: bytes = b""
    sent_s: float = 0.0
    sequence: int = 0


@dataclass
class _Meter:
    last: int = 0
    asked: Request | None = None
    waiting: deque[Request] = field(default_factory=deque)


class Conversations:
    """What was asked and not replied to, by meter.

    Parameters
    ----------
    timeout_s:
        How long a meter has for its reply. A board that is quiet around its reports takes several
        seconds.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._meters: dict[int, _Meter] = {}
        self._last: dict[int, int] = {}
        self._next_look_s = 0.0
        self.dropped = 0
        self.repeated = 0

    def ask(
        self,
        meter_id: int,
        name: str,
        fields: Fields,
        *,
        tries: int = TRIES,
        received_s: float | None = None,
    ) -> None:
        """Queue a request; fields that are a function are asked for when it is sent.

        Such a request is sent once: its bytes would differ.
        """
        meter = self._meters.get(meter_id)
        if meter is None:
            meter = self._meters[meter_id] = _Meter(self._last.get(meter_id, 0))
        if len(meter.waiting) >= _MOST_WAITING:
            meter.waiting.popleft()
            self.dropped += 1
        if callable(fields):
            tries = 1
        meter.waiting.append(Request(name, fields, tries, received_s))

    def replied(self, meter_id: int, sequence: int) -> Request | None:
        """A reply came: to which request, None if nobody waits for it."""
        meter = self._meters.get(meter_id)
        if meter is None or meter.asked is None or meter.asked.sequence != sequence:
            return None
        asked, meter.asked = meter.asked, None
        return asked

    def begin_anew(self, meter_id: int) -> None:
        """The meter has connected anew: what it was asked before does not reach it any more."""
        meter = self._meters.pop(meter_id, None)
        if meter is not None:
            self._last[meter_id] = meter.last

    def is_asked(self, meter_id: int, name: str, slot: int) -> bool:
        """Whether such a request of this slot is under way to the meter."""
        meter = self._meters.get(meter_id)
        if meter is None:
            return False
        requests = [*meter.waiting, *([meter.asked] if meter.asked else [])]
        return any(
            r.name == name and not callable(r.fields) and r.fields["slot"] == slot for r in requests
        )

    def due(self, now_s: float, touched: set[int]) -> list[Outgoing]:
        """What is to be sent now: next requests of the meters touched, and repetitions."""
        if now_s >= self._next_look_s:
            self._next_look_s = now_s + self._timeout_s / 10
            touched = touched | self._meters.keys()
        out = []
        for meter_id in touched:
            meter = self._meters.get(meter_id)
            if meter is None:
                continue
            sent = self._next(meter_id, meter, now_s)
            if sent is not None:
                out.append(sent)
            elif meter.asked is None:
                self._last[meter_id] = meter.last
                del self._meters[meter_id]
        return out

    def _next(self, meter_id: int, meter: _Meter, now_s: float) -> Outgoing | None:
        asked = meter.asked
        if asked is not None:
            if now_s < asked.sent_s + self._timeout_s:
                return None
            if asked.tries > 0:
                asked.tries -= 1
                asked.sent_s = now_s
                self.repeated += 1
                return Outgoing(meter_id, asked.data)
            self.dropped += 1
            meter.asked = None
        if not meter.waiting:
            return None
        asked = meter.asked = meter.waiting.popleft()
        meter.last = asked.sequence = meter.last % _SEQUENCES + 1
        fields = asked.fields() if callable(asked.fields) else asked.fields
        number, payload = messages.encode(asked.name, fields)
        asked.data = frame.encode(number, asked.sequence, payload)
        asked.sent_s = now_s
        asked.tries -= 1
        return Outgoing(meter_id, asked.data, asked.received_s)
