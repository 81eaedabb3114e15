"""Meters' interpreter is found in a stated order, and one that will not do is named."""

import subprocess
import sys
from pathlib import Path

import pytest

from hushmeter.assets import micropython_environment
from hushmeter.emulate import interpreter
from hushmeter.emulate.interpreter import VARIABLE, Interpreter, find_micropython
from hushmeter.errors import HushmeterError


@pytest.fixture(scope="module")
def real() -> Interpreter:
    """The interpreter of this installation; the tests below give it other places and names."""
    return find_micropython()


@pytest.fixture
def nothing_around(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No variable, an empty folder as PATH, and no package."""
    bin_dir = tmp_path / "bin"
    bin_dir.mkdir()
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("PATH", str(bin_dir))
    monkeypatch.setattr(interpreter, "_packaged_command", lambda: None)
    return bin_dir


def fake(path: Path, output: str, code: int = 0) -> Path:
    """A command that is no MicroPython but claims this."""
    path.write_text(f"#!/bin/sh\necho '{output}'\nexit {code}\n")
    path.chmod(0o755)
    return path


def test_the_variable_comes_first(
    monkeypatch: pytest.MonkeyPatch, nothing_around: Path, tmp_path: Path
) -> None:
    fake(nothing_around / "micropython", "micropython 1 26 0")
    named = fake(tmp_path / "mine", "micropython 1 25 0")
    monkeypatch.setenv(VARIABLE, str(named))
    assert find_micropython() == Interpreter(named, VARIABLE, "1.25.0")


def test_the_path_comes_before_the_package(
    monkeypatch: pytest.MonkeyPatch, nothing_around: Path, tmp_path: Path
) -> None:
    on_path = fake(nothing_around / "micropython", "micropython 1 26 0 preview")
    packaged = fake(tmp_path / "packaged", "micropython 1 27 0")
    monkeypatch.setattr(interpreter, "_packaged_command", lambda: packaged)
    assert find_micropython() == Interpreter(on_path, "PATH", "1.26.0-preview")


def test_the_package_is_found_where_its_folder_is_not_on_the_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = find_micropython()
    assert found.origin == f"package {interpreter.PACKAGE}"
    assert found.path.is_absolute() and found.path.is_file()


def test_an_old_one_on_the_path_is_passed_over_and_remembered(
    monkeypatch: pytest.MonkeyPatch, nothing_around: Path, tmp_path: Path
) -> None:
    fake(nothing_around / "micropython", "micropython 1 19 1")
    packaged = fake(tmp_path / "packaged", "micropython 1 27 0")
    monkeypatch.setattr(interpreter, "_packaged_command", lambda: packaged)
    found = find_micropython()
    assert found.path == packaged
    assert len(found.passed_over) == 1
    assert "1.19.1; 1.24 or later" in found.passed_over[0]


def test_without_any_the_error_says_how_to_get_one(nothing_around: Path) -> None:
    with pytest.raises(HushmeterError, match="no MicroPython interpreter was found") as caught:
        find_micropython()
    assert "hushmeter[emulation]" in (caught.value.hint or "")
    assert VARIABLE in (caught.value.hint or "")


def test_a_variable_that_names_nothing_is_an_error(
    monkeypatch: pytest.MonkeyPatch, nothing_around: Path, tmp_path: Path
) -> None:
    fake(nothing_around / "micropython", "micropython 1 26 0")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "absent"))
    with pytest.raises(HushmeterError, match=f"{VARIABLE} names '.*absent'"):
        find_micropython()


@pytest.mark.parametrize(
    ("output", "code", "reason"),
    [
        ("cpython 3 11 0", 0, "is not MicroPython"),
        ("", 0, "is not MicroPython"),
        ("micropython 1 26 0", 3, "not a MicroPython fit for meters"),
        ("micropython 1 19 1", 0, "1.24 or later"),
        ("micropython one two", 0, "is not MicroPython"),
    ],
)
def test_a_variable_that_names_something_else_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, output: str, code: int, reason: str
) -> None:
    named = fake(tmp_path / "odd", output, code)
    monkeypatch.setenv(VARIABLE, str(named))
    with pytest.raises(HushmeterError, match=reason) as caught:
        find_micropython()
    assert str(named) in caught.value.message


def test_a_file_that_cannot_be_run_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    named = tmp_path / "noise"
    named.write_bytes(b"\x00\x01\x02")
    named.chmod(0o755)
    monkeypatch.setenv(VARIABLE, str(named))
    with pytest.raises(HushmeterError, match="noise"):
        find_micropython()


def test_the_python_that_runs_this_is_no_micropython(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, sys.executable)
    with pytest.raises(HushmeterError, match="not a MicroPython fit for meters"):
        find_micropython()


def test_an_interpreter_is_asked_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    named = fake(tmp_path / "once", "micropython 1 25 0")
    monkeypatch.setenv(VARIABLE, str(named))
    first = find_micropython()
    fake(named, "cpython")
    assert find_micropython() == first


def test_the_firmware_and_the_frozen_modules_can_be_imported(
    real: Interpreter, tmp_path: Path
) -> None:
    done = subprocess.run(
        [str(real.path), "-c", "import asyncio, hushfw; print(hushfw.__version__)"],
        capture_output=True,
        cwd=tmp_path,
        env=micropython_environment(),
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().count(".") == 2
