"""Is a Paillier key well formed? Asked once, by whoever is going to encrypt under it.

The file of a public key: magic HPAI, version 1, roots, bytes of n, the roster (32 bytes), bytes of
the owner's name and the name, n and the n-th roots, each big-endian and as long as n.

Encryption under n loses nothing if gcd(n, phi(n)) = 1; a forged n, a power of 3 say, would let its
owner open a commitment to another value. If a prime p divides both n and phi(n), only one number in
p is an n-th power mod n. So the owner shows n-th roots of eight challenges, which are hashed from
(n, owner, roster), so that the proof is of this use of the key; no factor below 2^16 leaves a
chance of 2^-128 to one who has no such n. A prime n would pass that, and hide nothing: Fermat's
test refuses it. The roster is the hash of one, or for a key that
outlives rosters the public key of the authority that signs them.

h_s, whose powers hide plaintexts in place of r^n, must be an n-th power too. It is h^n mod n^2 for
h = -y^2 mod n with y hashed from n: so nobody chose it, and it is the first power in the table.

These checks take a Pico most of a minute, so they are generators that yield every few
milliseconds. Big integers serve for what is public anyway.
"""

import struct

from hushfw.core import powers
from hushfw.core.divisor import common_divisor
from hushfw.core.errors import HushError
from hushfw.core.paillier import LEAST_FACTOR, PublicKey
from hushfw.core.pairs import Accumulator, Residue, to_bytes
from hushfw.port import sha256

MAGIC = b"HPAI"
VERSION = 1
ROOTS = 8
MOST_OWNER_BYTES = 64
_HEADER = ">4sBBH32sB"
_HEADER_BYTES = 41
# Beyond the length of n, so that a number mod n is as good as uniform.
_MORE_BYTES = 16


def _refuse(reason):
    raise HushError("bad_key", "Paillier key: " + reason)


class KeyFile:
    """What the file of a public key says, its shape checked."""

    def __init__(self, data, insecure=False):
        if len(data) < _HEADER_BYTES or data[:4] != MAGIC:
            _refuse("this is none; the file must begin with %s" % MAGIC.decode())
        _, version, roots, size, self.roster, owner_bytes = struct.unpack(
            _HEADER, data[:_HEADER_BYTES]
        )
        if version != VERSION:
            _refuse("version %d is unknown; this firmware reads %d" % (version, VERSION))
        if roots != ROOTS:
            _refuse("it shows %d roots; %d are wanted" % (roots, ROOTS))
        wanted = _HEADER_BYTES + owner_bytes + size * (1 + ROOTS)
        if len(data) != wanted:
            _refuse("the file has %d bytes; its header asks for %d" % (len(data), wanted))
        at = _HEADER_BYTES + owner_bytes
        self.owner = bytes(data[_HEADER_BYTES:at])
        self.key = PublicKey(data[at : at + size], insecure)
        self.roots = [bytes(data[at + size * i : at + size * (i + 1)]) for i in range(1, 1 + ROOTS)]


def encode(n, size, owner, roster, roots):
    """The file's bytes; owner and roster are bytes, the roots integers."""
    if len(roster) != 32 or len(owner) > MOST_OWNER_BYTES:
        _refuse("the roster has 32 bytes, the owner's name at most %d" % MOST_OWNER_BYTES)
    head = struct.pack(_HEADER, MAGIC, VERSION, len(roots), size, roster, len(owner))
    return head + owner + b"".join([x.to_bytes(size, "big") for x in [n] + list(roots)])


def challenges(key, owner, roster):
    """What the owner must show n-th roots of: hashed numbers mod n."""
    head = b"hush1 paillier root" + bytes((len(owner),)) + owner + roster
    seed = sha256(head + key.data)
    return [_expanded(key, seed + bytes((i,))) for i in range(ROOTS)]


def base(key):
    """h = -y^2 mod n, y hashed from n."""
    y = _expanded(key, sha256(b"hush1 paillier base" + key.data))
    return key.n - y * y % key.n


def _expanded(key, seed):
    wanted = key.size + _MORE_BYTES
    stream = b""
    while len(stream) < wanted:
        stream += sha256(seed + len(stream).to_bytes(4, "big"))
    return int.from_bytes(stream[:wanted], "big") % key.n


def factor_steps(key):
    """Refuses a factor below 2^16; yields between pieces.

    All numbers below 2^16 that have no factor 2, 3 or 5 are multiplied together mod n, and then
    one greatest common divisor says it: a sixth of the time of as many divisions.
    """
    size = key.size
    number = Residue(key.n, size)
    number.load((15).to_bytes(size, "little"))
    # Eight of these numbers have less than 16 bytes, as all together are below 2^16 but for four.
    turns = size // 16 - 1
    for first in range(0, LEAST_FACTOR, 30 * turns):
        product = 1
        for at in range(first, min(first + 30 * turns, LEAST_FACTOR), 30):
            product *= (at + 7) * (at + 11) * (at + 13) * (at + 17)
            product *= (at + 19) * (at + 23) * (at + 29) * (at + 31)
        yield
        number.multiply_kept(product.to_bytes(size, "little"))
        yield
    # A machine's own form is the number times a power of 2, which has no factor in common with n.
    if common_divisor(int.from_bytes(number.keep(), "little"), key.n) != 1:
        _refuse("n has a factor below 2^16")


def composite_steps(key):
    """Refuses a prime n, whose proof anybody could make; yields between pieces.

    Fermat's test to the base 2 finds every prime. It takes no honest key for one: for p and q with
    gcd(p - 1, q - 1) = 2, from 2^(n-1) = 1 mod p would follow 2^2 = 1 mod p.
    """
    number = Residue(key.n, key.size)
    two = (2).to_bytes(key.size, "little")
    for _ in powers.steps(number, two, (key.n - 1).to_bytes(key.size, "little")):
        yield
    if number.value() == 1:
        _refuse("n is prime; it must be the product of two primes")


def root_steps(key, owner, roster, roots):
    """Refuses roots that are not of the challenges; yields between pieces."""
    number = Residue(key.n, key.size)
    exponent = key.n.to_bytes(key.size, "little")
    wanted = challenges(key, owner, roster)
    yield
    for i in range(ROOTS):
        root = int.from_bytes(roots[i], "big")
        if root >= key.n:
            _refuse("root %d of its proof is not below n" % i)
        for _ in powers.steps(number, root.to_bytes(key.size, "little"), exponent):
            yield
        if number.value() != wanted[i]:
            _refuse("root %d of its proof is wrong" % i)


def check_steps(found, owner, roster):
    """Refuses a key that is not well formed, or that is not this owner's under this roster."""
    if found.owner != owner or found.roster != roster:
        _refuse("it was made for another owner, or for another roster")
    for _ in factor_steps(found.key):
        yield
    for _ in composite_steps(found.key):
        yield
    for _ in root_steps(found.key, owner, roster, found.roots):
        yield


def table_steps(key, comb):
    """Refuses a comb whose base is not h_s; yields between pieces."""
    number = Accumulator(key.n, key.size)
    exponent = key.n.to_bytes(key.size, "little")
    for _ in powers.steps(number, to_bytes((base(key), 0), key.size), exponent):
        yield
    h_s = to_bytes(number.value(), key.size)
    for _ in comb.check_steps(h_s):
        yield
