"""How much a home, and each appliance, shows over hours: Tables 2 and 3 of the DREAM paper.

Over s slots epsilons add up: sum of X_t epsilon / lambda_t, where lambda_t epsilon is the slot's
largest reading (faithful) or the cap (hardened). Of all s slots within a day the worst count: the
paper's tables grow far slower than s, so it did the same. These are figures about the data, as in
the paper; what a meter accounts for is its worst case, epsilon a report, whatever was used.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hushmeter.compiler import compiled
from hushmeter.loads.synthetic.appliances import NAMES
from hushmeter.privacy.population import WS_PER_WH
from hushmeter.study.dream_clusters import MODES, Settings, members_of
from hushmeter.study.dream_homes import Homes

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

HOURS = (0.5, 4.0, 8.0, 24.0)
CLUSTER = 100
"""Size of the clusters of Table 3."""
APPLIANCES = {
    "Lighting": ("light",),
    "Cassette / CD player": ("cassette or CD player",),
    "Vacuum": ("vacuum",),
    "Personal computer": ("personal computer",),
    "TV": ("television 1", "television 2", "television 3"),
    "Microwave": ("microwave",),
    "Kettle": ("kettle",),
    "Washing machine": ("washing machine",),
    "DESWH": ("immersion heater",),
    "Storage heaters": ("storage heaters",),
    "Refrigerator": ("refrigerator",),
}
"""The paper's names -> ours. DESWH is a storage water heater."""


@dataclass(frozen=True)
class Exposure:
    """Mean and spread over homes and days of the worst `slots` slots of a day.

    `spent` is what the ledger counts for as many reports; `homes` how many homes and days, those in
    which the appliance ran; `what` is the appliance, or "all".
    """

    what: str
    n: int
    hours: float
    slots: int
    mode: str
    mean: float
    sd: float
    spent: float
    homes: int


def spans(homes: Homes) -> list[tuple[float, int]]:
    """(hours, slots) of the paper's periods that are a slot or longer."""
    return [(h, int(h * 3600) // homes.slot_s) for h in HOURS if h * 3600 >= homes.slot_s]


Work = tuple[str, int, int, Settings]
"""Of what, of which size, number of clusters."""


def measured(homes: Homes, work: Work) -> list[Exposure]:
    """Table 2's rows of one size, or those of one appliance of Table 3."""
    what, size, clusters, settings = work
    periods = spans(homes)
    slots = np.array([count for _, count in periods])
    sums = np.zeros((len(MODES), 3, len(periods)))
    used_wh = _used_wh(homes, what)
    for number in range(clusters):
        counts = members_of(homes, size, settings.seed, number)
        chosen = np.flatnonzero(counts)
        own_wh, weights = used_wh[chosen], counts[chosen]
        largest_wh = homes.readings_wh[chosen].max(axis=0).astype(np.float64)
        for m, bounds_wh in enumerate((largest_wh, np.full(homes.slots, float(settings.cap_wh)))):
            _add_worst(own_wh, weights, bounds_wh, homes.day_slots, slots, what == "all", sums[m])
    return _rows(what, size, periods, sums, float(settings.epsilon))


def _used_wh(homes: Homes, what: str) -> Floats:
    if what == "all":
        return homes.readings_wh.astype(np.float64)
    truth_ws = homes.appliances_ws
    if truth_ws is None:
        raise ValueError("only synthetic homes say what an appliance used")
    places = [NAMES.index(name) for name in APPLIANCES[what]]
    used_wh: Floats = truth_ws[:, places].sum(axis=1) / WS_PER_WH
    return used_wh


@compiled
def _add_worst(  # noqa: PLR0913
    used_wh: Floats,
    weights: Integers,
    bounds_wh: Floats,
    day_slots: int,
    slots: Integers,
    also_unused: bool,
    sums: Floats,
) -> None:
    """Adds count, sum and sum of squares of the worst stretch of each home and day it ran in.

    Days without any use count if `also_unused`.
    """
    shown = np.zeros(day_slots + 1)
    for home in range(len(used_wh)):
        for first in range(0, used_wh.shape[1] - day_slots + 1, day_slots):
            for place in range(day_slots):
                bound_wh = bounds_wh[first + place]
                part = 0.0
                if bound_wh > 0:
                    part = min(used_wh[home, first + place] / bound_wh, 1.0)
                shown[place + 1] = shown[place] + part
            if shown[day_slots] == 0 and not also_unused:
                continue
            for period in range(len(slots)):
                worst = 0.0
                for place in range(day_slots - slots[period] + 1):
                    worst = max(worst, shown[place + slots[period]] - shown[place])
                sums[0, period] += weights[home]
                sums[1, period] += weights[home] * worst
                sums[2, period] += weights[home] * worst * worst


def _rows(
    what: str, size: int, periods: list[tuple[float, int]], sums: Floats, epsilon: float
) -> list[Exposure]:
    rows = []
    for place, (hours, count) in enumerate(periods):
        for m, mode in enumerate(MODES):
            homes, total, squares = (float(value) for value in sums[m, :, place])
            mean = total / homes if homes else 0.0
            spread = max(0.0, squares / homes - mean * mean) ** 0.5 if homes else 0.0
            rows.append(
                Exposure(
                    what, size, hours, count, mode, epsilon * mean, epsilon * spread,
                    epsilon * count, int(homes),
                )
            )  # fmt: skip
    return rows
