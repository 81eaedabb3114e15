"""Products of many powers at once, as bills need them: the product of c_t^(price_t) mod n^2.

Bases with one exponent are multiplied first, since a month has few prices. What is left goes by
Pippenger's buckets ("On the evaluation of powers and monomials", 1980): the exponents are cut into
digits of w bits; per digit every base is multiplied into the bucket of its digit, and the buckets'
running products raise each to its digit. That is (bases + 2^(w+1)) products a digit, where powers
one by one want about 1.2 products a bit and base.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hushmeter.crypto.powers import invert, whole

_WIDEST = 16


def product_of_powers(pairs: Iterable[tuple[int, int]], modulus: int) -> int:
    """The product of base^exponent over the pairs (base, exponent), exponents of either sign.

    Raises
    ------
    ZeroDivisionError
        A base with a negative exponent has no inverse.
    """
    modulus = whole(modulus)
    upper: dict[int, Any] = {}
    lower: dict[int, Any] = {}
    for base, exponent in pairs:
        side = upper if exponent >= 0 else lower
        size = abs(exponent)
        side[size] = side[size] * base % modulus if size in side else whole(base) % modulus
    above, below = (_by_buckets(side, modulus) for side in (upper, lower))
    return int(above * invert(below, modulus) % modulus)


def _by_buckets(powers: dict[int, Any], modulus: Any) -> Any:
    """The product of powers[e]^e."""
    powers.pop(0, None)
    result = whole(1)
    if not powers:
        return result
    bits = max(powers).bit_length()
    width = _width(len(powers), bits)
    for digit in reversed(range(-(-bits // width))):
        for _ in range(width):
            result = result * result % modulus
        result = result * _digit(powers, digit * width, (1 << width) - 1, modulus) % modulus
    return result


def _width(bases: int, bits: int) -> int:
    """Digits of so many bits want the fewest products."""

    def products(width: int) -> int:
        return -(-bits // width) * (bases + (2 << width) + width)

    return min(range(1, _WIDEST + 1), key=products)


def _digit(powers: dict[int, Any], shift: int, mask: int, modulus: Any) -> Any:
    """The product of base^digit, the digits being those at this shift."""
    buckets: dict[int, Any] = {}
    for exponent, base in powers.items():
        digit = exponent >> shift & mask
        if digit:
            buckets[digit] = buckets[digit] * base % modulus if digit in buckets else base
    running = total = whole(1)
    for digit in range(max(buckets, default=0), 0, -1):
        if digit in buckets:
            running = running * buckets[digit] % modulus
        total = total * running % modulus
    return total
