"""Messages that come again: from another slot, epoch or meter, by somebody without any key.

The network attacker has recorded everything that was said. Every tag names the message's purpose,
the roster's hash, the meter and the slot, and an answer's the set S too.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from hushfw.core import messages
from hushfw.slots import Slots
from hushmeter.attack.book import Try, entry
from hushmeter.attack.scene import Scene, Street
from hushmeter.cluster.aggregator import DONE, Aggregator
from hushmeter.cluster.store import Store


def any_tag(aggregator: Any, name: str, fields: dict[str, Any], slot: Any) -> None:
    """Undefended: the aggregator takes a message for what it says it is."""


def announced_by_anybody(
    slots: Any,
    roster: Any,
    epoch: int,
    slot: int,
    silent: bytes,
    tag: bytes,
    announced: Callable[..., list[int]] = Slots._announced,
) -> list[int]:
    """Undefended: an announcement needs no tag of the supplier's."""
    return announced(slots, roster, epoch, slot, silent, slots._tag_down(b"announce", slot, silent))


def _changed(body: bytes, **fields: Any) -> bytes:
    """A recorded message with other fields and its old tag."""
    name, before = messages.decode(body[0], body[1:])
    number, payload = messages.encode(name, {**before, **fields})
    return bytes((number,)) + bytes(payload)


def _aggregator(scene: Scene, street: Street) -> Aggregator:
    folder: Path = scene.folder("aggregator")
    return Aggregator(Store(folder / "store.db"), street.supplier, street.signed)


def _whole_slot(scene: Scene, street: Street, aggregator: Aggregator, slot: int) -> None:
    """An honest slot in which everybody reports and answers."""
    aggregator.open(slot)
    scene.run(street, slot)
    aggregator.accept([board.reports[slot][-1] for board in street.boards.values()])
    for meter_id, wanted in aggregator.announce(slot).items():
        street.boards[meter_id].ask("announce", **wanted)
    aggregator.accept([board.answers[slot][-1] for board in street.boards.values()])


@entry(
    "cross-slot-messages",
    summary="plays a recorded report in for a silent meter: of another slot, or of another meter",
    defence="tags over purpose, roster, meter, slot and S under a key with the supplier",
    without=[(Aggregator, "_check_tag", any_tag)],
)
def cross_slot_messages(scene: Scene) -> Try:
    """Meter 5 is silent in slot 2; its report of slot 1 and one of meter 1 stand in for it.

    Words of another slot carry other masks, so the slot would be lost: a denial by anybody.
    """
    street = scene.enrolled(5)
    aggregator = _aggregator(scene, street)
    _whole_slot(scene, street, aggregator, 1)
    aggregator.open(2)
    scene.run(street, 2, (1, 2, 3, 4))
    reports = [street.boards[i].reports[2][-1] for i in (1, 2, 3, 4)]
    forged = [
        _changed(street.boards[5].reports[1][-1], slot=2),
        _changed(street.boards[1].reports[2][-1], meter_id=5),
        _changed(street.boards[5].answers[1][-1], slot=2),
        street.boards[5].reports[1][-1],
    ]
    aggregator.accept(reports)
    verdicts = aggregator.accept(forged)
    for meter_id, wanted in aggregator.announce(2).items():
        if meter_id != 5:
            street.boards[meter_id].ask("announce", **wanted)
    answers = [street.boards[i].answers[2][-1] for i in (1, 2, 3, 4)]
    aggregator.accept([*answers, _changed(street.boards[5].answers[1][-1], slot=2)])
    slot = aggregator.close(2)
    true_wh, noise_wh = scene.truth((1, 2, 3, 4), 2)
    total_wh = None if slot.totals is None else slot.totals[0]
    right = total_wh == true_wh + noise_wh
    evidence = {
        "messages_forged": len(forged),
        "accepted": sum(v.accepted for v in verdicts[:3]),
        "same_bytes_again_accepted_and_ignored": verdicts[3].accepted,
        "slot": slot.state,
        "true_wh": true_wh,
        "noise_wh": noise_wh,
        "total_wh": total_wh,
    }
    return Try(not (slot.state == DONE and right), evidence)


@entry(
    "replayed-announcement",
    summary="plays the announcement of an earlier slot, or of another meter, to every meter",
    defence="the tag of an announcement names roster, meter and slot",
    without=[(Slots, "_announced", announced_by_anybody)],
)
def replayed_announcement(scene: Scene) -> Try:
    """In slot 1 meter 5 was silent. Its S, played in slot 2, would bind all to the wrong set.

    The answers then fit no S that the aggregator announces: the slot is lost.
    """
    street = scene.enrolled(5)
    scene.run(street, 1, (1, 2, 3, 4))
    recorded = {i: street.announcement(i, 1, street.silent([5])) for i in (1, 2, 3, 4)}
    scene.run(street, 2)
    taken = 0
    for meter_id, old in recorded.items():
        board = street.boards[meter_id]
        taken += board.refuses("announce", **{**old, "slot": 2}) == ""
        other = street.announcement(meter_id % 4 + 1, 2, street.silent([5]))
        taken += board.refuses("announce", **other) == ""
    answers = [street.ask_for(i, 2) for i in street.boards]
    given = [answer for answer in answers if answer is not None]
    found = None
    if len(given) == len(answers):
        found = sum(street.reported(i, 2) for i in street.boards) - sum(given)
    total = scene.judged(street.boards, 2, found)
    evidence = {"replayed": 2 * len(recorded), "taken": taken, "total": total}
    return Try(taken > 0 and not total["opened"], evidence)
