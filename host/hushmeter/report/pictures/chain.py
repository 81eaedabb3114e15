"""A home's day through the whole chain: what it used, what the grid saw, the battery's charge."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from hushmeter.report.pictures.common import (
    LEFT_INCH,
    LEGEND_INCH,
    RIGHT_INCH,
    TIME_LABELS_INCH,
    Plan,
    legend_above,
)
from hushmeter.report.pictures.sheet import Form, Sheet, plain_numbers, time_axis
from hushmeter.study.chain import ChainRun, ChainStudy, Leakage
from hushmeter.study.chain_day import START_S

_SIMULATED = "Simulated: the device's firmware between simulated mains and a simulated battery."
_PANEL_INCH, _GAP_INCH, _TITLE_INCH = 1.75, 0.42, 0.22
_MOST_COLUMNS = 1200
_HEADLINE_STEPS = 2
"""A second and a minute."""

Watts = NDArray[np.float64]


def plan(found: ChainStudy) -> Plan:
    """The one picture of the study."""
    finding = _finding(found)
    names = ", ".join(found.runs)
    alt = (
        f"Line charts over time of a home's demand and of what the grid saw with {names}. "
        f"{finding}."
    )
    caption = (
        "Orange: what the home uses. Blue: what the grid sees, the home's demand plus the "
        "battery's real power, with the inverter's delay and the battery's losses in it. Each "
        "column of the picture is drawn from its least to its greatest second."
    )
    return Plan("chain", finding, alt, caption, lambda form: _draw(found, finding, form))


def _finding(found: ChainStudy) -> str:
    """Above chance, at a second and at a minute: a policy may do well at the one only."""
    first = next(iter(found.runs.values()), None)
    if first is None or not first.before:
        return "Too short a stretch to measure what leaks"
    before = first.before[:_HEADLINE_STEPS]
    steps = " and ".join(f"{one.step_s} s" for one in before)
    behind = "; ".join(
        f"behind {name} {_above_chance(run.after[: len(before)])}"
        for name, run in found.runs.items()
    )
    return (
        f"Above chance, changes of the load tell {_above_chance(before)} bits at {steps} where "
        f"nothing is hidden; {behind}"
    )


def _above_chance(leaks: Sequence[Leakage]) -> str:
    return " and ".join(f"{max(0.0, one.mi_bits - one.mi_shuffled_bits):.3f}" for one in leaks)


def _draw(found: ChainStudy, finding: str, form: Form) -> Sheet:
    each = _TITLE_INCH + _PANEL_INCH + _GAP_INCH
    body = LEGEND_INCH + len(found.runs) * each - _GAP_INCH + TIME_LABELS_INCH
    sheet = Sheet(form, body, finding, _SIMULATED, "")
    width = form.width_inch - LEFT_INCH - RIGHT_INCH
    for place, (name, run) in enumerate(found.runs.items()):
        axes = sheet.axes(LEFT_INCH, LEGEND_INCH + _TITLE_INCH + place * each, width, _PANEL_INCH)
        _panel(axes, sheet, run)
        time_axis(axes, START_S, START_S + found.seconds, form.narrow, place == len(found.runs) - 1)
        axes.set_title(name, pad=4)
        if place == 0:
            legend_above(
                axes,
                [
                    Patch(color=sheet.theme.private, alpha=0.55, label="what the home uses"),
                    Line2D([], [], color=sheet.theme.seen, label="what the grid sees"),
                ],
                2,
                1 + (_TITLE_INCH + 0.06) / _PANEL_INCH,
            )
    axes.set_xlabel("time from the start (h:min)")
    return sheet


def _panel(axes: Axes, sheet: Sheet, run: ChainRun) -> None:
    demand, grid = run.lived.demand_w / 1000, run.lived.grid_w / 1000
    times, low, high = _columns(demand)
    axes.fill_between(
        times, np.zeros_like(high), high, color=sheet.theme.private, alpha=0.55, linewidth=0,
        step="mid",
    )  # fmt: skip
    times, low, high = _columns(grid)
    axes.fill_between(times, low, high, color=sheet.theme.seen, alpha=0.75, linewidth=0.5)
    axes.set_ylabel("kW")
    plain_numbers(axes, 4)
    axes.set_ylim(min(0.0, float(grid.min())), 1.06 * float(max(demand.max(), grid.max(), 0.1)))


def _columns(values: Watts) -> tuple[Watts, Watts, Watts]:
    """Times, least and greatest of each column of the picture."""
    size = max(1, values.size // _MOST_COLUMNS)
    count = values.size // size
    parts = values[: count * size].reshape(count, size)
    times: Watts = START_S + (np.arange(count, dtype=np.float64) + 0.5) * size
    return times, parts.min(axis=1), parts.max(axis=1)
