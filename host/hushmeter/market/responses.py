"""A home's price responses, and what it would buy and sell at each grid price.

A TOML file, or a JSON file of the same structure; prices are whole micro-units per Wh:

    format = 1
    name = "home 7"
    interval_s = 900

    [[thermostat]]                      # the price decides the set-point
    name = "heat pump"
    mode = "heat"                       # or "cool"
    points = [{price = 100, setpoint_c = 21.5}, {price = 400, setpoint_c = 18.0}]
    indoor_c = 20.0
    outdoor_c = 3.0
    loss_w_per_k = 40                   # electric watts that hold one kelvin against the outside
    store_wh_per_k = 900                # electric Wh that change the home by one kelvin
    most_w = 2500

    [[switch]]                          # on while the price is not above its threshold
    name = "dishwasher"
    power_w = 1100
    most_price = 180

    [[must_run]]                        # at any price
    name = "fridge, lights"
    power_w = 240

    [[battery]]
    name = "battery"
    capacity_wh = 8000
    stored_wh = 3000
    reserve_wh = 800                    # never sold
    most_w = 2500
    buy_below = 120                     # charges at this price or less
    sell_above = 300                    # discharges at this price or more
    efficiency_percent = 90             # of what is bought is stored

    [[solar]]
    name = "roof"
    power_w = 1800
    cost = 20                           # sells at this price or more

Each response is monotone by itself: a set-point moves one way along its points (checked), and what
it needs moves with it; the others switch once, a battery buys below what it sells above (checked).
So are their sums, and so is the sum's floor to whole Wh, which is taken once for the home. What
comes out is checked again.
"""

from __future__ import annotations

import json
import tomllib
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from hushmeter.errors import HushmeterError
from hushmeter.market.curves import DEMAND, SUPPLY, check_prices, check_row

_WS = 3600
_MILLI = 1000

Watts = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
WattHours = Annotated[int, msgspec.Meta(ge=0, le=10_000_000)]
Price = Annotated[int, msgspec.Meta(gt=-(1 << 32), lt=1 << 32)]
Celsius = Annotated[float, msgspec.Meta(ge=-60, le=100)]


class Point(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The set-point at one price; straight lines in between."""

    price: Price
    setpoint_c: Celsius


class Thermostat(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Heating or cooling towards a set-point that the price decides."""

    name: str
    points: Annotated[tuple[Point, ...], msgspec.Meta(min_length=1, max_length=100)]
    indoor_c: Celsius
    outdoor_c: Celsius
    loss_w_per_k: Watts
    store_wh_per_k: WattHours
    most_w: Watts
    mode: Literal["heat", "cool"] = "heat"

    def setpoint_mc(self, price: int) -> int:
        """Thousandths of a degree; constant outside the points."""
        place = bisect_right(self.points, price, key=lambda point: point.price)
        if place == 0:
            return _milli(self.points[0].setpoint_c)
        left = self.points[place - 1]
        if place == len(self.points):
            return _milli(left.setpoint_c)
        right = self.points[place]
        rise = _milli(right.setpoint_c) - _milli(left.setpoint_c)
        return _milli(left.setpoint_c) + rise * (price - left.price) // (right.price - left.price)

    def demand_ws(self, price: int, interval_s: int) -> int:
        """What brings the home to the set-point and holds it there, as far as the power goes."""
        setpoint = self.setpoint_mc(price)
        held, moved = setpoint - _milli(self.outdoor_c), setpoint - _milli(self.indoor_c)
        if self.mode == "cool":
            held, moved = -held, -moved
        need = (self.loss_w_per_k * interval_s * held + self.store_wh_per_k * _WS * moved) // _MILLI
        return min(max(need, 0), self.most_w * interval_s)

    def check(self) -> None:
        """Raises HushmeterError unless a higher price never asks for more energy."""
        sign = 1 if self.mode == "heat" else -1
        for left, right in zip(self.points, self.points[1:], strict=False):
            if right.price <= left.price:
                raise HushmeterError(f"the prices of {self.name}'s points must ascend")
            if sign * right.setpoint_c > sign * left.setpoint_c:
                way = "rise" if sign > 0 else "fall"
                raise HushmeterError(
                    f"{self.name}: the set-point must not {way} from price {left.price} to "
                    f"{right.price}; a higher price would buy more"
                )


class Switch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """On while the price is not above a threshold."""

    name: str
    power_w: Watts
    most_price: Price


class MustRun(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """On at any price."""

    name: str
    power_w: Watts


class Battery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Buys when energy is cheap, sells when it is dear."""

    name: str
    capacity_wh: WattHours
    stored_wh: WattHours
    most_w: Watts
    buy_below: Price
    sell_above: Price
    reserve_wh: WattHours = 0
    efficiency_percent: Annotated[int, msgspec.Meta(ge=1, le=100)] = 100

    def demand_ws(self, price: int, interval_s: int) -> int:
        """Up to what fills it."""
        if price > self.buy_below:
            return 0
        room = (self.capacity_wh - self.stored_wh) * _WS * 100 // self.efficiency_percent
        return min(room, self.most_w * interval_s)

    def supply_ws(self, price: int, interval_s: int) -> int:
        """Down to the reserve."""
        if price < self.sell_above:
            return 0
        return min(max(self.stored_wh - self.reserve_wh, 0) * _WS, self.most_w * interval_s)

    def check(self) -> None:
        """Raises HushmeterError where numbers contradict each other."""
        if self.buy_below >= self.sell_above:
            raise HushmeterError(
                f"{self.name}: buy_below {self.buy_below} must be below sell_above "
                f"{self.sell_above}, or it trades with itself"
            )
        if max(self.stored_wh, self.reserve_wh) > self.capacity_wh:
            raise HushmeterError(
                f"{self.name}: stored_wh and reserve_wh are at most capacity_wh {self.capacity_wh}"
            )


class Solar(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Sells what it makes at its cost or more."""

    name: str
    power_w: Watts
    cost: Price


class Responses(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A home's settings; make one with :func:`read_responses` or :func:`parsed`."""

    format: Literal[1]
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    interval_s: Annotated[int, msgspec.Meta(ge=1, le=86_400)] = 900
    thermostat: tuple[Thermostat, ...] = ()
    switch: tuple[Switch, ...] = ()
    must_run: tuple[MustRun, ...] = ()
    battery: tuple[Battery, ...] = ()
    solar: tuple[Solar, ...] = ()

    def demand_wh(self, price: int) -> int:
        """Whole Wh that the home would buy in the interval at this price."""
        fixed_w = sum(always.power_w for always in self.must_run)
        fixed_w += sum(one.power_w for one in self.switch if price <= one.most_price)
        total_ws = fixed_w * self.interval_s
        total_ws += sum(one.demand_ws(price, self.interval_s) for one in self.thermostat)
        total_ws += sum(one.demand_ws(price, self.interval_s) for one in self.battery)
        return total_ws // _WS

    def supply_wh(self, price: int) -> int:
        """Whole Wh that it would sell."""
        made_w = sum(roof.power_w for roof in self.solar if price >= roof.cost)
        total_ws = made_w * self.interval_s
        total_ws += sum(one.supply_ws(price, self.interval_s) for one in self.battery)
        return total_ws // _WS

    def curves(self, prices: Sequence[int]) -> tuple[list[int], list[int]]:
        """Demand and supply at each grid price, checked.

        Raises
        ------
        HushmeterError
            The grid does not ascend, or a curve is not monotone or too large.
        """
        check_prices(prices)
        demand = [self.demand_wh(price) for price in prices]
        supply = [self.supply_wh(price) for price in prices]
        check_row(self.name, DEMAND, prices, demand)
        check_row(self.name, SUPPLY, prices, supply)
        return demand, supply


def parsed(raw: Any) -> Responses:
    """Checked settings from the structure of a file.

    Raises
    ------
    HushmeterError
        A field is wrong, missing or unknown, or a response would not be monotone.
    """
    try:
        home = msgspec.convert(raw, Responses)
    except msgspec.ValidationError as error:
        raise HushmeterError(str(error)) from error
    for thermostat in home.thermostat:
        thermostat.check()
    for battery in home.battery:
        battery.check()
    return home


def read_responses(path: Path) -> Responses:
    """The settings of a home's file, JSON if its name ends so and TOML otherwise.

    Raises
    ------
    HushmeterError
        As :func:`parsed`, or the file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
        raw = json.loads(text) if path.suffix.lower() == ".json" else tomllib.loads(text)
    except OSError as error:
        raise HushmeterError(f"{path}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, json.JSONDecodeError) as error:
        raise HushmeterError(f"{path}: is neither TOML nor JSON: {error}") from error
    except RecursionError as error:
        raise HushmeterError(f"{path}: is nested too deeply for a home's settings") from error
    try:
        return parsed(raw)
    except HushmeterError as error:
        raise HushmeterError(f"{path}: {error.message}", hint=error.hint) from error


def _milli(degrees_c: float) -> int:
    return round(degrees_c * _MILLI)
