"""The homes that a study looks at: recipes for synthetic ones, stretches of the user's file.

A home travels to the process that works on it. A synthetic one is made there, from its seed; it is
smaller to send than its load and no slower to make than to read.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from hushmeter.battery.metrics import DAY_S
from hushmeter.battery.record import record_of
from hushmeter.errors import HushmeterError
from hushmeter.loads import Load
from hushmeter.loads.synthetic.home import residents_of
from hushmeter.loads.synthetic.street import PRESETS, Street

Watts = NDArray[np.int64]

LEAST_DAYS = 2
MOST_SAMPLES = 20_000_000
"""Of one home: what a process holds a dozen times over while it measures."""


@dataclass(frozen=True)
class SyntheticHome:
    """Home `number` of a street with a home for each entry of `residents`."""

    name: str
    seed: int
    residents: tuple[int, ...]
    number: int
    days: int
    step_s: int
    start: date

    left_out = 0

    @property
    def source(self) -> str:
        return "synthetic"

    @property
    def household(self) -> int:
        """How many live there."""
        return self.residents[self.number]

    @property
    def start_s(self) -> int:
        """Unix seconds of the first sample."""
        return int((self.start - date(1970, 1, 1)).days) * DAY_S

    def demand_w(self) -> Watts:
        """Whole watts, shape (samples,)."""
        return _made(self)


@dataclass(frozen=True, eq=False)
class FileHome:
    """The longest stretch without a gap of one home of a file.

    `left_out` is how many samples of that home lie outside it, missing or not.
    """

    name: str
    source: str
    start_s: int
    step_s: int
    watts: Watts
    left_out: int
    household = None

    @property
    def days(self) -> int:
        return int(self.watts.size) * self.step_s // DAY_S

    def demand_w(self) -> Watts:
        """Whole watts, shape (samples,)."""
        return self.watts


Home = SyntheticHome | FileHome


def synthetic_homes(
    count: int | None, days: int | None, seed: int, seconds: bool = False
) -> list[Home]:
    """Homes like those of the stepping paper, then more of the published mix of households.

    Parameters
    ----------
    count:
        All that are like the paper's if None: six of minutes, four of seconds.
    days:
        At most so many of each; those further ones have as many as the first.
    seed:
        Of the street that all of them live in.
    seconds:
        Steps of a second.

    Raises
    ------
    HushmeterError
        A home would have more samples than fit.
    """
    wanted = [name for name in PRESETS if name.startswith("S" if seconds else "M")]
    count = len(wanted) if count is None else count
    further = residents_of(seed, max(0, count - len(wanted)))
    residents = tuple(entry.residents for entry in PRESETS.values()) + tuple(further)
    homes: list[Home] = []
    for place in range(count):
        name = wanted[place] if place < len(wanted) else wanted[0]
        number = (
            list(PRESETS).index(name) if place < len(wanted) else len(PRESETS) + place - len(wanted)
        )
        shape = PRESETS[name]
        homes.append(
            SyntheticHome(
                name=f"{name}-like" if place < len(wanted) else f"home {place + 1}",
                seed=seed,
                residents=residents,
                number=number,
                days=min(shape.days, days or shape.days),
                step_s=shape.step_s,
                start=shape.start,
            )
        )
    return homes


def file_homes(load: Load, count: int | None, days: int | None) -> list[Home]:
    """The first homes of a file, each cut to its longest stretch without a gap, as the paper did.

    Raises
    ------
    HushmeterError
        Fewer homes than asked for; a stretch shorter than `LEAST_DAYS`, or too long to measure.
    """
    if count is not None and count > load.homes:
        raise HushmeterError(f"--homes is {count}; {load.source} has {load.homes}")
    return [_stretch(load, place, days) for place in range(count or load.homes)]


def _stretch(load: Load, place: int, days: int | None) -> FileHome:
    single = Load(
        load.start,
        load.row_s,
        load.energy_ws[place : place + 1],
        load.missing[place : place + 1],
        [load.names[place]],
        load.source,
    )
    record = record_of(single, bridge_gaps=True)
    edges = np.flatnonzero(np.diff(record.missing, prepend=True, append=True))
    starts, ends = edges[::2], edges[1::2]
    best = int(np.argmax(ends - starts))
    first, last = int(starts[best]), int(ends[best])
    if days is not None:
        last = min(last, first + days * DAY_S // record.step_s)
    held = (last - first) * record.step_s
    if held < LEAST_DAYS * DAY_S:
        raise HushmeterError(
            f"{load.source}: the longest stretch of home {record.home} without a gap is "
            f"{held / DAY_S:.2f} days; a study needs {LEAST_DAYS}"
        )
    if last - first > MOST_SAMPLES:
        raise HushmeterError(
            f"{load.source}: home {record.home} has {last - first} samples without a gap; "
            f"a study takes up to {MOST_SAMPLES}",
            hint="--days takes fewer of them",
        )
    return FileHome(
        name=record.home,
        source=load.source,
        start_s=record.start + first * record.step_s,
        step_s=record.step_s,
        watts=record.demand_w[first:last].copy(),
        left_out=record.steps - (last - first),
    )


@lru_cache(maxsize=1)
def _made(home: SyntheticHome) -> Watts:
    street = Street(home.residents, home.seed, home.start, home.step_s, numbers=[home.number])
    block = next(street.blocks(home.days, block_days=home.days))
    watts: Watts = block.demand_w[0].astype(np.int64)
    watts.flags.writeable = False
    return watts
