"""What a street's run left behind, in the form in which it is shown.

:class:`StreetReport` is filled by whoever ran the street and read by the pictures, the page and
the terminal table. It is checked once, here, so that those need not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hushmeter.errors import HushmeterError
from hushmeter.privacy.words import MINIMUM_WORDS, NoiseVerdict, looks_like_noise

SUMMARY_KEYS = (
    "meters",
    "slots",
    "recovered_slots",
    "void_slots",
    "completed_slots",
    "lambda_wh",
    "true_total_wh",
    "noisy_total_wh",
    "clipped_readings",
    "mean_abs_error_wh",
    "expected_abs_error_wh",
    "messages_refused",
    "insecure",
    "transcript_sha256",
)

SLOT_STATUSES = ("full", "recovered", "void", "completed")

DIED_BEFORE_REPORT = "died before the report"
DIED_BEFORE_ANSWER = "died before the answer"
CAME_BACK = "came back"
SLOT_VOID = "slot void"
SLOT_COMPLETED = "slot completed"
JOINED = "joined the street"
LEFT = "left the street"
REPLACED = "was replaced"
RENEWED = "renewed its key"
EVENTS = (
    DIED_BEFORE_REPORT,
    DIED_BEFORE_ANSWER,
    CAME_BACK,
    SLOT_VOID,
    SLOT_COMPLETED,
    JOINED,
    LEFT,
    REPLACED,
    RENEWED,
)

VISIBLE_CHANGE_W = 20
"""A change of power that an observer would call an event."""

Watts = NDArray[np.float64]
Event = tuple[int, int | None, str]


@dataclass(eq=False)
class StreetReport:
    """One run of a street. Slots are counted from 0 within the run.

    Attributes
    ----------
    summary:
        The run's JSON object (:data:`SUMMARY_KEYS`); totals are None where a slot is void, and the
        true one also where nobody knows what a meter metered. ``boards``, if it is there, tells of
        the meters that were boards on ports.
    settings:
        What was run, in the order in which it is to be shown.
    first_slot_start:
        Start of slot 0, Unix seconds.
    slot_s:
        Length of a slot.
    band_wh:
        Per slot, half the width of the central 95 % of the noise; None where void.
    home_name:
        The home shown in the pictures. May hold anything; it is escaped.
    home_times_s:
        Start of each controller step, seconds after `first_slot_start`, shape (steps,).
    home_demand_w, home_grid_w, home_charge_wh:
        The home's demand, its draw from the grid and the battery's charge, shape (steps,).
    words:
        Masked words as received, slots x meters; None where nothing was received.
    reading_wh:
        The same home's reading per slot, which no one but the home knows; None where it had none.
    slot_status:
        One of :data:`SLOT_STATUSES` per slot.
    events:
        (slot, meter id or None, one of :data:`EVENTS`), in any order.
    timings:
        What took how long, seconds.
    home_column:
        The shown home's column in `words`.
    home_capacity_wh:
        Capacity of the home's battery; None without one.
    meter_ids:
        Ids of the columns of `words`; empty for 1, 2, 3 and so on.
    command:
        The command line that repeats the run; empty if there is none.

    Raises
    ------
    HushmeterError
        If a key is missing or lengths do not fit together.
    """

    summary: dict[str, Any]
    settings: dict[str, str]
    first_slot_start: int
    slot_s: int
    band_wh: Sequence[float | None]
    home_name: str
    home_times_s: Watts
    home_demand_w: Watts
    home_grid_w: Watts
    home_charge_wh: Watts
    words: Sequence[Sequence[int | None]]
    reading_wh: Sequence[int | None]
    slot_status: Sequence[str]
    events: Sequence[Event]
    timings: dict[str, float]
    home_column: int = 0
    home_capacity_wh: float | None = None
    meter_ids: Sequence[int] = field(default_factory=list)
    command: str = ""

    def __post_init__(self) -> None:
        for name in ("home_times_s", "home_demand_w", "home_grid_w", "home_charge_wh"):
            setattr(self, name, np.asarray(getattr(self, name), dtype=np.float64))
        _check_summary(self.summary)
        if not self.meter_ids:
            self.meter_ids = list(range(1, int(self.summary["meters"]) + 1))
        _check_lengths(self)
        _check_names(self)
        self.events = sorted(self.events, key=lambda event: event[0])

    @property
    def slots(self) -> int:
        return int(self.summary["slots"])

    @property
    def meters(self) -> int:
        """Who ever took part: the columns of `words`."""
        return len(self.meter_ids)

    @property
    def insecure(self) -> list[str]:
        """Modes in force that weaken the run; empty is good."""
        return [str(mode) for mode in self.summary["insecure"]]

    @property
    def noise_is_off(self) -> bool:
        return float(self.summary["lambda_wh"]) == 0

    @property
    def has_battery(self) -> bool:
        return bool(self.home_charge_wh.any()) or bool(
            (self.home_grid_w != self.home_demand_w).any()
        )

    def known_slots(self) -> list[int]:
        """Slots with a total."""
        return [
            slot for slot, total in enumerate(self.summary["noisy_total_wh"]) if total is not None
        ]

    def judged_slots(self) -> list[int]:
        """Slots with a total of which the truth is known too."""
        true = self.summary["true_total_wh"]
        return [slot for slot in self.known_slots() if true[slot] is not None]

    def inside_band(self) -> int:
        """Slots whose noisy total lies inside the 95 % band around the true one."""
        return sum(
            abs(self.summary["noisy_total_wh"][slot] - self.summary["true_total_wh"][slot])
            <= (self.band_wh[slot] or 0)
            for slot in self.judged_slots()
        )

    def slots_with_status(self, status: str) -> list[int]:
        return [slot for slot, found in enumerate(self.slot_status) if found == status]

    def received(self) -> NDArray[np.bool_]:
        """Whether a word arrived, shape (slots, meters)."""
        return np.array([[word is not None for word in row] for row in self.words], dtype=np.bool_)

    def word_array(self) -> NDArray[np.uint64]:
        """The words, shape (slots, meters); 0 where nothing was received."""
        return np.array([[word or 0 for word in row] for row in self.words], dtype=np.uint64)

    def noise_verdict(self) -> NoiseVerdict | None:
        """Verdict on the masked words; None if there are too few to judge."""
        received = self.received()
        if int(received.sum()) < MINIMUM_WORDS:
            return None
        return looks_like_noise(self.word_array(), received)


def visible_changes(power_w: Watts) -> int:
    """Steps at which the power changes by more than :data:`VISIBLE_CHANGE_W`."""
    return int((np.abs(np.diff(power_w)) > VISIBLE_CHANGE_W).sum())


def _check_summary(summary: dict[str, Any]) -> None:
    missing = [key for key in SUMMARY_KEYS if key not in summary]
    if missing:
        raise HushmeterError(f"a street report's summary lacks {', '.join(missing)}")
    if summary["slots"] < 1 or summary["meters"] < 1:
        raise HushmeterError("a street report needs at least one slot and one meter")


def _check_lengths(report: StreetReport) -> None:
    per_slot = {
        "true_total_wh": report.summary["true_total_wh"],
        "noisy_total_wh": report.summary["noisy_total_wh"],
        "band_wh": report.band_wh,
        "words": report.words,
        "reading_wh": report.reading_wh,
        "slot_status": report.slot_status,
    }
    for name, values in per_slot.items():
        if len(values) != report.slots:
            raise HushmeterError(f"{name} has {len(values)} entries for {report.slots} slots")
    too_few = report.meters < report.summary["meters"]
    if too_few or any(len(row) != report.meters for row in report.words):
        raise HushmeterError(f"words and meter_ids need one column for each of {report.meters}")
    steps = {
        len(report.home_times_s),
        len(report.home_demand_w),
        len(report.home_grid_w),
        len(report.home_charge_wh),
    }
    if len(steps) != 1 or steps == {0}:
        raise HushmeterError("the home's arrays need one and the same length, at least 1")


def _check_names(report: StreetReport) -> None:
    unknown = set(report.slot_status) - set(SLOT_STATUSES)
    if unknown:
        raise HushmeterError(f"slot status is one of {SLOT_STATUSES}, not {sorted(unknown)}")
    for slot, meter_id, what in report.events:
        known_meter = meter_id is None or meter_id in report.meter_ids
        if what not in EVENTS or not 0 <= slot < report.slots or not known_meter:
            raise HushmeterError(f"no such event in this run: {(slot, meter_id, what)}")
    if not 0 <= report.home_column < report.meters:
        raise HushmeterError(f"home_column is 0 to {report.meters - 1}, not {report.home_column}")
    run_s = report.slots * report.slot_s
    if report.home_times_s.min() < 0 or report.home_times_s.max() >= run_s:
        raise HushmeterError(f"home_times_s are seconds within the run, 0 to {run_s}")
