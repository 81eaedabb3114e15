"""Random bytes of simulated homes: for every home an endless tape, known from seed and number.

The tape of a home is the stream of numpy's generator Philox4x64-10, words little-endian: key from
the seed, counter beginning at (0, number of the home, 0, 0). So tapes of different homes never
overlap, and any byte can be had without those before it. It is the same in every process and on
any number of threads, and numpy keeps the streams of its generators for good. Never for secrets: a
meter draws from its own generator.

A controller takes the bytes as `hushfw.core.drbg` does: a coin is one byte, a number below n the
least bytes that hold n - 1, masked and drawn anew while it is n or more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hushmeter.errors import HushmeterError

SOURCE = np.dtype(
    [
        (name, np.uint64)
        for name in (
            *("at", "end", "is_empty"),
            *("key_0", "key_1", "stream", "block"),
            *("word_0", "word_1", "word_2", "word_3"),
        )
    ]
)
"""The next byte, the first byte that is not there, 1 once that one was asked for; key and stream
of the generator, the block it made last, and that block's words."""

_NONE = (1 << 64) - 1
_BLOCK_BYTES = 32


def key_of(seed: int | str) -> tuple[int, int]:
    """Two words from a seed; 7 and "7" are the same one."""
    digest = hashlib.sha256(b"hushmeter battery tape " + str(seed).encode()).digest()
    return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:16], "little")


def draw_width(n: int) -> tuple[int, int]:
    """Bytes and mask of a number below n."""
    bits = (n - 1).bit_length()
    return -(-bits // 8), (1 << bits) - 1


class Tapes:
    """The tapes of some homes.

    Parameters
    ----------
    seed:
        Of the generator.
    homes, first_home:
        How many, and the number of the first one.
    given:
        Bytes for each home in place of the generator's; they end.
    """

    def __init__(
        self, seed: int | str, homes: int, first_home: int = 0, given: Sequence[bytes] | None = None
    ) -> None:
        if given is not None and len(given) != homes:
            raise HushmeterError(f"{len(given)} tapes are given for {homes} homes; one each")
        self._key = key_of(seed)
        self._homes = range(first_home, first_home + homes)
        self._given = None if given is None else [bytes(tape) for tape in given]

    def data(self, home: int, size: int, at: int = 0) -> bytes:
        """`size` bytes from one on, fewer where a given tape ends."""
        if self._given is not None:
            return self._given[home][at : at + size]
        first = at // _BLOCK_BYTES
        blocks = -(-(at + size) // _BLOCK_BYTES) - first
        generator = np.random.Philox(
            key=np.array(self._key, np.uint64),
            counter=np.array([first, self._homes[home], 0, 0], np.uint64),
        )
        words = np.asarray(generator.random_raw(blocks * _BLOCK_BYTES // 8), "<u8")
        return words.tobytes()[at - first * _BLOCK_BYTES :][:size]

    def sources(self) -> NDArray[np.void]:
        """Records of SOURCE, shape (homes,), at the first byte."""
        sources = np.zeros(len(self._homes), SOURCE)
        sources["key_0"], sources["key_1"] = self._key
        sources["stream"] = np.array(self._homes, np.uint64)
        sources["block"] = sources["end"] = _NONE
        if self._given is not None:
            sources["end"] = [len(tape) for tape in self._given]
        return sources

    def array(self) -> NDArray[np.uint8] | None:
        """The given tapes, shape (homes, length of the longest); None without."""
        if self._given is None:
            return None
        padded = np.zeros((len(self._given), max(map(len, self._given), default=0)), np.uint8)
        for row, tape in zip(padded, self._given, strict=True):
            row[: len(tape)] = np.frombuffer(tape, np.uint8)
        return padded
