"""Ciphertexts made by the device's code under the keys of `vectors_paillier`, for checks and tests.

A table of two teeth is made here, of four entries, since a board has no files beside scripts.
"""

from binascii import unhexlify
from io import BytesIO

import vectors_paillier as vectors

from hushfw.core import comb, paillier
from hushfw.core.drbg import Tape
from hushfw.core.pairs import Accumulator, to_bytes

TEETH, EXPONENT_BITS = 2, 256


def number(text):
    return int(text, 16)


def key():
    n = number(vectors.P) * number(vectors.Q)
    return paillier.PublicKey(n.to_bytes(256, "big"))


def short_key():
    n = number(vectors.SHORT_P) * number(vectors.SHORT_Q)
    return paillier.PublicKey(n.to_bytes(128, "big"), True)


def table():
    """The bytes of a comb table for h_s."""
    known = key()
    high, low = divmod(number(vectors.H_S), known.n)
    first = to_bytes((low, high), known.size)
    machine = Accumulator(known.n, known.size)
    machine.load(first)
    machine.resume(machine.keep())
    for _ in range(comb.columns_of(EXPONENT_BITS, TEETH)):
        machine.square()
    second = to_bytes(machine.value(), known.size)
    machine.load(first)
    machine.multiply(second)
    both = to_bytes(machine.value(), known.size)
    one = to_bytes((1, 0), known.size)
    return comb.header(known.n, known.size, TEETH, EXPONENT_BITS) + one + first + second + both


def open_comb(data):
    known = key()
    return comb.Comb(BytesIO(data), len(data), known.n, known.size)


def drain(steps):
    for _ in steps:
        pass


def by_comb(m, random=None):
    """A ciphertext of m, signed, under the key of 2048 bits; the exponent is the vectors'."""
    known = key()
    found = open_comb(table())
    drain(paillier.comb_steps(found, random or Tape(unhexlify(vectors.EXPONENT))))
    entry = found.number.keep()
    return paillier.encrypt(known, Accumulator(known.n, known.size), entry, m % known.n)


def naive(m):
    """A ciphertext of m under the key of 1024 bits; r is the vectors'."""
    known = short_key()
    machine = Accumulator(known.n, known.size)
    # below(n - 1) takes the bytes of one draw, lowest first, and r is one more.
    r = number(vectors.SHORT_R)
    drain(paillier.naive_steps(known, machine, Tape((r - 1).to_bytes(128, "little"))))
    return paillier.encrypt(known, machine, machine.keep(), m)
