"""The live street's bills: real meters commit, the home opens, the utility verifies."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hushmeter.cli import main
from hushmeter.devices.meter_plan import derived_seed
from hushmeter.emulate.meters import street_meters
from hushmeter.market import transcript
from hushmeter.market.bills import files
from hushmeter.market.bills.files import BillFile, TotalFile
from hushmeter.market.bills.prices import market_prices
from hushmeter.web import homefolder, livestreet, operatorfolder
from hushmeter.web.homefolder import HomeFolder
from hushmeter.web.livebills import PRIVATE_KEY, SAMPLE
from hushmeter.web.livestreet import Folders, LiveStreet
from tests.market.bill_kit import pem

SEED = "live bills"
SLOTS = 3
FIRST = 1 + 7 * livestreet.DAY + 1
"""Of the first bill: after the sample's week, and a slot that is before the market's first."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """What a street of four meters leaves that billed three slots after five intervals."""
    found = Folders(tmp_path_factory.mktemp("live"))
    settings = livestreet.settings_of(4, SLOTS + 2, found)
    settings = replace(settings, bill_slots=SLOTS, seed=SEED)
    street = LiveStreet(settings, street_meters(settings.street(), found.meters), found)
    said: list[str] = []
    street.notice = said.append
    street.run()
    assert said == []
    return found


def test_the_home_sees_its_bill_verified_and_among_what_it_told(folders: Folders) -> None:
    home = HomeFolder(folders.home)
    assert [bill["name"] for bill in home.bills()] == [SAMPLE, "day-01"]
    for bill in home.bills():
        assert home.check_bill(bill["name"]) == {
            "checked": True, "failure": "", "amount_micro": bill["amount_micro"],
        }  # fmt: skip
    told = [(one["kind"], one["first_slot"], one["last_slot"]) for one in home.disclosures()]
    assert told == [("bill", 1, FIRST - 2), ("bill", FIRST, FIRST + SLOTS - 1)]


def test_the_amount_is_the_markets_price_times_what_the_meter_logged(folders: Folders) -> None:
    home = HomeFolder(folders.home)
    record = transcript.read(folders.operator / operatorfolder.TRANSCRIPT)
    price = {one.interval: getattr(one, "price", None) for one in record}
    assert None not in price.values() and len(set(price.values())) > 1
    used = {slot["start_s"] // livestreet.INTERVAL_S: slot["import_wh"] for slot in home.slots()}
    billed = sorted(price)[:SLOTS]
    amount = home.bills()[-1]["amount_micro"]
    assert amount == sum((price[k] or 0) * used[k] for k in billed) > 0


def test_the_utility_has_what_it_verifies_by_and_nothing_that_opens_a_slot(
    folders: Folders,
) -> None:
    names = {path.name for path in folders.operator.rglob("*") if path.is_file()}
    bills = {"leaves.json", "key.json", "tariff.json", "total.json", "bill.json", "market.json"}
    assert bills <= names
    assert names - bills <= {"operator.json", "transcript.json", *(
        f"street.db{end}" for end in ("", "-wal", "-shm")
    )}  # fmt: skip
    key = json.loads((folders.home / PRIVATE_KEY).read_text())
    for path in (folders.operator / homefolder.BILLS).rglob("*.json"):
        text = path.read_text()
        assert key["p"] not in text and key["q"] not in text
    theirs, own = (
        folder / homefolder.BILLS / "day-01" / homefolder.BILL
        for folder in (folders.operator, folders.home)
    )
    assert files.read(theirs, BillFile) == files.read(own, BillFile)


def bill(*arguments: object) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments), "--json"])


def test_a_transcript_that_the_street_never_had_is_caught(folders: Folders, tmp_path: Path) -> None:
    folder = folders.operator / homefolder.BILLS / "day-01"
    authority = pem(tmp_path / "authority.pem", derived_seed(SEED, "authority"))
    common: list[object] = ["--leaves", folder / homefolder.LEAVES, "--insecure"]
    common += ["--public", folder / homefolder.KEY, "--tariff", folder / homefolder.TARIFF]
    common += ["--authority", authority, "--transcript"]
    record, path = folder / homefolder.TRANSCRIPTS / "market.json", folder / homefolder.TOTAL
    right = bill("bill", "verify", path, *common, record)
    assert right.exit_code == 0 and json.loads(right.stdout)["verified"], right.output

    # A record that is consistent in itself: an interval is void and costs the fallback price.
    raw = json.loads(record.read_text())
    raw["intervals"][0] = {"interval": raw["intervals"][0]["interval"], "void": "too few homes"}
    changed = tmp_path / "changed.json"
    changed.write_bytes(transcript.written(raw["intervals"]))

    def failing(total: Path) -> tuple[str, str]:
        done = bill("bill", "verify", total, *common, changed)
        assert done.exit_code == 1, done.output
        found = json.loads(done.stdout)
        return found["step"], found["reason"]

    assert failing(path) == ("transcript", "the total was made from other transcripts")
    total = files.read(path, TotalFile)
    total.transcripts_sha256 = market_prices([changed])[1]
    (tmp_path / "total.json").write_bytes(files.written(total))
    step, reason = failing(tmp_path / "total.json")
    assert step == "transcript" and "is not countersigned by the authority" in reason
    for seed, street, wanted in (
        (bytes(32), livestreet.NAME, "transcript"),
        (derived_seed(SEED, "authority"), "another street", "transcript"),
        (derived_seed(SEED, "authority"), livestreet.NAME, "total"),
    ):
        key = pem(tmp_path / "signing.pem", seed)
        named = ("--authority", key, "--street", street, "--out", changed)
        assert bill("market", "countersign", changed, *named).exit_code == 0
        assert failing(tmp_path / "total.json")[0] == wanted
    text = changed.read_text().replace('"price":', '"price":1', 1)
    changed.write_text(text)
    done = bill("bill", "verify", path, *common, changed)
    assert (done.exit_code, done.stdout) == (2, "") and "digest" in done.stderr
