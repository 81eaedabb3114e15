"""A street of synthetic homes, streamed: watts of every home, and the truth of every appliance.

The loads depend on the seed, the number of the home and the day alone: a home is the same in a
street of three and of a thousand, in one block or day by day, on one thread or many, in this
process or in another.

    street = Street(homes=100, seed=7)                      # a mix of 1 to 5 residents
    for block in street.blocks(days=365):                   # a week at a time, bounded memory
        block.demand_w                                      # int32, (homes, minutes of the block)
        block.events                                        # what ran: EVENT records, by start
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from hushmeter.errors import HushmeterError
from hushmeter.loads.synthetic.appliances import NAMES
from hushmeter.loads.synthetic.daylight import heating_season, irradiance_w_m2
from hushmeter.loads.synthetic.events import DAY_S, EVENT, live, new_state, use
from hushmeter.loads.synthetic.home import Home, Tables, draw_home, residents_of, tables
from hushmeter.loads.synthetic.render import (
    MINUTE_S,
    add_base_noise,
    add_minutes,
    add_seconds,
    to_watts,
)
from hushmeter.loads.synthetic.residents import MOST_RESIDENTS

FIRST_DAY = date(2023, 1, 1)
BLOCK_DAYS = 7
STEPS_S = (1, MINUTE_S)
_EVENTS_A_DAY = 256
_SATURDAY = 5

Watts = NDArray[np.int32]
Events = NDArray[np.void]
"""Records of the type `EVENT`."""


@dataclass(frozen=True)
class Block:
    """Some days of a street.

    Attributes
    ----------
    first_day:
        Counted from the street's first.
    demand_w:
        int32, shape (homes, rows): mean watts of each row of `step_s` seconds.
    events:
        EVENT records that begin in these days, by home and start; those of the first block that
        began the day before have a negative start. They may end after the block. A home's demand
        is its standby power and all events that run, also those of earlier blocks.
    """

    first_day: int
    days: int
    step_s: int
    demand_w: Watts
    events: Events


@dataclass(frozen=True)
class _Weather:
    """What all homes share of some days: shapes (days, 144), (days,), (days, 2)."""

    irradiance_w_m2: NDArray[np.float64]
    season: NDArray[np.float64]
    weekends: NDArray[np.int64]


class Street:
    """Homes, their constants drawn; `blocks` may be called again and gives the same."""

    def __init__(
        self,
        homes: int | Sequence[int],
        seed: int,
        start: date = FIRST_DAY,
        step_s: int = MINUTE_S,
        numbers: Sequence[int] | None = None,
    ) -> None:
        """Draws the homes.

        Parameters
        ----------
        homes:
            How many, with residents by the published household sizes; or the residents of each.
        numbers:
            The homes to simulate, all by default: a process takes its part of the street.

        Raises
        ------
        HushmeterError
            No homes, residents other than 1 to 5, a step other than 1 s or 60 s.
        """
        residents = residents_of(seed, homes) if isinstance(homes, int) else list(homes)
        if not residents or not all(1 <= count <= MOST_RESIDENTS for count in residents):
            raise HushmeterError(
                f"homes with {residents[:8]} residents; wanted one home or more, each with 1 to 5"
            )
        if step_s not in STEPS_S:
            raise HushmeterError(f"a step of {step_s} s; synthetic homes have rows of 1 s or 60 s")
        chosen = range(len(residents)) if numbers is None else numbers
        if not all(0 <= number < len(residents) for number in chosen):
            raise HushmeterError(f"the homes are numbered 0 to {len(residents) - 1}")
        self.seed = seed
        self.start = start
        self.step_s = step_s
        self.residents = [residents[number] for number in chosen]
        self.homes = [draw_home(seed, number, residents[number]) for number in chosen]
        self._tables = tables()

    @property
    def start_s(self) -> int:
        """Unix seconds of the first row, its stamp taken as UTC."""
        return int(datetime(*self.start.timetuple()[:3], tzinfo=UTC).timestamp())

    def blocks(self, days: int, block_days: int = BLOCK_DAYS, threads: int = 1) -> Iterator[Block]:
        """The first `days` days in blocks; memory is that of a block."""
        if days < 1 or block_days < 1 or threads < 1:
            raise HushmeterError(
                f"{days} days in blocks of {block_days} on {threads} threads: each is 1 or more"
            )
        rooms = [_Room(home, self._tables, self.step_s) for home in self.homes]
        rows_a_day = DAY_S // self.step_s
        with ThreadPoolExecutor(threads) as pool:
            ahead = self._weather(-1, 2)
            list(pool.map(_Room.settle, rooms, repeat(ahead)))
            for first in range(0, days, block_days):
                count = min(block_days, days - first)
                demand_w = np.empty((len(rooms), count * rows_a_day), dtype=np.int32)
                weather = self._weather(first, count + 1)
                advance = pool.map(_Room.advance, rooms, repeat(first), repeat(weather), demand_w)
                yield Block(first, count, self.step_s, demand_w, np.concatenate(list(advance)))

    def _weather(self, first: int, days: int) -> _Weather:
        """Of days from `first` on; its last day only says whether it is a weekend."""
        today = self.start + timedelta(days=first)
        weekend = [
            int((today + timedelta(days=day)).weekday() >= _SATURDAY) for day in range(-1, days)
        ]
        return _Weather(
            irradiance_w_m2(self.seed, today, days),
            heating_season(today, days),
            np.array([weekend[:-1], weekend[1:]]).T.copy(),
        )


class _Room:
    """One home on its way through the days: its state, and the events that still run."""

    def __init__(self, home: Home, shared: Tables, step_s: int) -> None:
        self._home = home
        self._tables = shared
        self._step_s = step_s
        self._state = new_state(home)
        self._open: Events = np.empty(0, dtype=EVENT)
        self._carried_ws = 0
        self._room = _EVENTS_A_DAY

    def settle(self, weather: _Weather) -> None:
        """The day before the first, so that the first begins in the middle of things."""
        live(self._home, self._tables, -1, weather.weekends[0], self._state)
        live(self._home, self._tables, 0, weather.weekends[1], self._state)
        self._open = self._use(-1, 0, weather)
        self._open = self._open[self._open["end_s"] > 0]

    def advance(self, first: int, weather: _Weather, demand_w: Watts) -> Events:
        """Fills `demand_w` with the block's days; returns their events."""
        begun = []
        for place in range(len(weather.season) - 1):
            live(
                self._home, self._tables, first + place + 1, weather.weekends[place + 1],
                self._state,
            )  # fmt: skip
            begun.append(self._use(first + place, place, weather))
        events = np.concatenate(begun)
        events = events[np.argsort(events["start_s"], kind="stable")]
        running = np.concatenate([self._open, events])
        first_s = first * DAY_S
        end_s = first_s + demand_w.size * self._step_s
        if self._step_s == 1:
            self._seconds(running, first, demand_w)
        else:
            self._minutes(running, first_s, demand_w)
        self._open = running[running["end_s"] > end_s]
        return running if first == 0 else events

    def _use(self, day: int, place: int, weather: _Weather) -> Events:
        while True:
            free = self._state.free_s.copy(), self._state.lamp_free_s.copy()
            events = np.empty(self._room, dtype=EVENT)
            count = use(
                self._home, self._tables, day, weather.weekends[place], weather.season[place],
                weather.irradiance_w_m2[place], self._state, events,
            )  # fmt: skip
            if count <= self._room:
                return events[:count]
            self._room = 2 * count
            self._state.free_s[:], self._state.lamp_free_s[:] = free

    def _minutes(self, running: Events, first_s: int, demand_w: Watts) -> None:
        energy_ws = np.full(demand_w.size, self._home.standby_w * MINUTE_S, dtype=np.int64)
        add_minutes(running, first_s, energy_ws)
        self._carried_ws = to_watts(energy_ws, self._carried_ws, demand_w)

    def _seconds(self, running: Events, first: int, demand_w: Watts) -> None:
        demand_w[:] = self._home.standby_w
        for day in range(demand_w.size // DAY_S):
            first_s = (first + day) * DAY_S
            near = running["start_s"] < first_s + DAY_S
            near &= running["end_s"] > first_s
            part = demand_w[day * DAY_S : (day + 1) * DAY_S]
            add_seconds(self._home.seed, running[near], first_s, part)
            add_base_noise(self._home.seed, self._home.number, first + day, part)


def truth(events: Events) -> list[tuple[str, int, int, int]]:
    """Events as (appliance, start_s, end_s, watts), in their order."""
    columns = (events[name].tolist() for name in ("appliance", "start_s", "end_s", "watts"))
    return [
        (NAMES[appliance], start_s, end_s, watts)
        for appliance, start_s, end_s, watts in zip(*columns, strict=True)
    ]


@dataclass(frozen=True)
class Preset:
    """A stand-in for a data set of the stepping paper (Yang et al., CCS 2012)."""

    residents: int
    days: int
    step_s: int
    start: date


_SPRING = date(2023, 4, 1)
PRESETS: dict[str, Preset] = {
    "M1": Preset(3, 365, 60, FIRST_DAY),
    "M2": Preset(2, 330, 60, FIRST_DAY),
    "M3": Preset(4, 310, 60, FIRST_DAY),
    "M4": Preset(1, 290, 60, FIRST_DAY),
    "M5": Preset(2, 265, 60, FIRST_DAY),
    "M6": Preset(5, 244, 60, FIRST_DAY),
    "S1": Preset(2, 30, 1, _SPRING),
    "S2": Preset(3, 30, 1, _SPRING),
    "S3": Preset(1, 30, 1, _SPRING),
    "S4": Preset(4, 30, 1, _SPRING),
}
"""M1 is a whole year and the shortest of M1 to M6 has 244 days; S1 to S4 are four homes in a spring
month. That is known of the paper's data; the residents are ours."""
