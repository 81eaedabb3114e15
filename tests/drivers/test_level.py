"""The level driver scales in integers, to the nearest watt, and knows what is no reading."""

import types
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hushfw.core import config
from hushfw.core.errors import HushError
from hushfw.drivers import level

SETTINGS = {"name": "level", "pin": 26, "zero": 0, "num": 1, "den": 16, "n": 4, "export": False}
TWELVE_BITS = {"num": 4095, "den": 65535}


class Converter:
    """The module ``machine`` of a board with one analogue input."""

    def __init__(self, levels: Sequence[int]) -> None:
        self.levels = list(levels)
        self.taken = 0

    def Pin(self, number: int) -> int:  # noqa: N802 (the name on a board)
        return number

    def ADC(self, pin: int) -> Any:  # noqa: N802
        if pin != 26:
            raise ValueError("Pin doesn't have ADC capabilities")
        return types.SimpleNamespace(read_u16=self.read_u16)

    def read_u16(self) -> int:
        value = self.levels[self.taken % len(self.levels)]
        self.taken += 1
        return value


def reading(levels: Sequence[int], **settings: Any) -> int | None:
    return level.make(SETTINGS | settings, Converter(levels)).read()


@given(
    levels=st.lists(st.integers(0, 65535), min_size=1, max_size=16),
    zero=st.integers(0, 65534),
    num=st.integers(1, 1000),
    den=st.integers(655, 100_000),
)
def test_watts_are_the_scaled_mean_to_the_nearest(
    levels: list[int], zero: int, num: int, den: int
) -> None:
    watts = reading(levels, zero=zero, num=num, den=den, n=len(levels), export=True)
    exact = (Fraction(sum(levels), len(levels)) - zero) * num / den
    assert watts is not None
    assert abs(watts - exact) <= Fraction(1, 2)


def test_each_of_a_12_bit_converters_levels_is_its_own_watt() -> None:
    # machine.ADC spreads 12 bits over 16 by repeating the upper four.
    levels = [raw << 4 | raw >> 8 for raw in range(4096)]
    assert [reading([level], n=3, **TWELVE_BITS) for level in levels] == list(range(4096))


def test_below_zero_is_fed_in_where_the_driver_exports_and_nothing_elsewhere() -> None:
    assert reading([30_000], zero=32_768, export=True) == -173
    assert reading([32_768 - 1023], zero=32_768) == 0
    assert reading([32_768 - 1024], zero=32_768) is None


def test_n_conversions_are_taken_each_time() -> None:
    converter = Converter([0, 32, 64, 96, 1600])
    driver = level.make(SETTINGS, converter)
    assert driver.read() == 3
    assert converter.taken == 4
    assert driver.live and not driver.sees_export


@pytest.mark.parametrize("hardware", [Converter([0]), types.SimpleNamespace()])
def test_a_pin_without_a_converter_is_refused(hardware: Any) -> None:
    with pytest.raises(HushError) as refusal:
        level.make(SETTINGS | {"pin": 3}, hardware)
    assert refusal.value.code == "bad_config"
    assert "driver.pin" in refusal.value.message


def wrong(**changes: Any) -> str:
    with pytest.raises(HushError) as refusal:
        config._driver(SETTINGS | changes)
    assert refusal.value.code == "bad_config"
    return str(refusal.value.message)


def test_settings_that_cannot_be_right_are_named() -> None:
    config._driver(SETTINGS)
    for name, bad in (
        ("pin", -1),
        ("pin", "26"),
        ("zero", 65535),
        ("num", 0),
        ("den", 0),
        ("n", 0),
        ("n", 257),
        ("export", 1),
    ):
        assert name in wrong(**{name: bad})
    assert "100000 W" in wrong(num=100, den=60)
    assert "source" in wrong(source="link")
    assert "name" in wrong(name="camera")
    without = {name: value for name, value in SETTINGS.items() if name != "den"}
    with pytest.raises(HushError, match="den"):
        config._driver(without)


def test_no_reading_of_a_configured_driver_is_beyond_the_greatest_power() -> None:
    assert reading([65535], num=config.MAX_POWER_W, den=65535, n=1) == config.MAX_POWER_W
