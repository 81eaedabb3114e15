"""Times a home's part in an interval of the market, on a meter that is enrolled in this storage.

    run(repeats, prices)        a line a step: name, tab, unit, tab, samples separated by blanks

Every message is handled as the meter does it, from the fields to the fields, with the modules
loaded for it. The tags that the supplier would make are made here and not counted.
"""

import gc
import json
import struct
import sys
import time

from hushfw import meter
from hushfw.borrowed import Borrowed
from hushfw.core import market, masking

HOME = {
    "format": 1,
    "interval_s": 900,
    "thermostat": [
        {
            "mode": "heat",
            "points": [[60, 21500], [420, 18500]],
            "indoor_mc": 20500,
            "outdoor_mc": 4500,
            "loss_w_per_k": 35,
            "store_wh_per_k": 1200,
            "most_w": 2500,
        }
    ],
    "switch": [{"power_w": 1100, "most_price": 140}, {"power_w": 3600, "most_price": 90}],
    "must_run": [{"power_w": 240}],
    "battery": [
        {
            "capacity_wh": 8000,
            "stored_wh": 3000,
            "reserve_wh": 800,
            "most_w": 2500,
            "buy_below": 120,
            "sell_above": 300,
            "efficiency_percent": 90,
        }
    ],
    "solar": [{"power_w": 1800, "cost": 20}],
}
_STEPS = ("ask to masked curves", "S to answer", "totals", "count", "share")
_THRESHOLDS = 63


def show(name, unit, samples):
    print(name + "\t" + unit + "\t" + " ".join([str(sample) for sample in samples]))


class _Supplier:
    """What the supplier would send to this meter."""

    def __init__(self, booted, prices):
        enrolled = booted._enrolment
        self._keys, self._roster = enrolled.keys, enrolled.roster
        self._meter_id = booted._config["meter_id"]
        terms = booted._config["market"]
        caps = terms["demand_cap_wh"], terms["supply_cap_wh"]
        self._terms = market.terms_hash(self._roster.hash, terms["interval_s"], caps, None)
        self._prices = market.pack_prices([30 + 25 * place for place in range(prices)])
        self._count = prices

    def _fields(self, purpose, interval, content, fields):
        tag = masking.tag(
            self._keys.tag_key_down, purpose, self._terms, self._meter_id, interval, content
        )
        fields.update({"epoch": self._roster.epoch, "interval": interval, "tag": tag})
        return fields

    def ask(self, interval):
        return self._fields(market.ASK, interval, self._prices, {"prices": self._prices})

    def silent(self, interval):
        silent = masking.silent_map(self._roster.members, [self._roster.members - 1])
        ask = market.ask_hash(self._terms, interval, self._prices)
        fields = {"ask": ask, "silent": silent}
        return self._fields(market.ANNOUNCE, interval, ask + silent, fields)

    def totals(self, interval, closing):
        participants = self._roster.members
        demand = struct.pack(">Q", 5000 * participants) * self._count
        supply = struct.pack(">Q", 3001 * participants) * self._count
        cuts = market.pack_cuts(None, None) if closing else b""
        fields = {"participants": participants, "totals": demand + supply, "cuts": cuts}
        content = participants.to_bytes(4, "big") + demand + supply + cuts
        return self._fields(market.TOTALS, interval, content, fields)

    def count(self, interval):
        packed = market.pack_thresholds([10**6 * k for k in range(1, _THRESHOLDS + 1)])
        said = bytes((market.FIRST_COUNT_ROUND, 0))
        fields = {"round": market.FIRST_COUNT_ROUND, "side": 0, "thresholds": packed}
        return self._fields(market.COUNT, interval, said + packed, fields)


def took_us(booted, name, fields):
    gc.collect()
    started = time.ticks_us()
    booted.handle(name, fields, [])
    return time.ticks_diff(time.ticks_us(), started)


def loaded_bytes():
    """What the market's modules take while a message is handled; 0 where nobody counts."""
    if not hasattr(gc, "mem_free"):
        return 0
    # This script's own hold on one of them, without which a meter has none in memory.
    del globals()["market"], sys.modules["hushfw.core.market"]
    delattr(sys.modules["hushfw.core"], "market")
    gc.collect()
    free = gc.mem_free()
    with Borrowed(*meter._MARKET):
        gc.collect()
        return free - gc.mem_free()


def run(repeats, prices):
    booted = meter.boot()
    supplier = _Supplier(booted, prices)
    data = json.dumps(HOME).encode()
    steps = [[] for _ in _STEPS]
    set_us = took_us(booted, "responses", {"size": len(data), "offset": 0, "data": data})
    show("responses taken", "us", [set_us])
    interval = booted._enrolment.roster.start_s // HOME["interval_s"] + 1
    for _ in range(repeats):
        interval += 1
        booted._slots.clock_s = (interval - 1) * HOME["interval_s"]
        messages = (
            ("market_ask", supplier.ask(interval)),
            ("market_silent", supplier.silent(interval)),
            ("market_totals", supplier.totals(interval, 0)),
            ("market_count", supplier.count(interval)),
            ("market_totals", supplier.totals(interval, 1)),
        )
        for step in range(len(_STEPS)):
            steps[step].append(took_us(booted, *messages[step]))
    for step in range(len(_STEPS)):
        show(_STEPS[step], "us", steps[step])
    del supplier, steps
    show("modules while a message is handled", "bytes", [loaded_bytes()])
