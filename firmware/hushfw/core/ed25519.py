"""Ed25519 (RFC 8032): signatures of the roster's authority and of the meter's own records.

Points of the twisted Edwards curve -x^2 + y^2 = 1 + d x^2 y^2 are (X, Y, Z, T) with x = X/Z,
y = Y/Z, T = XY/Z. The addition law is complete (d is no square), so no case is special and
a sum of multiples is one loop: four doublings, then one table entry a scalar, for every 4 bits
of the scalars (Straus; "Shamir's trick" with fixed windows). `curve25519` carries it out.

Verification is strict, so that all verifiers agree and nobody can alter a valid signature:
S < L; A is canonical (y < p, no -0) and not of small order; [S]B - [k]A, encoded, equals the
32 bytes of R, which without a factor 8 also makes R canonical. It answers False, never raises.
"""

from hushfw.core import pace
from hushfw.core.curve25519 import P, high_power, inverse, sum_of_multiples
from hushfw.core.errors import HushError
from hushfw.core.sha512 import sha512

L = (1 << 252) + 27742317777372353535851937790883648493
_D = 0x52036CEE2B6FFE738CC740797779E89800700A4D4141D8AB75EB4DCA135978A3  # -121665/121666
_2D = 2 * _D % P
_ROOT_OF_MINUS_ONE = 0x2B8324804FC1DF0B2B4D00993DFBD7A72F431806AD2FE478C4EE1B274A0EA0B0
_SIGN = 1 << 255
_BASE_X = 0x216936D3CD6E53FEC0A4E231FDD6DC5C692CC7609525A7B2C9562D608F25D51A
_BASE_Y = 0x6666666666666666666666666666666666666666666666666666666666666658  # 4/5
_BASE = (_BASE_X, _BASE_Y, 1, _BASE_X * _BASE_Y % P)


def _sum_of_multiples(*terms):
    """The sum of scalar * point over the terms (scalar, point); scalars below 2^256."""
    return sum_of_multiples(_2D, *[(scalar.to_bytes(32, "little"), at) for scalar, at in terms])


def _encode(point):
    x, y, z, _ = point
    z = inverse(z)
    x, y = x * z % P, y * z % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def _decode(encoded):
    """The point with this encoding, or None: x^2 = (y^2 - 1) / (d y^2 + 1), RFC 8032 5.1.3."""
    y = int.from_bytes(encoded, "little")
    odd = y >> 255
    y &= _SIGN - 1
    if y >= P:
        return None
    u = (y * y - 1) % P
    v = (_D * y * y + 1) % P
    v3 = v * v * v % P
    base = u * v3 * v3 * v % P
    # P >> 3 = (P - 5) / 8 = 2^2 (2^250 - 1) + 1
    f250 = high_power(base)[0]
    x = u * v3 * (pow(f250, 4, P) * base % P) % P
    square = v * x * x % P
    if square == -u % P:
        x = x * _ROOT_OF_MINUS_ONE % P
    elif square != u:
        return None
    if x == 0 and odd:
        return None
    if x & 1 != odd:
        x = P - x
    return (x, y, 1, x * y % P)


def _has_small_order(point):
    x, y, z, _ = sum_of_multiples(_2D, (b"\x08", point))
    return x == 0 and y == z


def _hash_to_scalar(*parts):
    return int.from_bytes(sha512(b"".join(parts)), "little") % L


def _secrets(seed32):
    if len(seed32) != 32:
        raise HushError("weak_key", "an Ed25519 seed has 32 bytes, not %d" % len(seed32))
    expanded = sha512(seed32)
    scalar = int.from_bytes(expanded[:32], "little") & (1 << 254) - 8 | 1 << 254
    return scalar, expanded[32:]


def public_key(seed32):
    return _encode(_sum_of_multiples((_secrets(seed32)[0], _BASE)))


def sign(seed32, message):
    """64 bytes R || S; deterministic."""
    scalar, prefix = _secrets(seed32)
    public32 = _encode(_sum_of_multiples((scalar, _BASE)))
    nonce = _hash_to_scalar(prefix, message)
    commitment = _encode(_sum_of_multiples((nonce, _BASE)))
    challenge = _hash_to_scalar(commitment, public32, message)
    return commitment + ((nonce + challenge * scalar) % L).to_bytes(32, "little")


def verify(public32, message, signature64):
    if len(public32) != 32 or len(signature64) != 64:
        return False
    commitment = bytes(signature64[:32])
    response = int.from_bytes(signature64[32:], "little")
    if response >= L:
        return False
    point = _decode(public32)
    if point is None or _has_small_order(point):
        return False
    x, y, z, t = point
    pace.point()
    challenge = _hash_to_scalar(commitment, public32, message)
    found = _sum_of_multiples((response, _BASE), (challenge, (P - x, y, z, P - t)))
    return _encode(found) == commitment
