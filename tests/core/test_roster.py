"""The rules of a roster against plain restatements of them, over random rosters.

What a running meter does with a wrong roster is in tests/meter/test_enrolment.py.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hushfw.core import roster as rosters
from hushfw.core import rules
from hushfw.core.errors import HushError
from hushfw.core.roster import Lane, Roster

ReadAt = Callable[[int, int], bytes]
SUPPLIER_KEY = b"\x53" * 32


def make(lanes: list[Lane] | None = None, **changes: Any) -> Any:
    lanes = [Lane(1667, 1, 1)] if lanes is None else lanes
    fields: dict[str, Any] = {
        "fraction_bits": 0,
        "allowed_modes": 0,
        "lanes": len(lanes),
        "street": "a street",
        "authority_key": b"\x41" * 32,
        "supplier_key": SUPPLIER_KEY,
        "epoch": 3,
        "start_s": 1_700_006_400,
        "first_slot": 145,
        "last_slot": 100_000,
        "previous": b"\x50" * 32,
        "slot_s": 600,
        "report_window_s": 60,
        "expiry_s": 86400,
        "members": 12,
        "missing": 1,
        "colluders": 1,
    }
    return Roster(fields | changes, lanes)


def reader(data: bytes) -> ReadAt:
    return lambda offset, size: data[offset : offset + size]


def holds(check: Callable[..., Any], *arguments: Any) -> str:
    """ "" if the check passes, else the code of its refusal."""
    try:
        check(*arguments)
    except HushError as error:
        return str(error.code)
    return ""


U16, U32 = st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF)
LANES = st.lists(st.builds(Lane, U32, U32, U32), min_size=1, max_size=2)


@given(
    LANES,
    st.text(min_size=1, max_size=10).filter(lambda t: not t.endswith("\0")),
    st.binary(min_size=32, max_size=32),
    U32,
    st.integers(0, (1 << 64) - 1),
    U16,
)
def test_a_header_comes_back_as_it_was(
    lanes: list[Lane], street: str, key: bytes, epoch: int, slot: int, members: int
) -> None:
    assume("\ud800" not in street and len(street.encode(errors="replace")) <= 32)
    try:
        street.encode()
    except UnicodeEncodeError:
        assume(False)
    made = make(
        lanes, street=street, authority_key=key, epoch=epoch, last_slot=slot, members=members
    )
    data = made.header()
    read = rosters.parse_header(data)
    assert {n: getattr(read, n) for n in rosters.FIELDS} == {
        n: getattr(made, n) for n in rosters.FIELDS
    }
    assert read.header() == data
    assert len(data) == rosters.HEADER_BYTES


@given(st.binary(max_size=400))
def test_noise_is_no_roster(data: bytes) -> None:
    assert holds(rosters.parse_header, data) == "bad_roster"
    assert holds(rosters.parse_header, b"HUSR\1" + data) in ("", "bad_roster")


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 40))
@settings(max_examples=300)
def test_sets_that_could_both_be_answered_are_impossible(n: int, m: int, t: int) -> None:
    wanted = n >= 2 and t >= 1 and n - m - t >= 1 and (m == 0 or 2 * m + t < n)
    assert (holds(rules.check_numbers, make(members=n, missing=m, colluders=t)) == "") == wanted
    if wanted and m:
        # Two sets S of at most M leave, after T colluders, an honest meter asked under both.
        assert (n - m - t) + (n - m - t) > n - t


@given(LANES, st.integers(2, 1000), st.integers(0, 24))
@settings(max_examples=300)
def test_no_total_can_wrap_around(lanes: list[Lane], members: int, bits: int) -> None:
    made = make(lanes, members=members, missing=0, fraction_bits=bits)
    whole = all(x.cap_wh and (x.epsilon_num > 0) == (x.epsilon_den > 0) for x in lanes)
    code = holds(rules.check_numbers, made)
    if not whole:
        assert code == "bad_roster" or code == "out_of_window"
        return
    for lane in lanes:
        tail = made.tail_wh(lane)
        if lane.epsilon_den:
            scale = Fraction(lane.cap_wh * lane.epsilon_den, lane.epsilon_num)
            assert tail - 1 < (40 + 4 * -(-members // made.noise_shape())) * scale <= tail
        else:
            assert tail == 0
    fits = all((members * x.cap_wh + made.tail_wh(x)) << bits < 1 << 63 for x in lanes)
    assert code == ("" if fits else "out_of_window")


def test_the_tail_is_out_of_reach_for_every_shape() -> None:
    """N meters with noise of shape 1/n have a total of shape k = N/n; at 40 + 4k scales its tail
    is below 2^-50. By Chernoff's bound: the moment generating function of the Gamma difference is
    (1 - s^2)^-k, and exp(-s x) (1 - s^2)^-k is least at s = (sqrt(k^2 + x^2) - k) / x.
    """
    for members, shape in ((3, 2), (12, 8), (100, 69), (1000, 1), (1000, 501), (4, 1)):
        k = members / shape
        made = make(members=members, missing=0, colluders=members - shape)
        scales = made.tail_wh(Lane(1, 1, 1))
        s = (math.hypot(k, scales) - k) / scales
        log2_tail = (-s * scales - k * math.log(1 - s * s)) / math.log(2) + 1
        assert log2_tail < -50, (members, shape, log2_tail)


def members_of(ids: list[int], keys: list[bytes]) -> bytes:
    return b"".join(i.to_bytes(4, "big") + key for i, key in zip(ids, keys, strict=True))


def key_of(number: int) -> bytes:
    """A canonical key: below 2^255 - 19."""
    return hashlib.sha256(b"%d" % number).digest()[:31] + b"\x11"


@given(st.lists(st.integers(0, 30), min_size=2, max_size=12), st.data())
@settings(max_examples=200)
def test_members_are_taken_when_ids_ascend_and_keys_differ(
    ids: list[int], data: st.DataObject
) -> None:
    if data.draw(st.booleans()):
        ids = sorted(set(ids) - {0})
        assume(len(ids) >= 2)
    keys = [key_of(i) for i in range(len(ids))]
    if data.draw(st.booleans()):
        keys[data.draw(st.integers(0, len(ids) - 1))] = data.draw(
            st.sampled_from([keys[0], SUPPLIER_KEY, b"\xff" * 32, key_of(99)])
        )
    own = data.draw(st.integers(0, len(ids) - 1))
    made = make(members=len(ids))
    body = made.header() + members_of(ids, keys)
    good = (
        ids == sorted(set(ids))
        and ids[0] > 0
        and len(set(keys)) == len(keys)
        and SUPPLIER_KEY not in keys
        and all(int.from_bytes(key, "little") < 2**255 - 19 for key in keys)
    )
    code = holds(rules.check_members, made, reader(body), ids[own], keys[own])
    assert (code == "") == good
    if good:
        assert rules.check_members(made, reader(body), ids[own], keys[own]) == own
        wrong_key = holds(rules.check_members, made, reader(body), ids[own], key_of(77))
        absent = holds(rules.check_members, made, reader(body), 31, key_of(77))
        assert (wrong_key, absent) == ("duplicate", "bad_roster")


def test_keys_that_begin_alike_are_taken_and_equal_ones_are_not_however_far_apart() -> None:
    """Equal keys are looked for among those with the same first bytes."""
    ids = list(range(1, 1001))
    alike = [b"\x12\x34" + key_of(i)[2:] for i in ids]
    made = make(members=1000)
    for keys in (alike, [key_of(i) for i in ids]):
        body = made.header() + members_of(ids, keys)
        assert rules.check_members(made, reader(body), 500, keys[499]) == 499
        for first, second in ((0, 999), (0, 1), (13, 14), (998, 999)):
            twice = [*keys]
            twice[second] = twice[first]
            body = made.header() + members_of(ids, twice)
            assert holds(rules.check_members, made, reader(body), 500, keys[499]) == "duplicate"


@pytest.mark.parametrize("members", [2, 13, 14, 15, 16, 28, 29, 1000])
def test_pieces_of_a_roster_join_without_a_seam(members: int) -> None:
    ids = list(range(5, 5 + members))
    keys = [key_of(i) for i in ids]
    made = make(members=members)
    body = made.header() + members_of(ids, keys)
    signed = body + bytes(rosters.SIGNATURE_BYTES)
    assert list(rosters.members_of(made, reader(signed))) == list(zip(ids, keys, strict=True))
    assert rosters.hash_of(made, reader(signed)) == hashlib.sha256(body).digest()
    assert made.size() == len(signed)


FRACTIONS = st.tuples(st.integers(1, 50), st.integers(1, 50))


@given(
    st.lists(FRACTIONS | st.none(), min_size=1, max_size=2),
    FRACTIONS,
    st.integers(2, 20),
    st.integers(1, 20),
    st.integers(1, 20),
    st.integers(0, 15),
    st.integers(0, 15),
    st.integers(0, 15),
    st.booleans(),
)
@settings(max_examples=600)
def test_floors_and_modes_hold(
    epsilons: list[tuple[int, int] | None],
    greatest: tuple[int, int],
    least_members: int,
    least_honest: int,
    shortest_slot_s: int,
    permitted: int,
    own: int,
    allowed: int,
    gamma: bool,
) -> None:
    lanes = [Lane(9, *(one or (0, 0))) for one in epsilons]
    made = make(lanes, slot_s=10, allowed_modes=allowed, fraction_bits=16 * gamma)
    floors = {
        "least_members": least_members,
        "least_honest": least_honest,
        "greatest_epsilon": list(greatest),
        "shortest_slot_s": shortest_slot_s,
    }
    total = sum((Fraction(*one) for one in epsilons if one), Fraction(0))
    in_force = rosters.MODES["gamma-noise"] * gamma
    in_force |= rosters.MODES["no-noise"] * (None in epsilons)
    # What members may run with is in force in the street, for they may.
    in_force |= allowed & (rosters.MODES["fixed-seed"] | rosters.MODES["provisioned-pairs"])
    assert made.modes() == in_force
    below = (
        least_members > 12
        or least_honest > 10
        or shortest_slot_s > 10
        or total > Fraction(*greatest)
    )
    insecure = bool(in_force & ~permitted or (own | in_force) & ~allowed)
    code = holds(rules.check_floors, made, floors, permitted, own)
    assert (code == "") == (not below and not insecure)
    if code:
        assert code in (["below_floor"] if below else []) + (["insecure_mode"] if insecure else [])


def test_a_refused_mode_is_named_and_no_other() -> None:
    floors = {
        "least_members": 2,
        "least_honest": 1,
        "greatest_epsilon": [1, 1],
        "shortest_slot_s": 1,
    }
    made = make([Lane(9, 0, 0)], fraction_bits=16, allowed_modes=6)
    with pytest.raises(HushError, match="not provisioned .* with no-noise$"):
        rules.check_floors(made, floors, rosters.MODES["gamma-noise"], 0)
    made = make(allowed_modes=9)
    with pytest.raises(HushError, match="not provisioned .* with fixed-seed, provisioned-pairs$"):
        rules.check_floors(made, floors, 0, 0)
    made = make([Lane(9, 0, 0)], allowed_modes=rosters.MODES["no-noise"])
    with pytest.raises(HushError, match="does not allow fixed-seed$"):
        rules.check_floors(made, floors, 15, rosters.MODES["fixed-seed"])


@given(st.integers(0, 1 << 41), st.integers(1, 86400))
def test_a_slot_contains_its_time(now_s: int, slot_s: int) -> None:
    made = make(slot_s=slot_s)
    slot = made.slot_at(now_s)
    if now_s < made.start_s:
        assert slot is None
    else:
        assert made.slot_start_s(slot) <= now_s < made.slot_start_s(slot + 1)
        assert made.day(slot) == made.slot_start_s(slot) // 86400


def test_modes_are_named_and_numbered_alike() -> None:
    for bits in range(16):
        assert rosters.mode_bits(rosters.mode_names(bits)) == bits
