"""Epsilon against coalitions: from exact laws, never above nominal within the bounds."""

from fractions import Fraction
from functools import reduce

import numpy as np
import pytest
from scipy import stats

from hushmeter.errors import HushmeterError
from hushmeter.privacy.coalitions import faced_by, law, measured_epsilon

ROUNDING = 1e-9


def share_law(n, scale, reach):
    """Of one share, from -reach to reach, by convolution of two negative binomials."""
    pmf = stats.nbinom(1 / n, -np.expm1(-1 / scale)).pmf(np.arange(reach + 1))
    return np.convolve(pmf, pmf[::-1])


@pytest.mark.parametrize(("n", "left"), [(4, 4), (4, 3), (5, 8), (3, 1)])
def test_the_law_is_the_convolution_of_the_shares_that_are_left(n, left):
    scale, reach = 4.0, 130
    each = share_law(n, scale, reach)
    whole = reduce(lambda a, b: np.convolve(a, b)[reach:-reach], [each] * left)
    ours = law(Fraction(4), Fraction(left, n), 60)
    assert ours == pytest.approx(whole[reach : reach + 60], rel=1e-9)
    assert 2 * law(Fraction(4), Fraction(left, n), 120).sum() - ours[0] == pytest.approx(1)


@pytest.mark.parametrize("left", [2, 3, 4, 6])
def test_epsilon_is_the_largest_ratio_of_that_convolution(left):
    scale, cap, reach = 4.0, 6, 200
    each = share_law(4, scale, reach)
    whole = reduce(lambda a, b: np.convolve(a, b)[reach:-reach], [each] * left)
    middle = whole[reach - 60 : reach + 61]
    ratios = np.abs(np.log(middle[:-cap] / middle[cap:]))
    ours = measured_epsilon(Fraction(4), cap, Fraction(left, 4))
    if left <= 4:
        assert ours == pytest.approx(ratios.max(), abs=1e-9)
    # Above k = 1 the ratio only nears its bound: the wider the window, the larger.
    assert ratios.max() - 1e-9 <= ours <= max(1.5, ratios.max()) + 1e-9


@pytest.mark.parametrize("epsilon", [Fraction(1, 10), Fraction(1), Fraction(3)])
@pytest.mark.parametrize("members", [10, 100, 1000])
def test_within_the_bounds_no_coalition_sees_more_than_nominal(members, epsilon):
    m_bound, t_bound = members * 3 // 10, max(1, members // 10)
    for missing in (0, m_bound // 2, m_bound):
        for colluding in (0, 1, t_bound):
            found = faced_by(members, m_bound, t_bound, missing, colluding, epsilon, 100)
            assert found.is_within_bounds
            assert found.measured <= found.nominal + ROUNDING


def test_the_nominal_epsilon_is_reached_when_both_bounds_are():
    assert faced_by(100, 30, 10, 30, 10).measured == pytest.approx(1, abs=ROUNDING)


def test_without_t_a_quarter_of_the_shape_makes_one_into_1_6():
    """The control: the paper's shape 1/(N - M)."""
    found = faced_by(100, 0, 0, 0, 25, cap_wh=1000)
    assert not found.is_within_bounds
    assert found.measured == pytest.approx(1.6, abs=0.005)
    assert faced_by(100, 0, 25, 0, 25, cap_wh=1000).measured <= 1 + ROUNDING


def test_who_knows_more_sees_more_once_the_bounds_are_passed():
    seen = [faced_by(100, 30, 10, 30, known, cap_wh=100).measured for known in range(10, 50, 5)]
    assert all(a < b for a, b in zip(seen, seen[1:], strict=False))


def test_every_home_knows_its_own_share_so_t_is_at_least_one():
    assert faced_by(10, 0, 0, 0, 1).measured > 1.05
    assert faced_by(10, 0, 1, 0, 1).measured <= 1 + ROUNDING


def test_smaller_moves_are_seen_less():
    found = [measured_epsilon(Fraction(50), cap, Fraction(3, 4)) for cap in (1, 5, 20, 50)]
    assert all(a < b for a, b in zip(found, found[1:], strict=False))


def test_nobody_left_and_a_huge_scale_are_refused():
    with pytest.raises(HushmeterError, match="left"):
        faced_by(10, 5, 5, 0, 0)
    with pytest.raises(HushmeterError, match="summed up to"):
        faced_by(10, 0, 1, 0, 0, Fraction(1, 1000), 5000)
