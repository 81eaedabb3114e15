"""An interval from curves to shares: masked sums against brute force, who is away, noise."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hushmeter.errors import HushmeterError
from hushmeter.market import session, transcript
from hushmeter.market.curves import gather
from hushmeter.market.summation import PlainStreet
from hushmeter.market.terms import Terms
from hushmeter.privacy.laws import mean_abs_noise
from tests.market.market_kit import brute_force, markets, rows_of


def run(market, rules=None, **more):
    prices, demand, supply = market
    rules = rules or session.Rules()
    curves = gather(prices, rows_of(demand, supply))
    backend = session.masked_backend(len(demand) - len(rules.public), len(prices), rules)
    return session.run(curves, backend, rules, **more)


@settings(max_examples=60, deadline=None)
@given(markets())
def test_a_masked_interval_is_what_brute_force_says(market):
    wanted, found = brute_force(*market), run(market)
    assert found.clearing is not None
    for name in ("price", "index", "traded_wh", "surplus", "scarcity"):
        assert getattr(found.clearing, name) == wanted[name]
    shares = found.allocations()
    for side in ("buy", "sell"):
        assert {who: share[f"{side}_wh"] for who, share in shares.items()} == wanted[side]
        assert sum(wanted[side].values()) == wanted["traded_wh"]
    assert found.imbalance_wh == 0


@settings(max_examples=40, deadline=None)
@given(markets(least=4), st.data())
def test_each_home_recomputes_its_share_from_the_transcript_alone(market, data):
    prices, demand, supply = market
    public = frozenset(data.draw(st.sets(st.sampled_from(sorted(demand)), max_size=2)))
    found = run(market, session.Rules(public=public))
    (record,) = transcript.verify(transcript.written([found.entry]))
    wanted = brute_force(*market)
    for who in demand:
        own = transcript.own_share(record, who, demand[who], supply[who])
        assert own == (wanted["buy"][who], wanted["sell"][who])


@settings(max_examples=40, deadline=None)
@given(markets(least=4), st.data())
def test_a_silent_home_leaves_the_market_of_the_others_as_it_would_be_without(market, data):
    prices, demand, supply = market
    away = data.draw(st.sampled_from(sorted(demand)))
    found = run(market, silent=[away])
    left = [{who: row for who, row in rows.items() if who != away} for rows in (demand, supply)]
    wanted = brute_force(prices, *left)
    assert found.clearing.price == wanted["price"]
    shares = found.allocations()
    assert shares.pop(away) == {"buy_wh": 0, "sell_wh": 0}
    assert {who: share["buy_wh"] for who, share in shares.items()} == wanted["buy"]
    assert {who: share["sell_wh"] for who, share in shares.items()} == wanted["sell"]


STREET = (
    [100, 150, 200],
    {"a": [9, 7, 4], "b": [5, 5, 5], "c": [8, 3, 0], "d": [2, 2, 2], "grid": [0, 0, 0]},
    {"a": [0, 0, 2], "b": [0, 0, 0], "c": [1, 4, 5], "d": [0, 0, 0], "grid": [0, 10, 50]},
)


def test_a_home_that_does_not_answer_makes_the_interval_void_and_nothing_is_shared():
    found = run(STREET, mute=["b"])
    assert found.clearing is None
    assert found.reason == "a home that reported did not answer"
    assert not found.buy_wh.any() and not found.sell_wh.any()
    (record,) = transcript.verify(transcript.written([found.entry]))
    assert isinstance(record, transcript.Void)


def test_public_curves_stay_outside_the_sum_and_do_not_count_as_homes():
    rules = session.Rules(public=frozenset({"grid"}))
    found = run(STREET, rules)
    assert found.entry["public"] == {"grid": {"demand": [0, 0, 0], "supply": [0, 10, 50]}}
    assert found.entry["sums"]["supply"] == [1, 4, 7]
    assert found.allocations() == run(STREET).allocations()
    few = frozenset({"grid", "a", "b", "c"})
    with pytest.raises(HushmeterError, match="1 home in the sum; at least 2"):
        run(STREET, session.Rules(public=few))


def test_an_interval_is_never_cleared_twice_with_different_members():
    prices, demand, supply = STREET
    curves = gather(prices, rows_of(demand, supply))
    rules = session.Rules()
    backend = session.masked_backend(5, 3, rules)
    session.run(curves, backend, rules, 1)
    with pytest.raises(HushmeterError, match="interval 1 was masked before"):
        session.run(curves, backend, rules, 1, silent=["a"])
    assert session.run(curves, backend, rules, 2, silent=["a"]).clearing is not None


def test_names_that_are_unknown_or_public_are_refused():
    with pytest.raises(HushmeterError, match="participant nobody is named"):
        run(STREET, silent=["nobody"])
    rules = session.Rules(public=frozenset({"grid"}))
    with pytest.raises(HushmeterError, match="participant grid publishes its curve"):
        run(STREET, rules, silent=["grid"])


def test_a_curve_above_the_caps_names_participant_and_price():
    with pytest.raises(HushmeterError, match="participant a, demand at price 100: 9 Wh is above"):
        run(STREET, session.Rules(caps_wh=(8, 50)))


def test_larger_streets_give_the_same_shares_as_sums_in_the_clear():
    rng = np.random.default_rng(5)
    names = [str(k) for k in range(60)]
    demand = {who: sorted(rng.integers(0, 900, 6).tolist(), reverse=True) for who in names}
    supply = {who: sorted(rng.integers(0, 500, 6).tolist()) for who in names}
    market = (list(range(6)), demand, supply)
    found, wanted = run(market, silent=["7"]), brute_force(
        market[0], *({k: v for k, v in rows.items() if k != "7"} for rows in (demand, supply))
    )  # fmt: skip
    shares = found.allocations()
    del shares["7"]
    assert {who: share["sell_wh"] for who, share in shares.items()} == wanted["sell"]
    assert {who: share["buy_wh"] for who, share in shares.items()} == wanted["buy"]


def noisy(seed):
    rules = session.Rules(
        public=frozenset({"grid"}), utility="grid", caps_wh=(10, 10), epsilon=Fraction(20)
    )
    return run(STREET, rules, source=session.SeededSource(seed))


def test_under_noise_curves_stay_curves_and_the_utility_takes_the_imbalance():
    imbalances = set()
    for seed in range(12):
        found = noisy(seed)
        assert found.clearing is not None
        assert int(found.buy_wh.sum()) == int(found.sell_wh.sum())
        transcript.verify(transcript.written([found.entry]))
        imbalances.add(found.imbalance_wh)
        assert found.entry["counts"] == []
    assert len(imbalances) > 1


def mean_noise(homes, shape_homes, intervals=40, prices=10):
    """Mean |noise| of totals in units of the law's own, and its standard error."""
    rules = Terms("test", shape_homes, 0, prices, 5, 5, Fraction(10))
    source = session.SeededSource(3)
    street = PlainStreet(replace(rules, members=homes))
    noise = []
    for interval in range(intervals):
        shares = [rules.share(source) for _ in range(homes)]
        noise += street.curves(interval, shares).totals
    size = np.abs(noise)
    wanted = mean_abs_noise(rules.scale_wh, Fraction(homes, rules.noise_shape))
    return size.mean() / wanted, size.std() / wanted / math.sqrt(size.size)


@pytest.mark.statistical
def test_the_noise_of_a_total_follows_its_law_and_a_missing_share_shows():
    """A test at 5 standard errors: false-alarm rate 6e-7. The control draws shares for half as
    many homes as there are, twice the noise that is right, and must be caught."""
    ratio, error = mean_noise(6, 6)
    assert abs(ratio - 1) < 5 * error
    rules = Terms("test", 6, 0, 10, 5, 5, Fraction(10))
    assert rules.scale_wh == 10
    twice, error = mean_noise(6, 3)
    right = mean_abs_noise(rules.scale_wh, Fraction(6, 5)) / mean_abs_noise(
        rules.scale_wh, Fraction(6, 2)
    )
    assert abs(twice - right) > 5 * error


def record():
    return json.loads(transcript.written([run(STREET).entry]))


def resealed(file):
    """As somebody writes it who makes a new digest."""
    file["sha256"] = transcript.digest(file["intervals"])
    return json.dumps(file).encode()


def test_a_transcript_cut_short_anywhere_is_refused():
    whole = transcript.written([run(STREET).entry, {"interval": 2, "void": "nobody came"}])
    assert len(transcript.verify(whole)) == 2
    for end in range(0, len(whole) - 2, 37):
        with pytest.raises(HushmeterError):
            transcript.verify(whole[:end])
    file = json.loads(whole)
    del file["intervals"][1]
    with pytest.raises(HushmeterError, match="has 1 intervals and says 2; it was cut short"):
        transcript.verify(json.dumps(file).encode())
    file["count"] = 1
    with pytest.raises(HushmeterError, match="digest is another"):
        transcript.verify(json.dumps(file).encode())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("price", 100), ("index", 0), ("index", None), ("traded_wh", 6), ("surplus", True),
        ("scarcity", True), ("demand", [24, 17, 12]), ("supply", [1, 14, 58]),
    ],
)  # fmt: skip
def test_a_transcript_that_says_what_does_not_follow_is_refused(name, value):
    file = record()
    assert file["intervals"][0][name] != value
    file["intervals"][0][name] = value
    with pytest.raises(HushmeterError, match=f"interval 1: says {name}"):
        transcript.verify(resealed(file))


def test_a_cut_that_no_count_proves_is_refused():
    prices, demand, supply = STREET
    file = json.loads(
        transcript.written([run((prices, demand, {**supply, "grid": [0, 20, 50]})).entry])
    )
    ration = file["intervals"][0]["rations"]["sell"]
    assert ration["cut"] is not None
    ration["cut"] = str(int(ration["cut"]) + 1)
    with pytest.raises(HushmeterError, match="follows from none of its counts"):
        transcript.verify(resealed(file))


@settings(max_examples=80)
@given(st.binary(max_size=3), st.integers(0, 10_000))
def test_a_changed_byte_never_passes_as_another_price(change, place):
    whole = transcript.written([ENTRY])
    place %= len(whole)
    changed = whole[:place] + change + whole[place + len(change) :]
    try:
        (found,) = transcript.verify(changed)
    except HushmeterError:
        return
    assert found.price == ENTRY["price"]


ENTRY = run(STREET).entry


def test_without_counts_everybody_has_the_floor_and_the_utility_takes_what_is_left():
    rules = session.Rules(public=frozenset({"grid"}), utility="grid", floors_only=True)
    prices, demand, supply = STREET
    market = (prices, demand, {**supply, "grid": [0, 20, 50]})
    found, exact = run(market, rules), run(market)
    assert found.entry["counts"] == [] and exact.entry["counts"] != []
    assert int(found.buy_wh.sum()) == int(found.sell_wh.sum()) == exact.clearing.traded_wh
    shares, wanted = found.allocations(), exact.allocations()
    for who in "abcd":
        assert 0 <= wanted[who]["sell_wh"] - shares[who]["sell_wh"] <= 1
    transcript.verify(transcript.written([found.entry]))
