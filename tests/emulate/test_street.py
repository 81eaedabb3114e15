"""`hushmeter emulate` on real processes: totals, dropouts, modes, files and refusals."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from hushmeter.cli import main
from tests.emulate import oracle

KEYS = {
    "meters",
    "slots",
    "epochs",
    "recovered_slots",
    "void_slots",
    "completed_slots",
    "lambda_wh",
    "delta_per_slot",
    "true_total_wh",
    "noisy_total_wh",
    "clipped_readings",
    "flagged_readings",
    "over_budget",
    "mean_abs_error_wh",
    "expected_abs_error_wh",
    "messages_refused",
    "insecure",
    "transcript_sha256",
}
START = np.datetime64("2024-03-01T00:00")


def emulate(*options: object) -> Result:
    return CliRunner().invoke(main, ["emulate", *map(str, options)])


def run(*options: object) -> dict[str, Any]:
    """The JSON object of a run that succeeds."""
    result = emulate(*options, "--json")
    assert result.exit_code == 0, result.output
    summary: dict[str, Any] = json.loads(result.stdout)
    assert len(result.stdout.splitlines()) == 1
    return summary


def real_data(name: str) -> Path:
    folder = os.environ.get("HUSHMETER_DATA")
    if not folder:
        pytest.skip("HUSHMETER_DATA names no folder with real loads")
    path = Path(folder) / name
    if not path.exists():
        pytest.skip(f"{path} is not there")
    return path


def wide_file(path: Path, homes: int, rows: int, row_s: int, gaps: bool = False) -> Path:
    """A wide CSV with whole and broken Wh; with gaps of one to five rows."""
    random = np.random.default_rng(homes * rows)
    wh = random.gamma(1.2, 250 * row_s / 1800, size=(rows, homes)).round(3)
    cells = [[f"{value:g}" for value in row] for row in wh]
    if gaps:
        for home in range(homes):
            for at in range(home, rows - 6, 11):
                for later in range(at % 5 + 1):
                    cells[at + later][home] = "" if home % 2 else "?"
    lines = ["time," + ",".join(f"home {i}" for i in range(homes))]
    for at, row in enumerate(cells):
        lines.append(f"{START + np.timedelta64(at * row_s, 's')}," + ",".join(row))
    path.write_text("\n".join(lines) + "\n")
    return path


def one_home_file(path: Path, rows: int) -> Path:
    """The UCI layout, a row a minute, some of them missing."""
    random = np.random.default_rng(rows)
    lines = ["Date;Time;Global_active_power;Voltage"]
    for at in range(rows):
        stamp = (START + np.timedelta64(at, "m")).item()
        power = "?" if at % 37 in (3, 4, 5, 6) else f"{random.gamma(1.5, 0.4):.3f}"
        lines.append(f"{stamp:%d/%m/%Y;%H:%M:%S};{power};241.0")
    path.write_text("\n".join(lines) + "\n")
    return path


def wide_halfhours(folder: Path) -> Path:
    return wide_file(folder / "wide.csv", homes=4, rows=24, row_s=1800)


def wide_with_gaps(folder: Path) -> Path:
    return wide_file(folder / "gaps.csv", homes=4, rows=60, row_s=600, gaps=True)


def wide_seconds(folder: Path) -> Path:
    return wide_file(folder / "seconds.csv", homes=4, rows=3600, row_s=10)


def minutes_of_one_home(folder: Path) -> Path:
    return one_home_file(folder / "one.csv", rows=150)


def real_halfhours(folder: Path) -> Path:
    return real_data("edrp-halfhourly-300.csv.gz")


def real_minutes(folder: Path) -> Path:
    return real_data("uci-2007-02-01.csv")


def expected_totals(
    path: Path,
    slots: int,
    minutes: int,
    meters: int = 4,
    cap_wh: int = 1 << 40,
    away: dict[int, tuple[int, int]] | None = None,
) -> tuple[list[int], int]:
    """(totals of who reported, readings above the cap) by the oracle."""
    rows = oracle.read(path)
    table = [
        oracle.readings(rows, meter, meters, slots, minutes * 60, (away or {}).get(meter))
        for meter in range(meters)
    ]
    seen = [[wh for wh in slot if wh is not None] for slot in zip(*table, strict=True)]
    totals = [sum(min(wh, cap_wh) for wh in slot) for slot in seen]
    return totals, sum(wh > cap_wh for slot in seen for wh in slot)


@pytest.mark.parametrize(
    ("make", "slots", "minutes"),
    [
        (wide_halfhours, 30, 10),
        (wide_halfhours, 24, 30),
        (wide_halfhours, 6, 120),
        (wide_with_gaps, 50, 10),
        (wide_with_gaps, 40, 5),
        (wide_seconds, 3, 180),
        (minutes_of_one_home, 40, 10),
        (minutes_of_one_home, 60, 1),
        (real_halfhours, 48, 10),
        (real_minutes, 30, 10),
    ],
)
def test_without_noise_the_total_is_what_the_file_says(
    tmp_path: Path, make: Callable[[Path], Path], slots: int, minutes: int
) -> None:
    path = make(tmp_path)
    summary = run(
        *("--meters", 4, "--slots", slots, "--load", path, "--slot-minutes", minutes),
        *("--epsilon", "inf", "--controller", "none", "--peak-w", 100_000),
    )
    assert set(summary) == KEYS
    assert summary["noisy_total_wh"] == summary["true_total_wh"]
    assert summary["true_total_wh"] == expected_totals(path, slots, minutes)[0]
    with_gaps = make in (wide_with_gaps, minutes_of_one_home)
    assert (summary["flagged_readings"] > 0) == with_gaps
    assert all(isinstance(total, int) for total in summary["noisy_total_wh"])
    assert (summary["meters"], summary["slots"]) == (4, slots)
    assert summary["void_slots"] == summary["completed_slots"] == []
    assert summary["recovered_slots"] == summary["clipped_readings"] == 0
    assert summary["mean_abs_error_wh"] == summary["expected_abs_error_wh"] == 0
    assert summary["lambda_wh"] == summary["messages_refused"] == 0
    assert summary["insecure"] == ["no-noise"]
    assert len(bytes.fromhex(summary["transcript_sha256"])) == 32


def test_bounded_shares_are_counted_into_delta(tmp_path: Path) -> None:
    options = ("--meters", 3, "--slots", 2, "--seed", "delta", "--epsilon", 2)
    exact = run(*options)
    bounded = run(*options, "--noise-sampler", "bounded", "--out", tmp_path / "out")
    assert exact["delta_per_slot"] == 0
    assert bounded["delta_per_slot"] == pytest.approx(3 * (1 + math.exp(2)) / 2**64)
    assert bounded["true_total_wh"] == exact["true_total_wh"]
    assert bounded["noisy_total_wh"] != exact["noisy_total_wh"]
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "Bounded shares add δ of at most 1.4e-18 a slot, 2.7e-18 over the run." in page
    assert "bounded sampler" in page and "3 bounded shares of 2^-64" in page


def test_the_synthetic_load_is_the_default(tmp_path: Path) -> None:
    summary = run("--meters", 3, "--slots", 4, "--epsilon", "infinity")
    assert summary["noisy_total_wh"] == summary["true_total_wh"]
    assert min(summary["true_total_wh"]) > 10


def test_with_a_battery_the_total_is_the_draw_from_the_grid(tmp_path: Path) -> None:
    path = wide_halfhours(tmp_path)
    options = ("--meters", 4, "--slots", 24, "--load", path, "--epsilon", "inf")
    battery = ("--controller", "ls2", "--capacity-wh", 400, "--rate-w", 600)
    summary = run(*options, *battery, "--seed", "b")
    demand = expected_totals(path, 24, 10)[0]
    assert summary["noisy_total_wh"] == summary["true_total_wh"] != demand
    assert abs(sum(summary["true_total_wh"]) - sum(demand)) <= 4 * 400 + 4


def test_the_same_seed_gives_the_same_transcript_and_another_another() -> None:
    options = ("--meters", 4, "--slots", 6, "--dropouts", 1, "--dropout-phase", "answer")
    first, second, other = (run(*options, "--seed", seed) for seed in ("a", "a", "b"))
    assert first == second
    assert first["insecure"] == ["fixed-seed"]
    assert other["transcript_sha256"] != first["transcript_sha256"]
    assert other["noisy_total_wh"] != first["noisy_total_wh"]
    assert other["true_total_wh"] == first["true_total_wh"]
    unseeded = [run("--meters", 3, "--slots", 2) for _ in range(2)]
    assert unseeded[0]["transcript_sha256"] != unseeded[1]["transcript_sha256"]
    assert unseeded[0]["insecure"] == []


def test_every_weakening_mode_is_named() -> None:
    summary = run(
        *("--meters", 4, "--slots", 3, "--seed", "s", "--epsilon", "inf"),
        *("--gamma-noise", "--provision-pairs"),
    )
    assert summary["insecure"] == ["fixed-seed", "gamma-noise", "no-noise", "provisioned-pairs"]
    assert summary["noisy_total_wh"] == summary["true_total_wh"]
    shown = emulate("--meters", 3, "--slots", 2, "--seed", "s")
    assert shown.exit_code == 0
    assert "INSECURE" in shown.output and "fixed-seed" in shown.output


@pytest.mark.parametrize("dropouts", [1, 2])
def test_meters_away_before_they_report_are_recovered(tmp_path: Path, dropouts: int) -> None:
    path = wide_file(tmp_path / "wide.csv", homes=6, rows=18, row_s=600)
    options = ("--meters", 6, "--slots", 12, "--load", path, "--peak-w", 50_000)
    summary = run(*options, "--epsilon", "inf", "--dropouts", dropouts)
    away = {5 - i: (4, 8) for i in range(dropouts)}
    assert summary["recovered_slots"] == 4
    assert summary["void_slots"] == summary["completed_slots"] == []
    assert summary["noisy_total_wh"] == summary["true_total_wh"]
    assert summary["true_total_wh"] == expected_totals(path, 12, 10, 6, away=away)[0]


@pytest.mark.parametrize("dropouts", [1, 2])
def test_a_slot_between_report_and_answer_is_completed_on_return(
    tmp_path: Path, dropouts: int
) -> None:
    path = wide_file(tmp_path / "wide.csv", homes=6, rows=36, row_s=300)
    options = ("--meters", 6, "--slots", 12, "--load", path, "--peak-w", 50_000)
    answer = ("--dropouts", dropouts, "--dropout-phase", "answer")
    summary = run(*options, "--epsilon", "inf", *answer)
    away = {5 - i: (5, 8) for i in range(dropouts)}
    assert summary["completed_slots"] == [4]
    assert summary["void_slots"] == []
    assert summary["recovered_slots"] == 3
    assert summary["noisy_total_wh"] == summary["true_total_wh"]
    assert summary["true_total_wh"] == expected_totals(path, 12, 10, 6, away=away)[0]
    assert summary["messages_refused"] == 0


def test_a_meter_that_returns_after_a_day_leaves_its_slot_void(tmp_path: Path) -> None:
    path = wide_file(tmp_path / "wide.csv", homes=4, rows=9 * 24, row_s=3600)
    summary = run(
        *("--meters", 4, "--slots", 9, "--load", path, "--slot-minutes", 1440),
        *("--epsilon", "inf", "--dropouts", 1, "--dropout-phase", "answer"),
    )
    assert summary["void_slots"] == [3]
    assert summary["completed_slots"] == []
    assert summary["recovered_slots"] == 2
    assert summary["true_total_wh"][3] is None and summary["noisy_total_wh"][3] is None
    totals = expected_totals(path, 9, 1440, away={3: (4, 6)})[0]
    for slot in (0, 1, 2, 4, 5, 6, 7, 8):
        assert summary["noisy_total_wh"][slot] == summary["true_total_wh"][slot] == totals[slot]


def test_a_meter_that_never_returns_leaves_its_slot_void() -> None:
    summary = run(*("--meters", 4, "--slots", 1, "--dropouts", 1, "--dropout-phase", "answer"))
    assert summary["void_slots"] == [0]
    assert summary["noisy_total_wh"] == summary["true_total_wh"] == [None]
    assert summary["mean_abs_error_wh"] is None and summary["expected_abs_error_wh"] is None


def test_readings_above_the_peak_are_clipped_and_counted(tmp_path: Path) -> None:
    path = wide_halfhours(tmp_path)
    options = ("--meters", 4, "--slots", 24, "--load", path, "--slot-minutes", 30)
    summary = run(*options, "--epsilon", "inf", "--peak-w", 301)
    totals, clipped = expected_totals(path, 24, 30, cap_wh=151)
    assert clipped > 10
    assert summary["clipped_readings"] == clipped
    assert summary["noisy_total_wh"] == summary["true_total_wh"] == totals


def test_lambda_is_the_cap_over_epsilon() -> None:
    summary = run("--meters", 3, "--slots", 1, "--peak-w", 6001, "--epsilon", "0.5")
    assert summary["lambda_wh"] == 2 * 1001
    summary = run("--meters", 3, "--slots", 1, "--peak-w", 6000, "--epsilon", "3")
    assert summary["lambda_wh"] == pytest.approx(1000 / 3)


def test_with_m_zero_there_is_one_round() -> None:
    options = ("--meters", 4, "--slots", 3, "--epsilon", "inf", "--seed", "x")
    default, one_round, two_rounds = (
        run(*options, *more) for more in ((), ("--tolerate", 0), ("--tolerate", 1))
    )
    assert default == one_round
    assert one_round["noisy_total_wh"] == one_round["true_total_wh"]
    assert one_round["recovered_slots"] == 0
    assert two_rounds["noisy_total_wh"] == one_round["noisy_total_wh"]
    assert two_rounds["transcript_sha256"] != one_round["transcript_sha256"]


def test_gamma_noise_gives_fractions_and_plausible_errors() -> None:
    summary = run("--meters", 5, "--slots", 12, "--slot-minutes", 1, "--gamma-noise", "--seed", 1)
    assert summary["insecure"] == ["fixed-seed", "gamma-noise"]
    assert any(total != int(total) for total in summary["noisy_total_wh"])
    assert 0.2 < summary["mean_abs_error_wh"] / summary["expected_abs_error_wh"] < 4


def errors_band(scale: float, shape: float, slots: int, rate: float) -> tuple[float, float]:
    """The mean |noise| of so many slots lies between these but for `rate`, by simulation."""
    random = np.random.default_rng(7)
    draw = partial(random.negative_binomial, shape, 1 - np.exp(-1 / scale), (20_000, slots))
    means = np.abs(draw() - draw()).mean(axis=1)
    low, high = np.quantile(means, [rate / 2, 1 - rate / 2])
    return float(low), float(high)


@pytest.mark.statistical
def test_the_error_is_what_the_law_says() -> None:
    """False-alarm rate 1e-3 for a fresh seed (the seed is fixed); k = 12/10.

    Positive control: a street with 1.7 times the noise, or with one over that, would be noticed.
    """
    summary = run(
        *("--meters", 12, "--slots", 60, "--slot-minutes", 1, "--peak-w", 6000),
        *("--tolerate", 1, "--epsilon", 1, "--seed", "errors"),
    )
    scale, shape = 100, Fraction(12, 10)
    assert summary["lambda_wh"] == scale
    low, high = errors_band(scale, float(shape), 60, 1e-3)
    expected = summary["expected_abs_error_wh"]
    assert low < expected < high
    assert low < summary["mean_abs_error_wh"] < high
    assert not low < 1.7 * expected < high and not low < expected / 1.7 < high
    noise = np.subtract(summary["noisy_total_wh"], summary["true_total_wh"])
    assert summary["mean_abs_error_wh"] == pytest.approx(np.abs(noise).mean())
    assert abs(noise.mean()) < 4 * scale * np.sqrt(2 * float(shape) / 60)


def test_a_home_without_readings_does_not_end_the_run(tmp_path: Path) -> None:
    lines = ["time,a,b,c,d"] + [
        f"2024-03-01T{at // 2:02}:{at % 2 * 30:02},,7,8,9" for at in range(6)
    ]
    path = tmp_path / "silent.csv"
    path.write_text("\n".join(lines) + "\n")
    out = tmp_path / "out"
    summary = run("--meters", 4, "--slots", 9, "--load", path, "--epsilon", "inf", "--out", out)
    assert summary["noisy_total_wh"] == summary["true_total_wh"]
    assert summary["true_total_wh"] == expected_totals(path, 9, 10)[0]
    assert sum(summary["true_total_wh"]) in range(3 * 24 - 3, 3 * 24 + 1)


def test_an_out_folder_holds_the_report_and_is_used_again(tmp_path: Path) -> None:
    out = tmp_path / "a" / "street"
    first = run("--meters", 3, "--slots", 2, "--seed", 1, "--out", out)
    assert json.loads((out / "run.json").read_text()) == first
    assert "<html" in (out / "report.html").read_text()[:200]
    kept = out / "notes.txt"
    kept.write_text("mine")
    second = run("--meters", 4, "--slots", 2, "--seed", 1, "--out", out)
    assert json.loads((out / "run.json").read_text()) == second
    assert kept.read_text() == "mine"


@pytest.mark.parametrize("place", ["street", "street/street.db"])
def test_a_folder_that_is_not_a_runs_is_left_alone(tmp_path: Path, place: str) -> None:
    out = tmp_path / "out"
    mine = out / place
    mine.parent.mkdir(parents=True)
    mine.write_text("my own street")
    result = emulate("--meters", 3, "--slots", 1, "--out", out, "--json")
    assert result.exit_code == 2
    assert "is not from an earlier run" in result.stderr
    assert mine.read_text() == "my own street"
    assert [p for p in out.rglob("*") if p.is_file()] == [mine]


def test_an_out_that_is_a_file_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.write_text("a file")
    result = emulate("--meters", 3, "--slots", 1, "--out", out)
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) <= 2 and str(out) in result.stderr
    assert out.read_text() == "a file"


def unknown_format(folder: Path) -> list[object]:
    (folder / "load").write_text("hello, world\nnot, a load\n")
    return ["--load", folder / "load"]


def empty_file(folder: Path) -> list[object]:
    (folder / "load").write_text("")
    return ["--load", folder / "load"]


def absent_file(folder: Path) -> list[object]:
    return ["--load", folder / "load"]


def few_homes(folder: Path) -> list[object]:
    return ["--meters", 5, "--load", wide_halfhours(folder)]


def few_rows(folder: Path) -> list[object]:
    return ["--meters", 4, "--slots", 73, "--load", wide_halfhours(folder)]


def absurd_readings(folder: Path) -> list[object]:
    lines = "time,a,b,c\n2024-03-01T00:00,1,2,3\n2024-03-01T00:30,1,9e9,3\n"
    (folder / "load").write_text(lines)
    return ["--meters", 3, "--slots", 2, "--load", folder / "load"]


def seven_minutes(folder: Path) -> list[object]:
    return ["--meters", 4, "--slots", 2, "--slot-minutes", 7, "--load", wide_halfhours(folder)]


def said(*options: object) -> Callable[[Path], list[object]]:
    return lambda folder: list(options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (said("--meters", 2), "--meters is 2; it must be 3 to 1000"),
        (said("--meters", 1001), "--meters is 1001"),
        (said("--meters", -4), "--meters is -4"),
        (said("--slots", 0), "--slots is 0"),
        (said("--slots", 10**12), "--slots is 1000000000000"),
        (said("--slots", 10**6, "--slot-minutes", 1440), "too much for the synthetic load"),
        (said("--meters", 4, "--dropouts", 4), "--dropouts is 4; it must be below --meters, 4"),
        (said("--meters", 4, "--dropouts", 2), "2 M + T = 5 must be below the number of meters, 4"),
        (said("--meters", 4, "--tolerate", 2), "2 M + T = 5 must be below the number of meters, 4"),
        (said("--meters", 4, "--colluders", 4), "leave nobody honest"),
        (said("--dropouts", 2, "--tolerate", 1), "--dropouts 2 is above --tolerate 1"),
        (said("--epsilon", "0"), "--epsilon is '0'"),
        (said("--epsilon", "-1"), "--epsilon is '-1'"),
        (said("--epsilon", "nan"), "--epsilon is 'nan'"),
        (said("--epsilon", "1/0"), "--epsilon is '1/0'"),
        (said("--epsilon", "1e999999999"), "--epsilon is '1e999999999'"),
        (said("--epsilon", "0.12345678901"), "--epsilon is '0.12345678901'"),
        (said("--epsilon", ""), "--epsilon is ''"),
        (said("--controller", "ls2", "--rate-w", 200_000), "--rate-w is 200000; it must be"),
        (
            said("--controller", "ls2", "--capacity-wh", 1, "--rate-w", 5000),
            "the battery cannot work",
        ),
        (unknown_format, "load: unknown format"),
        (empty_file, "load: the file is empty"),
        (absent_file, "cannot be opened"),
        (few_homes, "has 4 homes for 5 meters"),
        (few_rows, "73 slots of 600 s need 25 rows; wide.csv has 24"),
        (absurd_readings, "line 3, column b: more than 1000000 W is no home"),
        (seven_minutes, "rows of 1800 s and slots of 420 s do not fit"),
    ],
)
def test_a_bad_option_is_one_line_and_exit_code_2(
    tmp_path: Path, options: Callable[[Path], list[object]], message: str
) -> None:
    out = tmp_path / "out"
    result = emulate(*options(tmp_path), "--out", out, "--json")
    assert result.exit_code == 2
    assert result.stdout == ""
    error, *hint = result.stderr.splitlines()
    assert error.startswith("error: ") and message in error
    assert len(hint) <= 1 and all(line.startswith("hint: ") for line in hint)
    assert not (out / "run.json").exists()


@pytest.mark.parametrize(
    "options",
    [
        ("--slot-minutes", 0),
        ("--slot-minutes", 1441),
        ("--peak-w", 0),
        ("--tolerate", -1),
        ("--colluders", 0),
        ("--dropouts", -1),
        ("--controller", "magic"),
        ("--dropout-phase", "never"),
        ("--meters", "many"),
    ],
)
def test_an_option_out_of_its_range_is_a_usage_error(options: tuple[object, ...]) -> None:
    result = emulate(*options)
    assert result.exit_code == 2
    assert str(options[0]) in result.stderr
