"""Calibrations: what is stored comes back whole or is refused, and a correction never falls."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hushfw.core import calibration
from hushfw.core.calibration import Calibration, correct, encode, parse
from hushfw.core.correction import MOST_W
from hushfw.core.errors import HushError

TAG = b"\1\2\3\4"
GOOD: dict[str, Any] = {
    "version": 7,
    "made_s": 1_800_000_000,
    "settings": TAG,
    "driver": "level",
    "constants": {"gain": 1_003_000, "offset": -12},
    "points": [(0, 0), (100, 104), (1000, 1011)],
}


def made(**changes: Any) -> Calibration:
    return Calibration(**(GOOD | changes))


def fields(one: Calibration) -> dict[str, Any]:
    return {name: getattr(one, name) for name in GOOD}


@st.composite
def rising(draw: st.DrawFn) -> list[tuple[int, int]]:
    """Points as a meter takes them."""
    read_w, true_w = draw(st.integers(-9000, 9000)), draw(st.integers(-9000, 9000))
    points = [(read_w, true_w)]
    for _ in range(draw(st.integers(0, 15))):
        run_w = draw(st.integers(1, 2000))
        least, most = max(1, (run_w + 3) // 4), 4 * run_w
        read_w, true_w = read_w + run_w, true_w + draw(st.integers(least, most))
        points.append((read_w, true_w))
    return [point for point in points if abs(point[0]) <= MOST_W and abs(point[1]) <= MOST_W]


def refusal(function: Any, *arguments: Any) -> str:
    with pytest.raises(HushError) as caught:
        function(*arguments)
    assert caught.value.code == "bad_config"
    return caught.value.message


def test_what_is_stored_comes_back_whole() -> None:
    for one in (made(), made(constants={}, points=[]), made(points=[(-40, -90)])):
        assert fields(parse(encode(one))) == fields(one)


def test_no_changed_bit_is_taken_for_a_calibration() -> None:
    data = encode(made())
    for bit in range(8 * len(data)):
        spoilt = bytearray(data)
        spoilt[bit // 8] ^= 1 << bit % 8
        refusal(parse, bytes(spoilt))


def test_no_cut_and_nothing_added_is_taken_for_a_calibration() -> None:
    data = encode(made())
    for size in range(len(data)):
        refusal(parse, data[:size])
    refusal(parse, data + b"\0")
    assert "begin with HCAL" in refusal(parse, b"")


def test_any_bytes_with_a_right_checksum_are_refused_or_right() -> None:
    """What parses is what encodes to the same bytes: nothing has two forms."""
    chance = random.Random(3)
    body = encode(made())[:-32]
    taken = 0
    for _ in range(3000):
        spoilt = bytearray(body)
        for _ in range(chance.randrange(1, 4)):
            spoilt[chance.randrange(4, len(spoilt))] = chance.randrange(256)
        data = bytes(spoilt) + calibration.port.sha256(bytes(spoilt))
        try:
            one = parse(data)
        except HushError as error:
            assert error.code == "bad_config" and error.message.startswith("calibration: ")
            continue
        taken += 1
        assert fields(parse(encode(one))) == fields(one)
    assert taken


def test_a_format_of_a_later_firmware_is_told_apart_from_damage() -> None:
    data = bytearray(encode(made()))
    data[4] = 2
    assert "newer firmware" in refusal(parse, bytes(data))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"version": 0}, "version must be"),
        ({"version": 1 << 32}, "version must be"),
        ({"made_s": -1}, "made_s must be"),
        ({"driver": ""}, "driver's name"),
        ({"driver": "a" * 17}, "driver's name"),
        ({"driver": "../x"}, "driver's name"),
        ({"settings": b""}, "4 bytes"),
        ({"constants": {"Gain": 1}}, "constant's name"),
        ({"constants": {"gain": 1.5}}, "gain must be"),
        ({"constants": {"gain": True}}, "gain must be"),
        ({"constants": {f"c{i}": i for i in range(17)}}, "16 is the most"),
        ({"points": [(i, i) for i in range(17)]}, "16 is the most"),
        ({"points": [(0, 0), (0, 1)]}, "does not rise"),
        ({"points": [(0, 0), (10, 0)]}, "does not rise"),
        ({"points": [(0, 0), (10, 10), (20, 9)]}, "point 3"),
        ({"points": [(0, 0), (10, 41)]}, "it rises 41 W for 10 W"),
        ({"points": [(0, 0), (10, 2)]}, "it rises 2 W for 10 W"),
        ({"points": [(0, 0), (MOST_W + 1, MOST_W)]}, "a point's watts"),
        ({"points": [(0, 0.5)]}, "a point's watts"),
    ],
)
def test_a_calibration_that_is_wrong_is_never_written(changes: dict[str, Any], reason: str) -> None:
    assert reason in refusal(encode, made(**changes))


def test_constants_are_the_sensors_own_and_within_its_bounds() -> None:
    bounds = {"gain": (900_000, 1_100_000)}
    calibration.check_constants({"gain": 1_000_000}, bounds)
    calibration.check_constants({}, bounds)
    assert "it takes: gain" in refusal(calibration.check_constants, {"phase": 1}, bounds)
    assert "it takes: none" in refusal(calibration.check_constants, {"phase": 1}, {})
    assert "gain must be" in refusal(calibration.check_constants, {"gain": 1_100_001}, bounds)


def test_the_tag_changes_with_any_setting_and_with_nothing_else() -> None:
    driver = {"name": "level", "pin": 26, "num": 3, "export": False}
    tags = {calibration.settings_tag(driver)}
    assert calibration.settings_tag(dict(reversed(driver.items()))) in tags
    for name, value in (("pin", 27), ("num", 4), ("export", True), ("name", "clamp")):
        tags.add(calibration.settings_tag(driver | {name: value}))
    assert len(tags) == 5


def test_without_points_nothing_is_corrected_and_one_shifts_all() -> None:
    assert [correct((), w) for w in (-5, 0, 99)] == [-5, 0, 99]
    assert [correct([(10, 13)], w) for w in (-5, 10, 99)] == [-2, 13, 102]


def test_rounding_is_to_the_nearest_watt_and_halves_upward() -> None:
    points = [(0, 0), (4, 2)]
    assert [correct(points, w) for w in range(-3, 6)] == [-1, -1, 0, 0, 1, 1, 2, 2, 3]


@settings(max_examples=150, deadline=None)
@given(rising(), st.integers(-20_000, 20_000))
def test_it_is_the_exact_line_rounded_once(points: list[tuple[int, int]], watts: int) -> None:
    if len(points) < 2:
        return
    at = next((i for i in range(1, len(points) - 1) if watts <= points[i][0]), len(points) - 1)
    (x0, y0), (x1, y1) = points[at - 1], points[at]
    exact = 2 * (y0 * (x1 - x0) + (watts - x0) * (y1 - y0)) + (x1 - x0)
    wanted = exact // (2 * (x1 - x0))
    assert correct(points, watts) == (wanted if abs(wanted) <= MOST_W else None)


@settings(max_examples=150, deadline=None)
@given(rising(), st.integers(-30_000, 30_000), st.integers(0, 500))
def test_a_correction_never_falls_and_is_bounded(
    points: list[tuple[int, int]], watts: int, more: int
) -> None:
    low, high = correct(points, watts), correct(points, watts + more)
    if low is None or high is None:
        return
    assert 0 <= high - low <= 4 * more + 1
    assert all(correct(points, read_w) == true_w for read_w, true_w in points)


@settings(max_examples=150, deadline=None)
@given(rising(), st.integers(-20_000, 20_000))
def test_the_inverse_brings_a_reading_back(points: list[tuple[int, int]], watts: int) -> None:
    """Half a watt was lost to rounding, which the steepest line back makes two."""
    swapped = [(true_w, read_w) for read_w, true_w in points]
    calibration.check_points(swapped)
    there = correct(points, watts)
    back = None if there is None else correct(swapped, there)
    if back is not None:
        assert abs(back - watts) <= 3


def test_what_no_home_draws_is_no_reading() -> None:
    points = [(0, 0), (100, 400)]
    assert correct(points, 25_000) == MOST_W
    assert correct(points, 25_001) is None
    assert correct(points, -25_001) is None
