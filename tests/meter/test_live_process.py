"""A live meter as a process of the unix port: the firmware's own loop, in real time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hil import live_street
from hil.live_street import OWN_ID, START_S, LiveStreet
from hushmeter.cluster.clock import tell_time
from hushmeter.emulate.unix import UnixMeter
from hushmeter.errors import HushmeterError
from hushmeter.link import Link, Refused

SLOT_S = 2
MEMBERS = 4

MACHINE = '''"""Stands for the board's converter: the level is in a file."""


def Pin(number):
    return number


class ADC:
    def __init__(self, pin):
        self.pin = pin

    def read_u16(self):
        with open("level.txt") as f:
            return int(f.read())
'''


@pytest.fixture
def live(tmp_path: Path) -> Iterator[tuple[Link, LiveStreet]]:
    board = tmp_path / "board"
    board.mkdir()
    (board / "machine.py").write_text(MACHINE, encoding="utf-8")
    storage = tmp_path / "meter"
    storage.mkdir()
    street = LiveStreet("unix", MEMBERS, SLOT_S)
    for name, data in street.files(MEMBERS).items():
        (storage / name).write_bytes(data)
    (storage / "level.txt").write_text("65535")
    meter = UnixMeter(storage, modules=(board,))
    meter.start()
    link = Link(meter, timeout_s=20.0)
    live_street.enrol(link, street.sign(MEMBERS))
    yield link, street
    meter.kill()


def test_the_serve_loop_samples_and_reports_unasked(live: tuple[Link, LiveStreet]) -> None:
    link, street = live
    boots = link.request("hello_request").fields["boots"]
    ahead_ms = START_S * 1000 - 300 - time.monotonic_ns() // 1_000_000
    tell_time(
        link,
        street.roster,
        street.own_keys,
        OWN_ID,
        boots,
        lambda: time.monotonic_ns() // 1_000_000 + ahead_ms,
    )
    reports = []
    deadline = time.monotonic() + 20
    while len(reports) < 2 and time.monotonic() < deadline:
        link.pump(0.5)
        reports += link.unasked()
    assert [(m.name, m.fields["slot"], m.fields["flags"]) for m in reports] == [
        ("report", 1, 0),
        ("report", 2, 0),
    ]
    life = link.request("life_request").fields
    assert life["missed_samples"] == 0
    assert 4 <= life["samples"] <= 10
    assert life["worst_late_ms"] < 500
    records = live_street.home_records(link.transport.files())  # type: ignore[attr-defined]
    assert [record["demand_ws"] for record in records[:2]] == [4095 * SLOT_S] * 2


def test_tell_time_gives_up_on_a_refusal_and_not_on_a_meter_at_work(
    live: tuple[Link, LiveStreet], monkeypatch: pytest.MonkeyPatch
) -> None:
    link, street = live
    arguments = (link, street.roster, street.own_keys, OWN_ID)
    with pytest.raises(Refused, match="bad_tag"):
        tell_time(*arguments, boots=7)
    asked = []

    def at_work(name: str, **fields: object) -> None:
        asked.append(fields)
        raise Refused("meter", name, "busy", "")

    monkeypatch.setattr(link, "request", at_work)
    with pytest.raises(HushmeterError, match="took no time"):
        tell_time(*arguments, boots=1, now_ms=iter(range(1, 100)).__next__)
    times = [fields["unix_ms"] for fields in asked]
    assert times == sorted(set(times))
