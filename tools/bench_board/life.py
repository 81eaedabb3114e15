"""One meter's life behind its link: first boot, enrolment, slots and answers, a later boot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hushfw.core import frame, messages
from hushmeter.devices.boards import Flash
from hushmeter.errors import HushmeterError
from hushmeter.link import Link, Message
from tools.bench_board.backends import TIMEOUT_S, Machine, make_backend
from tools.bench_board.figures import LARGE, Add, Rows, collect
from tools.bench_board.street import DAY_S, QUICK_ROW_S, ROW_S, SLOT_S, Street

START, ENROLMENT, SLOT, ROUND_TWO = "Start", "Enrolment", "Report", "Answer"
BOTH, HEAP, FLASH, WIRE = "Both rounds", "Free heap", "Flash", "Wire"

PROVISIONED = "key and pairs.bin made on the host"
AHEAD = "masks ahead"
RATCHET = "with the ratchet of every key"
METERS_CLOCK = "as its status message says"
CHUNK_BYTES = frame.MAX_PAYLOAD - 64
LEAST_OWN_MS = 10
_ERASED = 0xFF

Wear = tuple[int, int]
"""Sectors erased and pages programmed, at the least."""


@dataclass(frozen=True)
class Exchange:
    """A request and its reply, in the board's time and in bytes as they were framed."""

    reply: Message
    took_s: float
    sent_bytes: int
    received_bytes: int


class Meter:
    """The measured meter: asks, and counts what it costs."""

    def __init__(self, machine: Machine, flash: Flash | None) -> None:
        self._machine = machine
        self._flash = flash

    def boot(self) -> Exchange:
        """From power off to its hello."""
        machine = self._machine
        machine.meter.kill()
        began_s = machine.now_s()
        machine.meter.start()
        self.link = Link(machine.meter, timeout_s=TIMEOUT_S, tries=1)
        hello = self.ask("hello_request")
        problem = hello.reply.fields["problem"]
        if problem:
            raise HushmeterError(f"the meter does not work: {problem}")
        return Exchange(hello.reply, machine.now_s() - began_s, 0, 0)

    def ask(self, name: str, **fields: Any) -> Exchange:
        link = self.link
        sent, received, began_s = link.bytes_sent, link.bytes_received, self._machine.now_s()
        reply = link.request(name, **fields)
        took_s = self._machine.now_s() - began_s
        return Exchange(reply, took_s, link.bytes_sent - sent, link.bytes_received - received)

    def idle(self, members: int) -> None:
        """Long enough to make ahead what can be made, in a street of this size."""
        self._machine.idle(members)

    def largest_free_bytes(self) -> int:
        return int(self.ask("life_request").reply.fields["largest_free_bytes"])

    def status(self) -> dict[str, int]:
        return self.ask("status_request").reply.fields

    def ask_and_look(self, name: str, **fields: Any) -> tuple[Exchange, Wear | None]:
        """An exchange, and what it did to the flash chip if there is one."""
        if self._flash is None or self._machine.flash is None:
            return self.ask(name, **fields), None
        before = self._machine.flash()
        exchange = self.ask(name, **fields)
        return exchange, wear(before, self._machine.flash(), self._flash)

    def files(self) -> dict[str, bytes]:
        return self._machine.meter.files()


@dataclass(frozen=True)
class SlotFigures:
    """What one slot took; ``sample_s`` is a row, a step of the controller and the register."""

    sample_s: float
    report: Exchange
    report_body: bytes
    report_status: dict[str, int]
    report_wear: Wear | None
    answer: Exchange
    answer_status: dict[str, int]
    answer_wear: Wear | None
    acknowledgements: tuple[Exchange, Exchange]


def measure_life(board: str, members: int, provisioned: bool, quick: bool) -> Rows:
    """Everything that is measured through the link, in a street of this size."""

    def measure(add: Add) -> None:
        backend = make_backend(board)
        large = members > LARGE
        slots_today = 1 if quick or large else 3
        row_s = QUICK_ROW_S if quick or large else ROW_S
        street = Street(members, backend.facts.name, provisioned, slots_today + 1, row_s)
        note = PROVISIONED if provisioned else "makes its key"
        with backend.meter(street.files) as machine:
            meter = Meter(machine, backend.facts.flash)
            hello = meter.boot()
            add(START, "first boot to hello", "s", hello.took_s, note=note)
            add(HEAP, "after boot", "bytes", meter.status()["free_heap_bytes"])
            enrol(meter, street, hello.reply.fields["public_key"], add)
            slots = [one_slot(meter, street, slot + 1) for slot in range(slots_today)]
            if row_s == ROW_S:
                add(SLOT, "one sample of 1 s", "s", [slot.sample_s for slot in slots])
            add_slots(slots, add)
            add_wire(slots[0], street, add)
            add_storage(meter.files(), members, add)
            ahead = one_slot(meter, street, slots_today + 1, ahead=True)
            add_ahead(slots, ahead, add)
            add(HEAP, "largest block, after an answer", "bytes", meter.largest_free_bytes())
            next_days(meter, street, slots_today + 2, add)
            boots = 1 if quick or large else 3
            later = [meter.boot().took_s for _ in range(boots)]
            add(START, "later boot to hello, enrolled", "s", later)

    return collect("the meter behind its link", members, measure)


def enrol(meter: Meter, street: Street, public_key: bytes, add: Add) -> None:
    """Send the roster and commit it until every pair key is there."""
    roster = street.enrol(public_key)
    data = roster.data
    sent = [meter.ask("roster_begin", size=len(data), digest=roster.hash)]
    for at in range(0, len(data), CHUNK_BYTES):
        sent.append(meter.ask("roster_chunk", offset=at, data=data[at : at + CHUNK_BYTES]))
    commits = [meter.ask("roster_commit")]
    while commits[-1].reply.fields["done"] < commits[-1].reply.fields["total"]:
        commits.append(meter.ask("roster_commit"))
    sent_s, commits_s = (sum(exchange.took_s for exchange in part) for part in (sent, commits))
    agreed = "pairs were there" if street.provisioned else f"{street.members} X25519 agreements"
    add(ENROLMENT, "roster", "bytes", len(data))
    add(ENROLMENT, "roster received and stored", "s", sent_s)
    add(ENROLMENT, "roster checked, keys derived", "s", commits_s, note=agreed)
    add(ENROLMENT, "whole", "s", sent_s + commits_s, note=agreed)
    add(HEAP, "after enrolment", "bytes", meter.status()["free_heap_bytes"])


def one_slot(meter: Meter, street: Street, slot: int, ahead: bool = False) -> SlotFigures:
    """A slot's samples, its report, and its answer to a set of one silent meter.

    With ``ahead`` there is idle time before the last sample, as there is on a home's wall;
    without, the report makes its masks itself.
    """
    end_s = street.start_of(slot + 1)
    for feed in street.feeds(slot):
        meter.ask("feed", **feed)
    samples = meter.ask("advance", now_s=end_s - street.row_s)
    if ahead:
        meter.idle(street.members)
    report, report_wear = meter.ask_and_look("advance", now_s=end_s)
    bodies = [message.body for message in meter.link.unasked() if message.name == "report"]
    if len(bodies) != 1:
        raise HushmeterError(f"{len(bodies)} reports came in slot {slot}; there should be one")
    report_status = meter.status()
    first = meter.ask("stored", **street.acknowledgement(slot, messages.REPORT_ROUND))
    answer, answer_wear = meter.ask_and_look("announce", **street.announcement(slot))
    answer_status = meter.status()
    second = meter.ask("stored", **street.acknowledgement(slot, messages.ANSWER_ROUND))
    return SlotFigures(
        sample_s=samples.took_s / (SLOT_S // street.row_s - 1),
        report=report,
        report_body=bodies[0],
        report_status=report_status,
        report_wear=report_wear,
        answer=answer,
        answer_status=answer_status,
        answer_wear=answer_wear,
        acknowledgements=(first, second),
    )


def add_slots(slots: list[SlotFigures], add: Add) -> None:
    add(SLOT, "end of slot to report", "s", [s.report.took_s for s in slots])
    add_shares(SLOT, [(s.report.took_s, s.report_status["slot_ms"]) for s in slots], add)
    add(ROUND_TWO, "announcement to answer", "s", [s.answer.took_s for s in slots])
    add_shares(ROUND_TWO, [(s.answer.took_s, s.answer_status["answer_ms"]) for s in slots], add)
    heap = [s.report_status["free_heap_bytes"] for s in slots]
    add(HEAP, "after a report", "bytes", heap)
    add(HEAP, "after an answer", "bytes", [s.answer_status["free_heap_bytes"] for s in slots])
    for topic, wears in (
        (SLOT, [s.report_wear for s in slots]),
        (ROUND_TWO, [s.answer_wear for s in slots]),
    ):
        known = [w for w in wears if w is not None]
        if known:
            add(topic, "flash sectors erased, at least", "sectors", [w[0] for w in known])
            add(topic, "flash pages programmed, at least", "pages", [w[1] for w in known])


def add_shares(topic: str, pairs: list[tuple[float, int]], add: Add) -> None:
    """Split the time of an exchange by the meter's own clock, where its milliseconds are fine."""
    if min(own_ms for _, own_ms in pairs) < LEAST_OWN_MS:
        return
    own_s = [own_ms / 1000 for _, own_ms in pairs]
    rest_s = [took_s - own_ms / 1000 for took_s, own_ms in pairs]
    add(topic, "  of it on the meter's clock", "s", own_s, note=METERS_CLOCK)
    add(topic, "  of it link, codec, collection", "s", rest_s)


def add_ahead(slots: list[SlotFigures], ahead: SlotFigures, add: Add) -> None:
    """What is left of a slot whose masks were made in idle time, and both rounds together."""
    add(SLOT, f"end of slot to report, {AHEAD}", "s", ahead.report.took_s)
    both = [slot.report.took_s + slot.answer.took_s for slot in slots]
    add(BOTH, "report and answer", "s", both)
    add(BOTH, f"report and answer, {AHEAD}", "s", ahead.report.took_s + ahead.answer.took_s)


def next_days(meter: Meter, street: Street, slot: int, add: Add) -> None:
    """The first slot after midnight with the day's keys made ahead, and a day later without."""
    prepared = one_slot(meter, street, slot, ahead=True)
    bare = one_slot(meter, street, slot + DAY_S // SLOT_S)
    add(SLOT, "end of a day's first slot to report", "s", bare.report.took_s, note=RATCHET)
    add(SLOT, f"end of a day's first slot to report, {AHEAD}", "s", prepared.report.took_s)
    empty = [meter.ask("status_request").took_s for _ in range(5)]
    add(WIRE, "exchange that does nothing (status)", "s", empty)


def framed_bytes(body: bytes) -> int:
    return len(frame.encode(body[0], 0, body[1:]))


def add_wire(slot: SlotFigures, street: Street, add: Add) -> None:
    """What one slot sends, but for the rows: they stand for a sensor on the meter's own board."""
    exchanges = (slot.answer, *slot.acknowledgements)
    report = framed_bytes(slot.report_body)
    add(WIRE, "report", "bytes", report)
    add(WIRE, "announcement", "bytes", slot.answer.sent_bytes)
    add(WIRE, "answer", "bytes", slot.answer.received_bytes)
    up = report + sum(exchange.received_bytes for exchange in exchanges)
    add(WIRE, "a slot, meter to host", "bytes", up, note="report, answer, 2 ok")
    down = sum(exchange.sent_bytes for exchange in exchanges)
    add(WIRE, "a slot, host to meter", "bytes", down, note="announcement, 2 acknowledgements")


def add_storage(files: dict[str, bytes], members: int, add: Add) -> None:
    """Files of an enrolled meter, whole and by each of its N - 1 partners."""
    kinds = (("pairs.bin", "pairs"), ("keys-*.bin, a day", "keys-"), ("roster-*.bin", "roster-"))
    for name, prefix in kinds:
        size = max(len(data) for path, data in files.items() if path.startswith(prefix))
        add(FLASH, name, "bytes", size)
        add(FLASH, f"{name}, by partner", "bytes", size / (members - 1))


def wear(before: bytes, after: bytes, flash: Flash) -> Wear:
    """What happened between two readings of a flash chip, at the least.

    A sector in which a bit rose from 0 to 1 was erased; one erased twice counts once.
    """
    old, new = (
        np.frombuffer(chip, np.uint8).reshape(
            -1, flash.erase_bytes // flash.program_bytes, flash.program_bytes
        )
        for chip in (before, after)
    )
    erased = ((~old & new) != 0).any(axis=(1, 2))
    filled = (new != _ERASED).any(axis=2)
    changed = (old != new).any(axis=2)
    programmed = np.where(erased[:, None], filled, changed)
    return int(erased.sum()), int(programmed.sum())
