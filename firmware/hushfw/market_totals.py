"""A home's own share, from the totals that all are told, and its counts of remainders."""

import os
import struct

from hushfw import market as trades
from hushfw import store
from hushfw.core import market, market_shares, masking
from hushfw.core.errors import HushError

_HOME_BYTES = 64 * 1024


class Trade(trades.Trade):
    """The handlers of market_totals and market_count."""

    def _open(self, fields, roster):
        """The S of the interval that is being summed, or a refusal where this home is not in it."""
        last, silent, interval = self._last(), self._answered(), fields["interval"]
        is_open = (
            last is not None
            and silent is not None
            and last.interval == self._state.get("interval") == interval
            and last.epoch == fields["epoch"] == roster.epoch
            and interval > self._closed_through()
        )
        if not is_open:
            raise HushError("refused", "no sum of this home is open in this interval")
        return last, silent

    def _on_market_totals(self, fields, roster):
        told, packed = _told(fields), fields["cuts"]
        self._check_tag(market.TOTALS, fields, told + packed)
        self._open(fields, roster)
        price, is_scarce, sides = self._settled(told)
        if self._state.setdefault("told", told) != told:
            raise HushError("refused", "this home was told other totals before")
        if packed:
            cuts = market_shares.unpack_cuts(packed)
            shares = []
            for (claim_wh, rank, total_wh, traded_wh, count), cut in zip(sides, cuts):
                shares.append(
                    market_shares.share_wh(claim_wh, rank, total_wh, traded_wh, count, cut)
                )
            claims = sides[0][0], sides[1][0]
            _keep(fields["interval"], price, claims, shares, is_scarce)
            self._state.clear()
        return "ok", {}

    def _settled(self, told):
        """The price, whether all supply is sold, and a side's numbers, from what all were told."""
        grid = market.unpack_prices(self._state["prices"])
        count = len(grid)
        participants = int.from_bytes(told[:4], "big")
        if not self._enrolment.roster.members <= participants <= market_shares.MOST_PARTICIPANTS:
            raise HushError("bad_message", "there are at least as many participants as homes")
        demand = market_shares.unpack_totals(told[4 : 4 + 8 * count], count, "total demand", False)
        supply = market_shares.unpack_totals(told[4 + 8 * count :], count, "total supply", True)
        at, is_scarce = market_shares.crossing(demand, supply)
        claims = struct.unpack(">%dQ" % (2 * count), self._state["claims"])
        traded = min(demand[at], supply[at])
        rank = self._enrolment.own_index
        sides = (
            (claims[at], rank, demand[at], traded, participants),
            (claims[count + at], rank, supply[at], traded, participants),
        )
        return grid[at], is_scarce, sides

    def _on_market_count(self, fields, roster):
        turn, side, packed = fields["round"], fields["side"], fields["thresholds"]
        said = bytes((turn, side)) + packed
        self._check_tag(market.COUNT, fields, said)
        last, silent = self._open(fields, roster)
        told = self._state.get("told")
        if told is None or side not in (market.DEMAND_SIDE, market.SUPPLY_SIDE):
            raise HushError("refused", "totals come first, and a side is 0 or 1")
        self._take_turn(turn, said)
        row = _counted(self._settled(told)[2][side], market_shares.unpack_thresholds(packed))
        digest = market.count_digest(last.ask, last.interval, silent, told + said)
        indexes = masking.silent_indexes(silent, roster.members)
        bound = self._bound(last.interval, turn, len(row), indexes, digest, None)
        stream_key = self._enrolment.keys.keystream_of_day(self._keys(last.interval)[1])
        stream = market.keystream(stream_key, turn, last.interval, len(row))
        words = market.added((row, bound, stream))
        extra = {"round": turn}
        return self._said(market.COUNT, last.interval, turn, digest, words, "market_counts", extra)

    def _take_turn(self, turn, said):
        """A round serves one question; the same one again gets the same words."""
        before = self._state.get("turn", b"\0")
        if not market.FIRST_COUNT_ROUND <= turn <= market.LAST_ROUND or (
            turn <= before[0] and said != before
        ):
            raise HushError("refused", "this round was used, or there is none of that number")
        self._state["turn"] = said


def _told(fields):
    """What all homes are told of an interval alike."""
    return fields["participants"].to_bytes(4, "big") + fields["totals"]


def _counted(numbers, thresholds):
    """A home's whole Wh, and for each threshold whether its key reaches it."""
    floor_wh, key = market_shares.floor_and_key(*numbers)
    return [floor_wh] + [int(key >= limit) for limit in thresholds]


def _keep(interval, price, claims, shares, is_scarce):
    """The home's own record of its share; it stays on the meter. Two files take turns."""
    flags = trades.SCARCE if is_scarce else 0
    record = struct.pack(trades.HOME_RECORD, interval, price, *claims, *shares, flags)
    store.keep_whole(trades.HOME_FILE, len(record))
    try:
        if store.size_of(trades.HOME_FILE) >= _HOME_BYTES:
            os.rename(trades.HOME_FILE, trades.HOME_FILE + ".old")
        with open(trades.HOME_FILE, "ab") as f:
            f.write(record)
    except OSError as error:
        raise store.refused_write(error) from None
