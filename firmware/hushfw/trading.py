"""The market's messages: for each the modules that handle it, in memory for that one only.

What is known of an interval between two messages stays here.
"""

import gc

from hushfw.borrowed import Borrowed
from hushfw.core.errors import HushError

_MARKET = ("core.market", "market")
_WORDS = _MARKET + ("market_words",)
_TOTALS = _MARKET + ("core.market_shares", "market_totals")
_RING = _WORDS + ("core.packing", "core.ring", "ring")
_MODULES = {
    "responses": _MARKET + ("market_home",),
    "market_ask": _WORDS,
    "market_silent": _WORDS,
    "market_totals": _TOTALS,
    "market_count": _TOTALS,
    "market_ring": _RING,
}


class Trading:
    """`parts` are the meter's settings, enrolment, journal and generator."""

    def __init__(self, parts, ring_pool, found_genuine):
        self._parts = parts
        self._ring_pool = ring_pool
        self._found_genuine = found_genuine
        self._interval = {}

    def knows(self, name):
        return name in _MODULES

    def handle(self, name, fields, clock_s):
        gc.collect()
        modules = _MODULES[name]
        if modules is _RING and self._ring_pool is None:
            raise HushError("not_provisioned", "this meter has no key to sum in a ring")
        try:
            with Borrowed(*modules) as market:
                trade = market.Trade(*self._parts, self._interval, clock_s)
                trade.pool = self._ring_pool
                trade.found_genuine = self._found_genuine
                return trade.handle(name, fields)
        except (HushError, OSError, MemoryError) as error:
            if name != "market_silent":
                raise
            raise HushError("refused", "interval %d: %s" % (fields["interval"], error)) from None
