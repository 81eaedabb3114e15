"""The market study: the same every time, energy adds up, files and page are there."""

import csv
import json
from dataclasses import replace

import pytest
from click.testing import CliRunner

from hushmeter.cli import main
from hushmeter.errors import HushmeterError
from hushmeter.market import transcript
from hushmeter.report.market import draw_market, page
from hushmeter.report.pictures import FORMS
from hushmeter.study import market

HOMES = 12


@pytest.fixture(scope="module")
def small():
    return market.study(HOMES, masked=False)


def invoke(*words):
    return CliRunner().invoke(main, ["study", "market", *map(str, words)])


def test_the_same_study_comes_out_every_time_and_masked(small):
    again = market.study(HOMES, masked=True)
    assert {**market.as_json(again), "masked": False} == market.as_json(small)
    assert again.bytes_a_home > 0


def test_every_interval_has_a_price_that_its_record_proves(small):
    found = transcript.verify(transcript.written(small.transcript))
    assert [one.price for one in found] == [row["price"] for row in small.market.rows]
    assert len(found) == 96
    assert not any(one.scarcity for one in found)


def test_what_is_bought_is_sold_in_every_interval(small):
    for row, entry in zip(small.market.rows, small.transcript, strict=True):
        assert row["bought_wh"] == entry["traded_wh"]
        assert 0 <= row["sold_wh"] <= row["bought_wh"]
        assert row["utility_w"] == 4 * (row["bought_wh"] - row["sold_wh"])


def test_the_flat_price_covers_what_energy_costs(small):
    mean = sum(row["wholesale"] for row in small.flat.rows) / 96
    bought = sum(row["bought_wh"] for row in small.flat.rows)
    sold = sum(row["sold_wh"] for row in small.flat.rows)
    assert small.flat.paid_micro == pytest.approx(bought * small.flat_price - sold * mean)
    assert small.flat.paid_micro == pytest.approx(small.flat.energy_micro, rel=0.03)


def test_both_days_do_all_that_must_be_done(small):
    assert small.flat.late_jobs == small.market.late_jobs == 0


def test_the_market_pays_where_prices_differ_and_cannot_where_they_do_not(small):
    assert small.market.cost_micro < 0.9 * small.flat.cost_micro
    same = market.study(HOMES, prices=[100] * 96, masked=False)
    gain = 1 - same.market.cost_micro / same.flat.cost_micro
    assert gain < 1 - small.market.cost_micro / small.flat.cost_micro


def test_prices_that_do_not_fit_the_day_are_refused():
    for prices in ([100] * 95, [0] * 96, [10_000] * 96):
        with pytest.raises(HushmeterError, match="a day has 96"):
            market.study(HOMES, prices=prices, masked=False)


def test_pictures_and_page_show_the_figures(small):
    light = [form for form in FORMS if form.theme.name == "light"]
    pictures = [
        replace(
            picture,
            svg={form.name: picture.svg[form.name.replace("dark", "light")] for form in FORMS},
        )
        for picture in draw_market(small, light)
    ]
    assert [picture.name for picture in pictures] == ["load", "prices", "clearing"]
    text = page(small, pictures, "hushmeter study market --out FOLDER")
    assert f"{small.market.peak_w / 1000:,.1f}" in text
    assert "http" not in text.replace("http-equiv", "").replace("http://www.w3.org", "")
    assert "<script" not in text


def test_the_command_writes_data_pictures_and_page(tmp_path):
    wholesale = tmp_path / "wholesale.csv"
    prices = market.synthetic_wholesale()
    lines = [f"{interval},{price}" for interval, price in enumerate(prices)]
    wholesale.write_text("interval,micro_per_wh\n" + "\n".join(lines) + "\n")
    out = tmp_path / "out"
    done = invoke("--quick", "--wholesale", wholesale, "--out", out)
    assert done.exit_code == 0, done.output
    table = json.loads((out / "study.json").read_text())
    assert table["homes"] == HOMES
    rows = list(csv.DictReader((out / "intervals.csv").read_text().splitlines()))
    assert [int(row["wholesale"]) for row in rows] == prices
    for name in ("load", "prices", "clearing"):
        assert (out / f"{name}.png").read_bytes()[1:4] == b"PNG"
    assert len(transcript.read(out / "transcript.json")) == 96
    assert "hushmeter study market" in (out / "report.html").read_text()
    wholesale.write_text("interval,micro_per_wh\n0,5\n2,5\n")
    done = invoke("--quick", "--wholesale", wholesale)
    assert done.exit_code == 2
    assert "interval 1 is missing" in done.stderr


def test_the_command_prints_json():
    found = json.loads(invoke("--quick", "--json").stdout)
    assert found["study"] == "market"
    assert set(found) >= {"flat", "market", "peak_change", "paid_change", "welfare_gain_micro"}
