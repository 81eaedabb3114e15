"""Clearing and rationing, against brute force on small markets; what a home works out by itself."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hushmeter.errors import HushmeterError
from hushmeter.market import clearing
from hushmeter.market.curves import gather
from tests.market.market_kit import brute_force, lower_first, markets, rationed, rows_of


def monotone_rows(values, length):
    return [row for row in itertools.product(values, repeat=length) if list(row) == sorted(row)]


def test_every_pair_of_small_totals_clears_as_the_rules_say():
    prices = (10, 20, 30)
    rows = monotone_rows(range(5), 3)
    for rising, falling in itertools.product(rows, rows):
        demand, supply = {"1": list(falling[::-1])}, {"1": list(rising)}
        wanted = brute_force(prices, demand, supply)
        found = clearing.clear(prices, demand["1"], supply["1"])
        for name in ("price", "index", "traded_wh", "surplus", "scarcity"):
            assert getattr(found, name) == wanted[name], (demand, supply, name)


def test_every_small_ration_is_the_largest_remainder_with_ties_to_the_lower_id():
    for claims in itertools.product(range(5), repeat=4):
        for traded in range(sum(claims) + 1):
            wanted = rationed({str(k): claim for k, claim in enumerate(claims)}, traded)
            found = clearing.shares_wh(np.array(claims), traded)
            assert found.tolist() == list(wanted.values()), (claims, traded)


@given(markets())
def test_shares_and_totals_are_those_of_brute_force(market):
    prices, demand, supply = market
    wanted = brute_force(prices, demand, supply)
    curves = gather(prices, rows_of(demand, supply))
    assert list(curves.ids) == sorted(demand, key=lower_first)
    found = clearing.clear(prices, curves.demand.sum(0).tolist(), curves.supply.sum(0).tolist())
    assert list(found.demand) == wanted["demand"]
    assert list(found.supply) == wanted["supply"]
    assert (found.price, found.index) == (wanted["price"], wanted["index"])
    for side, claims in (("buy", curves.demand), ("sell", curves.supply)):
        shares = clearing.shares_wh(claims[:, found.at], found.traded_wh)
        assert dict(zip(curves.ids, shares.tolist(), strict=True)) == wanted[side]
        assert shares.sum() == found.traded_wh


def cut_of(claims, traded):
    """The public numbers, with honest counts of everybody's keys."""
    ration = clearing.Ration(sum(claims), traded, None, len(claims))
    parts = [clearing.floor_and_key(claim, rank, ration) for rank, claim in enumerate(claims)]
    rounds = []

    def counts(thresholds):
        rounds.append(len(thresholds))
        left_over = traded - sum(floor for floor, _ in parts)
        return left_over, [sum(key >= limit for _, key in parts) for limit in thresholds]

    cut = clearing.find_cut(ration.span, counts)
    return clearing.Ration(sum(claims), traded, cut, len(claims)), rounds


@given(st.lists(st.integers(0, 40), min_size=2, max_size=8), st.data())
def test_each_home_finds_its_own_share_from_public_numbers(claims, data):
    if sum(claims) == 0:
        claims[0] = 1
    traded = data.draw(st.integers(0, sum(claims) - 1))
    ration, _ = cut_of(claims, traded)
    alone = [clearing.share_wh(claim, rank, ration) for rank, claim in enumerate(claims)]
    assert alone == clearing.shares_wh(np.array(claims), traded).tolist()


@given(st.integers(2, 300), st.integers(1, 1 << 42))
def test_a_cut_is_found_in_few_rounds_even_where_all_remainders_tie(homes, claim):
    claims = [claim] * homes
    ration, rounds = cut_of(claims, homes * claim - 1)
    shares = [clearing.share_wh(claim, rank, ration) for rank in range(homes)]
    assert shares == [claim] * (homes - 1) + [claim - 1]
    assert len(rounds) <= 12
    assert max(rounds) <= clearing.THRESHOLDS


def test_counts_that_contradict_each_other_are_noticed():
    with pytest.raises(HushmeterError, match="contradict"):
        clearing.find_cut(1000, lambda thresholds: (1, [2] * len(thresholds)))


@given(st.lists(st.integers(0, 1 << 42), min_size=1, max_size=6), st.fractions(0, 1))
def test_shares_are_exact_beyond_64_bits(claims, part):
    traded = int(sum(claims) * part)
    wanted = rationed({str(k): claim for k, claim in enumerate(claims)}, traded)
    assert clearing.shares_wh(np.array(claims), traded).tolist() == list(wanted.values())


@pytest.mark.parametrize(
    ("demand", "supply", "words"),
    [
        ([3, 4], [1, 1], "total demand is not monotone at price 20"),
        ([4, 3], [2, 1], "total supply is not monotone at price 20"),
        ([4, -1], [1, 1], "total demand is negative"),
        ([4], [1, 1], "totals of 1 and 2 entries for 2 prices"),
    ],
)
def test_totals_that_are_no_curves_are_refused(demand, supply, words):
    with pytest.raises(HushmeterError, match=words):
        clearing.clear((10, 20), demand, supply)


@settings(max_examples=50)
@given(st.lists(st.integers(-100, 100), min_size=1, max_size=20), st.booleans())
def test_noisy_totals_become_curves_and_curves_stay_what_they_are(totals, rising):
    made = clearing.made_monotone(totals, rising)
    assert made == sorted(made, reverse=not rising)
    assert min(made) >= 0
    assert clearing.made_monotone(made, rising) == made
