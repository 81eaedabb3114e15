"""A whole street whose meters commit to their readings: what is fetched, opened and billed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from hushmeter.cli import main
from hushmeter.crypto.keyfiles import read_private
from hushmeter.devices.meter_plan import derived_seed
from hushmeter.emulate.gathered import FIRST_SLOT, home_log
from hushmeter.emulate.settings import STREET
from hushmeter.market.bills import commitments, files
from hushmeter.market.bills.files import LeavesFile, PublicKeyFile
from tests.emulate import oracle

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


def pem(path: Path, seed: bytes) -> Path:
    key = Ed25519PrivateKey.from_private_bytes(seed)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path


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


def test_a_meters_bill_is_that_of_its_load_and_a_changed_leaf_is_named(
    street: tuple[Path, Any], tmp_path: Path
) -> None:
    folder = street[0]
    bills = folder / "out" / "bills"
    authority = pem(tmp_path / "authority.pem", derived_seed("s", "authority"))
    terms = tariff(tmp_path, authority)
    (tmp_path / "home").mkdir()
    meter = ("--street", folder / "out", "--meter", 1, "--certify", authority)
    fetched = run("bill", "fetch", *meter, "--out", tmp_path / "home")
    leaves, total = tmp_path / "home" / "leaves-1.json", tmp_path / "total.json"
    common = ("--tariff", terms, "--authority", authority)
    made = run(
        "bill", "total", leaves, "--key", bills / "home-1.key", *common, "--home",
        tmp_path / "home", "--first-slot", FIRST_SLOT, "--last-slot", LAST_SLOT, "--out", total,
    )  # fmt: skip
    assert made["amount_micro"] == known_amount(folder / "load.csv")

    public = ("--public", bills / "home-1.json", "--insecure")
    by_home = run("bill", "verify", total, "--leaves", leaves, *common, *public)
    key = ("--meter-key", fetched["meter_key"])
    issue = ("--issue", tmp_path / "bill.json")
    # The utility's own copy: it knows the meter's key from the authority, and needs no certificate.
    own = bills / "leaves-1.json"
    by_utility = run("bill", "verify", total, "--leaves", own, *common, *public, *key, *issue)
    assert by_home == by_utility
    assert (by_home["verified"], by_home["amount_micro"]) == (True, made["amount_micro"])
    checked = ("bill", "verify", total, "--leaves", leaves, *common, *public)
    assert run(*checked, "--bill", tmp_path / "bill.json")["verified"]

    for name, at, change in CHANGES:
        changed = json.loads(leaves.read_text())
        change(changed["leaves"][at])
        (tmp_path / "changed.json").write_text(json.dumps(changed))
        wrong = ("--leaves", tmp_path / "changed.json", *common, *public)
        found = run("bill", "verify", total, *wrong, code=1)
        assert (found["verified"], found["step"]) == (False, name)
    # A reading that was changed in the total is no less one.
    changed = json.loads(total.read_text())
    opened = changed["registers"]["import"]
    opened["total"] = str(int(opened["total"]) + NIGHT)
    (tmp_path / "changed.json").write_text(json.dumps(changed))
    wrong = ("--leaves", leaves, *common, *public)
    assert run("bill", "verify", tmp_path / "changed.json", *wrong, code=1)["step"] == "total"


def _square(leaf: dict[str, Any]) -> None:
    """Twice the reading, to anybody who may read it."""
    leaf["c"] = leaf["c"][:-1] + ("0" if leaf["c"][-1] != "0" else "1")


def _rehash(leaf: dict[str, Any]) -> None:
    leaf["leaf"] = leaf["leaf"][::-1]


CHANGES: list[tuple[str, int, Callable[[dict[str, Any]], None]]] = [
    ("leaf", 3, _square),
    ("leaf", 0, _rehash),
]
