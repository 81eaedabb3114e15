"""A lower limit of what leaks behind a battery that holds for any load that is a Markov chain.

    entropies = block_entropies(levels, transitions, stationary, capacity=300)
    block_bound(entropies, capacity=300).bits

Let Z_1, ..., Z_m be the sums of the load over m blocks of n steps each. Who knows the draws Y, and
so their sums, knows each Z_j up to the change of the charge over its block; and the charge at the
end of a block is one of C + 1 values. Hence H(Z_1..Z_m | Y) <= (m + 1) log2(C + 1), and since the
load before a block tells no more about it than its last step X does,

    L >= max over n of ( H(Z_n | X before the block) - log2(C + 1) ) / n      bits a step.

This holds for every controller, also one that remembers everything or knows the load to come. It
is no optimum: for independent fair bits and a large battery it is a sixth of J*. Where the optimum
is out of reach, as for a chain of many levels, it is what can be said for certain.

H(Z_n | X) comes from the characteristic function. With w(x) = e^{i x a} at each frequency a, the
vector over starting levels obeys v_{n+1} = P (w v_n), v_0 = 1; its inverse transform is the law of
Z_n from each start.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hushmeter.errors import HushmeterError
from hushmeter.leakage.entropies import entropy

_FIRST_SUMS, _MOST_SUMS = 1 << 10, 1 << 14
_MOST_STEPS = 2048
_PRODUCT = 200_000
_ROUNDING = 1e-9
"""Bits by which the limit is lowered: errors of 1e-15 in each of up to 2^14 probabilities."""


@dataclass(frozen=True)
class BlockBound:
    """The limit, and the length of block that gives it.

    Attributes
    ----------
    bits:
        A step; 0 or more.
    steps:
        Of the best block; 0 if no block says more than 0.
    """

    bits: float
    steps: int


def block_bound(entropies: Mapping[int, float], capacity: int) -> BlockBound:
    """The limit for a battery of `capacity` quanta, from H(Z_n | X) by n.

    Raises
    ------
    HushmeterError
        The capacity is below 1.
    """
    if capacity < 1:
        raise HushmeterError(f"the capacity is {capacity} quanta; it must be 1 or more")
    charge_bits = math.log2(capacity + 1)
    best = BlockBound(0.0, 0)
    for steps, bits in entropies.items():
        limit = (bits - charge_bits) / steps - _ROUNDING
        if limit > best.bits:
            best = BlockBound(limit, steps)
    return best


def block_entropies(
    levels: NDArray[np.int64],
    transitions: NDArray[np.float64],
    stationary: NDArray[np.float64],
    capacity: int,
) -> dict[int, float]:
    """H(Z_n | X before the block), bits, for enough lengths n for batteries up to `capacity`.

    Parameters
    ----------
    levels:
        Shape (k,): what the load is in each state of the chain, whole quanta of 0 or more.
    transitions, stationary:
        Shapes (k, k) and (k,).
    """
    steps_up = np.asarray(levels - levels.min(), dtype=np.float64)
    most = max(1, int(steps_up.max()))
    sums = _FIRST_SUMS
    while True:
        length = min(_MOST_STEPS, max(1, sums // most))
        found = _entropies(steps_up, transitions, stationary, length)
        best = block_bound(found, capacity).steps
        # The best length is well inside what was looked at, or there is no more to look at.
        if 0 < best <= length // 2 or sums >= max(_MOST_SUMS, most) or length == _MOST_STEPS:
            return found
        sums *= 2


def _entropies(
    steps_up: NDArray[np.float64],
    transitions: NDArray[np.float64],
    stationary: NDArray[np.float64],
    length: int,
) -> dict[int, float]:
    points = 1 << math.ceil(math.log2(length * float(steps_up.max()) + 2))
    # Pieces so small that a product is not spread over processors, which costs more than it saves.
    count = len(steps_up)
    width = max(1, min(points // 2, _PRODUCT // (2 * count * count)))
    width = 1 << int(math.log2(width))
    pieces = points // 2 // width + 1
    frequency = np.arange(pieces * width).reshape(pieces, 1, width)
    turn = np.exp(-2j * np.pi / points * steps_up[:, None] * frequency)
    vector = np.ones_like(turn)
    found, ends = {}, _lengths(length)
    for step in range(1, length + 1):
        vector = np.matmul(transitions, (turn * vector).view(np.float64)).view(np.complex128)
        if step in ends:
            half = vector.transpose(1, 0, 2).reshape(count, -1)[:, : points // 2 + 1]
            laws = np.maximum(np.fft.irfft(half, n=points, axis=1), 0)
            laws /= laws.sum(1, keepdims=True)
            found[step] = sum(
                float(mass) * entropy(law) for mass, law in zip(stationary, laws, strict=True)
            )
    return found


def _lengths(most: int) -> set[int]:
    """1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, ...: each about a fifth more than the one before."""
    found, length = {most}, 1
    while length < most:
        found.add(length)
        length = max(length + 1, length * 6 // 5)
    return found
