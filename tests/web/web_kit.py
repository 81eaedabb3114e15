"""Folders as an emulated street leaves them, small."""

from __future__ import annotations

import json
import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from hushfw import journal
from hushfw.store import HomeLog
from hushmeter.devices import meter_plan
from hushmeter.market import session, transcript
from hushmeter.market.bills import files, verifying
from hushmeter.market.bills.home import open_total
from hushmeter.market.curves import Curves
from hushmeter.web import homefolder, jsonfile, operatorfolder
from hushmeter.web.operatorfolder import OperatorFile, SlotRow, StreetRow
from tests.market import bill_kit

TOKEN = "a-token-of-the-tests"
GRID = list(range(40, 400, 20))
START_S = 20_000 * 86_400
AUTHORITY = bytes(range(32))
RESPONSES: dict[str, Any] = {
    "format": 1,
    "name": "home 1",
    "thermostat": [
        {
            "name": "heat pump",
            "mode": "heat",
            "points": [{"price": 100, "setpoint_c": 21.5}, {"price": 300, "setpoint_c": 18.0}],
            "indoor_c": 20.0,
            "outdoor_c": 3.0,
            "loss_w_per_k": 40,
            "store_wh_per_k": 900,
            "most_w": 2500,
        }
    ],
    "switch": [{"name": "dishwasher", "power_w": 1100, "most_price": 180}],
}


def storage(folder: Path, slots: int = 12) -> Path:
    """A meter's storage: configuration, a journal without reports, its own log."""
    folder.mkdir(parents=True)
    plan = meter_plan.MeterPlan(
        meter_id=1,
        street="maple",
        board="unix",
        authority_key=AUTHORITY,
        floors=meter_plan.Floors(4, 2, Fraction(1), 600),
        controller={"name": "none"},
    )
    for name, data in meter_plan.files(plan).items():
        (folder / name).write_bytes(data)
    journal.Journal(str(folder / "journal.bin")).append(journal.FLOORS, b"{}")
    rows = [
        struct.pack(HomeLog.RECORD, slot, 0, 10 * slot, 0, 0, 0) for slot in range(1, slots + 1)
    ]
    (folder / "home.bin").write_bytes(b"".join(rows) + b"half a record")
    return folder


def home(root: Path) -> Path:
    """A home's folder."""
    root.mkdir(parents=True)
    storage(root / "meter")
    about = {
        "format": 1,
        "note": "home 1",
        "meter_id": 1,
        "storage": "meter",
        "prices": GRID,
        "start_s": START_S,
        "first_slot": 1,
        "slot_s": 600,
        "authority": AUTHORITY.hex(),
        "insecure": [],
    }
    jsonfile.write(root / homefolder.HOME, about)
    jsonfile.write(root / homefolder.RESPONSES, RESPONSES)
    row = {"interval": 0, "price": 120, "buy_wh": 310, "sell_wh": 0}
    jsonfile.write(root / homefolder.MARKET, [row])
    return root


def bill(root: Path, name: str) -> Path:
    """A week's bill in a home's folder, as its utility issued it; keys of 1024 bits."""
    folder = root / homefolder.BILLS / name
    folder.mkdir(parents=True)
    about = jsonfile.read(root / homefolder.HOME)
    trial = {"authority": bill_kit.public_of(bill_kit.AUTHORITY).hex(), "insecure": ["fixed-seed"]}
    jsonfile.write(root / homefolder.HOME, about | trial)
    leaves, tariff = bill_kit.leaves_of(), bill_kit.tariff_of()
    total = open_total(bill_kit.household(root), leaves, tariff, bill_kit.FIRST, bill_kit.LAST)
    amount = verifying.verify_total(total, bill_kit.evidence(), tariff)
    made = {
        homefolder.LEAVES: leaves,
        homefolder.KEY: files.public_file(bill_kit.public_key()),
        homefolder.TARIFF: tariff,
        homefolder.TOTAL: total,
        homefolder.BILL: verifying.bill_of(total, amount),
    }
    for kind, file in made.items():
        (folder / kind).write_bytes(files.written(file))
    return folder


def intervals(count: int) -> list[dict[str, Any]]:
    """A market of four homes and a utility; the last interval is void."""
    rules = session.Rules(public=frozenset({"utility"}), utility="utility")
    backend = session.make_backend("masked", 4, len(GRID), rules)
    demand = np.array([[900 - 2 * price for price in GRID]] * 4 + [[0] * len(GRID)])
    supply = np.array([[0] * len(GRID)] * 4 + [[3000 if price >= 120 else 0 for price in GRID]])
    curves = Curves(tuple(GRID), ("1", "2", "3", "4", "utility"), demand, supply)
    found = [session.run(curves, backend, rules, interval=number) for number in range(count)]
    return [*(one.entry for one in found), {"interval": count, "void": "an answer is missing"}]


def operator(root: Path, **changes: Any) -> Path:
    """An operator's folder of one street and three intervals."""
    root.mkdir(parents=True)
    slots = [
        SlotRow(slot=1, start_s=START_S, state="done", silent=1, total_wh=1234),
        SlotRow(slot=2, start_s=START_S + 600, state="void", silent=0, total_wh=None, reason="why"),
    ]
    street = StreetRow(
        street="maple", meters=4, alive=3, epoch=1, epsilon_per_slot=1.0, noise_sd_wh=500.0,
        refused=2, slots=slots,
    )  # fmt: skip
    said: dict[str, Any] = {"note": "a street", "insecure": [], "streets": [street]}
    operatorfolder.write(root, OperatorFile(**(said | {"fallback_price": 150} | changes)))
    (root / operatorfolder.TRANSCRIPT).write_bytes(transcript.written(intervals(2)))
    return root


def strings(value: Any) -> set[str]:
    """Every key and text in a JSON value."""
    if isinstance(value, dict):
        return set(value) | set().union(*map(strings, value.values()), set())
    if isinstance(value, list):
        return set().union(*map(strings, value), set())
    return {json.dumps(value)}
