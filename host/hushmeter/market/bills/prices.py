"""The price of each slot under a tariff, and whether these prices may be opened.

The checks are functions of their own, since each stands against an attack of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Literal

from hushmeter.errors import HushmeterError
from hushmeter.market import transcript
from hushmeter.market.bills.failures import Failure
from hushmeter.market.bills.files import Register
from hushmeter.market.bills.tariffs import (
    DAY_S,
    MOST_PRICE,
    Flat,
    Market,
    Rate,
    Schedule,
    Terms,
    Tiers,
    TimeOfUse,
)
from hushmeter.market.countersigning import is_countersigned

Prices = dict[Register, list[int]]
"""What each slot's commitment is raised to, by register."""


def check_bounds(terms: Terms, prices: Mapping[Register, Sequence[int]], first_slot: int) -> None:
    """Raises a Failure unless every price is within the signed bounds and below 2^32."""
    least, greatest = terms.bounds.least, terms.bounds.greatest
    if least > greatest or max(-least, greatest) > MOST_PRICE:
        raise Failure("tariff", "its bounds must ascend and be below 2^32 micro-units per Wh")
    for register, rate in terms.rates().items():
        said: list[tuple[int | None, int]]
        if isinstance(rate, Tiers):
            said = [(None, tier.price) for tier in rate.tiers]
        else:
            said = [(slot, price) for slot, price in enumerate(prices[register], first_slot)]
        for slot, price in said:
            if not least <= price <= greatest:
                reason = f"{register}: {price} is outside the bounds {least} to {greatest}"
                raise Failure("prices", reason, slot)


def check_groups(
    terms: Terms,
    prices: Mapping[Register, Sequence[int]],
    first_slot: int,
    measured: Mapping[Register, Collection[int]],
) -> None:
    """Raises a Failure if a price of a schedule or a time of use has too few measured slots.

    One that has none at all adds 0 to the total, and tells nothing.
    """
    for register, rate in terms.rates().items():
        if not isinstance(rate, Schedule | TimeOfUse):
            continue
        priced = {
            slot: price
            for slot, price in enumerate(prices[register], first_slot)
            if slot in measured[register]
        }
        counted = Counter(priced.values())
        for slot, price in priced.items():
            if counted[price] < terms.least_group:
                raise Failure(
                    "prices",
                    f"{register}: the price {price} is that of {counted[price]} measured slots "
                    f"only; {terms.least_group} must share it, or the total tells what they used",
                    slot,
                )


def check_period(terms: Terms, first_slot: int, last_slot: int) -> None:
    """Raises a Failure unless the period is within the tariff's."""
    if not terms.first_slot <= first_slot <= last_slot <= terms.last_slot:
        raise Failure(
            "period",
            f"the tariff is for slots {terms.first_slot} to {terms.last_slot}",
            first_slot,
            last_slot,
        )


def check_length(
    terms: Terms, first_slot: int, last_slot: int, measured: Mapping[Register, Collection[int]]
) -> None:
    """Raises a Failure unless every register that is billed has enough measured slots."""
    for register in terms.rates():
        slots = len(measured[register])
        if slots < terms.least_slots:
            raise Failure(
                "period",
                f"{register}: it has {slots} measured slots; at least {terms.least_slots} are "
                "opened together",
                first_slot,
                last_slot,
            )


def price_vectors(
    terms: Terms, first_slot: int, last_slot: int, market: Mapping[int, int | None]
) -> Prices:
    """What each slot's commitment is raised to, by register; 1 where tiers apply.

    Parameters
    ----------
    market:
        The market's price by interval, None where it was void; see :func:`market_prices`.

    Raises
    ------
    Failure
        An interval is in no transcript.
    """
    slots = range(first_slot, last_slot + 1)
    return {
        register: [_price(terms, rate, slot, market) for slot in slots]
        for register, rate in terms.rates().items()
    }


def _price(terms: Terms, rate: Rate, slot: int, market: Mapping[int, int | None]) -> int:
    if isinstance(rate, Flat):
        return rate.price
    if isinstance(rate, Schedule):
        return rate.prices[slot - terms.first_slot]
    if isinstance(rate, TimeOfUse):
        second = (terms.start_s + (slot - terms.first_slot) * terms.slot_s) % DAY_S
        return next(band.price for band in reversed(rate.bands) if band.from_s <= second)
    if isinstance(rate, Market):
        interval = slot
        if rate.interval_s is not None:
            start_s = terms.start_s + (slot - terms.first_slot) * terms.slot_s
            interval = start_s // rate.interval_s
        if interval not in market:
            raise Failure("transcript", f"no transcript has interval {interval}", slot)
        price = market[interval]
        return rate.fallback if price is None else price
    return 1


def market_prices(paths: Sequence[Path]) -> tuple[dict[int, int | None], list[str]]:
    """The price of every interval, computed again, and the digests of the transcripts' intervals.

    Raises
    ------
    HushmeterError
        A transcript says what does not follow, or two have one interval.
    """
    prices: dict[int, int | None] = {}
    digests = []
    for path in paths:
        intervals, file = transcript.read_whole(path)
        for one in intervals:
            if one.interval in prices:
                raise HushmeterError(f"{path}: interval {one.interval} is in two transcripts")
            prices[one.interval] = getattr(one, "price", None)
        digests.append(file.sha256)
    return prices, digests


def check_countersigned(terms: Terms, paths: Sequence[Path], authority: bytes) -> None:
    """Raises a Failure unless the street's authority countersigned what must have it."""
    rates = terms.rates().values()
    if not any(isinstance(rate, Market) and rate.countersigned for rate in rates):
        return
    for path in paths:
        file = transcript.read_whole(path)[1]
        if not is_countersigned(file, authority, terms.street):
            raise Failure(
                "transcript", f"{path} is not countersigned by the authority of {terms.street}"
            )


def amount_micro(terms: Terms, totals: Mapping[Register, int]) -> int:
    """What is to be paid for a period: import less export, micro-units."""
    sign: dict[Register, Literal[1, -1]] = {"import": 1, "export": -1}
    return sum(
        sign[register] * _amount(rate, totals[register]) for register, rate in terms.rates().items()
    )


def _amount(rate: Rate, total: int) -> int:
    if not isinstance(rate, Tiers):
        return total
    amount, below = 0, 0
    for tier in rate.tiers:
        top = total if tier.up_to_wh is None else min(total, tier.up_to_wh)
        amount += tier.price * max(0, top - below)
        below = max(below, top)
    return amount
