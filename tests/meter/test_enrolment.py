"""Which rosters a meter takes, and that one it refuses leaves everything as it was."""

import json
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from hushfw.core import roster as device_roster
from hushmeter.cluster.roster import LanePlan, Member, SignedRoster
from hushmeter.devices import meter_plan
from tests.meter import kit

IN_USE = ("config.json", "identity.bin", "journal.bin", "keys-1-19676.bin", "roster-1.bin")


def next_plan(**changes: Any) -> Any:
    return kit.plan(**({"epoch": 2, "last_slot": 200_000} | changes))


def in_use(meter: kit.Meter) -> tuple[Any, ...]:
    hello = meter.hello()
    storage = meter.storage()
    return hello["epoch"], hello["next_slot"], hello["modes"], [storage[n] for n in IN_USE]


def assert_refused(street: kit.Street, data: bytes, code: str, names: str = "") -> None:
    """Meter 1 refuses the roster with this code, keeps the old one, and goes on with it."""
    meter = street.meters[1]
    before = in_use(meter)
    refused, detail = meter.roster_refusal(data)
    assert refused == code, detail
    assert names in detail
    assert in_use(meter) == before
    slot = before[1]
    meter.run(slot)
    assert meter.ask("announce", **street.announcement(1, slot, street.silent(4)))


def spoiled(**values: Any) -> Callable[[Any], None]:
    def spoil(rules: Any) -> None:
        for name, value in values.items():
            setattr(rules, name, value)

    return spoil


def test_a_newer_roster_is_taken_and_slots_stay_one_sequence(street: kit.Street) -> None:
    meter = street.meters[1]
    meter.run(1)
    meter.run(2)
    first = dict(meter.reports)
    street.enrol(next_plan(lanes=(LanePlan(2000, Fraction(1)),)))
    assert meter.hello()["epoch"] == 2
    assert meter.hello()["next_slot"] == 3
    meter.feed(1, count=3)
    for slot in (1, 2, 3):
        meter.ask("advance", now_s=kit.end_s(slot))
    assert {slot: len(bodies) for slot, bodies in meter.reports.items()} == {1: 1, 2: 1, 3: 1}
    assert meter.reports[1] == first[1]
    assert meter.report(3)["epoch"] == 2
    for fields in (street.announcement(1, 2, street.silent(4)), {"epoch": 1}):
        wanted = street.announcement(1, 2, street.silent(4)) | fields
        assert meter.refusal("announce", **wanted) == ("refused", "")
    assert meter.refusal("resend", epoch=1, slot=2, round=1)[0] == "wrong_epoch"
    assert meter.refusal("resend", epoch=2, slot=2, round=1)[0] == "wrong_slot"
    assert not [name for name in meter.storage() if name.startswith(("keys-1-", "roster-1."))]


def test_a_new_epoch_uses_the_stored_pair_secrets(street: kit.Street) -> None:
    meter = street.meters[1]
    pairs = meter.storage()["pairs.bin"]
    street.use(second := street.sign(next_plan()))
    meter.take_roster(second.data)
    assert meter.storage()["pairs.bin"] == pairs
    # With a new key in it one agreement more is needed, and one entry more is stored.
    stranger = kit.new_member(9)
    members = [*street.members(), stranger]
    meter.take_roster(street.sign(next_plan(epoch=3), members).data)
    grown = meter.storage()["pairs.bin"]
    assert grown[: len(pairs)] == pairs
    assert len(grown) == len(pairs) + 68
    assert grown[len(pairs) :][:36] == (9).to_bytes(4, "big") + stranger.public_key


def test_the_secret_with_a_meter_that_left_is_erased(street: kit.Street) -> None:
    """Whoever takes the meter later does not find it; if that one comes back, it is agreed anew."""
    meter = street.meters[1]
    everybody = street.members()
    before = meter.storage()["pairs.bin"]
    others = [m for m in everybody if m.meter_id != 2] + [kit.new_member(9)]
    street.use(second := street.sign(next_plan(), others))
    meter.take_roster(second.data)
    pairs = meter.storage()["pairs.bin"]
    assert everybody[1].public_key in before and everybody[1].public_key not in pairs
    assert len(pairs) == len(before)
    meter.take_roster(street.sign(next_plan(epoch=3), everybody).data)
    again = meter.storage()["pairs.bin"]
    assert sorted(entries(again)) == sorted(entries(before))


def entries(pairs: bytes) -> list[bytes]:
    return [pairs[at : at + 68] for at in range(0, len(pairs), 68)]


@pytest.mark.parametrize("epoch", [1, 0])
def test_a_roster_that_is_not_newer_is_refused(street: kit.Street, epoch: int) -> None:
    data = kit.forge(street.sign(next_plan()), spoil=spoiled(epoch=epoch))
    assert_refused(street, data, "old_epoch" if epoch else "bad_roster")


def test_the_roster_in_use_is_not_newer_than_itself(street: kit.Street) -> None:
    assert_refused(street, street.signed().data, "old_epoch")


def test_after_a_reboot_an_old_roster_is_still_old(street: kit.Street) -> None:
    meter = street.meters[1]
    first = street.signed().data
    street.enrol(next_plan())
    meter.restart()
    assert meter.roster_refusal(first)[0] == "old_epoch"
    assert meter.hello()["epoch"] == 2


BROKEN_RULES: list[tuple[dict[str, Any], str, str]] = [
    ({"missing": 2}, "bad_roster", "2 M + T"),
    ({"missing": 0, "colluders": 0}, "bad_roster", "T is at least 1"),
    ({"missing": 0, "colluders": 4}, "bad_roster", "N - M - T"),
    ({"first_slot": 0}, "bad_roster", "count from 1"),
    ({"last_slot": 0}, "bad_roster", "count from 1"),
    ({"last_slot": 1 << 63}, "bad_roster", "2^48"),
    ({"start_s": 1 << 63}, "bad_roster", "start_s"),
    ({"slot_s": 0}, "bad_roster", "slot"),
    ({"slot_s": 86401}, "bad_roster", "slot"),
    ({"expiry_s": 59}, "bad_roster", "expiry_s"),
    ({"fraction_bits": 25}, "bad_roster", "fraction_bits"),
    ({"street": "another-street"}, "bad_roster", "street"),
]


@pytest.mark.parametrize(("values", "code", "names"), BROKEN_RULES)
def test_a_roster_that_breaks_a_rule_is_refused(
    street: kit.Street, values: dict[str, Any], code: str, names: str
) -> None:
    data = kit.forge(street.sign(next_plan()), spoil=spoiled(**values))
    assert_refused(street, data, code, names)


@pytest.mark.parametrize(
    ("lane", "code"),
    [
        ((0, 1, 1), "bad_roster"),
        ((1000, 0, 1), "bad_roster"),
        ((1000, 1, 0), "bad_roster"),
        ((0xFFFFFFFF, 1, 0xFFFFFFFF), "out_of_window"),
        ((1000, 3, 1), "below_floor"),
        ((1000, 2_000_001, 1_000_000), "below_floor"),
    ],
)
def test_a_roster_with_a_wrong_lane_is_refused(
    street: kit.Street, lane: tuple[int, int, int], code: str
) -> None:
    def spoil(rules: Any) -> None:
        rules.lane_list = [device_roster.Lane(*lane)]

    assert_refused(street, kit.forge(street.sign(next_plan()), spoil=spoil), code)


FLOORS = meter_plan.Floors(
    least_members=4, least_honest=2, greatest_epsilon=Fraction(3, 2), shortest_slot_s=600
)


@pytest.mark.parametrize(
    ("changes", "leave"),
    [
        ({}, 1),
        ({"colluders": 2, "missing": 1}, 0),
        ({"lanes": (LanePlan(kit.CAP_WH, Fraction(1_500_001, 1_000_000)),)}, 0),
        ({"slot_s": 599}, 0),
        ({"slot_s": 300}, 0),
    ],
)
def test_each_floor_holds(tmp_path: Path, changes: dict[str, Any], leave: int) -> None:
    for made in kit.running(kit.street(tmp_path, floors=FLOORS)):
        meter = made.meters[1]
        members = made.members()[: 4 - leave]
        missing = {"missing": 0} if leave or "colluders" in changes else {}
        signed = made.sign(kit.plan(**(missing | {"missing": 0} | changes | missing)), members)
        if "colluders" in changes:
            signed_data = kit.forge(signed, spoil=spoiled(colluders=3))
        else:
            signed_data = signed.data
        code, detail = meter.roster_refusal(signed_data)
        assert code == "below_floor", detail
        assert "floor" in detail or "greatest" in detail
        assert meter.hello()["epoch"] == 0
        at_the_floor = kit.plan(lanes=(LanePlan(kit.CAP_WH, Fraction(3, 2)),))
        meter.take_roster(made.sign(at_the_floor).data)
        assert meter.hello()["epoch"] == 1


def test_the_epsilons_of_two_lanes_add_up_against_the_floor(tmp_path: Path) -> None:
    for made in kit.running(kit.street(tmp_path, floors=FLOORS, export=True)):
        meter = made.meters[1]
        lanes = (LanePlan(1000, Fraction(3, 4)), LanePlan(1000, Fraction(4, 5)))
        assert meter.roster_refusal(made.sign(kit.plan(lanes=lanes)).data)[0] == "below_floor"
        lanes = (LanePlan(1000, Fraction(3, 4)), LanePlan(1000, Fraction(3, 4)))
        meter.take_roster(made.sign(kit.plan(lanes=lanes)).data)


@pytest.mark.parametrize("export", [False, True])
def test_lanes_must_fit_the_meters_driver(tmp_path: Path, export: bool) -> None:
    for made in kit.running(kit.street(tmp_path, export=export)):
        lanes = (LanePlan(1000, Fraction(1, 2)),) * (1 if export else 2)
        code, detail = made.meters[1].roster_refusal(made.sign(kit.plan(lanes=lanes)).data)
        assert code == "bad_roster" and "lanes" in detail


def test_another_authority_is_refused(street: kit.Street) -> None:
    data = kit.forge(street.sign(next_plan()), seed=bytes(range(32)))
    assert_refused(street, data, "bad_signature", "authority")


def test_a_signature_by_another_key_is_refused(street: kit.Street) -> None:
    key = street.authority.public_key
    forged = kit.forge(
        street.sign(next_plan()), seed=bytes(range(32)), spoil=spoiled(authority_key=key)
    )
    assert_refused(street, forged, "bad_signature", "signed")


@pytest.mark.parametrize("at", [-64, -33, -32, -1])
def test_a_changed_signature_is_refused(street: kit.Street, at: int) -> None:
    data = bytearray(street.sign(next_plan()).data)
    data[at] ^= 1
    assert_refused(street, bytes(data), "bad_signature")


def test_a_signature_of_another_roster_is_refused(street: kit.Street) -> None:
    one, other = street.sign(next_plan()).data, street.sign(next_plan(epoch=3)).data
    assert_refused(street, one[:-64] + other[-64:], "bad_signature")


def listed(roster: SignedRoster) -> list[tuple[int, bytes]]:
    return [(m.meter_id, m.public_key) for m in roster.members]


def test_a_member_that_comes_twice_is_refused(street: kit.Street) -> None:
    roster = street.sign(next_plan())
    members = listed(roster)
    assert_refused(street, kit.forge(roster, members=[*members, members[-1]]), "duplicate")
    unsorted = [members[1], members[0], *members[2:]]
    assert_refused(street, kit.forge(roster, members=unsorted), "duplicate", "ascend")


def test_two_members_with_one_key_are_refused(street: kit.Street) -> None:
    roster = street.sign(next_plan())
    members = listed(roster)
    twins = [*members, (8, members[2][1])]
    assert_refused(street, kit.forge(roster, members=twins), "duplicate", "key")
    own = [*members, (8, members[0][1])]
    assert_refused(street, kit.forge(roster, members=own), "duplicate", "key")
    supplier = [*members, (8, roster.device.supplier_key)]
    assert_refused(street, kit.forge(roster, members=supplier), "duplicate", "supplier")


def test_a_roster_with_another_key_for_this_meter_is_refused(street: kit.Street) -> None:
    roster = street.sign(next_plan())
    members = listed(roster)
    members[0] = (1, kit.new_member(1).public_key)
    assert_refused(street, kit.forge(roster, members=members), "duplicate", "another key")


def test_a_roster_without_this_meter_is_refused(street: kit.Street) -> None:
    roster = street.sign(next_plan())
    members = [*listed(roster)[1:], (9, kit.new_member(9).public_key)]
    assert_refused(street, kit.forge(roster, members=members), "bad_roster", "not in the roster")


def test_a_member_id_of_zero_is_refused(street: kit.Street) -> None:
    roster = street.sign(next_plan())
    members = [(0, kit.new_member(9).public_key), *listed(roster)]
    assert_refused(street, kit.forge(roster, members=members), "duplicate")


@pytest.mark.parametrize("point", [bytes(32), b"\1" + bytes(31)])
def test_a_member_with_a_weak_key_is_refused_and_fills_no_storage(
    street: kit.Street, point: bytes
) -> None:
    roster = street.sign(next_plan())
    data = kit.forge(roster, members=[*listed(roster), (8, point)])
    meter = street.meters[1]
    assert_refused(street, data, "weak_key")
    before = meter.storage()["pairs.bin"]
    for _ in range(3):
        assert meter.refusal("roster_commit")[0] in ("weak_key", "bad_roster")
    assert meter.storage()["pairs.bin"] == before


def test_a_roster_must_permit_the_modes_that_a_meter_is_in(street: kit.Street) -> None:
    assert_refused(street, street.sign(next_plan(allowed_modes=())).data, "insecure_mode", "fixed")


@pytest.mark.parametrize(
    ("changes", "mode"),
    [
        ({"lanes": (LanePlan(kit.CAP_WH, None),)}, "no-noise"),
        ({"gamma_noise": True}, "gamma-noise"),
    ],
)
def test_a_meter_must_permit_the_modes_that_a_roster_is_in(
    street: kit.Street, changes: dict[str, Any], mode: str
) -> None:
    allowed = ("fixed-seed", mode)
    data = street.sign(next_plan(allowed_modes=allowed, **changes)).data
    assert_refused(street, data, "insecure_mode", mode)


def test_modes_in_force_are_named_in_the_hello(tmp_path: Path) -> None:
    modes = ("fixed-seed", "no-noise", "gamma-noise")
    for made in kit.running(kit.street(tmp_path, permitted_modes=modes)):
        meter = made.meters[1]
        assert device_roster.mode_names(meter.hello()["modes"]) == ["fixed-seed"]
        made.enrol(kit.plan(gamma_noise=True, allowed_modes=modes))
        assert device_roster.mode_names(meter.hello()["modes"]) == ["fixed-seed", "gamma-noise"]
        lanes = (LanePlan(kit.CAP_WH, None),)
        made.enrol(next_plan(lanes=lanes, allowed_modes=modes))
        assert device_roster.mode_names(meter.hello()["modes"]) == ["fixed-seed", "no-noise"]


def test_a_roster_comes_in_pieces_in_order_or_not_at_all(street: kit.Street) -> None:
    meter = street.meters[1]
    data = street.sign(next_plan()).data
    digest = device_roster.parse_header(data)
    digest = street.sign(next_plan()).hash
    before = in_use(meter)
    assert meter.refusal("roster_chunk", offset=0, data=b"x")[0] == "bad_roster"
    assert meter.refusal("roster_commit")[0] == "bad_roster"
    for size in (0, 10, 1 << 31):
        assert meter.refusal("roster_begin", size=size, digest=digest)[0] == "bad_roster"
    meter.ask("roster_begin", size=len(data), digest=digest)
    meter.ask("roster_chunk", offset=0, data=data[:100])
    for offset in (0, 99, 101, 1 << 31):
        assert meter.refusal("roster_chunk", offset=offset, data=b"x")[0] == "bad_roster"
    assert meter.refusal("roster_commit")[0] == "bad_roster"
    assert meter.refusal("roster_chunk", offset=100, data=data)[0] == "bad_roster"
    meter.ask("roster_chunk", offset=100, data=data[100:])
    assert in_use(meter) == before
    reply = meter.ask("roster_commit").fields
    assert reply["done"] == reply["total"] == 4
    assert meter.hello()["epoch"] == 2


def test_a_roster_damaged_on_its_way_is_refused_at_every_byte(street: kit.Street) -> None:
    signed = street.sign(next_plan())
    meter = street.meters[1]
    before = in_use(meter)
    for at in range(len(signed.data) - 64):
        data = bytearray(signed.data)
        data[at] ^= 1 << (at & 7)
        meter.ask("roster_begin", size=len(data), digest=signed.hash)
        meter.ask("roster_chunk", offset=0, data=bytes(data))
        assert meter.refusal("roster_commit")[0] == "bad_roster", at
    assert in_use(meter) == before


def test_a_power_cut_during_enrolment_keeps_the_old_roster_and_what_was_agreed(
    tmp_path: Path,
) -> None:
    for made in kit.running(kit.street(tmp_path, count=12)):
        meter = made.meters[1]
        data = made.sign(kit.plan()).data
        meter.ask("roster_begin", size=len(data), digest=made.sign(kit.plan()).hash)
        meter.ask("roster_chunk", offset=0, data=data[:500])
        meter.ask("roster_chunk", offset=500, data=data[500:])
        assert meter.ask("roster_commit").fields == {"done": 8, "total": 12}
        meter.restart()
        assert meter.hello()["epoch"] == 0
        assert meter.refusal("roster_commit")[0] == "bad_roster"
        pairs = meter.storage()["pairs.bin"]
        assert len(pairs) == 8 * 68
        (meter.unix.storage / "pairs.bin").write_bytes(pairs + b"torn")
        meter.restart()
        meter.take_roster(data)
        assert meter.storage()["pairs.bin"][: len(pairs)] == pairs
        assert len(meter.storage()["pairs.bin"]) == 12 * 68
        assert meter.hello()["epoch"] == 1


def test_keys_left_by_a_cut_before_a_roster_was_in_use_are_not_used(tmp_path: Path) -> None:
    modes = ("fixed-seed", "no-noise")
    lanes = (LanePlan(kit.CAP_WH, None),)
    for made in kit.running(kit.street(tmp_path, permitted_modes=modes)):
        stray = made.meters[1].unix.storage / "keys-1-19677.bin"
        stray.write_bytes(bytes(120))
        made.enrol(kit.plan(missing=0, lanes=lanes, allowed_modes=modes))
        for meter in made.meters.values():
            meter.run(145)
        reports = {i: m.reports[145][0] for i, m in made.meters.items()}
        assert made.total(145, reports, {}) == [400]


def reconfigure(meter: kit.Meter, **changes: Any) -> None:
    path = meter.unix.storage / "config.json"
    settings = json.loads(path.read_text())
    for name, value in changes.items():
        where = settings["floors"] if name in settings["floors"] else settings
        where[name] = value
    path.write_text(json.dumps(settings))
    meter.restart()


LOOSER: list[dict[str, Any]] = [
    {"least_members": 2},
    {"least_honest": 1},
    {"greatest_epsilon": [2_000_001, 1_000_000]},
    {"shortest_slot_s": 59},
    {"permitted_modes": ["fixed-seed", "no-noise"]},
    {"fixed_seed": False},
]


@pytest.mark.parametrize("changes", LOOSER, ids=lambda changes: next(iter(changes)))
def test_a_new_configuration_cannot_loosen_a_floor(tmp_path: Path, changes: dict[str, Any]) -> None:
    floors = replace(kit.FLOORS, least_honest=2)
    for made in kit.running(kit.street(tmp_path, floors=floors, count=1)):
        meter = made.meters[1]
        assert meter.hello()["problem"] == ""
        reconfigure(meter, **changes)
        hello = meter.hello()
        assert next(iter(changes)) in hello["problem"]
        assert hello["public_key"] == bytes(32)
        assert meter.refusal("advance", now_s=kit.START_S)[0] == "bad_config"


def test_a_new_configuration_may_tighten_floors_and_then_they_stay(street: kit.Street) -> None:
    meter = street.meters[1]
    reconfigure(meter, least_members=4, least_honest=2, greatest_epsilon=[1, 1])
    assert meter.hello()["problem"] == ""
    meter.run(1)
    assert 1 in meter.reports
    reconfigure(meter, least_members=3)
    assert "least_members" in meter.hello()["problem"]
    reconfigure(meter, least_members=4)
    assert meter.hello()["problem"] == ""
    meter.run(2)


def test_a_roster_below_floors_that_were_tightened_since_is_not_used_any_more(
    street: kit.Street,
) -> None:
    meter = street.meters[1]
    meter.run(1)
    reconfigure(meter, greatest_epsilon=[1, 2])
    assert meter.hello()["problem"] == ""
    code, detail = meter.refusal("advance", now_s=kit.end_s(2))
    assert code == "not_enrolled" and "epsilon" in detail
    fields = street.announcement(1, 1, street.silent(4))
    assert meter.refusal("announce", **fields) == ("refused", "")
    lanes = (LanePlan(kit.CAP_WH, Fraction(1, 2)),)
    meter.take_roster(street.sign(next_plan(lanes=lanes), street.members()).data)
    meter.run(2)
    assert meter.hello()["next_slot"] == 3


def test_members_stay_apart_that_share_an_id_over_time(street: kit.Street) -> None:
    """A meter that was replaced keeps its id and has another key: another pair secret is made."""
    meter = street.meters[1]
    before = entries(meter.storage()["pairs.bin"])
    members = [m if m.meter_id != 4 else kit.new_member(4) for m in street.members()]
    meter.take_roster(street.sign(next_plan(), members).data)
    after = entries(meter.storage()["pairs.bin"])
    assert len(after) == 4 and isinstance(members[3], Member)
    (gone,), (new,) = set(before) - set(after), set(after) - set(before)
    assert gone[:4] == new[:4] == (4).to_bytes(4, "big")
    assert new[4:36] == members[3].public_key and gone[36:] != new[36:]
