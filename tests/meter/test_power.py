"""What holds on a meter whose power is cut, whose storage is damaged, or whose storage is full.

A cut is a SIGKILL; storage is the folder that the process leaves behind.
"""

import os
import random
import resource
import shutil
import signal
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from hushfw.ledger import Ledger
from hushmeter.cluster.roster import LanePlan
from hushmeter.errors import HushmeterError
from hushmeter.link import Link, LinkTimeout, Refused
from tests.meter import kit

KILLS = 50
QUIET = {
    "lanes": (LanePlan(kit.CAP_WH, None),),
    "allowed_modes": ("fixed-seed", "no-noise"),
    "report_window_s": 3600,
}


@pytest.fixture
def quiet_street(tmp_path: Path) -> Iterator[kit.Street]:
    """Enrolled without noise, so that totals are exact."""
    modes = ("fixed-seed", "no-noise")
    for made in kit.running(kit.street(tmp_path, permitted_modes=modes)):
        made.enrol(kit.plan(**QUIET))
        yield made


class PowerCut(Exception):
    """The meter died in the middle of a request."""


def ask_and_cut(meter: kit.Meter, delay_s: float, name: str, **fields: object) -> None:
    """Send a request and cut the power some time later, whatever the meter is doing then."""
    timer = threading.Timer(delay_s, meter.unix._process.kill)
    meter.link.post(name, **fields)
    timer.start()
    deadline = time.monotonic() + 10
    try:
        while time.monotonic() < deadline:
            meter.link.pump(0.2)
    except HushmeterError:
        pass
    timer.join()
    for message in [*meter.link.unasked(), *meter.link._replies]:
        meter.record(message)
    meter.restart()


def test_cuts_at_random_moments_never_mask_or_answer_a_slot_twice(
    quiet_street: kit.Street,
) -> None:
    """Meter 1 is killed fifty times, in reports and in answers; the others run on."""
    chance = random.Random(20)
    meter = quiet_street.meters[1]
    others = [m for i, m in quiet_street.meters.items() if i != 1]
    next_slot = meter.hello()["next_slot"]
    completed = 0
    for slot in range(1, KILLS // 2 + 1):
        for other in others:
            other.run(slot)
        meter.feed(slot)
        ask_and_cut(meter, chance.uniform(0, 0.006), "advance", now_s=kit.end_s(slot))
        assert meter.hello()["next_slot"] >= next_slot
        next_slot = meter.hello()["next_slot"]
        try:
            meter.ask("resend", epoch=1, slot=slot, round=1)
        except Refused:
            # Not journalled, so it never left; the load is still there, and the time not over.
            assert slot not in meter.reports
            meter.run(slot)
        announced = quiet_street.announcement(1, slot, quiet_street.silent())
        ask_and_cut(meter, chance.uniform(0, 0.006), "announce", **announced)
        assert meter.hello()["next_slot"] == slot + 1
        next_slot = slot + 1
        meter.ask("announce", **announced)
        for meter_id, other in quiet_street.meters.items():
            if meter_id != 1:
                fields = quiet_street.announcement(meter_id, slot, quiet_street.silent())
                other.ask("announce", **fields)
        reports = {i: m.reports[slot][-1] for i, m in quiet_street.meters.items()}
        answers = {i: m.answers[slot][-1] for i, m in quiet_street.meters.items()}
        completed += quiet_street.total(slot, reports, answers) == [400]
    assert all(len(set(bodies)) == 1 for bodies in meter.reports.values())
    assert all(len(set(bodies)) == 1 for bodies in meter.answers.values())
    assert completed == KILLS // 2
    assert meter.hello()["boots"] == KILLS + 1


def records(journal: bytes) -> list[tuple[int, int, bytes]]:
    """(end, kind, payload) of every record, read by the layout that store.py documents."""
    out, at = [], 0
    while at < len(journal):
        kind, size, check = struct.unpack_from(">BHH", journal, at)
        assert check == zlib.crc32(journal[at : at + 3]) & 0xFFFF
        end = at + 9 + size
        assert struct.unpack_from(">I", journal, end - 4)[0] == zlib.crc32(journal[at : end - 4])
        out.append((end, kind, journal[at + 5 : end - 4]))
        at = end
    return out


REPORT_RECORD, ANSWER_RECORD, LEDGER_RECORD = 2, 3, 8


def _lengths(first: int, ends: list[int]) -> list[int]:
    """Every length about a record's end and head, and each fifth in between; all if asked for."""
    step = 1 if os.environ.get("HUSHMETER_MORE") else 5
    return [
        length
        for length in range(first, ends[-1] + 1)
        if length % step == 0 or any(-4 <= length - end <= 8 for end in ends)
    ]


def test_a_journal_cut_at_any_byte_keeps_every_report_and_answer_that_left(
    enrolled_once: kit.Street, tmp_path: Path
) -> None:
    """A message leaves once its record is whole. So what left by the time that the journal had a
    length is in it at that length, and is what the meter goes on with.
    """
    made = kit.copy(enrolled_once, tmp_path / "run")
    meter = made.meters[1]
    meter.run(1)
    meter.ask("announce", **made.announcement(1, 1, made.silent(4)))
    meter.run(2)
    kit.stop(made)
    journal = meter.storage()["journal.bin"]
    whole = records(journal)
    enrolled = next(end for end, kind, _ in whole if kind == 1)
    for length in _lengths(enrolled, [end for end, _, _ in whole]):
        storage = tmp_path / f"cut-{length}"
        shutil.copytree(meter.unix.storage, storage)
        (storage / "journal.bin").write_bytes(journal[:length])
        kept = [(kind, payload) for end, kind, payload in whole if end <= length]
        left = {
            REPORT_RECORD: [_slot(p) for kind, p in kept if kind == REPORT_RECORD],
            ANSWER_RECORD: [_slot(p) for kind, p in kept if kind == ANSWER_RECORD],
        }
        cut = kit.boot(1, storage)
        last = max(left[REPORT_RECORD], default=0)
        assert cut.hello()["next_slot"] == last + 1, length
        for slot in left[ANSWER_RECORD]:
            resent = cut.ask("resend", epoch=1, slot=slot, round=2)
            assert resent.body == meter.answers[slot][0]
        if last and last not in left[ANSWER_RECORD]:
            assert cut.ask("resend", epoch=1, slot=last, round=1).body == meter.reports[last][0]
        # It goes on, and what it writes behind the cut is whole again.
        cut.run(last + 1)
        cut.unix.kill()
        after = [(kind, p) for _, kind, p in records((storage / "journal.bin").read_bytes())]
        assert after[-1][0] == REPORT_RECORD and _slot(after[-1][1]) == last + 1
        # A torn end is left behind by a rewrite, which puts sums in place of the ledger's records.
        assert _without_sums(after)[:-1] == _without_sums(kept)
        assert _counted(after[:-1]) == _counted(kept) == len(left[REPORT_RECORD])
        assert _counted(after) == last + 1
        shutil.rmtree(storage)


def _slot(payload: bytes) -> int:
    return int.from_bytes(payload[:8], "big")


def _without_sums(kept: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    return [(kind, payload) for kind, payload in kept if kind != LEDGER_RECORD]


def _counted(kept: list[tuple[int, bytes]]) -> int:
    """The reports that the ledger makes of a journal's records."""
    ledger = Ledger()
    for kind, payload in kept:
        if kind == LEDGER_RECORD:
            ledger.restore(payload)
        elif kind == REPORT_RECORD:
            ledger.count(_slot(payload))
    return int(ledger.reports)


def test_a_damaged_byte_anywhere_in_the_journal_stops_the_meter(
    enrolled_once: kit.Street, tmp_path: Path
) -> None:
    made = kit.copy(enrolled_once, tmp_path / "run")
    made.meters[1].run(1)
    kit.stop(made)
    storage = made.meters[1].unix.storage
    journal = (storage / "journal.bin").read_bytes()
    chance = random.Random(3)
    for at in chance.sample(range(len(journal)), 60) + [len(journal) - 1]:
        damaged = bytearray(journal)
        damaged[at] ^= 1 << chance.randrange(8)
        (storage / "journal.bin").write_bytes(damaged)
        assert_broken(storage, "journal")


def assert_broken(storage: Path, names: str) -> None:
    """The meter boots, says what is wrong, does nothing else, and lets the host in."""
    before = {p.name: p.read_bytes() for p in storage.iterdir()}
    meter = kit.boot(1, storage)
    hello = meter.hello()
    assert names in hello["problem"], hello["problem"]
    assert hello["public_key"] == bytes(32)
    for name, fields in {
        "advance": {"now_s": kit.end_s(2)},
        "feed": {"start_s": kit.START_S, "row_s": 600, "rows": bytes(4)},
        "resend": {"epoch": 1, "slot": 1, "round": 1},
        "announce": {"epoch": 1, "slot": 1, "silent": b"\0", "tag": bytes(16)},
        "stored": {"epoch": 1, "slot": 1, "round": 1, "tag": bytes(16)},
        "roster_begin": {"size": 500, "digest": bytes(32)},
        "status_request": {},
    }.items():
        code, detail = meter.refusal(name, **fields)
        assert code in ("storage", "not_provisioned", "bad_config"), name
        assert detail
    assert not meter.reports and not meter.answers
    assert meter.ask("maintenance").name == "ok"
    meter.unix.close()
    after = {p.name: p.read_bytes() for p in storage.iterdir()}
    # The seed is replaced before anything else is looked at; nothing else changes.
    assert {n: d for n, d in after.items() if n != "seed.bin"} == {
        n: d for n, d in before.items() if n != "seed.bin"
    }


@pytest.mark.parametrize("name", ["seed.bin", "identity.bin", "keys-1-19676.bin", "roster-1.bin"])
def test_a_damaged_file_stops_the_meter_with_its_reason(
    enrolled_once: kit.Street, tmp_path: Path, name: str
) -> None:
    made = kit.copy(enrolled_once, tmp_path / "run")
    made.meters[1].run(1)
    kit.stop(made)
    storage = made.meters[1].unix.storage
    good = (storage / name).read_bytes()
    chance = random.Random(name)
    # A roster's signature was checked when it was taken; what is used of it is under its hash.
    size = len(good) - (64 if name.startswith("roster") else 0)
    spoilt = [good[:at] for at in (0, 1, 10, size - 1)]
    for at in [0, size - 1, *chance.sample(range(size), 6)]:
        spoilt.append(good[:at] + bytes((good[at] ^ 1 << chance.randrange(8),)) + good[at + 1 :])
    for data in spoilt:
        (storage / name).write_bytes(data)
        assert_broken(storage, name.split("-")[0].split(".")[0].rstrip("s"))
    (storage / name).write_bytes(good)
    whole = kit.boot(1, storage)
    assert whole.hello()["problem"] == ""
    whole.unix.kill()


@pytest.mark.parametrize("name", ["seed.bin", "keys-1-19676.bin", "roster-1.bin", "config.json"])
def test_a_missing_file_stops_the_meter_with_its_reason(
    enrolled_once: kit.Street, tmp_path: Path, name: str
) -> None:
    storage = kit.copy_storage(enrolled_once, tmp_path)
    (storage / name).unlink()
    assert_broken(storage, name.split("-")[0].split(".")[0].rstrip("s"))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"version": 1}', "\ud800", "{}" * 9])
def test_a_configuration_that_is_none_stops_the_meter(tmp_path: Path, text: str) -> None:
    for made in kit.running(kit.street(tmp_path, count=1)):
        made.meters[1].hello()
        kit.stop(made)
        storage = made.meters[1].unix.storage
        (storage / "config.json").write_bytes(text.encode(errors="surrogatepass"))
        assert_broken(storage, "")


def test_no_boot_repeats_the_randomness_of_another(
    enrolled_once: kit.Street, tmp_path: Path
) -> None:
    """With its journal put back by somebody who holds the storage, a meter masks slot 1 again. Its
    recovery words come from its generator, so no two of these reports are equal.
    """
    storage = kit.copy_storage(enrolled_once, tmp_path)
    journal = (storage / "journal.bin").read_bytes()
    seeds, reports = set(), set()
    for boots in range(2, 10):
        (storage / "journal.bin").write_bytes(journal)
        meter = kit.boot(1, storage)
        meter.run(1)
        assert meter.hello()["boots"] == boots
        reports.add(meter.reports[1][0])
        seeds.add(meter.storage()["seed.bin"])
        meter.unix.kill()
    assert len(reports) == len(seeds) == 8


def test_the_seed_is_replaced_before_the_first_output(
    enrolled_once: kit.Street, tmp_path: Path
) -> None:
    """Killed as early as possible, a hundred boots leave either the old seed or a new one."""
    storage = kit.copy_storage(enrolled_once, tmp_path)
    boots = int.from_bytes((storage / "seed.bin").read_bytes()[:4], "big")
    chance = random.Random(8)
    for _ in range(40):
        meter = kit.boot(1, storage)
        time.sleep(chance.uniform(0, 0.03))
        meter.unix.kill()
        seed = (storage / "seed.bin").read_bytes()
        assert len(seed) == 40
        now = int.from_bytes(seed[:4], "big")
        assert now - boots in (0, 1)
        boots = now
    meter = kit.boot(1, storage)
    assert meter.hello()["boots"] == boots + 1
    assert meter.hello()["problem"] == ""
    meter.unix.kill()


def limit_file_size(meter: kit.Meter, size: int) -> None:
    """From here on no file of this process may grow beyond size bytes."""
    hard = resource.RLIM_INFINITY
    resource.prlimit(meter.unix.pid, resource.RLIMIT_FSIZE, (size, hard))


@pytest.fixture
def ignore_file_size_signal() -> Iterator[None]:
    """A child inherits that the signal is ignored; then the write fails instead."""
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGXFSZ, before)


def test_on_full_storage_no_report_leaves_and_it_goes_on_when_there_is_room(
    ignore_file_size_signal: None, enrolled_once: kit.Street, tmp_path: Path
) -> None:
    for made in kit.running(kit.copy(enrolled_once, tmp_path / "run")):
        meter = made.meters[1]
        meter.run(1)
        journal = meter.storage()["journal.bin"]
        for slot, room in enumerate((0, 1, 5, 50), 2):
            limit_file_size(meter, len(journal) + room)
            meter.feed(slot)
            code, detail = meter.refusal("advance", now_s=kit.end_s(slot))
            assert code == "storage" and "free some space" in detail
            assert sorted(meter.reports) == [1]
            assert meter.refusal("resend", epoch=1, slot=slot, round=1)[0] == "wrong_slot"
            fields = made.announcement(1, 1, made.silent(4))
            assert meter.refusal("announce", **fields) == ("refused", "")
            assert not meter.answers
        limit_file_size(meter, resource.RLIM_INFINITY)
        assert meter.ask("announce", **made.announcement(1, 1, made.silent(4)))
        meter.run(60)
        assert sorted(meter.reports) == [1, 60]
        meter.restart()
        assert meter.hello()["next_slot"] == 61
        assert meter.ask("resend", epoch=1, slot=60, round=1).body == meter.reports[60][0]
        assert records(meter.storage()["journal.bin"])


def test_a_cut_on_full_storage_leaves_a_meter_that_boots(
    ignore_file_size_signal: None, enrolled_once: kit.Street, tmp_path: Path
) -> None:
    for made in kit.running(kit.copy(enrolled_once, tmp_path / "run")):
        meter = made.meters[1]
        meter.run(1)
        limit_file_size(meter, len(meter.storage()["journal.bin"]) + 30)
        meter.feed(2)
        assert meter.refusal("advance", now_s=kit.end_s(2))[0] == "storage"
        meter.restart()
        assert meter.hello()["next_slot"] == 2
        meter.run(2)
        assert meter.reports[2]


def test_a_roster_that_finds_no_room_leaves_the_old_one_in_use(
    ignore_file_size_signal: None, enrolled_once: kit.Street, tmp_path: Path
) -> None:
    for made in kit.running(kit.copy(enrolled_once, tmp_path / "run")):
        meter = made.meters[1]
        data = made.sign(kit.plan(epoch=2)).data
        members = [*made.members(), kit.new_member(9), kit.new_member(10)]
        longer = made.sign(kit.plan(epoch=2), members).data
        storage = meter.storage()
        limits = {
            "in the middle of the roster": (data, 100),
            "in the key file": (data, 64),
            "in the journal": (data, len(storage["journal.bin"]) + 10),
            "in the pair secrets": (longer, len(storage["pairs.bin"]) + 100),
        }
        for what, (roster, size) in limits.items():
            limit_file_size(meter, size)
            code, _ = meter.roster_refusal(roster)
            assert code == "storage", what
            assert meter.hello()["epoch"] == 1
            limit_file_size(meter, resource.RLIM_INFINITY)
            assert meter.refusal("roster_commit")[0] in ("bad_roster", "storage")
        meter.run(1)
        meter.restart()
        assert meter.hello()["epoch"] == 1
        meter.take_roster(longer)
        assert meter.hello()["epoch"] == 2
        assert len(meter.storage()["pairs.bin"]) == 6 * 68
        meter.run(2)
        meter.restart()
        assert meter.hello()["problem"] == ""


def test_the_homes_own_log_keeps_whole_records_and_its_limit(tmp_path: Path) -> None:
    for made in kit.running(kit.street(tmp_path, home_log_kib=4)):
        made.enrol()
        meter = made.meters[1]
        meter.run(1)
        path = meter.unix.storage / "home.bin"
        path.write_bytes(path.read_bytes() + b"torn")
        for slot in range(2, 160):
            meter.run(slot)
        files = meter.storage()
        assert len(files["home.bin"]) % 29 == 0
        both = files["home.bin.old"] + files["home.bin"]
        assert len(both) <= 4096 + 2 * 29
        slots = [row[0] for row in struct.iter_unpack(">QqIIIB", both)]
        assert slots == list(range(slots[0], 160))


def test_a_silent_link_times_out_and_says_so(enrolled_once: kit.Street, tmp_path: Path) -> None:
    for made in kit.running(kit.copy(enrolled_once, tmp_path / "run")):
        meter = made.meters[1]
        meter.hello()
        meter.unix._process.send_signal(signal.SIGSTOP)
        with pytest.raises(LinkTimeout):
            Link(meter.unix, timeout_s=0.1, tries=2).request("hello_request")
        meter.unix._process.send_signal(signal.SIGCONT)
        assert Link(meter.unix, timeout_s=5).request("hello_request").fields["meter_id"] == 1
