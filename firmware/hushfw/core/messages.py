"""The message table: every message of the link, once; the codec is made from it.

A field is its name and its kind. Kinds: u8 u16 u32 u64 (big-endian), i32 i64 (the same in two's
complement), bN (N bytes), text (length u8, UTF-8), bytes (length u16). docs/protocol.md prints this
table and a test holds the two equal.

    kind, payload = encode("resend", {"epoch": 1, "slot": 7, "round": 1})
    name, fields = decode(kind, payload)
"""

import struct

from hushfw.core.errors import HushError

REPORT_ROUND = 1
ANSWER_ROUND = 2

# Who has a batch of commitments, as bits.
PARTY_HOME = 1
PARTY_UTILITY = 2

# Flags of a report: public facts about the reading, never the reading.
FLAG_GAP = 1
# With this report the privacy cap that the home has set is reached, see `ledger`.
FLAG_CAP = 2

_SLOT = "epoch u32, slot u64"
_SHARE = "meter_id u32, " + _SLOT

# (number, name, fields): what every meter knows; as a text the fields take a fifth of the memory.
# tools/protocol_table.py says what each message is for.
TABLE = [
    (0x01, "hello_request", ""),
    (0x02, "maintenance", ""),
    (0x03, "roster_begin", "size u32, digest b32"),
    (0x04, "roster_chunk", "offset u32, data bytes"),
    (0x05, "roster_commit", ""),
    (0x06, "feed", "start_s u64, row_s u16, rows bytes"),
    (0x07, "advance", "now_s u64"),
    (0x08, "announce", _SLOT + ", silent bytes, tag b16"),
    (0x09, "stored", _SLOT + ", round u8, tag b16"),
    (0x0A, "resend", _SLOT + ", round u8"),
    (0x0B, "status_request", ""),
    (0x0C, "life_request", ""),
    (0x0D, "clock", "epoch u32, unix_ms u64, tag b16"),
    (0x0E, "ledger_request", ""),
    (0x10, "renew_key", ""),
    (0x11, "roster_pass", "digest b32"),
    (
        0x41,
        "hello",
        "board text, firmware text, protocol u8, modes u16, meter_id u32, public_key b32, "
        "epoch u32, next_slot u64, boots u32, max_payload u16, problem text",
    ),
    (0x42, "ok", ""),
    (0x43, "refused", "code u8, detail text"),
    (0x44, "report", _SHARE + ", flags u8, words bytes, tag b16"),
    (0x45, "answer", _SHARE + ", words bytes, tag b16"),
    (0x46, "progress", "done u16, total u16"),
    (
        0x47,
        "status",
        "free_heap_bytes u32, clock_s u64, reports u32, answers u32, refusals u32, "
        "damaged_frames u32, gap_slots u32, slot_ms u32, answer_ms u32, unacknowledged u16",
    ),
    (
        0x48,
        "life",
        "reset_cause text, boots u32, tries u8, safe u8, place text, confirmed u8, "
        "import_ms u32, boot_ms u32, watchdog_ms u16, samples u32, missed_samples u32, "
        "failed_samples u32, worst_late_ms u32, clock_offset_ms i64, drift_ppb i32, "
        "journal_bytes u32, journal_rewrites u32, journal_appends u32, largest_free_bytes u32, "
        "filesystem_free_bytes u64",
    ),
    (
        0x49,
        "ledger",
        "epoch u32, den u64, slot_num bytes, window_num bytes, total_num bytes, reports u64, "
        "noiseless u64, window_noiseless u8, since_slot u64, through_slot u64, day u32, "
        "window_days u16, cap_num u32, cap_den u32, reached u8, market_intervals u32, "
        "market_num u32, market_den u32",
    ),
    (0x4A, "key", "meter_id u32, public_key b32, next_key b32, proof b16"),
    (0x4B, "passed", "epoch u32, digest b32"),
]
# Numbers below this one are the host's, the others the meter's.
FIRST_OF_METER = 0x40

BY_NAME = {row[1]: row for row in TABLE}
BY_NUMBER = {row[0]: row for row in TABLE}


def learn(rows):
    """Rows of `vocabulary`, beside what every meter knows; a second time does nothing."""
    for row in rows:
        if row[0] not in BY_NUMBER:
            TABLE.append(row)
            BY_NAME[row[1]] = row
            BY_NUMBER[row[0]] = row


MAX_TEXT = 255

_INTEGERS = {"u8": 1, "u16": 2, "u32": 4, "u64": 8}
_SIGNED = {"i32": 4, "i64": 8}


def layout(name):
    """[field, kind] of every field of a message, in their order."""
    fields = BY_NAME[name][2]
    return [field.split(" ") for field in fields.split(", ")] if fields else []


def _pack(name, kind, value):
    if kind in _INTEGERS:
        size = _INTEGERS[kind]
        if not 0 <= value < 1 << (8 * size):
            raise HushError("bad_message", "%s is out of the range of %s" % (name, kind))
        return value.to_bytes(size, "big")
    if kind in _SIGNED:
        size = _SIGNED[kind]
        if not -1 << (8 * size - 1) <= value < 1 << (8 * size - 1):
            raise HushError("bad_message", "%s is out of the range of %s" % (name, kind))
        return (value & (1 << (8 * size)) - 1).to_bytes(size, "big")
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
    packed = [_pack(field, kind, fields[field]) for field, kind in layout(name)]
    return BY_NAME[name][0], b"".join(packed)


def _take(payload, at, size):
    if at + size > len(payload):
        raise HushError("bad_message", "the message is cut short")
    return payload[at : at + size], at + size


def _unpack(kind, payload, at):
    if kind in _INTEGERS:
        data, at = _take(payload, at, _INTEGERS[kind])
        return int.from_bytes(data, "big"), at
    if kind in _SIGNED:
        data, at = _take(payload, at, _SIGNED[kind])
        value = int.from_bytes(data, "big")
        return value - (value >> (8 * len(data) - 1) << 8 * len(data)), at
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
        raise HushError(
            "unknown_message", "message %d: unknown, or a meter not provisioned for it" % number
        )
    fields = {}
    at = 0
    for field, kind in layout(row[1]):
        fields[field], at = _unpack(kind, payload, at)
    if at != len(payload):
        raise HushError("bad_message", "%s has %d bytes too many" % (row[1], len(payload) - at))
    return row[1], fields
