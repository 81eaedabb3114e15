"""The market's numbers on this interpreter: curves of settings, the price, shares, and words."""

from hushfw_checks import expect, refuses, run

from hushfw import port
from hushfw.core import market, market_responses, market_shares, masking, prfsum

HOME = {
    "format": 1,
    "interval_s": 900,
    "thermostat": [
        {
            "mode": "heat",
            "points": [[100, 21000], [300, 19000]],
            "indoor_mc": 20000,
            "outdoor_mc": 5000,
            "loss_w_per_k": 40,
            "store_wh_per_k": 100,
            "most_w": 2000,
        },
        {
            "mode": "cool",
            "points": [[-50, 24000], [4000000000, 27000]],
            "indoor_mc": 26000,
            "outdoor_mc": 30017,
            "loss_w_per_k": 41,
            "store_wh_per_k": 103,
            "most_w": 1999,
        },
    ],
    "switch": [{"power_w": 2000, "most_price": 150}],
    "must_run": [{"power_w": 101}],
    "battery": [
        {
            "capacity_wh": 1000,
            "stored_wh": 910,
            "reserve_wh": 500,
            "most_w": 2000,
            "buy_below": 60,
            "sell_above": 200,
            "efficiency_percent": 90,
        }
    ],
    "solar": [{"power_w": 800, "cost": 40}],
}
# Amounts by another computation, in fractions.
PRICES = (-100, 30, 60, 61, 100, 150, 151, 200, 299, 300, 3000000000, 4294967295)
DEMAND = (1152, 1152, 1152, 1052, 1052, 997, 496, 442, 334, 332, 78, 65)
SUPPLY = (0, 0, 200, 200, 200, 200, 200, 610, 610, 610, 610, 610)


def changed(kind, **fields):
    home = dict(HOME)
    part = dict(home[kind][0])
    part.update(fields)
    home[kind] = [part]
    return home


def check_curves_of_settings_are_the_recorded_ones():
    demand, supply = market_responses.curves(market_responses.checked(HOME), PRICES)
    expect(tuple(demand), DEMAND, "demand")
    expect(tuple(supply), SUPPLY, "supply")
    market.check_monotone("demand", demand, False, market.MOST_WH)
    market.check_monotone("supply", supply, True, market.MOST_WH)


def check_settings_that_would_not_be_monotone_are_refused():
    for home in (
        changed("thermostat", points=[[100, 19000], [300, 19001]]),
        changed("thermostat", points=[[100, 19000], [100, 19000]]),
        changed("thermostat", points=[]),
        changed("thermostat", mode="dry"),
        changed("battery", buy_below=200),
        changed("battery", stored_wh=1001),
        changed("switch", power_w=-1),
        changed("switch", power_w=True),
        changed("switch", name="washer"),
        changed("solar", cost=1 << 32),
    ):
        refuses("bad_config", market_responses.checked, home)


def check_the_price_is_the_first_with_enough_supply():
    for demand, supply, wanted in (
        ((5, 4, 3), (0, 4, 9), (1, False)),
        ((5, 4, 3), (5, 5, 5), (0, False)),
        ((5, 4, 3), (0, 1, 2), (2, True)),
        ((0,), (0,), (0, False)),
        ((1,), (0,), (0, True)),
        ((9, 9, 9, 9), (8, 8, 8, 9), (3, False)),
    ):
        expect(market_shares.crossing(demand, supply), wanted, (demand, supply))


def check_shares_add_up_to_what_is_traded():
    claims = (7, 0, 3, 5, 5)
    total = sum(claims)
    for traded in range(total):
        numbers = (total, traded, len(claims))
        parts = [
            market_shares.floor_and_key(claims[rank], rank, *numbers) for rank in range(len(claims))
        ]
        left = traded - sum([part[0] for part in parts])
        keys = sorted([part[1] for part in parts], reverse=True)
        cut = keys[left - 1] if left else total * len(claims)
        shares = [
            market_shares.share_wh(claims[rank], rank, *numbers, cut) for rank in range(len(claims))
        ]
        expect(sum(shares), traded, traded)
    expect(market_shares.share_wh(7, 0, total, total, 5, None), 7)
    expect(market_shares.floor_and_key(7, 0, 0, 0, 5), (0, 0))
    # Beyond 64 bits: claims of 2^42 of a total of 2^62.
    expect(market_shares.floor_and_key(1 << 42, 3, (1 << 62) - 1, 1 << 61, 1 << 20)[0], 1 << 41)


def check_words_are_blocks_of_the_markets_domain():
    key, lanes = bytes(range(16)), 7
    for turn, use in ((1, masking.USE_DUMMY), (2, masking.USE_ANSWER)):
        sums = market.mask_sum(use, turn, 77, lanes)
        sums.add(key, 0, 16, 1, True)
        wanted = []
        for block in range(4):
            head = bytes((1, 2, use, turn)) + (77).to_bytes(8, "big") + block.to_bytes(4, "big")
            out = port.aes(key).encrypt(head)
            wanted += [int.from_bytes(out[:8], "big"), int.from_bytes(out[8:], "big")]
        expect(sums.words(), wanted[:lanes], use)
    expect(market.keystream(key, 3, 77, 2), masking.pads(key, 4, 3, 77, 2, 2))
    if market.keystream(key, 1, 77, 2) == masking.pads(key, 4, 1, 77, 2):
        raise ValueError("a slot's word serves an interval")


def check_the_sums_of_a_pair_cancel():
    key, lanes = port.sha256(b"pair")[:16], 48
    ends = []
    for positive in (True, False):
        sums = prfsum.Sum(lanes, masking.prf_input(2, 1, 5, 0, masking.DOMAIN_MARKET))
        sums.add(key, 0, 16, 1, positive)
        ends.append(sums.words())
    expect(market.added(ends), [0] * lanes)


def check_grids_and_thresholds_that_are_none_are_refused():
    good = market.pack_prices((-5, 0, 4294967295))
    expect(market.unpack_prices(good), (-5, 0, 4294967295))
    for prices in ((), (3, 3), (4, 3), (1 << 32,), tuple(range(49))):
        refuses("bad_message", market.unpack_prices, market.pack_prices(prices))
    refuses("bad_message", market.unpack_prices, good[:-1])
    limits = [1, 1 << 81, (1 << 88) - 1]
    expect(market_shares.unpack_thresholds(market_shares.pack_thresholds(limits)), limits)
    for wrong in ([], [2, 2], [3, 2], list(range(64))):
        refuses(
            "bad_message", market_shares.unpack_thresholds, market_shares.pack_thresholds(wrong)
        )
    expect(
        market_shares.unpack_cuts(market_shares.pack_cuts(1 << 81, None)),
        (1 << 81, market_shares.NO_CUT),
    )
    refuses("bad_message", market_shares.unpack_cuts, bytes(market_shares.THRESHOLD_BYTES))


def check_totals_that_could_wrap_are_refused():
    market.check_window(1000, (market.MOST_WH, 5), 0)
    refuses("out_of_window", market.check_window, 1000, (1 << 54, 5), 0)
    num, den = market.noise_scale(24, (5000, 3000), (1, 2))
    expect((num, den), (24 * 8000 * 2, 1))
    expect(market.tail_wh(12, 10, num, den), 48 * num)


run(globals())
