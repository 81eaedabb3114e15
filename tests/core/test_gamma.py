"""The fixed-point gamma shares: law of a share, of the sum of n, and the stated error bound."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import vectors_noise as vectors
from scipy import integrate, special, stats

from hushfw.core import gamma, noise
from hushfw.core.drbg import Tape
from hushfw.core.errors import HushError
from tests.core.goodness_of_fit import FALSE_ALARM, SeededSource, p_value

CAUGHT = 1e-9  # a positive control must look at least this bad
BITS = 16
RESOLVED = 2.0**-6  # Wh, 1024 units: where rounding moves no probability that a test could see


def share_above(x: float, n: int, scale: float) -> float:
    """Pr(G1 - G2 > x), x > 0: the variance-gamma (Bessel K) density, integrated over ln x."""
    r = 1 / n
    log_norm = 0.5 * math.log(math.pi) + math.lgamma(r) + (r - 0.5) * math.log(2)

    def density_in_log(y: float) -> float:
        z = math.exp(y)
        bessel = special.kve(r - 0.5, z)
        return math.exp((r + 0.5) * y - z - log_norm) * bessel if bessel > 0 else 0.0

    low = math.log(x / scale)
    value, _ = integrate.quad(density_in_log, low, math.log(60), epsabs=1e-12, limit=500)
    return float(value)


def share_edges(n: int, scale: float) -> tuple[list[float], list[float]]:
    """Edges in Wh and Pr(share <= edge), both signs, from the resolution up to 6 scales."""
    edges = [RESOLVED, 0.3, *(scale * k for k in (0.001, 0.01, 0.1, 0.3, 1.0, 2.0, 4.0, 6.0))]
    above = [share_above(edge, n, scale) for edge in edges]
    return [-e for e in reversed(edges)] + edges, above[::-1] + [1 - a for a in above]


def fit_of_share(n: int, scale: int, count: int = 30_000, seed: int = 1) -> float:
    source = SeededSource(seed)
    drawn = [gamma.share(source, n, scale, 1, BITS) / 2**BITS for _ in range(count)]
    return p_value(drawn, *share_edges(n, scale))


def fit_of_sum(n: int, scale: int, count: int, seed: int = 2) -> float:
    source = SeededSource(seed)
    drawn = [
        sum(gamma.share(source, n, scale, 1, BITS) for _ in range(n)) / 2**BITS
        for _ in range(count)
    ]
    law = stats.laplace(scale=scale)
    edges = law.ppf(np.linspace(0.002, 0.998, 30))
    return p_value(drawn, edges, law.cdf(edges))


def test_the_reference_law_is_laplace_for_one_share() -> None:
    for x in (0.01, 1.0, 7.0, 40.0):
        assert share_above(x, 1, 5.0) == pytest.approx(math.exp(-x / 5) / 2, rel=1e-6)


@pytest.mark.statistical
@pytest.mark.parametrize(("n", "scale"), [(1, 40), (10, 300), (100, 3000), (1000, 10**6)])
def test_a_share_is_a_difference_of_two_gamma_variables(n: int, scale: int) -> None:
    """False-alarm rate at most 1e-6 a case (exact binomial tails, Bonferroni)."""
    assert fit_of_share(n, scale) > FALSE_ALARM


@pytest.mark.statistical
@pytest.mark.parametrize(("n", "count"), [(1, 30_000), (2, 30_000), (7, 20_000), (100, 2_000)])
def test_n_shares_sum_to_laplace(n: int, count: int) -> None:
    """False-alarm rate at most 1e-6 a case (exact binomial tails, Bonferroni)."""
    assert fit_of_sum(n, 500, count) > FALSE_ALARM


true_share = gamma.share


def shape_off_by_one(source: SeededSource, n: int, num: int, den: int, bits: int) -> int:
    return true_share(source, n + 1, num, den, bits)


def sum_instead_of_difference(source: SeededSource, n: int, num: int, den: int, bits: int) -> int:
    """What the caption of the paper's first figure says."""
    return noise.polya(source, n, num << bits, den) + noise.polya(source, n, num << bits, den)


def boost_forgotten(source: SeededSource, n: int, num: int, den: int, bits: int) -> int:
    """Shape 1 + 1/n without the factor U^n that brings it down to 1/n."""
    rng = np.random.default_rng(source.below(2**32))
    g1, g2 = rng.gamma(1 + 1 / n, num / den, 2)
    return round((g1 - g2) * 2**bits)


def rounded_to_watt_hours(source: SeededSource, n: int, num: int, den: int, bits: int) -> int:
    rng = np.random.default_rng(source.below(2**32))
    g1, g2 = rng.gamma(1 / n, num / den, 2)
    return round(g1 - g2) << bits


BROKEN: list[Callable[..., int]] = [
    shape_off_by_one,
    sum_instead_of_difference,
    boost_forgotten,
    rounded_to_watt_hours,
]


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_share_is_caught(
    monkeypatch: pytest.MonkeyPatch, broken: Callable[..., int]
) -> None:
    """Positive control of the test of a share, at its own sample size."""
    monkeypatch.setattr(gamma, "share", broken)
    assert fit_of_share(10, 300) < CAUGHT


@pytest.mark.parametrize("broken", BROKEN[:3])
def test_a_broken_share_is_caught_in_the_sum(
    monkeypatch: pytest.MonkeyPatch, broken: Callable[..., int]
) -> None:
    """Positive control of the test of sums, at its own sample size."""
    monkeypatch.setattr(gamma, "share", broken)
    assert fit_of_sum(7, 500, 20_000) < CAUGHT


@pytest.mark.parametrize(("n", "units"), [(1, 50), (3, 200), (20, 1000), (100, 5000)])
def test_the_drawn_law_is_as_near_to_gamma_as_the_docstring_says(n: int, units: int) -> None:
    """No false alarm: Wasserstein distance of the two laws, from their distribution functions.

    In units of the output's resolution, with scale = `units`. The integral of |F - G| over a unit
    cell uses the antiderivative x G_r(x) - r s G_(r+1)(x) of the gamma distribution function.
    """
    cells = np.arange(60 * units, dtype=float)
    drawn = stats.nbinom(1 / n, -math.expm1(-1 / units)).cdf(cells)
    true = stats.gamma(1 / n, scale=units)
    crossing = np.clip(true.ppf(drawn), cells, cells + 1)

    def area(x: np.ndarray) -> np.ndarray:
        return x * true.cdf(x) - units / n * stats.gamma(1 + 1 / n, scale=units).cdf(x)

    before = drawn * (crossing - cells) - (area(crossing) - area(cells))
    after = area(cells + 1) - area(crossing) - drawn * (cells + 1 - crossing)
    distance = (np.abs(before) + np.abs(after)).sum()
    assert 0 < distance < (math.log(units) + 2) / n


def test_zero_fraction_bits_is_the_integer_share() -> None:
    for seed in range(50):
        whole = noise.share(SeededSource(seed), 9, 500, 3)
        assert gamma.share(SeededSource(seed), 9, 500, 3, 0) == whole


@pytest.mark.parametrize(
    ("n", "num", "den", "bits"), [(0, 5, 1, 16), (3, 0, 1, 16), (3, 5, 0, 16), (3, 5, 1, -1)]
)
def test_impossible_settings_are_refused(n: int, num: int, den: int, bits: int) -> None:
    with pytest.raises(HushError, match="at least") as refusal:
        gamma.share(SeededSource(3), n, num, den, bits)
    assert refusal.value.code == "bad_config"


@pytest.mark.parametrize("label", sorted(vectors.GAMMA))
def test_a_fixed_tape_gives_the_recorded_shares(label: bytes) -> None:
    n, num, den, bits, count = vectors.GAMMA[label]
    tape = Tape(vectors.tape_bytes(label))
    shares = [gamma.share(tape, n, num, den, bits) for _ in range(count)]
    assert vectors.digest(shares) == vectors.DIGEST[label]
