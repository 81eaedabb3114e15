"""What a home shows over hours: its slots from its own log, and what they say about it.

Two figures stand side by side. *Spent* is what the ledger counts, epsilon for every slot: no reader
of totals can learn more, whatever else it knows. *Shown* is X epsilon / cap, how much of it the
energy that was really used took up; it depends on the data, so it is no guarantee and is never
counted. Over hours it is summed, and of a day the worst stretch counts, as in Tables 2 and 3 of the
DREAM paper (Ács, Castelluccia, 2011), here for one home in the hardened mode.

Everything is read from the home's own storage, which no message carries. A slot in the home's log
may not have been reported, so what is spent in an hour is an upper bound; the ledger is exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hushfw.core import roster as device_roster
from hushfw.core.errors import HushError
from hushmeter.battery.record import Record
from hushmeter.battery.truth import read_truth
from hushmeter.emulate.gathered import home_log
from hushmeter.errors import HushmeterError
from hushmeter.loads.synthetic.appliances import NAMES
from hushmeter.loads.synthetic.events import DAY_S, EVENT
from hushmeter.privacy.ledger import settings_in
from hushmeter.study.dream_clusters import Settings
from hushmeter.study.dream_exposure import APPLIANCES, Exposure, measured
from hushmeter.study.dream_homes import Homes, spread

HOUR_S = 3600
MOST_DAYS = 31
"""What is older is left out."""

_LOGS = ("home.bin.old", "home.bin")

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class HomeSlots:
    """The slots of one home under its roster, on a grid of whole days.

    Attributes
    ----------
    start_s:
        Unix seconds of the first place of the grid, within a slot of a midnight.
    slot_s:
        Length of a slot.
    readings_wh:
        int64, shape (places,): imported energy; 0 where the home logged no slot.
    logged:
        bool, same shape.
    cap_wh, epsilon:
        Of the roster's first lane, the import; epsilon None without noise.
    origin_s:
        Unix seconds at which slot 1 would have begun: the load's beginning where it is replayed.
    battery:
        Whether a battery stands between the home and what is metered.
    """

    start_s: int
    slot_s: int
    readings_wh: Integers
    logged: NDArray[np.bool_]
    cap_wh: int
    epsilon: Fraction | None
    origin_s: int
    battery: bool

    @property
    def fills_days(self) -> bool:
        """Whether a day is a whole number of slots."""
        return DAY_S % self.slot_s == 0


@dataclass(frozen=True, eq=False)
class HomeExposure:
    """What the page shows.

    Attributes
    ----------
    hours_s:
        Unix seconds of each hour, or slot where that is longer; int64, shape (hours,).
    spent, shown:
        Epsilon in it, float64, same shape.
    periods:
        The worst stretches of a day, of the whole home.
    appliances:
        The same of each appliance that ran, where the home is synthetic.
    """

    slots: HomeSlots
    hours_s: Integers
    hour_s: int
    spent: Floats
    shown: Floats
    periods: list[Exposure]
    appliances: list[Exposure]


def home_slots(folder: Path, epoch: int) -> HomeSlots | None:
    """The slots in a home's log under the roster of this epoch; None where there is none.

    Raises
    ------
    HushmeterError
        A file of the home is missing or damaged.
    """
    path = folder / f"roster-{epoch}.bin"
    try:
        rules = device_roster.parse_header(path.read_bytes())
        files = {name: (folder / name).read_bytes() for name in _LOGS if (folder / name).exists()}
    except HushError as error:
        raise HushmeterError(f"{path}: {error.message}") from error
    except OSError as error:
        raise HushmeterError(f"{error.filename} cannot be read: {error.strerror}") from error
    last_s = rules.slot_start_s(rules.last_slot)
    log = {slot: wh for slot, wh in home_log(files).items() if rules.first_slot <= slot}
    times = {rules.slot_start_s(slot): wh for slot, wh in log.items()}
    times = {at_s: wh for at_s, wh in times.items() if at_s <= last_s}
    if not times:
        return None
    slot_s: int = rules.slot_s
    end_s = max(times) + slot_s
    first_s = max(min(times), end_s - MOST_DAYS * DAY_S)
    # The grid is the slots' own, so it may begin up to a slot after midnight.
    start_s = first_s // DAY_S * DAY_S + first_s % slot_s
    places = -(-(-(-(end_s - start_s) // DAY_S) * DAY_S) // slot_s)
    readings, logged = np.zeros(places, np.int64), np.zeros(places, np.bool_)
    for at_s, wh in times.items():
        if at_s >= first_s:
            place = (at_s - start_s) // slot_s
            readings[place], logged[place] = wh, True
    lane = rules.lane_list[0]
    return HomeSlots(
        start_s, slot_s, readings, logged, lane.cap_wh,
        None if lane.noiseless() else Fraction(lane.epsilon_num, lane.epsilon_den),
        rules.slot_start_s(1), settings_in(folder)["controller"]["name"] != "none",
    )  # fmt: skip


def exposure(slots: HomeSlots, meter_id: int, truth: Path | None = None) -> HomeExposure:
    """What the slots show, hour by hour and over the paper's periods.

    Parameters
    ----------
    truth:
        What ``hushmeter homes --truth`` wrote with the load that the street replays: meter i is
        its home i, in the truth's order, or its only one.

    Raises
    ------
    HushmeterError
        The truth is none, or of another load; there is no noise, so nothing is bounded.
    """
    if slots.epsilon is None:
        raise HushmeterError("these reports have no noise: totals show whatever they hold")
    hour_s = max(HOUR_S, slots.slot_s)
    starts = slots.start_s + np.arange(len(slots.logged)) * slots.slot_s
    hours, place = np.unique(starts[slots.logged] // hour_s * hour_s, return_inverse=True)
    used = np.minimum(slots.readings_wh[slots.logged], slots.cap_wh) / slots.cap_wh
    spent, shown = np.zeros(len(hours)), np.zeros(len(hours))
    np.add.at(spent, place, float(slots.epsilon))
    np.add.at(shown, place, float(slots.epsilon) * used)
    return HomeExposure(
        slots, hours, hour_s, spent, shown,
        _periods(slots), [] if truth is None else _appliances(slots, meter_id, truth),
    )  # fmt: skip


def _periods(slots: HomeSlots) -> list[Exposure]:
    if not slots.fills_days:
        return []
    return _measured(slots, Homes(slots.readings_wh[None, :], slots.slot_s, "home"), "all")


def _measured(slots: HomeSlots, homes: Homes, what: str) -> list[Exposure]:
    """Of a cluster of this one home, the rows with the cap as the bound."""
    settings = Settings(0, slots.epsilon or Fraction(1), slots.cap_wh, 1)
    return [row for row in measured(homes, (what, 1, 1, settings)) if row.mode == "hardened"]


def _appliances(slots: HomeSlots, meter_id: int, truth: Path) -> list[Exposure]:
    if not slots.fills_days:
        return []
    used = np.zeros((1, len(NAMES), len(slots.logged)), np.int64)
    spread(_events(slots, meter_id, truth), slots.slot_s, used)
    used *= slots.logged
    homes = Homes(slots.readings_wh[None, :], slots.slot_s, "synthetic", used)
    rows = [row for what in APPLIANCES for row in _measured(slots, homes, what)]
    return [row for row in rows if row.homes]


def _events(slots: HomeSlots, meter_id: int, truth: Path) -> NDArray[np.void]:
    """The home's events; seconds count from the grid's beginning."""
    nothing = np.zeros(0, np.int64)
    name = f"home_{meter_id - 1}_w"
    record = Record(str(truth), name, slots.origin_s, 60, 60, nothing, nothing > 0, 0)
    runs = read_truth(truth, record)
    events = np.zeros(len(runs), EVENT)
    for event, run in zip(events, runs, strict=True):
        if run.appliance not in NAMES:
            raise HushmeterError(f"{truth}: knows an appliance {run.appliance!r} that nobody makes")
        event["appliance"] = NAMES.index(run.appliance)
        event["watts"] = run.watts
        event["start_s"] = run.start_s + slots.origin_s - slots.start_s
        event["end_s"] = run.end_s + slots.origin_s - slots.start_s
    return events
