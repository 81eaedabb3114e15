"""Rosters on the host: the plan of a street, the authority that signs it, and its exact bytes.

The layout and every rule are the device's own (:mod:`hushfw.core.roster`); a roster that a meter
would refuse is refused here first, with the same message.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hushfw import renewal
from hushfw.core import ed25519, rules
from hushfw.core import roster as device
from hushfw.core.errors import HushError
from hushmeter.errors import HushmeterError

GAMMA_FRACTION_BITS = 16
"""Binary places of a Wh in the faithful mode's fixed-point gamma shares."""

_KEY_BYTES = 32
_DAYS = 1 << 32
"""A day's number enters the keys in 32 bits."""


@dataclass(frozen=True)
class Member:
    """A meter as the authority witnessed it: id and X25519 public key (32 bytes)."""

    meter_id: int
    public_key: bytes


@dataclass(frozen=True)
class LanePlan:
    """One register: the most Wh that a reading may say, and epsilon (None: no noise)."""

    cap_wh: int
    epsilon: Fraction | None

    @property
    def lambda_wh(self) -> Fraction:
        """Scale of the street's Laplace noise in Wh, cap / epsilon; 0 without noise."""
        return Fraction(0) if self.epsilon is None else Fraction(self.cap_wh) / self.epsilon


@dataclass(frozen=True)
class StreetPlan:
    """The rules of one epoch, as the authority signs them.

    Attributes
    ----------
    missing, colluders:
        M and T: the most meters that may stay silent, and that may collude.
    start_s:
        Unix time at which ``first_slot`` begins.
    report_window_s:
        How long after a slot's end a report may leave.
    expiry_s:
        How long after a slot's end an answer may leave, and C is kept.
    """

    street: str
    epoch: int
    start_s: int
    first_slot: int
    last_slot: int
    slot_s: int
    missing: int
    colluders: int
    lanes: tuple[LanePlan, ...]
    allowed_modes: tuple[str, ...] = ()
    gamma_noise: bool = False
    previous: bytes = bytes(32)
    report_window_s: int = 60
    expiry_s: int = 86400


@dataclass(frozen=True)
class SignedRoster:
    """A roster's bytes as sent to meters, with what the host reads from them.

    ``device`` is the device package's own Roster object; ``members`` are in its order.
    """

    data: bytes
    device: Any
    members: tuple[Member, ...]
    index_of: dict[int, int] = field(compare=False)

    @property
    def hash(self) -> bytes:
        return bytes(self.device.hash)


class Authority:
    """Who witnesses meters and signs rosters; never the supplier.

    Parameters
    ----------
    seed:
        32 secret bytes of the Ed25519 key.
    """

    def __init__(self, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        # The same scalar on the Montgomery curve: X25519 clamps it as Ed25519 does (RFC 8032).
        self._agreement = X25519PrivateKey.from_private_bytes(hashlib.sha512(seed).digest()[:32])
        self.public_key = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def sign(
        self, plan: StreetPlan, members: Sequence[Member], supplier_key: bytes
    ) -> SignedRoster:
        """The signed roster of a plan.

        Raises
        ------
        HushmeterError
            The plan breaks a rule, a number does not fit its field, or two members share an id or
            a key.
        """
        _check_keys(plan, members, supplier_key)
        ordered = sorted(members, key=lambda member: member.meter_id)
        roster = _device_roster(plan, ordered, self.public_key, supplier_key)
        body = _header(roster) + b"".join(
            member.meter_id.to_bytes(4, "big") + member.public_key for member in ordered
        )
        message = device.signed_message(device.hash_of(roster, reader(body)))
        return parse(body + self._key.sign(message))

    def proves_renewal(self, street: str, before: Member, new_key: bytes, proof: bytes) -> bool:
        """Whether the holder of a member's key made the new one: the `proof` of message ``key``."""
        try:
            public = X25519PublicKey.from_public_bytes(before.public_key)
            secret = self._agreement.exchange(public)
        except ValueError:
            return False
        wanted = renewal.proof(secret, street, before.meter_id, before.public_key, new_key)
        return hmac.compare_digest(wanted, proof)


def reader(data: bytes) -> Callable[[int, int], bytes]:
    """``read_at(offset, size)`` over bytes, as the device reads a roster from its flash."""

    def read_at(offset: int, size: int) -> bytes:
        return data[offset : offset + size]

    return read_at


def _check_keys(plan: StreetPlan, members: Sequence[Member], supplier_key: bytes) -> None:
    """The sizes that packing would not notice."""
    for member in members:
        if not 0 < member.meter_id < 1 << 32:
            raise HushmeterError(f"a meter has the id {member.meter_id}; ids are 1 to 2^32 - 1")
        if len(member.public_key) != _KEY_BYTES:
            raise HushmeterError(f"the key of meter {member.meter_id} must have 32 bytes")
    if len(supplier_key) != _KEY_BYTES or len(plan.previous) != _KEY_BYTES:
        raise HushmeterError("the supplier's key and the hash before must have 32 bytes each")
    unknown = sorted(set(plan.allowed_modes) - set(device.MODES))
    if unknown:
        raise HushmeterError(f"{', '.join(unknown)}: a mode is one of {', '.join(device.MODES)}")


def _header(roster: Any) -> bytes:
    try:
        return bytes(roster.header())
    except HushError as error:
        raise _invalid(error) from error
    except struct.error as error:
        raise HushmeterError(f"a number of the roster does not fit its field: {error}") from error


def _invalid(error: HushError) -> HushmeterError:
    return HushmeterError(f"the roster is not valid ({error.code}): {error.message}")


def _device_roster(
    plan: StreetPlan, members: Sequence[Member], authority_key: bytes, supplier_key: bytes
) -> Any:
    lanes = []
    for lane in plan.lanes:
        epsilon = (0, 0) if lane.epsilon is None else lane.epsilon.as_integer_ratio()
        if not 0 <= min(epsilon) <= max(epsilon) < 1 << 32 or not 0 < lane.cap_wh < 1 << 32:
            raise HushmeterError(
                f"a lane of {lane.cap_wh} Wh with epsilon {lane.epsilon} does not fit a roster",
                hint="use a positive cap below 2^32 Wh and an epsilon with a short fraction",
            )
        lanes.append(device.Lane(lane.cap_wh, *epsilon))
    fields = {
        "fraction_bits": GAMMA_FRACTION_BITS if plan.gamma_noise else 0,
        "allowed_modes": device.mode_bits(plan.allowed_modes),
        "lanes": len(lanes),
        "street": plan.street,
        "authority_key": authority_key,
        "supplier_key": supplier_key,
        "epoch": plan.epoch,
        "start_s": plan.start_s,
        "first_slot": plan.first_slot,
        "last_slot": plan.last_slot,
        "previous": plan.previous,
        "slot_s": plan.slot_s,
        "report_window_s": plan.report_window_s,
        "expiry_s": plan.expiry_s,
        "members": len(members),
        "missing": plan.missing,
        "colluders": plan.colluders,
    }
    return device.Roster(fields, lanes)


def check(signed: SignedRoster) -> None:
    """Every rule of a roster that does not depend on one meter.

    Raises
    ------
    HushmeterError
        The first rule that does not hold.
    """
    try:
        rules.check_numbers(signed.device)
        if signed.device.day(signed.device.last_slot) >= _DAYS:
            raise HushError("bad_roster", "the last slot is beyond every calendar")
        read_at = reader(signed.data)
        first = signed.members[0]
        rules.check_members(signed.device, read_at, first.meter_id, first.public_key)
        signature = signed.data[-device.SIGNATURE_BYTES :]
        message = device.signed_message(signed.hash)
        if not ed25519.verify(signed.device.authority_key, message, signature):
            raise HushError("bad_signature", "the roster is not signed by its authority")
    except HushError as error:
        raise _invalid(error) from error


def parse(data: bytes) -> SignedRoster:
    """A roster from its bytes, checked.

    Raises
    ------
    HushmeterError
        The bytes are no valid signed roster.
    """
    try:
        roster = device.parse_header(data)
    except HushError as error:
        raise _invalid(error) from error
    if len(data) != roster.size():
        raise HushmeterError(f"the roster has {len(data)} bytes, its header says {roster.size()}")
    roster.hash = device.hash_of(roster, reader(data))
    members = tuple(Member(*entry) for entry in device.members_of(roster, reader(data)))
    signed = SignedRoster(
        data, roster, members, {member.meter_id: i for i, member in enumerate(members)}
    )
    check(signed)
    return signed


def check_follows(before: SignedRoster, after: SignedRoster) -> None:
    """Whether a roster is the next link of a street's chain, as every meter checks it.

    Raises
    ------
    HushmeterError
        It is of another street or authority, not newer, skips an epoch, or names another roster
        as the one before.
    """
    old, new = before.device, after.device
    if (old.street, old.authority_key) != (new.street, new.authority_key):
        raise HushmeterError(
            f"the roster is of street {new.street!r} or of another authority, not of {old.street!r}"
        )
    if new.epoch <= old.epoch:
        raise HushmeterError(
            f"epoch {new.epoch} is not above the newest one, {old.epoch}",
            hint="have the authority sign a roster with a higher epoch",
        )
    if new.epoch != old.epoch + 1:
        raise HushmeterError(
            f"epoch {new.epoch} does not follow epoch {old.epoch}: {old.epoch + 1} is missing",
            hint="take every roster in its turn",
        )
    if new.previous != before.hash:
        raise HushmeterError(
            f"the roster of epoch {new.epoch} does not follow the one of epoch {old.epoch}",
            hint="have the authority sign it with the hash of the roster before",
        )


@dataclass(frozen=True)
class Difference:
    """Who is new, gone, or has another key in the later of two rosters: ids, ascending.

    A replaced device and a renewed key look alike: the id stays, the key differs.
    """

    joined: tuple[int, ...]
    left: tuple[int, ...]
    rekeyed: tuple[int, ...]


def difference(before: SignedRoster, after: SignedRoster) -> Difference:
    """What changed between two rosters."""
    old = {member.meter_id: member.public_key for member in before.members}
    new = {member.meter_id: member.public_key for member in after.members}
    return Difference(
        tuple(sorted(new.keys() - old.keys())),
        tuple(sorted(old.keys() - new.keys())),
        tuple(sorted(i for i in old.keys() & new.keys() if old[i] != new[i])),
    )


def plan_of(signed: SignedRoster) -> StreetPlan:
    """The plan that a roster was signed from."""
    rules = signed.device
    lanes = tuple(
        LanePlan(
            lane.cap_wh,
            None if lane.noiseless() else Fraction(lane.epsilon_num, lane.epsilon_den),
        )
        for lane in rules.lane_list
    )
    return StreetPlan(
        street=rules.street,
        epoch=rules.epoch,
        start_s=rules.start_s,
        first_slot=rules.first_slot,
        last_slot=rules.last_slot,
        slot_s=rules.slot_s,
        missing=rules.missing,
        colluders=rules.colluders,
        lanes=lanes,
        allowed_modes=tuple(device.mode_names(rules.allowed_modes)),
        gamma_noise=bool(rules.fraction_bits),
        previous=rules.previous,
        report_window_s=rules.report_window_s,
        expiry_s=rules.expiry_s,
    )


def plan_after(signed: SignedRoster, first_slot: int) -> StreetPlan:
    """The plan of the epoch that follows, from this slot on, under the same rules.

    Slots keep their numbers and their times.

    Raises
    ------
    HushmeterError
        The slot is not one that follows the roster's first, or is beyond its last.
    """
    rules = signed.device
    if not rules.first_slot < first_slot <= rules.last_slot:
        raise HushmeterError(
            f"the next roster begins with slot {first_slot}; it must be "
            f"{rules.first_slot + 1} to {rules.last_slot}"
        )
    return replace(
        plan_of(signed),
        epoch=rules.epoch + 1,
        previous=signed.hash,
        first_slot=first_slot,
        start_s=rules.slot_start_s(first_slot),
    )
