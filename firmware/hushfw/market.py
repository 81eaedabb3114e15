"""A home's part in the market: what all its messages share.

An interval is masked at most once and answered at most once. The record of each is flushed before
its message leaves, and intervals ascend in one sequence per meter, so the journal needs no more
than the last: interval, ask, and the seed of C (kind 9); the S that was answered (kind 10); and up
to which interval nothing leaves any more (kind 11). An answer is made again from these, the same
bytes; an interval whose words were lost in a power cut is not masked again, the home is then silent
in it. Claims are in memory only: who lost them gives no counts, and keeps whole Wh.

Interval k lasts from k * interval_s of Unix time on. It is asked for in the interval before, by
whose day its keys go, and nothing of it leaves once it is over. What is not summed by then takes
the fallback price; it is never summed later.

What the home says of prices is a file that no message gives back (`market_home`); `market_words`
has the curves and the answer, `market_totals` the share. The modules of a message are in memory
while it is handled; `state` is what stays between.
"""

import json
import struct

from hushfw import journal
from hushfw.ahead import lift
from hushfw.core import market, masking
from hushfw.core.errors import HushError

RESPONSES_FILE = "market.json"
HOME_FILE = "market.bin"
# interval, price, demand and supply there, bought, sold, flags.
HOME_RECORD = ">QqQQQQB"
SCARCE = 1
# What makes curves of settings: needed for the first message of an interval only.
CURVES = "core.market_responses"

MASKED = ">QIBI"
_MASKED_BYTES = 17
_ASK_BYTES = 32


def masked_intervals(book):
    """How many intervals this meter has masked: each discloses a sum that holds its curves."""
    record = book.market.get(journal.MARKET_MASKED)
    return struct.unpack(MASKED, record[:_MASKED_BYTES])[3] if record else 0


class Masked:
    """The last interval that was masked, as the journal has it."""

    def __init__(self, record):
        head = struct.unpack(MASKED, record[:_MASKED_BYTES])
        self.interval, self.epoch, self.lanes = head[:3]
        self.ask = record[_MASKED_BYTES : _MASKED_BYTES + _ASK_BYTES]
        self.seed = record[_MASKED_BYTES + _ASK_BYTES :]


class Trade:
    """What handlers share, over a meter's parts; clock_s is its own time."""

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
        if self._enrolment.roster is None:
            raise HushError("not_enrolled", self._enrolment.why_not)
        roster = self._enrolment.roster
        self._terms = market.terms_hash(roster.hash, self._interval_s, self._caps_wh, self._epsilon)
        return getattr(self, "_on_" + name)(fields, roster)

    def _checked(self, responses, data):
        try:
            home = responses.checked(json.loads(data))
        except ValueError:
            raise HushError("bad_config", "the responses are not JSON") from None
        if home["interval_s"] != self._interval_s:
            raise HushError("bad_config", "interval_s must be the market's, %d" % self._interval_s)
        return home

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
        return None if record is None else Masked(record)

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

    def _bound(self, interval, turn, lanes, indexes, digest, dummies):
        """Words of E towards all outside S; D towards those in it is added to `dummies`."""
        bound = market.mask_sum(masking.USE_ANSWER, turn, interval, lanes, digest)
        keys, day = self._keys(interval)
        lift(keys, day, self._enrolment.own_index, indexes, dummies, bound)
        return bound.words()
