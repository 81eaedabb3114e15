"""`hushmeter study market`: a day of homes at a flat price, and the same day on the market.

Both days have the same homes, weather and wholesale prices. At the flat price every home buys what
it likes; the price is the one at which the utility just covers what that costs it, found by
repeating the day. On the market each interval is cleared from the homes' curves, summed masked, and
the utility's, which is public.

Costs are compared as a society bears them: what the utility pays for energy, less the wholesale
price of what homes feed in beyond their use; what panels cost; what homes lose in comfort; and what
is left in homes and batteries at the end, at the mean wholesale price. Welfare is that cost with
the sign turned; what homes pay to the utility is no cost of both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hushmeter.errors import HushmeterError
from hushmeter.market import session, wholesale
from hushmeter.market.curves import DEMAND, SUPPLY, gather
from hushmeter.market.summation import PlainStreet
from hushmeter.market.terms import Terms
from hushmeter.market.wholesale import Step
from hushmeter.study.market_homes import FIRST_HOUR, INTERVAL_S, INTERVALS, StudyHome, made_homes
from hushmeter.study.run import rounded

Progress = Callable[[int, int], None]
Row = dict[str, Any]

PAPER = (
    "Thoma, Cui, Franchetti: Privacy preserving smart metering system based retail level "
    "electricity market, IEEE PES General Meeting (2013)"
)
UTILITY = "utility"
NOON_S = 1_704_888_000
"""Unix time of a winter day's noon, for meters that need one."""

HOMES, QUICK_HOMES = 100, 12
GRID = (20, 40, 50, 60, 70, 80, 90, 100, 110, 120, 135, 150, 165, 180, 200, 220, 250, 280, 320, 370,
        430, 500, 600, 800)  # fmt: skip
"""Micro-units per Wh."""
FLAT_ROUNDS = 4
_WH_A_HOME = ((250, 100), (200, 140), (4000, 220))
"""The utility's steps in an interval: Wh a home, percent of the wholesale price."""


@dataclass(frozen=True)
class Day:
    """One way of running the day.

    Attributes
    ----------
    rows:
        One an interval.
    paid_micro:
        What homes pay, less what they are paid.
    energy_micro, sun_micro, comfort_micro, kept_micro:
        The parts of the cost to society; what is kept is taken off.
    """

    name: str
    rows: list[Row]
    paid_micro: float
    energy_micro: float
    sun_micro: float
    comfort_micro: float
    kept_micro: float
    chill_kh: float
    late_jobs: int

    @property
    def cost_micro(self) -> float:
        """To society."""
        return self.energy_micro + self.sun_micro + self.comfort_micro - self.kept_micro

    @property
    def peak_w(self) -> float:
        """The most that homes draw from the utility, mean of an interval."""
        return float(max(row["utility_w"] for row in self.rows))

    @property
    def used_wh(self) -> float:
        """What homes draw from the utility."""
        return float(sum(row["utility_w"] for row in self.rows)) * INTERVAL_S / 3600


@dataclass(frozen=True)
class MarketStudy:
    """Both days, and one interval's totals to look at."""

    homes: int
    seed: int
    flat: Day
    market: Day
    flat_price: int
    curves: Row
    masked: bool
    bytes_a_home: float
    seconds_an_interval: float
    transcript: list[dict[str, Any]]


def synthetic_wholesale() -> list[int]:
    """A winter day's prices from noon on: cheap nights, a morning and an evening peak."""
    hours = (FIRST_HOUR + (np.arange(INTERVALS) + 0.5) * INTERVAL_S / 3600) % 24
    level = 75 - 25 * np.cos(2 * np.pi * (hours - 3) / 24)
    for centre, width, height in ((18.5, 1.5, 110), (8.0, 1.2, 50)):
        level += height * np.exp(-(((hours - centre) / width) ** 2))
    return [int(price) for price in np.round(level)]


def utility_steps(homes: int) -> list[Step]:
    """The utility's supply of an interval, for so many homes."""
    return [Step(amount * homes, percent) for amount, percent in _WH_A_HOME]


def battery_prices(costs: Sequence[int]) -> tuple[int, int]:
    """At which batteries charge and discharge, of day-ahead prices that they know."""
    buy_below, sell_above = (int(q) for q in np.quantile(costs, (0.3, 0.85)))
    return buy_below, sell_above


def study(
    homes: int = HOMES,
    seed: int = 1,
    prices: Sequence[int] | None = None,
    masked: bool = True,
    progress: Progress = lambda done, total: None,
) -> MarketStudy:
    """Both days.

    Parameters
    ----------
    prices:
        Wholesale, micro-units per Wh, one an interval; the synthetic day's if None.
    masked:
        Sum the homes' curves masked, as meters do; in the clear the totals are the same.

    Raises
    ------
    HushmeterError
        There are not as many prices as intervals, or they leave the grid.
    """
    costs = list(synthetic_wholesale() if prices is None else prices)
    if len(costs) != INTERVALS or not 0 < max(costs) < GRID[-1]:
        raise HushmeterError(
            f"{len(costs)} wholesale prices up to {max(costs, default=0)}; a day has {INTERVALS} "
            f"between 0 and {GRID[-1]}"
        )
    steps = utility_steps(homes)
    buy_below, sell_above = battery_prices(costs)
    total = INTERVALS * (FLAT_ROUNDS + 1)

    def street() -> list[StudyHome]:
        return made_homes(homes, seed, buy_below, sell_above)

    flat_price = int(np.mean(costs))
    for turn in range(FLAT_ROUNDS):
        flat = _flat_day(street(), costs, steps, flat_price)
        progress((turn + 1) * INTERVALS, total)
        if turn < FLAT_ROUNDS - 1:
            flat_price = _covering(flat, costs)
    rest = lambda done: progress(FLAT_ROUNDS * INTERVALS + done, total)  # noqa: E731
    return _market_day(street(), costs, steps, masked, flat, flat_price, seed, rest)


def _covering(flat: Day, costs: Sequence[int]) -> int:
    """The flat price at which the utility covers its costs; it buys in at the mean wholesale."""
    bought, sold = (sum(int(row[key]) for row in flat.rows) for key in ("bought_wh", "sold_wh"))
    return round((flat.energy_micro + sold * float(np.mean(costs))) / bought)


def _flat_day(
    homes: list[StudyHome], costs: Sequence[int], steps: Sequence[Step], price: int
) -> Day:
    rows, paid, sun = [], 0.0, 0.0
    feed_in = float(np.mean(costs))
    for interval in range(INTERVALS):
        bought = sold = 0
        for home in homes:
            settings = home.settings(interval, eager=True)
            buy, sell = settings.demand_wh(price), settings.supply_wh(price)
            home.live(interval, price, settings, buy, sell)
            bought, sold = bought + buy, sold + sell
            sun += sell * home.sun_cost
        paid += bought * price - sold * feed_in
        rows.append(_row(interval, costs[interval], price, bought, sold, steps))
    return _day("flat price", rows, paid, sun, homes, costs)


def _row(
    interval: int, cost: int, price: int, bought: int, sold: int, steps: Sequence[Step]
) -> Row:
    """The utility provides what homes buy beyond what homes sell, and sells on what is over."""
    provided, over = max(0, bought - sold), max(0, sold - bought)
    return {
        "interval": interval,
        "wholesale": cost,
        "price": price,
        "bought_wh": bought,
        "sold_wh": sold,
        "utility_w": provided * 3600 / INTERVAL_S,
        "energy_micro": wholesale.cost_micro(cost, steps, provided) - over * cost,
    }


def _day(
    name: str, rows: list[Row], paid: float, sun: float, homes: list[StudyHome],
    costs: Sequence[int],
) -> Day:  # fmt: skip
    return Day(
        name=name,
        rows=rows,
        paid_micro=paid,
        energy_micro=float(sum(row["energy_micro"] for row in rows)),
        sun_micro=sun,
        comfort_micro=sum(home.comfort_loss for home in homes),
        kept_micro=sum(home.kept_wh() for home in homes) * float(np.mean(costs)),
        chill_kh=sum(home.chill_kh for home in homes),
        late_jobs=sum(home.late for home in homes),
    )


def _market_day(
    homes: list[StudyHome], costs: Sequence[int], steps: Sequence[Step], masked: bool, flat: Day,
    flat_price: int, seed: int, progress: Callable[[int], None],
) -> MarketStudy:  # fmt: skip
    rules = session.Rules(public=frozenset({UTILITY}), utility=UTILITY)
    if masked:
        backend = session.masked_backend(len(homes), len(GRID), rules)
    else:
        backend = PlainStreet(Terms("study", len(homes), 0, len(GRID)))
    rows, paid, sun, entries = [], 0.0, 0.0, []
    sent, seconds = [], []
    for interval in range(INTERVALS):
        settings = [home.settings(interval, eager=False) for home in homes]
        offers = [(UTILITY, SUPPLY, wholesale.supply_wh(costs[interval], steps, GRID))]
        for one in settings:
            demand, supply = one.curves(GRID)
            offers += [(one.name, DEMAND, demand), (one.name, SUPPLY, supply)]
        curves = gather(GRID, offers)
        found = session.run(curves, backend, rules, interval + 1)
        if found.clearing is None:
            raise HushmeterError(f"interval {interval} of the study is void: {found.reason}")
        price, shares = found.clearing.price, found.allocations()
        for home, one in zip(homes, settings, strict=True):
            buy, sell = shares[home.name]["buy_wh"], shares[home.name]["sell_wh"]
            home.live(interval, price, one, buy, sell)
            paid += (buy - sell) * price
            sun += min(sell, one.solar[0].power_w * INTERVAL_S // 3600) * home.sun_cost
        others = found.imbalance_wh + int(found.sell_wh.sum()) - shares[UTILITY]["sell_wh"]
        rows.append(_row(interval, costs[interval], price, found.clearing.traded_wh, others, steps))
        entries.append(found.entry)
        sent.append(found.bytes / len(homes))
        seconds.append(found.seconds)
        progress(interval + 1)
    return MarketStudy(
        homes=len(homes),
        seed=seed,
        flat=flat,
        market=_day("market", rows, paid, sun, homes, costs),
        flat_price=flat_price,
        curves=_busiest(rows, entries),
        masked=masked,
        bytes_a_home=float(np.mean(sent)),
        seconds_an_interval=float(np.median(seconds)),
        transcript=entries,
    )


def _busiest(rows: Sequence[Row], entries: Sequence[dict[str, Any]]) -> Row:
    """The totals of the interval with the highest price."""
    place = max(range(len(rows)), key=lambda k: (rows[k]["price"], rows[k]["bought_wh"]))
    entry = entries[place]
    names = ("demand", "supply", "price", "traded_wh")
    return {"interval": place, "prices": list(GRID), **{name: entry[name] for name in names}}


def as_json(found: MarketStudy) -> dict[str, Any]:
    """Everything but how long it took: the same for the same seed."""
    days = {
        key: {
            "peak_w": day.peak_w,
            "energy_wh": day.used_wh,
            "paid_micro": day.paid_micro,
            "utility_micro": day.paid_micro - day.energy_micro,
            "energy_micro": day.energy_micro,
            "sun_micro": day.sun_micro,
            "comfort_micro": day.comfort_micro,
            "kept_micro": day.kept_micro,
            "cost_micro": day.cost_micro,
            "chill_kelvin_hours": day.chill_kh,
            "late_jobs": day.late_jobs,
            "intervals": day.rows,
        }
        for key, day in (("flat", found.flat), ("market", found.market))
    }
    table = {
        "study": "market",
        "homes": found.homes,
        "seed": found.seed,
        "flat_price": found.flat_price,
        **days,
        "peak_change": found.market.peak_w / found.flat.peak_w - 1,
        "paid_change": found.market.paid_micro / found.flat.paid_micro - 1,
        "welfare_gain_micro": found.flat.cost_micro - found.market.cost_micro,
        "curves": found.curves,
        "masked": found.masked,
    }
    rounded_table: dict[str, Any] = rounded(table)
    return rounded_table
