"""A home behind its battery, one or several controllers, in the form in which it is shown.

Of a run only what is shown is kept: its figures, and the steps of one window (a day).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hushmeter.battery.attacks import THRESHOLD_W, are_right
from hushmeter.battery.hiding import Judged
from hushmeter.battery.metrics import DAY_S
from hushmeter.battery.record import Record
from hushmeter.battery.setups import WS_PER_WH
from hushmeter.battery.sizes import SizeRow
from hushmeter.errors import HushmeterError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Window:
    """Steps `first` up to `last` of a record."""

    first: int
    last: int

    @property
    def steps(self) -> slice:
        return slice(self.first, self.last)


@dataclass(frozen=True)
class Shown:
    """One run, as far as it is shown.

    Attributes
    ----------
    figures:
        The run's JSON object.
    grid_w, charge_wh:
        Of the window, NaN in missing steps, shape (steps,).
    right_steps, wrong_steps:
        Steps of the window, from its first, at which the attack claims a change.
    usable_wh, full_wh:
        Of the battery, between its bounds and at the upper one; 0 without one.
    """

    figures: dict[str, Any]
    grid_w: Floats
    charge_wh: Floats
    right_steps: NDArray[np.int64]
    wrong_steps: NDArray[np.int64]
    usable_wh: float
    full_wh: float

    @property
    def label(self) -> str:
        return str(self.figures["controller"])


@dataclass
class BatteryReport:
    """What is shown of a record; add the runs one by one.

    Attributes
    ----------
    demand_w:
        Of the window, NaN in missing steps, shape (steps,).
    runs:
        In the order in which they are shown.
    command:
        The command line that repeats it; empty if there is none.
    sizes:
        The home behind batteries of several sizes, first without one; empty if nobody asked.
    """

    record: Record
    window: Window
    demand_w: Floats
    runs: list[Shown] = field(default_factory=list)
    command: str = ""
    sizes: list[SizeRow] = field(default_factory=list)

    @classmethod
    def of(cls, record: Record, window: Window) -> BatteryReport:
        """Without runs as yet."""
        return cls(record, window, _known(record.demand_w, record, window))

    def add(self, judged: Judged) -> None:
        """Keeps what is shown of a run."""
        record, run, window = self.record, judged.run, self.window
        claims = judged.attack.claims
        right = are_right(claims, record.demand_w)
        inside = (claims.samples > window.first) & (claims.samples < window.last)
        charge_wh = run.charge_ws[window.first + 1 : window.last + 1] / WS_PER_WH
        self.runs.append(
            Shown(
                figures=judged.summary(),
                grid_w=_known(run.grid_w, record, window),
                charge_wh=charge_wh,
                right_steps=claims.samples[inside & right] - window.first,
                wrong_steps=claims.samples[inside & ~right] - window.first,
                usable_wh=run.setup.usable_ws / WS_PER_WH,
                full_wh=sum(one.full_wh for one in run.setup.batteries),
            )
        )

    @property
    def edges_s(self) -> Floats:
        """Beginnings of the window's steps and the end of the last, Unix seconds."""
        record, window = self.record, self.window
        steps = np.arange(window.first, window.last + 1, dtype=np.float64)
        return np.asarray(record.start + steps * record.step_s, dtype=np.float64)

    @property
    def hidden(self) -> list[Shown]:
        """The runs with a battery."""
        return [run for run in self.runs if run.usable_wh]

    def run(self, label: str) -> Shown | None:
        """The run of this label, if there is one."""
        return next((run for run in self.runs if run.label == label), None)


def day_window(record: Record, warm_up_s: int = 0, day: date | None = None) -> Window:
    """The day that is shown: the one asked for, or one that is like most.

    Of the days after the warm-up that have the fewest missing steps, that with the median number of
    changes above 20 W; a record of no whole day is shown whole.

    Raises
    ------
    HushmeterError
        The day that is asked for is not in the record.
    """
    step_s = record.step_s
    steps_a_day = DAY_S // step_s if DAY_S % step_s == 0 else 0
    ahead = -record.start % DAY_S
    first = -(-ahead // step_s)
    count = (record.steps - first) // steps_a_day if steps_a_day else 0
    if day is not None:
        return _asked(record, day)
    if count < 1:
        return Window(0, min(record.steps, max(1, DAY_S // step_s)))
    skipped = min(max(0, -(-(warm_up_s - first * step_s) // DAY_S)), count - 1)
    starts = first + steps_a_day * np.arange(skipped, count)
    missing = np.array([record.missing[at : at + steps_a_day].sum() for at in starts])
    starts = starts[missing == missing.min()]
    changes = np.array(
        [
            np.count_nonzero(np.abs(np.diff(record.demand_w[at : at + steps_a_day])) > THRESHOLD_W)
            for at in starts
        ]
    )
    middle = int(starts[np.argsort(changes, kind="stable")[(changes.size - 1) // 2]])
    return Window(middle, middle + steps_a_day)


def _asked(record: Record, day: date) -> Window:
    begin_s = (day - date(1970, 1, 1)).days * DAY_S
    first = max(0, -(-(begin_s - record.start) // record.step_s))
    last = min(record.steps, (begin_s + DAY_S - record.start) // record.step_s)
    if first >= last:
        raise HushmeterError(
            f"{day} is not in {record.source}; it goes from {record.clock(0)} "
            f"to {record.clock(record.steps)}"
        )
    return Window(first, last)


def _known(power_w: NDArray[np.int64], record: Record, window: Window) -> Floats:
    """Watts of the window, NaN in missing steps."""
    shown = power_w[window.steps].astype(np.float64)
    shown[record.missing[window.steps]] = np.nan
    return shown
