"""A street of which one meter is under test: its files, its rosters, and the right requests.

The other members are keys on the host. A day ends within the scenario, so that keys ratchet in it,
and slots expire in it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from hushfw import store
from hushfw.core import masking
from hushmeter.cluster.roster import Authority, LanePlan, Member, SignedRoster, StreetPlan
from hushmeter.cluster.supplier import MeterKeys, Supplier
from hushmeter.devices import meter_plan
from hushmeter.emulate import pairs

STREET = "power-street"
SEED = "power cuts"
OWN_ID = 1
MEMBERS = 4
SLOT_S = 600
SLOTS_BEFORE_MIDNIGHT = 4
START_S = 1_700_006_400 - SLOTS_BEFORE_MIDNIGHT * SLOT_S
EXPIRY_S = 6 * SLOT_S
CAP_WH = 1000
MODES = ("fixed-seed", "provisioned-pairs")


def end_s(slot: int) -> int:
    """When a slot is over."""
    return START_S + slot * SLOT_S


def _private(purpose: str) -> bytes:
    return meter_plan.derived_seed(SEED, purpose)


def _authority() -> Authority:
    return Authority(_private("authority"))


def _supplier() -> Supplier:
    return Supplier(_private("supplier"))


def _partners() -> list[bytes]:
    return [_private(f"meter {i}") for i in range(2, MEMBERS + 1)]


@dataclass(frozen=True)
class Epoch:
    """A roster, and what the supplier needs to speak to the meter under it."""

    roster: SignedRoster
    keys: MeterKeys

    @property
    def number(self) -> int:
        return int(self.roster.device.epoch)

    def silent(self, *meter_ids: int) -> bytes:
        """S as a bit map."""
        return bytes(masking.silent_map(MEMBERS, [i - 1 for i in meter_ids]))

    def announcement(self, slot: int, silent: bytes) -> dict[str, Any]:
        tag = self._tag(b"announce", slot, silent)
        return {"epoch": self.number, "slot": slot, "silent": silent, "tag": tag}

    def acknowledgement(self, slot: int, turn: int) -> dict[str, Any]:
        tag = self._tag(b"stored", slot, bytes((turn,)))
        return {"epoch": self.number, "slot": slot, "round": turn, "tag": tag}

    def _tag(self, purpose: bytes, slot: int, content: bytes) -> bytes:
        key = self.keys.tag_down
        return bytes(masking.tag(key, purpose, self.roster.hash, OWN_ID, slot, content))


@dataclass
class PowerStreet:
    """What the host knows.

    Attributes
    ----------
    agreed:
        Secrets, the supplier's first, that the meter is given; with None it makes its own key and
        agrees on all of them, which takes a slow board minutes.
    """

    board: str
    agreed: int | None = None
    _epochs: dict[tuple[int, bytes], Epoch] = field(default_factory=dict)

    def files(self) -> dict[str, bytes]:
        """The meter's storage before its first boot."""
        plan = meter_plan.MeterPlan(
            meter_id=OWN_ID,
            street=STREET,
            board=self.board,
            authority_key=_authority().public_key,
            floors=meter_plan.Floors(MEMBERS, 2, Fraction(1), SLOT_S),
            controller={"name": "ls2", "capacity_wh": 500, "rate_w": 500},
            permitted_modes=MODES,
            fixed_seed=SEED,
            provisioned_pairs=self.agreed is not None,
        )
        made = meter_plan.files(plan)
        if self.agreed is not None:
            keys = [_private("own"), *_partners()]
            given = next(pairs.files(keys, _supplier().public_key))
            given[meter_plan.PAIRS_FILE] = given[meter_plan.PAIRS_FILE][
                : self.agreed * store.PAIR_BYTES
            ]
            made |= given
        return made

    def epoch(self, number: int, own_key: bytes) -> Epoch:
        """An epoch of the street in which the meter has this key."""
        found = self._epochs.get((number, own_key))
        if found is None:
            roster = self._sign(number, own_key)
            found = Epoch(roster, _supplier().meter_keys(roster)[0])
            self._epochs[number, own_key] = found
        return found

    def _sign(self, number: int, own_key: bytes) -> SignedRoster:
        previous = self.epoch(number - 1, own_key).roster.hash if number > 1 else bytes(32)
        plan = StreetPlan(
            street=STREET,
            epoch=number,
            start_s=START_S,
            first_slot=1,
            last_slot=10_000,
            slot_s=SLOT_S,
            missing=1,
            colluders=1,
            lanes=(LanePlan(CAP_WH, Fraction(1)),),
            allowed_modes=MODES,
            previous=previous,
            report_window_s=SLOT_S,
            expiry_s=EXPIRY_S,
        )
        members = [Member(OWN_ID, own_key)]
        members += [Member(i + 2, pairs.public_key(key)) for i, key in enumerate(_partners())]
        return _authority().sign(plan, members, _supplier().public_key)
