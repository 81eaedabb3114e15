"""The measured leakage is the designed one, and a board that runs something else is noticed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from hushmeter.cli import main
from hushmeter.errors import HushmeterError
from hushmeter.leakage import design, rate
from hushmeter.leakage.distributions import parse_discrete
from hushmeter.leakage.policy_file import Design
from hushmeter.study import leakage_hil as experiment
from hushmeter.study import leakage_measure as measure

STEPS = 10_000


def battery(text: str = "0.25,0.5,0.25", capacity: int = 3) -> Design:
    return design.battery(parse_discrete(text), capacity)


def drawn(made: Design, steps: int, seed: int = 1) -> tuple[Any, Any, Any]:
    """Loads, draws and states of the first policy, drawn here."""
    generator, draws = np.random.default_rng(seed), made.parts[0].draws()
    x = generator.choice(made.law.size, size=steps, p=made.law)
    state, states, y = int(generator.choice(draws.shape[0], p=made.parts[0].first_state())), [], []
    for load, u in zip(x, generator.random(steps), strict=True):
        states.append(state)
        y.append(int(np.searchsorted(np.cumsum(draws[state, load]), u, side="right")))
        state += y[-1] - load
    return x, np.array(y), np.array(states)


def test_the_recursion_over_a_run_gives_the_rate_of_its_policy() -> None:
    """One run of a thousand is outside its interval by chance; the seed is fixed."""
    made = battery()
    x, y, state = drawn(made, STEPS)
    values = measure.densities(
        [made.parts[0].draws()], [made.parts[0].first_state()], made.law, x, y, [int(state[0])]
    )
    found = measure.estimate(values)
    assert found.low < made.figures.value < found.high
    assert abs(measure.plug_in(x, y, state) - made.figures.value) < 0.01
    assert np.array_equal(measure.states_of(int(state[0]), x, y), state)


def test_two_batteries_in_series_are_one_hidden_chain() -> None:
    """Bounds: 5 standard errors, exceeded by chance in one run of a million."""
    made = design.cascade(parse_discrete("0.5,0.5"), 1)
    x, between, first = drawn(made, STEPS)
    second = replace(made, law=made.law, parts=made.parts[1:])
    generator, draws = np.random.default_rng(5), second.parts[0].draws()
    state, start, y = 1, 1, []
    for load, u in zip(between, generator.random(STEPS), strict=True):
        y.append(int(np.searchsorted(np.cumsum(draws[state, load]), u, side="right")))
        state += y[-1] - load
    found = measure.estimate(
        measure.densities(
            [part.draws() for part in made.parts],
            [part.first_state() for part in made.parts],
            made.law, x, np.array(y), [int(first[0]), start],
        )
    )  # fmt: skip
    wanted = rate.simulate_cascade(made.policies(), made.law, 200_000, seed=1)
    assert abs(found.rate - wanted.rate) < 5 * (found.stderr + wanted.stderr)


def test_a_draw_that_the_design_never_makes_is_an_error() -> None:
    made = battery("0.5,0.5", 1)
    x, y = np.array([1, 1, 1]), np.array([0, 0, 0])
    parts = [made.parts[0].draws()], [made.parts[0].first_state()]
    with pytest.raises(HushmeterError, match="cannot have drawn this"):
        measure.densities(*parts, made.law, x, y, [1])


def test_an_honest_board_passes_the_test_of_frequencies_as_often_as_it_says() -> None:
    """100 runs, each called with probability 0.01 here: 9 calls or more have chance 1e-6."""
    made = battery()
    found = []
    for seed in range(100):
        x, y, state = drawn(made, 1000, seed)
        found.append(measure.frequencies(made.parts[0].draws(), state, x, y))
    assert sum(one.p_value < 0.01 for one in found) < 9
    assert sum(one.serial_p_value < 0.01 for one in found) < 9


def test_other_probabilities_and_draws_that_hang_together_are_caught() -> None:
    """Positive control of both tests."""
    made, other = battery(), battery("0.4,0.3,0.3", 3)
    x, y, state = drawn(other, STEPS)
    assert not measure.frequencies(made.parts[0].draws(), state, x, y).fits
    generator = np.random.default_rng(1)
    chances = np.full((1, 2, 2), 0.5)
    once = np.repeat(generator.integers(0, 2, STEPS // 2), 2)
    loads = generator.integers(0, 2, STEPS)
    stuck = measure.frequencies(chances, np.zeros(STEPS, np.int64), loads, once)
    assert stuck.p_value > 1e-4 > stuck.serial_p_value


def test_a_bias_of_the_size_that_is_stated_is_noticed_in_half_of_the_runs() -> None:
    """60 runs of one half each: fewer than 12 or more than 48 have chance 1e-6; seeds are fixed."""
    draws = battery().parts[0].draws()
    generator = np.random.default_rng(7)
    x = generator.choice(3, size=STEPS, p=[0.25, 0.5, 0.25])
    state = generator.integers(0, 4, STEPS)
    bias = measure.bias_found(draws, state, x, 15)
    assert bias is not None and 0.02 < bias < 0.1

    def calls(share: float) -> int:
        """Of 60 boards whose draws are so often the likeliest ones."""
        found = 0
        for _ in range(60):
            rows = draws[state, x]
            y = (rows.cumsum(axis=1) <= generator.random(STEPS)[:, None]).sum(axis=1)
            y = np.where(generator.random(STEPS) < share, rows.argmax(axis=1), y)
            found += measure.frequencies(draws, state, x, y).p_value < measure.FALSE_ALARM
        return found

    assert 12 <= calls(bias) <= 48
    assert calls(bias / 4) < 12 and calls(2 * bias) > 48
    assert measure.bias_found(draws, state[: STEPS // 4], x[: STEPS // 4], 15) == pytest.approx(
        2 * bias, rel=0.1
    )


def test_a_board_leaks_what_it_was_designed_to() -> None:
    """One honest run of 1000 misses; the boards' generators are seeded here, so it is one run."""
    found = experiment.study(battery(), ["unix"], STEPS, seed=3, repeatable=True)
    assert found.passed, experiment.as_json(found)
    assert found.plug_in_upper == pytest.approx(found.design.figures.value, abs=0.02)
    again = experiment.study(battery(), ["unix"], STEPS, seed=3, repeatable=True)
    assert again.leakage == found.leakage
    free = experiment.study(battery(), ["unix"], STEPS, seed=3)
    assert free.leakage.rate != found.leakage.rate


def test_two_boards_in_series_leak_less_than_one() -> None:
    made = design.cascade(parse_discrete("0.5,0.5"), 2)
    found = experiment.study(made, ["unix", "unix"], STEPS, seed=3, repeatable=True)
    assert found.passed and len(found.boards) == 2
    assert found.leakage.high < battery("0.5,0.5", 2).figures.value


def test_a_supply_leaks_the_privacy_power_function_at_its_power() -> None:
    made = design.source(parse_discrete("uniform:4"), 0.5)
    found = experiment.study(made, ["unix"], STEPS, seed=4, repeatable=True)
    assert found.passed and found.given is not None
    assert found.given.low < 0.5 < found.given.high
    assert found.most_overdraft_ws is not None and found.overdraft_ws is not None
    assert 0 <= found.overdraft_ws <= found.most_overdraft_ws


class Swapped(experiment._Run):
    """A board that got another table than its design says."""

    def _settings(self) -> dict[str, Any]:
        other = battery("0.4,0.2,0.4", 3)
        self.design, self._own = replace(other, law=self.design.law), self.design
        return super()._settings()


def test_a_board_with_another_table_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Positive control of the study: the draws do not follow the design's table."""
    monkeypatch.setattr(experiment, "_Run", Swapped)
    found = experiment.study(battery(), ["unix"], STEPS, seed=3, repeatable=True)
    assert not found.boards[0].frequencies.fits and not found.passed
    assert found.verdict == "NOT as designed: draws do not follow the table"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["study", "leakage-hil", *map(str, arguments)])


def test_the_command_writes_data_picture_and_page(tmp_path: Path) -> None:
    size = ("--dist", "0.5,0.5", "--capacity", 1, "--steps", 4000, "--repeatable")
    done = run("--board", "unix", *size, "--out", tmp_path / "out", "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["meets_optimum_if_tables_followed"] and told["follows_tables"]
    assert told["verdict"].startswith("as designed: draws follow the table")
    assert 0.01 < told["boards"][0]["bias_found_in_half_of_runs"] < 0.3
    assert told["boards"][0]["control"]["caught"]
    assert told["interval"][0] < told["optimum"] < told["interval"][1]
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"leakage-hil.json", "leakage-hil.png", "policy.json", "report.html"}
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<script" not in page and "meets the design, and every board" in page
    again = run("--policy", tmp_path / "out" / "policy.json", "--steps", 4000, "--repeatable")
    assert (
        again.exit_code == 0
        and "verdict" in again.stdout
        and "a bias it would notice" in again.stdout
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dist", "0.5,0.5"], "a load and a size are needed"),
        (["--dist", "0.5,0.5", "--capacity", "1", "--steps", "5"], "--steps is 5"),
        (
            ["--dist", "0.5,0.5", "--capacity", "1", "--board", "unix", "--board", "pico"],
            "1 boards",
        ),
        (["--dist", "0.5,0.5", "--source-power", "0.1", "--series", "2"], "one board's"),
        (["--policy", "x.json", "--capacity", "1"], "--policy has its own load"),
        (["--policy", "x.json"], "x.json cannot be read"),
    ],
)
def test_what_cannot_be_run_is_one_clear_error(arguments: list[str], message: str) -> None:
    done = run(*arguments)
    assert done.exit_code == 2
    assert message in done.stderr and "Traceback" not in done.stderr
