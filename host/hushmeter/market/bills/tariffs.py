"""Tariffs: what a Wh costs in each slot, the same for all homes of a street, and published.

A utility that chooses prices freely reads slots: prices (0, .., 1, .., 0) open one, prices
2^(20 t) open all at once, and even within bounds a price of 1001 among many of 1000 opens one slot
in the total's last digits. So a tariff is

- signed by the utility, and counted as published only by the signature of the street's authority,
  which is not the supplier, with a time that lies before the first slot;
- bounded: prices within bounds that are part of it, and below 2^32 micro-units per Wh;
- for periods of a least number of slots (a week's if nothing else is said);
- coarse: each price of a schedule or a time of use applies to a least number of the period's slots,
  so that one total shows nothing finer than sums over so many.

Both numbers count measured slots only: a slot that the meter did not measure is a public 0, and a
week of them would open the one reading among them.

The last rule cannot hold for market prices, which are what they are; those are computed again from
the home's own copies of the market's transcripts.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from msgspec import Meta

from hushmeter.errors import HushmeterError
from hushmeter.market.bills import files
from hushmeter.market.bills.failures import Failure
from hushmeter.market.bills.files import File, Key, Register, Signature, Slot, Street

MOST_PRICE = (1 << 32) - 1
WEEK_S = 7 * 86400
DAY_S = 86400
LEAST_GROUP = 7
"""A time of day of one slot comes seven times a week."""

Price = Annotated[int, Meta(ge=-(1 << 62), le=1 << 62)]
_Second = Annotated[int, Meta(ge=0, lt=DAY_S)]
_Time = Annotated[int, Meta(ge=0, lt=1 << 40)]


class Flat(msgspec.Struct, tag="flat", tag_field="kind", forbid_unknown_fields=True, frozen=True):
    """One price."""

    price: Price


class Band(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A price from this second of the day on (UTC)."""

    from_s: _Second
    price: Price


class TimeOfUse(
    msgspec.Struct, tag="time-of-use", tag_field="kind", forbid_unknown_fields=True, frozen=True
):
    """Prices by the time of day; a slot has the price of its beginning."""

    bands: Annotated[list[Band], Meta(min_length=1, max_length=1440)]


class Schedule(
    msgspec.Struct, tag="schedule", tag_field="kind", forbid_unknown_fields=True, frozen=True
):
    """A price for each slot of the tariff, said ahead."""

    prices: list[Price]


class Market(
    msgspec.Struct, tag="market", tag_field="kind", forbid_unknown_fields=True, frozen=True
):
    """The market's price in a slot; `fallback` where its interval was void.

    Attributes
    ----------
    interval_s:
        Interval k lasts from k * interval_s of Unix time on, as on meters; a slot has the price of
        the one that it lies in. None where intervals have the slots' own numbers.
    countersigned:
        Whether each transcript must have the countersignature of the street's authority.
    """

    fallback: Price
    interval_s: Annotated[int, Meta(ge=1, le=DAY_S)] | None = None
    countersigned: bool = False


class Tier(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A price for what is above the tier before, up to so much in the period; None is no limit."""

    up_to_wh: Annotated[int, Meta(ge=1, lt=1 << 62)] | None
    price: Price


class Tiers(msgspec.Struct, tag="tiers", tag_field="kind", forbid_unknown_fields=True, frozen=True):
    """Prices by the period's energy, which is opened as a total with all prices 1."""

    tiers: Annotated[list[Tier], Meta(min_length=1, max_length=64)]


Rate = Flat | TimeOfUse | Schedule | Market | Tiers


class Bounds(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The least and the greatest price, micro-units per Wh."""

    least: Price
    greatest: Price


class Terms(
    msgspec.Struct, forbid_unknown_fields=True, frozen=True, rename={"import_rate": "import",
    "export_rate": "export"},
):  # fmt: skip
    """What is signed.

    Attributes
    ----------
    street:
        All of whose homes have these prices.
    start_s:
        Unix time at which `first_slot` begins.
    least_slots, least_group:
        Measured ones of a period, and of those in it that have one price.
    import_rate, export_rate:
        What is paid for draw, and what is credited for feed-in; no export is billed if None.
    """

    name: Annotated[str, Meta(min_length=1, max_length=80)]
    street: Street
    first_slot: Slot
    last_slot: Slot
    start_s: _Time
    slot_s: Annotated[int, Meta(ge=1, le=DAY_S)]
    bounds: Bounds
    import_rate: Rate
    export_rate: Rate | None = None
    least_slots: Annotated[int, Meta(ge=1)] = 0
    least_group: Annotated[int, Meta(ge=1)] = LEAST_GROUP

    def rates(self) -> dict[Register, Rate]:
        """By register, of those that are billed."""
        found: dict[Register, Rate] = {"import": self.import_rate}
        if self.export_rate is not None:
            found["export"] = self.export_rate
        return found


class Publication(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The authority's word that it had this tariff, for all homes, at this time."""

    authority: Key
    published_s: _Time
    signature: Signature


class TariffFile(File, kw_only=True):
    """A tariff with its signatures."""

    terms: Terms
    utility: Key
    signature: Signature
    publication: Publication | None

    @property
    def sha256(self) -> str:
        """The digest that totals and bills name."""
        return digest(self.terms)


files.KINDS[TariffFile] = "hushmeter tariff"


def digest(terms: Terms) -> str:
    """SHA-256 of the terms, in hexadecimal."""
    return hashlib.sha256(b"hush1 tariff" + files.canonical(terms)).hexdigest()


def _utility_message(terms: Terms) -> bytes:
    return b"hush1 tariff" + bytes.fromhex(digest(terms))


def _publication_message(terms: Terms, utility: str, published_s: int) -> bytes:
    told = bytes.fromhex(digest(terms) + utility)
    return b"hush1 tariff published" + told + published_s.to_bytes(8, "big")


def read_terms(path: Path) -> Terms:
    """The terms that a utility wrote down.

    Raises
    ------
    HushmeterError
        The file is none, or the terms are refused; see :func:`check_terms`.
    """
    try:
        terms = msgspec.json.decode(path.read_bytes(), type=Terms)
    except OSError as error:
        raise HushmeterError(f"{path}: cannot be read: {error.strerror}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise HushmeterError(f"{path}: is no tariff: {error}") from error
    if not terms.least_slots:
        terms = msgspec.structs.replace(terms, least_slots=-(-WEEK_S // terms.slot_s))
    try:
        check_terms(terms)
    except Failure as failure:
        raise HushmeterError(f"{path}: {failure.message}") from failure
    return terms


def signed(
    terms: Terms,
    utility_seed: bytes,
    authority_seed: bytes | None = None,
    published_s: int | None = None,
) -> TariffFile:
    """A tariff with the utility's signature and, where its seed is given, the authority's.

    Parameters
    ----------
    published_s:
        Unix time at which the authority says it was published; the first slot's if None.
    """
    key = Ed25519PrivateKey.from_private_bytes(utility_seed)
    utility = key.public_key().public_bytes_raw().hex()
    publication = None
    if authority_seed is not None:
        when = terms.start_s if published_s is None else published_s
        authority = Ed25519PrivateKey.from_private_bytes(authority_seed)
        publication = Publication(
            authority.public_key().public_bytes_raw().hex(),
            when,
            authority.sign(_publication_message(terms, utility, when)).hex(),
        )
    return TariffFile(
        kind=files.KINDS[TariffFile],
        terms=terms,
        utility=utility,
        signature=key.sign(_utility_message(terms)).hex(),
        publication=publication,
    )


def is_signed(key: str, message: bytes, signature: str) -> bool:
    """Whether this is an Ed25519 signature of the message; all three in the files' forms."""
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)).verify(
            bytes.fromhex(signature), message
        )
    except (InvalidSignature, ValueError):
        return False
    return True


def check_published(tariff: TariffFile, authority: bytes) -> None:
    """Raises a Failure unless utility and authority signed it, before its first slot."""
    terms, publication = tariff.terms, tariff.publication
    if not is_signed(tariff.utility, _utility_message(terms), tariff.signature):
        raise Failure("tariff", "it is not signed by the utility that it names")
    if publication is None:
        raise Failure("tariff", "it was not published: the authority's signature is missing")
    message = _publication_message(terms, tariff.utility, publication.published_s)
    if publication.authority != authority.hex() or not is_signed(
        publication.authority, message, publication.signature
    ):
        raise Failure("tariff", "its publication is not signed by the authority of the street")
    if publication.published_s > terms.start_s:
        raise Failure(
            "tariff",
            f"it was published {publication.published_s - terms.start_s} s after its first slot",
            terms.first_slot,
        )


def check_terms(terms: Terms) -> None:
    """Raises a Failure unless the terms are consistent in themselves."""
    if terms.last_slot < terms.first_slot:
        raise Failure("tariff", f"its last slot {terms.last_slot} is before its first")
    slots = terms.last_slot - terms.first_slot + 1
    for register, rate in terms.rates().items():
        if isinstance(rate, TimeOfUse):
            starts = [band.from_s for band in rate.bands]
            if starts[0] != 0 or sorted(set(starts)) != starts:
                raise Failure("tariff", f"{register}: its bands must ascend, from second 0 on")
        if isinstance(rate, Market) and not _fits(rate, terms):
            raise Failure(
                "tariff",
                f"{register}: slots of {terms.slot_s} s from {terms.start_s} on do not each lie in "
                f"one interval of {rate.interval_s} s",
            )
        if isinstance(rate, Schedule) and len(rate.prices) != slots:
            raise Failure("tariff", f"{register}: {len(rate.prices)} prices for {slots} slots")
        if isinstance(rate, Tiers):
            limits = [tier.up_to_wh for tier in rate.tiers]
            known = [limit for limit in limits if limit is not None]
            if limits[-1] is not None or len(known) != len(limits) - 1:
                raise Failure("tariff", f"{register}: the last tier, and no other, has no limit")
            if sorted(set(known)) != known:
                raise Failure("tariff", f"{register}: its tiers must ascend")


def _fits(rate: Market, terms: Terms) -> bool:
    """Whether each slot lies in one interval of the market."""
    interval_s = rate.interval_s
    return interval_s is None or not (interval_s % terms.slot_s or terms.start_s % terms.slot_s)
