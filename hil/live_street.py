"""A street of which one meter measures by its own clock; its partners are keys on the host.

The partners' secrets are made here, so that a slow board agrees on as many as a test leaves out.
"""

from __future__ import annotations

import contextlib
import struct
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from hil.twin import Twin
from hushfw import store
from hushfw.core import masking, pace
from hushmeter.cluster.clock import clock_fields
from hushmeter.cluster.roster import Authority, LanePlan, Member, SignedRoster, StreetPlan
from hushmeter.cluster.supplier import MeterKeys, Supplier
from hushmeter.devices import meter_plan
from hushmeter.emulate import pairs
from hushmeter.link import Link, Message

STREET = "live-street"
SEED = "live street"
START_S = 1_700_006_400
OWN_ID = 1
CAP_WH = 200
MODES = ("fixed-seed", "provisioned-pairs")
TRANSDUCER = {"name": "level", "pin": 26, "zero": 0, "num": 4095, "den": 65535, "n": 4}
"""Each step of a 12-bit converter is a watt: 0 to 4095 W."""


def private_key(purpose: str) -> bytes:
    return meter_plan.derived_seed(SEED, purpose)


@dataclass
class LiveStreet:
    """What the host knows; ``members`` have keys, and the newest roster is the one in use."""

    board: str
    members: int
    slot_s: int
    controller: Mapping[str, Any] = field(default_factory=lambda: {"name": "none"})
    rosters: list[SignedRoster] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.authority = Authority(private_key("authority"))
        self.supplier = Supplier(private_key("supplier"))
        self.keys = [private_key(f"meter key {i}") for i in range(self.members)]

    def files(self, agreed: int) -> dict[str, bytes]:
        """The meter's storage, with the secrets of the first ``agreed`` members."""
        plan = meter_plan.MeterPlan(
            meter_id=OWN_ID,
            street=STREET,
            board=self.board,
            authority_key=self.authority.public_key,
            floors=meter_plan.Floors(3, 1, Fraction(1), 1),
            controller=dict(self.controller),
            driver=TRANSDUCER,
            permitted_modes=MODES,
            fixed_seed=SEED,
            provisioned_pairs=True,
        )
        made = next(pairs.files(self.keys, self.supplier.public_key))
        made[meter_plan.PAIRS_FILE] = made[meter_plan.PAIRS_FILE][: agreed * store.PAIR_BYTES]
        return meter_plan.files(plan) | made

    def sign(self, members: int, **changes: Any) -> SignedRoster:
        """The next epoch's roster, of the first ``members``."""
        fields: dict[str, Any] = {
            "street": STREET,
            "epoch": len(self.rosters) + 1,
            "start_s": START_S,
            "first_slot": 1,
            "last_slot": 1_000_000,
            "slot_s": self.slot_s,
            "missing": 1,
            "colluders": 1,
            "lanes": (LanePlan(CAP_WH, Fraction(1)),),
            "allowed_modes": MODES,
            "report_window_s": max(2, self.slot_s // 2),
            "expiry_s": 20 * self.slot_s,
        }
        if self.rosters:
            fields["previous"] = self.rosters[-1].hash
        listed = [Member(i + 1, pairs.public_key(key)) for i, key in enumerate(self.keys[:members])]
        plan = StreetPlan(**(fields | changes))
        self.rosters.append(self.authority.sign(plan, listed, self.supplier.public_key))
        return self.rosters[-1]

    @property
    def roster(self) -> SignedRoster:
        return self.rosters[-1]

    @property
    def own_keys(self) -> MeterKeys:
        return self.supplier.meter_keys(self.roster)[0]

    def clock(self, boots: int, now_ms: int) -> dict[str, Any]:
        return clock_fields(self.roster, self.own_keys, OWN_ID, boots, now_ms)

    def announcement(self, slot: int, *silent_ids: int) -> dict[str, Any]:
        indexes = [self.roster.index_of[i] for i in silent_ids]
        silent = masking.silent_map(len(self.roster.members), indexes)
        tag = masking.tag(
            self.own_keys.tag_down, b"announce", self.roster.hash, OWN_ID, slot, silent
        )
        return {"epoch": self.roster.device.epoch, "slot": slot, "silent": silent, "tag": tag}


class FakeMachine(types.ModuleType):
    """The module ``machine`` of a board with a converter at every pin."""

    def __init__(self, read_u16: Callable[[], int]) -> None:
        super().__init__("machine")
        self._read_u16 = read_u16

    def Pin(self, number: int) -> int:  # noqa: N802 (the name on a board)
        return number

    def ADC(self, pin: int) -> Any:  # noqa: N802
        return types.SimpleNamespace(read_u16=self._read_u16)


@contextlib.contextmanager
def on_this_interpreter(read_u16: Callable[[], int] = lambda: 0) -> Iterator[None]:
    """Meters with a converter boot on CPython; the hook of their samples is taken away after."""
    before = sys.modules.get("machine")
    sys.modules["machine"] = FakeMachine(read_u16)
    try:
        yield
    finally:
        pace.install(None)
        if before is None:
            del sys.modules["machine"]
        else:
            sys.modules["machine"] = before


def enrolled(street: LiveStreet, members: int, folder: Path) -> dict[str, bytes]:
    """The meter's storage with a roster of ``members``, enrolled here to save a slow board that."""
    with on_this_interpreter():
        twin = Twin(folder, street.files(members))
        enrol(Link(twin), street.sign(members))
        return twin.files()


def hand_over(link: Link, roster: SignedRoster) -> Message:
    """Everything of a roster but the last commits, which take a board long; the first one's reply.

    The signature is checked and up to eight pair keys are agreed on in that one.
    """
    link.request("roster_begin", size=len(roster.data), digest=roster.hash)
    for at in range(0, len(roster.data), 900):
        link.request("roster_chunk", offset=at, data=roster.data[at : at + 900])
    return link.request("roster_commit")


def enrol(link: Link, roster: SignedRoster) -> None:
    reply = hand_over(link, roster).fields
    while reply["done"] != reply["total"]:
        reply = link.request("roster_commit").fields


def home_records(files: Mapping[str, bytes]) -> list[dict[str, int]]:
    """The home's own log, a record a slot."""
    names = ("slot", "demand_ws", "import_wh", "export_wh", "charge_wh", "flags")
    data = files.get("home.bin", b"")
    size = struct.calcsize(store.HomeLog.RECORD)
    return [
        dict(zip(names, struct.unpack_from(store.HomeLog.RECORD, data, at), strict=True))
        for at in range(0, len(data), size)
    ]
