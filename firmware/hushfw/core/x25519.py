"""X25519 (RFC 7748): a secret shared by two meters from one 32-byte public key each.

Two points R[0], R[1] of the Montgomery curve, x-coordinates only, keep the difference u. For each
scalar bit b, from the top, R[b] is doubled and R[1-b] becomes R[0] + R[1]: RFC 7748's ladder with
the conditional swap done by list index, so every step runs the same operations whatever the bit.
`curve25519` carries it out.
"""

from hushfw.core.curve25519 import ladder
from hushfw.core.errors import HushError

_BASE = b"\x09" + bytes(31)


def _multiply(private32, public32):
    if len(private32) != 32 or len(public32) != 32:
        raise HushError(
            "weak_key",
            "X25519 keys have %d and %d bytes; each must have 32" % (len(private32), len(public32)),
        )
    scalar = bytearray(private32)
    scalar[0] &= 248
    scalar[31] = scalar[31] & 127 | 64
    u = int.from_bytes(public32, "little") & (1 << 255) - 1
    return ladder(scalar, u).to_bytes(32, "little")


def public_key(private32):
    return _multiply(private32, _BASE)


def shared_secret(private32, public32):
    """32 bytes; refuses a public key of small order, which gives the same result to everybody."""
    secret = _multiply(private32, public32)
    if secret == bytes(32):
        raise HushError(
            "weak_key", "the shared secret is all zero; the peer's key must not have small order"
        )
    return secret
