"""Packets of MQTT: the standard's own bytes, every cut and every damage, and no flood kept."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hushfw.core import messages, mqtt, vocabulary
from hushfw.core.errors import HushError

messages.learn(vocabulary.ALL)


def test_a_length_has_the_bytes_of_the_standards_table() -> None:
    """Table 2.4 of the standard: where one byte more is needed."""
    for size, wanted in (
        (0, b"\x00"),
        (127, b"\x7f"),
        (128, b"\x80\x01"),
        (16_383, b"\xff\x7f"),
        (16_384, b"\x80\x80\x01"),
        (2_097_151, b"\xff\xff\x7f"),
        (2_097_152, b"\x80\x80\x80\x01"),
    ):
        packet = mqtt._packet(mqtt.PUBLISH, 0, bytes(size))
        assert packet[1 : len(packet) - size] == wanted


def test_a_connect_has_the_bytes_of_the_standards_example() -> None:
    """Figure 3.6 of the standard, but with our flags: clean session, retained will of QoS 1."""
    packet = mqtt.connect("a", 10, "w", b"0")
    assert packet == b"\x10\x13\x00\x04MQTT\x04\x2e\x00\x0a\x00\x01a\x00\x01w\x00\x010"
    login = mqtt.connect("a", 10, "w", b"0", "u", "pw")
    assert login[9] == 0xEE
    assert login[-7:] == b"\x00\x01u\x00\x02pw"
    assert mqtt.connect("a", 10, "w", b"0", "u")[9] == 0xAE


def test_a_publish_a_subscribe_and_an_acknowledgement_have_the_standards_bytes() -> None:
    """Figures 3.11, 3.23 and 3.13: packet 10, topics a/b."""
    assert mqtt.publish("a/b", b"!", 10) == b"\x32\x08\x00\x03a/b\x00\x0a!"
    assert mqtt.publish("a/b", b"!", 10, again=True, retain=True)[0] == 0x3B
    assert mqtt.subscribe("a/b", 10) == b"\x82\x08\x00\x0a\x00\x03a/b\x01"
    assert mqtt.puback(10) == b"\x40\x02\x00\x0a"
    assert (mqtt.PING, mqtt.GOODBYE) == (b"\xc0\x00", b"\xe0\x00")


def test_what_a_broker_says_is_read_as_the_standard_says() -> None:
    data = (
        b"\x20\x02\x01\x05\x90\x03\x00\x0a\x80\x40\x02\x12\x34\xd0\x00\x3a\x07\x00\x03a/b\x00\x07"
    )
    packets = mqtt.Reader().feed(data)
    assert [kind for kind, _, _ in packets] == [
        mqtt.CONNACK, mqtt.SUBACK, mqtt.PUBACK, mqtt.PINGRESP, mqtt.PUBLISH,
    ]  # fmt: skip
    assert mqtt.connack(packets[0][2]) == 5
    assert mqtt.granted(packets[1][2]) == (10, 128)
    assert mqtt.acknowledged(packets[2][2]) == 0x1234
    assert mqtt.message(*packets[4][1:]) == ("a/b", b"", 7)
    assert mqtt.message(0, b"\x00\x01axyz") == ("a", b"xyz", None)


@pytest.mark.parametrize(
    "data",
    [
        b"\x10\x00",  # a broker never sends CONNECT
        b"\x21\x02\x00\x00",  # nor flags where there are none
        b"\x50\x02\x00\x01",  # nor the packets of QoS 2
        b"\x00\x00",
        b"\x30\xff\xff\xff\xff\x01",
        b"\x30\x81\x40",  # one byte more than a meter takes
    ],
)
def test_a_packet_that_is_not_for_a_meter_ends_the_connection(data: bytes) -> None:
    with pytest.raises(HushError) as caught:
        mqtt.Reader().feed(data)
    assert caught.value.code == "bad_frame"


@pytest.mark.parametrize(
    ("read", "bodies"),
    [
        (mqtt.connack, [b"", b"\x00", b"\x02\x00", b"\x00\x00\x00"]),
        (mqtt.acknowledged, [b"", b"\x01", b"\x00\x00", b"\x00\x01\x02"]),
        (mqtt.granted, [b"\x00\x01", b"\x00\x00\x01", b"\x00\x01\x01\x01"]),
        (
            lambda body: mqtt.message(2, body),
            [
                b"",
                b"\x00",
                b"\x00\x00\x00\x01",
                b"\x00\x03ab",
                b"\x00\x01a",
                b"\x00\x01\xff\x00\x01",
            ],
        ),
        (lambda body: mqtt.message(4, body), [b"\x00\x01a\x00\x01"]),
        (lambda body: mqtt.message(8, body), [b"\x00\x01a"]),
        (lambda body: mqtt.message(2, body), [b"\x00\x01a\x00\x00"]),
    ],
)
def test_a_malformed_body_is_refused(read: object, bodies: list[bytes]) -> None:
    for body in bodies:
        with pytest.raises(HushError):
            read(body)  # type: ignore[operator]


packet = st.builds(
    mqtt.publish,
    st.text("abc/é", min_size=1, max_size=40),
    st.binary(max_size=300),
    st.integers(1, mqtt.LAST_ID),
    st.booleans(),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(packet, max_size=6), st.lists(st.integers(1, 40), min_size=1, max_size=20))
def test_packets_come_whole_however_the_bytes_are_cut(sent: list[bytes], cuts: list[int]) -> None:
    data, reader, got = b"".join(sent), mqtt.Reader(), []
    for i in range(len(data)):
        size = cuts[i % len(cuts)]
        got += reader.feed(data[:size])
        data = data[size:]
    assert [mqtt.message(flags, body) for _, flags, body in got] == [
        mqtt.message(piece[0] & 15, _body(piece)) for piece in sent
    ]


def _body(data: bytes) -> bytes:
    at = 1
    while data[at] & 128:
        at += 1
    return data[at + 1 :]


@settings(max_examples=400, deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=30))
def test_no_bytes_do_more_than_end_the_connection(pieces: list[bytes]) -> None:
    reader = mqtt.Reader()
    readers = {
        mqtt.CONNACK: lambda flags, body: mqtt.connack(body),
        mqtt.PUBACK: lambda flags, body: mqtt.acknowledged(body),
        mqtt.SUBACK: lambda flags, body: mqtt.granted(body),
        mqtt.PUBLISH: mqtt.message,
        mqtt.PINGRESP: lambda flags, body: None,
    }
    try:
        for piece in pieces:
            for kind, flags, body in reader.feed(piece):
                readers[kind](flags, body)
            assert len(reader._part) <= mqtt.MAX_BODY + 5
    except HushError as error:
        assert error.code == "bad_frame"


@pytest.mark.parametrize("street", ["a/b", "a+", "#", "nul\0"])
def test_a_street_that_is_no_level_of_a_topic_is_refused(street: str) -> None:
    with pytest.raises(HushError, match="topic"):
        mqtt.check_street(street)


def test_the_topics_are_those_of_the_service() -> None:
    assert mqtt.topic("Elm Row", 7, mqtt.UP) == "hush1/Elm Row/7/up"
    assert mqtt.topic("Elm Row", 7, mqtt.DOWN) == "hush1/Elm Row/7/down"
    assert mqtt.topic("Elm Row", 7, mqtt.ALIVE) == "hush1/Elm Row/7/alive"


def test_what_is_obeyed_over_a_network_is_a_request_and_never_the_prompt_or_a_load() -> None:
    requests = {name for number, name, _ in messages.TABLE if number < messages.FIRST_OF_METER}
    assert set(mqtt.OVER_NETWORK) <= requests
    for name in ("maintenance", "feed", "advance", "ledger_request", "responses"):
        with pytest.raises(HushError, match="console only"):
            mqtt.check_request(name)
