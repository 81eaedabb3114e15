"""Electricity tariffs by time of use: the file, its checks, and what a run costs.

A tariff is a TOML file, or a JSON file of the same structure:

    format = 1
    name = "two rates"
    currency = "GBP"                    # prices are in millionths of it, whole numbers
    timezone = "Europe/London"          # IANA name; hours are what a clock on the wall shows
    standing_micro_per_day = 450000     # optional

    [[period]]
    name = "night"
    from = "00:30"
    to = "07:30"                        # up to, not with; "24:00" is the end of the day
    import_micro_per_kwh = 90000        # may be negative
    export_micro_per_kwh = 40000        # what is paid for energy fed in; 0 if left out

    [[period]]
    name = "day"
    from = "07:30"
    to = "00:30"                        # over midnight
    import_micro_per_kwh = 310000

A period may have `days = ["sat", "sun"]` (all if left out; a period over midnight belongs to the
day on which it begins) and `months = [11, 12, 1, 2]` (all if left out; by the month that the clock
shows). Every minute of the year must belong to exactly one period.

A step is priced by the clock at its beginning. When clocks go back, the hour that comes twice is
charged twice at its price, and the hour that is skipped in spring is not charged: what is paid for
is what was drawn.
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
import numpy as np
from numpy.typing import NDArray

from hushmeter.errors import HushmeterError

Watts = NDArray[np.int64]

DAY_S = 86400
DAY_MINUTES = 1440
WS_PER_KWH = 3_600_000
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_EPOCH_WEEKDAY = 3
"""1 January 1970 was a Thursday."""

_CLOCK = r"^([01][0-9]|2[0-3]):[0-5][0-9]$|^24:00$"
Clock = Annotated[str, msgspec.Meta(pattern=_CLOCK)]
Price = Annotated[int, msgspec.Meta(ge=-1_000_000_000, le=1_000_000_000)]


class Period(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When a price holds, and the price; in the file the times are called `from` and `to`."""

    name: str
    import_micro_per_kwh: Price
    from_time: Clock = msgspec.field(name="from", default="00:00")
    to_time: Clock = msgspec.field(name="to", default="24:00")
    export_micro_per_kwh: Price = 0
    days: tuple[Day, ...] = DAYS
    months: tuple[Annotated[int, msgspec.Meta(ge=1, le=12)], ...] = tuple(range(1, 13))


class Tariff(msgspec.Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """A tariff file that has passed its checks; make one with :func:`read_tariff`."""

    format: Literal[1]
    name: str
    currency: str
    timezone: str
    period: Annotated[tuple[Period, ...], msgspec.Meta(min_length=1, max_length=100)]
    standing_micro_per_day: Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000)] = 0

    @cached_property
    def zone(self) -> ZoneInfo:
        """The clock that the periods are read from."""
        try:
            return ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise HushmeterError(
                f"timezone {self.timezone!r} is not known here",
                hint='use an IANA name, say "Europe/London"; on a system without time zones '
                "install the package tzdata",
            ) from error

    @cached_property
    def calendar(self) -> NDArray[np.int16]:
        """Number of the period, shape (12 months, 7 days, 1440 minutes)."""
        return _calendar(self)


@dataclass(frozen=True)
class PeriodCost:
    """Energy of one period, exact, and what it costs."""

    name: str
    import_ws: int
    export_ws: int
    cost_micro: int


@dataclass(frozen=True)
class Cost:
    """What a run costs, in millionths of the currency, rounded once to a whole number.

    Attributes
    ----------
    tariff, currency, timezone:
        As in the file.
    cost_micro:
        Energy drawn less energy fed in, without the standing charge.
    standing_micro:
        The standing charge for the run's length.
    import_ws, export_ws:
        Energy from and to the grid.
    periods:
        The same by period; each is rounded by itself, so their sum may be off by a few millionths.
    """

    tariff: str
    currency: str
    timezone: str
    cost_micro: int
    standing_micro: int
    import_ws: int
    export_ws: int
    periods: tuple[PeriodCost, ...]


def read_tariff(path: Path) -> Tariff:
    """Reads a tariff file, JSON if its name ends so and TOML otherwise.

    Raises
    ------
    HushmeterError
        The file cannot be read, a field is wrong, missing or unknown, the time zone is not known,
        or some minute belongs to no period or to two.
    """
    try:
        text = path.read_text(encoding="utf-8")
        raw: dict[str, Any] = (
            json.loads(text) if path.suffix.lower() == ".json" else tomllib.loads(text)
        )
        tariff = msgspec.convert(raw, Tariff)
    except OSError as error:
        raise HushmeterError(f"{path}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, json.JSONDecodeError) as error:
        raise HushmeterError(f"{path}: is neither TOML nor JSON: {error}") from error
    except RecursionError as error:
        raise HushmeterError(f"{path}: is nested too deeply for a tariff") from error
    except msgspec.ValidationError as error:
        raise HushmeterError(f"{path}: {error}") from error
    try:
        tariff.zone, tariff.calendar  # noqa: B018
    except HushmeterError as error:
        raise HushmeterError(f"{path}: {error.message}", hint=error.hint) from error
    return tariff


def cost(tariff: Tariff, grid_w: Watts, step_s: int, start: int) -> Cost:
    """What the grid draw costs.

    Parameters
    ----------
    tariff:
        Prices.
    grid_w:
        Whole watts, shape (N,); below 0 the home feeds the grid.
    step_s:
        Seconds of a step.
    start:
        Unix seconds of the beginning of the first step.
    """
    grid_w = np.asarray(grid_w, dtype=np.int64)
    number = period_numbers(tariff, grid_w.size, step_s, start)
    rows, total = [], Fraction(0)
    for index, period in enumerate(tariff.period):
        drawn = grid_w[number == index]
        import_ws = int(drawn[drawn > 0].sum()) * step_s
        export_ws = -int(drawn[drawn < 0].sum()) * step_s
        micro = Fraction(
            import_ws * period.import_micro_per_kwh - export_ws * period.export_micro_per_kwh,
            WS_PER_KWH,
        )
        total += micro
        rows.append(PeriodCost(period.name, import_ws, export_ws, round(micro)))
    return Cost(
        tariff=tariff.name,
        currency=tariff.currency,
        timezone=tariff.timezone,
        cost_micro=round(total),
        standing_micro=round(Fraction(tariff.standing_micro_per_day * grid_w.size * step_s, DAY_S)),
        import_ws=sum(row.import_ws for row in rows),
        export_ws=sum(row.export_ws for row in rows),
        periods=tuple(rows),
    )


def period_numbers(tariff: Tariff, steps: int, step_s: int, start: int) -> NDArray[np.int16]:
    """Which period each step belongs to, by the clock at its beginning, shape (steps,)."""
    stamps = start + np.arange(steps, dtype=np.int64) * step_s
    local = stamps + _offsets(tariff.zone, stamps)
    days, seconds = np.divmod(local, DAY_S)
    months = days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) % 12
    numbers: NDArray[np.int16] = tariff.calendar[months, (days + _EPOCH_WEEKDAY) % 7, seconds // 60]
    return numbers


def _offsets(zone: ZoneInfo, stamps: NDArray[np.int64]) -> NDArray[np.int64]:
    """Seconds that the local clock is ahead of UTC, at each stamp (ascending).

    The offset is asked for once a day; a day over which it changes is searched for the second.
    """
    if not stamps.size:
        return np.zeros(0, dtype=np.int64)
    marks = list(range(int(stamps[0]), int(stamps[-1]) + DAY_S, DAY_S))
    known = [_offset(zone, mark) for mark in marks]
    changes, offsets = [marks[0]], [known[0]]
    for index in range(1, len(marks)):
        if known[index] != known[index - 1]:
            low, high = marks[index - 1], marks[index]
            while high - low > 1:
                middle = (low + high) // 2
                if _offset(zone, middle) == known[index - 1]:
                    low = middle
                else:
                    high = middle
            changes.append(high)
            offsets.append(known[index])
    which = np.searchsorted(np.array(changes), stamps, side="right") - 1
    found: NDArray[np.int64] = np.array(offsets, dtype=np.int64)[which]
    return found


def _offset(zone: ZoneInfo, stamp: int) -> int:
    ahead = datetime.fromtimestamp(stamp, UTC).astimezone(zone).utcoffset()
    return round(ahead.total_seconds()) if ahead is not None else 0


def _calendar(tariff: Tariff) -> NDArray[np.int16]:
    calendar = np.full((12, 7, DAY_MINUTES), -1, dtype=np.int16)
    for number, period in enumerate(tariff.period):
        place = _minutes_of(period)
        taken = np.argwhere(place & (calendar >= 0))
        if taken.size:
            other = tariff.period[calendar[tuple(taken[0])]].name
            raise HushmeterError(
                f"period {period.name!r} and period {other!r} both hold {_when(taken[0])}"
            )
        calendar[place] = number
    empty = np.argwhere(calendar < 0)
    if empty.size:
        raise HushmeterError(f"no period holds {_when(empty[0])}; every minute needs one")
    return calendar


def _minutes_of(period: Period) -> NDArray[np.bool_]:
    """The minutes that a period holds, shape (12, 7, 1440)."""
    first, last = (
        int(clock[:2]) * 60 + int(clock[3:]) for clock in (period.from_time, period.to_time)
    )
    if first in (last, DAY_MINUTES):
        raise HushmeterError(
            f"period {period.name!r} is from {period.from_time} to {period.to_time}, "
            'which is no time; a whole day is from "00:00" to "24:00"'
        )
    held = np.zeros((12, 7, DAY_MINUTES), dtype=np.bool_)
    months = np.array(period.months) - 1
    for day in {DAYS.index(name) for name in period.days}:
        if first < last:
            held[months, day, first:last] = True
        else:
            held[months, day, first:] = True
            held[months, (day + 1) % 7, :last] = True
    return held


def _when(place: NDArray[np.int64]) -> str:
    month, day, minute = (int(number) for number in place)
    return f"{DAYS[day]} {minute // 60:02}:{minute % 60:02} in month {month + 1}"
