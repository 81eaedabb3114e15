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

Each response is monotone by itself, and so is their sum; the amounts, and why, are the meter's own
(:mod:`hushfw.core.market_responses`). What comes out is checked again.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from hushfw.core import market_responses as device
from hushfw.core.errors import HushError
from hushmeter.errors import HushmeterError
from hushmeter.market.curves import DEMAND, SUPPLY, check_prices, check_row

Watts = Annotated[int, msgspec.Meta(ge=0, le=device.MOST_W)]
WattHours = Annotated[int, msgspec.Meta(ge=0, le=device.MOST_WH)]
Price = Annotated[int, msgspec.Meta(ge=-device.MOST_PRICE, le=device.MOST_PRICE)]
Celsius = Annotated[float, msgspec.Meta(ge=-60, le=100)]
Part = dict[str, Any]
"""One response as a meter keeps it: whole numbers, and no name."""


class Point(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The set-point at one price; straight lines in between."""

    price: Price
    setpoint_c: Celsius


class Thermostat(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Heating or cooling towards a set-point that the price decides."""

    name: str
    points: Annotated[tuple[Point, ...], msgspec.Meta(min_length=1, max_length=device.MOST_POINTS)]
    indoor_c: Celsius
    outdoor_c: Celsius
    loss_w_per_k: Watts
    store_wh_per_k: WattHours
    most_w: Watts
    mode: Literal["heat", "cool"] = "heat"

    def on_meter(self) -> Part:
        """In thousandths of a degree."""
        return {
            "mode": self.mode,
            "points": [[point.price, _milli(point.setpoint_c)] for point in self.points],
            "indoor_mc": _milli(self.indoor_c),
            "outdoor_mc": _milli(self.outdoor_c),
            "loss_w_per_k": self.loss_w_per_k,
            "store_wh_per_k": self.store_wh_per_k,
            "most_w": self.most_w,
        }

    def demand_ws(self, price: int, interval_s: int) -> int:
        """What brings the home to the set-point and holds it there, as far as the power goes."""
        return int(device.thermostat_ws(self.on_meter(), price, interval_s))

    def check(self) -> None:
        """Raises HushmeterError unless a higher price never asks for more energy."""
        _as_device(device.check_points, self.name, self.mode, self.on_meter()["points"])


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

    def on_meter(self) -> Part:
        """Without its name."""
        return _unnamed(self)

    def demand_ws(self, price: int, interval_s: int) -> int:
        """Up to what fills it."""
        return int(device.charge_ws(self.on_meter(), price, interval_s))

    def supply_ws(self, price: int, interval_s: int) -> int:
        """Down to the reserve."""
        return int(device.discharge_ws(self.on_meter(), price, interval_s))

    def check(self) -> None:
        """Raises HushmeterError where numbers contradict each other."""
        _as_device(device.check_battery, self.name, self.on_meter())


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

    def on_meter(self) -> Part:
        """What the home's meter is given: no names, and whole numbers only."""
        return {
            "format": self.format,
            "interval_s": self.interval_s,
            "thermostat": [one.on_meter() for one in self.thermostat],
            "switch": [_unnamed(one) for one in self.switch],
            "must_run": [_unnamed(one) for one in self.must_run],
            "battery": [one.on_meter() for one in self.battery],
            "solar": [_unnamed(one) for one in self.solar],
        }

    def demand_wh(self, price: int) -> int:
        """Whole Wh that the home would buy in the interval at this price."""
        return int(device.demand_wh(self.on_meter(), price))

    def supply_wh(self, price: int) -> int:
        """Whole Wh that it would sell."""
        return int(device.supply_wh(self.on_meter(), price))

    def curves(self, prices: Sequence[int]) -> tuple[list[int], list[int]]:
        """Demand and supply at each grid price, checked.

        Raises
        ------
        HushmeterError
            The grid does not ascend, or a curve is not monotone or too large.
        """
        check_prices(prices)
        demand, supply = device.curves(self.on_meter(), prices)
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
    return round(degrees_c * device.MILLI)


def _unnamed(part: msgspec.Struct) -> Part:
    fields: Part = msgspec.to_builtins(part)
    return {name: value for name, value in fields.items() if name != "name"}


def _as_device(check: Callable[..., None], *given: Any) -> None:
    try:
        check(*given)
    except HushError as error:
        raise HushmeterError(error.message) from error
