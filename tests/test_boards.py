"""Board facts are data: what is in ``boards/`` is sound, and what is wrong is refused by name."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from hushmeter.assets import boards_dir
from hushmeter.devices import boards
from hushmeter.devices.boards import board_names, load_board
from hushmeter.errors import HushmeterError

FOLDER_BOARD = """
name = "shed"
description = "A board for tests"
chip = "host"
port = "unix"
small_int_bits = 63
float_bits = 64
heap = { bytes = 1000 }
filesystem = { kind = "folder" }
console = { kind = "stdio" }
"""


def write_board(root: Path, text: str, folder: str = "shed") -> Path:
    path = root / folder / "board.toml"
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def own_boards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(boards, "boards_dir", lambda: tmp_path)
    return tmp_path


def test_every_folder_is_a_board_that_loads() -> None:
    folders = sorted(path.name for path in boards_dir().iterdir() if path.is_dir())
    assert board_names() == folders
    assert len(folders) >= 2
    assert [load_board(name).name for name in folders] == folders


def test_an_alias_means_the_same_board() -> None:
    aliased = [board for board in map(load_board, board_names()) if board.aliases]
    assert aliased
    for board in aliased:
        assert all(load_board(alias) is board for alias in board.aliases)


def test_names_and_aliases_are_unique() -> None:
    all_boards = [load_board(name) for name in board_names()]
    names = [name for board in all_boards for name in (board.name, *board.aliases)]
    assert len(names) == len(set(names))


def test_the_unix_port_has_twice_the_heap_of_the_smallest_board() -> None:
    real = [load_board(name) for name in board_names() if load_board(name).flash is not None]
    assert load_board("unix").heap.bytes == 2 * min(board.heap.bytes for board in real)


def test_a_filesystem_in_flash_fills_whole_erase_blocks_inside_it() -> None:
    checked = 0
    for board in map(load_board, board_names()):
        if board.flash is not None:
            place = board.filesystem
            assert place.start % board.flash.erase_bytes == 0
            assert place.bytes % board.flash.erase_bytes == 0
            assert place.start + place.bytes <= board.flash.bytes
            checked += 1
    assert checked > 0


def test_an_unknown_board_is_refused_with_the_known_ones() -> None:
    with pytest.raises(HushmeterError, match="no board 'toaster'.*known boards: .*unix"):
        load_board("toaster")


def test_a_sound_board_file_is_read(own_boards: Path) -> None:
    write_board(own_boards, FOLDER_BOARD)
    board = load_board("shed")
    assert (board.heap.bytes, board.filesystem.kind, board.image) == (1000, "folder", None)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ("heap = { bytes = 0 }", r"heap\.bytes"),
        ("heap = { bytes = 'many' }", r"heap\.bytes"),
        ("heap = { bytes = 1000, stack = 5 }", r"\$\.heap"),
        ("name = 'barn'", "name is 'barn'"),
        ("float_bits = 16", "float_bits"),
        ("capabilities = ['telepathy']", "capabilities"),
        ("filesystem = { kind = 'littlefs2' }", "flash is missing"),
        ("console = { kind = 'carrier pigeon' }", r"console\.kind"),
        ("colour = 'red'", "colour"),
        ("image = { version = '1', file = '../x', url = 'u', bytes = 1, sha256 = '' }", "image"),
    ],
)
def test_a_wrong_field_is_refused_with_file_and_field(
    own_boards: Path, wrong: str, field: str
) -> None:
    key = wrong.split(" ")[0]
    kept = [line for line in FOLDER_BOARD.splitlines() if not line.startswith(f"{key} ")]
    path = write_board(own_boards, "\n".join([*kept, wrong]))
    with pytest.raises(HushmeterError, match=field) as caught:
        load_board("shed")
    assert str(path) in caught.value.message


def test_a_missing_field_is_refused_with_its_name(own_boards: Path) -> None:
    write_board(own_boards, FOLDER_BOARD.replace('chip = "host"\n', ""))
    with pytest.raises(HushmeterError, match="chip"):
        load_board("shed")


def test_a_file_that_is_no_toml_is_refused_by_name(own_boards: Path) -> None:
    path = write_board(own_boards, "name = = 3")
    with pytest.raises(HushmeterError, match="is not TOML") as caught:
        load_board("shed")
    assert str(path) in caught.value.message


@pytest.mark.parametrize(
    ("place", "problem"),
    [
        ({"start": 0, "bytes": 4097, "block_bytes": 4096}, "multiple"),
        ({"start": 4096, "bytes": 8192, "block_bytes": 4096}, "ends behind the flash"),
    ],
)
def test_a_filesystem_that_does_not_fit_is_refused(place: dict[str, int], problem: str) -> None:
    raw: dict[str, Any] = tomllib.loads(FOLDER_BOARD)
    flash = boards.Flash(bytes=8192, erase_bytes=4096, program_bytes=256)
    raw["filesystem"] = boards.Filesystem(kind="littlefs2", **place)
    board = boards.Board(**{**raw, "flash": flash})
    assert problem in str(boards._problem(board, "shed"))
