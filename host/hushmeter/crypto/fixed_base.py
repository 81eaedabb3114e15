"""Quick encryption on the host: powers of h_s from tables, and a pool of them made ahead.

Randomness is h_s^a (Damgard, Jurik, Nielsen, 2010) for the h_s that is hashed from n, and a of half
the bits of n. Since the base is fixed, its powers come from tables (Lim, Lee, "More flexible
exponentiation with precomputation", 1994): the bits of a stand in a block of `teeth` rows, each cut
into `tables` pieces of `depth` bits. A column's bits choose an entry, so that a costs
tables * depth products and depth - 1 squarings: 93 of them where a fresh r^n takes 2 500.

Entries are chosen by secret bits, so the time depends on what is cached: as all of this package,
for a home's or a utility's own computer.
"""

from __future__ import annotations

import os
from array import array
from collections import deque
from functools import lru_cache

from hushfw.core import paillier as device
from hushfw.core import paillier_proof as proof
from hushmeter.crypto.powers import powmod, whole

TABLES = 11
TEETH = 12
FEW_TEETH = 7
"""Few entries, so that a key pays for its tables after four encryptions."""

_MOST_TEETH = 16


class Encryptor:
    """Encrypts under one key, which has been checked.

    Parameters
    ----------
    n:
        The modulus.
    exponent_bits:
        Least length of a; half the bits of n if None. Shorter ones rest on a stronger assumption.
    teeth:
        1 to 16; a table has 2^teeth entries of twice the length of n: at 12 teeth, 11 tables
        and 2048 bits 23 MB, made in a fifth of a second.
    """

    def __init__(
        self, n: int, exponent_bits: int | None = None, teeth: int = TEETH, tables: int = TABLES
    ) -> None:
        if not 1 <= teeth <= _MOST_TEETH or tables < 1:
            raise ValueError(f"{teeth} teeth and {tables} tables; 1 to {_MOST_TEETH}, 1 or more")
        self.size = n.bit_length() // 8
        wanted = n.bit_length() // 2 if exponent_bits is None else exponent_bits
        self.n, self._square = whole(n), whole(n * n)
        self.teeth, self.tables = teeth, tables
        self.depth = -(-wanted // (teeth * tables))
        self._tables = self._made()

    @property
    def exponent_bits(self) -> int:
        """Bits of a; as many as asked for, and what is left of the last row."""
        return self.teeth * self.tables * self.depth

    def _made(self) -> list[list[int]]:
        known = device.PublicKey(int(self.n).to_bytes(self.size, "big"), insecure=True)
        power = powmod(proof.base(known), self.n, self._square)
        tables: list[list[int]] = [[whole(1)] for _ in range(self.tables)]
        for _ in range(self.teeth):
            for entries in tables:
                entries += [entry * power % self._square for entry in entries]
                power = powmod(power, 1 << self.depth, self._square)
        return tables

    def power(self, columns: array[int]) -> int:
        """h_s^a mod n^2.

        Parameters
        ----------
        columns:
            The bits of a, shape (depth, tables): bit i of a column has the weight
            2^(level + depth * (table + tables * i)). Levels begin with the highest.
        """
        square = self._square
        result: int = whole(1)
        at = 0
        for level in range(self.depth):
            if level:
                result = result * result % square
            for entries in self._tables:
                result = result * entries[columns[at]] % square
                at += 1
        return result

    def fresh(self) -> int:
        """h_s^a for a new a; to be used once."""
        columns = array("H", os.urandom(2 * self.tables * self.depth))
        mask = (1 << self.teeth) - 1
        return self.power(array("H", [column & mask for column in columns]))

    def encrypt(self, m: int, ready: int | None = None) -> bytes:
        """A ciphertext of m in big-endian.

        Parameters
        ----------
        ready:
            What :meth:`fresh` gave, and nothing was encrypted with before.

        Raises
        ------
        HushError
            m is not in 0..n-1.
        """
        device.check_plaintext(self, m)
        s = self.fresh() if ready is None else ready
        # (1 + m n) s mod n^2, with one short product instead of a long one.
        ciphertext = (s + m * s % self.n * self.n) % self._square
        return int(ciphertext).to_bytes(2 * self.size, "big")


class Pool:
    """Powers made in idle time, each used once; in memory only, so that none outlives a restart."""

    def __init__(self, encryptor: Encryptor) -> None:
        self._encryptor = encryptor
        self._ready: deque[int] = deque()

    def __len__(self) -> int:
        return len(self._ready)

    def fill(self, count: int) -> None:
        """Make ready until there are so many."""
        while len(self._ready) < count:
            self._ready.append(self._encryptor.fresh())

    def encrypt(self, m: int) -> bytes:
        """A ciphertext of m; made from nothing ready where the pool is empty."""
        device.check_plaintext(self._encryptor, m)
        ready = self._ready.popleft() if self._ready else None
        return self._encryptor.encrypt(m, ready)


@lru_cache(maxsize=4)
def encryptor_of(n: int) -> Encryptor:
    """A small one for this key, kept for the next call."""
    return Encryptor(n, teeth=FEW_TEETH)
