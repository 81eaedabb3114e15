"""SHA-512: published vectors, equality with hashlib, and the constants from their definition."""

import hashlib
from math import isqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vectors_crypto import SHA512, SHA512_BOUNDARIES

from hushfw.core import sha512 as module
from hushfw.core.sha512 import sha512

PRIMES = [n for n in range(2, 410) if all(n % d for d in range(2, isqrt(n) + 1))]


def cube_root(n: int) -> int:
    """The greatest integer whose cube is at most n, by bisection."""
    low, high = 0, 1 << (n.bit_length() // 3 + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if middle**3 <= n else (low, middle)
    return low


def test_the_constants_are_fractions_of_roots_of_primes() -> None:
    word = (1 << 64) - 1
    assert len(PRIMES) == 80
    assert [isqrt(p << 128) & word for p in PRIMES[:8]] == list(module._INITIAL)
    assert [cube_root(p << 192) & word for p in PRIMES] == list(module._K)


@pytest.mark.parametrize(("source", "message", "digest"), SHA512)
def test_sha512_matches_fips_180(source: str, message: str, digest: str) -> None:
    assert sha512(bytes.fromhex(message)).hex() == digest


def test_the_boundary_vector_is_what_hashlib_says() -> None:
    lengths, digest = SHA512_BOUNDARIES
    row = b"".join(hashlib.sha512(bytes(range(n))).digest() for n in lengths)
    assert hashlib.sha512(row).hexdigest() == digest


def test_every_length_up_to_three_blocks_equals_hashlib() -> None:
    data = bytes(range(256)) * 2
    for length in range(3 * 128 + 1):
        assert sha512(data[:length]) == hashlib.sha512(data[:length]).digest(), length


@given(data=st.binary(max_size=600))
def test_sha512_equals_hashlib(data: bytes) -> None:
    wanted = hashlib.sha512(data).digest()
    assert sha512(data) == wanted
    assert sha512(bytearray(data)) == wanted
    assert sha512(memoryview(data)) == wanted
