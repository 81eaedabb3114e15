"""A home's steps in a Paillier ring, timed on its meter; the other homes and the relay are played.

The meter is enrolled in this storage, and has found the utility's key good. What the others do is
not counted. Their nonces are drawn until the meter has the wanted place in the order.
"""

import gc
import time

from playing import show

from hushfw.core import market, masking, pace, paillier
from hushfw.core import ring as core

MIDDLE, FIRST = range(2)
_STEPS = ("ask to commitment", "all commitments to nonce", "all nonces to order")
_PARTS = ("a letter to the next", "the first letter", "the closing ciphertext")


class Relay:
    """What all others would say to this meter in one interval."""

    def __init__(self, booted, prices, interval, place):
        enrolled, terms = booted._enrolment, booted._config["market"]
        self._booted, self._interval = booted, interval
        self._keys, self._roster = enrolled.keys, enrolled.roster
        self._own = enrolled.own_index
        caps = terms["demand_cap_wh"], terms["supply_cap_wh"]
        self._terms = market.terms_hash(self._roster.hash, terms["interval_s"], caps, None)
        self._grid = market.pack_prices([30 + 25 * at for at in range(prices)])
        self._members = list(range(self._roster.members))
        self.place = place

    def fields(self, step, part, data):
        said = bytes((step, part)) + data
        tag = masking.tag(self._keys.tag_key_down, core.RING, self._terms, 1, self._interval, said)
        head = {"epoch": self._roster.epoch, "interval": self._interval, "tag": tag}
        head.update({"step": step, "part": part, "data": data})
        return head

    def say(self, step, part, data):
        """Microseconds, and the reply's data."""
        fields = self.fields(step, part, data)
        gc.collect()
        started = time.ticks_us()
        _, said = self._booted.handle("market_ring", fields, [])
        return time.ticks_diff(time.ticks_us(), started), said["data"]

    def _nonces(self, own, tries):
        made = []
        for index in self._members:
            if index == self._own:
                made.append(own)
            else:
                made.append(bytes((tries, index)) + bytes(core.NONCE_BYTES - 2))
        return made

    def _commits(self, nonces):
        where = self._terms, self._interval, market.CURVE_ROUND
        return [core.commitment(*where, i, nonces[i]) for i in self._members]

    def begin(self):
        """Times of the three steps before a letter; the order is then known to all."""
        ask_us, _ = self.say(core.ASK, 0, self._grid)
        state = self._booted._trading._interval["ring"]
        where = self._terms, self._interval, market.CURVE_ROUND
        tries = 0
        while True:
            nonces = self._nonces(state["nonce"], tries)
            commits = self._commits(nonces)
            order = core.order(*where, self._members, commits, nonces)
            at = order.index(self._own)
            if (at == 0) == (self.place == FIRST):
                break
            tries += 1
        self._before = order[at - 1]
        self._told = core.told(order, state["ask"])
        del state
        silent = bytes((len(self._members) + 7) // 8)
        reveal_us, _ = self.say(core.REVEAL, 0, silent + b"".join(commits))
        tell_us, _ = self.say(core.TELL, 0, b"".join(nonces))
        return ask_us, reveal_us, tell_us

    def letter(self, part, ciphertext):
        """The letter of the member before."""
        where = self._terms, self._interval, market.CURVE_ROUND
        info = core.about(*where, (self._before, self._own), part, self._told)
        secret = self._booted._enrolment.secret_with(self._before)
        return core.seal(secret, bytes((part,)) * core.LETTER_NONCE_BYTES, info, ciphertext)


def _ciphertext(key):
    """Any that is coprime to n; what it holds does not change the time."""
    number = int.from_bytes(bytes(range(3, 251)) * 3, "big") % (key.n * key.n)
    return number.to_bytes(2 * key.size, "big")


def _filled(pool):
    started, count = time.ticks_us(), len(pool)
    while pool.step():
        pass
    made = len(pool) - count
    return time.ticks_diff(time.ticks_us(), started) // made if made else 0


def interval(booted, relay, parts, into):
    """One interval; `into` gets microseconds by step."""
    pool = booted.ring_pool
    made_us = _filled(pool)
    if made_us:
        into.setdefault("a pool's entry", []).append(made_us)
    begun = relay.begin()
    for at in range(len(_STEPS)):
        into.setdefault(_STEPS[at], []).append(begun[at])
    plain = _ciphertext(pool.key)
    is_first = relay.place == FIRST
    for part in range(parts):
        letter = b"" if is_first else relay.letter(part, plain)
        took, _ = relay.say(core.PASS, part, letter)
        into.setdefault(_PARTS[is_first], []).append(took)
    for part in range(parts if is_first else 0):
        took, _ = relay.say(core.CLOSE, part, relay.letter(part, plain))
        into.setdefault(_PARTS[2], []).append(took)


def alone(booted, repeats):
    """The pieces of a letter's step by themselves."""
    pool = booted.ring_pool
    key, held = pool.key, _ciphertext(pool.key)
    _filled(pool)
    second = pool.encrypt(1)
    works = (
        ("encryption from the pool", lambda: pool.encrypt(5)),
        ("range and greatest common divisor", lambda: paillier.check_ciphertext(key, held)),
        ("product of two ciphertexts", lambda: paillier.add(key, held, second)),
        ("sealing a letter", lambda: core.seal(bytes(32), bytes(16), b"", held)),
    )
    for name, work in works:
        found = []
        for _ in range(min(repeats, len(pool) or repeats)):
            gc.collect()
            started = time.ticks_us()
            work()
            found.append(time.ticks_diff(time.ticks_us(), started))
        show(name, "us", found)


class _Lowest:
    """The least free heap, garbage apart, at the points that long work has."""

    def __init__(self):
        self.bytes = 1 << 30

    def look(self):
        gc.collect()
        self.bytes = min(self.bytes, gc.mem_free())


def least_free(booted, relays, parts):
    if not hasattr(gc, "mem_free"):
        return
    gc.collect()
    lowest = _Lowest()
    before = pace.install(lowest.look)
    for relay in relays:
        interval(booted, relay, parts, {})
    pace.install(before)
    show("ring: least free, this script in memory", "bytes", [lowest.bytes])


def parts_of(booted, prices):
    """Ciphertexts that hold a home's demand and supply, and the bytes of a letter."""
    most = max(booted._config["market"]["demand_cap_wh"], 1)
    members, size = booted._enrolment.roster.members, booted.ring_pool.key.size
    shapes = core.packings(members, most, 2 * prices, 8 * size - 1)
    return len(shapes), core.letter_bytes(size)
