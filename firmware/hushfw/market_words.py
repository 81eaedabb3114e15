"""A home's curves masked, and its answer to the set of silent meters."""

import struct

from hushfw import journal, store
from hushfw import market as trades
from hushfw.borrowed import Borrowed
from hushfw.core import market, masking
from hushfw.core.errors import HushError
from hushfw.keyring import RECORD


class Trade(trades.Trade):
    """The handlers of market_ask and market_silent."""

    def _curves(self, prices):
        """Demand, then supply at each price, checked; what is above the caps is not traded."""
        data = store.read(trades.RESPONSES_FILE)
        if data is None:
            path = trades.RESPONSES_FILE
            raise HushError("not_provisioned", "there is no %s: give it responses" % path)
        with Borrowed(trades.CURVES) as responses:
            demand, supply = responses.curves(self._checked(responses, data), prices)
        market.check_monotone("this home's demand", demand, False, market.MOST_WH)
        market.check_monotone("this home's supply", supply, True, market.MOST_WH)
        most_demand, most_supply = self._caps_wh
        return [min(amount_wh, most_demand) for amount_wh in demand] + [
            min(amount_wh, most_supply) for amount_wh in supply
        ]

    def _on_market_ask(self, fields, roster):
        interval, prices = fields["interval"], fields["prices"]
        self._check_tag(market.ASK, fields, prices)
        if fields["epoch"] != roster.epoch:
            raise HushError("wrong_epoch", "the epoch in use is %d" % roster.epoch)
        ask = market.ask_hash(self._terms, interval, prices)
        last = self._last()
        self._check_may_mask(interval, ask, last, roster)
        if last is not None and last.interval == interval:
            return "market_words", self._state["words"]
        grid = market.unpack_prices(prices)
        values = self._curves(grid)
        name, said = self._mask(interval, ask, values, roster)
        self._state.clear()
        self._state["interval"] = interval
        self._state["prices"] = prices
        self._state["claims"] = struct.pack(">%dQ" % len(values), *values)
        self._state["words"] = said
        return name, said

    def _check_may_mask(self, interval, ask, last, roster):
        if not roster.missing:
            # Nothing but the second round shows that all homes were asked for one grid.
            raise HushError("bad_roster", "a market needs a roster with M of 1 or more")
        now = roster.slot_at(self._clock_s)
        if now is None or now > roster.last_slot:
            raise HushError("late", "the roster in use is not for this time")
        if not self._opens_s(interval) <= self._clock_s < interval * self._interval_s:
            raise HushError("late", "an interval is asked for in the one before it")
        is_again = (
            last is not None
            and (last.interval, last.ask) == (interval, ask)
            and self._state.get("interval") == interval
            and self._answered() is None
        )
        masked = 0 if last is None else last.interval
        if interval <= self._closed_through() or interval <= masked and not is_again:
            raise HushError("wrong_slot", "interval %d was masked before, or is over" % interval)

    def _mask(self, interval, ask, values, roster):
        self._random.refresh()
        lanes = len(values)
        noisy = [value + noise for value, noise in zip(values, self._noise(lanes, roster))]
        seed = self._random.bytes(masking.KEY_BYTES)
        keys, day = self._keys(interval)
        dummies = market.mask_sum(masking.USE_DUMMY, market.CURVE_ROUND, interval, lanes)
        for place, records in keys.records(day, 0, keys.partners):
            positive = place < self._enrolment.own_index
            dummies.add(records, 0, RECORD, len(records) // RECORD, positive)
        stream_key = keys.keystream_of_day(day)
        words = market.added(
            (
                noisy,
                dummies.words(),
                market.keystream(stream_key, market.CURVE_ROUND, interval, lanes),
                market.recovery(seed, interval, lanes),
            )
        )
        count = trades.masked_intervals(self._journal) + 1
        head = struct.pack(trades.MASKED, interval, roster.epoch, lanes, count)
        self._journal.append(journal.MARKET_MASKED, head + ask + seed)
        return self._said(market.REPORT, interval, market.CURVE_ROUND, ask, words, "market_words")

    def _noise(self, lanes, roster):
        """This home's share on each lane, and the check that no total can wrap around 2^64."""
        shape = roster.noise_shape()
        if self._epsilon is None:
            market.check_window(roster.members, self._caps_wh, 0)
            return [0] * lanes
        num, den = market.noise_scale(lanes // 2, self._caps_wh, self._epsilon)
        tail = market.tail_wh(roster.members, shape, num, den)
        market.check_window(roster.members, self._caps_wh, tail)
        if self._config["noise_sampler"] == "bounded":
            from hushfw.core.bounded import Bounded

            draw = Bounded(shape, num, den).share
            return [draw(self._random) for _ in range(lanes)]
        from hushfw.core import noise

        return [noise.share(self._random, shape, num, den) for _ in range(lanes)]

    def _on_market_silent(self, fields, roster):
        """The answer to a valid, first S; whoever asks is told no reason for a refusal."""
        interval, silent = fields["interval"], fields["silent"]
        self._check_tag(market.ANNOUNCE, fields, fields["ask"] + silent, "refused")
        indexes = masking.silent_indexes(silent, roster.members)
        if fields["epoch"] != roster.epoch or indexes is None or len(indexes) > roster.missing:
            raise HushError("refused", "S is no set of at most M members of this epoch")
        last = self._last()
        if last is None or last.interval < interval:
            self._close_if_begun(interval)
            raise HushError("refused", "nothing was masked")
        if not last.seed:
            raise HushError("refused", "this interval is summed in a ring")
        if (last.interval, last.epoch, last.ask) != (interval, roster.epoch, fields["ask"]):
            raise HushError("refused", "it was another interval, epoch or grid that was masked")
        if self._clock_s >= (interval + 1) * self._interval_s:
            raise HushError("refused", "the interval is over")
        if masking.in_silent(silent, self._enrolment.own_index):
            self._close_if_begun(interval)
            raise HushError("refused", "declared silent")
        if interval <= self._closed_through():
            raise HushError("refused", "declared silent before")
        before = self._answered()
        if before is not None and before != silent:
            raise HushError("refused", "another S was answered in this interval")
        return self._answer(last, silent, indexes, before is None)

    def _close_if_begun(self, interval):
        # One that cannot be asked for yet is not closed: else one message could silence the home.
        if self._closed_through() < interval and self._opens_s(interval) <= self._clock_s:
            self._journal.append(journal.MARKET_CLOSED, interval.to_bytes(8, "big"))

    def _answer(self, last, silent, indexes, is_first):
        interval, lanes = last.interval, last.lanes
        digest = masking.silent_digest(last.ask, interval, silent)
        dummies = market.mask_sum(masking.USE_DUMMY, market.CURVE_ROUND, interval, lanes)
        bound = self._bound(interval, market.ANSWER_ROUND, lanes, indexes, digest, dummies)
        recovery = market.recovery(last.seed, interval, lanes)
        words = masking.lifted(dummies.words(), bound, recovery)
        if is_first:
            self._journal.append(journal.MARKET_ANSWERED, interval.to_bytes(8, "big") + silent)
        return self._said(
            market.ANSWER, interval, market.ANSWER_ROUND, digest, words, "market_answer"
        )
