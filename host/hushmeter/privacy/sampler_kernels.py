"""The compiled steps of the exact sampler: `hushfw.core.noise` over a tape of random bytes.

Every function takes the tape and the place `at` of its next byte and returns the place after what
it used; a negative place is `SPENT` (the tape ended within a draw) or `TOO_LARGE` (a number would
not fit 63 bits). Nothing is drawn that `noise` would not draw, in the same order.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hushmeter.compiler import compiled

SPENT, TOO_LARGE = -1, -2
FITS = 1 << 62

Bytes = NDArray[np.uint8]
Integers = NDArray[np.int64]


@compiled
def below(tape: Bytes, at: int, n: int) -> tuple[int, int]:
    """(uniform on 0..n-1, place after it), as `hushfw.core.drbg.Source.below`.

    The least number of bytes that holds n - 1, little-endian, bits above its highest one masked,
    drawn again while not below n. Among the masked values all are equally likely, so those that
    are kept are uniform, exactly.
    """
    mask = n - 1
    mask |= mask >> 1
    mask |= mask >> 2
    mask |= mask >> 4
    mask |= mask >> 8
    mask |= mask >> 16
    mask |= mask >> 32
    while at >= 0:
        value, shift, rest = np.int64(0), np.int64(0), mask
        while rest:
            if at >= tape.size:
                return 0, SPENT
            value |= np.int64(tape[at]) << shift
            at += 1
            shift += 8
            rest >>= 8
        value &= mask
        if value < n:
            return int(value), at
    return 0, at


@compiled
def coin(tape: Bytes, at: int, num: int, den: int) -> tuple[bool, int]:
    """(True with probability exp(-num / den), place after it), for 0 <= num <= den."""
    k = 1
    reach = den
    while at >= 0:
        value, at = below(tape, at, reach)
        if value >= num:
            break
        k += 1
        reach += den
        if reach > FITS:
            return False, TOO_LARGE
    return k & 1 == 1, at


@compiled
def geometric(tape: Bytes, at: int, num: int, den: int, most: int) -> tuple[int, int]:
    """(g >= 0 with Pr(g) = (1 - p) p^g, place after it), p = exp(-den / num)."""
    while True:
        low, at = below(tape, at, num)
        kept, at = coin(tape, at, low, num)
        if kept or at < 0:
            break
    total = low
    while at >= 0:
        again, at = coin(tape, at, 1, 1)
        if not again:
            break
        total += num
        if total > most:
            return 0, TOO_LARGE
    return total // den, at


@compiled
def split(
    tape: Bytes, at: int, total: int, n: int, first: int, second: int
) -> tuple[int, int, int]:
    """(balls of the first `first` of n colours, of the `second` next ones, place after it)."""
    ours = theirs = 0
    while total and at >= 0:
        draw, at = below(tape, at, n * total)
        left = draw // n
        colour = draw - left * n
        if colour < first:
            ours += total - left
        elif colour < first + second:
            theirs += total - left
        total = left
    return ours, theirs, at


@compiled
def one_noise(tape: Bytes, at: int, shares: int, n: int, num: int, den: int) -> tuple[int, int]:
    """(the sum of `shares` shares of shape 1/n, place after it)."""
    most = FITS // n
    noise = 0
    for _ in range(shares // n):
        plus, at = geometric(tape, at, num, den, most)
        minus, at = geometric(tape, at, num, den, most)
        noise += plus - minus
        if at < 0:
            return 0, at
    part = shares % n
    if part == 0:
        return noise, at
    plus, at = geometric(tape, at, num, den, most)
    if 2 * part <= n:
        plus, minus, at = split(tape, at, plus, n, part, part)
        return noise + plus - minus, at
    plus, _, at = split(tape, at, plus, n, part, 0)
    minus, at = geometric(tape, at, num, den, most)
    minus, _, at = split(tape, at, minus, n, part, 0)
    return noise + plus - minus, at


@compiled
def fill(
    tape: Bytes, at: int, begin: int, shares: Integers, n: int, scales: Integers, out: Integers
) -> tuple[int, int, int]:
    """Draws out[begin:] until the tape is spent: (draws done, place after the last, why it ended).

    `shares` has the shape (draws,), `scales` (draws, 2): numerator and denominator of lambda. A
    draw that the tape's end cuts short is to be begun again, from its first byte, on a longer one.
    """
    for place in range(begin, out.size):
        num, den = scales[place]
        value, after = 0, at
        if num and shares[place]:
            value, after = one_noise(tape, at, shares[place], n, num, den)
        if after < 0:
            return place, at, after
        out[place] = value
        at = after
    return out.size, at, 0
