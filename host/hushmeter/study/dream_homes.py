"""The homes of the DREAM study: a file's, or synthetic ones with what each appliance used."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hushmeter.compiler import compiled
from hushmeter.errors import HushmeterError
from hushmeter.loads import read_load
from hushmeter.loads.synthetic.appliances import NAMES
from hushmeter.loads.synthetic.events import DAY_S
from hushmeter.loads.synthetic.render import MINUTE_S
from hushmeter.loads.synthetic.street import Street
from hushmeter.privacy.population import close_slots

Integers = NDArray[np.int64]

SLOT_S = 600
"""The paper's slot."""


@dataclass(frozen=True, eq=False)
class Homes:
    """What the meters of some homes count.

    Attributes
    ----------
    readings_wh:
        Of each slot, by the meters' registers, not clipped; int64, shape (homes, slots).
    slot_s:
        Length of a slot; a whole part of a day.
    source:
        "synthetic", or the file.
    appliances_ws:
        What each appliance of `NAMES` used, int64, shape (homes, appliances, slots); None where
        nobody knows.
    left_out:
        Homes of the file with a gap, which are not here.
    """

    readings_wh: Integers
    slot_s: int
    source: str
    appliances_ws: Integers | None = None
    left_out: int = 0

    @property
    def count(self) -> int:
        return int(self.readings_wh.shape[0])

    @property
    def slots(self) -> int:
        return int(self.readings_wh.shape[1])

    @property
    def day_slots(self) -> int:
        return DAY_S // self.slot_s


def from_file(path: Path, slot_s: int | None) -> Homes:
    """Homes without a gap; `slot_s` is 600 s by default, or a row where that is longer.

    Raises
    ------
    HushmeterError
        As for reading; slots that rows or days do not fill evenly; less than a day or two homes.
    """
    load = read_load(path)
    slot_s = slot_s or max(SLOT_S, load.row_s)
    if slot_s % load.row_s or DAY_S % slot_s:
        raise HushmeterError(
            f"slots of {slot_s} s with rows of {load.row_s} s; a slot must be whole rows, and a "
            "day whole slots",
            hint="--slot-s sets the length of a slot",
        )
    whole = ~load.missing.any(axis=1)
    if whole.sum() < 2 or load.rows * load.row_s < DAY_S:
        raise HushmeterError(
            f"{load.source}: {whole.sum()} homes without a gap, {load.rows} rows of {load.row_s} "
            "s; the study needs two homes and a day"
        )
    readings = close_slots(load.energy_ws[whole], slot_s // load.row_s)[..., 0]
    return Homes(readings, slot_s, load.source, None, int((~whole).sum()))


def synthetic(count: int, days: int, seed: int, slot_s: int | None) -> Homes:
    """Homes of the published mix of households, with the truth of their appliances.

    Raises
    ------
    HushmeterError
        A slot that is not whole minutes, or of which a day is not a whole number.
    """
    slot_s = slot_s or SLOT_S
    if slot_s % MINUTE_S or DAY_S % slot_s:
        raise HushmeterError(f"slots of {slot_s} s; wanted whole minutes, and whole slots a day")
    block = next(Street(count, seed).blocks(days, days))
    energy_ws = block.demand_w.astype(np.int64) * MINUTE_S
    readings = close_slots(energy_ws, slot_s // MINUTE_S)[..., 0]
    truth = np.zeros((count, len(NAMES), readings.shape[1]), dtype=np.int64)
    spread(block.events, slot_s, truth)
    return Homes(readings, slot_s, "synthetic", truth)


@compiled
def spread(events: NDArray[np.void], slot_s: int, truth: Integers) -> None:
    """Adds each event's watt-seconds to the slots that it runs in."""
    end_s = truth.shape[2] * slot_s
    for event in events:
        now_s, until_s = max(event.start_s, 0), min(event.end_s, end_s)
        while now_s < until_s:
            slot = now_s // slot_s
            stop_s = min(until_s, (slot + 1) * slot_s)
            truth[event.home, event.appliance, slot] += event.watts * (stop_s - now_s)
            now_s = stop_s
