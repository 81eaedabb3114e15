"""The parser of P1 telegrams takes what is whole, however it arrives, and nothing else."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from hushfw.core import telegram
from hushmeter.emulate.peers.p1 import P1


def idle(now_s: float) -> float:
    """Telegrams are made here with powers of their own."""
    return 0.0


def reference(stream: bytes) -> list[int]:
    """Watts of each telegram in a stream that has a right CRC, by another way: a pattern."""
    found = []
    for match in re.finditer(rb"/[^/!]*!([0-9A-Fa-f]{4})\r?\n", stream):
        crc = 0
        for byte in match[0][: match[0].index(b"!") + 1]:
            crc ^= byte
            for _ in range(8):
                crc = crc >> 1 ^ 0xA001 * (crc & 1)
        if crc == int(match[1], 16):
            drawn, fed = (
                re.search(rb"\n1-0:%d\.7\.0\((\d+)\.(\d{3})\*kW\)" % place, match[0])
                for place in (1, 2)
            )
            assert drawn and fed
            found.append(int(drawn[1] + drawn[2]) - int(fed[1] + fed[2]))
    return found


def parsed(stream: bytes, pieces: list[int], demands_crc: bool = True) -> tuple[list[int], int]:
    """Watts of the telegrams that the parser takes for whole, and how many it does not."""
    good: list[int] = []
    bad: list[str] = []

    def ended(fault: str | None) -> None:
        if fault is None:
            good.append(parser.drawn_w - parser.fed_w)
        else:
            assert fault in ("cut", "bad_crc")
            bad.append(fault)

    parser = telegram.Telegrams(demands_crc, ended)
    at = 0
    while at < len(stream):
        size = pieces[at % len(pieces)] if pieces else 256
        data = bytearray(stream[at : at + size])
        parser.count = 0
        parser.take(data, len(data))
        at += size
    return good, len(bad)


def stream_of(count: int, **peer: Any) -> bytes:
    maker = P1(watts=idle, **peer)
    return b"".join(maker.telegram(float(k), 100 * k - 150) for k in range(count))


PIECES = st.lists(st.integers(1, 300), max_size=7)


@settings(deadline=None, max_examples=60)
@given(pieces=PIECES, before=st.binary(max_size=40).filter(lambda data: b"/" not in data))
def test_any_way_of_cutting_the_stream_gives_the_same_telegrams(
    pieces: list[int], before: bytes
) -> None:
    assert parsed(before + stream_of(4), pieces) == ([-150, -50, 50, 150], 0)


@settings(deadline=None, max_examples=150)
@given(stream=st.binary(max_size=700), pieces=PIECES, crc=st.booleans())
def test_random_bytes_are_no_telegram(stream: bytes, pieces: list[int], crc: bool) -> None:
    """Sixteen bits of CRC let one in 65536 pass by chance: none that has the lines as well."""
    assert parsed(stream, pieces, crc)[0] == []


@settings(deadline=None, max_examples=200)
@given(
    bits=st.sets(st.integers(0, 8 * len(stream_of(1)) - 1), min_size=1, max_size=3),
    pieces=PIECES,
)
def test_up_to_three_flipped_bits_are_never_a_reading(bits: set[int], pieces: list[int]) -> None:
    first, second = stream_of(1), P1(watts=idle).telegram(9.0, 777)
    damaged = bytearray(first)
    for bit in bits:
        damaged[bit // 8] ^= 1 << bit % 8
    good, _ = parsed(bytes(damaged) + second, pieces)
    # A CRC digit may have become another case of itself.
    assert good == [*reference(bytes(damaged)), 777]
    assert reference(bytes(damaged)) in ([], [-150])


@settings(deadline=None, max_examples=200)
@given(
    cuts=st.lists(st.tuples(st.integers(0, 2500), st.integers(0, 900)), min_size=1, max_size=4),
    noise=st.binary(max_size=20),
    pieces=PIECES,
)
def test_whatever_is_cut_out_or_put_in_only_what_has_a_right_crc_is_read(
    cuts: list[tuple[int, int]], noise: bytes, pieces: list[int]
) -> None:
    stream = stream_of(4)
    for first, size in cuts:
        stream = stream[:first] + noise + stream[first + size :]
    good, _ = parsed(stream, pieces)
    assert set(good) <= set(reference(stream))
    assert set(reference(stream)) <= {-150, -50, 50, 150}


def test_without_a_crc_the_structure_must_be_whole() -> None:
    whole = P1(watts=idle, version=22).telegram(0.0, 1230)
    lines = whole.split(b"\r\n")
    assert parsed(whole, [], demands_crc=False) == ([1230], 0)
    assert parsed(whole, []) == ([], 1)
    assert parsed(b"/" + whole, [], demands_crc=False) == ([1230], 1)
    spoilt = [
        whole.replace(b"1-0:1.7.0", b"1-0:9.7.0"),
        whole.replace(b"*kW)", b"*kV)"),
        whole.replace(b"(0001.23", b"(0001.2x"),
        whole.replace(b"(0001.23", b"(-001.23"),
        whole.replace(b"0-0:96.13.0", b"0-0:96\x01.13.0"),
        b"\r\n".join([*lines[:4], lines[4], lines[4], *lines[5:]]),
        whole.replace(b"*kW)", b"*kW"),
        whole.replace(b"0001.23", b"0001,23"),
    ]
    for damaged in spoilt:
        assert damaged != whole
        assert parsed(damaged + whole, [], demands_crc=False) == ([1230], 1)
    with_crc = P1(watts=idle).telegram(0.0, 1230)
    assert parsed(with_crc.replace(b"01.230", b"01.231", 1), [], demands_crc=False) == ([], 1)


def test_an_encrypted_telegram_is_known_however_it_arrives() -> None:
    maker = P1(watts=idle, fault="encrypted")
    sent = [maker.next_out() for _ in range(8)]
    stream = b"".join(message[1] for message in sent if message)
    parser = telegram.Telegrams(True, lambda fault: None)
    for at in range(0, len(stream), 100):
        data = bytearray(stream[at : at + 100])
        parser.count = 0
        parser.take(data, len(data))
    assert parser.ciphered
