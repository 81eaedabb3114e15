"""A controller of the device as a finite machine: its own code, explored state by state.

On an integer grid (1 W, steps of 1 s, a capacity of C Ws) a controller's state is the tuple that
it saves. From each state that is found, each load is put to it; its source of randomness then
plays every sequence of draws there is, one by one, and records how likely each was. So the machine
has exact probabilities, and nothing of the rules is written here again.

Rates: those of the stepping controllers are the capacity, the largest that it carries, and nill's
is the highest level, as it recharges at its rate; elsewhere they never bind. hold-mean and smooth
know the mean of the load to a thousandth, and nill draws it while steady and does not learn: else
their memories would count the steps for ever. (nill still counts those of a recovery; they are left
out of its state where they cannot matter.)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hushfw.core import battery
from hushfw.core.battery.settings import MOST_W, OPTIONS
from hushfw.core.errors import HushError
from hushmeter.errors import HushmeterError
from hushmeter.leakage.machine import Machine, assemble

Floats = NDArray[np.float64]
State = tuple[int, ...]

NAMES = ("none", "be:sat", "be:idle", "nill", "lc", "ls1", "ls2", "rc", "smooth")
MOST_STATES = 20_000
_MOST_BRANCHES = 1 << 12
_STEPPING = ("lc", "ls1", "ls2", "rc")


class Branching:
    """A source that plays a given sequence of draws, then the first of each, and counts.

    `taken` has (value, number of values) of each draw that was asked for.
    """

    def __init__(self) -> None:
        self.script: list[int] = []
        self.taken: list[tuple[int, int]] = []

    def bit(self) -> int:
        """Either bit."""
        return self.below(2)

    def below(self, n: int) -> int:
        """Any of 0 to n - 1."""
        if n > _MOST_BRANCHES:
            raise HushmeterError(
                f"a draw has {n} outcomes; at most {_MOST_BRANCHES} can be followed"
            )
        at = len(self.taken)
        value = self.script[at] if at < len(self.script) else 0
        self.taken.append((value, n))
        return value

    def begin(self, script: list[int]) -> None:
        """Plays this sequence from the start."""
        self.script, self.taken = script, []

    def next_script(self) -> list[int] | None:
        """The sequence after the one that was played, None after the last."""
        taken = self.taken
        while taken and taken[-1][0] + 1 == taken[-1][1]:
            taken = taken[:-1]
        if not taken:
            return None
        return [value for value, _ in taken[:-1]] + [taken[-1][0] + 1]

    def chance(self) -> float:
        """Of the sequence that was played."""
        return float(1 / np.prod([float(count) for _, count in self.taken]))


def settings_for(name: str, law: Floats, capacity: int, given: Mapping[str, int]) -> dict[str, Any]:
    """The device's settings on the integer grid; what is given comes last."""
    found: dict[str, Any] = {"step_s": 1}
    if name == "none":
        return found
    highest = max(1, int(np.flatnonzero(law)[-1]))
    rate_w = {"nill": highest}.get(name, capacity if name in _STEPPING else MOST_W)
    found |= {"capacity_ws": capacity, "charge_rate_w": rate_w, "discharge_rate_w": rate_w}
    if "mean_mw" in OPTIONS[name]:
        found["mean_mw"] = round(1000 * float(law @ np.arange(len(law))))
    if name == "smooth":
        found["time_constant_s"] = capacity
    if name == "nill":
        steady_w = round(float(law @ np.arange(len(law))))
        found |= {"offset_w": 1, "leave_w": highest, "learn_permille": 0, "steady_w": steady_w}
    return found | dict(given)


def explore(name: str, law: Floats, capacity: int, given: Mapping[str, int]) -> Machine:
    """The machine of a controller, from its first state on.

    Raises
    ------
    HushmeterError
        What the device refuses, more than `MOST_STATES` states, or a draw of too many outcomes.
    """
    source = Branching()
    try:
        controller = battery.make(name, settings_for(name, law, capacity, given), source)
        start = tuple(controller.state())
        return _explored(name, controller, source, start, law)
    except HushError as error:
        raise HushmeterError(f"{name}: {error.message}") from error


def _explored(name: str, controller: Any, source: Branching, start: State, law: Floats) -> Machine:
    number = {start: 0}
    queue = [start]
    arcs: list[tuple[int, int, int, int, float]] = []
    loads = [int(load) for load in np.flatnonzero(law)]
    for state in queue:
        for load in loads:
            for drawn, after, chance in _branches(controller, source, state, load):
                if after not in number:
                    number[after] = len(queue)
                    queue.append(after)
                arcs.append((number[state], load, drawn, number[after], chance))
        if len(queue) > MOST_STATES:
            raise HushmeterError(
                f"{name} has more than {MOST_STATES:,} states, such as {queue[-1]}; "
                "a memory that counts on for ever makes no finite machine"
            )
    tail, put, draw, head = (np.array([arc[i] for arc in arcs]) for i in range(4))
    initial = np.zeros(len(queue))
    initial[0] = 1
    # A load of probability 0 was not put to it: there the machine rests, so that rows sum to 1.
    idle = np.setdiff1d(np.arange(len(law)), loads)
    states, rest = (grid.ravel() for grid in np.meshgrid(np.arange(len(queue)), idle))
    return assemble(
        tail=np.concatenate([tail, states]),
        load=np.concatenate([put, rest]),
        draw=np.concatenate([draw, rest]),
        head=np.concatenate([head, states]),
        chance=np.concatenate([[arc[4] for arc in arcs], np.ones(len(states))]),
        initial=initial,
        inputs=len(law),
        outputs=max(int(draw.max()) + 1, len(law)),
        capacity=0 if name == "none" else controller.limits.high - controller.limits.low,
        name=name,
    )


def _branches(
    controller: Any, source: Branching, state: State, load: int
) -> list[tuple[int, State, float]]:
    """(draw, next state, probability) of every way in which the step can go."""
    found = []
    script: list[int] | None = []
    while script is not None:
        source.begin(script)
        controller.restore(state)
        draw = int(controller.step(load))
        found.append((draw, _saved(controller), source.chance()))
        script = source.next_script()
    return found


def _saved(controller: Any) -> State:
    """The state that it saves, without what can no longer matter."""
    state = tuple(controller.state())
    if controller.name == "nill" and controller.learn_permille == 0 and controller.steps:
        return (*state[:-2], 0, 1)
    return state
