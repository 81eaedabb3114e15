"""A board that may say anything: a prompt and a meter in this process, and what they lie about.

The prompt runs what it is asked, in CPython with a folder for its flash, so that an honest answer
is there to be spoilt. Nothing waits: the clock goes on where somebody sleeps.
"""

import binascii
import builtins
import contextlib
import hashlib
import io
import json
import os
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from hushfw.core import frame, messages
from hushmeter.devices import console, doctor, greeting, meterlink, ports, rawrepl
from hushmeter.link import Link

Spoil = Callable[[str], str]

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**40), 10**40)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["a" * 70000, 1 << 63, -1, 0]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
CONTENTS = (
    JSON.map(lambda value: json.dumps(value).encode())
    | st.binary(max_size=40)
    | st.sampled_from([b"[" * 100_000, b'{"use": "a", "confirmed": ' + b"9" * 5000 + b"}"])
)
"""What may lie in a file that should hold JSON."""


def answer(value: Any) -> str:
    """An answer as the prompt gives it, with the right size and checksum."""
    text = json.dumps(value)
    return f"{len(text)} {binascii.crc32(text.encode())} {text}\n"


SPOILT = JSON.map(answer) | st.text(max_size=30) | st.sampled_from(["[" * 100_000, "1 1 1", ""])


@st.composite
def replies(draw: st.DrawFn, name: str) -> bytes:
    """A message of this name with any fields that the codec can carry."""
    fields: dict[str, Any] = {}
    for label, kind in messages.layout(name):
        if kind[0] in "ui":
            bits = int(kind[1:])
            low, high = (
                (0, (1 << bits) - 1) if kind[0] == "u" else (-1 << bits - 1, (1 << bits - 1) - 1)
            )
            fields[label] = draw(st.sampled_from([low, 0, 1, high]) | st.integers(low, high))
        elif kind == "text":
            fields[label] = draw(st.text(max_size=60) | st.sampled_from(["", "9" * 255, "1.0.x"]))
        elif kind == "bytes":
            fields[label] = draw(st.binary(max_size=40))
        else:
            fields[label] = draw(st.binary(min_size=int(kind[1:]), max_size=int(kind[1:])))
    number, payload = messages.encode(name, fields)
    return bytes((number,)) + payload


_OF_METERS = [row[1] for row in messages.TABLE if row[0] > messages.FIRST_OF_METER]
_RIGHT = {"hello_request": "hello", "status_request": "status", "life_request": "life"}
ANY_REPLY = st.sampled_from(_OF_METERS).flatmap(replies)


@dataclass
class Lies:
    """What is wrong with a board.

    Attributes
    ----------
    spoilt:
        Outputs of the prompt by how many came before, in place of the honest ones.
    replies:
        Of the meter, by request, the body of each reply in turn; b"" for silence.
    """

    spoilt: dict[int, str] = field(default_factory=dict)
    replies: dict[str, list[bytes]] = field(default_factory=dict)


@st.composite
def lies(draw: st.DrawFn) -> Lies:
    """A few spoilt answers at the prompt, and a meter that says anything afterwards."""
    spoilt = draw(st.dictionaries(st.integers(0, 40), SPOILT, max_size=2))
    said = {
        request: draw(st.lists(replies(right) | ANY_REPLY | st.just(b""), min_size=1, max_size=3))
        for request, right in _RIGHT.items()
    }
    return Lies(spoilt, said)


class Meter:
    """The meter's end of a transport: answers as it was told, the last answer again and again."""

    name = "liar"

    def __init__(self, lies: Lies) -> None:
        self._lies = lies
        self._decoder = frame.Decoder()
        self._out = b""
        self._count: dict[str, int] = {}

    def write(self, data: bytes) -> None:
        for number, sequence, _ in self._decoder.feed(data):
            name = messages.BY_NUMBER[number][1]
            said = self._lies.replies.get(name, [b""])
            count = self._count[name] = self._count.get(name, -1) + 1
            body = said[min(count, len(said) - 1)]
            if body:
                self._out += frame.encode(body[0], sequence, body[1:])

    def read(self, timeout_s: float) -> bytes:
        data, self._out = self._out, b""
        return data

    def fileno(self) -> int | None:
        return None

    def close(self) -> None:
        """It goes on."""


class Prompt:
    """mpremote's transport to the board, as far as it is used."""

    def __init__(self, storage: Path, lies: Lies) -> None:
        self._storage = storage
        self._lies = lies
        self._count = 0
        self._names: dict[str, Any] = {"__builtins__": self._builtins()}
        self.serial = types.SimpleNamespace(
            timeout=0.0, read=lambda size=1: b"", write=len, in_waiting=0
        )

    def __call__(self, device: str, baud: int) -> "Prompt":
        return self

    def enter_raw_repl(self, soft_reset: bool, timeout_overall: float) -> None:
        """It is there."""

    exit_raw_repl = close = lambda self: None

    def exec_raw_no_follow(self, code: str) -> None:
        """The board is always back at once."""

    def exec(self, code: str) -> bytes:
        return self._run(code)[0]

    def exec_raw(self, code: str, timeout: float) -> tuple[bytes, bytes]:
        output, error = self._run(code)
        spoilt = self._lies.spoilt.get(self._count)
        self._count += 1
        return (output if spoilt is None else spoilt.encode(errors="replace")), error

    def _run(self, code: str) -> tuple[bytes, bytes]:
        out = io.StringIO()
        self._names["print"] = lambda *words: print(*words, file=out)
        try:
            exec(code, self._names)
        except Exception as error:
            return out.getvalue().encode(), f"Traceback:\n{type(error).__name__}: {error}".encode()
        return out.getvalue().encode(), b""

    def _at(self, path: str) -> str:
        return str(self._storage / path)

    def _builtins(self) -> dict[str, Any]:
        ticks = iter(range(0, 1 << 60, 100))
        known: dict[str, Any] = {
            "sys": types.SimpleNamespace(
                platform="linux",
                implementation=types.SimpleNamespace(
                    name="micropython", version=(1, 24, 1), _machine="linux", _mpy=0x206
                ),
            ),
            "time": types.SimpleNamespace(
                ticks_ms=lambda: next(ticks), ticks_diff=lambda a, b: a - b
            ),
            "os": types.SimpleNamespace(
                ilistdir=lambda folder="": [
                    (found.name, 0x4000 if found.is_dir() else 0x8000)
                    for found in os.scandir(self._at(folder))
                ],
                stat=lambda path: os.stat(self._at(path)),
                mkdir=lambda path: os.mkdir(self._at(path)),
                rename=lambda old, new: os.rename(self._at(old), self._at(new)),
                remove=lambda path: os.remove(self._at(path)),
                rmdir=lambda path: os.rmdir(self._at(path)),
                statvfs=lambda path: (4096, 4096, 1000, 900),
                getcwd=lambda: "",
            ),
            "hashlib": hashlib,
            "binascii": binascii,
            "json": json,
        }
        return {
            **vars(builtins),
            "__import__": lambda name, *rest: known[name],
            "open": lambda path, mode="r": open(self._at(path), mode),
        }


class _Clock:
    """Time that passes only where somebody sleeps."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


@contextlib.contextmanager
def on_port(storage: Path, lies: Lies, *, meter_runs: bool = False) -> Iterator[str]:
    """A port behind which this board is; at first its prompt, or a meter that never leaves."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rawrepl, "MpremoteTransport", Prompt(storage, lies))
        patch.setattr(ports, "check_free", lambda name, board=None: name)
        patch.setattr("hushmeter.cli.doctor.check_free", lambda name: name)
        patch.setattr(console, "time", clock := _Clock())
        patch.setattr(meterlink, "time", clock)
        patch.setattr(doctor, "_GREETING_S", 0.0)
        patch.setattr(console, "_GREETING_S", 0.0)
        before = Meter(lies if meter_runs else Lies())
        patch.setattr(greeting, "_Listening", lambda device: before)
        after = Meter(lies)
        patch.setattr(meterlink, "open_link", lambda *_: Link(after, tries=1))
        patch.setattr("hushmeter.devices.monitor.open_link", lambda *_: Link(after, tries=1))
        yield "/dev/ttyLIAR"


def body_of(name: str, **fields: Any) -> bytes:
    """The body of a message; what is not given is zero."""
    zeros: dict[str, Any] = {
        label: "" if kind == "text" else 0 if kind[0] in "ui" else bytes(int(kind[1:] or 0))
        for label, kind in messages.layout(name)
    }
    number, payload = messages.encode(name, zeros | fields)
    return bytes((number,)) + payload
