"""`hushmeter hide`: what a meter would draw, judged; whole files or none; one line for an error."""

import csv
import html
import json
import os
from pathlib import Path
from random import Random

import numpy as np
import pytest

from hushfw.core import battery as device
from hushfw.core.battery.table_file import encode, thresholds
from hushfw.core.drbg import Tape
from hushfw.core.errors import HushError
from hushmeter.battery import hiding
from hushmeter.battery.hiding import Judge, Judging, compare
from hushmeter.battery.metrics import Options
from hushmeter.battery.record import Record, record_of
from hushmeter.battery.setups import STANDARD, Battery, setups
from hushmeter.battery.simulator import Simulation
from hushmeter.errors import HushmeterError
from hushmeter.loads import read_load
from hushmeter.outputs import Outputs
from hushmeter.report import battery as battery_page
from tests.battery.hide_kit import hide, stamp, told, write_load

DATA = os.environ.get("HUSHMETER_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="HUSHMETER_DATA names no folder with real loads")

KEYS = {
    "controller", "samples", "bin_w", "level_changes_per_day", "cycles_per_day",
    "energy_balance_error_ws", "attack", "seconds",
    *(
        f"{kind}_{end}"
        for kind in ("mi", "mi_binary", "mi_markov")
        for end in ("bits", "ci_bits", "shuffled_bits")
    ),
}  # fmt: skip
LOSSY = ("--charge-efficiency", 931, "--discharge-efficiency", 947)


@pytest.fixture(scope="module")
def day(home):
    """A day and a half of minutes."""
    return home[:2160].tolist()


@pytest.fixture(scope="module")
def load(day, tmp_path_factory):
    return write_load(tmp_path_factory.mktemp("hide") / "load.csv", day)


def record(watts, step_s=60, missing=()):
    """A record of these watts, without a file."""
    gone = np.zeros(len(watts), dtype=np.bool_)
    gone[list(missing)] = True
    demand = np.where(gone, 0, np.asarray(watts, dtype=np.int64))
    return Record("made up", "home", 1_672_531_200, step_s, step_s, demand, gone, 0)


def run(watched, name="ls2", battery=None, seed=1):
    setup = setups([name], battery or Battery(500, 500, 500), watched.step_s)[0]
    return hiding.hide(watched, setup, seed)


def rows_of(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_the_object_has_every_key_and_the_table_every_step(load, day, tmp_path):
    found = told(load, "--controller", "ls2", "--seed", "s", "--out", tmp_path / "out.csv")
    assert set(found) >= KEYS
    assert set(found["attack"]) >= {"events", "correct", "precision", "recall", "tolerance_w"}
    assert (found["controller"], found["samples"], found["bin_w"]) == ("ls2", len(day), 20)
    rows = rows_of(tmp_path / "out.csv")
    assert list(rows[0]) == ["time", "demand_w", "grid_w", "charge_wh"]
    assert [int(row["demand_w"]) for row in rows] == day
    assert [row["time"] for row in rows[:2]] == ["2023-01-01T00:00:00", "2023-01-01T00:01:00"]
    charges_ws = [round(float(row["charge_wh"]) * 3600) for row in rows]
    moved_ws = np.cumsum([(int(row["grid_w"]) - int(row["demand_w"])) * 60 for row in rows])
    assert (moved_ws + round(found["start_charge_wh"] * 3600)).tolist() == charges_ws
    assert found["energy_balance_error_ws"] == 0


def test_the_draw_is_that_of_the_meters_own_code(load, day, tmp_path):
    found = told(load, "--controller", "rc", "--seed", 7, "--out", tmp_path / "out.csv", *LOSSY)
    tape = Simulation("rc", found["settings"], seed=7).tape(0, 9 * len(day))
    meter = device.make("rc", found["settings"], Tape(tape))
    rows = rows_of(tmp_path / "out.csv")
    assert [int(row["grid_w"]) for row in rows] == [meter.step(demand) for demand in day]
    assert round(float(rows[-1]["charge_wh"]) * 3600) == meter.charge_ws


def test_the_same_seed_gives_the_same_draw_and_another_seed_another(home):
    watched = record(home[:1440])
    first, again, other = (run(watched, seed=seed) for seed in ("7", 7, 8))
    assert np.array_equal(first.grid_w, again.grid_w)
    assert not np.array_equal(first.grid_w, other.grid_w)


def test_be_alone_means_be_sat(load):
    assert told(load, "--controller", "be")["controller"] == "be:sat"


def test_the_books_balance_for_every_controller_also_with_losses(home):
    watched = record(home[:1440])
    for battery in (Battery(500, 500, 500), Battery(700, 300, 400, 50, 650, 931, 947)):
        for judged in compare(watched, setups(["all"], battery, 60), Judging(), 1):
            assert judged.metrics.energy_balance_error_ws == 0, judged.label


def test_a_unit_that_is_lost_anywhere_shows_in_the_books_of_a_battery_with_losses(home):
    """Positive control: one Ws, and an efficiency of one per mille more."""
    watched = record(home[:1440])
    done = run(watched, battery=Battery(500, 500, 500, 0, None, 931, 947))
    assert hiding.books_error_ws(watched, done) == 0
    done.charge_ws[900:] += 1
    assert hiding.books_error_ws(watched, done) == 1
    done.charge_ws[900:] -= 1
    done.setup.settings["charge_efficiency_permille"] += 1
    assert hiding.books_error_ws(watched, done) > 1


def test_two_in_series_are_judged_by_both_batteries(load):
    found = told(load, "--second", "be", "--second-capacity-wh", 200, "--second-rate-w", 200)
    assert found["controller"] == "ls2+be:sat" and found["energy_balance_error_ws"] == 0
    assert found["settings"]["second"]["capacity_ws"] == 720_000
    lossy = told(load, "--second", "be", *LOSSY)
    assert lossy["energy_balance_error_ws"] is None
    assert any("series" in warning for warning in lossy["warnings"])


@pytest.mark.parametrize("pair", [("none", "be"), ("be", "none")])
def test_the_attack_on_two_in_series_is_that_on_the_one_which_the_grid_sees(load, pair):
    alone = told(load, "--controller", "be", "--capacity-wh", 50)
    found = told(load, "--controller", pair[0], "--second", pair[1], "--capacity-wh", 50)
    assert alone["attack"]["events"] > 10
    assert found["attack"] == alone["attack"]


def test_a_figure_is_never_cut_where_the_screen_is_narrow(load, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    shown = hide(load, "--controller", "hold-mean,smooth", "--second", "be:idle").stdout
    assert "…" not in shown
    assert shown.count("%") == 4


def test_a_bad_wish_is_refused_before_the_work(load, monkeypatch):
    monkeypatch.setattr(hiding, "hide", lambda *given: pytest.fail("it was run"))
    for wish in (["--bin", "0"], ["--threshold", "-1"]):
        assert hide(load, *wish).exit_code == 2


def test_in_a_gap_the_controller_is_not_called(home):
    demand = home[:3000]
    gone = [0, 1, 700, 701, 702, 2999]
    whole = run(record(np.delete(demand, gone)))
    gappy = run(record(demand, missing=gone))
    assert np.array_equal(np.delete(gappy.grid_w, gone), whole.grid_w)
    assert np.array_equal(np.delete(gappy.charge_ws, np.array(gone) + 1), whole.charge_ws)
    assert gappy.charge_ws[701] == gappy.charge_ws[700] == gappy.charge_ws[703]
    assert gappy.charge_ws[0] == gappy.charge_ws[1] and not gappy.grid_w[gone].any()
    assert hiding.books_error_ws(record(demand, missing=gone), gappy) == 0


def test_what_is_measured_takes_no_difference_across_a_gap():
    """Two flat halves far apart: all that could be told is the step across the gap."""
    watts = [100] * 800 + [0] * 3 + [4100] * 797
    gone = [800, 801, 802]
    step = Judge(record(watts)).judge(run(record(watts), "none"))
    gap = Judge(record(watts, missing=gone)).judge(run(record(watts, missing=gone), "none"))
    assert step.metrics.mi_bits > 0 and step.attack.events == 2
    for value in (gap.metrics.mi_bits, gap.metrics.mi_binary_bits, gap.metrics.mi_markov_bits):
        assert value == pytest.approx(0, abs=1e-12)
    assert gap.attack.events == gap.metrics.level_changes_per_day == 0
    assert (gap.metrics.breaks, gap.metrics.samples) == (1, 1597)
    assert any("1 gaps, 3 steps" in warning for warning in gap.metrics.warnings)


def test_gaps_are_counted_and_long_ones_refused_with_their_place(tmp_path, day):
    short = [None if 100 <= row < 160 else watts for row, watts in enumerate(day)]
    found = told(write_load(tmp_path / "short.csv", short), "--out", tmp_path / "out.csv")
    assert (found["gaps"], found["missing_steps"], found["samples"]) == (1, 60, len(day) - 60)
    row = rows_of(tmp_path / "out.csv")[120]
    assert (row["demand_w"], row["grid_w"]) == ("", "") and row["charge_wh"]
    long = write_load(tmp_path / "long.csv", [*short[:300], *[None] * 61, *short[300:]])
    refused = hide(long, "--json")
    assert refused.exit_code == 2
    assert "from 2023-01-01T05:00:00 to 2023-01-01T06:01:00, 3660 s" in refused.stderr
    assert told(long, "--bridge-gaps")["gaps"] == 2


def test_a_step_is_the_mean_of_its_rows_and_no_energy_is_lost(tmp_path):
    watts = [Random(row).randrange(4000) for row in range(700)]
    load = read_load(write_load(tmp_path / "load.csv", watts))
    made = record_of(load, step_s=420)
    assert (made.steps, made.rows_left_over, made.row_s) == (100, 0, 60)
    for steps in range(1, 101):
        exact_ws = sum(watts[: 7 * steps]) * 60
        assert abs(int(made.demand_w[:steps].sum()) * 420 - exact_ws) <= 210
    holed = record_of(read_load(write_load(tmp_path / "b.csv", [None, *watts[1:]])), step_s=540)
    assert holed.missing.tolist() == [True] + [False] * 76 and holed.rows_left_over == 7


def test_a_home_of_several_is_named_and_never_guessed(tmp_path, day):
    path = write_load(tmp_path / "street.csv", day, names=("home_0_w", "home_1_w"))
    assert told(path, "--home", "home_1_w")["home"] == "home_1_w"
    refused = hide(path)
    assert refused.exit_code == 2 and "home_0_w, home_1_w; name one" in refused.stderr
    assert "no home 'x'" in hide(path, "--home", "x").stderr


def test_settings_reach_the_controller(load):
    found = told(
        load, "--controller", "nill", "--set", "offset_w=60", "--minimum-wh", 50, "--maximum-wh",
        450, "--charge-rate-w", 300, "--discharge-rate-w", 400, *LOSSY,
    )  # fmt: skip
    given = found["settings"]
    assert given["offset_w"] == 60
    assert (given["minimum_ws"], given["maximum_ws"]) == (180_000, 1_620_000)
    assert (given["charge_rate_w"], given["discharge_rate_w"]) == (300, 400)
    assert given["discharge_efficiency_permille"] == 947
    assert found["start_charge_wh"] == 250


def table_file(tmp_path):
    """A policy of three states and two levels that draws by chance where it can choose."""
    rows = ([1, 1], [0, 1], [1, 1], [1, 1], [1, 0], [1, 1])
    laws = [thresholds(row) for row in rows]
    path = tmp_path / "policy.bin"
    path.write_bytes(encode(60, 500, 2, 2, 0, thresholds([1, 1, 1]), laws))
    return path


def test_a_table_runs_and_one_for_another_alphabet_is_refused(load, tmp_path):
    path = table_file(tmp_path)
    options = ("--controller", "table", "--table", path, "--rate-w", 2000)
    found = told(load, *options)
    assert found["energy_balance_error_ws"] == 0 and "table_bytes" in found["settings"]
    for wrong in (("--set", "quantum_w=499"), ("--set", "demand_levels=5"), ("--step", 600)):
        refused = hide(load, *options, *wrong)
        assert refused.exit_code == 2 and "table is for" in refused.stderr


def test_demand_beyond_a_policys_alphabet_is_said(load, tmp_path):
    path, page = table_file(tmp_path), tmp_path / "page.html"
    options = ("--controller", "table", "--table", path, "--rate-w", 2000)
    result = hide(load, *options, "--page", page, "--json")
    found = json.loads(result.stdout)
    share = found["beyond_share"]
    assert 0.01 < share <= 1
    warning = f"in {share:.1%} of the steps the demand was beyond the policy's alphabet"
    assert warning in result.stderr and any(warning in one for one in found["warnings"])
    assert warning in html.unescape(page.read_text())
    assert told(load, "--controller", "be")["beyond_share"] is None


def test_compared_controllers_stand_beside_the_named_one(load, tmp_path):
    found = told(load, "--compare", "--controller", "nill", "--out", tmp_path / "out.csv")
    assert found["controller"] == "nill"
    assert {one["controller"] for one in found["compared"]} == set(STANDARD) - {"nill"}
    several = told(load, "--controller", "be,nill,ls2,be:sat", "--out", tmp_path / "b.csv")
    assert [one["controller"] for one in several["runs"]] == ["be:sat", "nill", "ls2"]
    assert {path.name for path in tmp_path.iterdir()} == {
        "out.csv", "b-be-sat.csv", "b-nill.csv", "b-ls2.csv",
    }  # fmt: skip
    shown = hide(load, "--controller", "be,nill,ls2")
    assert shown.exit_code == 0 and all(name in shown.stdout for name in ("be:sat", "nill", "ls2"))


def test_the_cost_before_and_after_is_that_of_demand_and_draw(load, day, tmp_path):
    prices = tmp_path / "flat.toml"
    prices.write_text(
        'format = 1\nname = "flat"\ncurrency = "EUR"\ntimezone = "UTC"\n'
        '[[period]]\nname = "all"\nimport_micro_per_kwh = 300000\n'
    )
    found = told(load, "--tariff", prices)
    cost = found["cost"]
    assert cost["before_micro"] == round(sum(day) * 60 * 300_000 / 3_600_000)
    assert cost["after_micro"] == pytest.approx(found["grid_wh"] * 300, abs=1)
    assert cost["saved_micro"] == cost["before_micro"] - cost["after_micro"]


def test_a_long_record_is_measured_on_days_picked_evenly(home, monkeypatch):
    monkeypatch.setattr(hiding, "MOST_MEASURED", 15 * 1440)
    watched = record(home)
    found = Judge(watched).judge(run(watched)).metrics
    assert found.samples == 15 * 1440 and found.breaks == 14
    assert found.energy_balance_error_ws == 0
    assert any("of 15 of the record's 45 days" in warning for warning in found.warnings)


def test_pieces_of_a_run_are_one_run(home, monkeypatch):
    watched = record(home[:5000], missing=[0, 999, 1000, 1001, 4999])
    whole = run(watched, "nill")
    monkeypatch.setattr(hiding, "_PIECE", 333)
    pieces = run(watched, "nill")
    assert np.array_equal(whole.grid_w, pieces.grid_w)
    assert np.array_equal(whole.charge_ws, pieces.charge_ws)


def test_stepping_hides_what_keeping_the_draw_shows(home):
    """The order of Yang et al. 2012, and the attack: right on nill and be:idle, not on ls2."""
    judging = Judging(Options(warm_up_s=86400, shuffles=2))
    chosen = setups(["be", "be:idle", "nill", "ls1", "ls2", "rc"], Battery(500, 500, 500), 60)
    judged = {one.label: one for one in compare(record(home), chosen, judging, 1)}
    for stepping in ("ls1", "ls2", "rc"):
        for kept in ("be:sat", "be:idle", "nill"):
            assert judged[stepping].metrics.mi_bits < judged[kept].metrics.mi_bits
            assert 4 * judged["rc"].metrics.mi_binary_bits < judged[kept].metrics.mi_binary_bits
    assert judged["nill"].attack.precision > 0.85 and judged["be:idle"].attack.precision > 0.7
    assert judged["ls2"].attack.precision < 0.15 and judged["ls2"].attack.recall < 0.01


BAD_LOADS = {
    "nothing": ("", "empty"),
    "a word": ("time,a_w\n2023-01-01T00:00:00,x\n2023-01-01T00:01:00,1\n", "not a number"),
    "twice": (f"time,a_w\n{stamp(0)},1\n{stamp(1)},1\n{stamp(1)},2\n", "is not after"),
    "out of order": (f"time,a_w\n{stamp(1)},1\n{stamp(0)},1\n{stamp(2)},2\n", "is not after"),
    "mixed": (
        "time,a_w\n" + "".join(f"{stamp(max(row, 2 * row - 60))},1\n" for row in range(120)),
        "mixed resolutions",
    ),
    "negative": (
        "time,a_w\n" + "".join(f"{stamp(row)},{row - 50}\n" for row in range(90)),
        "export is not enabled",
    ),
    "short": ("time,a_w\n" + "".join(f"{stamp(row)},1\n" for row in range(30)), "30 samples"),
    "all NaN": ("time,a_w\n" + "".join(f"{stamp(row)},NaN\n" for row in range(90)), "no reading"),
    "a long gap": (
        "time,a_w\n" + "".join(f"{stamp(row)},{row}\n" for row in range(300) if not 60 < row < 200),
        "2023-01-01T01:01:00",
    ),
}


@pytest.mark.parametrize("name", BAD_LOADS)
def test_a_bad_load_is_one_line_and_leaves_nothing_behind(name, tmp_path):
    content, reason = BAD_LOADS[name]
    path = tmp_path / "load.csv"
    path.write_text(content)
    result = hide(path, "--out", tmp_path / "out.csv", "--page", tmp_path / "out.html", "--json")
    errors = [line for line in result.stderr.splitlines() if not line.startswith("hint: ")]
    assert result.exit_code == 2 and result.stdout == ""
    assert len(errors) == 1 and errors[0].startswith("error: ") and reason in errors[0]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--capacity-wh", "0"], "capacity is 0 Wh"),
        (["--rate-w", "0"], "rate is 0 W"),
        (["--charge-rate-w", "-1"], "charge rate is -1"),
        (["--controller", "hush"], "no controller 'hush'; there are be:idle, be:sat"),
        (["--controller", "cascade"], "naming a second"),
        (["--controller", ","], "no controller is named"),
        (["--controller", "table"], "needs a table file"),
        (["--table", "/dev/null/x"], "cannot be read"),
        (["--set", "offset_w=1"], "no setting is called 'offset_w'"),
        (["--set", "capacity_ws=1"], "option of its own"),
        (["--set", "lift"], "name=value"),
        (["--set", "lift=2"], "lift is 2"),
        (["--set", "lift=1", "--set", "lift=1"], "twice"),
        (["--capacity-wh", "5"], "usable capacity is 18000 Ws"),
        (["--export"], "ls2 needs demand >= 0"),
        (["--charge-efficiency", "0"], "charge efficiency is 0"),
        (["--minimum-wh", "600"], "minimum charge is 600"),
        (["--maximum-wh", "501"], "maximum charge is 501"),
        (["--second-rate-w", "5"], "without --second"),
        (["--second", "hush"], "no controller 'hush'"),
        (["--step", "90"], "rows of 60 s"),
        (["--step", "0"], "rows of 60 s"),
        (["--bin", "0"], "bin_w is 0"),
        (["--threshold", "-1"], "threshold_w is -1"),
        (["--warm-up-days", "2"], "0 samples are left"),
        (["--day", "2022-12-31"], "is not in"),
        (["--day", "yesterday"], "must be a day"),
        (["--tariff", "absent.toml"], "cannot be read"),
        (["--truth", "absent.json"], "cannot be read"),
        (["--out", "/dev/null/out.csv"], "cannot be written"),
    ],
)
def test_a_bad_wish_is_one_line_and_leaves_nothing_behind(
    load, arguments, reason, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    result = hide(load, "--plot", "out.png", *arguments, "--json")
    errors = [line for line in result.stderr.splitlines() if not line.startswith("hint: ")]
    assert result.exit_code == 2 and result.stdout == ""
    assert len(errors) == 1 and errors[0].startswith("error: ") and reason in errors[0]
    assert list(tmp_path.iterdir()) == []


def test_an_output_never_replaces_what_is_read_or_another_output(load, tmp_path):
    before = load.read_bytes()
    assert "cannot be the output" in hide(load, "--out", load).stderr
    both = tmp_path / "both"
    assert "asked for twice" in hide(load, "--out", both, "--page", both).stderr
    assert load.read_bytes() == before and list(tmp_path.iterdir()) == []


def test_a_failure_at_the_last_moment_leaves_the_earlier_files(load, tmp_path, monkeypatch):
    old = tmp_path / "out.csv"
    old.write_text("earlier")

    def fail(*given):
        raise HushmeterError("no ink")

    monkeypatch.setattr(battery_page, "page", fail)
    result = hide(load, "--out", old, "--page", tmp_path / "out.html")
    assert result.exit_code == 2 and "no ink" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]
    assert old.read_text() == "earlier"


def test_outputs_appear_together_and_are_readable(tmp_path):
    with Outputs() as outputs:
        outputs.put(tmp_path / "a", b"a")
        outputs.open(tmp_path / "b").write(b"b")
        assert all(path.name.startswith(".") for path in tmp_path.iterdir())
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"a", "b": b"b"}
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644
    with pytest.raises(HushmeterError, match="no ordinary file"), Outputs() as outputs:
        outputs.open(tmp_path)


def test_whatever_a_file_holds_the_answer_is_a_judgement_or_an_error(tmp_path):
    """Random loads with gaps, signs, steps and sizes; only the two roots of errors come out."""
    random, judged, refused = Random(3), 0, 0
    path = tmp_path / "load.csv"
    for _ in range(150):
        most = random.choice((0, 1, 3, 5000, 10**6))
        holes, least = random.choice((0, 0, 0.02, 0.5)), -random.randrange(2)
        watts = [
            None if random.random() < holes else random.randint(least, most)
            for _ in range(random.randrange(3, 300))
        ]
        write_load(path, watts)
        battery = Battery(*(random.choice((1, 50, 500, 10**6)) for _ in range(3)))
        names = [random.choice([*STANDARD, "hush"])]
        try:
            load = read_load(path, allow_export=bool(random.getrandbits(1)))
            step_s = 60 * random.choice((1, 1, 2, 7))
            made = record_of(load, None, step_s, bridge_gaps=bool(random.getrandbits(1)))
            export = bool(made.demand_w.min() < 0)
            chosen = setups(names, battery, made.step_s, export)
            for one in compare(made, chosen, Judging(Options(shuffles=2)), 1):
                assert one.metrics.energy_balance_error_ws == 0
            judged += 1
        except (HushmeterError, HushError) as error:
            assert str(error)
            refused += 1
    assert judged > 20 and refused > 20


@needs_data
@pytest.mark.parametrize(
    ("file", "arguments"),
    [
        ("uci-2007-02-01.csv", ()),
        ("uci-2007-02-01.csv", ("--step", 600, "--bin", 50)),
        ("edrp-halfhourly-300.csv.gz", ("--home", "h123", "--warm-up-days", 1)),
    ],
)
def test_real_loads_are_hidden_and_balanced(file, arguments):
    found = told(Path(DATA) / file, *arguments, "--compare")
    for one in [found, *found["compared"]]:
        assert one["energy_balance_error_ws"] == 0
    by_name = {one["controller"]: one for one in [found, *found["compared"]]}
    assert by_name["none"]["attack"]["precision"] == 1
    assert by_name["ls2"]["mi_bits"] < by_name["none"]["mi_bits"]
