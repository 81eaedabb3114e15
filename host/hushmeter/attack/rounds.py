"""A cheating aggregator within one slot: which sets S it announces, to whom, when and how often.

What a meter i that reported and answered gives away is the one word

    y_i = report - K_i - answer = x_i + share_i + (what its own S did not lift)

so the attacks look for a group whose words y sum to readings and noise alone. The supplier's keys
are the attacker's in all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import mock

from hushfw import slots as device_slots
from hushfw.core import masking, messages
from hushfw.core import rules as device_rules
from hushfw.core.errors import HushError
from hushfw.slots import Slots
from hushmeter.attack.boards import plan
from hushmeter.attack.book import Try, entry
from hushmeter.attack.graphs import PaperMasks, PaperSparseMasks
from hushmeter.attack.scene import Scene, Street

_TRIES = 12


def answer_every_s(slots: Any, epoch: int, slot: int, silent: bytes, tag: bytes) -> Any:
    """Undefended: the paper's second round. Whatever S comes is answered, by whomever it names."""
    roster = slots._enrolment.roster
    indexes = slots._announced(roster, epoch, slot, silent, tag)
    if slots._kept(slot) is None:
        raise HushError("refused", "nothing was reported")
    return slots._answer(roster, slot, silent, indexes)


def answer_though_named(slots: Any, epoch: int, slot: int, silent: bytes, tag: bytes) -> Any:
    """Undefended: only the rule about its own id is gone; the first S still is the only one."""
    kept = slots._kept(slot)
    if kept is not None and kept.answer is not None:
        raise HushError("refused", "an answer was given")
    return answer_every_s(slots, epoch, slot, silent, tag)


def announced_of_any_size(
    slots: Any,
    roster: Any,
    *message: Any,
    announced: Callable[..., list[int]] = Slots._announced,
) -> list[int]:
    """Undefended: S may name more than M members."""
    most, roster.missing = roster.missing, roster.members
    try:
        return announced(slots, roster, *message)
    finally:
        roster.missing = most


def masked_without_recovery(
    values: list[int],
    dummies: list[int],
    key: bytes,
    recovery: list[int],
    slot: int,
    masked: Callable[..., list[int]] = masking.masked,
) -> list[int]:
    """Undefended: a report without C, as if one round were enough."""
    return masked(values, dummies, key, [0] * len(recovery), slot)


def lifted_without_recovery(
    dummies: list[int],
    bound: list[int],
    recovery: list[int],
    lifted: Callable[..., list[int]] = masking.lifted,
) -> list[int]:
    """Undefended: the answer to such a report."""
    return lifted(dummies, bound, [0] * len(recovery))


def numbers_without_unique_s(roster: Any, check: Any = device_rules.check_numbers) -> None:
    """Undefended: the roster's rules without 2 M + T < N."""
    try:
        check(roster)
    except HushError as error:
        if not error.message.startswith("2 M + T"):
            raise


def _left(street: Street, meter_id: int, slot: int, silent: tuple[int, ...] = ()) -> int | None:
    """A meter's word y after its answer to this S; None if it refuses."""
    answer = street.ask_for(meter_id, slot, silent)
    return None if answer is None else street.reported(meter_id, slot) - answer


def _sum(words: list[int | None]) -> int | None:
    """The words' sum, None where one is missing."""
    known = [word for word in words if word is not None]
    return sum(known) if len(known) == len(words) else None


@entry(
    "different-sets",
    summary="announces another S to every meter of a sparse street, and adds up what fits",
    defence="masks E bound to S among all pairs: only meters that answered the same S cancel",
    without=[(device_slots, "Masks", PaperSparseMasks)],
)
def different_sets(scene: Scene) -> Try:
    """Two neighbours are each told that all other partners are silent: their pair comes open.

    Blind: the graph is not known, so every meter gets a random S and every small group is tried.
    A group counts if no part of it opens alone and its members answered different sets.
    """
    street = scene.enrolled(8, missing=3)
    groups: list[tuple[int, ...]] = []
    slot = 0
    while slot < _TRIES and not groups:
        slot += 1
        scene.run(street, slot)
        told = {i: _random_set(scene, street, i) for i in street.boards}
        words = {i: _left(street, i, slot, told[i]) for i in street.boards}
        given = {i: left for i, left in words.items() if left is not None}
        groups = [group for group in street.openings(given, 3) if _apart(group, told)]
    evidence: dict[str, Any] = {"slots_tried": slot, "groups_opened": len(groups)}
    if groups:
        found = _sum([words[i] for i in groups[0]])
        evidence |= scene.judged(groups[0], slot, found)
    return Try(bool(groups) and evidence["opened"], evidence)


def _random_set(scene: Scene, street: Street, meter_id: int) -> tuple[int, ...]:
    others = [i for i in street.boards if i != meter_id]
    return tuple(sorted(scene.random.sample(others, street.signed.device.missing)))


def _apart(group: tuple[int, ...], told: dict[int, tuple[int, ...]]) -> bool:
    """More homes than one, told different sets."""
    return len(group) > 1 and len({told[i] for i in group}) == len(group)


@entry(
    "staggered-sets",
    summary="opens one half of the street, looks at its total, then has the other half answer",
    defence="2 M + T < N, checked on the meter: no two sets can both be answered in full",
    without=[(device_rules, "check_numbers", numbers_without_unique_s)],
)
def staggered_sets(scene: Scene) -> Try:
    """Meters 1 to 3 are told that 4 to 6 are silent; when that total is there, the reverse."""
    street = scene.street(6)
    refusal = ""
    for missing in (3, 2):
        roster = street.sign(plan(missing=missing))
        codes = [board.take(roster.data) for board in street.boards.values()]
        if not any(codes):
            break
        refusal = codes[0]
    street.use(roster)
    scene.run(street, 1)
    evidence: dict[str, Any] = {"roster_with_m_3": refusal or "taken", "m": missing}
    first = tuple(street.boards)[: 6 - missing]
    second = tuple(street.boards)[missing:]
    sums = []
    for group in (first, second):
        absent = tuple(i for i in street.boards if i not in group)
        found = _sum([_left(street, i, 1, absent) for i in group])
        sums.append(scene.judged(group, 1, found))
    evidence["sums"] = sums
    evidence["sums_opened_in_one_slot"] = sum(one["opened"] for one in sums)
    return Try(evidence["sums_opened_in_one_slot"] > 1, evidence)


@entry(
    "second-set",
    summary="after a missing answer announces a second S that leaves that home out",
    defence="the first valid S of a slot is journalled before the answer and is the only one",
    without=[(Slots, "announce", answer_every_s)],
)
def second_set(scene: Scene) -> Try:
    """All but meter 3 answer S = {}; its answer is missing, so S = {3} is tried; then 3 answers.

    Two totals of one slot, with and without one home: their difference is its reading.
    """
    street = scene.enrolled(5)
    scene.run(street, 1)
    others = [i for i in street.boards if i != 3]
    whole = [_left(street, i, 1) for i in others]
    without = [_left(street, i, 1, (3,)) for i in others]
    late = _left(street, 3, 1)
    all_of_it, rest = _sum([*whole, late]), _sum(without)
    found = None if all_of_it is None or rest is None else all_of_it - rest
    evidence = scene.judged([3], 1, found)
    evidence["second_answers"] = len(without) - without.count(None)
    evidence["total"] = scene.judged(street.boards, 1, all_of_it)
    return Try(evidence["opened"], evidence)


@entry(
    "declared-silent",
    summary="declares a meter silent that has reported and answered, and asks everybody again",
    defence="one S a slot, and a meter that finds itself in any S never answers in that slot",
    without=[(Slots, "announce", answer_every_s)],
)
def declared_silent(scene: Scene) -> Try:
    """S = {} is answered by all; then meter 2 is said to be silent, to all others.

    Without the own-id rule alone nothing opens, which the evidence shows: it is a second barrier.
    """
    street = scene.enrolled(5)
    scene.run(street, 1)
    before = _sum([_left(street, i, 1) for i in street.boards])
    after = _sum([_left(street, i, 1, (2,)) for i in street.boards if i != 2])
    found = None if before is None or after is None else before - after
    evidence = scene.judged([2], 1, found)
    evidence["answers_of_the_named"] = _named_answers(scene, street)
    evidence["opened_without_the_own_id_rule_alone"] = _only_own_id_gone(scene)
    return Try(evidence["opened"], evidence)


def _named_answers(scene: Scene, street: Street) -> int:
    """How often a meter answers after it was named in an S, of two announcements."""
    scene.run(street, 2)
    return sum(_left(street, 2, 2, named) is not None for named in ((2,), ()))


def _only_own_id_gone(scene: Scene) -> bool:
    """Whether some group opens that should not, if only the rule about the own id is missing."""
    with mock.patch.object(Slots, "announce", answer_though_named):
        street = scene.enrolled(5)
        scene.run(street, 1)
        words = {i: _left(street, i, 1, (2,)) for i in street.boards}
    given = {i: left for i, left in words.items() if left is not None}
    return bool(street.openings(given, 3))


@entry(
    "beyond-m",
    summary="announces an S of everybody but one home",
    defence="a meter refuses an S of more than M members; M is in the signed roster",
    without=[(Slots, "_announced", announced_of_any_size)],
)
def beyond_m(scene: Scene) -> Try:
    """The victim lifts every mask it has; the others need not even be asked."""
    street = scene.enrolled(6)
    scene.run(street, 1)
    found = _left(street, 4, 1, tuple(i for i in street.boards if i != 4))
    evidence = scene.judged([4], 1, found)
    evidence["answers_beyond_m"] = int(found is not None)
    evidence["m"] = street.signed.device.missing
    return Try(evidence["opened"], evidence)


@entry(
    "asked-twice",
    summary="asks every partner of a home for two answers and subtracts them",
    defence="asked again, a meter sends the identical bytes, also after a power cut",
    without=[
        (Slots, "announce", answer_every_s),
        (device_slots, "Masks", PaperMasks),
    ],
)
def asked_twice(scene: Scene) -> Try:
    """The two answers of partner j, to S = {} and S = {1}, differ by the dummy key D_j1.

    All of them together lift the victim's report, whose own C came with its only answer.
    """
    street = scene.enrolled(5)
    scene.run(street, 1)
    lifted = _left(street, 1, 1)
    keys = []
    for partner in (2, 3, 4, 5):
        first = street.ask_for(partner, 1)
        street.boards[partner].boot()
        second = street.ask_for(partner, 1, (1,))
        keys.append(None if first is None or second is None else second - first)
    known = _sum(keys)
    found = None if lifted is None or known is None else lifted + known
    evidence = scene.judged([1], 1, found)
    evidence["dummy_keys_learned"] = len(keys) - keys.count(None) if evidence["opened"] else 0
    evidence["asked_again_same_bytes"] = _same_bytes(street, 2)
    return Try(evidence["opened"], evidence)


def _same_bytes(street: Street, meter_id: int) -> bool:
    """Whether the first S, asked again, gives the bytes of the first answer."""
    board = street.boards[meter_id]
    first = board.answers[1][0]
    street.ask_for(meter_id, 1)
    return board.answers[1][-1] == first


@entry(
    "late-report",
    summary="holds a report back, lets the others answer for its sender, then opens it",
    defence="the recovery word C in every report, lifted only by the sender's own answer",
    without=[
        (masking, "masked", masked_without_recovery),
        (masking, "lifted", lifted_without_recovery),
    ],
)
def late_report(scene: Scene) -> Try:
    """With S = {3} the answers of the others sum to the dummy keys towards 3, less sum of C.

    E cancels among them, for they answered one S. Meter 3 was told of it too and is barred.
    """
    street = scene.enrolled(5)
    scene.run(street, 1)
    answers = [street.ask_for(i, 1, (3,)) for i in street.boards if i != 3]
    known = _sum(answers)
    found = None if known is None else street.reported(3, 1) + known
    evidence = scene.judged([3], 1, found)
    evidence["answer_of_the_late"] = street.ask_for(3, 1, (3,)) is not None
    board = street.boards[3]
    resend = {"epoch": 1, "slot": 1, "round": messages.REPORT_ROUND}
    board.ask("advance", now_s=_past_window(street))
    evidence["report_again_after_the_window"] = board.refuses("resend", **resend) == ""
    return Try(evidence["opened"], evidence)


def _past_window(street: Street) -> int:
    rules = street.signed.device
    return int(rules.slot_start_s(2) + rules.report_window_s + 1)
