"""Is a bill right? From files alone, by utility, home or anybody else, years later.

Needed are the total, the leaves with their signed roots, the home's public key, the tariff, and
where prices are the market's, its transcripts. Nothing secret is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hushfw.core.errors import HushError
from hushmeter.crypto import paillier
from hushmeter.market.bills import commitments, files, opening
from hushmeter.market.bills import prices as pricing
from hushmeter.market.bills.failures import Failure
from hushmeter.market.bills.files import (
    BillFile,
    Home,
    LeavesFile,
    PublicKeyFile,
    SlotFile,
    TotalFile,
)
from hushmeter.market.bills.home import checked_prices
from hushmeter.market.bills.tariffs import TariffFile


@dataclass(frozen=True)
class Evidence:
    """What a total is held against.

    Attributes
    ----------
    authority:
        Ed25519 public key of the street's authority.
    meter_key:
        The meter's Ed25519 key, where the leaves bring no certificate.
    insecure:
        Take a key of 1024 bits: for trials only.
    """

    leaves: LeavesFile
    public: PublicKeyFile
    authority: bytes
    meter_key: bytes | None = None
    insecure: bool = False

    def key(self, home: Home) -> paillier.PublicKey:
        """The home's key, found well formed.

        Raises
        ------
        Failure
            It is forged, too short, or made for another home or street.
        """
        key = files.public_key(self.public)
        try:
            return paillier.check(key.to_bytes(), home.owner, self.authority, self.insecure)
        except HushError as error:
            raise Failure("key", error.message) from error

    def commitments(self, home: Home, key: paillier.PublicKey) -> commitments.Commitments:
        """The home's commitments, checked."""
        if self.leaves.home != home:
            raise Failure("total", "the leaves are another home's")
        return commitments.check(self.leaves, key, self.authority, self.meter_key)


def verify_total(
    total: TotalFile,
    evidence: Evidence,
    tariff: TariffFile,
    transcripts: Sequence[Path] = (),
    bill: BillFile | None = None,
) -> int:
    """The amount to pay in micro-units, if everything holds.

    Raises
    ------
    Failure
        Names the slot and the step that fail.
    HushmeterError
        A transcript is none.
    """
    key = evidence.key(total.home)
    found = evidence.commitments(total.home, key)
    if total.tariff_sha256 != tariff.sha256:
        raise Failure("tariff", "the total is under another tariff")
    market, digests = pricing.market_prices(transcripts)
    if sorted(total.transcripts_sha256) != sorted(digests):
        raise Failure("transcript", "the total was made from other transcripts")
    pricing.check_countersigned(tariff.terms, transcripts, evidence.authority)
    ends = total.first_slot, total.last_slot
    prices = checked_prices(tariff, total.home, found, evidence.authority, ends, market)
    if set(prices) != set(total.registers) or total.key_sha256 != evidence.public.key_sha256:
        raise Failure("total", "its registers or its key are not those of tariff and leaves")
    totals = {}
    for register, vector in prices.items():
        product = opening.product(found[register], vector, ends[0], key.n)
        totals[register] = opening.check(total.registers[register], key.n, product, vector)
    amount = pricing.amount_micro(tariff.terms, totals)
    if opening.number(total.amount_micro) != amount:
        raise Failure("amount", f"it says {total.amount_micro}; {amount} follows from its totals")
    if bill is not None:
        _check_bill(bill, total, amount)
    return amount


def _check_bill(bill: BillFile, total: TotalFile, amount: int) -> None:
    for name in ("home", "tariff_sha256", "first_slot", "last_slot"):
        if getattr(bill, name) != getattr(total, name):
            raise Failure("amount", f"the bill has another {name} than the total")
    if opening.number(bill.amount_micro) != amount:
        raise Failure("amount", f"the bill asks for {bill.amount_micro}; {amount} is right")


def bill_of(total: TotalFile, amount: int) -> BillFile:
    """The bill that follows from a verified total."""
    return BillFile(
        kind=files.KINDS[BillFile],
        home=total.home,
        tariff_sha256=total.tariff_sha256,
        first_slot=total.first_slot,
        last_slot=total.last_slot,
        amount_micro=str(amount),
    )


def verify_slot(said: SlotFile, evidence: Evidence) -> int:
    """The slot's Wh, if it opens what the meter committed to.

    Raises
    ------
    Failure
        Names the step that fails.
    """
    key = evidence.key(said.home)
    found = evidence.commitments(said.home, key)
    commitments.check_complete(found, said.register, said.slot, said.slot)
    try:
        return opening.check(said.opened, key.n, found[said.register][said.slot], [1])
    except Failure as failure:
        raise Failure(failure.step, failure.reason, said.slot) from failure
