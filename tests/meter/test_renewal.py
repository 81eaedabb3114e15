"""A meter's rosters follow each other, and its key is renewed, whenever the power goes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from hil.power import street as power
from hil.power.cuts import by_content
from hil.power.record import Said
from hil.power.scenario import PATIENCE_S
from hil.power.unix_machine import UnixMachine, image_of
from hushfw.core import masking
from hushmeter.cluster import enrolment
from hushmeter.cluster.roster import Authority, Member, SignedRoster, plan_after
from hushmeter.cluster.supplier import Supplier
from hushmeter.devices import meter_plan
from hushmeter.emulate import littlefs
from hushmeter.link import Link, Refused
from tests.meter import kit


def later(street: kit.Street, first_slot: int, members: Sequence[Member] | None = None) -> Any:
    """The roster after the one in use, from this slot on; it is not in use by that."""
    plan = plan_after(street.signed(), first_slot)
    return street.authority.sign(plan, members or street.members(), street.supplier.public_key)


def test_a_roster_that_comes_early_waits_for_its_first_slot_and_costs_none(
    street: kit.Street,
) -> None:
    meter = street.meters[1]
    meter.run(1)
    roster = later(street, 4)
    for slot in (2, 3):
        code, detail = meter.roster_refusal(roster.data)
        assert code == "wrong_slot" and "slot 4" in detail
        assert meter.hello()["epoch"] == 1
        assert meter.run(slot)["epoch"] == 1
        # Round two goes on under the roster in use.
        meter.ask("announce", **street.announcement(1, slot, street.silent(4)))
    assert meter.ask("roster_commit").fields == {"done": 4, "total": 4}
    assert meter.run(4)["epoch"] == 2
    assert {slot: len(bodies) for slot, bodies in meter.reports.items()} == {
        1: 1, 2: 1, 3: 1, 4: 1,
    }  # fmt: skip


def test_a_roster_in_the_middle_of_its_first_slot_takes_that_slot_over(street: kit.Street) -> None:
    meter = street.meters[1]
    row = (300 * 600).to_bytes(4, "little", signed=True)
    start_s = kit.end_s(1)
    meter.ask("feed", start_s=kit.START_S, row_s=300, rows=2 * row)
    meter.ask("advance", now_s=start_s)
    meter.ask("feed", start_s=start_s, row_s=300, rows=row)
    meter.ask("advance", now_s=start_s + 300)
    meter.take_roster(later(street, 2).data)
    meter.ask("feed", start_s=start_s + 300, row_s=300, rows=row)
    meter.ask("advance", now_s=kit.end_s(2))
    report = meter.report(2)
    assert (report["epoch"], report["flags"]) == (2, 0)
    record = meter.storage()["home.bin"][-29:]
    assert int.from_bytes(record[8:16], "big") == 2 * 300 * 600


def chain(street: kit.Street, count: int, members: Sequence[Member] | None = None) -> Any:
    """So many rosters, each following the one before; the last has all members."""
    found = [street.signed()]
    for place in range(count):
        plan = plan_after(found[-1], found[-1].device.first_slot + 1)
        listed = street.members() if members is None or place == count - 1 else members
        found.append(street.authority.sign(plan, listed, street.supplier.public_key))
    return found


def test_a_meter_that_missed_rosters_checks_each_of_them(street: kit.Street) -> None:
    """Also those that it is no member of; it uses the last alone."""
    meter = street.meters[1]
    rosters = chain(street, 3, [*street.members()[1:], kit.new_member(9)])
    meter.ask("advance", now_s=kit.end_s(5))
    assert meter.roster_refusal(rosters[3].data) == (
        "bad_roster",
        "epoch 2 is wanted first: pass the rosters that were missed in turn",
    )
    enrolment.catch_up(meter.link, 1, rosters)
    assert meter.hello()["epoch"] == 4
    assert meter.run(6)["epoch"] == 4
    names = sorted(name for name in meter.storage() if name.startswith("roster-"))
    assert names == ["roster-4.bin"]


def test_what_was_passed_is_remembered_and_keeps_nobody_out(street: kit.Street) -> None:
    meter = street.meters[1]
    rosters = chain(street, 2)
    meter.ask("advance", now_s=kit.end_s(5))
    enrolment.pass_missed(meter.link, 1, rosters)
    meter.restart()
    assert enrolment.newest_known(meter.link) == (3, rosters[2].hash)
    assert meter.hello()["epoch"] == 1 and meter.run(6)["epoch"] == 1
    assert meter.roster_refusal(rosters[1].data)[0] == "old_epoch"
    # Somebody passed the newest: it may be used all the same.
    meter.take_roster(rosters[2].data)
    assert meter.run(7)["epoch"] == 3


def test_a_branch_of_rosters_is_neither_passed_nor_used(street: kit.Street) -> None:
    meter = street.meters[1]
    meter.ask("advance", now_s=kit.end_s(5))
    plan = plan_after(street.signed(), 2)
    other = street.authority.sign(
        replace(plan, previous=bytes(range(32))), street.members(), street.supplier.public_key
    )
    over = street.authority.sign(plan_after(other, 3), street.members(), street.supplier.public_key)
    for chained in ([street.signed(), other, over], [street.signed(), other]):
        with pytest.raises(Refused, match="does not follow"):
            enrolment.catch_up(meter.link, 1, chained)
    unsigned = bytearray(later(street, 2).data)
    unsigned[-1] ^= 1
    assert meter.roster_refusal(bytes(unsigned))[0] == "bad_signature"
    digest = later(street, 2).hash
    # Once it was found unsigned it is looked at no more, unless its pieces come again.
    assert meter.refusal("roster_commit")[0] == "bad_roster"
    meter.ask("roster_begin", size=len(unsigned), digest=digest)
    meter.ask("roster_chunk", offset=0, data=bytes(unsigned))
    assert meter.refusal("roster_pass", digest=digest)[0] == "bad_signature"
    assert meter.refusal("roster_pass", digest=digest)[0] == "bad_roster"
    assert meter.hello()["epoch"] == 1 and enrolment.newest_known(meter.link)[0] == 1


def test_a_first_roster_is_not_passed(tmp_path: Path) -> None:
    made = kit.street(tmp_path, 3)
    try:
        assert enrolment.newest_known(made.meters[1].link) == (0, bytes(32))
        roster = made.sign(kit.plan(missing=0))
        assert made.meters[1].refusal("roster_pass", digest=roster.hash)[0] == "not_enrolled"
    finally:
        kit.stop(made)


def test_asked_again_a_meter_gives_the_same_new_key_and_writes_nothing(street: kit.Street) -> None:
    meter = street.meters[1]
    before = meter.storage()
    first = meter.ask("renew_key").fields
    after = meter.storage()
    assert after.keys() - before.keys() == {"identity.new"}
    assert {name for name in before if before[name] != after[name]} <= {"seed.bin"}
    for _ in range(5):
        assert meter.ask("renew_key").fields == first
    assert meter.restart().ask("renew_key").fields == first
    assert first["public_key"] == meter.hello()["public_key"] != first["next_key"]
    assert meter.storage()["identity.new"] == after["identity.new"]


def test_only_the_authority_and_the_holder_of_the_old_key_can_make_the_proof(
    street: kit.Street,
) -> None:
    said = street.meters[1].ask("renew_key").fields
    member = Member(1, said["public_key"])
    right = (kit.STREET, member, said["next_key"], said["proof"])
    assert street.authority.proves_renewal(*right)
    for wrong in (
        ("another", *right[1:]),
        (kit.STREET, Member(2, member.public_key), *right[2:]),
        (kit.STREET, Member(1, kit.new_member(1).public_key), *right[2:]),
        (kit.STREET, member, kit.new_member(1).public_key, said["proof"]),
        (*right[:3], bytes(16)),
    ):
        assert not street.authority.proves_renewal(*wrong)
    assert not Authority(bytes(32)).proves_renewal(*right)


def test_a_renewed_key_agrees_with_all_and_the_street_adds_up(street: kit.Street) -> None:
    meter = street.meters[1]
    for one in street.meters.values():
        one.run(1)
    old_pairs = meter.storage()["pairs.bin"]
    members = {m.meter_id: m for m in street.members()}
    members[1] = enrolment.renewed(meter.link, street.authority, kit.STREET, members[1])
    roster = later(street, 2, list(members.values()))
    enrolment.deliver({i: m.link for i, m in street.meters.items()}, roster)
    street.use(roster)
    assert meter.hello()["public_key"] == members[1].public_key
    for one in street.meters.values():
        one.run(2)
        one.ask("announce", **street.announcement(one.meter_id, 2, street.silent()))
    reports = {i: m.reports[2][0] for i, m in street.meters.items()}
    answers = {i: m.answers[2][0] for i, m in street.meters.items()}
    (total,) = street.total(2, reports, answers)
    rules = roster.device
    tail = rules.tail_wh(rules.lane_list[0])
    assert -tail <= total <= 4 * kit.CAP_WH + tail
    files = meter.storage()
    assert not {"identity.new", "pairs.new"} & files.keys()
    secrets = {old_pairs[at + 36 : at + 68] for at in range(0, len(old_pairs), 68)}
    assert not [s for s in secrets for data in files.values() if s in data]


# Power cuts: a meter is enrolled and has masked slot 1. Then its key is renewed.


@dataclass
class Renewing:
    """The host's end of one renewal."""

    machine: UnixMachine
    first: power.Epoch

    def __post_init__(self) -> None:
        self.link = Link(self.machine, timeout_s=PATIENCE_S, tries=1)

    def take(self, roster: SignedRoster) -> None:
        enrolment.deliver({power.OWN_ID: self.link}, roster)

    def next(self, new_key: bytes) -> SignedRoster:
        members = {m.meter_id: m for m in self.first.roster.members}
        members[power.OWN_ID] = Member(power.OWN_ID, new_key)
        plan = plan_after(self.first.roster, 2)
        authority = Authority(meter_plan.derived_seed(power.SEED, "authority"))
        supplier_key = self.first.roster.device.supplier_key
        return authority.sign(plan, list(members.values()), supplier_key)

    def reports(self, slot: int, roster: SignedRoster) -> bool:
        """Whether the slot's report comes, with a right tag under this roster's keys."""
        rows = (600 * power.SLOT_S).to_bytes(4, "little", signed=True)
        start_s = power.end_s(slot) - power.SLOT_S
        self.link.request("feed", start_s=start_s, row_s=power.SLOT_S, rows=rows)
        self.link.request("advance", now_s=power.end_s(slot))
        (report,) = [m.fields for m in self.link.unasked() if m.name == "report"]
        supplier = Supplier(meter_plan.derived_seed(power.SEED, "supplier"))
        key = supplier.meter_keys(roster)[roster.index_of[power.OWN_ID]].tag_up
        content = bytes((report["flags"],)) + report["words"]
        wanted = masking.tag(key, b"report", roster.hash, power.OWN_ID, slot, content)
        return bool(report["tag"] == wanted and report["slot"] == slot)

    def renew(self) -> SignedRoster:
        return self.next(self.link.request("renew_key").fields["next_key"])


def enrolled_image(machine: UnixMachine, street: power.PowerStreet) -> tuple[bytes, power.Epoch]:
    machine.start(image_of(street.files()))
    link = Link(machine, timeout_s=PATIENCE_S, tries=1)
    first = street.epoch(1, link.request("hello_request").fields["public_key"])
    host = Renewing(machine, first)
    host.take(first.roster)
    assert host.reports(1, first.roster)
    return machine.off(), first


def test_a_cut_anywhere_in_a_renewal_leaves_a_meter_that_works_with_the_roster_in_use() -> None:
    """And that comes on to the new key, the same one if it was ever said; none of the old is left.

    Every content of the files that a cut can leave is tried.
    """
    street = power.PowerStreet("unix")
    seen = {1: 0, 2: 0}
    with UnixMachine() as machine:
        start, first = enrolled_image(machine, street)
        old_private = littlefs.read(start)["identity.bin"][:32]
        machine.start(start)
        host = Renewing(machine, first)
        roster = host.renew()
        told = len(machine.record.events)
        host.take(roster)
        assert host.reports(2, roster)
        new_key = roster.members[0].public_key
        record = machine.record
        cuts = [cut for cut in record.cuts() if cut.where in ("before", "torn")]
        for cut in by_content(record, cuts)[0]:
            machine.start(record.image(cut))
            host = Renewing(machine, first)
            hello = host.link.request("hello_request").fields
            assert hello["problem"] == "", (cut, hello)
            epoch = hello["epoch"]
            seen[epoch] += 1
            in_use = (first.roster, roster)[epoch - 1]
            assert hello["public_key"] == in_use.members[0].public_key, cut
            slot = hello["next_slot"]
            assert host.reports(slot, in_use), cut
            if epoch == 1:
                again = host.renew()
                if cut.event >= told:
                    assert again.members[0].public_key == new_key, cut
                host.take(again)
                in_use = again
            assert host.reports(slot + 1, in_use), cut
            files = littlefs.read(machine.off())
            assert not {"identity.new", "pairs.new"} & files.keys(), cut
            assert files["identity.bin"][32:64] == in_use.members[0].public_key
            assert not [name for name, data in files.items() if old_private in data], cut
    assert min(seen.values()) >= 3 and any(isinstance(event, Said) for event in record.events)
