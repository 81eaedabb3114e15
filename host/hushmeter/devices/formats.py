"""Whether an image file is one for a board, from what the file says of itself.

UF2 (github.com/microsoft/uf2): blocks of 512 bytes, each with three magic numbers, an address, and
the number of the chip family that may take it. ESP images (ESP-IDF, esp_image_format): a header of
24 bytes with a magic number and the chip's number; what MicroPython publishes as ``.bin`` is a
loader, a partition table and the interpreter in one file, to be written at one offset.

A file for the wrong board is refused here, before anything is written.
"""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn

from hushmeter.devices.facts import Board, Esp, Uf2
from hushmeter.errors import HushmeterError

_BLOCK = struct.Struct("<8I")
_BLOCK_BYTES = 512
_MAGIC = (0x0A324655, 0x9E5D5157)
_END_MAGIC = 0x0AB16F30
_NOT_FLASH = 0x1
_HAS_FAMILY = 0x2000
_PAYLOAD_BYTES = 476

_ESP_MAGIC = 0xE9
_ESP_HEADER_BYTES = 24
_PARTITIONS_AT = 0x8000
_PARTITION_MAGIC = b"\xaa\x50"


@dataclass(frozen=True)
class ImageFacts:
    """What an image writes.

    Attributes
    ----------
    start, end:
        The part of the flash that it covers, in bytes from the flash's start.
    """

    kind: Literal["uf2", "esp"]
    bytes: int
    start: int
    end: int


def check_image(path: Path, board: Board) -> ImageFacts:
    """What a file writes, if it is an image for the board that keeps clear of its files.

    Raises
    ------
    HushmeterError
        It is no image, one for another chip, cut short, or would write over the filesystem.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise HushmeterError(f"{path}: cannot be read: {error.strerror}") from error
    if board.loader is None or board.flash is None:
        raise HushmeterError(f"board {board.name} runs no image: nothing is flashed onto it")
    if board.loader.uf2 is not None:
        facts = _uf2(path, data, board, board.loader.uf2)
    elif board.loader.esp is not None:
        facts = _esp(path, data, board, board.loader.esp)
    else:
        raise HushmeterError(f"board {board.name}: its file names no image format")
    if facts.end > board.filesystem.start:
        _refuse(
            path, board, f"writes up to {facts.end:#x}, files begin at {board.filesystem.start:#x}"
        )
    return facts


def _refuse(path: Path, board: Board, reason: str) -> NoReturn:
    raise HushmeterError(
        f"{path} is no image for board {board.name}: {reason}",
        hint=f"get the right one with: hushmeter image {board.name} --fetch",
    )


def _uf2(path: Path, data: bytes, board: Board, uf2: Uf2) -> ImageFacts:
    if len(data) < _BLOCK_BYTES or data[:4] != struct.pack("<I", _MAGIC[0]):
        _refuse(path, board, "it is not a UF2 file")
    if len(data) % _BLOCK_BYTES:
        _refuse(path, board, f"it ends in the middle of a block ({len(data)} bytes)")
    spans, numbers, total = [], set(), 0
    for at in range(0, len(data), _BLOCK_BYTES):
        block = at // _BLOCK_BYTES
        first, second, flags, address, size, number, total, family = _BLOCK.unpack_from(data, at)
        (last,) = struct.unpack_from("<I", data, at + _BLOCK_BYTES - 4)
        if (first, second) != _MAGIC or last != _END_MAGIC or size > _PAYLOAD_BYTES:
            _refuse(path, board, f"block {block} is damaged")
        if not flags & _HAS_FAMILY:
            _refuse(path, board, "it does not say which chip it is for")
        if family != uf2.family:
            _refuse(path, board, f"it is for family {family:#010x}, the board is {uf2.family:#x}")
        numbers.add(number)
        if not flags & _NOT_FLASH:
            spans.append((address - uf2.flash_address, address - uf2.flash_address + size))
    if numbers != set(range(total)):
        _refuse(path, board, f"it has {len(numbers)} of its {total} blocks")
    if not spans or min(spans)[0] < 0:
        _refuse(path, board, "it writes nothing into the flash, or something in front of it")
    return ImageFacts("uf2", len(data), min(spans)[0], max(end for _, end in spans))


def _esp(path: Path, data: bytes, board: Board, esp: Esp) -> ImageFacts:
    if len(data) < _ESP_HEADER_BYTES or data[0] != _ESP_MAGIC:
        _refuse(path, board, "it is not an ESP image")
    (chip_id,) = struct.unpack_from("<H", data, 12)
    if chip_id != esp.chip_id:
        _refuse(path, board, f"it is for chip number {chip_id}, the board's is {esp.chip_id}")
    table = _PARTITIONS_AT - esp.offset
    if data[table : table + 2] != _PARTITION_MAGIC:
        _refuse(path, board, "it has no partition table: it is a part of an image, or cut short")
    return ImageFacts("esp", len(data), esp.offset, esp.offset + len(data))
