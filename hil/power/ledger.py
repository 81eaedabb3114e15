"""What the host knows at a moment, read from what went over the link until then."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from hil.power.record import Asked, Drawn, Event, Restarted, Said
from hil.power.street import EXPIRY_S, OWN_ID, end_s
from hushfw.core import frame, messages

Place = tuple[int, int]
"""Epoch and slot."""

_GRAIN = 16


@dataclass
class Ledger:
    """Everything that was asked and said.

    Attributes
    ----------
    reports, answers:
        The different bodies that left, by epoch and slot.
    silent:
        The S that an answer's body was given to.
    stored:
        (epoch, slot, round) that the meter was told are kept, and confirmed.
    barred:
        Where the meter has said no to an S that it is in: it never answers there.
    closed:
        Slots whose S came before any report, and was refused: none leaves.
    epoch, epoch_tried:
        The highest in use, and the highest that was handed over.
    told_s:
        The latest time that the meter was told.
    drawn:
        Pieces of the generator's output.
    open:
        The request whose reply has not come.
    """

    reports: defaultdict[Place, set[bytes]] = field(default_factory=lambda: defaultdict(set))
    answers: defaultdict[Place, set[bytes]] = field(default_factory=lambda: defaultdict(set))
    silent: dict[bytes, bytes] = field(default_factory=dict)
    stored: set[tuple[int, int, int]] = field(default_factory=set)
    barred: set[Place] = field(default_factory=set)
    closed: set[Place] = field(default_factory=set)
    public_keys: set[bytes] = field(default_factory=set)
    boots: int = 0
    epoch: int = 0
    epoch_tried: int = 0
    told_s: int = 0
    drawn: list[bytes] = field(default_factory=list)
    open: tuple[str, dict[str, Any]] | None = None
    refusals: int = 0

    @staticmethod
    def of(events: Iterable[Event]) -> Ledger:
        """The ledger of a record, or of its beginning."""
        ledger = Ledger()
        asked, said = frame.Decoder(), frame.Decoder()
        for event in events:
            if isinstance(event, Asked):
                for number, _, payload in asked.feed(event.data):
                    ledger._ask(*messages.decode(number, payload))
            elif isinstance(event, Said):
                for number, _, payload in said.feed(event.data):
                    ledger._hear(bytes((number,)) + payload, *messages.decode(number, payload))
            elif isinstance(event, Drawn):
                ledger.drawn += [
                    event.data[at : at + _GRAIN] for at in range(0, len(event.data), _GRAIN)
                ]
            elif isinstance(event, Restarted):
                asked, said = frame.Decoder(), frame.Decoder()
                ledger.open = None
        return ledger

    def _ask(self, name: str, fields: dict[str, Any]) -> None:
        self.open = (name, fields)
        if name == "advance":
            self.told_s = max(self.told_s, fields["now_s"])
        elif name == "roster_begin":
            self.epoch_tried += self.epoch_tried == self.epoch

    def _hear(self, body: bytes, name: str, fields: dict[str, Any]) -> None:
        if name == "report":
            self.reports[fields["epoch"], fields["slot"]].add(body)
            return
        asked, wanted = self.open or ("", {})
        self.open = None
        if name == "answer":
            self.answers[fields["epoch"], fields["slot"]].add(body)
            if asked == "announce":
                self.silent[body] = wanted["silent"]
        elif name == "hello":
            self.public_keys.add(fields["public_key"])
            self.boots = max(self.boots, fields["boots"])
            self.epoch = max(self.epoch, fields["epoch"])
            self.epoch_tried = max(self.epoch_tried, self.epoch)
        elif name == "progress" and fields["done"] == fields["total"]:
            self.epoch = self.epoch_tried
        elif name == "ok" and asked == "stored":
            self.stored.add((wanted["epoch"], wanted["slot"], wanted["round"]))
        elif name == "refused":
            self.refusals += 1
            if asked == "announce":
                self._hear_no_answer(wanted)

    def _hear_no_answer(self, wanted: dict[str, Any]) -> None:
        place = (wanted["epoch"], wanted["slot"])
        if place not in self.reports:
            self.closed.add(place)
        elif wanted["silent"][0] >> OWN_ID - 1 & 1:
            self.barred.add(place)

    def expired(self, slot: int) -> bool:
        """Whether the meter was told of a time at which this slot is over for good."""
        return self.told_s > end_s(slot) + EXPIRY_S
