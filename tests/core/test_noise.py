"""The exact Polya shares: law of the coin, of the split, of a share and of the sum of n shares."""

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import vectors_noise as vectors
from scipy import signal, stats

from hushfw.core import noise
from hushfw.core.drbg import Tape
from hushfw.core.errors import HushError
from tests.core.goodness_of_fit import FALSE_ALARM, SeededSource, enumerate_law, p_value

CAUGHT = 1e-9  # a positive control must look at least this bad


def polya_law(n: int, scale: Fraction) -> stats.distributions.rv_frozen:
    return stats.nbinom(1 / n, -math.expm1(-1 / scale))


def share_cdf(n: int, scale: Fraction) -> tuple[np.ndarray, np.ndarray]:
    """Values d and Pr(share <= d): the law of P1 - P2 by convolution, cut at 60 scales."""
    values = np.arange(int(60 * scale) + 2)
    pmf = polya_law(n, scale).pmf(values)
    difference = signal.fftconvolve(pmf, pmf[::-1])
    return np.arange(-values[-1], values[-1] + 1), np.clip(np.cumsum(difference), 0, 1)


def laplace_cdf(scale: Fraction) -> tuple[np.ndarray, np.ndarray]:
    """Values d and Pr(sum <= d) for Pr(d) = (1 - p) / (1 + p) p^|d|."""
    p = math.exp(-1 / scale)
    values = np.arange(-int(60 * scale), int(60 * scale) + 1)
    tail = p ** np.abs(values) / (1 + p)
    return values, np.where(values < 0, tail, 1 - p * tail)


def pick_edges(values: np.ndarray, at_most: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The small values one by one, and about 20 quantiles for the rest."""
    wanted = np.searchsorted(at_most, np.linspace(0.002, 0.998, 21))
    small = np.flatnonzero((np.abs(values) <= 4) & (at_most > 1e-4) & (at_most < 1 - 1e-4))
    chosen = np.unique(np.concatenate([wanted, small]))
    return values[chosen], at_most[chosen]


def fit_of_polya(n: int, scale: Fraction, count: int = 50_000, seed: int = 1) -> float:
    source = SeededSource(seed)
    drawn = [noise.polya(source, n, scale.numerator, scale.denominator) for _ in range(count)]
    law = polya_law(n, scale)
    edges = np.unique(np.append(law.ppf(np.linspace(0.002, 0.998, 30)), np.arange(5)))
    return p_value(drawn, edges, law.cdf(edges))


def fit_of_share(n: int, scale: Fraction, count: int = 50_000, seed: int = 2) -> float:
    source = SeededSource(seed)
    drawn = [noise.share(source, n, scale.numerator, scale.denominator) for _ in range(count)]
    return p_value(drawn, *pick_edges(*share_cdf(n, scale)))


def fit_of_sum(n: int, scale: Fraction, count: int, seed: int = 3, shape_n: int = 0) -> float:
    """`shape_n` is the n the meters believe in, where it is not the true one."""
    source = SeededSource(seed)
    num, den = scale.numerator, scale.denominator
    drawn = [
        sum(noise.share(source, shape_n or n, num, den) for _ in range(n)) for _ in range(count)
    ]
    return p_value(drawn, *pick_edges(*laplace_cdf(scale)))


@pytest.mark.parametrize(("num", "den"), [(0, 5), (1, 1), (1, 2), (1, 7), (2, 3), (5, 2)])
def test_the_coin_is_exp_of_minus_a_over_b(num: int, den: int) -> None:
    """No false alarm: every path of the sampler is enumerated with its exact probability."""
    law, left_open = enumerate_law(
        lambda source: noise.bernoulli_exp(source, num, den), Fraction(1, 10**6)
    )
    assert left_open < 0.001
    wanted = math.exp(-num / den)
    assert float(law[True]) - 1e-12 <= wanted <= float(law[True] + left_open) + 1e-12


@pytest.mark.parametrize("n", [1, 2, 3, 5])
@pytest.mark.parametrize("total", range(6))
def test_the_split_is_exactly_the_polya_urn(n: int, total: int) -> None:
    """No false alarm: all paths, as fractions, against the urn played ball by ball."""
    urn = {(0, 0): Fraction(1)}
    for step in range(1, total + 1):
        after: dict[tuple[int, int], Fraction] = {}
        for (first, second), chance in urn.items():
            one = Fraction(1 + n * first, n * step)
            two = Fraction(1 + n * second, n * step) if n > 1 else Fraction(0)
            for drawn, success in (
                ((first + 1, second), one),
                ((first, second + 1), two),
                ((first, second), 1 - one - two),
            ):
                after[drawn] = after.get(drawn, Fraction(0)) + chance * success
        urn = after
    law, left_open = enumerate_law(lambda source: noise.split(source, total, n))
    assert left_open == 0
    assert {k: v for k, v in urn.items() if v} == law


@pytest.mark.statistical
@pytest.mark.parametrize(
    ("n", "scale"),
    [
        (1, Fraction(5, 2)),
        (7, Fraction(3)),
        (10, Fraction(1, 3)),
        (97, Fraction(500, 3)),
        (100, Fraction(3000)),
        (1000, Fraction(10**6)),
    ],
)
def test_a_polya_draw_is_negative_binomial(n: int, scale: Fraction) -> None:
    """False-alarm rate at most 1e-6 a case (exact binomial tails, Bonferroni)."""
    assert fit_of_polya(n, scale) > FALSE_ALARM


@pytest.mark.statistical
@pytest.mark.parametrize(
    ("n", "scale"),
    [(1, Fraction(7)), (7, Fraction(3)), (10, Fraction(30)), (97, Fraction(500, 3))],
)
def test_a_share_is_a_difference_of_two_polya_draws(n: int, scale: Fraction) -> None:
    """False-alarm rate at most 1e-6 a case (exact binomial tails, Bonferroni)."""
    assert fit_of_share(n, scale) > FALSE_ALARM


@pytest.mark.statistical
@pytest.mark.parametrize(("n", "count"), [(1, 50_000), (2, 50_000), (7, 20_000), (100, 4_000)])
@pytest.mark.parametrize("scale", [Fraction(2, 3), Fraction(400)])
def test_n_shares_sum_to_discrete_laplace(n: int, count: int, scale: Fraction) -> None:
    """False-alarm rate at most 1e-6 a case (exact binomial tails, Bonferroni)."""
    assert fit_of_sum(n, scale, count) > FALSE_ALARM


Parts = tuple[int, int]


def colour_off_by_one(source: SeededSource, total: int, n: int) -> Parts:
    return true_split(source, total, n + 1)


def cycle_never_takes_all(source: SeededSource, total: int, n: int) -> Parts:
    parts = [0] * n
    while total:
        left = 1 + source.below(total - 1) if total > 1 else 0
        parts[source.below(n)] += total - left
        total = left
    return parts[0], parts[1]


def binomial_split(source: SeededSource, total: int, n: int) -> Parts:
    colours = [source.below(n) for _ in range(total)]
    return colours.count(0), colours.count(1)


def second_of_another_urn(source: SeededSource, total: int, n: int) -> Parts:
    """Both parts have their law, but one total makes them dependent."""
    return true_split(source, total, n)[0], true_split(source, total, n)[0]


def geometric_without_zero(source: SeededSource, num: int, den: int) -> int:
    return 1 + true_geometric(source, num, den)


def uniform_low_part(source: SeededSource, num: int, den: int) -> int:
    """The rejection of the low part is forgotten."""
    high = 0
    while noise.bernoulli_exp(source, 1, 1):
        high += 1
    return (source.below(num) + num * high) // den


def coin_cut_after_three(source: SeededSource, num: int, den: int) -> int:
    k = 1
    while k < 3 and source.below(den * k) < num:
        k += 1
    return k & 1 == 1


def rounded_float_share(source: SeededSource, n: int, num: int, den: int) -> int:
    """What a float implementation does: gamma shares, rounded to Wh one by one."""
    rng = np.random.default_rng(source.below(2**32))
    g1, g2 = rng.gamma(1 / n, num / den, 2)
    return round(g1 - g2)


true_split, true_geometric = noise.split, noise.geometric
BROKEN: list[tuple[str, Callable[..., Any]]] = [
    ("split", colour_off_by_one),
    ("split", cycle_never_takes_all),
    ("split", binomial_split),
    ("geometric", geometric_without_zero),
    ("geometric", uniform_low_part),
    ("_coin", coin_cut_after_three),
]


@pytest.mark.parametrize(("name", "broken"), BROKEN, ids=lambda x: getattr(x, "__name__", x))
def test_a_broken_sampler_is_caught_in_a_draw_and_in_a_share(
    monkeypatch: pytest.MonkeyPatch, name: str, broken: Callable[..., Any]
) -> None:
    """Positive control of the two tests above, at their own sample size."""
    monkeypatch.setattr(noise, name, broken)
    assert fit_of_polya(7, Fraction(3)) < CAUGHT
    assert fit_of_share(7, Fraction(3)) < CAUGHT


@pytest.mark.parametrize(
    ("name", "broken"),
    [*BROKEN[:3], BROKEN[5], ("share", rounded_float_share)],
    ids=lambda x: getattr(x, "__name__", x),
)
def test_a_broken_sampler_is_caught_in_the_sum(
    monkeypatch: pytest.MonkeyPatch, name: str, broken: Callable[..., int]
) -> None:
    """Positive control of the test of sums, at its own sample size."""
    monkeypatch.setattr(noise, name, broken)
    assert fit_of_sum(7, Fraction(2, 3), 20_000) < CAUGHT


def test_two_parts_that_are_not_of_one_urn_are_caught_in_a_share(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Positive control: each part has its law, the share has not."""
    monkeypatch.setattr(noise, "split", second_of_another_urn)
    assert fit_of_polya(7, Fraction(3)) > FALSE_ALARM
    assert fit_of_share(3, Fraction(3)) < CAUGHT


def test_a_wrong_n_is_caught_in_the_sum() -> None:
    """Positive control: seven meters that draw for n = 8, and for n = 6."""
    assert fit_of_sum(7, Fraction(2, 3), 20_000, shape_n=8) < CAUGHT
    assert fit_of_sum(7, Fraction(2, 3), 20_000, shape_n=6) < CAUGHT


def test_one_share_alone_is_the_plain_geometric_difference() -> None:
    source = SeededSource(4)
    for total in (0, 1, 2, 17, 10**6, 2**40):
        assert noise.split(source, total, 1) == (total, 0)


@pytest.mark.statistical
def test_a_draw_takes_about_twenty_coins_whatever_the_scale() -> None:
    """H_G draws for the split, about ten for the geometric: no loop over the scale.

    The bound lies eight standard errors or more above the true mean: false-alarm rate below 1e-6.
    """

    class Counting(SeededSource):
        calls = 0

        def below(self, n: int) -> int:
            self.calls += 1
            return super().below(n)

    for n, scale in ((10, 3000), (1000, 10**6)):
        source = Counting(5)
        for _ in range(2000):
            noise.polya(source, n, scale, 1)
        assert source.calls / 2000 < math.log(scale) + 10


@pytest.mark.parametrize(("n", "num", "den"), [(0, 5, 1), (-1, 5, 1), (3, 0, 1), (3, 5, 0)])
def test_an_impossible_scale_or_n_is_refused(n: int, num: int, den: int) -> None:
    with pytest.raises(HushError, match="at least 1") as refusal:
        noise.share(SeededSource(6), n, num, den)
    assert refusal.value.code == "bad_config"


@pytest.mark.parametrize("label", sorted(vectors.POLYA))
def test_a_fixed_tape_gives_the_recorded_shares(label: bytes) -> None:
    n, num, den, count = vectors.POLYA[label]
    tape = Tape(vectors.tape_bytes(label))
    shares = [noise.share(tape, n, num, den) for _ in range(count)]
    assert vectors.digest(shares) == vectors.DIGEST[label]
