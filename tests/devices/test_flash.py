"""Flashing: the right program is called with the right words, and each failure is one error."""

import os
from pathlib import Path

import pytest

from hushmeter.devices import flash as module
from hushmeter.devices.boards import board_names, load_board
from hushmeter.devices.console import PromptError, WrongBoard
from hushmeter.devices.flash import (
    INFO_FILE,
    Job,
    check_drive,
    check_erase,
    choose_method,
    consequences,
    enter_bootloader,
    find_drives,
    flash,
)
from hushmeter.errors import HushmeterError
from tests.devices.image_kit import ESP_BOARD, UF2_BOARD, esp_image, esp_of, uf2_image, uf2_of
from tests.devices.stand_in import Drive, StandIn


@pytest.fixture
def uf2_file(tmp_path: Path) -> Path:
    path = tmp_path / "image.uf2"
    path.write_bytes(uf2_image())
    return path


@pytest.fixture
def esp_file(tmp_path: Path) -> Path:
    path = tmp_path / "image.bin"
    path.write_bytes(esp_image())
    return path


@pytest.fixture
def drive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Drive:
    """A drive that is mounted, beside a folder that is something else."""
    made = Drive(tmp_path, uf2_of(UF2_BOARD).board_id)
    monkeypatch.setattr(module, "mount_points", lambda: [tmp_path, made.path])
    monkeypatch.setattr(module, "RESTART_WAIT_S", 5.0)
    return made


def test_the_drive_is_found_and_gets_every_byte_of_the_image(drive: Drive, uf2_file: Path) -> None:
    size = uf2_file.stat().st_size
    watcher = drive.restart_after(uf2_file.name, size)
    seen: list[tuple[int, int]] = []
    flash(Job(UF2_BOARD, uf2_file, "uf2"), lambda done, total: seen.append((done, total)))
    watcher.join(5)
    assert drive.received == uf2_file.read_bytes()
    assert seen[-1] == (size, size) and len(seen) > 2
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})


def test_a_drive_that_is_not_mounted_says_which_button(
    uf2_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "mount_points", list)
    with pytest.raises(HushmeterError, match=f"no drive {uf2_of(UF2_BOARD).drive}") as caught:
        flash(Job(UF2_BOARD, uf2_file, "uf2"))
    assert "BOOTSEL" in (caught.value.hint or "")


def test_two_drives_are_never_guessed_between(
    drive: Drive, uf2_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "mount_points", lambda: [drive.path, drive.path])
    with pytest.raises(HushmeterError, match="2 drives fit"):
        flash(Job(UF2_BOARD, uf2_file, "uf2"))
    assert not (drive.path / uf2_file.name).exists()


def test_the_drive_of_another_kind_of_board_is_refused(tmp_path: Path, uf2_file: Path) -> None:
    other = Drive(tmp_path, "OTHER-BOARD")
    with pytest.raises(HushmeterError, match="belongs to a board OTHER-BOARD"):
        flash(Job(UF2_BOARD, uf2_file, "uf2", drive=other.path))
    assert not (other.path / uf2_file.name).exists()


def test_a_drive_that_says_no_end_of_things_is_read_no_further_than_a_drives_file(
    tmp_path: Path,
) -> None:
    other = Drive(tmp_path, "OTHER")
    (other.path / INFO_FILE).write_text(
        "x" * (1 << 20) + f"\nBoard-ID: {uf2_of(UF2_BOARD).board_id}"
    )
    with pytest.raises(HushmeterError, match="without a name"):
        check_drive(other.path, uf2_of(UF2_BOARD))
    (other.path / INFO_FILE).write_text("Board-ID: " + "9" * 4000)
    with pytest.raises(HushmeterError, match="belongs to a board 9{60}, not") as caught:
        check_drive(other.path, uf2_of(UF2_BOARD))
    assert len(caught.value.message) < 300


def test_a_folder_is_not_taken_for_a_drive(tmp_path: Path) -> None:
    with pytest.raises(HushmeterError, match=f"has no {INFO_FILE}"):
        check_drive(tmp_path, uf2_of(UF2_BOARD))


def test_an_image_that_the_board_does_not_take_is_reported(
    drive: Drive, uf2_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RESTART_WAIT_S", 0.2)
    with pytest.raises(HushmeterError, match="has not restarted"):
        flash(Job(UF2_BOARD, uf2_file, "uf2", drive=drive.path))


@pytest.mark.parametrize("restarted", [True, False])
def test_a_copy_that_fails_at_its_end_counts_only_if_the_drive_went_away(
    drive: Drive, uf2_file: Path, monkeypatch: pytest.MonkeyPatch, restarted: bool
) -> None:
    size = uf2_file.stat().st_size

    def fsync(descriptor: int) -> None:
        if os.fstat(descriptor).st_size == size:
            if restarted:
                (drive.path / INFO_FILE).unlink()
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(module.os, "fsync", fsync)
    job = Job(UF2_BOARD, uf2_file, "uf2", drive=drive.path)
    if restarted:
        flash(job)
        assert (drive.path / uf2_file.name).read_bytes() == uf2_file.read_bytes()
    else:
        with pytest.raises(HushmeterError, match=f"{size} of {size} bytes were written"):
            flash(job)


def test_a_copy_that_breaks_off_is_reported_even_if_the_drive_went_away(
    drive: Drive, uf2_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fsync(descriptor: int) -> None:
        (drive.path / INFO_FILE).unlink()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "fsync", fsync)
    with pytest.raises(HushmeterError, match=r"32768 of \d+ bytes were written: No space left"):
        flash(Job(UF2_BOARD, uf2_file, "uf2", drive=drive.path))


def test_mount_points_with_blanks_are_understood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert module._unescaped(r"/media/a\040b") == "/media/a b"
    assert Path("/") in module.mount_points()
    assert find_drives(uf2_of(UF2_BOARD)) == []


@pytest.fixture
def picotool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    return StandIn("picotool", tmp_path, monkeypatch)


@pytest.fixture
def esptool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    made = StandIn("esptool", tmp_path, monkeypatch)
    made.answer(flash_id=("Chip is of the right kind\nDetected flash size: 16MB\n", 0))
    return made


def test_picotool_loads_verifies_and_starts_the_image(picotool: StandIn, uf2_file: Path) -> None:
    picotool.answer(load=("Loading into Flash: 100%\nOK\n", 0))
    said: list[str] = []
    flash(Job(UF2_BOARD, uf2_file, "picotool"), echo=said.append)
    assert picotool.calls == [["load", "-v", "-x", str(uf2_file)]]
    assert said == ["Loading into Flash: 100%", "OK"]


@pytest.mark.parametrize(
    ("said", "message", "hint"),
    [
        (
            "No accessible RP2040 devices in BOOTSEL mode were found.\n",
            "finds no board in its loader",
            "hold BOOTSEL",
        ),
        (
            "No accessible RP-series devices in BOOTSEL mode were found.\n\nbut:\n\nRP2040 device "
            "at bus 1, address 2 appears to be in BOOTSEL mode, but picotool was unable to connect"
            ". Maybe try 'sudo' or check your permissions.\n",
            "may not talk to it",
            "udev rules",
        ),
        ("Something new\n", "exit code 3; it said: Something new", "try again"),
        ("", "it said: nothing", "try again"),
    ],
)
def test_each_failure_of_picotool_has_a_next_step(
    picotool: StandIn, uf2_file: Path, said: str, message: str, hint: str
) -> None:
    picotool.answer(load=(said, 3))
    with pytest.raises(HushmeterError, match=message) as caught:
        flash(Job(UF2_BOARD, uf2_file, "picotool"))
    assert hint in (caught.value.hint or "")


def test_esptool_looks_at_the_chip_and_then_writes_at_the_boards_offset(
    esptool: StandIn, esp_file: Path, idle_port: str
) -> None:
    flash(Job(ESP_BOARD, esp_file, "esptool", idle_port))
    esp = esp_of(ESP_BOARD)
    start = ["--chip", esp.chip, "--port", idle_port]
    write = ["--baud", str(esp.baud), "write_flash", "-z", hex(esp.offset), str(esp_file)]
    assert esptool.calls == [[*start, "flash_id"], [*start, *write]]


def test_the_flash_is_erased_only_when_asked(
    esptool: StandIn, esp_file: Path, idle_port: str
) -> None:
    job = Job(ESP_BOARD, esp_file, "esptool", idle_port, erase=True)
    flash(job)
    assert [call[4] for call in esptool.calls] == ["flash_id", "erase_flash", "--baud"]
    assert "lost" in consequences(job)[0]


def test_a_board_with_less_flash_than_its_file_says_is_not_written(
    esptool: StandIn, esp_file: Path, idle_port: str
) -> None:
    esptool.answer(flash_id=(f"Detected flash size: {'9' * 5000}MB\nDetected flash size: 2MB\n", 0))
    with pytest.raises(HushmeterError, match="has 2097152 bytes of flash"):
        flash(Job(ESP_BOARD, esp_file, "esptool", idle_port, erase=True))
    assert len(esptool.calls) == 1


@pytest.mark.parametrize(
    ("said", "message", "hint"),
    [
        (
            "A fatal error occurred: This chip is ESP32-S3, not ESP32. Wrong chip argument?\n",
            "is ESP32-S3; board .* has ESP32",
            "--board",
        ),
        (
            "A fatal error occurred: Failed to connect to ESP32: No serial data received.\n",
            "does not go into its loader",
            "BOOT",
        ),
        (
            "A fatal error occurred: Failed to connect to ESP32: Wrong boot mode detected (0x13)!",
            "does not go into its loader",
            "BOOT",
        ),
        (
            "A fatal error occurred: Could not open /dev/x, the port is busy or doesn't exist.\n",
            "cannot open",
            "no other program",
        ),
        (
            "could not open port: [Errno 13] Permission denied: '/dev/x'\n",
            "may not open",
            "doctor",
        ),
        (
            "A fatal error occurred: MD5 of file does not match data in flash!\n",
            "reads back differently",
            "cable",
        ),
        (
            "A fatal error occurred: The chip stopped responding.\n",
            "is disturbed",
            "cable",
        ),
    ],
)
def test_each_failure_of_esptool_has_a_next_step(
    esptool: StandIn, esp_file: Path, idle_port: str, said: str, message: str, hint: str
) -> None:
    esptool.answer(flash_id=(said, 2))
    with pytest.raises(HushmeterError, match=message) as caught:
        flash(Job(ESP_BOARD, esp_file, "esptool", idle_port))
    assert hint in (caught.value.hint or "")
    assert len(esptool.calls) == 1


def test_a_port_that_is_not_there_is_refused_before_esptool_runs(
    esptool: StandIn, esp_file: Path, tmp_path: Path
) -> None:
    with pytest.raises(HushmeterError, match="is not there"):
        flash(Job(ESP_BOARD, esp_file, "esptool", str(tmp_path / "ttyNONE")))
    with pytest.raises(HushmeterError, match="needs a port"):
        flash(Job(ESP_BOARD, esp_file, "esptool"))
    assert esptool.calls == []


def test_a_program_that_is_not_installed_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uf2_file: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HushmeterError, match="picotool is not on the path") as caught:
        flash(Job(UF2_BOARD, uf2_file, "picotool"))
    assert "install picotool" in (caught.value.hint or "")


def test_a_method_that_the_board_does_not_have_is_refused() -> None:
    assert choose_method(UF2_BOARD, None) == "uf2"
    assert choose_method(ESP_BOARD, None) == "esptool"
    with pytest.raises(HushmeterError, match="not flashed with esptool; it takes: uf2, picotool"):
        choose_method(UF2_BOARD, "esptool")
    bare = next(board for board in map(load_board, board_names()) if board.image is None)
    with pytest.raises(HushmeterError, match="runs no image"):
        choose_method(bare, None)


def test_erasing_is_refused_where_the_method_cannot(uf2_file: Path) -> None:
    job = Job(UF2_BOARD, uf2_file, "uf2", erase=True)
    for refuse in (flash, check_erase):
        with pytest.raises(HushmeterError, match="--erase needs the method esptool") as refused:
            refuse(job)
        assert "made for that" in refused.value.hint


def test_a_board_whose_loader_looks_like_anothers_is_warned_about(uf2_file: Path) -> None:
    warning = " ".join(consequences(Job(UF2_BOARD, uf2_file, "uf2")))
    twins = [
        board.name
        for board in map(load_board, board_names())
        if board.name != UF2_BOARD.name and board.loader and board.loader.uf2
    ]
    assert twins and all(twin in warning for twin in twins)


class FakeConsole:
    """A board's prompt that keeps what it was asked to run."""

    ran: list[str] = []
    machine = ""

    def __init__(self, port: str) -> None:
        self.port = port

    def __enter__(self) -> "FakeConsole":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def require(self, board: object) -> None:
        if getattr(board, "machine", "") != self.machine:
            raise WrongBoard(f"the board is a {self.machine}")

    def run(self, code: str, timeout_s: float) -> str:
        self.ran.append(code)
        raise PromptError("the port went away")


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch) -> type[FakeConsole]:
    monkeypatch.setattr(module, "Console", FakeConsole)
    monkeypatch.setattr(FakeConsole, "ran", [])
    monkeypatch.setattr(FakeConsole, "machine", UF2_BOARD.machine)
    return FakeConsole


def test_a_board_at_its_prompt_is_sent_into_its_loader_first(
    console: type[FakeConsole], drive: Drive, uf2_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounted = iter([[], [], [drive.path]])
    monkeypatch.setattr(module, "mount_points", lambda: next(mounted))
    watcher = drive.restart_after(uf2_file.name, uf2_file.stat().st_size)
    flash(Job(UF2_BOARD, uf2_file, "uf2", port="/dev/ttyX"))
    watcher.join(5)
    assert ["machine.bootloader()" in code for code in console.ran] == [True]
    assert drive.received == uf2_file.read_bytes()


def test_a_board_that_answers_as_another_is_not_flashed(
    console: type[FakeConsole], drive: Drive, uf2_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeConsole, "machine", "Toaster with T1")
    with pytest.raises(HushmeterError, match="Toaster"):
        flash(Job(UF2_BOARD, uf2_file, "uf2", port="/dev/ttyX"))
    assert console.ran == []
    assert not (drive.path / uf2_file.name).exists()


def test_a_board_without_a_way_into_its_loader_says_so() -> None:
    dumb = next(b for b in map(load_board, board_names()) if "bootloader" not in b.capabilities)
    with pytest.raises(HushmeterError, match="cannot be put into its loader") as caught:
        enter_bootloader("/dev/ttyX", dumb)
    assert "buttons" in (caught.value.hint or "")
