"""A handful of real meters for tests: provisioned with a fixed seed, enrolled, and driven by hand.

A :class:`Street` here is no aggregator. It signs rosters, feeds rows, makes the supplier's tags and
leaves every message to the test, which can then send the wrong one.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hushfw.core import frame, masking, messages
from hushfw.core import roster as device_roster
from hushfw.core.errors import NAMES
from hushmeter.cluster import enrolment
from hushmeter.cluster.roster import Authority, LanePlan, Member, SignedRoster, StreetPlan
from hushmeter.cluster.supplier import MeterKeys, Supplier
from hushmeter.devices import meter_plan
from hushmeter.emulate.unix import UnixMeter
from hushmeter.link import Link, Message, Refused

STREET = "test-street"
SEED = "meter tests"
START_S = 1_700_006_400
"""A midnight (UTC), so that slots of 10 minutes fill a day."""

SLOT_S = 600
CAP_WH = 1000
FLOORS = meter_plan.Floors(
    least_members=3, least_honest=1, greatest_epsilon=Fraction(2), shortest_slot_s=60
)


def plan(**changes: Any) -> StreetPlan:
    """A street of 10-minute slots with M = 1 and T = 1."""
    fields: dict[str, Any] = {
        "street": STREET,
        "epoch": 1,
        "start_s": START_S,
        "first_slot": 1,
        "last_slot": 100_000,
        "slot_s": SLOT_S,
        "missing": 1,
        "colluders": 1,
        "lanes": (LanePlan(CAP_WH, Fraction(1)),),
        "allowed_modes": ("fixed-seed",),
        "expiry_s": 7200,
    }
    return StreetPlan(**(fields | changes))


def end_s(slot: int) -> int:
    """When a slot of :func:`plan` is over."""
    return START_S + slot * SLOT_S


@dataclass
class Meter:
    """One meter: its process, its storage, and the link to it."""

    meter_id: int
    unix: UnixMeter
    link: Link
    reports: dict[int, list[bytes]] = field(default_factory=dict)
    """Every report that ever left, as bodies, by slot."""
    answers: dict[int, list[bytes]] = field(default_factory=dict)
    market_words: dict[int, list[bytes]] = field(default_factory=dict)
    """The same of the market, by interval."""
    market_answers: dict[int, list[bytes]] = field(default_factory=dict)

    def start(self) -> Meter:
        self.unix.start()
        self.link = Link(self.unix, timeout_s=20.0, tries=1)
        return self

    def restart(self) -> Meter:
        self.unix.kill()
        return self.start()

    def ask(self, name: str, **fields: Any) -> Message:
        """One request; what left the meter because of it is recorded."""
        try:
            message = self.link.request(name, **fields)
        finally:
            for unasked in self.link.unasked():
                self.record(unasked)
        self.record(message)
        return message

    def record(self, message: Message) -> None:
        kept = {
            "report": self.reports,
            "answer": self.answers,
            "market_words": self.market_words,
            "market_answer": self.market_answers,
        }.get(message.name)
        if kept is not None:
            number = message.fields["slot" if "slot" in message.fields else "interval"]
            kept.setdefault(number, []).append(message.body)

    def hello(self) -> dict[str, Any]:
        return self.ask("hello_request").fields

    def status(self) -> dict[str, Any]:
        return self.ask("status_request").fields

    def refusal(self, name: str, **fields: Any) -> tuple[str, str]:
        """Code and detail with which the request is refused."""
        try:
            message = self.ask(name, **fields)
        except Refused as refused:
            return refused.code, refused.detail
        raise AssertionError(f"{name} was accepted with {message.name}")

    def feed(self, slot: int, watts: int = 600, count: int = 1, slot_s: int = SLOT_S) -> None:
        """One row a slot, of constant power, from this slot on."""
        row = (watts * slot_s).to_bytes(4, "little", signed=True)
        start_s = START_S + (slot - 1) * slot_s
        self.ask("feed", start_s=start_s, row_s=slot_s, rows=row * count)

    def run(self, slot: int, watts: int = 600) -> dict[str, Any]:
        """Feed one slot and let it end; the fields of the report."""
        self.feed(slot, watts)
        self.ask("advance", now_s=end_s(slot))
        return self.report(slot)

    def take_roster(self, data: bytes, chunk: int = 900) -> None:
        """Hand over a roster's bytes, whatever they are, and commit until every key is there."""
        body = data[: -device_roster.SIGNATURE_BYTES]
        self.ask("roster_begin", size=len(data), digest=hashlib.sha256(body).digest())
        for at in range(0, len(data), chunk):
            self.ask("roster_chunk", offset=at, data=data[at : at + chunk])
        while True:
            reply = self.ask("roster_commit").fields
            if reply["done"] == reply["total"]:
                return

    def roster_refusal(self, data: bytes) -> tuple[str, str]:
        """Code and detail with which a roster is refused, at whatever step."""
        try:
            self.take_roster(data)
        except Refused as refused:
            return refused.code, refused.detail
        raise AssertionError("the roster was taken")

    def report(self, slot: int) -> dict[str, Any]:
        body = self.reports[slot][-1]
        return messages.decode(body[0], body[1:])[1]

    def raw(self, data: bytes) -> list[tuple[int, int, bytes]]:
        """Send bytes as they are and return the frames that came before a hello's reply."""
        number, payload = messages.encode("hello_request", {})
        self.unix.write(data + frame.encode(number, 0xABCD, payload))
        decoder, out = frame.Decoder(), []
        while True:
            for got in decoder.feed(self.unix.read(20.0)):
                if got[1] == 0xABCD:
                    return out
                out.append(got)

    def storage(self) -> dict[str, bytes]:
        return self.unix.files()


@dataclass
class Street:
    """Meters 1..n of one street with their authority and supplier."""

    folder: Path
    meters: dict[int, Meter]
    authority: Authority
    supplier: Supplier
    roster: SignedRoster | None = None
    keys: dict[int, MeterKeys] = field(default_factory=dict)

    def sign(self, wanted: StreetPlan, members: Sequence[Member] | None = None) -> SignedRoster:
        if self.roster is not None and wanted.epoch == self.roster.device.epoch + 1:
            wanted = replace(wanted, previous=self.roster.hash)
        return self.authority.sign(wanted, members or self.members(), self.supplier.public_key)

    def members(self) -> list[Member]:
        return [Member(i, m.hello()["public_key"]) for i, m in self.meters.items()]

    def enrol(self, wanted: StreetPlan | None = None) -> SignedRoster:
        roster = self.sign(wanted or plan())
        enrolment.deliver({i: m.link for i, m in self.meters.items()}, roster)
        self.use(roster)
        return roster

    def use(self, roster: SignedRoster) -> None:
        self.roster = roster
        made = self.supplier.meter_keys(roster)
        self.keys = {m.meter_id: k for m, k in zip(roster.members, made, strict=True)}

    def silent(self, *meter_ids: int) -> bytes:
        """S as a bit map."""
        roster = self.signed()
        return masking.silent_map(len(roster.members), [roster.index_of[i] for i in meter_ids])

    def signed(self) -> SignedRoster:
        if self.roster is None:
            raise AssertionError("enrol the street first")
        return self.roster

    def announcement(self, meter_id: int, slot: int, silent: bytes = b"\0") -> dict[str, Any]:
        """A valid announce of S, to be spoilt by the test."""
        return {
            "epoch": self.signed().device.epoch,
            "slot": slot,
            "silent": silent,
            "tag": self.tag(meter_id, b"announce", slot, silent),
        }

    def acknowledgement(self, meter_id: int, slot: int, turn: int) -> dict[str, Any]:
        return {
            "epoch": self.signed().device.epoch,
            "slot": slot,
            "round": turn,
            "tag": self.tag(meter_id, b"stored", slot, bytes((turn,))),
        }

    def tag(self, meter_id: int, purpose: bytes, slot: int, content: bytes) -> bytes:
        key = self.keys[meter_id].tag_down
        return masking.tag(key, purpose, self.signed().hash, meter_id, slot, content)

    def total(self, slot: int, reports: dict[int, bytes], answers: dict[int, bytes]) -> list[int]:
        """The lanes' totals of these reports and answers (bodies by meter), keystreams lifted."""
        rules = self.signed().device
        sums = [0] * rules.lanes
        for meter_id, body in reports.items():
            key = self.keys[meter_id].keystream
            for number in range(rules.day(rules.first_slot) + 1, rules.day(slot) + 1):
                key = masking.next_day_key(key, number)
            stream = masking.pads(key, masking.USE_KEYSTREAM, 1, slot, rules.lanes)
            words = _words(body)
            lifted = _words(answers[meter_id]) if answers else [0] * rules.lanes
            for lane in range(rules.lanes):
                sums[lane] += words[lane] - lifted[lane] - stream[lane]
        return [masking.signed(total & masking.MASK) for total in sums]


def forge(
    roster: SignedRoster,
    *,
    seed: bytes | None = None,
    members: Sequence[tuple[int, bytes]] | None = None,
    spoil: Callable[[Any], None] = lambda rules: None,
) -> bytes:
    """A roster's bytes with changed rules or members, signed anew without any check.

    ``seed`` is that of another authority's key, which then also stands in the roster's place.
    """
    rules = device_roster.parse_header(roster.data)
    listed = [(m.meter_id, m.public_key) for m in roster.members] if members is None else members
    rules.members = len(listed)
    key = Ed25519PrivateKey.from_private_bytes(
        meter_plan.derived_seed(SEED, "authority") if seed is None else seed
    )
    rules.authority_key = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    rules.previous = roster.device.previous
    spoil(rules)
    body = rules.header() + b"".join(i.to_bytes(4, "big") + k for i, k in listed)
    return body + key.sign(device_roster.signed_message(hashlib.sha256(body).digest()))


def _words(body: bytes) -> list[int]:
    return masking.unpack_words(messages.decode(body[0], body[1:])[1]["words"])


def new_member(meter_id: int) -> Member:
    """A member that is no meter here: its key's other half is thrown away."""
    key = X25519PrivateKey.generate().public_key()
    return Member(meter_id, key.public_bytes(Encoding.Raw, PublicFormat.Raw))


def plan_of_meter(meter_id: int, authority: Authority, **changes: Any) -> meter_plan.MeterPlan:
    """How a meter of the test street is provisioned."""
    made = meter_plan.MeterPlan(
        meter_id=meter_id,
        street=STREET,
        board="unix",
        authority_key=authority.public_key,
        floors=FLOORS,
        controller={"name": "none"},
        permitted_modes=("fixed-seed",),
        fixed_seed=SEED,
    )
    return replace(made, **changes)


def street(folder: Path, count: int = 4, **changes: Any) -> Street:
    """Provisioned, started meters without a roster; the changes are to every meter's plan."""
    authority = Authority(meter_plan.derived_seed(SEED, "authority"))
    supplier = Supplier(meter_plan.derived_seed(SEED, "supplier"))
    meters = {}
    for meter_id in range(1, count + 1):
        storage = folder / f"meter-{meter_id}"
        storage.mkdir(parents=True)
        for name, data in meter_plan.files(plan_of_meter(meter_id, authority, **changes)).items():
            (storage / name).write_bytes(data)
        meters[meter_id] = boot(meter_id, storage)
    return Street(folder, meters, authority, supplier)


def boot(meter_id: int, storage: Path) -> Meter:
    """A meter on storage that is there."""
    unix = UnixMeter(storage)
    return Meter(meter_id, unix, Link(unix)).start()


def copy(made: Street, folder: Path) -> Street:
    """The same street on copies of the storage folders, booted there."""
    meters = {}
    for meter_id, meter in made.meters.items():
        storage = folder / meter.unix.storage.name
        shutil.copytree(meter.unix.storage, storage)
        meters[meter_id] = boot(meter_id, storage)
    return replace(made, folder=folder, meters=meters)


def copy_storage(made: Street, folder: Path) -> Path:
    """A copy of meter 1's storage; nothing is booted."""
    return Path(shutil.copytree(made.meters[1].unix.storage, folder / "meter-1"))


def running(made: Street) -> Iterator[Street]:
    """For fixtures: the street, and its processes ended afterwards."""
    try:
        yield made
    finally:
        stop(made)


def stop(made: Street) -> None:
    for meter in made.meters.values():
        meter.unix.kill()


def code_name(number: int) -> str:
    return NAMES[number]
