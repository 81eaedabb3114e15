"""The bounded shares: their distance from the exact law, their law in use, their steps."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from decimal import Decimal, localcontext
from fractions import Fraction
from types import FrameType
from typing import Any

import numpy as np
import pytest
import vectors_noise as vectors
from numpy.typing import NDArray
from scipy import stats

from hushfw.core import noise
from hushfw.core.bounded import BITS, Bounded
from hushfw.core.drbg import Tape
from hushfw.core.errors import HushError
from tests.core.goodness_of_fit import FALSE_ALARM, SeededSource, p_value
from tests.core.test_noise import CAUGHT, laplace_cdf, pick_edges, share_cdf

ONE = 1 << 400
"""Probabilities here are integers over this; what rounding adds is below 2^-300."""

Law = NDArray[Any]
"""Masses of -reach .. reach as Python integers."""


class Words(SeededSource):
    """The same source by the byte."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.asked: list[int] = []
        self._chance = random.Random(seed)

    def bytes(self, size: int) -> bytes:
        self.asked.append(size)
        return self._chance.randbytes(size)


def made(n: int, scale: Fraction, bits: int = BITS) -> Bounded:
    return Bounded(n, scale.numerator, scale.denominator, bits)


def zeros(reach: int) -> Law:
    out = np.empty(2 * reach + 1, dtype=object)
    out[:] = 0
    return out


def total_law(sampler: Bounded) -> list[int]:
    """Masses of the total, from its digits' thresholds."""
    law = [ONE]
    for threshold in sampler.thresholds:
        one = ONE * threshold >> sampler.width
        law = [mass * (ONE - one) // ONE for mass in law] + [mass * one // ONE for mass in law]
    return law


def cycle_law(sampler: Bounded, balls: int, left: int) -> tuple[int, int, int]:
    """Chances that a cycle leaves so many, by its colour: the first, the second, another."""
    width, begin = sampler.width, left << sampler.width
    marks = (0, sampler._first, sampler._second, 1 << width)
    edges = [-(-(begin + mark) // balls) for mark in marks]
    return tuple((b - a) * ONE >> width for a, b in zip(edges, edges[1:], strict=False))  # type: ignore[return-value]


def drawn_law(sampler: Bounded) -> Law:
    """The law of what the sampler draws: all its words are uniform, all its steps are followed."""
    totals = total_law(sampler)
    reach = len(totals) - 1
    if sampler._urns == 2:
        up = np.array(totals, dtype=object)
        return np.array([v // ONE for v in np.convolve(up, up[::-1])], dtype=object)
    chances = {
        (balls, left): cycle_law(sampler, balls, left)
        for balls in range(1, reach + 1)
        for left in range(balls)
    }
    nothing = zeros(reach)
    nothing[reach] = ONE
    from_here = [nothing] * (reach + 1)
    for _ in range(sampler.cycles):
        after = [nothing]
        for balls in range(1, reach + 1):
            law = zeros(reach)
            for left in range(balls):
                first, second, other = chances[balls, left]
                gone, old = balls - left, from_here[left]
                law += other * old
                law[gone:] += first * old[: len(old) - gone]
                law[: len(old) - gone] += second * old[gone:]
            after.append(law // ONE)
        from_here = after
    law = zeros(reach)
    for mass, old in zip(totals, from_here, strict=True):
        law += mass * old
    return law // ONE


def exact_law(n: int, scale: Fraction, reach: int) -> Law:
    """P1 - P2 within the reach; P1 and P2 are negative binomial with r = 1/n, to 130 digits."""
    with localcontext() as context:
        context.prec = 130
        p = (-Decimal(scale.denominator) / Decimal(scale.numerator)).exp()
        r = Decimal(1) / n
        mass = (r * (1 - p).ln()).exp()
        masses = []
        for k in range(1, 60 * (int(scale) + 2)):
            masses.append(int(mass * ONE))
            mass = mass * (r + k - 1) / k * p
        up = np.array(masses, dtype=object)
        both = np.convolve(up, up[::-1]) // ONE
    middle = len(masses) - 1
    return np.asarray(both[middle - reach : middle + reach + 1])


def distance(sampler: Bounded, n: int, scale: Fraction) -> Fraction:
    """Total variation between what is drawn and the exact law."""
    drawn = drawn_law(sampler)
    exact = exact_law(n, scale, len(drawn) // 2)
    apart = sum(abs(int(a) - int(b)) for a, b in zip(drawn, exact, strict=True))
    beyond = abs(int(sum(drawn)) - int(sum(exact)))
    return Fraction(apart + beyond, 2 * ONE)


CASES = [(1, Fraction(1, 2)), (2, Fraction(1, 2)), (3, Fraction(5, 8)), (100, Fraction(1, 2))]


@pytest.mark.parametrize(("n", "scale"), CASES)
def test_a_share_is_within_two_to_the_minus_64_of_the_exact_law(n: int, scale: Fraction) -> None:
    """No false alarm: both laws are computed."""
    assert 0 < distance(made(n, scale), n, scale) < Fraction(1, 2 ** (BITS + 1))


@pytest.mark.parametrize("bits", [4, 8, 12, 16])
@pytest.mark.parametrize(("n", "scale"), [(2, Fraction(1)), (5, Fraction(3)), (60, Fraction(2))])
def test_the_stated_distance_holds_where_it_can_be_seen(n: int, scale: Fraction, bits: int) -> None:
    """No false alarm. The same construction for 2^-bits, at scales that leave room to compute."""
    if scale * bits > 36:
        scale = Fraction(3, 2)
    assert distance(made(n, scale, bits), n, scale) < Fraction(1, 2**bits)


def fewer_cycles(sampler: Bounded) -> None:
    sampler.cycles //= 2


def a_digit_less(sampler: Bounded) -> None:
    sampler.digits -= 1
    del sampler.thresholds[-1]


def narrow_words(sampler: Bounded) -> None:
    cut = sampler.width - 56
    sampler.thresholds = [threshold >> cut for threshold in sampler.thresholds]
    sampler._first, sampler._second = -(-sampler._first >> cut), -(-sampler._second >> cut)
    sampler.width = 56


def one_threshold_wrong(sampler: Bounded) -> None:
    sampler.thresholds[0] += 1 << sampler.width - BITS + 2


@pytest.mark.parametrize("broken", [fewer_cycles, a_digit_less, narrow_words, one_threshold_wrong])
def test_a_sampler_cut_too_short_is_caught(broken: Callable[[Bounded], None]) -> None:
    """Positive control of the computed distance."""
    sampler = made(3, Fraction(1, 2))
    broken(sampler)
    assert distance(sampler, 3, Fraction(1, 2)) > Fraction(1, 2**BITS)


@pytest.mark.parametrize(
    "scale", [Fraction(1, 3), Fraction(7), Fraction(5000, 3), Fraction(2**40, 3), Fraction(2**58)]
)
@pytest.mark.parametrize("n", [1, 2, 90, 998])
def test_digits_words_and_cycles_are_enough_at_any_scale(n: int, scale: Fraction) -> None:
    """Each line of the argument in the module's docstring, against decimals of 200 digits."""
    sampler = made(n, scale)
    with localcontext() as context:
        context.prec = 200
        rate = Decimal(scale.denominator) / Decimal(scale.numerator)
        assert (-rate * 2**sampler.digits).exp() < Decimal(2) ** -69
        for b, threshold in enumerate(sampler.thresholds):
            e = (-rate * 2**b).exp()
            error = threshold - Decimal(2) ** sampler.width * e / (1 + e)
            assert abs(error) < 2
        mean = float(-(1 - (-rate).exp()).ln())
    assert sampler.width >= sampler.digits + n.bit_length() + 68
    if n > 1:
        assert stats.poisson.sf(sampler.cycles, mean) < 2.0**-66
        if scale > 1:
            assert stats.poisson.sf(sampler.cycles - 5, mean) > 2.0**-70, "many are for nothing"


def fit_of_share(sampler: Bounded, n: int, scale: Fraction, count: int = 20_000) -> float:
    source = Words(7)
    drawn = [sampler.share(source) for _ in range(count)]
    return p_value(drawn, *pick_edges(*share_cdf(n, scale)))


def fit_of_sum(sampler: Bounded, n: int, scale: Fraction, count: int) -> float:
    source = Words(8)
    drawn = [sum(sampler.share(source) for _ in range(n)) for _ in range(count)]
    return p_value(drawn, *pick_edges(*laplace_cdf(scale)))


@pytest.mark.statistical
@pytest.mark.parametrize(
    ("n", "scale"),
    [(1, Fraction(7)), (7, Fraction(3)), (10, Fraction(3000)), (97, Fraction(5000, 3))],
)
def test_a_bounded_share_follows_the_law_of_the_exact_one(n: int, scale: Fraction) -> None:
    """False-alarm rate at most 1e-6 a case (exact binomial tails, Bonferroni)."""
    assert fit_of_share(made(n, scale), n, scale) > FALSE_ALARM


@pytest.mark.statistical
@pytest.mark.parametrize(("n", "count"), [(2, 10_000), (100, 250)])
def test_n_bounded_shares_sum_to_discrete_laplace(n: int, count: int) -> None:
    """False-alarm rate at most 1e-6 a case (exact binomial tails, Bonferroni)."""
    assert fit_of_sum(made(n, Fraction(400)), n, Fraction(400), count) > FALSE_ALARM


def test_a_sampler_that_plays_few_cycles_is_caught_in_a_share_and_in_the_sum() -> None:
    """Positive control of the two tests above, at their own sample sizes or fewer."""
    sampler = made(7, Fraction(3))
    sampler.cycles = 1
    assert fit_of_share(sampler, 7, Fraction(3)) < CAUGHT
    sampler = made(2, Fraction(400))
    sampler.cycles = 1
    assert fit_of_sum(sampler, 2, Fraction(400), 10_000) < CAUGHT


def lines_run(draw: Callable[[], int]) -> tuple[int, int]:
    """(how many lines of the firmware one draw runs, what it drew)."""
    count = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        if "hushfw" not in frame.f_code.co_filename:
            return None
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        value = draw()
    finally:
        sys.settrace(before)
    return count, value


def test_every_share_takes_the_same_words_and_the_same_lines_whatever_it_draws() -> None:
    """Positive control: the exact sampler does not. No chance in it: the seeds are fixed."""
    source = Words(9)
    sampler = made(5, Fraction(3000))
    found = [lines_run(lambda: sampler.share(source)) for _ in range(60)]
    assert len({value for _, value in found}) > 10
    assert len({lines for lines, _ in found}) == 1
    assert set(source.asked) == {sampler.draw_bytes}
    exact = [lines_run(lambda: noise.share(source, 5, 3000, 1)) for _ in range(60)]
    assert len({lines for lines, _ in exact}) > 10


@pytest.mark.parametrize("n", [2, 100])
def test_a_scale_far_below_one_wh_draws_nothing_but_zero(n: int) -> None:
    sampler = made(n, Fraction(1, 1000))
    assert {sampler.share(Words(1)) for _ in range(20)} == {0}


@pytest.mark.parametrize(("n", "num", "den"), [(0, 5, 1), (-1, 5, 1), (3, 0, 1), (3, 5, 0)])
def test_an_impossible_scale_or_n_is_refused(n: int, num: int, den: int) -> None:
    with pytest.raises(HushError, match="at least 1") as refusal:
        Bounded(n, num, den)
    assert refusal.value.code == "bad_config"


@pytest.mark.parametrize("label", sorted(vectors.BOUNDED))
def test_a_fixed_tape_gives_the_recorded_shares(label: bytes) -> None:
    n, num, den, count = vectors.BOUNDED[label]
    tape = Tape(vectors.tape_bytes(label))
    sampler = Bounded(n, num, den)
    assert vectors.digest([sampler.share(tape) for _ in range(count)]) == vectors.DIGEST[label]
