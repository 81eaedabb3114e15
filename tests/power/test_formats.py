"""A meter's storage as earlier firmware wrote it, and as a later one might.

The fixtures were written by the real firmware of earlier commits (tests/fixtures/formats). Today's
goes on with them and uses no slot twice, or says what to do.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hushmeter.cluster import enrolment
from hushmeter.cluster import roster as rosters
from hushmeter.cluster.roster import Authority
from hushmeter.cluster.supplier import Supplier
from hushmeter.emulate.unix import UnixMeter
from hushmeter.link import Link, Refused
from tests.fixtures.formats import make_meter
from tests.fixtures.formats.make_meter import OWN_ID, SLOT_S, START_S, Talk

FORMATS = Path(__file__).resolve().parents[1] / "fixtures" / "formats"
READ = ["meter-922dd56", "meter-05d6270"]
NEWEST = "meter-05d6270"
OLDER_JOURNAL = "meter-77b01ab"
NEXT_SLOT = 5
"""Three were reported, and the fourth was closed."""


def unpack(name: str, storage: Path) -> None:
    """Make the storage folder of a fixture."""
    storage.mkdir()
    for file, content in json.loads((FORMATS / name / "storage.json").read_text()).items():
        (storage / file).write_bytes(bytes.fromhex(content))


@contextmanager
def meter_on(name: str, folder: Path) -> Iterator[tuple[Link, Path]]:
    """Today's firmware on a copy of a fixture."""
    storage = folder / "meter"
    if not storage.exists():
        unpack(name, storage)
    meter = UnixMeter(storage)
    meter.start()
    try:
        yield Link(meter, timeout_s=30.0), storage
    finally:
        meter.kill()


def told(name: str) -> dict[str, dict[int, bytes]]:
    kept = json.loads((FORMATS / name / "told.json").read_text())
    return {
        what: {int(slot): bytes.fromhex(body) for slot, body in bodies.items()}
        for what, bodies in kept.items()
    }


def parties() -> tuple[Authority, Supplier]:
    return Authority(make_meter.secret("authority")), Supplier(make_meter.secret("supplier"))


def resent(link: Link, slot: int, turn: int) -> bytes | None:
    try:
        return link.request("resend", epoch=1, slot=slot, round=turn).body
    except Refused:
        return None


@pytest.mark.parametrize("name", READ)
def test_a_meter_goes_on_where_earlier_firmware_stopped(name: str, tmp_path: Path) -> None:
    before = told(name)
    with meter_on(name, tmp_path) as (link, storage):
        hello = link.request("hello_request").fields
        assert (hello["problem"], hello["epoch"], hello["next_slot"]) == ("", 1, NEXT_SLOT)
        # What was answered or declared silent is not reported again.
        assert [resent(link, slot, 1) for slot in (1, 2, 3)] == [None, before["reports"][2], None]
        talk = Talk(link, parties()[1])
        roster = rosters.parse((storage / "roster-1.bin").read_bytes())
        talk.use(roster)
        for slot in (1, 2, 3, 4):
            # The load comes again, and another S: nothing that was masked or answered is so anew.
            talk.feed(slot)
            talk.announce(slot, 4)
        assert set(talk.answers) == {"2"}
        talk.announce(1)
        assert bytes.fromhex(talk.answers["1"]) == before["answers"][1]
        talk.feed(NEXT_SLOT)
        talk.advance(START_S + NEXT_SLOT * SLOT_S)
        assert set(talk.reports) == {str(NEXT_SLOT)}
    with meter_on(name, tmp_path) as (link, _):
        assert link.request("hello_request").fields["next_slot"] == NEXT_SLOT + 1
        assert resent(link, 1, 2) == before["answers"][1]


def test_a_meter_with_an_earlier_roster_takes_the_next_one(tmp_path: Path) -> None:
    authority, supplier = parties()
    with meter_on(READ[0], tmp_path) as (link, storage):
        own_key = link.request("hello_request").fields["public_key"]
        first = rosters.parse((storage / "roster-1.bin").read_bytes())
        plan = make_meter.street_plan(2, previous=first.hash)
        second = authority.sign(plan, make_meter.members(own_key), supplier.public_key)
        enrolment.deliver({OWN_ID: link}, second)
        talk = Talk(link, supplier)
        talk.use(second)
        talk.feed(NEXT_SLOT)
        talk.advance(START_S + NEXT_SLOT * SLOT_S)
        talk.announce(NEXT_SLOT)
        assert set(talk.reports) == set(talk.answers) == {str(NEXT_SLOT)}
        assert link.request("hello_request").fields["epoch"] == 2


def refuses(name: str, folder: Path) -> str:
    """What the meter says is wrong; it must then do nothing and leave its files alone."""
    with meter_on(name, folder) as (link, storage):
        before = {path.name: path.read_bytes() for path in storage.iterdir()}
        problem = str(link.request("hello_request").fields["problem"])
        for slot in (1, NEXT_SLOT):
            assert resent(link, slot, 1) is None
            with pytest.raises(Refused):
                link.request("advance", now_s=START_S + slot * SLOT_S)
        after = {path.name: path.read_bytes() for path in storage.iterdir()}
        del before["seed.bin"], after["seed.bin"]
        assert after == before
    return problem


def test_a_journal_without_checked_heads_is_refused_and_says_what_to_do(tmp_path: Path) -> None:
    assert "provision and enrol this meter anew" in refuses(OLDER_JOURNAL, tmp_path)


def unknown_kind(kind: int) -> Callable[[bytes], bytes]:
    """The journal with one more record, sound, of a kind that nobody knows here."""
    head = struct.pack(">BH", kind, 3)
    head += struct.pack(">H", zlib.crc32(head) & 0xFFFF)
    record = head + b"new"
    return lambda data: data + record + struct.pack(">I", zlib.crc32(record))


def longer(data: bytes) -> bytes:
    """A file under a checksum with one more field."""
    body = data[:-4] + b"\x02"
    return body + zlib.crc32(body).to_bytes(4, "big")


def marked(data: bytes) -> bytes:
    """A key file with the mark of a later format behind its check."""
    return data + b"\x02"


NEWER: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "a kind of record": ("journal.bin", unknown_kind(14)),
    "the last kind": ("journal.bin", unknown_kind(255)),
    "kind 0": ("journal.bin", unknown_kind(0)),
    "a longer seed": ("seed.bin", longer),
    "a longer identity": ("identity.bin", longer),
    "a marked key file": ("keys-1-19676.bin", marked),
}


@pytest.mark.parametrize("change", NEWER)
def test_a_newer_format_is_refused_by_name_and_left_as_it_is(change: str, tmp_path: Path) -> None:
    name, make = NEWER[change]
    storage = tmp_path / "meter"
    unpack(NEWEST, storage)
    (storage / name).write_bytes(make((storage / name).read_bytes()))
    changed = (storage / name).read_bytes()
    problem = refuses(NEWEST, tmp_path)
    assert "is a newer firmware's: deploy that one again" in problem
    assert (storage / name).read_bytes() == changed


def test_a_newer_configuration_is_refused_by_its_version(tmp_path: Path) -> None:
    storage = tmp_path / "meter"
    unpack(NEWEST, storage)
    settings: dict[str, Any] = json.loads((storage / "config.json").read_text())
    (storage / "config.json").write_text(json.dumps({**settings, "version": 2}))
    assert refuses(NEWEST, tmp_path) == ("bad_config: version: must be an integer from 1 to 1")


def test_a_newer_roster_is_not_used(tmp_path: Path) -> None:
    """Under its own hash, as a newer firmware would have taken it into use."""
    storage = tmp_path / "meter"
    unpack(NEWEST, storage)
    data = (storage / "roster-1.bin").read_bytes()
    body = data[:4] + b"\x02" + data[5:-64]
    (storage / "roster-1.bin").write_bytes(body + data[-64:])
    payload = (1).to_bytes(4, "big") + hashlib.sha256(body).digest()
    head = struct.pack(">BH", 1, len(payload))
    head += struct.pack(">H", zlib.crc32(head) & 0xFFFF)
    record = head + payload + struct.pack(">I", zlib.crc32(head + payload))
    with (storage / "journal.bin").open("ab") as journal:
        journal.write(record)
    assert "enrol this meter anew" in refuses(NEWEST, tmp_path)
