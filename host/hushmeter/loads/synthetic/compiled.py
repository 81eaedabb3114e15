"""Random numbers inside compiled code.

A stream of random numbers is SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number
generators", OOPSLA 2014): a counter with a fixed stride whose values are mixed. A stream begins
where a hash of its keys says, so that every home and day has its own, in any order, and no version
of a library can move it. At most 1e4 numbers are drawn from each of 4e5 streams; that two of them
overlap has probability below 1e-4. Never for secrets.
"""

import numpy as np
from numpy.typing import NDArray

from hushmeter.compiler import compiled

Stream = NDArray[np.uint64]
"""The counter of a stream, shape (1,)."""

_STRIDE = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_SHIFTS = (np.uint64(30), np.uint64(27), np.uint64(31))
_SHIFT_53 = np.uint64(11)


@compiled
def mix(value: np.uint64) -> np.uint64:
    """SplitMix64's bijection of 64-bit words."""
    value = (value ^ (value >> _SHIFTS[0])) * _MIX_1
    value = (value ^ (value >> _SHIFTS[1])) * _MIX_2
    return value ^ (value >> _SHIFTS[2])


@compiled
def begin(stream: Stream, seed: int, first: int, second: int) -> None:
    """Puts the stream at the place that belongs to three keys."""
    place = mix(np.uint64(seed) + _STRIDE)
    place = mix(place ^ (np.uint64(first) + _STRIDE))
    stream[0] = mix(place ^ (np.uint64(second) * _MIX_1 + _STRIDE))


@compiled
def word(stream: Stream) -> np.uint64:
    """The next 64 bits."""
    stream[0] += _STRIDE
    return mix(stream[0])


@compiled
def uniform(stream: Stream) -> float:
    """In [0, 1), a multiple of 2^-53."""
    return float(word(stream) >> _SHIFT_53) * 2.0**-53


@compiled
def exponential(stream: Stream) -> float:
    """With mean 1."""
    return float(-np.log(1.0 - uniform(stream)))


@compiled
def normal(stream: Stream) -> float:
    """With mean 0 and variance 1 (Box and Muller, the cosine alone)."""
    radius = np.sqrt(2.0 * exponential(stream))
    return float(radius * np.cos(2.0 * np.pi * uniform(stream)))


@compiled
def uniforms(seed: int, first: int, second: int, count: int) -> NDArray[np.float64]:
    """The first `count` uniforms of a stream."""
    stream = np.zeros(1, dtype=np.uint64)
    begin(stream, seed, first, second)
    drawn = np.empty(count)
    for place in range(count):
        drawn[place] = uniform(stream)
    return drawn
