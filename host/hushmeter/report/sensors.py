"""The page of the sensor study: one picture, what each sensor is, its figures and its curve."""

from __future__ import annotations

from hushmeter.report import page as pages
from hushmeter.report.pictures import Picture
from hushmeter.study.sensors import Point, Sensor, SensorStudy
from hushmeter.study.sensors_limits import ASSUMED, STANDARD

NOTHING = "–"


def page(found: SensorStudy, picture: Picture, command: str) -> str:
    """The page's text."""
    return (
        pages.environment()
        .get_template("sensors.html.j2")
        .render(
            study=found,
            picture=picture,
            standard=STANDARD,
            assumed=ASSUMED,
            rows=[figures(one) for one in found.sensors.values()],
            curves={name: curve(one) for name, one in found.sensors.items()},
            notes={name: one.note for name, one in found.sensors.items()},
            command=command,
        )
    )


def figures(one: Sensor) -> list[str]:
    """Name, day's error, latency, missed, gaps, beyond class 1 and 2."""
    return [
        one.name,
        percent(one.day.error_percent),
        NOTHING if one.latency_s is None else f"{one.latency_s:.1f} s",
        f"{one.day.missed_samples:,}",
        f"{one.day.gaps:,}",
        f"{one.fails(1)} of {one.judged(1)}",
        f"{one.fails(2)} of {one.judged(2)}",
        "yes" if one.sees_export else "no",
    ]


def curve(one: Sensor) -> list[list[str]]:
    """A row a point: load, power factor, error, limits, whether it is within."""
    return [_row(point) for point in one.points]


def _row(point: Point) -> list[str]:
    return [
        f"{point.watts:,.0f} W",
        factor(point.power_factor),
        percent(point.error_percent),
        *(NOTHING if limit is None else f"±{limit:g} %" for limit in point.limits),
        _class(point),
    ]


def _class(point: Point) -> str:
    """The best class whose limits it is within."""
    for of_class in (1, 2):
        if point.within(of_class):
            return str(of_class)
    return NOTHING if point.within(1) is None else "beyond"


def factor(power_factor: float) -> str:
    """In words of a meter's test."""
    if power_factor == 1:
        return "1"
    return f"{abs(power_factor):g} {'inductive' if power_factor > 0 else 'capacitive'}"


def percent(value: float | None) -> str:
    """Signed, or a dash where there is no reading."""
    return NOTHING if value is None else f"{value:+.2f} %"
