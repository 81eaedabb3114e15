"""Metrics of a run: guards, known answers, the published ordering, the books of the battery."""

import dataclasses
import json
import time

import numpy as np
import pytest

from hushmeter.battery.books import Units, energy_balance_error_ws
from hushmeter.battery.information import entropy_bits
from hushmeter.battery.metrics import Options, measure, quantise
from hushmeter.errors import HushmeterError
from tests.battery.battery_homes import DAY, run

STEPPING = ("ls1", "ls2", "rc")
KEPT = ("be:sat", "be:idle", "nill")


@pytest.fixture(scope="module")
def measured(home):
    """Metrics of each controller at 0.5 kWh, the first day left out."""
    options = Options(warm_up_s=86400, shuffles=3)
    found = {}
    for name in ("none", *KEPT, "lc", *STEPPING):
        draw, charge = run(name, home)
        found[name] = measure(home, draw, 60, options, 500 * 3600, charge)
    return found


def test_zero_is_the_middle_of_a_bin_and_ties_go_outwards():
    watts = np.array([-31, -30, -29, -10, -9, 0, 9, 10, 11, 29, 30])
    assert quantise(watts, 20).tolist() == [-2, -2, -1, -1, 0, 0, 0, 1, 1, 1, 2]
    assert quantise(np.array([-2, -1, 0, 1, 2]), 3).tolist() == [-1, 0, 0, 0, 1]
    assert quantise(watts, 1).tolist() == watts.tolist()


def test_without_a_battery_everything_is_given_away(measured, home):
    none = measured["none"]
    whole = entropy_bits(quantise(np.diff(home[DAY:]), 20))
    assert none.mi_bits == pytest.approx(whole, abs=1e-12)
    assert none.demand_entropy_bits == pytest.approx(whole, abs=1e-12)
    assert none.mi_relative == pytest.approx(1) and none.change_correlation == pytest.approx(1)
    assert none.reconstruction_r2 > 0.999  # Peaks above all that was known are cut.
    assert none.cycles_per_day == 0 and none.energy_balance_error_ws == 0


def test_a_constant_draw_gives_nothing_away(home):
    found = measure(home, np.full(home.size, 350), 60)
    for value in (found.mi_bits, found.mi_binary_bits, found.mi_markov_bits, found.mi_relative):
        assert value == pytest.approx(0, abs=1e-12)
    assert found.change_correlation == 0 and found.level_changes_per_day == 0
    assert abs(found.reconstruction_r2) < 0.01


def test_a_home_that_never_changes_has_nothing_to_give_away():
    found = measure(np.full(5000, 200), np.random.RandomState(1).randint(0, 900, 5000), 60)
    assert found.mi_bits == pytest.approx(0, abs=1e-12)
    assert found.mi_relative == found.reconstruction_r2 == found.demand_entropy_bits == 0


def test_stepping_leaks_less_than_keeping_the_draw(measured):
    """The ordering of Yang et al. 2012, Fig. 3, with intervals that do not touch."""
    for kept in KEPT:
        for stepping in STEPPING:
            assert measured[stepping].mi_ci_bits[1] < measured[kept].mi_ci_bits[0]
            assert measured[stepping].mi_markov_bits < measured[kept].mi_markov_bits
        assert measured[kept].mi_bits < 0.6 * measured["none"].mi_bits


def test_random_charging_hides_best_when_something_is_switched(measured):
    others = [measured[name].mi_binary_bits for name in (*KEPT, "lc", "ls1", "ls2")]
    assert measured["rc"].mi_binary_bits < 0.2 * min(others)
    assert measured["rc"].mi_markov_bits > measured["ls2"].mi_markov_bits


def test_lazy_stepping_changes_least_and_random_charging_most(measured):
    changes = {name: found.level_changes_per_day for name, found in measured.items()}
    assert max(changes["ls1"], changes["ls2"]) < min(changes[name] for name in KEPT)
    assert changes["rc"] > 5 * changes["ls2"] and changes["none"] > changes["rc"]


def test_baselines_are_small_and_intervals_hold_their_estimates(measured):
    for found in measured.values():
        for kind in ("mi", "mi_binary", "mi_markov"):
            low, high = getattr(found, kind + "_ci_bits")
            assert low <= getattr(found, kind + "_bits") <= high
            assert 0 <= getattr(found, kind + "_shuffled_bits") < 0.03
        assert found.warnings == ()


def test_smoothing_looks_private_and_is_not(home):
    """Less mutual information of changes than any other, and most of the load got back."""
    draw, _ = run("smooth", home, 6000, time_constant_s=1800)
    found = measure(home, draw, 60, Options(warm_up_s=86400))
    stepped, _ = run("ls2", home, 6000)
    assert found.mi_bits < 0.1
    assert found.reconstruction_r2 > 0.9 > measure(home, stepped, 60).reconstruction_r2


def test_the_books_of_the_meters_controllers_are_exact(measured):
    assert {found.energy_balance_error_ws for found in measured.values()} == {0}


def test_one_watt_second_that_is_lost_anywhere_is_found(home):
    draw, charge = run("ls2", home[:DAY])
    charge[700:] -= 1
    assert energy_balance_error_ws(home[:DAY], draw, charge, Units.ideal(60)) == 1
    with pytest.raises(HushmeterError, match="before the first step and after each"):
        energy_balance_error_ws(home[:DAY], draw, charge[1:], Units.ideal(60))


def test_a_full_cycle_is_the_usable_capacity_in_and_out():
    demand = np.full(DAY, 600)
    draw = np.concatenate([np.full(DAY // 2, 700), np.full(DAY // 2, 500)])
    found = measure(demand, draw, 60, usable_ws=1200 * 3600)
    assert found.cycles_per_day == pytest.approx(1)
    assert (found.peak_demand_w, found.peak_grid_w) == (600, 700)
    assert (found.demand_variance_w2, found.grid_variance_w2) == (0, 10000)


def test_the_warm_up_is_left_out_of_everything_but_the_books(home):
    draw, charge = run("ls2", home)
    found = measure(home, draw, 60, Options(warm_up_s=86400, shuffles=2), 500 * 3600, charge)
    later = measure(home[DAY:], draw[DAY:], 60, Options(shuffles=2), 500 * 3600)
    assert found.warm_up_samples == DAY and found.samples == home.size - DAY
    given = dataclasses.replace(later, warm_up_samples=DAY, energy_balance_error_ws=0)
    assert found == given


def test_results_become_json_under_their_own_names(measured):
    text = json.dumps(dataclasses.asdict(measured["ls2"]), allow_nan=False)
    keys = json.loads(text)
    for kind in ("mi", "mi_binary", "mi_markov"):
        for end in ("bits", "ci_bits", "shuffled_bits", "shuffled_sd_bits"):
            assert f"{kind}_{end}" in keys
    assert keys["bin_w"] == 20 and len(keys["mi_ci_bits"]) == 2


def test_too_small_a_sample_is_warned_of_with_its_singletons():
    random = np.random.RandomState(2)
    demand, draw = random.randint(0, 6000, (2, 4000))
    found = measure(demand, draw, 60)
    assert any("mi_markov_bits" in line and "met once" in line for line in found.warnings)
    assert any("2.8 days" in line for line in found.warnings)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"demand_w": np.zeros(500)}, "demand_w is float64"),
        ({"demand_w": np.zeros((2, 500), int)}, "of one home"),
        ({"grid_w": np.zeros(499, int)}, "500 samples of demand and 499"),
        ({"step_s": 0}, "step_s is 0"),
        ({"options": Options(warm_up_s=28000)}, "33 samples are left"),
        ({"options": Options(warm_up_s=90000)}, "0 samples are left"),
    ],
)
def test_what_cannot_be_measured_is_refused_with_the_reason(changed, message):
    arguments = {"demand_w": np.zeros(500, int), "grid_w": np.zeros(500, int), "step_s": 60}
    with pytest.raises(HushmeterError, match=message):
        measure(**(arguments | changed))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"bin_w": 0}, "bin_w is 0"), ({"shuffles": 1}, "shuffles is 1"), ({"warm_up_s": -1}, "-1")],
)
def test_options_that_cannot_be_are_refused_at_once(wrong, message):
    with pytest.raises(HushmeterError, match=message):
        Options(**wrong)


def test_a_year_of_minutes_is_measured_in_a_second(home):
    """About 1 s on one core; the bound is on processor time, for the sake of busy machines."""
    year = np.tile(home, 9)[: 365 * DAY] + np.random.RandomState(3).randint(0, 30, 365 * DAY)
    draw = (year + 250) // 500 * 500
    begins = time.process_time()
    measure(year, draw, 60)
    assert time.process_time() - begins < 6
