"""A small synthetic street: what the demo replays when no file is given.

Whole watts in rows of one minute. Enough shape to hide (a fridge that cycles, kettles, cooking, an
evening peak, a washing machine), no claim to represent real homes.
"""

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray

from hushmeter.errors import HushmeterError
from hushmeter.loads.load import Load

MINUTES = 1440
START = 1704067200
"""1 January 2024, 00:00 UTC."""


def synthetic_street(homes: int, days: int, seed: int) -> Load:
    """`homes` homes for `days` days from `START`, the same for the same seed.

    The legacy generator of numpy is used because its stream is frozen: a seed gives the same
    street with every version. Home i does not depend on how many homes there are.
    """
    if homes < 1 or days < 1:
        raise HushmeterError(f"{homes} homes for {days} days: both must be 1 or more")
    power_w = np.stack([_home(RandomState([seed % 2**32, home]), days) for home in range(homes)])
    return Load(
        start=START,
        row_s=60,
        energy_ws=power_w * 60,
        missing=np.zeros(power_w.shape, dtype=np.bool_),
        names=[f"home {home}" for home in range(homes)],
        source=f"synthetic street, seed {seed}",
    )


def _home(random: RandomState, days: int) -> NDArray[np.int64]:
    """Watts, shape (days * 1440,)."""
    power_w = np.full(days * MINUTES, random.randint(30, 110), dtype=np.int64)
    power_w += random.randint(0, 8, size=power_w.size)
    _add_fridge(random, power_w)
    rises = int(random.randint(330, 480))
    works_outside = bool(random.randint(2))
    kettle_w, oven_w, evening_w = (
        int(random.randint(low, high)) for low, high in ((1800, 3000), (900, 2400), (120, 500))
    )
    for midnight in range(0, power_w.size, MINUTES):
        wakes = midnight + rises + int(random.randint(-20, 60))
        home_at = midnight + int(random.randint(990, 1110))
        sleeps = midnight + int(random.randint(1290, 1420))
        _add(power_w, wakes, wakes + int(random.randint(30, 80)), evening_w // 2)
        _add(power_w, home_at, sleeps, evening_w)
        teas = [wakes + 10, home_at + 5, sleeps - 60]
        if not works_outside:
            teas += [wakes + int(random.randint(90, 420)) for _ in range(3)]
            _add(power_w, wakes, home_at, evening_w // 3)
        for tea in teas:
            begins = tea + int(random.randint(0, 30))
            _add(power_w, begins, begins + int(random.randint(2, 5)), kettle_w)
        begins = home_at + int(random.randint(15, 75))
        _add(power_w, begins, begins + int(random.randint(15, 50)), oven_w)
        if random.randint(3) == 0:
            _add_washing(power_w, midnight + int(random.randint(540, 1200)))
    return power_w


def _add_fridge(random: RandomState, power_w: NDArray[np.int64]) -> None:
    compressor_w = int(random.randint(70, 140))
    minute = -int(random.randint(0, 60))
    while minute < power_w.size:
        runs = int(random.randint(12, 22))
        _add(power_w, minute, minute + runs, compressor_w)
        minute += runs + int(random.randint(22, 45))


def _add_washing(power_w: NDArray[np.int64], begins: int) -> None:
    _add(power_w, begins, begins + 22, 2000)
    _add(power_w, begins + 22, begins + 85, 180)
    _add(power_w, begins + 85, begins + 95, 450)


def _add(power_w: NDArray[np.int64], begins: int, ends: int, watts: int) -> None:
    power_w[max(begins, 0) : max(ends, 0)] += watts
