"""The stated law of the noise is the one that shares follow, and Theorem 2's where that applies."""

from __future__ import annotations

from fractions import Fraction
from math import exp, gamma, pi, sqrt
from random import Random

import numpy as np
import pytest
from scipy import integrate, special, stats

from hushfw.core import noise
from hushmeter.privacy.laws import delta_of_total, mean_abs_noise, noise_half_width

FALSE_ALARM = 1e-6
Z = float(stats.norm.isf(FALSE_ALARM / 2))
DRAWS = 200_000


def drawn(scale: Fraction, shape: Fraction, draws: int = DRAWS, seed: int = 1) -> np.ndarray:
    """Noise of totals: differences of negative binomials, as scipy draws them."""
    p = 1 - exp(-1 / float(scale))
    random = np.random.default_rng(seed)
    law = stats.nbinom(float(shape), p)
    return law.rvs(draws, random_state=random) - law.rvs(draws, random_state=random)


def mean_is_off(samples: np.ndarray, mean: float) -> bool:
    """Whether the sample mean is further away than chance allows, at the rate FALSE_ALARM.

    Normal approximation: with 200 000 draws of a law with exponential tails its error is far below
    the margin that the spread of five standard errors leaves.
    """
    return abs(samples.mean() - mean) > Z * samples.std() / sqrt(len(samples))


SCALES = (Fraction(1, 4), Fraction(1), Fraction(10), Fraction(1667), Fraction(3001))
SHAPES = (Fraction(1), Fraction(12, 9), Fraction(10, 7), Fraction(3), Fraction(1, 3))


@pytest.mark.statistical
@pytest.mark.parametrize("scale", SCALES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_mean_is_that_of_simulated_noise(scale: Fraction, shape: Fraction) -> None:
    """False-alarm rate 1e-6 a case, 25 cases; the seed is fixed."""
    samples = np.abs(drawn(scale, shape))
    stated = mean_abs_noise(scale, shape)
    assert not mean_is_off(samples, stated)
    assert mean_is_off(samples, 1.25 * stated)


@pytest.mark.statistical
def test_the_mean_is_that_of_the_devices_own_shares() -> None:
    """Five meters of seven report, n = 4; false-alarm rate 1e-6."""

    class Source:
        below = staticmethod(Random(3).randrange)

    totals = [sum(noise.share(Source, 4, 20, 1) for _ in range(5)) for _ in range(6000)]
    samples = np.abs(np.array(totals))
    assert not mean_is_off(samples, mean_abs_noise(Fraction(20), Fraction(5, 4)))
    assert mean_is_off(samples, mean_abs_noise(Fraction(20), Fraction(7, 4)))


def test_a_whole_laplace_has_the_textbook_mean() -> None:
    """k = 1 is discrete Laplace: E|X| = 2 p / (1 - p^2), p = exp(-1 / lambda)."""
    for scale in (Fraction(1, 20), Fraction(1, 2), Fraction(1), Fraction(7, 3), Fraction(900)):
        p = exp(-1 / float(scale))
        assert mean_abs_noise(scale, Fraction(1)) == pytest.approx(2 * p / (1 - p * p), rel=1e-9)


def summed(scale: Fraction, shape: Fraction, reach: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """(values, probabilities) of the difference, from its masses one by one."""
    mass = stats.nbinom.pmf(np.arange(reach), float(shape), 1 - exp(-1 / float(scale)))
    return np.arange(-reach + 1, reach), np.correlate(mass, mass, "full")


@pytest.mark.parametrize("scale", [Fraction(1, 10), Fraction(1, 2), Fraction(2), Fraction(9)])
@pytest.mark.parametrize("shape", [Fraction(1, 12), Fraction(1), Fraction(12, 7), Fraction(6)])
def test_small_scales_are_exact(scale: Fraction, shape: Fraction) -> None:
    """Against the sum over all masses, where the integers are far from the continuous law."""
    values, chances = summed(scale, shape)
    assert chances.sum() == pytest.approx(1, abs=1e-12)
    mean = float((np.abs(values) * chances).sum())
    assert mean_abs_noise(scale, shape) == pytest.approx(mean, rel=1e-8)


@pytest.mark.parametrize(
    ("shape", "mean"), [(Fraction(10, 7), 1.2376), (Fraction(1), 1.0), (Fraction(2), 1.5)]
)
def test_theorem_2_gives_the_papers_numbers(shape: Fraction, mean: float) -> None:
    """DREAM, Theorem 2 as an equality: 2 / B(1/2, k) in units of lambda; k = 1/0.7 gives 1.2376."""
    k = float(shape)
    theorem = 2 * gamma(k + 0.5) / (gamma(0.5) * gamma(k))
    assert theorem == pytest.approx(mean, abs=5e-5)
    for scale in (Fraction(1999), Fraction(2001), Fraction(10**6)):
        assert mean_abs_noise(scale, shape) / float(scale) == pytest.approx(theorem, rel=1e-6)


def test_the_two_ways_to_compute_the_mean_meet_where_they_change() -> None:
    for shape in SHAPES:
        below = mean_abs_noise(Fraction(2000), shape) / 2000
        above = mean_abs_noise(Fraction(200001, 100), shape) / 2000.01
        assert below == pytest.approx(above, rel=1e-5)


def test_more_meters_than_needed_make_more_noise() -> None:
    means = [mean_abs_noise(Fraction(50), Fraction(reporting, 8)) for reporting in range(1, 13)]
    assert means == sorted(means)


def test_without_noise_both_are_zero() -> None:
    assert mean_abs_noise(Fraction(0), Fraction(1)) == 0
    assert noise_half_width(Fraction(0), Fraction(1)) == 0


WHOLE = tuple(shape for shape in SHAPES if shape >= 1)


@pytest.mark.statistical
@pytest.mark.parametrize("scale", [Fraction(40), Fraction(256), Fraction(257), Fraction(1667)])
@pytest.mark.parametrize("shape", WHOLE, ids=str)
@pytest.mark.parametrize("coverage", [0.5, 0.95, 0.99])
def test_the_band_holds_its_share_of_simulated_noise(
    scale: Fraction, shape: Fraction, coverage: float
) -> None:
    """False-alarm rate 1e-6 a case, 48 cases. The noise is whole: a band may hold too much by
    what its last whole number adds, and one less must hold too little."""
    samples = np.abs(drawn(scale, shape, seed=2))
    width = noise_half_width(scale, shape, coverage)
    held, less = (int((samples <= width + shift).sum()) for shift in (0.5, -0.5))
    assert stats.binom.cdf(held, DRAWS, coverage) > FALSE_ALARM / 2
    assert stats.binom.sf(less - 1, DRAWS, coverage) > FALSE_ALARM / 2


@pytest.mark.statistical
def test_a_band_that_is_a_tenth_too_narrow_is_noticed() -> None:
    """Positive control of the test above."""
    scale, shape = Fraction(1667), Fraction(4, 3)
    samples = np.abs(drawn(scale, shape, seed=2))
    width = 0.9 * noise_half_width(scale, shape)
    assert stats.binom.cdf(int((samples <= width).sum()), DRAWS, 0.95) < FALSE_ALARM / 2


@pytest.mark.parametrize("coverage", [0.1, 0.95, 0.999])
def test_a_whole_laplace_has_the_textbook_band(coverage: float) -> None:
    width = noise_half_width(Fraction(10**4), Fraction(1), coverage)
    assert width == pytest.approx(-(10**4) * np.log1p(-coverage), rel=1e-4)


@pytest.mark.parametrize("shape", [Fraction(1), Fraction(12, 9), Fraction(8), Fraction(30)])
def test_the_band_is_the_integral_of_the_stated_density(shape: Fraction) -> None:
    k = float(shape)
    width = noise_half_width(Fraction(10**6), shape) / 10**6

    def density(x: float) -> float:
        bessel = special.kv(k - 0.5, x)
        return float(x ** (k - 0.5) * bessel / (sqrt(pi) * gamma(k) * 2 ** (k - 0.5)))

    beyond, _ = integrate.quad(density, width, np.inf)
    assert 2 * beyond == pytest.approx(0.05, rel=1e-3)


@pytest.mark.parametrize("scale", [Fraction(1, 10), Fraction(1, 2), Fraction(2), Fraction(9)])
@pytest.mark.parametrize("shape", [Fraction(1, 12), Fraction(1), Fraction(12, 7), Fraction(6)])
def test_the_band_of_a_small_scale_is_the_least_that_covers_what_it_says(
    scale: Fraction, shape: Fraction
) -> None:
    values, chances = summed(scale, shape)
    width = noise_half_width(scale, shape)
    covered = float(chances[np.abs(values) <= width].sum())
    assert width == int(width) and covered >= 0.95
    assert float(chances[np.abs(values) <= width - 1].sum()) < 0.95


def test_delta_counts_every_bounded_share_and_no_exact_one() -> None:
    assert delta_of_total(1.0, 0) == 0
    assert delta_of_total(1.0, 100) == pytest.approx(100 * (1 + exp(1)) / 2**64)
    assert delta_of_total(5000.0, 1) == 1


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 4.0])
def test_delta_is_enough_for_the_worst_laws_that_far_from_the_exact_ones(epsilon: float) -> None:
    """Two exact laws at the ratio e^epsilon, each moved by the distance where it hurts most."""
    tau = 1e-3
    high = 0.5
    low = high / exp(epsilon)
    needed = (high + tau) - exp(epsilon) * (low - tau)
    assert needed == pytest.approx(delta_of_total(epsilon, 1) * 2**64 * tau)
