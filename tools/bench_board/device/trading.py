"""Times a home's part in an interval of the market, on a meter that is enrolled in this storage.

    run(repeats, prices)        a line a step: name, tab, unit, tab, samples separated by blanks

Every message is handled as the meter does it, from the fields to the fields, with the modules
loaded for it. The tags that the supplier would make are made here and not counted.
"""

import gc
import struct
import sys
import time

from playing import INTERVAL_S, give_responses, show

from hushfw import meter, trading
from hushfw.borrowed import Borrowed
from hushfw.core import market, market_shares, masking

_STEPS = ("ask to masked curves", "S to answer", "totals", "count", "share")
_THRESHOLDS = 63


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
        cuts = market_shares.pack_cuts(None, None) if closing else b""
        fields = {"participants": participants, "totals": demand + supply, "cuts": cuts}
        content = participants.to_bytes(4, "big") + demand + supply + cuts
        return self._fields(market.TOTALS, interval, content, fields)

    def count(self, interval):
        packed = market_shares.pack_thresholds([10**6 * k for k in range(1, _THRESHOLDS + 1)])
        said = bytes((market.FIRST_COUNT_ROUND, 0))
        fields = {"round": market.FIRST_COUNT_ROUND, "side": 0, "thresholds": packed}
        return self._fields(market.COUNT, interval, said + packed, fields)


def took_us(booted, name, fields):
    gc.collect()
    started = time.ticks_us()
    booted.handle(name, fields, [])
    return time.ticks_diff(time.ticks_us(), started)


def show_loaded():
    """What the market's modules take while a message is handled, where somebody counts."""
    if not hasattr(gc, "mem_free"):
        return
    # This script's own hold on some of them, without which a meter has none in memory.
    for name in ("market", "market_shares"):
        del globals()[name], sys.modules["hushfw.core." + name]
        delattr(sys.modules["hushfw.core"], name)
    for name in ("responses", "market_ask", "market_totals"):
        gc.collect()
        free = gc.mem_free()
        with Borrowed(*trading._MODULES[name]):
            gc.collect()
            show("modules for " + name, "bytes", [free - gc.mem_free()])


def run(repeats, prices):
    booted = meter.boot()
    supplier = _Supplier(booted, prices)
    steps = [[] for _ in _STEPS]
    show("responses taken", "us", [give_responses(booted)])
    interval = booted._enrolment.roster.start_s // INTERVAL_S + 1
    for _ in range(repeats):
        interval += 1
        booted._slots.clock_s = (interval - 1) * INTERVAL_S
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
    show_loaded()
