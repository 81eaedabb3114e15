"""The home's side: what it checks before it opens a total, and the opening.

Whoever chooses prices reads slots, so the private key answers nothing that is not a published bill:
key and leaves are its own, the tariff is every home's, prices are bounded and coarse, the period is
long and complete, and no slot has been opened in another sum before. What is opened stands in the
home's folder, on the disk, before it is returned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from hushmeter.crypto.paillier import PrivateKey, PublicKey
from hushmeter.market.bills import commitments, files, journal, opening, tariffs
from hushmeter.market.bills import prices as pricing
from hushmeter.market.bills.commitments import Commitments
from hushmeter.market.bills.failures import Failure
from hushmeter.market.bills.files import Home, LeavesFile, Opened, Register, SlotFile, TotalFile
from hushmeter.market.bills.journal import Journal, Opening
from hushmeter.market.bills.prices import Prices
from hushmeter.market.bills.tariffs import TariffFile
from hushmeter.privacy.disclosures import Disclosures


@dataclass(frozen=True)
class Household:
    """What a home answers with and for.

    Attributes
    ----------
    authority:
        Ed25519 public key of the street's authority.
    folder:
        Where the home remembers what it has opened.
    meter_key:
        The own meter's Ed25519 key, where the leaves bring no certificate.
    """

    private: PrivateKey
    authority: bytes
    folder: Path
    meter_key: bytes | None = None

    def commitments(self, leaves: LeavesFile) -> Commitments:
        """The own meter's commitments; see :func:`hushmeter.market.bills.commitments.check`."""
        return commitments.check(leaves, self.public(leaves), self.authority, self.meter_key)

    def public(self, leaves: LeavesFile) -> PublicKey:
        """The own key as the leaves' meter was given it.

        Raises
        ------
        Failure
            The leaves are under another key.
        """
        public = self.private.public(leaves.home.owner, self.authority)
        if files.public_file(public).key_sha256 != leaves.key_sha256:
            raise Failure("key", "the leaves are not under this home's key")
        return public


def open_total(
    household: Household,
    leaves: LeavesFile,
    tariff: TariffFile,
    first_slot: int,
    last_slot: int,
    transcripts: Sequence[Path] = (),
    reissue: bool = False,
) -> TotalFile:
    """Open what a period costs, after every check.

    Parameters
    ----------
    transcripts:
        The home's own copies of the market's transcripts.
    reissue:
        The home agrees to open a period a second time, under corrected prices.

    Raises
    ------
    Failure
        Names the check that refuses, and the slot.
    HushmeterError
        A file is none.
    """
    found = household.commitments(leaves)
    market, digests = pricing.market_prices(transcripts)
    pricing.check_countersigned(tariff.terms, transcripts, household.authority)
    ends = first_slot, last_slot
    prices = checked_prices(tariff, leaves.home, found, household.authority, ends, market)
    products = _products(found, prices, first_slot, household.private.n)
    wanted = Opening(
        home=leaves.home,
        first_slot=first_slot,
        last_slot=last_slot,
        opening_sha256=files.sha256([first_slot, last_slot, prices, products]),
        tariff_sha256=tariff.sha256,
    )
    with Journal(household.folder) as history:
        standing = journal.standing(history.openings, wanted, reissue)
        registers = _opened(household.private, products, prices)
        if standing != "again":
            _written_down(household.folder, history, wanted, tariff, standing == "reissue")
        again = standing == "reissue" or _was_reissue(history, wanted)
    totals = {register: opening.number(one.total) for register, one in registers.items()}
    return TotalFile(
        kind=files.KINDS[TotalFile],
        home=leaves.home,
        key_sha256=leaves.key_sha256,
        tariff_sha256=tariff.sha256,
        transcripts_sha256=digests,
        first_slot=first_slot,
        last_slot=last_slot,
        reissue=again,
        registers=registers,
        amount_micro=str(pricing.amount_micro(tariff.terms, totals)),
    )


def checked_prices(
    tariff: TariffFile,
    where: Home,
    found: Commitments,
    authority: bytes,
    ends: tuple[int, int],
    market: dict[int, int | None],
) -> Prices:
    """The price vectors of a period, after every check of the tariff; home and verifier agree.

    Parameters
    ----------
    ends:
        The period's first and last slot.

    Raises
    ------
    Failure
        The tariff is not published, not of this street or not consistent, a slot of the
        period missing, too few of them measured, or a price out of bounds or of too few slots.
    """
    terms = tariff.terms
    tariffs.check_published(tariff, authority)
    if terms.street != where.street:
        raise Failure("tariff", f"it is for the street {terms.street}")
    tariffs.check_terms(terms)
    pricing.check_period(terms, *ends)
    measured = {}
    for register in terms.rates():
        commitments.check_complete(found, register, *ends)
        measured[register] = commitments.measured(found[register], *ends)
    pricing.check_length(terms, *ends, measured)
    prices = pricing.price_vectors(terms, *ends, market)
    pricing.check_bounds(terms, prices, ends[0])
    pricing.check_groups(terms, prices, ends[0], measured)
    return prices


def _products(found: Commitments, prices: Prices, first_slot: int, n: int) -> dict[Register, str]:
    return {
        register: files.hexed(opening.product(found[register], vector, first_slot, n))
        for register, vector in prices.items()
    }


def _opened(
    private: PrivateKey, products: dict[Register, str], prices: Prices
) -> dict[Register, Opened]:
    return {
        register: opening.opened(private, int(found, 16), prices[register])
        for register, found in products.items()
    }


def _written_down(
    folder: Path, history: Journal, wanted: Opening, tariff: TariffFile, reissue: bool
) -> None:
    """The disclosure first: a cut between the two leaves one too many, never one too few."""
    registers = " and ".join(tariff.terms.rates())
    tiered = any(isinstance(rate, tariffs.Tiers) for rate in tariff.terms.rates().values())
    kind = "reissue" if reissue else "total" if tiered else "bill"
    what = f"{registers} under tariff {tariff.sha256[:16]}, to the utility {tariff.utility[:16]}"
    Disclosures(folder).add(kind, wanted.first_slot, wanted.last_slot, what)
    history.add(msgspec.structs.replace(wanted, kind="reissue" if reissue else "bill"))


def _was_reissue(history: Journal, wanted: Opening) -> bool:
    return any(
        one.kind == "reissue" and one.opening_sha256 == wanted.opening_sha256
        for one in history.openings
    )


def open_slot(
    household: Household, leaves: LeavesFile, slot: int, register: Register, consent: bool
) -> SlotFile:
    """Open one slot to settle a dispute; counts as a disclosure.

    Raises
    ------
    Failure
        Without consent, or where the slot is not the meter's.
    """
    if not consent:
        raise Failure(
            "consent", "one slot alone shows what the home used then; the home must agree", slot
        )
    found = household.commitments(leaves)
    commitments.check_complete(found, register, slot, slot)
    number = found[register][slot]
    with Journal(household.folder) as history:
        opened = opening.opened(household.private, number, [1])
        what = f"{register} of the slot, in Wh, with the home's consent"
        Disclosures(household.folder).add("dispute", slot, slot, what)
        digest = files.sha256([slot, register, files.hexed(number)])
        history.add(Opening(leaves.home, slot, slot, digest, "", "slot"))
    return SlotFile(
        kind=files.KINDS[SlotFile],
        home=leaves.home,
        key_sha256=leaves.key_sha256,
        slot=slot,
        register=register,
        opened=opened,
    )
