"""What a controller on integers leaks under a fitted model, i.i.d. or a Markov chain.

Under a chain the rate is L = h(Y) - h(Y | X), as for a load without memory: h(Y) is the mean
surprise of a reader who carries on the joint law of the charge and the last level, and h(Y | X) the
mean of -log2 q(y | x, s, m), since load and draws tell the charge. One long run is taken; the
standard error is from its pieces.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hushmeter.errors import HushmeterError
from hushmeter.leakage.policy import Policy

Floats = NDArray[np.float64]

MOST_ENTRIES = 30_000_000
_PIECES = 20
_FORGET = 10


@dataclass(frozen=True)
class ModelRate:
    """A simulated rate, bits a step."""

    rate: float
    stderr: float
    steps: int


def model_rate(  # noqa: PLR0913
    policy: Policy,
    levels: NDArray[np.int64],
    law: Floats,
    transitions: Floats | None,
    steps: int,
    seed: int,
) -> ModelRate:
    """The rate of a policy under a load of these levels.

    Parameters
    ----------
    levels, law:
        Shape (k,): quanta, and their probabilities in the long run.
    transitions:
        Shape (k, k); None for a load that is independent from step to step.
    steps:
        Simulated; the first tenth lets the start be forgotten and is not counted.

    Raises
    ------
    HushmeterError
        The policy is too large to be gone through.
    """
    from hushmeter.leakage import home_kernels

    entries = policy.memories * (policy.capacity + 1) * levels.size * policy.outputs
    if entries > MOST_ENTRIES:
        raise HushmeterError(
            f"{policy.name} has {entries:,} probabilities; {MOST_ENTRIES:,} are gone through at "
            "most"
        )
    chances = np.ascontiguousarray(policy.draws[:, :, levels])
    rows = np.tile(law, (levels.size, 1)) if transitions is None else transitions
    generator = np.random.default_rng(seed)
    start = generator.choice(policy.initial.size, p=policy.initial.ravel())
    memory, state = divmod(int(start), policy.capacity + 1)
    path = home_kernels.walk(
        generator.random((steps, 2)),
        np.cumsum(law),
        np.cumsum(rows, axis=1),
        levels,
        np.cumsum(chances, axis=-1),
        policy.next_memory,
        memory,
        state,
    )
    first = policy.initial[memory]
    surprise = home_kernels.surprises(
        path[1],
        np.full(steps, transitions is not None),
        np.zeros(steps, dtype=np.int64),
        law[None],
        rows[None],
        levels,
        path[3],
        chances,
        first / first.sum(),
    )
    coins = -np.log2(chances[path[3], path[2], path[0], path[1]])
    counted = (surprise - coins)[steps // _FORGET :]
    pieces = [piece.mean() for piece in np.array_split(counted, _PIECES)]
    return ModelRate(
        rate=float(counted.mean()),
        stderr=float(np.std(pieces, ddof=1) / np.sqrt(_PIECES)),
        steps=counted.size,
    )
