"""The street: its true total beside the noisy one that the utility gets, with the error band."""

from __future__ import annotations

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from hushmeter.report.model import StreetReport
from hushmeter.report.pictures.common import (
    LEFT_INCH,
    LEGEND_INCH,
    MOST_VECTOR_POINTS,
    RIGHT_INCH,
    TIME_LABELS_INCH,
    Floats,
    Plan,
    legend_above,
    new_sheet,
    slot_edges,
    slot_list,
    slot_middles,
    with_gaps,
)
from hushmeter.report.pictures.sheet import Form, Sheet, plain_numbers, time_axis

_MOST_LABELS = 6
_KILOWATT_HOURS_FROM_WH = 20_000
_SLIM_FROM_SLOTS = 60


def plan(report: StreetReport) -> Plan:
    finding = _finding(report)
    void = report.slots_with_status("void")
    alt = (
        f"Chart over time of the street's true total as a line and of the noisy totals as dots, "
        f"with an error band around the line. {finding}. Void slots: {slot_list(void)}."
    )
    caption = (
        "Only the blue dots reach the utility; this emulation knows the orange line because it "
        "started the homes itself."
    )
    if not report.noise_is_off:
        caption += " The band holds 95 of 100 dots when the noise is as promised."
    if void:
        caption += " A void slot has no total, and none is made up for it."
    return Plan("total", finding, alt, caption, lambda form: _draw(report, finding, form))


def _finding(report: StreetReport) -> str:
    known = report.known_slots()
    if not known:
        return "No slot has a total: every slot is void"
    if report.noise_is_off:
        return "Noise is off: the utility's totals are exact"
    return (
        f"The utility's totals are {report.summary['mean_abs_error_wh']:,.0f} Wh off on average; "
        f"{report.inside_band():,} of {len(known):,} lie inside the 95 % error band"
    )


def _note(report: StreetReport) -> str:
    """How large the error is beside the total; honest about small streets."""
    known = report.judged_slots()
    if not known or report.noise_is_off:
        return ""
    usual = float(np.mean([report.summary["true_total_wh"][slot] for slot in known]))
    error = float(report.summary["mean_abs_error_wh"])
    told = f"The true total is {usual:,.0f} Wh a slot on average"
    if error >= usual:
        return f"{told}, no more than the error: a street this small says little in one slot."
    return f"{told}; the error is {100 * error / usual:.0f} % of that."


def _draw(report: StreetReport, finding: str, form: Form) -> Sheet:
    height = 2.6 if form.narrow else 3.2
    above = LEGEND_INCH + 0.1 + (0.38 if form.narrow else 0.0)
    sheet = new_sheet(report, form, above + height + TIME_LABELS_INCH, finding, _note(report))
    axes = sheet.axes(LEFT_INCH, above, form.width_inch - LEFT_INCH - RIGHT_INCH, height)
    _lines(axes, report, sheet)
    void = report.slots_with_status("void")
    _void_slots(axes, report, void, sheet)
    edges = slot_edges(report)
    time_axis(axes, edges[0], edges[-1], form.narrow)
    axes.set_ylabel(f"energy per slot ({_unit(report)[0]})")
    plain_numbers(axes, ticks=6)
    legend_above(axes, _legend(report, void, sheet), 2 if form.narrow else 5)
    return sheet


def _unit(report: StreetReport) -> tuple[str, float]:
    """Unit of the axis, and how many Wh it is."""
    shown = [*report.summary["true_total_wh"], *report.summary["noisy_total_wh"]]
    largest = max((abs(total) for total in shown if total is not None), default=0)
    return ("kWh", 1000.0) if largest >= _KILOWATT_HOURS_FROM_WH else ("Wh", 1.0)


def _lines(axes: Axes, report: StreetReport, sheet: Sheet) -> None:
    theme = sheet.theme
    middles, edges = slot_middles(report), slot_edges(report)
    scale = _unit(report)[1]
    true = with_gaps(report.summary["true_total_wh"]) / scale
    noisy = with_gaps(report.summary["noisy_total_wh"]) / scale
    band = with_gaps(report.band_wh) / scale
    pixels = report.slots > MOST_VECTOR_POINTS
    _band(axes, edges, true - band, true + band, theme.band)
    axes.axhline(0, color=theme.muted, linewidth=0.7)
    axes.stairs(true, edges, baseline=None, color=theme.private, linewidth=1.7, rasterized=pixels)
    axes.plot(
        middles,
        noisy,
        linestyle="",
        marker="o",
        markersize=3.6 if report.slots <= 300 else 1.8,
        color=theme.seen,
        rasterized=pixels,
    )
    late = report.slots_with_status("completed")
    axes.plot(
        middles[late],
        noisy[late],
        linestyle="",
        marker="o",
        markersize=8,
        markerfacecolor="none",
        color=theme.seen,
    )


def _band(axes: Axes, edges: Floats, low: Floats, high: Floats, colour: str) -> None:
    doubled = np.repeat(edges, 2)[1:-1]
    axes.fill_between(
        doubled,
        np.repeat(low, 2),
        np.repeat(high, 2),
        color=colour,
        linewidth=0,
        rasterized=len(edges) > MOST_VECTOR_POINTS,
    )


def _void_slots(axes: Axes, report: StreetReport, void: list[int], sheet: Sheet) -> None:
    edges, colour = slot_edges(report), sheet.theme.bad
    strength = 0.85 if report.slots > _SLIM_FROM_SLOTS else 0.35
    for slot in void:
        axes.axvspan(edges[slot], edges[slot + 1], color=colour, alpha=strength, linewidth=0)
    for slot in void if len(void) <= _MOST_LABELS else []:
        late = slot > report.slots * 0.8
        axes.annotate(
            f"slot {slot} void",
            (edges[slot] if late else edges[slot + 1], 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(-3 if late else 3, -2),
            textcoords="offset points",
            ha="right" if late else "left",
            va="top",
            color=colour,
            weight="bold",
        )


def _legend(report: StreetReport, void: list[int], sheet: Sheet) -> list[Artist]:
    theme = sheet.theme
    dot = {"linestyle": "", "marker": "o", "color": theme.seen}
    handles: list[Artist] = [
        Line2D([], [], color=theme.private, linewidth=2, label="true total"),
        Line2D([], [], markersize=4, label="what the utility gets", **dot),  # type: ignore[arg-type]
    ]
    if not report.noise_is_off:
        handles.append(Patch(color=theme.band, label="95 % error band"))
    if void:
        handles.append(Patch(color=theme.bad, label=f"void ({len(void):,})"))
    if report.slots_with_status("completed"):
        handles.append(
            Line2D([], [], markersize=8, markerfacecolor="none", label="completed late", **dot)  # type: ignore[arg-type]
        )
    return handles
