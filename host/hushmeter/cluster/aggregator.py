"""The aggregator: who reported, who is silent, who answered, and the street's noisy total.

One slot goes through these states; everything is in the store before anyone is told::

    open --announce--> answering --every reporter answered--> done
                           |
                           +--close: an answer is missing--> void --it comes in time--> completed

With M = 0 there is one round: a slot is done when every meter reported and void otherwise. A slot
with more than M silent meters is void at once. There is never a second S: what was announced is in
the store, and asking again gives the same.

A slot's last answer and its total are one commit, and what is in memory follows the store and is
never ahead of it: a full disk or a kill at any point leaves both as they were or both changed.

Epochs follow each other over one store. With the next roster the slots of the one before are over:
what is not done by then is void for good, with a reason, for the meters have erased their keys. No
older roster, no other one of an epoch and none that skips an epoch is taken.

The aggregator has no transport and no clock of its own: it takes messages and gives messages.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from hushfw.core import masking, messages
from hushfw.core.errors import HushError
from hushmeter.cluster import roster as rosters
from hushmeter.cluster.keystream import Keystreams, fold
from hushmeter.cluster.store import SlotRow, StreetStore
from hushmeter.cluster.supplier import MeterKeys, Supplier
from hushmeter.errors import HushmeterError

OPEN, ANSWERING, DONE, VOID, COMPLETED = "open", "answering", "done", "void", "completed"

MOST_MISSED_ANSWERS = 3
"""A meter that reported and did not answer this often is left out from round one on."""

_WORD_BYTES = 8


@dataclass
class Slot:
    """One slot's state; words are by meter id, totals in lane units."""

    number: int
    state: str = OPEN
    silent: bytes | None = None
    late: bool = False
    reason: str = ""
    totals: list[int] | None = None
    reports: dict[int, bytes] = field(default_factory=dict)
    answers: dict[int, bytes] = field(default_factory=dict)

    def unanswered(self) -> list[int]:
        """Meters that reported and have not answered."""
        return [meter_id for meter_id in self.reports if meter_id not in self.answers]


@dataclass(frozen=True)
class Verdict:
    """What became of one message: accepted, or refused with a code and a reason."""

    accepted: bool
    code: str = ""
    reason: str = ""


class Aggregator:
    """A street's aggregation over one store.

    Parameters
    ----------
    store:
        Where everything is kept; a street that is already in it goes on.
    supplier:
        Whose keystreams lift K from the totals.
    roster:
        The epoch to begin with; None to go on with the newest in the store.

    Raises
    ------
    HushmeterError
        There is no roster, it does not follow the newest one in the store, or it names another
        supplier.
    """

    def __init__(
        self, store: StreetStore, supplier: Supplier, roster: rosters.SignedRoster | None = None
    ) -> None:
        self._store = store
        self._supplier = supplier
        self.messages_refused = 0
        self.slots: dict[int, Slot] = {}
        self._epoch_of: dict[int, int] = {}
        self._newest = 0
        last = store.last_epoch()
        if roster is None:
            if last is None:
                raise HushmeterError("the store holds no roster yet", hint="enrol the street first")
            roster = rosters.parse(last[1])
        self._adopt(roster, self._keys_with(roster))
        if last is None or last[1] != roster.data:
            self._begin_epoch(last, roster)
        self._load()

    def begin(self, roster: rosters.SignedRoster) -> list[Slot]:
        """Go on under the next roster; the slots that this made void for good.

        ``slots`` are the new epoch's from here on.

        Raises
        ------
        HushmeterError
            The roster does not follow the one in use, or names another supplier: nothing changed.
        """
        keys = self._keys_with(roster)
        self._begin_epoch((self._rules.epoch, self.roster.data), roster)
        ended = [slot for slot in self.slots.values() if slot.state in (OPEN, ANSWERING)]
        for slot in ended:
            slot.state, slot.reason = VOID, _over(roster)
        self._adopt(roster, keys)
        self.slots = {}
        self._newest = 0
        self._judge()
        return ended

    def _begin_epoch(self, last: tuple[int, bytes] | None, roster: rosters.SignedRoster) -> None:
        """Keep a new epoch, and that the slots before it are over, in one commit."""
        if last is not None:
            rosters.check_follows(rosters.parse(last[1]), roster)
        over = [row for row in self._store.slots() if row.state in (OPEN, ANSWERING)]
        with self._store.transaction():
            self._store.put_epoch(roster.device.epoch, roster.data)
            for row in over:
                self._store.put_slot(row._replace(state=VOID, reason=_over(roster)))

    def _keys_with(self, roster: rosters.SignedRoster) -> Sequence[MeterKeys]:
        if roster.device.supplier_key != self._supplier.public_key:
            raise HushmeterError(
                "the roster names another supplier's key",
                hint="use the supplier's key that the street was enrolled with",
            )
        return self._supplier.meter_keys(roster)

    def _adopt(self, roster: rosters.SignedRoster, keys: Sequence[MeterKeys]) -> None:
        self.roster = roster
        self._rules = roster.device
        self._tags = {
            member.meter_id: key for member, key in zip(roster.members, keys, strict=True)
        }
        self._streams = Keystreams(
            [key.keystream for key in keys],
            self._rules.day(self._rules.first_slot),
            self._rules.lanes,
        )

    def _load(self) -> None:
        for row in self._store.slots():
            self._epoch_of[row.slot] = row.epoch
            if row.epoch != self._rules.epoch:
                continue
            slot = Slot(row.slot, row.state, row.silent, row.late, row.reason, row.totals)
            slot.reports = self._stored_words(row.slot, messages.REPORT_ROUND)
            slot.answers = self._stored_words(row.slot, messages.ANSWER_ROUND)
            self.slots[row.slot] = slot
            self._newest = row.slot
        self._judge()

    def _stored_words(self, slot: int, turn: int) -> dict[int, bytes]:
        bodies = self._store.messages(slot, turn)
        return {meter_id: _words(body) for meter_id, body in bodies.items()}

    @property
    def left_out(self) -> frozenset[int]:
        """Meters that are treated as silent because they denied too many slots."""
        return frozenset(self._left_out)

    def open(self, number: int) -> Slot:
        """Begin to take reports of this slot; the slot itself if it is already known.

        Raises
        ------
        HushmeterError
            The roster does not cover the slot, or it was used in an earlier epoch: a meter masks
            a slot once, whatever the roster.
        """
        if number in self.slots:
            return self.slots[number]
        if not self._rules.first_slot <= number <= self._rules.last_slot:
            raise HushmeterError(
                f"slot {number} is outside the roster's {self._rules.first_slot} "
                f"to {self._rules.last_slot}"
            )
        if number in self._epoch_of:
            raise HushmeterError(f"slot {number} was used in epoch {self._epoch_of[number]}")
        slot = Slot(number)
        self._change([(slot, {})])
        self.slots[number] = slot
        self._epoch_of[number] = self._rules.epoch
        self._newest = max(self._newest, number)
        return slot

    def _known(self, number: int) -> Slot:
        if number not in self.slots:
            raise HushmeterError(f"slot {number} is not open")
        return self.slots[number]

    def _change(
        self,
        changes: Sequence[tuple[Slot, dict[str, Any]]],
        bodies: Sequence[tuple[int, int, int, bytes]] = (),
    ) -> None:
        """Keep slots' new fields, and what goes with them, in one commit; then change the slots."""
        with self._store.transaction():
            self._store.put_messages(bodies)
            for slot, fields in changes:
                self._store.put_slot(self._row(replace(slot, **fields)))
        for slot, fields in changes:
            for name, value in fields.items():
                setattr(slot, name, value)

    def _judge(self) -> None:
        """Leave out who owes the answers of three void slots; whoever gives them is back in."""
        owed = Counter(
            meter_id
            for slot in self.slots.values()
            if slot.state == VOID and slot.silent is not None
            for meter_id in slot.unanswered()
        )
        self._left_out = {m for m, count in owed.items() if count >= MOST_MISSED_ANSWERS}

    def _row(self, slot: Slot) -> SlotRow:
        return SlotRow(
            slot.number,
            self._rules.epoch,
            slot.state,
            slot.silent,
            slot.late,
            slot.reason,
            slot.totals,
        )

    def accept(self, bodies: Sequence[bytes]) -> list[Verdict]:
        """Take messages as they came (number and payload); what is accepted is committed.

        All messages of one call share one commit; only after it may they be acknowledged.
        A message that came before, byte for byte, is accepted again and changes nothing.
        """
        verdicts: list[Verdict] = []
        fresh: list[tuple[int, int, int, bytes]] = []
        taken: dict[tuple[int, int, int], bytes] = {}
        for body in bodies:
            try:
                row = self._check(body, taken)
            except HushError as error:
                self.messages_refused += 1
                verdicts.append(Verdict(False, error.code, error.message))
                continue
            if row is not None:
                fresh.append(row)
                taken[row[:3]] = row[3]
            verdicts.append(Verdict(True))
        if fresh:
            self._take(fresh)
        return verdicts

    def _take(self, rows: Sequence[tuple[int, int, int, bytes]]) -> None:
        """Keep new messages, and the total of every slot whose last answer is among them."""
        words = {row[:3]: _words(row[3]) for row in rows}
        answers: dict[int, dict[int, bytes]] = {}
        for (number, turn, meter_id), word in words.items():
            if turn == messages.ANSWER_ROUND:
                answers.setdefault(number, {})[meter_id] = word
        changes = []
        for number, came in answers.items():
            slot = self.slots[number]
            if len(slot.answers) + len(came) == len(slot.reports):
                changes.append((slot, self._outcome(slot, slot.answers | came)))
        self._change(changes, rows)
        for (number, turn, meter_id), word in words.items():
            slot = self.slots[number]
            (slot.reports if turn == messages.REPORT_ROUND else slot.answers)[meter_id] = word
        if changes:
            self._judge()

    def _check(
        self, body: bytes, taken: dict[tuple[int, int, int], bytes]
    ) -> tuple[int, int, int, bytes] | None:
        """The row to store, None for an exact repetition, or a refusal."""
        if not body:
            raise HushError("bad_message", "an empty message")
        name, fields = messages.decode(body[0], body[1:])
        if name not in ("report", "answer"):
            raise HushError("unknown_message", f"{name} is not for an aggregator")
        turn = messages.REPORT_ROUND if name == "report" else messages.ANSWER_ROUND
        slot = self._check_place(fields)
        self._check_tag(name, fields, slot)
        place = (slot.number, turn, fields["meter_id"])
        before = taken.get(place) or self._store.message(*place)
        if before is not None:
            if before != body:
                raise HushError("duplicate", "another message of this meter and round was kept")
            return None
        self._check_time(turn, fields["meter_id"], slot)
        return (*place, body)

    def _check_place(self, fields: dict[str, Any]) -> Slot:
        meter_id = fields["meter_id"]
        if meter_id not in self._tags:
            raise HushError("unknown_meter", f"meter {meter_id} is not in the roster")
        if fields["epoch"] != self._rules.epoch:
            raise HushError("wrong_epoch", f"the epoch in use is {self._rules.epoch}")
        slot = self.slots.get(fields["slot"])
        if slot is None:
            raise HushError("wrong_slot", f"slot {fields['slot']} is not open")
        if len(fields["words"]) != _WORD_BYTES * self._rules.lanes:
            raise HushError("bad_message", f"a message has {self._rules.lanes} words")
        return slot

    def _check_tag(self, name: str, fields: dict[str, Any], slot: Slot) -> None:
        if name == "report":
            content = bytes((fields["flags"],)) + fields["words"]
        else:
            content = self._digest(slot) + fields["words"]
        wanted = masking.tag(
            self._tags[fields["meter_id"]].tag_up,
            name.encode(),
            self.roster.hash,
            fields["meter_id"],
            slot.number,
            content,
        )
        if not masking.same_tag(fields["tag"], wanted):
            raise HushError("bad_tag", f"the {name} is not from meter {fields['meter_id']}")

    def _digest(self, slot: Slot) -> bytes:
        if slot.silent is None:
            raise HushError("wrong_slot", f"no S was announced for slot {slot.number}")
        return bytes(masking.silent_digest(self.roster.hash, slot.number, slot.silent))

    def _check_time(self, turn: int, meter_id: int, slot: Slot) -> None:
        if turn == messages.REPORT_ROUND:
            if slot.state != OPEN:
                raise HushError("late", f"round one of slot {slot.number} is over")
            if meter_id in self._left_out:
                raise HushError("left_out", f"meter {meter_id} denied too many slots")
            return
        if slot.state not in (ANSWERING, VOID):
            raise HushError("late", f"slot {slot.number} takes no answers")
        if self._rules.day(slot.number) < self._rules.day(self._newest) - 1:
            raise HushError("late", f"the keys of slot {slot.number} are erased")
        if meter_id not in slot.reports:
            raise HushError("wrong_slot", f"meter {meter_id} did not report in this slot")

    def announce(self, number: int) -> dict[int, dict[str, Any]]:
        """End round one: the announcement for every meter that reported, by meter id.

        The first call fixes S; later calls give the same. Nothing is announced where the slot is
        void or has one round only.
        """
        slot = self._known(number)
        if slot.state == OPEN:
            self._end_round_one(slot)
        if slot.silent is None or slot.state not in (ANSWERING, VOID):
            return {}
        return {meter_id: self._announcement(slot, meter_id) for meter_id in slot.unanswered()}

    def _end_round_one(self, slot: Slot) -> None:
        silent = [
            index
            for index, member in enumerate(self.roster.members)
            if member.meter_id not in slot.reports
        ]
        fields: dict[str, Any]
        if len(silent) > self._rules.missing:
            most = self._rules.missing
            reason = f"{len(silent)} meters are silent, at most {most} may be"
            fields = {"state": VOID, "reason": reason}
        elif self._rules.missing:
            silent_map = bytes(masking.silent_map(self._rules.members, silent))
            fields = {"state": ANSWERING, "silent": silent_map}
        else:
            fields = self._outcome(slot, {})
        self._change([(slot, fields)])

    def _announcement(self, slot: Slot, meter_id: int) -> dict[str, Any]:
        tag = masking.tag(
            self._tags[meter_id].tag_down,
            b"announce",
            self.roster.hash,
            meter_id,
            slot.number,
            slot.silent,
        )
        return {
            "epoch": self._rules.epoch,
            "slot": slot.number,
            "silent": slot.silent,
            "tag": tag,
        }

    def acknowledgement(self, number: int, turn: int, meter_id: int) -> dict[str, Any]:
        """Fields of the message that tells a meter that its message is kept."""
        tag = masking.tag(
            self._tags[meter_id].tag_down,
            b"stored",
            self.roster.hash,
            meter_id,
            number,
            bytes((turn,)),
        )
        return {"epoch": self._rules.epoch, "slot": number, "round": turn, "tag": tag}

    def close(self, number: int) -> Slot:
        """The time for answers is over: a slot that misses one is void until it comes."""
        slot = self._known(number)
        if slot.state == ANSWERING:
            missing = slot.unanswered()
            reason = "no answer from " + ", ".join(map(str, missing))
            self._change([(slot, {"state": VOID, "reason": reason})])
            self._judge()
        return slot

    def _outcome(self, slot: Slot, answers: dict[int, bytes]) -> dict[str, Any]:
        """The fields of a slot whose words are all there: its totals, or why there are none."""
        rules = self._rules
        late = slot.state == VOID
        totals = self._totals(slot, answers)
        for total, lane in zip(totals, rules.lane_list, strict=True):
            tail = rules.tail_wh(lane) << rules.fraction_bits
            most = (rules.members * lane.cap_wh << rules.fraction_bits) + tail
            if not -tail <= total <= most:
                reason = "the total is outside the window that honest meters can reach"
                return {"state": VOID, "late": late, "reason": reason}
        state = COMPLETED if late else DONE
        return {"state": state, "late": late, "reason": "", "totals": totals}

    def _totals(self, slot: Slot, answers: dict[int, bytes]) -> list[int]:
        rules = self._rules
        shape = (rules.members, rules.lanes)
        reported = np.zeros(shape, np.uint64)
        answered = np.zeros(shape, np.uint64)
        present = np.zeros(rules.members, bool)
        for meter_id, words in slot.reports.items():
            index = self.roster.index_of[meter_id]
            present[index] = True
            reported[index] = np.frombuffer(words, ">u8")
            if meter_id in answers:
                answered[index] = np.frombuffer(answers[meter_id], ">u8")
        streams = self._streams.words(slot.number, rules.day(slot.number))
        return [masking.signed(word) for word in fold(reported, answered, streams, present)]

    def total_wh(self, slot: Slot, lane: int = 0) -> float | int | None:
        """The noisy total of a lane in Wh, None while it is not known."""
        if slot.totals is None:
            return None
        fraction_bits = int(self._rules.fraction_bits)
        if not fraction_bits:
            return slot.totals[lane]
        return slot.totals[lane] / (1 << fraction_bits)

    def flagged_readings(self) -> int:
        """Accepted reports whose meter says that its reading has a gap."""
        count = 0
        for body in self._store.all_bodies():
            name, fields = messages.decode(body[0], body[1:])
            count += name == "report" and bool(fields["flags"] & messages.FLAG_GAP)
        return count

    def over_budget(self, number: int) -> list[int]:
        """Meters of a slot's total with which their homes' privacy caps are reached.

        It labels the total and changes nothing in it; see the ledger in docs/protocol.md.
        """
        reports = self._store.messages(number, messages.REPORT_ROUND)
        return [meter_id for meter_id, body in reports.items() if _flags(body) & messages.FLAG_CAP]

    def transcript_sha256(self) -> str:
        """SHA-256 over every accepted message in order of slot, round and meter."""
        digest = hashlib.sha256()
        for body in self._store.all_bodies():
            digest.update(len(body).to_bytes(2, "big") + body)
        return digest.hexdigest()


def _over(roster: rosters.SignedRoster) -> str:
    """Why a slot of an earlier epoch is void."""
    return f"not complete when epoch {roster.device.epoch} began"


def _flags(body: bytes) -> int:
    """The public flags of a report."""
    return int(messages.decode(body[0], body[1:])[1]["flags"])


def _words(body: bytes) -> bytes:
    """The masked words in a report or answer."""
    return bytes(messages.decode(body[0], body[1:])[1]["words"])
