"""Shannon lower bounds, Theorem 3, and the simple ways to use a source."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from hushmeter.errors import HushmeterError
from hushmeter.leakage import heuristics, power, power_bounds
from hushmeter.leakage.distributions import Discrete, Exponential, parse_discrete
from hushmeter.leakage.entropies import entropy, mutual_information
from hushmeter.leakage.power_bounds import Density

UNIFORM = parse_discrete("uniform:21").scaled_to(1.0)


def exponentials(weights, means):
    """The density of a mixture of exponential loads."""
    return Density(
        value=lambda x: sum(w / m * np.exp(-x / m) for w, m in zip(weights, means, strict=True)),
        slope=lambda x: (
            -sum(w / m**2 * np.exp(-x / m) for w, m in zip(weights, means, strict=True))
        ),
        breaks=[0.0],
        end=60 * max(means),
    )


def gamma_two(scale):
    """Density of the sum of two exponentials: it rises from 0 and has no atom."""
    return Density(
        lambda x: x / scale**2 * np.exp(-x / scale),
        lambda x: (1 - x / scale) / scale**2 * np.exp(-x / scale),
        [0.0],
        60 * scale,
    )


def steps(low, high):
    """Density `low` on [0, 1), then an exponential that begins higher: a jump up in the middle."""
    return Density(
        lambda x: np.where(x < 1, low, high * np.exp(-(x - 1) * high / (1 - low))),
        lambda x: np.where(
            x < 1, 0.0, -(high**2) / (1 - low) * np.exp(-(x - 1) * high / (1 - low))
        ),
        [0.0, 1.0],
        1 + 60 * (1 - low) / high,
    )


def test_exponential_loads_reach_the_bound_up_to_their_mean():
    density = exponentials([1.0], [2.0])
    assert power_bounds.critical_power(density) == pytest.approx(2.0, rel=1e-6)
    assert power_bounds.is_tight(density, 1.99)
    assert not power_bounds.is_tight(density, 2.01)
    for watts in (0.1, 0.5, 2.0):
        bound = power_bounds.continuous_lower(1 + math.log(2.0), watts)
        assert bound == pytest.approx(power.exponential(Exponential(2.0), watts).value, abs=1e-12)
    assert power_bounds.continuous_lower(1 + math.log(2.0), 3.0) == 0


def test_the_printed_bound_without_the_1_is_no_bound():
    printed = math.log2(math.e) * (1 + math.log(2.0) - math.log(0.5))
    assert printed > power.exponential(Exponential(2.0), 0.5).value + 1.4


def test_mixtures_reach_the_bound_up_to_where_their_density_falls_fastest():
    weights, means = [0.3, 0.7], [1.0, 5.0]
    fall = (0.3 + 0.7 / 25) / (0.3 + 0.7 / 5)  # -f'/f at 0
    found = power_bounds.critical_power(exponentials(weights, means))
    assert found == pytest.approx(1 / fall, rel=1e-6)
    assert power_bounds.critical_power(gamma_two(3.0)) == pytest.approx(3.0, rel=0.02)
    jump = steps(0.2, 0.8)
    assert power_bounds.critical_power(jump) == pytest.approx(1.0, rel=1e-6)


def test_a_density_that_jumps_down_never_reaches_it():
    flat = Density(np.ones_like, np.zeros_like, [0.0], 1.0, endless=False)
    assert power_bounds.critical_power(flat) == 0
    assert not power_bounds.is_tight(flat, 1e-6)
    with pytest.raises(HushmeterError, match="not reached; it is up to 0"):
        power_bounds.output_law(flat, 0.1)


@pytest.mark.parametrize(
    ("density", "watts"),
    [
        (exponentials([1.0], [2.0]), 0.7),
        (exponentials([0.3, 0.7], [1.0, 5.0]), 1.2),
        (gamma_two(1.0), 0.6),
        (steps(0.2, 0.8), 0.9),
    ],
)
def test_the_output_law_of_theorem_3_gives_the_load_back(density, watts):
    """V + Y has the load's density, and Y is a law: a density and atoms that sum to 1."""
    continuous, atoms = power_bounds.output_law(density, watts)
    inner = [place for place in density.breaks if place > 0]

    def integral(function, stop):
        marks = [0.0, *[place for place in inner if place < stop], stop]
        return sum(
            quad(function, a, b, limit=200)[0] for a, b in zip(marks, marks[1:], strict=False)
        )

    whole = integral(lambda y: float(continuous(np.array([y]))[0]), density.end)
    assert whole + sum(mass for _, mass in atoms) == pytest.approx(1, abs=1e-6)
    for x in (0.4, 1.7, 3.1):
        spread = integral(
            lambda y, x=x: float(continuous(np.array([y]))[0]) * math.exp(-(x - y) / watts), x
        )
        spread += sum(mass * math.exp(-(x - place) / watts) for place, mass in atoms if place <= x)
        assert spread / watts == pytest.approx(float(density.value(np.array([x]))[0]), abs=1e-6)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.floats(0.01, 1), min_size=2, max_size=6),
    st.floats(0, 1),
    st.sampled_from([None, 1.0, 2.5]),
)
def test_the_discrete_bound_is_never_above_the_function(weights, share, peak):
    law = np.array(weights) / sum(weights)
    load = Discrete(law, np.cumsum(np.tile([1.0, 0.5], 3)[: len(law)]) - 1)
    watts = share * load.mean
    bound = power_bounds.discrete_lower(load, watts, peak)
    assert 0 <= bound <= power.solve(load, watts, peak).value + 1e-10


def test_the_output_limit_of_a_uniform_load_has_the_corrected_formula():
    n, c = 21, 0.1
    powers, leaks = heuristics.output_limits(UNIFORM)
    printed = heuristics.output_limits_printed(UNIFORM)
    for k in range(n):
        left = math.log2(n - k) / n * (n - k)
        assert leaks[k] == pytest.approx(math.log2(n) - left, abs=1e-12)
        assert printed[k] == pytest.approx(math.log2(n) - left / 2, abs=1e-12)
        assert powers[k] == pytest.approx((n - 1 - k) * (n - k) * c / (2 * n), abs=1e-12)
        assert heuristics.output_limit(UNIFORM, powers[k]) == pytest.approx(leaks[k], abs=1e-12)


def test_between_two_limits_they_are_used_in_turn():
    powers, leaks = heuristics.output_limits(UNIFORM)
    middle = (powers[4] + powers[5]) / 2
    assert heuristics.output_limit(UNIFORM, middle) == pytest.approx((leaks[4] + leaks[5]) / 2)


def test_time_division_leaks_what_its_joint_law_says():
    load = Discrete(np.array([0.2, 0.3, 0.5]), np.array([0.0, 1.0, 4.0]))
    part = 0.6 / load.mean
    joint = np.diag(load.probabilities * (1 - part))
    joint[:, 0] += load.probabilities * part
    assert heuristics.time_division(load, 0.6) == pytest.approx(
        mutual_information(joint), abs=1e-12
    )
    assert heuristics.time_division_printed(load, 0.6) == pytest.approx(
        entropy(load.probabilities) * (1 - part)
    )


def test_time_division_of_a_load_that_never_rests_is_as_printed():
    load = Discrete(np.array([0.5, 0.5]), np.array([1.0, 2.0]))
    assert heuristics.time_division(load, 0.5) == pytest.approx(
        heuristics.time_division_printed(load, 0.5)
    )


@pytest.mark.parametrize("peak", [None, 2.0, 1.0])
def test_no_simple_way_leaks_less_than_the_best(peak):
    for watts in np.linspace(0, 1, 21):
        least = power.solve(UNIFORM, watts, peak).lower
        assert heuristics.output_limit(UNIFORM, watts, peak) >= least - 1e-12
        divided = heuristics.time_division(UNIFORM, watts, peak)
        assert (divided is None) == (peak == 1.0)
        assert divided is None or divided >= least - 1e-12
