"""The privacy-power function: certified, feasible, and the same as general solvers find."""

import itertools
import json
import math

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from hushmeter.cli import main
from hushmeter.errors import HushmeterError
from hushmeter.leakage import power
from hushmeter.leakage.distributions import Discrete, Exponential, parse_discrete
from hushmeter.leakage.entropies import entropy, mutual_information
from tests.leakage.power_kit import least_leakage

UNIFORM = parse_discrete("uniform:21").scaled_to(1.0)
CLOSE = 1e-8


def load_of(law, levels=None):
    law = np.asarray(law, dtype=float)
    levels = np.arange(len(law)) if levels is None else levels
    return Discrete(law / law.sum(), np.asarray(levels, dtype=float))


@st.composite
def loads(draw, most=7):
    """Levels unequally apart, some of probability 0 or next to it, the lowest above 0 at times."""
    n = draw(st.integers(2, most))
    weight = st.one_of(st.floats(0.05, 1), st.sampled_from([0.0, 1e-9, 1e-4]))
    law = draw(st.lists(weight, min_size=n, max_size=n))
    assume(sum(law) > 0.05)
    gaps = draw(st.lists(st.sampled_from([0.01, 0.3, 1.0, 1.0, 7.0]), min_size=n, max_size=n))
    lowest = draw(st.sampled_from([0.0, 0.0, 0.5]))
    return load_of(law, lowest + np.cumsum(gaps) - gaps[0])


def is_feasible(load, point, watts, peak=math.inf):
    """Rows are laws, Y never above X nor X - Y above the peak, and the power is not overdrawn."""
    apart = load.levels[:, None] - load.levels[None, :]
    q = point.conditional
    assert np.all(q >= 0)
    assert np.allclose(q.sum(1), 1, atol=1e-12)
    occurs = load.probabilities > 0
    assert np.all(q[apart < 0] == 0)
    assert np.all(q[occurs][apart[occurs] > peak + 1e-9] == 0)
    drawn = float(load.probabilities @ (q * apart).sum(1))
    assert drawn <= watts + 1e-12 * max(load.levels[-1], 1)
    assert drawn == pytest.approx(point.power, abs=1e-11 * max(load.levels[-1], 1))
    leaked = mutual_information(load.probabilities[:, None] * q)
    assert leaked == pytest.approx(point.value, abs=1e-11)


@settings(max_examples=120, deadline=None)
@given(loads(), st.floats(0, 1))
def test_the_bounds_are_close_and_the_policy_is_feasible(load, share):
    watts = share * load.mean
    point = power.solve(load, watts)
    assert point.lower <= point.value <= point.upper
    assert point.upper - point.lower < 1e-11
    is_feasible(load, point, watts)


@settings(max_examples=60, deadline=None)
@given(loads(), st.floats(0, 1), st.floats(0, 1))
def test_with_a_peak_the_bounds_are_close_and_the_policy_is_feasible(load, share, part):
    watts, peak = share * load.mean, part * (load.levels[-1] - load.levels[0])
    point = power.solve(load, watts, peak)
    assert point.lower <= point.value <= point.upper
    assert point.upper - point.lower < 1e-9
    is_feasible(load, point, watts, peak)
    assert point.value >= power.solve(load, watts).lower - 1e-12


@settings(max_examples=60, deadline=None)
@given(loads(), st.floats(0.001, 0.999))
def test_both_methods_find_the_same_value(load, share):
    watts = share * load.mean
    kept = load.probabilities > 0
    assume(kept.sum() > 1)
    small = Discrete(load.probabilities[kept], load.levels[kept])
    assume(watts > 1e-6 * small.levels[-1])
    wide = power._peak_limited(small.probabilities, small.levels, watts, math.inf)
    assert wide.leakage == pytest.approx(power.solve(load, watts).value, abs=1e-9)


@pytest.mark.parametrize(
    ("load", "watts", "peak"),
    [
        (load_of([0.25, 0.5, 0.25]), 0.4, math.inf),
        (load_of([0.25, 0.5, 0.25]), 0.4, 1.0),
        (load_of([0.1, 0.2, 0.3, 0.4], [0, 1, 2.5, 7]), 1.0, math.inf),
        (load_of([0.1, 0.2, 0.3, 0.4], [0, 1, 2.5, 7]), 2.0, 4.5),
        (load_of([0.5, 0.001, 0.499], [1, 2, 3]), 0.3, math.inf),
        (load_of([1, 1, 1, 1, 1, 1]), 2.0, 2.0),
    ],
)
def test_a_conic_solver_finds_the_same(load, watts, peak):
    limit = None if peak == math.inf else peak
    apart = load.levels[:, None] - load.levels[None, :]
    costs = np.where((apart >= 0) & (apart <= peak), apart, np.inf)
    expected = least_leakage(load.probabilities, costs, watts)
    assert power.solve(load, watts, limit).value == pytest.approx(expected, abs=CLOSE)


def test_a_general_solver_finds_nothing_better():
    """SLSQP over p(y | x), from the policy itself and from the others that it is told."""
    load, watts = load_of([0.3, 0.3, 0.2, 0.2], [0, 1, 3, 4]), 0.7
    apart = load.levels[:, None] - load.levels[None, :]
    free = np.flatnonzero((apart >= 0).ravel())

    def whole(v):
        q = np.zeros(16)
        q[free] = np.maximum(v, 0)
        return q.reshape(4, 4)

    rules = [
        {"type": "eq", "fun": lambda v: whole(v).sum(1) - 1},
        {"type": "ineq", "fun": lambda v: watts - load.probabilities @ (whole(v) * apart).sum(1)},
    ]
    point = power.solve(load, watts)
    uniform = np.tril(np.ones((4, 4))) / np.arange(1, 5)[:, None]
    for start in (point.conditional, uniform, np.eye(4)):
        found = minimize(
            lambda v: mutual_information(load.probabilities[:, None] * whole(v)),
            start.ravel()[free], method="SLSQP", bounds=[(0, 1)] * len(free), constraints=rules,
            options={"maxiter": 300, "ftol": 1e-12},
        )  # fmt: skip
        assert found.fun >= point.lower - 1e-6
    assert found.fun == pytest.approx(point.value, abs=1e-5)


def test_no_policy_on_a_fine_grid_leaks_less():
    load, watts = load_of([0.3, 0.4, 0.3]), 0.35
    grid = np.linspace(0, 1, 41)
    best = math.inf
    for a, b in itertools.product(grid, grid):
        c = grid[grid + b <= 1]
        rest = (watts - 0.4 * a - 0.3 * b * 2) / 0.3
        c = c[c <= rest + 1e-12]
        if len(c):
            c = float(c.max())  # more power leaks no more
            q = np.array([[1, 0, 0], [a, 1 - a, 0], [b, c, 1 - b - c]])
            best = min(best, mutual_information(load.probabilities[:, None] * q))
    point = power.solve(load, watts)
    assert point.upper <= best <= point.value + 2e-3


@pytest.mark.parametrize("watts", [0.5, 0.9])
def test_points_where_outputs_vanish_are_exact_at_once(watts):
    power.solve(UNIFORM, 0.3)
    point = power.solve(UNIFORM, watts)
    assert point.levels_used < 21
    assert point.upper - point.lower < 1e-11
    # The quickest of a few: a busy machine may stop any one of them.
    assert min(power.solve(UNIFORM, watts).seconds for _ in range(5)) < 0.005
    assert np.count_nonzero(point.conditional.sum(0)) == point.levels_used


@settings(max_examples=80, deadline=None)
@given(st.floats(0.001, 0.999), st.floats(0.01, 100), st.floats(0, 1))
def test_binary_loads_have_the_papers_closed_form(low, delta, share):
    load = load_of([low, 1 - low], [0, delta])
    watts = share * load.mean
    assert power.solve(load, watts).value == pytest.approx(
        power.binary(low, delta, watts), abs=1e-11
    )


def test_without_power_everything_leaks_and_with_the_mean_nothing():
    for load in (UNIFORM, load_of([0.2, 0, 0.8]), load_of([0.999999, 1e-6], [3, 4])):
        whole = entropy(load.probabilities)
        none, all_ = power.solve(load, 0.0), power.solve(load, load.mean)
        assert none.value == pytest.approx(whole, abs=1e-12)
        assert none.power == 0
        assert all_.value == 0
        assert all_.upper < 1e-11


def test_just_above_no_power_and_just_below_the_mean_nothing_jumps():
    whole = entropy(UNIFORM.probabilities)
    assert whole - 1e-5 < power.solve(UNIFORM, 1e-9).value < whole
    assert 0 < power.solve(UNIFORM, 1 - 1e-9).value < 1e-8
    assert power.solve(UNIFORM, 1e-300).value == pytest.approx(whole, abs=1e-11)


def test_the_part_of_a_load_that_never_goes_away_needs_no_power():
    high, low = load_of([0.2, 0.3, 0.5], [5, 6, 9]), load_of([0.2, 0.3, 0.5], [0, 1, 4])
    for watts in (0.0, 0.5, 2.0, low.mean):
        assert power.solve(high, watts).value == pytest.approx(
            power.solve(low, watts).value, abs=1e-11
        )
    beyond = power.solve(high, low.mean + 1)
    assert beyond.value == 0
    assert beyond.power == pytest.approx(low.mean)


def test_the_unit_of_power_does_not_matter():
    tiny = UNIFORM.scaled_to(1e-6)
    for peak in (None, 0.9):
        limit = None if peak is None else peak * 1e-6
        assert power.solve(tiny, 0.4e-6, limit).value == pytest.approx(
            power.solve(UNIFORM, 0.4, peak).value, abs=1e-10
        )


def test_the_slope_is_what_more_power_saves():
    for load, peak in ((UNIFORM, None), (UNIFORM, 1.2), (load_of([0.3, 0.3, 0.4]), None)):
        watts, step = 0.3, 1e-4
        around = [power.solve(load, watts + side * step, peak).value for side in (-1, 1)]
        fall = (around[0] - around[1]) / (2 * step) * math.log(2)
        assert power.solve(load, watts, peak).slope == pytest.approx(fall, rel=1e-4)


def test_a_peak_beneath_every_gap_hides_nothing_and_a_wide_one_changes_nothing():
    assert power.solve(UNIFORM, 0.5, 0.05).value == pytest.approx(math.log2(21))
    assert power.solve(UNIFORM, 0.5, 0.0).value == pytest.approx(math.log2(21))
    assert power.solve(UNIFORM, 0.5, 2.0).value == power.solve(UNIFORM, 0.5).value


def test_a_peak_of_one_level_pairs_neighbours():
    """By hand: with levels 0 and 1 alike, 2 and 3 alike, and a peak of 1, one bit is left."""
    point = power.solve(load_of([1, 1, 1, 1]), 1.5, 1.0)
    assert point.value == pytest.approx(1.0, abs=1e-9)
    assert point.power == pytest.approx(0.5, abs=1e-5)
    assert point.slope == 0


def test_a_finer_output_alphabet_does_not_help_within_a_peak():
    """Theorem 2 with a peak: levels of probability next to 0 offer outputs, and change nothing."""
    coarse = load_of([0.3, 0.4, 0.3], [0, 2, 4])
    fine = load_of([0.3, 1e-13, 0.4, 1e-13, 0.3], [0, 1, 2, 3, 4])
    for peak in (2.0, 3.0):
        assert power.solve(fine, 0.8, peak).value == pytest.approx(
            power.solve(coarse, 0.8, peak).value, abs=1e-9
        )


def test_a_level_that_never_occurs_shows_nothing_new():
    point = power.solve(load_of([0, 0.5, 0, 0.5, 0]), 0.5)
    assert point.conditional[0, 0] == 1
    assert np.array_equal(point.conditional[2], point.conditional[1])
    assert np.array_equal(point.conditional[4], point.conditional[3])


def test_a_thousand_levels_are_certified_too():
    law = np.random.default_rng(5).dirichlet(np.ones(1024))
    load = load_of(law)
    power.solve(load, 1.0)
    for share in (0.001, 0.4, 0.999):
        point = power.solve(load, share * load.mean)
        assert point.upper - point.lower < 1e-9
        assert point.seconds < 1
        assert point.conditional.sum(1) == pytest.approx(np.ones(1024))


def test_many_levels_with_a_peak_are_certified_too():
    load = load_of(np.random.default_rng(6).dirichlet(np.ones(96)))
    point = power.solve(load, 0.3 * load.mean, 40.0)
    assert point.upper - point.lower < 1e-9
    is_feasible(load, point, 0.3 * load.mean, 40.0)


def geometric_entropy(mean):
    return (mean + 1) * math.log2(mean + 1) - mean * math.log2(mean)


def test_geometric_loads_have_a_closed_form_whose_limit_is_the_exponential_one():
    """X = V + Y with V geometric reaches H(X) - H(V), the Shannon lower bound on a lattice."""
    load = load_of(np.exp(-0.02 * np.arange(1024)))
    ratio = math.exp(-0.02)
    mean, watts = ratio / (1 - ratio), 20.0
    found = power.solve(load, watts).value
    assert found == pytest.approx(geometric_entropy(mean) - geometric_entropy(watts), abs=1e-5)
    exact = power.exponential(Exponential(mean), watts)
    assert exact.value == math.log2(mean / watts)
    assert exact.atom_at_zero == watts / mean
    assert found == pytest.approx(exact.value, abs=0.03)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: power.solve(UNIFORM, 1.1), r"power is 1.1, beyond the load's mean, 1"),
        (lambda: power.solve(UNIFORM, -0.1), "power is -0.1; it must be 0 or more"),
        (lambda: power.solve(UNIFORM, math.nan), "power is nan"),
        (lambda: power.solve(UNIFORM, 0.5, -1), "peak is -1"),
        (lambda: power.exponential(Exponential(1.0), 0.0), "leaks without bound"),
        (lambda: power.exponential(Exponential(1.0), 2.0), "beyond the load's mean"),
    ],
)
def test_what_cannot_be_is_refused(call, said):
    with pytest.raises(HushmeterError, match=said):
        call()


def invoke(*words):
    return CliRunner().invoke(main, ["leakage", "power", *map(str, words)])


def strict(text):
    return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} in JSON"))


def test_the_command_prints_what_was_promised():
    done = invoke("--dist", "uniform:21", "--mean", 1, "--power", 0.5, "--json")
    found = strict(done.stdout)
    assert found["lower"] <= found["value"] <= found["upper"]
    assert found["shannon_lower"] <= found["value"] <= found["output_limit"]
    assert found["value"] < found["time_division_exact"] < found["time_division"]
    assert found["time_division"] == pytest.approx(math.log2(21) / 2)
    assert np.array(found["conditional"]).shape == (21, 21)
    assert 0 < found["seconds"] < 1


def test_the_command_takes_levels_a_peak_and_no_power():
    done = invoke("--dist", "0.5,0.25,0.25", "--levels", "1,2,8", "--power", 0, "--json")
    assert strict(done.stdout)["value"] == pytest.approx(1.5)
    assert strict(done.stdout)["multiplier_nats"] is None
    done = invoke(
        "--dist", "0.5,0.25,0.25", "--levels", "1,2,8", "--power", 1, "--peak", 1, "--json"
    )
    found = strict(done.stdout)
    assert found["time_division_exact"] is None
    assert found["value"] == pytest.approx(entropy(np.array([0.75, 0.25])), abs=1e-9)


def test_the_command_speaks_to_people():
    done = invoke("--dist", "0.25,0.5,0.25", "--power", 0.5, "--heuristics")
    assert "certified" in done.output
    assert "time division" in done.output
    done = invoke("--dist", "exponential:2", "--power", 0.5)
    assert "Least leakage: 2 bits" in done.output
    assert "reads 0 with probability 0.25" in done.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--dist", "0.5,0.5", "--power", 0.6], "power is 0.6, beyond the load's mean, 0.5"),
        (["--dist", "0.5,0.6", "--power", 0.1], "sum to 1.1"),
        (["--dist", "0.5,0.5", "--power", 0.1, "--mean", 0], "--mean is 0"),
        (["--dist", "0.5,0.5", "--power", 0.1, "--levels", "1"], "--levels has 1 levels"),
        (["--dist", "0.5,0.5", "--power", 0.1, "--levels", "2,1"], "levels must rise"),
        (["--dist", "exponential:1", "--power", 0.1, "--peak", 1], "finitely many levels"),
        (["--dist", "exponential:1", "--power", 0], "without bound"),
    ],
)
def test_bad_input_is_refused_with_exit_code_2(words, said):
    done = invoke(*words)
    assert done.exit_code == 2
    assert said in done.output
