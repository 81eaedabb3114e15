"""A running street's rosters: prepared a slot ahead, in use from a slot's beginning on.

In the slot before, new devices are started and witnessed, renewed keys asked for, the roster signed
and sent to every meter, which goes on under the one in use. When that slot's round two is over,
every meter is told to switch. One that is off then gets the rosters that it missed when it is back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hushmeter.cluster import enrolment
from hushmeter.cluster.aggregator import Aggregator
from hushmeter.cluster.roster import Authority, Member, SignedRoster, plan_after
from hushmeter.emulate import plans
from hushmeter.emulate.changes import JOIN, LEAVE, RENEW, REPLACE, RosterChange
from hushmeter.emulate.meters import MakeMeter, StreetMeter
from hushmeter.emulate.settings import StreetSettings
from hushmeter.errors import HushmeterError
from hushmeter.link import Link
from hushmeter.report.model import JOINED, LEFT, RENEWED, REPLACED

_SAID = {JOIN: JOINED, LEAVE: LEFT, REPLACE: REPLACED, RENEW: RENEWED}


@dataclass
class _Coming:
    """A roster that is ready, and what happens when it begins."""

    slot: int
    roster: SignedRoster
    early: frozenset[int]
    changes: Sequence[RosterChange]
    devices: Mapping[int, StreetMeter]


@dataclass
class Epochs:
    """The rosters of one run.

    Attributes
    ----------
    meters:
        The street's devices by id; this module puts new ones into it.
    newcomers:
        The files of the meters that join, by id.
    events:
        What happened is added here.
    retired:
        Devices that were replaced: what their homes know is still theirs.
    chain:
        Every roster so far.
    told:
        An object for each, for the run's summary.
    """

    settings: StreetSettings
    authority: Authority
    supplier_key: bytes
    meters: dict[int, StreetMeter]
    make_meter: MakeMeter
    newcomers: Mapping[int, Mapping[str, bytes]]
    events: list[tuple[int, int | None, str]]
    chain: list[SignedRoster] = field(default_factory=list)
    retired: list[StreetMeter] = field(default_factory=list)
    told: list[dict[str, Any]] = field(default_factory=list)
    _coming: _Coming | None = None
    _new: list[StreetMeter] = field(default_factory=list)

    def start(self, roster: SignedRoster) -> None:
        """The first roster is in use."""
        self.chain.append(roster)
        self._tell(0, ())

    def close(self) -> None:
        """Switch everything off."""
        for meter in [*self.meters.values(), *self._new]:
            meter.kill()

    def active(self) -> dict[int, StreetMeter]:
        """The devices that are in the street now."""
        if not self.chain:
            return self.meters
        return {i: meter for i, meter in self.meters.items() if i in self.chain[-1].index_of}

    def prepare(self, t: int) -> None:
        """Make the roster that begins with slot t, if one does, and send it to every meter."""
        changes = [change for change in self.settings.roster_changes if change.slot == t]
        if not changes:
            return
        devices = {c.meter_id: self._device(c) for c in changes if c.action in (JOIN, REPLACE)}
        members = self._members(changes, devices)
        plan = plan_after(self.chain[-1], self.chain[0].device.first_slot + t)
        roster = self.authority.sign(plan, members, self.supplier_key)
        for meter_id, device in devices.items():
            if device.link is not None and meter_id in self.meters:
                enrolment.pass_missed(device.link, meter_id, self.chain)
        links = {i: m.link for i, m in {**self.active(), **devices}.items() if m.link is not None}
        links = {i: link for i, link in links.items() if i in roster.index_of}
        early = enrolment.prepare(links, roster)
        self._coming = _Coming(t, roster, early, changes, devices)

    def _device(self, change: RosterChange) -> StreetMeter:
        """The device that this change brings: a new one, or the one of a meter that had left."""
        known = self.meters.get(change.meter_id)
        if change.action == JOIN and known is not None:
            known.start()
            return known
        files = self.newcomers.get(change.meter_id)
        if files is None or known is not None:
            key = self.authority.public_key
            files = plans.replacement(self.settings, change.meter_id, change.slot, key)
        # Beyond the ids of the beginning: each device has a storage of its own.
        index = self.settings.meters + len(self._new)
        device = StreetMeter(change.meter_id, change.meter_id - 1, self.make_meter(index, files))
        self._new.append(device)
        device.start()
        return device

    def _members(
        self, changes: Sequence[RosterChange], devices: Mapping[int, StreetMeter]
    ) -> list[Member]:
        members = {member.meter_id: member for member in self.chain[-1].members}
        for change in changes:
            if change.action == LEAVE:
                del members[change.meter_id]
            elif change.action == RENEW:
                members[change.meter_id] = self._renewed(members[change.meter_id])
        links = {i: device.link for i, device in devices.items() if device.link is not None}
        for member in enrolment.members(enrolment.witness(links)):
            members[member.meter_id] = member
        return list(members.values())

    def _renewed(self, before: Member) -> Member:
        """The member with the new key that its meter has made, and proved to the authority."""
        link = self.meters[before.meter_id].link
        if link is None:
            raise HushmeterError(f"meter {before.meter_id} is off and cannot renew its key")
        street = self.chain[-1].device.street
        return enrolment.renewed(link, self.authority, street, before)

    def begin(self, t: int, now_s: int, aggregator: Aggregator) -> bool:
        """Slot t begins: the roster that was prepared for it is in use from here on."""
        coming, self._coming = self._coming, None
        if coming is None or coming.slot != t:
            return False
        self._swap(coming)
        links = self._waiting(coming)
        for meter_id in coming.devices.keys() & links.keys():
            # A meter that was away does not know that the slots before are over.
            links[meter_id].request("advance", now_s=now_s)
        enrolment.switch(links, coming.roster)
        aggregator.begin(coming.roster)
        self.chain.append(coming.roster)
        self.events += [(t, c.meter_id, _SAID[c.action]) for c in coming.changes]
        self._tell(t, coming.changes)
        return True

    def _swap(self, coming: _Coming) -> None:
        """Devices that leave or are replaced are switched off; their places are taken."""
        for change in coming.changes:
            if change.action == LEAVE:
                self.meters[change.meter_id].kill()
            elif change.action == REPLACE:
                self.meters[change.meter_id].kill()
                self.retired.append(self.meters[change.meter_id])
        self.meters.update(coming.devices)

    def _waiting(self, coming: _Coming) -> dict[int, Link]:
        found = ((i, self.meters[i].link) for i in sorted(coming.early))
        return {i: link for i, link in found if link is not None}

    def catch_up(self, meter_id: int, link: Link) -> None:
        """A meter is back, and gets the rosters that it missed."""
        enrolment.catch_up(link, meter_id, self.chain)

    def _tell(self, t: int, changes: Sequence[RosterChange]) -> None:
        ids = {action: [c.meter_id for c in changes if c.action == action] for action in _SAID}
        roster = self.chain[-1]
        self.told.append(
            {
                "epoch": roster.device.epoch,
                "from_slot": t,
                "meters": len(roster.members),
                "joined": ids[JOIN],
                "left": ids[LEAVE],
                "replaced": ids[REPLACE],
                "renewed": ids[RENEW],
            }
        )
