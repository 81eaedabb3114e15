"""Watches a meter on a port without changing anything on it.

Only questions are asked that every meter answers at any time (hello, status, life); what it sends
of its own accord is passed on as it comes, and not acknowledged, so that the aggregator gets it
again.
"""

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any

from hushmeter.devices.address import Address
from hushmeter.devices.meterlink import ask_if_known, open_link
from hushmeter.devices.sensor_advice import is_idle, spelled
from hushmeter.errors import HushmeterError
from hushmeter.link import Link, LinkTimeout
from hushmeter.printable import plain

_LISTEN_S = 0.2
_PAUSE_S = 1.0


@dataclass(frozen=True)
class Event:
    """Something that a meter said, or that it said nothing.

    Attributes
    ----------
    kind:
        ``hello``, ``status``, ``life``, ``sensors``, ``silent``, or the name of a message sent
        unasked.
    time_s:
        Unix time of this machine.
    """

    kind: str
    time_s: float
    fields: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """An object fit for JSON, with keys that stay."""
        return {"event": self.kind, "time_s": round(self.time_s, 3), **plain(self.fields)}


def watch(
    address: Address, every_s: float = 5.0, clock: Callable[[], float] = time.time
) -> Generator[Event, None, None]:
    """What a meter says, for ever; a port that goes away is waited for.

    Parameters
    ----------
    every_s:
        Time between two looks at status and life.

    Raises
    ------
    PortError
        The port cannot be opened at the beginning.
    """
    link: Link | None = open_link(address)
    try:
        while True:
            try:
                if link is None:
                    link = open_link(address)
                yield from _session(link, every_s, clock)
            except HushmeterError as error:
                yield Event("silent", clock(), {"reason": error.message})
                if link is not None and not isinstance(error, LinkTimeout):
                    link.close()
                    link = None
            time.sleep(_PAUSE_S)
    finally:
        if link is not None:
            link.close()


def _session(link: Link, every_s: float, clock: Callable[[], float]) -> Iterator[Event]:
    """Hello, then status, life and sensors again and again, and what passes by in between."""
    boots = None
    names = ["status", "life", "sensors"]
    while True:
        hello = link.request("hello_request").fields
        if hello["boots"] != boots:
            boots = hello["boots"]
            yield Event("hello", clock(), hello)
        for name in list(names):
            fields = ask_if_known(link, f"{name}_request")
            if fields and name == "sensors":
                fields = spelled(fields)
            if not fields or (name == "sensors" and is_idle(fields)):
                # A firmware without it counts every question as a refusal; once is enough.
                names.remove(name)
            else:
                yield Event(name, clock(), fields)
        until = time.monotonic() + every_s
        while True:
            for message in link.unasked():
                yield Event(message.name, clock(), message.fields)
            left_s = until - time.monotonic()
            if left_s <= 0:
                break
            link.pump(min(left_s, _LISTEN_S))
