"""The device package compiles for every board, into files that the board's interpreter loads."""

from dataclasses import replace
from pathlib import Path

import pytest

from hushmeter.assets import firmware_files
from hushmeter.devices import deploy_board, firmware
from hushmeter.devices.boards import board_names, load_board
from hushmeter.devices.bytecode import STAY_SOURCE, check_fit, compile_files, processor
from hushmeter.devices.console import Console, Identity
from hushmeter.devices.facts import Board
from hushmeter.devices.meterlink import await_health
from hushmeter.errors import HushmeterError
from tests.devices.kit import UnixBoard, write

BOARDS = [load_board(name) for name in board_names()]


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_the_firmware_compiles_for_the_boards_interpreter(board: Board) -> None:
    sources = {name: path.read_bytes() for name, path in firmware_files().items()}
    compiled = compile_files(sources, board)
    assert board.bytecode is not None
    version = int(board.bytecode.version.split(".")[0])
    modules = [name for name in compiled if name.endswith(".mpy")]
    architecture = board.bytecode.architecture
    wanted = [
        name
        for name in sources
        if name not in STAY_SOURCE and processor(name) in (None, architecture)
    ]
    assert modules == [name.replace(".py", ".mpy") for name in wanted]
    for name in modules:
        # py/persistentcode.c: "M", version, flags, and the bits of the small integers it needs.
        mark, found, _, small_int_bits = compiled[name][:4]
        assert (mark, found) == (ord("M"), version), name
        assert small_int_bits <= board.small_int_bits, name


def test_a_module_in_assembler_goes_to_its_processor_only() -> None:
    assert processor("hushfw/core/field_armv6m.py") == "armv6m"
    assert processor("hushfw/core/field.py") is processor("hushfw/core/prfsum_viper.py") is None
    files = {"a_armv6m.py": b"import micropython", "b.py": b""}
    got = {
        board.bytecode.architecture: compile_files(files, board)
        for board in BOARDS
        if board.bytecode
    }
    assert set(got["armv6m"]) == {"a_armv6m.mpy", "b.mpy"}
    assert set(got["xtensawin"]) == {"b.mpy"}


def test_every_board_with_native_code_says_for_which_processor() -> None:
    assert len(BOARDS) >= 5
    for board in BOARDS:
        assert board.bytecode is not None and board.bytecode.architecture != "none"


@pytest.mark.parametrize("version", ["3", "16", "63"])
def test_bytecode_of_another_version_does_not_fit_because_a_digit_is_the_same(version: str) -> None:
    board = next(board for board in BOARDS if board.bytecode and board.bytecode.version == "6.3")
    check_fit({"hushfw/app.mpy": bytes((ord("M"), 6, 0, 31))}, board)
    with pytest.raises(HushmeterError, match=f"as bytecode {version}.0; "):
        check_fit({"hushfw/app.mpy": bytes((ord("M"), int(version), 0, 31))}, board)


def test_firmware_compiled_for_a_process_is_for_the_machine_that_it_runs_on(tmp_path: Path) -> None:
    """Whichever that is; the interpreter of a board with another processor is refused."""
    unix = load_board("unix")
    built = firmware.build(unix)
    assert built.architecture == "host" and "hushfw/app.mpy" in built.files
    here = Identity("1.24.1", "linux", "", built.mpy, "armv7m")
    deploy_board.check_interpreter(here, unix, built)
    for mpy in ("6.1", "5.3"):
        with pytest.raises(HushmeterError) as wrong:
            deploy_board.check_interpreter(replace(here, mpy=mpy), unix, built)
        assert "--source" in wrong.value.hint
    pico = load_board("pico")
    with pytest.raises(HushmeterError) as wrong:
        deploy_board.check_interpreter(here, pico, replace(built, architecture="armv6m"))
    assert "hushmeter flash --board rpi_pico" in wrong.value.hint
    write(tmp_path / "board", firmware.flash_files(unix))
    with UnixBoard(tmp_path / "board") as port, Console(port, fresh=False) as console:
        deploy_board.check_interpreter(console.require(unix), unix, built)
        console.reset()
        assert "no config.json" in await_health(console.address).problem
