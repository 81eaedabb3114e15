"""Meters that load a service: real words and tags, without keys between pairs.

To an aggregator the masks of pairs are numbers that cancel in the sum. Over the meters of a street
they are uniform but for that one equation, and so are the words here: a report is reading,
keystream and a uniform word; the answers are uniform with the one sum that lifts the uniform words
of those who reported. Keystreams, tags, frames, and what a meter does with each request are the
device's. An aggregator cannot tell the two apart, and a thousand meters cost no AES but their
keystreams'.

No noise is added, so that every total can be held against the truth to the watt-hour.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from numpy.typing import NDArray

from hushfw.core import frame, masking, messages
from hushfw.core.errors import HushError
from hushmeter.cluster.keystream import Keystreams
from hushmeter.cluster.roster import Authority, LanePlan, Member, SignedRoster, StreetPlan
from hushmeter.cluster.supplier import Supplier

CAP_WH = 3000
_REFUSED = 40

Words = NDArray[np.uint64]


@dataclass(frozen=True)
class LoadPlan:
    """What the meters of one simulated street do.

    Attributes
    ----------
    silent_share:
        Part of the meters that says nothing in a slot, at most the M of the roster: a tenth, at
        least 1.
    """

    street: str
    meters: int
    start_s: int
    slots: int
    slot_s: int
    seed: int
    silent_share: float
    expiry_s: int

    def secret(self, purpose: str) -> bytes:
        """32 bytes; streets of a load test are as public as their seed."""
        return hashlib.sha256(f"load {self.seed} {self.street} {purpose}".encode()).digest()

    @property
    def missing(self) -> int:
        return max(1, self.meters // 10)

    def supplier(self) -> Supplier:
        return Supplier(self.secret("supplier"))

    def roster(self) -> SignedRoster:
        """The street's roster, signed by an authority of its own."""
        plan = StreetPlan(
            street=self.street,
            epoch=1,
            start_s=self.start_s,
            first_slot=1,
            last_slot=self.slots,
            slot_s=self.slot_s,
            missing=self.missing,
            colluders=1,
            lanes=(LanePlan(CAP_WH, None),),
            allowed_modes=("no-noise",),
            report_window_s=self.slot_s,
            expiry_s=self.expiry_s,
        )
        members = [Member(i + 1, self._public_key(i + 1)) for i in range(self.meters)]
        authority = Authority(self.secret("authority"))
        return authority.sign(plan, members, self.supplier().public_key)

    def _public_key(self, meter_id: int) -> bytes:
        key = X25519PrivateKey.from_private_bytes(self.secret(f"meter {meter_id}"))
        return key.public_key().public_bytes_raw()


@dataclass
class _SlotTruth:
    """What the meters of a street know of one slot; arrays are by index, shape (N,)."""

    readings: Words
    masks: Words
    speaks: NDArray[np.bool_]
    reports: dict[int, bytes] = field(default_factory=dict)
    answers: dict[bytes, dict[int, bytes]] = field(default_factory=dict)


class SimulatedStreet:
    """All meters of one street: what they send, what they reply, and what is true."""

    def __init__(self, plan: LoadPlan, roster: SignedRoster) -> None:
        self.plan, self.roster = plan, roster
        self._keys = plan.supplier().meter_keys(roster)
        rules = roster.device
        self._streams = Keystreams(
            [key.keystream for key in self._keys], rules.day(rules.first_slot), rules.lanes
        )
        self._random = np.random.default_rng(plan.seed)
        self._slots: dict[int, _SlotTruth] = {}
        self._kinds = {name: messages.BY_NAME[name][0] for name in ("report", "answer")}
        self.acknowledged: dict[tuple[int, int], set[int]] = defaultdict(set)
        self.refusals: list[str] = []
        self._answered: list[int] = []

    def _tag(self, index: int, purpose: bytes, slot: int, content: bytes, *, up: bool) -> bytes:
        key = self._keys[index].tag_up if up else self._keys[index].tag_down
        head = b"hush1 " + purpose + self.roster.hash
        place = (index + 1).to_bytes(4, "big") + slot.to_bytes(8, "big")
        return hmac.digest(key, head + place + content, "sha256")[: masking.TAG_BYTES]

    def _uniform(self) -> Words:
        return self._random.integers(0, 1 << 64, self.plan.meters, np.uint64, endpoint=False)

    def close(self, number: int) -> list[tuple[int, bytes]]:
        """A slot has ended: the frames of the reports, with the meters' ids."""
        readings = self._random.integers(0, CAP_WH + 1, self.plan.meters).astype(np.uint64)
        speaks = self._random.random(self.plan.meters) >= self.plan.silent_share
        silent = np.flatnonzero(~speaks)
        speaks[silent[self.plan.missing :]] = True
        slot = self._slots[number] = _SlotTruth(readings, self._uniform(), speaks)
        streams = self._streams.words(number, self.roster.device.day(number))[:, 0]
        words = (readings + streams + slot.masks).astype(">u8").tobytes()
        for index in np.flatnonzero(speaks):
            i = int(index)
            word = words[8 * i : 8 * i + 8]
            tag = self._tag(i, b"report", number, b"\0" + word, up=True)
            head = self._head(i, number) + b"\0"
            slot.reports[i + 1] = head + b"\0\x08" + word + tag
        kind = self._kinds["report"]
        return [(meter_id, frame.encode(kind, 0, body)) for meter_id, body in slot.reports.items()]

    def hello(self, meter_id: int) -> bytes:
        """The frame that a meter publishes when it has connected."""
        kind, payload = messages.encode("hello", self._said_hello(meter_id))
        return bytes(frame.encode(kind, 0, payload))

    def _said_hello(self, meter_id: int) -> dict[str, object]:
        return {
            "board": "simulated",
            "firmware": "",
            "protocol": 1,
            "modes": 0,
            "meter_id": meter_id,
            "public_key": self.roster.members[meter_id - 1].public_key,
            "epoch": self.roster.device.epoch,
            "next_slot": max(self._slots, default=0) + 1,
            "boots": 1,
            "max_payload": frame.MAX_PAYLOAD,
            "problem": "",
        }

    def _head(self, index: int, number: int) -> bytes:
        epoch = int(self.roster.device.epoch)
        return (index + 1).to_bytes(4, "big") + epoch.to_bytes(4, "big") + number.to_bytes(8, "big")

    def reply(self, meter_id: int, payload: bytes) -> tuple[bytes, list[tuple[int, int]]]:
        """What a meter publishes when this came, and what was acknowledged: (slot, round)."""
        out, stored = b"", []
        for kind, sequence, body in frame.Decoder().feed(payload):
            try:
                name, fields = messages.decode(kind, body)
                answer = self._answer(meter_id, name, fields)
            except HushError as error:
                self.refusals.append(error.code)
                answer = messages.encode("refused", {"code": _REFUSED, "detail": ""})
            else:
                if name == "stored":
                    stored.append((fields["slot"], fields["round"]))
                    self.acknowledged[fields["slot"], fields["round"]].add(meter_id)
            out += frame.encode(answer[0], sequence, answer[1])
        return out, stored

    def _answer(self, meter_id: int, name: str, fields: dict[str, object]) -> tuple[int, bytes]:
        if name == "clock":
            return messages.BY_NAME["ok"][0], b""
        if name == "hello_request":
            kind, payload = messages.encode("hello", self._said_hello(meter_id))
            return kind, payload
        number, index = fields.get("slot"), meter_id - 1
        slot = self._slots.get(number) if isinstance(number, int) else None
        if slot is None or not isinstance(number, int) or meter_id not in slot.reports:
            raise HushError("wrong_slot", "no report of that slot")
        if name == "stored":
            turn = fields["round"]
            assert isinstance(turn, int)
            wanted = self._tag(index, b"stored", number, bytes((turn,)), up=False)
            self._check(fields["tag"], wanted)
            return messages.BY_NAME["ok"][0], b""
        if name == "resend" and fields["round"] == messages.REPORT_ROUND:
            return self._kinds["report"], slot.reports[meter_id]
        if name == "announce":
            silent = fields["silent"]
            assert isinstance(silent, bytes)
            self._check(fields["tag"], self._tag(index, b"announce", number, silent, up=False))
            answer = self._answer_to(number, slot, silent)[meter_id]
            self._answered.append(number)
            return self._kinds["answer"], answer
        raise HushError("unknown_message", f"no meter is asked {name} here")

    def answered(self) -> list[int]:
        """The slots that the last replies answered; asked for once."""
        answered, self._answered = self._answered, []
        return answered

    @staticmethod
    def _check(tag: object, wanted: bytes) -> None:
        if tag != wanted:
            raise HushError("bad_tag", "not from the aggregator")

    def _answer_to(self, number: int, slot: _SlotTruth, silent: bytes) -> dict[int, bytes]:
        """Every reporter's answer to S. A second S for a slot is what must never be."""
        if silent in slot.answers:
            return slot.answers[silent]
        if slot.answers:
            raise HushError("refused", "another S was answered")
        inside = self._reporters(silent)
        words = self._uniform()
        # Sums of uint64 wrap, which is the arithmetic of the masks.
        wanted, others = slot.masks[inside].sum(), words[inside[:-1]].sum()
        words[inside[-1]] = (int(wanted) - int(others)) % (1 << 64)
        packed = words.astype(">u8").tobytes()
        digest = bytes(masking.silent_digest(self.roster.hash, number, silent))
        made = {}
        for index in inside:
            i = int(index)
            word = packed[8 * i : 8 * i + 8]
            tag = self._tag(i, b"answer", number, digest + word, up=True)
            made[i + 1] = self._head(i, number) + b"\0\x08" + word + tag
        slot.answers[silent] = made
        return made

    def _reporters(self, silent: bytes) -> NDArray[np.int64]:
        bits = np.unpackbits(np.frombuffer(silent, np.uint8), bitorder="little")
        return np.flatnonzero(bits[: self.plan.meters] == 0).astype(np.int64)

    def truth(self, number: int, silent: bytes) -> int:
        """The street's total of a slot in Wh, over everyone who is not in S."""
        return int(self._slots[number].readings[self._reporters(silent)].sum())

    def body(self, number: int, turn: int, meter_id: int) -> bytes:
        """The report or answer that this meter sent: number and payload."""
        slot = self._slots[number]
        if turn == messages.REPORT_ROUND:
            return bytes((self._kinds["report"],)) + slot.reports[meter_id]
        (answers,) = slot.answers.values()
        return bytes((self._kinds["answer"],)) + answers[meter_id]

    def is_settled(self) -> bool:
        """Whether every report of every slot so far, and an answer to each, was acknowledged."""
        return all(
            len(self.acknowledged[number, turn]) == len(slot.reports)
            for number, slot in self._slots.items()
            for turn in (messages.REPORT_ROUND, messages.ANSWER_ROUND)
        )
