"""Every message of the table packs and unpacks, whole or not at all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hushfw.core import frame, messages, vocabulary
from hushfw.core.errors import HushError

messages.learn(vocabulary.ALL)

FUZZED = 200_000
INTEGER_BITS = {"u8": 8, "u16": 16, "u32": 32, "u64": 64}
SIGNED_BITS = {"i32": 32, "i64": 64}
RANGES = {kind: (0, (1 << bits) - 1) for kind, bits in INTEGER_BITS.items()} | {
    kind: (-1 << bits - 1, (1 << bits - 1) - 1) for kind, bits in SIGNED_BITS.items()
}
NAMES = sorted(messages.BY_NAME)
MOST_DATA = 900


def values(kind: str) -> st.SearchStrategy[int | str | bytes]:
    if kind in RANGES:
        return st.integers(*RANGES[kind])
    if kind == "text":
        return st.text(max_size=60).filter(lambda t: len(encodable(t)) <= messages.MAX_TEXT)
    if kind == "bytes":
        return st.binary(max_size=MOST_DATA)
    return st.binary(min_size=int(kind[1:]), max_size=int(kind[1:]))


def encodable(text: str) -> bytes:
    return text.encode(errors="replace")


@st.composite
def any_message(draw: st.DrawFn) -> tuple[str, dict[str, int | str | bytes]]:
    name = draw(st.sampled_from(NAMES))
    layout = messages.layout(name)
    return name, {field: draw(values(kind)) for field, kind in layout}


@given(any_message())
def test_a_message_comes_back_as_it_was(
    sent: tuple[str, dict[str, int | str | bytes]],
) -> None:
    name, fields = sent
    number, payload = messages.encode(name, fields)
    assert number == messages.BY_NAME[name][0]
    assert messages.decode(number, payload) == (name, fields)


@given(any_message(), st.binary(min_size=1, max_size=3))
def test_a_message_cut_short_or_too_long_is_refused(
    sent: tuple[str, dict[str, int | str | bytes]], more: bytes
) -> None:
    number, payload = messages.encode(*sent)
    step = max(1, len(payload) // 25)
    for size in range(0, len(payload), step):
        with pytest.raises(HushError, match="bad_message"):
            messages.decode(number, payload[:size])
    with pytest.raises(HushError, match="bad_message: .* too many"):
        messages.decode(number, payload + more)


def least(kind: str) -> int | str | bytes:
    if kind in RANGES:
        return RANGES[kind][0]
    if kind in ("text", "bytes"):
        return "" if kind == "text" else b""
    return bytes(int(kind[1:]))


def most(kind: str) -> int | str | bytes:
    if kind in RANGES:
        return RANGES[kind][1]
    if kind in ("text", "bytes"):
        return "x" * 255 if kind == "text" else b"\xff" * 300
    return b"\xff" * int(kind[1:])


@pytest.mark.parametrize("name", NAMES)
def test_each_message_is_refused_at_every_truncation(name: str) -> None:
    layout = messages.layout(name)
    for fill in (least, most):
        number, payload = messages.encode(name, {field: fill(kind) for field, kind in layout})
        assert len(payload) <= frame.MAX_PAYLOAD
        for size in range(len(payload)):
            with pytest.raises(HushError, match="bad_message"):
                messages.decode(number, payload[:size])


@pytest.mark.parametrize("name", NAMES)
def test_a_field_out_of_its_range_is_not_sent(name: str) -> None:
    layout = messages.layout(name)
    good = {field: least(kind) for field, kind in layout}
    for field, kind in layout:
        wrong: list[int | str | bytes] = []
        if kind in RANGES:
            wrong = [RANGES[kind][0] - 1, RANGES[kind][1] + 1]
        elif kind == "text":
            wrong = ["x" * 256, "\u20ac" * 86]
        elif kind != "bytes":
            wrong = [b"", bytes(int(kind[1:]) + 1)]
        for value in wrong:
            with pytest.raises(HushError, match=f"bad_message: {field}"):
                messages.encode(name, good | {field: value})


def test_a_signed_field_is_twos_complement() -> None:
    layout = messages.layout("life")
    fields = {field: least(kind) for field, kind in layout}
    number, payload = messages.encode("life", fields | {"drift_ppb": -2, "clock_offset_ms": -1})
    assert b"\xff" * 11 + b"\xfe" in payload
    assert messages.decode(number, payload)[1]["drift_ppb"] == -2


def test_every_field_must_be_given() -> None:
    with pytest.raises(KeyError):
        messages.encode("resend", {"epoch": 1, "slot": 1})


def test_text_that_is_no_utf_8_is_refused() -> None:
    number, payload = messages.encode("refused", {"code": 1, "detail": "abc"})
    for spoilt in (b"\xff", b"\xc3(", b"\xed\xa0\x80", b"\x80"):
        with pytest.raises(HushError, match="UTF-8"):
            messages.decode(number, payload[:1] + bytes((len(spoilt),)) + spoilt)


@given(st.text(), st.integers(0, 200))
def test_a_text_is_cut_between_characters(text: str, size: int) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    cut = messages.cut(text, size)
    assert text.startswith(cut)
    assert len(cut.encode()) <= size
    assert cut == text or len(text[: len(cut) + 1].encode()) > size


def test_an_unknown_number_is_refused() -> None:
    for number in set(range(256)) - set(messages.BY_NUMBER):
        with pytest.raises(HushError, match="unknown_message"):
            messages.decode(number, b"")


def test_the_table_is_consistent() -> None:
    assert len(messages.BY_NAME) == len(messages.BY_NUMBER) == len(messages.TABLE)
    for number, name, fields in messages.TABLE:
        layout = messages.layout(name)
        assert 0 < number < 0x80 and name.islower()
        assert fields == ", ".join(f"{field} {kind}" for field, kind in layout)
        assert len({field for field, _ in layout}) == len(layout)
        for _, kind in layout:
            assert kind in (*RANGES, "text", "bytes") or int(kind[1:]) > 0


def test_random_payloads_decode_or_are_refused() -> None:
    chance = np.random.default_rng(6)
    numbers = chance.choice([row[0] for row in messages.TABLE], FUZZED).tolist()
    sizes = chance.integers(0, 60, FUZZED).tolist()
    noise = chance.integers(0, 256, 60 * FUZZED, np.uint8).tobytes()
    refused = 0
    for i in range(FUZZED):
        payload = noise[60 * i : 60 * i + sizes[i]]
        try:
            name, fields = messages.decode(numbers[i], payload)
        except HushError as error:
            assert error.code == "bad_message"
            refused += 1
        else:
            assert messages.encode(name, fields) == (numbers[i], payload)
    assert 0 < refused < FUZZED
