"""A street that a crash falls into: slots that are done, void, completed late, and a new epoch.

`run` does it all on one store and may be begun again on what a crash left: what was done is then
said again, byte for byte, as meters that had no reply do. As a program it runs on a disk that kills
it at one of its changes, and prints what it told until then.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from hushmeter.cluster.aggregator import ANSWERING, OPEN, Aggregator
from hushmeter.cluster.store import Store
from tests.cluster.disk import Record, recording
from tests.cluster.street_kit import Kit, make_street

Tell = Callable[[list[Any]], None]

SILENT_ONE, SILENT_TWO, LATE = 1, 2, 3
"""What is special about a slot, by its number mod 4: one meter is silent; two are, which is more
than M; an answer comes after the slot was closed."""

FIRST = make_street(5, missing=1, seed=6)
SECOND = FIRST.next_epoch()
KITS = (FIRST, SECOND)
SLOTS_AN_EPOCH = 4


def slots_of(kit: Kit) -> range:
    """The slots that are played under a roster."""
    first = 1 + SLOTS_AN_EPOCH * KITS.index(kit)
    return range(first, first + SLOTS_AN_EPOCH)


def there(kit: Kit, number: int) -> list[int]:
    """The meters that report in a slot."""
    silent = {SILENT_ONE: 1, SILENT_TWO: 2}.get(number % 4, 0)
    return kit.ids()[silent:]


def value(number: int, meter_id: int) -> int:
    return 7 * meter_id + number


def run(path: Path, tell: Tell, *, all_there: bool = False) -> None:
    """Play everything on the store in this file; each thing is told once it is kept.

    With `all_there` the silent meters report as well, where they still can: a slot whose S was lost
    would then get another one.
    """
    for kit in KITS:
        with closing(Store(path)) as store:
            last = store.last_epoch()
        if last is not None and last[0] > kit.plan.epoch:
            continue
        aggregator = kit.aggregator(path)
        with closing(aggregator._store):
            tell(["epoch", kit.plan.epoch])
            for number in slots_of(kit):
                _slot(aggregator, kit, number, tell, all_there)


def _slot(aggregator: Aggregator, kit: Kit, number: int, tell: Tell, all_there: bool) -> None:
    slot = aggregator.open(number)
    tell(["open", number])
    who = kit.ids() if all_there else there(kit, number)
    if slot.state != OPEN:
        who = list(slot.reports)
    reports = [kit.meters[m].report(number, [value(number, m)]) for m in who]
    for bodies in [reports] if number % 4 else [[body] for body in reports]:
        _accept(aggregator, bodies, tell)
    aggregator.announce(number)
    if slot.silent is not None:
        tell(["silent", number, slot.silent.hex()])
        answers = [kit.meters[m].answer(number, slot.silent) for m in who]
        late = number % 4 == LATE
        _accept(aggregator, answers[late:], tell)
        if late:
            aggregator.close(number)
            tell(["closed", number])
            _accept(aggregator, answers[:1], tell)
    aggregator.close(number)
    tell(["closed", number])
    expected = None if slot.silent is None else [sum(value(number, m) for m in who)]
    assert slot.totals == expected, number
    tell(["total", number, slot.totals])


def _accept(aggregator: Aggregator, bodies: Sequence[bytes], tell: Tell) -> None:
    verdicts = aggregator.accept(bodies)
    assert all(verdict.accepted for verdict in verdicts), verdicts
    for body in bodies:
        tell(["kept", body.hex()])


def broken_promises(path: Path, told: Sequence[list[Any]]) -> list[str]:
    """What was told and is not so in the store; and whatever no store may hold."""
    with closing(Store(path)) as store:
        rows = {row.slot: row for row in store.slots()}
        kept = {body.hex() for body in store.all_bodies()}
        last = store.last_epoch()
    wrong = []
    for what, *of in told:
        if what == "epoch":
            holds = last is not None and last[0] >= of[0]
        elif what == "kept":
            holds = of[0] in kept
        else:
            row = rows.get(of[0])
            holds = row is not None
            if row is not None and what == "silent":
                holds = row.silent is not None and row.silent.hex() == of[1]
            elif row is not None and what == "total":
                holds = row.totals == of[1] and row.state not in (OPEN, ANSWERING)
            elif row is not None and what == "closed":
                holds = row.state not in (OPEN, ANSWERING)
        if not holds:
            wrong.append(f"{what} {of[0]}"[:40])
    return wrong


def contradictions(told: Sequence[list[Any]]) -> list[str]:
    """Slots of which two S or two totals were ever told."""
    seen: dict[tuple[str, int], Any] = {}
    wrong = []
    for what, *of in told:
        if what in ("silent", "total") and seen.setdefault((what, of[0]), of[1]) != of[1]:
            wrong.append(f"two of {what} {of[0]}")
    return wrong


def main(folder: str, changes: Sequence[str]) -> None:
    """Fork once for each change, which kills the child; a line of JSON each: what it had told."""
    for number in map(int, changes):
        place = Path(folder) / str(number)
        place.mkdir()
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            _killed(place / "street.db", number, writing)
        os.close(writing)
        with os.fdopen(reading) as lines:
            told = [json.loads(line) for line in lines]
        _, status = os.waitpid(child, 0)
        print(json.dumps({"change": number, "status": status, "told": told}), flush=True)


def _killed(path: Path, number: int, out: int) -> None:
    """Play until change number / 2; an even number does a write by half before it kills."""
    record = Record(fatal=number // 2, halved=number % 2 == 0)
    with recording(record):
        run(path, lambda what: os.write(out, json.dumps(what).encode() + b"\n") and None)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
