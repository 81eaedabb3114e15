"""A design leaks what it says, after rounding too; the command writes it for meters and people."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from hushfw.core.battery.table_file import BY_DEMAND, ONE, Table
from hushmeter.cli import main
from hushmeter.errors import HushmeterError
from hushmeter.leakage import design, policy_file, rate, single, thresholds, users
from hushmeter.leakage.distributions import Discrete, parse_discrete
from hushmeter.leakage.entropies import mutual_information
from tests.battery import hide_kit


@pytest.mark.parametrize(
    ("text", "capacity"),
    [("0.5,0.5", 1), ("0.5,0.5", 6), ("0.25,0.5,0.25", 3), ("uniform:6", 12), ("binary:0.3:2", 5)],
)
def test_a_battery_s_rounded_policy_leaks_the_optimum(text: str, capacity: int) -> None:
    made = design.battery(parse_discrete(text), capacity)
    figures = made.figures
    assert figures.rounded_upper - figures.rounded_lower < 1e-11
    assert 0 <= figures.rounding_loss_bits < 1e-11
    simulated = rate.simulate(made.policy(), made.law, 200_000, seed=1)
    assert abs(simulated.rate - figures.value) < 5 * simulated.stderr + 1e-6


def test_the_binary_optimum_is_the_closed_form() -> None:
    for capacity in (1, 2, 9):
        made = design.battery(parse_discrete("0.5,0.5"), capacity)
        wanted = -math.log2(math.cos(math.pi / (capacity + 3)))
        assert made.figures.value == pytest.approx(wanted, abs=1e-12)


def coarse(law: Any, grid: int = 1 << 27) -> tuple[int, ...]:
    """Thresholds of three bits only."""
    fine = np.round(np.cumsum(law[:-1]) * ONE / grid) * grid
    return tuple(int(threshold) for threshold in fine)


def test_where_rounding_is_coarse_the_loss_is_seen_and_the_bracket_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Positive control; 5 standard errors are exceeded by chance in one run of a million."""
    monkeypatch.setattr(thresholds, "rounded", coarse)
    made = design.battery(parse_discrete("0.3,0.3,0.4"), 3)
    figures = made.figures
    assert figures.rounding_loss_bits > 1e-4
    found = rate.simulate(made.policy(), made.law, 400_000, seed=2)
    assert figures.rounded_lower - 5 * found.stderr < found.rate
    assert found.rate < figures.rounded_upper + 5 * found.stderr


def test_a_row_that_no_run_reaches_can_be_carried_out_all_the_same() -> None:
    made = design.battery(parse_discrete("0.5,0,0.5"), 5)
    table = Table(made.table())
    assert table.states == 6
    assert made.figures.value == pytest.approx(single.solve(made.law, 5).value, abs=1e-12)


def test_two_batteries_leak_no_more_than_they_say() -> None:
    made = design.cascade(parse_discrete("0.5,0.5"), 1)
    assert made.figures.value == pytest.approx(0.311278, abs=1e-6)
    assert made.figures.rounding_loss_bits < 1e-10
    found = rate.simulate_cascade(made.policies(), made.law, 200_000, seed=3)
    assert made.figures.lower - 5 * found.stderr < found.rate
    assert found.rate < made.figures.rounded_upper + 5 * found.stderr


def test_a_supply_s_rounded_policy_leaks_the_privacy_power_function() -> None:
    load = parse_discrete("uniform:21")
    made = design.source(load, 3.5)
    joint = made.law[:, None] * made.conditional()
    assert mutual_information(joint) == pytest.approx(made.figures.value, abs=1e-8)
    assert made.figures.rounded_power == pytest.approx(3.5, abs=1e-7)
    assert np.triu(made.conditional(), 1).max() == 0


def test_a_peak_is_kept_by_every_row() -> None:
    made = design.source(parse_discrete("uniform:6"), 0.5, peak=1)
    assert np.tril(made.conditional(), -2).max() == 0
    free = design.source(parse_discrete("uniform:6"), 0.5)
    assert made.figures.value > free.figures.value


def test_a_demand_between_the_levels_shows_no_draw_of_its_own() -> None:
    load = Discrete(np.array([0.5, 0.5]), np.array([0.0, 3.0]))
    chances = design.source(load, 0.6).conditional()
    assert np.array_equal(chances[1], chances[0]) and np.array_equal(chances[2], chances[0])
    near = design.source(load, 0.6, peak=3).conditional()
    assert near[3, 1] == near[3, 2] == 0


def test_homes_that_share_a_supply_each_get_their_share_of_the_least_total() -> None:
    homes = {name: parse_discrete(text) for name, text in (("a", "0.9,0.1"), ("b", "uniform:4"))}
    made = design.shared(homes, 0.6)
    found = users.solve(list(homes.values()), 0.6)
    assert sum(one.power or 0 for one in made.values()) == pytest.approx(0.6, abs=1e-9)
    assert sum(one.figures.value for one in made.values()) == pytest.approx(found.total, abs=1e-8)


def test_what_a_battery_needs_is_what_the_meter_asks_for() -> None:
    from hushfw.core import battery

    made = design.battery(parse_discrete("uniform:5"), 4, 60, 250)
    needs = design.needs(made)
    settings = {
        "step_s": 60,
        "table": made.table(),
        "capacity_ws": needs.capacity_wh * 3600,
        "charge_rate_w": needs.charge_rate_w,
        "discharge_rate_w": needs.discharge_rate_w,
    }
    assert battery.make("table", settings, None)
    for name in ("charge_rate_w", "discharge_rate_w"):
        with pytest.raises(Exception, match=name):
            battery.make("table", settings | {name: settings[name] - 1}, None)


def test_a_load_that_a_meter_cannot_count_is_refused() -> None:
    load = Discrete(np.array([0.5, 0.5]), np.array([0.0, 1.5]))
    with pytest.raises(HushmeterError, match=r"level 1.5 is no whole number"):
        design.battery(load, 2)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_the_command_writes_a_policy_and_the_meter_s_table(tmp_path: Path) -> None:
    out, table = tmp_path / "policy.json", tmp_path / "table.bin"
    done = run(
        "design", "--dist", "0.5,0.5", "--capacity", 2, "--out", out, "--table", table, "--json"
    )
    assert done.exit_code == 0, done.output
    told, read = json.loads(done.stdout), policy_file.read(out)
    assert told["value"] == read.figures.value and told["table_bytes"] == [48]
    assert read.table() == table.read_bytes()
    assert read.command.startswith("hushmeter design --dist 0.5,0.5 --capacity 2")
    assert "lost by rounding" in run("design", "--dist", "0.5,0.5", "--capacity", 2).stdout


def test_two_batteries_get_a_table_each(tmp_path: Path) -> None:
    out, table = tmp_path / "policy.json", tmp_path / "table.bin"
    options = ("--dist", "0.5,0.5", "--capacity", 1, "--cascade", "--out", out, "--table", table)
    assert run("design", *options).exit_code == 0
    read = policy_file.read(out)
    assert (tmp_path / "table-first.bin").read_bytes() == read.table(0)
    assert (tmp_path / "table-second.bin").read_bytes() == read.table(1)


def test_homes_from_a_file_get_a_policy_each(tmp_path: Path) -> None:
    homes = tmp_path / "homes.txt"
    homes.write_text("# two homes\nnorth 0.9,0.1\nsouth uniform:4\n")
    options = ("--users", homes, "--source-power", 0.6, "--out", tmp_path / "out", "--json")
    (tmp_path / "out").mkdir()
    told = json.loads(run("design", *options).stdout)
    assert set(told["users"]) == {"north", "south"}
    south = policy_file.read(tmp_path / "out" / "south.json")
    assert Table(south.table()).kind == BY_DEMAND
    homes.write_text("north 0.9,0.2\n")
    assert "line 1: the probabilities sum to 1.1" in run("design", *options).stderr
    homes.write_text("../x 0.9,0.1\n")
    assert "must be a name of its own" in run("design", *options).stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dist", "0.5,0.6", "--capacity", "2"], "sum to 1.1"),
        (["--dist", "0.5,-0.5,1", "--capacity", "2"], "the probability of 1 is -0.5"),
        (["--dist", "0.5,0.5", "--capacity", "0"], "the capacity is 0"),
        (["--dist", "0.5,0.5", "--source-power", "0.6"], "beyond the load's mean"),
        (["--dist", "exponential:2", "--capacity", "2"], "a finite number of levels is needed"),
        (["--dist", "0.5,0.5"], "give --capacity for a battery, or --source-power"),
        (["--capacity", "2"], "give the load with --dist"),
        (["--dist", "0.5,0.5", "--capacity", "2", "--peak", "1"], "a battery has none"),
        (["--dist", "0.5,0.5", "--capacity", "2", "--step-s", "0"], "--step-s is 0"),
        (["--dist", "uniform:600", "--capacity", "800"], "it must be at most 1,048,576"),
    ],
)
def test_what_cannot_be_designed_is_one_clear_error(arguments: list[str], message: str) -> None:
    done = run("design", *arguments)
    assert done.exit_code == 2
    assert message in done.stderr and "Traceback" not in done.stderr


def test_hide_takes_a_policy_file_for_a_battery_and_for_a_supply(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    watts = (generator.integers(0, 4, 3000) * 100).tolist()
    load = hide_kit.write_load(tmp_path / "load.csv", watts)
    stored, given = tmp_path / "stored.json", tmp_path / "given.json"
    stored.write_bytes(policy_file.write(design.battery(parse_discrete("uniform:4"), 6)))
    given.write_bytes(policy_file.write(design.source(parse_discrete("uniform:4"), 0.5)))
    found = hide_kit.told(load, "--controller", "table", "--table", stored)
    assert found["energy_balance_error_ws"] == 0 and found["source_wh"] == 0
    found = hide_kit.told(load, "--controller", "source", "--table", given)
    assert found["energy_balance_error_ws"] == 0
    assert found["source_wh"] == pytest.approx(found["demand_wh"] - found["grid_wh"], abs=1e-6)
    assert found["source_wh"] == pytest.approx(0.5 * 100 * 3000 / 60, rel=0.1)
    shown = hide_kit.hide(load, "--controller", "source", "--table", given)
    assert "Second supply" in shown.stdout
    wrong = hide_kit.hide(load, "--controller", "table", "--table", given)
    assert wrong.exit_code == 2 and "a battery needs rows by state" in wrong.stderr
