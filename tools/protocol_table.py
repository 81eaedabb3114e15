"""Prints the table of docs/protocol.md from the message table of the device package.

python -m tools.protocol_table            the table
python -m tools.protocol_table --write    put it between the page's markers
"""

from __future__ import annotations

import sys
from pathlib import Path

from hushfw.core import messages, vocabulary

PAGE = Path(__file__).resolve().parents[1] / "docs" / "protocol.md"
BEGIN = "<!-- messages: begin -->"
END = "<!-- messages: end -->"

MEANINGS = {
    "hello_request": "who are you; answered by hello",
    "maintenance": "leave the meter's loop for the interpreter's prompt",
    "roster_begin": "a roster of this size follows; digest is its hash",
    "roster_chunk": "a piece of the roster, in order",
    "roster_commit": (
        "check the roster and use it; answered by progress until every pair key is there"
    ),
    "feed": "rows for the replay driver: signed 32-bit little-endian watt-seconds, -2^31 missing",
    "advance": "the replay clock is now_s: take the rows up to it, report the slots that ended",
    "announce": "the set S of silent meters, a bit each in the roster's order; asks for the answer",
    "stored": "the aggregator keeps this meter's message of that round",
    "resend": "send the report (1) or answer (2) of that slot again, byte for byte",
    "status_request": "how are you; answered by status",
    "life_request": "how is the board; answered by life",
    "clock": (
        "it is unix_ms now, for a meter that measures; good for one boot, and newer than the last"
    ),
    "ledger_request": "what has this meter spent; answered by ledger",
    "renew_key": "make a new key, to be used once a roster names it; answered by key",
    "roster_pass": (
        "the roster that has come was missed: check that it follows, and keep its hash alone; "
        "zeros only ask; answered by passed"
    ),
    "responses": "a piece of the home's price responses, which the last piece puts into use",
    "market_ask": "what would this home buy and sell at these prices; answered by market_words",
    "market_silent": "the set S of an interval and the hash of its ask; asks for market_answer",
    "market_totals": (
        "the totals at each price and, to close the interval, the cuts; the home works out its "
        "share and says nothing of it"
    ),
    "market_ring": (
        "one step of an interval's ring: grid, commitments, nonces, a letter; asks for "
        "market_letter"
    ),
    "market_count": "how many remainders of a side reach each threshold; asks for market_counts",
    "bill_request": (
        "how are the commitments; close 1: sign those so far, not only at the day's end; answered "
        "by bill_state"
    ),
    "leaf_request": "the commitment of a slot and register (0 import, 1 export), once it is signed",
    "root_request": "the signed root of the batch that holds the slot, or of the next behind it",
    "kept": (
        "party 1 (home) or 2 (utility) has the batch that begins with the slot; the tag is the "
        "supplier's, zeros for party 1"
    ),
    "network_request": "how is the way to the broker; answered by network",
    "sensors_request": "how are the sensor and what drives the battery; answered by sensors",
    "calibration_raw": (
        "begin or prolong a calibration by so many seconds, 900 at most, or end it with 0: raw "
        "gives what was read since it was last asked; slots have gaps until it ends"
    ),
    "calibration_put": (
        "use this calibration from now on, while one is going on; empty data only asks; answered "
        "by calibration"
    ),
    "hello": (
        "identity, and the weakening modes in force as a bit mask; problem says why a meter "
        "does not work, empty when it does"
    ),
    "ok": "done",
    "refused": "not done, nothing changed; detail is empty for every refusal of round two",
    "report": "round one: the masked reading, a 64-bit word a lane",
    "answer": "round two: what lifts the meter's masks from the total, bound to S",
    "progress": "pair keys there so far",
    "status": (
        "counters since boot; the time that the last report and answer took depends on secrets, "
        "so it is 0 except with a fixed seed"
    ),
    "life": (
        "the board: why it started, which firmware runs and whether on trial, its watchdog, its "
        "samples and clock, what the journal has written since boot, and what room is left"
    ),
    "bill_state": (
        "the meter's signing key, the SHA-256 of the home's key, the slots committed to, readings "
        "that wait, batches not yet signed and signed, slots lost since boot, bytes on flash"
    ),
    "leaf": "a commitment; an empty ciphertext is the number 1: the slot was not measured",
    "root": "what the meter signed for a batch, and who has it (1 home, 2 utility)",
    "key": (
        "the meter's key and the one that is to follow it, with the proof to the authority that "
        "the holder of the first made the second"
    ),
    "passed": "epoch and hash of the newest roster known, which the next one must follow",
    "ledger": (
        "the privacy ledger: epsilon of a slot, of the window and of all reports as numerators "
        "over den (see below); cap_den 0 is no cap"
    ),
    "market_words": "the home's masked curves, a word for each price, demand before supply",
    "market_answer": "what lifts the home's masks from the totals, bound to S and to the ask",
    "market_letter": (
        "what the home says to a step of the ring: its commitment, its nonce, the letter to the "
        "next home, or the ciphertext for the utility"
    ),
    "market_counts": "the home's masked counts: its whole Wh, then a word for each threshold",
    "network": (
        "the way to the broker: whether it is up, connections and failures, frames that wait, were "
        "acknowledged by it, dropped from the full queue or too late to leave, requests and "
        "damaged frames that came, the longest turn, and why the last connection was lost"
    ),
    "sensors": (
        "the sensor: what reading it took, and its calibration (0 nominal, 1 in use, 2 unusable: "
        "no readings, see problem); whether the battery follows; words are the sensor's fault; "
        "its faults with counts; the actuator; its fault; its faults. No watts"
    ),
    "raw": (
        "sums over the seconds that were read: watts before and after correction by points, and "
        "the named raw quantities, 8 bytes each in two's complement"
    ),
    "calibration": "the stored calibration's bytes, empty where there is none",
}
"""What each message is for. A board has no use for it, so it is not in the device's table."""


def table() -> str:
    """Every message as a row: number, name, sender, fields, what it is for."""
    rows = ["| number | name | sender | fields | meaning |", "| --- | --- | --- | --- | --- |"]
    messages.learn(vocabulary.ALL)
    for number, name, fields in sorted(messages.TABLE):
        sender = "host" if number < messages.FIRST_OF_METER else "meter"
        cells = (f"0x{number:02x}", name, sender, fields or "-", MEANINGS[name])
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def between_markers(page: str) -> str:
    """What a page has between its markers.

    Raises
    ------
    ValueError
        There is not exactly one begin and one end after it.
    """
    before, begin, rest = page.partition(BEGIN)
    inner, end, after = rest.partition(END)
    if not begin or not end or BEGIN in rest or END in before + after:
        raise ValueError(f"the page needs {BEGIN} once, and {END} once after it")
    return inner.strip("\n")


def with_table(page: str) -> str:
    """The page with the table between its markers."""
    between_markers(page)
    before, _, rest = page.partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        print(table())
