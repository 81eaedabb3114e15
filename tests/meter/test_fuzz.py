"""Ten thousand random and mutated frames at a running meter, over the pipe."""

import random
import time

from hushfw.core import frame, messages
from hushfw.core.errors import HushError
from tests.meter import kit

FRAMES = 10_000
BATCH = 100

UNPROTECTED = ("feed", "advance", "roster_begin", "roster_chunk", "maintenance")
"""A right one of these acts: the sensor and the delivery of a roster are not authenticated. They
come in mutated frames only, where nothing but the CRC's failure stops them."""


def messages_for(street: kit.Street) -> list[tuple[str, int, bytes]]:
    """Well-formed messages of every kind, those that act on keys with right tags."""
    made = {
        "hello_request": {},
        "maintenance": {},
        "status_request": {},
        "roster_begin": {"size": 415, "digest": bytes(32)},
        "roster_chunk": {"offset": 0, "data": bytes(100)},
        "roster_commit": {},
        "feed": {"start_s": kit.START_S + 1200, "row_s": 600, "rows": bytes(40)},
        "advance": {"now_s": kit.end_s(3)},
        "announce": street.announcement(1, 1, street.silent(4)),
        "stored": street.acknowledgement(1, 1, 1),
        "resend": {"epoch": 1, "slot": 1, "round": 1},
    }
    return [(name, *messages.encode(name, fields)) for name, fields in made.items()]


def flipped(chance: random.Random, data: bytes) -> bytes:
    """With one to three bits changed."""
    out = bytearray(data)
    for bit in chance.sample(range(8 * len(out)), chance.randint(1, 3)):
        out[bit >> 3] ^= 1 << (bit & 7)
    return bytes(out)


def with_wrong_content(chance: random.Random, made: list[tuple[str, int, bytes]]) -> bytes:
    """A whole frame, right CRC, with a payload that must be refused or a request that only asks."""
    while True:
        name, number, payload = chance.choice(made)
        way = chance.randrange(4)
        if way == 0:
            number, payload = chance.randrange(256), chance.randbytes(chance.randrange(80))
        elif way == 1 and payload:
            payload = payload[: chance.randrange(len(payload))]
        elif way == 2 and payload:
            payload = flipped(chance, payload)
        else:
            payload += chance.randbytes(chance.randint(1, 5))
        changes = number in [messages.BY_NAME[n][0] for n in UNPROTECTED]
        if not (changes and acceptable(number, payload)):
            return frame.encode(number, chance.randrange(1, 1 << 16), payload)


def acceptable(number: int, payload: bytes) -> bool:
    try:
        messages.decode(number, payload)
    except HushError:
        return False
    return True


def damaged(chance: random.Random, made: list[tuple[str, int, bytes]]) -> bytes:
    """Bytes that hold no frame with a right CRC."""
    name, number, payload = chance.choice(made)
    whole = frame.encode(number, chance.randrange(1 << 16), payload)
    way = chance.randrange(4)
    if way == 0:
        return chance.randbytes(chance.randrange(1, 200))
    if way == 1:
        return flipped(chance, whole)
    if way == 2:
        at = chance.randrange(1, len(whole) - 1)
        return whole[:at] + whole[at + 1 :]
    return whole[: chance.randrange(2, len(whole) - 1)] + b"\0"


def test_ten_thousand_wrong_frames_change_nothing_on_a_meter(street: kit.Street) -> None:
    chance = random.Random(1)
    meter = street.meters[1]
    meter.run(1)
    meter.feed(2)
    made = messages_for(street)
    before = meter.hello(), meter.status(), meter.storage()
    began = time.monotonic()
    refusals = 0
    for _ in range(FRAMES // BATCH):
        batch = [
            with_wrong_content(chance, made) if i & 1 else damaged(chance, made)
            for i in range(BATCH)
        ]
        accepted = frame.Decoder().feed(b"".join(batch) + b"\0")
        for number, _, payload in accepted:
            if number in [messages.BY_NAME[n][0] for n in UNPROTECTED]:
                assert not acceptable(number, payload)
        replies = [r for r in meter.raw(b"".join(batch) + b"\0") if r[1]]
        assert len(replies) == len(accepted)
        refusals += sum(r[0] == messages.BY_NAME["refused"][0] for r in replies)
    assert time.monotonic() - began < 60
    hello, status, storage = meter.hello(), meter.status(), meter.storage()
    assert refusals > FRAMES // 4
    assert status["damaged_frames"] > FRAMES // 4
    counted = ("refusals", "damaged_frames", "free_heap_bytes")
    assert hello == before[0]
    assert {k: v for k, v in status.items() if k not in counted} == {
        k: v for k, v in before[1].items() if k not in counted
    }
    assert storage == before[2]
    meter.ask("advance", now_s=kit.end_s(2))
    assert 2 in meter.reports
    # The advance collects, so nothing of ten thousand frames is still held.
    assert meter.status()["free_heap_bytes"] > before[1]["free_heap_bytes"] - 32768
    assert meter.ask("announce", **street.announcement(1, 2, street.silent(4)))


def test_noise_before_and_between_frames_is_skipped(street: kit.Street) -> None:
    chance = random.Random(2)
    meter = street.meters[1]
    for _ in range(200):
        meter.unix.write(chance.randbytes(chance.randrange(2000)))
        meter.raw(b"\0")
    assert meter.hello()["problem"] == ""
