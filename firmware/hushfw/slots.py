"""The slots of a meter: from the load to a masked report, and from the set S to an answer.

A slot is masked at most once and answered at most once. Each record is in the journal before its
message leaves; a message sent again is the same bytes. All refusals of round two raise one code,
so that a peer cannot tell why, and nothing is changed by them.
"""

import struct

from hushfw import journal, port, shares
from hushfw.ahead import Masks
from hushfw.core import masking, messages, pace
from hushfw.core.errors import HushError
from hushfw.counting import Counting


def slot_end_s(roster, slot):
    return roster.slot_start_s(slot) + roster.slot_s


def _same_slot(old, new, slot):
    """Whether a slot is the same time under both rosters."""
    return old.slot_s == new.slot_s and old.slot_start_s(slot) == new.slot_start_s(slot)


def _expired_through(roster, clock_s):
    """The last slot whose expiry is over at this time, 0 where there is none."""
    slot = roster.slot_at(clock_s - roster.expiry_s - 1)
    return 0 if slot is None else slot - 1


def _nothing():
    """Where nobody wants to know."""


class Slots(Counting):
    """One meter's sampling, reports and answers under the roster that is in use.

    Steps come from a driver that replays; `live.LiveSlots` takes them from a sensor.
    """

    def __init__(self, settings, enrolment, journal, random, driver, controller, actuator, log):
        super().__init__(enrolment.roster, controller, actuator, log)
        self._settings = settings
        self._meter_id = settings["meter_id"]
        self._enrolment = enrolment
        # Called when a request has the supplier's tag; the meter puts its own here.
        self.found_genuine = _nothing
        self._journal = journal
        self._random = random
        self._driver = driver
        self._masks = Masks(enrolment)
        self._drawers = shares.drawers(enrolment.roster, settings["noise_sampler"])
        self._ahead = None
        self._ended = None
        self._now_s = 0
        self.clock_s = 0
        self.reports = 0
        self.answers = 0
        self.slot_ms = 0
        self.answer_ms = 0
        self._resume(enrolment.roster)

    def _resume(self, roster):
        self._roster = roster
        last = self._last_state()
        if last is not None and len(last[0]) == roster.lanes:
            self._register.restore(last[0])
        self.clock_s = self._now_s = self._journalled_clock_s(roster)

    def _journalled_clock_s(self, roster):
        """What a boot knows of the time: the last report's slot is over."""
        if self._journal.last_masked < roster.first_slot:
            return 0
        return slot_end_s(roster, self._journal.last_masked)

    def start(self):
        """Everything is handed over. A driver that replays is waited for."""

    def check_over(self, candidate):
        """Refuses a roster that would come into use while slots of this one are still to come."""
        if not _same_slot(self._roster, candidate, candidate.first_slot):
            return
        now = self._roster.slot_at(self.clock_s) or self._roster.first_slot
        if now < min(candidate.first_slot, self._roster.last_slot + 1):
            raise HushError(
                "wrong_slot",
                "the roster begins with slot %d, and slot %d runs: commit it then"
                % (candidate.first_slot, now),
            )

    def hand_over(self, successor):
        """A new roster takes over: clock and battery go on.

        Slots of the old epoch are over: their sub-keys are gone, so nobody could complete them.
        """
        if not self._journal.ledger.epoch:
            # What an earlier firmware reported under this roster would else not be counted.
            self._journal.open_account(self._roster)
        self._journal.expire(self._journal.last_masked)
        successor.clock_s = max(successor.clock_s, self.clock_s)
        successor._now_s = max(successor._now_s, self._now_s)
        if self._controller is not None:
            successor._battery = self._controller.state()

    def pass_on(self, successor):
        """The successor has started: the running slot goes on in it, where it has the same one.

        None of it was masked, so it is the new epoch's alone. Samples may have come since
        `hand_over`: hence the battery once more.
        """
        goes_on = self._slot is not None and self._is_slot_of(successor, self._slot)
        if self._slot is not None and not goes_on:
            self._log_if_possible(self._give_up())
        if len(successor._caps_wh) == len(self._caps_wh):
            successor._register.restore(self._register.state())
        if self._controller is not None:
            successor.take_battery(self._controller.state())
        if goes_on:
            self._move_running(successor)

    def _is_slot_of(self, successor, slot):
        new = successor._roster
        return (
            new.first_slot <= slot <= new.last_slot
            and _same_slot(self._roster, new, slot)
            and len(successor._caps_wh) == len(self._caps_wh)
        )

    def next_slot(self):
        """The lowest slot that this meter may still mask."""
        return max(self._journal.last_masked, self._journal.closed_through) + 1

    def run(self, now_s, send):
        """The clock is now_s: takes every whole step before it, sends the reports that fall due.

        Steps that begin before the clock of the call before are past and dropped: a meter that
        was away does not make up readings for slots that it missed. Nor does a report leave whose
        time is over at now_s.
        """
        self._now_s = max(self._now_s, now_s)
        self._driver.skip_to(self.clock_s)
        if self._controller is None and self._driver.step_s is not None:
            self._start_controller(self._driver.step_s, self._last_state())
        while self._driver.step_s is not None:
            pace.point()
            if self._ahead is None:
                self._ahead = self._driver.take(self._driver.step_s)
            if self._ahead is None or self._ahead[0] + self._driver.step_s > now_s:
                break
            start_s, demand_w = self._ahead
            self._ahead = None
            if start_s >= self.clock_s:
                self._step(self._enrolment.roster, start_s, demand_w, self._driver.step_s, send)
        self.clock_s = max(self.clock_s, now_s)
        self._forget(self._enrolment.roster)

    def _step(self, roster, start_s, demand_w, step_s, send):
        slot = roster.slot_at(start_s)
        self.clock_s = start_s + step_s
        if slot is None:
            return
        if slot != self._slot:
            self._leave()
            self._begin(roster, slot)
        if demand_w is not None:
            self._count(start_s, demand_w, self._control(start_s, demand_w), step_s)
        else:
            self._gap = True
        self._actuator.drain()
        self._measured_to_s = self.clock_s
        if self.clock_s >= slot_end_s(roster, slot):
            self._report(roster, self._close(), send)

    def _last_state(self):
        """(register, controller) as the last report left them, or None."""
        slot = self._journal.slots.get(self._journal.last_masked)
        if slot is None or slot.report is None:
            return None
        record = self._journal.payload(slot.report)
        lanes, values = record[12], record[13]
        at = 14 + 8 * lanes
        carry = struct.unpack(">%dQ" % lanes, record[at : at + 8 * lanes])
        at += 8 * lanes
        return carry, struct.unpack(">%dq" % values, record[at : at + 8 * values])

    def _report(self, roster, ended, send):
        """Masks a slot that has ended, if it may still be, and sends it."""
        started = port.ticks_ms()
        # First: a cut between the two costs the street a report, and not the bill a slot.
        self._commit(ended)
        if self._may_report(roster, ended.slot):
            self._ended = ended
            values_wh = [reading[1] for reading in ended.readings]
            send(self._mask(roster, ended.slot, values_wh, ended.gap))
            self.reports += 1
        # First, for the home's log may find no room, and what is over must go also then.
        self._forget(roster)
        self._log_slot(ended)
        self.slot_ms = port.ticks_diff(port.ticks_ms(), started)

    def _may_report(self, roster, slot):
        return (
            self.next_slot() <= slot
            and roster.first_slot <= slot <= roster.last_slot
            and self._now_s <= slot_end_s(roster, slot) + roster.report_window_s
        )

    def _mask(self, roster, slot, values_wh, gap):
        self._journal.open_account(roster)
        self._random.refresh()
        drawn = [draw(self._random) for draw in self._drawers]
        values = [(values_wh[k] << roster.fraction_bits) + drawn[k] for k in range(roster.lanes)]
        recovery = [0] * roster.lanes
        if roster.missing:
            recovery = masking.unpack_words(self._random.bytes(8 * roster.lanes))
        dummies = self._masks.dummies(slot)
        stream_key = self._enrolment.keys.keystream_key(slot)
        words = masking.masked(values, dummies, stream_key, recovery, slot)
        fields = self._report_fields(roster, slot, masking.pack_words(words), gap)
        payload = messages.encode("report", fields)[1]
        self._journal.append(journal.REPORT, self._report_record(roster, slot, recovery) + payload)
        return fields

    def idle(self):
        """A few milliseconds of work that the report would else have to do; True for more."""
        slot, roster = self._slot, self._enrolment.roster
        if slot is None or not max(self.next_slot(), roster.first_slot) <= slot <= roster.last_slot:
            return False
        return self._masks.step(slot)

    def _report_fields(self, roster, slot, words, gap):
        flags = messages.FLAG_GAP if gap else 0
        if self._journal.ledger.reaches(self._settings["privacy_cap"], slot):
            flags |= messages.FLAG_CAP
        tag = self._tag_up(b"report", slot, bytes((flags,)) + words)
        return {
            "meter_id": self._meter_id,
            "epoch": roster.epoch,
            "slot": slot,
            "flags": flags,
            "words": words,
            "tag": tag,
        }

    def _tag_up(self, purpose, slot, content):
        key, roster = self._enrolment.keys.tag_key_up, self._enrolment.roster
        return masking.tag(key, purpose, roster.hash, self._meter_id, slot, content)

    def _tag_down(self, purpose, slot, content):
        key, roster = self._enrolment.keys.tag_key_down, self._enrolment.roster
        return masking.tag(key, purpose, roster.hash, self._meter_id, slot, content)

    def _report_record(self, roster, slot, recovery):
        # slot, epoch, lanes, numbers of the controller, C, the register's carry, the controller
        carry, control = self._ended.carry, self._ended.control
        head = struct.pack(">QIBB", slot, roster.epoch, roster.lanes, len(control))
        return (
            head
            + masking.pack_words(recovery)
            + struct.pack(">%dQ" % len(carry), *carry)
            + struct.pack(">%dq" % len(control), *control)
        )

    def _kept(self, slot):
        """The journal's entry of a slot that was reported in this epoch, or None."""
        kept = self._journal.slots.get(slot)
        if kept is None or kept.report is None:
            return None
        epoch = int.from_bytes(self._journal.payload(kept.report)[8:12], "big")
        return kept if epoch == self._enrolment.roster.epoch else None

    def _kept_report(self, slot):
        """(recovery words, payload of the report) of a slot that was masked."""
        record = self._journal.payload(self._journal.slots.get(slot).report)
        lanes, values = record[12], record[13]
        recovery = masking.unpack_words(record[14 : 14 + 8 * lanes])
        return recovery, record[14 + 16 * lanes + 8 * values :]

    def _forget(self, roster):
        """Slots past their expiry lose C, report and answer at the journal's next rewrite."""
        through = _expired_through(roster, self.clock_s)
        known = max(
            self._journal.expired_through,
            _expired_through(roster, self._journalled_clock_s(roster)),
        )
        if any(known < number <= through for number in self._journal.slots):
            # A boot could not tell from the last report that these are over.
            self._journal.append(journal.EXPIRED, through.to_bytes(8, "big"))
        self._journal.expire(through)

    def resend(self, epoch, slot, turn):
        """The stored report or answer of a slot as (name, fields), while it may still leave."""
        roster = self._enrolment.roster
        kept = self._kept(slot)
        if turn != messages.REPORT_ROUND:
            name, payload = "answer", self._answer_to_resend(roster, epoch, slot, kept)
        elif epoch != roster.epoch:
            raise HushError("wrong_epoch", "the epoch in use is %d" % roster.epoch)
        elif kept is None:
            raise HushError("wrong_slot", "slot %d was not reported" % slot)
        else:
            self._check_report_may_leave(roster, slot, kept)
            name, payload = "report", self._kept_report(slot)[1]
        return messages.decode(messages.BY_NAME[name][0], payload)

    def _check_report_may_leave(self, roster, slot, kept):
        over = self.clock_s > slot_end_s(roster, slot) + roster.report_window_s
        if over or kept.answer is not None or kept.barred or self._expired(roster, slot):
            raise HushError("late", "the time for reports of slot %d is over" % slot)

    def _answer_to_resend(self, roster, epoch, slot, kept):
        if epoch != roster.epoch or kept is None or kept.answer is None:
            raise HushError("refused", "no answer was given in slot %d" % slot)
        if self._expired(roster, slot):
            raise HushError("refused", "the slot is over")
        return self._kept_answer(roster, kept)[1]

    def _expired(self, roster, slot):
        through = max(self._journal.expired_through, _expired_through(roster, self.clock_s))
        return slot <= through

    def _kept_answer(self, roster, kept):
        """(S as a bit map, payload of the answer)."""
        record = self._journal.payload(kept.answer)
        size = roster.silent_bytes()
        return record[8 : 8 + size], record[8 + size :]

    def stored(self, epoch, slot, turn, tag):
        """The aggregator has kept this meter's message of that round; it will not ask for it."""
        roster = self._enrolment.roster
        wanted = self._tag_down(b"stored", slot, bytes((turn,)))
        if epoch != roster.epoch or not masking.same_tag(tag, wanted):
            raise HushError("bad_tag", "the acknowledgement is not the supplier's, or not for now")
        if self._kept(slot) is None or turn not in (1, 2):
            raise HushError("wrong_slot", "slot %d has no such message in this epoch" % slot)
        self._journal.slots.mark_stored(slot, turn)

    def check_kept(self, epoch, slot, tag):
        """Refuses what is not the utility's word that it has the batch of this first slot."""
        if epoch != self._roster.epoch or not masking.same_tag(
            tag, self._tag_down(b"kept", slot, b"")
        ):
            raise HushError("bad_tag", "that leaves are kept is not the supplier's word for now")

    def unacknowledged(self):
        """Reports and answers kept that nobody has acknowledged since boot."""
        return min(self._journal.slots.unacknowledged(), 0xFFFF)

    def announce(self, epoch, slot, silent, tag):
        """The answer to a valid, first S of a slot; every refusal looks alike."""
        roster = self._enrolment.roster
        indexes = self._announced(roster, epoch, slot, silent, tag)
        kept = self._kept(slot)
        if kept is None:
            self._close_round_one(roster, slot)
            raise HushError("refused", "nothing was reported")
        if self._expired(roster, slot):
            raise HushError("refused", "the slot is over")
        if masking.in_silent(silent, self._enrolment.own_index):
            self._bar(slot, kept)
            raise HushError("refused", "declared silent")
        if kept.barred:
            raise HushError("refused", "declared silent before")
        if kept.answer is not None:
            before, payload = self._kept_answer(roster, kept)
            if before != silent:
                raise HushError("refused", "another S was answered in this slot")
            return messages.decode(messages.BY_NAME["answer"][0], payload)[1]
        return self._answer(roster, slot, silent, indexes)

    def _announced(self, roster, epoch, slot, silent, tag):
        """The indexes in an S that may be one, and that is the supplier's."""
        wanted = self._tag_down(b"announce", slot, silent)
        indexes = masking.silent_indexes(silent, roster.members)
        if epoch != roster.epoch or not masking.same_tag(tag, wanted):
            raise HushError("refused", "wrong epoch or tag")
        self.found_genuine()
        if indexes is None or not roster.missing or len(indexes) > roster.missing:
            raise HushError("refused", "S is no set of at most M members")
        return indexes

    def _bar(self, slot, kept):
        # Who is declared silent once never answers in that slot, whatever S comes later.
        if not kept.barred:
            self._journal.append(journal.BARRED, slot.to_bytes(8, "big"))

    def _close_round_one(self, roster, slot):
        # From here on no report of this slot leaves, also after a power cut. A slot that has not
        # begun cannot be closed, else one message could silence the meter for years.
        now = roster.slot_at(self.clock_s)
        if now is not None and self.next_slot() <= slot <= now:
            self._journal.append(journal.CLOSED, slot.to_bytes(8, "big"))

    def _answer(self, roster, slot, silent, indexes):
        started = port.ticks_ms()
        recovery = self._kept_report(slot)[0]
        digest = masking.silent_digest(roster.hash, slot, silent)
        dummies, bound = self._masks.lifts(slot, indexes, digest)
        words = masking.lifted(dummies, bound, recovery)
        packed = masking.pack_words(words)
        tag = self._tag_up(b"answer", slot, digest + packed)
        fields = {
            "meter_id": self._meter_id,
            "epoch": roster.epoch,
            "slot": slot,
            "words": packed,
            "tag": tag,
        }
        payload = messages.encode("answer", fields)[1]
        self._journal.append(journal.ANSWER, slot.to_bytes(8, "big") + silent + payload)
        self.answers += 1
        self.answer_ms = port.ticks_diff(port.ticks_ms(), started)
        return fields
