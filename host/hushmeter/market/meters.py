"""The supplier's side of a market of real meters: what it sends, and what it makes of the words.

The rounds are those of :mod:`hushmeter.market.members`, over the link. Keys are those of the roster
in use; the market's terms and each interval's grid are hashed into tags and masks, so that homes
with other terms, or asked for another grid, open nothing (:mod:`hushfw.core.market`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from hushfw.core import market, market_shares, masking, ring
from hushmeter.cluster.roster import SignedRoster
from hushmeter.cluster.supplier import MeterKeys
from hushmeter.errors import HushmeterError
from hushmeter.link import Message
from hushmeter.link.group import Request
from hushmeter.market.curves import Curves
from hushmeter.market.responses import Responses
from hushmeter.market.terms import Terms
from hushmeter.market.transcript import BUY

MOST_PRICES: int = market.MOST_PRICES
"""Of a grid that meters are asked for: one message has room for so many."""

_DAY_S = 86_400
_PIECE_BYTES = 800


@dataclass(frozen=True)
class MarketTerms:
    """What all homes of a street are provisioned with alike.

    Attributes
    ----------
    caps_wh:
        The most demand and supply of a home at any price; what is above is not traded.
    epsilon:
        Of an interval; None for exact totals.
    """

    interval_s: int = 900
    caps_wh: tuple[int, int] = (1 << 20, 1 << 20)
    epsilon: Fraction | None = None

    def on_meter(self) -> dict[str, Any]:
        """The object of a meter's configuration."""
        return {
            "interval_s": self.interval_s,
            "demand_cap_wh": self.caps_wh[0],
            "supply_cap_wh": self.caps_wh[1],
            "epsilon": self._ratio,
        }

    @property
    def _ratio(self) -> list[int] | None:
        return None if self.epsilon is None else list(self.epsilon.as_integer_ratio())

    def bound_to(self, roster_hash: bytes) -> bytes:
        """What tags are bound to, 32 bytes."""
        return bytes(market.terms_hash(roster_hash, self.interval_s, self.caps_wh, self._ratio))

    def of_sums(self, roster: SignedRoster, prices: int) -> Terms:
        """The rules of a street's sums, checked as for simulated homes."""
        rules = roster.device
        if not rules.missing:
            raise HushmeterError(
                "a market of meters needs M of 1 or more: the second round shows that all homes "
                "were asked for one grid"
            )
        return Terms(
            rules.street, rules.members, rules.missing, prices, *self.caps_wh, self.epsilon,
            rules.colluders,
        )  # fmt: skip


def packed_prices(prices: Sequence[int]) -> bytes:
    """A grid as it is asked for.

    Raises
    ------
    HushmeterError
        It has more prices than one message has room for.
    """
    if len(prices) > MOST_PRICES:
        raise HushmeterError(f"{len(prices)} prices; meters are asked for {MOST_PRICES} at most")
    return bytes(market.pack_prices(prices))


class MarketSupplier:
    """Keys, messages and sums of one street of meters."""

    def __init__(self, keys: Sequence[MeterKeys], roster: SignedRoster, terms: MarketTerms) -> None:
        self.roster = roster
        self.terms = terms
        self.hash = terms.bound_to(roster.hash)
        self._keys = {m.meter_id: key for m, key in zip(roster.members, keys, strict=True)}
        self._day = roster.device.day(roster.device.first_slot)
        self._streams = {meter_id: key.keystream for meter_id, key in self._keys.items()}

    def ask_hash(self, interval: int, prices: Sequence[int]) -> bytes:
        """What an interval's words are bound to."""
        return bytes(market.ask_hash(self.hash, interval, packed_prices(prices)))

    def ring_hash(self, interval: int, prices: Sequence[int]) -> bytes:
        """What a ring is bound to."""
        return bytes(ring.ask_hash(self.hash, interval, packed_prices(prices)))

    def ring(
        self, meter_id: int, interval: int, step: int, part: int, data: bytes
    ) -> dict[str, Any]:
        """Fields of market_ring."""
        fields = self._fields(meter_id, ring.RING, interval, bytes((step, part)) + data)
        return {**fields, "step": step, "part": part, "data": data}

    def letter_of(
        self, meter_id: int, message: Message, interval: int, step: int, part: int
    ) -> bytes:
        """What an authentic market_letter of this step holds.

        Raises
        ------
        HushmeterError
            It is of another step, interval or meter, or is not authentic.
        """
        fields = message.fields
        names = ("meter_id", "epoch", "interval", "step", "part")
        wanted = (meter_id, self.roster.device.epoch, interval, step, part)
        if tuple(fields.get(name) for name in names) != wanted:
            raise HushmeterError(f"meter {meter_id} sent nothing of this step")
        key, data = self._keys[meter_id].tag_up, bytes(fields["data"])
        content = bytes((step, part)) + data
        tag = masking.tag(key, ring.LETTER, self.hash, meter_id, interval, content)
        if not masking.same_tag(fields["tag"], tag):
            raise HushmeterError(f"step {step} of the ring is not from meter {meter_id}")
        return data

    def _fields(
        self, meter_id: int, purpose: bytes, interval: int, content: bytes
    ) -> dict[str, Any]:
        key = self._keys[meter_id].tag_down
        return {
            "epoch": self.roster.device.epoch,
            "interval": interval,
            "tag": masking.tag(key, purpose, self.hash, meter_id, interval, content),
        }

    def ask(self, meter_id: int, interval: int, prices: Sequence[int]) -> dict[str, Any]:
        """Fields of market_ask."""
        packed = packed_prices(prices)
        return {**self._fields(meter_id, market.ASK, interval, packed), "prices": packed}

    def announcement(
        self, meter_id: int, interval: int, prices: Sequence[int], silent: bytes
    ) -> dict[str, Any]:
        """Fields of market_silent."""
        ask = self.ask_hash(interval, prices)
        fields = self._fields(meter_id, market.ANNOUNCE, interval, ask + silent)
        return {**fields, "ask": ask, "silent": silent}

    def totals(
        self,
        meter_id: int,
        interval: int,
        told: bytes,
        cuts: Mapping[str, int | None] | None = None,
    ) -> dict[str, Any]:
        """Fields of market_totals; with cuts they close the interval."""
        packed = b"" if cuts is None else bytes(market_shares.pack_cuts(*cuts.values()))
        return {
            **self._fields(meter_id, market.TOTALS, interval, told + packed),
            "participants": int.from_bytes(told[:4], "big"),
            "totals": told[4:],
            "cuts": packed,
        }

    def count(self, meter_id: int, interval: int, said: bytes) -> dict[str, Any]:
        """Fields of market_count; see :func:`count_said`."""
        return {
            **self._fields(meter_id, market.COUNT, interval, said),
            "round": said[0],
            "side": said[1],
            "thresholds": said[2:],
        }

    def words_of(
        self, meter_id: int, message: Message, purpose: bytes, turn: int, interval: int,
        digest: bytes, lanes: int,
    ) -> list[int]:  # fmt: skip
        """The words of an authentic message of this round.

        Raises
        ------
        HushmeterError
            It is of another round, interval or meter, has other lanes, or is not authentic.
        """
        fields = message.fields
        said = (fields.get("meter_id"), fields.get("epoch"), fields.get("interval"))
        wanted = (meter_id, self.roster.device.epoch, interval)
        packed = fields.get("words", b"")
        if said != wanted or len(packed) != 8 * lanes:
            raise HushmeterError(f"meter {meter_id} sent no words of this round")
        key = self._keys[meter_id].tag_up
        content = bytes((turn,)) + digest + packed
        tag = masking.tag(key, purpose, self.hash, meter_id, interval, content)
        if not masking.same_tag(fields["tag"], tag):
            raise HushmeterError(f"the words of round {turn} are not from meter {meter_id}")
        return list(masking.unpack_words(packed))

    def keystream(self, meter_id: int, turn: int, interval: int, lanes: int) -> list[int]:
        """K of one meter. Intervals never go back by a day: older keys are gone."""
        day = (interval - 1) * self.terms.interval_s // _DAY_S
        while self._day < day:
            self._day += 1
            self._streams = {
                meter: masking.next_day_key(key, self._day) for meter, key in self._streams.items()
            }
        if day < self._day:
            raise HushmeterError(f"the keystream keys of interval {interval} are gone")
        return list(market.keystream(self._streams[meter_id], turn, interval, lanes))


def set_requests(wanted: Responses) -> list[Request]:
    """The requests by which a home gives its meter new responses."""
    data = json.dumps(wanted.on_meter(), separators=(",", ":")).encode()
    return [
        ("responses", {"size": len(data), "offset": at, "data": data[at : at + _PIECE_BYTES]})
        for at in range(0, len(data), _PIECE_BYTES)
    ]


def told_to_all(participants: int, demand: Sequence[int], supply: Sequence[int]) -> bytes:
    """What every home is told of an interval."""
    totals = market_shares.pack_totals(demand) + market_shares.pack_totals(supply)
    return participants.to_bytes(4, "big") + bytes(totals)


def count_said(turn: int, side: str, thresholds: Sequence[int]) -> bytes:
    """What every home is asked in a round of counts."""
    place = market.DEMAND_SIDE if side == BUY else market.SUPPLY_SIDE
    return bytes((turn, place)) + bytes(market_shares.pack_thresholds(thresholds))


def check_public(curves: Curves) -> None:
    """Raises HushmeterError where a published curve's id could be a meter's.

    Homes come first in the order of ids, and a meter knows its rank from the roster alone.
    """
    for who in curves.ids:
        if who.isdigit():
            raise HushmeterError(
                f"participant {who} publishes its curve and must not be called a number; those "
                "are the meters'"
            )
