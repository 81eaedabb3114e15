"""One street in a worker: its aggregator, its meters' conversations, and the clock of its slots.

A slot is opened when it begins, so that a clock that runs a little fast costs no report. Round one
ends when everyone has reported, or with the report window of the roster; who is missing shortly
before is asked once with ``resend``. Round two has as long again; a slot that misses an answer
then is void, and completes if the answer comes before the slot expires.

A worker that took the street over, or that has its broker back, leaves every open slot the time in
which meters find back, and asks for all reports that it does not have: what was on its way comes
again. None of this can give a second S, which is in the store before it is announced.

The roster that is to follow is sent ahead. When its first slot runs and round two of the one before
is over, the street goes on under it, and every meter that has it ready is told to use it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hushfw.core import frame, messages
from hushfw.core.errors import HushError
from hushmeter.cluster.aggregator import ANSWERING, COMPLETED, DONE, OPEN, VOID, Slot
from hushmeter.cluster.roster import SignedRoster
from hushmeter.cluster.service.aggregator import ServiceAggregator
from hushmeter.cluster.service.attendance import Attendance
from hushmeter.cluster.service.conversations import Conversations, Outgoing, Request
from hushmeter.cluster.service.folders import StreetFolder
from hushmeter.cluster.service.sql import Street

_ASK_AGAIN = 0.6
"""Part of the report window after which silent meters are asked for their reports."""

_DROP_S = 600.0
_SAID_AGAIN = 2
"""Slots of which a worker that takes over acknowledges everything again."""

_MOST_PAYLOAD = 8 * frame.MAX_STUFFED


@dataclass(frozen=True)
class Incoming:
    """What a meter published; `received_s` is monotonic."""

    street: str
    meter_id: int
    payload: bytes
    received_s: float


class ServedStreet:
    """A street whose lease this worker holds.

    Parameters
    ----------
    store:
        The street's tables, under the lease.
    now_s:
        Unix time at which it is taken over.
    reply_timeout_s, grace_s, keep_s:
        As in :class:`~hushmeter.cluster.service.engine.EngineSettings`.
    """

    def __init__(
        self,
        folder: StreetFolder,
        store: Street,
        now_s: float,
        reply_timeout_s: float,
        grace_s: float,
        keep_s: float | None = None,
    ) -> None:
        self.folder, self.lease = folder, store.lease
        self._store, self._keep_s = store, keep_s
        self._talks = Conversations(reply_timeout_s)
        self._touched: set[int] = set()
        roster = folder.roster if store.last_epoch() is None else None
        self.aggregator = ServiceAggregator(store, folder.supplier, roster)
        self._adopt()
        self._meters = Attendance(
            self.aggregator, folder.supplier, store, self._ask, self._ask_owed
        )
        self._taken_s, self._grace_s = now_s, grace_s
        self._owed: dict[int, set[tuple[int, int]]] = {}
        self._announce_s: dict[int, float] = {}
        self._close_s: dict[int, float] = {}
        self._asked: set[int] = set()
        self._pending: set[int] = set()
        self._next_void_s = self._next_expiry_s = self._next_drop_s = now_s
        self.accepted: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.follow(folder.roster)
        for slot in self.aggregator.slots.values():
            self._pending.add(slot.number)
            self._expect(slot.number)
            if slot.state == ANSWERING:
                self._announce(slot.number, now_s)
        self._acknowledge_again(store)

    def _adopt(self) -> None:
        """What follows from the roster in use."""
        roster = self.aggregator.roster
        self._rules = roster.device
        self._members = frozenset(roster.index_of)

    def follow(self, roster: SignedRoster) -> None:
        """A roster to go on with when its first slot runs; older ones are passed over.

        Raises
        ------
        HushmeterError
            It does not follow the one in use.
        """
        self._meters.follow(roster)

    def _acknowledge_again(self, store: Street) -> None:
        """What the worker before committed and perhaps did not say, of the latest slots."""
        for number in range(self.aggregator.newest - _SAID_AGAIN + 1, self.aggregator.newest + 1):
            if number not in self.aggregator.slots:
                continue
            for turn in (messages.REPORT_ROUND, messages.ANSWER_ROUND):
                for meter_id in store.messages(number, turn):
                    self._say_stored(meter_id, number, turn)

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def conversations(self) -> Conversations:
        return self._talks

    @property
    def rosters_refused(self) -> int:
        return self._meters.rosters_refused

    def states(self) -> Counter[str]:
        """How many of the slots that are not expired are in which state."""
        return Counter(slot.state for slot in self.aggregator.slots.values())

    def heard(self, meter_id: int, alive: bool) -> None:
        """A meter's connection came or went, as the broker tells."""
        self._meters.heard(meter_id, alive)

    def resume(self, now_s: float) -> None:
        """Nothing could arrive until now: open slots are left the time of grace."""
        self._taken_s = now_s
        self._asked.clear()
        for number in self._pending:
            self._expect(number)

    def step(self, came: Sequence[Incoming], now_s: float, monotonic_s: float) -> list[Outgoing]:
        """Take what the meters published, do what is due, and say what to publish.

        Only after the commit that surrounds this call may anything of it be published.
        """
        if self._is_over(now_s):
            self._switch(now_s)
        self._open(now_s)
        if came:
            self._take(came, now_s)
        self._tick(now_s)
        touched, self._touched = self._touched, set()
        return self._talks.due(monotonic_s, touched)

    def _is_over(self, now_s: float) -> bool:
        """Whether the roster that is to follow begins, and no slot before it can still be done."""
        coming = self._meters.coming
        if coming is None or now_s < coming.device.start_s:
            return False
        waits = any(self.aggregator.slots[n].state in (OPEN, ANSWERING) for n in self._pending)
        return not waits or now_s >= coming.device.start_s + self._rules.slot_s

    def _switch(self, now_s: float) -> None:
        """Go on under the roster that was sent ahead."""
        for kept in (self._pending, self._asked, self._announce_s, self._close_s, self._owed):
            kept.clear()
        self._meters.switch(now_s)
        self._adopt()

    def _ask(self, meter_id: int, name: str, fields: Any, **options: Any) -> None:
        self._talks.ask(meter_id, name, fields, **options)
        self._touched.add(meter_id)

    def _take(self, came: Sequence[Incoming], now_s: float) -> None:
        bodies: list[tuple[Incoming, bytes]] = []
        for one in came:
            for kind, sequence, payload in _frames(one.payload):
                if sequence:
                    asked = self._talks.replied(one.meter_id, sequence)
                    self._touched.add(one.meter_id)
                    if asked is not None:
                        self._replied(one.meter_id, asked, kind, payload)
                self._sort(one, kind, payload, bodies, now_s)
        if not bodies:
            return
        verdicts = self.aggregator.accept([body for _, body in bodies])
        for (one, body), verdict in zip(bodies, verdicts, strict=True):
            if verdict.accepted:
                self._acknowledge(one, body)
            else:
                self.refused[verdict.code] += 1
        self._end_full_rounds(now_s)

    def _replied(self, meter_id: int, asked: Request, kind: int, payload: bytes) -> None:
        """What follows from a reply; reports, answers and hellos are sorted like unasked ones."""
        try:
            name, fields = messages.decode(kind, payload)
        except HushError:
            self.refused["bad_message"] += 1
            return
        if asked.name == "stored" and not callable(asked.fields):
            place = (asked.fields["slot"], asked.fields["round"])
            self._owed.get(meter_id, set()).discard(place)
        self._meters.replied(meter_id, asked, name, fields)

    def _sort(
        self,
        one: Incoming,
        kind: int,
        payload: bytes,
        bodies: list[tuple[Incoming, bytes]],
        now_s: float,
    ) -> None:
        name = messages.BY_NUMBER.get(kind, (0, "unknown"))[1]
        if name in ("report", "answer"):
            # Both begin with the meter's id, which has to be the one of the topic.
            if payload[:4] == one.meter_id.to_bytes(4, "big"):
                bodies.append((one, bytes((kind,)) + payload))
            else:
                self.refused["wrong_topic"] += 1
        elif name == "hello":
            self._hello(one.meter_id, payload, now_s)
        elif name == "refused":
            self.refused["by_meter"] += 1
        elif name not in ("ok", "status", "life", "progress", "passed"):
            self.refused["unknown_message"] += 1

    def _acknowledge(self, one: Incoming, body: bytes) -> None:
        name, fields = messages.decode(body[0], body[1:])
        turn = messages.REPORT_ROUND if name == "report" else messages.ANSWER_ROUND
        self.accepted[name] += 1
        self._say_stored(one.meter_id, fields["slot"], turn, received_s=one.received_s)

    def _say_stored(self, meter_id: int, number: int, turn: int, **options: Any) -> None:
        """Acknowledge a message that is in the store, now and at hellos until there is a reply."""
        self._owed.setdefault(meter_id, set()).add((number, turn))
        stored = self.aggregator.acknowledgement(number, turn, meter_id)
        self._ask(meter_id, "stored", stored, **options)

    def _hello(self, meter_id: int, payload: bytes, now_s: float) -> None:
        """A meter is there: tell it the time, bring its rosters up, ask for all that it owes.

        Whatever it was asked before is asked anew: its session at the broker is a clean one.
        """
        try:
            fields = messages.decode(messages.BY_NAME["hello"][0], payload)[1]
        except HushError:
            self.refused["bad_message"] += 1
            return
        if fields["meter_id"] != meter_id:
            self.refused["unknown_meter"] += 1
            return
        self._talks.begin_anew(meter_id)
        if not self._meters.hello(meter_id, fields, now_s):
            self.refused["unknown_meter"] += 1

    def _ask_owed(self, meter_id: int) -> None:
        """Everything that a meter with the roster in use is to know or to give."""
        for number, turn in sorted(self._owed.get(meter_id, ())):
            if number in self.aggregator.slots:
                self._say_stored(meter_id, number, turn)
            else:
                self._owed[meter_id].discard((number, turn))
        for slot in self.aggregator.slots.values():
            if slot.state == OPEN and slot.number in self._asked:
                self._ask_report(slot.number, meter_id)
            elif slot.state in (ANSWERING, VOID) and slot.silent is not None:
                self._ask_answers(slot.number, meter_id)

    def _tick(self, now_s: float) -> None:
        for number in sorted(self._pending):
            slot = self.aggregator.slots[number]
            if slot.state == OPEN:
                if now_s >= self._announce_s[number]:
                    self._announce(number, now_s)
                elif now_s >= self._ask_s(number) and number not in self._asked:
                    self._asked.add(number)
                    self._ask_reports(number)
            elif slot.state != ANSWERING:
                self._settle(slot)
            elif now_s >= self._close_s[number]:
                self.aggregator.close(number)
        self._meters.tick(now_s)
        if now_s >= self._next_expiry_s:
            self._next_expiry_s = now_s + 1
            self._forget_expired(now_s)
        if self._keep_s is not None and now_s >= self._next_drop_s:
            self._next_drop_s = now_s + _DROP_S
            self._drop_messages(now_s - self._rules.expiry_s - self._keep_s)
        if now_s >= self._next_void_s:
            self._next_void_s = now_s + max(self._rules.report_window_s, 10)
            self._remind(now_s)

    def _settle(self, slot: Slot) -> None:
        """Nothing is due for a slot any more; the words of one with a total are in the store."""
        self._pending.discard(slot.number)
        if slot.state in (DONE, COMPLETED):
            slot.reports.clear()
            slot.answers.clear()

    def _open(self, now_s: float) -> None:
        """Open every slot that has begun since the newest and has not expired."""
        rules = self._rules
        current = rules.slot_at(int(now_s))
        if current is None:
            return
        oldest = rules.slot_at(max(int(now_s) - rules.expiry_s - rules.slot_s, rules.start_s))
        first = max(oldest, self.aggregator.newest + 1)
        coming = self._meters.coming
        last = rules.last_slot if coming is None else coming.device.first_slot - 1
        for number in range(first, min(current, last) + 1):
            if not self.aggregator.is_known(number):
                self.aggregator.open(number)
                self._pending.add(number)
                self._expect(number)

    def _expect(self, number: int) -> None:
        end_s = self._rules.slot_start_s(number + 1)
        window_s = self._rules.report_window_s
        self._announce_s[number] = max(end_s + window_s, self._taken_s + self._grace_s)
        self._close_s[number] = self._announce_s[number] + self._rules.report_window_s

    def _ask_s(self, number: int) -> float:
        """When to ask for missing reports: soon after a take-over for slots that ended before."""
        end_s = float(self._rules.slot_start_s(number + 1))
        if end_s < self._taken_s:
            return self._taken_s
        return end_s + _ASK_AGAIN * float(self._rules.report_window_s)

    def _ask_reports(self, number: int) -> None:
        slot = self.aggregator.slots[number]
        for meter_id in self._members - slot.reports.keys() - self._meters.away:
            self._ask_report(number, meter_id)

    def _ask_report(self, number: int, meter_id: int) -> None:
        if meter_id in self.aggregator.slots[number].reports:
            return
        fields = {"epoch": self._rules.epoch, "slot": number, "round": messages.REPORT_ROUND}
        self._ask(meter_id, "resend", fields, tries=1)

    def _announce(self, number: int, now_s: float) -> None:
        if self.aggregator.slots[number].state == OPEN:
            self.aggregator.announce(number)
            self._close_s[number] = now_s + self._rules.report_window_s
        self._ask_answers(number)

    def _ask_answers(self, number: int, only: int | None = None) -> None:
        for meter_id, fields in self.aggregator.announce(number).items():
            wanted = meter_id == only if only is not None else meter_id not in self._meters.away
            if wanted and not self._talks.is_asked(meter_id, "announce", number):
                self._ask(meter_id, "announce", fields)

    def _end_full_rounds(self, now_s: float) -> None:
        """End round one of slots in which everyone who may has reported."""
        wanted = len(self._members) - len(self.aggregator.left_out)
        for number in sorted(self._pending):
            slot = self.aggregator.slots[number]
            if slot.state == OPEN and len(slot.reports) >= wanted:
                self._announce(number, now_s)

    def _remind(self, now_s: float) -> None:
        """Ask again for answers that void slots miss."""
        for slot in list(self.aggregator.slots.values()):
            if slot.state == VOID and slot.silent is not None:
                self._announce(slot.number, now_s)

    def _drop_messages(self, before_s: float) -> None:
        slot = self._rules.slot_at(max(0, int(before_s)))
        if slot is not None:
            self._store.drop_messages(slot)

    def _forget_expired(self, now_s: float) -> None:
        for number in list(self.aggregator.slots):
            if now_s <= self._rules.slot_start_s(number + 1) + self._rules.expiry_s:
                continue
            self._announce_s.pop(number, None)
            self._close_s.pop(number, None)
            self._asked.discard(number)
            self._pending.discard(number)
            self.aggregator.forget(number)


def _frames(payload: bytes) -> list[tuple[int, int, bytes]]:
    """The whole frames in a payload; damaged ones are left out, as on the serial link."""
    if len(payload) > _MOST_PAYLOAD:
        return []
    return list(frame.Decoder().feed(payload))
