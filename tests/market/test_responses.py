"""A home's settings: every response is monotone by construction, and worked examples come out."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hushmeter.errors import HushmeterError
from hushmeter.market.responses import parsed, read_responses

PRICES = st.integers(-1000, 1000)
CELSIUS = st.integers(-600, 1000).map(lambda tenths: tenths / 10)
WATTS = st.integers(0, 20_000)


@st.composite
def thermostats(draw):
    mode = draw(st.sampled_from(["heat", "cool"]))
    prices = sorted(draw(st.sets(PRICES, min_size=1, max_size=5)))
    setpoints = sorted(
        draw(st.lists(CELSIUS, min_size=len(prices), max_size=len(prices))),
        reverse=mode == "heat",
    )
    return {
        "name": "t",
        "mode": mode,
        "points": [
            {"price": price, "setpoint_c": setpoint}
            for price, setpoint in zip(prices, setpoints, strict=True)
        ],
        "indoor_c": draw(CELSIUS),
        "outdoor_c": draw(CELSIUS),
        "loss_w_per_k": draw(WATTS),
        "store_wh_per_k": draw(WATTS),
        "most_w": draw(WATTS),
    }


@st.composite
def batteries(draw):
    capacity = draw(WATTS)
    below, above = sorted(draw(st.sets(PRICES, min_size=2, max_size=2)))
    return {
        "name": "b",
        "capacity_wh": capacity,
        "stored_wh": draw(st.integers(0, capacity)),
        "reserve_wh": draw(st.integers(0, capacity)),
        "most_w": draw(WATTS),
        "buy_below": below,
        "sell_above": above,
        "efficiency_percent": draw(st.integers(1, 100)),
    }


HOMES = st.fixed_dictionaries(
    {
        "format": st.just(1),
        "name": st.just("home"),
        "interval_s": st.integers(1, 3600),
        "thermostat": st.lists(thermostats(), max_size=2),
        "switch": st.lists(
            st.fixed_dictionaries({"name": st.just("s"), "power_w": WATTS, "most_price": PRICES}),
            max_size=3,
        ),
        "must_run": st.lists(
            st.fixed_dictionaries({"name": st.just("m"), "power_w": WATTS}), max_size=2
        ),
        "battery": st.lists(batteries(), max_size=2),
        "solar": st.lists(
            st.fixed_dictionaries({"name": st.just("p"), "power_w": WATTS, "cost": PRICES}),
            max_size=2,
        ),
    }
)


@settings(max_examples=100)
@given(HOMES, st.sets(PRICES, min_size=1, max_size=12))
def test_every_home_has_monotone_curves(raw, prices):
    demand, supply = parsed(raw).curves(sorted(prices))
    assert demand == sorted(demand, reverse=True)
    assert supply == sorted(supply)
    assert min(demand + supply) >= 0


def home(**parts):
    return parsed({"format": 1, "name": "home", "interval_s": 900, **parts})


HEAT = {
    "name": "heat pump",
    "points": [{"price": 100, "setpoint_c": 21.0}, {"price": 300, "setpoint_c": 19.0}],
    "indoor_c": 20.0,
    "outdoor_c": 5.0,
    "loss_w_per_k": 40,
    "store_wh_per_k": 100,
    "most_w": 2000,
}


def test_a_thermostat_buys_what_its_set_point_takes():
    # 40 W/K * 16 K for a quarter of an hour, and 100 Wh/K for one kelvin more: 160 + 100.
    demand, _ = home(thermostat=[HEAT]).curves([50, 100, 200, 300, 400])
    assert demand == [260, 260, 150, 40, 40]


def test_a_thermostat_that_cools_buys_less_at_a_higher_set_point():
    cool = {
        **HEAT, "mode": "cool", "indoor_c": 26.0, "outdoor_c": 30.0,
        "points": [{"price": 100, "setpoint_c": 24.0}, {"price": 300, "setpoint_c": 27.0}],
    }  # fmt: skip
    demand, _ = home(thermostat=[cool]).curves([100, 300])
    assert demand == [60 + 200, 0]


def test_switches_must_run_battery_and_panels_add_up():
    made = home(
        switch=[{"name": "washer", "power_w": 2000, "most_price": 150}],
        must_run=[{"name": "fridge", "power_w": 100}],
        battery=[
            {"name": "b", "capacity_wh": 1000, "stored_wh": 910, "most_w": 2000, "buy_below": 60,
             "sell_above": 200, "reserve_wh": 500, "efficiency_percent": 90}
        ],
        solar=[{"name": "roof", "power_w": 800, "cost": 40}],
    )  # fmt: skip
    demand, supply = made.curves([30, 60, 61, 150, 151, 200])
    assert demand == [625, 625, 525, 525, 25, 25]
    assert supply == [0, 200, 200, 200, 200, 200 + 410]


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        (
            {"thermostat": [{**HEAT, "points": HEAT["points"][::-1]}]},
            "the prices of heat pump's points must ascend",
        ),
        ({"thermostat": [{**HEAT, "mode": "cool"}]}, "must not fall from price 100 to 300"),
        ({"switch": [{"name": "s", "power_w": -1, "most_price": 3}]}, "power_w"),
        ({"solar": [{"name": "s", "power_w": 1}]}, "cost"),
        ({"toaster": []}, "toaster"),
        (
            {"battery": [{"name": "b", "capacity_wh": 5, "stored_wh": 1, "most_w": 1,
                          "buy_below": 9, "sell_above": 9}]},
            "buy_below 9 must be below sell_above",
        ),
        (
            {"battery": [{"name": "b", "capacity_wh": 5, "stored_wh": 6, "most_w": 1,
                          "buy_below": 1, "sell_above": 9}]},
            "at most capacity_wh 5",
        ),
    ],
)  # fmt: skip
def test_wrong_settings_are_named(parts, words):
    with pytest.raises(HushmeterError, match=words):
        home(**parts)


def test_toml_and_json_files_say_the_same(tmp_path):
    toml, text = tmp_path / "home.toml", tmp_path / "home.json"
    toml.write_text(
        'format = 1\nname = "home"\n[[solar]]\nname = "roof"\npower_w = 800\ncost = 40\n'
    )
    raw = {"format": 1, "name": "home", "solar": [{"name": "roof", "power_w": 800, "cost": 40}]}
    text.write_text(json.dumps(raw))
    assert read_responses(toml) == read_responses(text)
    toml.write_text("format = ")
    with pytest.raises(HushmeterError, match="neither TOML nor JSON"):
        read_responses(toml)
