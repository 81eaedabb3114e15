"""A cheating market: whom it asks for which prices, and whom it calls silent in one interval.

What a home that masked and answered gives away is the words

    y = words - K - answer = demand and supply at each price + (what its own ask and S did not lift)

so the attacks look for homes whose y sum to less than the street's curves. The supplier's keys are
the attacker's in both.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from itertools import pairwise
from typing import Any

from hushfw import market as device_trade
from hushfw.core import market as device_market
from hushfw.core import masking
from hushmeter.attack.boards import START_S, Refused
from hushmeter.attack.book import Try, entry
from hushmeter.attack.scene import Scene, Street
from hushmeter.market.meters import MarketSupplier, MarketTerms, set_requests
from hushmeter.market.responses import Responses, parsed

_HOMES = 4
_VICTIM = 2
_TERMS = MarketTerms(caps_wh=(5000, 5000))
_INTERVAL = START_S // _TERMS.interval_s + 1
"""The one that is asked for when the street's first slot begins."""

_GRID = (50, 100, 150, 200, 250)
_DEAR = tuple(100_000 + price for price in _GRID)
"""Where nobody buys what can be left off."""

_ask_hash: Callable[..., bytes] = device_market.ask_hash


def ask_without_prices(terms: bytes, interval: int, prices: bytes) -> bytes:
    """Undefended: words are bound to the interval, as a street's slots are, and to no grid."""
    return bytes(_ask_hash(terms, interval, b""))


def forgets_what_it_answered(trade: Any) -> None:
    """Undefended: whatever S comes is answered."""


class _Traders:
    """Enrolled meters whose homes have settings, and the supplier's side of an interval."""

    def __init__(self, scene: Scene) -> None:
        self.street: Street = scene.street(_HOMES, _TERMS.on_meter())
        roster = self.street.enrol()
        keys = [self.street.keys[member.meter_id] for member in roster.members]
        self._supplier = MarketSupplier(keys, roster, _TERMS)
        self.settings = {home: _drawn(scene, home) for home in self.street.boards}
        for home, board in self.street.boards.items():
            for name, fields in set_requests(self.settings[home]):
                board.ask(name, **fields)
            board.ask("advance", now_s=START_S)

    def curves(self, home: int) -> list[int]:
        """What a home has to hide: its demand, then its supply, at each price."""
        demand, supply = self.settings[home].curves(_GRID)
        return demand + supply

    def asked(self, home: int, prices: Sequence[int] = _GRID) -> list[int]:
        """A home's words with K taken off."""
        reply = self.street.boards[home].ask(
            "market_ask", **self._supplier.ask(home, _INTERVAL, prices)
        )
        stream = self._supplier.keystream(
            home, device_market.CURVE_ROUND, _INTERVAL, 2 * len(prices)
        )
        words = masking.unpack_words(reply["words"])
        return [word - k for word, k in zip(words, stream, strict=True)]

    def answered(
        self, home: int, silent: Collection[int] = (), prices: Sequence[int] = _GRID
    ) -> list[int] | None:
        """A home's answer to this S, None if it refuses."""
        said = self._supplier.announcement(home, _INTERVAL, prices, self.street.silent(silent))
        try:
            reply = self.street.boards[home].ask("market_silent", **said)
        except Refused:
            return None
        return list(masking.unpack_words(reply["words"]))


def _drawn(scene: Scene, home: int) -> Responses:
    """A fridge that always runs, and a washing machine that does up to some price."""
    draw = scene.random.randrange
    return parsed(
        {
            "format": 1,
            "name": f"home {home}",
            "interval_s": _TERMS.interval_s,
            "must_run": [{"name": "fridge", "power_w": draw(40, 400)}],
            "switch": [
                {"name": "washer", "power_w": draw(1000, 3000), "most_price": draw(60, 240)}
            ],
        }
    )


def _sum(rows: Sequence[Sequence[int] | None], less: Sequence[Sequence[int] | None]) -> list[int]:
    """What rows less other rows come to, as signed words; nothing where a home refused."""
    if None in rows or None in less:
        return []
    plus = [sum(lane) for lane in zip(*filter(None, rows), strict=True)]
    minus = [sum(lane) for lane in zip(*filter(None, less), strict=True)]
    return [masking.signed((a - b) & masking.MASK) for a, b in zip(plus, minus, strict=True)]


def _judged(found: list[int], true: list[int], refused: int) -> Try:
    opened = found == true
    evidence = {
        "homes": [_VICTIM],
        "recovered_wh": found if opened else None,
        "true_wh": true,
        "opened": opened,
        "answers_refused": refused,
    }
    return Try(opened, evidence)


@entry(
    "market-grid",
    summary="asks one home for the grid, and all others for prices at which nobody buys",
    defence="the answers of an interval are bound to the grid that the home was asked for",
    without=[(device_market, "ask_hash", ask_without_prices)],
)
def market_grid(scene: Scene) -> Try:
    """What always runs is the same at every price, so the total's steps are the one home's."""
    traders = _Traders(scene)
    grids = {home: _GRID if home == _VICTIM else _DEAR for home in traders.street.boards}
    words = [traders.asked(home, grid) for home, grid in grids.items()]
    answers = [traders.answered(home, prices=grid) for home, grid in grids.items()]
    demand = _sum(words, answers)[: len(_GRID)]
    found = [after - before for before, after in pairwise(demand)]
    true = traders.curves(_VICTIM)[: len(_GRID)]
    steps = [after - before for before, after in pairwise(true)]
    return _judged(found, steps, answers.count(None))


@entry(
    "market-twice",
    summary="opens an interval with all homes, and once more without one of them",
    defence="a home answers the first S of an interval, for good, and no other",
    without=[(device_trade.Trade, "_answered", forgets_what_it_answered)],
)
def market_twice(scene: Scene) -> Try:
    """The difference of the two totals is the home that was called silent the second time."""
    traders = _Traders(scene)
    homes = list(traders.street.boards)
    words = {home: traders.asked(home) for home in homes}
    everybody = _sum(list(words.values()), [traders.answered(home) for home in homes])
    others = [home for home in homes if home != _VICTIM]
    answers = [traders.answered(home, [_VICTIM]) for home in others]
    without = _sum([words[home] for home in others], answers)
    found = [a - b for a, b in zip(everybody, without, strict=False)]
    return _judged(found, traders.curves(_VICTIM), answers.count(None))
