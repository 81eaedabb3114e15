"""A whole meter that measures, on CPython: its ticks, its converter and its serve loop are ours."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hil import live_street
from hil.twin import Twin
from hushfw.core import frame, messages, pace
from hushfw.core.errors import NAMES
from hushmeter.link import Link

REFUSED = messages.BY_NAME["refused"][0]


class Simulated(Twin):
    """A twin whose time passes in :meth:`run`, as its serve loop would see it."""

    def __init__(self, folder: Path, files: dict[str, bytes]) -> None:
        self.local_ms = 0
        self.watts: Callable[[], int] = lambda: 1200
        self.reports: list[tuple[int, dict[str, Any]]] = []
        super().__init__(folder, files)
        self.link = Link(self, tries=1)

    def read_u16(self) -> int:
        watts = self.watts()
        return watts << 4 | watts >> 8

    @property
    def meter(self) -> Any:
        return self._endpoint

    @property
    def slots(self) -> Any:
        return self._endpoint._slots

    def run(self, seconds: float) -> None:
        end_ms = self.local_ms + round(seconds * 1000)
        with contextlib.chdir(self._folder):
            while self.local_ms < end_ms:
                self._turn(end_ms)

    def _turn(self, end_ms: int) -> None:
        wait_ms = max(1, self.meter.wait_ms())
        self.local_ms += min(wait_ms, end_ms - self.local_ms)
        pace.point()
        for data in self.meter.tick():
            self._keep(data)

    def _keep(self, data: bytes) -> None:
        for kind, sequence, payload in frame.Decoder().feed(data):
            if sequence or kind == REFUSED:
                # The reply to a request, which was held back.
                self._said += data
                continue
            name, fields = messages.decode(kind, payload)
            assert name == "report"
            self.reports.append((self.local_ms, fields))

    def read(self, timeout_s: float) -> bytes:
        """What it says, which may take it some of its time."""
        end_ms = self.local_ms + round(timeout_s * 1000)
        with contextlib.chdir(self._folder):
            while not self._said and self.local_ms < end_ms:
                self._turn(end_ms)
        return super().read(timeout_s)

    def ask(self, name: str, **fields: Any) -> dict[str, Any]:
        return self.link.request(name, **fields).fields

    def refusal(self, name: str, **fields: Any) -> str:
        """The code with which a request is refused; sent as a raw frame, whatever it holds."""
        number, payload = messages.encode(name, fields)
        self.write(frame.encode(number, 0, payload))
        for kind, _, answer in frame.Decoder().feed(self.read(30)):
            name, reply = messages.decode(kind, answer)
            if name == "refused":
                return NAMES[reply["code"]]
        raise AssertionError("it was not refused")

    def recovery_words(self, slot: int) -> list[int]:
        """C of a slot, as the journal keeps it."""
        with contextlib.chdir(self._folder):
            return list(self.slots._kept_report(slot)[0])

    def reported(self) -> list[int]:
        return [fields["slot"] for _, fields in self.reports]

    def records(self) -> list[dict[str, int]]:
        return live_street.home_records(self.files())
