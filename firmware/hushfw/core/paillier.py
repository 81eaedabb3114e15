"""Paillier's cryptosystem with g = n + 1: what a meter needs to encrypt for a key it was given.

    E(m; s) = (1 + m n) s mod n^2,      s an n-th power: r^n, or h_s^a (Damgard, Jurik, Nielsen)

A product of ciphertexts encrypts the sum, a power c^k encrypts k m. s does not depend on m, so it
is made ahead, in idle time, and kept as an entry (see `hushfw.pool`); what is left of an encryption
is one product mod n^2, since 1 + m n is the pair (1, m).

    key = PublicKey(n_bytes)
    for _ in naive_steps(key, number, random): ...      # r^n, seconds
    for _ in comb_steps(comb, random): ...              # h_s^a, a third of a second
    entry = number.keep()
    ciphertext = encrypt(key, number, entry, m)         # 2 |n| bits, big-endian

Who draws an r that is not coprime to n has factored n, so that is not checked. h_s^a with a of half
the bits of n hides as much as the assumption of the cryptosystem says; shorter ones (256 bits and
more) rest on a stronger assumption. Nothing here decrypts.
"""

from hushfw.core import powers
from hushfw.core.errors import HushError
from hushfw.core.pairs import to_bytes

SIZES = (256, 384)
SHORT = 128
LEAST_FACTOR = 1 << 16

# The owner that the key of a market's ring is made for.
UTILITY = b"market utility"


def _refuse(reason):
    raise HushError("bad_key", "Paillier key: " + reason)


class PublicKey:
    """n of 2048 or 3072 bits. 1024 bits only where the caller runs in a mode marked insecure."""

    def __init__(self, data, insecure=False):
        """data: n, big-endian; its shape is checked here, its factors by `paillier_proof`."""
        size = len(data)
        if size not in SIZES and not (insecure and size == SHORT):
            known = " or ".join([str(8 * known) for known in SIZES])
            _refuse("n has %d bits; %s are wanted" % (8 * size, known))
        if not data[0] & 128:
            _refuse("n must have its full length; its highest bit is 0")
        if not data[-1] & 1:
            _refuse("n is even")
        self.size = size
        self.data = bytes(data)
        self.n = int.from_bytes(data, "big")

    def __repr__(self):
        return "PublicKey(%d bits)" % (8 * self.size)


def naive_steps(key, number, random):
    """Leaves r^n of a fresh r in an Accumulator; yields between pieces."""
    r = 1 + random.below(key.n - 1)
    base = to_bytes((r, 0), key.size)
    for _ in powers.steps(number, base, key.n.to_bytes(key.size, "little")):
        yield


def comb_steps(comb, random):
    """Leaves h_s^a of a fresh a in the comb's Accumulator; yields between pieces."""
    for _ in comb.steps(random.bytes(comb.exponent_bytes)):
        yield


def check_plaintext(key, m):
    if not 0 <= m < key.n:
        raise HushError("overflow", "a plaintext is from 0 to n - 1")


def encrypt(key, number, entry, m):
    """A ciphertext in bytes. entry: what `keep` gave; nothing else may ever be encrypted with it.

    The machine is cleared; to erase the entry is up to the caller.
    """
    check_plaintext(key, m)
    try:
        number.resume(entry)
        number.multiply(to_bytes((1, m), key.size))
        low, high = number.value()
    finally:
        number.clear()
    return (low + high * key.n).to_bytes(2 * key.size, "big")


def check_ciphertext(key, data):
    """The number that a ciphertext is, below n^2 and coprime to n."""
    if len(data) != 2 * key.size:
        raise HushError(
            "bad_ciphertext",
            "a ciphertext has %d bytes; it must have %d" % (len(data), 2 * key.size),
        )
    from hushfw.core.divisor import common_divisor

    number = int.from_bytes(data, "big")
    if not 0 < number < key.n * key.n:
        raise HushError("bad_ciphertext", "a ciphertext is out of range; it is from 1 to n^2 - 1")
    if common_divisor(number % key.n, key.n) != 1:
        raise HushError("bad_ciphertext", "a ciphertext must be coprime to n")
    return number


def add(key, first, second):
    """A ciphertext of the sum of what two checked ciphertexts encrypt."""
    product = int.from_bytes(first, "big") * int.from_bytes(second, "big")
    return (product % (key.n * key.n)).to_bytes(2 * key.size, "big")
