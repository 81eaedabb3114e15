"""Masks and keys made ahead: the same words, nothing kept longer, nothing lost in a cut.

A keyring runs here on CPython in a folder of its own; secrets are hashes of numbers.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import masked_words
import pytest

from hil.twin import Twin
from hushfw import ahead, keyring
from hushfw.core import masking
from hushfw.core import roster as rosters
from hushfw.core.errors import HushError
from hushmeter.link import Link
from tests.meter import kit

SLOTS_A_DAY = 4
FIRST_DAY = 100


def made_up(what: str, number: int) -> bytes:
    return hashlib.sha256(b"%s %d" % (what.encode(), number)).digest()


class Pairs:
    """Stored secrets of everybody."""

    def secret(self, partner: int, public_key: bytes) -> bytes:
        return made_up("secret", partner)

    def found(self, parties: Any) -> Iterator[tuple[int, bytes, bytes]]:
        for partner, public_key in parties:
            yield partner, public_key, made_up("secret", partner)


class Street:
    """What `ahead.Masks` needs of an enrolment: a roster, this meter's index in it, its keys."""

    def __init__(self, members: int, own_index: int, lanes: int = 1, epoch: int = 1) -> None:
        self.own_index = own_index
        self.roster = SimpleNamespace(
            hash=made_up("roster", epoch),
            supplier_key=made_up("key", 0),
            epoch=epoch,
            members=members,
            lanes=lanes,
            first_slot=1,
            last_slot=10 * SLOTS_A_DAY,
            day=lambda slot: FIRST_DAY + (slot - 1) // SLOTS_A_DAY,
        )
        self._members = b"".join(
            (i + 1).to_bytes(4, "big") + made_up("key", i + 1) for i in range(members)
        )
        self.keys = self.new_keys()
        self.keys.derive(self.read_at)

    def read_at(self, offset: int, size: int) -> bytes:
        return self._members[offset - rosters.HEADER_BYTES :][:size]

    def new_keys(self) -> Any:
        own = self.own_index + 1
        identity: Any = SimpleNamespace(public_key=made_up("key", own))
        return keyring.Keyring(self.roster, own, self.own_index, identity, Pairs())

    def partner_keys(self, slot: int) -> Iterator[tuple[int, bytes, bytes]]:
        """(index, mask key, answer key) of every partner, from the secrets alone."""
        own = self.own_index
        for index in set(range(self.roster.members)) - {own}:
            low, high = sorted((own, index))
            both = (low + 1, high + 1, made_up("key", low + 1), made_up("key", high + 1))
            prk = masking.kdf.hkdf_extract(self.roster.hash, made_up("secret", index + 1))
            pair = [masking.subkey(prk, purpose, *both) for purpose in (b"mask", b"answer")]
            for day in range(FIRST_DAY + 1, self.roster.day(slot) + 1):
                pair = [masking.next_day_key(key, day) for key in pair]
            yield index, pair[0], pair[1]

    def dummies(self, slot: int) -> list[int]:
        """The sum of D by the masks' definition."""
        sums = [0] * self.roster.lanes
        for index, mask_key, _ in self.partner_keys(slot):
            pad = masking.pads(mask_key, masking.USE_DUMMY, 1, slot, self.roster.lanes)
            for lane, word in enumerate(pad):
                sums[lane] += word if self.own_index > index else -word
        return sums


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    # One piece of sixteen partners a step, however fast this machine is.
    monkeypatch.setattr(ahead, "_STEP_MS", 0)
    return tmp_path


def key_files() -> set[str]:
    return {name for name in os.listdir() if name.startswith("keys-")}


def kept(*days: int) -> set[str]:
    return {f"keys-1-{day}.bin" for day in days}


def early(day: int) -> str:
    return f"keys-1-{day}.new"


def work_through(masks: ahead.Masks, slot: int) -> int:
    steps = 0
    while masks.step(slot):
        steps += 1
    return steps


@pytest.mark.parametrize(("members", "own_index"), [(2, 0), (2, 1), (50, 0), (50, 20), (50, 49)])
@pytest.mark.parametrize("lanes", [1, 2])
def test_a_sum_begun_ahead_and_finished_in_the_slot_is_the_sum(
    folder: Path, members: int, own_index: int, lanes: int
) -> None:
    street = Street(members, own_index, lanes)
    wanted = street.dummies(2)
    masks = ahead.Masks(street)
    most = work_through(masks, 2)
    for steps in range(most + 2):
        masks = ahead.Masks(street)
        for _ in range(steps):
            masks.step(2)
        assert masks.dummies(2) == wanted, steps


def test_a_sum_is_taken_once_and_serves_one_slot(folder: Path) -> None:
    street = Street(30, 12)
    masks = ahead.Masks(street)
    work_through(masks, 1)
    assert masks.dummies(2) == street.dummies(2)
    assert masks._sum is None
    work_through(masks, 1)
    masks.step(3)
    assert masks.dummies(1) == street.dummies(1)
    assert masks.dummies(1) == street.dummies(1)


def test_a_new_roster_drops_the_sum_and_the_keys_made_ahead(folder: Path) -> None:
    old = Street(30, 12)
    enrolment = SimpleNamespace(roster=old.roster, keys=old.keys, own_index=old.own_index)
    masks = ahead.Masks(enrolment)
    work_through(masks, 1)
    assert early(FIRST_DAY + 1) in key_files()
    old.keys.drop_early()
    new = Street(20, 3, epoch=2)
    new.keys.erase_other_epochs()
    enrolment.roster, enrolment.keys, enrolment.own_index = new.roster, new.keys, new.own_index
    assert key_files() == {f"keys-2-{FIRST_DAY}.bin"}
    assert masks.dummies(1) == new.dummies(1)


def test_a_piece_that_fails_takes_the_sum_with_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of a piece is added when memory runs out; the report makes the sum anew."""
    street = Street(50, 25)
    masks = ahead.Masks(street)
    masks.step(1)
    whole = type(masks._sum).add

    def torn(self: Any, keys: bytes, at: int, stride: int, count: int, positive: bool) -> None:
        whole(self, keys, at, stride, count // 2, positive)
        raise MemoryError

    with monkeypatch.context() as broken:
        broken.setattr(type(masks._sum), "add", torn)
        assert masks.step(1) is False
        assert masks.step(1) is False
    assert masks.dummies(1) == street.dummies(1)


def test_answers_by_pieces_are_the_answers_by_definition(folder: Path) -> None:
    chance = random.Random(3)
    for own_index in (0, 16, 22, 39):
        street = Street(40, own_index, lanes=2)
        others = [i for i in range(40) if i != own_index]
        for size in (0, 1, 5, 19, 39):
            silent = sorted(chance.sample(others, size))
            bits = masking.silent_map(40, silent)
            digest = masking.silent_digest(street.roster.hash, 2, bits)
            wanted = masked_words.answer_words(
                own_index, street.partner_keys(2), [7, 8], 2, bits, digest
            )
            dummies, bound = ahead.Masks(street).lifts(2, silent, digest)
            assert masking.lifted(dummies, bound, [7, 8]) == wanted


def test_keys_made_ahead_are_those_that_the_slot_would_make(folder: Path) -> None:
    street = Street(30, 12)
    day, following = FIRST_DAY, FIRST_DAY + 1
    work_through(ahead.Masks(street), 1)
    made = Path(early(following)).read_bytes()
    street.keys.drop_early()
    assert key_files() == kept(day)
    street.keys.use(following)
    assert Path(f"keys-1-{following}.bin").read_bytes() == made


def test_no_day_is_kept_longer_or_shorter_than_without_work_ahead(folder: Path) -> None:
    """At each slot's start, while idle, and after its report: the days that have a key file."""

    def life(idle: bool) -> list[set[str]]:
        street = Street(5, 2)
        masks = ahead.Masks(street)
        seen = []
        for slot in range(1, 5 * SLOTS_A_DAY):
            if idle:
                work_through(masks, slot)
            seen.append({name for name in key_files() if name.endswith(".bin")})
            assert masks.dummies(slot) == street.dummies(slot)
            seen.append({name for name in key_files() if name.endswith(".bin")})
            assert key_files() - seen[-1] <= {early(street.roster.day(slot) + 1)}
        for name in key_files():
            os.remove(name)
        return seen

    with_idle, without = life(True), life(False)
    assert with_idle == without
    assert max(len(days) for days in with_idle) == 2


def test_a_new_days_masks_are_made_before_yesterdays_keys_go(folder: Path) -> None:
    """A slot of the day before yesterday may be completed until the first report of today."""
    street = Street(5, 2)
    masks = ahead.Masks(street)
    for slot in (1, SLOTS_A_DAY + 1):
        work_through(masks, slot)
        masks.dummies(slot)
    work_through(masks, SLOTS_A_DAY + 1)
    first = 2 * SLOTS_A_DAY + 1
    work_through(masks, first)
    assert masks._done == street.keys.partners
    assert key_files() == kept(FIRST_DAY, FIRST_DAY + 1) | {early(FIRST_DAY + 2)}
    street.keys.use(FIRST_DAY)
    assert masks.dummies(first) == street.dummies(first)
    assert key_files() == kept(FIRST_DAY + 1, FIRST_DAY + 2)


def test_the_first_slot_of_a_day_finishes_keys_that_were_begun(folder: Path) -> None:
    street = Street(30, 12)
    for steps in range(12):
        for _ in range(steps):
            street.keys.make_early(FIRST_DAY + 1)
        slot = SLOTS_A_DAY + 1
        assert ahead.Masks(street).dummies(slot) == street.dummies(slot)
        assert key_files() == kept(FIRST_DAY, FIRST_DAY + 1)
        street.keys.derive(street.read_at)


def test_a_power_cut_while_keys_are_made_ahead_leaves_what_was_there(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After every step, and with every length that the unfinished file may have been left with."""
    street = Street(20, 7)
    day = FIRST_DAY
    wanted = street.dummies(SLOTS_A_DAY + 1)
    cuts = 0
    while not street.keys.is_there(day + 1):
        street.keys.make_early(day + 1)
        size = os.path.getsize(early(day + 1))
        for length in {0, size // 2, size}:
            cut = tmp_path_factory.mktemp("cut")
            shutil.copytree(folder, cut, dirs_exist_ok=True)
            os.truncate(cut / early(day + 1), length)
            with monkeypatch.context() as there:
                there.chdir(cut)
                booted = street.new_keys()
                booted.check()
                assert key_files() == kept(day)
                enrolment = SimpleNamespace(roster=street.roster, keys=booted, own_index=7)
                assert ahead.Masks(enrolment).dummies(SLOTS_A_DAY + 1) == wanted
                assert key_files() == kept(day, day + 1)
            cuts += 1
    assert cuts > 10


def test_a_full_flash_is_not_tried_again_and_the_masks_are_made_all_the_same(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    street = Street(30, 12)
    masks = ahead.Masks(street)
    tries = []

    def full(day: int) -> None:
        tries.append(day)
        raise OSError(28)

    with monkeypatch.context() as no_room:
        no_room.setattr(street.keys, "make_early", full)
        for slot in (1, 2, 3):
            work_through(masks, slot)
            assert masks._done == street.keys.partners
            assert masks.dummies(slot) == street.dummies(slot)
    assert tries == [FIRST_DAY + 1]
    slot = SLOTS_A_DAY + 1
    assert masks.dummies(slot) == street.dummies(slot)


def test_a_failure_half_way_is_not_taken_for_a_finished_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    street = Street(30, 12)
    street.keys.make_early(FIRST_DAY + 1)

    def fails(keys: bytes, day: int) -> bytes:
        raise MemoryError

    with monkeypatch.context() as broken:
        broken.setattr(masking, "next_day_keys", fails)
        with pytest.raises(MemoryError):
            street.keys.make_early(FIRST_DAY + 1)
    assert not street.keys.is_there(FIRST_DAY + 1)
    assert key_files() == kept(FIRST_DAY)


def test_erased_days_are_not_made_again(folder: Path) -> None:
    street = Street(5, 2)
    for slot in (1, SLOTS_A_DAY + 1, 2 * SLOTS_A_DAY + 1):
        street.keys.use(street.roster.day(slot))
    with pytest.raises(HushError) as late:
        street.keys.use(FIRST_DAY)
    assert late.value.code == "late"
    assert ahead.Masks(street).step(1) is False


def turns(twin: Any) -> int:
    """Turns of the serve loop until the meter has nothing left to do ahead."""
    count = 0
    while True:
        twin._endpoint.tick()
        count += 1
        if not twin._endpoint._busy:
            return count


@pytest.fixture
def twin(enrolled_once: kit.Street, tmp_path: Path) -> Callable[[str], Twin]:
    """Meter 1 on this interpreter, on a copy of its storage; the same at every call."""
    storage = enrolled_once.meters[1].unix.storage
    files = {path.name: path.read_bytes() for path in storage.iterdir() if path.is_file()}
    return lambda name: Twin(tmp_path / name, files)


def test_reports_are_the_same_bytes_with_and_without_idle_time(
    twin: Callable[[str], Twin], monkeypatch: pytest.MonkeyPatch
) -> None:
    def report(idle: bool) -> bytes:
        meter = twin("idle" if idle else "busy")
        link = Link(meter, tries=1)
        for row in range(2):
            fields = {"start_s": kit.START_S + 300 * row, "row_s": 300}
            link.request("feed", rows=bytes(4), **fields)
        link.request("advance", now_s=kit.START_S + 300)
        if idle:
            with monkeypatch.context() as there:
                there.chdir(meter._folder)
                assert turns(meter) > 1
        link.request("advance", now_s=kit.START_S + 600)
        (message,) = link.unasked()
        return message.body

    assert report(True) == report(False)


def test_old_keys_that_cannot_be_removed_cost_no_slot_and_go_with_the_next(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full flash may refuse even to let a file go. The control: a day's keys go when they can."""
    street = Street(5, 2)
    first, second, third = FIRST_DAY, FIRST_DAY + 1, FIRST_DAY + 2
    street.keys.use(second)

    def full(path: str) -> None:
        raise OSError(28)

    with monkeypatch.context() as there:
        there.setattr(keyring.store, "remove", full)
        street.keys.use(third)
        assert ahead.Masks(street).dummies(2 * SLOTS_A_DAY + 1) == street.dummies(
            2 * SLOTS_A_DAY + 1
        )
        assert key_files() == kept(first, second, third)
    street.keys.make_early(third + 1)
    street.keys.use(third)
    assert key_files() == kept(second, third) | {early(third + 1)}
    while not street.keys.is_there(third + 1):
        street.keys.make_early(third + 1)
    street.keys.use(third + 1)
    assert key_files() == kept(third, third + 1)


@pytest.mark.parametrize("name", ["keys-x.bin", "keys-1.bin", "keys-1-2-3.bin", "keys--1-2.bin"])
def test_a_file_that_only_looks_like_keys_is_left_alone(folder: Path, name: str) -> None:
    street = Street(5, 2)
    Path(name).write_bytes(b"somebody's")
    street.keys.check()
    street.keys.use(FIRST_DAY + 1)
    street.keys.use(FIRST_DAY + 2)
    assert key_files() == kept(FIRST_DAY + 1, FIRST_DAY + 2) | {name}
