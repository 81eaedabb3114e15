"""The board benchmark runs, names what it measured on, and hides nothing that went wrong."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from hushmeter.devices.boards import Flash
from hushmeter.emulate.interpreter import find_micropython
from hushmeter.errors import HushmeterError
from tools.bench_board import show
from tools.bench_board.figures import Add, Failure, Row, collect
from tools.bench_board.life import wear

ROOT = Path(__file__).resolve().parents[2]
ROW_KEYS = {
    "topic",
    "case",
    "members",
    "unit",
    "median",
    "mean",
    "min",
    "max",
    "repeats",
    "note",
}
CASES = {
    "Firmware": {".py", ".mpy", ".py, import", ".mpy, import", ".mpy, stays on the heap"},
    "Start": {"first boot to hello", "later boot to hello, enrolled"},
    "Enrolment": {"roster", "roster checked, keys derived", "whole"},
    "Report": {"end of slot to report", "end of a day's first slot to report"},
    "Answer": {"announcement to answer"},
    "Free heap": {"after boot, not collected", "after enrolment", "after a report"},
    "Wire": {"report", "answer", "a slot, meter to host", "a slot, host to meter"},
    "Flash": {"pairs.bin", "pairs.bin, by partner", "keys-*.bin, a day", "roster-*.bin"},
    "Parts of the work": {
        "X25519 agreement",
        "Ed25519 verification",
        "noise share",
        "journal append",
        "members checked",
        "key file derived",
        "masks of a report, keys read",
        "masks of an answer, keys read",
    },
}
FLASH = Flash(bytes=8192, erase_bytes=4096, program_bytes=256)


def bench(*arguments: str, out: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "tools.bench_board", *arguments, "--out", str(out)]
    path = ":".join(str(ROOT / folder) for folder in ("firmware", "host"))
    environment = {
        "PYTHONPATH": path,
        "COLUMNS": "200",
        "PATH": "",
        "HUSHMETER_MICROPYTHON": str(find_micropython().path),
    }
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
    )


def test_a_quick_run_prints_its_table_and_keeps_its_figures(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "board.json"
    done = bench("--board", "unix", "--quick", out=out)
    assert done.returncode == 0, done.stdout + done.stderr
    kept = json.loads(out.read_text())
    assert kept["quick"] is True
    assert kept["failures"] == []
    found: dict[str, set[str]] = {}
    for row in kept["rows"]:
        assert set(row) == ROW_KEYS
        assert row["min"] <= row["median"] <= row["max"]
        assert row["members"] in (None, 12)
        found.setdefault(row["topic"], set()).add(row["case"])
    for topic, cases in CASES.items():
        assert cases <= found[topic]
        for text in (topic, *cases):
            assert text in done.stdout
    assert "12 meters" in done.stdout


def test_the_figures_say_which_firmware_ran_on_what(tmp_path: Path) -> None:
    out = tmp_path / "board.json"
    done = bench("--board", "unix", "--quick", "--json", out=out)
    assert done.returncode == 0, done.stderr
    kept = json.loads(done.stdout)
    assert kept == json.loads(out.read_text())
    board = kept["board"]
    assert board["name"] == "unix"
    assert board["emulated"] is True
    assert board["clock"] == "wall"
    assert len(board["interpreter"]["sha256"]) == len(board["firmware"]["sha256"]) == 64
    assert {"cpus", "python", "packages"} <= set(kept["machine"])


@pytest.mark.parametrize("sizes", ["12,x", "3", "1001", "12,-4"])
def test_a_street_of_no_possible_size_is_refused(sizes: str, tmp_path: Path) -> None:
    done = bench("--board", "unix", "--members", sizes, out=tmp_path / "board.json")
    assert done.returncode == 2
    assert "wanted sizes of streets" in done.stderr


def test_an_unknown_board_is_refused_with_those_that_are_known(tmp_path: Path) -> None:
    done = bench("--board", "nonsense", out=tmp_path / "board.json")
    assert done.returncode == 1
    assert "nonsense" in done.stderr and "unix" in done.stderr


def test_what_a_meter_refused_is_a_result_and_so_is_what_came_before() -> None:
    def measure(add: Add) -> None:
        add("Heap", "free", "bytes", [1, 2, 3])
        raise HushmeterError("the meter refused roster_commit (busy): out of memory")

    rows = collect("the enrolment", 1000, measure)
    assert [type(row) for row in rows] == [Row, Failure]
    printed = io.StringIO()
    Console(width=160, file=printed).print(show.table("a board", "simulated", rows))
    text = printed.getvalue()
    assert "2 bytes" in text
    assert "failed: the enrolment, 1,000 meters: the meter refused" in text


def changed(before: bytes, at: int, value: int) -> bytes:
    after = bytearray(before)
    after[at] = value
    return bytes(after)


def test_flash_that_only_lost_bits_was_programmed_and_not_erased() -> None:
    erased = b"\xff" * FLASH.bytes
    assert wear(erased, erased, FLASH) == (0, 0)
    one = changed(erased, 300, 0xF0)
    assert wear(erased, one, FLASH) == (0, 1)
    assert wear(one, changed(one, 5000, 0x00), FLASH) == (0, 1)


def test_a_bit_that_rose_shows_an_erased_sector_and_all_its_filled_pages() -> None:
    old = b"\x00" * 1024 + b"\xff" * (FLASH.bytes - 1024)
    assert wear(old, changed(old, 0, 0x01), FLASH) == (1, 4)
    assert wear(old, b"\xff" * FLASH.bytes, FLASH) == (1, 0)
