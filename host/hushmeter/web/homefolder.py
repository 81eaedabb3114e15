"""A home's folder: what its page shows and what it may change. It stays with the home.

home.json           who this is, the market's grid, the slots' lengths: written at set-up
storage             named in home.json: the folder of the home's own meter, which is only read
responses.json      what the home would buy and sell; the page writes it
market.json         a row an interval: the price, and what this home worked out for itself
disclosures.jsonl   what was told exactly (hushmeter.privacy.disclosures)
bills/NAME/         leaves.json, key.json, tariff.json, total.json, perhaps bill.json and
                    transcripts/*.json (hushmeter.market.bills)
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec

from hushfw.store import HomeLog
from hushmeter.errors import HushmeterError
from hushmeter.market.bills import files as bill_files
from hushmeter.market.bills.failures import Failure
from hushmeter.market.bills.tariffs import TariffFile
from hushmeter.market.bills.verifying import Evidence, verify_total
from hushmeter.market.curves import check_prices
from hushmeter.market.responses import Responses, parsed
from hushmeter.privacy import ledger
from hushmeter.privacy.disclosures import Disclosures
from hushmeter.web import jsonfile

HOME, RESPONSES, MARKET, BILLS = "home.json", "responses.json", "market.json", "bills"
LEAVES, KEY, TARIFF, TOTAL, BILL = (
    f"{name}.json" for name in ("leaves", "key", "tariff", "total", "bill")
)
TRANSCRIPTS = "transcripts"
SHOWN_SLOTS, SHOWN_INTERVALS = 288, 192
_LOGS = ("home.bin.old", "home.bin")
_Count = Annotated[int, msgspec.Meta(ge=1)]


class HomeFile(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """``home.json``.

    Attributes
    ----------
    storage:
        Where the meter's storage is, from the folder on.
    prices:
        The market's grid, micro-units per Wh.
    start_s:
        Unix time at which `first_slot` begins.
    authority:
        Ed25519 public key of the street's authority, hexadecimal.
    insecure:
        Names of the weakening modes in force.
    """

    format: Annotated[int, msgspec.Meta(ge=1, le=1)] = 1
    note: str
    meter_id: _Count
    storage: str
    prices: list[int]
    start_s: int
    first_slot: int
    slot_s: _Count
    authority: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    insecure: list[str] = []


class HomeFolder:
    """One home's folder.

    Raises
    ------
    HushmeterError
        There is no home in it, or what it says of it is wrong.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = folder / HOME
        if not path.is_file():
            raise HushmeterError(
                f"{folder} has no {HOME}: it is no home's folder",
                hint="hushmeter serve --demo makes one a home",
            )
        try:
            self.about = msgspec.convert(jsonfile.read(path), HomeFile)
        except msgspec.ValidationError as error:
            raise HushmeterError(f"{path}: {error}") from error
        check_prices(self.about.prices, str(path))
        self.responses()

    @property
    def storage(self) -> Path:
        """The folder of the home's own meter."""
        return (self.folder / self.about.storage).resolve()

    def responses(self) -> Responses:
        """The settings in use; none are settings too."""
        empty = {"format": 1, "name": f"home {self.about.meter_id}"}
        raw = jsonfile.read(self.folder / RESPONSES, empty)
        try:
            return parsed(raw)
        except HushmeterError as error:
            raise HushmeterError(f"{self.folder / RESPONSES}: {error.message}") from error

    def preview(self, raw: Any) -> dict[str, Any]:
        """The curves that settings would give, on the market's grid.

        Raises
        ------
        HushmeterError
            They are wrong; names the field.
        """
        demand, supply = parsed(raw).curves(self.about.prices)
        return {"prices": self.about.prices, "demand": demand, "supply": supply}

    def use(self, raw: Any) -> None:
        """Settings for the intervals to come; wrong ones change nothing.

        Raises
        ------
        HushmeterError
            As :meth:`preview`.
        """
        self.preview(raw)
        jsonfile.write(self.folder / RESPONSES, msgspec.to_builtins(parsed(raw)))

    def slots(self) -> list[dict[str, int]]:
        """The latest slots of the home's own log, oldest first."""
        found = dict(_records(self.storage))
        about = self.about
        return [
            {
                "slot": slot,
                "start_s": about.start_s + (slot - about.first_slot) * about.slot_s,
                **found[slot],
            }
            for slot in sorted(found)[-SHOWN_SLOTS:]
        ]

    def market(self) -> list[dict[str, Any]]:
        """The latest intervals, as this home took part in them."""
        rows: list[dict[str, Any]] = jsonfile.read(self.folder / MARKET, [])
        return rows[-SHOWN_INTERVALS:]

    def exposure(self, slots: list[dict[str, int]]) -> dict[str, Any]:
        """What the meter's reports have spent, by hour for the slots shown."""
        account = ledger.stored(self.storage)
        said = account.to_dict()
        rate = account.epsilon_per_slot
        hours: dict[int, int] = {}
        for slot in slots:
            hours[slot["start_s"] // 3600] = hours.get(slot["start_s"] // 3600, 0) + 1
        shown = {
            name: said[name]
            for name in ("epsilon_per_slot", "epsilon_window", "window_days", "cap", "slots")
        }
        per_hour = None if rate is None else rate * 3600 / self.about.slot_s
        return {
            **shown,
            "epsilon_per_hour": None if per_hour is None else ledger.number(per_hour),
            "cap_reached": account.cap_reached,
            "words": _exposure_words(account),
            "hours": []
            if rate is None
            else [
                {"start_s": hour * 3600, "epsilon": float(count * rate), "over": False}
                for hour, count in sorted(hours.items())
            ],
        }

    def disclosures(self) -> list[dict[str, Any]]:
        """What was told exactly."""
        return [vars(entry) for entry in Disclosures(self.folder).all()]

    def bills(self) -> list[dict[str, Any]]:
        """The bills that have a total, newest last; none is checked by reading it."""
        found = []
        for folder in sorted((self.folder / BILLS).glob("*")):
            if (folder / TOTAL).is_file():
                total = bill_files.read(folder / TOTAL, bill_files.TotalFile)
                found.append(
                    {
                        "name": folder.name,
                        "first_slot": total.first_slot,
                        "last_slot": total.last_slot,
                        "amount_micro": int(total.amount_micro),
                        "energy_wh": self._energy_wh(total.first_slot, total.last_slot),
                    }
                )
        return found

    def _energy_wh(self, first_slot: int, last_slot: int) -> int | None:
        """By the home's own log; None where it does not have every slot."""
        found = {slot: row for slot, row in _records(self.storage) if first_slot <= slot}
        wanted = range(first_slot, last_slot + 1)
        if not all(slot in found for slot in wanted):
            return None
        return sum(found[slot]["import_wh"] - found[slot]["export_wh"] for slot in wanted)

    def check_bill(self, name: str) -> dict[str, Any]:
        """Verifies one bill from its files alone.

        Raises
        ------
        HushmeterError
            There is no such bill, or a file of it cannot be read.
        """
        folder = self.folder / BILLS / name
        if name not in {bill["name"] for bill in self.bills()}:
            raise HushmeterError(f"there is no bill {name}")
        evidence = Evidence(
            bill_files.read(folder / LEAVES, bill_files.LeavesFile),
            bill_files.read(folder / KEY, bill_files.PublicKeyFile),
            bytes.fromhex(self.about.authority),
            insecure=bool(self.about.insecure),
        )
        total = bill_files.read(folder / TOTAL, bill_files.TotalFile)
        tariff = bill_files.read(folder / TARIFF, TariffFile)
        bill = None
        if (folder / BILL).is_file():
            bill = bill_files.read(folder / BILL, bill_files.BillFile)
        transcripts = sorted((folder / TRANSCRIPTS).glob("*.json"))
        try:
            amount = verify_total(total, evidence, tariff, transcripts, bill)
        except Failure as failure:
            return {"checked": False, "failure": str(failure)}
        return {"checked": True, "failure": "", "amount_micro": amount}

    def everything(self) -> dict[str, Any]:
        """What the page shows."""
        slots = self.slots()
        return {
            "note": self.about.note,
            "insecure": self.about.insecure,
            "prices": self.about.prices,
            "responses": msgspec.to_builtins(self.responses()),
            "use": {"slot_s": self.about.slot_s, "slots": slots},
            "market": self.market(),
            "exposure": self.exposure(slots),
            "disclosures": self.disclosures(),
            "bills": self.bills(),
        }


def _records(storage: Path) -> Iterator[tuple[int, dict[str, int]]]:
    """(slot, amounts) of the meter's own log; half a record at its end is not there yet."""
    for name in _LOGS:
        path = storage / name
        data = path.read_bytes() if path.is_file() else b""
        whole = len(data) - len(data) % HomeLog.BYTES
        for slot, _, import_wh, export_wh, charge_wh, flags in struct.iter_unpack(
            HomeLog.RECORD, data[:whole]
        ):
            yield (
                slot,
                {
                    "import_wh": import_wh,
                    "export_wh": export_wh,
                    "battery_wh": charge_wh,
                    "gap": flags & HomeLog.GAP,
                },
            )


def _exposure_words(account: ledger.Account) -> str:
    if account.noiseless_slots:
        return "Some reports carried no noise: the street's totals may tell this home apart."
    words = "Each report spends its ε, whatever becomes of the slot; spent ε never comes back."
    if account.cap_reached:
        return f"{words} The cap that was set here is reached: every report now says so publicly."
    return words
