"""Refusals: one exception, one table of stable codes.

A refusal has a code that goes over the wire and a message for the local log.
The numbers are part of the protocol: append, never renumber.

    raise HushError("bad_config", "slot_s is 0; it must be 60 to 3600")
"""

CODES = {
    "internal": 1,
    "bad_frame": 2,
    "bad_message": 3,
    "unknown_message": 4,
    "bad_config": 5,
    "not_provisioned": 6,
    "not_enrolled": 7,
    "bad_roster": 8,
    "old_epoch": 9,
    "bad_signature": 10,
    "below_floor": 11,
    "weak_key": 12,
    "duplicate": 13,
    "wrong_epoch": 14,
    "wrong_slot": 15,
    "bad_tag": 16,
    "late": 17,
    "refused": 18,
    "insecure_mode": 19,
    "bad_feed": 20,
    "storage": 21,
    "entropy": 22,
    "tape_empty": 23,
    "busy": 24,
    "left_out": 25,
    "unknown_meter": 26,
    "out_of_window": 27,
    "wrong_board": 28,
    "safe_mode": 29,
    "bad_clock": 30,
    "bad_key": 31,
    "bad_table": 32,
    "bad_ciphertext": 33,
    "overflow": 34,
    "pool_empty": 35,
}

NAMES = {number: name for name, number in CODES.items()}


class HushError(Exception):
    """A refusal with a stable code; the message says what was wrong and what would be right."""

    def __init__(self, code, message):
        super().__init__(message)
        if code not in CODES:
            raise KeyError(code)
        self.code = code
        self.message = message

    def __str__(self):
        return "%s: %s" % (self.code, self.message)
