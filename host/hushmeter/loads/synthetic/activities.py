"""When people do what: the share of active residents at an activity, by time of day.

Each curve is a constant and two or three bumps, fitted by least squares to the shares that the UK
Time Use Survey 2000 (Ipsos-RSL and ONS, UK Data Archive SN 4504) gives as published with
Richardson, Thomson, Infield, Clifford, "Domestic electricity use: a high-resolution energy demand
model", Energy and Buildings 42 (2010) 1878-1887. The fits leave 0.002 to 0.015 (root mean square,
weighted by how many people are active). If A is the share for one person, at least one of n does it
with probability 1 - (1 - A)^n.
"""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

SLOTS = 144
"""Of ten minutes: the resolution of the survey's diaries."""
SLOT_S = 600

Bump = tuple[float, float, float]
"""Height, hour of its middle, width (standard deviation) in hours."""


class Activity(IntEnum):
    """What the start of an appliance depends on."""

    LEVEL = 0
    ACTIVE = 1
    TELEVISION = 2
    COOKING = 3
    LAUNDRY = 4
    WASHING = 5
    IRONING = 6
    CLEANING = 7
    NIGHT = 8
    HEATING = 9
    BOILER = 10


_FITS: dict[Activity, tuple[tuple[float, list[Bump]], tuple[float, list[Bump]]]] = {
    Activity.TELEVISION: (
        (0.056, [(0.467, 21.60, 2.28), (0.110, 14.85, 2.43)]),
        (0.084, [(0.465, 21.50, 2.24), (0.144, 15.29, 1.44)]),
    ),
    Activity.COOKING: (
        (0.035, [(0.110, 7.37, 2.02), (0.130, 12.73, 0.95), (0.182, 17.42, 1.39)]),
        (0.031, [(0.110, 8.06, 2.07), (0.129, 12.86, 1.09), (0.140, 17.56, 1.36)]),
    ),
    Activity.LAUNDRY: (
        (0.004, [(0.033, 10.45, 1.62), (0.014, 14.99, 1.74)]),
        (0.003, [(0.026, 10.66, 1.92), (0.009, 15.67, 2.08)]),
    ),
    Activity.WASHING: (
        (0.036, [(0.342, 6.59, 1.87), (0.069, 23.91, 1.73)]),
        (0.039, [(0.231, 6.99, 2.26), (0.058, 23.72, 1.20)]),
    ),
    Activity.IRONING: (
        (0.008, [(0.023, 11.18, 0.72), (0.025, 14.94, 1.21)]),
        (0.006, [(0.014, 14.50, 4.00)]),
    ),
    Activity.CLEANING: (
        (0.014, [(0.186, 10.27, 1.23), (0.050, 14.55, 1.60)]),
        (0.008, [(0.124, 10.46, 1.39), (0.043, 14.48, 2.50)]),
    ),
}

_NIGHT_RATE = (0.5, 0.4)
"""Storage heaters begin about half past midnight, on the cheap rate: hour and width, ours."""
_BOILER_PROGRAMME = ((0.7, 7.3, 0.8), (1.0, 18.3, 1.9))
"""Heating in the morning and the evening, the usual British programme; ours."""


def hours() -> NDArray[np.float64]:
    """The middles of a day's slots, shape (144,)."""
    return (np.arange(SLOTS) + 0.5) * SLOT_S / 3600


def bump(middle_h: float, width_h: float) -> NDArray[np.float64]:
    """A bump of height 1 on the round day, shape (144,)."""
    away = (hours() - middle_h + 12) % 24 - 12
    curve: NDArray[np.float64] = np.exp(-0.5 * (away / width_h) ** 2)
    return curve


def shares() -> NDArray[np.float64]:
    """Share of one active resident at each activity, shape (2, activities, 144).

    The first axis is weekday, weekend. LEVEL, NIGHT and BOILER do not depend on residents.
    """
    table = np.ones((2, len(Activity), SLOTS))
    table[:, Activity.NIGHT] = bump(*_NIGHT_RATE)
    table[:, Activity.BOILER] = sum(
        height * bump(middle, width) for height, middle, width in _BOILER_PROGRAMME
    )
    for activity, both in _FITS.items():
        for weekend, (constant, bumps) in enumerate(both):
            table[weekend, activity] = constant + sum(
                height * bump(middle, width) for height, middle, width in bumps
            )
    return table
