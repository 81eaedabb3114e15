"""The board benchmark runs, names what it measured on, and hides nothing that went wrong."""

import functools
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from hushmeter.devices.boards import Flash
from hushmeter.emulate.interpreter import find_micropython
from hushmeter.emulate.pico_flash import ERASE, PROGRAM
from hushmeter.errors import HushmeterError
from tools import flash_day
from tools.bench_board import show
from tools.bench_board.backends import make_backend
from tools.bench_board.figures import Add, Failure, Row, Rows, collect
from tools.bench_board.flash import add_day, add_operations
from tools.bench_board.life import Meter, enrol, wear
from tools.bench_board.run import Done, Kept, run_all
from tools.bench_board.slots import add_looks, trend
from tools.bench_board.street import SLOT_S, Street
from tools.bench_board.tasks import Task, tasks

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
    "samples",
    "note",
    "part",
}
CASES = {
    "Firmware": {".py", ".mpy", ".py, import", ".mpy, import", ".mpy, stays on the heap"},
    "Start": {"first boot to hello", "later boot to hello, enrolled"},
    "Enrolment": {"roster", "roster checked, keys derived", "whole"},
    "Report": {
        "end of slot to report",
        "end of slot to report, masks ahead",
        "end of a day's first slot to report",
        "end of a day's first slot to report, masks ahead",
    },
    "Answer": {"announcement to answer"},
    "Both rounds": {"report and answer", "report and answer, masks ahead"},
    "Free heap": {
        "after boot",
        "after enrolment",
        "after a report",
        "largest block, after an answer",
    },
    "Slots back to back": {
        "largest free block, start",
        "largest free block, middle",
        "largest free block, end",
        "largest free block, least",
        "its trend",
    },
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
    "Market": {"ask to masked curves", "S to answer", "count", "share", "an interval's part"},
    "Curves and noise": {
        "X25519, big integers",
        "Ed25519 signature, big integers",
        "Ed25519 verification, big integers",
        "noise share, big integers",
    },
    "Paillier, 2048 bits": {
        "encryption from the pool, big integers",
        "pool entry, 256-bit exponent, big integers",
        "naive encryption by windows, big integers",
        "naive encryption by pow, big integers",
        "naive encryption by pow / pool entry, 256-bit exponent, big integers",
        "free heap after an answer, LS2, pool of 8",
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
        assert row["members"] in (None, 4, 12)
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


def tasks_of(*names: str, minutes: float = 1) -> list[Task]:
    """Tasks that give one row each, of their own name."""
    return [Task(name, functools.partial(one_row, name), minutes) for name in names]


def one_row(name: str) -> Rows:
    return collect(name, 12, lambda add: add("Heap", name, "bytes", [1, 2, 4]))


def refused() -> Rows:
    def measure(add: Add) -> None:
        add("Heap", "before it", "bytes", 7)
        raise HushmeterError("out of memory")

    return collect("second", None, measure)


def kept_in(path: Path, names: list[str], **about: object) -> Kept:
    return Kept(path, names, {"quick": True, "board": {"firmware": "one"}, **about}, {"cpus": 2})


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_task_is_run_once_and_the_longest_is_begun_first(jobs: int) -> None:
    work = tasks_of("first", "second") + tasks_of("long", minutes=60)
    done = list(run_all(work, jobs))
    assert sorted(part.name for part in done) == ["first", "long", "second"]
    assert all(part.is_whole and part.rows == one_row(part.name) for part in done)
    if jobs == 1:
        assert done[0].name == "long"


def test_a_run_that_was_broken_off_goes_on_where_it_was(tmp_path: Path) -> None:
    """What failed is run again; figures and their order are those of a run in one go."""
    path, names = tmp_path / "board.json", ["first", "second", "third"]
    before = kept_in(path, names)
    first, third = run_all(tasks_of("first", "third"), 1)
    before.add(third)
    before.add(first)
    before.add(Done("second", 1.5, refused()))
    broken_off = json.loads(path.read_text())
    assert [part["name"] for part in broken_off["parts"]] == names
    assert [failure["part"] for failure in broken_off["failures"]] == ["second"]

    after = kept_in(path, names)
    after.resume()
    assert [name for name in names if after.has(name)] == ["first", "third"]
    after.add(next(run_all(tasks_of("second"), 1)))
    assert after.rows() == [row for name in names for row in one_row(name)]
    whole = json.loads(path.read_text())
    assert whole["complete"] is True and whole["failures"] == []
    assert [row["part"] for row in whole["rows"]] == names


def test_a_run_that_is_not_done_says_so(tmp_path: Path) -> None:
    kept = kept_in(tmp_path / "board.json", ["first", "second"])
    kept.add(next(run_all(tasks_of("first"), 1)))
    assert json.loads((tmp_path / "board.json").read_text())["complete"] is False


@pytest.mark.parametrize("about", [{"quick": False}, {"board": {"firmware": "another"}}])
def test_figures_of_another_firmware_are_not_taken_over(
    about: dict[str, object], tmp_path: Path
) -> None:
    kept_in(tmp_path / "board.json", ["first"]).write()
    before = (tmp_path / "board.json").read_bytes()
    with pytest.raises(HushmeterError, match="another firmware"):
        kept_in(tmp_path / "board.json", ["first"], **about).resume()
    assert (tmp_path / "board.json").read_bytes() == before


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"rows": 1}', "\x00"])
def test_a_file_that_holds_no_run_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "board.json"
    path.write_text(text)
    with pytest.raises(HushmeterError, match="holds no run") as refusal:
        kept_in(path, ["first"]).resume()
    assert "--resume" in str(refusal.value.hint)
    path.unlink()
    with pytest.raises(HushmeterError, match="holds no run"):
        kept_in(path, ["first"]).resume()


def test_every_task_has_a_name_of_its_own() -> None:
    for quick in (False, True):
        names = [task.name for task in tasks("unix", (12, 100, 1000), quick)]
        assert len(set(names)) == len(names)


def test_resuming_without_a_run_ends_with_a_hint(tmp_path: Path) -> None:
    done = bench("--board", "unix", "--quick", "--resume", out=tmp_path / "board.json")
    assert done.returncode == 2
    assert "run it without --resume" in done.stderr


@pytest.mark.parametrize("sizes", ["12,x", "3", "1001", "12,-4"])
def test_a_street_of_no_possible_size_is_refused(sizes: str, tmp_path: Path) -> None:
    done = bench("--board", "unix", "--members", sizes, out=tmp_path / "board.json")
    assert done.returncode == 2
    assert "wanted sizes of streets" in done.stderr


def test_an_unknown_board_is_refused_with_those_that_are_known(tmp_path: Path) -> None:
    done = bench("--board", "nonsense", out=tmp_path / "board.json")
    assert done.returncode == 2
    assert "nonsense" in done.stderr and "unix" in done.stderr


def test_slots_back_to_back_leave_the_free_heap_in_one_piece(tmp_path: Path) -> None:
    """The journal is rewritten once. A table that is made amid garbage leaves half in one piece."""
    out = tmp_path / "board.json"
    done = bench("--board", "unix", "--members", "12", "--slots", "50", out=out)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads(out.read_text())["rows"]
    assert {row["topic"] for row in rows} == {"Slots back to back"}
    figures = {row["case"]: row["median"] for row in rows}
    assert figures["largest free block, least"] <= figures["largest free block, end"]
    assert figures["largest free block, end"] > 0.8 * figures["free heap, least"]
    assert all("50 slots" in row["note"] for row in rows if row["unit"] == "bytes")


def test_an_enrolment_leaves_the_free_heap_in_one_piece() -> None:
    """What stays of it is made on a heap without garbage; amid garbage it leaves two fifths."""
    backend = make_backend("unix")
    street = Street(100, backend.facts.name, provisioned=True, slots_today=2, row_s=SLOT_S)
    with backend.meter(street.files) as machine:
        meter = Meter(machine, None)
        public_key = meter.boot().reply.fields["public_key"]
        rows = rows_of(lambda add: enrol(meter, street, public_key, add))
        assert meter.largest_free_bytes() > 0.65 * rows["after enrolment"].median


def rows_of(measure: Callable[[Add], None]) -> dict[str, Row]:
    return {row.case: row for row in collect("a part", 12, measure) if isinstance(row, Row)}


def test_a_block_that_shrinks_shows_in_the_trend_and_what_settles_at_first_does_not() -> None:
    """The first fifth of the slots is left out: there the block loses 4000 bytes in both."""
    settling = [(ran, 90_000 - 1_000 * ran, 99_000) for ran in range(0, 4)]
    steady = [(ran, 86_000, 99_000) for ran in range(4, 21)]
    leaking = [(ran, 86_000 - 16 * ran, 99_000) for ran in range(4, 21)]
    assert trend(settling + steady) == pytest.approx(0)
    assert trend(settling + leaking) == pytest.approx(-16)
    rows = rows_of(lambda add: add_looks(settling + leaking, 20, add))
    assert rows["largest free block, start"].median == 90_000
    assert rows["largest free block, end"].median == 86_000 - 320
    assert rows["largest free block, least"].median == 86_000 - 320


def test_flash_operations_are_rows_by_job_and_missed_samples_rows_by_speed() -> None:
    def job(kind: str, *names: str) -> flash_day.Job:
        return flash_day.job_of(kind, 0.0, 0.5, [(0.1 + i / 10, n) for i, n in enumerate(names)])

    jobs = [job(flash_day.REPORT, ERASE, PROGRAM, PROGRAM), job(flash_day.ANSWER, PROGRAM)]
    rows = rows_of(lambda add: add_operations(jobs, add))
    assert rows["report, program"].samples == (2,)
    assert rows["report, erase"].samples == (1,)
    assert rows["journal append (an answer), program"].samples == (1,)
    assert rows["journal append (an answer), erase"].samples == (0,)
    slow = Flash(8192, 4096, 256, worst_erase_us=2_500_000, worst_program_us=3_000, erase_cycles=1)
    days = rows_of(lambda add: add_day(flash_day.figures(jobs, slow, 2), add))
    assert days["missed, mean, typical flash times"].median == 0
    assert days["missed, worst day, longest flash times"].median > flash_day.SLOTS_A_DAY


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
