"""What the market's tests share: small markets, and clearing by brute force.

Nothing of the project's clearing is used here.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from hypothesis import strategies as st


def lower_first(participant: str) -> tuple[int, int | str]:
    return (0, int(participant)) if participant.isdigit() else (1, participant)


def brute_force(
    prices: Sequence[int], demand: dict[str, list[int]], supply: dict[str, list[int]]
) -> dict[str, object]:
    """Price, index, traded Wh and everybody's shares, straight from the rules."""
    total = {
        name: [sum(row[k] for row in rows.values()) for k in range(len(prices))]
        for name, rows in (("demand", demand), ("supply", supply))
    }
    enough = [k for k in range(len(prices)) if total["supply"][k] >= total["demand"][k]]
    at = enough[0] if enough else len(prices) - 1
    traded = min(total["demand"][at], total["supply"][at])
    return {
        "price": prices[at],
        "index": enough[0] if enough else None,
        "demand": total["demand"],
        "supply": total["supply"],
        "traded_wh": traded,
        "surplus": enough[:1] == [0],
        "scarcity": not enough,
        "buy": rationed({who: row[at] for who, row in demand.items()}, traded),
        "sell": rationed({who: row[at] for who, row in supply.items()}, traded),
    }


def rationed(claims: dict[str, int], traded: int) -> dict[str, int]:
    """Largest remainder with exact fractions, a Wh at a time."""
    total = sum(claims.values())
    if total == 0:
        return dict.fromkeys(claims, 0)
    exact = {who: Fraction(traded * claim, total) for who, claim in claims.items()}
    shares = {who: int(part) for who, part in exact.items()}
    in_turn = sorted(claims, key=lambda who: (-(exact[who] - shares[who]), lower_first(who)))
    for who in in_turn[: traded - sum(shares.values())]:
        shares[who] += 1
    return shares


@st.composite
def markets(draw: st.DrawFn, most_wh: int = 12, least: int = 2, most: int = 6):
    """(prices, demand, supply): curves of 2 to 6 participants on 1 to 5 prices."""
    prices = sorted(draw(st.sets(st.integers(-50, 50), min_size=1, max_size=5)))
    names = draw(
        st.lists(
            st.sampled_from(["1", "2", "9", "10", "a", "b", "home 2", "home 10"]),
            min_size=least, max_size=most, unique=True,
        )
    )  # fmt: skip
    row = st.lists(st.integers(0, most_wh), min_size=len(prices), max_size=len(prices)).map(sorted)
    demand = {who: draw(row)[::-1] for who in names}
    supply = {who: draw(row) for who in names}
    return prices, demand, supply


def rows_of(demand: dict[str, list[int]], supply: dict[str, list[int]]):
    """Rows for `gather`."""
    for who in demand:
        yield who, "demand", demand[who]
        yield who, "supply", supply[who]


def csv_of(prices, demand, supply) -> str:
    lines = ["participant,side," + ",".join(map(str, prices))]
    for who, side, row in rows_of(demand, supply):
        lines.append(f"{who},{side}," + ",".join(map(str, row)))
    return "\n".join(lines) + "\n"
