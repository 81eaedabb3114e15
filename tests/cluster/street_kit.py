"""A small street in Python alone, so that the aggregator is tested without any process.

Meters compute their words with the device's own functions. Their keys with the supplier are agreed
as on the device; the keys of pairs, of which an aggregator knows nothing, are made up.

    kit = make_street(5, missing=1)
    reports = [meter.report(1, [7]) for meter in kit.meters.values()]
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from random import Random

import masked_words
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hushfw.core import kdf, masking, messages
from hushfw.core.roster import SUPPLIER_ID
from hushmeter.cluster.aggregator import Aggregator, Slot
from hushmeter.cluster.roster import Authority, LanePlan, Member, SignedRoster, StreetPlan
from hushmeter.cluster.store import Store
from hushmeter.cluster.supplier import Supplier

DAY_S = 86400
START_S = 20_000 * DAY_S
CAP_WH = 1000


def secret(*parts: object) -> bytes:
    """32 bytes that depend on the parts alone."""
    return hashlib.sha256(repr(parts).encode()).digest()


class KitMeter:
    """One meter: masks, answers and tags as the device does; `report` and `answer` give bodies."""

    def __init__(self, seed: int, meter_id: int) -> None:
        self.meter_id = meter_id
        self._seed = seed
        self._key = X25519PrivateKey.from_private_bytes(secret(seed, "meter", meter_id))
        self.public_key = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self._recovery: dict[int, list[int]] = {}

    def join(self, roster: SignedRoster) -> None:
        """Derive the keys of an epoch."""
        self.roster = roster
        self.index = roster.index_of[self.meter_id]
        supplier_key = roster.device.supplier_key
        shared = self._key.exchange(X25519PublicKey.from_public_bytes(supplier_key))
        prk = kdf.hkdf_extract(roster.hash, shared)
        both = (SUPPLIER_ID, self.meter_id, supplier_key, self.public_key)
        self._tag_up = masking.subkey(prk, b"tag up", *both, 32)
        self.tag_down = masking.subkey(prk, b"tag down", *both, 32)
        self._keystream = masking.subkey(prk, b"keystream", *both)

    def _on_day(self, key: bytes, slot: int) -> bytes:
        rules = self.roster.device
        for day in range(rules.day(rules.first_slot) + 1, rules.day(slot) + 1):
            key = masking.next_day_key(key, day)
        return key

    def _pair_keys(self, slot: int) -> Iterable[tuple[int, bytes, bytes]]:
        for member in self.roster.members:
            if member.meter_id != self.meter_id:
                both = sorted((self.meter_id, member.meter_id))
                keys = secret(self._seed, "pair", self.roster.hash, *both)
                index = self.roster.index_of[member.meter_id]
                yield index, self._on_day(keys[:16], slot), self._on_day(keys[16:], slot)

    def recovery(self, slot: int) -> list[int]:
        """The words C of a slot."""
        lanes = self.roster.device.lanes
        if not self.roster.device.missing:
            return [0] * lanes
        random = Random(f"{self._seed} recovery {self.meter_id} {slot}")
        return self._recovery.setdefault(slot, [random.getrandbits(64) for _ in range(lanes)])

    def report(self, slot: int, values: Sequence[int], flags: int = 0) -> bytes:
        """The report of values in lane units, noise included."""
        words = masked_words.report_words(
            list(values),
            self.index,
            self._pair_keys(slot),
            self._on_day(self._keystream, slot),
            self.recovery(slot),
            slot,
        )
        packed = masking.pack_words(words)
        tag = self.tag(b"report", slot, bytes((flags,)) + packed)
        return self.body("report", slot, flags=flags, words=packed, tag=tag)

    def answer(self, slot: int, silent: bytes, claimed: bytes | None = None) -> bytes:
        """The answer to S; with `claimed`, one that is computed for S and tagged for another."""
        digest = masking.silent_digest(self.roster.hash, slot, silent)
        words = masked_words.answer_words(
            self.index, self._pair_keys(slot), self.recovery(slot), slot, silent, digest
        )
        packed = masking.pack_words(words)
        if claimed is not None:
            digest = masking.silent_digest(self.roster.hash, slot, claimed)
        return self.body(
            "answer", slot, words=packed, tag=self.tag(b"answer", slot, digest + packed)
        )

    def tag(self, purpose: bytes, slot: int, content: bytes) -> bytes:
        """A tag under the key towards the supplier."""
        roster_hash = self.roster.hash
        return bytes(masking.tag(self._tag_up, purpose, roster_hash, self.meter_id, slot, content))

    def body(self, name: str, slot: int, **fields: object) -> bytes:
        """A message as a link hands it over: number and payload."""
        place = {"meter_id": self.meter_id, "epoch": self.roster.device.epoch, "slot": slot}
        return encoded(name, {**place, **fields})


def encoded(name: str, fields: Mapping[str, object]) -> bytes:
    number, payload = messages.encode(name, fields)
    return bytes((number,)) + bytes(payload)


def changed(body: bytes, **fields: object) -> bytes:
    """The same message with other fields; the tag stays what it was."""
    name, before = messages.decode(body[0], body[1:])
    return encoded(name, {**before, **fields})


@dataclass
class Kit:
    """A street and all its secrets."""

    plan: StreetPlan
    authority: Authority
    supplier: Supplier
    roster: SignedRoster
    meters: dict[int, KitMeter]

    def next_epoch(self, **plan: object) -> Kit:
        """The same homes under a later roster; meters of the old kit stay with the old one."""
        return _enrolled(
            replace(
                self.plan,
                **{"epoch": self.plan.epoch + 1, "previous": self.roster.hash, **plan},
            ),  # type: ignore[arg-type]
            self.authority,
            self.supplier,
            [KitMeter(meter._seed, meter_id) for meter_id, meter in self.meters.items()],
        )

    def aggregator(self, path: Path) -> Aggregator:
        """An aggregator over the store in this file."""
        return Aggregator(Store(path), self.supplier, self.roster)

    def reports(self, slot: int, values: Mapping[int, Sequence[int]]) -> list[bytes]:
        """The reports of the meters that are named, in their order."""
        return [self.meters[m].report(slot, wanted) for m, wanted in values.items()]

    def ids(self) -> list[int]:
        return list(self.meters)


def make_street(
    count: int,
    *,
    missing: int = 0,
    colluders: int = 1,
    lanes: int = 1,
    epsilon: Fraction | None = None,
    cap_wh: int = CAP_WH,
    gamma_noise: bool = False,
    slots: int = 1000,
    slot_s: int = 600,
    seed: int = 1,
) -> Kit:
    """A street whose meters have ids with gaps, so that ids and indexes are not mixed up."""
    plan = StreetPlan(
        street="kit",
        epoch=1,
        start_s=START_S,
        first_slot=1,
        last_slot=slots,
        slot_s=slot_s,
        missing=missing,
        colluders=colluders,
        lanes=tuple(LanePlan(cap_wh, epsilon) for _ in range(lanes)),
        allowed_modes=("gamma-noise", "no-noise"),
        gamma_noise=gamma_noise,
    )
    meters = [KitMeter(seed, 10 + 3 * i) for i in range(count)]
    return _enrolled(
        plan, Authority(secret(seed, "authority")), Supplier(secret(seed, "supplier")), meters
    )


def _enrolled(
    plan: StreetPlan, authority: Authority, supplier: Supplier, meters: Sequence[KitMeter]
) -> Kit:
    members = [Member(meter.meter_id, meter.public_key) for meter in meters]
    roster = authority.sign(plan, members, supplier.public_key)
    for meter in meters:
        meter.join(roster)
    return Kit(plan, authority, supplier, roster, {meter.meter_id: meter for meter in meters})


def take(aggregator: Aggregator, bodies: Sequence[bytes]) -> None:
    """Hand messages over that have to be accepted."""
    verdicts = aggregator.accept(bodies)
    assert all(verdict.accepted for verdict in verdicts), verdicts


def run_slot(
    aggregator: Aggregator, kit: Kit, number: int, values: Mapping[int, Sequence[int]]
) -> Slot:
    """One whole slot in which the meters named in values report and answer."""
    aggregator.open(number)
    take(aggregator, kit.reports(number, values))
    announced = aggregator.announce(number)
    take(aggregator, [kit.meters[m].answer(number, f["silent"]) for m, f in announced.items()])
    return aggregator.close(number)


def contents(store: Store) -> list[str]:
    """Everything that is in a store."""
    return list(store._db.iterdump())
