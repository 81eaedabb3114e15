"""What is cut: a meter is enrolled, goes through slots with both rounds, and changes its roster.

On the way a day ends, slots expire, the journal is rewritten, the power goes between two slots, a
slot is closed before it was reported, and in one the meter is declared silent itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from hil.power.record import Record
from hil.power.street import MEMBERS, OWN_ID, SLOT_S, START_S, Epoch, PowerStreet, end_s
from hushmeter.link import Link, Message, Refused

PATIENCE_S = 120.0
SLOTS = 10
RESTART_AFTER, DECLARED_SILENT, CLOSED = 5, 6, 8
LAST_EPOCH_SLOTS = 2
LOAD_W, OTHER_LOAD_W = 600, 900
_CHUNK_BYTES = 200


class Machine(Protocol):
    """A meter whose flash is recorded and whose power can be cut; a transport of the link."""

    name: str
    record: Record

    def start(self, image: bytes) -> None: ...

    def restart(self) -> None: ...

    def write(self, data: bytes) -> None: ...

    def read(self, timeout_s: float) -> bytes: ...

    def fileno(self) -> int | None: ...

    def close(self) -> None: ...


@dataclass
class Step:
    """A part of the scenario: its places in the record."""

    name: str
    begin: int
    end: int


@dataclass
class Host:
    """The host's end: the requests of a scenario, sent to one machine."""

    machine: Machine
    street: PowerStreet
    steps: list[Step] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.link = Link(self.machine, timeout_s=PATIENCE_S, tries=1)

    def restart(self) -> None:
        self.machine.restart()
        self.link = Link(self.machine, timeout_s=PATIENCE_S, tries=1)

    def ask(self, name: str, **fields: Any) -> Message | None:
        """The reply, or None where the meter refuses."""
        try:
            return self.link.request(name, **fields)
        except Refused:
            return None

    def hello(self) -> dict[str, Any]:
        return self.link.request("hello_request").fields

    def enrol(self, epoch: Epoch) -> None:
        data = epoch.roster.data
        self.link.request("roster_begin", size=len(data), digest=epoch.roster.hash)
        for at in range(0, len(data), _CHUNK_BYTES):
            self.link.request("roster_chunk", offset=at, data=data[at : at + _CHUNK_BYTES])
        done, total = 0, 1
        while done != total:
            reply = self.link.request("roster_commit").fields
            done, total = reply["done"], reply["total"]

    def measure(self, slot: int, load_w: int = LOAD_W) -> None:
        """Let a slot pass, fed anew where its row was lost; its report leaves if it still may."""
        rows = (load_w * SLOT_S).to_bytes(4, "little", signed=True)
        self.ask("feed", start_s=end_s(slot) - SLOT_S, row_s=SLOT_S, rows=rows)
        self.ask("advance", now_s=end_s(slot))

    def announce(self, epoch: Epoch, slot: int, silent: bytes) -> Message | None:
        return self.ask("announce", **epoch.announcement(slot, silent))

    def store(self, epoch: Epoch, slot: int, turn: int) -> None:
        self.ask("stored", **epoch.acknowledgement(slot, turn))


def chosen(epoch: Epoch, slot: int) -> bytes:
    """The S of a slot in the scenario."""
    return epoch.silent(MEMBERS) if slot & 1 else epoch.silent()


def other(epoch: Epoch) -> bytes:
    """An S that is never the scenario's."""
    return epoch.silent(MEMBERS - 1)


def play(machine: Machine, street: PowerStreet, slots: int = SLOTS) -> list[Step]:
    """Run the whole scenario on a machine that has just been started; its parts."""
    host = Host(machine, street)
    own_key = host.hello()["public_key"]
    _mark(host, "first boot", 0)
    first, second = street.epoch(1, own_key), street.epoch(2, own_key)
    begin = len(machine.record.events)
    host.enrol(first)
    _mark(host, "enrolment", begin)
    for slot in range(1, slots + 1):
        _slot(host, first, slot)
        if slot == RESTART_AFTER:
            begin = len(machine.record.events)
            host.restart()
            host.hello()
            _mark(host, "boot", begin)
    begin = len(machine.record.events)
    host.enrol(second)
    _mark(host, "next roster", begin)
    for slot in range(slots + 1, slots + 1 + LAST_EPOCH_SLOTS):
        _slot(host, second, slot)
    return host.steps


def _slot(host: Host, epoch: Epoch, slot: int) -> None:
    """One slot, both rounds, and every acknowledgement."""
    events = host.machine.record.events
    if slot == CLOSED:
        host.ask("advance", now_s=START_S + (slot - 1) * SLOT_S + SLOT_S // 2)
        host.announce(epoch, slot, chosen(epoch, slot))
    begin = len(events)
    host.measure(slot)
    _mark(host, "report", begin)
    host.store(epoch, slot, 1)
    if slot == DECLARED_SILENT:
        host.announce(epoch, slot, epoch.silent(OWN_ID))
    begin = len(events)
    host.announce(epoch, slot, chosen(epoch, slot))
    _mark(host, "answer", begin)
    host.store(epoch, slot, 2)


def _mark(host: Host, name: str, begin: int) -> None:
    host.steps.append(Step(name, begin, len(host.machine.record.events)))
