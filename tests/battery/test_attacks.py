"""The attacks get back what the controllers leave, and nothing where nothing is left."""

import numpy as np
import pytest

from hushmeter.battery import attacks
from hushmeter.battery.attacks import Claims, Score, change_attack, score
from hushmeter.errors import HushmeterError
from tests.battery.battery_homes import DAY, run

CAPACITIES_WH = (100, 250, 500, 1000)
HUGE_WH = 10**6
TOLERANCE_W = 50


def attacked(name, demand_w, capacity_wh=500):
    draw, _ = run(name, demand_w, capacity_wh)
    return score(change_attack(name, draw, 60, capacity_wh, capacity_wh), demand_w)


def share_recovered(inverted, demand_w):
    """Of the samples; to be compared with what the best constant reaches.

    A home is at its base load for much of the day, and guessing that is no attack.
    """
    missed_w = np.abs(inverted.demand_w - demand_w[: inverted.demand_w.size])
    return float(np.mean(missed_w <= TOLERANCE_W))


def test_scores_count_claims_right_claims_and_missed_events():
    demand = np.array([100, 100, 400, 390, 1390, 1390, 200])
    claims = Claims(np.array([1, 2, 4, 6]), np.array([50, 305, 1011, -1190]))
    # d' = 0, 300, -10, 1000, 0, -1190: events at 2, 4, 6; the claim at 4 is off by 1.1 %.
    assert score(claims, demand) == Score(events=4, correct=2, precision=0.5, recall=2 / 3)


def test_a_right_claim_of_a_small_change_is_no_found_event():
    demand = np.array([100, 110, 400])
    claims = Claims(np.array([1]), np.array([12]))
    assert score(claims, demand) == Score(events=1, correct=1, precision=1.0, recall=0.0)


def test_no_claims_and_no_events_score_zero():
    nothing = Claims(np.zeros(0, np.int64), np.zeros(0, np.int64))
    assert score(nothing, np.full(10, 7)) == Score(0, 0, 0.0, 0.0)


def test_a_warm_up_is_left_out_of_claims_and_of_events():
    demand = np.array([0, 100, 0, 100])
    claims = Claims(np.array([1, 3]), np.array([100, 100]))
    assert score(claims, demand, from_sample=2) == Score(1, 1, 1.0, 1.0)


def test_without_a_battery_every_event_is_seen(home):
    events = int(np.count_nonzero(np.abs(np.diff(home)) > attacks.THRESHOLD_W))
    assert attacked("none", home) == Score(events, events, 1.0, 1.0)


@pytest.mark.parametrize("name", ["be:sat", "be:idle"])
def test_both_rules_are_exact_while_only_the_rates_bind(name):
    """Best effort with a battery that never ends is a play operator: every claim is right.

    Positive control: with a wrong rate the second rule misses.
    """
    demand = np.random.RandomState(1).randint(0, 4000, 5000)
    draw, _ = run(name, demand, HUGE_WH, charge_rate_w=700, discharge_rate_w=300)
    assert (draw == play(demand, 700, 300)).all()
    found = score(change_attack(name, draw, 60, 700, 300), demand)
    assert found.events > 1000 and found.precision == 1.0
    wrong_rates = score(change_attack(name, draw, 60, 500, 300), demand)
    assert wrong_rates.precision < 0.9


def play(demand_w, charge_rate_w, discharge_rate_w):
    held, draw = int(demand_w[0]), []
    for demand in demand_w.tolist():
        held = min(max(held, demand - discharge_rate_w), demand + charge_rate_w)
        draw.append(held)
    return np.array(draw)


def test_the_attack_is_precise_on_nill_and_idle_best_effort(home):
    assert attacked("nill", home).precision > 0.75
    assert attacked("be:idle", home).precision > 0.6


@pytest.mark.parametrize("name", ["lc", "ls1", "ls2", "rc"])
def test_the_attack_is_useless_on_stepping(home, name):
    found = attacked(name, home)
    assert found.precision < 0.1 and found.recall < 0.01


def test_nill_shows_more_events_than_best_effort(home):
    for capacity_wh in CAPACITIES_WH:
        nill, idle = (attacked(name, home, capacity_wh) for name in ("nill", "be:idle"))
        assert nill.events > idle.events


@pytest.mark.parametrize("name", ["nill", "be:idle"])
def test_a_larger_battery_shows_fewer_events(home, name):
    events = [attacked(name, home, capacity_wh).events for capacity_wh in CAPACITIES_WH]
    assert events[0] > 1.3 * events[-1]
    assert max(events[1:]) < 1.1 * events[0]


def test_a_battery_that_gives_out_within_a_step_is_not_taken_for_the_home():
    draw = np.array([500, 503, 830, 1003, 1001, 1003])
    naive, knowing = (attacks.copied_changes(draw, 0, rate_w, 1) for rate_w in (0, 500))
    assert 327 in naive.changes_w and 173 in naive.changes_w
    assert not {327, 173} & set(knowing.changes_w.tolist())


def test_plateaus_are_never_claimed():
    draw = np.repeat([100, 900, 100, 500], 5)
    assert attacks.copied_changes(draw).samples.size == 0
    lone_visit = np.array([300, 300, 740, 300, 300, 820, 300, 300])
    assert attacks.copied_changes(lone_visit).samples.size == 0


def test_best_effort_needs_the_rates():
    with pytest.raises(HushmeterError, match="needs both"):
        change_attack("be:sat", np.arange(10), 60)


@pytest.mark.parametrize(("time_constant_s", "least"), [(600, 0.99), (1800, 0.99), (7200, 0.5)])
def test_smoothing_is_undone_by_whoever_knows_its_time_constant(home, time_constant_s, least):
    draw, _ = run("smooth", home, 3000, time_constant_s=time_constant_s)
    inverted = attacks.invert_smooth(draw, 60, time_constant_s)
    assert share_recovered(inverted, home) > least
    assert score(attacks.smoothed_changes(inverted), home).precision > 0.75


@pytest.mark.parametrize(("time_constant_s", "within"), [(600, 0.01), (1800, 0.01), (7200, 0.15)])
def test_the_time_constant_can_be_read_off_the_draw(home, time_constant_s, within):
    draw, _ = run("smooth", home, 3000, time_constant_s=time_constant_s)
    assert attacks.estimate_time_constant_s(draw, 60) == pytest.approx(time_constant_s, rel=within)


@pytest.mark.parametrize("name", ["ls2", "rc"])
def test_the_inverse_filter_gets_nothing_from_stepping(home, name):
    """Less than the best constant does, at any time constant."""
    draw, _ = run(name, home)
    constant = max(np.mean(np.abs(home - level) <= TOLERANCE_W) for level in range(50, 500, 25))
    for time_constant_s in (600, 1800, 7200):
        inverted = attacks.invert_smooth(draw, 60, time_constant_s)
        assert share_recovered(inverted, home) < constant
        assert score(attacks.smoothed_changes(inverted), home).precision < 0.3


def test_a_draw_that_is_not_smoothed_is_refused_or_found_out(home):
    with pytest.raises(HushmeterError, match="smoothing battery"):
        attacks.estimate_time_constant_s(np.arange(2 * DAY), 60)
    with pytest.raises(HushmeterError, match="401 are needed"):
        attacks.estimate_time_constant_s(home[:100], 60)
