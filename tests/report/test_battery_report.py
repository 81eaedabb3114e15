"""The page and pictures of a home behind a battery: one file, honest words, also in odd cases."""

from __future__ import annotations

import base64
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pytest

from hushmeter.battery.appliances import Run
from hushmeter.battery.hiding import Judging, compare
from hushmeter.battery.metrics import Options
from hushmeter.battery.record import Record
from hushmeter.battery.setups import Battery, setups
from hushmeter.battery.tariff import Period, Tariff
from hushmeter.errors import HushmeterError
from hushmeter.report import battery
from hushmeter.report.battery_model import BatteryReport, Window, day_window
from hushmeter.report.pictures import FORMS, battery_compare
from tests.battery.battery_homes import home as make_home
from tests.report.test_street_report import HOSTILE, REFERRING, Page

NEW_YEAR = 1_672_531_200
FLAT = Tariff(1, "flat", "EUR", "UTC", (Period("all", 300_000),))


@pytest.fixture(scope="module")
def known() -> tuple[Any, list[Run]]:
    """Six days of a home, and what ran in it."""
    load, truth = make_home(6, 3)
    return load, [Run(*run) for run in truth]


@pytest.fixture(scope="module")
def report_of(known: tuple[Any, list[Run]]) -> Callable[..., BatteryReport]:
    def made(
        names: tuple[str, ...] = ("ls2",),
        home: str = "home_0_w",
        missing: tuple[int, ...] = (),
        with_all: bool = False,
        **changes: Any,
    ) -> BatteryReport:
        demand = known[0].copy()
        gone = np.zeros(demand.size, dtype=np.bool_)
        gone[list(missing)] = True
        demand[gone] = 0
        record = Record("load.csv", home, NEW_YEAR, 60, 60, demand, gone, 0)
        judging = Judging(
            Options(shuffles=2),
            FLAT if with_all else None,
            known[1] if with_all else None,
        )
        report = BatteryReport.of(record, day_window(record))
        chosen = setups(names, Battery(500, 500, 500, **changes), 60)
        for judged in compare(record, chosen, judging, 1):
            report.add(judged)
        return report

    return made


def page_of(report: BatteryReport) -> Page:
    """The page; each picture is drawn in one form and stands for all four."""
    drawn = battery.draw_pictures(report, FORMS[:1])
    pictures = [
        replace(one, svg={form.name: one.svg[FORMS[0].name] for form in FORMS}) for one in drawn
    ]
    return Page(battery.page(report, pictures))


@pytest.fixture(scope="module")
def full(report_of: Callable[..., BatteryReport]) -> BatteryReport:
    return report_of(("none", "be", "nill", "ls2", "rc"), with_all=True)


@pytest.fixture(scope="module")
def source(full: BatteryReport) -> str:
    return battery.page(full, battery.draw_pictures(full))


def test_the_page_is_one_file_that_refers_to_nothing_outside(source: str) -> None:
    page = Page(source)
    references = [
        value or ""
        for _, attributes in page.tags
        for name, value in attributes.items()
        if name in REFERRING
    ]
    assert len(references) == 8
    assert all(value.startswith("data:image/svg+xml;base64,") for value in references)
    assert not page.all("script") and not page.all("link")
    assert "url(" not in page.style and "@import" not in page.style
    assert len(page.all("caption")) == len(page.all("table"))
    assert all(len(tag["alt"] or "") > 60 for tag in page.all("img"))
    for reference in references:
        svg = base64.b64decode(reference.partition(",")[2], validate=True)
        assert ElementTree.fromstring(svg).tag.endswith("}svg")
    assert len(source) < 3_000_000


def test_the_page_holds_the_figures_of_every_run(full: BatteryReport, source: str) -> None:
    text = Page(source).text
    for run in full.runs:
        figures = run.figures
        assert f"{run.label} {figures['mi_bits']:.3f} {figures['mi_binary_bits']:.3f}" in text
        assert f"{figures['appliances']['grid_blurred']['f1']:.2f}" in text
        assert f"{figures['cost']['after_micro'] / 1e6:,.2f} EUR" in text
    assert "Energy balance 0 Ws off" in text


def test_the_page_says_what_stepping_does_not_hide(source: str) -> None:
    text = Page(source).text
    assert "Stepping does not hide large appliances from that adversary" in text
    assert "no proof of privacy" in text and "research prototype" in text


def test_the_adversary_who_allows_for_steps_finds_more_behind_stepping(full: BatteryReport) -> None:
    stepped = full.run("ls2")
    assert stepped is not None
    scores = stepped.figures["appliances"]
    assert scores["grid_blurred"]["f1"] > scores["grid"]["f1"]
    assert scores["grid_blurred"]["f1"] > 3 * scores["grid_blurred"]["chance_f1"]
    assert scores["demand"]["f1"] > scores["grid_blurred"]["f1"]


def test_nothing_is_told_by_less_than_nothing(full: BatteryReport) -> None:
    run = full.runs[0]
    rounded = replace(run, figures={**run.figures, "mi_binary_bits": -1e-17})
    assert battery.measure_rows([rounded])[0][2] == "0.000"


@pytest.mark.parametrize("named", [True, False])
def test_only_a_row_without_a_battery_is_said_to_run_out_of_the_frame(
    report_of: Callable[..., BatteryReport], named: bool
) -> None:
    report = report_of(("none", "ls2") if named else ("lc", "ls2"))
    caption = battery_compare.plan(report).caption
    assert ("out of the frame" in caption) == named


def test_a_single_run_has_its_figures_in_the_first_table(
    report_of: Callable[..., BatteryReport],
) -> None:
    report = report_of()
    figures = report.runs[0].figures
    page = page_of(report)
    assert f"Changes tell {figures['mi_bits']:.3f} bits a sample" in page.text
    assert "the battery's books are exact" in page.text
    assert len(page.all("img")) == 1 and "Every figure" not in page.text


def test_hostile_names_stay_text(report_of: Callable[..., BatteryReport]) -> None:
    report = report_of(home=HOSTILE)
    report.command = HOSTILE
    page = page_of(report)
    assert not page.all("script") and len(page.all("img")) == 1
    assert page.text.count(HOSTILE) >= 2


def test_gaps_losses_and_no_battery_at_all_can_be_shown(
    report_of: Callable[..., BatteryReport],
) -> None:
    odd = report_of(
        ("none", "be:idle", "smooth"),
        missing=tuple(range(300)) + (2000, 2001),
        charge_efficiency_permille=900,
    )
    text = page_of(odd).text
    assert "2 gaps" in text and "302 steps" in text
    alone = report_of(("none",))
    drawn = battery.draw_pictures(alone, FORMS[:1])
    assert "Without a battery the meter sees all" in drawn[0].finding
    odd.demand_w[100:200] = np.nan
    assert all(one.png.startswith(b"\x89PNG") for one in battery.draw_pictures(odd, FORMS[:1]))


def test_the_day_that_is_shown_is_whole_and_usual() -> None:
    demand = np.zeros(5 * 1440, dtype=np.int64)
    for day, changes in enumerate((9, 40, 20, 30, 99)):
        demand[day * 1440 : day * 1440 + 2 * changes : 2] = 500
    missing = np.zeros(demand.size, dtype=np.bool_)
    record = Record("load.csv", "a", NEW_YEAR, 60, 60, demand, missing, 0)
    assert day_window(record) == Window(3 * 1440, 4 * 1440)
    assert day_window(record, warm_up_s=4 * 86400).first == 4 * 1440
    assert day_window(record, day=date(2023, 1, 2)).first == 1440
    missing[3 * 1440 + 5] = True
    assert day_window(record).first == 2 * 1440
    later = Record("load.csv", "a", NEW_YEAR + 3600, 60, 60, demand, missing, 0)
    assert later.clock(day_window(later).first).endswith("T00:00:00")
    short = Record("load.csv", "a", NEW_YEAR, 60, 60, demand[:99], missing[:99], 0)
    assert day_window(short) == Window(0, 99)
    with pytest.raises(HushmeterError, match="is not in load.csv"):
        day_window(record, day=date(2024, 1, 1))
