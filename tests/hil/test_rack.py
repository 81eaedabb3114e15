"""A bench file says what is where; a rack is a run for each board."""

from pathlib import Path

import pytest

from hushmeter.devices import bench
from hushmeter.errors import HushmeterError
from tests.devices.kit import UnixBoard
from tests.hil.suite_kit import ended, run_suite, runs_in

RACK = """
[boards.left]
board = "rpi_pico"
port = "/dev/ttyUSB-left"
stimulus = "wiggler"

[boards.right]
board = "pico_w"
port = "/dev/ttyUSB-right"

[boards.here]
board = "unix"
emulated = true

[stimuli.wiggler]
board = "rpi_pico"
port = "/dev/ttyUSB-wiggler"
"""
TWO = (
    '[boards.one]\nboard = "unix"\nemulated = true\n[boards.two]\nboard = "unix"\nemulated = true\n'
)


def load(folder: Path, text: str) -> dict[str, bench.Place]:
    path = folder / "rack.toml"
    path.write_text(text)
    return bench.load(path)


def test_a_bench_file_says_which_boards_are_where(tmp_path: Path) -> None:
    places = load(tmp_path, RACK)
    assert list(places) == ["left", "right", "here"]
    left = places["left"]
    assert (left.board.name, left.port) == ("rpi_pico", "/dev/ttyUSB-left")
    assert left.stimulus is not None and left.stimulus.port == "/dev/ttyUSB-wiggler"
    assert left.wires == left.board.hil.wires
    assert places["right"].board.name == "rpi_pico_w"
    assert places["right"].wires == () and places["here"].port == ""


def test_a_bench_may_have_fewer_wires_than_the_boards_file(tmp_path: Path) -> None:
    wires = 'stimulus = "wiggler"\nwires = [{ role = "level", peer = 17 }]'
    left = load(tmp_path, RACK.replace('stimulus = "wiggler"', wires))["left"]
    assert [(wire.role, wire.peer) for wire in left.wires] == [("level", 17)]


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ('"/dev/ttyUSB-right"', '"/dev/ttyUSB-left"', "boards.left has already"),
        ('"/dev/ttyUSB-wiggler"', '"/dev/ttyUSB-left"', "stimuli.wiggler.port"),
        ('"pico_w"', '"abacus"', "boards.right.board: there is no board 'abacus'"),
        ('port = "/dev/ttyUSB-right"', "", "boards.right.port is missing"),
        ("emulated = true", 'emulated = true\nport = "/dev/x"', "an emulated board has no port"),
        ("emulated = true", 'emulated = true\nstimulus = "wiggler"', "boards.here: an emulated"),
        ('stimulus = "wiggler"', 'stimulus = "juggler"', "stimuli of this file: wiggler"),
        ('stimulus = "wiggler"', "wires = []", "boards.left.wires: stimulus is missing"),
        ("[boards.right]", '[boards."a/b"]', "boards.a/b: a label has letters"),
        ("emulated = true", "emulated = 1", "$.boards[...].emulated"),
        ("emulated = true", "emulate = true", "emulate"),
        (
            'stimulus = "wiggler"',
            'stimulus = "wiggler"\nwires = [{ role = "tail", peer = 1 }]',
            "boards.left.wires: tail is no role of rpi_pico",
        ),
        (
            'stimulus = "wiggler"',
            'stimulus = "wiggler"\nwires = [{ role = "level", peer = 24 }]',
            "goes to pin 24, which rpi_pico lacks",
        ),
        (
            'port = "/dev/ttyUSB-right"',
            'port = "/dev/ttyUSB-right"\nstimulus = "wiggler"',
            "where another wire is",
        ),
        ("[boards.left]", "[boards.left", "is not TOML"),
    ],
)
def test_a_mistake_in_a_bench_file_is_one_clear_error(
    tmp_path: Path, old: str, new: str, wanted: str
) -> None:
    assert old in RACK
    with pytest.raises(HushmeterError) as caught:
        load(tmp_path, RACK.replace(old, new))
    assert wanted in caught.value.message
    assert "rack.toml" in caught.value.message


def test_two_names_of_one_port_are_one_port(tmp_path: Path) -> None:
    (tmp_path / "tty").touch()
    (tmp_path / "by-id").symlink_to("tty")
    text = RACK.replace("/dev/ttyUSB-left", str(tmp_path / "tty"))
    with pytest.raises(HushmeterError, match=r"boards.right.port .* boards.left has already"):
        load(tmp_path, text.replace("/dev/ttyUSB-right", str(tmp_path / "by-id")))


def test_a_bench_without_boards_or_without_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HushmeterError, match="no board is named"):
        load(tmp_path, "[boards]")
    with pytest.raises(HushmeterError, match="cannot be read"):
        bench.load(tmp_path / "absent.toml")


def test_a_rack_is_a_run_for_each_board(tmp_path: Path) -> None:
    (tmp_path / "rack.toml").write_text(TWO)
    suite = """
        def test_one(board):
            board.numbers["length"] = len(board.name)
            assert board.name == "one"
    """
    done = run_suite(tmp_path, suite, "--bench", "rack.toml")
    assert done.returncode == 1
    assert "one: passed" in done.stdout and "two: exit code 1" in done.stdout
    one, two = runs_in(tmp_path)
    assert (one.board.label, one.outcomes["passed"]) == ("one", 1)
    assert (two.board.label, two.outcomes["failed"]) == ("two", 1)


def test_one_board_of_a_rack_can_be_chosen(tmp_path: Path) -> None:
    (tmp_path / "rack.toml").write_text(TWO)
    suite = "def test_name(board):\n    assert board.name == 'two'"
    done = run_suite(tmp_path, suite, "--bench", "rack.toml", "--board", "two")
    assert done.returncode == 0, done.stdout
    assert [run.board.label for run in runs_in(tmp_path)] == ["two"]


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["--bench", "absent.toml"], "absent.toml: cannot be read"),
        (["--bench", "rack.toml", "--board", "three"], "boards: one, two"),
        (["--board", "/dev/ttyNONE", "--force", "-n", "2"], "a board on a port takes one process"),
    ],
)
def test_a_wrong_choice_is_one_clear_error(
    tmp_path: Path, arguments: list[str], wanted: str
) -> None:
    (tmp_path / "rack.toml").write_text(TWO)
    done = run_suite(tmp_path, "def test_it(board): pass", *arguments)
    assert done.returncode == 4
    assert wanted in done.stderr and "Traceback" not in done.stderr


ON_A_PORT = """
    from hushmeter.link import Link

    def test_a_meter_boots_and_keeps_its_files(board):
        link = Link(board.boot({"note.txt": b"kept"}), timeout_s=5.0, tries=3)
        assert "not_provisioned" in link.request("hello_request").fields["problem"]
        link = Link(board.reset(), timeout_s=5.0, tries=3)
        assert link.request("hello_request").fields["boots"] >= 0
        assert board.files()["note.txt"] == b"kept"
        assert not any(name.endswith(".mpy") for name in board.files())
"""


def test_a_board_on_a_port_is_driven_through_its_prompt(tmp_path: Path) -> None:
    """A process behind a pseudo-terminal stands for the board."""
    with UnixBoard(tmp_path / "storage") as port:
        (tmp_path / "rack.toml").write_text(f'[boards.desk]\nboard = "unix"\nport = "{port}"\n')
        done = run_suite(tmp_path, ON_A_PORT, "--bench", "rack.toml", "--force")
    assert done.returncode == 0, done.stdout + done.stderr
    (run,) = runs_in(tmp_path)
    assert ended(run)["test_a_meter_boots_and_keeps_its_files"] == ("passed", "")
    assert (run.board.label, run.board.port) == ("desk", port)
    assert run.board.how == "emulated", "what is behind a pseudo-terminal is not silicon"
    assert run.interpreter is not None
