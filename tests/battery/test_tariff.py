"""Tariffs are read strictly, priced by the clock on the wall, and summed exactly."""

import json
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from hushmeter.battery.tariff import cost, period_numbers, read_tariff
from hushmeter.errors import HushmeterError

NIGHT_AND_DAY = """
format = 1
name = "two rates"
currency = "GBP"
timezone = "Europe/London"
standing_micro_per_day = 450000

[[period]]
name = "night"
from = "00:30"
to = "07:30"
import_micro_per_kwh = 90000
export_micro_per_kwh = 40000

[[period]]
name = "day"
from = "07:30"
to = "00:30"
import_micro_per_kwh = 310000
"""
WEEK = """
format = 1
name = "weekends and winters"
currency = "EUR"
timezone = "Europe/Berlin"
[[period]]
name = "weekend"
days = ["sat", "sun"]
import_micro_per_kwh = 1
[[period]]
name = "winter"
days = ["mon", "tue", "wed", "thu", "fri"]
months = [11, 12, 1, 2]
import_micro_per_kwh = 2
[[period]]
name = "summer"
days = ["mon", "tue", "wed", "thu", "fri"]
months = [3, 4, 5, 6, 7, 8, 9, 10]
import_micro_per_kwh = 3
"""
MONDAY = 1704067200  # 1 January 2024, 00:00 UTC


@pytest.fixture
def tariff_of(tmp_path):
    def read(text, suffix=".toml"):
        path = tmp_path / f"tariff{suffix}"
        path.write_text(text, encoding="utf-8")
        return read_tariff(path)

    return read


def test_energy_is_priced_by_the_period_it_is_drawn_in(tariff_of):
    found = cost(tariff_of(NIGHT_AND_DAY), np.full(48, 1000), 1800, MONDAY)
    assert [row.import_ws for row in found.periods] == [7 * 3_600_000, 17 * 3_600_000]
    assert found.cost_micro == 7 * 90000 + 17 * 310000
    assert found.standing_micro == 450000 and found.import_ws == 24 * 3_600_000


def test_energy_fed_in_is_paid_for(tariff_of):
    found = cost(tariff_of(NIGHT_AND_DAY), np.array([-2000, 2000]), 3600, MONDAY + 2 * 3600)
    assert (found.import_ws, found.export_ws) == (2 * 3_600_000, 2 * 3_600_000)
    assert found.cost_micro == 2 * 90000 - 2 * 40000


def test_the_sum_is_rounded_once(tariff_of):
    """A watt for a second is 0.086 millionths by day; a year of seconds loses nothing."""
    found = cost(tariff_of(NIGHT_AND_DAY), np.full(36000, 1), 1, MONDAY + 8 * 3600)
    assert found.cost_micro == 3100


@pytest.mark.parametrize(
    "zone", ["Europe/London", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "UTC"]
)
def test_every_step_of_two_years_has_the_period_of_its_local_clock(tariff_of, zone):
    """Against the standard library, stamp by stamp; clocks change four times in these years."""
    tariff = tariff_of(NIGHT_AND_DAY.replace("Europe/London", zone))
    numbers = period_numbers(tariff, 2 * 366 * 48, 1800, MONDAY)
    for index in range(0, numbers.size, 7):
        local = datetime.fromtimestamp(MONDAY + index * 1800, ZoneInfo(zone))
        minute = local.hour * 60 + local.minute
        assert numbers[index] == (0 if 30 <= minute < 450 else 1), local


def test_the_hour_that_comes_twice_is_charged_twice(tariff_of):
    tariff = tariff_of(NIGHT_AND_DAY)
    autumn, spring = (
        int(datetime(2024, month, day, tzinfo=ZoneInfo("Europe/London")).timestamp())
        for month, day in ((10, 27), (3, 31))
    )
    for start, length, hours in ((autumn, 25, 8), (spring, 23, 6)):
        numbers = period_numbers(tariff, length * 60, 60, start)
        assert int((numbers == 0).sum()) == hours * 60


def test_days_and_months_choose_the_period(tariff_of):
    tariff = tariff_of(WEEK)
    stamps = np.arange(366 * 24) * 3600 + MONDAY
    numbers = period_numbers(tariff, stamps.size, 3600, MONDAY)
    for index in range(0, stamps.size, 5):
        local = datetime.fromtimestamp(int(stamps[index]), ZoneInfo("Europe/Berlin"))
        winter = 1 if local.month in (11, 12, 1, 2) else 2
        assert numbers[index] == (0 if local.weekday() >= 5 else winter), local


def test_json_says_the_same_as_toml(tariff_of):
    raw = {
        "format": 1,
        "name": "flat",
        "currency": "GBP",
        "timezone": "UTC",
        "period": [{"name": "always", "import_micro_per_kwh": 250000}],
    }
    found = cost(tariff_of(json.dumps(raw), ".json"), np.full(4, 500), 1800, MONDAY)
    assert found.cost_micro == 250000 and found.periods[0].name == "always"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('to = "07:30"', 'to = "07:00"', "no period holds mon 07:00 in month 1"),
        ('to = "07:30"', 'to = "08:00"', "'day' and period 'night' both hold mon 07:30"),
        ('to = "07:30"', 'to = "00:30"', "is no time"),
        ('to = "07:30"', 'to = "7:30"', "period"),
        ('to = "07:30"', 'to = "25:00"', "period"),
        ("90000", "0.09", "int"),
        ("90000", "90000000000", "1000000000"),
        ("Europe/London", "Europe/Londres", "is not known here"),
        ("Europe/London", "../../etc/passwd", "is not known here"),
        ("format = 1", "format = 2", "format"),
        ("currency", "currencies", "currenc"),
        ('name = "night"', 'name = "night"\ndays = ["monday"]', "monday"),
        ('name = "night"', 'name = "night"\nmonths = [13]', "12"),
        ("[[period]]", "[[period", "neither TOML nor JSON"),
    ],
)
def test_a_wrong_tariff_is_refused_with_the_place(tariff_of, old, new, message):
    assert old in NIGHT_AND_DAY
    with pytest.raises(HushmeterError, match=message) as refused:
        tariff_of(NIGHT_AND_DAY.replace(old, new, 1))
    assert "tariff.toml" in str(refused.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(HushmeterError, match=r"none\.toml: cannot be read"):
        read_tariff(tmp_path / "none.toml")
