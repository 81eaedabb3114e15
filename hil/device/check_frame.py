"""Frames on this interpreter: round trips at the edges of COBS, back in step, bounded memory."""

from hushfw_checks import expect, run

from hushfw.core import frame, messages, vocabulary
from hushfw.core.errors import HushError

EDGES = (0, 1, 252, 253, 254, 255, 256, 507, 508, 509, 762, 1023, 1024)


def check_known_examples_stuff_and_unstuff():
    for plain, stuffed in (
        (b"", b"\x01"),
        (b"\0", b"\x01\x01"),
        (b"\x11\x22\0\x33", b"\x03\x11\x22\x02\x33"),
        (b"\x11\0\0\0", b"\x02\x11\x01\x01\x01"),
    ):
        expect(frame.stuff(plain), stuffed)
        expect(frame.unstuff(stuffed), plain)


def check_a_frame_is_the_recorded_bytes():
    # The CRC of 01 42 00 07 61 62 63 is 2e 39 df c4.
    expect(frame.encode(0x42, 7, b"abc"), b"\0\x03\x01\x42\x09\x07abc\x2e\x39\xdf\xc4\0")
    expect(frame.Decoder().feed(frame.encode(0x42, 7, b"abc")), [(0x42, 7, b"abc")])


def check_payloads_of_every_edge_length_pass():
    for size in EDGES:
        for fill in (b"\0", b"\x01", b"\xff"):
            sent = (200, 65535, fill * size)
            decoder = frame.Decoder()
            expect(decoder.feed(frame.encode(*sent)), [sent], size)
            expect(decoder.damaged, 0)


def check_the_decoder_is_back_in_step_after_garbage():
    sent = (5, 6, b"payload")
    whole = frame.encode(*sent)
    for noise in (b"MicroPython v1.24\r\n>>> ", b"\xff" * 3000, whole[:9], b"\0" * 40):
        decoder = frame.Decoder()
        decoder.feed(noise)
        expect(decoder.feed(whole)[-1:], [sent], noise[:9])
        expect(decoder.feed(whole), [sent])


def check_a_frame_may_come_byte_by_byte():
    sent = (5, 6, bytes(range(256)))
    decoder = frame.Decoder()
    got = []
    for byte in frame.encode(*sent):
        got += decoder.feed(bytes((byte,)))
    expect(got, [sent])


def check_every_changed_bit_is_noticed():
    whole = frame.encode(0x44, 0x1234, bytes(range(24)))
    decoder = frame.Decoder()
    for bit in range(8, 8 * (len(whole) - 1)):
        spoilt = bytearray(whole)
        spoilt[bit >> 3] ^= 1 << (bit & 7)
        expect(decoder.feed(spoilt), [], bit)


def check_a_flood_is_not_kept():
    decoder = frame.Decoder()
    for _ in range(100):
        decoder.feed(b"\xff" * 512)
    expect(decoder.damaged, 0)
    expect(decoder.feed(b"\0"), [])
    expect(decoder.damaged, 1)
    expect(decoder.feed(frame.encode(1, 2, b"x")), [(1, 2, b"x")])


def example(kind):
    integers = {"u8": 200, "u16": 60000, "u32": 0xFEDCBA98, "u64": 0xFEDCBA9876543210}
    integers.update({"i32": -0x7EDCBA98, "i64": -0x7EDCBA9876543210})
    if kind in integers:
        return integers[kind]
    if kind == "text":
        return "gr\u00fc\u00df dich"
    return b"\xa5" * (70 if kind == "bytes" else int(kind[1:]))


def check_every_message_comes_back_and_none_cut_short():
    messages.learn(vocabulary.ALL)
    for number, name, _ in messages.TABLE:
        layout = messages.layout(name)
        fields = {field: example(kind) for field, kind in layout}
        got, payload = messages.encode(name, fields)
        expect(got, number)
        expect(messages.decode(number, payload), (name, fields), name)
        for size in range(len(payload)):
            try:
                messages.decode(number, payload[:size])
            except HushError as error:
                expect(error.code, "bad_message", name)
            else:
                expect("accepted", "refused", name)


def check_a_text_that_is_no_utf_8_is_refused():
    try:
        messages.decode(0x43, b"\x01\x02\xff\xfe")
    except HushError as error:
        expect(error.code, "bad_message")
    else:
        expect("accepted", "refused")


run(globals())
