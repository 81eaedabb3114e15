"""The energy of readings made of pulses is that of the pulses, and the shape is the load's."""

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hushfw.core.pulses import PULSE, Pulses

S = 1_000_000
SILENT_S = 400

Second = tuple[int, int]


def stamped(watts: Sequence[float], imp: int, phase: float = 0.0) -> Iterator[Second]:
    """(pulses, age of the last one in us) of each second of a load."""
    pulse_ws = PULSE / imp
    inside_ws, count, last_s = phase * pulse_ws, 0, 0.0
    for second, power in enumerate(watts):
        at_s = float(second)
        count = 0
        while power > 0 and inside_ws + power * (second + 1 - at_s) >= pulse_ws:
            at_s += (pulse_ws - inside_ws) / power
            inside_ws, count, last_s = 0.0, count + 1, at_s
        inside_ws += power * (second + 1 - at_s)
        yield count, round((second + 1 - last_s) * S) if count else 0


def readings(
    watts: Sequence[float], imp: int = 1000, phase: float = 0.0, most_w: int = 100_000
) -> tuple[list[int | None], list[int]]:
    """What is read each second, and the pulses of each."""
    estimate = Pulses(imp, most_w, SILENT_S)
    seconds = list(stamped(watts, imp, phase))
    return [estimate.take(S, *second) for second in seconds], [pulses for pulses, _ in seconds]


def worst_error(read: Sequence[int | None], pulses: Sequence[int], imp: int) -> float:
    """Largest difference, in pulses, of readings and pulses over any run without a gap."""
    worst = lowest = highest = balance = 0.0
    for watts, count in zip(read, pulses, strict=True):
        if watts is None:
            lowest = highest = balance = 0.0
            continue
        balance += watts - count * PULSE / imp
        lowest, highest = min(lowest, balance), max(highest, balance)
        worst = max(worst, highest - lowest)
    return worst * imp / PULSE


courses = st.lists(
    st.tuples(st.integers(0, 12_000), st.integers(1, 90)), min_size=1, max_size=12
).map(lambda steps: [float(watts) for watts, seconds in steps for _ in range(seconds)])


@settings(max_examples=120, deadline=None)
@given(course=courses, imp=st.sampled_from([75, 500, 1000, 2000, 10_000]), phase=st.floats(0, 0.99))
def test_the_energy_of_any_run_is_that_of_its_pulses_to_one_pulse(
    course: list[float], imp: int, phase: float
) -> None:
    read, pulses = readings(course, imp, phase)
    # What is left of a watt-second is carried on, hence the last term.
    assert worst_error(read, pulses, imp) <= 1 + imp / PULSE
    assert all(watts is None or watts >= 0 for watts in read)


def test_the_bound_catches_readings_that_are_made_up() -> None:
    """The positive control: an estimator that holds the last interval's power through silence."""
    course = [3000.0] * 60 + [30.0] * 300
    read, pulses = readings(course)
    assert worst_error(read, pulses, 1000) <= 1.01
    held, last = [], 0
    for watts, count in zip(read, pulses, strict=True):
        last = count * 3600 if count else last
        held.append(None if watts is None else last)
    assert worst_error(held, pulses, 1000) > 2


@pytest.mark.parametrize(
    ("watts", "imp"), [(100, 1000), (1000, 1000), (10_000, 1000), (50, 10_000)]
)
def test_a_constant_load_is_read_to_the_watt(watts: int, imp: int) -> None:
    read, _ = readings([float(watts)] * 300, imp)
    known = [value for value in read if value is not None]
    assert len(known) > 200
    assert max(abs(value - watts) for value in known) <= 1
    assert abs(sum(known) - watts * len(known)) <= 1


@pytest.mark.parametrize(("before", "after"), [(100, 1000), (1000, 100), (1000, 10_000)])
def test_a_step_is_read_in_the_second_after_its_second_pulse(before: int, after: int) -> None:
    read, pulses = readings([float(before)] * 120 + [float(after)] * 120)
    second = [at for at, count in enumerate(pulses) for _ in range(count) if at >= 120][1]
    assert second - 120 <= 2 * 3600 / after + 1
    settled = [value for value in read[second + 2 :] if value is not None]
    assert max(abs(value - after) for value in settled) <= 1


def test_without_a_pulse_the_load_is_at_most_what_one_would_have_shown() -> None:
    read, _ = readings([2000.0] * 60 + [0.0] * 200)
    after = read[60:]
    assert sum(value or 0 for value in after) <= 3600
    assert after[-1] == 0


def test_nothing_is_read_before_two_pulses_and_that_is_no_fault() -> None:
    estimate = Pulses(1000, 10_000, SILENT_S)
    assert [estimate.take(S, *pulses) for pulses in [(0, 0), (1, 500_000), (0, 0)]] == [None] * 3
    assert estimate.fault is None


def test_silence_is_no_reading_and_ends_with_two_pulses() -> None:
    estimate = Pulses(1000, 10_000, 5)
    seconds = [(1, 0), (1, 0), (1, 0)] + [(0, 0)] * 8 + [(1, 0), (1, 0), (1, 0)]
    found = [(estimate.take(S, *second), estimate.fault) for second in seconds]
    assert found[2] == (3600, None)
    assert [watts is None for watts, _ in found[3:]] == [False] * 5 + [True] * 5 + [False]
    assert {fault for _, fault in found[8:13]} == {"silent"}
    assert found[13] == (3600, None)


def test_more_pulses_than_the_greatest_power_allows_are_not_counted() -> None:
    estimate = Pulses(1000, 7200, SILENT_S)
    fine = [estimate.take(S, 2, 100_000) for _ in range(5)]
    assert fine[2:] == [7200] * 3
    assert (estimate.take(S, 4, 100_000), estimate.fault) == (None, "flood")
    after = [(estimate.take(S, 2, 100_000), estimate.fault) for _ in range(3)]
    assert after[0] == (None, "flood") and after[2] == (7200, None)
    # An interrupt that waited 50 ms for the flash is no flood.
    assert [estimate.take(S, 2, age) for age in (150_000, 100_000)] == pytest.approx(
        [7200] * 2, abs=500
    )
    assert estimate.fault is None


def test_seconds_that_nobody_asked_for_do_not_make_the_next_one_larger() -> None:
    estimate = Pulses(1000, 10_000, SILENT_S)
    for _ in range(5):
        assert estimate.take(S, 1, 0) in (None, 3600)
    assert estimate.take(3 * S, 3, 0) == 3600
    assert estimate.take(S, 1, 0) == 3600


def test_export_is_negative_and_the_turn_costs_no_reading() -> None:
    """Drawn at 1.8 kW, then fed in at 3.6 kW, then drawn again."""
    estimate = Pulses(1000, 10_000, SILENT_S)
    drawn = [(1, 0, 0, 0), (0, 0, 0, 0)] * 10
    fed = [(0, 0, 1, 0)] * 10
    read = [estimate.take(S, *second) for second in drawn + fed + drawn]
    assert None not in read[4:]
    known = [watts for watts in read if watts is not None]
    assert known[:10] == [1800] * 10
    assert read[22:30] == [-3600] * 8
    assert read[-10:] == [1800] * 10
    counted = sum(3600 * (d - f) for d, _, f, _ in (drawn + fed + drawn)[len(read) - len(known) :])
    assert abs(sum(known) - counted) <= 2 * 3600
