"""The device package compiles for every board, into files that the board's interpreter loads."""

import pytest

from hushmeter.assets import firmware_files
from hushmeter.devices.boards import board_names, load_board
from hushmeter.devices.bytecode import STAY_SOURCE, check_fit, compile_files, processor
from hushmeter.devices.facts import Board
from hushmeter.errors import HushmeterError

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
