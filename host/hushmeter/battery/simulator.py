"""The device's battery controllers over arrays, homes x time, bit for bit.

    sim = Simulation("ls2", {"step_s": 60, "capacity_ws": 1800000, "charge_rate_w": 500,
                             "discharge_rate_w": 500}, homes=1000, seed=7)
    for result in sim.stream(chunks):          # each int, (homes, steps): bounded memory
        result.grid_w, result.charge_ws        # int64, (homes, steps)

Settings are the device's (`hushfw.core.battery`) and are refused in its words. A home's draw
depends on its demand, the seed and its number alone: it is the same in one run or in many, among
other homes or by itself, on any number of threads and in any process. Given `sim.tape(home, n)`
for long enough an n, the controller on a meter draws the same.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hushfw.core import battery
from hushfw.core.battery.controller import check_demand
from hushfw.core.battery.settings import MOST_DEMAND_W
from hushfw.core.drbg import Tape
from hushfw.core.errors import HushError
from hushmeter.battery.tapes import Tapes
from hushmeter.errors import HushmeterError

Integers = NDArray[np.int64]

_BEGIN_BYTES = 4
_STEPS_WORTH_A_THREAD = 50_000


def usable_processors() -> int:
    """Those of this process, where the system tells."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True)
class Result:
    """One run.

    Attributes
    ----------
    grid_w:
        Draw from the grid, W, shaped as the demand was.
    charge_ws:
        Energy in the battery after each step, Ws rounded down, shape (homes, n).
    start_charge_ws:
        The same before the run, shape (homes,).
    """

    grid_w: Integers
    charge_ws: Integers
    start_charge_ws: Integers


class Simulation:
    """Homes that each have the same controller and a battery of their own.

    Parameters
    ----------
    name, settings:
        Of the controller, as `hushfw.core.battery.make` takes them.
    homes:
        How many.
    seed:
        Of the tapes of random bytes; 7 and "7" are the same seed.
    tapes:
        Bytes for each home in place of these tapes.
    first_home:
        Number of the first home: homes 500 to 999 are the same with it as among all 1000.
    threads:
        At most so many; all usable processors if None. The result does not depend on it.

    Raises
    ------
    HushmeterError
        What the device refuses.
    """

    def __init__(
        self,
        name: str,
        settings: dict[str, Any],
        homes: int = 1,
        seed: int | str = 0,
        tapes: Sequence[bytes] | None = None,
        first_home: int = 0,
        threads: int | None = None,
    ) -> None:
        # The compiler takes a while to import, and whoever imports this may not simulate at all.
        from hushmeter.battery import parts

        if homes < 1 or first_home < 0:
            raise HushmeterError(f"homes are {homes} from number {first_home}; at least 1 from 0")
        try:
            self._controller = battery.make(name, settings, None)
        except HushError as error:
            raise HushmeterError(error.message) from error
        self.name, self.homes = name, homes
        self._export = bool(settings.get("export", 0))
        self._parts = parts.parts_of(self._controller, settings)
        self._numbers = np.array([part.numbers for part in self._parts])
        laws = np.concatenate([part.laws for part in self._parts])
        self._laws = laws if len(laws) or self._has("table") else None
        self._memories = np.empty((homes, len(self._parts)), parts.MEMORY)
        self._memories[:] = [part.memory_at_first for part in self._parts]
        self._tapes = Tapes(seed, homes, first_home, tapes)
        self._tape_array = self._tapes.array()
        self._sources = self._tapes.sources()
        self._threads = threads or usable_processors()
        self._start_charge_ws: Integers | None = None

    def _has(self, name: str) -> bool:
        return any(part.name == name for part in self._parts)

    @property
    def start_charge_ws(self) -> Integers:
        """Charge before the first step, or as it was restored; Ws, shape (homes,)."""
        return self._begin().copy()

    @property
    def beyond_steps(self) -> Integers:
        """How many steps had a demand beyond a table's alphabet, shape (homes,)."""
        total: Integers = self._memories["beyond_steps"].sum(axis=1)
        return total

    @property
    def given_ws(self) -> Integers:
        """Energy that second supplies gave (controller `source`), shape (homes,)."""
        total: Integers = self._memories["given_ws"].sum(axis=1)
        return total

    @property
    def most_overdraft_ws(self) -> Integers:
        """By how much that was at most above the design's power so far, shape (homes,)."""
        total: Integers = self._memories["most_overdraft_ws"].sum(axis=1)
        return total

    @property
    def tape_positions(self) -> Integers:
        """Bytes that each home has taken from its tape, shape (homes,)."""
        return self._sources["at"].astype(np.int64)

    def tape(self, home: int, n_bytes: int) -> bytes:
        """The first bytes of a home's tape."""
        return self._tapes.data(home, n_bytes)

    def run(self, demand_w: NDArray[Any]) -> Result:
        """Goes on over the next steps.

        Parameters
        ----------
        demand_w:
            Integers, W, shape (homes, n), or (n,) for one home.

        Raises
        ------
        HushmeterError
            A demand that the device refuses, or a given tape that ends; then nothing has changed.
        """
        demand = self._checked(np.asarray(demand_w))
        self._begin()
        before = self._charge_ws()
        memories, sources = self._memories.copy(), self._sources.copy()
        grid_w, charge_ws = np.empty_like(demand), np.empty_like(demand)
        done = np.zeros(self.homes, np.int64)
        self._go(memories, sources, demand, grid_w, charge_ws, done)
        if (done < demand.shape[1]).any():
            self._refuse_step(sources, grid_w, done)
        self._memories, self._sources = memories, sources
        return Result(grid_w.reshape(np.shape(demand_w)), charge_ws, before)

    def stream(self, chunks: Iterable[NDArray[Any]]) -> Iterator[Result]:
        """`run` for one chunk after the other; only one is held."""
        for chunk in chunks:
            yield self.run(chunk)

    def state(self) -> list[tuple[int, ...]]:
        """The device's state() of every home."""
        self._begin()
        return [
            sum((part.state(memory) for part, memory in zip(self._parts, row, strict=True)), ())
            for row in self._memories
        ]

    def restore(
        self, states: Sequence[Sequence[int]], tape_positions: Sequence[int] | None = None
    ) -> None:
        """Goes on from the device's states, one a home.

        The tapes stay where they are, as a meter's generator does, unless `tape_positions` says
        where the run that gave the states had got to.
        """
        if len(states) != self.homes:
            raise HushmeterError(f"{len(states)} states are given for {self.homes} homes; one each")
        positions = self.tape_positions if tape_positions is None else np.asarray(tape_positions)
        if positions.shape != (self.homes,) or positions.min() < 0:
            raise HushmeterError(f"tape_positions are {tape_positions}; one of 0 or more a home")
        memories = self._memories.copy()
        for row, numbers in zip(memories, states, strict=True):
            state = tuple(int(number) for number in numbers)
            try:
                self._controller.parse(state)
            except HushError as error:
                raise HushmeterError(error.message) from error
            for place, part in enumerate(self._parts):
                row[place] = part.restored(state[: part.size()])
                state = state[part.size() :]
        self._memories = memories
        self._sources["at"] = positions.astype(np.uint64)
        self._start_charge_ws = self._charge_ws()

    def _begin(self) -> Integers:
        """Draws what is drawn before the first step, once; gives the charge then."""
        if self._start_charge_ws is not None:
            return self._start_charge_ws
        memories, sources = self._memories.copy(), self._sources.copy()
        for home in range(self.homes) if self._has("table") else ():
            for part, memory in zip(self._parts, memories[home], strict=True):
                if part.must_begin(memory):
                    data = self._tapes.data(home, _BEGIN_BYTES, int(sources[home]["at"]))
                    try:
                        part.begin(memory, Tape(data))
                    except HushError as error:
                        raise HushmeterError(f"home {home}: {error.message}") from error
                    sources[home]["at"] += _BEGIN_BYTES
        self._memories, self._sources = memories, sources
        self._start_charge_ws = self._charge_ws()
        return self._start_charge_ws

    def _charge_ws(self) -> Integers:
        charges = [
            part.charge_ws(self._memories[:, place]) for place, part in enumerate(self._parts)
        ]
        total: Integers = np.sum(charges, axis=0)
        return total

    def _checked(self, demand_w: NDArray[Any]) -> Integers:
        """The demand as int64, shape (homes, n)."""
        if demand_w.dtype.kind not in "iu":
            raise HushmeterError(f"demand is of type {demand_w.dtype}; it must be whole watts")
        demand = demand_w[np.newaxis] if demand_w.ndim == 1 and self.homes == 1 else demand_w
        if demand.ndim != 2 or demand.shape[0] != self.homes:
            raise HushmeterError(
                f"demand has the shape {demand_w.shape}; it must be ({self.homes}, steps)"
            )
        for home, step in self._extremes(demand):
            self._check_demand(self._parts[0].name, int(demand[home, step]), home, step)
        return np.require(demand, np.int64, ("C", "W"))

    def _extremes(self, demand: NDArray[Any]) -> Iterator[tuple[int, int]]:
        """Where the least and the greatest demand are, if one of them cannot be."""
        if demand.size:
            least = -MOST_DEMAND_W if self._export else 0
            if demand.min() < least or demand.max() > MOST_DEMAND_W:
                for place in (demand.argmin(), demand.argmax()):
                    yield divmod(int(place), demand.shape[1])

    def _check_demand(self, name: str, demand_w: int, home: int, step: int) -> None:
        try:
            check_demand(name, demand_w, self._export)
        except HushError as error:
            raise HushmeterError(f"home {home}, step {step} of the run: {error.message}") from error

    def _refuse_step(self, sources: NDArray[np.void], grid_w: Integers, done: Integers) -> None:
        home = int((done < grid_w.shape[1]).argmax())
        step = int(done[home])
        if not sources["is_empty"][home]:
            self._check_demand(self._parts[1].name, int(grid_w[home, step]), home, step)
        raise HushmeterError(
            f"home {home}, step {step} of the run: its tape has only {sources['end'][home]} bytes; "
            "give a longer one"
        )

    def _go(self, memories: NDArray[np.void], sources: NDArray[np.void], *arrays: Integers) -> None:
        """The kernel over all homes; a thread takes a block of them."""
        from hushmeter.battery import kernels

        run = kernels.run if len(self._parts) == 1 else kernels.run_cascade

        def some(first: int, last: int) -> None:
            tapes = None if self._tape_array is None else self._tape_array[first:last]
            own = [array[first:last] for array in arrays]
            run(self._numbers, self._laws, memories[first:last], sources[first:last], tapes, *own)

        worth = -(-arrays[0].size // _STEPS_WORTH_A_THREAD)
        threads = max(1, min(self._threads, self.homes, worth))
        if threads == 1:
            some(0, self.homes)
            return
        cuts = [self.homes * thread // threads for thread in range(threads + 1)]
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(some, cuts[:-1], cuts[1:]))
