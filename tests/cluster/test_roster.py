"""Rosters: what is signed is what a meter reads, and every rule of a meter is the host's too."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hushfw.core import roster as device
from hushfw.core import rules
from hushfw.core.errors import HushError
from hushmeter.cluster import roster as rosters
from hushmeter.cluster.roster import Authority, LanePlan, Member, SignedRoster, StreetPlan
from hushmeter.cluster.supplier import Supplier
from hushmeter.emulate.interpreter import find_micropython
from hushmeter.errors import HushmeterError
from tests.cluster.street_kit import START_S, make_street, secret

ROOT = Path(__file__).parents[2]
AUTHORITY = Authority(secret("authority"))
SUPPLIER = Supplier(secret("supplier"))


def key(*parts: object) -> bytes:
    """What a public key may be: 32 bytes, little-endian, below 2^255 - 19."""
    return secret(*parts)[:31] + b"\x01"


MEMBERS = tuple(Member(7 * i + 3, key("member", i)) for i in range(6))
PLAN = StreetPlan(
    street="Rue du Chêne",
    epoch=4,
    start_s=START_S,
    first_slot=11,
    last_slot=154,
    slot_s=600,
    missing=2,
    colluders=1,
    lanes=(LanePlan(1667, Fraction(3, 2)), LanePlan(500, None)),
    allowed_modes=("fixed-seed", "no-noise"),
    previous=secret("roster before"),
    report_window_s=30,
    expiry_s=7200,
)


def sign(plan: StreetPlan = PLAN, members: tuple[Member, ...] = MEMBERS) -> SignedRoster:
    return AUTHORITY.sign(plan, members, SUPPLIER.public_key)


def test_a_roster_says_what_the_plan_says() -> None:
    signed = sign()
    read = signed.device
    for name in ("street", "epoch", "start_s", "first_slot", "last_slot", "slot_s", "missing"):
        assert getattr(read, name) == getattr(PLAN, name)
    for name in ("colluders", "previous", "report_window_s", "expiry_s"):
        assert getattr(read, name) == getattr(PLAN, name)
    assert read.authority_key == AUTHORITY.public_key
    assert read.supplier_key == SUPPLIER.public_key
    assert device.mode_names(read.allowed_modes) == ["fixed-seed", "no-noise"]
    assert [(x.cap_wh, x.epsilon_num, x.epsilon_den) for x in read.lane_list] == [
        (1667, 3, 2),
        (500, 0, 0),
    ]
    assert [Fraction(*x.scale()) for x in read.lane_list] == [x.lambda_wh for x in PLAN.lanes]
    assert read.fraction_bits == 0
    assert sign(replace(PLAN, gamma_noise=True)).device.fraction_bits == 16
    assert signed.members == MEMBERS
    assert signed.index_of == {member.meter_id: i for i, member in enumerate(MEMBERS)}
    assert len(signed.data) == read.size()


def test_the_bytes_are_the_devices_own(tmp_path: Path) -> None:
    signed = sign()
    read = device.parse_header(signed.data)
    read_at = rosters.reader(signed.data)
    assert read.header() == signed.data[: device.HEADER_BYTES]
    assert [Member(*entry) for entry in device.members_of(read, read_at)] == list(MEMBERS)
    assert device.hash_of(read, read_at) == signed.hash
    for index, member in enumerate(MEMBERS):
        found = rules.check_members(read, read_at, member.meter_id, member.public_key)
        assert found == index


READ_ON_A_METER = """
import json, sys, binascii
from hushfw.core import ed25519, roster, rules
data = open(sys.argv[1], "rb").read()
def read_at(offset, size): return data[offset : offset + size]
r = roster.parse_header(data)
rules.check_numbers(r)
hash = roster.hash_of(r, read_at)
signature = data[-roster.SIGNATURE_BYTES:]
text = lambda data: binascii.hexlify(data).decode()
print(json.dumps({
    "header": text(r.header()), "hash": text(hash), "street": r.street, "day": r.day(r.last_slot),
    "members": [[i, text(key)] for i, key in roster.members_of(r, read_at)],
    "signed": ed25519.verify(r.authority_key, roster.signed_message(hash), signature),
    "lanes": [[x.cap_wh, x.epsilon_num, x.epsilon_den] for x in r.lane_list],
}))
"""


def test_a_meter_reads_the_same_from_the_same_bytes(tmp_path: Path) -> None:
    """Inside MicroPython, where the device's code runs."""
    signed = sign()
    (tmp_path / "roster.bin").write_bytes(signed.data)
    (tmp_path / "read.py").write_text(READ_ON_A_METER)
    done = subprocess.run(
        [str(find_micropython().path), "read.py", "roster.bin"],
        cwd=tmp_path,
        env={**os.environ, "MICROPYPATH": str(ROOT / "firmware")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout) == {
        "header": signed.data[: device.HEADER_BYTES].hex(),
        "hash": signed.hash.hex(),
        "street": PLAN.street,
        "day": signed.device.day(PLAN.last_slot),
        "members": [[m.meter_id, m.public_key.hex()] for m in MEMBERS],
        "signed": True,
        "lanes": [[1667, 3, 2], [500, 0, 0]],
    }


def test_the_order_in_which_members_are_named_does_not_matter() -> None:
    assert sign(members=MEMBERS[::-1]).data == sign().data


def test_signing_and_parsing_are_inverse() -> None:
    signed = sign()
    parsed = rosters.parse(signed.data)
    assert parsed.data == signed.data
    assert parsed.members == signed.members
    assert parsed.hash == signed.hash
    assert vars(parsed.device)["street"] == PLAN.street
    assert AUTHORITY.sign(PLAN, MEMBERS, SUPPLIER.public_key).data == signed.data


@settings(deadline=None)
@given(
    members=st.integers(2, 40),
    missing=st.integers(0, 30),
    colluders=st.integers(0, 40),
)
def test_m_and_t_are_taken_exactly_where_the_rules_hold(
    members: int, missing: int, colluders: int
) -> None:
    several = tuple(Member(i + 1, key(i)) for i in range(members))
    allowed = (
        colluders >= 1
        and members - missing - colluders >= 1
        and (missing == 0 or 2 * missing + colluders < members)
    )
    plan = replace(PLAN, missing=missing, colluders=colluders)
    if allowed:
        assert sign(plan, several).device.noise_shape() == members - missing - colluders
    else:
        with pytest.raises(HushmeterError, match="bad_roster"):
            sign(plan, several)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"colluders": 0}, "T is at least 1"),
        ({"missing": 0, "colluders": 6}, "N - M - T must be at least 1"),
        ({"missing": 2, "colluders": 2}, r"2 M \+ T must be below N"),
        ({"missing": 3}, r"2 M \+ T must be below N"),
        ({"epoch": 0}, "bad_roster.*epoch"),
        ({"first_slot": 0}, "bad_roster.*slots"),
        ({"first_slot": 155}, "bad_roster.*slots"),
        ({"slot_s": 0}, "1 to 86400"),
        ({"slot_s": 86401}, "1 to 86400"),
        ({"report_window_s": 7201}, "bad_roster.*expiry_s"),
        ({"expiry_s": 86401}, "bad_roster.*expiry_s"),
        ({"slot_s": 4}, "bad_roster.*expiry_s"),
        ({"lanes": ()}, "1 or 2 lanes"),
        ({"lanes": (LanePlan(1, None),) * 3}, "1 or 2 lanes"),
        ({"lanes": (LanePlan(0, None),)}, "0 Wh"),
        ({"lanes": (LanePlan(-1, None),)}, "-1 Wh"),
        ({"lanes": (LanePlan(1 << 32, None),)}, "4294967296 Wh"),
        ({"lanes": (LanePlan(1, Fraction(0)),)}, "positive fraction"),
        ({"lanes": (LanePlan(1, Fraction(-1)),)}, "epsilon -1"),
        ({"lanes": (LanePlan(1, Fraction(1, 1 << 32)),)}, "short fraction|does not fit"),
        ({"lanes": (LanePlan((1 << 32) - 1, Fraction(1, (1 << 32) - 1)),)}, "out_of_window"),
        ({"street": ""}, "1 to 32 bytes"),
        ({"street": "é" * 17}, "1 to 32 bytes"),
        ({"epoch": 1 << 32}, "does not fit"),
        ({"epoch": -1}, "does not fit"),
        ({"missing": 1 << 16}, "does not fit"),
        ({"start_s": 1 << 64}, "does not fit"),
        ({"start_s": -1}, "does not fit"),
        ({"expiry_s": 1 << 32}, "does not fit"),
        ({"previous": bytes(31)}, "32 bytes"),
        ({"allowed_modes": ("no-nose",)}, "no-nose: a mode is one of"),
        ({"last_slot": (1 << 64) - 1}, "bad_roster.*slots"),
        ({"last_slot": (1 << 48) - 1}, "beyond every calendar"),
        ({"start_s": 1 << 63}, "bad_roster.*start_s"),
    ],
)
def test_a_plan_that_breaks_a_rule_is_never_signed(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(HushmeterError, match=message):
        sign(replace(PLAN, **wrong))


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ((), "2 to 1000 meters"),
        (MEMBERS[:1], "2 to 1000 meters"),
        ((*MEMBERS, Member(1, b"\xff" * 32)), "member 1 has a key that is not canonical"),
        (tuple(Member(i + 1, key(i)) for i in range(1001)), "2 to 1000 meters"),
        ((*MEMBERS, Member(3, key("new"))), "ids must ascend and differ; 3"),
        ((*MEMBERS, Member(1, MEMBERS[4].public_key)), "has another member's key"),
        ((*MEMBERS, Member(1, SUPPLIER.public_key)), "member 1 has the supplier's key"),
        ((*MEMBERS, Member(0, key("new"))), "the id 0"),
        ((*MEMBERS, Member(-4, key("new"))), "the id -4"),
        ((*MEMBERS, Member(1 << 32, key("new"))), "the id 4294967296"),
        ((*MEMBERS, Member(1, bytes(31))), "meter 1 must have 32 bytes"),
    ],
)
def test_members_that_break_a_rule_are_never_signed(
    members: tuple[Member, ...], message: str
) -> None:
    plan = replace(PLAN, missing=0)
    with pytest.raises(HushmeterError, match=message):
        sign(plan, members)


def test_a_supplier_key_of_the_wrong_size_is_refused() -> None:
    with pytest.raises(HushmeterError, match="32 bytes"):
        AUTHORITY.sign(PLAN, MEMBERS, bytes(33))


def test_the_largest_street_is_signed_and_read() -> None:
    many = tuple(Member(i + 1, key(i)) for i in range(1000))
    signed = sign(replace(PLAN, missing=100), many)
    assert len(signed.data) == device.HEADER_BYTES + 1000 * 36 + 64
    assert rosters.parse(signed.data).members == many


def test_the_window_is_used_to_its_end() -> None:
    """N * cap and the tail of the noise, in units of 2^-16 Wh, stay below 2^63."""
    cap_wh = (1 << 32) - 1

    def fits(denominator: int) -> bool:
        lane = LanePlan(cap_wh, Fraction(1, denominator))
        try:
            sign(replace(PLAN, lanes=(lane,), gamma_noise=True))
        except HushmeterError as error:
            assert "out_of_window" in error.message
            return False
        return True

    taken = [denominator for denominator in range(1, 1200) if fits(denominator)]
    largest = len(taken)
    assert taken == list(range(1, largest + 1))
    scales = sign().device.tail_wh(device.Lane(1, 1, 1))
    for denominator, below in ((largest, True), (largest + 1, False)):
        most = 6 * cap_wh + scales * cap_wh * denominator
        assert (most << 16 < 1 << 63) == below


def test_a_roster_of_another_signer_is_refused() -> None:
    """The body names one authority, another one signs it."""
    signed = sign()
    body = signed.data[: -device.SIGNATURE_BYTES]
    message = device.signed_message(signed.hash)
    forged = body + Authority(secret("thief"))._key.sign(message)
    with pytest.raises(HushmeterError, match="bad_signature"):
        rosters.parse(forged)


def test_a_weak_key_of_a_member_is_one_clear_error() -> None:
    signed = sign(members=(*MEMBERS[:5], Member(999, bytes(32))))
    with pytest.raises(HushmeterError, match="key of meter 999 is weak"):
        SUPPLIER.meter_keys(signed)


def test_the_suppliers_secrets_are_in_no_text() -> None:
    keys = SUPPLIER.meter_keys(sign())[0]
    shown = f"{SUPPLIER!r} {keys!r}"
    assert SUPPLIER.public_key.hex() in shown
    for hidden in (secret("supplier"), keys.tag_up, keys.tag_down, keys.keystream):
        assert hidden.hex() not in shown and repr(hidden) not in shown


def flip_bytes(random: Random, data: bytes) -> bytes:
    out = bytearray(data)
    for _ in range(random.randint(1, 3)):
        out[random.randrange(len(out))] ^= random.randint(1, 255)
    return bytes(out)


def flip_in_header(random: Random, data: bytes) -> bytes:
    out = bytearray(data)
    for _ in range(random.randint(1, 3)):
        out[random.randrange(device.HEADER_BYTES)] = random.choice(
            (0, 1, 255, random.getrandbits(8))
        )
    return bytes(out)


def cut(random: Random, data: bytes) -> bytes:
    return data[: random.randrange(len(data))]


def lengthen(random: Random, data: bytes) -> bytes:
    return data + random.randbytes(random.randint(1, 80))


def noise(random: Random, data: bytes) -> bytes:
    return random.randbytes(random.choice((0, 1, 200, 300, 5000)))


@pytest.mark.parametrize("mutate", [flip_bytes, flip_in_header, cut, lengthen, noise])
def test_no_altered_roster_is_read(mutate: Callable[[Random, bytes], bytes]) -> None:
    good = sign().data
    random = Random(3)
    for _ in range(1500):
        data = mutate(random, good)
        if data != good:
            with pytest.raises(HushmeterError):
                rosters.parse(data)


def test_an_altered_roster_that_is_signed_again_is_read_or_refused() -> None:
    """A careless authority: whatever it signs, there is a roster or one clear error."""
    good = sign().data
    random = Random(4)
    read = 0
    for _ in range(1500):
        data = bytearray(flip_in_header(random, good)[: -device.SIGNATURE_BYTES])
        data[6 + 2 + 32 : 6 + 2 + 64] = good[6 + 2 + 32 : 6 + 2 + 64]
        try:
            header = device.parse_header(bytes(data))
        except HushError:
            continue
        message = device.signed_message(device.hash_of(header, rosters.reader(bytes(data))))
        try:
            signed = rosters.parse(bytes(data) + AUTHORITY._key.sign(message))
        except HushmeterError:
            continue
        read += 1
        assert len(SUPPLIER.meter_keys(signed)) == 6
        assert rules.check_numbers(signed.device) is None
    assert read > 100


def test_the_kits_street_is_enrolled_like_any_other() -> None:
    kit = make_street(4, missing=1)
    assert rosters.parse(kit.roster.data).hash == kit.roster.hash
