"""Frames survive what a serial line does: whole ones come back, everything else is thrown away."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hushfw.core import frame

Frame = tuple[int, int, bytes]

FRAMES = st.tuples(
    st.integers(0, 255), st.integers(0, 0xFFFF), st.binary(max_size=frame.MAX_PAYLOAD)
)
FUZZED = 1_000_000
COBS_EDGES = [0, 1, 2, 252, 253, 254, 255, 256, 507, 508, 509, 510, 761, 762, 763, 1023, 1024]


@given(FRAMES)
def test_a_frame_comes_back_as_it_was(sent: Frame) -> None:
    decoder = frame.Decoder()
    assert decoder.feed(frame.encode(*sent)) == [sent]
    assert decoder.damaged == 0


@given(st.lists(FRAMES, max_size=5), st.lists(st.integers(1, 300), min_size=1))
def test_frames_come_back_however_the_stream_is_cut(sent: list[Frame], cuts: list[int]) -> None:
    stream = b"".join(frame.encode(*one) for one in sent)
    decoder, got, at = frame.Decoder(), [], 0
    while at < len(stream):
        size = cuts[at % len(cuts)]
        got += decoder.feed(stream[at : at + size])
        at += size
    assert got == sent
    assert decoder.damaged == 0


@given(st.binary(max_size=1500))
def test_stuffing_leaves_no_zero_and_is_undone(data: bytes) -> None:
    stuffed = frame.stuff(data)
    assert 0 not in stuffed
    assert len(stuffed) <= len(data) + len(data) // 254 + 1
    assert frame.unstuff(stuffed) == data


def cobs(data: bytes) -> bytes:
    """Cheshire and Baker's encoder, byte by byte, for comparison."""
    out, block = bytearray(), bytearray()
    for byte in data + b"\0":
        if byte:
            block.append(byte)
        if not byte or len(block) == 254:
            out += bytes((len(block) + 1,)) + block
            block.clear()
    return bytes(out)


@pytest.mark.parametrize("size", COBS_EDGES)
@pytest.mark.parametrize("zero_at", [None, 0, 253, 254, 255, 507, 508, -1])
def test_stuffing_at_its_edges_is_the_published_one(size: int, zero_at: int | None) -> None:
    data = bytearray(b"\xa5" * size)
    if zero_at is not None and -size <= zero_at < size:
        data[zero_at] = 0
    stuffed = frame.stuff(bytes(data))
    assert stuffed == cobs(bytes(data))
    assert frame.unstuff(stuffed) == bytes(data)


@pytest.mark.parametrize(
    ("plain", "stuffed"),
    [
        ("", "01"),
        ("00", "0101"),
        ("0000", "010101"),
        ("11220033", "0311220233"),
        ("11223344", "0511223344"),
        ("11000000", "0211010101"),
    ],
)
def test_stuffing_matches_known_examples(plain: str, stuffed: str) -> None:
    assert frame.stuff(bytes.fromhex(plain)).hex() == stuffed
    assert frame.unstuff(bytes.fromhex(stuffed)) == bytes.fromhex(plain)


@pytest.mark.parametrize("size", COBS_EDGES)
@pytest.mark.parametrize("fill", [0, 1, 255])
def test_payloads_of_every_edge_length_pass(size: int, fill: int) -> None:
    sent = (7, 9, bytes((fill,)) * size)
    assert frame.Decoder().feed(frame.encode(*sent)) == [sent]
    assert len(frame.encode(*sent)) <= frame.MAX_STUFFED + 2


def test_the_largest_frame_is_as_long_as_it_says() -> None:
    longest = max(
        len(frame.stuff(b"\1" * (frame.MAX_PAYLOAD + 8 - zeros) + bytes(zeros)))
        for zeros in range(300)
    )
    assert longest == frame.MAX_STUFFED


def test_a_payload_too_long_is_not_sent() -> None:
    with pytest.raises(ValueError, match="1024"):
        frame.encode(1, 1, bytes(frame.MAX_PAYLOAD + 1))


def by_hand(version: int, payload: bytes) -> bytes:
    body = bytes((version, 5, 0, 3)) + payload
    return b"\0" + cobs(body + zlib.crc32(body).to_bytes(4, "big")) + b"\0"


def test_the_layout_is_the_documented_one() -> None:
    assert frame.encode(5, 3, b"abc\0") == by_hand(frame.VERSION, b"abc\0")


def test_a_payload_too_long_is_not_taken() -> None:
    decoder = frame.Decoder()
    assert decoder.feed(by_hand(frame.VERSION, bytes(1024))) == [(5, 3, bytes(1024))]
    assert decoder.feed(by_hand(frame.VERSION, bytes(1025))) == []
    assert decoder.feed(by_hand(frame.VERSION, bytes(100_000))) == []
    assert decoder.damaged == 2


@pytest.mark.parametrize("version", [0, 2, 255])
def test_another_version_is_not_taken(version: int) -> None:
    decoder = frame.Decoder()
    assert decoder.feed(by_hand(version, b"abc")) == []
    assert decoder.damaged == 1


@given(FRAMES, st.binary(max_size=3000), st.integers(0, 50))
def test_the_decoder_is_back_in_step_after_garbage(sent: Frame, noise: bytes, cut: int) -> None:
    decoder = frame.Decoder()
    decoder.feed(noise)
    decoder.feed(frame.encode(*sent)[: cut or None])
    whole = frame.encode(*sent)
    assert decoder.feed(whole)[-1:] == [sent]
    assert decoder.feed(whole) == [sent]


@given(FRAMES)
@settings(max_examples=30)
def test_a_frame_cut_anywhere_costs_nothing_but_itself(sent: Frame) -> None:
    whole = frame.encode(*sent)
    step = max(1, len(whole) // 20)
    for cut in range(1, len(whole) - 1, step):
        decoder = frame.Decoder()
        assert decoder.feed(whole[:cut]) == []
        assert decoder.feed(whole) == [sent]
        assert decoder.damaged == (cut > 1)


def test_a_flood_without_a_zero_is_kept_out_of_memory() -> None:
    decoder = frame.Decoder()
    for _ in range(2000):
        decoder.feed(b"\xff" * 511)
        assert held(decoder) <= frame.MAX_STUFFED
    assert decoder.feed(b"\0") == []
    assert decoder.damaged == 1
    assert decoder.feed(frame.encode(1, 2, b"x")) == [(1, 2, b"x")]


def test_every_single_bit_error_is_noticed() -> None:
    sent = (0x44, 0x1234, bytes(range(40)))
    whole = frame.encode(*sent)
    for bit in range(8, 8 * (len(whole) - 1)):
        spoilt = bytearray(whole)
        spoilt[bit >> 3] ^= 1 << (bit & 7)
        assert frame.Decoder().feed(bytes(spoilt)) == [], bit


def held(decoder: frame.Decoder) -> int:
    """Bytes that the decoder keeps between two calls."""
    return sum(len(v) for v in vars(decoder).values() if isinstance(v, bytes | bytearray | list))


def random_lines(chance: np.random.Generator, count: int) -> list[bytes]:
    """Noise between zeros, one to forty bytes a line."""
    noise = chance.integers(1, 256, 40 * count, np.uint8).tobytes()
    sizes = chance.integers(1, 41, count).tolist()
    return [noise[40 * i : 40 * i + size] for i, size in enumerate(sizes)]


def whole_frames(chance: np.random.Generator, count: int) -> list[bytes]:
    payloads = chance.integers(0, 256, 24 * count, np.uint8).tobytes()
    return [
        frame.encode(i & 0xFF, i & 0xFFFF, payloads[24 * i : 24 * i + 24])[1:-1]
        for i in range(count)
    ]


def bits_flipped(chance: np.random.Generator, frames: list[bytes], copies: int) -> list[bytes]:
    """Each frame several times, one to four bits changed; a zero that arises cuts it in two."""
    size = min(map(len, frames))
    rows: NDArray[np.uint8] = np.frombuffer(
        b"".join(one[:size] for one in frames if len(one) == size), np.uint8
    ).reshape(-1, size)
    out = np.tile(rows, (copies, 1))
    every = np.arange(len(out))
    first = chance.integers(0, 8 * size, len(out))
    for flip in range(4):
        bit = (first + flip * chance.integers(1, 2 * size, len(out))) % (8 * size)
        wanted = chance.integers(0, 4, len(out)) >= flip
        change = (wanted << (bit & 7)).astype(np.uint8)
        out[every, bit >> 3] ^= change
    unchanged = (out == np.tile(rows, (copies, 1))).all(axis=1)
    return [bytes(row) for row in out[~unchanged]]


def truncated(chance: np.random.Generator, frames: list[bytes], copies: int) -> list[bytes]:
    cuts = chance.integers(1, 33, copies * len(frames)).tolist()
    return [one[: cuts[i]] for i, one in enumerate(frames * copies) if cuts[i] < len(one)]


def spliced(chance: np.random.Generator, frames: list[bytes], copies: int) -> list[bytes]:
    cuts = chance.integers(1, 32, copies * len(frames)).tolist()
    tails = frames[1:] + frames[:1]
    out = []
    for i, (head, tail) in enumerate(zip(frames * copies, tails * copies, strict=True)):
        out.append(head[: cuts[i]] + tail[cuts[i] :])
    known = set(frames)
    return [one for one in out if one not in known]


def test_a_million_random_and_mutated_frames_are_thrown_away() -> None:
    """No crash, no hang, nothing taken, and never more kept than one frame.

    A damaged frame passes the CRC with probability 2^-32, so in a million the chance that one
    does is 2.4e-4; the seed is fixed, so the test always sees the same million.
    """
    chance = np.random.default_rng(5)
    frames = whole_frames(chance, 25_000)
    lines = random_lines(chance, 300_000)
    lines += bits_flipped(chance, frames, 16)[:300_000]
    lines += truncated(chance, frames, 9)[:200_000]
    lines += spliced(chance, frames, 10)[: FUZZED - len(lines)]
    assert len(lines) == FUZZED
    order = chance.permutation(FUZZED).tolist()
    decoder = frame.Decoder()
    taken = []
    for at in range(0, FUZZED, 500):
        block = b"\0".join([lines[i] for i in order[at : at + 500]])
        taken += decoder.feed(block + b"\0")
        assert held(decoder) <= frame.MAX_STUFFED
    assert taken == []
    assert decoder.damaged >= FUZZED
    assert decoder.feed(frame.encode(1, 2, b"still in step")) == [(1, 2, b"still in step")]


def test_the_fuzz_would_notice_a_decoder_without_a_crc(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = np.random.default_rng(5)
    lines = bits_flipped(chance, whole_frames(chance, 200), 1)
    monkeypatch.setattr(frame, "crc32", lambda data: 0)
    zeroed = [frame.stuff((frame.unstuff(one) or b"")[:-4] + bytes(4)) for one in lines]
    assert frame.Decoder().feed(b"\0" + b"\0".join(zeroed) + b"\0")
