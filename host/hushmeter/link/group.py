"""Many links at once: every meter works through its own list of requests while the others do."""

from __future__ import annotations

import select
import time
from collections.abc import Mapping, Sequence
from typing import Any

from hushmeter.errors import HushmeterError
from hushmeter.link.link import Link, LinkTimeout, Message

Request = tuple[str, dict[str, Any]]

_QUIET_MS = 200


class _Script:
    """One meter's requests; the next is sent when the reply to the one before has come.

    Nothing is sent before :meth:`begin` or :meth:`run_alone`. A request is sent as often as the
    link says, at equal times within the time that its reply may take.
    """

    def __init__(self, link: Link, requests: Sequence[Request], timeout_s: float) -> None:
        self.link = link
        self.replies: list[Message] = []
        self.error: HushmeterError | None = None
        self._requests = list(requests)
        self._timeout_s = timeout_s * link.slowness
        self._sequence = 0
        self._sent_s = 0.0
        self._sent = 0

    @property
    def finished(self) -> bool:
        return self.error is not None or len(self.replies) == len(self._requests)

    def begin(self) -> None:
        if self.finished:
            return
        name, fields = self._requests[len(self.replies)]
        try:
            self._sequence = self.link.post(name, **fields)
        except HushmeterError as error:
            self.error = error
        self._sent_s = time.monotonic()
        self._sent = 1

    def read(self) -> None:
        try:
            self.link.pump(0)
            while not self.finished:
                message = self.link.reply(self._sequence)
                if message is None:
                    return
                name = self._requests[len(self.replies)][0]
                self.replies.append(self.link.checked(name, message))
                self.begin()
        except HushmeterError as error:
            self.error = error

    def check_time(self, now_s: float) -> None:
        """Send the request again where its reply is late, or give up."""
        tries = self.link.tries
        if self.finished or now_s < self._sent_s + self._timeout_s * self._sent / tries:
            return
        name, fields = self._requests[len(self.replies)]
        try:
            if self._sent == tries:
                raise LinkTimeout(
                    f"{self.link.transport.name} did not answer {name} within {self._timeout_s:g} s"
                )
            self._sent += 1
            self.link.repeat(self._sequence, name, **fields)
        except HushmeterError as error:
            self.error = error

    def run_alone(self) -> None:
        """For a transport that cannot be waited on together with others."""
        try:
            for name, fields in self._requests:
                limit_s = self._timeout_s / self.link.tries
                self.replies.append(self.link.request(name, timeout_s=limit_s, **fields))
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
        How long each reply may take, times the link's slowness; within it a request is repeated as
        the link says.

    Returns
    -------
    dict
        Per meter the replies that came, and the error that stopped it or None. A meter that
        refused, fell silent or died does not stop the others.
    """
    running = {m: _Script(links[m], requests, timeout_s) for m, requests in scripts.items()}
    alone = [s for s in running.values() if s.link.transport.fileno() is None]
    for script in alone:
        script.run_alone()
    together = [script for script in running.values() if script not in alone]
    for script in together:
        script.begin()
    _run_together([script for script in together if not script.finished])
    return {meter_id: (script.replies, script.error) for meter_id, script in running.items()}


def _run_together(scripts: list[_Script]) -> None:
    waiting = {}
    poller = select.poll()
    for script in scripts:
        fd = script.link.transport.fileno()
        if fd is not None:
            waiting[fd] = script
            poller.register(fd, select.POLLIN)
    looked_s = time.monotonic()
    while waiting:
        ready = [fd for fd, _ in poller.poll(_QUIET_MS)]
        quiet = time.monotonic() > looked_s + _QUIET_MS / 1000
        # Now and then all are looked at: for time, and for what came in while one was writing.
        for fd in list(waiting) if quiet else ready:
            waiting[fd].read()
            if quiet:
                looked_s = time.monotonic()
                waiting[fd].check_time(looked_s)
            if waiting[fd].finished:
                poller.unregister(fd)
                del waiting[fd]
