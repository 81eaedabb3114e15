"""Models of a home's load: the right quantum, the right law, honest checks, clear refusals."""

import numpy as np
import pytest

from hushmeter.errors import HushmeterError
from hushmeter.leakage import fit, fit_checks, markov_load
from hushmeter.leakage.distributions import parse_discrete
from hushmeter.leakage.entropies import entropy
from hushmeter.leakage.fit_levels import MOST_CAPACITY, choose_quantum, quantise
from tests.leakage.home_kit import SLOW, record, walk


def steps_of(levels, quantum_w=100, **more):
    return quantise(record(np.asarray(levels) * quantum_w, **more), quantum_w)


def checks_of(levels, **more):
    return {check.name: check for check in fit_checks.check_laws(steps_of(levels, **more))}


@pytest.mark.parametrize(
    ("peak_w", "levels", "capacity_wh", "step_s"),
    [(3300, 16, 500, 60), (7600, 64, 500, 60), (3000, 64, 13, 1800), (40, 1024, 5, 60)],
)
def test_the_quantum_is_the_least_that_suits_levels_and_battery(
    peak_w, levels, capacity_wh, step_s
):
    load = record([0, peak_w] * 100, step_s)
    quantum_w = choose_quantum(load, capacity_wh, levels)

    def suits(watts):
        quanta = capacity_wh * 3600 // (watts * step_s)
        return (2 * peak_w + watts) // (2 * watts) < levels and quanta <= MOST_CAPACITY

    nice = [digit * 10**power for power in range(5) for digit in (1, 2, 5)]
    assert quantum_w == next(watts for watts in nice if suits(watts))


def test_a_step_is_rounded_to_the_nearest_quantum():
    steps = quantise(record([0, 49, 50, 149, 150, 1000] * 20), 100)
    assert steps.levels[:6].tolist() == [0, 0, 1, 1, 2, 10]
    assert steps.capacity(500) == 300
    assert steps.quantum_wh == pytest.approx(100 / 60)


@pytest.mark.parametrize(
    ("watts", "quantum_w", "words"),
    [
        ([300] * 200, 100, "nothing to tell"),
        ([290, 310] * 100, 100, "one level of 100 W"),
        ([0, 7000] * 100, 5, "at most 1024 fit"),
        ([0, 100] * 20, 100, "100 are needed"),
        ([0, 100] * 100, 0, "1 or more"),
    ],
)
def test_a_load_that_cannot_be_fitted_is_refused_in_words(watts, quantum_w, words):
    with pytest.raises(HushmeterError, match=words):
        quantise(record(watts), quantum_w)


def test_gaps_that_leave_no_steps_in_a_row_are_refused():
    load = record([0, 50, 100] * 200, missing=range(0, 600, 3))
    with pytest.raises(HushmeterError, match="gaps leave too little"):
        fit.fit(quantise(load, 50))


def test_a_battery_below_a_quantum_is_refused():
    with pytest.raises(HushmeterError, match="less than one quantum of 1000 W for 1800 s, 500 Wh"):
        quantise(record([0, 3000] * 100, 1800), 1000).capacity(499)


def test_a_chain_that_is_known_is_found():
    """Each row of 3 has thousands of samples: an error of 0.02 is above 4 standard errors."""
    model = fit.fit(steps_of(walk(SLOW, 40_000, 1)))
    law = fit.stationary_law(SLOW)
    assert np.abs(model.chain.transitions - SLOW).max() < 0.02
    assert np.abs(model.law - law).max() < 0.03
    rate = sum(mass * entropy(row) for mass, row in zip(law, SLOW, strict=True))
    assert model.chain.entropy_rate == pytest.approx(rate, abs=0.02)
    assert model.best.name in ("chain", "markov", "markov2")
    assert model.best.unseen_bits == pytest.approx(rate, abs=0.02)


def test_the_chain_keeps_the_law_of_the_load():
    model = fit.fit(steps_of(walk(SLOW, 3000, 2)))
    # But for the ends of the record, of which 3000 steps have two.
    assert np.abs(model.chain.stationary - model.law).max() < 5e-3
    assert np.abs(
        model.chain.stationary @ model.chain.transitions - model.chain.stationary
    ).max() < (1e-12)
    assert model.chain.transitions.min() > 0


def test_a_load_without_memory_is_coded_no_better_with_memory():
    """The codes of unseen folds cannot beat the entropy but by chance: 4 standard errors."""
    levels = np.random.default_rng(3).choice(4, 20_000, p=[0.4, 0.3, 0.2, 0.1])
    found = checks_of(levels)
    truth = entropy(np.array([0.4, 0.3, 0.2, 0.1]))
    for check in found.values():
        assert check.unseen_bits > truth - 4 * max(check.unseen_stderr, 1e-3)
    assert found["markov"].unseen_bits > found["iid"].unseen_bits - 0.002
    slow = checks_of(walk(SLOW, 20_000, 4))
    assert slow["markov"].unseen_bits < 0.6 * slow["iid"].unseen_bits


def test_a_law_is_never_coded_by_days_it_has_seen():
    """Levels that depend on nothing but many: seen days look cheap, unseen ones do not."""
    levels = np.random.default_rng(5).integers(0, 64, 3000)
    found = checks_of(levels)["markov2"]
    assert found.seen_bits < found.unseen_bits
    assert found.unseen_bits > 5.9


def test_an_hourly_habit_is_seen_by_the_law_that_knows_the_hour():
    hours = np.tile(np.repeat(np.arange(24) % 2, 60), 20)
    noise = np.random.default_rng(6).random(hours.size) < 0.3
    found = checks_of(np.where(noise, 1 - hours, hours))
    assert found["hourly"].unseen_bits == pytest.approx(entropy(np.array([0.3, 0.7])), abs=0.02)
    assert found["iid"].unseen_bits == pytest.approx(1, abs=0.01)


def test_no_transition_is_counted_across_a_gap():
    """2 is followed by a gap each time: what comes after the gap does not follow it."""
    missing = np.arange(3, 400, 4)
    model = fit.fit(steps_of(np.tile([0, 1, 2, 0], 100), missing=missing))
    assert np.allclose(model.chain.transitions[2], model.law)
    assert model.chain.transitions[0, 1] > 0.9
    # Without the gaps 0 follows 2.
    whole = fit.fit(steps_of(np.tile([0, 1, 2], 100)))
    assert whole.chain.transitions[2, 0] > 0.9


def test_the_files_are_read_by_the_commands_they_are_for(tmp_path):
    model = fit.fit(steps_of(2 * walk(SLOW, 2000, 7) + 1))
    (tmp_path / "law.json").write_text(fit.law_json(model))
    (tmp_path / "chain.json").write_text(fit.chain_json(model))
    law = parse_discrete(f"file:{tmp_path / 'law.json'}").integer_law()
    assert np.array_equal(law, model.law)
    chain = markov_load.read(tmp_path / "chain.json")
    assert chain.levels.tolist() == [1, 3, 5]
    assert np.abs(chain.transition - model.chain.transitions).max() < 1e-15


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[1, 2]", "a list of numbers, probabilities"),
        ("{}", "a list of numbers, probabilities"),
        ('{"probabilities": [0.5, 0.6]}', "sum to 1.1"),
        ("nonsense", "a list of numbers, probabilities"),
    ],
)
def test_a_law_file_that_is_none_is_refused(tmp_path, text, words):
    (tmp_path / "law.json").write_text(text)
    with pytest.raises(HushmeterError, match=words):
        parse_discrete(f"file:{tmp_path / 'law.json'}")
    with pytest.raises(HushmeterError, match="cannot be read"):
        parse_discrete(f"file:{tmp_path / 'none.json'}")
