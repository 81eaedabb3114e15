"""``hushmeter boards``: what is in the board files, and never more than was checked."""

import json

import pytest
from click.testing import CliRunner

from hushmeter.cli import main
from hushmeter.devices.boards import board_names, load_board


@pytest.fixture
def runner() -> CliRunner:
    return CliRunner()


def test_every_board_is_listed_with_its_status(runner: CliRunner) -> None:
    result = runner.invoke(main, ["boards"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    lines = result.output.splitlines()
    for name in board_names():
        (line,) = [line for line in lines if line.split(" ")[0] == name]
        assert load_board(name).status in line


def test_the_objects_keys_are_the_board_files(runner: CliRunner) -> None:
    found = json.loads(runner.invoke(main, ["boards", "--json"]).output)["boards"]
    assert [board["name"] for board in found] == board_names()
    for facts in found:
        board = load_board(facts["name"])
        assert {"status", "roles", *board.__struct_fields__} == set(facts)
        assert facts["capabilities"] == sorted(board.capabilities)
        assert facts["status"] == board.status
        assert facts["roles"] == board.roles()


def test_one_board_is_shown_in_full(runner: CliRunner) -> None:
    board = next(board for board in map(load_board, board_names()) if board.hil.wires)
    output = runner.invoke(main, ["boards", board.name]).output
    assert board.machine in output
    for role, pin in board.roles().items():
        assert f"{role}: {pin}\n" in output
    for check in board.checked:
        assert f"{check.what}: {check.how}\n" in output
    assert output.count("\nwire ") == len(board.hil.wires)


def test_an_unknown_board_is_a_clear_error(runner: CliRunner) -> None:
    result = runner.invoke(main, ["boards", "toaster"])
    assert result.exit_code == 2
    assert result.stderr.startswith("error: there is no board 'toaster'; known boards: ")
