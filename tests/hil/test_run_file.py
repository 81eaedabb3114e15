"""The file of a run: whole, readable again, with units, and refused where it is something else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hushmeter.devices import hil_run
from hushmeter.errors import HushmeterError
from tests.hil.run_kit import a_run


def test_a_run_comes_back_as_it_was_written(tmp_path: Path) -> None:
    run = a_run()
    hil_run.write(run, tmp_path / "deep" / "run.json")
    assert hil_run.read(tmp_path / "deep" / "run.json") == run
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["run.json"]


def test_the_keys_of_a_run_are_the_documented_ones(tmp_path: Path) -> None:
    hil_run.write(a_run(), tmp_path / "run.json")
    found = json.loads((tmp_path / "run.json").read_text())
    document = (Path(__file__).resolve().parents[2] / "docs" / "hil.md").read_text()
    keys = set(found) | {
        f"{outer}.{inner}" for outer in found if outer in _TABLES for inner in found[outer]
    }
    keys |= {f"tests.{key}" for key in found["tests"][0]}
    assert sorted(key for key in keys if f"`{key}`" not in document) == []


_TABLES = ("host", "board", "firmware", "image", "interpreter", "wiring", "choice")


def test_a_key_that_a_later_version_added_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    hil_run.write(a_run(), path)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"weather": "fine"}))
    assert hil_run.read(path) == a_run()


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (b"not JSON", "is no run of the board suite"),
        (b"[]", "is no run of the board suite"),
        (b'{"check_aes_s": 1.5}', "is no run of the board suite"),
        (b'{"schema": 1}', "is no run of the board suite"),
        (b'{"schema": 2}', "has schema 2; this hushmeter reads schema 1"),
        (b"\xff\xfe", "is no run of the board suite"),
    ],
)
def test_another_file_is_refused_by_name(tmp_path: Path, content: bytes, wanted: str) -> None:
    path = tmp_path / "other.json"
    path.write_bytes(content)
    with pytest.raises(HushmeterError) as caught:
        hil_run.read(path)
    assert wanted in caught.value.message and "other.json" in caught.value.message


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("slot_ms_for_n_12", "ms"),
        ("check_aes_s", "s"),
        ("free_heap_bytes_for_n_100", "bytes"),
        ("drift_ppb", "ppb"),
        ("power_cuts", ""),
        ("worst_late_ms_with_slots", "ms"),
    ],
)
def test_a_figures_unit_is_the_one_in_its_name(name: str, unit: str) -> None:
    assert hil_run.unit_of(name) == unit


def test_the_firmwares_digest_depends_on_names_sizes_and_contents_alone() -> None:
    files = {"a": b"1", "b": b"23"}
    digest = hil_run.files_digest(files)
    assert digest == hil_run.files_digest(dict(reversed(files.items())))
    others = [
        {"a": b"1"},
        {"a": b"12", "b": b"3"},
        {"a": b"1", "c": b"23"},
        {"a": b"1", "b": b"24"},
    ]
    assert digest not in [hil_run.files_digest(other) for other in others]
    assert hil_run.files_digest({}) == (
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    ), "SHA-256 of nothing, FIPS 180-4"
