"""The controllers that a name stands for, on integers: a `Policy` or a `Machine`.

Best effort holds the draw of the step before while the battery allows it, else it takes

    best-effort        the possible draw that is nearest to it
    best-effort-pass   the load itself

and hold-mean takes the possible draw nearest to the mean load; of two equally near, the one nearer
to the draw before, else the lower. Binary loads of mean 1/2 make it best effort. All draw from the
load's own alphabet, begin half full, and as if a load had been drawn as it was before the start.
The names of the device's controllers explore the device's own code, see `machine_device`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hushmeter.errors import HushmeterError
from hushmeter.leakage import machine_device, machine_table
from hushmeter.leakage.machine import Machine, from_policy, series
from hushmeter.leakage.machine_load import under
from hushmeter.leakage.policy import Policy

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Rule = Callable[[Integers, Integers, Integers, Integers], Integers]
"""The draw, from load, previous draw, least and greatest possible draw."""

MOST_CAPACITY = 1000
_TIE = 1e-9
_MOST_ENTRIES = 50_000_000
_TABLE = "table:"

TIE_RULES = {
    "best-effort": "holds the previous draw, else the possible draw nearest to it",
    "best-effort-pass": "holds the previous draw, else the draw is the load",
    "hold-mean": "the possible draw nearest to the mean load; of two equally near, the one nearer "
    "to the previous draw, else the lower",
}
NAMES = (*TIE_RULES, "optimal", "table:FILE")


def named(
    name: str,
    law: Floats,
    capacity: int,
    settings: Mapping[str, int] | None = None,
) -> Policy | Machine:
    """The controller of that name for this load and a battery of that many quanta.

    Parameters
    ----------
    name:
        One of `NAMES`, or a controller of `hushfw.core.battery` such as ls2.
    law:
        Pr[X = 0, 1, ...], shape (inputs,).
    capacity:
        1 to 1000.
    settings:
        Of a device's controller, by their names on the device, in W and s with quanta of 1 W s.

    Raises
    ------
    HushmeterError
        An unknown name, a capacity out of range, a table that does not fit, a device's controller
        whose states cannot be counted out.
    """
    law = np.asarray(law, dtype=np.float64)
    if not 1 <= capacity <= MOST_CAPACITY:
        raise HushmeterError(f"the capacity is {capacity}; it must be 1 to {MOST_CAPACITY} quanta")
    if name.startswith(_TABLE):
        return _fitting(machine_table.read(Path(name[len(_TABLE) :])), law, capacity)
    if settings and name in NAMES:
        raise HushmeterError(f"{name} has no settings; a device's controller has")
    if name in ("best-effort", "best-effort-pass"):
        return best_effort(law, capacity, passing=name.endswith("pass"))
    if name == "hold-mean":
        return hold_mean(law, capacity)
    if name == "optimal":
        return optimal(law, capacity)
    if name in machine_device.NAMES:
        return machine_device.explore(name, law, capacity, settings or {})
    known = ", ".join((*NAMES, *machine_device.NAMES))
    raise HushmeterError(f"there is no policy {name!r}; there are {known}")


def in_series(
    names: Sequence[str],
    law: Floats,
    capacity: int,
    settings: Mapping[str, int] | None = None,
) -> Machine:
    """The named controllers one behind the other, each with such a battery, as one machine.

    The load of each is what the one before it draws in the long run.

    Raises
    ------
    HushmeterError
        As `named`, and as `machine.series`.
    """
    made: Machine | None = None
    for name in names:
        load = np.asarray(law, dtype=np.float64) if made is None else _drawn(made, law)
        one = from_policy(named(name, load, capacity, settings))
        made = one if made is None else series([made, one])
    if made is None:
        raise HushmeterError("no policy is named")
    return made


def _drawn(machine: Machine, law: Floats) -> Floats:
    """Law of the draw in the long run, up to the highest draw there is, shape (2 or more,)."""
    process = under(machine, law)
    masses = np.bincount(process.draw, process.stationary[process.tail] * process.weight)
    found = np.zeros(max(2, len(masses)))
    found[: len(masses)] = masses / masses.sum()
    return found


def tie_rule(name: str) -> str | None:
    """What the name leaves open and how it is read, in words."""
    if name in machine_device.NAMES:
        return "as the device's code does"
    return TIE_RULES.get(name)


def best_effort(law: Floats, capacity: int, *, passing: bool = False) -> Policy:
    """Holds the previous draw; else the nearest possible one, or with `passing` the load."""

    def rule(load: Integers, before: Integers, least: Integers, most: Integers) -> Integers:
        held = np.clip(before, least, most)
        return np.where(held == before, before, load) if passing else held

    name = "best-effort-pass" if passing else "best-effort"
    return _deterministic(name, law, capacity, rule)


def hold_mean(law: Floats, capacity: int) -> Policy:
    """The possible draw nearest to the mean load, ties to the previous draw, else the lower."""
    mean = float(law @ np.arange(len(law)))
    low = int(np.floor(mean + _TIE))
    over = mean - low
    is_tie = abs(over - 0.5) < _TIE

    def rule(load: Integers, before: Integers, least: Integers, most: Integers) -> Integers:
        nearest = low + (before > low if is_tie else np.array(over > 0.5))
        return np.asarray(np.clip(nearest, least, most), dtype=np.int64)

    return _deterministic("hold-mean", law, capacity, rule, memories=None if is_tie else 1)


def optimal(law: Floats, capacity: int) -> Policy:
    """The policy that leaks least, from the solver for one battery."""
    from hushmeter.leakage import single

    return single.optimal_policy(law, single.solve(law, capacity).theta)


def _deterministic(
    name: str, law: Floats, capacity: int, rule: Rule, memories: int | None = None
) -> Policy:
    """A rule's policy; its memory is the draw before, or with one memory there is none."""
    levels = len(law)
    memories = levels if memories is None else memories
    if memories * (capacity + 1) * levels**2 > _MOST_ENTRIES:
        raise HushmeterError(
            f"{name} with {levels} levels and a capacity of {capacity} has more than "
            f"{_MOST_ENTRIES:,} entries; take fewer levels or a smaller battery"
        )
    before, state, load = np.ogrid[:memories, : capacity + 1, :levels]
    least = np.maximum(0, load - state)
    most = np.minimum(levels - 1, load - state + capacity)
    drawn = np.broadcast_to(rule(load, before, least, most), (memories, capacity + 1, levels))
    draws = (drawn[..., None] == np.arange(levels)).astype(np.float64)
    initial = np.zeros((memories, capacity + 1))
    initial[:, capacity // 2] = law if memories == levels else 1
    after = np.arange(levels) if memories == levels else np.zeros(levels, dtype=np.int64)
    return Policy(draws, initial, np.tile(after, (memories, 1)), name)


def _fitting(table: Policy | Machine, law: Floats, capacity: int) -> Policy | Machine:
    """The table's policy, if it is for such a load and such a battery."""
    most = int(np.flatnonzero(law)[-1])
    if most >= table.inputs:
        raise HushmeterError(
            f"{table.name} is for loads of 0 to {table.inputs - 1}, but --dist has {most}; "
            "the alphabets must fit"
        )
    batteries = 1 if isinstance(table, Policy) else 2
    if batteries * capacity != table.capacity:
        raise HushmeterError(
            f"{table.name} is for a capacity of {(table.capacity or 0) // batteries} quanta; "
            f"--capacity is {capacity}"
        )
    return table
