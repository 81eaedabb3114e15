"""Restarts from the flash of a cut, and says what the cut has done.

What left before the cut and what leaves after it are put together. Then a slot with two different
reports was masked twice, one with two different answers answered twice, and what had been
acknowledged must still be there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hil.power.ledger import Ledger, Place
from hil.power.scenario import OTHER_LOAD_W, Host, Machine, chosen, other
from hil.power.street import Epoch, PowerStreet, end_s
from hushmeter.errors import HushmeterError
from hushmeter.link import Message

MASKED_TWICE = "masked twice"
ANSWERED_TWICE = "answered twice"
LOST = "acknowledged and lost"
REPEATED = "random output repeated"
STUCK = "does not go on"
KINDS = (MASKED_TWICE, ANSWERED_TWICE, LOST, REPEATED, STUCK)


@dataclass(frozen=True)
class Fault:
    """Something that must not be: one of ``KINDS``, and what was seen."""

    kind: str
    what: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.what}"


@dataclass
class Recovery:
    """One restart.

    Attributes
    ----------
    left:
        What the host knew when the power went.
    whole:
        The scenario without a cut: what a report or answer under way would have been.
    depth:
        How many of the last slots are asked for.
    """

    machine: Machine
    street: PowerStreet
    left: Ledger
    whole: Ledger
    depth: int
    faults: list[Fault] = field(default_factory=list)

    def run(self, image: bytes) -> list[Fault]:
        """Start from the image, ask for everything, go on for a slot; what was wrong."""
        try:
            self.machine.start(image)
            self._host = Host(self.machine, self.street)
            self._talk()
        except HushmeterError as error:
            self._fault(STUCK, str(error))
        self._judge(Ledger.of(self.machine.record.events))
        return self.faults

    def _fault(self, kind: str, what: str) -> None:
        self.faults.append(Fault(kind, what))

    def _talk(self) -> None:
        hello = self._host.hello()
        if hello["problem"]:
            self._fault(STUCK, hello["problem"])
            return
        own_key = hello["public_key"]
        if self.left.public_keys - {own_key}:
            self._fault(LOST, "the meter's key changed")
        if hello["boots"] <= self.left.boots:
            self._fault(REPEATED, f"boot {hello['boots']} was counted before")
        if not self.left.epoch <= hello["epoch"] <= self.left.epoch_tried:
            self._fault(LOST, f"epoch {hello['epoch']} is in use")
        if hello["epoch"]:
            epoch = self.street.epoch(hello["epoch"], own_key)
            last = max((slot for _, slot in self.left.reports), default=0)
            if hello["next_slot"] <= last:
                self._fault(LOST, f"slot {last} left, and {hello['next_slot']} is next")
            self._ask_for_what_was(epoch)
        self._go_on(own_key)

    def _ask_for_what_was(self, epoch: Epoch) -> None:
        """Every slot that was under way or done: asked for again, and for another S."""
        under_way = self._under_way()
        known = {slot for number, slot in self.left.reports if number == epoch.number}
        for slot in sorted(known | under_way)[-self.depth :]:
            place = (epoch.number, slot)
            if slot not in known or slot == max(known):
                # The load comes again: one that was masked must not be masked with another value.
                self._host.measure(slot, OTHER_LOAD_W)
            report = self._host.ask("resend", epoch=epoch.number, slot=slot, round=1)
            self._host.ask("resend", epoch=epoch.number, slot=slot, round=2)
            sets = [chosen(epoch, slot), other(epoch)]
            if self._other_first(place):
                sets.reverse()
            answers = {silent: self._host.announce(epoch, slot, silent) for silent in sets}
            self._check_there(place, report, answers, chosen(epoch, slot))
        for number, slot in self.left.closed:
            if number == epoch.number:
                self._host.measure(slot)

    def _under_way(self) -> set[int]:
        """The slot that the request under way was about to report."""
        name, fields = self.left.open or ("", {})
        if name != "advance":
            return set()
        return {slot for _, slot in self.whole.reports if end_s(slot) == fields["now_s"]}

    def _other_first(self, place: Place) -> bool:
        """Another S comes first where one was answered, and where one may have been."""
        name, fields = self.left.open or ("", {})
        under_way = name == "announce" and (fields["epoch"], fields["slot"]) == place
        return place in self.left.answers or under_way

    def _check_there(
        self,
        place: Place,
        report: Message | None,
        answers: Mapping[bytes, Message | None],
        silent: bytes,
    ) -> None:
        """What was acknowledged, and C: an answer lifts exactly what the report put on."""
        epoch, slot = place
        answer = answers[silent]
        known = self.whole.answers.get(place, set())
        wanted = {body for body in known if self.whole.silent.get(body) == silent}
        same = place in self.left.reports or (
            report is not None and report.body in self.whole.reports[place]
        )
        if same and wanted and answer is not None and answer.body not in wanted:
            self._fault(LOST, f"the recovery key of slot {slot}")
        if self.left.expired(slot) or place in self.whole.barred:
            return
        if (epoch, slot, 2) in self.left.stored and not any(answers.values()):
            self._fault(LOST, f"the answer of slot {slot}")
        if (epoch, slot, 1) in self.left.stored and not (report or any(answers.values())):
            self._fault(LOST, f"the report of slot {slot}")

    def _go_on(self, own_key: bytes) -> None:
        """The roster that was on its way, a new slot with both rounds, and another power cut."""
        number = max(1, self.left.epoch_tried)
        epoch = self.street.epoch(number, own_key)
        if self._host.hello()["epoch"] < number:
            self._host.enrol(epoch)
        before = self._host.hello()
        # Beyond every slot of the scenario, so that no reading of it is asked for here.
        slot = max(before["next_slot"], self._next_after_told())
        self._host.measure(slot)
        self._host.store(epoch, slot, 1)
        answer = self._host.announce(epoch, slot, chosen(epoch, slot))
        again = self._host.announce(epoch, slot, other(epoch))
        if answer is None or again is not None:
            self._fault(STUCK, f"slot {slot} was not reported and answered once")
        self._host.restart()
        after = self._host.hello()
        if after["next_slot"] != slot + 1 or after["epoch"] != number:
            self._fault(LOST, f"slot {slot} after a second cut: {after['next_slot']} is next")
        self._host.announce(epoch, slot, chosen(epoch, slot))

    def _next_after_told(self) -> int:
        slot = 1
        while end_s(slot) <= self.left.told_s:
            slot += 1
        return slot

    def _judge(self, later: Ledger) -> None:
        """What left before the cut and after it, together."""
        for kind, before, after in (
            (MASKED_TWICE, self.left.reports, later.reports),
            (ANSWERED_TWICE, self.left.answers, later.answers),
        ):
            for place in sorted(after):
                if len(before.get(place, set()) | after[place]) > 1:
                    self._fault(kind, f"slot {place[1]} of epoch {place[0]}")
        for place in sorted(self.left.barred & set(later.answers)):
            self._fault(ANSWERED_TWICE, f"slot {place[1]}, in which the meter was declared silent")
        for place in sorted(self.left.closed & set(later.reports)):
            self._fault(MASKED_TWICE, f"slot {place[1]}, which was closed")
        if len(set(later.drawn)) < len(later.drawn) or set(later.drawn) & set(self.left.drawn):
            self._fault(REPEATED, "the generator's output")
