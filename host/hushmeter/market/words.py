"""Masked words of the market: those of a street's slots, in a PRF domain of their own.

A curve has many lanes, two to an AES block. Block b of a mask is

    AES(key, version | domain 2 | use | round | interval | b)

with the keys of the street's slots: the domain keeps a market's word apart from every slot's. All
of it is the device's (:mod:`hushfw.core.market`); here it has types.

Rounds of an interval: 1 the curves, 2 the answers to S, from 3 on the counts of remainders. A count
comes after S is known, so E towards the others outside S masks it at once, without recovery key
or answer: it opens only if all of them give it, for the same S.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hushfw.core import market, masking, prfsum

DOMAIN_MARKET: int = masking.DOMAIN_MARKET
CURVE_ROUND: int = market.CURVE_ROUND
ANSWER_ROUND: int = market.ANSWER_ROUND
FIRST_COUNT_ROUND: int = market.FIRST_COUNT_ROUND
LAST_ROUND: int = market.LAST_ROUND

_A_BLOCK = 2
"""Lanes."""


def prf_input(use: int, turn: int, interval: int, block: int) -> bytes:
    """version, domain, use, round, interval, lane block: 16 bytes that occur once."""
    return bytes(masking.prf_input(use, turn, interval, block, DOMAIN_MARKET))


def inputs(use: int, turn: int, interval: int, lanes: int) -> bytes:
    """The inputs of all blocks of a word for each lane."""
    blocks = range(-(-lanes // _A_BLOCK))
    return b"".join(prf_input(use, turn, interval, block) for block in blocks)


def ask_hash(terms_hash: bytes, interval: int, prices: Sequence[int]) -> bytes:
    """What an interval's words are bound to, 32 bytes: the terms, and the grid that is asked for.

    Were one home asked for other prices than the rest, all others could be asked where they say
    nothing, and the sum would be that home's; then the E differ and the sum stays masked.
    """
    return bytes(market.ask_hash(terms_hash, interval, market.pack_prices(prices)))


def count_digest(ask: bytes, interval: int, silent: bytes, context: bytes) -> bytes:
    """What a count is bound to: the ask, S, and all that was said before it.

    Were homes told different totals or thresholds, one could be singled out; then their E differ
    and the sum stays masked.
    """
    return bytes(market.count_digest(ask, interval, silent, context))


def keystream(key: bytes, turn: int, interval: int, lanes: int) -> list[int]:
    """K: one word a lane, shared with the collector."""
    return list(market.keystream(key, turn, interval, lanes))


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
    total = market.mask_sum(use, turn, interval, lanes, first)
    for positive, keys in signed.items():
        total.add(b"".join(keys), 0, prfsum.KEY_BYTES, len(keys), positive)
    return list(total.words())


def add(*parts: Sequence[int]) -> list[int]:
    """Words of several parts, mod 2^64."""
    return list(market.added(parts))
