"""What a meter's sensors say of a load that is known, by the device's own drivers.

    found = study(["clamp", "pulse"], rigs.on_host, quick=True)
    found.sensors["clamp"].points[0].error_percent

A rig is one sensor with its simulated peer: it shows the sensor a trace and asks the driver once a
second, as the meter's sampler does. Everything here is simulated: an error that the peer does not
model (temperature, ageing, a clamp not closed) is not in any figure.

    points      a constant load: mean reading over the trace's, in percent
    day         a day of loads: energy of all seconds with a reading over the trace's energy of them
    latency     from a step of the load to the first whole second whose reading shows 9/10 of it,
                the mean over steps at ten moments of a second
    crossing    a home with photovoltaics, from load to feed-in and back
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, Protocol

from hushmeter.emulate.stimulus import Trace, constant, even
from hushmeter.errors import HushmeterError
from hushmeter.study.sensors_limits import ASSUMED, STANDARD, Limits, limits

LOADS_W = (5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000)
QUICK_LOADS_W = (10, 100, 1000, 10_000)
POWER_FACTORS = (1.0, 0.8, 0.5, -0.8, -0.5)
"""Below 0: capacitive."""
DAY_S = 86_400
_STEP_FROM_W, _STEP_TO_W = 200.0, 2000.0
_STEP_MOMENTS = 10
_STEP_PATIENCE_S = 60
_SHOWN = 0.9
_CROSSING_W = 1500.0
_CROSSING_PERIOD_S = 120
_CROSSING_S = 360

Reading = int | None


class Rig(Protocol):
    """One sensor and its peer, from the moment it is made; time only goes forward.

    Attributes
    ----------
    sees_export:
        The driver's own word.
    knows_factor:
        Whether its error may depend on the load's power factor.
    about:
        What it is, and what is wrong with it.
    """

    @property
    def sees_export(self) -> bool: ...

    @property
    def knows_factor(self) -> bool: ...

    @property
    def about(self) -> str: ...

    def span_s(self, watts: float) -> tuple[int, int]:
        """Seconds until its readings are of a load, and seconds of readings for a mean."""

    def read(self, second: int) -> Reading:
        """The driver's reading at a whole second."""


MakeRig = Callable[[str, Trace], Rig]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Point:
    """One load. `error_percent` is None where the driver gives no reading there."""

    watts: float
    power_factor: float
    error_percent: float | None
    limits: Limits

    def within(self, of_class: int) -> bool | None:
        """Whether it is within the limits of a class; None where it has none or no reading."""
        limit = self.limits[of_class - 1]
        if limit is None or self.error_percent is None:
            return None
        return abs(self.error_percent) <= limit


@dataclass(frozen=True)
class Day:
    """A day of loads: ``counted_ws`` and ``true_ws`` are of the seconds with a reading."""

    seconds: int
    counted_ws: int
    true_ws: float
    missed_samples: int
    gaps: int

    @property
    def error_percent(self) -> float | None:
        return 100 * (self.counted_ws / self.true_ws - 1) if self.true_ws else None


@dataclass(frozen=True)
class Crossing:
    """Load and feed-in in turn; the errors are of the energy of each direction, percent."""

    import_error_percent: float | None
    export_error_percent: float | None
    wrong_signs: int
    missed_samples: int


@dataclass(frozen=True)
class Sensor:
    """What was found of one sensor."""

    name: str
    sees_export: bool
    points: Sequence[Point]
    day: Day
    latency_s: float | None
    crossing: Crossing
    note: str = ""

    def fails(self, of_class: int) -> int:
        """How many points are beyond the limits of a class."""
        return sum(point.within(of_class) is False for point in self.points)

    def judged(self, of_class: int) -> int:
        """How many points a class has limits for."""
        return sum(point.within(of_class) is not None for point in self.points)


@dataclass(frozen=True)
class SensorStudy:
    """All sensors that were looked at."""

    board: str
    day_source: str
    sensors: Mapping[str, Sensor] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Sensors that could not be looked at, and why."""


@dataclass(frozen=True)
class Extent:
    """How much is looked at."""

    loads_w: Sequence[float] = LOADS_W
    power_factors: Sequence[float] = POWER_FACTORS
    day_s: int = DAY_S
    moments: int = _STEP_MOMENTS

    @classmethod
    def quick(cls) -> Extent:
        return cls(QUICK_LOADS_W, (1.0, 0.5), 900, 3)


def study(  # noqa: PLR0913
    names: Sequence[str],
    make: MakeRig,
    day: Trace,
    day_source: str,
    board: str,
    extent: Extent | None = None,
    progress: Progress = lambda done, total: None,
) -> SensorStudy:
    """Looks at each sensor; one that cannot be made here is left out with its reason."""
    extent = extent or Extent()
    found: dict[str, Sensor] = {}
    left_out: dict[str, str] = {}
    for place, name in enumerate(names):
        progress(place, len(names))
        try:
            make(name, constant(0.0))
        except HushmeterError as error:
            left_out[name] = error.message
            continue
        found[name] = sensor(name, make, day, extent)
    progress(len(names), len(names))
    return SensorStudy(board, day_source, found, left_out)


def sensor(name: str, make: MakeRig, day: Trace, extent: Extent) -> Sensor:
    """Everything about one sensor."""
    rig = make(name, constant(0.0))
    return Sensor(
        name=name,
        sees_export=rig.sees_export,
        points=[point(name, make, *load) for load in loads(extent, rig)],
        day=over_day(make(name, day), day, extent.day_s),
        latency_s=latency_s(name, make, extent.moments),
        crossing=crossing(name, make),
        note=rig.about,
    )


def loads(extent: Extent, rig: Rig) -> list[tuple[float, float]]:
    """Watts and power factor of all points; feed-in at power factor 1 where it is seen."""
    factors = extent.power_factors if rig.knows_factor else (1.0,)
    found = [(watts, factor) for factor in factors for watts in extent.loads_w]
    return found + ([(-watts, 1.0) for watts in extent.loads_w] if rig.sees_export else [])


def point(name: str, make: MakeRig, watts: float, power_factor: float) -> Point:
    """The mean reading of a constant load."""
    rig = make(name, constant(watts, power_factor))
    warm_s, count = rig.span_s(watts)
    readings = [rig.read(second) for second in range(1, warm_s + count + 1)][warm_s:]
    known = [reading for reading in readings if reading is not None]
    error = 100 * (fmean(known) / watts - 1) if known else None
    return Point(watts, power_factor, error, limits(watts, power_factor))


def over_day(rig: Rig, day: Trace, seconds: int) -> Day:
    """Every second of a day, against the trace's energy of the second before each sample."""
    counted_ws = 0
    true_ws = 0.0
    missed = gaps = 0
    was_known = True
    for second in range(1, seconds + 1):
        reading = rig.read(second)
        if reading is None:
            missed += 1
            gaps += was_known
        else:
            counted_ws += reading
            true_ws += day.energy_ws(second - 1, second)
        was_known = reading is not None
    return Day(seconds, counted_ws, true_ws, missed, gaps)


def latency_s(name: str, make: MakeRig, moments: int) -> float | None:
    """From a step up to the reading that shows it; None where it is never shown."""
    found = []
    for moment in range(moments):
        at_s = 30.0 + (moment + 0.5) / moments
        rig = make(name, Trace([0.0, at_s], [_STEP_FROM_W, _STEP_TO_W]))
        most_s = 30 + _STEP_PATIENCE_S
        shown = [
            second
            for second in range(1, most_s)
            if (reading := rig.read(second)) is not None
            and reading >= _STEP_FROM_W + _SHOWN * (_STEP_TO_W - _STEP_FROM_W)
        ]
        if not shown:
            return None
        found.append(shown[0] - at_s)
    return fmean(found)


def crossing(name: str, make: MakeRig) -> Crossing:
    """A sine of load and feed-in, a step a second."""
    turn = 2 * math.pi / _CROSSING_PERIOD_S
    watts = [_CROSSING_W * math.sin(turn * second) for second in range(_CROSSING_S)]
    trace = even(watts)
    rig = make(name, trace)
    sums = {1: [0.0, 0.0], -1: [0.0, 0.0]}
    wrong = missed = 0
    for second in range(1, _CROSSING_S):
        reading, true_w = rig.read(second), trace.mean_w(second - 1, second)
        if reading is None:
            missed += 1
            continue
        way = 1 if true_w >= 0 else -1
        sums[way][0] += reading
        sums[way][1] += true_w
        wrong += abs(true_w) > _CROSSING_W / 10 and reading * true_w < 0
    errors = [100 * (said / true - 1) if true and said else None for said, true in sums.values()]
    return Crossing(errors[0], errors[1], wrong, missed)


def as_json(found: SensorStudy) -> dict[str, Any]:
    """One object with stable keys."""
    return {
        "study": "sensors",
        "simulated": True,
        "board": found.board,
        "day": found.day_source,
        "limits": {"standard": STANDARD, "assumed": ASSUMED},
        "sensors": {name: _sensor_json(one) for name, one in found.sensors.items()},
        "left_out": dict(found.left_out),
    }


def _sensor_json(one: Sensor) -> dict[str, Any]:
    return {
        "sees_export": one.sees_export,
        "points": [
            {
                "watts": point.watts,
                "power_factor": point.power_factor,
                "error_percent": point.error_percent,
                "class1_percent": point.limits[0],
                "class2_percent": point.limits[1],
            }
            for point in one.points
        ],
        "beyond_class1": one.fails(1),
        "judged_class1": one.judged(1),
        "beyond_class2": one.fails(2),
        "judged_class2": one.judged(2),
        "day_energy_error_percent": one.day.error_percent,
        "day_s": one.day.seconds,
        "latency_s": one.latency_s,
        "missed_samples": one.day.missed_samples,
        "gaps": one.day.gaps,
        "crossing": vars(one.crossing),
        "note": one.note,
    }
