"""Packets of MQTT on this interpreter: recorded bytes, every cut, and what must be refused."""

from hushfw_checks import expect, refuses, run

from hushfw.core import mqtt


def check_packets_are_the_recorded_bytes():
    expect(
        mqtt.connect("a", 10, "w", b"0"),
        b"\x10\x13\x00\x04MQTT\x04\x2e\x00\x0a\x00\x01a\x00\x01w\x00\x010",
    )
    expect(mqtt.publish("a/b", b"!", 10), b"\x32\x08\x00\x03a/b\x00\x0a!")
    expect(mqtt.publish("a/b", b"!", 10, True)[0], 0x3A)
    expect(mqtt.subscribe("a/b", 65535), b"\x82\x08\xff\xff\x00\x03a/b\x01")
    expect(mqtt.puback(10), b"\x40\x02\x00\x0a")
    expect(mqtt.publish("t", bytes(200), 1)[:3], b"\x32\xcd\x01")


def check_what_a_broker_says_comes_whole_at_every_cut():
    data = (
        b"\x20\x02\x00\x00\x90\x03\x00\x0a\x01"
        + mqtt.publish("a\u00e9", b"x" * 200, 7)
        + b"\xd0\x00"
    )
    for at in range(len(data)):
        reader = mqtt.Reader()
        got = reader.feed(data[:at]) + reader.feed(data[at:])
        expect([kind for kind, _, _ in got], [2, 9, 3, 13], at)
        expect(mqtt.message(got[2][1], got[2][2]), ("a\u00e9", b"x" * 200, 7))


def check_what_is_not_for_a_meter_is_refused():
    for data in (b"\x10\x00", b"\x21\x02\x00\x00", b"\x30\xff\xff\xff\xff\x01", b"\x30\x81\x40"):
        refuses("bad_frame", mqtt.Reader().feed, data)
    for body in (b"", b"\x00\x03ab", b"\x00\x01a", b"\x00\x01\xff\x00\x01", b"\x00\x01a\x00\x00"):
        refuses("bad_frame", mqtt.message, 2, body)
    for body in (b"\x01", b"\x00\x00", b"\x00\x01\x02"):
        refuses("bad_frame", mqtt.acknowledged, body)
    refuses("bad_frame", mqtt.connack, b"\x02\x00")
    refuses("bad_frame", mqtt.granted, b"\x00\x01")


run(globals())
