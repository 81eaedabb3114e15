"""A home's part in the Paillier ring: nonce, order, and one step of the sum for each plaintext.

One message serves all steps, and each has one reply; `READY`, at any time, says how many
encryptions are made ready, or that the key is being checked:

1. `ASK`: the grid. The home makes its curves, packs them, **journals the interval** as masked words
   do, and says what it commits to.
2. `REVEAL`: S, then what each member outside it committed to, in pieces. Once it has all, and its
   own is among them as it was, it reveals its nonce.
3. `TELL`: what they revealed, in pieces. Now the home knows the order.
4. `PASS`: the letter of the member before, for each plaintext. The home opens it, checks the
   ciphertext, multiplies its own in, and seals it for the next member. The first of the order gets
   an empty letter, and begins with its blind.
5. `CLOSE`: the first member gets the last one's letter and takes its blind out: the utility's.

An interval is summed in a ring or by masked words, once: both ask the journal's one record, and
that of a ring has no seed, so the rounds of masked words refuse it. What a step needs of the one
before is in memory only: a power cut breaks the ring, and the interval is void. The very last
message again has the very same reply; any other of a step that was taken is refused.

After the ring, totals and counts go as after masked words, with the same S.
"""

import struct

from hushfw import journal, market, market_words
from hushfw.core import market as rules
from hushfw.core import masking, pace
from hushfw.core import ring as core
from hushfw.core.errors import HushError
from hushfw.port import sha256


class Trade(market_words.Trade):
    """The handler of market_ring; `pool` encrypts under the utility's key."""

    def __init__(self, *parts):
        super().__init__(*parts)
        self.pool = None

    def _on_market_ring(self, fields, roster):
        step, part, data = fields["step"], fields["part"], fields["data"]
        said = bytes((step, part)) + data
        self._check_tag(core.RING, fields, said)
        if fields["epoch"] != roster.epoch:
            raise HushError("wrong_epoch", "the epoch in use is %d" % roster.epoch)
        if step == core.READY:
            self.pool.check()
            return self._letter(fields, step, part, bytes((len(self.pool),)))
        asked = sha256(fields["interval"].to_bytes(8, "big") + said)
        ring = self._state.get("ring")
        if ring is not None and ring["asked"] == asked:
            return ring["reply"]
        if step == core.ASK:
            ring, made = self._begun(fields["interval"], data, roster)
        else:
            ring = self._going(fields["interval"], ring)
            made = self._taken(ring, step, part, data, roster)
        ring["asked"], ring["reply"] = asked, self._letter(fields, step, part, made)
        return ring["reply"]

    def _letter(self, fields, step, part, data):
        head, interval = bytes((step, part)), fields["interval"]
        return "market_letter", {
            "meter_id": self._config["meter_id"],
            "epoch": fields["epoch"],
            "interval": interval,
            "step": step,
            "part": part,
            "data": data,
            "tag": self._tag(self._enrolment.keys.tag_key_up, core.LETTER, interval, head + data),
        }

    def _begun(self, interval, prices, roster):
        """The ring of an interval, once the journal has it, and this home's commitment."""
        ask = core.ask_hash(self._terms, interval, prices)
        if roster.members > core.MOST_MEMBERS:
            raise HushError("bad_roster", "a ring has at most %d members" % core.MOST_MEMBERS)
        self.pool.check()
        # Whoever asks again has lost the reply and sent something else between: it is too late.
        self._check_may_mask(interval, b"", self._last(), roster)
        values = self._curves(rules.unpack_prices(prices))
        plains = self._plains(values, roster)
        nonce = self._random.bytes(core.NONCE_BYTES)
        self._journal_ring(interval, ask, len(values), roster)
        self._state.clear()
        self._state["interval"] = interval
        self._state["prices"] = prices
        self._state["claims"] = struct.pack(">%dQ" % len(values), *values)
        own = core.commitment(
            self._terms, interval, rules.CURVE_ROUND, self._enrolment.own_index, nonce
        )
        ring = {"ask": ask, "plains": plains, "nonce": nonce, "own": own, "come": b"", "pieces": 0}
        self._state["ring"] = ring
        return ring, own

    def _plains(self, values, roster):
        """A plaintext for each packing, with this home's noise."""
        self._random.refresh()
        lanes, key = len(values), self.pool.key
        noisy = [value + noise for value, noise in zip(values, self._noise(lanes, roster))]
        most = max(self._caps_wh)
        if self._epsilon is not None:
            num, den = rules.noise_scale(lanes // 2, self._caps_wh, self._epsilon)
            most += rules.tail_wh(roster.members, roster.noise_shape(), num, den)
        shapes = core.packings(roster.members, most, lanes, 8 * key.size - 1)
        return core.packed(shapes, noisy, key.n)

    def _journal_ring(self, interval, ask, lanes, roster):
        count = market.masked_intervals(self._journal) + 1
        head = struct.pack(market.MASKED, interval, roster.epoch, lanes, count)
        self._journal.append(journal.MARKET_MASKED, head + ask)

    def _going(self, interval, ring):
        """The ring that is on its way, in its time."""
        if ring is None or self._state.get("interval") != interval:
            raise HushError("wrong_slot", "no ring of interval %d is on its way" % interval)
        if self._clock_s >= (interval + 1) * self._interval_s:
            raise HushError("late", "the interval is over")
        return ring

    def _taken(self, ring, step, part, data, roster):
        if step == core.REVEAL and "members" not in ring:
            return self._gathered(ring, part, data, roster)
        if step == core.TELL and "members" in ring and "order" not in ring:
            return self._ordered(ring, part, data)
        if step in (core.PASS, core.CLOSE) and "order" in ring and part < len(ring["plains"]):
            is_close = step == core.CLOSE
            return self._closed(ring, part, data) if is_close else self._passed(ring, part, data)
        raise HushError("refused", "this step was taken, or comes later")

    def _pieces(self, ring, part, data, size):
        """Whether all of `size` bytes have come, piece after piece."""
        if part != ring["pieces"] or not data or len(ring["come"]) + len(data) > size:
            raise HushError("bad_message", "wanted piece %d" % ring["pieces"])
        ring["come"] += data
        ring["pieces"] += 1
        return len(ring["come"]) == size

    def _drained(self, ring, at=0):
        """What came, in pieces of a nonce's length, which is that of a hash."""
        come, size = ring["come"], core.NONCE_BYTES
        ring["come"], ring["pieces"] = b"", 0
        return [come[i : i + size] for i in range(at, len(come), size)]

    def _gathered(self, ring, part, data, roster):
        """This home's nonce, once it has what all have committed to; empty before."""
        width = (roster.members + 7) // 8
        silent = (ring["come"] + data)[:width]
        absent = masking.silent_indexes(silent, roster.members)
        own = self._enrolment.own_index
        if absent is None or own in absent or len(absent) > roster.missing:
            raise HushError("refused", "S is no set of at most M other members of this epoch")
        members = [index for index in range(roster.members) if index not in absent]
        if not self._pieces(ring, part, data, width + core.NONCE_BYTES * len(members)):
            return b""
        commits = self._drained(ring, width)
        if commits[members.index(own)] != ring["own"]:
            raise HushError("refused", "what this home committed to is not among them")
        ring["commits"], ring["silent"], ring["members"] = commits, silent, members
        return ring["nonce"]

    def _ordered(self, ring, part, data):
        """The order; what all letters are bound to."""
        members = ring["members"]
        if not self._pieces(ring, part, data, core.NONCE_BYTES * len(members)):
            return b""
        where = self._terms, self._state["interval"], rules.CURVE_ROUND
        order = core.order(*where, members, ring["commits"], self._drained(ring))
        at = order.index(self._enrolment.own_index)
        ring["before"], ring["after"] = order[at - 1], order[(at + 1) % len(order)]
        ring["told"] = core.told(order, ring["ask"])
        ring["blinds"] = [None] * len(ring["plains"]) if at == 0 else None
        ring["order"] = True
        return b""

    def _about(self, ring, hop, part):
        where = self._terms, self._state["interval"], rules.CURVE_ROUND
        return core.about(*where, hop, part, ring["told"])

    def _opened(self, ring, part, letter):
        before = ring["before"]
        info = self._about(ring, (before, self._enrolment.own_index), part)
        return core.opened(self._enrolment.secret_with(before), info, letter)

    def _passed(self, ring, part, letter):
        """The letter to the next member."""
        plain, after = ring["plains"][part], ring["after"]
        if plain is None or (ring["blinds"] is not None) != (not letter):
            raise HushError("refused", "this part was passed on, or only the first begins one")
        blind = None
        if ring["blinds"] is None:
            held = core.added(
                self.pool.key, self.pool.encrypt, self._opened(ring, part, letter), plain
            )
        else:
            blind = self._random.below(self.pool.key.n)
            held = self.pool.encrypt((plain + blind) % self.pool.key.n)
        pace.point()
        if self._answered() is None:
            packed = self._state["interval"].to_bytes(8, "big")
            self._journal.append(journal.MARKET_ANSWERED, packed + ring["silent"])
        nonce = self._random.bytes(core.LETTER_NONCE_BYTES)
        info = self._about(ring, (self._enrolment.own_index, after), part)
        sealed = core.seal(self._enrolment.secret_with(after), nonce, info, held)
        ring["plains"][part] = None
        if blind is not None:
            ring["blinds"][part] = blind
        return sealed

    def _closed(self, ring, part, letter):
        """The utility's ciphertext: the sum without the blind."""
        if ring["blinds"] is None or ring["blinds"][part] is None:
            raise HushError("refused", "the first of the order closes a part, once it began it")
        key = self.pool.key
        held = self._opened(ring, part, letter)
        made = core.added(key, self.pool.encrypt, held, -ring["blinds"][part] % key.n)
        ring["blinds"][part] = None
        return made
