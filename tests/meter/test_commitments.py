"""Every slot is committed to once, under a signed root, whatever cuts the power or fills the flash.

A driver is played here: it offers each slot's readings, and after a cut other ones for those that
it does not know to be kept. Keys have 1024 bits.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from hushfw import commitments, store
from hushfw.commitments import MOST_GAP, MOST_WAITING, SIGNING_KEY
from hushfw.core import ed25519
from hushfw.core.errors import HushError
from hushmeter.cluster.roster import Authority
from hushmeter.crypto.paillier import PrivateKey, generate
from hushmeter.devices.meter_plan import configuration
from hushmeter.errors import HushmeterError
from tests.meter import kit
from tests.meter.commitments_kit import Bench, Cutter, PowerCut

DAY = 144
HOME_PARTY, UTILITY = 1, 2


@pytest.fixture(scope="module")
def private() -> PrivateKey:
    return generate(1024, insecure=True)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same signatures from another library, no collections: these tests make hundreds."""
    monkeypatch.setattr(gc, "collect", lambda: 0)

    def key(seed: bytes) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(seed)

    def verify(public: bytes, message: bytes, signature: bytes) -> bool:
        with contextlib.suppress(InvalidSignature):
            Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
            return True
        return False

    monkeypatch.setattr(
        ed25519, "public_key", lambda seed: key(seed).public_key().public_bytes_raw()
    )
    monkeypatch.setattr(ed25519, "sign", lambda seed, message: key(seed).sign(message))
    monkeypatch.setattr(ed25519, "verify", verify)


@pytest.fixture
def bench(tmp_path: Path, private: PrivateKey) -> Iterator[Bench]:
    with contextlib.chdir(tmp_path):
        yield Bench(tmp_path, private).boot()


SCENE = (141, 142, 145, 146, 147)
"""Of the last slots of a day and the first of the next; two were not measured."""


def play(bench: Bench, kept: dict[int, set[int]], attempt: int) -> None:
    """Offer the scene's slots that are not done, with readings of this attempt."""
    for slot in SCENE:
        if slot <= bench.bills.state(0)["last_slot"]:
            continue
        if any(slot == waiting for waiting, _ in bench.journal.bills):
            continue
        value = 1000 * attempt + slot
        kept.setdefault(slot, set()).add(value)
        bench.put(slot, value, value + 1)
        # From here on no cut may lose it.
        kept[slot] = {value}
        bench.idle()
    bench.close()


def test_a_cut_at_any_write_leaves_one_commitment_to_every_slot(
    tmp_path: Path, private: PrivateKey
) -> None:
    cuts = 0
    while True:
        folder = tmp_path / f"cut-{cuts}"
        folder.mkdir()
        with contextlib.chdir(folder), pytest.MonkeyPatch.context() as patch:
            cutter = Cutter(patch)
            cutter.at = cuts + 1
            kept: dict[int, set[int]] = {}
            given: list[bytes] = []
            bench = Bench(folder, private, lanes=2)
            try:
                play(bench.boot(), kept, 0)
            except PowerCut:
                given += bench.pool.given if hasattr(bench, "pool") else []
                play(bench.boot(), kept, 1)
                is_last = False
            else:
                is_last = True
            given += bench.pool.given
            found = bench.readings()
            assert list(found) == list(range(141, 148))
            for slot, values in found.items():
                if slot in SCENE:
                    assert values[0] in kept[slot] and values[1] == values[0] + 1, (cuts, slot)
                else:
                    assert values == [None, None]
            firsts = [batch["first_slot"] for batch in bench.batches()]
            assert firsts[0] == 141 and 145 in firsts
            assert len(set(given)) == len(given)
            state = bench.bills.state(0)
            assert state["lost_slots"] == 0 and state["waiting"] == 0
            before = [(b["root"], b["signature"]) for b in bench.batches()]
            assert [(b["root"], b["signature"]) for b in bench.boot().batches()] == before
        if is_last:
            break
        cuts += 1
    assert cuts > 15


def test_a_slot_keeps_the_value_that_was_committed_first(bench: Bench) -> None:
    bench.put(5, 70)
    bench.put(5, 71)
    bench.idle()
    bench.put(5, 72)
    bench.boot().put(5, 73)
    bench.put(4, 74)
    bench.idle()
    bench.close()
    assert bench.readings() == {5: [70]}


def test_bills_count_what_a_report_clips(bench: Bench) -> None:
    bench.put(1, 54321)
    bench.idle()
    bench.close()
    assert bench.readings() == {1: [54321]}


def test_days_that_were_not_measured_are_signed_as_such(bench: Bench) -> None:
    bench.run([10, 3 * DAY + 2])
    bench.close()
    found = bench.batches()
    ends = [(b["first_slot"], b["last_slot"]) for b in found]
    assert ends == [
        (10, DAY), (DAY + 1, 2 * DAY), (2 * DAY + 1, 3 * DAY), (3 * DAY + 1, 3 * DAY + 2),
    ]  # fmt: skip
    readings = bench.readings()
    assert [s for s, values in readings.items() if values != [None]] == [10, 3 * DAY + 2]
    assert sum(len(b["leaves"]) for b in found) == 3 * DAY + 2 - 9


def test_an_absence_beyond_a_month_is_lost_and_said(bench: Bench) -> None:
    later = 10 + MOST_GAP + 3
    bench.run([10, later])
    assert bench.close()["lost_slots"] == MOST_GAP + 2
    assert list(bench.readings()) == [10, later]


def test_a_batch_ends_with_its_day_without_being_asked(bench: Bench) -> None:
    bench.run(range(DAY - 3, DAY + 1))
    assert [b["last_slot"] for b in bench.batches()] == [DAY]
    bench.run([DAY + 1])
    assert [b["last_slot"] for b in bench.batches()] == [DAY]


def test_a_day_that_was_over_in_a_cut_is_signed_after_it(bench: Bench) -> None:
    bench.put(DAY)
    bench.bills.step()
    bench.bills.step()
    assert bench.bills.state(0)["unsigned"] == 1
    bench.boot().idle()
    assert [b["last_slot"] for b in bench.batches()] == [DAY]


def test_nothing_leaves_before_it_is_signed(bench: Bench) -> None:
    bench.run([1, 2])
    for ask in (lambda: bench.bills.root(1), lambda: bench.bills.leaf(1, 0)):
        with pytest.raises(HushError) as caught:
            ask()
        assert caught.value.code == "wrong_slot"
    bench.close()
    assert bench.bills.leaf(2, 0)["slot"] == 2
    for slot, register in ((3, 0), (2, 1), (2, 2)):
        with pytest.raises(HushError) as caught:
            bench.bills.leaf(slot, register)
        assert caught.value.code == "wrong_slot"


def test_two_registers_are_committed_to_together(bench: Bench) -> None:
    bench.put(1, 30, 0)
    bench.put(2, 0, 44)
    bench.idle()
    bench.close()
    assert bench.readings() == {1: [30, 0], 2: [0, 44]}
    assert [b["count"] for b in bench.batches()] == [4]


def test_a_register_more_begins_a_batch(bench: Bench) -> None:
    bench.put(1, 30)
    bench.put(2, 31, 44)
    bench.idle()
    bench.close()
    assert [b["count"] for b in bench.batches()] == [1, 2]


def test_a_changed_key_begins_a_batch(bench: Bench) -> None:
    bench.run([1, 2])
    bench.settings = {"key_sha256": hashlib.sha256(b"another key").hexdigest()}
    bench.boot().run([3])
    bench.close()
    hashes = [(b["last_slot"], b["key_hash"]) for b in bench.batches()]
    assert hashes == [
        (2, hashlib.sha256(b"a key").digest()), (3, hashlib.sha256(b"another key").digest()),
    ]  # fmt: skip


def test_what_both_have_goes_and_is_never_committed_to_again(bench: Bench) -> None:
    bench.run([1, 2])
    bench.close()
    bench.bills.kept(1, HOME_PARTY)
    bench.bills.kept(1, HOME_PARTY)
    assert bench.bills.root(1)["kept"] == HOME_PARTY
    bench.boot()
    bench.bills.kept(1, UTILITY)
    assert not [name for name in os.listdir() if name.startswith("leaves-")]
    bench.boot().put(2, 99)
    bench.idle()
    state = bench.close()
    assert (state["last_slot"], state["signed"], state["lost_slots"]) == (2, 0, 0)
    assert bench.pool.asked == []
    for slot, party, code in ((1, UTILITY, "wrong_slot"), (2, 3, "wrong_slot")):
        with pytest.raises(HushError) as caught:
            bench.bills.kept(slot, party)
        assert caught.value.code == code


def test_a_cut_while_a_batch_goes_brings_none_of_it_back(
    tmp_path: Path, private: PrivateKey
) -> None:
    cuts, is_last = 0, False
    while not is_last:
        folder = tmp_path / f"cut-{cuts}"
        folder.mkdir()
        with contextlib.chdir(folder), pytest.MonkeyPatch.context() as patch:
            bench = Bench(folder, private).boot()
            bench.run([1, 2])
            bench.close()
            bench.bills.kept(1, HOME_PARTY)
            before = bench.batches()[0]
            cutter = Cutter(patch)
            cutter.at = cuts + 1
            try:
                bench.bills.kept(1, UTILITY)
                is_last = True
            except PowerCut:
                pass
            bench.boot().put(2, 99)
            bench.idle()
            bench.close()
            found = bench.batches()
            assert bench.pool.asked == []
            assert found == [] or found[0]["leaves"] == before["leaves"]
        cuts += 1
    assert cuts > 3


def test_the_oldest_batch_makes_room_and_is_counted(bench: Bench) -> None:
    bench.settings["leaves_kib"] = 16
    bench.boot().run(range(1, 101))
    state = bench.close()
    assert state["bytes"] <= 16 * 1024
    found = bench.readings()
    assert min(found) == state["first_slot"] > 1 and max(found) == 100
    assert state["lost_slots"] == 100 - len(found)
    assert list(found.values()) == [[slot] for slot in found]
    assert "room" in state["problem"]


def test_a_full_flash_costs_a_slot_and_is_counted(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.run([1])
    with monkeypatch.context() as patch:
        cutter = Cutter(patch)
        cutter.wanted = lambda: OSError(28, "no space")
        cutter.at = 1
        bench.put(2)
    bench.idle()
    bench.run([3])
    assert bench.close()["lost_slots"] == 1
    assert bench.readings() == {1: [1], 2: [None], 3: [3]}


def test_a_leaf_that_found_no_room_is_written_later_and_no_entry_is_wasted(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.run([1])
    bench.put(2)
    with monkeypatch.context() as patch:
        cutter = Cutter(patch)
        cutter.wanted = lambda: OSError(28, "no space")
        cutter.at = 1
        with pytest.raises(HushError, match="refused a write"):
            bench.idle()
        asked = len(bench.pool.asked)
        for _ in range(5):
            assert bench.bills.step() is False
        assert len(bench.pool.asked) == asked
    bench.run([3])
    assert bench.close()["lost_slots"] == 0
    assert bench.readings() == {1: [1], 2: [2], 3: [3]}


def test_readings_wait_for_the_pool_and_only_so_many(bench: Bench) -> None:
    bench.pool.is_ready = False
    bench.run(range(1, MOST_WAITING + 6))
    state = bench.bills.state(0)
    assert (state["waiting"], state["lost_slots"]) == (MOST_WAITING, 5)
    bench.boot().idle()
    bench.close()
    assert bench.readings() == {s: [s] for s in range(1, MOST_WAITING + 1)}


def test_waiting_readings_survive_the_journals_rewrites(bench: Bench) -> None:
    bench.pool.is_ready = False
    bench.run([1, 2, 3])
    bench.journal._rewrite()
    bench.pool.is_ready = True
    bench.bills.put(SimpleNamespace(slot=4, readings=[(4, 4, False)]))
    bench.idle()
    bench.journal._rewrite()
    bench.boot()
    assert bench.journal.bills == []
    bench.close()
    assert bench.readings() == {s: [s] for s in (1, 2, 3, 4)}


def test_a_faulty_signature_is_never_kept(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    sign = ed25519.sign

    def faulty(seed: bytes, message: bytes) -> bytes:
        good = bytearray(sign(seed, message))
        good[40] ^= 1
        return bytes(good)

    with monkeypatch.context() as patch:
        patch.setattr(ed25519, "sign", faulty)
        bench.run([1])
        bench.bills.state(1)
        with pytest.raises(HushError, match="came out wrong"):
            bench.idle()
        assert bench.batches() == []
    bench.close()
    assert len(bench.batches()) == 1


def test_a_damaged_leaf_is_never_signed(bench: Bench) -> None:
    bench.run([1, 2, 3])
    path = bench.folder / "leaves-1.bin"
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    bench.bills.state(1)
    with pytest.raises(HushError, match="damaged"):
        bench.idle()
    bench.run([4])
    bench.close()
    assert bench.readings() == {4: [4]}


@pytest.mark.parametrize("at", [10, 100, -1])
def test_damage_to_what_was_signed_has_none_of_its_slots_committed_to_anew(
    bench: Bench, at: int
) -> None:
    bench.run([1, 2, 3])
    bench.close()
    signed = bench.bills.root(1)
    path = bench.folder / "leaves-1.bin"
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    bench.boot()
    for slot in (2, 3, 4):
        bench.put(slot)
    bench.close()
    assert bench.pool.asked == [4]
    assert bench.bills.root(1) | {"ciphertext_bytes": 0} == signed | {"ciphertext_bytes": 0}
    assert bench.bills.root(4)["first_slot"] == 4
    with pytest.raises(HushError, match="damaged"):
        for slot in (1, 2, 3):
            bench.bills.leaf(slot, 0)


def test_a_later_formats_files_are_not_taken_for_damage(bench: Bench) -> None:
    bench.run([1])
    bench.close()
    for name in ("leaves-1.sig", SIGNING_KEY):
        path = bench.folder / name
        good = path.read_bytes()
        path.write_bytes(store.with_checksum(good[:-4] + b"more"))
        with pytest.raises(HushError, match="newer firmware"):
            bench.boot()
        path.write_bytes(good)
    assert bench.boot().bills.root(1)["first_slot"] == 1


def test_the_signing_key_stays_and_is_missed(bench: Bench) -> None:
    key = bench.bills.state(0)["public_key"]
    assert bench.boot().bills.state(0)["public_key"] == key
    assert "Signer(...)" in repr(bench.bills._signer)
    bench.run([1])
    os.remove(SIGNING_KEY)
    with pytest.raises(HushError, match="signing key of this meter is gone"):
        bench.boot()


def test_a_key_that_cannot_encrypt_is_said(bench: Bench) -> None:
    bench.pool.problem = lambda: "bad_key: Paillier key: n is even"  # type: ignore[method-assign]
    assert "n is even" in bench.bills.state(0)["problem"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"bills": 1}, "paillier.bills"),
        ({"leaves_kib": 15}, "paillier.leaves_kib: must be an integer from 16 to 4096"),
        ({"leaf_kib": 16}, "paillier.leaf_kib"),
    ],
)
def test_a_wrong_setting_is_named(changes: dict[str, Any], said: str) -> None:
    plan = kit.plan_of_meter(1, Authority(bytes(32)))
    right = {"randomness": "naive", "pool": 1, "when_empty": "wait", "key_sha256": "00" * 32}
    assert configuration(replace(plan, paillier=right | {"bills": True, "leaves_kib": 16}))
    with pytest.raises(HushmeterError, match=said):
        configuration(replace(plan, paillier=right | changes))


def test_the_modules_names_are_those_of_the_page() -> None:
    page = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text(encoding="utf-8")
    for name in (SIGNING_KEY, "leaves-SLOT.bin", "leaves-SLOT.sig"):
        assert f"`{name}`" in page
    assert str(MOST_GAP) in page and f"({MOST_WAITING} wait at most)" in page
    assert f"({commitments.DEFAULT_KIB} KiB" in page
