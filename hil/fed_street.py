"""A street of which one meter is under test and is fed its load by the host, row by row.

Its partners are keys on the host, and their reports and answers are computed there with the device
package's own functions, so that whole slots can be added up.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import masked_words
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from hushfw.core import kdf, masking, messages
from hushmeter.cluster.roster import Authority, LanePlan, Member, SignedRoster, StreetPlan
from hushmeter.cluster.supplier import Supplier
from hushmeter.devices import meter_plan
from hushmeter.emulate import pairs
from hushmeter.link import Link, Refused, Transport

STREET = "hil-street"
SEED = "hil street"
START_S = 1_700_006_400
SLOT_S = 600
CAP_WH = 1667
OWN_ID = 1
SMALL = 4
PATIENCE_S = 120.0
FLOORS = meter_plan.Floors(
    least_members=3, least_honest=2, greatest_epsilon=Fraction(1), shortest_slot_s=SLOT_S
)


def private_key(purpose: str) -> bytes:
    return meter_plan.derived_seed(SEED, purpose)


@dataclass
class Street:
    """What the host knows of a street of ``members`` meters, of which meter 1 is under test."""

    members: int
    own_key: bytes
    partner_keys: dict[int, bytes]
    authority: Authority
    supplier: Supplier
    roster: SignedRoster

    @staticmethod
    def of(members: int, own_key: bytes, modes: tuple[str, ...] = ("fixed-seed",)) -> Street:
        authority = Authority(private_key("authority"))
        supplier = Supplier(private_key("supplier"))
        partners = {i: private_key(f"meter key {i - 1}") for i in range(2, members + 1)}
        listed = [Member(OWN_ID, own_key)]
        listed += [Member(i, pairs.public_key(key)) for i, key in partners.items()]
        plan = StreetPlan(
            street=STREET,
            epoch=1,
            start_s=START_S,
            first_slot=1,
            last_slot=1000,
            slot_s=SLOT_S,
            missing=members // 10 or 1,
            colluders=1,
            lanes=(LanePlan(CAP_WH, Fraction(1)),),
            allowed_modes=modes,
        )
        roster = authority.sign(plan, listed, supplier.public_key)
        return Street(members, own_key, partners, authority, supplier, roster)

    def tag(self, purpose: bytes, slot: int, content: bytes) -> bytes:
        key = self.supplier.meter_keys(self.roster)[0].tag_down
        return bytes(masking.tag(key, purpose, self.roster.hash, OWN_ID, slot, content))

    def announcement(self, slot: int, *silent_ids: int) -> dict[str, Any]:
        indexes = [self.roster.index_of[i] for i in silent_ids]
        silent = masking.silent_map(self.members, indexes)
        tag = self.tag(b"announce", slot, silent)
        return {"epoch": 1, "slot": slot, "silent": silent, "tag": tag}

    def partner_words(
        self, partner: int, slot: int, value_wh: int, silent: bytes
    ) -> tuple[list[int], list[int]]:
        """Report and answer of a partner without noise, keystream lifted."""
        recovery = [partner << 40]
        index = self.roster.index_of[partner]
        digest = masking.silent_digest(self.roster.hash, slot, silent)
        keystream = bytes(16)
        report = masked_words.report_words(
            [value_wh], index, self._pair_keys(partner), keystream, recovery, slot
        )
        stream = masking.pads(keystream, masking.USE_KEYSTREAM, 1, slot, 1)
        answer = masked_words.answer_words(
            index, self._pair_keys(partner), recovery, slot, silent, digest
        )
        return [report[0] - stream[0]], answer

    def _pair_keys(self, partner: int) -> list[tuple[int, bytes, bytes]]:
        own = X25519PrivateKey.from_private_bytes(self.partner_keys[partner])
        own_public = pairs.public_key(self.partner_keys[partner])
        out = []
        for index, member in enumerate(self.roster.members):
            if member.meter_id == partner:
                continue
            secret = own.exchange(X25519PublicKey.from_public_bytes(member.public_key))
            prk = kdf.hkdf_extract(self.roster.hash, secret)
            ends = sorted([(partner, own_public), (member.meter_id, member.public_key)])
            both = (ends[0][0], ends[1][0], ends[0][1], ends[1][1])
            keys = [masking.subkey(prk, purpose, *both) for purpose in (b"mask", b"answer")]
            out.append((index, keys[0], keys[1]))
        return out


def plan_of(board_name: str, **changes: Any) -> meter_plan.MeterPlan:
    fields: dict[str, Any] = {
        "meter_id": OWN_ID,
        "street": STREET,
        "board": board_name,
        "authority_key": Authority(private_key("authority")).public_key,
        "floors": FLOORS,
        "controller": {"name": "ls2", "capacity_wh": 500, "rate_w": 500},
        "permitted_modes": ("fixed-seed", "provisioned-pairs"),
        "fixed_seed": SEED,
    }
    return meter_plan.MeterPlan(**(fields | changes))


class Talk:
    """A link that keeps every message a meter sends, reports and refusals too."""

    def __init__(self, transport: Transport) -> None:
        self.link = Link(transport, timeout_s=PATIENCE_S, tries=1)
        self.bodies: list[bytes] = []

    def ask(self, name: str, **fields: Any) -> dict[str, Any]:
        message = self.link.request(name, **fields)
        self._keep()
        self.bodies.append(message.body)
        return message.fields

    def refused(self, name: str, **fields: Any) -> str:
        try:
            self.ask(name, **fields)
        except Refused as refusal:
            self._keep()
            self.bodies.append(f"{refusal.code} {refusal.detail}".encode())
            return refusal.code
        raise AssertionError(f"{name} was accepted")

    def _keep(self) -> None:
        self.bodies += [message.body for message in self.link.unasked()]

    def of_kind(self, name: str) -> dict[int, bytes]:
        """Messages of one name by slot."""
        number = messages.BY_NAME[name][0]
        found = [body for body in self.bodies if body[0] == number]
        return {messages.decode(body[0], body[1:])[1]["slot"]: body for body in found}

    def transcript(self) -> str:
        digest = hashlib.sha256()
        for body in self.bodies:
            digest.update(len(body).to_bytes(2, "big") + body)
        return digest.hexdigest()

    def run_slot(self, slot: int, watts: int) -> None:
        row = (watts * SLOT_S).to_bytes(4, "little", signed=True)
        start_s = START_S + (slot - 1) * SLOT_S
        self.ask("feed", start_s=start_s, row_s=SLOT_S, rows=row)
        self.ask("advance", now_s=start_s + SLOT_S)


def enrol(talk: Talk, roster: SignedRoster) -> None:
    talk.ask("roster_begin", size=len(roster.data), digest=roster.hash)
    for at in range(0, len(roster.data), 900):
        talk.ask("roster_chunk", offset=at, data=roster.data[at : at + 900])
    while True:
        progress = talk.ask("roster_commit")
        if progress["done"] == progress["total"]:
            return
