"""The price at which a market clears, and what each participant may buy and sell.

Total demand never rises with the price and total supply never falls, so "supply is at least demand"
is false up to some grid price and true from there on; a binary search finds the first where it
holds. What is traded is the smaller total there, and the larger side is rationed.

**Rationing.** Of q Wh for claims w_i that sum to T > q, participant i gets floor(q w_i / T), and
the Wh that are left over go one each to the largest remainders q w_i mod T, ties to the lower id.
Who that is depends on everybody's claims, which nobody knows. But the keys

    key_i = (q w_i mod T) * N + (N - 1 - rank of i's id)

all differ and order remainders and ties at once. So one further public number is enough: a *cut*
with exactly as many keys at or above it as there are Wh left over. Then a participant knows from
q, T and the cut alone what it gets. :func:`find_cut` needs counts of keys above thresholds, which
are sums like any others, so homes add them up masked. It stops at the first cut that serves, mostly
after a round or two; a participant without a remainder never comes before one with, for all
remainders are below T and sum to T times the Wh left over.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from hushfw.core import market_shares
from hushmeter.errors import HushmeterError
from hushmeter.market.curves import Wh

THRESHOLDS: int = market_shares.THRESHOLDS
"""Counted in one round; with the sum of floors that makes 64 lanes."""

_LARGEST_PRODUCT = (1 << 63) - 1

Counts = Callable[[Sequence[int]], tuple[int, Sequence[int]]]


@dataclass(frozen=True)
class Clearing:
    """What everybody may know of a cleared interval.

    Attributes
    ----------
    price:
        Micro-units per Wh.
    index:
        Of the price in the grid, from 0; None where the market is short.
    demand, supply:
        Totals at each grid price, Wh.
    traded_wh:
        What is bought, and sold.
    surplus:
        Supply is enough at the first price already.
    scarcity:
        Supply is not enough at any price: the last price holds and all supply is traded.
    """

    price: int
    index: int | None
    demand: tuple[int, ...]
    supply: tuple[int, ...]
    traded_wh: int
    surplus: bool
    scarcity: bool

    @property
    def at(self) -> int:
        """Place of the price in the grid, also where the market is short."""
        return len(self.demand) - 1 if self.index is None else self.index


def clear(prices: Sequence[int], demand: Sequence[int], supply: Sequence[int]) -> Clearing:
    """The clearing of totals.

    Raises
    ------
    HushmeterError
        The totals are no curves on this grid: someone sent what is none.
    """
    check_totals(prices, demand, supply)
    at, scarcity = market_shares.crossing(demand, supply)
    return Clearing(
        price=prices[at],
        index=None if scarcity else at,
        demand=tuple(demand),
        supply=tuple(supply),
        traded_wh=min(demand[at], supply[at]),
        surplus=at == 0 and not scarcity,
        scarcity=scarcity,
    )


def check_totals(prices: Sequence[int], demand: Sequence[int], supply: Sequence[int]) -> None:
    """Raises HushmeterError unless both totals are curves on the grid: monotone, not negative."""
    if not len(prices) == len(demand) == len(supply) > 0:
        raise HushmeterError(
            f"totals of {len(demand)} and {len(supply)} entries for {len(prices)} prices"
        )
    for name, totals in (("demand", demand), ("supply", supply)):
        if min(totals) < 0:
            raise HushmeterError(f"total {name} is negative at a price; no honest curves sum to it")
        for place in range(1, len(totals)):
            change = totals[place] - totals[place - 1]
            if change > 0 if name == "demand" else change < 0:
                raise HushmeterError(
                    f"total {name} is not monotone at price {prices[place]}; no honest curves sum "
                    "to it"
                )


def made_monotone(totals: Sequence[int], rising: bool) -> list[int]:
    """The nearest curve to noisy totals: isotonic regression, whole Wh, not below 0."""
    nearest = isotonic_regression(np.array(totals, np.float64), increasing=rising).x
    return [max(0, int(value)) for value in np.floor(nearest + 0.5)]


@dataclass(frozen=True)
class Ration:
    """The public numbers by which one side is shared out.

    Attributes
    ----------
    total_wh, traded_wh:
        What the side asked for at the price, and what is traded.
    cut:
        Keys at or above it get one Wh more; None gives everybody the floor.
    participants:
        N in the keys.
    """

    total_wh: int
    traded_wh: int
    cut: int | None
    participants: int

    @property
    def is_full(self) -> bool:
        """Everybody gets what it asked for."""
        return self.traded_wh == self.total_wh

    @property
    def span(self) -> int:
        """All keys are below it."""
        return self.total_wh * self.participants


def share_wh(claim_wh: int, rank: int, ration: Ration) -> int:
    """What one participant gets, from its own claim, its id's rank and the public numbers."""
    numbers = ration.total_wh, ration.traded_wh, ration.participants
    return int(market_shares.share_wh(claim_wh, rank, *numbers, ration.cut))


def floor_and_key(claim_wh: int, rank: int, ration: Ration) -> tuple[int, int]:
    """The whole Wh that are certain, and what orders the rest."""
    numbers = ration.total_wh, ration.traded_wh, ration.participants
    floor_wh, key = market_shares.floor_and_key(claim_wh, rank, *numbers)
    return int(floor_wh), int(key)


def find_cut(span: int, counts: Counts) -> int:
    """A cut with exactly as many keys at or above it as Wh are left over.

    Parameters
    ----------
    span:
        All keys are below it, none below 0, and no two are the same.
    counts:
        Thresholds, ascending -> Wh left over, and how many keys are at or above each threshold.

    Raises
    ------
    HushmeterError
        The counts are not those of different keys.
    """
    low, high = 0, span
    while high - low > 1:
        steps = range(1, THRESHOLDS + 1)
        inner = sorted({low + (high - low) * step // (THRESHOLDS + 1) for step in steps} - {low})
        left_over, above = counts(inner)
        if left_over == 0:
            return span
        for threshold, count in zip(inner, above, strict=True):
            if count == left_over:
                return threshold
            if count < left_over:
                high = threshold
                break
            low = threshold
    # Between neighbours different keys differ by one, so one of the two would have been it.
    raise HushmeterError("the counts of remainders contradict each other; a member is lying")


def shares_wh(claims_wh: Wh, traded_wh: int) -> Wh:
    """Everybody's share by who knows all claims: what the homes find by themselves.

    Parameters
    ----------
    claims_wh:
        Wh, shape (participants,), in the order of ids.
    traded_wh:
        At most the sum of claims.

    Returns
    -------
    numpy.ndarray
        Wh, same shape; sums to `traded_wh`.
    """
    total = int(claims_wh.sum())
    if traded_wh == total:
        return claims_wh.copy()
    floors, rests = _divided(claims_wh, traded_wh, total)
    left_over = traded_wh - int(floors.sum())
    largest = np.argsort(-rests, kind="stable")[:left_over]
    floors[largest] += 1
    return floors


def _divided(claims_wh: Wh, traded_wh: int, total: int) -> tuple[Wh, Wh]:
    """Floors and remainders of traded * claim / total; exact, also beyond 64 bits."""
    if traded_wh * int(claims_wh.max(initial=0)) <= _LARGEST_PRODUCT:
        floors, rests = np.divmod(claims_wh * traded_wh, total)
        return floors, rests
    pairs = [divmod(traded_wh * claim, total) for claim in claims_wh.tolist()]
    both: NDArray[np.int64] = np.array(pairs, np.int64).reshape(-1, 2)
    return both[:, 0].copy(), both[:, 1].copy()
