"""Daylight by date and time, and the season: what lamps and heaters depend on.

Global irradiance outdoors is that of a clear sky, 1098 sin(h) exp(-0.057 / sin(h)) W/m2 with the
sun's height h (Haurwitz 1945), times a clearness that wanders over the day. Days of a street have
the same weather for all homes. The clock is British civil time: in summer it is an hour ahead of
the sun; every day has 24 hours all the same.
"""

from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from hushmeter.compiler import compiled
from hushmeter.loads.synthetic.activities import SLOT_S, SLOTS
from hushmeter.loads.synthetic.compiled import begin, normal

LATITUDE_DEG = 52.8
"""Loughborough, where the measured homes were."""
_WEATHER_KEY = -1
_COHERENCE = 0.97
"""Correlation of the clearness from slot to slot. Ours."""
_MEAN_NEED = 0.576
"""Of the cut-off cosine, over a year."""
_CLEAREST, _DULLEST = 1.0, 0.2


def irradiance_w_m2(seed: int, first: date, days: int) -> NDArray[np.float64]:
    """Shape (days, 144). A day depends on the seed and its date alone."""
    table = np.empty((days, SLOTS))
    for day in range(days):
        today = first + timedelta(days=day)
        sky = np.zeros(SLOTS)
        _clearness(seed % 2**63, today.toordinal(), sky)
        table[day] = clear_sky_w_m2(today) * (_DULLEST + (_CLEAREST - _DULLEST) * sky)
    return table


def clear_sky_w_m2(today: date) -> NDArray[np.float64]:
    """Shape (144,): on a horizontal plane, by civil time."""
    turn = 2 * np.pi * (today.timetuple().tm_yday - 81) / 365
    tilt = np.radians(23.45) * np.sin(turn)
    noon_h = 13.0 if in_summer_time(today) else 12.0
    hour_angle = np.pi / 12 * ((np.arange(SLOTS) + 0.5) * SLOT_S / 3600 - noon_h)
    latitude = np.radians(LATITUDE_DEG)
    height = np.sin(latitude) * np.sin(tilt) + np.cos(latitude) * np.cos(tilt) * np.cos(hour_angle)
    above = np.maximum(height, 1e-3)
    sky: NDArray[np.float64] = np.where(height > 0, 1098 * above * np.exp(-0.057 / above), 0.0)
    return sky


def in_summer_time(today: date) -> bool:
    """From the last Sunday of March to the last of October."""
    return _last_sunday(today.year, 3) <= today < _last_sunday(today.year, 10)


def heating_season(first: date, days: int) -> NDArray[np.float64]:
    """How much space heating a day needs, with mean 1 over a year, shape (days,).

    A cosine with its top in mid January, cut off from mid May to the third week of
    September, which leaves 237 days. Ours.
    """
    start = first.timetuple().tm_yday - 15
    need = np.maximum(0.0, 0.45 + np.cos(2 * np.pi * (start + np.arange(days)) / 365.25))
    scaled: NDArray[np.float64] = need / _MEAN_NEED
    return scaled


def _last_sunday(year: int, month: int) -> date:
    last = date(year, month, 31)
    return last - timedelta(days=(last.weekday() + 1) % 7)


@compiled
def _clearness(seed: int, day: int, sky: NDArray[np.float64]) -> None:
    """Fills with values in (0, 1): a squashed first-order autoregression."""
    stream = np.zeros(1, dtype=np.uint64)
    begin(stream, seed, _WEATHER_KEY, day)
    level = normal(stream)
    for slot in range(sky.size):
        level = _COHERENCE * level + np.sqrt(1 - _COHERENCE**2) * normal(stream)
        sky[slot] = 1 / (1 + np.exp(-1.5 * level))
