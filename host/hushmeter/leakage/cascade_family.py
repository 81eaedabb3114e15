"""Policies with memory for batteries in series, as one vector that can be optimised.

A battery that remembers its last j outputs draws with q(w | x, s, m). All rows q(. | x, s, m) of
all batteries lie one after the other in a vector of entries; every step of the cascade from one
hidden state to another (an arc) is a product of P(x) and one entry of each battery.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hushmeter.leakage import cascade_grid, cascade_paths
from hushmeter.leakage.entropies import NATS_TO_BITS, entropy
from hushmeter.leakage.policy import Policy

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Family:
    """Batteries that remember so many outputs each.

    Attributes
    ----------
    law:
        Shape (levels,): Pr[X = 0, 1, ...]; all draws are on the same levels.
    capacity:
        The highest state of each.
    recalled:
        Outputs that each battery remembers, from the load to the meter.
    """

    law: tuple[float, ...]
    capacity: int
    recalled: tuple[int, ...]

    @property
    def levels(self) -> int:
        """Size of the alphabet."""
        return len(self.law)

    def memories(self, battery: int) -> int:
        """How many values the battery's memory has."""
        return int(self.levels ** self.recalled[battery])

    def shape(self, battery: int) -> tuple[int, int, int, int]:
        """Of the battery's draws, as in `Policy`."""
        return self.memories(battery), self.capacity + 1, self.levels, self.levels

    def next_memory(self, battery: int) -> Integers:
        """Memory m and an output give levels * m + output, the oldest digit dropped."""
        many = self.memories(battery)
        return (np.arange(many)[:, None] * self.levels + np.arange(self.levels)) % many

    @cached_property
    def places(self) -> list[Integers]:
        """For each battery the place of (m, s, x, w) among all entries, -1 where infeasible."""
        found, first = [], 0
        for battery in range(len(self.recalled)):
            shape = self.shape(battery)
            _, s, x, w = np.indices(shape)
            feasible = (s - x + w >= 0) & (s - x + w <= self.capacity)
            index = np.full(shape, -1, dtype=np.int64)
            count = int(np.count_nonzero(feasible))
            index[feasible] = first + np.arange(count)
            first += count
            found.append(index)
        return found

    @cached_property
    def rows(self) -> Integers:
        """For each entry the number of the row that it belongs to."""
        labels = [
            np.broadcast_to(
                np.arange(index[..., 0].size).reshape(*index.shape[:3], 1), index.shape
            )[index >= 0]
            for index in self.places
        ]
        offsets = np.cumsum([0, *(index[..., 0].size for index in self.places)])
        return np.concatenate([one + off for one, off in zip(labels, offsets[:-1], strict=True)])

    def entries(self, policies: list[Policy]) -> Floats:
        """The vector of memoryless policies, the same for every memory."""
        parts = [
            np.broadcast_to(policy.draws[0], index.shape)[index >= 0]
            for policy, index in zip(policies, self.places, strict=True)
        ]
        return np.concatenate(parts)

    def policies(self, entries: Floats, law: Floats) -> tuple[Policy, ...]:
        """The policies of a vector, each started from its own part of the stationary law."""
        sizes = [size for index in self.places for size in index.shape[:2]]
        joint = law.reshape(sizes)
        found = []
        for battery, index in enumerate(self.places):
            others = tuple(i for i in range(len(sizes)) if i // 2 != battery)
            draws = np.where(index >= 0, entries[index], 0.0)
            name = f"battery {chr(ord('A') + battery)}, recalls {self.recalled[battery]}"
            start = joint.sum(others)
            found.append(Policy(draws, start / start.sum(), self.next_memory(battery), name))
        return tuple(found)

    @cached_property
    def arcs(self) -> Arcs:
        """All steps that the cascade can make."""
        return _arcs(self)

    def path_bound(self, entries: Floats, steps: tuple[int, int]) -> Bound:
        """By :mod:`hushmeter.leakage.cascade_paths`: steps with the loads, and of draws alone."""
        arcs = self.arcs
        chance = cascade_paths.chances(entries, arcs.uses, arcs.load_chance)
        law, system = cascade_paths.stationary(chance, arcs.tail, arcs.head, len(arcs.known))
        pairs = cascade_paths.pairs(law, *arcs.by_pair, arcs.head, chance, steps[0])
        draws = cascade_paths.draws(law, arcs.known, *arcs.by_draw, arcs.head, chance, steps[1])
        slope = (
            pairs[2]
            - draws[2]
            + cascade_paths.through_law(system, law, pairs[1] - draws[1], arcs.tail, arcs.head)
        )
        return self._in_bits(entries, pairs[0] - draws[0], slope, law)

    def grid_bound(
        self, entries: Floats, fine: int, draw_steps: int, most: int, *, with_slope: bool = False
    ) -> Bound | None:
        """By :mod:`hushmeter.leakage.cascade_grid`; None for a grid of more than `most` points."""
        arcs = self.arcs
        chance = cascade_paths.chances(entries, arcs.uses, arcs.load_chance)
        law, system = cascade_paths.stationary(chance, arcs.tail, arcs.head, len(arcs.known))
        told = cascade_grid.told_entropy(
            fine, most, arcs.by_pair, arcs.head, chance, law, with_slope=with_slope
        )
        if told is None:
            return None
        draws = cascade_paths.draws(law, arcs.known, *arcs.by_draw, arcs.head, chance, draw_steps)
        slope = np.zeros(len(chance))
        if with_slope:
            slope = (
                -told[1]
                - draws[2]
                + cascade_paths.through_law(system, law, -draws[1], arcs.tail, arcs.head)
            )
        return self._in_bits(entries, -told[0] - draws[0], slope, law)

    def grid_points(self, entries: Floats, fine: int, most: int) -> int | None:
        """How many beliefs a grid of so many parts has for these entries; None above `most`."""
        arcs = self.arcs
        chance = cascade_paths.chances(entries, arcs.uses, arcs.load_chance)
        points = cascade_grid.explore(fine, most, *arcs.by_pair, arcs.head, chance)[0]
        return len(points) or None

    def _in_bits(self, entries: Floats, nats: float, slope: Floats, law: Floats) -> Bound:
        arcs = self.arcs
        gradient = cascade_paths.pulled_back(entries, arcs.uses, arcs.load_chance, slope)
        bits = nats * NATS_TO_BITS + entropy(np.array(self.law))
        return Bound(bits, gradient * NATS_TO_BITS, law)


@dataclass(frozen=True)
class Bound:
    """A bound on the rate in bits, its gradient over the entries, and the hidden states' law."""

    bits: float
    gradient: Floats
    law: Floats


@dataclass(frozen=True)
class Arcs:
    """As the parameters of :func:`hushmeter.leakage.cascade_paths.rate_bound`."""

    uses: Integers
    load_chance: Floats
    tail: Integers
    head: Integers
    by_pair: tuple[Integers, Integers]
    by_draw: tuple[Integers, Integers]
    known: Integers


def _arcs(family: Family) -> Arcs:
    """Battery by battery: each arc so far is followed by all draws of the next battery."""
    loads = np.flatnonzero(np.array(family.law) > 0)
    uses = np.zeros((len(loads), 0), dtype=np.int64)
    load, out = loads, loads
    tail = head = np.zeros(len(loads), dtype=np.int64)
    known = np.zeros(1, dtype=np.int64)
    for battery, index in enumerate(family.places):
        memories, states, levels, _ = index.shape
        hidden = np.arange(memories * states)
        parts = []
        for arc, own in itertools.product(range(len(out)), hidden):
            m, s = divmod(int(own), states)
            for w in np.flatnonzero(index[m, s, out[arc]] >= 0):
                after = family.next_memory(battery)[m, w] * states + s - out[arc] + w
                parts.append((arc, own, after, w, index[m, s, out[arc], w]))
        arc, own, after, draw, entry = np.array(parts).T
        uses = np.column_stack([uses[arc], entry])
        load, out = load[arc], draw
        tail = tail[arc] * memories * states + own
        head = head[arc] * memories * states + after
        # Only the last battery's memory is made of draws that the meter shows.
        known = np.tile(hidden // states, len(known))
    count = len(known)
    chances = np.array(family.law)[load]
    by_pair = _grouped(load * family.levels + out, tail, family.levels**2, count)
    by_draw = _grouped(out, tail, family.levels, count)
    return Arcs(np.ascontiguousarray(uses), chances, tail, head, by_pair, by_draw, known)


def _grouped(
    group: Integers, tail: Integers, groups: int, states: int
) -> tuple[Integers, Integers]:
    """(first, arcs): arcs[first[g, z] : first[g, z + 1]] are those of group g and tail z."""
    order = np.lexsort((tail, group))
    keys = (group * states + tail)[order]
    wanted = np.arange(groups)[:, None] * states + np.arange(states + 1)
    return np.searchsorted(keys, wanted), order
