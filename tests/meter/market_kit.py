"""A street of real meters that trade, and the supplier's side of their messages, made by hand."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hushfw.core import market, market_shares, masking
from hushmeter.market.responses import Responses, parsed
from tests.meter import kit

INTERVAL_S = 900
CAPS_WH = (5000, 3000)
TERMS = {
    "interval_s": INTERVAL_S,
    "demand_cap_wh": CAPS_WH[0],
    "supply_cap_wh": CAPS_WH[1],
    "epsilon": None,
}
GRID = (50, 100, 150, 200, 250)
FIRST = kit.START_S // INTERVAL_S + 1
"""The interval that is asked for when the street's first slot begins."""


def home(number: int) -> Responses:
    """What home 1, 2, ... is set to."""
    return parsed(
        {
            "format": 1,
            "name": f"home {number}",
            "interval_s": INTERVAL_S,
            "must_run": [{"name": "fridge", "power_w": 100 * number}],
            "switch": [{"name": "washer", "power_w": 2000, "most_price": 40 + 50 * number}],
            "solar": [{"name": "roof", "power_w": 500 * number, "cost": 60}],
            "battery": [
                {"name": "cell", "capacity_wh": 4000, "stored_wh": 2000, "most_w": 1000 * number,
                 "buy_below": 90, "sell_above": 200, "efficiency_percent": 90}
            ],
        }
    )  # fmt: skip


@dataclass
class Market:
    """The supplier of a :class:`kit.Street`, as far as the market goes."""

    street: kit.Street
    grid: tuple[int, ...] = GRID
    terms: tuple[Any, ...] = (INTERVAL_S, CAPS_WH, None)

    @property
    def hash(self) -> bytes:
        return bytes(market.terms_hash(self.street.signed().hash, *self.terms))

    def ask_hash(self, interval: int) -> bytes:
        return bytes(market.ask_hash(self.hash, interval, market.pack_prices(self.grid)))

    def tag(self, meter_id: int, purpose: bytes, interval: int, content: bytes) -> bytes:
        key = self.street.keys[meter_id].tag_down
        return bytes(masking.tag(key, purpose, self.hash, meter_id, interval, content))

    def _fields(
        self, meter_id: int, purpose: bytes, interval: int, content: bytes
    ) -> dict[str, Any]:
        return {
            "epoch": self.street.signed().device.epoch,
            "interval": interval,
            "tag": self.tag(meter_id, purpose, interval, content),
        }

    def ask(self, meter_id: int, interval: int) -> dict[str, Any]:
        prices = market.pack_prices(self.grid)
        return {**self._fields(meter_id, market.ASK, interval, prices), "prices": prices}

    def silent(self, meter_id: int, interval: int, silent: bytes) -> dict[str, Any]:
        ask = self.ask_hash(interval)
        fields = self._fields(meter_id, market.ANNOUNCE, interval, ask + silent)
        return {**fields, "ask": ask, "silent": silent}

    def totals(
        self, meter_id: int, interval: int, told: dict[str, Any], cuts: tuple[Any, Any] | None
    ) -> dict[str, Any]:
        """`told` has participants, demand and supply; with cuts the interval is closed."""
        said = {
            "participants": told["participants"],
            "totals": market_shares.pack_totals(told["demand"])
            + market_shares.pack_totals(told["supply"]),
            "cuts": b"" if cuts is None else market_shares.pack_cuts(*cuts),
        }
        content = said["participants"].to_bytes(4, "big") + said["totals"] + said["cuts"]
        return {**self._fields(meter_id, market.TOTALS, interval, content), **said}

    def count(
        self, meter_id: int, interval: int, turn: int, side: int, limits: list[int]
    ) -> dict[str, Any]:
        packed = market_shares.pack_thresholds(limits)
        content = bytes((turn, side)) + packed
        fields = self._fields(meter_id, market.COUNT, interval, content)
        return {**fields, "round": turn, "side": side, "thresholds": packed}

    def stream(self, meter_id: int, turn: int, interval: int, lanes: int) -> list[int]:
        """K of a meter on the street's first day."""
        key = self.street.keys[meter_id].keystream
        return list(market.keystream(key, turn, interval, lanes))


def street(folder: Path, count: int = 4, **changes: Any) -> kit.Street:
    """An enrolled street of homes that trade, each with its settings."""
    made = kit.street(folder, count, **{"market": TERMS, **changes})
    made.enrol()
    for number, meter in made.meters.items():
        set_responses(meter, home(number))
        meter.ask("advance", now_s=kit.START_S)
    return made


def set_responses(meter: kit.Meter, wanted: Responses, piece: int = 300) -> None:
    """Over the home's own link, in pieces."""
    data = json.dumps(wanted.on_meter()).encode()
    for at in range(0, len(data), piece):
        meter.ask("responses", size=len(data), offset=at, data=data[at : at + piece])


def shares(meter: kit.Meter) -> list[tuple[int, ...]]:
    """Rows of the home's own record: interval, price, claims, bought, sold, flags."""
    data = meter.storage().get("market.bin", b"")
    return list(struct.iter_unpack(">QqQQQQB", data))
