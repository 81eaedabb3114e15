"""``hushmeter flash`` and ``image``: nothing is written unasked, and nothing that is unknown."""

import hashlib
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hushmeter.cli import ask, main
from hushmeter.devices import images, trust
from hushmeter.devices.boards import boards_with_image
from hushmeter.devices.images import image_path
from tests.devices.image_kit import ESP_BOARD, UF2_BOARD, esp_image, esp_of, uf2_image, uf2_of
from tests.devices.stand_in import Drive, StandIn

UNKNOWN = next(board for board in boards_with_image() if board.image and not board.image.sha256)
KNOWN = next(board for board in boards_with_image() if board.image and board.image.sha256)


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.setenv(images.VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv(trust.VARIABLE, str(tmp_path / "config"))
    return CliRunner()


@pytest.fixture
def somebody(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Somebody at the terminal who says yes, and the questions that they were asked."""
    asked: list[str] = []

    def confirm(question: str, **_: object) -> bool:
        asked.append(question)
        return True

    monkeypatch.setattr(ask, "can_answer", lambda: True)
    monkeypatch.setattr(ask.click, "confirm", confirm)
    return asked


@pytest.fixture
def esptool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    return StandIn("esptool", tmp_path, monkeypatch)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "own.bin"
    path.write_bytes(esp_image())
    return path


def put_by_hand(data: bytes) -> Path:
    path = image_path(ESP_BOARD)
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    return path


def flash(runner: CliRunner, *arguments: str) -> Result:
    return runner.invoke(main, ["flash", *arguments])


def test_an_own_image_is_flashed_and_reported(
    runner: CliRunner, esptool: StandIn, own: Path, idle_port: str
) -> None:
    words = ["--board", ESP_BOARD.name, "--port", idle_port, "--image", str(own), "--json"]
    result = flash(runner, *words, "--yes", "--accept-new-hash")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {
        "board": ESP_BOARD.name,
        "method": "esptool",
        "image": str(own),
        "sha256": hashlib.sha256(own.read_bytes()).hexdigest(),
        "digest": "own",
        "port": idle_port,
        "erased": False,
    }
    assert esptool.calls[-1][-3:] == ["-z", hex(esp_of(ESP_BOARD).offset), str(own)]
    assert "settings (nvs" in result.stderr


def test_an_image_goes_to_a_drive_and_the_board_restarts_from_it(
    runner: CliRunner, tmp_path: Path
) -> None:
    image, drive = tmp_path / "own.uf2", Drive(tmp_path, uf2_of(UF2_BOARD).board_id)
    image.write_bytes(uf2_image(UF2_BOARD))
    watcher = drive.restart_after(image.name, image.stat().st_size)
    words = ["--board", UF2_BOARD.name, "--drive", str(drive.path), "--image", str(image)]
    result = flash(runner, *words, "--yes", "--accept-new-hash", "--json")
    watcher.join(5)
    assert result.exit_code == 0, result.output
    assert drive.received == image.read_bytes()
    said = json.loads(result.stdout)
    assert (said["method"], said["board"], said["erased"]) == ("uf2", UF2_BOARD.name, False)


@pytest.mark.parametrize("code", [0, 1])
def test_picotool_ends_the_command_well_or_with_its_complaint(
    runner: CliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    picotool = StandIn("picotool", tmp_path, monkeypatch)
    said = "No accessible RP2040 devices in BOOTSEL mode were found.\n" if code else "OK\n"
    picotool.answer(load=(said, code))
    image = tmp_path / "own.uf2"
    image.write_bytes(uf2_image(UF2_BOARD))
    words = ["--board", UF2_BOARD.name, "--method", "picotool", "--image", str(image)]
    result = flash(runner, *words, "--yes", "--accept-new-hash")
    assert picotool.calls == [["load", "-v", "-x", str(image)]]
    assert f"picotool: {said.strip()}" in result.stderr
    if code:
        assert result.exit_code == 2 and "hold BOOTSEL" in result.stderr
    else:
        assert result.exit_code == 0 and "Next: hushmeter deploy" in result.stdout


def test_nothing_is_written_when_nobody_is_there_to_ask(
    runner: CliRunner, esptool: StandIn, own: Path, idle_port: str
) -> None:
    words = ["--board", ESP_BOARD.name, "--port", idle_port, "--image", str(own)]
    unknown = flash(runner, *words, "--yes")
    assert unknown.exit_code == 2
    assert "hint: say yes with --accept-new-hash" in unknown.stderr
    unasked = flash(runner, *words, "--accept-new-hash")
    assert unasked.exit_code == 2
    assert "hint: say yes with --yes" in unasked.stderr
    assert esptool.calls == []


def test_somebody_who_is_there_is_asked_about_the_image_and_the_board(
    runner: CliRunner, esptool: StandIn, own: Path, idle_port: str, somebody: list[str]
) -> None:
    words = ["--board", ESP_BOARD.name, "--port", idle_port, "--image", str(own)]
    result = flash(runner, *words)
    assert result.exit_code == 0, result.output
    assert len(somebody) == 2
    assert hashlib.sha256(own.read_bytes()).hexdigest() in somebody[0]
    assert ESP_BOARD.name in somebody[1]
    assert "Next: hushmeter deploy" in result.stdout


def test_an_image_that_differs_from_the_known_one_is_named_so(
    runner: CliRunner, tmp_path: Path, somebody: list[str]
) -> None:
    other = tmp_path / "other.uf2"
    other.write_bytes(uf2_image(KNOWN))
    flash(runner, "--board", KNOWN.name, "--image", str(other))
    assert f"is not the image that is known for {KNOWN.name}" in somebody[0]


def test_an_image_for_another_chip_is_refused_whatever_is_said(
    runner: CliRunner, esptool: StandIn, tmp_path: Path, idle_port: str
) -> None:
    wrong = tmp_path / "wrong.bin"
    wrong.write_bytes(uf2_image(UF2_BOARD))
    words = ["--port", idle_port, "--image", str(wrong), "--yes", "--accept-new-hash"]
    result = flash(runner, "--board", ESP_BOARD.name, *words)
    assert result.exit_code == 2
    assert f"is no image for board {ESP_BOARD.name}" in result.stderr
    assert esptool.calls == []


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--board", "toaster"], "there is no board 'toaster'"),
        (["--board", "unix"], "runs no image"),
        (["--board", ESP_BOARD.name, "--method", "uf2"], "it takes: esptool"),
        (["--board", ESP_BOARD.name, "--port", "auto"], "no port has the USB numbers"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    runner: CliRunner, words: list[str], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hushmeter.devices.ports.list_all", list)
    result = flash(runner, *words, "--yes")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ") and reason in result.stderr


def test_a_cached_image_that_nobody_accepted_is_not_flashed(
    runner: CliRunner, esptool: StandIn, idle_port: str
) -> None:
    put_by_hand(esp_image())
    result = flash(runner, "--board", ESP_BOARD.name, "--port", idle_port, "--yes")
    assert result.exit_code == 2
    assert "nobody has said yet" in result.stderr
    assert esptool.calls == []


def test_a_damaged_image_is_not_flashed(runner: CliRunner) -> None:
    path = image_path(KNOWN)
    path.parent.mkdir(parents=True)
    path.write_bytes(uf2_image(KNOWN))
    result = flash(runner, "--board", KNOWN.name, "--yes")
    assert result.exit_code == 2
    assert "SHA-256" in result.stderr and "hushmeter image" in result.stderr


def test_image_shows_whether_a_digest_is_known_pinned_or_neither(runner: CliRunner) -> None:
    path = put_by_hand(esp_image())
    words = ["image", ESP_BOARD.name, "--json"]
    before = json.loads(runner.invoke(main, words).output)["images"][0]
    assert (before["state"], before["digest"], before["sha256"]) == ("not accepted", "unknown", "")
    accepted = runner.invoke(main, [*words, "--accept-new-hash"])
    assert accepted.exit_code == 0
    after = json.loads(accepted.stdout)["images"][0]
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert (after["state"], after["digest"], after["sha256"]) == ("at hand", "pinned", digest)
    assert digest in accepted.stderr
    known = json.loads(runner.invoke(main, ["image", KNOWN.name, "--json"]).output)["images"][0]
    assert known["digest"] == "known"
