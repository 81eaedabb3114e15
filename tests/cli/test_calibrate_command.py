"""``hushmeter calibrate`` from end to end, on a meter of the unix port behind a pseudo-terminal.

Its converter is a file: what stands in it is what the next reading has.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from hil.live_street import LiveStreet
from hushfw.core import calibration
from hushmeter.assets import boards_dir
from hushmeter.cli import calibrate as command
from hushmeter.cli import main
from tests.devices.kit import UnixBoard, write

MACHINE = """
import os
def reset():
    os.system("kill -9 $PPID")
def reset_cause():
    return 1
def Pin(number):
    return number
class ADC:
    def __init__(self, pin):
        pass
    def read_u16(self):
        with open("level.txt") as f:
            return int(f.read())
"""
MAIN = "import sys\nsys.path.append({!r})\nfrom hushfw import app\napp.main()\n"
FILE = "calibration.bin"


class Bench:
    """The meter, and the load that is switched on."""

    def __init__(self, storage: Path, port: str) -> None:
        self.storage = storage
        self.port = port

    def switch(self, watts: int) -> None:
        """The sensor reads 16 of 4095 W a step of 8 bits: set what it reads, not what is true."""
        temporary = self.storage / "level.new"
        temporary.write_text(str(round(watts * 65535 / 4095)))
        temporary.rename(self.storage / "level.txt")

    def run(self, *arguments: str, name: str = "calibrate") -> Result:
        return CliRunner().invoke(main, [name, "--port", self.port, *arguments])

    def said(self, *arguments: str, name: str = "calibrate") -> dict[str, Any]:
        result = self.run(*arguments, "--json", name=name)
        assert result.exception is None or name == "doctor", result.output
        found: dict[str, Any] = json.loads(result.stdout)
        return found


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    storage = tmp_path_factory.mktemp("calibrate") / "board"
    firmware = str(boards_dir().parent / "firmware")
    files = LiveStreet("unix", 4, 60).files(4)
    board = UnixBoard(storage)
    (board._modules / "machine.py").write_text(MACHINE)
    write(storage, {**files, "main.py": MAIN.format(firmware).encode(), "level.txt": b"0"})
    with board as port:
        yield Bench(storage, port)


def test_from_a_plan_to_a_meter_that_corrects_and_back(bench: Bench, tmp_path: Path) -> None:
    plan, page = tmp_path / "loads.csv", tmp_path / "page.html"
    plan.write_text("true_w,read_w\n0,0\n500,480\n1000,965\n3000,2850\n")
    tried = bench.said("--plan", str(plan), "--dry-run")
    assert tried["written"] is False and bench.said("--show")["state"] == "nominal"
    done = bench.said("--plan", str(plan), "--page", str(page))
    assert (done["written"], done["version"], done["points"][1]) == (True, 1, [480, 500])
    assert done["rms_before_w"] > 70 and done["rms_after_w"] == 0
    stored = (bench.storage / FILE).read_bytes()
    assert stored[-32:].hex() == done["checksum"]
    shown = bench.said("--show")
    assert (shown["state"], shown["version"], shown["points"]) == ("in use", 1, done["points"])
    text = page.read_text()
    assert "Content-Security-Policy" in text and "<script" not in text and "3,000.0" in text
    back = bench.said("--nominal")
    assert (back["version"], back["points"], back["written"]) == (2, [], True)


def test_walking_through_loads_reads_each_and_corrects_the_next(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sensor that reads 5 % too little, twice: the second time there is little left to do."""
    monkeypatch.setattr(command, "can_answer", lambda: True)
    for _ in range(2):
        true_w = iter([0, 400, 2000, None])

        def prompt(text: str, answers: Iterator[int | None] = true_w, **options: Any) -> str:
            watts = next(answers)
            if watts is None:
                return ""
            bench.switch(round(0.95 * watts))
            # The reading of the second in which it was switched is over.
            time.sleep(0.1)
            return str(watts)

        monkeypatch.setattr(click, "prompt", prompt)
        done = bench.said("--seconds", "1")
    first = [row["before_w"] for row in done["residuals"]]
    assert [row["true_w"] for row in done["residuals"]] == [0, 400, 2000]
    assert max(abs(error_w) for error_w in first) <= 2
    assert done["points"] == [[0, 0], [380, 400], [1900, 2000]]


def test_what_cannot_be_done_is_said_in_a_line_and_nothing_is_written(
    bench: Bench, tmp_path: Path
) -> None:
    bench.said("--nominal")
    before = (bench.storage / FILE).read_bytes()
    bad = tmp_path / "bad.csv"
    cases = [
        (["--show", "--nominal"], "exclude each other"),
        (["--show", "--page", "x.html"], "--page shows a fit"),
        (["--seconds", "0"], "0 is not in the range"),
        ([], "nobody is there to switch loads"),
    ]
    for text, word in (
        ("true_w\n5\n", "nobody is there to switch it"),
        ("true_w,read_w\n5,5\n", "needs 2 or more"),
        ("true_w,read_w\n0,0\n100,200\n200,150\n", "must rise"),
        ("watts\n", "has no column true_w"),
    ):
        bad.write_text(text)
        for arguments, wanted in [*cases, (["--plan", str(bad)], word)]:
            result = bench.run(*arguments)
            assert (result.exit_code, result.stdout) == (2, ""), arguments
            assert wanted in result.stderr and "error: " in result.stderr
        cases = []
    assert (bench.storage / FILE).read_bytes() == before


def test_doctor_and_monitor_say_what_is_wrong_with_a_sensor(bench: Bench) -> None:
    bench.said("--nominal")
    good = (bench.storage / FILE).read_bytes()
    assert bench.said("--show")["state"] == "in use"
    found = bench.said(name="doctor")["port"]
    assert found["sensors"]["driver"] == "level"
    assert not any(finding["code"] == "calibration_unusable" for finding in found["findings"])
    watched = CliRunner().invoke(main, ["monitor", "--port", bench.port, "--count", "4", "--json"])
    events = [json.loads(line) for line in watched.stdout.splitlines()]
    assert [event["event"] for event in events] == ["hello", "status", "life", "sensors"]
    assert calibration.parse(good).version == events[-1]["version"]


def test_help_has_an_example() -> None:
    text = CliRunner().invoke(main, ["calibrate", "--help"]).stdout
    assert "hushmeter calibrate --port auto" in text


def test_a_meter_without_a_sensor_is_told_how_to_get_one(tmp_path: Path) -> None:
    from hushmeter.devices import meter_plan
    from tests.meter import kit

    authority = kit.Authority(meter_plan.derived_seed(kit.SEED, "authority"))
    storage = tmp_path / "board"
    firmware = str(boards_dir().parent / "firmware")
    board = UnixBoard(storage)
    files = meter_plan.files(kit.plan_of_meter(1, authority))
    write(storage, {**files, "main.py": MAIN.format(firmware).encode()})
    with board as port:
        result = CliRunner().invoke(main, ["calibrate", "--port", port])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "fed over the link" in result.stderr and "hushmeter provision" in result.stderr
