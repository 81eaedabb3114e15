"""Markov loads: bounds that hold for every policy, and a policy between them."""

from __future__ import annotations

import functools
import itertools
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray

from hushmeter.cli import main
from hushmeter.errors import HushmeterError
from hushmeter.leakage import markov, single
from hushmeter.leakage.markov_load import MarkovLoad, markov_load, read
from hushmeter.leakage.markov_policy import leaks_at_most
from hushmeter.leakage.policy import Policy, check, memoryless

STICKY = markov_load([[0.9, 0.1], [0.2, 0.8]])
TERNARY = markov_load([[0.8, 0.1, 0.1], [0.2, 0.6, 0.2], [0.1, 0.3, 0.6]])

Floats = NDArray[np.float64]


def entropy(masses: Floats) -> float:
    positive = masses[masses > 0]
    return float(-(positive * np.log2(positive)).sum())


def after_draws(load: MarkovLoad, policy: Policy, law: Floats, draws: tuple[int, ...]) -> Floats:
    """Shape (memories, levels, states): masses of (m, x, s) together with these draws."""
    for y in draws:
        ahead = np.zeros_like(law)
        for m, place, s in np.argwhere(law > 0):
            x = int(load.levels[place])
            chance = law[m, place, s] * policy.draws[m, s, x, y]
            if chance:
                ahead[policy.next_memory[m, y], :, s - x + y] += chance * load.transition[place]
        law = ahead
    return law


def long_run(load: MarkovLoad, policy: Policy) -> Floats:
    law = policy.initial[:, None, :] * load.stationary()[:, None]
    whole = np.zeros_like(law)
    for step in range(4000):
        law = sum(after_draws(load, policy, law, (y,)) for y in range(policy.outputs))
        if step >= 2000:
            whole += law
    return whole / whole.sum()


def brute_bracket(load: MarkovLoad, policy: Policy, length: int) -> tuple[float, float]:
    """Of the leakage rate: H(Y_n | all before [, start]) - H(Y | X, S, m), all sequences listed."""
    law = long_run(load, policy)
    rows = [entropy(policy.draws[m, s, load.levels[x]]) for m, x, s in np.ndindex(law.shape)]
    noise = float(law.ravel() @ np.array(rows))

    def block(start: Floats, n: int) -> float:
        sequences = itertools.product(range(policy.outputs), repeat=n)
        return entropy(np.array([after_draws(load, policy, start, y).sum() for y in sequences]))

    upper = block(law, length) - block(law, length - 1)
    lower = 0.0
    for place in np.argwhere(law > 1e-12):
        start = np.zeros_like(law)
        start[tuple(place)] = 1.0
        lower += law[tuple(place)] * (block(start, length) - block(start, length - 1))
    return lower - noise, upper - noise


@functools.cache
def solved(entries: int) -> markov.MarkovOptimum:
    """Of the load with so many transitions and a battery of one quantum; solved once for all."""
    load = next(one for one in (STICKY, TERNARY) if one.transition.size == entries)
    return markov.solve(load, 1, most_seconds=1.0)


def random_policy(load: MarkovLoad, capacity: int, seed: int) -> Policy:
    rng = np.random.default_rng(seed)
    outputs = int(load.levels[-1]) + 1
    state, level, draw = np.ogrid[: capacity + 1, :outputs, :outputs]
    after = state - level + draw
    shape = np.broadcast(state, level, draw).shape
    draws = rng.random(shape) ** 3 * (after >= 0) * (after <= capacity)
    draws /= draws.sum(-1, keepdims=True)
    return memoryless(draws, np.full(capacity + 1, 1 / (capacity + 1)))


@pytest.mark.parametrize("law", [[0.5, 0.5], [0.9, 0.1], [0.25, 0.5, 0.25], [0.2, 0.0, 0.8]])
@pytest.mark.parametrize("capacity", [1, 3])
def test_equal_rows_leak_what_an_independent_load_leaks(law: list[float], capacity: int) -> None:
    seen = [place for place, mass in enumerate(law) if mass]
    row = [law[place] for place in seen]
    found = markov.solve(markov_load([row] * len(row), seen), capacity, most_seconds=1.0)
    truth = single.solve(law, capacity).value
    assert found.lower <= truth <= found.upper < found.lower + 1e-5


@pytest.mark.parametrize("seed", range(12))
def test_the_bounds_of_a_binary_load_meet(seed: int) -> None:
    rng = np.random.default_rng(seed)
    stay, capacity = rng.random(2), int(rng.integers(1, 9))
    load = markov_load([[stay[0], 1 - stay[0]], [1 - stay[1], stay[1]]])
    found = markov.solve(load, capacity)
    assert 0 <= found.lower <= found.value <= found.upper < found.lower + 1e-5
    check(found.policy)


@pytest.mark.parametrize("capacity", [1, 2])
def test_the_policy_leaks_what_it_should_when_all_draws_are_listed(capacity: int) -> None:
    found = markov.solve(STICKY, capacity)
    lower, upper = brute_bracket(STICKY, found.policy, 7)
    assert lower - 1e-9 <= found.lower <= upper + 1e-9
    assert upper - lower < 1e-2
    assert lower <= found.upper


@pytest.mark.parametrize("seed", range(6))
def test_no_policy_leaks_less_than_the_lower_bound(seed: int) -> None:
    for load, length in ((STICKY, 6), (TERNARY, 4)):
        found = solved(load.transition.size)
        policy = random_policy(load, 1, seed)
        _, upper = brute_bracket(load, policy, length)
        assert upper >= found.lower
        assert leaks_at_most(load, policy) >= found.lower


@pytest.mark.parametrize("seed", range(3))
def test_what_a_policy_leaks_at_most_is_above_what_it_leaks(seed: int) -> None:
    policy = random_policy(STICKY, 1, seed)
    lower, upper = brute_bracket(STICKY, policy, 7)
    bounds = [leaks_at_most(STICKY, policy, most) for most in (1, 8, 64, 4096)]
    assert bounds == sorted(bounds, reverse=True)
    assert lower - 1e-9 <= bounds[-1] <= upper + 1e-9
    assert bounds[0] > bounds[-1]


def cone_bound(load: MarkovLoad, capacity: int, told: int) -> float:
    """The lower bound that knows the last `told` draws and the present one, by a cone solver."""
    cvxpy = pytest.importorskip("cvxpy", reason="the peer is not installed")
    n, outputs = len(load.levels), int(load.levels[-1]) + 1
    pasts = list(itertools.product(range(outputs), repeat=told))
    flow: dict[Any, Any] = {}
    for past, x, s, y in itertools.product(pasts, range(n), range(capacity + 1), range(outputs)):
        if 0 <= s - load.levels[x] + y <= capacity:
            flow[past, x, s, y] = cvxpy.Variable(nonneg=True)
    enters: dict[Any, Any] = {}
    groups: dict[Any, list[tuple[int, Any]]] = {}
    for (past, x, s, y), mass in flow.items():
        after = s - int(load.levels[x]) + y
        groups.setdefault((past, y, after), []).append((x, mass))
        for z in range(n):
            key = ((*past, y)[1:] if told else (), z, after)
            enters[key] = enters.get(key, 0) + load.transition[x, z] * mass
    leaks = 0
    for members in groups.values():
        for z in range(n):
            whole = sum(load.transition[x, z] * mass for x, mass in members)
            leaks += sum(load.transition[x, z] * cvxpy.rel_entr(mass, whole) for x, mass in members)
    rules = [sum(flow.values()) == 1]
    for past, x, s in itertools.product(pasts, range(n), range(capacity + 1)):
        leaves = sum(flow[past, x, s, y] for y in range(outputs) if (past, x, s, y) in flow)
        rules.append(leaves == enters.get((past, x, s), 0))
    problem = cvxpy.Problem(cvxpy.Minimize(leaks), rules)
    return float(problem.solve(solver="CLARABEL") / math.log(2))


@pytest.mark.parametrize("told", [0, 1, 2])
def test_a_cone_solver_s_bounds_agree_for_a_binary_load(told: int) -> None:
    found = solved(STICKY.transition.size)
    bound = cone_bound(STICKY, 1, told)
    assert bound <= found.upper + 1e-7
    assert bound == pytest.approx(found.value, abs=1e-6)


@pytest.mark.parametrize("told", [0, 1])
def test_a_cone_solver_s_bounds_are_below_the_upper_one(told: int) -> None:
    found = solved(TERNARY.transition.size)
    bound = cone_bound(TERNARY, 1, told)
    assert bound <= found.upper + 1e-7
    assert bound <= found.lower + 1e-4


def test_the_lower_bound_can_be_computed_again_from_its_certificate() -> None:
    found = markov.solve(TERNARY, 2, most_seconds=0.5)
    again = markov.certified(TERNARY, 2, found.certificate)
    assert max(0.0, again) == pytest.approx(found.lower, abs=1e-9)
    shaken = found.certificate.multipliers + np.linspace(0, 0.1, len(found.certificate.multipliers))
    worse = markov.Certificate(found.certificate.next_memory, found.certificate.directions, shaken)
    assert markov.certified(TERNARY, 2, worse) < again - 1e-3


def test_more_time_brings_the_bounds_together() -> None:
    short, long = (markov.solve(TERNARY, 1, most_seconds=limit) for limit in (0.0, 1.0))
    assert long.lower > short.lower
    assert long.upper < short.upper
    assert long.upper - long.lower < 0.5 * (short.upper - short.lower)
    assert long.lower <= short.upper
    assert short.lower <= long.upper


@pytest.mark.parametrize(("levels", "capacity"), [(4, 4), (24, 20)])
@pytest.mark.parametrize("most_seconds", [0.0, 0.5])
def test_the_time_limit_is_kept_by_valid_bounds(
    levels: int, capacity: int, most_seconds: float
) -> None:
    rows = np.random.default_rng(0).dirichlet(np.full(levels, 0.5), size=levels)
    load = markov_load(rows.tolist())
    started = time.perf_counter()
    found = markov.solve(load, capacity, tolerance=1e-12, most_seconds=most_seconds)
    assert time.perf_counter() - started < most_seconds + 5.0
    assert 0 <= found.lower < found.upper < math.log2(levels)
    again = markov.certified(load, capacity, found.certificate)
    assert max(0.0, again) == pytest.approx(found.lower, abs=1e-9)
    assert leaks_at_most(load, found.policy) < found.upper + 1e-9


@pytest.mark.parametrize(
    "transition", [[[0, 1], [1, 0]], [[0, 1, 0], [0, 0, 1], [1, 0, 0]]], ids=["two", "three"]
)
def test_a_load_without_chance_leaks_nothing(transition: list[list[float]]) -> None:
    found = markov.solve(markov_load(transition), 2)
    assert found.lower == 0
    assert found.upper < 1e-5


def test_transitions_that_never_happen_are_allowed() -> None:
    load = markov_load([[0.5, 0.5, 0.0], [0.25, 0.5, 0.25], [0.0, 0.5, 0.5]])
    found = markov.solve(load, 2, most_seconds=2)
    check(found.policy)
    assert found.upper - found.lower < 0.02


@pytest.mark.parametrize(("levels", "capacity"), [([0, 1, 5], 1), ([0, 5], 2)])
def test_levels_further_apart_than_the_capacity_are_allowed(
    levels: list[int], capacity: int
) -> None:
    rows = np.full((len(levels), len(levels)), 1 / len(levels))
    found = markov.solve(markov.MarkovLoad(np.array(levels), rows), capacity, most_seconds=2)
    wanted = single.solve(np.bincount(levels) / len(levels), capacity)
    assert found.lower <= wanted.upper and wanted.lower <= found.upper
    assert found.upper - found.lower < 1e-2


def test_the_entropies_telescope() -> None:
    """Over n steps I(X, S; Y | past) adds up to phi of the posteriors, but for the two ends."""
    load, policy, steps = STICKY, random_policy(STICKY, 2, 1), 5
    start = long_run(load, policy)
    informed, divided = 0.0, 0.0
    for past in itertools.chain.from_iterable(
        itertools.product(range(2), repeat=n) for n in range(steps)
    ):
        law = after_draws(load, policy, start, past)[0]
        posteriors = np.zeros((2, *law.shape))
        for x, s, y in np.ndindex(*law.shape, 2):
            if 0 <= s - x + y <= 2:
                posteriors[y, x, s - x + y] = law[x, s] * policy.draws[0, s, x, y]
        by_draw = posteriors.sum((1, 2))
        informed += entropy(law) - entropy(posteriors) + entropy(by_draw) - entropy(law.sum()[None])
        for part in posteriors:
            divided += entropy(load.transition.T @ part) - entropy(part)
    ends = [
        after_draws(load, policy, start, y)[0] for y in itertools.product(range(2), repeat=steps)
    ]
    given_all = sum(entropy(end) - entropy(end.sum()[None]) for end in ends)
    first = entropy(start[0])
    assert informed == pytest.approx(divided + first - given_all, abs=1e-10)


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "chain.json"
    path.write_text('{"levels": [0, 3], "transition": [[0.9, 0.1], [0.2, 0.8]]}')
    load = read(path)
    assert load.levels.tolist() == [0, 3]
    assert load.stationary() == pytest.approx([2 / 3, 1 / 3])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[1]", "no list named transition"),
        ("{", "no JSON"),
        ('{"transition": [[1]]}', "1 rows"),
        ('{"transition": [[0.5, 0.5], [0.5]]}', "row 1 must be a list of 2"),
        ('{"transition": [[0.5, 0.5], [0.5, "a"]]}', "row 1, column 1 is 'a'"),
        ('{"transition": [[0.5, 0.5], [0.5, -0.5]]}', "row 1, column 1 is -0.5"),
        ('{"transition": [[0.5, 0.5], [0.5, NaN]]}', "row 1, column 1 is nan"),
        ('{"transition": [[0.5, 0.4], [0.5, 0.5]]}', "row 0 sums to 0.9"),
        ('{"transition": [[1, 0], [0.5, 0.5]]}', "rows 0 and 1"),
        ('{"transition": [[0.5, 0.5], [0.5, 0.5]], "levels": [1, 0]}', "levels must rise"),
        ('{"transition": [[0.5, 0.5], [0.5, 0.5]], "levels": [0, 0.5]}', "level 1 is 0.5"),
        ('{"transition": [[0.5, 0.5], [0.5, 0.5]], "levels": [0]}', "list of 2 whole"),
        ('{"transition": [[0.5, 0.5], [0.5, 0.5]], "level": [0, 1]}', "an entry 'level'"),
    ],
)
def test_a_bad_file_is_refused_by_entry(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "chain.json"
    path.write_text(text)
    with pytest.raises(HushmeterError, match=words):
        read(path)


@pytest.mark.parametrize("capacity", [0, 5000])
def test_a_capacity_that_does_not_fit_is_refused(capacity: int) -> None:
    with pytest.raises(HushmeterError, match="capacity"):
        markov.solve(TERNARY, capacity)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["leakage", "single", *arguments])


def test_the_command_prints_the_keys(tmp_path: Path) -> None:
    path = tmp_path / "chain.json"
    path.write_text('{"transition": [[0.9, 0.1], [0.2, 0.8]]}')
    result = run("--markov", str(path), "--capacity", "2", "--json", "--policy")
    found = json.loads(result.stdout)
    assert {"value", "lower", "upper", "iterations", "seconds", "memories"} <= set(found)
    assert found["upper"] - found["lower"] < 1e-6
    assert np.array(found["draws"]).shape == (2, 3, 2, 2)
    assert np.array(found["next_memory"]).shape == (2, 2)


def test_the_command_takes_one_load_only(tmp_path: Path) -> None:
    result = run("--markov", "x.json", "--dist", "0.5,0.5", "--capacity", "2")
    assert result.exit_code == 2
    assert "either --dist LAW or --markov FILE" in result.stderr
    assert "cannot be read" in run("--markov", str(tmp_path / "no"), "--capacity", "2").stderr
