"""The same firmware on CPython: what a board with the same storage must say, byte for byte."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hil.backends import write_folder
from hushfw import meter
from hushfw.core.frame import Decoder


class Twin:
    """A meter in a folder, run by this interpreter; a transport of the host link.

    With a fixed seed in its configuration it uses no entropy, so it is a function of its storage
    and of what it is sent.
    """

    name = "twin"

    def __init__(self, folder: Path, files: Mapping[str, bytes]) -> None:
        self._folder = folder
        write_folder(folder, files)
        self.reset()

    def reset(self) -> Twin:
        """Start anew on the same storage."""
        self._decoder = Decoder()
        self._said = b""
        with contextlib.chdir(self._folder):
            self._endpoint: Any = meter.boot()
        return self

    def write(self, data: bytes) -> None:
        with contextlib.chdir(self._folder):
            for kind, sequence, payload in self._decoder.feed(data):
                self._said += b"".join(self._endpoint.receive(kind, sequence, payload))

    def read(self, timeout_s: float) -> bytes:
        said, self._said = self._said, b""
        return said

    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self._folder.iterdir()}

    def fileno(self) -> int | None:
        return None

    def close(self) -> None:
        """Nothing is open."""
