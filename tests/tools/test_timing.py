"""The timing tool: its two tests find what they should, rarely cry wolf, and run on a board."""

import numpy as np
import pytest

from tools.bench_board import timing

RATE = 0.02


def times(
    generator: np.random.Generator, mean: float, spread: float, count: int = 20
) -> timing.Times:
    return np.rint(generator.normal(mean, spread, count))


@pytest.mark.statistical
def test_alike_times_are_rarely_told_apart() -> None:
    """4000 pairs at the rate of 2 %: more than 120 have probability below 1e-5 (binomial)."""
    generator = np.random.default_rng(5)
    found = [
        timing.judged("", "us", times(generator, 900, 12), times(generator, 900, 12)).p < RATE
        for _ in range(4000)
    ]
    assert sum(found) <= 120


@pytest.mark.parametrize(("mean", "spread"), [(930, 12), (900, 200), (700, 100)])
def test_another_mean_or_another_spread_is_found(mean: float, spread: float) -> None:
    """Positive control. Missed with probability below 1e-6 each; the seed is fixed."""
    generator = np.random.default_rng(6)
    for _ in range(20):
        fixed, random = times(generator, 900, 12, 60), times(generator, mean, spread, 60)
        assert timing.judged("", "us", fixed, random).depends


@pytest.mark.parametrize(
    ("fixed", "random", "depends"),
    [([7, 7, 7], [7, 7, 7], False), ([7, 7, 7], [8, 8, 8], True)],
)
def test_times_without_any_spread_are_compared(
    fixed: list[float], random: list[float], depends: bool
) -> None:
    assert timing.judged("", "us", np.array(fixed), np.array(random)).depends is depends


def test_the_device_script_runs_every_operation_by_its_name() -> None:
    """On the unix port: its clock is too coarse to judge by."""
    names = timing.operations()
    assert timing.CONTROL in names and set(timing.QUICK) <= set(names)
    for name in names:
        verdict = timing.measure("unix", name, 3)
        assert verdict.samples == 3, name
        assert verdict.unit == "us"
