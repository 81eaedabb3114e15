"""Ciphertexts that a board makes are decrypted by the host, and by a library that is not ours."""

from binascii import unhexlify

import pytest

from hil.backends import Board
from hushmeter.crypto.paillier import PrivateKey

MADE = """
import ciphertexts, vectors_paillier
from binascii import hexlify
from hushfw.core.drbg import Drbg
print(vectors_paillier.P, vectors_paillier.Q)
print(hexlify(ciphertexts.by_comb(-77, Drbg(bytes(48)))).decode())
"""


@pytest.mark.timeout(1800)
@pytest.mark.nightly("tests/core decrypts what the same code makes on the unix port")
def test_a_boards_ciphertexts_decrypt(board: Board) -> None:
    phe = pytest.importorskip("phe", reason="the second library is installed with hushmeter[dev]")
    primes, made = board.execute(MADE, 120.0).splitlines()
    p, q = (int(text, 16) for text in primes.split())
    other = phe.PaillierPrivateKey(phe.PaillierPublicKey(p * q), p, q)
    ciphertext = unhexlify(made)
    assert PrivateKey(p, q).decrypt(ciphertext) == p * q - 77
    assert other.raw_decrypt(int.from_bytes(ciphertext, "big")) == p * q - 77
