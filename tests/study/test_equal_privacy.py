"""The first crossing, and what its interval means."""

import pytest

from hushmeter.study.equal_privacy import GRID_WH, ratio_of
from tests.study.study_kit import row

REFERENCE = row("ls2", 250, 0.20, half=0.01, shuffled=0.02)


def curve(bits, half=0.0, shuffled=0.02):
    sizes = (125, 250, 500, 1000, 2000)
    return [
        row("nill", size, value, half=half, shuffled=shuffled)
        for size, value in zip(sizes, bits, strict=True)
    ]


def test_the_grid_has_four_steps_a_doubling_and_holds_every_size_of_ls2():
    steps = [after / before for before, after in zip(GRID_WH, GRID_WH[1:], strict=False)]
    assert steps == pytest.approx([2**0.25] * len(steps), rel=0.01)
    assert {250, 500, 1000} <= set(GRID_WH)


def test_the_ratio_is_that_of_the_first_size_that_leaks_no_more():
    found = ratio_of("a", "nill", curve([0.5, 0.3, 0.19, 0.25, 0.1]), REFERENCE)
    assert (found.capacity_wh, found.ratio) == (500, 2.0)


def test_the_interval_goes_from_where_it_may_cross_to_where_it_must_have():
    found = ratio_of("a", "nill", curve([0.5, 0.3, 0.21, 0.15, 0.1], half=0.05), REFERENCE)
    assert found.ratio == 4.0
    # 500 Wh touches the interval of LS2, so the crossing may lie between 250 Wh and it; at 1000 Wh
    # the upper end, 0.20, is still above the lower end of LS2, 0.19.
    assert found.ratio_ci == (1.0, 8.0)


def test_a_controller_that_never_gets_there_has_no_ratio():
    found = ratio_of("a", "nill", curve([0.9, 0.8, 0.7, 0.6, 0.5]), REFERENCE)
    assert (found.ratio, found.capacity_wh, found.ratio_ci) == (None, None, (None, None))


def test_the_baseline_of_each_is_taken_off_its_own_estimate():
    found = ratio_of("a", "nill", curve([0.5, 0.3, 0.24, 0.19, 0.1], shuffled=0.07), REFERENCE)
    assert (found.ratio, found.ratio_less_bias) == (4.0, 2.0)
