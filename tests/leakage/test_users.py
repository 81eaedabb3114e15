"""Homes that share a source: closed forms, equal slopes, and loads that depend on each other."""

import json
import math

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from hushmeter.cli import main
from hushmeter.errors import HushmeterError
from hushmeter.leakage import power, users, users_joint
from hushmeter.leakage.distributions import Discrete, Exponential, parse, parse_discrete
from hushmeter.leakage.entropies import entropy, mutual_information
from tests.leakage.power_kit import least_leakage

FIG_5 = [parse_discrete(f"binary:{low}:1") for low in (0.9, 0.5, 0.1)]


def mixed_loads(most):
    return st.lists(
        st.one_of(
            st.floats(0.1, 5).map(Exponential),
            st.tuples(st.floats(0.05, 0.95), st.floats(0.1, 9)).map(
                lambda of: Discrete(np.array([of[0], 1 - of[0]]), np.array([0.0, of[1]]))
            ),
            st.sampled_from([parse_discrete("uniform:6"), parse_discrete("0,0.5,0,0.25,0.25")]),
        ),
        min_size=1,
        max_size=most,
    )


@settings(max_examples=80, deadline=None)
@given(mixed_loads(5), st.floats(0.001, 1))
def test_an_allocation_is_certified_feasible_and_of_one_slope(loads, share):
    watts = share * math.fsum(load.mean for load in loads)
    found = users.solve(loads, watts)
    assert found.lower <= found.total <= found.upper
    assert found.upper - found.lower < 1e-10
    assert math.fsum(found.allocation) <= watts * (1 + 1e-12)
    assert math.fsum(found.per_user) == pytest.approx(found.total, abs=1e-12)
    for load, part, bits in zip(loads, found.allocation, found.per_user, strict=True):
        if isinstance(load, Exponential):
            assert bits == pytest.approx(math.log2(load.mean / part), abs=1e-9)
            assert part == pytest.approx(min(load.mean, found.water_level), rel=1e-9)
        else:
            assert bits == pytest.approx(power.solve(load, min(part, load.mean)).value, abs=1e-9)


@pytest.mark.parametrize("watts", [0.05, 0.2, 0.7, 0.8, 1.2, 1.4999])
def test_binary_users_get_what_the_papers_12_says(watts):
    found = users.solve(FIG_5, watts)
    for low, part, bits in zip((0.9, 0.5, 0.1), found.allocation, found.per_user, strict=True):
        expected = users.binary_allocation(low, 1.0, found.multiplier_nats)
        assert part == pytest.approx(expected, abs=1e-10)
        assert bits == pytest.approx(power.binary(low, 1.0, part), abs=1e-10)
    assert sum(found.allocation) == pytest.approx(watts, abs=1e-11)


def test_exponential_users_are_filled_from_above():
    for watts, level in ((3.0, 1.0), (5.0, 2.0), (1.5, 0.5), (4.0, 1.5), (6.0, 3.0)):
        found = users.solve([Exponential(mean) for mean in (1.0, 2.0, 3.0)], watts)
        assert users.reverse_water_filling([1, 2, 3], watts) == pytest.approx(level)
        assert found.water_level == pytest.approx(level, abs=1e-10)
        assert found.allocation == pytest.approx(
            [min(level, mean) for mean in (1, 2, 3)], abs=1e-10
        )
        expected = sum(math.log2(max(mean / level, 1)) for mean in (1, 2, 3))
        assert found.total == pytest.approx(expected, abs=1e-10)


def test_a_general_solver_finds_no_better_allocation():
    loads = [parse_discrete("uniform:5"), parse_discrete("binary:0.7:3"), parse_discrete("0.2,0.8")]
    watts = 1.3
    found = users.solve(loads, watts)
    means = [load.mean for load in loads]

    def total(parts):
        pairs = zip(loads, parts, means, strict=True)
        return sum(power.solve(load, min(max(p, 0), mean)).value for load, p, mean in pairs)

    tried = minimize(
        total, [watts * mean / sum(means) for mean in means], method="SLSQP",
        bounds=[(1e-6, mean) for mean in means], options={"ftol": 1e-14},
        constraints=[{"type": "ineq", "fun": lambda parts: watts - sum(parts)}],
    )  # fmt: skip
    assert found.total <= tried.fun + 1e-8
    assert tried.fun == pytest.approx(found.total, abs=1e-5)


def test_the_ends_are_all_or_nothing():
    none, all_ = users.solve(FIG_5, 0.0), users.solve(FIG_5, 1.5)
    assert none.total == pytest.approx(sum(entropy(load.probabilities) for load in FIG_5))
    assert none.multiplier_nats == math.inf
    assert all_.total == 0
    assert all_.allocation == pytest.approx([0.1, 0.5, 0.9])
    assert all_.multiplier_nats == pytest.approx(-math.log(0.9))


def test_a_base_load_is_left_to_the_grid():
    base = Discrete(np.array([0.5, 0.5]), np.array([2.0, 3.0]))
    found = users.solve([base, parse_discrete("0.5,0.5")], 2.0)
    assert found.total == 0
    assert found.allocation == pytest.approx([0.5, 0.5])
    assert found.multiplier_nats == 0


@pytest.mark.parametrize(
    ("loads", "watts", "said"),
    [
        ([], 1.0, "there is no user"),
        (FIG_5, 1.6, "beyond the sum of the means, 1.5"),
        (FIG_5, -1.0, "must be 0 or more"),
        ([Exponential(1.0)], 0.0, "leaks without bound"),
    ],
)
def test_what_cannot_be_shared_is_refused(loads, watts, said):
    with pytest.raises(HushmeterError, match=said):
        users.solve(loads, watts)


@pytest.mark.parametrize("watts", [0.1, 0.7, 1.2])
def test_independent_users_as_one_vector_leak_the_same(watts):
    load = users_joint.independent(FIG_5)
    found, apart = users_joint.solve(load, watts), users.solve(FIG_5, watts)
    assert found.total == pytest.approx(apart.total, abs=1e-9)
    assert found.upper - found.lower < 1e-9
    assert found.allocation == pytest.approx(apart.allocation, abs=1e-4)


def test_users_who_do_the_same_are_one_user():
    law = np.array([0.2, 0.3, 0.5])
    load = users_joint.joint(np.array([[0.0, 0], [1, 2], [2, 4]]), law)
    single = power.solve(Discrete(law, np.array([0.0, 3, 6])), 1.0)
    assert users_joint.solve(load, 1.0).total == pytest.approx(single.value, abs=1e-9)


def random_joint(seed, vectors=6, levels=3):
    rng = np.random.default_rng(seed)
    places = rng.choice(levels**2, vectors, replace=False)
    grid = np.stack(np.divmod(places, levels), axis=1) * np.array([1.0, 1.5])
    return users_joint.joint(grid, rng.dirichlet(np.ones(vectors)))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("peak", [None, 2.0])
def test_a_vector_load_is_certified_and_its_policy_feasible(seed, peak):
    load = random_joint(seed)
    watts = 0.4 * load.mean
    found = users_joint.solve(load, watts, peak)
    assert found.lower <= found.total <= found.upper < found.lower + 1e-9
    drawn = load.vectors[:, None, :] - found.outputs[None, :, :]
    used = found.conditional > 0
    assert np.all(drawn[used] >= 0)
    assert peak is None or np.all(drawn.sum(2)[used] <= peak + 1e-9)
    assert sum(found.allocation) <= watts * (1 + 1e-9)
    leaked = mutual_information(load.probabilities[:, None] * found.conditional)
    assert leaked == pytest.approx(found.total, abs=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_a_conic_solver_on_the_whole_product_alphabet_finds_the_same(seed):
    """Every reading of the paper's Theorem 2 is allowed, not only minima of loads."""
    load = random_joint(seed)
    watts = 0.3 * load.mean
    grid = np.stack(np.meshgrid([0, 1.0, 2], [0, 1.5, 3]), axis=-1).reshape(-1, 2)
    apart = load.vectors[:, None, :] - grid[None, :, :]
    costs = np.where(np.all(apart >= 0, axis=2), apart.sum(2), np.inf)
    expected = least_leakage(load.probabilities, costs, watts)
    assert users_joint.solve(load, watts).total == pytest.approx(expected, abs=1e-8)


def test_readings_are_minima_of_loads_that_occur():
    load = users_joint.joint(np.array([[2.0, 0], [0, 2], [2, 2]]), np.array([0.3, 0.3, 0.4]))
    assert users_joint.readings(load).tolist() == [[0, 0], [0, 2], [2, 0], [2, 2]]


def test_users_who_take_turns_leak_nothing_less_together():
    """One of two is on: a reading of (0, 0) must hide which, so all of the energy is needed."""
    load = users_joint.joint(np.array([[1.0, 0], [0, 1]]), np.array([0.5, 0.5]))
    half = users_joint.solve(load, 0.5)
    assert half.total == pytest.approx(0.5, abs=1e-9)
    assert users_joint.solve(load, 1.0).total == pytest.approx(0, abs=1e-9)


def invoke(*words):
    return CliRunner().invoke(main, ["leakage", "users", *map(str, words)])


def strict(text):
    return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} in JSON"))


def test_the_command_prints_what_was_promised():
    found = strict(invoke("--binary", "0.9:1,0.5:1,0.1:1", "--power", 0.2, "--json").stdout)
    assert len(found["per_user"]) == len(found["allocation"]) == 3
    assert sum(found["per_user"]) == pytest.approx(found["total"])
    assert found["multiplier_nats"] == pytest.approx(math.log(7), abs=1e-9)
    assert found["water_level"] is None
    found = strict(invoke("--exponential", "1,2,3", "--power", 3, "--json").stdout)
    assert found["total"] == pytest.approx(math.log2(6), abs=1e-9)
    assert found["water_level"] == pytest.approx(1)
    found = strict(
        invoke("--binary", "0.5:1", "--dist", "uniform:3", "--power", 0, "--json").stdout
    )
    assert found["total"] == pytest.approx(1 + math.log2(3))
    assert found["multiplier_nats"] is None


def test_the_command_takes_users_who_depend_on_each_other(tmp_path):
    file = tmp_path / "joint.csv"
    file.write_text("first,second,probability\n0,0,0.4\n1,1,0.4\n0,1,0.1\n1,0,0.1\n")
    found = strict(invoke("--joint", file, "--power", 0.4, "--json").stdout)
    assert found["lower"] <= found["total"] <= found["upper"]
    assert found["means"] == pytest.approx([0.5, 0.5])
    tighter = strict(invoke("--joint", file, "--power", 0.4, "--peak", 1, "--json").stdout)
    assert tighter["total"] > found["total"]
    assert "certified" in invoke("--joint", file, "--power", 0.4).output


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no rows"),
        ("0,0.5\n1,0.6\n", "sum to 1.1"),
        ("0,0.5\n1\n", "row 2 does not fit"),
        ("0,0.5\nx,0.5\n", "row 2 does not fit"),
        ("0,0.5\n0,0.5\n", "there twice"),
        ("-1,0.5\n0,0.5\n", "row 1 has a load that is negative"),
        ("1,1.5\n0,-0.5\n", "probability of row 1 is 1.5"),
    ],
)
def test_a_joint_file_that_does_not_fit_is_refused(tmp_path, text, said):
    file = tmp_path / "joint.csv"
    file.write_text(text)
    with pytest.raises(HushmeterError, match=said):
        users_joint.read(file)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--power", 1], "there is no user"),
        (["--binary", "0.5:1", "--power", 1], "beyond the sum of the means, 0.5"),
        (["--binary", "0.5", "--power", 0.1], "must be binary:P_LOW:DELTA"),
        (["--binary", "0.9:1,1.5:1", "--power", 0.1], "--binary, user 2: P_LOW is 1.5"),
        (["--exponential", "0", "--power", 0.1], "the mean is 0"),
        (["--binary", "0.5:1", "--power", 0.1, "--peak", 1], "--peak limits what all users"),
        (["--joint", "absent.csv", "--power", 1], "absent.csv"),
        (["--joint", "a.csv", "--dist", "0.5,0.5", "--power", 1], "no other users beside it"),
    ],
)
def test_bad_input_is_refused_with_exit_code_2(words, said):
    done = invoke(*words)
    assert done.exit_code == 2
    assert said in done.output


def test_every_form_of_a_load_can_be_a_user():
    loads = [parse(text) for text in ("0.5,0.5", "uniform:4", "binary:0.2:3", "exponential:2")]
    assert users.solve(loads, 1.0).upper - users.solve(loads, 1.0).lower < 1e-10


def test_a_peak_beneath_every_step_shows_all():
    load = users_joint.joint(np.array([[0.0, 0], [1, 1]]), np.array([0.5, 0.5]))
    assert users_joint.solve(load, 0.5, 1.0).total == pytest.approx(1, abs=1e-12)
    assert users_joint.solve(load, 0.5, 1.0).slope == 0
