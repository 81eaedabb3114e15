"""Appliances are found where they show, and a claim that knows nothing earns nothing."""

import numpy as np
import pytest

from hushmeter.battery.appliances import (
    Run,
    Signature,
    chance_f1,
    claim_runs,
    find_edges,
    score_runs,
    signatures_from,
)
from hushmeter.errors import HushmeterError
from tests.battery.battery_homes import home as make_home
from tests.battery.battery_homes import run

KETTLE = Signature("kettle", 1900, 2100, 60, 300)
LAMP = Signature("lamp", 80, 120, 600, 40000)


@pytest.fixture(scope="module")
def known():
    """What an adversary learned from thirty other days of the same appliances."""
    return signatures_from(make_home(30, 99)[1], 60)


@pytest.fixture(scope="module")
def scores(known_home, known):
    load, truth = known_home
    return {
        name: score_runs(claim_runs(run(name, load)[0], 60, known), truth, 60)
        for name in ("none", "be:sat", "nill", "ls2", "rc")
    }


def test_edges_are_where_and_as_high_as_the_steps_are():
    edges = find_edges(np.array([50, 52, 51, 2050, 2052, 2051, 51, 51]), 60)
    assert edges.samples.tolist() == [3, 6]
    assert edges.changes_w == pytest.approx([2000, -2000])


def test_a_transient_of_a_second_is_no_level():
    """The inrush of a motor: 900 W for two seconds, then 150 W."""
    power = np.concatenate([np.full(20, 60), [960, 700], np.full(30, 210), np.full(20, 60)])
    edges = find_edges(power, 1)
    assert edges.samples.tolist() == [20, 52]
    assert edges.changes_w == pytest.approx([150, -150])


def test_a_row_that_is_the_mean_of_before_and_after_is_no_level():
    """A kettle from 20 s into one minute to 45 s into another."""
    power = np.array([60, 60, 60 + 1333, 2060, 2060, 60 + 1500, 60, 60])
    assert find_edges(power, 60).settled.tolist() == [3, 6]
    assert claim_runs(power, 60, [KETTLE]) == [Run("kettle", 120, 300, 2000)]


def test_a_run_within_another_run_is_taken_out_first():
    power = np.full(200, 60)
    power[20:150] += 100
    power[40:43] += 2000
    power[80:82] += 2010
    assert claim_runs(power, 60, [KETTLE, LAMP]) == [
        Run("lamp", 1200, 9000, 100),
        Run("kettle", 2400, 2580, 2000),
        Run("kettle", 4800, 4920, 2010),
    ]


def test_an_appliance_is_not_on_while_the_home_draws_less():
    """Up by 2 kW, down in two halves; up in two halves, down by 2 kW: no kettle ran through."""
    power = np.repeat([60, 2060, 1060, 60, 1060, 2060, 60], [5, 1, 1, 1, 1, 1, 5])
    power[5:10] = [2060, 1060, 400, 1060, 2060]
    assert claim_runs(power, 60, [KETTLE]) == []
    power[5:10] = 2060
    assert claim_runs(power, 60, [KETTLE]) == [Run("kettle", 300, 600, 2000)]


def test_what_fits_no_signature_is_not_claimed():
    power = np.full(100, 60)
    power[10:12] += 700
    power[50:80] += 2000
    assert claim_runs(power, 60, [KETTLE]) == []


def test_scores_count_each_run_once():
    truth = [("kettle", 600, 780, 2000), ("kettle", 3000, 3120, 2000), ("lamp", 0, 6000, 100)]
    claims = [
        Run("kettle", 600, 780, 2000),
        Run("kettle", 660, 780, 2000),
        Run("lamp", 60, 5500, 100),
        Run("kettle", 4000, 4100, 2000),
    ]
    score = score_runs(claims, truth, 60)
    assert (score.events, score.correct, score.runs) == (4, 2, 3)
    assert (score.precision, score.recall) == (0.5, pytest.approx(2 / 3))
    assert score.f1 == pytest.approx(4 / 7)
    assert score.by_appliance == {"kettle": (3, 1, 2), "lamp": (1, 1, 1)}


def test_no_claims_score_zero():
    assert score_runs([], [("kettle", 0, 60, 2000)], 60).f1 == 0
    assert score_runs([], [], 60).f1 == 0


def test_without_a_battery_nearly_every_run_is_found(scores):
    assert scores["none"].precision > 0.95 and scores["none"].recall > 0.85


def test_behind_a_battery_few_runs_are_found(scores):
    for name in ("be:sat", "nill", "ls2", "rc"):
        assert scores[name].recall < 0.1 < 0.1 * scores["none"].f1 + 0.05


def test_claims_at_other_times_earn_next_to_nothing(known_home, known, scores):
    """Positive control of the score: the same claims, moved, are not right by chance."""
    load, truth = known_home
    claims = claim_runs(load, 60, known)
    assert chance_f1(claims, truth, load.size * 60, 60) < 0.1 * scores["none"].f1


def test_kettles_show_behind_steps_of_half_a_kilowatt(known_home, known, scores):
    """An adversary who allows for the steps finds most large appliances that stepping leaves."""
    load, truth = known_home
    draw, _ = run("ls2", load)
    seen = score_runs(claim_runs(draw, 60, known, blur_w=500), truth, 60)
    assert seen.f1 > 4 * scores["ls2"].f1
    assert seen.by_appliance["kettle"][1] > 0.5 * seen.by_appliance["kettle"][2]
    assert seen.by_appliance["fridge"][1] < 0.02 * seen.by_appliance["fridge"][2]


def test_signatures_hold_the_appliances_they_were_learned_from(known):
    truth = make_home(30, 99)[1]
    ranges = {one.appliance: one for one in known}
    inside = [ranges[name].least_w <= watts <= ranges[name].most_w for name, _, _, watts in truth]
    assert np.mean(inside) > 0.97


def test_an_appliance_too_small_to_leave_an_edge_has_no_signature():
    assert signatures_from([("router", 0, 600, 8)], 60) == []
    with pytest.raises(HushmeterError, match="at least one signature"):
        claim_runs(np.zeros(10, int), 60, [])


def test_a_draw_that_never_changes_is_claimed_nothing_of(known):
    assert claim_runs(np.full(5000, 300), 60, known) == []
