"""Requests, replies and unasked messages over one transport.

The link numbers its requests, repeats one whose reply does not come, and keeps what the meter
sends unasked (reports) apart from replies. Frames and messages are the device package's own
codec: the message table exists once, in :mod:`hushfw.core.messages`.
"""

from __future__ import annotations

import secrets
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

from hushfw.core import frame, messages, vocabulary
from hushfw.core.errors import NAMES, HushError
from hushmeter.errors import HushmeterError
from hushmeter.link.transport import SerialTransport, Transport
from hushmeter.printable import printable

messages.learn(vocabulary.ALL)

_LAST_SEQUENCE = 0xFFFF
# Far more than a meter has to say between two looks; the rest of a flood is not kept.
_MOST_UNASKED = 4096
# Where the fields of a reply are read, it must be the one that was asked for.
_REPLIES = {
    "hello_request": "hello",
    "status_request": "status",
    "life_request": "life",
    "sensors_request": "sensors",
    "calibration_raw": "raw",
    "calibration_put": "calibration",
}


@dataclass(frozen=True)
class Message:
    """One message as it came: name, fields, and the bytes that a transcript hashes.

    Attributes
    ----------
    name:
        Row of the message table.
    fields:
        Values by field name; what a text holds that cannot be printed is replaced.
    sequence:
        Number of the request that this answers; 0 for what was sent unasked.
    body:
        The message's number and payload, without framing.
    """

    name: str
    fields: dict[str, Any]
    sequence: int
    body: bytes


class LinkTimeout(HushmeterError):
    """The meter did not reply in time."""


class WrongReply(HushmeterError):
    """The meter answered a question with the answer to another one."""


class Refused(HushmeterError):
    """The meter refused a request.

    Attributes
    ----------
    code:
        Name of the refusal, a key of ``hushfw.core.errors.CODES``.
    """

    def __init__(self, meter: str, request: str, code: str, detail: str) -> None:
        reason = f": {detail}" if detail else ""
        super().__init__(f"{meter} refused {request} ({code}){reason}")
        self.code = code
        self.detail = detail


class Link:
    """One meter behind one transport.

    Parameters
    ----------
    transport:
        Where the bytes go.
    timeout_s:
        How long a reply may take before the request is repeated.
    tries:
        How often a request is sent in all.
    """

    def __init__(self, transport: Transport, timeout_s: float = 10.0, tries: int = 3) -> None:
        self.transport = transport
        self.timeout_s = timeout_s
        self.tries = tries
        self.slowness = 1.0
        """How much longer everything may take on this meter than on a board at full speed."""
        self.damaged_messages = 0
        self.dropped_messages = 0
        """Unasked messages beyond what is kept until the next :meth:`unasked`."""
        self.bytes_sent = 0
        self.bytes_received = 0
        self._decoder = frame.Decoder()
        # A meter gives the same reply to a request that it had just before, byte for byte. Begun
        # anywhere, the first request of this link is not taken for the last one of another.
        self._sequence = secrets.randbelow(_LAST_SEQUENCE)
        self._replies: deque[Message] = deque()
        self._unasked: deque[Message] = deque()

    @property
    def damaged_frames(self) -> int:
        """Frames from the meter that could not be read."""
        return int(self._decoder.damaged)

    def post(self, name: str, **fields: Any) -> int:
        """Send a request without waiting; its sequence number is returned."""
        self._sequence = self._sequence % _LAST_SEQUENCE + 1
        self.repeat(self._sequence, name, **fields)
        return self._sequence

    def repeat(self, sequence: int, name: str, **fields: Any) -> None:
        """Send a posted request again; the meter acts on it once."""
        number, payload = messages.encode(name, fields)
        data = frame.encode(number, sequence, payload)
        self.transport.write(data)
        self.bytes_sent += len(data)

    def pump(self, timeout_s: float) -> bool:
        """Read once; True if bytes came. Messages go to :meth:`unasked` and :meth:`reply`."""
        data = self.transport.read(timeout_s)
        self.bytes_received += len(data)
        for number, sequence, payload in self._decoder.feed(data):
            try:
                name, fields = messages.decode(number, payload)
            except HushError:
                self.damaged_messages += 1
                continue
            for field, value in fields.items():
                if isinstance(value, str):
                    fields[field] = printable(value)
            message = Message(name, fields, sequence, bytes((number,)) + payload)
            if sequence:
                self._replies.append(message)
            elif len(self._unasked) < _MOST_UNASKED:
                self._unasked.append(message)
            else:
                self.dropped_messages += 1
        return bool(data)

    def reply(self, sequence: int) -> Message | None:
        """The reply to this request if it has come; older replies are dropped."""
        while self._replies:
            message = self._replies.popleft()
            if message.sequence == sequence:
                return message
        return None

    def unasked(self) -> list[Message]:
        """What the meter sent on its own since the last call, in order: of a flood the first."""
        out = list(self._unasked)
        self._unasked.clear()
        return out

    def request(
        self, name: str, *, timeout_s: float | None = None, tries: int | None = None, **fields: Any
    ) -> Message:
        """Send a request and return its reply, repeating it where nothing comes.

        ``timeout_s`` and ``tries`` are the link's own by default.

        Raises
        ------
        LinkTimeout
            No reply after all tries.
        Refused
            The meter said no; nothing changed on it.
        WrongReply
            What came is no reply to this request.
        """
        limit_s = self.timeout_s if timeout_s is None else timeout_s
        sequence = self.post(name, **fields)
        most_tries = self.tries if tries is None else tries
        for attempt in range(most_tries):
            if attempt:
                self.repeat(sequence, name, **fields)
            message = self._await(sequence, limit_s)
            if message is not None:
                return self.checked(name, message)
        raise LinkTimeout(
            f"{self.transport.name} did not answer {name} within {most_tries} times {limit_s:g} s",
            hint="check that the board runs Hushmeter's firmware: hushmeter doctor --port PORT",
        )

    def _await(self, sequence: int, limit_s: float) -> Message | None:
        # A transport without a descriptor runs its own clock: only its own time-out counts.
        simulated = self.transport.fileno() is None
        deadline = time.monotonic() + limit_s
        while True:
            message = self.reply(sequence)
            if message is not None:
                return message
            left_s = limit_s if simulated else deadline - time.monotonic()
            if left_s <= 0 or (not self.pump(left_s) and simulated):
                return None

    def checked(self, name: str, message: Message) -> Message:
        """The reply itself, or the refusal in it as an error."""
        if message.name == "refused":
            code = NAMES.get(message.fields["code"], str(message.fields["code"]))
            raise Refused(self.transport.name, name, code, message.fields["detail"])
        if message.name != _REPLIES.get(name, message.name):
            raise WrongReply(
                f"{self.transport.name} answered {name} with {message.name}",
                hint="it does not run Hushmeter's firmware, or a damaged one: hushmeter deploy",
            )
        return message

    def close(self) -> None:
        self.transport.close()


_PROBE_TRIES = 5


def probe(port: str, timeout_s: float = 2.0) -> dict[str, Any]:
    """Fields of the hello of a meter on a serial port.

    A measuring meter may be silent for 8 s, until its report's moment; so five tries.

    Raises
    ------
    HushmeterError
        The port cannot be opened, or what is behind it does not answer as a meter.
    """
    link = Link(SerialTransport(port), timeout_s=timeout_s, tries=_PROBE_TRIES)
    try:
        return link.request("hello_request").fields
    finally:
        link.close()
