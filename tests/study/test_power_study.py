"""The privacy-power study: the paper's figures, the same every time, with what it prints wrong."""

import csv
import json
import math
from dataclasses import replace

import pytest
from click.testing import CliRunner

from hushmeter.cli import main
from hushmeter.report.pictures import FORMS
from hushmeter.report.power import SHOWN_BESIDE, draw_power, page
from hushmeter.study import power
from hushmeter.study.power_corrections import corrections
from hushmeter.study.power_published import statements

POINTS = 25


@pytest.fixture(scope="module")
def small():
    return power.study(POINTS)


def invoke(*words):
    return CliRunner().invoke(main, ["study", "power", *map(str, words)])


def test_every_point_is_certified(small):
    assert small.worst_gap < 1e-10
    assert small.solved == POINTS * (len(power.BINARY) + 1 + 2 + 3 + 3)


def test_the_same_study_comes_out_every_time(small):
    assert power.as_json(power.study(POINTS)) == power.as_json(small)


def test_binary_points_are_the_closed_form(small):
    for row in small.tables["binary"]:
        assert row["bits"] == pytest.approx(row["closed_form"], abs=1e-10)


def test_the_uniform_curves_keep_their_order(small):
    for row in small.tables["uniform"][1:-1]:
        assert row["shannon_lower"] <= row["optimal"] < row["output_limit"]
        assert row["output_limit"] < row["time_division_exact"] < row["time_division_printed"]
        assert row["output_limit"] < row["output_limit_printed"]


def test_exponential_users_follow_the_papers_21(small):
    for row in small.tables["exponential"]:
        assert row["users_1"] == pytest.approx(max(0, -math.log2(row["power"])), abs=1e-9)


def test_users_are_private_from_where_12_says(small):
    sooner, later = power.private_from(power.SAME_LEVELS)[:2]
    assert (sooner, later) == pytest.approx((0.1 + 0.5 / 9 + 0.1 / 81 * 9, 0.7), abs=1e-9)
    for row in small.tables["same_levels"]:
        assert (row["user_1_bits"] < 1e-9) == (row["power"] >= sooner)


def test_the_papers_statements_hold_but_for_two(small):
    held = {statement.key: statement.agrees for statement in statements(small)}
    assert [key for key, agrees in held.items() if not agrees] == [
        "concave_and_piecewise_convex",
        "more_users_leak_more",
    ]


def test_the_corrections_show_their_figures(small):
    found = {correction.key: correction for correction in corrections(small)}
    assert "2.1040 bits, printed 2.1962" in found["time_division"].shown
    assert "I = 1.0000 bits" in found["shannon"].shown
    assert "2.4427" in found["shannon"].shown
    assert "convex throughout" in found["own_function_is_convex"].shown
    assert "leaks 0.0000, printed 2.1962" in found["output_limit"].shown


def test_pictures_and_page_show_every_figure_and_statement(small):
    light = [form for form in FORMS if form.theme.name == "light"]
    pictures = [
        replace(
            picture,
            svg={form.name: picture.svg[form.name.replace("dark", "light")] for form in FORMS},
        )
        for picture in draw_power(small, light)
    ]
    assert [picture.name for picture in pictures] == list(power.FIGURES)
    shown = [key for keys in SHOWN_BESIDE.values() for key in keys]
    assert sorted(shown) == sorted(statement.key for statement in statements(small))
    text = page(small, pictures, "hushmeter study power --out FOLDER")
    for figure in power.FIGURES.values():
        assert f"as {figure} of the paper" in text
    assert "http" not in text.replace("http-equiv", "").replace("http://www.w3.org", "")
    assert "<script" not in text
    again = draw_power(small, light[:1])
    assert [picture.png for picture in again] == [picture.png for picture in pictures]


def test_the_command_writes_data_pictures_and_page(tmp_path):
    done = invoke("--quick", "--out", tmp_path)
    assert done.exit_code == 0, done.output
    assert "Privacy-power study" in done.output
    table = json.loads((tmp_path / "study.json").read_text())
    for name in power.FIGURES:
        rows = list(csv.DictReader((tmp_path / f"{name}.csv").read_text().splitlines()))
        assert len(rows) == len(table[name])
        assert (tmp_path / f"{name}.png").read_bytes()[1:4] == b"PNG"
    assert "hushmeter study power --quick --out FOLDER" in (tmp_path / "report.html").read_text()


def test_the_command_prints_json_and_refuses_a_file_for_a_folder(tmp_path):
    found = json.loads(invoke("--quick", "--json").stdout)
    assert found["study"] == "power"
    assert found["worst_gap_below_1e_9"] is True
    file = tmp_path / "file"
    file.write_text("mine")
    assert invoke("--quick", "--out", file).exit_code == 2
