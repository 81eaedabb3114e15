"""The study of sensors: the standard's limits, an error that is found, the same every time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hushmeter.cli import main
from hushmeter.emulate.stimulus import constant, even
from hushmeter.study import sensors
from hushmeter.study.sensors_limits import BASIC_A, MAXIMUM_A, VOLTAGE_V, limits
from hushmeter.study.sensors_rigs import SENSORS, HostRig, HostRigs

SMALL = sensors.Extent((100, 1000, 5000), (1.0, 0.5), 40, 2)
DAY = even([200.0, 2000.0, 50.0, 700.0])


def watts(share: float, factor: float = 1.0) -> float:
    """The load at a share of the basic current."""
    return share * BASIC_A * VOLTAGE_V * abs(factor)


def test_limits_are_those_of_the_standards_table() -> None:
    for share, factor, wanted in (
        (0.04, 1.0, (None, None)),
        (0.05, 1.0, (1.5, 2.5)),
        (0.1, 1.0, (1.0, 2.0)),
        (MAXIMUM_A / BASIC_A, 1.0, (1.0, 2.0)),
        (MAXIMUM_A / BASIC_A + 0.01, 1.0, (None, None)),
        (0.09, 0.5, (None, None)),
        (0.1, 0.5, (1.5, 2.5)),
        (0.2, 0.5, (1.0, 2.0)),
        (0.1, -0.8, (1.5, None)),
        (0.2, -0.8, (1.0, None)),
        (1.0, -0.5, (None, None)),
        (1.0, 0.8, (None, None)),
    ):
        assert limits(watts(share, factor), factor) == wanted, (share, factor)
    assert limits(-2300.0, 1.0) == limits(2300.0, 1.0)


@pytest.mark.parametrize("name", ["level", "pulse", "pzem", "p1", "ade7953", "clamp"])
def test_a_good_sensor_is_within_class_2_and_has_no_gap_but_at_its_start(name: str) -> None:
    rig = HostRigs()
    for load_w in (230.0, 4600.0):
        point = sensors.point(name, rig, load_w, 1.0)
        assert point.within(2), (name, load_w, point.error_percent)
    day = sensors.over_day(rig(name, constant(3000.0)), constant(3000.0), 30)
    assert day.gaps <= 1 and day.missed_samples <= 6
    assert day.error_percent == pytest.approx(0, abs=2)


@pytest.mark.parametrize("name", ["clamp", "pzem", "pulse"])
def test_a_gain_that_is_3_percent_wrong_leaves_class_2(name: str) -> None:
    """The positive control."""
    found = sensors.point(name, HostRigs(gain=1.03), 2300.0, 1.0)
    assert found.error_percent == pytest.approx(3, abs=0.4)
    assert found.within(2) is False


def test_who_sees_no_direction_counts_what_is_fed_in_as_load_and_is_told_so() -> None:
    blind = sensors.crossing("pzem", HostRigs())
    assert blind.wrong_signs > 50
    seeing = sensors.crossing("ade7953", HostRigs())
    assert seeing.wrong_signs == 0
    assert seeing.export_error_percent == pytest.approx(0, abs=0.5)


def test_no_reading_is_no_error_and_no_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    """Below 7.2 W a pulse comes less than once in the 500 s that are waited for."""
    monkeypatch.setattr(HostRig, "span_s", lambda self, watts: (1000, 800))
    point = sensors.point("pulse", HostRigs(), 5.0, 1.0)
    assert point.error_percent is None
    assert point.within(2) is None


def invoke(*words: object) -> Any:
    return CliRunner().invoke(main, ["study", "sensors", *map(str, words)])


def test_the_command_writes_its_page_and_prints_stable_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sensors.Extent, "quick", classmethod(lambda cls: SMALL))
    done = invoke("--sensors", "pzem,level", "--quick", "--json", "--out", tmp_path)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["simulated"] is True
    assert list(found["sensors"]) == ["pzem", "level"]
    one = found["sensors"]["pzem"]
    assert {"points", "day_energy_error_percent", "latency_s", "missed_samples", "gaps"} <= set(one)
    assert set(one["points"][0]) == {
        "watts", "power_factor", "error_percent", "class1_percent", "class2_percent",
    }  # fmt: skip
    text = (tmp_path / "report.html").read_text()
    assert "simulated" in text and "IEC 62053-21" in text and "<script" not in text


def test_a_sensor_that_there_is_not_is_refused_before_any_work(tmp_path: Path) -> None:
    done = invoke("--sensors", "clamp,nose", "--out", tmp_path / "out")
    assert done.exit_code == 2 and not done.stdout
    for name in SENSORS:
        assert name in done.stderr
