"""The serve loop and the endpoint behind it: what no host may do to a watched board."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hil.twin import Twin
from hushfw import endpoint, life, serve, store
from hushfw.core import frame, messages, pace
from hushfw.core.errors import CODES, HushError
from hushmeter.link import Link
from tests.meter import kit

WRITE_MS = 500
"""How long a board's USB waits for a host that reads nothing, before it drops the rest."""


class DeafHost:
    """A link whose host asks much at once and reads nothing."""

    def __init__(self, reads: list[bytes]) -> None:
        self.now_ms = 0
        self.written = 0
        self._reads = reads

    def read(self, wait_ms: int) -> bytes:
        if not self._reads:
            raise EOFError
        return self._reads.pop(0)

    def write(self, data: bytes) -> None:
        self.now_ms += WRITE_MS
        self.written += 1


class Talkative(endpoint.Broken):
    """Sends five frames of its own accord in each turn."""

    def work(self) -> list[tuple[str, dict[str, Any]]]:
        return [("ok", {})] * 5


@pytest.fixture(autouse=True)
def no_hook() -> Iterator[None]:
    before = pace.install(None)
    yield
    pace.install(before)
    pace.guard(None)


def requests(name: str, count: int) -> bytes:
    number, payload = messages.encode(name, {})
    return b"".join(frame.encode(number, 1 + i, payload) for i in range(count))


@pytest.mark.parametrize("data", [requests("hello_request", 40), b"\0\5a\0" * 40])
def test_a_host_that_reads_nothing_does_not_starve_the_watchdog(data: bytes) -> None:
    link = DeafHost([data])
    hungry_ms = [0]

    def feed() -> None:
        hungry_ms.append(link.now_ms - fed[-1])
        fed.append(link.now_ms)

    fed = [0]
    pace.guard(feed)
    with pytest.raises(EOFError):
        serve.serve(link, Talkative(HushError("storage", "x"), life.Life()))
    feed()
    assert link.written > 5
    assert max(hungry_ms) <= WRITE_MS


def test_rows_of_a_month_are_caught_up_with_without_starving_the_watchdog(
    enrolled_once: kit.Street, tmp_path: Path
) -> None:
    files = {p.name: p.read_bytes() for p in enrolled_once.meters[1].unix.storage.iterdir()}
    twin = Twin(tmp_path / "twin", files)
    link = Link(twin, tries=1)
    link.request("feed", start_s=kit.START_S, row_s=kit.SLOT_S, rows=bytes(4 * 200))
    fed = []
    pace.guard(lambda: fed.append(1))
    slots_at_feed = []
    home_log = twin._endpoint._home_log
    append = home_log.append
    home_log.append = lambda *fields: (slots_at_feed.append(len(fed)), append(*fields))
    link.request("advance", now_s=kit.end_s(10_000))
    assert len(slots_at_feed) == 200
    assert slots_at_feed == sorted(set(slots_at_feed))


def test_mending_a_torn_file_feeds_the_watchdog(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pairs.bin").write_bytes(bytes(1000 * store.PAIR_BYTES + 1))
    fed: list[int] = []
    pace.guard(lambda: fed.append(1))
    store.PairSecrets()
    assert Path("pairs.bin").stat().st_size == 1000 * store.PAIR_BYTES
    assert len(fed) >= 1000 * store.PAIR_BYTES // 512


def test_figures_that_no_message_can_hold_refuse_the_request_and_end_nothing() -> None:
    class Old(endpoint.Broken):
        def wear(self) -> dict[str, int]:
            return super().wear() | {"journal_bytes": 1 << 32}

    made = Old(HushError("storage", "x"), life.Life())
    number, payload = messages.encode("life_request", {})
    (reply,) = made.receive(number, 7, payload)
    ((kind, sequence, body),) = frame.Decoder().feed(reply)
    name, fields = messages.decode(kind, body)
    assert (name, sequence, fields["code"]) == ("refused", 7, CODES["bad_message"])
    assert "journal_bytes" in fields["detail"]


def test_a_write_and_its_clearing_away_that_both_fail_are_one_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def full(*arguments: object) -> None:
        raise OSError(28)

    monkeypatch.setattr(store.os, "rename", full)
    monkeypatch.setattr(store.os, "remove", full)
    with pytest.raises(HushError) as caught:
        store.replace("x", [b"y"])
    assert caught.value.code == "storage"
