"""Meters that an attack plays against, and members that the attacker plays itself.

A :class:`Board` is the firmware's own meter, booted on a folder and asked through frames. While it
works the process stands in that folder, as a meter on a board stands in its flash; so one at a
time, and no threads. A :class:`Puppet` needs no meter: the attacker has its key.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from contextlib import chdir
from fractions import Fraction
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hushfw import meter as device_meter
from hushfw.core import frame, kdf, masking, messages
from hushfw.core import roster as device_roster
from hushfw.core.errors import NAMES
from hushmeter.cluster.roster import (
    LanePlan,
    Member,
    SignedRoster,
    StreetPlan,
)
from hushmeter.devices import meter_plan
from hushmeter.errors import HushmeterError

STREET = "attacked-street"
START_S = 1_700_006_400
"""A midnight (UTC), so that no slot of a short attack lies in another day."""

SLOT_S = 600
CAP_WH = 1000
EPSILON = Fraction(20)
"""So that a home's own share is as small beside its reading as it is in a street of a hundred with
epsilon 1: its mean part is cap / (epsilon n), and the streets of the book have n = 3 to 5."""

FLOORS = meter_plan.Floors(
    least_members=4, least_honest=2, greatest_epsilon=EPSILON, shortest_slot_s=SLOT_S
)
_CHUNK = 900


class Refused(Exception):
    """A meter refused a request; the code is on the wire, why often is not."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def end_s(slot: int) -> int:
    """When a slot is over."""
    return START_S + slot * SLOT_S


def plan(**changes: Any) -> StreetPlan:
    """A street of 10-minute slots with M = T = 1 where nothing else is said."""
    fields: dict[str, Any] = {
        "street": STREET,
        "epoch": 1,
        "start_s": START_S,
        "first_slot": 1,
        "last_slot": 100_000,
        "slot_s": SLOT_S,
        "missing": 1,
        "colluders": 1,
        "lanes": (LanePlan(CAP_WH, EPSILON),),
        "allowed_modes": ("fixed-seed",),
        "expiry_s": 86400,
    }
    return StreetPlan(**(fields | changes))


class Board:
    """One meter, and everything that it ever sent: bodies (number and payload) by slot."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.reports: dict[int, list[bytes]] = defaultdict(list)
        self.answers: dict[int, list[bytes]] = defaultdict(list)
        self.boot()

    def boot(self) -> None:
        """Start the meter on its storage, as after a power cut.

        Raises
        ------
        HushmeterError
            It cannot work on this storage.
        """
        with chdir(self.folder):
            self.meter = device_meter.boot()
        self._sequence = 0
        if not isinstance(self.meter, device_meter.Meter):
            raise HushmeterError(f"the meter does not work: {self.ask('hello_request')['problem']}")

    def ask(self, name: str, **fields: Any) -> dict[str, Any]:
        """The fields of the reply to one request.

        Raises
        ------
        Refused
            The meter refused it.
        """
        number, payload = messages.encode(name, fields)
        self._sequence = self._sequence % 0xFFFF + 1
        with chdir(self.folder):
            frames = self.meter.receive(number, self._sequence, payload)
        reply: tuple[str, dict[str, Any]] = ("", {})
        for kind, _, body in frame.Decoder().feed(b"".join(frames)):
            reply = messages.decode(kind, body)
            kept = {"report": self.reports, "answer": self.answers}.get(reply[0])
            if kept is not None:
                kept[reply[1]["slot"]].append(bytes((kind,)) + bytes(body))
        if reply[0] == "refused":
            raise Refused(NAMES[reply[1]["code"]])
        return dict(reply[1])

    def refuses(self, name: str, **fields: Any) -> str:
        """The code with which a request is refused, empty if it was not."""
        try:
            self.ask(name, **fields)
        except Refused as refused:
            return refused.code
        return ""

    def run(self, slot: int, reading_wh: int) -> bytes | None:
        """Feed one slot's reading and let the slot end; the report, None if none left."""
        row = (reading_wh * 3600).to_bytes(4, "little", signed=True)
        self.ask("feed", start_s=end_s(slot - 1), row_s=SLOT_S, rows=row)
        self.ask("advance", now_s=end_s(slot))
        return self.reports[slot][-1] if self.reports[slot] else None

    def take(self, data: bytes) -> str:
        """Offer a roster's bytes; the code with which they are refused, empty once in use."""
        digest = hashlib.sha256(data[: -device_roster.SIGNATURE_BYTES]).digest()
        try:
            self.ask("roster_begin", size=len(data), digest=digest)
            for at in range(0, len(data), _CHUNK):
                self.ask("roster_chunk", offset=at, data=data[at : at + _CHUNK])
            done, total = 0, 1
            while done < total:
                reply = self.ask("roster_commit")
                done, total = reply["done"], reply["total"]
        except Refused as refused:
            return refused.code
        return ""

    @property
    def public_key(self) -> bytes:
        """The key that the meter made for itself."""
        return bytes(self.ask("hello_request")["public_key"])


class Puppet:
    """A member whose private key the attacker has: seized, or invented.

    It needs no meter: what it masks with a victim follows from its key and the roster.
    """

    def __init__(self, meter_id: int, seed: bytes) -> None:
        self.meter_id = meter_id
        self._key = X25519PrivateKey.from_private_bytes(seed)
        self.public_key = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def member(self) -> Member:
        """As a roster lists it."""
        return Member(self.meter_id, self.public_key)

    def left_in(self, roster: SignedRoster, victim: Member, slot: int, silent: bytes | None) -> int:
        """What this puppet's masks leave in a victim's report less its answer to S.

        S is None in a roster without a second round.
        """
        if silent is not None and masking.in_silent(silent, roster.index_of[self.meter_id]):
            return 0
        keys = self._keys_with(roster, victim)
        sums = masking.dummy_sum(1, slot)
        sums.add(keys, 0, len(keys), 1, True)
        left = int(sums.words()[0])
        if silent is not None:
            digest = masking.silent_digest(roster.hash, slot, silent)
            bound = masking.answer_sum(1, slot, digest)
            bound.add(keys, masking.KEY_BYTES, len(keys), 1, True)
            left -= int(bound.words()[0])
        return left if victim.meter_id > self.meter_id else -left

    def _keys_with(self, roster: SignedRoster, victim: Member) -> bytes:
        secret = self._key.exchange(X25519PublicKey.from_public_bytes(victim.public_key))
        low, high = sorted((victim, self.member()), key=lambda member: member.meter_id)
        both = (low.meter_id, high.meter_id, low.public_key, high.public_key)
        return bytes(masking.pair_record(kdf.Hmac(roster.hash), secret, *both))


def word(body: bytes) -> int:
    """The one lane's word in a report or answer."""
    return int(masking.unpack_words(messages.decode(body[0], body[1:])[1]["words"])[0])


def signed(total: int) -> int:
    """A sum mod 2^64 read as a signed number."""
    return int(masking.signed(total & masking.MASK))
