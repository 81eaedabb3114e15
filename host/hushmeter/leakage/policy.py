"""A randomised battery policy on integers: what it draws, and what it remembers.

Load X, battery S in 0..C, draw Y, next S' = S - X + Y (Liu, Lee, Khisti, eq. 1). A policy draws
Y with probability q(y | x, s, m), where m is a memory that the outputs alone move: m' = next[m, y].
A memoryless policy has one m; one that knows its last output has one for each output. Since m
follows from the outputs, who reads the meter knows it too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hushmeter.errors import HushmeterError

_ROW_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Policy:
    """q(y | x, s, m) and how it starts.

    Attributes
    ----------
    draws:
        Shape (memories, states, inputs, outputs); a row over outputs sums to 1.
    initial:
        Shape (memories, states): joint law of memory and state before the first step.
    next_memory:
        Shape (memories, outputs): the memory after an output.
    name:
        For people.
    """

    draws: NDArray[np.float64]
    initial: NDArray[np.float64]
    next_memory: NDArray[np.int64]
    name: str = "policy"

    @property
    def capacity(self) -> int:
        """The highest state."""
        return int(self.draws.shape[1]) - 1

    @property
    def memories(self) -> int:
        """How many values the memory has."""
        return int(self.draws.shape[0])

    @property
    def inputs(self) -> int:
        """How many values the load has."""
        return int(self.draws.shape[2])

    @property
    def outputs(self) -> int:
        """How many values the draw has."""
        return int(self.draws.shape[3])


def memoryless(
    draws: NDArray[np.float64], initial: NDArray[np.float64], name: str = "policy"
) -> Policy:
    """From q(y | x, s), shape (states, inputs, outputs), and the law of the first state."""
    return Policy(draws[None], initial[None], np.zeros((1, draws.shape[2]), dtype=np.int64), name)


def check(policy: Policy) -> Policy:
    """The policy, if it can be carried out.

    Raises
    ------
    HushmeterError
        A row does not sum to 1, has a negative entry, or can lead out of the battery; the message
        names state, load and draw.
    """
    draws = policy.draws
    for m, s, x in np.ndindex(draws.shape[:3]):
        row = draws[m, s, x]
        where = f"{policy.name}: state {s}, load {x}" + (f", memory {m}" if len(draws) > 1 else "")
        if not np.all(row >= 0) or abs(row.sum() - 1) > _ROW_TOLERANCE:
            raise HushmeterError(
                f"{where}: the probabilities of the draws sum to {row.sum():.9g}; "
                "they must be 0 or more and sum to 1"
            )
        for y in np.flatnonzero(row):
            if not 0 <= s - x + y <= policy.capacity:
                raise HushmeterError(
                    f"{where}: a draw of {y} leads to state {s - x + y}; it must stay within "
                    f"0 to {policy.capacity}"
                )
    total = policy.initial.sum()
    if np.any(policy.initial < 0) or abs(total - 1) > _ROW_TOLERANCE:
        raise HushmeterError(
            f"{policy.name}: the law of the first state sums to {total:.9g}, not 1"
        )
    return policy
