"""The market in whole numbers: what masked curves are bound to, the price, and a home's share.

Words are those of a street's slots (`masking`) in a PRF domain of their own, so no word of a slot
ever serves an interval. A curve has a word for each price of the grid, demand before supply.

Rounds of an interval: 1 the curves; 2 the answers to S; from 3 on counts of remainders. The ask of
an interval is hashed into everything that E is bound to: had two homes been asked for different
grids, prices or terms, their E would differ and the sum would stay masked. A count comes after S is
known, so E towards the others outside S masks it at once, bound to all that was told before it.

The price is the first of the grid at which supply is at least demand. What is traded, q, is the
smaller total there; of claims w that sum to T > q a home gets floor(q w / T), and one Wh more where
its key (q w mod T) * N + (N - 1 - rank) reaches a public cut.
"""

import struct

from hushfw import port
from hushfw.core import masking, prfsum
from hushfw.core.errors import HushError

CURVE_ROUND, ANSWER_ROUND, FIRST_COUNT_ROUND, LAST_ROUND = 1, 2, 3, 255

# C comes from a seed that is journalled and dropped with its interval, not from 8 bytes a lane.
USE_RECOVERY = 5

ASK, REPORT = b"market ask", b"market report"
ANNOUNCE, ANSWER = b"market silent", b"market answer"
TOTALS, COUNT = b"market totals", b"market count"

DEMAND_SIDE, SUPPLY_SIDE = 0, 1

MOST_PRICES = 48
MOST_PRICE = 1 << 32
MOST_WH = 1 << 42
MOST_PARTICIPANTS = 1 << 20
# A participant's key is below total * participants.
MOST_TOTAL = 1 << 62
THRESHOLDS = 63
THRESHOLD_BYTES = 11
# What stands for a cut where there is none: no key reaches it.
NO_CUT = (1 << 8 * THRESHOLD_BYTES) - 1


def terms_hash(roster_hash, interval_s, caps_wh, epsilon):
    """What a street's market is: its roster and the terms that all its homes must have alike."""
    num, den = epsilon or (0, 0)
    terms = struct.pack(">IQQII", interval_s, caps_wh[0], caps_wh[1], num, den)
    return port.sha256(b"hush1 market terms" + roster_hash + terms)


def ask_hash(terms, interval, prices):
    """What the words of an interval are bound to; prices as they were asked, packed."""
    return port.sha256(b"hush1 market ask" + terms + struct.pack(">Q", interval) + prices)


def count_digest(bound, interval, silent, context):
    """What a count is bound to: S, and all that was said before it."""
    digest = masking.silent_digest(bound, interval, silent)
    return port.sha256(b"hush1 market count" + digest + port.sha256(context))


def pack_prices(prices):
    return struct.pack(">%dq" % len(prices), *prices)


def unpack_prices(data):
    """The ascending grid in an ask, or a refusal."""
    count = len(data) // 8
    if len(data) % 8 or not 1 <= count <= MOST_PRICES:
        raise HushError("bad_message", "a grid has 1 to %d prices" % MOST_PRICES)
    prices = struct.unpack(">%dq" % count, data)
    for i in range(count):
        if not -MOST_PRICE < prices[i] < MOST_PRICE:
            raise HushError("bad_message", "a price is between -2^32 and 2^32")
        if i and prices[i] <= prices[i - 1]:
            raise HushError("bad_message", "the prices of a grid must ascend")
    return prices


def check_monotone(name, amounts, rising, most):
    """Refuses amounts that are no curve: negative, too large, or turning."""
    for i in range(len(amounts)):
        if not 0 <= amounts[i] <= most:
            raise HushError("overflow", "%s is out of its range at price %d" % (name, i))
        change = amounts[i] - amounts[i - 1] if i else 0
        if change < 0 if rising else change > 0:
            raise HushError("bad_message", "%s is not monotone at price %d" % (name, i))


def pack_totals(totals):
    return struct.pack(">%dQ" % len(totals), *totals)


def unpack_totals(data, count, name, rising):
    if len(data) != 8 * count:
        raise HushError("bad_message", "%s has another grid" % name)
    totals = struct.unpack(">%dQ" % count, data)
    check_monotone(name, totals, rising, MOST_TOTAL)
    return totals


def noise_scale(prices, caps_wh, epsilon):
    """lambda in Wh as a fraction: a home can move each of its lanes by that lane's cap."""
    num, den = epsilon
    return prices * (caps_wh[0] + caps_wh[1]) * den, num


def tail_wh(members, shape, num, den):
    """Noise beyond this is out of the window; see `roster.Roster.tail_wh`."""
    return -(-(40 + 4 * -(-members // shape)) * num // den)


def check_window(members, caps_wh, tail):
    if members * max(caps_wh) + tail >= 1 << 63:
        raise HushError("out_of_window", "N * cap plus the noise's tail must stay below 2^63")


def mask_sum(use, turn, interval, lanes, digest=None):
    """An empty sum of D, or of E where there is a digest to bind it to."""
    data = masking.prf_input(use, turn, interval, 0, masking.DOMAIN_MARKET)
    return prfsum.Sum(lanes, data, digest and digest[: masking.KEY_BYTES])


def keystream(key, turn, interval, lanes):
    """K: one word a lane, shared with the supplier."""
    return masking.pads(key, masking.USE_KEYSTREAM, turn, interval, lanes, masking.DOMAIN_MARKET)


def recovery(seed, interval, lanes):
    """C: one word a lane, from a seed that serves this interval alone."""
    return masking.pads(seed, USE_RECOVERY, CURVE_ROUND, interval, lanes, masking.DOMAIN_MARKET)


def added(parts):
    """Words of several parts, mod 2^64."""
    return [sum(lane) & masking.MASK for lane in zip(*parts)]


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
