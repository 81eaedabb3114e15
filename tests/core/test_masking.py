"""Masks: the recorded words by independent code, what cancels, and what must not.

The straight-line implementation below uses `cryptography` and `hashlib` only, from the formulas of
docs/protocol.md. It made hil/device/vectors_street.py, which the device checks compare with.
"""

from __future__ import annotations

import hashlib
import hmac
import random
import struct
from typing import Any

import masked_words
import pytest
import vectors_street as vectors
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from hushfw.core import kdf, masking

WORD = 1 << 64


def private(name: str) -> X25519PrivateKey:
    seed = hashlib.sha256(b"hushmeter street vector " + name.encode()).digest()
    return X25519PrivateKey.from_private_bytes(seed)


def public(key: X25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def hkdf(secret: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    return HKDF(hashes.SHA256(), length, salt, info).derive(secret)


def aes(key: bytes, data: bytes) -> bytes:
    return Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(data)


def straight_line(lanes: int) -> dict[str, Any]:
    """Keys, report and answer of one meter of five, written out without a function of ours."""
    ids, own, slot, day = vectors.IDS, vectors.OWN_ID, vectors.SLOT, vectors.DAY
    keys = {i: private(str(i)) for i in ids}
    supplier = private("supplier")
    roster = hashlib.sha256(b"hushmeter street vector roster").digest()
    block = lambda use, turn: struct.pack(">BBBBQI", 1, 1, use, turn, slot, 0)  # noqa: E731

    info = struct.pack(">II", 0, own) + public(supplier) + public(keys[own])
    secret = keys[own].exchange(X25519PublicKey.from_public_bytes(public(supplier)))
    up = hkdf(secret, roster, b"hush1tag up" + info, 32)
    stream = hkdf(secret, roster, b"hush1keystream" + info, 16)
    stream = hkdf(stream, b"", b"hush1 day" + struct.pack(">I", day), 16)
    k = struct.unpack(">2Q", aes(stream, block(4, 1)))

    silent = vectors.SILENT
    digest = hashlib.sha256(b"hush1 silent" + roster + struct.pack(">Q", slot) + silent).digest()
    report = [vectors.VALUES[lane] + k[lane] + vectors.RECOVERY[lane] for lane in range(lanes)]
    answer = list(vectors.RECOVERY[:lanes])
    pairs = {}
    for index, other in enumerate(ids):
        if other == own:
            continue
        low, high = sorted((own, other))
        both = struct.pack(">II", low, high) + public(keys[low]) + public(keys[high])
        shared = keys[own].exchange(keys[other].public_key())
        mask_key = hkdf(shared, roster, b"hush1mask" + both, 16)
        answer_key = hkdf(shared, roster, b"hush1answer" + both, 16)
        mask_key = hkdf(mask_key, b"", b"hush1 day" + struct.pack(">I", day), 16)
        answer_key = hkdf(answer_key, b"", b"hush1 day" + struct.pack(">I", day), 16)
        pairs[other] = (public(keys[other]).hex(), shared.hex(), mask_key.hex(), answer_key.hex())
        sign = 1 if own > other else -1
        d = struct.unpack(">2Q", aes(mask_key, block(2, 1)))
        e = struct.unpack(">2Q", aes(aes(answer_key, digest[:16]), block(3, 2)))
        lifted = d if silent[index // 8] >> (index % 8) & 1 else e
        for lane in range(lanes):
            report[lane] += sign * d[lane]
            answer[lane] += sign * lifted[lane]
    words = b"".join((word % WORD).to_bytes(8, "big") for word in report)
    lifts = b"".join((word % WORD).to_bytes(8, "big") for word in answer)
    head = struct.pack(">IQ", own, slot)
    tag = lambda purpose, body: hmac.digest(up, b"hush1 " + purpose + body, "sha256")[:16]  # noqa: E731
    return {
        "roster": roster.hex(),
        "own": public(keys[own]).hex(),
        "supplier": (public(supplier).hex(), secret.hex()),
        "pairs": pairs,
        "tag_up": up.hex(),
        "keystream": stream.hex(),
        "digest": digest.hex(),
        "report": words.hex(),
        "answer": lifts.hex(),
        "report_tag": tag(b"report", roster + head + b"\0" + words).hex(),
        "answer_tag": tag(b"answer", roster + head + digest + lifts).hex(),
    }


@pytest.mark.parametrize("lanes", [1, 2])
def test_the_recorded_street_is_what_independent_code_makes(lanes: int) -> None:
    made = straight_line(lanes)
    recorded = vectors.STREET | vectors.WORDS[lanes]
    assert recorded == made


class Pairs:
    """Everybody's keys in a street of n, as a seed gives them."""

    def __init__(self, seed: int, members: int) -> None:
        chance = random.Random(seed)
        self.members = members
        self.keys = {
            (i, j): (chance.randbytes(16), chance.randbytes(16))
            for j in range(members)
            for i in range(j)
        }
        self.streams = [chance.randbytes(16) for _ in range(members)]
        self.roster = chance.randbytes(32)

    def of(self, index: int) -> Any:
        for other in range(self.members):
            if other != index:
                mask_key, answer_key = self.keys[min(index, other), max(index, other)]
                yield other, mask_key, answer_key

    def stream(self, index: int, slot: int, lanes: int) -> list[int]:
        return masking.pads(self.streams[index], masking.USE_KEYSTREAM, 1, slot, lanes)


@st.composite
def a_slot(draw: st.DrawFn) -> tuple[Pairs, int, int, set[int], list[list[int]], list[list[int]]]:
    members = draw(st.integers(3, 20))
    lanes = draw(st.integers(1, 2))
    most = (members - 2) // 2
    silent = draw(st.sets(st.integers(0, members - 1), max_size=most))
    word = st.integers(-(1 << 40), 1 << 40)
    values = draw(
        st.lists(st.lists(word, min_size=lanes, max_size=lanes), min_size=members, max_size=members)
    )
    c = st.integers(0, WORD - 1)
    recovery = draw(
        st.lists(st.lists(c, min_size=lanes, max_size=lanes), min_size=members, max_size=members)
    )
    pairs = Pairs(draw(st.integers(0, 1 << 32)), members)
    return pairs, draw(st.integers(0, WORD - 1)), lanes, silent, values, recovery


@given(a_slot())
@settings(max_examples=60, deadline=None)
def test_reports_less_answers_less_keystreams_are_the_sum_of_who_reported(slot_made: Any) -> None:
    pairs, slot, lanes, silent, values, recovery = slot_made
    silent_map = masking.silent_map(pairs.members, silent)
    digest = masking.silent_digest(pairs.roster, slot, silent_map)
    totals = [0] * lanes
    for i in set(range(pairs.members)) - silent:
        stream = pairs.stream(i, slot, lanes)
        report = masked_words.report_words(
            values[i], i, pairs.of(i), pairs.streams[i], recovery[i], slot
        )
        answer = masked_words.answer_words(i, pairs.of(i), recovery[i], slot, silent_map, digest)
        assert all(0 <= word < WORD for word in report + answer)
        for k in range(lanes):
            totals[k] += report[k] - answer[k] - stream[k]
    wanted = [
        sum(values[i][k] for i in range(pairs.members) if i not in silent) for k in range(lanes)
    ]
    assert [masking.signed(total & masking.MASK) for total in totals] == wanted


@pytest.mark.parametrize("what", ["another S", "one answer less", "another slot", "no answers"])
def test_nothing_opens_when_one_piece_is_of_another_sum(what: str) -> None:
    members, slot, lanes = 9, 77, 2
    pairs = Pairs(4, members)
    silent_map = masking.silent_map(members, [8])
    total = [0, 0]
    for i in range(8):
        own_map = masking.silent_map(members, [7]) if what == "another S" and i == 0 else silent_map
        own_slot = slot + 1 if what == "another slot" and i == 0 else slot
        digest = masking.silent_digest(pairs.roster, own_slot, own_map)
        recovery = [i + 1, i + 2]
        words = masked_words.report_words([5, 6], i, pairs.of(i), pairs.streams[i], recovery, slot)
        lifts = masked_words.answer_words(i, pairs.of(i), recovery, own_slot, own_map, digest)
        if what == "no answers" or (what == "one answer less" and i == 0):
            lifts = [0, 0]
        stream = pairs.stream(i, slot, lanes)
        for k in range(lanes):
            total[k] += words[k] - lifts[k] - stream[k]
    for word in total:
        assert abs(masking.signed(word & masking.MASK)) > 1 << 40


def test_no_two_uses_of_a_key_share_a_prf_input() -> None:
    seen = set()
    for use in (masking.USE_DUMMY, masking.USE_ANSWER, masking.USE_KEYSTREAM):
        for turn in (1, 2):
            for slot in (0, 1, 255, 256, WORD - 1):
                for block in (0, 1):
                    made = masking.prf_input(use, turn, slot, block)
                    assert len(made) == 16
                    seen.add(made)
    assert len(seen) == 3 * 2 * 5 * 2


def test_lanes_take_different_words() -> None:
    words = masking.pads(bytes(16), masking.USE_DUMMY, 1, 5, 4)
    assert len(set(words)) == 4
    assert masking.pads(bytes(16), masking.USE_DUMMY, 1, 5, 2) == words[:2]
    assert masking.pads(bytes(16), masking.USE_DUMMY, 1, 5, 1) == words[:1]


def test_sub_keys_differ_by_purpose_ids_keys_and_roster() -> None:
    prk = kdf.hkdf_extract(bytes(32), b"\1" * 32)
    base: tuple[bytes, int, int, bytes, bytes] = (b"mask", 1, 2, b"\3" * 32, b"\4" * 32)
    others = [
        (b"answer", *base[1:]),
        (b"mask", 1, 3, *base[3:]),
        (b"mask", 2, 2, *base[3:]),
        (b"mask", 1, 2, b"\4" * 32, b"\3" * 32),
    ]
    made = {masking.subkey(prk, *one) for one in [base, *others]}
    made.add(masking.subkey(kdf.hkdf_extract(b"\1" * 32, b"\1" * 32), *base))
    assert len(made) == len(others) + 2
    assert len(masking.subkey(prk, *base, 32)) == 32


def test_a_days_key_does_not_lead_back_and_differs_by_day() -> None:
    key = bytes(range(16))
    assert len({key, masking.next_day_key(key, 1), masking.next_day_key(key, 2)}) == 3


@given(st.integers(1, 40), st.data())
def test_a_bit_map_of_s_comes_back_as_it_was(members: int, data: st.DataObject) -> None:
    silent = data.draw(st.sets(st.integers(0, members - 1)))
    packed = masking.silent_map(members, silent)
    assert len(packed) == -(-members // 8)
    assert masking.silent_indexes(packed, members) == sorted(silent)
    assert [i for i in range(members) if masking.in_silent(packed, i)] == sorted(silent)


@given(st.integers(1, 40), st.binary(max_size=6))
def test_a_bit_map_of_another_street_is_none(members: int, packed: bytes) -> None:
    got = masking.silent_indexes(packed, members)
    value = int.from_bytes(packed, "little")
    right = len(packed) == -(-members // 8) and value < 1 << members
    assert (got is not None) == right


@given(st.lists(st.integers(0, WORD - 1), max_size=4))
def test_words_come_back_as_they_were(words: list[int]) -> None:
    assert masking.unpack_words(masking.pack_words(words)) == words


@given(st.integers(-(1 << 63), (1 << 63) - 1))
def test_a_sum_is_read_as_a_signed_window(total: int) -> None:
    assert masking.signed(total & masking.MASK) == total


def test_a_tag_is_bound_to_everything_it_names() -> None:
    base: dict[str, Any] = {
        "key": b"k" * 32,
        "purpose": b"report",
        "roster_hash": b"r" * 32,
        "meter_id": 1,
        "slot": 2,
        "content": b"content",
    }
    changes: dict[str, Any] = {
        "key": b"K" * 32,
        "purpose": b"answer",
        "roster_hash": b"R" * 32,
        "meter_id": 2,
        "slot": 3,
        "content": b"Content",
    }
    tags = {masking.tag(**(base | {name: value})) for name, value in changes.items()}
    tags.add(masking.tag(**base))
    assert len(tags) == len(changes) + 1
    assert {len(tag) for tag in tags} == {masking.TAG_BYTES}


@given(st.binary(max_size=20), st.binary(max_size=20))
def test_tags_compare_as_bytes_do(left: bytes, right: bytes) -> None:
    assert masking.same_tag(left, right) == (left == right)
    assert masking.same_tag(left, bytes(left))
