"""Masked sums of up to a thousand homes a street in one process, and of many streets.

The words are those of :class:`hushmeter.market.summation.MaskedStreet`, bit for bit. What costs is
a key schedule for each pair, so a pair's words are made once and go to its two ends with opposite
signs; all lanes of a key come from one call of the AES library. Messages are not built, for nobody
would read them; their bytes are counted.

Keys are dealt at random instead of agreed: in one process there is nobody to agree with.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

from hushfw.core import masking
from hushfw.core.roster import MAX_MEMBERS
from hushmeter.errors import HushmeterError
from hushmeter.market import members, words
from hushmeter.market.summation import Summed, Values, silent_reason
from hushmeter.market.terms import Terms

Words = NDArray[np.uint64]

_ECB = modes.ECB()
_SPARE_BYTES = 15
"""What the AES library wants free behind its output; it does not write there."""


@dataclass(frozen=True, repr=False)
class StreetKeys:
    """Keys of a street: of pairs uint8 (N, N, 16), of which [i, j] with j < i is used."""

    mask: NDArray[np.uint8]
    answer: NDArray[np.uint8]
    keystream: NDArray[np.uint8]


def dealt_keys(homes: int) -> StreetKeys:
    """Random keys."""
    size = masking.KEY_BYTES

    def drawn(*shape: int) -> NDArray[np.uint8]:
        count = int(np.prod(shape)) * size
        return np.frombuffer(os.urandom(count), np.uint8).reshape(*shape, size)

    return StreetKeys(drawn(homes, homes), drawn(homes, homes), drawn(homes))


class VectorStreet:
    """One street; the same words as a :class:`MaskedStreet` with the same keys."""

    def __init__(self, terms: Terms, keys: StreetKeys | None = None) -> None:
        self._terms = terms
        self._keys = keys or dealt_keys(terms.members)
        self._intervals: dict[int, tuple[bytes, bytes, NDArray[np.bool_]] | None] = {}
        self._turns: set[tuple[int, int]] = set()

    @property
    def terms(self) -> Terms:
        """The rules of its sums."""
        return self._terms

    def reports(self, interval: int, values: Words, recovery: Words) -> Words:
        """What each home sends first, shape (homes, lanes)."""
        everybody = np.ones(self._terms.members, bool)
        dummies = self._pair_words(
            masking.USE_DUMMY, words.CURVE_ROUND, interval, values.shape[1], everybody, everybody,
            self._keys.mask,
        )  # fmt: skip
        streams = self._streams(words.CURVE_ROUND, interval, values.shape[1])
        return values + streams + dummies + recovery

    def answers(
        self,
        interval: int,
        ask: bytes,
        silent: bytes,
        present: NDArray[np.bool_],
        recovery: Words,
    ) -> Words:
        """What each present home answers; rows of the others mean nothing."""
        lanes = recovery.shape[1]
        lifted = self._pair_words(
            masking.USE_DUMMY, words.CURVE_ROUND, interval, lanes, present, ~present,
            self._keys.mask,
        )  # fmt: skip
        digest = masking.silent_digest(ask, interval, silent)
        bound = self._bound(words.ANSWER_ROUND, interval, digest, present, lanes)
        return recovery + lifted + bound

    def _bound(
        self, turn: int, interval: int, digest: bytes, present: NDArray[np.bool_], lanes: int
    ) -> Words:
        """E among those present, with the digest in its keys."""
        keys = np.zeros_like(self._keys.answer)
        for index in range(1, self._terms.members):
            made = _encrypted(self._keys.answer[index, :index], digest[: masking.KEY_BYTES])
            keys[index, :index] = made.astype(">u8").view(np.uint8)
        return self._pair_words(masking.USE_ANSWER, turn, interval, lanes, present, present, keys)

    def _streams(self, turn: int, interval: int, lanes: int) -> Words:
        data = words.inputs(masking.USE_KEYSTREAM, turn, interval, lanes)
        out = np.empty((self._terms.members, lanes), np.uint64)
        for index, key in enumerate(self._keys.keystream):
            made = Cipher(algorithms.AES128(key.tobytes()), _ECB).encryptor().update(data)
            out[index] = np.frombuffer(made, ">u8")[:lanes]
        return out

    def _pair_words(
        self, use: int, turn: int, interval: int, lanes: int, of: NDArray[np.bool_],
        towards: NDArray[np.bool_], keys: NDArray[np.uint8],
    ) -> Words:  # fmt: skip
        """For each home of `of` the signed sum over its partners in `towards`."""
        data = words.inputs(use, turn, interval, lanes)
        out = np.zeros((self._terms.members, lanes), np.uint64)
        for index in range(1, self._terms.members):
            below = (of[:index] & towards[index]) | (towards[:index] & of[index])
            partners = np.flatnonzero(below)
            if not partners.size:
                continue
            made = _encrypted(keys[index, partners], data)[:, :lanes]
            # Unsigned sums wrap, which is the arithmetic mod 2^64 that masks need.
            if of[index]:
                out[index] += made[towards[partners]].sum(axis=0, dtype=np.uint64)
            if towards[index]:
                ours = of[partners]
                out[partners[ours]] -= made[ours]
        return out

    def curves(
        self,
        interval: int,
        values: Values,
        silent: Collection[int] = (),
        mute: Collection[int] = (),
        prices: Sequence[int] = (),
    ) -> Summed:
        """The sum of curves; see :class:`hushmeter.market.summation.Backend`."""
        if interval in self._intervals:
            raise HushmeterError(f"interval {interval} was masked before; take the next one")
        self._intervals[interval] = None
        terms = self._terms
        plain = np.asarray(values, np.int64).astype(np.uint64)
        present = np.ones(terms.members, bool)
        present[list(silent)] = False
        places = tuple(np.flatnonzero(present).tolist())
        sent = len(places) * members.body_bytes(plain.shape[1])
        if len(silent) > terms.missing:
            return Summed(None, places, sent, silent_reason(silent, terms.missing))
        recovery = np.zeros_like(plain)
        if terms.missing:
            recovery = np.frombuffer(os.urandom(plain.nbytes), np.uint64).reshape(plain.shape)
        reports = self.reports(interval, plain, recovery)
        silent_map = bytes(masking.silent_map(terms.members, sorted(silent)))
        ask = words.ask_hash(terms.hash, interval, prices)
        answers = np.zeros_like(plain)
        if terms.missing:
            answering = len(set(places) - set(mute))
            sent += len(places) * members.announcement_bytes(terms.members)
            sent += answering * members.body_bytes(plain.shape[1])
            if answering < len(places):
                return Summed(None, places, sent, "a home that reported did not answer")
            answers = self.answers(interval, ask, silent_map, present, recovery)
        streams = self._streams(words.CURVE_ROUND, interval, plain.shape[1])
        totals = _signed((reports - answers - streams)[present])
        if not terms.in_window(totals):
            return Summed(None, places, sent, "a total is outside what honest homes can reach")
        self._intervals[interval] = ask, silent_map, present
        return Summed(totals, places, sent)

    def counts(self, interval: int, turn: int, values: Values, context: bytes = b"") -> Summed:
        """A further sum; see :class:`hushmeter.market.summation.Backend`."""
        opened = self._intervals.get(interval)
        if opened is None or (interval, turn) in self._turns:
            raise HushmeterError(f"interval {interval} has no round {turn} to be summed")
        self._turns.add((interval, turn))
        ask, silent, present = opened
        plain = np.asarray(values, np.int64).astype(np.uint64)
        digest = words.count_digest(ask, interval, silent, context)
        masked = self.count_words(interval, turn, plain, digest, present)
        totals = _signed((masked - self._streams(turn, interval, plain.shape[1]))[present])
        places = tuple(np.flatnonzero(present).tolist())
        return Summed(totals, places, len(places) * members.body_bytes(plain.shape[1]))

    def count_words(
        self, interval: int, turn: int, values: Words, digest: bytes, present: NDArray[np.bool_]
    ) -> Words:
        """What each present home sends in a later round."""
        lanes = values.shape[1]
        streams = self._streams(turn, interval, lanes)
        return values + streams + self._bound(turn, interval, digest, present, lanes)


class VectorStreets:
    """More homes than a street holds: streets of equal size, whose totals are then added.

    The collector learns each street's total. At most M silent homes are borne in each street.
    """

    def __init__(self, streets: Sequence[VectorStreet], terms: Terms) -> None:
        self._streets = list(streets)
        self._terms = terms
        sizes = [street.terms.members for street in streets]
        self._starts = np.cumsum([0, *sizes]).tolist()

    @property
    def terms(self) -> Terms:
        """The rules of the smallest street: shares of noise for it are enough for all."""
        return self._terms

    def _parts(self) -> Iterator[tuple[VectorStreet, int, int]]:
        yield from zip(self._streets, self._starts, self._starts[1:], strict=False)

    def curves(
        self,
        interval: int,
        values: Values,
        silent: Collection[int] = (),
        mute: Collection[int] = (),
        prices: Sequence[int] = (),
    ) -> Summed:
        """The sum of curves; void if it is in one street."""
        found = []
        for street, first, end in self._parts():
            away, unanswering = (
                [k - first for k in who if first <= k < end] for who in (silent, mute)
            )
            found.append(street.curves(interval, values[first:end], away, unanswering, prices))
        return self._together(found)

    def counts(self, interval: int, turn: int, values: Values, context: bytes = b"") -> Summed:
        """A further sum."""
        return self._together(
            [
                street.counts(interval, turn, values[first:end], context)
                for street, first, end in self._parts()
            ]
        )

    def _together(self, found: Sequence[Summed]) -> Summed:
        present = tuple(
            start + k for start, one in zip(self._starts, found, strict=False) for k in one.present
        )
        sent = sum(one.bytes for one in found)
        sums = [one.totals for one in found if one.totals is not None]
        if len(sums) < len(found):
            reason = next(one.reason for one in found if one.totals is None)
            return Summed(None, present, sent, reason)
        return Summed([sum(lane) for lane in zip(*sums, strict=True)], present, sent)


def street_sizes(homes: int) -> list[int]:
    """Homes of each street, as equal as can be, none above the most that a street holds."""
    streets = -(-homes // MAX_MEMBERS)
    return [homes // streets + (k < homes % streets) for k in range(streets)]


def _encrypted(keys: NDArray[np.uint8], data: bytes) -> Words:
    """AES of the data under each key, shape (keys, words)."""
    count, size = len(keys), len(data)
    scratch = bytearray(count * size + _SPARE_BYTES)
    whole = memoryview(scratch)
    secrets = keys.tobytes()
    for place in range(count):
        key = secrets[place * masking.KEY_BYTES : (place + 1) * masking.KEY_BYTES]
        at = place * size
        encryptor = Cipher(algorithms.AES128(key), _ECB).encryptor()
        encryptor.update_into(data, whole[at : at + size + _SPARE_BYTES])
    made: Words = np.frombuffer(scratch, ">u8", count * size // 8).reshape(count, -1)
    return made.astype(np.uint64)


def _signed(masked: Words) -> list[int]:
    """The sum of rows, mod 2^64, read as a signed window."""
    return [masking.signed(int(word)) for word in masked.sum(axis=0, dtype=np.uint64)]
