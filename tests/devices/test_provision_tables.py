"""Provisioning puts a controller's policy onto the board, checked before anything is written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hushmeter.devices import firmware
from hushmeter.devices.boards import load_board
from hushmeter.leakage import design, policy_file
from hushmeter.leakage.distributions import parse_discrete
from tests.devices.kit import UnixBoard
from tests.devices.test_board_commands import METER, QUICK, run

STORED = design.battery(parse_discrete("0.5,0.5"), 2)
GIVEN = design.source(parse_discrete("uniform:4"), 0.5)
SERIES = design.cascade(parse_discrete("0.5,0.5"), 1)
SIZE = ["--capacity-wh", "5", "--rate-w", "199"]
SECOND = ["--second", "table", "--second-capacity-wh", "4", "--second-rate-w", "199"]


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """Policy files by name, and a table file."""
    found = {}
    for name, made in (("stored", STORED), ("given", GIVEN), ("series", SERIES)):
        path = tmp_path / f"{name}.json"
        path.write_bytes(policy_file.write(made))
        found[name] = str(path)
    (tmp_path / "table.bin").write_bytes(STORED.table())
    return found | {"table": str(tmp_path / "table.bin")}


@pytest.fixture
def quick_build(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real firmware, but healthy after 0.3 s instead of 10."""
    built = firmware.build(load_board("unix"), source=True)
    life = built.files["hushfw/life.py"].replace(b"HEALTHY_MS = 10000", QUICK)
    quick = firmware.Firmware(
        built.version, built.mpy, built.architecture, {**built.files, "hushfw/life.py": life}
    )
    monkeypatch.setattr(firmware, "build", lambda board, source=False: quick)


def test_the_policy_lies_on_the_board_and_the_configuration_names_its_alphabet(
    quick_build: None, files: dict[str, str], tmp_path: Path
) -> None:
    storage = tmp_path / "board"
    with UnixBoard(storage) as port:
        board = ["--board", "unix", "--port", port]
        assert run("deploy", *board).exit_code == 0
        stored = ["--controller", "table", "--table", files["stored"], *SIZE]
        done = run("provision", *board, *METER, *stored)
        assert done.exit_code == 0, done.output
        config = json.loads((storage / "config.json").read_bytes())
        assert (storage / "table.bin").read_bytes() == STORED.table()
        assert (config["controller"]["quantum_w"], config["controller"]["demand_levels"]) == (
            100,
            2,
        )
        series = ["--controller", "table", "--table", files["series"], *SIZE, *SECOND]
        done = run("provision", *board, *METER, *series, "--second-table", files["series"])
        assert done.exit_code == 0, done.output
    assert (storage / "table-first.bin").read_bytes() == SERIES.table(0)
    assert (storage / "table-second.bin").read_bytes() == SERIES.table(1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--controller", "table", *SIZE], "the controller table needs a table file"),
        (["--controller", "source"], "the controller source needs a table file"),
        (["--controller", "table", "--table", "given", *SIZE], "a battery needs rows by state"),
        (["--controller", "source", "--table", "stored"], "needs one with rows by demand"),
        (["--controller", "table", "--table", "stored"], "--capacity-wh is missing"),
        (["--controller", "table", "--table", "stored", *SIZE[:2]], "--rate-w is missing"),
        (["--controller", "table", "--table", "table", "--capacity-wh", "5", "--rate-w", "9"],
         "charge_rate_w is 9; this table needs 199"),
        (["--controller", "source", "--table", "given", "--rate-w", "9"], "has no battery"),
        (["--controller", "none", "--table", "stored"], "--controller none has no battery"),
        (["--controller", "cascade"], "made by naming a second controller"),
        (["--controller", "ls2", *SIZE, "--second-rate-w", "9"], "without --second"),
        (["--controller", "none", "--second", "ls2"], "--second-capacity-wh is missing"),
        (["--controller", "ls2", *SIZE, "--set", "height=2"], "controller.height: is not a field"),
    ],
)  # fmt: skip
def test_what_cannot_run_is_refused_before_the_port_is_opened(
    options: list[str], message: str, files: dict[str, str]
) -> None:
    arguments = [files.get(word, word) if word != "table" else word for word in options]
    place = arguments.index("--table") + 1 if "--table" in arguments else 0
    if place and options[place] == "table":
        arguments[place] = files["table"]
    result = run("provision", "--board", "unix", "--port", "/dev/null", *METER, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_supply_needs_no_battery(files: dict[str, str]) -> None:
    options = ["--controller", "source", "--table", files["given"]]
    result = run("provision", "--board", "unix", "--port", "/dev/null", *METER, *options)
    assert "cannot be opened" in result.stderr
