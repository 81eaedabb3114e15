"""The DREAM study: its figures against independent ones, the same every time, and what is wrong."""

import csv
import gzip
import json
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from click.testing import CliRunner
from scipy import integrate, stats

from hushmeter.cli import main
from hushmeter.errors import HushmeterError
from hushmeter.loads.synthetic.appliances import NAMES
from hushmeter.report.dream import draw_dream, page, tables_of
from hushmeter.report.pictures import FORMS
from hushmeter.study import dream, dream_clusters, dream_exposure, dream_homes
from hushmeter.study.dream_clusters import MODES, Settings, members_of, theorem_2
from hushmeter.study.dream_published import TABLE_1, contradictions, statements

HOMES = 60
SETTINGS = Settings(seed=5, epsilon=Fraction(1), cap_wh=3000, colluders=1)
SIZES, ALPHAS = (10, 50, 200), (0.0, 0.3)


@pytest.fixture(scope="module")
def homes():
    return dream_homes.synthetic(HOMES, 1, 5, None)


@pytest.fixture(scope="module")
def small(homes):
    return dream.study(homes, SETTINGS, SIZES, ALPHAS, clusters=12)


@pytest.fixture
def load_file(tmp_path):
    """Twelve homes, two days of half hours."""
    random = np.random.default_rng(1)
    stamps = np.datetime64("2009-04-01T00:00") + np.arange(96) * np.timedelta64(30, "m")
    lines = ["stamp," + ",".join(f"h{home}" for home in range(12))]
    for stamp in stamps:
        lines.append(f"{stamp}," + ",".join(str(wh) for wh in random.integers(20, 900, 12)))
    path = tmp_path / "homes.csv.gz"
    path.write_bytes(gzip.compress("\n".join(lines).encode() + b"\n"))
    return path


def invoke(*words):
    return CliRunner().invoke(main, ["study", "dream", *map(str, words)])


def invoked(*words):
    result = invoke(*words)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.parametrize("shape", [1.0, 1 / 0.7, 2.0, 3.5])
def test_theorem_2_is_the_mean_and_spread_of_a_gamma_difference(shape):
    law = stats.gamma(shape)
    mean = 2 * integrate.quad(lambda x: law.cdf(x) * law.sf(x), 0, 80, limit=300)[0]
    mu, sigma = theorem_2(shape)
    assert mu == pytest.approx(mean, rel=1e-6)
    assert sigma == pytest.approx(np.sqrt(2 * shape - mean**2), rel=1e-5)


def test_known_factors_of_theorem_2():
    assert theorem_2(1 / 0.7) == pytest.approx((1.2376, 1.1513), abs=5e-5)
    assert theorem_2(1) == pytest.approx((1, 1))


def test_rows_have_the_sizes_alphas_and_modes_asked_for(small):
    wanted = [(n, alpha, mode) for n in SIZES for alpha in ALPHAS for mode in MODES]
    assert [(row.n, row.alpha, row.mode) for row in small.errors] == wanted


def test_theory_is_theorem_2_on_the_same_clusters(homes, small):
    for row in small.errors:
        of_clusters = []
        for number in range(12):
            counts = members_of(homes, row.n, SETTINGS.seed, number)
            total = counts @ homes.readings_wh
            largest = homes.readings_wh[counts > 0].max(axis=0)
            bound = largest if row.mode == "faithful" else np.full_like(total, SETTINGS.cap_wh)
            of_clusters.append(np.mean(bound / (total + 1)))
        left = row.n - round(row.alpha * row.n) - (row.mode == "hardened")
        wanted = theorem_2(row.n / left)[0] * np.mean(of_clusters)
        assert row.theory_error == pytest.approx(wanted, rel=1e-9)


@pytest.mark.statistical
def test_drawn_errors_meet_theorem_2(small):
    """False-alarm rate 1e-5 for twelve rows: Student's t with 11 degrees, clipping apart."""
    limit = stats.t.isf(1e-5 / 24, 11)
    for row in small.errors:
        gap = abs(row.mean_error - row.theory_error) - row.clip_error
        # The clusters' own spread is in the theory too: this bound is generous.
        assert gap < limit * row.sd_error / np.sqrt(row.clusters)


@pytest.mark.statistical
def test_a_wrong_shape_would_be_seen(homes):
    """Positive control: noise for N instead of N - M is 19 % short of Theorem 2."""
    found = dream_clusters.measured(homes, (50, (0.0, 0.3), 0, 60, SETTINGS))
    drawn, theory = found[:, 0, 0, 0], found[:, 1, 0, 1]
    assert theory.mean() - drawn.mean() > 5 * (theory - drawn).std() / np.sqrt(60)


def test_clipping_is_counted_apart(homes):
    tight = replace(SETTINGS, cap_wh=60)
    row = dream_clusters.rows_of(
        50, (0.0,), dream_clusters.measured(homes, (50, (0.0,), 0, 3, tight)), tight
    )[1]
    assert row.clip_error > row.theory_error
    assert row.mean_error == pytest.approx(row.clip_error, rel=0.3)


def test_clusters_are_drawn_without_replacement_where_there_are_homes_enough(homes):
    assert members_of(homes, HOMES - 1, 1, 0).max() == 1
    for size in (HOMES, 1_000_000):
        counts = members_of(homes, size, 1, 0)
        assert counts.sum() == size
        assert counts.max() > 1


def test_a_million_homes_are_within_reach(homes):
    found = dream.study(homes, SETTINGS, (1_000_000,), (0.5,), 2, tables=(1,))
    faithful = found.errors[0]
    assert 0 < faithful.mean_error < 1e-4
    assert not found.errors[1].is_unsplittable


def test_any_number_of_processes_gives_the_same(homes, small, monkeypatch):
    monkeypatch.setattr(dream, "_DRAWS_A_PROCESS", 1)
    assert dream.study(homes, SETTINGS, SIZES, ALPHAS, 12, (1,), jobs=2).errors == small.errors


def test_another_seed_gives_other_draws(homes, small):
    other = dream.study(homes, replace(SETTINGS, seed=6), SIZES, ALPHAS, 12, (1,))
    assert other.errors[0].mean_error != small.errors[0].mean_error


def test_exposure_is_the_worst_stretch_of_a_day(homes):
    rows = dream_exposure.measured(homes, ("all", 50, 2, SETTINGS))
    worst = []
    for number in range(2):
        counts = members_of(homes, 50, SETTINGS.seed, number)
        readings = homes.readings_wh[counts > 0]
        shown = readings / np.maximum(readings.max(axis=0), 1)
        worst += [np.convolve(home, np.ones(24), "valid").max() for home in shown]
    row = next(row for row in rows if row.slots == 24 and row.mode == "faithful")
    assert (row.mean, row.sd) == pytest.approx((np.mean(worst), np.std(worst)))
    assert row.homes == 100


def test_no_exposure_exceeds_what_is_accounted_for(small):
    for row in [*small.exposures, *small.appliances]:
        assert 0 <= row.mean <= row.spent


def test_the_truth_of_appliances_adds_up_to_the_load(homes):
    used_wh = homes.appliances_ws.sum(axis=(1, 2)) / 3600
    counted_wh = homes.readings_wh.sum(axis=1)
    standby_wh = counted_wh - used_wh
    assert homes.appliances_ws.shape == (HOMES, len(NAMES), 144)
    assert (standby_wh > -2).all()
    assert (standby_wh < 24 * 250).all()


def test_epsilon_scales_the_noise_and_the_exposure(homes):
    half = replace(SETTINGS, epsilon=Fraction(1, 2))
    one, two = (dream.study(homes, s, (50,), (0.0,), 4, (1, 2)) for s in (SETTINGS, half))
    for row, other in zip(one.errors, two.errors, strict=True):
        assert other.theory_error == pytest.approx(2 * row.theory_error)
    for shown, less in zip(one.exposures, two.exposures, strict=True):
        assert less.mean == pytest.approx(shown.mean / 2)


def test_the_papers_table_contradicts_its_theorem_in_three_cells(small):
    cells = [one for one in contradictions(small) if one.where.startswith("Table 1, N")]
    assert [(one.where.split("N = ")[1], one.weight.split(":")[0]) for one in cells] == [
        ("100, alpha = 0.1", "clearly"),
        ("100, alpha = 0.3", "slightly"),
        ("300, alpha = 0.3", "clearly"),
    ]
    assert any("1.60" in one.right for one in contradictions(small))
    assert len(TABLE_1) == 20


def test_statements_follow_their_rules(small):
    told = {statement.key: statement.agrees for statement in statements(small)}
    assert told["coalitions_stay_nominal"]
    assert told["shows_less_in_larger"]
    worse = replace(small, errors=[replace(row, mean_error=9.0) for row in small.errors])
    assert not {s.key: s for s in statements(worse)}["theorem_is_met"].agrees


def test_the_command_has_the_keys_that_are_promised(load_file):
    found = invoked(
        "--load", load_file, "--sizes", "10,30", "--alphas", "0,0.3", "--clusters", 8,
        "--peak-w", 2000, "--seed", 3, "--json",
    )  # fmt: skip
    assert found["cap_wh"] == 1000
    assert len(found["rows"]) == 8
    for row in found["rows"]:
        assert {"n", "alpha", "mode", "mean_error", "sd_error", "theory_error"} <= set(row)
        assert row["mode"] in MODES
        low, high = row["mean_error_ci"]
        assert low < row["mean_error"] < high


def test_the_command_gives_the_same_for_any_jobs(load_file):
    words = ("--load", load_file, "--sizes", 10, "--clusters", 4, "--json")
    one, two = invoked(*words, "--jobs", 1), invoked(*words, "--jobs", 2)
    assert {**one, "seconds": 0} == {**two, "seconds": 0}


def test_tables_2_and_3_come_with_their_rows(load_file):
    found = invoked("--load", load_file, "--sizes", 10, "--clusters", 2, "--table", 2, "--json")
    assert {(row["hours"], row["slots"]) for row in found["rows"]} == {
        (0.5, 1), (4.0, 8), (8.0, 16), (24.0, 48),
    }  # fmt: skip
    found = invoked("--homes", 30, "--sizes", 10, "--clusters", 2, "--table", 3, "--json")
    assert len(found["rows"]) == 11 * 4 * 2
    assert {"what", "hours", "mode", "mean", "sd", "spent"} <= set(found["rows"][0])


def test_page_pictures_and_files_say_what_was_found(tmp_path, load_file):
    out = tmp_path / "dream"
    words = (
        "--load", load_file, "--homes", "30", "--sizes", "6,20", "--alphas", "0,0.5", "--clusters",
        "4", "--out", out,
    )  # fmt: skip
    refused = invoke(*words)
    assert "synthetic homes" in refused.output
    result = invoke(*(word for word in words if word not in ("--homes", "30")), "--quick")
    assert result.exit_code == 0, result.output
    whole = json.loads((out / "study.json").read_text())
    with (out / "table_1.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(whole["table_1"]) == 8
    text = (out / "report.html").read_text()
    assert "alpha = 0.5" in text
    assert "--load" in text
    assert str(tmp_path / "dream") not in text
    for name in ("errors", "meter", "appliances"):
        assert (out / f"{name}.png").stat().st_size > 10_000


def test_the_page_has_a_row_for_every_figure(small):
    views = tables_of(small)
    assert [len(views[number].rows) for number in (1, 2, 3)] == [12, 3 * 4, 11 * 4]
    pictures = draw_dream(small, FORMS[:1])
    for picture in pictures:
        for form in FORMS:
            picture.svg.setdefault(form.name, b"")
    text = page(small, pictures, "hushmeter study dream --out FOLDER")
    assert text.count("<figure>") == 3
    assert "nan" not in text.lower().replace("finance", "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--sizes", "1"), "wanted 2"),
        (("--sizes", "a"), "commas"),
        (("--sizes", "10,10"), "twice"),
        (("--alphas", "1"), "below 1"),
        (("--alphas", "0.95", "--sizes", "10"), "must be left"),
        (("--epsilon", "0"), "above 0"),
        (("--epsilon", "x"), "above 0"),
        (("--homes", "5", "--slot-s", "7000"), "whole"),
    ],
)
def test_what_cannot_be_run_is_refused_with_a_reason(words, message):
    result = invoke("--homes", "5", *words) if "--homes" not in words else invoke(*words)
    assert result.exit_code != 0
    assert message in str(result.exception) + result.output


def test_a_table_of_appliances_needs_their_truth(homes, load_file):
    assert "synthetic" in invoke("--load", load_file, "--table", "3").output
    bare = replace(homes, appliances_ws=None)
    with pytest.raises(HushmeterError, match="Table 3"):
        dream.study(bare, SETTINGS, (10,), (0.0,), 2)
