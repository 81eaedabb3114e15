"""The forward recursion of a reader who knows a home's chain and its battery's controller."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hushmeter.compiler import compiled

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_NOTHING = 1e-300


@compiled
def _foretold(now: Floats, law: Floats, transitions: Floats, fresh: bool, levels: Floats) -> None:
    """The masses of the next level at one charge, shape (k,), from those of the last one."""
    levels[:] = 0
    if fresh:
        levels += now.sum() * law
        return
    for i in range(now.size):
        if now[i] > 0:
            for j in range(now.size):
                levels[j] += now[i] * transitions[i, j]


@compiled
def surprises(  # noqa: PLR0913
    draws: Integers,
    follows: NDArray[np.bool_],
    which: Integers,
    laws: Floats,
    transitions: Floats,
    levels: Integers,
    memory: Integers,
    chances: Floats,
    initial: Floats,
) -> Floats:
    """-log2 Pr[draw | the draws before it], shape (steps,).

    The reader holds Pr[charge s, level j of the last step | draws so far].

    Parameters
    ----------
    draws:
        Shape (steps,), quanta.
    follows:
        Shape (steps,): whether the step comes right after the one before it; else the level
        starts anew from its law.
    which:
        Shape (steps,): which of the chains to take.
    laws, transitions:
        Shapes (chains, k) and (chains, k, k).
    levels:
        Shape (k,), quanta.
    memory:
        Shape (steps,): of the controller before the step, which the draws have told.
    chances:
        Shape (memories, states, k, outputs): Pr[draw | memory, charge, level].
    initial:
        Shape (states,): law of the first charge.
    """
    states, count = initial.size, levels.size
    bits = np.empty(draws.size)
    now = np.zeros((states, count))
    now[:, 0] = initial
    after, coming = np.empty((states, count)), np.empty(count)
    for step in range(draws.size):
        chain, draw = which[step], draws[step]
        fresh = step == 0 or not follows[step]
        after[:] = 0
        for s in range(states):
            if now[s].sum() < _NOTHING:
                continue
            _foretold(now[s], laws[chain], transitions[chain], fresh, coming)
            for j in range(count):
                end = s - levels[j] + draw
                if 0 <= end < states:
                    after[end, j] += coming[j] * chances[memory[step], s, j, draw]
        total = after.sum()
        bits[step] = -np.log2(total)
        now[:] = after / total
    return bits


@compiled
def walk(  # noqa: PLR0913
    uniforms: Floats,
    law_sums: Floats,
    transition_sums: Floats,
    levels: Integers,
    chance_sums: Floats,
    next_memory: Integers,
    memory: int,
    state: int,
) -> Integers:
    """A run of a controller on a chain: (level, draw, charge before, memory before) of each step.

    Parameters
    ----------
    uniforms:
        Shape (steps, 2), from 0 up to 1.
    law_sums, transition_sums, chance_sums:
        Cumulative laws: shapes (k,), (k, k) and (memories, states, k, outputs).
    next_memory:
        Shape (memories, outputs).
    """
    steps = len(uniforms)
    path = np.empty((4, steps), np.int64)
    place = 0
    for step in range(steps):
        row = law_sums if step == 0 else transition_sums[place]
        place = min(np.searchsorted(row, uniforms[step, 0], side="right"), levels.size - 1)
        sums = chance_sums[memory, state, place]
        draw = np.searchsorted(sums, uniforms[step, 1] * sums[-1], side="right")
        draw = min(draw, sums.size - 1)
        path[0, step], path[1, step] = place, draw
        path[2, step], path[3, step] = state, memory
        state += draw - levels[place]
        memory = next_memory[memory, draw]
    return path
