"""What one home is: its residents, appliances and lamps, drawn once from the street's seed.

The lamps follow Richardson, Thomson, Infield, Delff, "Domestic lighting: a high-resolution energy
demand model", Energy and Buildings 41 (2009) 781-789: each lamp has its own weight -ln(u) of being
used, homes light up below some 60 W/m2 outdoors, and a second resident adds less than the first.
The number of lamps and their mix are ours (unchecked), and the one rate is set so that the mean
home uses about 480 kWh a year for light (Household Electricity Survey 2010/11: 483 kWh, 11.8 %).
"""

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hushmeter.loads.synthetic.activities import Activity, shares
from hushmeter.loads.synthetic.appliances import KINDS, phase_table
from hushmeter.loads.synthetic.compiled import uniforms
from hushmeter.loads.synthetic.residents import (
    HOUSEHOLD_SHARES,
    SHIFT_SLOTS,
    WORKER_SHARES,
    hazards,
    mean_exposure,
)

_HOME_KEY = -1
_SIZE_KEY = -2
_SPREAD = 0.1
"""Standard deviation of an appliance's power from home to home, as a share."""
_LAMPS, _LAMPS_SPREAD, _FEWEST_LAMPS, _MOST_LAMPS = 24, 8, 6, 50
_LAMPS_W = np.array([60, 40, 100, 50, 11, 20])
_LAMPS_MIX = np.cumsum([0.40, 0.15, 0.10, 0.15, 0.12, 0.08])
LAMP_RATE_S = 0.0051 / 60
"""Switchings a second of a lamp of weight 1, one resident being active, in the dark."""
_DARK_W_M2, _DARK_SPREAD_W_M2 = 60.0, 10.0
_UNLISTED_W, _MOST_UNLISTED_W = 20.0, 100
"""Always on in a home beside the published list: mean of an exponential law, and its end. Ours."""
_YEAR_MIN = 525_600
_NIGHT_RATE_MIN = 0.05
"""So that storage heaters charge nearly every night of the heating season."""


class Home(NamedTuple):
    """A home's constants; what compiled code reads.

    `appliances` and `power_w` have the shape (owned,), `lamps_w` and `lamp_rate_s` (lamps,),
    `workers` (residents,). `standby_w` is what it draws when nothing runs.
    """

    seed: int
    number: int
    workers: NDArray[np.bool_]
    shift: int
    appliances: NDArray[np.int64]
    power_w: NDArray[np.float64]
    lamps_w: NDArray[np.int64]
    lamp_rate_s: NDArray[np.float64]
    dark_w_m2: float
    standby_w: int


class Tables(NamedTuple):
    """What all homes share. `rate_s` is cycles a second while exposed; all times in seconds."""

    hazards: NDArray[np.float64]
    shares: NDArray[np.float64]
    rate_s: NDArray[np.float64]
    cycle_s: NDArray[np.float64]
    restart_s: NDArray[np.float64]
    standby_w: NDArray[np.int64]
    activity: NDArray[np.int64]
    length: NDArray[np.int64]
    attended: NDArray[np.bool_]
    phases: NDArray[np.float64]


@cache
def tables() -> Tables:
    """The tables from the modules of facts, in arrays."""
    return Tables(
        hazards=hazards(),
        shares=shares(),
        rate_s=_rates_s(),
        cycle_s=np.array([kind.cycle_min * 60.0 for kind in KINDS]),
        restart_s=np.array([kind.restart_min * 60.0 for kind in KINDS]),
        standby_w=np.array([kind.standby_w for kind in KINDS]),
        activity=np.array([int(kind.activity) for kind in KINDS]),
        length=np.array([int(kind.length) for kind in KINDS]),
        attended=np.array([kind.attended for kind in KINDS]),
        phases=phase_table(),
    )


def _rates_s() -> NDArray[np.float64]:
    """Rate that gives the published cycles a year in the mean home, shape (kinds,).

    Cycles a year = rate x (exposed time - exposed time that is lost while it runs or rests).
    """
    exposure, squared = mean_exposure()
    rates = np.zeros(len(KINDS))
    for place, appliance in enumerate(KINDS):
        activity = appliance.activity
        if activity == Activity.NIGHT:
            rates[place] = _NIGHT_RATE_MIN
        elif appliance.cycles_per_year:
            while_running = squared[activity] / exposure[activity]
            busy_min = appliance.cycles_per_year * (appliance.cycle_min + appliance.restart_min)
            free_min = exposure[activity] * _YEAR_MIN - busy_min * while_running
            rates[place] = appliance.cycles_per_year / free_min
    return rates / 60


def residents_of(seed: int, homes: int) -> list[int]:
    """Residents of each home of a mixed street, by the published household sizes."""
    edges = np.cumsum(HOUSEHOLD_SHARES) / sum(HOUSEHOLD_SHARES)
    drawn = [uniforms(seed, number, _SIZE_KEY, 1)[0] for number in range(homes)]
    return [int(np.searchsorted(edges, value, side="right")) + 1 for value in drawn]


def draw_home(seed: int, number: int, residents: int) -> Home:
    """Home `number` of the street `seed`: it does not depend on how many others there are."""
    kinds = len(KINDS)
    drawn = uniforms(seed, number, _HOME_KEY, 2 * kinds + 16 + 2 * _MOST_LAMPS)
    lots, spread, few, lamps = np.split(drawn, [kinds, 2 * kinds, 2 * kinds + 16])
    owned = _owned(lots)
    powers = np.array([appliance.power_w for appliance in KINDS])
    power_w = powers * np.clip(1 + _SPREAD * _normal(spread, np.roll(spread, 1)), 0.7, 1.3)
    count = int(
        np.clip(
            round(_LAMPS + _LAMPS_SPREAD * _normal(few[5:6], few[6:7])[0]),
            _FEWEST_LAMPS,
            _MOST_LAMPS,
        )
    )
    return Home(
        seed=seed % 2**63,
        number=number,
        workers=few[:residents] < WORKER_SHARES[residents - 1],
        shift=round(SHIFT_SLOTS * _normal(few[7:8], few[8:9])[0]),
        appliances=owned,
        power_w=power_w[owned],
        lamps_w=_LAMPS_W[np.searchsorted(_LAMPS_MIX, lamps[:count], side="right")],
        lamp_rate_s=LAMP_RATE_S * -np.log(1 - lamps[_MOST_LAMPS : _MOST_LAMPS + count]),
        dark_w_m2=_DARK_W_M2 + _DARK_SPREAD_W_M2 * _normal(few[9:10], few[10:11])[0],
        standby_w=_standby_w(owned, few[11]),
    )


def _standby_w(owned: NDArray[np.int64], draw: float) -> int:
    """Of all it owns, and of what no list has: routers, alarms, chargers."""
    unlisted_w = round(float(-_UNLISTED_W * np.log(1 - draw)))
    listed_w = sum(KINDS[int(place)].standby_w for place in owned)
    return listed_w + min(unlisted_w, _MOST_UNLISTED_W)


def _owned(lots: NDArray[np.float64]) -> NDArray[np.int64]:
    """Which appliances a home has; those of one lot share the draw of the first of them."""
    first: dict[str, float] = {}
    owned = []
    for place, appliance in enumerate(KINDS):
        lot = first.setdefault(appliance.lot or appliance.name, float(lots[place]))
        if 0 <= lot - appliance.owned_from < appliance.owned:
            owned.append(place)
    return np.array(owned, dtype=np.int64)


def _normal(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    drawn: NDArray[np.float64] = np.sqrt(-2 * np.log(1 - first)) * np.cos(2 * np.pi * second)
    return drawn
