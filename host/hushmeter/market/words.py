"""Masked words of the market: those of a street's slots, in a PRF domain of their own.

A curve has many lanes, two to an AES block. Block b of a mask is

    AES(key, version | domain 2 | use | round | interval | b)

with the keys of the street's slots: the domain keeps a market's word apart from every slot's. Keys,
uses, sums and tags are the device's (:mod:`hushfw.core.masking`); only the domain is added here.

Rounds of an interval: 1 the curves, 2 the answers to S, from 3 on the counts of remainders. A count
comes after S is known, so E towards the others outside S masks it at once, without recovery key
or answer: it opens only if all of them give it, for the same S.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

from hushfw import port
from hushfw.core import masking, prfsum

DOMAIN_MARKET = 2
CURVE_ROUND, ANSWER_ROUND, FIRST_COUNT_ROUND = 1, 2, 3
LAST_ROUND = 255

_A_BLOCK = 2
"""Lanes."""


def prf_input(use: int, turn: int, interval: int, block: int) -> bytes:
    """version, domain, use, round, interval, lane block: 16 bytes that occur once."""
    return struct.pack(">BBBBQI", masking.PRF_VERSION, DOMAIN_MARKET, use, turn, interval, block)


def inputs(use: int, turn: int, interval: int, lanes: int) -> bytes:
    """The inputs of all blocks of a word for each lane."""
    blocks = range(-(-lanes // _A_BLOCK))
    return b"".join(prf_input(use, turn, interval, block) for block in blocks)


def count_digest(terms_hash: bytes, interval: int, silent: bytes, context: bytes) -> bytes:
    """What a count is bound to: S, and all that was said before it.

    Were homes told different totals or thresholds, one could be singled out; then their E differ
    and the sum stays masked.
    """
    bound: bytes = masking.silent_digest(terms_hash, interval, silent)
    return bytes(port.sha256(b"hush1 market count" + bound + port.sha256(context)))


def keystream(key: bytes, turn: int, interval: int, lanes: int) -> list[int]:
    """K: one word a lane, shared with the collector."""
    data = inputs(masking.USE_KEYSTREAM, turn, interval, lanes)
    return list(masking.unpack_words(port.aes(key).encrypt(data))[:lanes])


def mask_sum(
    use: int,
    turn: int,
    interval: int,
    lanes: int,
    pairs: Iterable[tuple[bytes, bool]],
    first: bytes | None = None,
) -> list[int]:
    """The sum of D or E over partners, a signed integer a lane.

    Parameters
    ----------
    pairs:
        Key with each partner, and whether its word is added (own index above the partner's).
    first:
        What binds E to S; see :class:`hushfw.core.prfsum.PureSum`.
    """
    signed: dict[bool, list[bytes]] = {True: [], False: []}
    for key, positive in pairs:
        signed[positive].append(key)
    size = prfsum.KEY_BYTES
    words: list[int] = []
    for block in range(-(-lanes // _A_BLOCK)):
        here = min(_A_BLOCK, lanes - _A_BLOCK * block)
        total = prfsum.Sum(here, prf_input(use, turn, interval, block), first)
        for positive, keys in signed.items():
            total.add(b"".join(keys), 0, size, len(keys), positive)
        words += total.words()
    return words


def add(*parts: Sequence[int]) -> list[int]:
    """Words of several parts, mod 2^64."""
    return [sum(lane) & masking.MASK for lane in zip(*parts, strict=True)]
