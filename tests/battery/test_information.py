"""The estimators against laws whose mutual information is known, and the intervals' coverage.

Statistical tests draw from fixed seeds, so they pass or fail for good; the rates in their
docstrings are the chance that a right estimator fails for a seed picked at random.
"""

import math

import numpy as np
import pytest
from scipy import stats

from hushmeter.battery import information

NONE = np.zeros(1000, dtype=np.int64)


def blocks(samples, length=100):
    return information.blocks_of(samples, length)


def joint_sample(law, samples, generator):
    """Pairs of symbols drawn from a joint law given as a matrix."""
    flat = generator.choice(law.size, samples, p=law.ravel())
    return np.divmod(flat, law.shape[1])


def true_bits(law):
    apart = law.sum(1, keepdims=True) * law.sum(0, keepdims=True)
    there = law > 0
    return float((law[there] * np.log2(law[there] / apart[there])).sum())


def correlated_chains(samples, generator, stay=0.95, flip=0.1):
    """A two-state Markov chain, and the same seen through independent flips.

    The pair (A, B) at one time has a known law; in time it depends on itself for 1/(1-stay) steps.
    """
    a = np.cumsum(generator.random(samples) > stay) % 2
    return a, a ^ (generator.random(samples) < flip)


def binary_entropy(p):
    return -p * math.log2(p) - (1 - p) * math.log2(1 - p)


def test_a_constant_output_gives_away_nothing():
    symbols = np.arange(1000) % 7
    for measure in (information.independent, information.markov):
        found = measure(symbols, NONE, blocks(1000), 3, 0)
        assert found.bits == pytest.approx(0, abs=1e-12)
        assert found.shuffled_bits == pytest.approx(0, abs=1e-12)
        assert found.ci_bits == pytest.approx((0, 0), abs=1e-9)


def test_a_copy_gives_away_its_whole_entropy():
    symbols = np.random.default_rng(1).integers(-5, 6, 20000) ** 3
    found = information.independent(symbols, symbols, blocks(20000), 3, 0)
    assert found.bits == pytest.approx(information.entropy_bits(symbols), abs=1e-12)


def test_entropy_of_a_known_histogram_is_exact():
    symbols = np.repeat([3, -9, 4, 1000], [4, 2, 1, 1])
    assert information.entropy_bits(symbols) == pytest.approx(1.75, abs=1e-12)


@pytest.mark.parametrize("far_apart", [1, 10**9])
def test_counting_in_a_table_and_by_sorting_are_the_same(far_apart):
    generator = np.random.default_rng(2)
    a, b = generator.integers(0, 9, 5000), generator.integers(0, 9, 5000)
    b = np.where(generator.random(5000) < 0.3, a, b)
    plain = information.independent(a, b, blocks(5000), 3, 0)
    spread = information.independent(a * far_apart, b * far_apart - 7, blocks(5000), 3, 0)
    assert spread.bits == pytest.approx(plain.bits, abs=1e-12)
    assert spread.ci_bits == pytest.approx(plain.ci_bits, abs=1e-9)


@pytest.mark.parametrize("measure", [information.independent, information.markov])
def test_estimates_without_a_block_are_those_of_the_shorter_record(measure):
    """The jackknife's shortcut over cells against estimating again from what is left."""
    generator = np.random.default_rng(3)
    a, b = correlated_chains(600, generator)
    found = measure(a, b, blocks(600, 50), 2, 0)
    shape = blocks(600, 50)
    without = []
    for block in range(12):
        if measure is information.independent:
            kept = shape != block
            without.append(measure(a[kept], b[kept], blocks(int(kept.sum()), 50), 2, 0).bits)
        else:
            without.append(markov_from_pairs(a, b, shape[1:] != block))
    pseudo_values = 12 * found.bits - 11 * np.array(without)
    assert found.corrected_bits == pytest.approx(pseudo_values.mean(), abs=1e-9)


def markov_from_pairs(a, b, kept):
    """Oracle: H(A'|A) + H(B'|B) - H(A'B'|AB) from the transitions that are kept."""

    def conditional(before, after):
        both = information.entropy_bits((before * 64 + after)[kept])
        return both - information.entropy_bits(before[kept])

    joint = a * 8 + b
    result = conditional(a[:-1], a[1:]) + conditional(b[:-1], b[1:])
    return result - conditional(joint[:-1], joint[1:])


@pytest.mark.statistical
@pytest.mark.parametrize(
    "law",
    [
        np.array([[0.4, 0.1], [0.1, 0.4]]),
        np.array([[0.7, 0.05, 0.0], [0.0, 0.1, 0.05], [0.02, 0.0, 0.08]]),
        np.outer([0.2, 0.8], [0.5, 0.25, 0.25]),
    ],
)
def test_mutual_information_of_a_known_law_is_found(law):
    """Corrected estimate within five standard errors; false alarms below 1e-5 a law.

    Positive control: the same bound rejects an estimate that is 5 % of a bit off.
    """
    a, b = joint_sample(law, 200000, np.random.default_rng(4))
    found = information.independent(a, b, blocks(200000, 1000), 4, 0)
    half = max((found.ci_bits[1] - found.ci_bits[0]) / 2, 1e-5)
    assert abs(found.corrected_bits - true_bits(law)) < 2.5 * half
    assert abs(found.corrected_bits + 0.05 - true_bits(law)) > 2.5 * half


@pytest.mark.statistical
def test_the_markov_rate_of_independent_pairs_is_their_mutual_information():
    """Within 0.005 bits, over ten standard errors of 200 000 pairs.

    Positive control: I2 alone, a rate with the I1 forgotten, is twice as much.
    """
    law = np.array([[0.4, 0.1], [0.1, 0.4]])
    a, b = joint_sample(law, 200000, np.random.default_rng(5))
    rate = information.markov(a, b, blocks(200000, 1000), 4, 0)
    assert rate.corrected_bits == pytest.approx(true_bits(law), abs=0.005)
    twice = information.independent(a[:-1] * 2 + a[1:], b[:-1] * 2 + b[1:], blocks(199999), 2, 0)
    assert twice.bits == pytest.approx(2 * true_bits(law), abs=0.01)


@pytest.mark.statistical
def test_the_markov_rate_of_a_chain_and_its_copy_is_the_entropy_rate():
    """Within 0.005 bits; a symmetric chain has the entropy rate h(stay). Control: H(A) is 1 bit."""
    a, _ = correlated_chains(200000, np.random.default_rng(6))
    found = information.markov(a, a, blocks(200000, 1000), 4, 0)
    assert found.bits == pytest.approx(binary_entropy(0.05), abs=0.005)
    assert information.independent(a, a, blocks(200000, 1000), 4, 0).bits > 0.99


@pytest.mark.statistical
def test_an_unrelated_output_gives_the_shuffled_baseline():
    """z of plug-in against 60 shuffles below 4.5: false alarms below 1e-4 for independent draws.

    Positive control: an output that copies one sample in fifty stands out.
    """
    generator = np.random.default_rng(7)
    a, b = generator.integers(0, 30, 40000), generator.integers(0, 30, 40000)
    copied = np.where(generator.random(40000) < 0.02, a, b)
    for measure in (information.independent, information.markov):
        plain, caught = (measure(a, e, blocks(40000, 400), 60, 0) for e in (b, copied))
        assert abs(plain.bits - plain.shuffled_bits) < 4.5 * plain.shuffled_sd_bits
        if measure is information.independent:
            assert caught.bits - caught.shuffled_bits > 4.5 * caught.shuffled_sd_bits


@pytest.mark.statistical
def test_the_markov_baseline_keeps_the_outputs_own_transitions():
    """Two unrelated chains of long memory agree with their baseline (z below 5, 60 turns).

    Positive control: permuting single samples would put the baseline far from the estimate.
    """
    generator = np.random.default_rng(8)
    a, b = (np.cumsum(generator.random(60000) > 0.9) * 7 % 40 for _ in range(2))
    found = information.markov(a, b, blocks(60000, 600), 60, 0)
    assert abs(found.bits - found.shuffled_bits) < 5 * found.shuffled_sd_bits
    permuted = information.markov(a, generator.permutation(b), blocks(60000, 600), 2, 0).bits
    assert abs(permuted - found.bits) > 20 * found.shuffled_sd_bits


@pytest.mark.statistical
def test_the_interval_covers_the_truth_of_dependent_data():
    """400 records of 30 blocks, chains with a memory of 20 steps; nominal coverage 95 %.

    Passes if coverage is not below 90 % at one-sided level 1e-4. Positive control: samples
    that are put in random order, as if they were independent, give an interval that covers less
    than 60 %.
    """
    truth = 1 - binary_entropy(0.3)
    samples, length = 3000, 100
    covered, naive = 0, 0
    for seed in range(400):
        generator = np.random.default_rng(1000 + seed)
        # Noise in spells: flips last, so samples are much alike and the estimate varies more.
        a = generator.integers(0, 2, samples)
        spell = np.repeat(generator.random(samples // 20) < 0.3, 20)
        b = a ^ spell
        low, high = information.independent(a, b, blocks(samples, length), 2, 0).ci_bits
        covered += low <= truth <= high
        order = generator.permutation(samples)
        low, high = information.independent(
            a[order], b[order], blocks(samples, length), 2, 0
        ).ci_bits
        naive += low <= truth <= high
    print(covered, naive)
    assert stats.binom.cdf(covered, 400, 0.90) > 1e-4
    assert naive / 400 < 0.6


@pytest.mark.statistical
def test_the_interval_covers_zero_for_unrelated_sequences():
    """300 records; coverage is not below 90 % at one-sided level 1e-4."""
    covered = 0
    for seed in range(300):
        generator = np.random.default_rng(5000 + seed)
        a, b = generator.integers(0, 6, (2, 3000))
        covered += information.independent(a, b, blocks(3000, 100), 2, 0).ci_bits[0] <= 0.0005
    assert stats.binom.cdf(covered, 300, 0.90) > 1e-4


@pytest.mark.statistical
def test_the_correction_takes_most_of_the_bias_away():
    """Mean over 60 small records; the plug-in bias of 0.07 bits falls below a quarter."""
    law = np.outer(np.full(12, 1 / 12), np.full(12, 1 / 12))
    generator = np.random.default_rng(9)
    plain, corrected = [], []
    for _ in range(60):
        a, b = joint_sample(law, 1200, generator)
        found = information.independent(a, b, blocks(1200, 40), 2, 0)
        plain.append(found.bits)
        corrected.append(found.corrected_bits)
    assert np.mean(plain) == pytest.approx(121 / (2 * 1200 * math.log(2)), rel=0.1)
    assert abs(np.mean(corrected)) < np.mean(plain) / 4


def test_a_sample_too_small_for_its_alphabet_says_so_and_has_a_wide_interval():
    generator = np.random.default_rng(10)
    a, b = generator.integers(0, 200, (2, 5000))
    found = information.markov(a, b, blocks(5000, 100), 4, 0)
    assert found.unseen > 0.9
    assert found.ci_bits[0] < 0.1 and found.ci_bits[1] >= found.bits


def test_the_interval_always_holds_the_printed_estimate():
    generator = np.random.default_rng(11)
    for levels in (2, 20, 200):
        a, b = generator.integers(0, levels, (2, 2000))
        for measure in (information.independent, information.markov):
            found = measure(a, b, blocks(2000), 2, 0)
            assert found.ci_bits[0] <= found.bits <= found.ci_bits[1]


def test_blocks_are_whole_days_and_the_rest_joins_the_last():
    found = np.bincount(information.blocks_of(1440 * 12 + 500, 1440))
    assert found.tolist() == [1440] * 11 + [1940]


def test_a_short_record_is_cut_into_equal_pieces():
    found = np.bincount(information.blocks_of(2880, 1440))
    assert found.size == information.PIECES and found.min() == 144


def test_the_same_seed_gives_the_same_baseline():
    a, b = np.random.default_rng(12).integers(0, 5, (2, 3000))
    first, second, third = (
        information.independent(a, b, blocks(3000), 4, seed).shuffled_bits for seed in (1, 1, 2)
    )
    assert first == second != third
