"""The least leakage of one battery: certified, against closed forms and other solvers."""

from __future__ import annotations

import json
import math
import time

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import minimize

from hushmeter.cli import main
from hushmeter.errors import HushmeterError
from hushmeter.leakage import single
from hushmeter.leakage.policy import Policy, check

GAP = 1e-9
FAIR = np.array([0.5, 0.5])
BINOMIAL = np.array([0.25, 0.5, 0.25])

Floats = NDArray[np.float64]


def sparse(**levels: float) -> Floats:
    """A law from its positive entries, as sparse(x0=0.5, x7=0.5)."""
    places = {int(name[1:]): mass for name, mass in levels.items()}
    law = np.zeros(max(places) + 1)
    for place, mass in places.items():
        law[place] = mass
    return law / math.fsum(law)


def recheck(law: Floats, theta: Floats) -> tuple[float, float]:
    """(least gradient entry, I(S - X; X)) of a theta without zeros, by entropies, in bits."""
    mixed = np.convolve(theta, law[::-1])
    entropies = [math.fsum(-m * math.log2(m) for m in masses if m > 0) for masses in (mixed, theta)]
    slopes = [
        math.log2(theta[s])
        - math.fsum(
            law[x] * math.log2(mixed[s + len(law) - 1 - x]) for x in range(len(law)) if law[x] > 0
        )
        for s in range(len(theta))
    ]
    return min(slopes), entropies[0] - entropies[1]


def entropy(law: Floats) -> float:
    return float(-sum(p * math.log2(p) for p in law if p > 0))


@pytest.mark.parametrize("capacity", [1, 2, 3, 4, 12, 77, 500, 1000])
def test_a_fair_coin_leaks_what_the_closed_form_says(capacity: int) -> None:
    found = single.solve(FAIR, capacity)
    truth = -math.log2(math.cos(math.pi / (capacity + 3)))
    assert found.lower <= truth <= found.upper
    assert found.value == pytest.approx(truth, abs=1e-14)
    place = np.arange(capacity + 1)
    shape = np.sin(np.pi * (place + 1) / (capacity + 3)) * np.sin(
        np.pi * (place + 2) / (capacity + 3)
    )
    assert found.theta == pytest.approx(shape / shape.sum(), abs=1e-10)


@pytest.mark.parametrize(("capacity", "value"), [(1, 0.8113), (2, 0.5178), (3, 0.3613)])
def test_binomial_loads_leak_what_the_table_says(capacity: int, value: float) -> None:
    assert single.solve(BINOMIAL, capacity).value == pytest.approx(value, abs=5e-5)


def test_large_batteries_leak_two_pi_squared_variance_over_the_square_of_their_size() -> None:
    law = np.array([0.2, 0.3, 0.1, 0.4])
    variance = law @ np.arange(4) ** 2 - (law @ np.arange(4)) ** 2
    limit = 2 * math.pi**2 * variance / (1000**2 * math.log(2))
    assert single.solve(law, 1000).value == pytest.approx(limit, rel=0.02)


@pytest.mark.parametrize("capacity", [1, 5, 40, 1000])
@pytest.mark.parametrize("levels", [2, 3, 21, 80])
def test_bounds_can_be_computed_again_from_theta_alone(levels: int, capacity: int) -> None:
    law = np.random.default_rng(levels * capacity).dirichlet(np.ones(levels))
    found = single.solve(law, capacity)
    least, value = recheck(law, found.theta)
    assert found.upper - found.lower < 1e-11
    assert value == pytest.approx(found.value, abs=1e-12)
    assert value - least < 1e-11


def test_the_certificate_is_wide_for_a_law_that_is_not_the_best() -> None:
    even = np.full(5, 0.2)
    least, value = recheck(FAIR, even)
    truth = single.solve(FAIR, 4).value
    assert least < truth - 0.01
    assert value > truth + 0.01
    assert single.leakage_of(FAIR, even) == pytest.approx(value, abs=1e-14)


@settings(max_examples=150, deadline=None)
@given(
    masses=st.lists(
        st.one_of(st.just(0.0), st.floats(1e-12, 1.0), st.floats(-28, 0).map(math.exp)),
        min_size=2,
        max_size=12,
    ).filter(lambda masses: sum(masses) > 1e-3),
    capacity=st.integers(1, 40),
)
def test_any_law_is_solved_within_its_bounds(masses: list[float], capacity: int) -> None:
    law = np.array(masses) / math.fsum(masses)
    law /= math.fsum(law)
    found, larger = (single.solve(law, size) for size in (capacity, capacity + 1))
    assert 0 <= found.lower <= found.value <= found.upper < found.lower + GAP
    assert found.theta.sum() == pytest.approx(1, abs=1e-12)
    assert np.all(found.theta >= 0)
    assert found.value <= entropy(law) + 1e-12
    assert larger.lower <= found.upper
    assert single.leakage_of(law, found.theta) == pytest.approx(found.value, abs=1e-12)


@pytest.mark.parametrize("capacity", [1, 2, 3, 4, 9, 1000])
def test_a_load_of_even_levels_leaks_as_if_only_half_the_battery_were_there(capacity: int) -> None:
    found = single.solve([0.5, 0, 0.5], capacity)
    half = capacity // 2
    truth = single.solve(FAIR, half).value if half else 1.0
    assert found.value == pytest.approx(truth, abs=1e-13)
    assert found.upper - found.lower < GAP
    if capacity % 2 == 0:
        assert not found.theta[1::2].any()
    else:
        assert found.theta[::2] == pytest.approx(found.theta[1::2])


@pytest.mark.parametrize(
    ("law", "capacity"),
    [
        (sparse(x0=0.5, x1=1e-12, x2=0.5), 4),
        (sparse(x0=0.5, x1=1e-17, x2=0.5), 1000),
        (sparse(x0=1, x1=1e-12), 1000),
        (sparse(x0=1, x1=1e-300), 10),
        (sparse(x0=0.5, x5=0.5, x10=0.5, x11=1e-4), 11),
        (sparse(x6=1.1e-8, x11=1.5e-8, x14=7e-4, x16=0.9993), 3),
        (sparse(x12=0.92, x26=3e-3, x44=0.08, x54=3e-10, x67=4e-7, x76=6e-5, x83=1e-6), 8),
        (sparse(x0=0.4, x700=0.3, x1001=0.3), 500),
        (np.full(300, 1 / 300), 600),
        (np.full(1000, 1 / 1000), 3),
    ],
)
def test_loads_that_are_hard_are_solved_too(law: Floats, capacity: int) -> None:
    found = single.solve(law, capacity)
    assert found.lower <= found.value <= found.upper < found.lower + 1e-10


def test_a_load_that_never_changes_leaks_nothing() -> None:
    found = single.solve([0, 0, 1], 4)
    assert (found.value, found.lower) == (0, 0)


def test_a_load_too_large_for_the_battery_leaks_all_of_it() -> None:
    law = sparse(x0=0.2, x9=0.8)
    assert single.solve(law, 5).value == pytest.approx(entropy(law), abs=1e-13)


def test_the_load_may_be_shifted_and_mirrored() -> None:
    law = np.array([0.1, 0.2, 0.7])
    plain = single.solve(law, 6)
    shifted = single.solve([0, 0, *law], 6)
    mirrored = single.solve(law[::-1].copy(), 6)
    assert shifted.value == pytest.approx(plain.value, abs=1e-14)
    assert mirrored.theta == pytest.approx(plain.theta[::-1], abs=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_scipy_finds_nothing_better(seed: int) -> None:
    rng = np.random.default_rng(seed)
    law, capacity = rng.dirichlet(np.ones(2 + seed)), 3 + seed
    found = single.solve(law, capacity)

    def leaks(logs: Floats) -> float:
        theta = np.exp(logs - logs.max())
        return single.leakage_of(law, theta / theta.sum())

    peer = minimize(leaks, np.zeros(capacity + 1), method="BFGS", options={"gtol": 1e-9})
    assert found.value <= peer.fun + 1e-12
    assert found.value == pytest.approx(peer.fun, abs=1e-7)


@pytest.mark.parametrize("capacity", [2, 7])
def test_a_cone_solver_agrees(capacity: int) -> None:
    cvxpy = pytest.importorskip("cvxpy", reason="the peer is not installed")
    law = np.array([0.3, 0.0, 0.5, 0.2])
    theta = cvxpy.Variable(capacity + 1)
    mixed = cvxpy.convolve(law[::-1], theta)
    leaks = 0
    for x in np.flatnonzero(law):
        start = len(law) - 1 - x
        leaks += law[x] * cvxpy.sum(cvxpy.rel_entr(theta, mixed[start : start + capacity + 1]))
    problem = cvxpy.Problem(cvxpy.Minimize(leaks), [cvxpy.sum(theta) == 1])
    peer = problem.solve(solver="CLARABEL") / math.log(2)
    assert single.solve(law, capacity).value == pytest.approx(peer, abs=1e-7)


def joint_of(law: Floats, policy: Policy) -> Floats:
    """Joint law of draw and next state after a step from the policy's start law."""
    states = policy.capacity + 1
    out = np.zeros((policy.outputs, states))
    for s, x, y in np.ndindex(policy.draws.shape[1:]):
        if policy.draws[0, s, x, y]:
            out[y, s - x + y] += policy.initial[0, s] * law[x] * policy.draws[0, s, x, y]
    return out


@pytest.mark.parametrize("law", [FAIR, BINOMIAL, [0.5, 0, 0.5], [0.1, 0, 0.2, 0.7]])
@pytest.mark.parametrize("capacity", [1, 4, 30])
def test_the_next_charge_is_independent_of_the_draw(law: Floats, capacity: int) -> None:
    law = np.asarray(law)
    theta = single.solve(law, capacity).theta
    policy = check(single.optimal_policy(law, theta))
    assert joint_of(law, policy) == pytest.approx(np.outer(law, theta), abs=1e-12)


def test_charges_without_mass_follow_the_optimum_of_their_own_class() -> None:
    law = np.array([0.5, 0, 0.5])
    policy = single.optimal_policy(law, single.solve(law, 4).theta)
    assert not policy.initial[0, 1::2].any()
    assert policy.draws[0, 1, 0] == pytest.approx([0.5, 0, 0.5])
    assert policy.draws[0, 3, 0] == pytest.approx([1, 0, 0])


@pytest.mark.parametrize(("capacity", "most_s"), [(12, 1e-3), (500, 1.0)])
def test_it_is_fast(capacity: int, most_s: float) -> None:
    assert min(single.solve(BINOMIAL, capacity).seconds for _ in range(20)) < most_s
    started = time.perf_counter()
    for _ in range(20):
        single.solve(BINOMIAL, capacity)
    assert time.perf_counter() - started < 20 * 10 * most_s


@pytest.mark.parametrize(
    ("law", "capacity", "words"),
    [
        ([0.5, 0.5], 0, "the capacity is 0"),
        ([0.5, 0.5], 10_001, "the capacity is 10001"),
        ([0.5, 0.6], 3, "sum to 1.1"),
        ([1.5, -0.5], 3, "the probability of 0 is 1.5"),
        ([1.0], 3, "1 probabilities"),
    ],
)
def test_bad_input_is_named(law: list[float], capacity: int, words: str) -> None:
    with pytest.raises(HushmeterError, match=words):
        single.solve(law, capacity)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["leakage", "single", *arguments])


def test_the_command_prints_the_keys() -> None:
    found = json.loads(run("--dist", "0.5,0.5", "--capacity", "4", "--json").stdout)
    assert {"value", "lower", "upper", "theta", "iterations", "seconds"} <= set(found)
    assert found["value"] == pytest.approx(-math.log2(math.cos(math.pi / 7)), abs=1e-12)
    assert len(found["theta"]) == 5


def test_the_command_shows_people_the_charge_and_the_policy() -> None:
    result = run("--dist", "0.5,0.5", "--capacity", "2", "--policy")
    assert result.exit_code == 0
    assert "0.305758086" in result.stdout
    assert "draw 1" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--dist", "0.5,0.6", "--capacity", "2"), "sum to 1.1"),
        (("--dist", "0.5,0.5", "--capacity", "0"), "capacity is 0"),
        (("--capacity", "2"), "--markov"),
        (("--dist", "exponential:1", "--capacity", "2"), "finite number of levels"),
        (("--dist", "binary:0.5:1.5", "--capacity", "2"), "no whole number"),
    ],
)
def test_the_command_names_what_is_wrong(arguments: tuple[str, ...], words: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert words in result.stderr
