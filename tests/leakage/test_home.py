"""`hushmeter leakage home`: stable keys, figures that agree, one page, one line for an error."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from hushmeter.leakage import home, home_source, single
from hushmeter.leakage.home import Asked, analyse
from hushmeter.leakage.home_told import Told
from hushmeter.report import leakage as pages
from hushmeter.report.battery_model import BatteryReport, day_window
from hushmeter.report.leakage_model import LeakageReport
from tests.leakage.home_kit import SLOW, leakage_home, record, walk, write_load
from tests.report.test_street_report import HOSTILE, REFERRING, Page

DATA = os.environ.get("HUSHMETER_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="HUSHMETER_DATA names no folder with real loads")

KEYS = {
    "source", "home", "start", "step_s", "steps", "known_steps", "gaps", "quantum_w", "quantum_wh",
    "levels", "levels_used", "mean_w", "capacity_wh", "rate_w", "capacity", "model",
    "without_battery", "optimum_iid", "chain", "controllers", "policies", "sizes", "power", "seed",
    "warnings", "seconds",
}  # fmt: skip
TOLD = {
    "controller", "rate_w", "bits", "stderr", "draw_bits", "coin_bits", "steps", "law",
    "whole_bits", "whole_stderr", "beyond_share", "bits_a_day", "measured",
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def quick():
    """Short simulations, and no solver for the chain: what is tested here is not precision."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(home, "MODEL_STEPS", 2000)
        patch.setattr(home, "_QUICK_CASES", 0)
        yield


@pytest.fixture(scope="module")
def watts():
    """Four days of a quarter of an hour: three levels that last, and noise on them."""
    noise = np.random.default_rng(1).integers(-20, 20, 400)
    return walk(SLOW, 400, 2) * 400 + 100 + noise


@pytest.fixture(scope="module")
def load(watts, tmp_path_factory):
    return write_load(tmp_path_factory.mktemp("leakage") / "load.csv", watts.tolist(), 900)


@pytest.fixture(scope="module")
def told(load):
    result = leakage_home(load, "--levels", 8, "--source-w", 100, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_the_object_has_every_key(told):
    assert set(told) >= KEYS
    assert {one["controller"] for one in told["controllers"]} == {
        "none", "be:sat", "hold-mean", "ls2", "rc", "table",
    }  # fmt: skip
    assert all(set(one) == TOLD for one in told["controllers"])
    assert (told["step_s"], told["steps"], told["capacity_wh"], told["rate_w"]) == (
        900, 400, 500, 500,
    )  # fmt: skip
    assert [check["name"] for check in told["model"]["checks"]] == [
        "iid", "hourly", "chain", "markov", "markov2",
    ]  # fmt: skip
    assert {one["policy"] for one in told["policies"]} == set(home.POLICIES)


def test_the_figures_agree_with_each_other(told, watts):
    quantum_w = told["quantum_w"]
    levels = (2 * watts + quantum_w) // (2 * quantum_w)
    law = np.bincount(levels) / levels.size
    truth = single.solve(law, told["capacity"])
    assert told["capacity"] == 500 * 3600 // (quantum_w * 900)
    assert told["optimum_iid"]["value"] == pytest.approx(truth.value, abs=1e-9)
    here = next(size for size in told["sizes"] if size["capacity"] == told["capacity"])
    assert here["value"] == told["optimum_iid"]["value"]
    assert here["chain_lower"] == told["chain"]["block_lower"] <= told["chain"]["lower"]
    assert told["chain"]["lower"] < told["chain"]["upper"] < told["without_battery"]["bits"]
    none = next(one for one in told["controllers"] if one["controller"] == "none")
    assert none["bits"] == told["without_battery"]["bits"]
    assert none["bits_a_day"] == pytest.approx(96 * none["bits"])


def test_a_coarser_step_has_the_mean_energy(load, told):
    result = leakage_home(load, "--step-s", 1800, "--controller", "none", "--levels", 8, "--json")
    coarse = json.loads(result.stdout)
    assert (coarse["steps"], coarse["step_s"]) == (200, 1800)
    quanta = max(told["quantum_w"], coarse["quantum_w"])
    assert abs(coarse["mean_w"] - told["mean_w"]) < quanta / 2


def test_limits_fall_with_the_size_of_the_battery(told):
    for name in ("value", "chain_lower"):
        values = [size[name] for size in told["sizes"]]
        assert values == sorted(values, reverse=True)


def test_the_curve_of_the_source_goes_from_the_entropy_to_nothing(told):
    power = told["power"]
    values = [point["value"] for point in power["curve"]]
    assert values == sorted(values, reverse=True)
    assert values[0] == pytest.approx(told["model"]["iid_entropy"], abs=1e-9)
    assert values[-1] == pytest.approx(0, abs=1e-9)
    assert power["curve"][-1]["power_w"] == pytest.approx(told["mean_w"])
    assert power["point"]["power_w"] == 100
    assert power["at_most"] == min(power["point"]["value"], told["without_battery"]["bits"])
    for point in power["curve"]:
        assert point["lower"] - 1e-12 <= point["value"] <= point["upper"] + 1e-12
        assert point["value"] <= min(point["time_division"], point["output_limit"]) + 1e-9


def test_the_same_seed_gives_the_same_figures(load, told):
    again = json.loads(leakage_home(load, "--levels", 8, "--source-w", 100, "--json").stdout)
    for name in ("policies", "chain", "sizes", "power"):
        assert again[name] == told[name]
    assert [one["bits"] for one in again["controllers"]] == [
        one["bits"] for one in told["controllers"]
    ]


def test_the_page_is_one_file_and_says_what_a_homeowner_asks(load, tmp_path):
    files = [tmp_path / name for name in ("page.html", "law.json", "chain.json")]
    result = leakage_home(
        load, "--levels", 8, "--controller", "none,ls2,table", "--source-w", 5, "--page", files[0],
        "--dist-out", files[1], "--markov-out", files[2],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert all(path.stat().st_size > 10 for path in files)
    page = Page(files[0].read_text())
    assert not page.all("script")
    for _, attributes in page.tags:
        for name in REFERRING & set(attributes):
            assert str(attributes[name]).startswith("data:")
    assert "Without a battery the meter of this home tells up to" in page.text
    assert "even the best possible controller would tell at least" in page.text
    assert "independence is a bad description of this home" in page.text
    assert "certified or audited" in page.text
    assert "at most: as without the source, which never makes a meter tell more" in page.text
    assert len(page.all("img")) == 4


def test_where_it_is_affordable_the_optimum_on_the_chain_is_bracketed(watts, monkeypatch):
    monkeypatch.setattr(home, "_QUICK_CASES", 3000)
    monkeypatch.setattr(home, "_QUICK_S", 0.5)
    chain = report_of(
        watts, capacity_wh=300, levels=4, quantum_w=400, controllers=["none"]
    ).found.summary()["chain"]
    assert chain["solver_lower"] < chain["solver_upper"]
    assert chain["lower"] >= max(chain["solver_lower"], chain["block_lower"])
    assert chain["upper"] <= chain["solver_upper"]


def report_of(watts, step_s=900, name="home", missing=(), **asked):
    source = record(watts, step_s, missing, name)
    shown = BatteryReport.of(source, day_window(source))
    found = analyse(source, Asked(**asked), keep=shown.add)
    return LeakageReport(found, shown)


def test_a_hostile_name_stays_text(watts):
    report = report_of(watts, name=HOSTILE, levels=8, controllers=["none", "ls2"])
    page = Page(pages.page(report, []))
    assert HOSTILE in page.text
    assert not page.all("script")
    assert not any("onerror" in attributes for _, attributes in page.tags)


def test_gaps_are_passed_over_and_counted(watts):
    report = report_of(watts, missing=[50, 51, 200], levels=8, controllers=["none", "ls2", "table"])
    found = report.found.summary()
    assert (found["known_steps"], found["gaps"]) == (397, 2)
    assert len(found["controllers"]) == 3


def test_a_controller_that_cannot_run_is_left_out_with_the_reason(watts):
    """A table needs a second quantum for remainders; the stepping ones a larger battery."""
    report = report_of(watts, capacity_wh=60, rate_w=2000, quantum_w=200, levels=8)
    found = report.found.summary()
    assert found["capacity"] == 1
    assert {"ls2", "rc", "table"} == set(report.found.left_out)
    assert any("two quanta" in warning for warning in found["warnings"])
    assert "ls2 was left out" in Page(pages.page(report, [])).text


@pytest.mark.parametrize(
    ("bits", "error", "words"),
    [(0.296, 0.01, "not distinguishable from 0"), (0.5, 0.01, "+0.200 ± 0.010 bits a minute")],
)
def test_what_remainders_give_away_is_said_with_its_error(bits, error, words):
    told = Told(bits, 0.02, 1.0, 0.5, 100, "reader", whole_bits=0.3, whole_stderr=error)
    row = pages._remainder_row(told, "minute")
    assert row.value == words
    assert f"{bits - 0.3:+.3f} ± {error:.3f}" in row.value + row.note


def test_a_load_without_memory_is_called_so():
    """No verdict of dependence where there is none: the other sentence is said."""
    levels = np.random.default_rng(3).choice(3, 2000, p=[0.5, 0.3, 0.2])
    report = report_of(levels * 100, controllers=["none"], levels=8)
    assert any("independence is a fair description" in one for one in pages.verdict(report))
    assert not any("not independent" in one for one in report.found.warnings())


def test_the_source_is_of_the_levels_that_occur():
    """Levels between them have probability 0 and must not widen the curve."""
    watts = np.where(np.random.default_rng(4).random(500) < 0.5, 0, 1000)
    report = report_of(watts, controllers=["none"], quantum_w=100)
    point = home_source.source_of(report.found.model, 250.0, lambda *_: None).asked
    from hushmeter.leakage import power

    low = float((watts == 0).mean())
    assert point.value == pytest.approx(power.binary(low, 1000.0, 250.0), abs=1e-8)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--levels", 2000), "--levels is 2000; it must be 2 to 1024"),
        (("--quantum-w", 1000, "--capacity-wh", 200), "less than one quantum"),
        (("--levels", 8, "--quantum-w", 100), "give one of them"),
        (("--source-w", 5000), "--source-w is 5000; it must be 0 to"),
        (("--source-w", -1), "--source-w is -1"),
        (("--controller", "none,lss2"), "no controller 'lss2'"),
        (("--controller", ","), "no controller is named"),
        (("--capacity-wh", 0), "capacity"),
        (("--rate-w", 0), "rate"),
        (("--step-s", 1000), "a multiple"),
        (("--home", "nobody"), "no home 'nobody'"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(load, arguments, words):
    result = leakage_home(load, *arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ([None] * 400, "no reading"),
        ([300] * 400, "nothing to tell"),
        ([300, None, None] * 130, "needed"),
    ],
)
def test_a_load_that_tells_nothing_is_refused(tmp_path, cells, words):
    result = leakage_home(write_load(tmp_path / "load.csv", cells, 900), "--bridge-gaps")
    assert result.exit_code == 2
    assert words in result.stderr


def test_an_output_that_is_the_input_is_refused(load):
    result = leakage_home(load, "--page", load)
    assert result.exit_code == 2
    assert "cannot be the output too" in result.stderr


@needs_data
def test_a_real_day_leaks_more_than_independent_minutes_would():
    load = Path(DATA) / "uci-2007-02-01.csv"
    result = leakage_home(load, "--controller", "none,ls2,table", "--json")
    found = json.loads(result.stdout)
    assert found["optimum_iid"]["value"] < found["chain"]["lower"]
    told = {one["controller"]: one["bits"] for one in found["controllers"]}
    assert found["chain"]["lower"] < told["table"] < told["ls2"] < told["none"]
    assert told["none"] < found["model"]["iid_entropy"]
