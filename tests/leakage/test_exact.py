"""Exact leakage rates and brackets, against closed forms and sequences one by one."""

from __future__ import annotations

import math
import time
import tracemalloc

import numpy as np
import pytest

from hushmeter.errors import HushmeterError
from hushmeter.leakage import exact_beliefs, exact_contexts, exact_given
from hushmeter.leakage.exact import bracket, cascade_upper, exact, single_letter
from hushmeter.leakage.exact_beliefs import channel
from hushmeter.leakage.exact_given import at_least, at_most, carried
from hushmeter.leakage.machine import from_policy, series
from hushmeter.leakage.machine_load import under
from hushmeter.leakage.machine_named import best_effort, hold_mean, named, optimal
from hushmeter.leakage.policy import Policy, memoryless
from tests.leakage.rate_kit import (
    FAIR,
    SKEW,
    TERNARY,
    blind_policy,
    brute_bracket,
    entropy_of,
    last_entropies,
    random_policy,
)

POLICIES = [
    (best_effort(FAIR, 1), FAIR),
    (best_effort(SKEW, 1), SKEW),
    (best_effort(TERNARY, 1, passing=True), TERNARY),
    (hold_mean(TERNARY, 2), TERNARY),
    (random_policy(FAIR, 1, 3), FAIR),
    (random_policy(FAIR, 2, 4), FAIR),
    (random_policy(SKEW, 1, 5), SKEW),
]
NAMED = [f"{policy.name}, {len(law)} levels" for policy, law in POLICIES]


def closed_form(capacity: int) -> tuple[float, Policy]:
    """J* of a fair binary load and its policy: battery.md's closed form, no solver."""
    s = np.arange(capacity + 1)
    theta = np.sin(np.pi * (s + 1) / (capacity + 3)) * np.sin(np.pi * (s + 2) / (capacity + 3))
    theta /= theta.sum()
    draws = np.zeros((capacity + 1, 2, 2))
    for state, load, draw in np.ndindex(draws.shape):
        if 0 <= state - load + draw <= capacity:
            draws[state, load, draw] = theta[state - load + draw]
    draws /= draws.sum(-1, keepdims=True)
    return -math.log2(math.cos(math.pi / (capacity + 3))), memoryless(draws, theta)


@pytest.mark.parametrize("capacity", [1, 2, 5, 12, 60])
def test_an_invariant_policy_leaks_its_closed_form(capacity: int) -> None:
    value, policy = closed_form(capacity)
    found = exact(policy, FAIR)
    assert found is not None and found.lower <= value <= found.upper
    assert found.upper - found.lower < 1e-10
    assert single_letter(policy, FAIR) == pytest.approx(value, abs=1e-13)


@pytest.mark.parametrize("seed", range(5))
def test_without_a_memory_a_binary_load_always_gives_independent_draws(seed: int) -> None:
    """What goes up between two states comes down again, so S' has its law whatever was drawn."""
    policy, law = random_policy(FAIR, 4, seed), np.array([0.3, 0.7])
    found = exact(policy, law)
    assert found is not None and found.method == "beliefs"
    assert found.value == pytest.approx(single_letter(policy, law), abs=1e-12)


@pytest.mark.parametrize(("policy", "law"), POLICIES, ids=NAMED)
def test_a_bracket_agrees_with_sequences_one_by_one(policy: Policy, law: np.ndarray) -> None:
    found = bracket(policy, law)
    lower, upper = brute_bracket(from_policy(policy), law, 11 if len(law) == 2 else 7)
    assert lower - 2e-12 <= found.lower <= found.upper <= upper + 2e-12
    assert found.upper - found.lower < 1e-6


@pytest.mark.parametrize("capacity", [1, 2, 3, 8])
def test_best_effort_with_a_binary_load_agrees_with_its_run_lengths(capacity: int) -> None:
    """A change pins the state, so runs are independent: the rate is H(run) / E(run)."""
    lengths = run_lengths(capacity)
    value = entropy_of(lengths) / (lengths @ np.arange(1, len(lengths) + 1))
    found = exact(best_effort(FAIR, capacity), FAIR)
    assert found is not None and found.value == pytest.approx(value, abs=1e-11)


def run_lengths(capacity: int) -> np.ndarray:
    """Law of a run's length, entry n - 1 that of n: after a change to 1 the battery is empty, and 1
    goes on until a 0 finds it full; the other way round is the same."""
    law = np.zeros(capacity + 1)
    law[0] = 1
    ends = []
    for _ in range(4000):
        ends.append(law[-1] / 2)
        law = law / 2 + np.concatenate([[0], law[:-1] / 2])
    return np.array(ends)


@pytest.mark.parametrize(
    ("capacity", "printed"), [(1, 0.994), (3, 0.589), (4, 0.488), (6, 0.365), (10, 0.239)]
)
def test_hold_mean_of_a_ternary_load_leaks_what_forward_recursions_found(
    capacity: int, printed: float
) -> None:
    found = exact(hold_mean(TERNARY, capacity), TERNARY)
    assert found is not None and found.value == pytest.approx(printed, abs=3e-3)


def test_the_optimum_of_the_solver_leaks_what_the_solver_says() -> None:
    from hushmeter.leakage import single

    found = exact(optimal(SKEW, 4), SKEW)
    assert found is not None
    assert found.value == pytest.approx(single.solve(SKEW, 4).value, abs=1e-9)


@pytest.mark.parametrize("law", [FAIR, SKEW], ids=["fair", "skew"])
def test_thresholds_of_thirty_bits_cost_an_optimal_table_next_to_nothing(law: np.ndarray) -> None:
    from hushmeter.leakage import single, thresholds

    exactly = optimal(law, 6)
    rounded = thresholds.of_policy(exactly).policy()
    assert np.abs(rounded.draws - exactly.draws).max() > 1e-11
    found = exact(rounded, law)
    assert found is not None and found.method == "optimum"
    assert found.upper - single.solve(law, 6).value < 3e-12
    assert single_letter(rounded, law) >= single.solve(law, 6).lower


def test_classes_that_never_meet_are_averaged() -> None:
    draws = np.zeros((2, 2, 2, 2))
    draws[0] = best_effort(FAIR, 1).draws[0]
    draws[:, :, 0, 0] = draws[:, :, 1, 1] = 1  # memory 1 passes the load on
    draws[0] = closed_form(1)[1].draws[0]
    initial = np.array([[0.3, 0.3], [0.2, 0.2]])
    policy = Policy(draws, initial, np.array([[0, 0], [1, 1]]))
    found = exact(policy, FAIR)
    assert found is not None and found.value == pytest.approx(0.6 * 0.5 + 0.4, abs=1e-9)
    assert bracket(blind_policy(SKEW, 3), SKEW).value == pytest.approx(entropy_of(SKEW))


def test_what_cannot_be_said_exactly_is_none_between_bounds() -> None:
    policy = random_policy(TERNARY, 12, 1)
    assert exact(policy, TERNARY) is None
    found = bracket(policy, TERNARY)
    assert 0.0602 < found.lower < found.upper <= 1.5 + 1e-9  # at least the optimum


def test_contexts_and_beliefs_agree_where_both_can() -> None:
    for policy, law in POLICIES[:2]:
        process = under(from_policy(policy), law)
        seen = channel(process, process.stationary, with_load=False)
        by_beliefs = exact_beliefs.entropy_rate(seen)
        assert by_beliefs is not None
        lower, upper = exact_contexts.bracket(seen)
        assert by_beliefs[0] - by_beliefs[1] <= upper and lower <= by_beliefs[0] + by_beliefs[1]
        assert upper - lower < 1e-8


def test_merging_beliefs_coarsely_is_within_what_is_accounted_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    process = under(from_policy(random_policy(TERNARY, 1, 3)), TERNARY)
    seen = channel(process, process.stationary, with_load=False)
    lower, upper = exact_contexts.bracket(seen)
    assert upper - lower < 1e-9
    for grid in (1e-3, 1e-5):
        monkeypatch.setattr(exact_beliefs, "_GRID", grid)
        found = exact_beliefs.entropy_rate(seen)
        assert found is not None
        rate, off = found
        assert rate - off <= upper and lower <= rate + off
        assert abs(rate - upper) > 1e-12, "the grid changed nothing, so nothing was tested"


def test_looking_no_step_back_is_theorem_1_of_the_cascade_paper() -> None:
    _, policy = closed_form(2)
    theta = policy.initial[0]
    joint = np.zeros((3, 3, 2, 2, 2))
    for a, b, x, w, y in np.ndindex(joint.shape):
        q = policy.draws[0]
        joint[a, b, x, w, y] = theta[a] * theta[b] * 0.5 * q[a, x, w] * q[b, w, y]
    h = entropy_of
    first = h(joint.sum((1, 3, 4))) + h(joint.sum((0, 1, 2, 4))) - h(joint.sum((1, 4)))
    second = h(joint.sum((0, 2, 4))) + h(joint.sum((0, 1, 2, 3))) - h(joint.sum((0, 2)))
    shared = h(joint.sum(3)) + h(joint.sum((0, 1, 2, 4))) - h(joint)
    bound = cascade_upper([policy, policy], FAIR, 0)
    assert bound == pytest.approx(first + second - shared, abs=1e-11)


def test_looking_further_back_lowers_the_bound_towards_the_rate() -> None:
    _, policy = closed_form(1)
    bounds = [cascade_upper([policy, policy], FAIR, back) for back in (0, 1, 2, 4, 8, 24)]
    assert bounds[0] == pytest.approx(0.344361, abs=1e-6)
    assert all(further < nearer for nearer, further in zip(bounds, bounds[1:], strict=False))
    found = bracket(series([policy, policy]), FAIR)
    assert found.lower <= bounds[-1] and found.upper - found.lower < 1e-8
    assert bounds[-1] == pytest.approx(found.value, abs=1e-8)
    with pytest.raises(HushmeterError, match="-1 steps back"):
        cascade_upper([policy], FAIR, -1)


def test_looking_further_back_never_raises_the_bound_where_laws_are_thinned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exact_given, "_MOST_ROWS", 40)
    pair = [random_policy(FAIR, 2, 1), random_policy(FAIR, 2, 2)]
    bounds = [cascade_upper(pair, FAIR, back) for back in range(12)]
    assert all(further <= nearer for nearer, further in zip(bounds, bounds[1:], strict=False))
    assert bounds[-1] == bounds[-2], "nothing was thinned, so nothing was tested"


LARGE = {
    "two in series": (series([optimal(TERNARY, 10)] * 2), TERNARY),
    "a ternary table, a binary load": (from_policy(optimal(TERNARY, 40)), np.array([0.5, 0.5, 0])),
    "21 levels in series": (series([optimal(np.full(21, 1 / 21), 5)] * 2), np.full(21, 1 / 21)),
    "hold-mean, 300 states": (hold_mean(np.full(21, 1 / 21), 300), np.full(21, 1 / 21)),
}


@pytest.mark.parametrize("name", LARGE)
def test_a_bracket_takes_a_second_or_two_however_large_the_machine(name: str) -> None:
    """In time of this process's own, so that others on the machine do not count."""
    policy, law = LARGE[name]
    began = time.thread_time()
    found = bracket(policy, law)
    assert time.thread_time() - began < 6, "about 0.5 s; a slow machine has its allowance"
    assert 0 <= found.lower < found.upper <= np.log2(len(law))


def test_with_less_work_a_bracket_is_wider_and_still_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    cases = [(series([optimal(TERNARY, 3)] * 2), TERNARY), (random_policy(SKEW, 4, 5), SKEW)]
    wide = [bracket(*case) for case in cases]
    for module in (exact_given, exact_contexts, exact_beliefs):
        monkeypatch.setattr(module, "MOST_WORK", module.MOST_WORK // 300)
    for near, case in zip(wide, cases, strict=True):
        far = bracket(*case)
        assert far.lower <= near.lower < near.upper <= far.upper
        assert far.upper - far.lower > near.upper - near.lower


@pytest.mark.parametrize("seed", [1, 2])
def test_a_cascades_bounds_agree_with_sequences_one_by_one(seed: int) -> None:
    machine = series([random_policy(FAIR, 1, seed), random_policy(FAIR, 1, seed + 9)])
    assert not machine.is_resolved
    process = under(machine, FAIR)
    seen = channel(process, process.stationary, with_load=True)
    known, unknown = last_entropies(process, 5, with_load=True)
    assert at_least(seen, 4, 1.0) == pytest.approx(known - 1, abs=1e-11)
    assert known - 1 <= at_least(seen, 30, 1.0) <= at_most(seen, 30, 1.0) <= unknown - 1
    assert at_most(seen, 30, 1.0) - at_least(seen, 30, 1.0) < 1e-6


def test_thinned_laws_keep_both_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = series([random_policy(FAIR, 2, 1), random_policy(FAIR, 2, 2)])
    process = under(machine, FAIR)
    seen = channel(process, process.stationary, with_load=True)
    wide = at_least(seen, 40, 1.0), at_most(seen, 40, 1.0)
    monkeypatch.setattr("hushmeter.leakage.exact_given._MOST_ROWS", 60)
    thin = at_least(seen, 40, 1.0), at_most(seen, 40, 1.0)
    assert thin[0] < wide[0] < wide[1] < thin[1]
    assert thin[1] - thin[0] < 0.1


def test_what_two_batteries_hold_together_is_carried_by_loads_and_draws() -> None:
    _, policy = closed_form(2)
    process = under(series([policy, policy]), FAIR)
    label = carried(channel(process, process.stationary, with_load=True))
    together = np.add.outer(np.arange(3), np.arange(3)).ravel()
    assert len(np.unique(label)) == 5
    assert len({(a, b) for a, b in zip(label, together, strict=True)}) == 5


def test_a_device_controller_with_a_hidden_state_is_exact_too() -> None:
    found = exact(named("ls2", FAIR, 4), FAIR)
    assert found is not None and found.value == pytest.approx(
        exact(best_effort(FAIR, 3), FAIR).value, abs=1e-10
    )


def test_a_large_machine_is_bracketed_without_a_matrix_of_all_its_pairs() -> None:
    law = np.full(21, 1 / 21)
    policy = best_effort(law, 100)
    tracemalloc.start()
    found = bracket(policy, law)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 400e6
    assert 0 < found.lower < found.upper < np.log2(21)


def test_one_step_is_all_that_a_large_cascade_is_looked_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pair = series([optimal(FAIR, 2)] * 2)
    near = bracket(pair, FAIR)
    for module in (exact_given, exact_beliefs):
        monkeypatch.setattr(module, "_MOST_STATES", 1)
    far = bracket(pair, FAIR)
    assert far.lower <= near.lower + 1e-10 and near.upper <= far.upper + 1e-10
    assert far.upper - far.lower > near.upper - near.lower
