"""Curve25519 and its twisted Edwards form on Python's integers: the reference, and the fallback.

Arithmetic is mod p = 2^255 - 19 on integers kept near 2^256. Since 2^256 = 38 (mod p), a product t
shrinks to (t & LOW) + 38 * (t >> 256), the same residue, in less than half the time of `%`.
Folding once is enough for an operand, twice for what the next step starts from. The multiples
of p added before a subtraction only keep the integers positive, which is faster.

Python's integers are not constant time: the time of an operation depends a little on its operands.
Whoever can time a meter's key agreement or signature precisely may learn something about its key.
"""

from hushfw.core import pace
from hushfw.core.field import P

_LOW = (1 << 256) - 1
_4P = P << 2
_512P = P << 9
# Squarings made in one go: 8 ms on a Pico.
_SQUARINGS = 50
_IDENTITY = (0, 1, 1, 0)


def ladder(scalar, u):
    """The u-coordinate of scalar times the point with coordinate u, 0 for the point at infinity."""
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
    f250, z11 = high_power(z[0] % P)
    return x[0] * (_square(f250, 5) * z11 % P) % P


def _square(x, times):
    """x^(2^times) mod p."""
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


def _prepared(point, two_d):
    """What an addition needs of its second operand, worked out once."""
    x, y, z, t = point
    return ((y - x) % P, (y + x) % P, 2 * z, t * two_d % P)


def _add(point, prepared):
    x, y, z, t = point
    minus, plus, z2, t2 = prepared
    a = (y - x) * minus % P
    b = (y + x) * plus % P
    c = t * t2 % P
    d = z * z2 % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def _double(point):
    x, y, z, _ = point
    a = x * x % P
    b = y * y % P
    h = a + b
    s = x + y
    e = (h - s * s) % P
    g = a - b
    f = (2 * z * z + g) % P
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def _multiples(point, two_d):
    """0 to 15 times the point, prepared."""
    first = _prepared(point, two_d)
    table = [_prepared(_IDENTITY, two_d), first]
    for _ in range(14):
        point = _add(point, first)
        table.append(_prepared(point, two_d))
        pace.point()
    return table


def sum_of_multiples(two_d, *terms):
    """Sum of scalar * point over the terms (scalar, point), as (X, Y, Z, T); may be reduced or not.

    Scalars are bytes, little-endian, all of one length; two_d is 2 d of the curve.
    """
    work = [(digits, _multiples(point, two_d)) for digits, point in terms]
    total = _IDENTITY
    for at in range(len(terms[0][0]) - 1, -1, -1):
        for shift in (4, 0):
            total = _double(_double(_double(_double(total))))
            pace.point()
            for digits, table in work:
                total = _add(total, table[digits[at] >> shift & 15])
            pace.point()
    return total
