"""Modbus RTU: what a reply may be taken for, and what it is never taken for."""

from __future__ import annotations

import random

import pytest

from hushfw.core import modbus
from hushfw.core.modbus import (
    READ_HOLDING,
    READ_INPUT,
    WRITE_MANY,
    WRITE_ONE,
    Master,
    request,
    span,
)

QUESTIONS = [
    (READ_HOLDING, span(40_000, 2)),
    (READ_INPUT, span(0, 10)),
    (WRITE_ONE, modbus.one(40_127, 3)),
    (WRITE_MANY, modbus.many(40_134, bytes(8))),
]


def crc_by_bits(data: bytes) -> int:
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc


def right_reply(unit: int, function: int, data: bytes) -> bytes:
    if function in (READ_HOLDING, READ_INPUT):
        count = 2 * (data[2] << 8 | data[3])
        return request(unit, function, bytes((count,)) + bytes(range(count)))
    return request(unit, function, data[:4])


class Wire:
    """A UART-like object: what a test puts into `incoming` is there to be read."""

    def __init__(self) -> None:
        self.incoming = bytearray()
        self.sent: list[bytes] = []

    def any(self) -> int:
        return len(self.incoming)

    def readinto(self, buffer: memoryview) -> int:
        count = min(len(buffer), len(self.incoming))
        buffer[:count] = self.incoming[:count]
        del self.incoming[:count]
        return count

    def write(self, data: bytes) -> None:
        self.sent.append(data)


def asked(wire: Wire, now_ms: int = 0, **settings: int) -> Master:
    master = Master(wire, 9600, **settings)
    assert master.ask(now_ms, 1, READ_INPUT, span(0, 2))
    return master


REPLY = request(1, READ_INPUT, b"\x04\x01\x02\x03\x04")


def test_the_crc_is_the_specifications() -> None:
    """The example of MODBUS over Serial Line V1.02, 6.2.2, and a much-quoted question."""
    assert request(2, 7, b"") == bytes.fromhex("02074112")
    assert request(1, 3, span(0, 10)) == bytes.fromhex("01030000000ac5cd")


def test_the_crc_by_four_bits_is_the_crc_by_one() -> None:
    chance = random.Random(1)
    for size in range(40):
        data = chance.randbytes(size)
        assert modbus.crc16(data) == crc_by_bits(data)


@pytest.mark.parametrize(("function", "data"), QUESTIONS)
def test_the_right_reply_is_taken(function: int, data: bytes) -> None:
    fault, content = modbus.reply(right_reply(9, function, data), 9, function, data)
    assert fault is None
    assert len(content) == (2 * data[3] if function in (3, 4) else 0)


@pytest.mark.parametrize(("function", "data"), QUESTIONS)
def test_a_reply_with_one_or_two_wrong_bits_is_never_taken(function: int, data: bytes) -> None:
    """Every single bit and every pair: the CRC finds all of them in frames of this length."""
    right = right_reply(9, function, data)
    bits = 8 * len(right)
    for first in range(bits):
        for second in range(first, bits):
            broken = bytearray(right)
            broken[first // 8] ^= 1 << first % 8
            if second != first:
                broken[second // 8] ^= 1 << second % 8
            assert modbus.reply(broken, 9, function, data)[0] is not None


def test_whatever_arrives_gets_a_fault_and_never_an_exception() -> None:
    chance = random.Random(2)
    for _ in range(20_000):
        function, data = chance.choice(QUESTIONS)
        heard = chance.randbytes(chance.randrange(30))
        fault, content = modbus.reply(heard, 9, function, data)
        assert fault in modbus.FAULTS
        assert content == b""


@pytest.mark.parametrize(("function", "data"), QUESTIONS)
def test_every_cut_of_a_reply_is_seen(function: int, data: bytes) -> None:
    right = right_reply(9, function, data)
    for size in range(len(right)):
        fault = modbus.reply(right[:size], 9, function, data)[0]
        assert fault == ("cut" if size else "silent")


def test_a_reply_from_another_unit_or_to_another_question_is_not_ours() -> None:
    data = span(0, 2)
    for frame in (
        request(2, READ_INPUT, b"\x04\x01\x02\x03\x04"),
        request(1, READ_HOLDING, b"\x04\x01\x02\x03\x04"),
        request(1, READ_INPUT, b"\x02\x01\x02\x03\x04"),
        request(2, READ_INPUT | 0x80, b"\x02"),
    ):
        assert modbus.reply(frame, 1, READ_INPUT, data)[0] == "wrong_address"
    echo = request(1, WRITE_ONE, modbus.one(5, 7))
    assert modbus.reply(echo, 1, WRITE_ONE, modbus.one(5, 8))[0] == "wrong_address"
    assert modbus.reply(REPLY + b"\0", 1, READ_INPUT, data)[0] == "flood"


def test_an_exception_says_its_code() -> None:
    frame = request(1, READ_INPUT | 0x80, b"\x02")
    assert modbus.reply(frame, 1, READ_INPUT, span(0, 2)) == ("exception", b"\x02")


def test_the_master_waits_for_a_reply_in_pieces_and_for_no_longer_than_said() -> None:
    wire = Wire()
    master = asked(wire, 100)
    assert wire.sent == [request(1, READ_INPUT, span(0, 2))]
    for at, byte in enumerate(REPLY):
        assert master.answer(110 + at) is None
        assert master.waiting
        wire.incoming.append(byte)
    assert master.answer(130) == b"\x01\x02\x03\x04"
    assert (master.waiting, master.fault) == (False, None)
    master = asked(wire, 1000)
    assert master.answer(1399) is None
    assert master.waiting
    assert master.answer(1400) is None
    assert (master.waiting, master.fault) == (False, "silent")


def test_who_looks_in_once_a_second_asks_at_once() -> None:
    wire = Wire()
    master = asked(wire)
    wire.incoming += REPLY
    assert master.answer(1000) == b"\x01\x02\x03\x04"
    assert master.ask(1000, 1, READ_INPUT, span(0, 2))


def test_between_a_reply_and_the_next_question_there_are_three_and_a_half_characters() -> None:
    wire = Wire()
    master = asked(wire)
    wire.incoming += REPLY
    assert master.answer(50) is not None
    assert not master.ask(54, 1, READ_INPUT, span(0, 2))
    assert master.ask(55, 1, READ_INPUT, span(0, 2))


def test_a_late_reply_is_never_a_newer_questions() -> None:
    wire = Wire()
    master = asked(wire, reply_ms=400, rest_ms=500)
    assert master.answer(400) is None
    wire.incoming += REPLY
    for now_ms in (401, 899):
        assert not master.ask(now_ms, 1, READ_INPUT, span(0, 2))
    assert master.ask(900, 1, READ_INPUT, span(0, 2))
    assert master.answer(950) is None
    assert master.waiting


@pytest.mark.parametrize("spoilt", [REPLY[:-1], REPLY[:-1] + b"\0", REPLY + REPLY])
def test_after_a_broken_reply_the_line_rests(spoilt: bytes) -> None:
    wire = Wire()
    master = asked(wire)
    wire.incoming += spoilt
    assert master.answer(400) is None
    assert master.fault in ("cut", "bad_crc", "flood")
    assert not master.ask(899, 1, READ_INPUT, span(0, 2))
    assert master.ask(900, 1, READ_INPUT, span(0, 2))


def test_an_endless_stream_neither_hangs_nor_passes() -> None:
    class Endless(Wire):
        def any(self) -> int:
            return 300

        def readinto(self, buffer: memoryview) -> int:
            return len(buffer)

    wire = Endless()
    master = asked(wire)
    assert master.answer(10) is None
    assert master.fault == "flood"


def test_ticks_may_wrap() -> None:
    wire = Wire()
    near = (1 << 30) - 100
    master = asked(wire, near)
    assert master.answer(near + 50) is None
    assert master.waiting
    assert master.answer(300) is None
    assert master.fault == "silent"
    assert not master.ask(799, 1, READ_INPUT, span(0, 2))
    assert master.ask(800, 1, READ_INPUT, span(0, 2))
