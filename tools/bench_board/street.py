"""The street in which one meter is measured; the others exist as keys on the host alone."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

from hushfw.core import masking
from hushmeter.cluster.roster import Authority, LanePlan, Member, SignedRoster, StreetPlan
from hushmeter.cluster.supplier import Supplier
from hushmeter.devices import meter_plan
from hushmeter.emulate import pairs

NAME = "bench"
SLOT_S = 600
DAY_S = 86400
MIDNIGHT_S = 20000 * DAY_S
LAST_SLOT = 5000
"""A month and the day before it."""

CAP_WH = 1667
"""10 kW over a slot."""

ROW_S, QUICK_ROW_S = 1, 60
_ROWS_A_FRAME = 200
METER_ID = 1


class Street:
    """Everything that meter 1 of a street needs, from a fixed seed.

    Parameters
    ----------
    members:
        N; at most a tenth of them may be missing, and epsilon is 1 a slot.
    provisioned:
        The meter's key and pair secrets are made here and written into its storage. Otherwise
        the meter makes its key and agrees on every pair.
    slots_today:
        Slots before midnight; those after it need the keys of another day.
    row_s:
        Seconds between the meter's samples.
    market:
        Terms of a home that trades.
    """

    def __init__(
        self, members: int, board: str, provisioned: bool, slots_today: int, row_s: int = ROW_S,
        market: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        self.members = members
        self.missing = max(1, members // 10)
        self.provisioned = provisioned
        self.row_s = row_s
        self.start_s = MIDNIGHT_S - slots_today * SLOT_S
        self.silent = masking.silent_map(members, [members - 1])
        self._modes = ("fixed-seed", "provisioned-pairs") if provisioned else ("fixed-seed",)
        self._authority = Authority(_secret("authority"))
        self._supplier = Supplier(_secret("supplier"))
        self._private = [_secret(f"meter key {index}") for index in range(members)]
        self._market = market
        self.files = self._files(board)

    def _files(self, board: str) -> dict[str, bytes]:
        floors = meter_plan.Floors(self.members, 1, Fraction(1), SLOT_S)
        controller = {"name": "ls2", "capacity_wh": 500, "rate_w": 500}
        plan = meter_plan.MeterPlan(
            METER_ID,
            NAME,
            board,
            self._authority.public_key,
            floors,
            controller,
            permitted_modes=self._modes,
            fixed_seed=NAME,
            provisioned_pairs=self.provisioned,
            market=self._market,
        )
        files = meter_plan.files(plan)
        if self.provisioned:
            files |= next(pairs.files(self._private, self._supplier.public_key))
        return files

    def enrol(self, public_key: bytes) -> SignedRoster:
        """The roster with the measured meter's own key in it."""
        plan = StreetPlan(
            street=NAME,
            epoch=1,
            start_s=self.start_s,
            first_slot=1,
            last_slot=LAST_SLOT,
            slot_s=SLOT_S,
            missing=self.missing,
            colluders=1,
            lanes=(LanePlan(CAP_WH, Fraction(1)),),
            allowed_modes=self._modes,
        )
        others = [pairs.public_key(key) for key in itertools.islice(self._private, 1, None)]
        members = [Member(index + 1, key) for index, key in enumerate([public_key, *others])]
        self.roster = self._authority.sign(plan, members, self._supplier.public_key)
        self._tag_down = self._supplier.meter_keys(self.roster)[0].tag_down
        return self.roster

    def start_of(self, slot: int) -> int:
        """Unix time at which a slot begins."""
        return self.start_s + (slot - 1) * SLOT_S

    def feeds(self, slot: int) -> Iterator[dict[str, Any]]:
        """The fields of the feed messages with a slot's rows."""
        rows_ws = [(150 + row * 37 % 400) * self.row_s for row in range(SLOT_S // self.row_s)]
        for at in range(0, len(rows_ws), _ROWS_A_FRAME):
            piece = rows_ws[at : at + _ROWS_A_FRAME]
            yield {
                "start_s": self.start_of(slot) + at * self.row_s,
                "row_s": self.row_s,
                "rows": struct.pack(f"<{len(piece)}i", *piece),
            }

    def announcement(self, slot: int) -> dict[str, Any]:
        """The fields of an announcement: the last member is silent."""
        tag = self._tag(b"announce", slot, self.silent)
        return {"epoch": 1, "slot": slot, "silent": self.silent, "tag": tag}

    def acknowledgement(self, slot: int, turn: int) -> dict[str, Any]:
        """The fields of a stored message."""
        return {
            "epoch": 1,
            "slot": slot,
            "round": turn,
            "tag": self._tag(b"stored", slot, bytes((turn,))),
        }

    def _tag(self, purpose: bytes, slot: int, content: bytes) -> bytes:
        roster_hash = self.roster.hash
        return bytes(masking.tag(self._tag_down, purpose, roster_hash, METER_ID, slot, content))


def authority_key() -> bytes:
    """The public key that signs the rosters of every street here."""
    return Authority(_secret("authority")).public_key


def _secret(purpose: str) -> bytes:
    return meter_plan.derived_seed(NAME, purpose)
