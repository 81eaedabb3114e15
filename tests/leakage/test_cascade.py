"""Theorem 1 at its least: against known values, general solvers, and its own certificates."""

import itertools
import json

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.linalg import qr
from scipy.optimize import approx_fprime, minimize

from hushmeter.cli import main
from hushmeter.errors import HushmeterError
from hushmeter.leakage import cascade, cascade_kernels, cascade_space, single
from hushmeter.leakage.entropies import entropy, mutual_information

FAIR = [0.5, 0.5]
BINOMIAL = [0.25, 0.5, 0.25]
SKEWED = [0.6, 0.3, 0.1]


def joint_law(policies, law):
    """Of (s_a, s_b, x, w, y) after one step, from the policies alone, by the paper's (6)."""
    a, b = policies
    return np.einsum(
        "i,j,x,ixw,jwy->ijxwy", a.initial[0], b.initial[0], law, a.draws[0], b.draws[0]
    )


def theorem_1(policies, law):
    """I(S_A, X; W) + I(S_B, W; Y) - I(S_A, S_B, X, Y; W), as printed in (10)."""
    joint = joint_law(policies, np.array(law))
    i, j, x, w, y = joint.shape
    first = mutual_information(joint.sum((1, 4)).reshape(i * x, w))
    second = mutual_information(joint.sum((0, 2)).reshape(j * w, y))
    both = joint.transpose(0, 1, 2, 4, 3).reshape(i * j * x * y, w)
    return first + second - mutual_information(both)


def test_known_values_for_fair_bits():
    found = {kind: cascade.solve(FAIR, 1, kind) for kind in cascade.KINDS}
    assert found["same"].lower_bound == pytest.approx(0.305758, abs=5e-7)
    assert found["same"].upper_bound == pytest.approx(0.322786, abs=5e-7)
    assert found["different"].upper_bound == pytest.approx(0.311278, abs=5e-7)
    assert found["individual"].upper_bound == pytest.approx(0.344361, abs=5e-7)


def test_the_best_pair_for_fair_bits_has_a_closed_form():
    """theta even, A changes the load with probability 1/2 and B with 1/3: h(1/4) - 1/2."""
    found = cascade.solve(FAIR, 1, "different")
    assert found.upper_bound == pytest.approx(entropy(np.array([0.25, 0.75])) - 0.5, abs=1e-9)


@pytest.mark.parametrize("law", [FAIR, [0.9, 0.1], BINOMIAL, SKEWED, [0.5, 0.0, 0.3, 0.2]])
@pytest.mark.parametrize("kind", cascade.KINDS)
def test_the_value_is_theorem_1s_of_the_policies_that_come_with_it(law, kind):
    found = cascade.solve(law, 3, kind)
    assert theorem_1(found.policies, law) == pytest.approx(found.upper_bound, abs=1e-9)
    joint = joint_law(found.policies, np.array(law))
    i, j, x, _, y = joint.shape
    whole = mutual_information(joint.sum(3).reshape(i * j * x, y))
    assert whole == pytest.approx(found.upper_bound, abs=1e-9)


@pytest.mark.parametrize("law", [FAIR, BINOMIAL, [0.1, 0.0, 0.2, 0.7]])
@pytest.mark.parametrize("kind", ["same", "different"])
def test_the_policies_are_invariant_and_their_draws_have_the_loads_law(law, kind):
    for policy in cascade.solve(law, 2, kind).policies:
        theta, states = policy.initial[0], policy.capacity + 1
        after = np.zeros((states, len(law)))
        for s, x, w in itertools.product(range(states), range(len(law)), range(len(law))):
            if 0 <= s - x + w < states:
                after[s - x + w, w] += theta[s] * law[x] * policy.draws[0, s, x, w]
        assert np.abs(after - np.outer(theta, law)).max() < 1e-12


def test_one_battery_alone_has_the_least_leakage_of_one():
    for law, capacity in ((FAIR, 3), (SKEWED, 2)):
        found = cascade.solve(law, capacity, "different", batteries=1)
        alone = single.solve(np.array(law), capacity)
        assert found.upper_bound == pytest.approx(alone.value, abs=1e-9)
        assert found.lower_bound == pytest.approx(alone.value, abs=1e-9)


def test_more_batteries_in_series_leak_less_and_not_less_than_one_as_large():
    found = [cascade.solve(FAIR, 1, "different", count).upper_bound for count in (1, 2, 3, 4)]
    assert found == sorted(found, reverse=True)
    for count, bound in enumerate(found, 1):
        assert bound >= cascade.solve(FAIR, 1, "same", count).lower_bound


@pytest.mark.parametrize("owner", [[0, 0], [0, 1], [0, 1, 0], [0, 1, 2, 2]])
def test_gradient_and_hessian_are_those_of_the_value(owner):
    space = cascade_space.make(np.array(SKEWED), 1)
    generator = np.random.default_rng(1)
    masses = np.array(
        [
            cascade_space.random_masses(space, np.array([0.4, 0.6]), generator, 1.0)
            for _ in range(max(owner) + 1)
        ]
    )
    rest = (space.index, np.array(owner), space.law)

    def value(flat):
        return cascade_kernels.value(flat.reshape(masses.shape), *rest)

    def gradient(flat):
        return cascade_kernels.derivatives(flat.reshape(masses.shape), *rest)[1]

    exact, slope, hessian = cascade_kernels.derivatives(masses, *rest)
    assert exact == pytest.approx(value(masses.ravel()), abs=1e-13)
    assert np.allclose(approx_fprime(masses.ravel(), value, 1e-7), slope, atol=1e-5)
    assert np.allclose(approx_fprime(masses.ravel(), gradient, 1e-8), hessian, atol=1e-4)


def free_rows(capacity, levels):
    """(state, load, feasible draws) of every row of a policy."""
    return [
        (s, x, [w for w in range(levels) if 0 <= s - x + w <= capacity])
        for s in range(capacity + 1)
        for x in range(levels)
    ]


def general_solver(law, capacity, kind, starts):
    """The paper's way: theta and q as variables, invariance as a nonlinear constraint, SLSQP."""
    law, states = np.array(law), capacity + 1
    rows = free_rows(capacity, len(law))
    size = states + sum(len(draws) for _, _, draws in rows)
    policies = 1 if kind == "same" else 2

    def unpack(part):
        draws, at = np.zeros((states, len(law), len(law))), states
        for s, x, feasible in rows:
            draws[s, x, feasible] = part[at : at + len(feasible)]
            at += len(feasible)
        return part[:states], draws

    def both(point):
        parts = [unpack(part) for part in point.reshape(policies, size)]
        return parts[0], parts[-1]

    def bound(point):
        (one, first), (other, second) = both(point)
        joint = np.einsum("i,j,x,ixw,jwy->ijxy", one, other, law, first, second)
        joint = np.maximum(joint, 1e-300)
        independent = joint.sum(3, keepdims=True) * joint.sum((0, 1, 2))
        return float((joint * np.log2(joint / independent)).sum())

    def residuals(point):
        found = []
        for theta, draws in both(point)[:policies]:
            found.append(theta.sum() - 1)
            found += [draws[s, x].sum() - 1 for s, x, _ in rows]
            after = np.zeros((states, len(law)))
            for s, x, feasible in rows:
                for w in feasible:
                    after[s - x + w, w] += theta[s] * law[x] * draws[s, x, w]
            found += list((after - np.outer(theta, law)).ravel())
        return np.array(found)

    alone = single.optimal_policy(law, single.solve(law, capacity).theta)
    inside = np.concatenate([alone.initial[0], *(alone.draws[0, s, x, w] for s, x, w in rows)])
    kept = independent_rows(approx_fprime(np.tile(inside, policies), residuals, 1e-7))
    generator, best = np.random.default_rng(3), np.inf
    for _ in range(starts):
        point = np.tile(inside, policies) + 0.2 * generator.standard_normal(policies * size)
        found = minimize(
            bound, np.clip(point, 0.01, 1), method="SLSQP", bounds=[(1e-9, 1)] * (policies * size),
            constraints={"type": "eq", "fun": lambda point: residuals(point)[kept]},
            options={"maxiter": 300, "ftol": 1e-12},
        )  # fmt: skip
        if np.abs(residuals(found.x)).max() < 1e-7:
            best = min(best, found.fun)
    return best


def independent_rows(jacobian):
    """Rows that no others among them imply; SLSQP fails where some do."""
    _, triangle, order = qr(jacobian.T, pivoting=True)
    rank = int(np.count_nonzero(np.abs(np.diag(triangle)) > 1e-5))
    return np.sort(order[:rank])


@pytest.mark.parametrize(
    ("law", "capacity", "starts"),
    [([0.5, 0.5], 1, 8), ([0.85, 0.15], 2, 6), ([0.5, 0.2, 0.3], 1, 6)],
)
@pytest.mark.parametrize("kind", ["same", "different"])
def test_a_general_solver_from_many_starts_finds_nothing_lower(law, capacity, starts, kind):
    """SLSQP on the paper's own formulation; it also gets as low, but for 2e-6."""
    found = cascade.solve(law, capacity, kind)
    general = general_solver(law, capacity, kind, starts)
    assert general > found.upper_bound - 1e-6
    assert general < found.upper_bound + 2e-6


@pytest.mark.parametrize("kind", ["same", "different"])
def test_every_start_ends_at_the_same_value(kind):
    generator = np.random.default_rng(7)
    for _ in range(6):
        law = generator.dirichlet(np.ones(generator.integers(2, 5)))
        problem = cascade.Problem(cascade_space.make(law, 2), np.array([0, int(kind != "same")]))
        theta = single.solve(law, 2).theta
        values = [
            cascade.descend(problem, first)[1]
            for first in cascade.starting_points(problem, theta, 1)[:12]
        ]
        assert max(values) - min(values) < 1e-8


def test_the_gap_certifies_that_neither_battery_alone_can_do_better():
    """Steps towards random policies of one battery, the other's kept, at a wrong point and the
    right one: none gains more than the gap, and at the wrong point some gain."""
    law = np.array(SKEWED)
    problem = cascade.Problem(cascade_space.make(law, 2), np.array([0, 1]))
    space = problem.space
    generator = np.random.default_rng(2)
    alone = space.masses(single.optimal_policy(law, single.solve(law, 2).theta))
    optimum = cascade.solve(law, 2, "different")
    best = np.array([space.masses(policy) for policy in optimum.policies])
    for masses, is_stationary in ((best, True), (np.array([alone, alone]), False)):
        gap = cascade.stationarity_gap(problem, masses)
        assert (gap < 1e-8) == is_stationary
        before, gains = problem.bound(masses), []
        for trial in range(200):
            theta = generator.dirichlet(np.ones(3))
            changed = masses.copy()
            other = cascade_space.random_masses(space, theta, generator, 2.0)
            changed[trial % 2] += generator.random() * (other - changed[trial % 2])
            gains.append(before - problem.bound(changed))
        assert max(gains) <= gap + 1e-9
        assert (max(gains) > 1e-3) != is_stationary


def test_levels_that_never_occur_change_nothing():
    for kind in cascade.KINDS:
        plain = cascade.solve(FAIR, 2, kind)
        spread = cascade.solve([0.5, 0.0, 0.5], 4, kind)
        longer = cascade.solve([0.5, 0.5, 0.0], 2, kind)
        assert spread.upper_bound == pytest.approx(plain.upper_bound, abs=1e-8)
        assert longer.upper_bound == pytest.approx(plain.upper_bound, abs=1e-8)
        assert longer.policies[0].draws.shape == (1, 3, 3, 3)


def test_a_load_that_never_changes_leaks_nothing():
    assert cascade.solve([0.0, 1.0], 1).upper_bound == pytest.approx(0, abs=1e-12)


def test_the_seed_changes_the_way_and_not_the_value():
    first, second = (cascade.solve(BINOMIAL, 2, "different", seed=seed) for seed in (1, 2))
    assert first.upper_bound == pytest.approx(second.upper_bound, abs=1e-9)
    again = cascade.solve(BINOMIAL, 2, "different", seed=1)
    assert again.upper_bound == first.upper_bound
    assert again.steps == first.steps


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (([0.5, 0.6], 1), "sum to 1.1"),
        (([-0.5, 1.5], 1), "the probability of 0 is -0.5"),
        ((FAIR, 0), "the capacity is 0"),
        ((FAIR, 1, "equal"), "must be one of same, different, individual"),
        ((FAIR, 1, "same", 0), "there must be 1 or more"),
        (([0.1] * 10, 60), "too large"),
    ],
)
def test_what_cannot_be_solved_is_refused(arguments, said):
    with pytest.raises(HushmeterError, match=said):
        cascade.solve(*arguments)


def invoke(*words):
    return CliRunner().invoke(main, ["leakage", "cascade", *map(str, words)])


def test_the_command_prints_the_keys_that_are_promised_and_policies_that_can_be_checked():
    done = invoke(
        "--dist", "0.25,0.5,0.25", "--capacity", 1, "--rate-steps", 40_000, "--search", "none",
        "--json",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    table = json.loads(done.stdout)
    assert set(table) >= {
        "lower_bound", "upper_bound", "best_upper", "rate", "rate_stderr", "policy_a", "policy_b",
        "starts", "stationarity_gap", "seconds",
    }  # fmt: skip
    law = np.array(BINOMIAL)
    parts = [table[name] for name in ("policy_a", "policy_b")]
    joint = np.einsum(
        "i,j,x,ixw,jwy->ijxy", parts[0]["initial"], parts[1]["initial"], law,
        parts[0]["draws"], parts[1]["draws"],
    )  # fmt: skip
    assert mutual_information(joint.reshape(-1, 3)) == pytest.approx(table["upper_bound"], abs=1e-9)
    assert table["rate"] < table["upper_bound"] + 4 * table["rate_stderr"]
    assert table["lower_bound"] <= table["best_upper"] <= table["upper_bound"] + 1e-10


def test_without_steps_there_is_no_rate_and_the_table_is_readable():
    words = ["--dist", "0.5,0.5", "--capacity", 1, "--rate-steps", 0, "--search", "none"]
    table = json.loads(invoke(*words, "--policies", "individual", "--json").stdout)
    assert table["rate"] is None and table["rate_stderr"] is None
    assert table["starts"] == 0 and table["upper_bound"] == pytest.approx(0.344361, abs=5e-7)
    shown = invoke(*words, "--policies", "same", "--batteries", 3)
    assert "3 batteries of capacity 1 in series" in shown.stdout
    assert "Theorem 2" in shown.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--dist", "0.5,0.6", "--capacity", 1], "sum to 1.1"),
        (["--dist", "0.5,0.5", "--capacity", 0], "the capacity is 0; it must be"),
        (["--dist", "exponential:1", "--capacity", 1], "finite number of levels"),
        (["--dist", "0.5,0.5", "--capacity", 1, "--batteries", 1], "1 is not in the range"),
    ],
)
def test_the_command_refuses_with_one_line(words, said):
    done = invoke(*words)
    assert done.exit_code == 2
    assert said in done.output
