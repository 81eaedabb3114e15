"""Many links at once: every meter works through its own list of requests while the others do."""

from __future__ import annotations

import select
import time
from collections.abc import Mapping, Sequence
from typing import Any

from hushmeter.errors import HushmeterError
from hushmeter.link.link import Link, LinkTimeout, Message

Request = tuple[str, dict[str, Any]]


class _Script:
    """One meter's requests; the next is sent when the reply to the one before has come."""

    def __init__(self, link: Link, requests: Sequence[Request], timeout_s: float) -> None:
        self.link = link
        self.replies: list[Message] = []
        self.error: HushmeterError | None = None
        self._requests = list(requests)
        self._timeout_s = timeout_s
        self._sequence = 0
        self._deadline = 0.0
        self._advance()

    @property
    def finished(self) -> bool:
        return self.error is not None or len(self.replies) == len(self._requests)

    def _advance(self) -> None:
        if self.finished:
            return
        name, fields = self._requests[len(self.replies)]
        try:
            self._sequence = self.link.post(name, **fields)
        except HushmeterError as error:
            self.error = error
        self._deadline = time.monotonic() + self._timeout_s

    def read(self) -> None:
        try:
            self.link.pump(0)
            while not self.finished:
                message = self.link.reply(self._sequence)
                if message is None:
                    return
                name = self._requests[len(self.replies)][0]
                self.replies.append(self.link.checked(name, message))
                self._advance()
        except HushmeterError as error:
            self.error = error

    def check_time(self) -> None:
        if not self.finished and time.monotonic() > self._deadline:
            name = self._requests[len(self.replies)][0]
            self.error = LinkTimeout(
                f"{self.link.transport.name} did not answer {name} within {self._timeout_s:g} s"
            )

    def run_alone(self) -> None:
        """For a transport that cannot be waited on together with others."""
        try:
            self.replies = []
            for name, fields in self._requests:
                self.replies.append(self.link.request(name, **fields))
        except HushmeterError as error:
            self.error = error


Outcome = tuple[list[Message], HushmeterError | None]


def run_scripts(
    links: Mapping[int, Link],
    scripts: Mapping[int, Sequence[Request]],
    timeout_s: float = 60.0,
) -> dict[int, Outcome]:
    """Run each meter's requests in order, all meters side by side.

    Parameters
    ----------
    links:
        The links by meter id.
    scripts:
        For some of these meters, their requests in order.
    timeout_s:
        How long each reply may take.

    Returns
    -------
    dict
        Per meter the replies that came, and the error that stopped it or None. A meter that
        refused, fell silent or died does not stop the others.
    """
    running: dict[int, _Script] = {}
    alone: dict[int, _Script] = {}
    for meter_id, requests in scripts.items():
        link = links[meter_id]
        if link.transport.fileno() is None:
            alone[meter_id] = _Lonely(link, requests)
        else:
            running[meter_id] = _Script(link, requests, timeout_s)
    for script in alone.values():
        script.run_alone()
    _run_together([script for script in running.values() if not script.finished])
    return {
        meter_id: (script.replies, script.error) for meter_id, script in (running | alone).items()
    }


class _Lonely(_Script):
    """A script that posts nothing before it is run on its own."""

    def __init__(self, link: Link, requests: Sequence[Request]) -> None:
        self.link = link
        self.replies = []
        self.error = None
        self._requests = list(requests)


def _run_together(scripts: list[_Script]) -> None:
    waiting = {}
    poller = select.poll()
    for script in scripts:
        fd = script.link.transport.fileno()
        if fd is not None:
            waiting[fd] = script
            poller.register(fd, select.POLLIN)
    while waiting:
        ready = [fd for fd, _ in poller.poll(200)]
        # A quiet time is used to look at what a transport took in while it was writing.
        for fd in ready or list(waiting):
            waiting[fd].read()
        for fd, script in list(waiting.items()):
            script.check_time()
            if script.finished:
                poller.unregister(fd)
                del waiting[fd]
