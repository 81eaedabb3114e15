"""What a street adds up to, beside published figures of British homes.

Homes with storage heaters are left out of all figures but the peak of 100 homes: they are on a
night tariff, and the published profile (class 1) is that of homes without one. The ranges hold the
published figures and what a model of 2010 may reasonably miss them by:

Elexon      Load profile class 1, domestic unrestricted, 1997 sample, half hours by season and
            kind of day; UKERC Energy Data Centre, open access. Its sum is 3904 kWh a year.
Ofgem       Typical consumption, medium: 3300 kWh (factsheet 96, 2011); class 1: 2900 kWh (2020).
HES         Household Electricity Survey 2010/11, 250 homes. Palmer, Terry: "Powering the Nation 2":
            lighting 11.8 %, cold 13.8 %. Energy Saving Trust: "Powering the Nation" (2012): standby
            9 to 16 %, mean 10 % above 3300 kWh. Intertek's report, as cited by N. Terry: a tenth of
            homes above 6000 kWh and a tenth at or below 1500 kWh.
CLNR        Customer-Led Network Revolution (2015): 0.9 kW a home recommended for design.
LCL         Low Carbon London: Konstantelos, Sun, Strbac, "Quantifying demand diversity of
            households" (2014): 0.54 to 1.78 kW a home at the common peak, by class of home.
Richardson  Energy and Buildings 42 (2010): 4124 kWh, mean of the 22 measured homes. Unchecked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from hushmeter.loads.synthetic.appliances import KINDS, LIGHT, NAMES
from hushmeter.loads.synthetic.street import Block, Street

Days = NDArray[np.float64]
"""Something by half hour of the day, or by home."""
HALF_HOURS = 48
PEAK_HOMES = 100
_HALF_HOUR_S = 1800
WINTER, SUMMER = (12, 1, 2), (6, 7, 8)
_LEAST_SEASON_DAYS = 7
_YEAR_DAYS = 365.25
_HOMES_FOR_TENTHS = 20
_STORAGE = NAMES.index("storage heaters")
_COLD = 4
"""The first four kinds are the cold appliances."""

ELEXON_YEAR_W: tuple[int, ...] = (
    293, 230, 205, 195, 195, 210, 296, 448, 490, 470, 464, 459,
    483, 446, 421, 447, 576, 697, 705, 679, 655, 646, 571, 416,
)  # fmt: skip
"""Mean day of a class 1 home, watts by hour: our mean over its seasons and kinds of day."""


@dataclass(frozen=True)
class Figure:
    """A figure of a street; it should lie between `low` and `high`.

    `value` is None where the street is too small or its days too few to tell. `error` is its
    standard error from drawing so few homes, where that matters; `source` says what was published.
    """

    key: str
    value: float | None
    low: float
    high: float
    source: str
    error: float = 0.0

    @property
    def within(self) -> bool | None:
        """Whether the value lies in the range, three standard errors allowed; None if unknown."""
        if self.value is None:
            return None
        return self.low - 3 * self.error <= self.value <= self.high + 3 * self.error


class Tally:
    """Adds up blocks as they come; memory does not grow with days."""

    def __init__(self, street: Street) -> None:
        """For the blocks of this street, from its first day on, each once."""
        homes = len(street.homes)
        self.street = street
        self.days = 0
        self.home_wh = np.zeros(homes)
        self.kind_ws = np.zeros(len(NAMES))
        self.class_1 = np.array([_STORAGE not in home.appliances for home in street.homes])
        self._places = {home.number: place for place, home in enumerate(street.homes)}
        self._profile_w = np.zeros((12, 2, HALF_HOURS))
        self._profile_days = np.zeros((12, 2))
        self._group_peak_w = np.zeros(homes // PEAK_HOMES)

    def add(self, block: Block) -> None:
        """Counts a block."""
        rows = _HALF_HOUR_S // block.step_s
        half_hours_w = block.demand_w.reshape(len(self.home_wh), -1, rows).mean(axis=2)
        self.home_wh += half_hours_w.sum(axis=1) / 2
        for group in range(self._group_peak_w.size):
            members = half_hours_w[group * PEAK_HOMES : (group + 1) * PEAK_HOMES]
            peak_w = float(members.mean(axis=0).max())
            self._group_peak_w[group] = max(self._group_peak_w[group], peak_w)
        if self.class_1.any():
            mean_w = half_hours_w[self.class_1].mean(axis=0).reshape(block.days, HALF_HOURS)
            for day in range(block.days):
                today = self.street.start + timedelta(days=block.first_day + day)
                self._profile_w[today.month - 1, int(today.weekday() >= 5)] += mean_w[day]
                self._profile_days[today.month - 1, int(today.weekday() >= 5)] += 1
        self._add_events(block)
        self.days += block.days

    def _add_events(self, block: Block) -> None:
        events = block.events
        places = np.array([self._places[home] for home in events["home"].tolist()], dtype=int)
        events = events[self.class_1[places]] if places.size else events
        energy_ws = (events["end_s"] - events["start_s"]) * events["watts"]
        self.kind_ws += np.bincount(events["appliance"], energy_ws, minlength=len(NAMES))

    def mean_day_w(self, months: Sequence[int] = range(1, 13), kinds: slice = slice(2)) -> Days:
        """Mean watts of a home by half hour over days of these months, shape (48,).

        `kinds` is slice(0, 1) for weekdays, slice(1, 2) for weekends. NaN where there were none.
        """
        chosen = [month - 1 for month in months]
        days = self._profile_days[chosen, kinds].sum()
        total: Days = self._profile_w[chosen, kinds].sum(axis=(0, 1))
        return total / days if days else np.full(HALF_HOURS, np.nan)

    def annual_kwh(self) -> Days:
        """Of each home, scaled to a year, shape (homes,)."""
        return self.home_wh / 1000 * (_YEAR_DAYS / max(self.days, 1))

    def annual_kwh_by_residents(self) -> dict[int, float]:
        """Mean of the homes of each size that there is, without those on a night tariff."""
        annual, residents = self.annual_kwh(), np.array(self.street.residents)
        means = {}
        for count in range(1, 6):
            chosen = self.class_1 & (residents == count)
            if chosen.any():
                means[count] = float(annual[chosen].mean())
        return means

    def annual_kwh_by_kind(self) -> dict[str, float]:
        """Mean over homes, above standby, and `standby` itself."""
        homes = max(int(self.class_1.sum()), 1)
        scale = _YEAR_DAYS / max(self.days, 1) / homes / 3.6e6
        kinds = {name: float(self.kind_ws[place] * scale) for place, name in enumerate(NAMES)}
        standby_w = [home.standby_w for home in self.street.homes]
        kinds["standby"] = float(np.sum(standby_w, where=self.class_1)) / homes * 24 / 1000
        kinds["standby"] *= _YEAR_DAYS
        return kinds

    def figures(self) -> list[Figure]:
        """All figures, the same keys always."""
        annual = self.annual_kwh()[self.class_1]
        return [
            *_annual(annual),
            *self._shares(float(annual.mean()) if annual.size else 0.0),
            *self._shape(),
            *self._seasons(),
            Figure(
                "peak_of_100_homes_w",
                float(self._group_peak_w.mean()) if self._group_peak_w.size else None,
                800, 1500,
                "CLNR: 900; LCL: 540 to 1780 by class",
            ),
        ]  # fmt: skip

    def _shares(self, mean_kwh: float) -> list[Figure]:
        kinds = self.annual_kwh_by_kind()
        cold_kwh = sum(kinds[kind.name] for kind in KINDS[:_COLD])
        parts = (
            ("standby_share", kinds["standby"], 0.09, 0.16, "HES: 0.09 to 0.16"),
            ("lighting_share", kinds[NAMES[LIGHT]], 0.08, 0.16, "HES: 0.118"),
            ("cold_share", cold_kwh, 0.10, 0.17, "HES: 0.138"),
        )
        return [
            Figure(key, kwh / mean_kwh if mean_kwh else None, low, high, source)
            for key, kwh, low, high, source in parts
        ]

    def _shape(self) -> list[Figure]:
        day_w = self.mean_day_w()
        mean_w = float(day_w.mean())
        hourly = day_w.reshape(24, 2).mean(axis=1) / mean_w
        published = np.array(ELEXON_YEAR_W) / np.mean(ELEXON_YEAR_W)
        error = float(np.sqrt(np.mean((hourly - published) ** 2)))
        return [
            Figure("peak_hour", _peak_hour(day_w), 17.0, 21.0, "Elexon: 18.0"),
            Figure("peak_over_mean", _finite(day_w.max() / mean_w), 1.4, 1.8, "Elexon: 1.59"),
            Figure("night_over_mean", _finite(day_w.min() / mean_w), 0.28, 0.50, "Elexon: 0.43"),
            Figure("profile_error", _finite(error), 0.0, 0.15, "Elexon, root mean square"),
        ]

    def _seasons(self) -> list[Figure]:
        winter_w, summer_w = self._season(WINTER), self._season(SUMMER)
        weekday_w = self._season(WINTER, slice(0, 1))
        ratio = winter_w.mean() / summer_w.mean()
        return [
            Figure("winter_over_summer", _finite(ratio), 1.1, 1.5, "Elexon: 1.39"),
            Figure("winter_peak_w", _finite(weekday_w.max()), 700, 1000, "Elexon: 920"),
            Figure("winter_peak_hour", _peak_hour(weekday_w), 17.0, 20.0, "Elexon: 17.5"),
        ]

    def _season(self, months: Sequence[int], kinds: slice = slice(2)) -> Days:
        enough = self._profile_days[[month - 1 for month in months]].sum() >= _LEAST_SEASON_DAYS
        return self.mean_day_w(months, kinds) if enough else np.full(HALF_HOURS, np.nan)


def _annual(annual: Days) -> list[Figure]:
    mean = float(annual.mean()) if annual.size else None
    error = float(annual.std() / np.sqrt(annual.size)) if annual.size else 0.0
    tenth, median, ninetieth = (
        np.percentile(annual, [10, 50, 90]).tolist()
        if annual.size >= _HOMES_FOR_TENTHS
        else [None] * 3
    )
    published = "Elexon: 3904; HES: 3630; Ofgem: 3300; Richardson: 4124"
    return [
        Figure("annual_kwh", mean, 3300, 4150, published, error),
        Figure("annual_kwh_median", median, 2900, 3900, "Ofgem: 3300, 2900", 1.25 * error),
        Figure("annual_kwh_tenth", tenth, 1500, 2600, "HES: 1500", 1.7 * error),
        Figure("annual_kwh_ninetieth", ninetieth, 4300, 6500, "HES: 6000", 1.7 * error),
    ]


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _peak_hour(day_w: Days) -> float | None:
    """Start of the highest half hour."""
    return None if np.isnan(day_w).any() else int(day_w.argmax()) * _HALF_HOUR_S / 3600


def tally(street: Street, days: int, threads: int = 1) -> Tally:
    """Runs a street and adds it up."""
    total = Tally(street)
    for block in street.blocks(days, threads=threads):
        total.add(block)
    return total
