"""One home's part in the market's masked sums, and the collector's.

Rounds and refusals are those of a street's slot: a home masks an interval once, answers the first S
of it and no other, never if it is in S itself, and when asked again sends what it sent before.
What else a home sums later in the interval (counts of remainders) is bound to the same S, once a
round. So an interval is never opened with two different groups. All is bound to the grid as well:
homes that were asked for different prices open nothing, where there is a second round.

    home.report(interval, values, prices) -> bytes  round 1, under the grid that it was asked for
    collector.announce(interval)  -> {home: bytes}  S, the homes that did not report
    home.answer(message)          -> bytes          round 2
    home.count(interval, turn, values) -> bytes     one round, under the S that was answered

Here a home keeps its journal in memory; on a board it is in flash before anything leaves.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hushfw import port
from hushfw.core import kdf, masking
from hushfw.core.errors import HushError
from hushfw.core.roster import SUPPLIER_ID
from hushmeter.market import words
from hushmeter.market.terms import Terms

_HEAD = ">BIQ"
_HEAD_BYTES = struct.calcsize(_HEAD)
REPORT, ANSWER, ANNOUNCE, COUNT = (
    b"market report",
    b"market answer",
    b"market silent",
    b"market count",
)


@dataclass(frozen=True, repr=False)
class HomeKeys:
    """Keys of one home: with each partner (index -> mask key, answer key), and the collector."""

    pairs: dict[int, tuple[bytes, bytes]]
    keystream: bytes
    tag_up: bytes
    tag_down: bytes


def body_bytes(lanes: int) -> int:
    """Length of a report, an answer or a count."""
    return _HEAD_BYTES + 8 * lanes + masking.TAG_BYTES


def announcement_bytes(members: int) -> int:
    """Length of the message that announces S."""
    return _HEAD_BYTES + (members + 7) // 8 + masking.TAG_BYTES


def public_of(private_key: bytes) -> bytes:
    """The X25519 public key, 32 bytes."""
    key = X25519PrivateKey.from_private_bytes(private_key)
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def _exchange(private_key: bytes, public_key: bytes) -> bytes:
    key = X25519PrivateKey.from_private_bytes(private_key)
    return key.exchange(X25519PublicKey.from_public_bytes(public_key))


def home_keys(
    terms: Terms, index: int, private_key: bytes, publics: Sequence[bytes], collector: bytes
) -> HomeKeys:
    """What member `index` derives from its key and the roster's; member ids count from 1."""
    extract = kdf.Hmac(terms.hash)
    own, pairs = public_of(private_key), {}
    for partner, public in enumerate(publics):
        if partner == index:
            continue
        secret = _exchange(private_key, public)
        low, high = sorted(((index + 1, own), (partner + 1, public)))
        record = masking.pair_record(extract, secret, low[0], high[0], low[1], high[1])
        pairs[partner] = record[: masking.KEY_BYTES], record[masking.KEY_BYTES :]
    secret = _exchange(private_key, collector)
    return HomeKeys(pairs, *_collector_keys(terms, secret, index, own, collector))


def _collector_keys(
    terms: Terms, secret: bytes, index: int, home: bytes, collector: bytes
) -> tuple[bytes, bytes, bytes]:
    prk = kdf.hkdf_extract(terms.hash, secret)
    both = (SUPPLIER_ID, index + 1, collector, home)
    return (
        masking.subkey(prk, b"keystream", *both),
        masking.subkey(prk, b"tag up", *both, 32),
        masking.subkey(prk, b"tag down", *both, 32),
    )


@dataclass
class _Interval:
    """A home's journal of one interval."""

    ask: bytes
    recovery: list[int]
    report: bytes
    silent: bytes | None = None
    answer: bytes | None = None
    barred: bool = False
    counts: dict[int, bytes] = field(default_factory=dict)


class Home:
    """One member. Values are words to add: Wh with the home's noise share in them, or counts."""

    def __init__(self, terms: Terms, index: int, keys: HomeKeys) -> None:
        self._terms = terms
        self._index = index
        self._keys = keys
        self._journal: dict[int, _Interval] = {}

    def report(self, interval: int, values: Sequence[int], prices: Sequence[int] = ()) -> bytes:
        """The masked curves of an interval, which is then masked for good."""
        if interval in self._journal:
            raise HushError("wrong_slot", f"interval {interval} was masked before")
        lanes = len(values)
        recovery = [0] * lanes
        if self._terms.missing:
            recovery = masking.unpack_words(port.entropy(8 * lanes))
        turn = words.CURVE_ROUND
        masked = words.add(
            values,
            words.keystream(self._keys.keystream, turn, interval, lanes),
            self._masks(masking.USE_DUMMY, turn, interval, lanes, range(self._terms.members)),
            recovery,
        )
        ask = words.ask_hash(self._terms.hash, interval, prices)
        body = self._signed(turn, interval, masked, REPORT, ask)
        self._journal[interval] = _Interval(ask, recovery, body)
        return body

    def _masks(
        self, use: int, turn: int, interval: int, lanes: int, partners: Sequence[int],
        digest: bytes | None = None,
    ) -> list[int]:  # fmt: skip
        of_answer = int(use == masking.USE_ANSWER)
        pairs = [
            (self._keys.pairs[partner][of_answer], partner < self._index)
            for partner in partners
            if partner != self._index
        ]
        first = None if digest is None else digest[: masking.KEY_BYTES]
        return words.mask_sum(use, turn, interval, lanes, pairs, first)

    def _signed(
        self, turn: int, interval: int, masked: Sequence[int], purpose: bytes, digest: bytes = b""
    ) -> bytes:
        packed: bytes = masking.pack_words(masked)
        who = self._index + 1
        tag = masking.tag(
            self._keys.tag_up, purpose, self._terms.hash, who, interval,
            bytes((turn,)) + digest + packed,
        )  # fmt: skip
        return struct.pack(_HEAD, turn, who, interval) + packed + bytes(tag)

    def answer(self, message: bytes) -> bytes:
        """The answer to a valid, first S of an interval; every refusal looks alike."""
        interval, silent, indexes = self._announced(message)
        kept = self._journal.get(interval)
        if kept is None:
            # From here on the interval cannot be reported any more.
            self._journal[interval] = _Interval(b"", [], b"", barred=True)
            raise HushError("refused", "nothing was reported")
        if self._index in indexes:
            kept.barred = True
        if kept.barred:
            raise HushError("refused", "declared silent")
        if kept.answer is not None:
            if kept.silent != silent:
                raise HushError("refused", "another S was answered in this interval")
            return kept.answer
        digest = masking.silent_digest(kept.ask, interval, silent)
        others = [k for k in range(self._terms.members) if k not in indexes]
        lanes, turn = len(kept.recovery), words.ANSWER_ROUND
        lifted = masking.lifted(
            self._masks(masking.USE_DUMMY, words.CURVE_ROUND, interval, lanes, sorted(indexes)),
            self._masks(masking.USE_ANSWER, turn, interval, lanes, others, digest),
            kept.recovery,
        )
        kept.silent = silent
        kept.answer = self._signed(turn, interval, lifted, ANSWER, digest)
        return kept.answer

    def _announced(self, message: bytes) -> tuple[int, bytes, set[int]]:
        if len(message) != announcement_bytes(self._terms.members):
            raise HushError("refused", "no announcement")
        turn, who, interval = struct.unpack(_HEAD, message[:_HEAD_BYTES])
        silent = message[_HEAD_BYTES : -masking.TAG_BYTES]
        wanted = masking.tag(
            self._keys.tag_down, ANNOUNCE, self._terms.hash, self._index + 1, interval, silent
        )
        indexes = masking.silent_indexes(silent, self._terms.members)
        own = (words.CURVE_ROUND, self._index + 1) == (turn, who)
        if not own or not masking.same_tag(message[-masking.TAG_BYTES :], wanted):
            raise HushError("refused", "the announcement is not for this home, or not authentic")
        if indexes is None or len(indexes) > self._terms.missing:
            raise HushError("refused", "S is no set of at most M members")
        return interval, silent, set(indexes)

    def count(self, interval: int, turn: int, values: Sequence[int], context: bytes = b"") -> bytes:
        """A later sum among those who answered; what was sent stays what is sent.

        `context` is all that this home was told of the interval before.
        """
        kept = self._journal.get(interval)
        is_open = (
            kept is not None
            and not kept.barred
            and (kept.answer is not None or not self._terms.missing)
        )
        if kept is None or not is_open or not words.FIRST_COUNT_ROUND <= turn <= words.LAST_ROUND:
            raise HushError("refused", "no sum of this home is open in this interval")
        if turn in kept.counts:
            return kept.counts[turn]
        silent = kept.silent or masking.silent_map(self._terms.members, [])
        digest = words.count_digest(kept.ask, interval, silent, context)
        absent = set(masking.silent_indexes(silent, self._terms.members))
        others = [k for k in range(self._terms.members) if k not in absent]
        lanes = len(values)
        masked = words.add(
            values,
            words.keystream(self._keys.keystream, turn, interval, lanes),
            self._masks(masking.USE_ANSWER, turn, interval, lanes, others, digest),
        )
        body = self._signed(turn, interval, masked, COUNT, digest)
        kept.counts[turn] = body
        return body


class Collector:
    """Who adds the words up; holds the keystreams and tag keys, and no pair's key."""

    def __init__(self, terms: Terms, private_key: bytes, publics: Sequence[bytes]) -> None:
        self._terms = terms
        self.public_key = public_of(private_key)
        self._keys = [
            HomeKeys(
                {},
                *_collector_keys(
                    terms, _exchange(private_key, public), index, public, self.public_key
                ),
            )
            for index, public in enumerate(publics)
        ]

    def words_of(
        self, body: bytes, purpose: bytes, turn: int, interval: int, lanes: int,
        digest: bytes = b"",
    ) -> tuple[int, list[int]]:  # fmt: skip
        """(member index, words) of an authentic message.

        Raises
        ------
        HushError
            It is of another round or interval, of no member, or not authentic.
        """
        if len(body) != body_bytes(lanes):
            raise HushError("bad_message", f"a message of this round has {lanes} words")
        said, who, at = struct.unpack(_HEAD, body[:_HEAD_BYTES])
        if (said, at) != (turn, interval):
            raise HushError("wrong_slot", f"round {turn} of interval {interval} is wanted")
        if not 1 <= who <= self._terms.members:
            raise HushError("unknown_meter", f"member {who} is not in the roster")
        packed = body[_HEAD_BYTES : -masking.TAG_BYTES]
        wanted = masking.tag(
            self._keys[who - 1].tag_up, purpose, self._terms.hash, who, interval,
            bytes((turn,)) + digest + packed,
        )  # fmt: skip
        if not masking.same_tag(body[-masking.TAG_BYTES :], wanted):
            raise HushError("bad_tag", f"the message is not from member {who}")
        return who - 1, masking.unpack_words(packed)

    def announcement(self, interval: int, silent: bytes, index: int) -> bytes:
        """S for one member."""
        head = struct.pack(_HEAD, words.CURVE_ROUND, index + 1, interval)
        tag = masking.tag(
            self._keys[index].tag_down, ANNOUNCE, self._terms.hash, index + 1, interval, silent
        )
        return head + silent + bytes(tag)

    def keystream(self, index: int, turn: int, interval: int, lanes: int) -> list[int]:
        """K of one member."""
        return words.keystream(self._keys[index].keystream, turn, interval, lanes)
