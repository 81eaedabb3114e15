"""Real power from alternating samples: against a float truth, and what breaks without each part.

The machine code runs in hil/device/check_mains.py; here is the definition.
"""

from __future__ import annotations

import math
import sys
from fractions import Fraction
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hushfw.core import mains, mains_figures
from hushmeter.emulate.peers.mains import FLAT_TOP, SWITCH_MODE, Mains

FULL = 4095
VOLTS, AMPS = 0.2, 0.075
UNIT_W = VOLTS * AMPS / 256


def window(
    truth: Mains, spacing_us: int = 100, from_s: float = 0.0, kind: type = mains.Window
) -> Any:
    """A window over three periods of 45 Hz, evaluated; it has to be a good one."""
    pairs = 3 * 1_000_000 // (45 * 2 * spacing_us) + 4
    found = kind(pairs, FULL, mains.PURE)
    for k in range(pairs):
        at_s = from_s + 2 * k * spacing_us / 1e6
        found.samples[2 * k] = truth.voltage_level(at_s)
        found.samples[2 * k + 1] = truth.current_level(at_s + spacing_us / 1e6)
    assert found.evaluate(pairs, 2000 * spacing_us, 2) is None
    return found


def watts(found: Any, lead_mdeg: int = 0) -> float:
    return float(found.real_q8(mains.turn_by(lead_mdeg))) * UNIT_W


def numpy_truth(truth: Mains, from_s: float = 0.0) -> tuple[float, float, float]:
    """Real power, RMS volts and amps over one cycle, by a fine grid without any converter."""
    at_s = from_s + np.arange(4000) / 4000 / truth.frequency_hz
    volts = np.array([truth.volts(t) for t in at_s])
    amps = np.array([truth.amps(t) for t in at_s])
    rms = (math.sqrt(float(np.mean(x * x))) for x in (volts, amps))
    return float(np.mean(volts * amps)), *rms


def bound_w(truth: Mains, power_w: float, rms_v: float, rms_a: float, pairs: int = 150) -> float:
    """Six times the noise of one step in each pin, and what the integers and ends leave."""
    steps = math.hypot(1.0, 12**-0.5)
    noise_w = steps * math.hypot(rms_v * AMPS, rms_a * VOLTS) / math.sqrt(pairs)
    return 6 * noise_w + 5e-4 * rms_v * rms_a + 0.2


@settings(max_examples=60, deadline=None)
@given(
    power_w=st.floats(-15_000, 15_000),
    factor=st.floats(0.5, 1.0),
    leads=st.booleans(),
    hertz=st.floats(45.2, 64.8),
    volts=st.floats(200, 260),
    from_s=st.floats(0, 1),
    rests=st.tuples(st.floats(-80, 80), st.floats(-80, 80)),
    seed=st.integers(0, 1000),
)
def test_power_is_within_its_bound_of_the_float_truth(
    power_w: float,
    factor: float,
    leads: bool,
    hertz: float,
    volts: float,
    from_s: float,
    rests: tuple[float, float],
    seed: int,
) -> None:
    """Six sigma: a false alarm in 10^9 examples."""
    truth = Mains(
        watts=power_w * factor,
        power_factor=-factor if leads else factor,
        voltage_rms_v=volts,
        frequency_hz=hertz,
        voltage_offset=rests[0],
        current_offset=rests[1],
        amps_per_step=AMPS,
        seed=seed,
    )
    found = window(truth, from_s=from_s)
    true_w, rms_v, rms_a = numpy_truth(truth)
    bound = bound_w(truth, true_w, rms_v, rms_a)
    assert abs(watts(found) - true_w) < bound
    assert abs(mains_figures.voltage_q8(found) * VOLTS / 256 - rms_v) < 0.002 * rms_v
    assert (
        abs(mains_figures.current_q8(found) * AMPS / 256 - math.hypot(rms_a, AMPS))
        < 0.002 * rms_a + AMPS
    )
    assert abs(found.frequency_mhz / 1000 - hertz) < 0.1
    true_var = math.sqrt(max(0.0, (rms_v * rms_a) ** 2 - true_w**2))
    if true_var > 0.3 * rms_v * rms_a > 300:
        assert (mains_figures.reactive_q8(found) > 0) == ((power_w > 0) != leads)


@settings(max_examples=20, deadline=None)
@given(power_w=st.floats(50, 3000), seed=st.integers(0, 100), from_s=st.floats(0, 1))
def test_pulses_of_a_rectifier_are_within_the_bound(
    power_w: float, seed: int, from_s: float
) -> None:
    truth = Mains(
        watts=power_w,
        power_factor=-0.95,
        voltage_harmonics=FLAT_TOP,
        current_harmonics=SWITCH_MODE,
        seed=seed,
    )
    true_w, rms_v, rms_a = numpy_truth(truth)
    assert abs(true_w - power_w) < 1e-6 * power_w
    # The harmonics' own power is weighted by cos(h y) / cos y.
    found = window(truth, spacing_us=50, from_s=from_s)
    assert abs(watts(found) - true_w) < bound_w(truth, true_w, rms_v, rms_a, 300) + 0.003 * true_w


def test_export_is_the_same_number_below_zero() -> None:
    for factor in (1.0, 0.6, -0.6):
        drawn, fed = (
            watts(window(Mains(watts=p, power_factor=factor, noise_steps=0.3)))
            for p in (2500.0, -2500.0)
        )
        assert drawn > 0 > fed
        assert abs(drawn + fed) < 3


@pytest.mark.parametrize("lead_deg", [-3.0, 1.0, 6.0])
@pytest.mark.parametrize("factor", [1.0, 0.5, -0.5])
def test_a_leading_clamp_is_turned_back(lead_deg: float, factor: float) -> None:
    truth = Mains(watts=5000.0, power_factor=factor, ct_lead_deg=lead_deg, vt_lead_deg=-0.5)
    found = window(truth)
    right, wrong = watts(found, round(1000 * (lead_deg + 0.5))), watts(found)
    assert abs(right - 5000) < 10
    lag_rad = math.copysign(math.acos(abs(factor)), factor)
    expected = 5000 / abs(factor) * math.cos(lag_rad - math.radians(lead_deg + 0.5))
    assert abs(wrong - expected) < 10


class WithoutDelay(mains.Window):  # type: ignore[misc]
    """As if both samples of a pair were taken together."""

    def real_q8(self, turn: Any = mains.NO_TURN) -> int:
        rest = self.total_q8(0) * self.total_q8(1)
        return int((self.mean_q8(6, rest, 0, 1) << 8) // self.length_q8**2)


@pytest.mark.parametrize("spacing_us", [50, 100, 200])
def test_without_the_delays_correction_power_is_wrong_at_half_a_power_factor(
    spacing_us: int,
) -> None:
    """The positive control: tan(60 degrees) * sin(360 degrees * 50 Hz * spacing)."""
    truth = Mains(watts=4000.0, power_factor=0.5)
    share = math.sqrt(3) * math.sin(2 * math.pi * 50 * spacing_us / 1e6)
    assert abs(watts(window(truth, spacing_us)) / 4000 - 1) < 0.001
    broken = watts(window(truth, spacing_us, kind=WithoutDelay)) / 4000 - 1
    assert abs(broken - share) < 0.1 * share
    assert broken > 0.025


class WholePairs(mains.Window):  # type: ignore[misc]
    """A window that begins and ends on a sample."""

    def _crossing_q8(self, n: int) -> int:
        return (int(super()._crossing_q8(n)) + 128) // 256 * 256


def test_parts_of_cells_at_the_ends_pay() -> None:
    errors: dict[type, list[float]] = {mains.Window: [], WholePairs: []}
    for number in range(24):
        truth = Mains(
            watts=8000.0, power_factor=0.7, frequency_hz=49.5 + number / 24, noise_steps=0.3
        )
        for kind, found in errors.items():
            measured = window(truth, 200, from_s=number * 0.013, kind=kind)
            found.append(watts(measured) / 8000 - 1)
    with_parts, without = (float(np.std(found)) for found in errors.values())
    assert with_parts < 0.001
    assert without > 2 * with_parts


def test_the_rest_of_the_pins_does_not_matter() -> None:
    found = [
        watts(window(Mains(watts=3000.0, voltage_offset=v, current_offset=i, noise_steps=0.3)))
        for v, i in ((0.0, 0.0), (200.5, -300.5), (-250.0, 333.3))
    ]
    assert max(found) - min(found) < 3


@settings(max_examples=40)
@given(
    st.integers(20, 60),
    st.integers(0, 2**32 - 1),
    st.sampled_from([(0, 4095), (21846, 65535), (0, 43689)]),
)
def test_sums_are_exact_whatever_the_samples(
    pairs: int, seed: int, bounds: tuple[int, int]
) -> None:
    """Against numpy in 64 bits, with the middles taken away that `evaluate` would allow."""
    chance = np.random.default_rng(seed)
    drawn = chance.integers(*bounds, size=2 * pairs + 2, endpoint=True)
    found = mains.Window(pairs + 1, 65535, mains.PURE)
    found.samples[:] = type(found.samples)("H", [int(x) for x in drawn])
    middle_v, middle_i = int(drawn[::2].mean()), int(drawn[1::2].mean())
    out = [0] * 10
    mains.add(found.samples, 0, pairs, middle_v, middle_i, out)
    v, i = drawn[:-2:2] - middle_v, drawn[1:-2:2] - middle_i
    after = drawn[2::2] - middle_v
    assert out[:2] == [v.sum(), i.sum()]
    sums = [out[k] + (out[k + 1] << 16) for k in range(2, 10, 2)]
    assert sums == [(v * v).sum(), (i * i).sum(), (v * i).sum(), (after * i).sum()]


def test_no_word_of_the_sums_leaves_32_bits() -> None:
    """The longest window of 16 bits, square and in phase, resting where it still may."""
    most = mains.MOST_PAIRS
    for low, high in ((21846, 65535), (0, 43689)):
        samples = [(low, high)[k >> 1 & 1] for k in range(2 * most + 2)]
        out = [0] * 10
        mains.add(samples, 0, most, 21846 if low else 43689, 43689 if low else 21846, out)
        assert max(abs(word) for word in out) < 2**31
    assert (65535 - 21845) ** 2 < 2**31


def broken_window(truth: Mains, **changes: Any) -> Any:
    found = mains.Window(337, FULL, mains.PURE)
    for k in range(337):
        found.samples[2 * k] = truth.voltage_level(2e-4 * k)
        found.samples[2 * k + 1] = truth.current_level(2e-4 * k + 1e-4)
    return found.evaluate(337, changes.get("pair_ns", 200_000), changes.get("cycles", 2))


def test_a_window_that_is_not_one_says_why() -> None:
    load = {"watts": 900.0}
    for truth, told in (
        (Mains(**load, fault="voltage_lost"), "no_mains"),
        (Mains(**load, voltage_rms_v=10.0), "no_mains"),
        (Mains(**load, frequency_hz=30.0), "no_mains"),
        (Mains(**load, frequency_hz=75.0), "no_mains"),
        (Mains(**load, frequency_hz=150.0), "no_mains"),
        (Mains(**load, fault="current_stuck"), "stuck"),
        (Mains(**load, fault="voltage_stuck"), "stuck"),
        (Mains(**load, fault="current_grounded"), "stuck"),
        (Mains(watts=3000.0, fault="overdriven"), "clipped"),
        (Mains(**load, voltage_rms_v=330.0), "clipped"),
        (Mains(**load, voltage_offset=-900.0, voltage_rms_v=120.0), "out_of_range"),
        (Mains(**load, current_offset=900.0), "out_of_range"),
        (Mains(**load), None),
    ):
        assert broken_window(truth) == told, truth
    assert broken_window(Mains(**load), cycles=5) == "no_mains"


def test_edges_at_the_voltages_crossing_are_one_crossing() -> None:
    """Noise of eight steps makes it cross forth and back."""
    for seed in range(10):
        found = window(Mains(watts=5000.0, noise_steps=8.0, seed=seed), spacing_us=50)
        assert found.cycles in (2, 3)
        assert abs(found.frequency_mhz - 50_000) < 500


@given(st.integers(-93_000_000, 93_000_000))
def test_sines_of_small_angles_are_right_to_2_28ths(angle: int) -> None:
    """Up to 20 degrees, and what the series leave out."""
    x = angle / 2**28
    assert abs(mains.sine(angle) / 2**28 - math.sin(x)) < 3 / 2**28 + abs(x) ** 7 / 5000
    assert abs(mains.cosine(angle) / 2**28 - math.cos(x)) < 3 / 2**28 + x**8 / 40000


@given(st.integers(0, 2**80))
def test_a_square_root_is_the_greatest_whole_one(number: int) -> None:
    assert mains_figures.square_root(number) == math.isqrt(number)


def test_a_window_of_absurd_length_is_refused() -> None:
    for pairs in (0, 15, mains.MOST_PAIRS + 1):
        with pytest.raises(ValueError, match="wanted 16 to 4096"):
            mains.Window(pairs, FULL)


def wrong_add(*arguments: Any) -> None:
    mains.add(*arguments)
    arguments[-1][9] += 1


@pytest.mark.parametrize("add", [mains.add, wrong_add])
def test_machine_code_is_used_only_where_it_comes_out_the_same(
    monkeypatch: pytest.MonkeyPatch, add: Any
) -> None:
    fast: Any = ModuleType("hushfw.core.mains_viper")
    fast.survey, fast.crossings, fast.add = mains.survey, mains.crossings, add
    monkeypatch.setitem(sys.modules, fast.__name__, fast)
    monkeypatch.setattr("hushfw.core.mains_viper", fast, raising=False)
    chosen = mains._chosen()
    assert chosen is mains.PURE or chosen[2] is mains.add
    assert (chosen is mains.PURE) == (add is wrong_add)


def test_without_a_compiler_the_definition_is_used() -> None:
    assert mains.KERNELS is mains.PURE


def test_the_unit_of_power_is_a_256th_of_both_steps() -> None:
    """A square wave has the power that anybody can work out: 1000 * 500 steps squared."""
    found = mains.Window(100, FULL, mains.PURE)
    for k in range(100):
        up = (k // 10) % 2
        found.samples[2 * k] = 3048 if up else 1048
        found.samples[2 * k + 1] = 2548 if up else 1548
    assert found.evaluate(100, 1_000_000, 2) is None
    assert Fraction(mains_figures.voltage_q8(found), 256) == 1000
    assert Fraction(mains_figures.current_q8(found), 256) == 500
