"""Noise shares and totals drawn exactly and fast: the device's sampler, compiled.

    stream = Stream(seed=7)                             # or Stream(): from the system's entropy
    shares(stream, 1000, n=100, scale=Fraction(3000))   # int64, shape (1000,)
    totals(stream, 1000, 99, n=70, scale=3000)          # each the sum of 99 shares of shape 1/70

Why it is exact. The bytes are AES-256 in counter mode. `below` makes of them integers that are
uniform on 0..n-1 by rejection, as the device does; all that follows is the device's algorithm
(`hushfw.core.noise`, where the argument stands) in integers of 63 bits, and on the same bytes it
gives the same shares. There is no rounding and no truncation; a number that would not fit is an
error and no draw, and with `MOST_SCALE` that is rarer than exp(-120).

Why totals need not draw every share. The shares of several colours of one urn add up to a Polya
variable of their shapes' sum. The sum of R shares of shape 1/n is therefore R // n differences of
geometric variables and, for the rest r = R mod n, the parts of r colours and of r others in an urn
of n colours (where there are no 2 r colours, of r colours in each of two urns): the same law as R
shares, for the price of a few.

A cut draw. Bytes come in blocks. A draw that meets the end of a block is begun again from its
first byte once more bytes have been joined on: what comes out is a function of the unbroken
stream, whatever the blocks, so nothing is selected.

This is for studies: the buffers are not erased, as a meter's are.
"""

from __future__ import annotations

import hashlib
import os
from fractions import Fraction

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

from hushmeter.errors import HushmeterError
from hushmeter.privacy import sampler_kernels as kernels

Integers = NDArray[np.int64]
Scale = Fraction | int

BLOCK_BYTES = 1 << 18
MOST_SCALE = 1 << 55
"""Largest numerator of lambda times n."""
_ZEROS = bytes(BLOCK_BYTES)


class Tape:
    """A fixed string of bytes in place of a generator; refuses when it is used up."""

    def __init__(self, data: bytes) -> None:
        self.rest = np.frombuffer(data, dtype=np.uint8)

    def __repr__(self) -> str:
        return "Tape(...)"

    def more(self) -> None:
        """Joins further bytes on to the rest."""
        raise HushmeterError("the tape ended before all shares were drawn; give a longer one")


class Stream(Tape):
    """AES-256 in counter mode under a key of its own.

    Parameters
    ----------
    seed:
        Integers and texts that name the stream, the same bytes every time; None takes 32 bytes
        from the operating system.
    """

    def __init__(self, *seed: int | str) -> None:
        super().__init__(b"")
        words = "hushmeter noise|" + "|".join(str(word) for word in seed)
        key = hashlib.sha256(words.encode()).digest() if seed else os.urandom(32)
        self._blocks = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()

    def __repr__(self) -> str:
        return "Stream(...)"

    def more(self) -> None:
        """Joins another block on to the rest."""
        block = np.frombuffer(self._blocks.update(_ZEROS), dtype=np.uint8)
        self.rest = np.concatenate([self.rest, block])


def shares(source: Tape, count: int, n: int, scale: Scale) -> Integers:
    """`count` meters' shares when n meters count, as `hushfw.core.noise.share` draws them.

    Raises
    ------
    HushmeterError
        n < 1, a scale below 0 or too large, or a fixed tape that is too short.
    """
    return totals(source, count, 1, n, scale)


def totals(source: Tape, count: int, reporters: int, n: int, scale: Scale) -> Integers:
    """`count` sums of `reporters` shares of shape 1/n each, int64, shape (count,).

    With as many reporters as n the law is discrete Laplace: Pr(d) = (1 - p)/(1 + p) p^|d|.
    """
    ratio = Fraction(scale)
    scales = np.full((count, 2), (_fits(ratio.numerator), _fits(ratio.denominator)), np.int64)
    return draw(source, np.full(count, reporters, np.int64), n, scales)


def draw(source: Tape, reporters: Integers, n: int, scales: Integers) -> Integers:
    """Sums of shares, each with its own number of them and its own scale.

    Parameters
    ----------
    reporters:
        How many shares each sum has, 0 or more, shape (draws,).
    n:
        Of the shape 1/n of a share.
    scales:
        Numerator and denominator of lambda, shape (draws, 2); a numerator of 0 is no noise.

    Raises
    ------
    HushmeterError
        As for :func:`shares`.
    """
    reporters, scales = np.asarray(reporters, np.int64), np.asarray(scales, np.int64)
    if n < 1:
        raise HushmeterError(f"{n} noise shares; at least 1 is needed")
    if scales.shape != (*reporters.shape, 2) or reporters.ndim != 1:
        raise HushmeterError(
            f"scales of shape {scales.shape} for {reporters.shape} sums; wanted (draws, 2)"
        )
    if reporters.size and reporters.min() < 0:
        raise HushmeterError("a sum of fewer than 0 shares")
    if scales.size and (scales[:, 0].min() < 0 or scales[:, 1].min() < 1):
        raise HushmeterError("a noise scale below 0, or with a denominator below 1")
    if scales.size and int(scales[:, 0].max()) * n > MOST_SCALE:
        raise HushmeterError(
            f"a noise scale with the numerator {scales[:, 0].max()} and n = {n}; "
            f"their product must be {MOST_SCALE} or less"
        )
    return _drawn(source, reporters, n, scales)


def _drawn(source: Tape, reporters: Integers, n: int, scales: Integers) -> Integers:
    out = np.zeros(reporters.size, dtype=np.int64)
    done = 0
    while True:
        done, at, why = kernels.fill(source.rest, 0, done, reporters, n, scales, out)
        source.rest = source.rest[at:]
        if why == kernels.TOO_LARGE:
            raise HushmeterError("a noise share does not fit 63 bits; nothing was drawn")
        if done == out.size:
            return out
        source.more()


def _fits(value: int) -> int:
    if value > MOST_SCALE:
        raise HushmeterError(f"a noise scale with a part above {MOST_SCALE}")
    return value
