"""What runs on a load told: coins are exact, tables of known leakage are found to leak that."""

from collections import Counter

import numpy as np
import pytest

from hushmeter.battery.hiding import hide
from hushmeter.battery.setups import Battery, setups
from hushmeter.leakage import design, home_told, single
from hushmeter.leakage.distributions import discrete
from hushmeter.leakage.entropies import entropy
from hushmeter.leakage.fit_levels import quantise
from tests.leakage.home_kit import record

LAW = np.array([0.3, 0.4, 0.2, 0.1])
RUNS = 4000


@pytest.mark.parametrize("name", ["rc", "ls2"])
def test_coins_are_as_likely_as_the_controller_makes_them(name):
    """Frequencies of whole runs against their stated probability, each within 5 standard errors:
    with some thirty runs a false alarm in 50 000. A battery of 20 Wh makes the bounds have their
    word too."""
    load = record([300, 1700, 20, 900, 900, 2600])
    setup = setups([name], Battery(20, 500, 500), 60)[0]
    seen, stated = Counter(), {}
    for seed in range(RUNS):
        run = hide(load, setup, seed)
        draws = tuple(run.grid_w.tolist())
        seen[draws] += 1
        stated[draws] = 2.0 ** -home_told.coin_bits(load, run).sum()
    assert sum(stated.values()) == pytest.approx(1, abs=0.03)
    assert len(stated) > 2
    for draws, chance in stated.items():
        error = np.sqrt(chance * (1 - chance) / RUNS)
        assert abs(seen[draws] / RUNS - chance) < 5 * error + 1e-9


def table_run(levels, capacity, remainder_w=0, missing=()):
    """A table designed for LAW, on a load of these levels and a remainder below a quantum."""
    quantum_w, step_s = 100, 60
    made = design.battery(discrete(LAW), capacity, step_s, quantum_w)
    watts = np.asarray(levels) * quantum_w + remainder_w
    load = record(watts, step_s, missing)
    # The states of the table and a quantum less a Ws, in whole Wh.
    battery_wh = -(-(capacity + 1) * quantum_w * step_s // 3600)
    battery = Battery(battery_wh, 2000, 2000, table=made.table())
    run = hide(load, setups(["table"], battery, step_s)[0], 1)
    return load, run, home_told.told_by_table(load, run, quantise(load, quantum_w), made.policy())


@pytest.mark.parametrize("capacity", [2, 5])
def test_a_table_on_the_load_it_was_made_for_tells_what_it_was_made_to(capacity):
    """The estimate is from above and within 5 standard errors below: a false alarm in a million."""
    levels = np.random.default_rng(1).choice(4, 20_000, p=LAW)
    _, _, told = table_run(levels, capacity)
    optimum = single.solve(LAW, capacity).value
    assert -5 * told.stderr < told.bits - optimum < 0.02 + 5 * told.stderr
    assert told.beyond_share == 0
    assert told.law == "reader"


def test_what_remainders_give_away_is_in_the_figure():
    """A load between levels makes the table meet another law than it was made for; and a load
    beyond its alphabet is passed on, which tells more."""
    generator = np.random.default_rng(2)
    levels = generator.choice(4, 10_000, p=LAW)
    optimum = single.solve(LAW, 5).value
    between = table_run(levels, 5, generator.integers(0, 100, 10_000))[2]
    assert between.bits > optimum
    assert 0 < between.beyond_share < 0.2
    beyond = table_run(levels + 4 * (generator.random(10_000) < 0.2), 5)[2]
    assert beyond.beyond_share > 0.15
    assert beyond.bits > between.bits + 0.2


def test_a_load_of_whole_quanta_has_no_remainders_to_tell_of():
    levels = np.random.default_rng(5).choice(4, 3000, p=LAW)
    whole = table_run(levels, 3)[2]
    assert (whole.beside(whole).whole_bits, whole.beside(whole).whole_stderr) == (whole.bits, 0)
    between = table_run(levels, 3, np.random.default_rng(6).integers(0, 100, 3000))[2]
    found = between.beside(whole)
    assert 0 < found.whole_stderr < between.stderr + whole.stderr
    assert found.bits == between.bits


def test_gaps_are_passed_over_by_the_reader():
    levels = np.random.default_rng(3).choice(4, 10_000, p=LAW)
    load, run, told = table_run(levels, 3, missing=[*range(500, 530), 900, 901, 4000])
    assert np.all(run.grid_w[load.missing] == 0)
    optimum = single.solve(LAW, 3).value
    assert -5 * told.stderr < told.bits - optimum < 0.03 + 5 * told.stderr


def test_a_meter_without_a_battery_tells_the_entropy_of_the_load():
    """Positive control for the code of draws: nothing is hidden, so nothing may seem to be."""
    levels = np.random.default_rng(4).choice(4, 20_000, p=LAW)
    load = record(levels * 100)
    run = hide(load, setups(["none"], Battery(10, 100, 100), 60)[0], 1)
    told = home_told.told(load, run, quantise(load, 100))
    assert told.coin_bits == 0
    assert told.bits == pytest.approx(entropy(LAW), abs=4 * told.stderr + 0.005)


def test_a_controller_that_holds_its_draw_tells_little_of_a_load_that_it_can_carry():
    load = record(np.random.default_rng(5).choice([0, 100], 5000))
    run = hide(load, setups(["be"], Battery(1000, 1000, 1000), 60)[0], 1)
    assert home_told.told(load, run, quantise(load, 100)).bits < 0.05
