"""An image for another chip, a part of one, or one that reaches into the files is refused."""

from pathlib import Path

import pytest

from hushmeter.devices.boards import board_names, boards_with_image, load_board
from hushmeter.devices.facts import Board
from hushmeter.devices.formats import check_image
from hushmeter.devices.images import find_image, image_state
from hushmeter.errors import HushmeterError
from tests.devices.image_kit import (
    ESP_BOARD,
    UF2_BOARD,
    esp_image,
    esp_of,
    uf2_block,
    uf2_image,
    uf2_of,
)

ESP_BOARDS = [board for board in boards_with_image() if board.loader and board.loader.esp]
FAMILY, START = uf2_of(UF2_BOARD).family, uf2_of(UF2_BOARD).flash_address


def write(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "image"
    path.write_bytes(data)
    return path


def test_a_sound_uf2_image_passes(tmp_path: Path) -> None:
    facts = check_image(write(tmp_path, uf2_image()), UF2_BOARD)
    assert (facts.kind, facts.start, facts.end) == ("uf2", 0, 300 * 256)


@pytest.mark.parametrize("board", ESP_BOARDS, ids=lambda board: board.name)
def test_a_sound_esp_image_passes(tmp_path: Path, board: Board) -> None:
    facts = check_image(write(tmp_path, esp_image(board)), board)
    assert (facts.kind, facts.start) == ("esp", esp_of(board).offset)


def test_no_image_passes_for_a_board_with_another_chip(tmp_path: Path) -> None:
    tried = 0
    for own in boards_with_image():
        uf2 = own.loader is not None and own.loader.uf2 is not None
        path = write(tmp_path, uf2_image(own) if uf2 else esp_image(own))
        check_image(path, own)
        for other in boards_with_image():
            if other.chip != own.chip:
                with pytest.raises(HushmeterError, match=f"no image for board {other.name}"):
                    check_image(path, other)
                tried += 1
    assert tried >= 6


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not a UF2 file"),
        (b"<html>not found</html>" * 100, "not a UF2 file"),
        (uf2_image()[:-100], "middle of a block"),
        (uf2_image()[:-512], "299 of its 300 blocks"),
        (uf2_image(family=0xE48BFF59), "it is for family 0xe48bff59"),
        (uf2_block(0, 1, START, FAMILY, flags=0), "which chip"),
        (uf2_block(0, 1, START, FAMILY)[:-4] + b"oops", "block 0 is damaged"),
        (uf2_block(0, 1, START, FAMILY, size=477), "block 0 is damaged"),
        (uf2_block(0, 1, START - 4096, FAMILY), "in front of it"),
        (uf2_block(0, 1, START, FAMILY, flags=0x2001), "nothing into the flash"),
        (uf2_block(0, 1, START + UF2_BOARD.filesystem.start, FAMILY), "files begin at"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_sound_uf2_image_is_refused(tmp_path: Path, data: bytes, reason: str) -> None:
    path = write(tmp_path, data)
    with pytest.raises(HushmeterError, match=reason) as caught:
        check_image(path, UF2_BOARD)
    assert str(path) in caught.value.message and UF2_BOARD.name in caught.value.message


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not an ESP image"),
        (uf2_image(), "not an ESP image"),
        (esp_image(chip_id=77), "for chip number 77"),
        (esp_image()[:0x4000], "no partition table"),
        (esp_image(size=ESP_BOARD.filesystem.start), "files begin at"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_sound_esp_image_is_refused(tmp_path: Path, data: bytes, reason: str) -> None:
    path = write(tmp_path, data)
    with pytest.raises(HushmeterError, match=reason):
        check_image(path, ESP_BOARD)


def test_a_board_without_image_takes_none(tmp_path: Path) -> None:
    bare = next(board for board in map(load_board, board_names()) if board.image is None)
    with pytest.raises(HushmeterError, match="runs no image"):
        check_image(write(tmp_path, uf2_image()), bare)


@pytest.mark.parametrize("board", boards_with_image(), ids=lambda board: board.name)
def test_the_real_image_passes_where_it_is_at_hand(board: Board) -> None:
    if image_state(board) != "at hand":
        pytest.skip(f"the image of {board.name} is not at hand")
    path = find_image(board)
    assert path is not None and board.image is not None
    assert check_image(path, board).bytes == path.stat().st_size
