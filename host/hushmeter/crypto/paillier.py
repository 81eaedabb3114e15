"""Paillier keys as homes and utilities make them: the halves that no meter has.

``n = p q`` and ``g = n + 1``; a ciphertext of m is ``(1 + m n) s mod n^2`` with s an n-th power.
Primes are 3 mod 4 with ``gcd(p - 1, q - 1) = 2``, as Damgard, Jurik and Nielsen ask for cheap
encryption ("A generalization of Paillier's public-key system", 2010). They are those
of an RSA key that OpenSSL makes. How meters check a key is said, and done, in
:mod:`hushfw.core.paillier_proof`; the host runs the same code.
"""

from __future__ import annotations

import math
import secrets
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa

from hushfw.core import paillier as device
from hushfw.core import paillier_proof as proof
from hushfw.core.errors import HushError
from hushfw.core.packing import Packing
from hushmeter.crypto.fixed_base import encryptor_of
from hushmeter.crypto.powers import invert, powmod, powmod_sec, whole
from hushmeter.errors import HushmeterError

SIZES_BITS = tuple(8 * size for size in device.SIZES)
SHORT_BITS = 8 * device.SHORT
_RSA_EXPONENT = 65537


@dataclass(frozen=True)
class PublicKey:
    """n and, where they are known, whom it was made for and the proof of its good form.

    Attributes
    ----------
    owner:
        Whose key it is; a meter's is ``street/meter id``.
    roster:
        32 bytes: the hash of a roster, or the public key of the authority that signs rosters.
    roots:
        n-th roots mod n of the eight challenges.
    """

    n: int
    owner: bytes
    roster: bytes
    roots: tuple[int, ...]

    @property
    def bits(self) -> int:
        """Length of n."""
        return self.n.bit_length()

    @property
    def size(self) -> int:
        """Bytes of n; a ciphertext has twice as many."""
        return self.bits // 8

    def to_bytes(self) -> bytes:
        """The file that a meter is given."""
        data: bytes = proof.encode(self.n, self.size, self.owner, self.roster, self.roots)
        return data

    def encrypt(self, m: int) -> bytes:
        """A ciphertext of m, with fresh randomness of half the bits of n.

        Raises
        ------
        HushError
            m is not in 0..n-1.
        """
        return encryptor_of(self.n).encrypt(m)


def owner_of(street: str, meter_id: int) -> bytes:
    """The owner's name in the key of a meter."""
    return f"{street}/{meter_id}".encode()


def read_public(data: bytes, insecure: bool = False) -> PublicKey:
    """A public key from the bytes of its file, its shape checked; see :func:`check`.

    Raises
    ------
    HushError
        ``bad_key``: the file or the key is not what it must be.
    """
    found = proof.KeyFile(data, insecure)
    roots = tuple(int.from_bytes(root, "big") for root in found.roots)
    return PublicKey(found.key.n, found.owner, found.roster, roots)


def check(data: bytes, owner: bytes, roster: bytes, insecure: bool = False) -> PublicKey:
    """A public key that was found well formed, by the meter's own checks.

    Raises
    ------
    HushError
        ``bad_key``: a factor below 2^16, a wrong root, another owner or roster.
    """
    for _ in proof.check_steps(proof.KeyFile(data, insecure), owner, roster):
        pass
    return read_public(data, insecure)


@dataclass(frozen=True, repr=False)
class PrivateKey:
    """The primes; everything else follows from them."""

    p: int = field(repr=False)
    q: int = field(repr=False)

    def __repr__(self) -> str:
        return f"PrivateKey({self.n.bit_length()} bits)"

    @property
    def n(self) -> int:
        """The modulus."""
        return self.p * self.q

    def decrypt(self, ciphertext: bytes) -> int:
        """The plaintext, 0..n-1, by way of p^2 and q^2.

        Raises
        ------
        HushError
            ``bad_ciphertext``: wrong length, out of range, or not coprime to n.
        """
        return self._machine.decrypt(ciphertext)

    @cached_property
    def _machine(self) -> _Decryptor:
        return _Decryptor(self.p, self.q)

    def decrypt_lanes(self, ciphertext: bytes, packing: Packing) -> list[int]:
        """The sums in the lanes of a packed plaintext.

        Raises
        ------
        HushError
            ``bad_ciphertext``, or ``overflow``: a lane holds more than honest values give.
        """
        sums: list[int] = packing.unpack(self.decrypt(ciphertext), self.n)
        return sums

    def root(self, x: int) -> int:
        """The number whose n-th power mod n is x."""
        parts = (
            int(powmod_sec(x % prime, pow(self.n, -1, prime - 1), prime))
            for prime in (self.p, self.q)
        )
        x_p, x_q = parts
        return x_q + self.q * ((x_p - x_q) * pow(self.q, -1, self.p) % self.p)

    def public(self, owner: bytes, roster: bytes) -> PublicKey:
        """The public half for this owner under this roster, with its proof."""
        n = self.n
        known = device.PublicKey(n.to_bytes(n.bit_length() // 8, "big"), insecure=True)
        wanted = proof.challenges(known, owner, roster)
        return PublicKey(n, owner, roster, tuple(self.root(x) for x in wanted))


class _Decryptor:
    """What decryption under one key needs every time, worked out once.

    Powers take a time that depends on the base. So each ciphertext is multiplied by an encryption
    of 0 first, whose square serves the next one: nobody who chooses ciphertexts knows the base.
    """

    def __init__(self, p: int, q: int) -> None:
        n = whole(p) * q
        self._n_square, self._bytes = n * n, 2 * (n.bit_length() // 8)
        self._q, self._q_inverse = whole(q), invert(q, whole(p))
        self._halves = [
            (whole(r), whole(r * r), invert(n // r * (r - 1), whole(r))) for r in (p, q)
        ]
        self._blind: Any = powmod(1 + secrets.randbelow(int(n) - 1), n, self._n_square)

    def decrypt(self, ciphertext: bytes) -> int:
        number = self._checked(ciphertext)
        blinded = number * self._blind % self._n_square
        self._blind = self._blind * self._blind % self._n_square
        # c^(p-1) is 1 + m (p-1) n mod p^2.
        m_p, m_q = (
            (powmod(blinded % square, prime - 1, square) - 1) // prime * inverse % prime
            for prime, square, inverse in self._halves
        )
        return int(m_q + self._q * ((m_p - m_q) * self._q_inverse % self._halves[0][0]))

    def _checked(self, data: bytes) -> Any:
        """As :func:`hushfw.core.paillier.check_ciphertext`, by the primes."""
        if len(data) != self._bytes:
            raise HushError(
                "bad_ciphertext",
                f"a ciphertext has {len(data)} bytes; it must have {self._bytes}",
            )
        number = whole(int.from_bytes(data, "big"))
        if not 0 < number < self._n_square:
            raise HushError(
                "bad_ciphertext", "a ciphertext is out of range; it is from 1 to n^2 - 1"
            )
        if not all(number % prime for prime, _, _ in self._halves):
            raise HushError("bad_ciphertext", "a ciphertext must be coprime to n")
        return number


def generate(bits: int = 2048, insecure: bool = False) -> PrivateKey:
    """A new key.

    Parameters
    ----------
    bits:
        2048 or 3072; 1024 only with ``insecure``.

    Raises
    ------
    HushmeterError
        Another length.
    """
    if bits not in SIZES_BITS and not (insecure and bits == SHORT_BITS):
        known = " or ".join(map(str, SIZES_BITS))
        raise HushmeterError(f"a Paillier key of {bits} bits; {known} are wanted")
    while True:
        numbers = rsa.generate_private_key(_RSA_EXPONENT, bits).private_numbers()
        if is_fit(numbers.p, numbers.q):
            return PrivateKey(numbers.p, numbers.q)


def is_fit(p: int, q: int) -> bool:
    """Whether two primes are of the kind that cheap encryption needs."""
    apart = math.gcd(p - 1, q - 1) == 2 and math.gcd(p * q, (p - 1) * (q - 1)) == 1  # noqa: PLR2004
    return p % 4 == q % 4 == 3 and p != q and apart  # noqa: PLR2004


def private_from(p: int, q: int, n: int) -> PrivateKey:
    """A key from numbers that were stored.

    Raises
    ------
    HushmeterError
        They do not belong together; the message holds none of them.
    """
    if p * q != n or not is_fit(p, q):
        raise HushmeterError("the primes of this Paillier key do not belong together")
    try:
        device.PublicKey(n.to_bytes(-(-n.bit_length() // 8), "big"), insecure=True)
    except HushError as error:
        raise HushmeterError(error.message) from None
    return PrivateKey(p, q)
