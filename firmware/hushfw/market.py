"""A home's part in the market: its curves masked, its answer, its counts, and its own share.

An interval is masked at most once and answered at most once. The record of each is flushed before
its message leaves, and intervals ascend in one sequence per meter, so the journal needs no more
than the last: interval, ask, and the seed of C (kind 9); the S that was answered (kind 10); and up
to which interval nothing leaves any more (kind 11). An answer is made again from these, the same
bytes; an interval whose words were lost in a power cut is not masked again, the home is then silent
in it. Claims are in memory only: who lost them gives no counts, and keeps whole Wh.

Interval k lasts from k * interval_s of Unix time on. It is asked for in the interval before, by
whose day its keys go, and nothing of it leaves once it is over. What is not summed by then takes
the fallback price; it is never summed later.

What the home says of prices is a file that no message gives back. This module is in memory while a
message is handled; `state` is what stays between.
"""

import json
import os
import struct

from hushfw import journal, store
from hushfw.ahead import lift
from hushfw.borrowed import Borrowed
from hushfw.core import market, masking
from hushfw.core.errors import HushError
from hushfw.keyring import RECORD

RESPONSES_FILE = "market.json"
HOME_FILE = "market.bin"
# interval, price, demand and supply there, bought, sold, flags.
HOME_RECORD = ">QqQQQQB"
SCARCE = 1
_HOME_BYTES = 64 * 1024
# What makes curves of settings: needed for the first message of an interval only.
_CURVES = "core.market_responses"
_MOST_RESPONSES = 2048

MASKED = ">QIBI"
_MASKED_BYTES = 17
_ASK_BYTES = 32


def masked_intervals(book):
    """How many intervals this meter has masked: each discloses a sum that holds its curves."""
    record = book.market.get(journal.MARKET_MASKED)
    return struct.unpack(MASKED, record[:_MASKED_BYTES])[3] if record else 0


class _Masked:
    """The last interval that was masked, as the journal has it."""

    def __init__(self, record):
        head = struct.unpack(MASKED, record[:_MASKED_BYTES])
        self.interval, self.epoch, self.lanes = head[:3]
        self.ask = record[_MASKED_BYTES : _MASKED_BYTES + _ASK_BYTES]
        self.seed = record[_MASKED_BYTES + _ASK_BYTES :]


class Trade:
    """The handlers of the market's messages, over a meter's parts; clock_s is its own time."""

    def __init__(self, config, enrolment, book, random, state, clock_s):
        self._config = config
        self._enrolment = enrolment
        self._journal = book
        self._random = random
        self._state = state
        self._clock_s = clock_s
        terms = config["market"]
        self._interval_s = terms["interval_s"]
        self._caps_wh = terms["demand_cap_wh"], terms["supply_cap_wh"]
        self._epsilon = terms["epsilon"]

    def found_genuine(self):
        """A message has the supplier's tag; the meter puts its own here."""

    def handle(self, name, fields):
        """The reply to a message as (name, fields)."""
        if name == "responses":
            return self._on_responses(fields)
        if self._enrolment.roster is None:
            raise HushError("not_enrolled", self._enrolment.why_not)
        roster = self._enrolment.roster
        self._terms = market.terms_hash(roster.hash, self._interval_s, self._caps_wh, self._epsilon)
        return getattr(self, "_on_" + name)(fields, roster)

    def _on_responses(self, fields):
        size, offset, data = fields["size"], fields["offset"], fields["data"]
        if not 0 < size <= _MOST_RESPONSES:
            raise HushError("bad_config", "responses have 1 to %d bytes" % _MOST_RESPONSES)
        come = b"" if offset == 0 else self._state.get("come", b"")
        if offset != len(come) or offset + len(data) > size:
            raise HushError("bad_message", "wanted the piece at offset %d" % len(come))
        come += data
        if len(come) < size:
            self._state["come"] = come
            return "ok", {}
        self._state.pop("come", None)
        with Borrowed(_CURVES) as responses:
            self._checked(responses, come)
        if store.read(RESPONSES_FILE) != come:
            store.replace(RESPONSES_FILE, [come])
        return "ok", {}

    def _checked(self, responses, data):
        try:
            home = responses.checked(json.loads(data))
        except ValueError:
            raise HushError("bad_config", "the responses are not JSON") from None
        if home["interval_s"] != self._interval_s:
            raise HushError("bad_config", "interval_s must be the market's, %d" % self._interval_s)
        return home

    def _curves(self, prices):
        """Demand, then supply at each price, checked; what is above the caps is not traded."""
        data = store.read(RESPONSES_FILE)
        if data is None:
            raise HushError("not_provisioned", "there is no %s: give it responses" % RESPONSES_FILE)
        with Borrowed(_CURVES) as responses:
            demand, supply = responses.curves(self._checked(responses, data), prices)
        market.check_monotone("this home's demand", demand, False, market.MOST_WH)
        market.check_monotone("this home's supply", supply, True, market.MOST_WH)
        most_demand, most_supply = self._caps_wh
        return [min(amount_wh, most_demand) for amount_wh in demand] + [
            min(amount_wh, most_supply) for amount_wh in supply
        ]

    def _tag(self, key, purpose, interval, content):
        return masking.tag(key, purpose, self._terms, self._config["meter_id"], interval, content)

    def _check_tag(self, purpose, fields, content, code="bad_tag"):
        wanted = self._tag(self._enrolment.keys.tag_key_down, purpose, fields["interval"], content)
        if not masking.same_tag(fields["tag"], wanted):
            raise HushError(code, "not the supplier's, or not for this market, meter and interval")
        self.found_genuine()

    def _said(self, purpose, interval, turn, digest, words, name, extra=()):
        """A message of words with its tag."""
        packed = masking.pack_words(words)
        content = bytes((turn,)) + digest + packed
        fields = {
            "meter_id": self._config["meter_id"],
            "epoch": self._enrolment.roster.epoch,
            "interval": interval,
            "words": packed,
            "tag": self._tag(self._enrolment.keys.tag_key_up, purpose, interval, content),
        }
        fields.update(extra)
        return name, fields

    def _last(self):
        """The last interval that was masked, or None."""
        record = self._journal.market.get(journal.MARKET_MASKED)
        return None if record is None else _Masked(record)

    def _closed_through(self):
        record = self._journal.market.get(journal.MARKET_CLOSED)
        return int.from_bytes(record, "big") if record else 0

    def _answered(self):
        """The S that was answered in the last interval masked, or None."""
        record = self._journal.market.get(journal.MARKET_ANSWERED)
        return None if record is None else record[8:]

    def _opens_s(self, interval):
        return (interval - 1) * self._interval_s

    def _keys(self, interval):
        """The keyring, and the day of an interval, whose keys are there."""
        keys, day = self._enrolment.keys, self._opens_s(interval) // 86400
        keys.use(day)
        return keys, day

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
        count = masked_intervals(self._journal) + 1
        head = struct.pack(MASKED, interval, roster.epoch, lanes, count)
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

    def _bound(self, interval, turn, lanes, indexes, digest, dummies):
        """Words of E towards all outside S; D towards those in it is added to `dummies`."""
        bound = market.mask_sum(masking.USE_ANSWER, turn, interval, lanes, digest)
        keys, day = self._keys(interval)
        lift(keys, day, self._enrolment.own_index, indexes, dummies, bound)
        return bound.words()

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
            cuts = market.unpack_cuts(packed)
            shares = []
            for side, cut in ((sides[0], cuts[0]), (sides[1], cuts[1])):
                claim_wh, rank, total_wh, traded_wh, count = side
                shares.append(market.share_wh(claim_wh, rank, total_wh, traded_wh, count, cut))
            claims = sides[0][0], sides[1][0]
            _keep(fields["interval"], price, claims, shares, is_scarce)
            self._state.clear()
        return "ok", {}

    def _settled(self, told):
        """The price, whether all supply is sold, and a side's numbers, from what all were told."""
        grid = market.unpack_prices(self._state["prices"])
        count = len(grid)
        participants = int.from_bytes(told[:4], "big")
        if not self._enrolment.roster.members <= participants <= market.MOST_PARTICIPANTS:
            raise HushError("bad_message", "there are at least as many participants as homes")
        demand = market.unpack_totals(told[4 : 4 + 8 * count], count, "total demand", False)
        supply = market.unpack_totals(told[4 + 8 * count :], count, "total supply", True)
        at, is_scarce = market.crossing(demand, supply)
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
        row = _counted(self._settled(told)[2][side], market.unpack_thresholds(packed))
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
    floor_wh, key = market.floor_and_key(*numbers)
    return [floor_wh] + [int(key >= limit) for limit in thresholds]


def _keep(interval, price, claims, shares, is_scarce):
    """The home's own record of its share; it stays on the meter. Two files take turns."""
    flags = SCARCE if is_scarce else 0
    record = struct.pack(HOME_RECORD, interval, price, *claims, *shares, flags)
    store.keep_whole(HOME_FILE, len(record))
    try:
        if store.size_of(HOME_FILE) >= _HOME_BYTES:
            os.rename(HOME_FILE, HOME_FILE + ".old")
        with open(HOME_FILE, "ab") as f:
            f.write(record)
    except OSError as error:
        raise store.refused_write(error) from None
