"""Outputs: whole or not at all, in folders that are made alike for every command."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from hushmeter.cli import main
from hushmeter.errors import HushmeterError
from hushmeter.outputs import Outputs, make_folder, write_whole


def test_missing_folders_are_made(tmp_path: Path) -> None:
    with Outputs() as outputs:
        outputs.put(tmp_path / "a" / "b" / "one.txt", b"1")
        outputs.put(tmp_path / "a" / "c" / "two.txt", b"2")
    write_whole(tmp_path / "d" / "three.txt", b"3")
    assert (tmp_path / "a" / "b" / "one.txt").read_bytes() == b"1"
    assert (tmp_path / "a" / "c" / "two.txt").read_bytes() == b"2"
    assert (tmp_path / "d" / "three.txt").read_bytes() == b"3"


def test_what_was_made_goes_again_after_an_error_and_the_rest_stays(tmp_path: Path) -> None:
    kept = tmp_path / "a" / "kept.txt"
    write_whole(kept, b"kept")
    with pytest.raises(ZeroDivisionError), Outputs() as outputs:
        outputs.put(tmp_path / "a" / "b" / "c" / "one.txt", b"1")
        raise ZeroDivisionError
    assert list(tmp_path.rglob("*")) == [kept.parent, kept]


def test_a_folder_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HushmeterError, match="cannot be written"):
        make_folder(tmp_path / "file" / "below")
    with pytest.raises(HushmeterError, match="cannot be written"):
        make_folder(tmp_path / "file")


@pytest.mark.parametrize("command", ["users", "one", "hide", "home", "homes"])
def test_commands_make_the_folder_of_what_they_write(tmp_path: Path, command: str) -> None:
    homes, load = tmp_path / "homes.txt", tmp_path / "load.csv"
    homes.write_text("home1 0.9,0.1\nhome2 0.5,0.5\n")
    rows = [
        f"2024-01-0{1 + i // 48}T{i % 48 // 2:02}:{i % 2 * 3}0:00,{i * 7 % 5 * 100}"
        for i in range(144)
    ]
    load.write_text("\n".join(["time,home_0_w", *rows, ""]))
    new = str(tmp_path / "new" / "folder")
    law = ["--capacity", "2", "--out", f"{new}/policy.json"]
    battery = ["--capacity-wh", "500", "--page", f"{new}/page.html"]
    arguments = {
        "users": ["design", "--users", str(homes), "--source-power", "0.2", "--out", new],
        "one": ["design", "--dist", "0.5,0.5", *law],
        "hide": ["hide", "--load", str(load), "--rate-w", "500", *battery],
        "home": ["leakage", "home", "--load", str(load), "--controller", "be", *battery],
        "homes": ["homes", "--homes", "1", "--days", "1", "--step", "60", "--out", f"{new}/h.csv"],
    }[command]
    result = CliRunner().invoke(main, arguments, standalone_mode=False)
    assert result.exit_code == 0, result.output
    assert any(path.is_file() for path in Path(new).iterdir())
