"""The shown home's bills in a live street: its meter commits, it opens totals, they are verified.

Each party has a folder of its own. The home's holds the private key, what it has opened, and its
own copies of leaves and transcripts; the utility's holds leaves, tariff and total, from which it
verifies and issues the bill. What one party tells the other is a file that both have.

The week before the street began is a sample under a software meter's key, so that there is a bill
to see at once; its folder's name says so. Each later day's bill is the street's own: the market's
prices, and commitments that the emulated meter signed.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from hushmeter.cluster.roster import SignedRoster
from hushmeter.cluster.supplier import Supplier
from hushmeter.crypto import keyfiles, paillier
from hushmeter.emulate import billing
from hushmeter.emulate.settings import StreetSettings
from hushmeter.link import Link
from hushmeter.loads import meter_rows
from hushmeter.loads.synthetic import synthetic_street
from hushmeter.market import transcript
from hushmeter.market.bills import commitments, fetch, files, tariffs
from hushmeter.market.bills.commitments import Reading
from hushmeter.market.bills.files import File, Home, LeavesFile, Signer
from hushmeter.market.bills.home import Household, open_total
from hushmeter.market.bills.tariffs import Band, Bounds, Market, TariffFile, Terms, TimeOfUse
from hushmeter.market.bills.verifying import Evidence, bill_of, verify_total
from hushmeter.market.countersigning import countersigned
from hushmeter.web import homefolder, jsonfile

PRIVATE_KEY = "household.key"
SAMPLE = "00-sample-week-before-software-meter"
SAMPLE_DAYS = 7
_NIGHT, _DAY = Band(0, 120), Band(6 * 3600, 310)
_SEED = 11


@dataclass(frozen=True)
class Parties:
    """The folders of home and utility, and the keys that sign.

    Attributes
    ----------
    home, utility:
        Folders of their own; the private key of the home's commitments is in the first.
    authority_seed, utility_seed:
        32 secret bytes each; an emulated street has all parties in one process.
    """

    home: Path
    utility: Path
    authority_seed: bytes
    utility_seed: bytes

    def __repr__(self) -> str:
        return f"Parties({self.home}, {self.utility})"


@dataclass(frozen=True)
class Calendar:
    """Slots of the street, and how many are billed together.

    Attributes
    ----------
    start_s:
        Unix time at which `first_slot` begins.
    """

    first_slot: int
    start_s: int
    slot_s: int
    slots: int

    def sample(self) -> tuple[int, int]:
        """The sample's first and last slot: the week that ends where the street begins."""
        return self.first_slot - SAMPLE_DAYS * 86400 // self.slot_s, self.first_slot - 1

    def day(self, number: int) -> tuple[int, int]:
        """The first and last slot of day 1, 2, ...; day 1 begins with the market."""
        first_slot = self.first_slot + 1 + (number - 1) * self.slots
        return first_slot, first_slot + self.slots - 1

    def starts_s(self, slot: int) -> int:
        """Unix time at which a slot begins."""
        return self.start_s + (slot - self.first_slot) * self.slot_s


class LiveBills:
    """One home's bills.

    Parameters
    ----------
    settings:
        The street's; a run with a seed is insecure anyway and has a short key.
    authority_key:
        Its public half.
    """

    def __init__(
        self, settings: StreetSettings, home: Home, authority_key: bytes, parties: Parties
    ) -> None:
        self._settings, self._home, self._parties = settings, home, parties
        self._authority_key = authority_key
        self._insecure = settings.seed is not None
        bits = paillier.SHORT_BITS if self._insecure else paillier.SIZES_BITS[0]
        self._private = paillier.generate(bits, self._insecure)
        keyfiles.write_private(parties.home / PRIVATE_KEY, self._private)
        self._public = self._private.public(home.owner, authority_key)
        self._tariff: TariffFile | None = None

    def on_meter(self, stored: Mapping[str, bytes]) -> dict[str, bytes]:
        """A meter's files with the home's public key, its table, and the wish for commitments."""
        made = dict(stored)
        known = {self._home.meter_id: self._private}
        billing.equip([made], self._settings, known, self._authority_key)
        return made

    def begin(self, calendar: Calendar, last_slot: int, grid: Sequence[int], fallback: int) -> None:
        """Publish the street's tariff, and make the sample's bill.

        Parameters
        ----------
        grid, fallback:
            The market's prices, and that of a void interval, micro-units per Wh.
        """
        self._calendar = calendar
        self._tariff = self._signed(
            name="market prices",
            ends=(calendar.first_slot, last_slot),
            bounds=Bounds(min(grid), max(grid)),
            rate=Market(fallback, calendar.slot_s, countersigned=True),
            # An hour or two that were not measured do not keep a day from being billed.
            least_slots=calendar.slots - calendar.slots // 12,
        )
        ends = calendar.sample()
        tariff = self._signed(
            name="sample: night and day",
            ends=ends,
            bounds=Bounds(0, 1000),
            rate=TimeOfUse([_NIGHT, _DAY]),
            least_slots=ends[1] - ends[0] + 1,
        )
        leaves = commitments.commit(
            self._sample_readings(ends),
            self._public,
            self._home,
            secrets.token_bytes(32),
            self._parties.authority_seed,
            batch_slots=86400 // calendar.slot_s,
        )
        self._make(SAMPLE, ends, tariff, (leaves, leaves), ())

    def _signed(
        self, name: str, ends: tuple[int, int], bounds: Bounds, rate: tariffs.Rate, least_slots: int
    ) -> TariffFile:
        calendar = self._calendar
        terms = Terms(
            name=name,
            street=self._home.street,
            first_slot=ends[0],
            last_slot=ends[1],
            start_s=calendar.starts_s(ends[0]),
            slot_s=calendar.slot_s,
            bounds=bounds,
            import_rate=rate,
            least_slots=least_slots,
        )
        return tariffs.signed(terms, self._parties.utility_seed, self._parties.authority_seed)

    def _sample_readings(self, ends: tuple[int, int]) -> list[Reading]:
        load = synthetic_street(1, SAMPLE_DAYS, _SEED)
        count = self._calendar.slot_s // load.row_s
        return [
            Reading(slot, int(meter_rows(load, 0, 1, k * count, count).sum()) // 3600)
            for k, slot in enumerate(range(ends[0], ends[1] + 1))
        ]

    def close(
        self,
        number: int,
        link: Link,
        roster: SignedRoster,
        supplier: Supplier,
        entries: Sequence[Mapping[str, Any]],
    ) -> None:
        """The bill of a day that is over, from what its meter committed to.

        Parameters
        ----------
        entries:
            The day's public record, as the market told everybody.

        Raises
        ------
        HushmeterError
            The meter has not all of it, the home refuses to open it, or it does not verify.
        """
        if self._tariff is None:
            raise ValueError("a street's bills begin before a day of it is closed")
        links = {self._home.meter_id: link}
        by_utility = billing.collect(links, self._home.street, roster, supplier)
        came = fetch.fetch(link, self._home)
        leaves = self._certified(came.file), self._certified(by_utility[self._home.meter_id])
        name = f"day-{number:02}"
        self._make(name, self._calendar.day(number), self._tariff, leaves, entries)
        fetch.tell_kept(link, came.first_slots)

    def _certified(self, leaves: LeavesFile) -> LeavesFile:
        """With the authority's word on the meter's key, which it witnessed."""
        key = leaves.signer.public_key
        word = commitments.certificate(self._home, bytes.fromhex(key), self._parties.authority_seed)
        return msgspec.structs.replace(leaves, signer=Signer(key, word))

    def _make(
        self,
        name: str,
        ends: tuple[int, int],
        tariff: TariffFile,
        leaves: tuple[LeavesFile, LeavesFile],
        entries: Sequence[Mapping[str, Any]],
    ) -> None:
        """The home opens its total; the utility verifies it with its own files and issues."""
        own, theirs = (
            folder / homefolder.BILLS / name
            for folder in (self._parties.home, self._parties.utility)
        )
        public = files.public_file(self._public)
        records = []
        for folder, said in ((own, leaves[0]), (theirs, leaves[1])):
            _write(folder / homefolder.LEAVES, said)
            _write(folder / homefolder.KEY, public)
            _write(folder / homefolder.TARIFF, tariff)
            records.append(self._records(folder / homefolder.TRANSCRIPTS, entries))
        household = Household(self._private, self._authority_key, self._parties.home)
        total = open_total(household, leaves[0], tariff, *ends, records[0])
        _write(theirs / homefolder.TOTAL, total)
        evidence = Evidence(leaves[1], public, self._authority_key, insecure=self._insecure)
        bill = bill_of(total, verify_total(total, evidence, tariff, records[1]))
        _write(theirs / homefolder.BILL, bill)
        _write(own / homefolder.BILL, bill)
        # The page shows a bill from its total on, and then has all that it is checked by.
        _write(own / homefolder.TOTAL, total)

    def _records(self, folder: Path, entries: Sequence[Mapping[str, Any]]) -> list[Path]:
        """One's own copy of the day's record, which the authority has countersigned."""
        if not entries:
            return []
        folder.mkdir(parents=True, exist_ok=True)
        path, seed = folder / "market.json", self._parties.authority_seed
        record = countersigned(transcript.written(entries), seed, self._home.street)
        jsonfile.write_bytes(path, record)
        return [path]


def _write(path: Path, file: File) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    jsonfile.write_bytes(path, files.written(file))
