"""One home: what it used, what its meter drew from the grid, and the battery's charge."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from hushmeter.report.model import VISIBLE_CHANGE_W, StreetReport, visible_changes
from hushmeter.report.pictures.common import (
    LEFT_INCH,
    LEGEND_INCH,
    MOST_VECTOR_POINTS,
    RIGHT_INCH,
    TIME_LABELS_INCH,
    Floats,
    Plan,
    coarsened,
    legend_above,
    new_sheet,
)
from hushmeter.report.pictures.sheet import Form, Sheet, plain_numbers, time_axis

_KILOWATTS_FROM_W = 3_000
_CHARGE_INCH = 0.85
_GAP_INCH = 0.4


def plan(report: StreetReport) -> Plan:
    before = visible_changes(report.home_demand_w)
    after = visible_changes(report.home_grid_w)
    finding = _finding(report, before, after)
    alt = (
        f"Line chart over time of one home's demand and its meter's draw from the grid. {finding}. "
        f"Demand peaks at {report.home_demand_w.max():,.0f} W, "
        f"the draw at {report.home_grid_w.max():,.0f} W."
    )
    if report.has_battery:
        alt += (
            f" Beneath, the battery's charge between {report.home_charge_wh.min():,.0f} and "
            f"{report.home_charge_wh.max():,.0f} Wh."
        )
    caption = (
        "The orange area stays in the home. The blue line is what the grid feels; it is metered, "
        "summed over each slot and masked, and never leaves the home as a curve."
    )
    if report.has_battery:
        caption += (
            f" Counted are changes of more than {VISIBLE_CHANGE_W} W from one step to the next: "
            f"{before:,} in the demand, {after:,} in the draw."
        )
    return Plan("home", finding, alt, caption, lambda form: _draw(report, finding, form))


def _finding(report: StreetReport, before: int, after: int) -> str:
    if not report.has_battery:
        return "Without a battery the meter draws exactly what the home uses"
    if after < before:
        return (
            f"The home's demand changed {before:,} times, its draw from the grid only "
            f"{after:,} times"
        )
    return "The battery changes the shape of what the meter draws from the grid"


def _draw(report: StreetReport, finding: str, form: Form) -> Sheet:
    height = 2.1 if form.narrow else 2.7
    beneath = _GAP_INCH + _CHARGE_INCH if report.has_battery else 0.0
    body = LEGEND_INCH + height + beneath + TIME_LABELS_INCH
    sheet = new_sheet(report, form, body, finding)
    width = form.width_inch - LEFT_INCH - RIGHT_INCH
    edges = report.first_slot_start + np.append(report.home_times_s, report.slots * report.slot_s)
    panels = [sheet.axes(LEFT_INCH, LEGEND_INCH, width, height)]
    _power(panels[0], edges, report, sheet)
    if report.has_battery:
        top = LEGEND_INCH + height + _GAP_INCH
        panels.append(sheet.axes(LEFT_INCH, top, width, _CHARGE_INCH))
        _charge(panels[1], edges, report, sheet)
    for panel in panels:
        time_axis(panel, edges[0], edges[-1], form.narrow, labelled=panel is panels[-1])
    return sheet


def _power(axes: Axes, edges: Floats, report: StreetReport, sheet: Sheet) -> None:
    theme = sheet.theme
    largest = max(report.home_demand_w.max(), report.home_grid_w.max())
    unit, scale = ("kW", 1000) if largest >= _KILOWATTS_FROM_W else ("W", 1)
    demand, demand_edges = coarsened(report.home_demand_w / scale, edges, largest / scale / 400)
    grid, grid_edges = coarsened(report.home_grid_w / scale, edges, largest / scale / 400)
    axes.stairs(
        demand,
        demand_edges,
        fill=True,
        color=theme.private,
        alpha=0.55,
        linewidth=0,
        rasterized=len(demand) > MOST_VECTOR_POINTS,
    )
    axes.stairs(
        grid,
        grid_edges,
        baseline=None,
        color=theme.seen,
        linewidth=1.2,
        rasterized=len(grid) > MOST_VECTOR_POINTS,
    )
    axes.set_ylabel(f"power ({unit})")
    plain_numbers(axes)
    axes.set_ylim(top=1.06 * max(largest, 1) / scale)
    legend_above(
        axes,
        [
            Patch(color=theme.private, alpha=0.55, label="what the home uses"),
            Line2D([], [], color=theme.seen, linewidth=1.6, label="what the meter draws"),
        ],
        2,
    )


def _charge(axes: Axes, edges: Floats, report: StreetReport, sheet: Sheet) -> None:
    theme = sheet.theme
    charge, charge_edges = coarsened(
        report.home_charge_wh, edges, float(report.home_charge_wh.max()) / 150
    )
    axes.stairs(
        charge,
        charge_edges,
        fill=True,
        color=theme.quiet,
        alpha=0.6,
        linewidth=0,
        rasterized=len(charge) > MOST_VECTOR_POINTS,
    )
    title = "charge of the battery"
    top = float(report.home_charge_wh.max())
    if report.home_capacity_wh is not None:
        axes.axhline(
            report.home_capacity_wh, color=theme.muted, linewidth=0.9, linestyle=(0, (4, 3))
        )
        title += f" (dashed: its capacity, {report.home_capacity_wh:,.0f} Wh)"
        top = max(top, report.home_capacity_wh)
    axes.set_title(title, color=theme.muted, pad=4)
    axes.set_ylabel("Wh")
    axes.set_ylim(0, 1.12 * max(top, 1))
    plain_numbers(axes, ticks=3)
