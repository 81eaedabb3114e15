"""The page of runs loads nothing, hides no failure and names what was not run."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from hushmeter.cli import main
from hushmeter.devices import hil_run
from hushmeter.devices.hil_run import Number, Result, Run
from hushmeter.errors import HushmeterError
from hushmeter.report import hil
from hushmeter.report.pictures import board as pictures
from tests.hil.run_kit import TESTS, a_run

HOSTILE = "<script>alert('x')</script>\"--><img src=x onerror=y>"
FAILED = Result("hil/test_a.py::test_bad", "failed", f"AssertionError: {HOSTILE}", 1.0, 1.0)


def later(day: int, **changes: object) -> Run:
    return a_run(began=f"2026-01-{day:02}T03:04:05Z", **changes)


def page_of(runs: list[Run], folder: Path) -> str:
    for number, run in enumerate(runs):
        hil_run.write(run, folder / "runs" / f"{number}.json")
    boards, passed_over = hil.gather([folder / "runs"])
    assert passed_over == []
    hil.render(boards, folder / "report.html")
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    slower = {**a_run().numbers, "slot_ms_for_n_12": Number(15, "ms")}
    other = msgspec.structs.replace(a_run().board, label="shelf")
    runs = [a_run(), later(3, numbers=slower, tests=(*TESTS, FAILED)), later(4, board=other)]
    return page_of(runs, tmp_path_factory.mktemp("page"))


def test_the_page_needs_no_other_file_and_runs_nothing(page: str) -> None:
    assert "<script" not in page and "<link" not in page
    assert "default-src 'none'" in page
    addresses = re.findall(r'(?:src|srcset|href)="([^"]*)"', page)
    assert addresses and all(
        address.startswith("data:image/svg+xml;base64,") for address in addresses
    )
    drawn = [base64.b64decode(address.partition(",")[2]) for address in addresses]
    assert all(b"<svg" in svg and b"<script" not in svg for svg in drawn)


def test_a_failure_is_in_the_title_and_the_headline_with_its_reason(page: str) -> None:
    assert "<title>FAILED" in page
    assert "5 tests ran on 2 boards, 1 FAILED; 4 were not run" in page
    assert "&lt;script&gt;alert" in page
    assert page.index("test_bad") < page.index("test_one"), "what failed comes first"


def test_the_page_says_what_ran_on_what(page: str) -> None:
    for text in ("a machine", "image.uf2", "cd" * 32, "ab" * 32, "micropython 1.24.1", "desk"):
        assert text in page
    assert "level (pin 26 to pin 16) to wiggler" in page
    assert "No run on this page was on silicon" in page


def test_what_was_not_run_is_named_with_the_reason(page: str) -> None:
    for test in TESTS:
        if test.outcome in ("skipped", "not_run"):
            assert test.name.rpartition("::")[2] in page and test.reason in page


def test_figures_have_units_and_their_change(page: str) -> None:
    rows = re.findall(r"<tr><td>(\w+)</td><td>([\d,.]+)</td><td>(\w*)</td><td>([^<]*)</td>", page)
    assert ("slot_ms_for_n_12", "15", "ms", "+50 %") in rows
    assert ("free_heap_bytes", "153,600", "bytes", "same") in rows
    names = [row[0] for row in rows]
    assert names.index("slot_ms_for_n_12") < names.index("slot_ms_for_n_100")


def test_a_run_on_silicon_is_not_called_emulated(tmp_path: Path) -> None:
    real = msgspec.structs.replace(a_run().board, how="silicon", port="/dev/ttyACM0")
    page = page_of([a_run(board=real)], tmp_path)
    assert "No run on this page was on silicon" not in page
    assert "a real board, on /dev/ttyACM0" in page


def test_a_run_of_a_board_that_was_not_at_hand_can_be_shown(tmp_path: Path) -> None:
    skipped = tuple(Result(test.name, "skipped", "no image", 0.0) for test in TESTS)
    bare = a_run(tests=skipped, numbers={}, firmware=None, image=None, interpreter=None)
    page = page_of([bare], tmp_path)
    assert "0 tests ran on 1 board, all passed; 4 were not run" not in page
    assert "nothing ran on 1 board; 4 were not run" in page


def test_a_board_on_which_nothing_ran_is_not_counted_and_is_named(tmp_path: Path) -> None:
    skipped = tuple(Result(test.name, "skipped", "no image", 0.0) for test in TESTS)
    shelf = msgspec.structs.replace(a_run().board, label="shelf")
    page = page_of([a_run(), a_run(board=shelf, tests=skipped)], tmp_path)
    said = "2 tests ran on 1 board, all passed, and nothing ran on shelf; 6 were not run"
    assert said in page and "on 2 boards" not in page


def test_a_trend_needs_two_runs_and_begins_with_the_slot() -> None:
    names = [plan.name for plan in pictures.plans([a_run()])]
    assert names == ["sizes", "times"]
    *_, trends = pictures.plans([a_run(), later(3), later(4)])
    assert trends.name == "trends" and "3 runs of desk" in trends.finding
    assert trends.alt.index("slot for n 12") < trends.alt.index("free heap")
    assert "150 KiB at 3" in trends.alt


def test_files_that_are_no_runs_are_passed_over_in_a_folder_and_refused_by_name(
    tmp_path: Path,
) -> None:
    hil_run.write(a_run(), tmp_path / "run.json")
    (tmp_path / "old.json").write_text('{"check_aes_s": 1.5}')
    boards, passed_over = hil.gather([tmp_path])
    assert len(boards) == 1 and "old.json" in passed_over[0]
    with pytest.raises(HushmeterError, match=r"old\.json: is no run"):
        hil.gather([tmp_path / "old.json"])
    with pytest.raises(HushmeterError, match="there is no run"):
        hil.gather([tmp_path / "empty"])


def test_the_command_tells_the_same_as_json_and_fails_where_a_test_failed(tmp_path: Path) -> None:
    hil_run.write(a_run(), tmp_path / "a.json")
    out = tmp_path / "page.html"
    arguments = ["hil", "report", str(tmp_path), "--out", str(out)]
    told = CliRunner().invoke(main, arguments)
    assert told.exit_code == 0, told.output
    assert "not run: hil/test_b.py::test_four: nightly: long" in told.output and out.exists()
    hil_run.write(later(5, tests=(FAILED,)), tmp_path / "b.json")
    told = CliRunner().invoke(main, [*arguments, "--json"])
    assert told.exit_code == 1
    (board,) = json.loads(told.stdout)["boards"]
    assert [run["outcomes"]["failed"] for run in board["runs"]] == [0, 1]
    assert board["trends"]["slot_ms_for_n_12"] == {
        "unit": "ms",
        "began": ["2026-01-02T03:04:05Z", "2026-01-05T03:04:05Z"],
        "values": [10, 10],
    }


def test_a_page_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    hil_run.write(a_run(), tmp_path / "a.json")
    (tmp_path / "file").touch()
    told = CliRunner().invoke(
        main, ["hil", "report", str(tmp_path / "a.json"), "--out", str(tmp_path / "file" / "x")]
    )
    assert told.exit_code == 2 and "cannot be written" in told.output


def test_without_a_checkout_run_says_what_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "boards").mkdir()
    monkeypatch.setattr("hushmeter.cli.hil.boards_dir", lambda: tmp_path / "boards")
    told = CliRunner().invoke(main, ["hil", "run", "--board", "unix"])
    assert told.exit_code == 2
    assert "the board suite is not in the wheel" in told.output and "checkout" in told.output
