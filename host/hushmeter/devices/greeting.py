"""Who is behind a port: a meter, MicroPython's prompt, or nobody who says anything.

A meter may be long in answering: it computes, or it is emulated. A prompt shows itself at once. So
it is waited for a meter only as long as no prompt has shown.
"""

import time
from dataclasses import dataclass
from typing import Any

from hushmeter.errors import HushmeterError
from hushmeter.link import Link, LinkTimeout, SerialTransport

_ECHO_S = 0.2
_TRY_S = 1.5
# Ends a line, and raw mode: either brings out the prompt of an idle interpreter. To a meter it is
# noise on the line.
_SHOW_PROMPT = b"\r\x02"
_PROMPTS = (b">>> ", b"\n=== ", b"CTRL-B to exit\r\n>")
_TAIL_BYTES = 64


class AtPrompt(HushmeterError):
    """The interpreter's prompt showed where a meter was greeted."""


@dataclass
class Greeted:
    """A meter that answered: the link to it, still open, and its hello."""

    link: Link
    hello: dict[str, Any]


def greet(device: str, patience_s: float) -> Greeted:
    """Greet whoever is behind a port.

    Raises
    ------
    AtPrompt
        It is the prompt.
    HushmeterError
        Nobody answered within ``patience_s``, or the port cannot be used.
    """
    listening = _Listening(device)
    link = Link(listening, timeout_s=min(patience_s, _TRY_S), tries=1)
    try:
        listening.write(_SHOW_PROMPT)
        link.pump(_ECHO_S)
        return Greeted(link, _hello(link, time.monotonic() + patience_s))
    except BaseException:
        link.close()
        raise


def _hello(link: Link, until: float) -> dict[str, Any]:
    while True:
        try:
            return link.request("hello_request").fields
        except LinkTimeout:
            if time.monotonic() >= until:
                raise


class _Listening(SerialTransport):
    """A port that notices the prompt in what it reads."""

    def __init__(self, device: str) -> None:
        super().__init__(device)
        self._tail = b""

    def read(self, timeout_s: float) -> bytes:
        data = super().read(timeout_s)
        self._tail = (self._tail + data)[-_TAIL_BYTES:]
        if self._tail.endswith(_PROMPTS):
            raise AtPrompt(f"{self.name} shows MicroPython's prompt")
        return data
