"""Images in miniature: well-formed files of both formats, small enough to write in a test."""

import struct

from hushmeter.devices.boards import boards_with_image
from hushmeter.devices.facts import Board, Esp, Uf2

UF2_BOARD = next(board for board in boards_with_image() if board.loader and board.loader.uf2)
ESP_BOARD = next(board for board in boards_with_image() if board.loader and board.loader.esp)


def uf2_of(board: Board) -> Uf2:
    """The UF2 facts of a board that has some."""
    assert board.loader is not None and board.loader.uf2 is not None
    return board.loader.uf2


def esp_of(board: Board) -> Esp:
    """The ESP facts of a board that has some."""
    assert board.loader is not None and board.loader.esp is not None
    return board.loader.esp


def uf2_block(
    number: int, total: int, address: int, family: int, *, flags: int = 0x2000, size: int = 256
) -> bytes:
    """One block, its payload all zero."""
    head = struct.pack("<8I", 0x0A324655, 0x9E5D5157, flags, address, size, number, total, family)
    return head + bytes(476) + struct.pack("<I", 0x0AB16F30)


def uf2_image(board: Board = UF2_BOARD, blocks: int = 300, *, family: int | None = None) -> bytes:
    """An image that fills the flash from its start."""
    uf2 = uf2_of(board)
    return b"".join(
        uf2_block(
            number,
            blocks,
            uf2.flash_address + 256 * number,
            uf2.family if family is None else family,
        )
        for number in range(blocks)
    )


def esp_image(
    board: Board = ESP_BOARD, size: int = 0x20000, *, chip_id: int | None = None
) -> bytes:
    """A loader's header, a partition table, and nothing else."""
    esp = esp_of(board)
    image = bytearray(b"\xff" * size)
    header = struct.pack("<BBBBIB3xH10x", 0xE9, 4, 2, 0x20, 0x40080000, 0xEE, 0)
    image[: len(header)] = header
    struct.pack_into("<H", image, 12, esp.chip_id if chip_id is None else chip_id)
    table = 0x8000 - esp.offset
    image[table : table + 2] = b"\xaa\x50"
    return bytes(image)
