"""Every controller of the device can be asked for on the command line, with its battery."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from hushfw.core.battery import CONTROLLERS
from hushfw.core.battery.table_file import BY_DIFFERENCE, encode, encode_source, thresholds
from hushmeter.battery.setups import Battery
from hushmeter.cli import main
from hushmeter.devices.controller import ControllerPlan

THREE = ("--meters", "3", "--slots", "2", "--epsilon", "inf", "--seed", "c")


def emulate(*options: str) -> Result:
    return CliRunner().invoke(main, ["emulate", *THREE, *options, "--json"])


def totals(*options: str) -> list[int]:
    result = emulate(*options)
    assert result.exit_code == 0, result.output
    summary: dict[str, Any] = json.loads(result.stdout)
    assert summary["noisy_total_wh"] == summary["true_total_wh"]
    known: list[int] = summary["true_total_wh"]
    return known


def policy(path: Path, levels: int = 40, quantum_w: int = 100) -> Path:
    """A table of one state: the draw is the demand in whole quanta."""
    rows = [thresholds([int(y == levels - 1 - i) for y in range(levels)]) for i in range(levels)]
    path.write_bytes(encode(60, quantum_w, levels, levels, BY_DIFFERENCE, [], rows))
    return path


@pytest.mark.parametrize("name", sorted({*CONTROLLERS, "be"} - {"cascade", "table", "source"}))
def test_a_street_runs_with_every_controller(name: str) -> None:
    assert len(totals("--controller", name)) == 2


def test_be_is_the_variant_that_saturates() -> None:
    assert totals("--controller", "be") == totals("--controller", "be:sat")


def test_a_table_and_two_controllers_in_series_run(tmp_path: Path) -> None:
    table = str(policy(tmp_path / "policy.bin"))
    assert len(totals("--controller", "table", "--table", table)) == 2
    series = ("--controller", "table", "--table", table, "--second", "smooth")
    assert len(totals(*series, "--second-capacity-wh", "300")) == 2


@pytest.mark.parametrize(("quantum_w", "is_said"), [(100, False), (1, True)])
def test_demand_beyond_a_policys_alphabet_is_said(
    tmp_path: Path, quantum_w: int, is_said: bool
) -> None:
    table = str(policy(tmp_path / "policy.bin", quantum_w=quantum_w))
    out = tmp_path / "out"
    result = emulate("--controller", "table", "--table", table, "--out", str(out))
    share = json.loads(result.stdout)["beyond_share"]
    assert (share > 0.01) is is_said
    assert ("beyond the policy's alphabet" in result.stderr) is is_said
    assert f"{share:.1%} of the shown home" in (out / "report.html").read_text()


def test_a_second_supply_takes_its_share_of_the_streets_energy(tmp_path: Path) -> None:
    table = tmp_path / "split.bin"
    rows = [thresholds([1] * (x + 1) + [0] * (39 - x)) for x in range(40)]
    table.write_bytes(encode_source(60, 100, 10**6, rows))
    split = totals("--controller", "source", "--table", str(table))
    assert all(half < whole for half, whole in zip(split, totals(), strict=True))


def test_the_batterys_limits_change_what_is_drawn() -> None:
    ideal = totals("--controller", "be")
    assert totals("--controller", "be", "--capacity-wh", "1", "--rate-w", "1") != ideal
    assert totals("--controller", "be", "--charge-efficiency", "500") != [0, 0] or ideal == [0, 0]


def test_a_battery_becomes_the_configurations_controller() -> None:
    battery = Battery(400, 300, 200, 10, 390, 950, 940, {"lift": 1})
    assert ControllerPlan("ls2", battery).to_config() == {
        "name": "ls2",
        "capacity_wh": 400,
        "charge_rate_w": 300,
        "discharge_rate_w": 200,
        "minimum_wh": 10,
        "maximum_wh": 390,
        "charge_efficiency_permille": 950,
        "discharge_efficiency_permille": 940,
        "lift": 1,
    }
    assert ControllerPlan("none").to_config() == {"name": "none"}
    two = ControllerPlan("be", Battery(5, 6, 6), ("smooth", Battery(7, 8, 8)))
    assert two.to_config()["first"] == {"name": "be:sat", "capacity_wh": 5, "rate_w": 6}
    assert two.capacity_wh == 12


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--controller", "cascade"], "--controller is 'cascade'"),
        (["--controller", "ls2", "--set", "lift=2"], "lift is 2; it must be 0 to 1"),
        (["--controller", "ls2", "--set", "height=2"], "no setting is called 'height'"),
        (["--controller", "ls2", "--set", "lift"], "must be name=value"),
        (["--controller", "ls2", "--capacity-wh", "1"], "the battery cannot work: usable capacity"),
        (["--controller", "be", "--capacity-wh", "0"], "the capacity is 0 Wh"),
        (["--controller", "be", "--charge-efficiency", "0"], "the charge efficiency is 0"),
        (["--controller", "table"], "needs a table file"),
        (["--second-set", "lift=1"], "without --second"),
        (["--controller", "be", "--rate-w", "200000"], "must be at most 100000"),
        (["--controller", "be", "--capacity-wh", "2000000"], "controller.capacity_wh"),
    ],
)
def test_what_cannot_work_is_refused_with_the_devices_reason(
    options: list[str], message: str
) -> None:
    result = emulate(*options)
    assert result.exit_code == 2
    assert message in result.stderr and "Traceback" not in result.stderr
