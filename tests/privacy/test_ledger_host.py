"""``hushmeter ledger``: read without a trace, exact, and refused in one line where it cannot be."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from hushmeter.cli import main
from hushmeter.errors import HushmeterError
from hushmeter.privacy.disclosures import FILE, Disclosure, Disclosures
from hushmeter.privacy.exposure import exposure, home_slots
from hushmeter.privacy.ledger import home_folder, stored

SLOTS = 8
KEYS = {"epsilon_per_slot", "epsilon_window", "slots", "cap", "disclosures"}


def ran(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def refusal(*words: object) -> str:
    """The one line with which a command refuses."""
    result = ran(*words)
    assert result.exit_code == 2
    assert result.stdout == ""
    lines = [line for line in result.stderr.splitlines() if not line.startswith("hint: ")]
    assert len(lines) == 1 and lines[0].startswith("error: ")
    return lines[0]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two days of three synthetic homes in slots of six hours, and the truth beside them."""
    folder = tmp_path_factory.mktemp("ledger")
    homes = ["homes", "--homes", 3, "--days", 2, "--seed", 4, "--out", folder / "homes.csv"]
    assert ran(*homes, "--truth", folder / "truth.json", "--json").exit_code == 0
    street = ["emulate", "--meters", 3, "--slots", SLOTS, "--slot-minutes", 360]
    street += ["--epsilon", "3/2", "--privacy-cap", "6/1d", "--load", folder / "homes.csv"]
    result = ran(*street, "--out", folder / "out", "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["over_budget"] == [0, 0, 0, 3, 0, 0, 0, 3]
    return folder


def files(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file's content and time of change."""
    return {
        path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in sorted(folder.iterdir())
    }


def test_the_account_of_an_emulated_meter_is_exact(out: Path) -> None:
    result = ran("ledger", "--meter", 2, "--from", out / "out", "--json")
    assert result.exit_code == 0, result.stderr
    said: dict[str, Any] = json.loads(result.stdout)
    assert said.keys() >= KEYS
    assert (said["epsilon_per_slot"], said["epsilon_window"], said["epsilon_total"]) == (1.5, 6, 12)
    assert (said["slots"], said["cap"], said["cap_reached"]) == (SLOTS, 6, True)
    assert said["exact"]["epsilon_per_slot"] == "3/2"
    assert [day["epsilon"] for day in said["days"]] == [6, 6]
    assert said["disclosures"] == []


def test_reading_an_account_leaves_the_storage_as_it_was(out: Path) -> None:
    home = home_folder(out / "out", 1)
    # A torn record at the end would be cleaned by the meter; a reader must leave even that.
    with open(home / "journal.bin", "ab") as f:
        f.write(b"\x02")
    before = files(home)
    account = stored(home)
    assert ran("ledger", "--from", home).exit_code == 0
    assert files(home) == before
    assert account.epsilon_total == Fraction(12)


def test_the_page_holds_account_hours_appliances_and_disclosures(out: Path) -> None:
    home = home_folder(out / "out", 3)
    Disclosures(home).add("bill", 1, 8, "period <1> under tariff 5f2c")
    page = out / "page.html"
    result = ran(
        "ledger", "--meter", 3, "--from", out / "out", "--truth", out / "truth.json",
        "--page", page, "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert [entry["what"] for entry in json.loads(result.stdout)["disclosures"]] == [
        "period <1> under tariff 5f2c"
    ]
    text = page.read_text()
    for wanted in ("Cap reached", "period &lt;1&gt;", "Lighting", "Day by day", "Each 6 hours"):
        assert wanted in text
    assert "<script" not in text and "http://" not in text.replace("http://www.w3.org", "")


def test_hours_spend_the_worst_case_and_show_less(out: Path) -> None:
    slots = home_slots(home_folder(out / "out", 1), 1)
    assert slots is not None
    found = exposure(slots, 1, out / "truth.json")
    assert found.spent.tolist() == [1.5] * SLOTS
    assert np.all(found.shown <= found.spent) and found.shown.sum() > 0
    counted_wh = np.minimum(slots.readings_wh, slots.cap_wh).sum()
    assert found.shown.sum() == pytest.approx(1.5 * counted_wh / slots.cap_wh)
    (day,) = [row for row in found.periods if row.hours == 24]
    assert (day.spent, day.homes) == (6, 2)
    assert day.mean == pytest.approx(found.shown.sum() / 2)
    whole = {row.what: row for row in found.appliances if row.hours == 24}
    assert sum(row.mean * row.homes for row in whole.values()) <= found.shown.sum()
    assert "Refrigerator" in whole or "Lighting" in whole


def test_a_truth_of_another_load_is_refused(out: Path) -> None:
    other = out / "other.json"
    told = json.loads((out / "truth.json").read_text())
    other.write_text(json.dumps({**told, "start": "2024-05-05"}))
    words = ["ledger", "--meter", 1, "--from", out / "out", "--page", out / "no.html"]
    assert "do not belong together" in refusal(*words, "--truth", other)
    assert not (out / "no.html").exists()


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["--meter", "9", "--from", "{out}"], "of meters 1 to 3"),
        (["--from", "{out}"], "name one with --meter"),
        (["--meter", "2", "--from", "{out}/street/meter-0001"], "meter 1, not of 2"),
        (["--meter", "1", "--from", "{out}/nowhere"], "is not there"),
        (["--meter", "1", "--from", "{out}/report.html"], "is a file"),
        (["--meter", "1", "--from", "{out}/.."], "holds no meter's storage"),
        (["--meter", "0", "--from", "{out}"], "--meter"),
        (["--meter", "1"], "--from"),
        (["--meter", "1", "--from", "{out}", "--truth", "{out}/run.json"], "--page"),
    ],
)
def test_bad_input_is_one_line_and_nothing_else(out: Path, words: list[str], wanted: str) -> None:
    said = refusal("ledger", *[word.format(out=out / "out") for word in words], "--json")
    assert wanted in said


def test_a_damaged_journal_is_refused_and_named(out: Path, tmp_path: Path) -> None:
    home = home_folder(out / "out", 2)
    for name in ("config.json", "journal.bin"):
        (tmp_path / name).write_bytes((home / name).read_bytes())
    data = bytearray((tmp_path / "journal.bin").read_bytes())
    data[40] ^= 1
    (tmp_path / "journal.bin").write_bytes(data)
    assert "journal.bin" in refusal("ledger", "--from", tmp_path)
    (tmp_path / "journal.bin").unlink()
    assert "never started" in refusal("ledger", "--from", tmp_path)


@pytest.mark.parametrize("cap", ["", "6", "6/1", "0/3d", "6/0d", "6/93d", "-1/3d", "1/2/xd", "/3d"])
def test_a_cap_that_is_none_is_refused(cap: str) -> None:
    said = refusal("emulate", "--meters", 3, "--slots", 1, "--privacy-cap", cap)
    assert "an epsilon over 1 to 92 days, such as 4320/30d" in said


def test_a_disclosure_is_on_the_disk_when_it_is_entered(tmp_path: Path) -> None:
    entered = Disclosures(tmp_path).add("dispute", 7, 7, "to the utility", at_s=5)
    assert entered == Disclosure("dispute", 7, 7, "to the utility", 5)
    assert Disclosures(tmp_path).all() == [entered]
    Disclosures(tmp_path).add("dispute", 7, 7, "to the utility", at_s=5)
    assert Disclosures(tmp_path).all() == [entered, entered]


def test_entries_survive_a_cut_at_any_byte_of_the_next(tmp_path: Path) -> None:
    listed, path = Disclosures(tmp_path), tmp_path / FILE
    first = listed.add("bill", 1, 9, "one")
    before = path.stat().st_size
    listed.add("bill", 10, 19, "two")
    data = path.read_bytes()
    for size in range(before, len(data)):
        path.write_bytes(data[:size])
        assert listed.all() == [first]
        third = listed.add("reissue", 1, 9, "three")
        assert listed.all() == [first, third]


def test_entries_of_many_writers_are_all_there(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(
            pool.map(lambda i: Disclosures(tmp_path).add("market", i, i, "both curves"), range(40))
        )
    assert sorted(entry.first_slot for entry in Disclosures(tmp_path).all()) == list(range(40))


@pytest.mark.parametrize(
    ("entry", "wanted"),
    [
        (("gift", 1, 2, "x"), "kind must be one of bill"),
        (("bill", 3, 2, "x"), "the last one not before the first"),
        (("bill", -1, 2, "x"), "slots must be from 0 on"),
        (("bill", True, 2, "x"), "whole numbers"),
        (("bill", 1, 2, ""), "what must be one line"),
        (("bill", 1, 2, "a\nb"), "what must be one line"),
    ],
)
def test_what_is_no_disclosure_is_refused_and_not_entered(
    tmp_path: Path, entry: tuple[Any, ...], wanted: str
) -> None:
    with pytest.raises(HushmeterError, match=wanted):
        Disclosures(tmp_path).add(*entry)
    assert not (tmp_path / FILE).exists()


def test_a_damaged_list_is_refused_by_line_and_never_added_to(tmp_path: Path) -> None:
    listed, path = Disclosures(tmp_path), tmp_path / FILE
    listed.add("bill", 1, 9, "one")
    path.write_bytes(path.read_bytes() + b"{}\n")
    before = path.read_bytes()
    for attempt in (listed.all, lambda: listed.add("bill", 1, 9, "two")):
        with pytest.raises(HushmeterError, match="line 2"):
            attempt()
    assert path.read_bytes() == before


def test_a_list_that_cannot_be_written_refuses_the_disclosure(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    with pytest.raises(HushmeterError) as refused:
        Disclosures(tmp_path).add("bill", 1, 9, "one")
    assert "cannot be written" in refused.value.message
    assert refused.value.hint == "make room; nothing was disclosed"
