"""Messages that not every meter knows: by what it must be able to do.

A meter learns a group when it is configured for it, `messages.learn(vocabulary.MARKET)`, and this
module goes again; the host and the tests learn all of them.
"""

_INTERVAL = "epoch u32, interval u64"
_SAID = "meter_id u32, " + _INTERVAL

MARKET = (
    (0x12, "responses", "size u16, offset u16, data bytes"),
    (0x13, "market_ask", _INTERVAL + ", prices bytes, tag b16"),
    (0x14, "market_silent", _INTERVAL + ", ask b32, silent bytes, tag b16"),
    (0x15, "market_totals", _INTERVAL + ", participants u32, totals bytes, cuts bytes, tag b16"),
    (0x16, "market_count", _INTERVAL + ", round u8, side u8, thresholds bytes, tag b16"),
    (0x17, "market_ring", _INTERVAL + ", step u8, part u8, data bytes, tag b16"),
    (0x4C, "market_words", _SAID + ", words bytes, tag b16"),
    (0x4D, "market_answer", _SAID + ", words bytes, tag b16"),
    (0x4E, "market_counts", _SAID + ", round u8, words bytes, tag b16"),
    (0x4F, "market_letter", _SAID + ", step u8, part u8, data bytes, tag b16"),
)

BILLS = (
    (0x18, "bill_request", "close u8"),
    (0x19, "leaf_request", "slot u64, register u8"),
    (0x1A, "root_request", "slot u64"),
    (0x1B, "kept", "epoch u32, slot u64, party u8, tag b16"),
    (
        0x50,
        "bill_state",
        "public_key b32, key_hash b32, first_slot u64, last_slot u64, waiting u16, unsigned u16, "
        "signed u16, lost_slots u32, bytes u32, problem text",
    ),
    (0x51, "leaf", "slot u64, register u8, epoch u32, ciphertext bytes"),
    (
        0x52,
        "root",
        "first_slot u64, last_slot u64, count u32, ciphertext_bytes u16, key_hash b32, root b32, "
        "signature b64, kept u8",
    ),
)

NETWORK = (
    (0x1C, "network_request", ""),
    (
        0x54,
        "network",
        "up u8, wifi_tries u32, connects u32, failures u32, queued u16, acknowledged u32, "
        "dropped u32, expired u32, received u32, damaged u32, worst_step_ms u32, last_error text",
    ),
)

SENSORS = (
    (0x1D, "sensors_request", ""),
    (0x1E, "calibration_raw", "seconds u16"),
    (0x1F, "calibration_put", "data bytes"),
    (
        0x55,
        "sensors",
        "driver text, sees_export u8, reads u32, read_ms u32, worst_read_ms u16, session_s u16, "
        "calibration u8, version u32, made_s u64, digest b32, settings b4, problem text, "
        "acknowledged u8, idle_s u32, unacknowledged u32, words bytes",
    ),
    (
        0x56,
        "raw",
        "left_s u16, count u16, failed u16, watts_sum i64, corrected_sum i64, least_w i32, "
        "most_w i32, fault text, names text, sums bytes",
    ),
    (0x57, "calibration", "data bytes"),
)

ALL = MARKET + BILLS + NETWORK + SENSORS
