"""Folders to littlefs images and back, in the format MicroPython 1.24 mounts."""

import importlib
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from hushmeter.errors import HushmeterError

BLOCK_SIZE = 4096
_PROGRAM_SIZE = 256
_READ_SIZE = 32
_LOOKAHEAD_SIZE = 32
_DISK_VERSION = 0x0002_0001


def build(files: Mapping[str, bytes], block_count: int) -> bytes:
    """Return an image of ``block_count`` blocks of 4096 bytes that holds ``files``.

    Parameters
    ----------
    files:
        Content by path; folders are made as needed, a leading ``/`` is ignored.

    Raises
    ------
    HushmeterError
        If the files do not fit, or the package ``littlefs-python`` is missing.
    """
    filesystem = _new(block_count)
    filesystem.format()
    filesystem.mount()
    for path, content in files.items():
        name = PurePosixPath("/") / path
        filesystem.makedirs(str(name.parent), exist_ok=True)
        try:
            with filesystem.open(str(name), "wb") as target:
                target.write(content)
        except _library().LittleFSError as error:
            raise HushmeterError(
                f"{name} ({len(content)} bytes) does not fit the board's flash: {error}"
            ) from error
    filesystem.unmount()
    return bytes(filesystem.context.buffer)


def read(image: bytes) -> dict[str, bytes]:
    """Return all files of an image by path, without a leading ``/``.

    Raises
    ------
    HushmeterError
        If the image holds no filesystem.
    """
    filesystem = _new(len(image) // BLOCK_SIZE)
    filesystem.context.buffer = bytearray(image)
    try:
        filesystem.mount()
    except _library().LittleFSError as error:
        raise HushmeterError(f"the flash holds no littlefs filesystem: {error}") from error
    found: dict[str, bytes] = {}
    for folder, _, names in filesystem.walk("/"):
        for name in names:
            path = PurePosixPath(folder) / name
            with filesystem.open(str(path), "rb") as source:
                found[str(path).lstrip("/")] = source.read()
    return dict(sorted(found.items()))


def _library() -> Any:
    try:
        return importlib.import_module("littlefs")
    except ImportError as error:
        raise HushmeterError(
            "the package littlefs-python is not installed",
            "pip install 'hushmeter[emulation]'",
        ) from error


def _new(block_count: int) -> Any:
    return _library().LittleFS(
        block_size=BLOCK_SIZE,
        block_count=block_count,
        prog_size=_PROGRAM_SIZE,
        read_size=_READ_SIZE,
        cache_size=BLOCK_SIZE,
        lookahead_size=_LOOKAHEAD_SIZE,
        disk_version=_DISK_VERSION,
        mount=False,
    )
