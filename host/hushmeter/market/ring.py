"""The Paillier ring: sums as the paper makes them, without handing the utility what it could open.

The paper passes a ciphertext from home to home and the last one gives it to the utility, who holds
the private key. Whoever hears two hops next to each other, and can decrypt, has the home between
them. So here

- each hop is sealed for the next member (AES-CTR and HMAC under keys of the pair, bound to the
  terms, interval, round and hop), so that only members see ciphertexts on their way;
- the first member adds a blind as wide as n and takes it out when the ring has come back, so that
  no partial sum is ever under the key alone;
- each member checks the ciphertext (range, coprime to n), and multiplies a fresh encryption of its
  own values into it, which re-randomises the whole;
- the order is fresh for each round: members are sorted by an HMAC under a key to which all of them
  commit before anybody reveals, so nobody chooses its neighbours;
- nobody starts over: a broken ring voids the interval.

Order, letters and packing are those of a meter (:mod:`hushfw.core.ring`).

Two neighbours of a home who collude with the utility open it; masked words need all others for
that. One member can corrupt all lanes of a plaintext. Lanes are packed, several to a ciphertext.
"""

from __future__ import annotations

import os
import secrets
import struct
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from hushfw.core import paillier as device
from hushfw.core import ring as letters
from hushfw.core.errors import HushError
from hushfw.core.packing import Packing
from hushmeter.crypto import paillier
from hushmeter.errors import HushmeterError
from hushmeter.market import words
from hushmeter.market.members import public_of
from hushmeter.market.summation import Summed, Values, silent_reason
from hushmeter.market.terms import Terms

OWNER: bytes = device.UTILITY

_HEAD = ">BIQ"
_HEAD_BYTES = struct.calcsize(_HEAD)
_NONCE_BYTES: int = letters.NONCE_BYTES


@dataclass(frozen=True)
class _Round:
    """What a round's messages are bound to, and its members in their order."""

    interval: int
    turn: int
    context: bytes
    order: tuple[int, ...]


def checked_key(terms: Terms, data: bytes, insecure: bool = False) -> paillier.PublicKey:
    """The utility's key from its file, if it is well formed and made for these terms.

    Raises
    ------
    HushError
        ``bad_key``: too small, a factor below 2^16, or no proof, or one for another market.
    """
    return paillier.check(data, OWNER, terms.hash, insecure)


class RingMember:
    """One home: its transport key, and the utility's key that it has checked."""

    def __init__(self, terms: Terms, index: int, key: paillier.PublicKey) -> None:
        self._terms, self.index, self.key = terms, index, key
        # Its size was looked at when it was checked.
        self._device = device.PublicKey(key.n.to_bytes(key.size, "big"), insecure=True)
        self._secret = os.urandom(32)
        self.public = public_of(self._secret)
        self._nonces: dict[tuple[int, int], bytes] = {}
        self._blinds: list[int] = []

    def commit(self, interval: int, turn: int) -> bytes:
        """A hash of this member's part of the order's key; a round is begun once.

        Raises
        ------
        HushError
            It was begun before.
        """
        place = interval, turn
        if place in self._nonces:
            raise HushError("wrong_slot", f"round {turn} of interval {interval} was begun before")
        self._nonces[place] = os.urandom(_NONCE_BYTES)
        return commitment(self._terms, interval, turn, self.index, self._nonces[place])

    def reveal(self, interval: int, turn: int) -> bytes:
        """The part itself, after all have committed."""
        return self._nonces[interval, turn]

    def _shared(self, public: bytes) -> bytes:
        """The secret with a partner."""
        own = X25519PrivateKey.from_private_bytes(self._secret)
        return own.exchange(X25519PublicKey.from_public_bytes(public))

    def seal(self, now: _Round, to: int, public: bytes, ciphertexts: Sequence[bytes]) -> bytes:
        """A hop's message to the next member: a letter for each ciphertext."""
        secret = self._shared(public)
        sealed = [
            letters.seal(
                secret,
                os.urandom(letters.LETTER_NONCE_BYTES),
                self._about(now, (self.index, to), part),
                ciphertext,
            )
            for part, ciphertext in enumerate(ciphertexts)
        ]
        return struct.pack(_HEAD, now.turn, self.index + 1, now.interval) + b"".join(sealed)

    def opened(self, now: _Round, sender: int, public: bytes, message: bytes) -> list[bytes]:
        """The ciphertexts in a message of the member before, checked.

        Raises
        ------
        HushError
            The message is not authentic or not of this hop, or a ciphertext is outside the group.
        """
        head = struct.pack(_HEAD, now.turn, sender + 1, now.interval)
        if message[:_HEAD_BYTES] != head:
            raise HushError("wrong_slot", f"the hop is not the one of member {sender + 1}")
        secret, width = self._shared(public), letters.letter_bytes(self.key.size)
        found = []
        for part, at in enumerate(range(_HEAD_BYTES, len(message), width)):
            info = self._about(now, (sender, self.index), part)
            try:
                found.append(letters.opened(secret, info, message[at : at + width]))
            except HushError:
                raise HushError("bad_tag", f"the hop is not from member {sender + 1}") from None
        for ciphertext in found:
            device.check_ciphertext(self._device, ciphertext)
        return found

    def _about(self, now: _Round, hop: tuple[int, int], part: int) -> bytes:
        said = letters.told(now.order, now.context)
        info: bytes = letters.about(self._terms.hash, now.interval, now.turn, hop, part, said)
        return info

    def started(self, plains: Sequence[int]) -> list[bytes]:
        """The first member's ciphertexts: its values with a blind as wide as n."""
        n = self.key.n
        self._blinds = [secrets.randbelow(n) for _ in plains]
        pairs = zip(plains, self._blinds, strict=True)
        return [self.key.encrypt((plain + blind) % n) for plain, blind in pairs]

    def added(self, ciphertexts: Sequence[bytes], plains: Sequence[int]) -> list[bytes]:
        """The sum so far with this member's values in it, re-randomised."""
        if len(ciphertexts) != len(plains):
            raise HushError("bad_message", f"{len(ciphertexts)} ciphertexts, not {len(plains)}")
        pairs = zip(ciphertexts, plains, strict=True)
        return [
            device.add(self._device, ciphertext, self.key.encrypt(plain))
            for ciphertext, plain in pairs
        ]

    def finished(self, ciphertexts: Sequence[bytes]) -> list[bytes]:
        """The first member takes its blind out; then it goes to the utility."""
        out = self.added(ciphertexts, [-blind % self.key.n for blind in self._blinds])
        self._blinds = []
        return out


def commitment(terms: Terms, interval: int, turn: int, index: int, nonce: bytes) -> bytes:
    """What a member says before anybody reveals."""
    made: bytes = letters.commitment(terms.hash, interval, turn, index, nonce)
    return made


def ring_order(
    terms: Terms, interval: int, turn: int, commits: dict[int, bytes], reveals: dict[int, bytes]
) -> tuple[int, ...]:
    """The members in the order that all of them chose together.

    Raises
    ------
    HushError
        A member revealed something else than it committed to, or nothing.
    """
    members = sorted(commits)
    said = [commits[index] for index in members]
    shown = [reveals.get(index, b"") for index in members]
    return tuple(letters.order(terms.hash, interval, turn, members, said, shown))


class PaillierRing:
    """A street whose sums are made in a ring; members and utility in one process.

    Parameters
    ----------
    bits:
        Of the utility's key; 1024 only with `insecure`.
    key:
        The utility's key; made if None.
    """

    def __init__(
        self,
        terms: Terms,
        bits: int = 2048,
        key: paillier.PrivateKey | None = None,
        insecure: bool = False,
    ) -> None:
        self._terms = terms
        self._private = key or paillier.generate(bits, insecure)
        told = self._private.public(OWNER, terms.hash).to_bytes()
        # Each home checks it by itself; in one process once is enough.
        known = checked_key(terms, told, insecure)
        self.members = [RingMember(terms, index, known) for index in range(terms.members)]
        self._opened: dict[int, tuple[int, ...]] = {}
        self._turns: set[tuple[int, int]] = set()

    @property
    def terms(self) -> Terms:
        """The rules of its sums."""
        return self._terms

    def packings(self, lanes: int) -> list[Packing]:
        """How lanes go into plaintexts, as few as hold them."""
        most = max(self._terms.caps_wh) + self._terms.tail_wh
        room = self._private.n.bit_length() - 1
        return list(letters.packings(self._terms.members, most, lanes, room))

    def curves(
        self,
        interval: int,
        values: Values,
        silent: Collection[int] = (),
        mute: Collection[int] = (),
        prices: Sequence[int] = (),
    ) -> Summed:
        """The sum of curves; see :class:`hushmeter.market.summation.Backend`.

        Who is silent is not in the ring; who is mute breaks it.
        """
        if interval in self._opened:
            raise HushmeterError(f"interval {interval} was summed before; take the next one")
        self._opened[interval] = ()
        present = tuple(k for k in range(self._terms.members) if k not in silent)
        if len(silent) > self._terms.missing:
            return Summed(None, present, 0, silent_reason(silent, self._terms.missing))
        context = words.ask_hash(self._terms.hash, interval, prices)
        found = self._round(interval, words.CURVE_ROUND, values, present, context, mute)
        if found.totals is None:
            return found
        if not self._terms.in_window(found.totals):
            reason = "a total is outside what honest homes can reach"
            return Summed(None, present, found.bytes, reason)
        self._opened[interval] = present
        return found

    def counts(self, interval: int, turn: int, values: Values, context: bytes = b"") -> Summed:
        """A further sum; see :class:`hushmeter.market.summation.Backend`."""
        present = self._opened.get(interval)
        if not present or (interval, turn) in self._turns:
            raise HushmeterError(f"interval {interval} has no round {turn} to be summed")
        self._turns.add((interval, turn))
        return self._round(interval, turn, values, present, context, ())

    def _round(
        self, interval: int, turn: int, values: Values, present: tuple[int, ...], context: bytes,
        mute: Collection[int],
    ) -> Summed:  # fmt: skip
        commits = {k: self.members[k].commit(interval, turn) for k in present}
        reveals = {k: self.members[k].reveal(interval, turn) for k in present}
        # Each says both once, and hears both of all the others.
        sent = 2 * len(present) ** 2 * (_HEAD_BYTES + _NONCE_BYTES)
        packings = self.packings(len(values[0]))
        try:
            order = ring_order(self._terms, interval, turn, commits, reveals)
            now = _Round(interval, turn, context, order)
            final, passed = self._passed(now, packings, values, mute)
            totals = [
                total
                for packing, ciphertext in zip(packings, final, strict=True)
                for total in self._private.decrypt_lanes(ciphertext, packing)
            ]
        except HushError as error:
            return Summed(None, present, sent, f"the ring is broken: {error.message}")
        return Summed(totals, present, sent + passed)

    def _passed(
        self, now: _Round, packings: Sequence[Packing], values: Values, mute: Collection[int]
    ) -> tuple[list[bytes], int]:
        """What the utility gets when the ring has gone round, and the bytes of its messages."""
        first = self.members[now.order[0]]
        held = first.started(self._packed(packings, values[first.index]))
        sent = 0
        for before, after in zip(now.order, (*now.order[1:], now.order[0]), strict=True):
            if before in mute:
                raise HushError("refused", f"member {before + 1} did not pass it on")
            giver, taker = self.members[before], self.members[after]
            message = giver.seal(now, after, taker.public, held)
            sent += len(message)
            held = taker.opened(now, before, giver.public, message)
            if taker is first:
                held = first.finished(held)
            else:
                held = taker.added(held, self._packed(packings, values[after]))
        return held, sent + _HEAD_BYTES + sum(map(len, held))

    def _packed(self, packings: Sequence[Packing], row: Sequence[int]) -> list[int]:
        values = [int(value) for value in row]
        return list(letters.packed(packings, values, self._private.n))
