"""The benchmarks run, agree with each other, and say what they measured on which machine."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

import tools.bench.__main__
from tools.bench.figures import Benchmark, Figure, Result, Skipped, run_topic
from tools.bench.measure import PeakMemory, in_fresh_process, kib
from tools.bench.picture import lines_of
from tools.bench.show import amount
from tools.bench.topics import all_topics

ROOT = Path(__file__).resolve().parents[2]
FIGURE_KEYS = {
    "case",
    "size",
    "unit",
    "median",
    "min",
    "max",
    "repeats",
    "peer",
    "times_better_than_peer",
    "memory_bytes",
    "facts",
}


def bench(*arguments: str, out: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "tools.bench", "--quick", *arguments, "--out", str(out)]
    path = ":".join(str(ROOT / folder) for folder in ("firmware", "host"))
    environment = {"PYTHONPATH": path, "COLUMNS": "160", "PATH": ""}
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
    )


def test_a_quick_fold_prints_its_table_and_keeps_its_figures(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "bench.json"
    done = bench("--only", "fold", out=out)
    assert done.returncode == 0, done.stderr
    for heading in ("meters", "case", "median", "min to max", "memory", "beside its peer"):
        assert heading in done.stdout
    kept = json.loads(out.read_text())
    assert kept["quick"] is True
    assert set(kept["topics"]) == {"fold"}
    assert {"cpus", "python", "packages", "processor"} <= set(kept["machine"])
    figures = kept["topics"]["fold"]["figures"]
    cases = {figure["case"] for figure in figures}
    assert {"key schedules made anew", "key schedules kept", "made ahead, 4 slots"} <= cases
    for figure in figures:
        assert set(figure) == FIGURE_KEYS
        assert 0 < figure["min"] <= figure["median"] <= figure["max"]
        assert figure["case"] in done.stdout


def test_json_leaves_standard_output_to_the_json(tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    done = bench("--only", "fold", "--json", out=out)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json.loads(out.read_text())


def test_an_unknown_topic_is_refused_by_name(tmp_path: Path) -> None:
    done = bench("--only", "nonsense", out=tmp_path / "bench.json")
    assert done.returncode == 2
    assert "nonsense" in done.stderr and "fold" in done.stderr


def test_every_topic_is_found_under_its_files_name() -> None:
    topics = all_topics()
    assert {"codec", "fold", "startup"} <= set(topics)
    for name in topics:
        assert (ROOT / "tools" / "bench" / "topics" / f"{name}.py").is_file()


@pytest.mark.parametrize(
    ("unit", "ours", "peers"), [("s", (1.0, 2.0, 9.0), (6.0,)), ("/s", (6.0,), (2.0,))]
)
def test_better_means_less_time_or_more_a_second(
    unit: str, ours: tuple[float, ...], peers: tuple[float, ...]
) -> None:
    figure = Figure("ours", 10, unit, ours, peer="peer")
    peer = Figure("peer", 10, unit, peers)
    elsewhere = Figure("peer", 11, unit, (1e6,))
    result = Result(Benchmark("x", "X", "", "things", iter), [elsewhere, peer, figure], [])
    assert figure.times_better(peer) == 3
    assert result.as_json()["figures"][2]["times_better_than_peer"] == 3


def test_what_was_not_measured_is_named() -> None:
    skipped = Skipped("big", 10**9, "does not fit")
    result = run_topic(Benchmark("x", "X", "", "things", lambda quick: iter([skipped])), True)
    assert result.as_json()["skipped"] == [{"case": "big", "size": 10**9, "reason": "does not fit"}]


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (2.5, "s", "2.5 s"),
        (0.0421, "s", "42.1 ms"),
        (3.21e-6, "s", "3.21 µs"),
        (123456.7, "/s", "123,457 /s"),
        (99.5, "/s", "99.5 /s"),
        (0.999999, "s", "1 s"),
        (1234.5, "s", "1,234 s"),
        (0.0, "s", "0 ns"),
    ],
)
def test_amounts_carry_their_unit(value: float, unit: str, text: str) -> None:
    assert amount(value, unit) == text


def memory_of(megabytes: int) -> int:
    memory = PeakMemory()
    data = bytearray(megabytes << 20)
    data[:: 1 << 12] = bytes(len(data) >> 12)
    del data
    return memory.added_bytes()


def test_the_peak_is_seen_after_the_memory_was_given_back() -> None:
    assert 60 << 20 < in_fresh_process(memory_of, 64) < 80 << 20


def test_a_field_that_is_not_there_is_an_error() -> None:
    assert kib("/proc/self/status", "VmRSS") > 1000
    with pytest.raises(LookupError, match="VmNothing"):
        kib("/proc/self/status", "VmNothing")


def test_a_picture_is_written_of_a_topic_that_asks_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def grow(quick: bool) -> Iterator[Figure]:
        return (Figure("ours", size, "s", (size / 1e3,)) for size in (1, 10))

    topics = {name: Benchmark(name, "X", "", "things", grow, name == "b") for name in "ab"}
    monkeypatch.setattr(tools.bench.__main__, "TOPICS", topics)
    done = CliRunner().invoke(tools.bench.__main__.main, ["--out", str(tmp_path / "bench.json")])
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.png", "bench.json"]
    assert (tmp_path / "b.png").read_bytes().startswith(b"\x89PNG")


def test_a_picture_has_a_line_for_each_case_of_two_sizes_or_more() -> None:
    figures = [Figure("ours", size, "s", (size / 1e3,)) for size in (1, 10)]
    figures += [Figure("solver", size, "s", (1.0,), peer="ours") for size in (1, 10)]
    figures += [Figure("once", 1, "s", (1.0,)), Figure("rate", 1, "/s", (1.0,))]
    lines = lines_of(Result(Benchmark("x", "X", "", "things", iter), figures, []))
    assert [line.get_label() for line in lines] == ["ours", "solver"]
    assert lines[0].get_color() == lines[1].get_color()
    assert lines[0].get_marker() != lines[1].get_marker()
