"""What follows from the totals of a market: the price, and what a home may buy and sell.

The price is the first of the grid at which supply is at least demand. What is traded, q, is the
smaller total there; of claims w that sum to T > q a home gets floor(q w / T), and one Wh more where
its key (q w mod T) * N + (N - 1 - rank) reaches a public cut.
"""

import struct

from hushfw.core.errors import HushError
from hushfw.core.market import check_monotone

MOST_PARTICIPANTS = 1 << 20
# A participant's key is below total * participants.
MOST_TOTAL = 1 << 62
THRESHOLDS = 63
THRESHOLD_BYTES = 11
# What stands for a cut where there is none: no key reaches it.
NO_CUT = (1 << 8 * THRESHOLD_BYTES) - 1


def pack_totals(totals):
    return struct.pack(">%dQ" % len(totals), *totals)


def unpack_totals(data, count, name, rising):
    if len(data) != 8 * count:
        raise HushError("bad_message", "%s has another grid" % name)
    totals = struct.unpack(">%dQ" % count, data)
    check_monotone(name, totals, rising, MOST_TOTAL)
    return totals


def crossing(demand, supply):
    """(place of the price, whether the market is short there) by binary search."""
    low, high = 0, len(demand)
    while low < high:
        middle = (low + high) // 2
        if supply[middle] >= demand[middle]:
            high = middle
        else:
            low = middle + 1
    return (low - 1, True) if low == len(demand) else (low, False)


def floor_and_key(claim_wh, rank, total_wh, traded_wh, participants):
    """The whole Wh that are certain, and what orders the rest."""
    if total_wh == 0:
        return 0, 0
    product = traded_wh * claim_wh
    floor_wh = product // total_wh
    rest = product - floor_wh * total_wh
    # Under noise the totals may be below the sum of claims, and then even below one of them.
    return min(floor_wh, claim_wh), rest * participants + participants - 1 - rank


def share_wh(claim_wh, rank, total_wh, traded_wh, participants, cut):
    """What one participant gets; without a cut the floor."""
    if traded_wh == total_wh:
        return claim_wh
    floor_wh, key = floor_and_key(claim_wh, rank, total_wh, traded_wh, participants)
    return floor_wh + (cut is not None and key >= cut)


def pack_thresholds(thresholds):
    return b"".join([limit.to_bytes(THRESHOLD_BYTES, "big") for limit in thresholds])


def unpack_thresholds(data):
    """Ascending thresholds of a count, or a refusal."""
    size = THRESHOLD_BYTES
    if len(data) % size or not size <= len(data) <= size * THRESHOLDS:
        raise HushError("bad_message", "a count has 1 to %d thresholds" % THRESHOLDS)
    limits = [int.from_bytes(data[at : at + size], "big") for at in range(0, len(data), size)]
    for i in range(1, len(limits)):
        if limits[i] <= limits[i - 1]:
            raise HushError("bad_message", "thresholds must ascend")
    return limits


def pack_cuts(buy, sell):
    """Both cuts; None where a side has none."""
    return pack_thresholds([NO_CUT if cut is None else cut for cut in (buy, sell)])


def unpack_cuts(data):
    size = THRESHOLD_BYTES
    if len(data) != 2 * size:
        raise HushError("bad_message", "two cuts have %d bytes" % (2 * size))
    return int.from_bytes(data[:size], "big"), int.from_bytes(data[size:], "big")
