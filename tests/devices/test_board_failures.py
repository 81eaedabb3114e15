"""What the commands say, and leave as it was, where a board or its surroundings fail them.

The board is the unix port behind a pseudo-terminal, with the real firmware on it (see kit).
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from hushmeter.devices import deploy_plan, firmware, provision_board
from hushmeter.devices.boards import load_board
from hushmeter.devices.console import PromptError
from hushmeter.devices.meterlink import NoMeter
from hushmeter.devices.ports import PortError
from hushmeter.errors import HushmeterError
from tests.devices.kit import UnixBoard, write
from tests.devices.test_board_commands import METER, answer, run


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hushmeter.devices.rawrepl._ENTER_S", 1.0)
    monkeypatch.setattr("hushmeter.devices.rawrepl._READ_S", 1.0)
    monkeypatch.setattr("hushmeter.devices.doctor._GREETING_S", 0.5)


@pytest.fixture(scope="module")
def provisioned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The storage of a meter with its key."""
    storage = tmp_path_factory.mktemp("provisioned") / "board"
    write(storage, firmware.flash_files(load_board("unix"), source=True))
    with UnixBoard(storage) as port:
        assert run("provision", "--board", "unix", "--port", port, *METER).exit_code == 0
    return storage


@pytest.fixture
def board(provisioned: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    return Path(shutil.copytree(provisioned, tmp_path / "board"))


def test_a_line_for_the_roster_that_cannot_be_written_is_said_before_the_board_is_visited(
    tmp_path: Path,
) -> None:
    port = str(tmp_path / "ttyNONE")
    common = ["provision", "--board", "unix", "--port", port, *METER, "--out"]
    refused = run(*common, "/dev/null/meter7.json")
    assert refused.exit_code == 2 and "cannot be written" in refused.stderr
    line = tmp_path / "meter7.json"
    line.write_text("the one before")
    failed = run(*common, str(line))
    assert failed.exit_code == 2 and "ttyNONE is not there" in failed.stderr
    assert line.read_text() == "the one before" and list(tmp_path.iterdir()) == [line]


def test_a_meter_that_falls_silent_gets_the_configuration_of_before(
    board: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (board / "config.json").read_bytes()

    def silent(address: object, patience_s: float) -> None:
        assert (board / "config.json").read_bytes() != before
        raise NoMeter("no meter answered")

    monkeypatch.setattr(provision_board, "await_health", silent)
    changed = [*METER[:-1], "13"]
    with UnixBoard(board) as port:
        common = ["provision", "--board", "unix", "--port", port, *changed]
        result = run(*common)
        assert (board / "config.json").read_bytes() == before

        def away(console: object, files: object) -> None:
            raise HushmeterError("the port went away")

        monkeypatch.setattr(provision_board, "_put_back", away)
        lost = run(*common)
    assert result.exit_code == lost.exit_code == 2
    assert "no meter answered; the one before is back" in result.stderr
    assert "could not be put back: the port went away" in lost.stderr


@pytest.mark.parametrize("error", [PromptError("it was lost"), PortError("it went away")])
def test_a_prompt_that_is_lost_is_not_taken_for_a_damaged_filesystem(
    board: Path, monkeypatch: pytest.MonkeyPatch, error: HushmeterError
) -> None:
    """Nobody is told to erase a board because its cable is loose. The control: a filesystem that
    does not work is called so."""
    raised = [error, HushmeterError("no filesystem that works")]

    def look(files: object) -> None:
        raise raised[0]

    monkeypatch.setattr(deploy_plan, "look", look)
    with UnixBoard(board) as port:
        found = []
        for _ in range(2):
            said = answer(run("doctor", "--board", "unix", "--port", port, "--stop", "--json"))
            found += [f for f in said["port"]["findings"] if f["problem"]]  # type: ignore[index]
            raised.pop(0)
    assert [finding["code"] for finding in found] == ["no_answer", "filesystem"]
    assert ["erase" in finding["advice"] for finding in found] == [False, True]
    assert all(finding["advice"] for finding in found)


def test_the_files_of_another_board_are_named_once_and_the_advice_mends_it(board: Path) -> None:
    config = json.loads((board / "config.json").read_bytes())
    (board / "config.json").write_text(json.dumps(config | {"board": "rpi_pico"}))
    with UnixBoard(board) as port:
        common = ["--board", "unix", "--port", port]
        found = answer(run("doctor", *common, "--stop", "--json"))["port"]
        problems = [f for f in found["findings"] if f["problem"]]  # type: ignore[index]
        assert [problem["code"] for problem in problems] == ["wrong_board"]
        assert "--replace-identity" in problems[0]["advice"]
        kept = run("provision", *common, *METER)
        assert kept.exit_code == 2 and "board is 'rpi_pico', not 'unix'" in kept.stderr
        assert run("provision", *common, *METER, "--replace-identity").exit_code == 0
        assert run("doctor", *common, "--stop").exit_code == 0
