"""Ten thousand wrong messages at an aggregator: a refusal each, and nothing else happens."""

from __future__ import annotations

from pathlib import Path
from random import Random

from hushfw.core import messages
from hushfw.core.errors import CODES
from hushmeter.cluster.aggregator import Aggregator
from tests.cluster.street_kit import contents, encoded, make_street, run_slot, take

MESSAGES = 10_000
KIT = make_street(5, missing=1, lanes=2)
VALUES = {m: [m, 2 * m] for m in KIT.meters}


def settled(path: Path) -> tuple[Aggregator, list[bytes]]:
    """Slot 1 done, 2 void for want of an answer, 3 answering, 4 open; what is still to be sent."""
    aggregator = KIT.aggregator(path)
    run_slot(aggregator, KIT, 1, VALUES)
    for number in (2, 3, 4):
        aggregator.open(number)
        ids = KIT.ids() if number < 4 else KIT.ids()[:2]
        take(aggregator, KIT.reports(number, {m: VALUES[m] for m in ids}))
    waiting = [KIT.meters[m].report(4, VALUES[m]) for m in KIT.ids()[2:]]
    for number in (2, 3):
        silent = aggregator.announce(number)[10]["silent"]
        answers = [meter.answer(number, silent) for meter in KIT.meters.values()]
        take(aggregator, answers[:-2])
        waiting += answers[-2:]
    aggregator.close(2)
    return aggregator, waiting


def mutated(random: Random, good: list[bytes]) -> bytes:
    """One of several ways in which a message goes wrong; the tag never fits the content."""
    body = bytearray(random.choice(good))
    way = random.randrange(6)
    if way == 0:
        return random.randbytes(random.choice((0, 1, 2, 47, 62, 1024, 70_000)))
    if way == 1:
        return bytes(body[: random.randrange(len(body))])
    if way == 2:
        return bytes(body) + random.randbytes(random.randint(1, 40))
    if way == 3:
        return bytes((random.choice(list(messages.BY_NUMBER)),)) + random.randbytes(70)
    if way == 4:
        name = random.choice(("report", "answer"))
        fields = {
            "meter_id": random.choice((*KIT.ids(), 0, random.getrandbits(32))),
            "epoch": random.choice((1, 1, 1, 0, 2, random.getrandbits(32))),
            "slot": random.choice((1, 2, 3, 4, 5, 0, random.getrandbits(64))),
            "flags": random.getrandbits(8),
            "words": random.randbytes(random.choice((0, 8, 16, 16, 16, 24))),
            "tag": random.randbytes(16),
        }
        return encoded(name, fields)
    for _ in range(random.randint(1, 4)):
        body[random.randrange(len(body))] ^= random.randint(1, 255)
    return bytes(body)


def test_ten_thousand_wrong_messages_change_nothing(tmp_path: Path) -> None:
    aggregator, good = settled(tmp_path / "street.db")
    store = aggregator._store
    before, writes = contents(store), store._db.total_changes
    slots = repr(aggregator.slots)
    transcript = aggregator.transcript_sha256()
    random = Random(20)
    wrong = [body for body in (mutated(random, good) for _ in range(MESSAGES)) if body not in good]
    assert len(wrong) > MESSAGES - 20
    codes = set()
    while wrong:
        size = random.choice((1, 1, 2, 30))
        batch, wrong = wrong[:size], wrong[size:]
        for verdict in aggregator.accept(batch):
            assert not verdict.accepted
            codes.add(verdict.code)
        assert store._db.total_changes == writes
    assert codes <= set(CODES)
    assert {"bad_message", "unknown_message", "bad_tag", "wrong_slot", "unknown_meter"} <= codes
    assert contents(store) == before
    assert repr(aggregator.slots) == slots
    assert aggregator.transcript_sha256() == transcript
    take(aggregator, good)
    assert [slot.state for slot in aggregator.slots.values()] == [
        "done",
        "completed",
        "done",
        "open",
    ]
    store.close()
