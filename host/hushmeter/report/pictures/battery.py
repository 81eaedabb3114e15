"""A day of a home: its demand, what each controller draws from the grid, and the charge.

After Fig. 2 of Yang et al. (CCS 2012): the same day, one controller beneath the other. Marks on
each draw are what the load-change attack claims of the demand.
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from hushmeter.battery.attacks import THRESHOLD_W
from hushmeter.battery.record import clock
from hushmeter.printable import printable
from hushmeter.report.battery_model import BatteryReport, Floats, Shown
from hushmeter.report.pictures.common import (
    LEFT_INCH,
    LEGEND_INCH,
    MOST_VECTOR_POINTS,
    RIGHT_INCH,
    TIME_LABELS_INCH,
    Plan,
    coarsened,
    legend_above,
)
from hushmeter.report.pictures.sheet import Form, Sheet, plain_numbers, time_axis

_KILOWATTS_FROM_W = 3_000
_NAME_INCH = 0.3
_CHARGE_INCH = 0.34
_BETWEEN_INCH = 0.08
_MARK_ROOM = 0.16


def plan(report: BatteryReport) -> Plan:
    """The picture's words, and how to draw it."""
    finding = _finding(report)
    names = ", ".join(run.label for run in report.runs)
    day = clock(int(report.edges_s[0]))[:10]
    alt = (
        f"Line charts over one day, {day}, of a home's demand and of its draw from the grid with "
        f"{names}, each with the battery's charge beneath. {finding}."
    )
    caption = (
        "The orange area is the demand, which stays in the home; the blue line is what the meter "
        "sees. Each mark above a draw is a change of the demand that the load-change attack claims "
        "from the draw alone: red where the claim is right and something leaks, grey where it is "
        "wrong. Beneath, the charge of the battery. Changes that are counted are those above "
        f"{THRESHOLD_W} W."
    )
    if np.isnan(report.demand_w).any():
        caption += " Hatched: the load has no reading, and the battery rests."
    return Plan("battery", finding, alt, caption, lambda form: _draw(report, finding, form))


def changes(power_w: Floats) -> int:
    """Steps at which the power changes by more than THRESHOLD_W; none across a gap."""
    return int(np.count_nonzero(np.abs(np.diff(power_w)) > THRESHOLD_W))


def _finding(report: BatteryReport) -> str:
    before = changes(report.demand_w)
    hidden = report.hidden
    if not hidden:
        return f"Without a battery the meter sees all {before:,} changes of the demand"
    counts = {run.label: changes(run.grid_w) for run in hidden}
    if len(hidden) == 1:
        label, after = next(iter(counts.items()))
        return f"In this day the demand changed {before:,} times, the draw with {label} {after:,}"
    least, most = (
        min(counts, key=lambda name: counts[name]),
        max(counts, key=lambda name: counts[name]),
    )
    return (
        f"In this day the demand changed {before:,} times, the draw between {counts[least]:,} "
        f"times ({least}) and {counts[most]:,} ({most})"
    )


def _draw(report: BatteryReport, finding: str, form: Form) -> Sheet:
    alone = len(report.runs) == 1
    height = (2.2 if alone else 0.95) if not form.narrow else (1.8 if alone else 0.85)
    row = _NAME_INCH + height + _BETWEEN_INCH
    rows = sum(row + (_CHARGE_INCH + _BETWEEN_INCH if run.usable_wh else 0) for run in report.runs)
    legend = (2 if form.narrow else 1) * LEGEND_INCH
    body = legend + rows + TIME_LABELS_INCH
    note = f"{report.record.source}, home {report.record.home}"
    sheet = Sheet(form, body, finding, printable(note, instead="?", most=100), "")
    edges = report.edges_s
    top, panels = legend, []
    width = form.width_inch - LEFT_INCH - RIGHT_INCH
    for run in report.runs:
        panels.append(sheet.axes(LEFT_INCH, top + _NAME_INCH, width, height))
        _power(panels[-1], run, report, sheet)
        top += row
        if run.usable_wh:
            panels.append(sheet.axes(LEFT_INCH, top, width, _CHARGE_INCH))
            _charge(panels[-1], run, report, sheet)
            top += _CHARGE_INCH + _BETWEEN_INCH
    _legend(panels[0], report, sheet)
    for panel in panels:
        time_axis(panel, edges[0], edges[-1], form.narrow, labelled=panel is panels[-1])
    return sheet


def _power(axes: Axes, run: Shown, report: BatteryReport, sheet: Sheet) -> None:
    theme, edges = sheet.theme, report.edges_s
    largest = max(1.0, _largest(report.demand_w), *(_largest(one.grid_w) for one in report.runs))
    least = min(0.0, _least(report.demand_w), *(_least(one.grid_w) for one in report.runs))
    unit, scale = ("kW", 1000) if largest >= _KILOWATTS_FROM_W else ("W", 1)
    pixels = _too_many(report)
    finest = (largest - least) / scale / 400
    demand, demand_edges = coarsened(np.nan_to_num(report.demand_w) / scale, edges, finest)
    axes.stairs(
        demand, demand_edges, fill=True, color=theme.private, alpha=0.5, linewidth=0,
        rasterized=pixels,
    )  # fmt: skip
    grid, grid_edges = coarsened(np.nan_to_num(run.grid_w) / scale, edges, finest)
    axes.stairs(grid, grid_edges, baseline=None, color=theme.seen, linewidth=1.1, rasterized=pixels)
    _gaps(axes, report, sheet)
    if least < 0:
        axes.axhline(0, color=theme.muted, linewidth=0.7)
    axes.set_ylabel(unit)
    plain_numbers(axes, ticks=3 if len(report.runs) > 1 else 5)
    span = largest - least
    axes.set_ylim((least - 0.02 * span) / scale, (largest + _MARK_ROOM * span) / scale)
    for steps, colour in ((run.wrong_steps, theme.quiet), (run.right_steps, theme.bad)):
        axes.plot(
            edges[steps],
            np.full(steps.size, (largest + 0.1 * span) / scale),
            linestyle="",
            marker="|",
            markersize=7,
            markeredgewidth=1.1,
            color=colour,
            rasterized=pixels,
        )
    axes.set_title(_title(run), pad=3)


def _gaps(axes: Axes, report: BatteryReport, sheet: Sheet) -> None:
    """Steps without a reading, hatched."""
    turns = np.flatnonzero(np.diff(np.isnan(report.demand_w).astype(np.int8), prepend=0, append=0))
    for first, last in zip(turns[::2], turns[1::2], strict=True):
        axes.axvspan(
            report.edges_s[first], report.edges_s[last], facecolor=sheet.theme.paper,
            edgecolor=sheet.theme.quiet, hatch="////", linewidth=0,
        )  # fmt: skip


def _too_many(report: BatteryReport) -> bool:
    return len(report.runs) * len(report.demand_w) > MOST_VECTOR_POINTS


def _title(run: Shown) -> str:
    right, wrong = run.right_steps.size, run.wrong_steps.size
    claimed = f"{right:,} of {right + wrong:,} claims right" if right + wrong else "no claims"
    return f"{run.label}: {changes(run.grid_w):,} changes, {claimed}"


def _charge(axes: Axes, run: Shown, report: BatteryReport, sheet: Sheet) -> None:
    theme = sheet.theme
    top = run.full_wh
    charge, edges = coarsened(run.charge_wh, report.edges_s, top / 150)
    axes.stairs(
        charge, edges, fill=True, color=theme.quiet, alpha=0.6, linewidth=0,
        rasterized=_too_many(report),
    )  # fmt: skip
    axes.axhline(top, color=theme.muted, linewidth=0.8, linestyle=(0, (4, 3)))
    axes.set_ylim(0, 1.1 * top)
    axes.set_yticks([0, top], ["0", f"{top:,.0f} Wh"])


def _legend(axes: Axes, report: BatteryReport, sheet: Sheet) -> None:
    theme = sheet.theme
    mark = {"linestyle": "", "marker": "|", "markersize": 8, "markeredgewidth": 1.4}
    handles = [
        Patch(color=theme.private, alpha=0.5, label="demand of the home"),
        Line2D([], [], color=theme.seen, linewidth=1.6, label="draw from the grid"),
        Line2D([], [], color=theme.bad, label="claim, right", **mark),  # type: ignore[arg-type]
        Line2D([], [], color=theme.quiet, label="claim, wrong", **mark),  # type: ignore[arg-type]
    ]
    if report.hidden:
        handles.append(Patch(color=theme.quiet, alpha=0.6, label="charge"))
    above = 1.02 + _NAME_INCH / sheet.height_of(axes)
    columns = 2 if sheet.form.narrow else 5
    legend_above(axes, handles, columns, above)


def _largest(power_w: Floats) -> float:
    return float(np.nanmax(power_w)) if not np.isnan(power_w).all() else 0.0


def _least(power_w: Floats) -> float:
    return float(np.nanmin(power_w)) if not np.isnan(power_w).all() else 0.0
