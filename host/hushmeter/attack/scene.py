"""Where an attack plays: a street of whole meters, and what the director knows of them.

The attacker has what a cheating supplier has: the supplier's keys, every message, and the power to
send any. What it must not have, the readings and the noise shares, the director keeps aside to
judge the result by.
"""

from __future__ import annotations

import gc
import hashlib
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from itertools import combinations
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any
from unittest import mock

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hushfw.core import masking
from hushfw.core import roster as device_roster
from hushmeter.attack.boards import (
    CAP_WH,
    FLOORS,
    STREET,
    Board,
    Puppet,
    plan,
    signed,
    word,
)
from hushmeter.cluster.roster import (
    Authority,
    Member,
    SignedRoster,
    StreetPlan,
)
from hushmeter.cluster.supplier import MeterKeys, Supplier
from hushmeter.devices import meter_plan
from hushmeter.errors import HushmeterError


class Street:
    """Real meters of one street, and the supplier's power over them."""

    def __init__(
        self, scene: Scene, folder: Path, count: int, market: dict[str, Any] | None = None
    ) -> None:
        self.scene = scene
        self.authority = Authority(scene.secret("authority"))
        self.supplier = Supplier(scene.secret("supplier"))
        self.boards: dict[int, Board] = {}
        self.roster: SignedRoster | None = None
        for meter_id in range(1, count + 1):
            self._provision(folder / f"meter-{meter_id}", meter_id, market)

    def _provision(self, folder: Path, meter_id: int, market: dict[str, Any] | None) -> None:
        wanted = meter_plan.MeterPlan(
            meter_id=meter_id,
            street=STREET,
            board="unix",
            authority_key=self.authority.public_key,
            floors=FLOORS,
            controller={"name": "none"},
            permitted_modes=("fixed-seed",),
            fixed_seed=self.scene.seed,
            market=market,
        )
        folder.mkdir(parents=True)
        for name, data in meter_plan.files(wanted).items():
            (folder / name).write_bytes(data)
        self.boards[meter_id] = Board(folder)

    def members(self, ids: Iterable[int] | None = None) -> list[Member]:
        """Real meters as the authority witnesses them."""
        return [Member(i, self.boards[i].public_key) for i in (ids or self.boards)]

    def sign(
        self, wanted: StreetPlan, members: Sequence[Member] | None = None, key: bytes | None = None
    ) -> SignedRoster:
        """A roster as an authority signs it that checks nothing, or an attacker with this key."""
        listed = sorted(members or self.members(), key=lambda member: member.meter_id)
        rules = self._unchecked(wanted, len(listed))
        body = rules.header() + b"".join(
            member.meter_id.to_bytes(4, "big") + member.public_key for member in listed
        )
        signer = Ed25519PrivateKey.from_private_bytes(key or self.scene.secret("authority"))
        digest = hashlib.sha256(body).digest()
        rules.hash = digest
        return SignedRoster(
            body + signer.sign(device_roster.signed_message(digest)),
            rules,
            tuple(listed),
            {member.meter_id: place for place, member in enumerate(listed)},
        )

    def _unchecked(self, wanted: StreetPlan, count: int) -> Any:
        said = {
            name: getattr(wanted, name) for name in device_roster.FIELDS if hasattr(wanted, name)
        }
        said["fraction_bits"] = 0
        said["allowed_modes"] = device_roster.mode_bits(wanted.allowed_modes)
        said["lanes"] = len(wanted.lanes)
        said["authority_key"] = self.authority.public_key
        said["supplier_key"] = self.supplier.public_key
        said["members"] = count
        lanes = []
        for lane in wanted.lanes:
            epsilon = (0, 0) if lane.epsilon is None else lane.epsilon.as_integer_ratio()
            lanes.append(device_roster.Lane(lane.cap_wh, *epsilon))
        return device_roster.Roster(said, lanes)

    def enrol(self, wanted: StreetPlan | None = None) -> SignedRoster:
        """An honest roster of every real meter, taken by all.

        Raises
        ------
        HushmeterError
            A meter refuses it.
        """
        roster = self.authority.sign(wanted or plan(), self.members(), self.supplier.public_key)
        for meter_id, board in self.boards.items():
            code = board.take(roster.data)
            if code:
                raise HushmeterError(f"meter {meter_id} refuses an honest roster: {code}")
        self.use(roster)
        return roster

    def use(self, roster: SignedRoster) -> None:
        """The supplier works under this roster from here on."""
        self.roster = roster
        made = self.supplier.meter_keys(roster)
        self.keys: dict[int, MeterKeys] = {
            m.meter_id: key for m, key in zip(roster.members, made, strict=True)
        }

    @property
    def signed(self) -> SignedRoster:
        """The roster that the supplier works under."""
        if self.roster is None:
            raise HushmeterError("enrol the street first")
        return self.roster

    def silent(self, ids: Iterable[int]) -> bytes:
        """S as a bit map."""
        index_of = self.signed.index_of
        return bytes(masking.silent_map(len(index_of), [index_of[i] for i in ids]))

    def announcement(self, meter_id: int, slot: int, silent: bytes) -> dict[str, Any]:
        """An announcement of S with the supplier's own tag."""
        key = self.keys[meter_id].tag_down
        tag = masking.tag(key, b"announce", self.signed.hash, meter_id, slot, silent)
        epoch = self.signed.device.epoch
        return {"epoch": epoch, "slot": slot, "silent": silent, "tag": tag}

    def ask_for(self, meter_id: int, slot: int, ids: Iterable[int] = ()) -> int | None:
        """The word of a meter's answer to this S, None if it refuses."""
        board = self.boards[meter_id]
        if board.refuses("announce", **self.announcement(meter_id, slot, self.silent(ids))):
            return None
        return word(board.answers[slot][-1])

    def reported(self, meter_id: int, slot: int) -> int:
        """A report's word with the supplier's keystream K taken off."""
        key, rules = self.keys[meter_id].keystream, self.signed.device
        for day in range(rules.day(rules.first_slot) + 1, rules.day(slot) + 1):
            key = masking.next_day_key(key, day)
        stream = masking.pads(key, masking.USE_KEYSTREAM, 1, slot, 1)[0]
        return word(self.boards[meter_id].reports[slot][-1]) - int(stream)

    def window(self, homes: int) -> range:
        """The sums that so many honest readings with noise can have."""
        rules = self.signed.device
        tail = rules.tail_wh(rules.lane_list[0])
        return range(-tail, homes * CAP_WH + tail + 1)

    def openings(self, words: Mapping[int, int], most: int = 8) -> list[tuple[int, ...]]:
        """Groups of meters whose words sum to something that readings can: what an attacker tries.

        words are reports less answers, less K. Sealed words are uniform mod 2^64, so a group falls
        into the window by chance once in 10^14. Groups of `most` at most; none holds another.
        """
        found: list[tuple[int, ...]] = []
        for size in range(1, min(most, len(words)) + 1):
            window = self.window(size)
            for group in combinations(sorted(words), size):
                if any(set(less) <= set(group) for less in found):
                    continue
                if signed(sum(words[i] for i in group)) in window:
                    found.append(group)
        return found


class Scene:
    """One play's folder, seed and truth."""

    def __init__(self, folder: Path, seed: str) -> None:
        self._folder = folder
        self._streets = 0
        self.seed = seed
        self.random = Random(seed)
        self.readings_wh: dict[tuple[int, int], int] = {}
        self._masked_wh: dict[tuple[int, int], int] = {}
        self._last = 0
        self._spy = mock.patch.object(masking, "masked", self._spying(masking.masked))

    def _spying(self, masked: Callable[..., list[int]]) -> Callable[..., list[int]]:
        def seen(values: list[int], *others: Any) -> list[int]:
            self._last = values[0]
            return masked(values, *others)

        return seen

    def __enter__(self) -> Scene:
        # The firmware collects garbage often, for a board's heap; this one has a million objects.
        gc.freeze()
        self._spy.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._spy.stop()
        gc.unfreeze()

    def secret(self, purpose: str) -> bytes:
        """32 bytes that depend on the seed and the purpose alone."""
        return meter_plan.derived_seed(self.seed, purpose)

    def folder(self, name: str) -> Path:
        """An empty folder of this play."""
        made = self._folder / name
        made.mkdir()
        return made

    def street(self, count: int, market: dict[str, Any] | None = None) -> Street:
        """Provisioned meters without a roster, which trade by these terms or not at all."""
        self._streets += 1
        return Street(self, self._folder / f"street-{self._streets}", count, market)

    def enrolled(self, count: int, **changes: Any) -> Street:
        """A street under an honest roster."""
        made = self.street(count)
        made.enrol(plan(**changes))
        return made

    def puppet(self, meter_id: int) -> Puppet:
        """A member whose key the attacker has."""
        return Puppet(meter_id, self.secret(f"puppet {meter_id}"))

    def copy(self, board: Board, name: str) -> Board:
        """The meter booted on a copy of its storage."""
        return Board(Path(shutil.copytree(board.folder, self._folder / name)))

    def copied(self, street: Street) -> Street:
        """The whole street on copies of its storage, under the same roster."""
        self._streets += 1
        made = copy(street)
        made.boards = {
            meter_id: self.copy(board, f"street-{self._streets}-{meter_id}")
            for meter_id, board in street.boards.items()
        }
        return made

    def run(self, street: Street, slot: int, ids: Iterable[int] | None = None) -> None:
        """Readings of these meters, or of all, from 10 Wh to the cap; they report."""
        for meter_id in ids or street.boards:
            reading_wh = self.random.randrange(10, CAP_WH)
            self.read(street, meter_id, slot, reading_wh)

    def read(self, street: Street, meter_id: int, slot: int, reading_wh: int) -> None:
        """One meter's reading of a slot, and its report."""
        self._last = reading_wh
        street.boards[meter_id].run(slot, reading_wh)
        self.readings_wh[meter_id, slot] = reading_wh
        self._masked_wh[meter_id, slot] = self._last

    def share_wh(self, meter_id: int, slot: int) -> int:
        """The noise that a meter added last in a slot."""
        return self._masked_wh[meter_id, slot] - self.readings_wh[meter_id, slot]

    def truth(self, ids: Iterable[int], slot: int) -> tuple[int, int]:
        """(readings, noise shares) of a group in Wh, summed."""
        group = list(ids)
        return (
            sum(self.readings_wh[i, slot] for i in group),
            sum(self.share_wh(i, slot) for i in group),
        )

    def judged(self, ids: Iterable[int], slot: int, found: int | None) -> dict[str, Any]:
        """Evidence about a group's sum: what is true, and what the attacker found.

        ``opened`` says that the attacker has reading plus the group's own noise shares, exactly.
        """
        group = list(ids)
        true_wh, share_wh = self.truth(group, slot)
        value = None if found is None else signed(found)
        opened = value == true_wh + share_wh
        return {
            "homes": group,
            "true_wh": true_wh,
            "own_noise_wh": share_wh,
            "recovered_wh": value if opened else None,
            "opened": opened,
        }
