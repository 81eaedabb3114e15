"""A board that lies, in any shape, ends as one clear error, and what it was stays as it was.

Every message of the link and every answer of the prompt is spoilt here by hypothesis; the stand-in
is in ``liar.py``. Deadlines are off: the first example also builds what the others share.
"""

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hushmeter.cli import main
from hushmeter.devices import firmware, monitor
from hushmeter.devices.firmware import Use, in_place, loader
from tests.devices.kit import small_firmware, write
from tests.devices.liar import CONTENTS, SPOILT, Lies, answer, body_of, lies, on_port

OLD, NEW = small_firmware("0.1.0"), small_firmware("0.2.0")
CONFIG = {"meter_id": 7, "street": "Elm Row", "board": "unix"}
OWN = {
    "config.json": json.dumps(CONFIG).encode(),
    "seed.bin": b"seed",
    "identity.bin": b"key",
    "journal.bin": b"slots" * 50,
}
FILES = {
    "main.py": loader(),
    "fw/use.json": Use("a", confirmed=True).to_json(),
    **in_place(OLD, "a"),
    **OWN,
}
BOARD = ["--board", "unix", "--port", "/dev/ttyLIAR"]
METER = ["--street", "Elm Row", "--meter-id", "7", "--authority", "ab" * 32]
COMMANDS = {
    "deploy": ["deploy", *BOARD, "--json"],
    "force": ["deploy", *BOARD, "--force"],
    "provision": ["provision", *BOARD, *METER, "--json"],
    "replace": ["provision", *BOARD, *METER, "--replace-identity"],
    "doctor": ["doctor", *BOARD, "--json"],
    "doctor --stop": ["doctor", *BOARD, "--stop"],
}
SHAKEN = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="module", autouse=True)
def small_and_quick() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(firmware, "build", lambda board, source=False: NEW)
        patch.setattr(monitor, "_PAUSE_S", 0.0)
        yield


def run(arguments: list[str], told: Lies, changed: dict[str, bytes], **how: bool) -> Result:
    """A command against a liar, checked for what always holds."""
    with tempfile.TemporaryDirectory() as name:
        storage = Path(name, "board")
        write(storage, FILES | changed)
        with on_port(storage, told, **how):
            result = CliRunner().invoke(main, arguments)
        if isinstance(result.exception, Exception) and not isinstance(result.exception, SystemExit):
            raise result.exception
        if result.exit_code == 2:
            assert result.stderr.count("error: ") == 1, result.stderr
            assert len(result.stderr) < 2000 and "Traceback (most" not in result.stderr
            assert result.stdout == ""
        elif "--json" in arguments and "--count" not in arguments:
            json.loads(result.stdout)
        if "--replace-identity" not in arguments:
            # Two lies that agree are the truth: a board that has no firmware gets one.
            _unharmed(storage, changed, arguments[0], may_look_empty=len(told.spoilt) > 1)
        shutil.rmtree(storage)
    return result


def _unharmed(storage: Path, changed: dict[str, bytes], command: str, may_look_empty: bool) -> None:
    """Key, seed and journal are there; the place in use is whole, or else the new one is."""
    for path in ("seed.bin", "identity.bin", "journal.bin"):
        assert (storage / path).read_bytes() == FILES[path]
    if command != "provision":
        config = "config.json"
        assert (storage / config).read_bytes() == (FILES | changed)[config]
    if not may_look_empty and not any(path.startswith("fw/") for path in changed):
        for path, data in in_place(OLD, "a").items():
            assert (storage / path).read_bytes() == data
        used = json.loads((storage / "fw/use.json").read_bytes())["use"]
        assert used == "a" or (storage / "fw/b/manifest.json").exists()


def honest(place: str) -> Lies:
    """A meter that works."""
    hello = body_of("hello", board="unix", firmware="0.2.0", meter_id=7, public_key=b"k" * 32)
    life = body_of("life", place=place, confirmed=1)
    return Lies({}, {"hello_request": [hello], "life_request": [life]})


@pytest.mark.parametrize(("command", "place"), [("deploy", "b"), ("provision", "a")])
def test_a_board_that_tells_the_truth_is_served(command: str, place: str) -> None:
    """The control: what is refused below is refused for its lies."""
    result = run(COMMANDS[command], honest(place), {})
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["board"] == "unix"


@pytest.mark.parametrize("command", COMMANDS)
@SHAKEN
@given(told=lies())
def test_whatever_a_board_says_a_command_ends_with_one_clear_error(
    command: str, told: Lies
) -> None:
    assert run(COMMANDS[command], told, {}).exit_code in (0, 1, 2)


def test_a_board_that_lists_nothing_keeps_the_firmware_in_use() -> None:
    result = run(COMMANDS["force"], Lies({2: answer({})}), {})
    assert result.exit_code == 2
    assert "contradicts itself" in result.stderr


@pytest.mark.parametrize("command", COMMANDS)
@SHAKEN
@given(path=st.sampled_from(["config.json", "fw/use.json", "fw/a/manifest.json"]), content=CONTENTS)
def test_whatever_lies_in_a_boards_files_a_command_ends_with_one_clear_error(
    command: str, path: str, content: bytes
) -> None:
    assert run(COMMANDS[command], Lies(), {path: content}).exit_code in (0, 1, 2)


@pytest.mark.parametrize("arguments", [["doctor", *BOARD], ["doctor", "--json", *BOARD[2:]]])
@SHAKEN
@given(told=lies())
def test_whatever_a_meter_says_doctor_tells_it(arguments: list[str], told: Lies) -> None:
    assert run(arguments, told, {}, meter_runs=True).exit_code in (0, 1, 2)


@pytest.mark.parametrize("how", [["--json"], []])
@SHAKEN
@given(told=lies())
def test_whatever_a_meter_says_monitor_shows_it(how: list[str], told: Lies) -> None:
    arguments = ["monitor", *BOARD[2:], "--every-s", "0.2", "--count", "3", *how]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(monitor, "_LISTEN_S", 0.0)
        assert run(arguments, told, {}).exit_code == 0


@SHAKEN
@given(spoilt=st.dictionaries(st.integers(0, 6), SPOILT, min_size=1, max_size=3))
def test_a_liar_is_not_flashed_through_its_prompt(spoilt: dict[int, str]) -> None:
    from hushmeter.devices.boards import load_board
    from hushmeter.devices.flash import enter_bootloader
    from hushmeter.errors import HushmeterError

    with tempfile.TemporaryDirectory() as name:
        storage = Path(name)
        with on_port(storage, Lies(spoilt)), pytest.raises(HushmeterError):
            enter_bootloader("/dev/ttyLIAR", load_board("pico"))
