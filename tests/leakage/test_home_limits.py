"""The limit for Markov loads and the rates on models, against brute force and known optima."""

import itertools

import numpy as np
import pytest

from hushmeter.errors import HushmeterError
from hushmeter.leakage import fit, home_kernels, single
from hushmeter.leakage.block_bound import block_bound, block_entropies
from hushmeter.leakage.entropies import entropy
from hushmeter.leakage.home_model import model_rate
from hushmeter.leakage.rate import named
from tests.leakage.home_kit import SLOW

LAW = np.array([0.25, 0.5, 0.25])


def independent(law):
    return np.arange(len(law)), np.tile(law, (len(law), 1)), law


@pytest.mark.parametrize("steps", [1, 2, 3, 5])
def test_the_entropy_of_a_block_is_that_of_brute_force(steps):
    levels = np.array([1, 2, 5])
    law = fit.stationary_law(SLOW)
    found = block_entropies(levels, SLOW, law, 3)[steps]
    truth = 0.0
    for start in range(3):
        sums = np.zeros(5 * steps + 1)
        for path in itertools.product(range(3), repeat=steps):
            chance = np.prod(SLOW[[start, *path[:-1]], list(path)])
            sums[levels[list(path)].sum()] += chance
        truth += law[start] * entropy(sums)
    assert found == pytest.approx(truth, abs=1e-11)


@pytest.mark.parametrize("capacity", [1, 2, 5, 20])
@pytest.mark.parametrize("law", [[0.5, 0.5], [0.9, 0.1], [0.25, 0.5, 0.25], [0.2] * 5])
def test_the_limit_is_below_the_optimum_of_an_independent_load(law, capacity):
    law = np.array(law)
    limit = block_bound(block_entropies(*independent(law), capacity), capacity)
    optimum = single.solve(law, capacity)
    assert 0 <= limit.bits < optimum.lower
    # It is no empty statement either: a twentieth of the optimum at the least.
    assert limit.bits > optimum.value / 20


def test_the_limit_is_below_what_policies_leak_on_a_chain_and_above_the_independent_optimum():
    """A slow load leaks more behind a large battery than its law alone lets one think."""
    slow = np.array([[0.98, 0.02], [0.02, 0.98]])
    law = np.array([0.5, 0.5])
    limit = block_bound(block_entropies(np.arange(2), slow, law, 20), 20).bits
    rate = model_rate(named("optimal", law, 20), np.arange(2), law, slow, 50_000, 1)
    assert single.solve(law, 20).upper < limit < rate.rate - 4 * rate.stderr


def test_a_capacity_of_nothing_is_refused():
    with pytest.raises(HushmeterError, match="1 or more"):
        block_bound({1: 1.0}, 0)


@pytest.mark.parametrize("name", ["best-effort", "hold-mean", "optimal"])
@pytest.mark.parametrize("capacity", [1, 3])
def test_the_reader_gives_all_draws_together_probability_one(name, capacity):
    policy = named(name, LAW, capacity)
    law = fit.stationary_law(SLOW)
    total = 0.0
    memory = int(np.flatnonzero(policy.initial.sum(1))[0])
    first = policy.initial[memory] / policy.initial[memory].sum()
    for draws in itertools.product(range(3), repeat=6):
        memories = [memory]
        for draw in draws[:-1]:
            memories.append(int(policy.next_memory[memories[-1], draw]))
        bits = home_kernels.surprises(
            np.array(draws), np.array([True] * 3 + [False] + [True] * 2),
            np.zeros(6, dtype=np.int64), law[None], SLOW[None], np.arange(3),
            np.array(memories), policy.draws, first,
        )  # fmt: skip
        total += 2.0 ** -bits.sum() if np.isfinite(bits).all() else 0.0
    assert total == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(
    ("name", "capacity", "truth"),
    [("optimal", 2, 0.5178), ("best-effort", 2, 0.810), ("best-effort", 1, 1.073)],
)
def test_rates_without_memory_are_the_known_ones(name, capacity, truth):
    """Within 5 standard errors and the truth's digits: a false alarm in a million."""
    found = model_rate(named(name, LAW, capacity), np.arange(3), LAW, None, 60_000, 1)
    assert abs(found.rate - truth) < 5 * found.stderr + 1e-3
    # A chain whose rows are all the law is the same load.
    again = model_rate(
        named(name, LAW, capacity), np.arange(3), LAW, np.tile(LAW, (3, 1)), 60_000, 2
    )
    assert abs(again.rate - truth) < 5 * again.stderr + 1e-3


def test_a_policy_that_passes_the_load_leaks_the_chains_entropy_rate():
    """Positive control: a battery that does nothing hides nothing; within 5 standard errors."""
    passing = named("optimal", LAW, 1)
    draws = np.zeros_like(passing.draws)
    for x in range(3):
        draws[:, :, x, x] = 1
    passing = type(passing)(draws, passing.initial, passing.next_memory)
    law = fit.stationary_law(SLOW)
    truth = sum(mass * entropy(row) for mass, row in zip(law, SLOW, strict=True))
    found = model_rate(passing, np.arange(3), law, SLOW, 40_000, 3)
    assert abs(found.rate - truth) < 5 * found.stderr + 1e-3
