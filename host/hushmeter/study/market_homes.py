"""The homes of the market study: what they own, how they answer a price, and how a day goes by.

A home has the load of a synthetic one that must run, and by chance a heat pump, a car, a
dishwasher, a battery, panels. In each interval its state gives the settings of
:class:`hushmeter.market.responses.Responses`; at the price that holds, each part does what its
response says, and the state moves on.

A job (car, dishwasher) under market prices waits while it can: the price that it accepts rises from
its lowest to its highest over the time that it has to spare, and without time to spare it must run.
At a flat price nothing is to be gained by waiting: it runs when it is ready.

Comfort is measured by what the home itself says. Who lowers the set-point at a price holds the last
kelvin for not worth more than that price for the energy it takes; summed from the wanted
temperature down to the one there is, that is the loss of an interval. It is exact for a home in
balance, an approximation on the way.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray

from hushmeter.loads.synthetic import synthetic_street
from hushmeter.market.responses import (
    Battery,
    MustRun,
    Point,
    Responses,
    Solar,
    Switch,
    Thermostat,
)

INTERVALS = 96
INTERVAL_S = 900
FIRST_HOUR = 12
"""The day runs from noon to noon, so that a night's charging is in one piece."""

Wh = NDArray[np.float64]

_HOUR = 3600 / INTERVAL_S
_WARM_C, _COOL_C = 21.5, 18.5
_CHEAP, _DEAR = 60, 420
"""Prices between which heat pumps move from warm to cool."""
_OWNERS = {"heat": 0.6, "car": 0.4, "dishes": 0.6, "battery": 0.25, "sun": 0.3}
"""What part of the homes has one."""


@dataclass
class Job:
    """Something that must be done between two intervals, in pieces if need be."""

    name: str
    power_w: int
    pieces: int
    ready: int
    due: int
    least_price: int
    most_price: int

    def response(self, interval: int, eager: bool) -> Switch | MustRun | None:
        """How it answers a price now; None while there is nothing to do."""
        if not self.pieces or interval < self.ready:
            return None
        spare = self.due - interval - self.pieces
        if eager or spare <= 0:
            return MustRun(self.name, self.power_w)
        rise = (self.most_price - self.least_price) * (interval - self.ready)
        waited = interval - self.ready + spare
        return Switch(self.name, self.power_w, self.least_price + rise // waited)


@dataclass
class StudyHome:
    """One home and its state; watts of `base_w` and `sun_w` by interval."""

    name: str
    base_w: NDArray[np.int64]
    sun_w: NDArray[np.int64]
    heat: Thermostat | None
    indoor_c: float
    battery: Battery | None
    stored_wh: float
    jobs: list[Job]
    sun_cost: int = 20
    comfort_loss: float = 0.0
    chill_kh: float = 0.0
    late: int = 0
    start: tuple[float, float] = field(default=(0.0, 0.0))

    def __post_init__(self) -> None:
        self.start = self.indoor_c, self.stored_wh

    def settings(self, interval: int, eager: bool) -> Responses:
        """The home's responses in this interval."""
        always = [MustRun("base", int(self.base_w[interval]))]
        switches = []
        for job in self.jobs:
            part = job.response(interval, eager)
            if isinstance(part, MustRun):
                always.append(part)
            elif part is not None:
                switches.append(part)
        heat, battery = self._heat(interval), self._battery()
        return Responses(
            format=1,
            name=self.name,
            interval_s=INTERVAL_S,
            thermostat=() if heat is None else (heat,),
            switch=tuple(switches),
            must_run=tuple(always),
            battery=() if battery is None or eager else (battery,),
            solar=(Solar("roof", int(self.sun_w[interval]), self.sun_cost),),
        )

    def _heat(self, interval: int) -> Thermostat | None:
        if self.heat is None:
            return None
        return Thermostat(
            self.heat.name, self.heat.points, round(self.indoor_c, 3), outdoor_c(interval),
            self.heat.loss_w_per_k, self.heat.store_wh_per_k, self.heat.most_w,
        )  # fmt: skip

    def _battery(self) -> Battery | None:
        if self.battery is None:
            return None
        return Battery(
            self.battery.name, self.battery.capacity_wh, int(self.stored_wh), self.battery.most_w,
            self.battery.buy_below, self.battery.sell_above, self.battery.reserve_wh,
            self.battery.efficiency_percent,
        )  # fmt: skip

    def live(
        self, interval: int, price: int, settings: Responses, buy_wh: int, sell_wh: int
    ) -> None:
        """The interval passes at this price with these shares; the state moves on.

        What is short of the wish is taken from the heat pump first, then the battery and the jobs;
        what is not sold is not made by the panels, then stays in the battery.
        """
        short: float = settings.demand_wh(price) - buy_wh
        unsold = settings.supply_wh(price) - sell_wh
        short = self._warm(interval, price, settings, short)
        self._store(price, settings, short, unsold)
        for job in self.jobs:
            part = job.response(interval, eager=False)
            runs = any(job.name == always.name for always in settings.must_run) or (
                isinstance(part, Switch) and price <= part.most_price
            )
            job.pieces -= int(runs and part is not None)
            self.late += int(job.pieces > 0 and interval + 1 == job.due)

    def _warm(self, interval: int, price: int, settings: Responses, short: float) -> float:
        if self.heat is None:
            return short
        wanted = settings.thermostat[0].demand_ws(price, INTERVAL_S) / 3600
        got = max(0.0, wanted - short)
        lost = self.heat.loss_w_per_k * (self.indoor_c - outdoor_c(interval)) / _HOUR
        self.indoor_c += (got - lost) / self.heat.store_wh_per_k
        below = max(0.0, _WARM_C - self.indoor_c)
        dearer = (_DEAR - _CHEAP) / (_WARM_C - _COOL_C)
        self.comfort_loss += (
            self.heat.loss_w_per_k / _HOUR * (_CHEAP * below + dearer * below**2 / 2)
        )
        self.chill_kh += below / _HOUR
        return short - (wanted - got)

    def _store(self, price: int, settings: Responses, short: float, unsold: float) -> None:
        if not settings.battery:
            return
        battery = settings.battery[0]
        bought = max(0.0, battery.demand_ws(price, INTERVAL_S) / 3600 - max(short, 0))
        offered = battery.supply_ws(price, INTERVAL_S) / 3600
        sun = settings.solar[0].power_w / _HOUR * (price >= self.sun_cost)
        sold = offered - min(offered, max(0.0, unsold - sun))
        self.stored_wh += bought * battery.efficiency_percent / 100 - sold

    def kept_wh(self) -> float:
        """Electric Wh in home and battery beyond what was there at the start."""
        warm = 0.0
        if self.heat is not None:
            warm = (self.indoor_c - self.start[0]) * self.heat.store_wh_per_k
        return warm + self.stored_wh - self.start[1]


def outdoor_c(interval: int) -> float:
    """A winter day: 1 degree before dawn, 8 in the afternoon."""
    hour = FIRST_HOUR + interval / _HOUR
    return round(4.5 + 3.5 * float(np.cos(2 * np.pi * (hour - 15) / 24)), 3)


def made_homes(count: int, seed: int, buy_below: int, sell_above: int) -> list[StudyHome]:
    """Homes of a seed; home i does not depend on how many there are.

    Parameters
    ----------
    buy_below, sell_above:
        Prices at which batteries charge and discharge: of the day-ahead prices, which they know.
    """
    load = synthetic_street(count, 2, seed)
    rows = INTERVAL_S // load.row_s
    noon = FIRST_HOUR * 3600 // load.row_s
    base = load.energy_ws[:, noon : noon + INTERVALS * rows].reshape(count, INTERVALS, rows)
    base_w = base.sum(axis=2) // INTERVAL_S
    return [
        _home(k, base_w[k], RandomState([seed % 2**32, k, 96]), buy_below, sell_above)
        for k in range(count)
    ]


def _home(
    number: int, base_w: NDArray[np.int64], random: RandomState, buy_below: int, sell_above: int
) -> StudyHome:
    has = {name: random.rand() < part for name, part in _OWNERS.items()}
    loss, store, shift = (int(random.randint(*ends)) for ends in ((25, 45), (900, 1800), (-30, 31)))
    points = (Point(_CHEAP, _WARM_C), Point(_DEAR, _COOL_C))
    jobs = []
    arrives, away, night = (int(random.randint(*ends)) for ends in ((20, 32), (76, 84), (26, 40)))
    charge = int(random.randint(6, 14))
    if has["car"]:
        jobs.append(Job("car", 3600, charge, arrives, away, 70 + shift, 260 + shift))
    if has["dishes"]:
        jobs.append(Job("dishwasher", 1100, 5, night, 76, 60 + shift, 200 + shift))
    capacity, most_w = int(random.randint(5, 11)) * 1000, int(random.randint(20, 31)) * 100
    peak_w = int(random.randint(1500, 3500))
    # Were all to charge at one price, none would get anything at the next one of the grid.
    buy_below += int(random.randint(-10, 31))
    sell_above = max(sell_above, buy_below * 5 // 4 + 1)
    return StudyHome(
        name=f"home {number + 1:03d}",
        base_w=base_w,
        sun_w=_sun_w(peak_w if has["sun"] else 0),
        heat=Thermostat("heat pump", points, 20.5, 5.0, loss, store, 2500) if has["heat"] else None,
        indoor_c=20.5,
        battery=Battery(
            "battery", capacity, capacity // 2, most_w, buy_below, sell_above, capacity // 10, 90
        )
        if has["battery"]
        else None,
        stored_wh=float(capacity // 2),
        jobs=jobs,
    )


def _sun_w(peak_w: int) -> NDArray[np.int64]:
    hours = (FIRST_HOUR + (np.arange(INTERVALS) + 0.5) / _HOUR) % 24
    shape = np.clip(np.sin(np.pi * (hours - 8) / 8), 0, None) * ((hours > 8) & (hours < 16))
    watts: NDArray[np.int64] = (peak_w * shape).astype(np.int64)
    return watts
