"""A meter in its street, on the board at hand: the same bytes as on CPython, before and after cuts.

One meter is under test. Its partners are keys on the host, and their reports and answers are
computed there with the device package's own functions, so that whole slots can be added up.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hil.backends import Board
from hil.twin import Twin
from hushfw import store
from hushfw.core import frame, kdf, masking, messages
from hushmeter.cluster import enrolment
from hushmeter.cluster.roster import Authority, LanePlan, Member, SignedRoster, StreetPlan
from hushmeter.cluster.supplier import Supplier
from hushmeter.devices import provision
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
FLOORS = provision.Floors(
    least_members=3, least_honest=2, greatest_epsilon=Fraction(1), shortest_slot_s=SLOT_S
)


def private_key(purpose: str) -> bytes:
    return provision.derived_seed(SEED, purpose)


def public(private: bytes) -> bytes:
    key = X25519PrivateKey.from_private_bytes(private).public_key()
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


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
        listed += [Member(i, public(key)) for i, key in partners.items()]
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
        report = masking.report_words(
            [value_wh], index, self._pair_keys(partner), keystream, recovery, slot
        )
        stream = masking.pads(keystream, masking.USE_KEYSTREAM, 1, slot, 1)
        answer = masking.answer_words(
            index, self._pair_keys(partner), recovery, slot, silent, digest
        )
        return [report[0] - stream[0]], answer

    def _pair_keys(self, partner: int) -> list[tuple[int, bytes, bytes]]:
        own = X25519PrivateKey.from_private_bytes(self.partner_keys[partner])
        own_public = public(self.partner_keys[partner])
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


def plan_of(board_name: str, **changes: Any) -> provision.MeterPlan:
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
    return provision.MeterPlan(**(fields | changes))


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


def scenario(talk: Talk, reset: Callable[[], Transport], street: Street) -> Talk:
    """Slots, refusals and a cut; the same requests whatever answers."""
    talk.run_slot(1, 737)
    talk.run_slot(2, 2900)
    talk.ask("announce", **street.announcement(1, 4))
    talk.ask("resend", epoch=1, slot=2, round=1)
    wrong = street.announcement(2, 3)
    assert talk.refused("announce", **(wrong | {"tag": bytes(16)})) == "refused"
    assert talk.refused("announce", **street.announcement(2, 3, 4)) == "refused"
    assert talk.refused("announce", **street.announcement(1, 3)) == "refused"
    assert talk.refused("resend", epoch=1, slot=9, round=1) == "wrong_slot"
    assert talk.refused("advance", now_s=1 << 62) == "bad_feed"
    again = Talk(reset())
    again.bodies = talk.bodies
    hello = again.ask("hello_request")
    assert (hello["next_slot"], hello["problem"]) == (3, "")
    again.ask("resend", epoch=1, slot=2, round=1)
    again.ask("announce", **street.announcement(1, 4))
    again.ask("announce", **street.announcement(2))
    again.run_slot(3, 100)
    return again


@dataclass
class Ran:
    """The scenario on the board, and on CPython with the same storage."""

    street: Street
    board: Talk
    twin: Talk
    board_files: dict[str, bytes]
    twin_files: dict[str, bytes]


def agreed_before(twin: Twin) -> bytes:
    """Pair secrets with all but the last partner, as from an earlier epoch, to save a slow board
    the time: a fixed seed lets the host know the key that the meter will make.
    """
    own = twin.files()[provision.IDENTITY_FILE][:32]
    keys = [own] + [private_key(f"meter key {i}") for i in range(1, SMALL)]
    supplier = Supplier(private_key("supplier"))
    return next(pairs.files(keys, supplier.public_key))[provision.PAIRS_FILE][: -store.PAIR_BYTES]


one_worker = pytest.mark.xdist_group("one scenario for all of these")


@pytest.fixture(scope="module")
def ran(board: Board, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    files = provision.files(plan_of(board.facts.name))
    twin = Twin(tmp_path_factory.mktemp("twin"), files)
    files |= {provision.PAIRS_FILE: agreed_before(twin)}
    twin = Twin(tmp_path_factory.mktemp("twin"), files)
    on_twin, on_board = Talk(twin), Talk(board.boot(files))
    own_key = on_twin.ask("hello_request")["public_key"]
    assert on_board.ask("hello_request")["public_key"] == own_key
    street = Street.of(SMALL, own_key)
    began = board.clock_s()
    enrol(on_board, street.roster)
    board.numbers["roster_with_one_new_partner_s"] = round(board.clock_s() - began, 2)
    enrol(on_twin, street.roster)
    on_twin = scenario(on_twin, twin.reset, street)
    on_board = scenario(on_board, board.reset, street)
    return Ran(street, on_board, on_twin, board.files(), twin.files())


@one_worker
def test_a_board_says_what_cpython_says_byte_for_byte(ran: Ran) -> None:
    for number, (said, wanted) in enumerate(zip(ran.board.bodies, ran.twin.bodies, strict=True)):
        assert said == wanted, number
    assert ran.board.transcript() == ran.twin.transcript()


@one_worker
def test_a_board_keeps_what_cpython_keeps(ran: Ran) -> None:
    assert sorted(ran.board_files) == sorted(ran.twin_files)
    for name, content in ran.twin_files.items():
        if name != "journal.bin":
            assert ran.board_files[name] == content, name
    assert _records(ran.board_files["journal.bin"]) == _records(ran.twin_files["journal.bin"])


def _records(journal: bytes) -> list[tuple[int, Any]]:
    """(kind, payload) of every record; JSON read, for its order is the interpreter's own."""
    out, at = [], 0
    while at < len(journal):
        kind, size, _ = struct.unpack_from(">BHH", journal, at)
        payload = journal[at + 5 : at + 5 + size]
        out.append((kind, json.loads(payload) if payload.startswith(b"{") else payload))
        at += 9 + size
    return out


@one_worker
def test_a_slot_adds_up_with_the_partners_and_not_without_one(ran: Ran) -> None:
    silent = ran.street.announcement(1, 4)["silent"]
    report = _words(ran.board.of_kind("report")[1])
    answer = _words(ran.board.of_kind("answer")[1])
    key = ran.street.supplier.meter_keys(ran.street.roster)[0].keystream
    stream = masking.pads(key, masking.USE_KEYSTREAM, 1, 1, 1)
    total = report[0] - answer[0] - stream[0]
    for partner, value_wh in ((2, 50), (3, 70)):
        assert abs(masking.signed(total & masking.MASK)) > 1 << 40
        masked, lifted = ran.street.partner_words(partner, 1, value_wh, silent)
        total += masked[0] - lifted[0]
    tail = ran.street.roster.device.tail_wh(ran.street.roster.device.lane_list[0])
    assert -tail <= masking.signed(total & masking.MASK) - 120 <= CAP_WH + tail


def _words(body: bytes) -> list[int]:
    return list(masking.unpack_words(messages.decode(body[0], body[1:])[1]["words"]))


@one_worker
def test_after_a_reset_the_journal_goes_on_where_it_was(ran: Ran) -> None:
    reports = [b for b in ran.board.bodies if b[0] == messages.BY_NAME["report"][0]]
    slots = [messages.decode(b[0], b[1:])[1]["slot"] for b in reports]
    assert slots == [1, 2, 2, 2, 3]
    assert len(set(reports)) == 3
    answers = [b for b in ran.board.bodies if b[0] == messages.BY_NAME["answer"][0]]
    assert len(answers) == 3 and answers[0] == answers[1] != answers[2]


def provisioned(
    board: Board, tmp_path: Path, members: int
) -> tuple[dict[str, bytes], Street, Twin]:
    """Storage of an enrolled meter in a street of any size, made on CPython.

    The host makes the pair secrets: agreeing on a thousand takes a board ten minutes.
    """
    modes = ("fixed-seed", "provisioned-pairs")
    keys = [private_key(f"meter key {i}") for i in range(members)]
    supplier = Supplier(private_key("supplier"))
    files = provision.files(plan_of(board.facts.name, provisioned_pairs=True))
    files |= next(pairs.files(keys, supplier.public_key))
    street = Street.of(members, public(keys[0]), modes)
    twin = Twin(tmp_path / f"twin-{members}", files)
    enrol(Talk(twin), street.roster)
    return twin.files(), street, twin


def measured_slot(board: Board, tmp_path: Path, members: int) -> None:
    """One slot of a meter with this many partners: heap and times recorded, words compared."""
    files, street, twin = provisioned(board, tmp_path, members)
    on_board, on_twin = Talk(board.boot(files)), Talk(twin.reset())
    for talk in (on_twin, on_board):
        talk.ask("hello_request")
        talk.run_slot(1, 800)
        talk.ask("announce", **street.announcement(1, 2))
    assert on_board.bodies == on_twin.bodies
    status = on_board.link.request("status_request").fields
    assert status["reports"] == status["answers"] == 1
    for name in ("free_heap_bytes", "slot_ms", "answer_ms"):
        board.numbers[f"{name}_for_n_{members}"] = status[name]
    board.numbers[f"roster_bytes_for_n_{members}"] = len(street.roster.data)
    on_flash = sum(len(files[name]) for name in files if name != "config.json")
    board.numbers[f"storage_bytes_for_n_{members}"] = on_flash
    assert status["free_heap_bytes"] > 16 * 1024


@pytest.mark.parametrize("members", [12, 100])
def test_a_slot_fits_the_boards_heap(board: Board, tmp_path: Path, members: int) -> None:
    measured_slot(board, tmp_path, members)


@pytest.mark.slow
def test_a_slot_of_a_thousand_fits_the_boards_heap(board: Board, tmp_path: Path) -> None:
    measured_slot(board, tmp_path, 1000)


def test_bad_frames_are_refused_and_the_next_good_one_is_answered(
    board: Board, tmp_path: Path
) -> None:
    files, street, _ = provisioned(board, tmp_path, SMALL)
    transport = board.boot(files)
    talk = Talk(transport)
    talk.ask("hello_request")
    talk.run_slot(1, 800)
    kept = board.files()["journal.bin"]
    number, payload = messages.encode("announce", street.announcement(1, 4))
    whole = frame.encode(number, 7, payload)
    bad = [
        b"MPY: soft reboot\r\n>>> \0",
        whole[:-9] + b"\0",
        whole[:9] + bytes((whole[9] ^ 4,)) + whole[10:],
        b"\xff" * 3000 + b"\0",
        frame.encode(number, 8, payload[:-1]),
        frame.encode(number, 9, payload + b"\0"),
        frame.encode(0xEE, 10, b""),
    ]
    for data in bad:
        transport.write(data)
        assert talk.ask("hello_request")["next_slot"] == 2
    status = talk.ask("status_request")
    assert status["damaged_frames"] >= 4
    assert status["answers"] == 0
    assert board.files()["journal.bin"] == kept
    assert talk.ask("announce", **street.announcement(1, 4))["slot"] == 1


def test_enrolment_helpers_of_the_host_reach_the_board(board: Board) -> None:
    files = provision.files(plan_of(board.facts.name))
    link = Link(board.boot(files), timeout_s=PATIENCE_S, tries=1)
    hellos = enrolment.witness({OWN_ID: link})
    (member,) = enrolment.members(hellos)
    assert member.meter_id == OWN_ID
    assert hellos[OWN_ID].fields["board"] == board.facts.name
