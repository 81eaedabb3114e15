"""The whole chain: what the meter counts is what was shown, and what the grid sees is the truth."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from hushmeter.cli import main
from hushmeter.emulate.stimulus import even
from hushmeter.study import chain
from hushmeter.study.chain_day import PLANS, live_through
from hushmeter.study.chain_source import file_source

DATA = os.environ.get("HUSHMETER_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="HUSHMETER_DATA names no folder with real loads")
SECONDS, SLOT_S = 480, 60


@pytest.fixture(scope="module")
def found() -> chain.ChainStudy:
    chance = np.random.default_rng(3)
    watts = np.repeat(chance.integers(100, 2500, SECONDS // 10), 10).astype(float)
    return chain.study(even(watts.tolist()), "a test", SECONDS, ["ls2", "table"], SLOT_S)


@pytest.mark.parametrize("name", ["ls2", "table"])
def test_the_meter_counts_what_was_shown(found: chain.ChainStudy, name: str) -> None:
    run = found.runs[name]
    assert run.energy.slots == SECONDS // SLOT_S and run.energy.slots_with_gaps == 0
    assert run.lived.life["missed_samples"] == run.lived.life["failed_samples"] == 0
    assert run.energy.error_percent == pytest.approx(0, abs=1)
    # Where the load changes, a quartz that is fast by some ms has sampled what was before.
    apart = np.abs(run.lived.metered_w - run.lived.demand_w)
    assert np.quantile(apart, 0.85) < 0.02 * run.lived.demand_w.max()


@pytest.mark.parametrize("name", ["ls2", "table"])
def test_the_grid_sees_demand_and_battery_and_the_battery_its_set_point_late(
    found: chain.ChainStudy, name: str
) -> None:
    lived = found.runs[name].lived
    assert np.array_equal(lived.grid_w, lived.demand_w + lived.battery_w)
    assert np.abs(lived.battery_w).max() > 100
    battery = found.runs[name].battery
    assert 0.25 < battery.lag_s < 0.6
    assert battery.best_rms_difference_w < battery.rms_difference_w / 3
    assert battery.lost_wh > 0


def test_both_controllers_hide(found: chain.ChainStudy) -> None:
    for run in found.runs.values():
        before, after = run.before[0], run.after[0]
        assert before.claims_right == before.claims_found == 1.0
        assert after.mi_bits - after.mi_shuffled_bits < before.mi_bits
        assert after.claims_found < 0.8


def test_without_an_inverter_the_battery_is_idle_and_nothing_is_made_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The positive control: what the grid sees is then the demand, and the meter says so."""
    plan = PLANS["ls2"](even([400.0, 900.0] * 30), 60, slot_s=30)
    inverter = plan.inverter()
    inverter.faults.deaf = True
    monkeypatch.setattr(type(plan), "inverter", lambda self: inverter)
    lived = live_through(plan, tmp_path)
    assert not lived.battery_w.any()
    assert lived.actuator["acknowledged"] == 0
    assert lived.actuator["idle_seconds"] >= 60


def invoke(*words: object) -> Any:
    return CliRunner().invoke(main, ["study", "chain", *map(str, words)])


@needs_data
def test_the_command_writes_an_excerpt_of_a_real_day(tmp_path: Path) -> None:
    load = Path(str(DATA), "uci-2007-02-01.csv")
    done = invoke("--load", load, "--controller", "ls2", "--seconds", 600, "--slot", 60,
                  "--out", tmp_path, "--json")  # fmt: skip
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    one = told["controllers"]["ls2"]
    assert told["simulated"] is True
    assert abs(one["energy"]["error_percent"]) < 2
    assert one["leakage"]["before"] and one["battery"]["rms_difference_w"] >= 0
    text = (tmp_path / "report.html").read_text()
    assert "simulated" in text and "<script" not in text


@needs_data
def test_a_day_that_is_not_in_the_file_is_refused() -> None:
    with pytest.raises(Exception, match="has 1 days; day 2"):
        file_source(Path(str(DATA), "uci-2007-02-01.csv"), 2)
