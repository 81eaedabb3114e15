"""The message table: every message of the link, once; the codec is made from it.

A field is (name, kind). Kinds: u8 u16 u32 u64 (big-endian), bN (N bytes), text (length u8, UTF-8),
bytes (length u16). docs/protocol.md prints this table and a test holds the two equal.

    kind, payload = encode("resend", {"epoch": 1, "slot": 7, "round": 1})
    name, fields = decode(kind, payload)
"""

import struct

from hushfw.core.errors import HushError

HOST = "host"
METER = "meter"

REPORT_ROUND = 1
ANSWER_ROUND = 2

# Flags of a report: public facts about the reading, never the reading.
FLAG_GAP = 1

_SLOT = (("epoch", "u32"), ("slot", "u64"))
_SHARE = (("meter_id", "u32"),) + _SLOT

# (number, name, sender, fields, what it is for)
TABLE = (
    (0x01, "hello_request", HOST, (), "who are you; answered by hello"),
    (0x02, "maintenance", HOST, (), "leave the meter's loop for the interpreter's prompt"),
    (
        0x03,
        "roster_begin",
        HOST,
        (("size", "u32"), ("digest", "b32")),
        "a roster of this size follows; digest is its hash",
    ),
    (
        0x04,
        "roster_chunk",
        HOST,
        (("offset", "u32"), ("data", "bytes")),
        "a piece of the roster, in order",
    ),
    (
        0x05,
        "roster_commit",
        HOST,
        (),
        "check the roster and use it; answered by progress until every pair key is there",
    ),
    (
        0x06,
        "feed",
        HOST,
        (("start_s", "u64"), ("row_s", "u16"), ("rows", "bytes")),
        "rows for the replay driver: signed 32-bit little-endian watt-seconds, -2^31 missing",
    ),
    (
        0x07,
        "advance",
        HOST,
        (("now_s", "u64"),),
        "the replay clock is now_s: take the rows up to it, report the slots that ended",
    ),
    (
        0x08,
        "announce",
        HOST,
        _SLOT + (("silent", "bytes"), ("tag", "b16")),
        "the set S of silent meters, a bit each in the roster's order; asks for the answer",
    ),
    (
        0x09,
        "stored",
        HOST,
        _SLOT + (("round", "u8"), ("tag", "b16")),
        "the aggregator keeps this meter's message of that round",
    ),
    (
        0x0A,
        "resend",
        HOST,
        _SLOT + (("round", "u8"),),
        "send the report (1) or answer (2) of that slot again, byte for byte",
    ),
    (0x0B, "status_request", HOST, (), "how are you; answered by status"),
    (
        0x41,
        "hello",
        METER,
        (
            ("board", "text"),
            ("firmware", "text"),
            ("protocol", "u8"),
            ("modes", "u16"),
            ("meter_id", "u32"),
            ("public_key", "b32"),
            ("epoch", "u32"),
            ("next_slot", "u64"),
            ("boots", "u32"),
            ("max_payload", "u16"),
            ("problem", "text"),
        ),
        "identity, and the weakening modes in force as a bit mask; problem says why a meter "
        "does not work, empty when it does",
    ),
    (0x42, "ok", METER, (), "done"),
    (
        0x43,
        "refused",
        METER,
        (("code", "u8"), ("detail", "text")),
        "not done, nothing changed; detail is empty for every refusal of round two",
    ),
    (
        0x44,
        "report",
        METER,
        _SHARE + (("flags", "u8"), ("words", "bytes"), ("tag", "b16")),
        "round one: the masked reading, a 64-bit word a lane",
    ),
    (
        0x45,
        "answer",
        METER,
        _SHARE + (("words", "bytes"), ("tag", "b16")),
        "round two: what lifts the meter's masks from the total, bound to S",
    ),
    (0x46, "progress", METER, (("done", "u16"), ("total", "u16")), "pair keys there so far"),
    (
        0x47,
        "status",
        METER,
        (
            ("free_heap_bytes", "u32"),
            ("clock_s", "u64"),
            ("reports", "u32"),
            ("answers", "u32"),
            ("refusals", "u32"),
            ("damaged_frames", "u32"),
            ("gap_slots", "u32"),
            ("slot_ms", "u32"),
            ("answer_ms", "u32"),
            ("unacknowledged", "u16"),
        ),
        "counters since boot; the time that the last report and answer took depends on secrets, so "
        "it is 0 except with a fixed seed",
    ),
)

BY_NAME = {row[1]: row for row in TABLE}
BY_NUMBER = {row[0]: row for row in TABLE}

MAX_TEXT = 255

_INTEGERS = {"u8": 1, "u16": 2, "u32": 4, "u64": 8}


def _pack(name, kind, value):
    if kind in _INTEGERS:
        size = _INTEGERS[kind]
        if not 0 <= value < 1 << (8 * size):
            raise HushError("bad_message", "%s is out of the range of %s" % (name, kind))
        return value.to_bytes(size, "big")
    if kind == "text":
        data = value.encode()
        if len(data) > MAX_TEXT:
            raise HushError("bad_message", "%s has more than %d bytes" % (name, MAX_TEXT))
        return bytes((len(data),)) + data
    if kind == "bytes":
        return struct.pack(">H", len(value)) + bytes(value)
    if len(value) != int(kind[1:]):
        raise HushError("bad_message", "%s must have %s bytes" % (name, kind[1:]))
    return bytes(value)


def cut(text, size):
    """The beginning of a text that has at most this many bytes of UTF-8."""
    while len(text.encode()) > size:
        text = text[:-1]
    return text


def encode(name, fields):
    """(number, payload) of a message; every field of the table must be given."""
    number, _, _, layout, _ = BY_NAME[name]
    return number, b"".join(_pack(field, kind, fields[field]) for field, kind in layout)


def _take(payload, at, size):
    if at + size > len(payload):
        raise HushError("bad_message", "the message is cut short")
    return payload[at : at + size], at + size


def _unpack(kind, payload, at):
    if kind in _INTEGERS:
        data, at = _take(payload, at, _INTEGERS[kind])
        return int.from_bytes(data, "big"), at
    if kind == "text":
        size, at = _take(payload, at, 1)
        data, at = _take(payload, at, size[0])
        try:
            return str(data, "utf-8"), at
        except (UnicodeError, ValueError):
            raise HushError("bad_message", "a text is not UTF-8") from None
    if kind == "bytes":
        size, at = _take(payload, at, 2)
        return _take(payload, at, int.from_bytes(size, "big"))
    return _take(payload, at, int(kind[1:]))


def decode(number, payload):
    """(name, fields) of a message, whole, or a refusal."""
    row = BY_NUMBER.get(number)
    if row is None:
        raise HushError("unknown_message", "no message has the number %d" % number)
    fields = {}
    at = 0
    for field, kind in row[3]:
        fields[field], at = _unpack(kind, payload, at)
    if at != len(payload):
        raise HushError("bad_message", "%s has %d bytes too many" % (row[1], len(payload) - at))
    return row[1], fields
