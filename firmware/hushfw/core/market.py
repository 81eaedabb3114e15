"""The market in whole numbers: what masked curves are bound to, and their words.

Words are those of a street's slots (`masking`) in a PRF domain of their own, so no word of a slot
ever serves an interval. A curve has a word for each price of the grid, demand before supply.

Rounds of an interval: 1 the curves; 2 the answers to S; from 3 on counts of remainders. The ask of
an interval is hashed into everything that E is bound to: had two homes been asked for different
grids, prices or terms, their E would differ and the sum would stay masked. A count comes after S is
known, so E towards the others outside S masks it at once, bound to all that was told before it.

What follows from the totals is in `market_shares`.
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
