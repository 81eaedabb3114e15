"""X25519 (RFC 7748): a secret shared by two meters from one 32-byte public key each.

Two points R[0], R[1] of the Montgomery curve, x-coordinates only, keep the difference u. For each
scalar bit b, from the top, R[b] is doubled and R[1-b] becomes R[0] + R[1]: RFC 7748's ladder with
the conditional swap done by list index, so every step runs the same operations whatever the bit.

Arithmetic is mod p = 2^255 - 19 on integers kept near 2^256. Since 2^256 = 38 (mod p), a product t
shrinks to (t & LOW) + 38 * (t >> 256), the same residue, in less than half the time of `%`.
Folding once is enough for an operand, twice for what the next step starts from. The multiples
of p added before a subtraction only keep the integers positive, which is faster.

Python's integers are not constant time: the time of an operation depends a little on its operands.
Whoever can time a meter's key agreement precisely may learn something about its key.
"""

from hushfw.core import pace
from hushfw.core.errors import HushError

P = (1 << 255) - 19
_LOW = (1 << 256) - 1
_4P = P << 2
_512P = P << 9
_BASE = b"\x09" + bytes(31)
# Squarings made in one go: 8 ms on a Pico.
_SQUARINGS = 50


def _ladder(scalar, u):
    low, p4, p512 = _LOW, _4P, _512P
    x, z = [1, u], [0, 1]
    for step in range(254, -1, -1):
        b = scalar[step >> 3] >> (step & 7) & 1
        xa, za, xc, zc = x[b], z[b], x[1 - b], z[1 - b]
        plus = xa + za
        minus = xa - za + p4
        da = (xc - zc + p4) * plus
        da = (da & low) + 38 * (da >> 256)
        cb = (xc + zc) * minus
        cb = (cb & low) + 38 * (cb >> 256)
        aa = plus * plus
        aa = (aa & low) + 38 * (aa >> 256)
        bb = minus * minus
        bb = (bb & low) + 38 * (bb >> 256)
        e = aa - bb + p512

        t = da + cb
        t = t * t
        t = (t & low) + 38 * (t >> 256)
        x[1 - b] = (t & low) + 38 * (t >> 256)
        t = da - cb
        t = t * t
        t = ((t & low) + 38 * (t >> 256)) * u
        t = (t & low) + 38 * (t >> 256)
        z[1 - b] = (t & low) + 38 * (t >> 256)
        t = aa * bb
        t = (t & low) + 38 * (t >> 256)
        x[b] = (t & low) + 38 * (t >> 256)
        t = e * (aa + 121665 * e)
        t = (t & low) + 38 * (t >> 256)
        z[b] = (t & low) + 38 * (t >> 256)
        pace.point()
    return x[0] * inverse(z[0] % P) % P


def _square(x, times):
    """x^(2^times) mod P."""
    while times:
        now = min(times, _SQUARINGS)
        x = pow(x, 1 << now, P)
        times -= now
        pace.point()
    return x


def high_power(x):
    """(x^(2^250 - 1), x^11) mod P, from which x^(P-2) and x^((P-5)/8) are a few products away.

    With f(n) = x^(2^n - 1): f(m + n) = f(m)^(2^n) f(n). It takes half the products that `pow`
    needs, whose exponent is nearly all ones, and can pause.
    """
    x9 = _square(x, 3) * x % P
    x11 = x9 * x * x % P
    f5 = x11 * x11 * x9 % P
    f10 = _square(f5, 5) * f5 % P
    f20 = _square(f10, 10) * f10 % P
    f40 = _square(f20, 20) * f20 % P
    f50 = _square(f40, 10) * f10 % P
    f100 = _square(f50, 50) * f50 % P
    f200 = _square(f100, 100) * f100 % P
    return _square(f200, 50) * f50 % P, x11


def inverse(x):
    """x^(P-2) mod P, P - 2 = 2^5 (2^250 - 1) + 11; 0 for 0."""
    f250, x11 = high_power(x)
    return _square(f250, 5) * x11 % P


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
    return _ladder(scalar, u).to_bytes(32, "little")


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
