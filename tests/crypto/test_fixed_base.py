"""Quick encryption and products of powers on the host are what the slow ways give."""

from __future__ import annotations

import random
from array import array
from math import prod

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phe import PaillierPrivateKey, PaillierPublicKey  # type: ignore[import-untyped]

from hushfw.core import paillier as device
from hushfw.core import paillier_proof as proof
from hushfw.core.errors import HushError
from hushmeter.crypto import powers
from hushmeter.crypto.fixed_base import Encryptor, Pool
from hushmeter.crypto.multiexp import product_of_powers
from hushmeter.crypto.paillier import PrivateKey, generate

CHANCE = random.Random(3)


@pytest.fixture(scope="module")
def private() -> PrivateKey:
    return generate(1024, insecure=True)


def exponent_of(encryptor: Encryptor, columns: array[int]) -> int:
    """The exponent that columns stand for, by their definition."""
    exponent, at = 0, 0
    for level in reversed(range(encryptor.depth)):
        for table in range(encryptor.tables):
            for tooth in range(encryptor.teeth):
                if columns[at] >> tooth & 1:
                    place = level + encryptor.depth * (table + encryptor.tables * tooth)
                    exponent |= 1 << place
            at += 1
    return exponent


@pytest.mark.parametrize(("teeth", "tables"), [(1, 1), (3, 5), (7, 11), (12, 2)])
def test_tables_give_powers_of_the_hashed_base(
    private: PrivateKey, teeth: int, tables: int
) -> None:
    n = private.n
    encryptor = Encryptor(n, teeth=teeth, tables=tables)
    base = proof.base(device.PublicKey(n.to_bytes(128, "big"), insecure=True))
    h_s = pow(base, n, n * n)
    assert encryptor.exponent_bits >= n.bit_length() // 2
    whole = [(1 << teeth) - 1] * (tables * encryptor.depth)
    some = [CHANCE.randrange(1 << teeth) for _ in whole]
    for columns in (array("H", whole), array("H", some), array("H", [0] * len(whole))):
        exponent = exponent_of(encryptor, columns)
        assert encryptor.power(columns) == pow(h_s, exponent, n * n)
    assert exponent_of(encryptor, array("H", whole)) == (1 << encryptor.exponent_bits) - 1


def test_an_independent_library_reads_quick_ciphertexts(private: PrivateKey) -> None:
    other = PaillierPrivateKey(PaillierPublicKey(private.n), private.p, private.q)
    encryptor = Encryptor(private.n, teeth=6)
    pool = Pool(encryptor)
    pool.fill(2)
    for m in (0, 1, private.n - 1, CHANCE.randrange(private.n)):
        for ciphertext in (encryptor.encrypt(m), pool.encrypt(m)):
            assert other.raw_decrypt(int.from_bytes(ciphertext, "big")) == m
            assert private.decrypt(ciphertext) == m


def test_a_ready_power_is_used_once(private: PrivateKey) -> None:
    pool = Pool(Encryptor(private.n, teeth=6))
    pool.fill(3)
    assert len(pool) == 3
    assert len({pool.encrypt(0) for _ in range(5)}) == 5
    assert len(pool) == 0
    pool.fill(1)
    for m in (-1, private.n):
        with pytest.raises(HushError, match="from 0 to n - 1"):
            pool.encrypt(m)
    assert len(pool) == 1


def test_refused_ciphertexts_are_the_devices(private: PrivateKey) -> None:
    n = private.n
    known = device.PublicKey(n.to_bytes(128, "big"), insecure=True)
    for data in (
        b"", bytes(256), (n * n).to_bytes(256, "big"), n.to_bytes(256, "big"),
        private.p.to_bytes(256, "big"), (n * n - 1).to_bytes(256, "big"), b"\x01" * 255,
    ):  # fmt: skip
        results = []
        for read in (private.decrypt, lambda data: device.check_ciphertext(known, data)):
            try:
                read(data)
                results.append("")
            except HushError as error:
                results.append(str(error))
        assert results[0] == results[1]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(1, 10**9), st.integers(-(1 << 40), 1 << 40)), max_size=40))
def test_a_product_of_powers_is_the_product_of_the_powers(pairs: list[tuple[int, int]]) -> None:
    prime = (1 << 127) - 1
    wanted = prod((pow(base, exponent, prime) for base, exponent in pairs), start=1) % prime
    assert product_of_powers(pairs, prime) == wanted


def test_a_base_without_an_inverse_is_no_base_of_a_negative_power() -> None:
    with pytest.raises(ZeroDivisionError):
        product_of_powers([(3, -1)], 9)
    assert product_of_powers([(3, 2), (5, 1)], 9) == 0


def test_no_private_number_is_in_the_repr(private: PrivateKey) -> None:
    private.decrypt((1).to_bytes(256, "big"))
    assert str(private.p) not in repr(private) + repr(vars(private).get("_machine"))
    assert powers.whole(3) == 3
