"""A battery controller as a finite machine that draws at random, and several of them in series.

In a hidden state h and with a load x the machine draws y and goes on to h' with some probability:
that is an arc (h, x) -> (y, h'). For a `Policy` h is memory and charge; for batteries in series it
is all of theirs together, and the draws between them are summed out, so a reader of the last draw
knows of h only what the draws tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, reduce

import numpy as np
from numpy.typing import NDArray

from hushmeter.errors import HushmeterError
from hushmeter.leakage.policy import Policy, check

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

MOST_ARCS = 20_000_000
_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Machine:
    """Arcs (tail, load) -> (draw, head), each with its probability given tail and load.

    Attributes
    ----------
    tail, load, draw, head:
        Shape (arcs,), sorted by (tail, load, draw, head), no two alike.
    chance:
        Shape (arcs,), above 0; those of one (tail, load) sum to 1.
    initial:
        Shape (states,): law of the first hidden state. Every state can be reached.
    inputs, outputs:
        Loads are 0 to inputs - 1, draws 0 to outputs - 1.
    capacity:
        Of its battery, or all its batteries together; None where that is not known.
    name:
        For people.
    """

    tail: Integers
    load: Integers
    draw: Integers
    head: Integers
    chance: Floats
    initial: Floats
    inputs: int
    outputs: int
    capacity: int | None = None
    name: str = "machine"

    @property
    def states(self) -> int:
        """How many hidden states there are."""
        return len(self.initial)

    @cached_property
    def is_resolved(self) -> bool:
        """Whether state, load and draw together say what the next state is."""
        key = (self.tail * self.inputs + self.load) * self.outputs + self.draw
        return len(np.unique(key)) == len(key)


def from_policy(policy: Policy | Machine) -> Machine:
    """The machine of a policy, checked; a machine is returned as it is.

    Raises
    ------
    HushmeterError
        A row of the policy cannot be carried out; the message names it.
    """
    if isinstance(policy, Machine):
        return policy
    _check(policy)
    memory, state, load, draw = (index.astype(np.int64) for index in np.nonzero(policy.draws))
    size = policy.capacity + 1
    return assemble(
        tail=memory * size + state,
        load=load,
        draw=draw,
        head=policy.next_memory[memory, draw] * size + state - load + draw,
        chance=policy.draws[memory, state, load, draw],
        initial=policy.initial.ravel(),
        inputs=policy.inputs,
        outputs=policy.outputs,
        capacity=policy.capacity,
        name=policy.name,
    )


def _check(policy: Policy) -> None:
    """`policy.check`, which names what is wrong, only where something is."""
    draws, initial = policy.draws, policy.initial
    state, load, draw = np.ogrid[: policy.capacity + 1, : policy.inputs, : policy.outputs]
    after = state - load + draw
    if not (
        np.all(draws >= 0)
        and np.all(np.abs(draws.sum(-1) - 1) <= _TOLERANCE)
        and not np.any((draws > 0) & ((after < 0) | (after > policy.capacity)))
        and np.all(initial >= 0)
        and abs(initial.sum() - 1) <= _TOLERANCE
    ):
        check(policy)
        raise HushmeterError(f"{policy.name}: an entry is no number")


def series(policies: Sequence[Policy | Machine]) -> Machine:
    """Batteries one behind the other, the first at the load, the last at the meter.

    Raises
    ------
    HushmeterError
        None is given, a battery draws what the next cannot take, or together they are too large.
    """
    if not policies:
        raise HushmeterError("no battery is given; a cascade needs one or more")
    return reduce(_in_series, [from_policy(policy) for policy in policies])


def assemble(  # noqa: PLR0913
    *,
    tail: Integers,
    load: Integers,
    draw: Integers,
    head: Integers,
    chance: Floats,
    initial: Floats,
    inputs: int,
    outputs: int,
    capacity: int | None,
    name: str,
) -> Machine:
    """A machine of arcs in any order: equal ones are added up, what cannot be reached is left out.

    Raises
    ------
    HushmeterError
        The arcs of a state and a load do not sum to 1, or there are none.
    """
    reached = _reachable(tail, head, initial)
    number = np.cumsum(reached) - 1
    kept = reached[tail]
    tail, load, draw, head = number[tail[kept]], load[kept], draw[kept], number[head[kept]]
    states = int(reached.sum())
    key = ((tail * inputs + load) * outputs + draw) * states + head
    unique, place = np.unique(key, return_inverse=True)
    sums = np.bincount(place, chance[kept])
    rest, head = np.divmod(unique, states)
    rest, draw = np.divmod(rest, outputs)
    tail, load = np.divmod(rest, inputs)
    totals = np.bincount(rest, sums, minlength=states * inputs)
    wrong = np.flatnonzero(np.abs(totals - 1) > _TOLERANCE)
    if len(wrong):
        state, missing = divmod(int(wrong[0]), inputs)
        raise HushmeterError(
            f"{name}: hidden state {state}, load {missing}: the probabilities of what it draws "
            f"sum to {totals[wrong[0]]:.9g}; they must sum to 1"
        )
    start = initial[reached] / initial.sum()
    chance = sums / totals[rest]
    return Machine(tail, load, draw, head, chance, start, inputs, outputs, capacity, name)


def _reachable(tail: Integers, head: Integers, initial: Floats) -> NDArray[np.bool_]:
    """Which states a path of arcs leads to from a possible first one, shape (states,)."""
    order = np.argsort(tail, kind="stable")
    first = np.searchsorted(tail[order], np.arange(len(initial) + 1))
    heads = head[order]
    reached = initial > 0
    front = np.flatnonzero(reached)
    while len(front):
        ahead = np.concatenate([heads[first[state] : first[state + 1]] for state in front])
        front = np.unique(ahead[~reached[ahead]])
        reached[front] = True
    return reached


def _in_series(first: Machine, second: Machine) -> Machine:
    """The two as one; the draw of the first is summed out."""
    name = f"{first.name} + {second.name}"
    most = int(first.draw.max())
    if most >= second.inputs:
        raise HushmeterError(
            f"{name}: {first.name} draws up to {most}, but {second.name} takes loads of 0 to "
            f"{second.inputs - 1}; the alphabets must fit"
        )
    left, right = [], []
    taken_by = [np.flatnonzero(second.load == between) for between in range(second.inputs)]
    drawn_by = [np.flatnonzero(first.draw == between) for between in range(second.inputs)]
    arcs = sum(len(one) * len(other) for one, other in zip(drawn_by, taken_by, strict=True))
    if arcs > MOST_ARCS:
        raise HushmeterError(
            f"{name}: in series they have {arcs:,} arcs; at most {MOST_ARCS:,} are taken"
        )
    for one, other in zip(drawn_by, taken_by, strict=True):
        left.append(np.repeat(one, len(other)))
        right.append(np.tile(other, len(one)))
    a, b = np.concatenate(left), np.concatenate(right)
    capacities = [one.capacity for one in (first, second) if one.capacity is not None]
    return assemble(
        tail=first.tail[a] * second.states + second.tail[b],
        load=first.load[a],
        draw=second.draw[b],
        head=first.head[a] * second.states + second.head[b],
        chance=first.chance[a] * second.chance[b],
        initial=np.outer(first.initial, second.initial).ravel(),
        inputs=first.inputs,
        outputs=second.outputs,
        capacity=None if len(capacities) < 2 else sum(capacities),
        name=name,
    )
