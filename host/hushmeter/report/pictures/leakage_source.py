"""The privacy-power function of the home's law, with two simple rules beside it."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from hushmeter.report.leakage_model import LeakageReport, bits
from hushmeter.report.pictures.common import (
    LEFT_INCH,
    LEGEND_INCH,
    RIGHT_INCH,
    TIME_LABELS_INCH,
    Plan,
    legend_above,
)
from hushmeter.report.pictures.sheet import Form, Sheet, plain_numbers

_LIMIT, _DIVISION = (0, (5, 2)), (0, (1, 1.5))


def plan(report: LeakageReport) -> Plan:
    """The picture's words, and how to draw it."""
    finding = _finding(report)
    alt = f"Three falling curves of bits against the mean power of a second source. {finding}."
    caption = (
        "A second source, such as solar panels behind the meter, gives part of each step's "
        "energy, and nothing is stored. The solid curve is the least that the meter can then tell "
        f"of one {report.unit}'s level. Its policy tosses a coin for each {report.unit} anew, so "
        "of a home whose steps depend on each other it tells at most that; nor more than the "
        "level line, which is what the meter tells without any source. Dashed: draw no more than "
        "a fixed level from the grid. Dotted: take each step from one side, by the toss of a coin. "
        "The source is taken to give its power whenever it is asked."
    )
    return Plan("source", finding, alt, caption, lambda form: _draw(report, finding, form))


def _finding(report: LeakageReport) -> str:
    source = report.found.source
    none = source.curve[0].value
    if source.asked is None:
        half = source.curve[len(source.curve) // 2]
        return (
            f"A source of {half.power_w:,.0f} W, half the mean load, brings what one "
            f"{report.unit}'s level tells from {bits(none)} to {bits(half.value)} bits"
        )
    return (
        f"A source of {source.asked.power_w:,.0f} W brings what one {report.unit}'s level tells "
        f"from {bits(none)} to {bits(source.asked.value)} bits"
    )


def _draw(report: LeakageReport, finding: str, form: Form) -> Sheet:
    legend = (2 if form.narrow else 1) * LEGEND_INCH
    height = 2.4
    sheet = Sheet(form, legend + height + TIME_LABELS_INCH, finding, report.source, "")
    axes = sheet.axes(LEFT_INCH, legend, form.width_inch - LEFT_INCH - RIGHT_INCH, height)
    _curves(axes, report, sheet)
    return sheet


def _curves(axes: Axes, report: LeakageReport, sheet: Sheet) -> None:
    theme, source = sheet.theme, report.found.source
    powers = [point.power_w for point in source.curve]
    axes.plot(
        powers, [point.output_limit for point in source.curve], color=theme.muted,
        linewidth=1.2, linestyle=_LIMIT,
    )  # fmt: skip
    axes.plot(
        powers, [point.time_division for point in source.curve], color=theme.muted,
        linewidth=1.2, linestyle=_DIVISION,
    )  # fmt: skip
    axes.plot(powers, [point.value for point in source.curve], color=theme.seen, linewidth=1.7)
    axes.axhline(report.found.without, color=theme.muted, linewidth=1.0)
    handles = [
        Line2D([], [], color=theme.seen, linewidth=1.7, label="least possible, I(P)"),
        Line2D([], [], color=theme.muted, linestyle=_LIMIT, label="output limit"),
        Line2D([], [], color=theme.muted, linestyle=_DIVISION, label="time division"),
    ]
    if source.asked is not None:
        axes.vlines(source.asked.power_w, 0, source.asked.value, color=theme.private, linewidth=1.2)
        (point,) = axes.plot(
            [source.asked.power_w], [source.asked.value], color=theme.private, marker="o",
            linestyle="", markersize=6, label=f"{source.asked.power_w:,.0f} W",
        )  # fmt: skip
        handles.append(point)
    axes.set_xlim(0, source.mean_w)
    axes.set_ylim(0, None)
    plain_numbers(axes)
    axes.set_ylabel(f"bits a {report.unit}")
    axes.set_xlabel("mean power of the source (W)")
    legend_above(axes, handles, 2 if sheet.form.narrow else 4)
