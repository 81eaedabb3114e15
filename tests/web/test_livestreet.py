"""The live street's bills: real meters commit, the home opens, the utility verifies."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from hushmeter.emulate.meters import street_meters
from hushmeter.market import transcript
from hushmeter.market.bills import files, tariffs
from hushmeter.market.bills.failures import Failure
from hushmeter.market.bills.files import BillFile, LeavesFile, PublicKeyFile, TotalFile
from hushmeter.market.bills.prices import market_prices
from hushmeter.market.bills.verifying import Evidence, verify_total
from hushmeter.web import homefolder, livestreet, operatorfolder
from hushmeter.web.homefolder import HomeFolder
from hushmeter.web.livebills import PRIVATE_KEY, SAMPLE
from hushmeter.web.livestreet import Folders, LiveStreet

SLOTS = 3
FIRST = 1 + 7 * livestreet.DAY + 1
"""Of the first bill: after the sample's week, and a slot that is before the market's first."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """What a street of four meters leaves that billed three slots after five intervals."""
    found = Folders(tmp_path_factory.mktemp("live"))
    settings = livestreet.settings_of(4, SLOTS + 2, found)
    settings = replace(settings, bill_slots=SLOTS, seed="live bills")
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


def test_a_transcript_that_others_do_not_have_is_caught(folders: Folders, tmp_path: Path) -> None:
    folder = folders.operator / homefolder.BILLS / "day-01"
    record = folder / homefolder.TRANSCRIPTS / "market.json"
    raw = json.loads(record.read_text())
    # Consistent in itself: an interval is void, so that its slot takes the fallback price.
    first = raw["intervals"][0]["interval"]
    raw["intervals"][0] = {"interval": first, "void": "too few homes"}
    changed = tmp_path / "market.json"
    changed.write_bytes(transcript.written(raw["intervals"]))
    evidence = Evidence(
        files.read(folder / homefolder.LEAVES, LeavesFile),
        files.read(folder / homefolder.KEY, PublicKeyFile),
        bytes.fromhex(HomeFolder(folders.home).about.authority),
        insecure=True,
    )
    total = files.read(folder / homefolder.TOTAL, TotalFile)
    tariff = files.read(folder / homefolder.TARIFF, tariffs.TariffFile)
    assert verify_total(total, evidence, tariff, [record]) == int(total.amount_micro)
    with pytest.raises(Failure, match="^transcript: "):
        verify_total(total, evidence, tariff, [changed])
    total.transcripts_sha256 = market_prices([changed])[1]
    with pytest.raises(Failure, match="^total: "):
        verify_total(total, evidence, tariff, [changed])
