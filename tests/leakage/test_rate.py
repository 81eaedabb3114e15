"""Simulated leakage rates: right within their error, the same for the same seed; the command."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from click.testing import CliRunner

from hushmeter.cli import main
from hushmeter.compiler import compiled
from hushmeter.errors import HushmeterError
from hushmeter.leakage import forward, forward_kernels
from hushmeter.leakage.exact import bracket, exact
from hushmeter.leakage.machine import Machine, from_policy, series
from hushmeter.leakage.machine_load import under
from hushmeter.leakage.machine_named import best_effort, hold_mean, optimal
from hushmeter.leakage.policy import Policy
from hushmeter.leakage.rate import simulate, simulate_cascade
from tests.leakage.rate_kit import FAIR, SKEW, TERNARY, blind_policy, random_policy

SEEDS = 60
MOST_SIGMAS = 5.5
CASES = {
    "best effort": (best_effort(FAIR, 1), FAIR, 20_000),
    "hold mean": (hold_mean(TERNARY, 6), TERNARY, 20_000),
    "at random": (random_policy(SKEW, 1, 5), SKEW, 20_000),
    "two in series": (series([random_policy(FAIR, 1, n) for n in (1, 10)]), FAIR, 20_000),
    "21 levels": (best_effort(np.full(21, 1 / 21), 3), np.full(21, 1 / 21), 2_000),
}  # fmt: skip


def sigmas(policy: Policy | Machine, law: np.ndarray, steps: int) -> np.ndarray:
    """By how many standard errors each seed's rate is off."""
    truth = bracket(policy, law)
    assert truth.upper - truth.lower < 1e-5
    found = [simulate(policy, law, steps, seed) for seed in range(SEEDS)]
    return np.array([(one.rate - truth.value) / one.stderr for one in found])


def is_honest(off: np.ndarray) -> bool:
    """Of `SEEDS` Student variables with 63 degrees: centre, spread and the farthest are usual."""
    return (
        abs(off.mean()) * math.sqrt(SEEDS) < MOST_SIGMAS
        and 0.6 < off.std() < 1.5
        and np.abs(off).max() < MOST_SIGMAS
    )


@pytest.mark.statistical
@pytest.mark.parametrize("case", CASES)
def test_rates_are_off_by_what_their_standard_errors_say(case: str) -> None:
    """Seeds are fixed. For a fresh set a false alarm has a chance below 1e-4: 60 Student variables
    beyond 5.5 come at 5e-5, a mean beyond 5.5 / sqrt(60) at 4e-8, a spread so far off at 1e-6."""
    assert is_honest(sigmas(*CASES[case]))


@pytest.mark.statistical
def test_a_recursion_with_a_wrong_weight_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The positive control: one arc of the recursion is weighed 20 % too high."""
    right = forward.groups

    def wrong(process, *, known_load: bool):
        *labels, weights = right(process, known_load=known_load)
        weights = weights.copy()
        weights[0] *= 1.2
        return (*labels, weights)

    monkeypatch.setattr(forward, "groups", wrong)
    assert not is_honest(sigmas(*CASES["at random"]))


@pytest.mark.statistical
def test_errors_from_chains_taken_for_steps_would_be_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The positive control of the spread: standard errors at half their size are not honest."""
    off = sigmas(*CASES["best effort"])
    assert is_honest(off) and not is_honest(2 * off)


SELDOM = np.array([0.999, 0.001])


def seldom() -> np.ndarray:
    """By how many errors a load that hardly ever changes is off, after too few steps to settle."""
    policy = best_effort(SELDOM, 30)
    truth = bracket(policy, SELDOM)
    found = [simulate(policy, SELDOM, 64_000, seed) for seed in range(20)]
    return np.array(
        [max(truth.lower - one.rate, one.rate - truth.upper, 0) / one.stderr for one in found]
    )


@pytest.mark.statistical
def test_a_start_that_is_not_forgotten_is_in_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seeds are fixed; 20 Student variables beyond 5.5 come at 2e-5. Positive control: without
    the second run, which is told what the first is not, the rates are too high by more."""
    assert seldom().max() < MOST_SIGMAS
    monkeypatch.setattr(forward, "_forgets", lambda *_: True)
    assert seldom().max() > MOST_SIGMAS


@pytest.mark.parametrize("is_sparse", [False, True])
def test_what_is_told_of_the_start_bounds_the_rate_from_the_other_side(
    is_sparse: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_sparse:
        monkeypatch.setattr(forward, "_MANY_ARCS", 0)
        monkeypatch.setattr(forward, "_MANY_LEVELS", 0)
    process = under(from_policy(best_effort(FAIR, 6)), FAIR)
    plan = forward._Plan(process, 64)
    assert plan.is_sparse is is_sparse
    above, told = plan.run(20, 0, 1)[0], plan.run(20, 0, 1, is_told=True)[0]
    assert told.sum() < above.sum()
    late = [plan.run(20, 2_000, 1, is_told=is_told)[0] for is_told in (False, True)]
    assert late[0] == pytest.approx(late[1], abs=1e-9)


def test_an_invariant_policy_is_seen_to_be_one() -> None:
    assert under(from_policy(optimal(TERNARY, 5)), TERNARY).is_invariant(1e-12)
    assert not under(from_policy(best_effort(TERNARY, 5)), TERNARY).is_invariant(1e-3)


def test_the_same_seed_gives_the_same_figures() -> None:
    policy = best_effort(TERNARY, 2)
    first, again = simulate(policy, TERNARY, 5000, 7), simulate(policy, TERNARY, 5000, "7")
    assert (first.rate, first.stderr, first.steps) == (again.rate, again.stderr, again.steps)
    assert simulate(policy, TERNARY, 5000, 8).rate != first.rate
    assert first.steps == 64 * math.ceil(5000 / 64)


def test_figures_do_not_depend_on_how_chains_are_blocked(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = best_effort(TERNARY, 2)
    first = simulate(policy, TERNARY, 5000, 7)
    monkeypatch.setattr(forward, "_LANES", 8)
    assert simulate(policy, TERNARY, 5000, 7).rate == pytest.approx(first.rate, abs=1e-14)


@pytest.mark.parametrize("machine", [series([optimal(FAIR, 2)] * 2), hold_mean(TERNARY, 4)])
def test_the_two_recursions_do_the_same(
    machine: Machine | Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    law = TERNARY if isinstance(machine, Policy) else FAIR
    beside = simulate(machine, law, 20_000, 3)
    monkeypatch.setattr(forward, "_MANY_ARCS", 0)
    monkeypatch.setattr(forward, "_MANY_LEVELS", 0)
    sparse = simulate(machine, law, 20_000, 3)
    assert sparse.rate == pytest.approx(beside.rate, abs=1e-12)
    assert sparse.stderr == pytest.approx(beside.stderr, rel=1e-9)


def test_an_invariant_policy_needs_no_luck() -> None:
    found = simulate(optimal(FAIR, 3), FAIR, 1000, 1)
    assert found.rate == pytest.approx(-math.log2(math.cos(math.pi / 6)), abs=1e-9)
    assert found.stderr == forward.LEAST_STDERR


def test_the_optimum_of_a_large_battery_takes_no_recursion() -> None:
    law = np.full(21, 1 / 21)
    policy = optimal(law, 1000)
    found = simulate(policy, law, 200_000, 1)
    truth = exact(policy, law)
    assert truth is not None and abs(found.rate - truth.value) < 4 * found.stderr
    assert found.steps == 200_000 and found.seconds < 5


@pytest.mark.parametrize("policy", [optimal(SKEW, 5), random_policy(FAIR, 4, 1)])
def test_what_takes_no_recursion_leaks_what_the_recursion_finds(
    policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    law = SKEW if policy.inputs == 3 else FAIR
    walked = simulate(policy, law, 20_000, 1)
    monkeypatch.setattr(forward, "_draws_are_independent", lambda _: False)
    followed = simulate(policy, law, 20_000, 1)
    assert walked.rate == pytest.approx(followed.rate, abs=2e-9)
    assert walked.stderr == followed.stderr == forward.LEAST_STDERR


@pytest.mark.parametrize("law", [FAIR, SKEW], ids=["fair", "skew"])
def test_draws_that_depend_on_each_other_are_not_taken_for_independent(
    law: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The positive control of the walk: best effort, said to be invariant, goes to the recursion.
    That the walk accepts what is invariant fails by chance below 1e-7; its seeds are fixed."""
    invariant = under(from_policy(optimal(law, 4)), law)
    assert all(forward._walked(invariant, 1000, seed, 64) is not None for seed in range(20))
    policy = best_effort(law, 4)
    assert forward._walked(under(from_policy(policy), law), 1000, 1, 64) is None
    first = simulate(policy, law, 64_000, 1)
    monkeypatch.setattr(forward, "_draws_are_independent", lambda _: True)
    assert simulate(policy, law, 64_000, 1).rate == first.rate


def test_classes_that_never_meet_are_not_taken_for_independent_draws() -> None:
    process = under(from_policy(blind_policy(FAIR, 3)), FAIR)
    assert len(process.classes) > 1 and not forward._draws_are_independent(process)


def test_a_cascade_of_one_is_the_battery_itself() -> None:
    policy = best_effort(FAIR, 2)
    assert simulate_cascade([policy], FAIR, 3000, 1).rate == simulate(policy, FAIR, 3000, 1).rate


def test_three_in_series_leak_no_more_than_the_first_alone() -> None:
    _, one, two, three = (
        bracket(series([optimal(FAIR, 1)] * max(1, count)), FAIR) for count in range(4)
    )
    assert three.upper < two.lower and two.upper < one.lower
    found = simulate_cascade([optimal(FAIR, 1)] * 3, FAIR, 200_000, 1)
    assert three.lower - 5 * found.stderr < found.rate < three.upper + 5 * found.stderr


def test_an_alias_table_has_the_probabilities_of_its_state() -> None:
    process = under(from_policy(random_policy(TERNARY, 4, 2)), TERNARY)
    table = forward.alias(process)
    one = 1 << (64 - table.bits)
    found: dict[tuple[int, int, int, int], float] = {}
    for place in range(process.states << table.bits):
        kept = (int(table.keep[place]) + (int(table.keep[place]) == one - 1)) / one
        for at, chance in ((place, kept), (int(table.other[place]), 1 - kept)):
            if chance:
                key = (place >> table.bits, table.load[at], table.draw[at], int(table.head[at]))
                found[key] = found.get(key, 0) + chance / (1 << table.bits)
    arcs = zip(process.tail, process.load, process.draw, process.head, strict=True)
    assert set(found) == set(arcs := list(arcs))
    assert [found[arc] for arc in arcs] == pytest.approx(process.weight, abs=1e-15)


@compiled
def _logarithms(values: np.ndarray) -> np.ndarray:
    found = np.empty_like(values)
    for place in range(len(values)):
        found[place] = forward_kernels.log2(values[place])
    return found


def test_logarithms_are_right_to_rounding() -> None:
    values = np.concatenate([np.geomspace(1e-300, 1, 20_001), np.linspace(0.5, 1.5, 20_001)])
    true = np.log2(values)
    assert np.abs(_logarithms(values) - true).max() <= 2e-16 * np.abs(true).max()
    near = np.abs(true) < 1
    assert np.abs(_logarithms(values) - true)[near].max() < 4e-16
    assert 0.0 * _logarithms(np.zeros(1))[0] == 0.0


@compiled
def _words(seed: np.uint64, found: np.ndarray) -> None:
    counter = seed
    for place in range(len(found)):
        counter += forward_kernels.STRIDE
        found[place] = forward_kernels.mixed(counter)


def test_the_generator_is_splitmix64() -> None:
    found = np.zeros(3, dtype=np.uint64)
    _words(np.uint64(1234567), found)  # the vector that Rosetta Code lists for this seed
    assert found.tolist() == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_numbers_out_of_range_are_refused() -> None:
    policy = best_effort(FAIR, 1)
    with pytest.raises(HushmeterError, match="number of steps is 0"):
        simulate(policy, FAIR, 0, 1)
    with pytest.raises(HushmeterError, match="3 chains; a standard error takes 8"):
        simulate(policy, FAIR, 100, 1, chains=3)
    with pytest.raises(HushmeterError, match="no battery is given"):
        simulate_cascade([], FAIR, 100, 1)


def command(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, ["leakage", "rate", *arguments])
    return result.exit_code, result.stdout, result.stderr


def test_the_command_gives_the_rate_its_error_and_the_exact_value() -> None:
    code, out, _ = command(
        "--policy", "best-effort", "--dist", "0.25,0.5,0.25", "--capacity", "3",
        "--steps", "100000", "--seed", "5", "--json",
    )  # fmt: skip
    found = json.loads(out)
    truth = exact(best_effort(TERNARY, 3), TERNARY)
    assert code == 0 and truth is not None
    assert found["exact"] == truth.value
    assert found["lower"] <= found["exact"] <= found["upper"]
    assert abs(found["rate"] - found["exact"]) < 5 * found["stderr"]
    assert found["seconds"] > 0 and found["steps"] >= 100_000
    assert "nearest" in found["tie_rule"][0]


def test_the_command_says_null_where_no_exact_value_is_known() -> None:
    code, out, _ = command(
        "--policy", "best-effort", "--dist", "0.9,0.1", "--capacity", "200",
        "--steps", "1000", "--json",
    )  # fmt: skip
    found = json.loads(out)
    assert code == 0 and found["exact"] is None and found["lower"] < found["upper"]


def test_the_command_shows_batteries_in_series_and_tie_rules() -> None:
    code, out, _ = command(
        "--policy", "hold-mean", "--policy", "ls2", "--dist", "0.5,0.5", "--capacity", "2",
        "--steps", "1000",
    )  # fmt: skip
    assert code == 0 and out.startswith("hold-mean + ls2, battery of 2")
    assert "ls2: as the device's code does" in out and "equally near" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--policy", "worst", "--dist", "0.5,0.5", "--capacity", "2"), "no policy 'worst'"),
        (("--policy", "optimal", "--dist", "0.5,0.6", "--capacity", "2"), "sum to 1.1"),
        (("--policy", "optimal", "--dist", "0.5,0.5", "--capacity", "0"), "capacity is 0"),
        (("--policy", "lc", "--dist", "0.5,0.5", "--capacity", "2", "--set", "no=1"), "no setting"),
        (("--policy", "table:no.bin", "--dist", "0.5,0.5", "--capacity", "2"), "no.bin"),
    ],
)
def test_what_the_command_cannot_do_is_one_line(arguments: tuple[str, ...], words: str) -> None:
    code, out, error = command(*arguments)
    assert code == 2 and not out and error.startswith("error: ") and words in error
