"""A whole street whose meters commit to their readings: what is fetched, opened and billed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hushmeter.cli import main
from hushmeter.crypto.keyfiles import read_private
from hushmeter.devices.meter_plan import derived_seed
from hushmeter.emulate.gathered import FIRST_SLOT, home_log
from hushmeter.emulate.settings import STREET
from hushmeter.market.bills import commitments, files
from hushmeter.market.bills.files import LeavesFile, PublicKeyFile
from tests.emulate import oracle
from tests.market.bill_kit import pem

METERS, SLOTS, SLOT_S = 3, 6, 600
MIDNIGHT_S = 1_704_067_200
LAST_SLOT = FIRST_SLOT + SLOTS - 1
NIGHT, DAY, DAY_FROM_SLOT = 100, 310, 2
LOAD = "time,a,b,c\n" + "".join(
    f"2024-01-01T{minute // 60:02}:{minute % 60:02},{31 + 2 * k},{50 - 7 * k},{400 + 3 * k * k}\n"
    for k, minute in enumerate(range(0, 10 * (SLOTS + 1), 10))
)


def run(*arguments: object, code: int = 0) -> Any:
    done = CliRunner().invoke(main, [*map(str, arguments), "--json"])
    assert done.exit_code == code, done.output
    return json.loads(done.stdout) if done.stdout else done.stderr


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """The folder of a street that has run, with its load beside it, and the run's summary."""
    folder = tmp_path_factory.mktemp("street")
    (folder / "load.csv").write_text(LOAD)
    size = ("--meters", METERS, "--slots", SLOTS, "--load", folder / "load.csv")
    modes = ("--seed", "s", "--provision-pairs", "--bills")
    summary = run("emulate", *size, *modes, "--out", folder / "out")
    return folder, summary


def test_every_home_and_the_utility_have_the_same_signed_commitments(
    street: tuple[Path, Any], tmp_path: Path
) -> None:
    out, summary = street[0] / "out", street[1]
    assert summary["bills"] == {
        "meters": METERS, "roots": METERS, "leaves": METERS * SLOTS, "not_measured": 0,
    }  # fmt: skip
    folder = out / "bills"
    for meter_id in (1, 2, 3):
        file = files.read(folder / f"leaves-{meter_id}.json", LeavesFile)
        public = files.public_key(files.read(folder / f"home-{meter_id}.json", PublicKeyFile))
        private = read_private(folder / f"home-{meter_id}.key")
        storage = out / "street" / f"meter-{meter_id:04d}"
        found = commitments.check(
            file, public, public.roster, bytes.fromhex(file.signer.public_key)
        )
        width = 2 * public.size
        opened = {
            slot: private.decrypt(int(number).to_bytes(width, "big"))
            for slot, number in found["import"].items()
        }
        stored = {path.name: path.read_bytes() for path in storage.iterdir()}
        assert opened == home_log(stored) and len(opened) == SLOTS
    home = ("--street", out, "--meter", 2, "--out", tmp_path / "home")
    facts = run("bill", "fetch", *home)
    assert facts["leaves"] == SLOTS
    fetched = files.read(tmp_path / "home" / "leaves-2.json", LeavesFile)
    assert fetched == files.read(folder / "leaves-2.json", LeavesFile)
    # Both have them now, so the meter does not any more.
    assert run("bill", "fetch", *home)["new_roots"] == 0
    left = [path.name for path in (out / "street" / "meter-0002").glob("leaves-*")]
    assert left == []


def tariff(folder: Path, authority: Path) -> Path:
    """A time of use, signed by a utility and published by the street's authority."""
    bands = [(0, NIGHT), (DAY_FROM_SLOT * SLOT_S, DAY)]
    terms = {
        "name": "new year", "street": STREET, "first_slot": FIRST_SLOT, "last_slot": LAST_SLOT,
        "start_s": MIDNIGHT_S, "slot_s": SLOT_S, "bounds": {"least": 0, "greatest": 1000},
        "least_slots": SLOTS, "least_group": 2,
        "import": {
            "kind": "time-of-use",
            "bands": [{"from_s": from_s, "price": price} for from_s, price in bands],
        },
    }  # fmt: skip
    (folder / "terms.json").write_text(json.dumps(terms))
    utility, out = pem(folder / "utility.pem", b"u" * 32), folder / "tariff.json"
    keys = ("--utility", utility, "--authority", authority)
    run("bill", "tariff", folder / "terms.json", *keys, "--out", out)
    return out


def known_amount(load: Path) -> int:
    """What home 1 has to pay, from the file that its meter replayed, by other means."""
    known = oracle.readings(oracle.read(load), 0, METERS, SLOTS, SLOT_S, None)
    prices = [NIGHT] * DAY_FROM_SLOT + [DAY] * (SLOTS - DAY_FROM_SLOT)
    return sum(price * (wh or 0) for price, wh in zip(prices, known, strict=True))


@dataclass(frozen=True)
class Billed:
    """What home 1 fetched and opened, and what it is checked with."""

    leaves: Path
    total: Path
    amount_micro: int
    meter_key: str
    bills: Path
    common: tuple[object, ...]

    def verify(self, total: Path, leaves: Path, *more: object, code: int = 0) -> Any:
        public = ("--public", self.bills / "home-1.json", "--insecure")
        arguments = (total, "--leaves", leaves, *self.common, *public, *more)
        return run("bill", "verify", *arguments, code=code)


@pytest.fixture(scope="module")
def billed(street: tuple[Path, Any], tmp_path_factory: pytest.TempPathFactory) -> Billed:
    """The bill of home 1, by the commands: fetched from its meter, then opened."""
    folder, out = tmp_path_factory.mktemp("home"), street[0] / "out"
    authority = pem(folder / "authority.pem", derived_seed("s", "authority"))
    common = ("--tariff", tariff(folder, authority), "--authority", authority)
    meter = ("--street", out, "--meter", 1, "--certify", authority)
    fetched = run("bill", "fetch", *meter, "--out", folder)
    leaves, total = folder / "leaves-1.json", folder / "total.json"
    made = run(
        "bill", "total", leaves, "--key", out / "bills" / "home-1.key", *common, "--home", folder,
        "--first-slot", FIRST_SLOT, "--last-slot", LAST_SLOT, "--out", total,
    )  # fmt: skip
    key = fetched["meter_key"]
    return Billed(leaves, total, made["amount_micro"], key, out / "bills", common)


def test_a_meters_bill_is_that_of_its_load_to_home_and_utility(
    street: tuple[Path, Any], billed: Billed, tmp_path: Path
) -> None:
    assert billed.amount_micro == known_amount(street[0] / "load.csv") > 0
    by_home = billed.verify(billed.total, billed.leaves)
    # The utility's own copy: it knows the meter's key otherwise, and needs no certificate.
    own, bill = billed.bills / "leaves-1.json", tmp_path / "bill.json"
    key = ("--meter-key", billed.meter_key)
    assert billed.verify(billed.total, own, *key, "--issue", bill) == by_home
    assert (by_home["verified"], by_home["amount_micro"]) == (True, billed.amount_micro)
    assert billed.verify(billed.total, billed.leaves, "--bill", bill) == by_home
    assert billed.verify(billed.total, own, code=1)["step"] == "signer"


def test_a_changed_reading_is_named_and_so_is_a_changed_total(
    billed: Billed, tmp_path: Path
) -> None:
    changed = tmp_path / "changed.json"
    for step, field in (("leaf", "c"), ("leaf", "leaf")):
        said = json.loads(billed.leaves.read_text())
        leaf = said["leaves"][3]
        leaf[field] = leaf[field][:-1] + ("1" if leaf[field][-1] == "0" else "0")
        changed.write_text(json.dumps(said))
        found = billed.verify(billed.total, changed, code=1)
        assert (found["verified"], found["step"], found["slot"]) == (False, step, leaf["slot"])
    said = json.loads(billed.total.read_text())
    opened = said["registers"]["import"]
    opened["total"] = str(int(opened["total"]) + NIGHT)
    changed.write_text(json.dumps(said))
    assert billed.verify(changed, billed.leaves, code=1)["step"] == "total"
