"""What the pictures of a street's run share: plans, time, gaps, legends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from numpy.typing import NDArray

from hushmeter.printable import printable
from hushmeter.report.model import StreetReport
from hushmeter.report.pictures.sheet import Form, Sheet

Floats = NDArray[np.float64]

MOST_VECTOR_POINTS = 4_000
"""Longer series are drawn as pixels, to keep the page small."""

LEFT_INCH = 0.72
"""Room for the labels of the y axis."""
RIGHT_INCH = 0.26
"""Room for half a label of the time axis."""
LEGEND_INCH = 0.3
TIME_LABELS_INCH = 0.52


@dataclass(frozen=True)
class Plan:
    """What a picture says, and how to draw it."""

    name: str
    finding: str
    alt: str
    caption: str
    draw: Callable[[Form], Sheet]


def new_sheet(
    report: StreetReport, form: Form, body_inch: float, title: str, note: str = ""
) -> Sheet:
    """A sheet that names the insecure modes, so that the picture alone does too."""
    modes = ", ".join(printable(mode, instead="?", most=80) for mode in report.insecure)
    warning = f"INSECURE MODES IN FORCE: {modes}" if modes else ""
    return Sheet(form, body_inch, title, note, warning)


def slot_edges(report: StreetReport) -> Floats:
    """Starts of all slots and the end of the last, Unix seconds, shape (slots + 1,)."""
    edges: Floats = report.first_slot_start + np.arange(report.slots + 1.0) * report.slot_s
    return edges


def slot_middles(report: StreetReport) -> Floats:
    """Middles of all slots, Unix seconds, shape (slots,)."""
    return slot_edges(report)[:-1] + report.slot_s / 2


def with_gaps(values: Sequence[float | int | None]) -> Floats:
    """None becomes NaN, which leaves a gap in a line."""
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def coarsened(values: Floats, edges: Floats, resolution: float) -> tuple[Floats, Floats]:
    """Values and edges without steps below `resolution`, which no eye would see in the picture."""
    kept = [0]
    for step, value in enumerate(values):
        if abs(value - values[kept[-1]]) > resolution:
            kept.append(step)
    return values[kept], np.append(edges[kept], edges[-1])


def legend_above(axes: Axes, handles: Sequence[Artist], columns: int, above: float = 1.02) -> None:
    """A legend in the room above the axes, `above` in their heights."""
    axes.legend(handles=list(handles), loc="lower left", bbox_to_anchor=(0.0, above), ncols=columns)


def slot_list(slots: Sequence[int], most: int = 12) -> str:
    """Slot numbers with runs joined: 3, 7 to 9."""
    if not slots:
        return "none"
    runs: list[list[int]] = []
    for slot in slots:
        if runs and slot == runs[-1][1] + 1:
            runs[-1][1] = slot
        else:
            runs.append([slot, slot])
    told = [str(first) if first == last else f"{first} to {last}" for first, last in runs[:most]]
    if len(runs) > most:
        told.append("and more")
    return ", ".join(told)
