"""Tables for cheap encryption on a meter: powers of h_s, as :mod:`hushfw.core.comb` reads them."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass

from hushfw.core import comb
from hushfw.core import paillier as device
from hushfw.core import paillier_proof as proof
from hushfw.core.pairs import to_bytes
from hushmeter.crypto.paillier import PublicKey
from hushmeter.crypto.powers import powmod
from hushmeter.errors import HushmeterError

DEFAULT_TEETH = 8


@dataclass(frozen=True)
class TableFacts:
    """What a table is, and what it costs to use."""

    teeth: int
    exponent_bits: int
    squarings: int
    bytes: int
    sha256: str
    assumption: str
    """What hides a plaintext under exponents of this length; for wherever figures are shown."""


def h_s(key: PublicKey) -> int:
    """h^n mod n^2 for the h that is hashed from n."""
    h = proof.base(_device_key(key))
    return int(powmod(h, key.n, key.n * key.n))


def _device_key(key: PublicKey) -> device.PublicKey:
    return device.PublicKey(key.n.to_bytes(key.size, "big"), insecure=True)


def write_table(key: PublicKey, exponent_bits: int, teeth: int = DEFAULT_TEETH) -> bytes:
    """The file of a table for exponents of this length.

    Parameters
    ----------
    exponent_bits:
        256 to half the bits of n, in whole bytes.
    teeth:
        2^teeth entries; one more halves nothing but the number of columns.

    Raises
    ------
    HushmeterError
        A length or number of teeth that is not read.
    """
    longest = key.bits // 2
    if exponent_bits % 8 or not comb.LEAST_EXPONENT_BITS <= exponent_bits <= longest:
        raise HushmeterError(
            f"exponents of {exponent_bits} bits; {comb.LEAST_EXPONENT_BITS} to {longest} in whole "
            "bytes are possible with this key"
        )
    if not 1 <= teeth <= comb.MOST_TEETH:
        raise HushmeterError(f"{teeth} teeth; 1 to {comb.MOST_TEETH} are read")
    header: bytes = comb.header(key.n, key.size, teeth, exponent_bits)
    columns = comb.columns_of(exponent_bits, teeth)
    return header + b"".join(
        to_bytes((entry % key.n, entry // key.n), key.size)
        for entry in _entries(h_s(key), key.n * key.n, teeth, columns)
    )


def _entries(base: int, square: int, teeth: int, columns: int) -> Iterator[int]:
    """The products of every set of rows; bit i of an entry's place says whether row i is in it."""
    entries = [1]
    for tooth in range(teeth):
        row = int(powmod(base, 1 << columns * tooth, square))
        entries += [entry * row % square for entry in entries]
    yield from entries


def assumption(bits: int, exponent_bits: int) -> str:
    """How far exponents of this length are from those that Damgard, Jurik and Nielsen use."""
    if exponent_bits < bits // 2:
        return f"short exponents ({exponent_bits} bits of {bits // 2}): a stronger assumption"
    return "exponents of half the bits of n"


def check_table(key: PublicKey, data: bytes) -> TableFacts:
    """What a table is, every entry checked by the meter's own code.

    Raises
    ------
    HushError
        ``bad_table``: it is damaged, for another key, or not of powers of h_s.
    """
    known = _device_key(key)
    found = comb.Comb(io.BytesIO(data), len(data), key.n, key.size)
    for _ in proof.table_steps(known, found):
        pass
    return TableFacts(
        teeth=found.teeth,
        exponent_bits=found.exponent_bits,
        squarings=comb.columns_of(found.exponent_bits, found.teeth) - 1,
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        assumption=assumption(key.bits, found.exponent_bits),
    )
