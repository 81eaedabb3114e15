"""A street with boards on ports: the board is the unix port behind a pseudo-terminal (see kit)."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from hushmeter.cli import main
from hushmeter.devices import firmware
from hushmeter.devices.boards import load_board
from hushmeter.emulate.street import Street
from tests.devices.kit import UnixBoard, write

FOUR = ("--meters", 4, "--slots", 6, "--epsilon", "inf", "--controller", "ls2")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, list(map(str, arguments)))


def emulate(*options: object) -> dict[str, Any]:
    result = run("emulate", *FOUR, *options, "--json")
    assert result.exit_code == 0, result.output
    summary: dict[str, Any] = json.loads(result.stdout)
    return summary


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hushmeter.devices.rawrepl._ENTER_S", 1.0)
    monkeypatch.setattr("hushmeter.devices.rawrepl._READ_S", 1.0)


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The flash of a board that has the firmware and nothing else."""
    storage = tmp_path_factory.mktemp("deployed") / "board"
    write(storage, firmware.flash_files(load_board("unix"), source=True))
    return storage


@pytest.fixture
def storage(deployed: Path, tmp_path: Path) -> Path:
    write(
        tmp_path / "board",
        {
            p.relative_to(deployed).as_posix(): p.read_bytes()
            for p in deployed.rglob("*")
            if p.is_file()
        },
    )
    return tmp_path / "board"


@pytest.fixture
def port(storage: Path) -> Iterator[str]:
    with UnixBoard(storage) as path:
        yield path


def provision(port: str, authority: Path, *more: object) -> Result:
    return run(
        *("provision", "--board", "unix", "--port", port, "--street", "Elm Row"),
        *("--authority", authority, "--permit", "no-noise", "--least-members", 4),
        *("--least-honest", 2, *more),
    )


def test_a_board_on_a_port_is_a_meter_of_the_street(storage: Path, port: str) -> None:
    refused = run("emulate", *FOUR, "--port", f"unix={port}")
    assert refused.exit_code == 2
    assert "is nobody's meter yet" in refused.stderr and "--provision" in refused.stderr
    assert not (storage / "config.json").exists()
    summary = emulate("--port", f"unix={port}", "--provision")
    (board,) = summary["boards"]
    assert (board["meter_id"], board["board"], board["port"]) == (1, "unix", port)
    assert board["reported_slots"] == 6 and not board["own_key"]
    assert summary["noisy_total_wh"] == summary["true_total_wh"]
    assert None not in summary["true_total_wh"] and summary["recovered_slots"] == 0
    again = emulate("--port", f"unix={port}", "--provision")
    assert again["boards"] == summary["boards"]
    for _ in range(5):
        assert run("emulate", *FOUR, "--port", f"unix={port}").exit_code == 2
    shown = run("emulate", *FOUR, "--port", f"unix={port}", "--provision").stdout
    assert "meter 1: unix" in shown and "6 of 6 slots" in shown


def test_a_board_keeps_its_key_in_the_street_that_it_was_provisioned_for(
    storage: Path, port: str, tmp_path: Path
) -> None:
    authority = tmp_path / "street.pem"
    assert run("authority", authority, "--new").exit_code == 0
    assert authority.stat().st_mode & 0o777 == 0o600
    assert provision(port, authority, "--meter-id", 3).exit_code == 0
    identity = (storage / "identity.bin").read_bytes()
    here = ("--port", f"unix={port}", "--authority", authority, "--street", "Elm Row")
    first, second = emulate(*here), emulate(*here, "--provision")
    for summary in (first, second):
        (board,) = summary["boards"]
        assert (board["meter_id"], board["own_key"], board["reported_slots"]) == (3, True, 6)
        assert summary["noisy_total_wh"] == summary["true_total_wh"]
    assert (storage / "identity.bin").read_bytes() == identity
    few = run("emulate", "--meters", 3, "--slots", 1, "--epsilon", "inf", *here)
    assert few.exit_code == 2 and "3 members, the floor is 4" in few.stderr
    stranger = run("emulate", *FOUR, "--port", f"unix={port}", "--provision")
    assert stranger.exit_code == 2
    assert "meter 3 of street 'Elm Row'" in stranger.stderr
    assert "--replace-identity" in stranger.stderr
    assert (storage / "identity.bin").read_bytes() == identity
    emulate("--port", f"unix={port}", "--provision", "--replace-identity")
    assert (storage / "identity.bin").read_bytes() != identity


def test_a_board_that_is_unplugged_is_silent_and_back_when_it_is_plugged_in_again(
    storage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plug = tmp_path / "ttyBOARD"
    boards = [UnixBoard(storage), UnixBoard(storage)]
    plug.symlink_to(boards[0].__enter__())
    slot = Street._slot

    def pulled(self: Street, t: int) -> None:
        if t == 2:
            boards.pop(0).__exit__(None, None, None)
            plug.unlink()
        if t == 4:
            plug.symlink_to(boards[0].__enter__())
        slot(self, t)

    monkeypatch.setattr(Street, "_slot", pulled)
    try:
        result = run("emulate", *FOUR, "--port", f"unix={plug}", "--provision", "--json")
    finally:
        boards[-1].__exit__(None, None, None)
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert "a unix; it is configured for this run" in result.stderr
    assert summary["boards"][0]["reported_slots"] == 4
    assert summary["recovered_slots"] == 2 and summary["void_slots"] == []
    assert summary["noisy_total_wh"] == summary["true_total_wh"]
    assert "meter 1 went away in slot 2" in result.stderr
    assert "meter 1 is back in slot 4" in result.stderr


def test_a_board_that_stays_away_leaves_the_truth_unknown_and_the_totals_right(
    storage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = UnixBoard(storage)
    port = board.__enter__()
    slot = Street._slot
    gone = threading.Event()

    def pulled(self: Street, t: int) -> None:
        if t == 3:
            board.__exit__(None, None, None)
            gone.set()
        slot(self, t)

    monkeypatch.setattr(Street, "_slot", pulled)
    out = tmp_path / "out"
    result = run("emulate", *FOUR, "--port", f"unix={port}", "--provision", "--json", "--out", out)
    assert gone.is_set() and result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert summary["true_total_wh"][:3] == [None] * 3
    assert None not in summary["noisy_total_wh"]
    assert summary["noisy_total_wh"][3:] == summary["true_total_wh"][3:]
    assert summary["boards"][0]["truth_known"] is False
    assert "cannot be read from its board" in result.stderr
    assert "went away" in result.stderr and (out / "report.html").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--provision",), "--provision is for the boards on --port"),
        (("--port", "/dev/a", "--replace-identity"), "--replace-identity goes with --provision"),
        (("--port", "/dev/a", "--seed", "s"), "leave --seed out, or say --force"),
        (("--port", "/dev/a", "--port", "/dev/a"), "one port is named twice"),
        (("--port", "/dev/ttyNONE"), "/dev/ttyNONE is not there"),
        (("--port", "/dev/null"), "cannot be opened"),
        (("--port", "nothing=/dev/a"), "there is no board 'nothing'"),
        (("--authority", "/nowhere.pem"), "hushmeter authority /nowhere.pem --new"),
        (("--port", "1", "--port", "2", "--port", "3", "--port", "4", "--port", "5"), "5 boards"),
    ],
)
def test_what_cannot_be_is_said_before_a_meter_is_started(
    options: tuple[str, ...], message: str
) -> None:
    result = run("emulate", *FOUR, *options)
    assert result.exit_code == 2
    assert message in result.stderr and "Traceback" not in result.stderr


def test_a_street_key_is_not_overwritten_and_shown_again(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    made = json.loads(run("authority", key, "--new", "--json").stdout)
    assert json.loads(run("authority", key, "--json").stdout) == made
    assert made["public_key"] not in key.read_text()
    again = run("authority", key, "--new")
    assert again.exit_code == 2 and "not overwritten" in again.stderr
    key.write_text("no key")
    assert "holds no Ed25519 private key" in run("authority", key).stderr
