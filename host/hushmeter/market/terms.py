"""The rules of a market's masked sums: who is in it, how many may fail, caps, noise.

They are checked before anything is masked, as a roster's are (:mod:`hushfw.core.rules`). The least
number of members counts homes only: the utility and declared producers publish their curves, and
would protect nobody.

With epsilon, each home adds to each lane a share of discrete Laplace noise. A home's curves change
the lanes by at most their caps, so the L1 sensitivity is the sum of its lanes' caps and lambda is
that over epsilon, the same on every lane.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from hushfw.core import market, noise
from hushfw.core.roster import MAX_MEMBERS
from hushmeter.errors import HushmeterError
from hushmeter.market.curves import MOST_WH


class Source(Protocol):
    """Exact uniform integers."""

    def below(self, n: int) -> int:
        """An integer in 0..n-1."""
        ...


@dataclass(frozen=True)
class Terms:
    """Rules of one street's sums.

    Attributes
    ----------
    members:
        Homes in the sum.
    missing, colluders:
        M and T: the most that may stay silent, and that may collude.
    prices:
        Number of grid prices; a home has twice as many lanes, demand before supply.
    demand_cap_wh, supply_cap_wh:
        The most that a home may say at any price.
    epsilon:
        Of an interval; None is no noise.
    least_homes:
        Fewer homes are refused.
    """

    street: str
    members: int
    missing: int
    prices: int
    demand_cap_wh: int = MOST_WH
    supply_cap_wh: int = MOST_WH
    epsilon: Fraction | None = None
    colluders: int = 1
    least_homes: int = 2

    def __post_init__(self) -> None:
        if self.members < self.least_homes:
            raise HushmeterError(
                f"{self.members} home{'s' * (self.members != 1)} in the sum; at least "
                f"{self.least_homes} must be, or the total tells what a home asks for",
                hint="the utility and declared producers publish their curves and do not count",
            )
        rules = (
            (self.members <= MAX_MEMBERS, f"a street has at most {MAX_MEMBERS} homes"),
            (self.colluders >= 1, "T is at least 1: every home knows its own curve"),
            (self.missing >= 0, "M is at least 0"),
            (self.epsilon is None or self.epsilon > 0, "epsilon is above 0"),
            (
                self.missing == 0 or 2 * self.missing + self.colluders < self.members,
                "2 M + T must be below N: else two different sets S could both be answered",
            ),
            (
                self.epsilon is None or self.noise_shape >= 1,
                "N - M - T must be at least 1: somebody must add the noise",
            ),
            (
                min(self.caps_wh) >= 0 and 0 < max(self.caps_wh) <= MOST_WH,
                f"caps are 0 to {MOST_WH} Wh, and not both 0",
            ),
        )
        for holds, rule in rules:
            if not holds:
                raise HushmeterError(f"the market's terms are not safe: {rule}")
        if self.members * max(self.caps_wh) + self.tail_wh >= 1 << 63:
            raise HushmeterError(
                "the market's terms are not safe: N * cap plus the noise's tail must stay below "
                "2^63; lower the caps or raise epsilon"
            )

    @property
    def caps_wh(self) -> tuple[int, int]:
        """Of demand and supply."""
        return self.demand_cap_wh, self.supply_cap_wh

    @property
    def lanes(self) -> int:
        """Words of a home's curves."""
        return 2 * self.prices

    @property
    def hash(self) -> bytes:
        """What keys and messages are bound to, 32 bytes."""
        fields = {**self.__dict__, "epsilon": str(self.epsilon)}
        return hashlib.sha256(b"hush1 market" + json.dumps(fields).encode()).digest()

    @property
    def noise_shape(self) -> int:
        """n: each home's share has shape 1/n."""
        return self.members - self.missing - self.colluders

    @property
    def scale_wh(self) -> Fraction:
        """lambda; 0 without noise."""
        if self.epsilon is None:
            return Fraction(0)
        return Fraction(self.prices * sum(self.caps_wh)) / self.epsilon

    @property
    def tail_wh(self) -> int:
        """Noise beyond this is out of the window; see :meth:`hushfw.core.roster.Roster.tail_wh`."""
        if self.epsilon is None:
            return 0
        num, den = self.scale_wh.as_integer_ratio()
        return int(market.tail_wh(self.members, self.noise_shape, num, den))

    def share(self, source: Source) -> list[int]:
        """One home's noise, Wh a lane."""
        if self.epsilon is None:
            return [0] * self.lanes
        n, (num, den) = self.noise_shape, self.scale_wh.as_integer_ratio()
        return [noise.share(source, n, num, den) for _ in range(self.lanes)]

    def in_window(self, totals: list[int]) -> bool:
        """Honest homes can have totals like these."""
        tops = [cap for cap in self.caps_wh for _ in range(self.prices)]
        return all(
            -self.tail_wh <= total <= self.members * cap + self.tail_wh
            for total, cap in zip(totals, tops, strict=True)
        )
