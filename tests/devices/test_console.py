"""The prompt comes back from everything that is known to lose it; what stays wrong is one error."""

import contextlib
import os
import pty
import threading
import tty
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import serial

from hushmeter.devices import ports
from hushmeter.devices.address import Address
from hushmeter.devices.boardfiles import BoardFiles, FilesystemFull
from hushmeter.devices.boards import load_board
from hushmeter.devices.console import BoardError, Console, PromptError, WrongAnswer, WrongBoard
from hushmeter.errors import HushmeterError
from tests.devices.kit import UnixBoard

DIES = "import os\nos.system('kill -9 $PPID')"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hushmeter.devices.rawrepl._ENTER_S", 1.0)
    monkeypatch.setattr("hushmeter.devices.rawrepl._READ_S", 1.0)


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Console]:
    with UnixBoard(tmp_path / "board") as port, Console(port, fresh=False) as console:
        yield console


def test_code_runs_and_values_come_back(console: Console) -> None:
    assert console.run("print(6 * 7)\nprint('two')") == "42\ntwo\n"
    assert console.value("answer = [1, None, 'x\\u00e4', {'n': sys.platform}]", "sys") == [
        1,
        None,
        "xä",
        {"n": "linux"},
    ]
    with pytest.raises(BoardError, match="could not do it: ZeroDivisionError"):
        console.run("1 // 0")
    assert console.run("print('alive')") == "alive\n"


def test_a_prompt_that_is_lost_is_entered_again_and_prepared_as_before(console: Console) -> None:
    console.prepare("known = 5")
    tries = []

    def action() -> str:
        tries.append(1)
        return console.run(DIES if len(tries) == 1 else "print(known)", timeout_s=1)

    assert console.again(action) == "5\n"
    assert len(tries) == 2


def test_a_prompt_that_is_always_lost_ends_as_an_error(console: Console) -> None:
    with pytest.raises(PromptError, match="was lost"):
        console.again(lambda: console.run(DIES, timeout_s=1))


@pytest.mark.parametrize("spoil", [lambda t: t[:-2], lambda t: "", lambda t: t.replace("7", "8")])
def test_an_answer_that_is_cut_short_is_asked_for_again(
    console: Console, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[str], str]
) -> None:
    run, count = console.run, []

    def once_spoilt(code: str, timeout_s: float = 30.0) -> str:
        count.append(1)
        output = run(code, timeout_s)
        return spoil(output) if len(count) == 1 else output

    monkeypatch.setattr(console, "run", once_spoilt)
    assert console.value("answer = {'n': 77}") == {"n": 77}
    assert len(count) == 2


def test_an_input_output_error_of_the_port_is_tried_again(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, failed = serial.Serial.write, []

    def fails_once(self: serial.Serial, data: bytes) -> int | None:
        if not failed:
            failed.append(1)
            raise OSError(5, "Input/output error")
        return write(self, data)

    monkeypatch.setattr(serial.Serial, "write", fails_once)
    assert console.value("answer = 3") == 3
    assert failed


def test_a_board_that_is_unplugged_in_the_middle_is_said_to_be_gone(
    console: Console, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The port is there when the prompt is entered, and not when it is entered again."""
    console.patience_s = 0.1
    monkeypatch.setattr(console.address, "now", lambda: str(tmp_path / "ttyGONE"))
    with pytest.raises(ports.PortError, match="ttyGONE is not there") as caught:
        console.again(lambda: console.run(DIES, timeout_s=1))
    assert "plug the board in" in (caught.value.hint or "")


def test_a_restart_that_fails_is_done_without(tmp_path: Path) -> None:
    with UnixBoard(tmp_path / "board") as port, Console(port) as console:
        assert console.run("print(1)") == "1\n"


def test_a_port_where_nothing_answers_is_said_to_be_silent() -> None:
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    try:
        console = Console(os.ttyname(theirs), patience_s=0.1)
        with pytest.raises(PromptError, match="nothing answers at /dev/pts") as caught:
            console.open()
        assert caught.value.hint is not None and "hushmeter flash" in caught.value.hint
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_program_that_never_stops_talking_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """mpremote by itself would read for ever: its time-outs count silence."""
    monkeypatch.setattr("hushmeter.devices.rawrepl._MOST_ENTER_S", 1.0)
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    os.set_blocking(ours, False)
    over = threading.Event()

    def talk() -> None:
        while not over.is_set():
            with contextlib.suppress(BlockingIOError):
                os.write(ours, b"and another thing, " * 50)
            with contextlib.suppress(BlockingIOError):
                os.read(ours, 4096)

    thread = threading.Thread(target=talk)
    thread.start()
    try:
        console = Console(os.ttyname(theirs), patience_s=0.1, fresh=False)
        with pytest.raises(PromptError, match="nothing answers"):
            console.open()
    finally:
        over.set()
        thread.join()
        os.close(ours)
        os.close(theirs)


def test_an_answer_without_end_is_cut_off(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hushmeter.devices.rawrepl._MOST_BYTES", 1000)
    with pytest.raises(PromptError, match="does not stop talking"):
        console.run("print('more ' * 500)")


def test_an_answer_of_another_shape_is_refused_and_not_asked_for_again(console: Console) -> None:
    with pytest.raises(WrongAnswer, match="Expected `int`, got `str`"):
        console.value("answer = ['x']", shape=list[int])
    assert console.value("answer = [1]", shape=list[int]) == [1]


def test_a_port_in_use_is_said_to_be_in_use(tmp_path: Path) -> None:
    with UnixBoard(tmp_path / "board") as port:
        holder = ports.open_port(port)
        with pytest.raises(ports.PortError, match="in use"):
            Console(port).open()
        holder.close()


def test_a_board_that_is_another_is_refused(console: Console) -> None:
    assert console.require(load_board("unix")).platform == "linux"
    with pytest.raises(WrongBoard, match=r"is a linux .*, not a rpi_pico"):
        console.require(load_board("pico"))


def test_a_board_that_comes_back_under_another_name_is_found_by_its_serial_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    present = [ports.Port("/dev/ttyACM0", "", "2e8a:0005", "e66"), ports.Port("/dev/ttyACM1", "")]
    monkeypatch.setattr(ports, "list_all", lambda: present)
    address = Address("/dev/ttyACM0")
    present[:] = []
    assert address.now() == "/dev/ttyACM0"
    present[:] = [
        ports.Port("/dev/ttyACM0", "", "", "f77"),
        ports.Port("/dev/ttyACM3", "", "", "e66"),
    ]
    assert address.now() == "/dev/ttyACM3"
    assert Address("/dev/ttyACM9").now() == "/dev/ttyACM9"


def test_files_go_whole_or_not_at_all(console: Console) -> None:
    files = BoardFiles(console)
    data = bytes(range(256)) * 9
    files.replace("a/b/data.bin", data)
    files.copy(
        "a/b/data.bin", "a/c/copy.bin", files.digests(["a/b/data.bin"])["a/b/data.bin"] or ""
    )
    assert files.read("a/c/copy.bin") == data and files.read("a/none") is None
    listing = {"a/": 0, "a/b/": 0, "a/b/data.bin": 2304, "a/c/": 0, "a/c/copy.bin": 2304}
    assert files.listing() == listing
    files.remove(["a/c/copy.bin", "a/c/", "a/gone"])
    assert files.listing() == {"a/": 0, "a/b/": 0, "a/b/data.bin": 2304}
    assert files.room().free_bytes > 0


def test_a_file_that_arrives_damaged_is_sent_again_and_never_renamed(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = BoardFiles(console)
    files.replace("kept.bin", b"old")
    run = console.run
    monkeypatch.setattr(
        console, "run", lambda code, timeout_s=30.0: run(code.replace("bmV3", "bmV4"), timeout_s)
    )
    with pytest.raises(PromptError, match=r"kept.bin.tmp came to the board damaged"):
        files.replace("kept.bin", b"new")
    assert files.read("kept.bin") == b"old"


def test_a_full_filesystem_is_said_to_be_full(console: Console) -> None:
    files = BoardFiles(console)
    console.run(
        "class Full:\n def write(self, data): raise OSError(28)\n"
        "def open(path, mode='r', open=open): return Full() if mode == 'wb' else open(path, mode)"
    )
    with pytest.raises(FilesystemFull, match="big.bin could not be written"):
        files.write("big.bin", b"x")


def test_a_board_without_a_filesystem_is_said_to_have_none(console: Console) -> None:
    def broken(code: str) -> None:
        raise BoardError("OSError: [Errno 19] ENODEV")

    console.prepare = broken  # type: ignore[method-assign]
    with pytest.raises(HushmeterError, match="no filesystem that works: .*ENODEV"):
        BoardFiles(console)
