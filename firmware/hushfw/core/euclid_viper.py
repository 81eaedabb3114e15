"""Greatest common divisors by Lehmer's method, in the subset of Python that MicroPython compiles.

Euclid's steps are taken on the leading 28 bits as long as they are sure to be those of the whole
numbers (Knuth, volume 2, 4.5.2, algorithm L), and then done to all digits at once, in place. Big
integers would do as well, but each new one is looked for from the beginning of the heap, which on
a full one takes longer than the arithmetic.
"""

# ptr16 is a word of the compiler, not a name that Python could look up.
# ruff: noqa: F821
# mypy: disable-error-code="name-defined"

from array import array

import micropython

from hushfw.core import pace

_LEAST_DIGITS = 3
_NONE = 16384


@micropython.viper
def _cofactors(first, second, digits, cofactors):
    """p, q, r, s of the steps that are sure, 2^14 added; q is 0 where none is.

    The highest digit of the first number is not 0.
    """
    a, b, size = ptr16(first), ptr16(second), int(digits)
    bits = 0
    while int(a[size - 1]) >> bits:
        bits += 1
    x = int(a[size - 1]) << (28 - bits)
    y = int(b[size - 1]) << (28 - bits)
    if bits > 12:
        x += int(a[size - 2]) >> (bits - 12)
        y += int(b[size - 2]) >> (bits - 12)
    else:
        x += (int(a[size - 2]) << (12 - bits)) + (int(a[size - 3]) >> (4 + bits))
        y += (int(b[size - 2]) << (12 - bits)) + (int(b[size - 3]) >> (4 + bits))
    p = s = 1
    q = r = 0
    while y + r > 0 and y + s > 0:
        quotient = (x + p) // (y + r)
        # Numbers of 14 bits times digits of 16 are summed up in 32.
        if quotient > 16383 or quotient != (x + q) // (y + s):
            break
        t = p - quotient * r
        u = q - quotient * s
        if t > 16383 or t < -16383 or u > 16383 or u < -16383:
            break
        p, r = r, t
        q, s = s, u
        t = x - quotient * y
        x, y = y, t
    found = ptr16(cofactors)
    found[0] = p + 16384
    found[1] = q + 16384
    found[2] = r + 16384
    found[3] = s + 16384


@micropython.viper
def _combine(first, second, digits, cofactors):
    """a and b become p a + q b and r a + s b."""
    a, b, found = ptr16(first), ptr16(second), ptr16(cofactors)
    size = int(digits)
    p = int(found[0]) - 16384
    q = int(found[1]) - 16384
    r = int(found[2]) - 16384
    s = int(found[3]) - 16384
    c = d = i = 0
    while i < size:
        t = int(a[i])
        u = int(b[i])
        c += p * t + q * u
        d += r * t + s * u
        a[i] = c & 65535
        b[i] = d & 65535
        c >>= 16
        d >>= 16
        i += 1


def _turns(a, b):
    """Turns on two numbers in place, a above b, until no step is sure."""
    digits, count, found = len(a) >> 1, 0, array("H", [0] * 4)
    while True:
        while digits and not (a[2 * digits - 1] or a[2 * digits - 2]):
            digits -= 1
        if digits < _LEAST_DIGITS:
            return
        _cofactors(a, b, digits, found)
        if found[1] == _NONE:
            return
        _combine(a, b, digits, found)
        count += 1
        if not count & 15:
            pace.point()


def gcd(a, b):
    if a < b:
        a, b = b, a
    size = 8
    while a >> 8 * size:
        size *= 2
    while b:
        x, y = bytearray(a.to_bytes(size, "little")), bytearray(b.to_bytes(size, "little"))
        _turns(x, y)
        a, b = int.from_bytes(x, "little"), int.from_bytes(y, "little")
        if b:
            a, b = b, a % b
    return a
