"""The report of a street's run: one page that loads nothing and hides nothing."""

from __future__ import annotations

import base64
import io
import math
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from hushmeter.errors import HushmeterError
from hushmeter.report import street
from hushmeter.report.pictures import FORMS, Picture, draw_all
from hushmeter.report.street import StreetReport, render
from hushmeter.report.table import insecure_banner, summary_table

MakeReport = Callable[..., StreetReport]
HOSTILE = "<script>alert('$x$')</script>\"--><img src=x onerror=y>"
PICTURES = ("home", "total", "words", "dropouts")
REFERRING = {"src", "srcset", "href", "xlink:href", "data", "poster", "action", "background"}


class Page(HTMLParser):
    """The page's tags with their attributes, and its text without style."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.style = ""
        self.text = ""
        self._open = ""
        self.feed(source)
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open = tag

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        if self._open == "style":
            self.style += data
        else:
            self.text += data + " "

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def without_pictures() -> Callable[[StreetReport], Page]:
    """The page alone, for what pictures do not change."""
    return lambda report: Page(street._page(report, []))


@pytest.fixture
def page_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[StreetReport], Page]:
    """The written page; each picture is drawn in one form and stands for all four."""

    def drawn_once(report: StreetReport) -> list[Picture]:
        pictures = draw_all(report, FORMS[2:3])
        return [
            replace(picture, svg={form.name: picture.svg["narrow-light"] for form in FORMS})
            for picture in pictures
        ]

    def written(report: StreetReport) -> Page:
        monkeypatch.setattr(street, "draw_all", drawn_once)
        render(report, tmp_path / "report.html")
        return Page((tmp_path / "report.html").read_text(encoding="utf-8"))

    return written


@pytest.fixture(scope="module")
def files(street_report: MakeReport, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The files of the usual run, in all forms."""
    return render(street_report(), tmp_path_factory.mktemp("usual") / "deep" / "report.html")


def test_the_page_is_one_file_that_refers_to_nothing_outside(files: list[Path]) -> None:
    page = Page(files[-1].read_text(encoding="utf-8"))
    references = [
        value or ""
        for _, attributes in page.tags
        for name, value in attributes.items()
        if name in REFERRING
    ]
    assert len(references) == 16
    assert all(value.startswith("data:image/svg+xml;base64,") for value in references)
    assert not page.all("script") and not page.all("link") and not page.all("iframe")
    assert "url(" not in page.style and "@import" not in page.style
    policies = [tag.get("content") for tag in page.all("meta") if "http-equiv" in tag]
    assert policies == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def test_every_picture_in_the_page_is_whole_and_refers_to_nothing_outside(
    street_report: MakeReport, page_of: Callable[[StreetReport], Page]
) -> None:
    page = page_of(street_report(home_name=HOSTILE, insecure=(HOSTILE,)))
    sources = [tag["srcset"] for tag in page.all("source")]
    sources += [tag["src"] for tag in page.all("img")]
    for source in sources:
        svg = base64.b64decode((source or "").partition(",")[2], validate=True)
        root = ElementTree.fromstring(svg)
        assert root.tag.endswith("}svg")
        for element in root.iter():
            assert not element.tag.endswith("}script")
            for name, value in element.attrib.items():
                if name.endswith("href"):
                    assert value.startswith(("#", "data:image/png;base64,"))
                assert not re.search(r"url\((?!#)", value)


def test_each_picture_has_an_alternative_text_a_caption_and_a_png_beside_the_page(
    files: list[Path],
) -> None:
    page = Page(files[-1].read_text(encoding="utf-8"))
    assert [path.name for path in files] == [f"{name}.png" for name in PICTURES] + ["report.html"]
    assert set(files[0].parent.iterdir()) == set(files)
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in files[:-1])
    assert [len(tag["alt"] or "") > 60 for tag in page.all("img")] == [True] * 4
    assert len(page.all("figcaption")) == 4
    assert len(page.all("caption")) == len(page.all("table"))


def test_the_page_holds_the_numbers_of_the_summary(
    street_report: MakeReport, without_pictures: Callable[[StreetReport], Page]
) -> None:
    report = street_report()
    text = without_pictures(report).text
    summary = report.summary
    assert "Slots recovered 46 " in text
    assert "Noise 1,667 Wh" in text
    assert f"Mean error of a total {summary['mean_abs_error_wh']:,.0f} Wh" in text
    assert f"expected {summary['expected_abs_error_wh']:,.0f} Wh" in text
    assert f"inside the 95 % band {report.inside_band()} of 143" in text
    assert f"Readings clipped {summary['clipped_readings']} " in text
    assert f"Messages refused {summary['messages_refused']} " in text
    assert summary["transcript_sha256"] in text
    assert report.command in text
    for name, value in report.settings.items():
        assert f"{name} {value}" in text


def test_the_banner_appears_if_and_only_if_a_mode_is_insecure(
    street_report: MakeReport, without_pictures: Callable[[StreetReport], Page]
) -> None:
    quiet = without_pictures(street_report())
    loud = without_pictures(street_report(insecure=("fixed seed", "small keys")))
    assert not quiet.all("aside") and "Insecure modes in force" not in quiet.text
    assert "does not hold for this run" not in quiet.text
    assert len(loud.all("aside")) == 1
    assert "Insecure modes in force fixed seed small keys" in loud.text
    assert "INSECURE MODES" in loud.text.partition("–")[0]
    assert "does not hold for this run" in loud.text


def test_a_picture_alone_names_the_insecure_modes(street_report: MakeReport) -> None:
    loud = draw_all(street_report(insecure=("fixed seed",)), FORMS[:1])
    quiet = draw_all(street_report(), FORMS[:1])
    for with_mode, without in zip(loud, quiet, strict=True):
        assert b"INSECURE MODES IN FORCE: fixed seed" in with_mode.svg["wide-light"]
        assert b"INSECURE" not in without.svg["wide-light"]


def test_hostile_texts_stay_text(
    street_report: MakeReport, without_pictures: Callable[[StreetReport], Page]
) -> None:
    report = street_report(
        home_name=HOSTILE,
        insecure=(HOSTILE,),
        settings={HOSTILE: HOSTILE},
        timings={HOSTILE: 1.0},
        command=HOSTILE,
    )
    page = without_pictures(report)
    assert not page.all("script") and not page.all("img")
    assert page.text.count(HOSTILE) >= 5


def test_a_hostile_home_name_stays_text_in_the_heading(
    street_report: MakeReport, page_of: Callable[[StreetReport], Page]
) -> None:
    page = page_of(street_report(home_name=HOSTILE))
    assert f"One home: {HOSTILE}" in page.text
    assert not page.all("script")
    assert len(page.all("img")) == 4


def test_void_and_late_slots_are_shown(
    street_report: MakeReport, page_of: Callable[[StreetReport], Page]
) -> None:
    page = page_of(street_report())
    assert "Void slots 1 slot 60: no total" in page.text
    assert "Slots completed late 1 slot 76" in page.text
    assert "60 2007-02-01 10:00 7 died before the answer void" in page.text
    alternatives = [tag["alt"] or "" for tag in page.all("img")]
    assert "Void slots: 60." in alternatives[1]
    assert "Completed when the meter returned: 76" in alternatives[3]


def test_a_run_without_noise_is_called_exact(
    street_report: MakeReport, page_of: Callable[[StreetReport], Page]
) -> None:
    page = page_of(street_report(epsilon=math.inf))
    assert "Noise off totals are exact" in page.text
    assert "exact total of 143 slots" in page.text
    assert "95 of 100" not in page.text


def test_words_that_do_not_look_like_noise_are_called_so(
    street_report: MakeReport, page_of: Callable[[StreetReport], Page]
) -> None:
    bare = [[100 * slot + meter for meter in range(12)] for slot in range(144)]
    page = page_of(street_report(words=bare))
    assert "DO NOT look like noise" in page.text
    assert "do NOT look like noise" in (page.all("img")[2]["alt"] or "")
    assert "does not hold for this run" in page.text


@pytest.mark.parametrize(
    "changes",
    [
        {"meters": 3, "slots": 3, "dropouts": False},
        {"meters": 200, "slots": 12},
        {"battery": False, "dropouts": False},
        {"slots": 3 * 144},
    ],
)
def test_small_large_and_plain_streets_are_rendered_too(
    street_report: MakeReport, page_of: Callable[[StreetReport], Page], changes: dict[str, int]
) -> None:
    report = street_report(**changes)
    page = page_of(report)
    assert f"Meters {report.meters} " in page.text
    assert len(page.all("img")) == 4


def test_a_run_whose_slots_are_all_void_is_rendered(
    street_report: MakeReport, page_of: Callable[[StreetReport], Page]
) -> None:
    nothing = [None] * 144
    report = street_report(dropouts=False)
    summary = report.summary | {
        "true_total_wh": nothing,
        "noisy_total_wh": nothing,
        "mean_abs_error_wh": None,
        "expected_abs_error_wh": None,
        "void_slots": list(range(144)),
    }
    silent = [[None] * 12] * 144
    void = street_report(
        summary=summary,
        band_wh=nothing,
        words=silent,
        reading_wh=nothing,
        slot_status=["void"] * 144,
        events=[],
    )
    page = page_of(void)
    assert "Void slots 144 slot 0 to 143" in page.text
    assert "Masked words not judged" in page.text


def test_the_same_run_gives_the_same_bytes(
    street_report: MakeReport, files: list[Path], tmp_path: Path
) -> None:
    again = render(street_report(), tmp_path / "report.html")
    for one, other in zip(files, again, strict=True):
        assert one.read_bytes() == other.read_bytes()


def test_a_page_that_cannot_be_written_leaves_the_earlier_one(
    street_report: MakeReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.html"
    path.write_text("earlier")

    def disk_full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", disk_full)
    monkeypatch.setattr(street, "draw_all", lambda report: [])
    with pytest.raises(HushmeterError, match="No space left on device"):
        render(street_report(), path)
    assert path.read_text() == "earlier"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"summary": {}}, "lacks meters"),
        ({"band_wh": [1.0]}, "band_wh has 1 entries for 144 slots"),
        ({"words": [[1]] * 144}, "one column for each of 12"),
        ({"home_grid_w": np.zeros(3)}, "one and the same length"),
        ({"home_times_s": np.arange(1440) + 1e9}, "seconds within the run"),
        ({"slot_status": ["fine"] * 144}, "slot status is one of"),
        ({"events": [(0, 99, "came back")]}, "no such event"),
        ({"home_column": 12}, "home_column is 0 to 11"),
    ],
)
def test_a_report_that_does_not_fit_together_is_refused(
    street_report: MakeReport, changes: dict[str, object], complaint: str
) -> None:
    with pytest.raises(HushmeterError, match=complaint):
        street_report(**changes)


def test_the_terminal_table_holds_the_same_rows_and_reads_no_markup(
    street_report: MakeReport,
) -> None:
    report = street_report(insecure=("[bold]fixed seed[/bold]",))
    console = Console(file=io.StringIO(), width=120, color_system=None)
    console.print(insecure_banner(report))
    console.print(summary_table(report))
    printed = console.file.getvalue()
    assert "INSECURE MODES IN FORCE" in printed
    assert "[bold]fixed seed[/bold]" in printed
    assert "slot 60: no total" in printed
    for row in street.summary_rows(report):
        assert row.label in printed
    assert insecure_banner(street_report()) is None
