"""One interval of the market: curves are summed, the price is found, each home works out its share.

What the collector and every participant may see is in the transcript's entry and nowhere else; a
home's own share is computed from that entry and its own curve. Participants whose curves are public
(the utility, declared producers) stay outside the sum and are added in the clear.

A void sum leaves no price: the interval takes the fallback price, and nobody is asked again. A home
that is silent from the beginning is not in the market of that interval; the others go on.
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hushfw.core.errors import HushError
from hushmeter.errors import HushmeterError
from hushmeter.market import clearing, transcript
from hushmeter.market.curves import DEMAND, MOST_WH, SUPPLY, Curves, Wh
from hushmeter.market.rationing import Rationing, counted
from hushmeter.market.summation import Backend, MaskedStreet, Summed
from hushmeter.market.terms import Source, Terms
from hushmeter.market.vectorised import VectorStreet, VectorStreets, street_sizes

if TYPE_CHECKING:
    from hushmeter.crypto.paillier import PrivateKey

BACKENDS = ("masked", "paillier-ring")
IN_PROCESS_HOMES = 8
"""Up to here every home is an object with keys of its own; beyond, words are made together."""
MOST_MASKED_HOMES = 10_000
"""Pairs grow with the square of a street: a thousand homes take seconds."""


class SystemSource:
    """Uniform integers of the operating system."""

    def below(self, n: int) -> int:
        """An integer in 0..n-1."""
        return secrets.randbelow(n)


class SeededSource:
    """Uniform integers of a seed: for tests and studies, insecure."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def below(self, n: int) -> int:
        """An integer in 0..n-1."""
        return self._random.randrange(n)


@dataclass(frozen=True)
class Rules:
    """How a market is run.

    Attributes
    ----------
    public:
        Ids whose curves are published: the utility and declared producers.
    utility:
        One of them, which takes the imbalance under noise; None if there is none.
    missing:
        M; None takes a tenth of the homes, at least 1 where that is safe.
    caps_wh:
        Of a home's demand and supply; None takes no cap without noise.
    floors_only:
        No counts: the Wh that rounding leaves over, fewer than there are participants, go to the
        utility. Counts show the remainders near the cut, and a collector who lies about them can
        steer the search to one home's.
    """

    public: frozenset[str] = frozenset()
    utility: str | None = None
    missing: int | None = None
    caps_wh: tuple[int, int] | None = None
    epsilon: Fraction | None = None
    least_homes: int = 2
    floors_only: bool = False

    @property
    def counts(self) -> bool:
        """Whether remainders are counted; under noise whole Wh do not add up anyway."""
        return self.epsilon is None and not self.floors_only


@dataclass(frozen=True, eq=False)
class Outcome:
    """One interval.

    Attributes
    ----------
    clearing:
        None where the sum is void.
    buy_wh, sell_wh:
        Each participant's share, shape (participants,), in the order of ids.
    imbalance_wh:
        Wh bought beyond what is sold, by noise on the totals; the utility provides it.
    entry:
        The transcript's.
    bytes:
        Of all messages.
    """

    clearing: clearing.Clearing | None
    reason: str
    ids: tuple[str, ...]
    buy_wh: Wh
    sell_wh: Wh
    imbalance_wh: int
    entry: dict[str, Any]
    bytes: int
    seconds: float

    def allocations(self) -> dict[str, dict[str, int]]:
        """id -> buy_wh and sell_wh."""
        shares = zip(self.ids, self.buy_wh.tolist(), self.sell_wh.tolist(), strict=True)
        return {who: {"buy_wh": buy, "sell_wh": sell} for who, buy, sell in shares}


def default_missing(homes: int) -> int:
    """M: a tenth of the homes, at least 1 where 2 M + T < N."""
    return max(0, min(max(1, homes // 10), (homes - 2) // 2))


def _terms(members: int, prices: int, rules: Rules, street: str) -> Terms:
    missing = default_missing(members) if rules.missing is None else rules.missing
    demand, supply = (MOST_WH, MOST_WH) if rules.caps_wh is None else rules.caps_wh
    return Terms(
        street, members, missing, prices, demand, supply, rules.epsilon,
        least_homes=rules.least_homes,
    )  # fmt: skip


def masked_backend(homes: int, prices: int, rules: Rules, street: str = "market") -> Backend:
    """What sums the homes of a market masked.

    Raises
    ------
    HushmeterError
        The rules are not safe for so many homes, or there are too many.
    """
    if homes > MOST_MASKED_HOMES:
        raise HushmeterError(
            f"{homes} homes; this process sums up to {MOST_MASKED_HOMES} masked, for the work "
            "grows with the pairs"
        )

    def terms(members: int) -> Terms:
        return _terms(members, prices, rules, street)

    if homes <= IN_PROCESS_HOMES:
        return MaskedStreet(terms(homes))
    streets = [VectorStreet(terms(size)) for size in street_sizes(homes)]
    return streets[0] if len(streets) == 1 else VectorStreets(streets, streets[-1].terms)


def ring_backend(
    homes: int,
    prices: int,
    rules: Rules,
    bits: int = 2048,
    key: PrivateKey | None = None,
    street: str = "market",
) -> Backend:
    """What sums the homes of a market in a Paillier ring.

    Parameters
    ----------
    key:
        The utility's; a new one of so many `bits` if None.

    Raises
    ------
    HushmeterError
        The rules are not safe for so many homes, or the homes would not take the key.
    """
    from hushmeter.market.ring import PaillierRing

    try:
        return PaillierRing(_terms(homes, prices, rules, street), bits, key)
    except HushError as error:
        raise HushmeterError(f"no home takes the utility's key: {error.message}") from error


def make_backend(
    name: str,
    homes: int,
    prices: int,
    rules: Rules,
    bits: int = 2048,
    key: PrivateKey | None = None,
) -> Backend:
    """A backend of `BACKENDS` by name; see :func:`ring_backend` for `bits` and `key`.

    Raises
    ------
    HushmeterError
        As :func:`masked_backend`; or there is no such backend.
    """
    if name == "masked":
        return masked_backend(homes, prices, rules)
    if name == "paillier-ring":
        return ring_backend(homes, prices, rules, bits, key)
    raise HushmeterError(f"{name} is no backend; known are {', '.join(BACKENDS)}")


def run(
    curves: Curves,
    backend: Backend,
    rules: Rules,
    interval: int = 1,
    silent: Collection[str] = (),
    mute: Collection[str] = (),
    source: Source | None = None,
) -> Outcome:
    """One interval from curves to shares.

    Parameters
    ----------
    silent, mute:
        Ids of homes that do not report, and that report and do not answer.
    source:
        Of the homes' noise.

    Raises
    ------
    HushmeterError
        An id is unknown, a home's curve is above the caps, or the interval was summed before.
    """
    began = time.perf_counter()
    places = _Places(curves, rules, silent, mute)
    _check_caps(curves, places.homes, backend.terms)
    values = _values(curves, places.homes, backend.terms, source or SystemSource())
    summed = backend.curves(interval, values, places.silent, places.mute, curves.prices)
    if summed.totals is None:
        return _void(curves, interval, summed.reason, summed.bytes, began)
    k = len(curves.prices)
    public = {
        curves.ids[place]: (curves.demand[place].tolist(), curves.supply[place].tolist())
        for place in places.public
    }
    entry = summed_entry(
        interval, curves.ids, [curves.ids[places.homes[home]] for home in sorted(places.silent)],
        curves.prices, (summed.totals[:k], summed.totals[k:]), public, rules.epsilon,
    )  # fmt: skip
    try:
        found = transcript.cleared(entry)
    except HushmeterError as error:
        return _void(curves, interval, error.message, summed.bytes, began)

    def home_counts(
        turn: int, side: str, ration: clearing.Ration, thresholds: Sequence[int], context: bytes
    ) -> Summed:
        amounts = (curves.demand if side == transcript.BUY else curves.supply)[:, found.at]
        rows = [counted(int(amounts[at]), at, ration, thresholds) for at in places.homes]
        return backend.counts(interval, turn, rows, context)

    rationing = Rationing(entry, found, home_counts)
    rations = {side: rationing.ration(side, rules.counts) for side in transcript.SIDES}
    entry |= transcript.result_fields(found, rations, rationing.rounds)
    return _outcome(
        curves, places, rules, found, rations, entry, summed.bytes + rationing.bytes, began
    )


def summed_entry(
    interval: int,
    ids: Sequence[str],
    silent: Sequence[str],
    prices: Sequence[int],
    sums: tuple[list[int], list[int]],
    public: Mapping[str, tuple[list[int], list[int]]],
    epsilon: Fraction | None,
) -> dict[str, Any]:
    """The part of a transcript's entry that its price follows from; sums are the homes'."""
    return {
        "interval": interval,
        "ids": list(ids),
        "silent": list(silent),
        "prices": list(prices),
        "sums": {DEMAND: sums[0], SUPPLY: sums[1]},
        "public": {
            who: {DEMAND: demand, SUPPLY: supply} for who, (demand, supply) in public.items()
        },
        "epsilon": None if epsilon is None else str(epsilon),
    }


class _Places:
    """Who is public, a home, silent or mute, by place; silent and mute count among the homes."""

    def __init__(
        self, curves: Curves, rules: Rules, silent: Collection[str], mute: Collection[str]
    ) -> None:
        known = {who: place for place, who in enumerate(curves.ids)}
        utility = () if rules.utility is None else (rules.utility,)
        for who in (*sorted(rules.public), *utility, *silent, *mute):
            if who not in known:
                raise HushmeterError(f"participant {who} is named, but has no curve")
        public = rules.public.union(utility)
        for who in (*silent, *mute):
            if who in public:
                raise HushmeterError(f"participant {who} publishes its curve and sends no words")
        self.public = [place for place, who in enumerate(curves.ids) if who in public]
        self.homes = [place for place, who in enumerate(curves.ids) if who not in public]
        index = {place: home for home, place in enumerate(self.homes)}
        self.silent = {index[known[who]] for who in silent}
        self.mute = {index[known[who]] for who in mute}
        absent = {self.homes[home] for home in self.silent}
        self.absent = [place in absent for place in range(len(curves.ids))]


def _check_caps(curves: Curves, homes: Sequence[int], terms: Terms) -> None:
    if terms.members != len(homes) and len(homes) <= IN_PROCESS_HOMES:
        raise HushmeterError(f"{len(homes)} homes for a sum of {terms.members}")
    for side, amounts, cap in (
        (DEMAND, curves.demand, terms.demand_cap_wh),
        (SUPPLY, curves.supply, terms.supply_cap_wh),
    ):
        above = np.argwhere(amounts[homes] > cap)
        if above.size:
            place, entry = homes[above[0][0]], above[0][1]
            raise HushmeterError(
                f"participant {curves.ids[place]}, {side} at price {curves.prices[entry]}: "
                f"{amounts[place, entry]} Wh is above the cap of {cap} Wh"
            )


def _values(
    curves: Curves, homes: Sequence[int], terms: Terms, source: Source
) -> NDArray[np.int64]:
    """What each home adds: its curves, with its share of the noise."""
    values = np.hstack([curves.demand[homes], curves.supply[homes]])
    if terms.epsilon is not None:
        values = values + np.array([terms.share(source) for _ in homes], np.int64)
    return values


def _outcome(
    curves: Curves, places: _Places, rules: Rules, found: clearing.Clearing,
    rations: Mapping[str, clearing.Ration], entry: dict[str, Any], sent: int, began: float,
) -> Outcome:  # fmt: skip
    """Each participant's own share, and what is left to the utility."""
    shares = {}
    for side, amounts in ((transcript.BUY, curves.demand), (transcript.SELL, curves.supply)):
        claims = amounts[:, found.at].tolist()
        shares[side] = np.array(
            [
                0 if places.absent[rank] else clearing.share_wh(claim, rank, rations[side])
                for rank, claim in enumerate(claims)
            ],
            np.int64,
        )
    buy, sell = shares[transcript.BUY], shares[transcript.SELL]
    imbalance = int(buy.sum() - sell.sum())
    if rules.utility is not None and imbalance:
        place = curves.ids.index(rules.utility)
        (sell if imbalance > 0 else buy)[place] += abs(imbalance)
    seconds = time.perf_counter() - began
    return Outcome(found, "", curves.ids, buy, sell, imbalance, entry, sent, seconds)


def _void(curves: Curves, interval: int, reason: str, sent: int, began: float) -> Outcome:
    nothing = np.zeros(len(curves.ids), np.int64)
    entry = {"interval": interval, "void": reason}
    seconds = time.perf_counter() - began
    return Outcome(None, reason, curves.ids, nothing, nothing, 0, entry, sent, seconds)
