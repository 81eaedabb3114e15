"""What each controller told the meter of this load, beside the limits."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from hushmeter.report.leakage_model import LeakageReport, bits, label
from hushmeter.report.pictures.common import LEGEND_INCH, RIGHT_INCH, Plan, legend_above
from hushmeter.report.pictures.sheet import Form, Sheet

_NAMES_INCH = 1.25
_ROW_INCH = 0.34
_TICKS_INCH = 0.5
_WORDS_ROOM = 1.45
_DASHES = {"chain": (0, (5, 2)), "iid": (0, (1, 1.5))}


def plan(report: LeakageReport) -> Plan:
    """The picture's words, and how to draw it."""
    finding = _finding(report)
    alt = f"Bar chart, one bar a controller, of what its draws tell at most. {finding}."
    caption = (
        "The shorter the bar, the less the meter tells. Each bar is an upper estimate, from the "
        "load itself: the controller ran on it, and a reader who had learned from other days tried "
        "to foretell the draws; the thin line is twice the standard error. Dashed: no controller "
        "gets below this if the home is the fitted Markov chain. Dotted: the certified optimum if "
        f"every {report.unit} were independent of the one before, which is not true of a home."
    )
    return Plan("controllers", finding, alt, caption, lambda form: _draw(report, finding, form))


def _finding(report: LeakageReport) -> str:
    found, best = report.found, report.found.best
    if best is None:
        return f"Without a battery the meter tells {bits(found.without)} bits a {report.unit}"
    behind = "the " if best.controller == "table" else ""
    return (
        f"Behind {behind}{label(best.controller)} the meter tells at most {bits(best.told.bits)} "
        f"bits a {report.unit}, without a battery {bits(found.without)}"
    )


def _draw(report: LeakageReport, finding: str, form: Form) -> Sheet:
    rows = len(report.found.measured)
    height = _ROW_INCH * rows
    legend = (3 if form.narrow else 1) * LEGEND_INCH
    sheet = Sheet(form, legend + height + _TICKS_INCH, finding, report.source, "")
    axes = sheet.axes(_NAMES_INCH, legend, form.width_inch - _NAMES_INCH - RIGHT_INCH, height)
    _bars(axes, report, sheet)
    _legend(axes, report, sheet)
    return sheet


def _bars(axes: Axes, report: LeakageReport, sheet: Sheet) -> None:
    theme, found = sheet.theme, report.found
    values = [one.told.bits for one in found.measured]
    errors = [2 * one.told.stderr for one in found.measured]
    places = np.arange(len(values))
    colours = [theme.quiet if one.controller == "none" else theme.seen for one in found.measured]
    axes.barh(places, values, height=0.6, color=colours, alpha=0.85)
    axes.hlines(
        places,
        np.maximum(np.subtract(values, errors), 0),
        np.add(values, errors),
        color=theme.ink,
        linewidth=0.8,
    )
    ends = np.add(values, errors)
    for place, one in enumerate(found.measured):
        told = f"{bits(one.told.bits)}  ({report.questions(one.told.bits)} a day)"
        axes.text(ends[place], place, f"  {told}", va="center", color=theme.ink)
    axes.axvline(found.chain_lower, color=theme.bad, linewidth=1.3, linestyle=_DASHES["chain"])
    axes.axvline(found.optimum.value, color=theme.bad, linewidth=1.3, linestyle=_DASHES["iid"])
    room = _WORDS_ROOM + (0.45 if sheet.form.narrow else 0)
    axes.set_xlim(0, room * max(float(ends.max()), found.chain_lower, found.optimum.value))
    axes.set_ylim(len(values) - 0.5, -0.5)
    axes.set_yticks(places, [label(one.controller) for one in found.measured])
    axes.set_xlabel(f"bits a {report.unit} (yes-or-no questions a day)")


def _legend(axes: Axes, report: LeakageReport, sheet: Sheet) -> None:
    theme = sheet.theme
    handles = [
        Patch(color=theme.seen, alpha=0.85, label="told at most, on this load"),
        Line2D([], [], color=theme.bad, linestyle=_DASHES["chain"], label="limit, Markov model"),
        Line2D([], [], color=theme.bad, linestyle=_DASHES["iid"], label="optimum, i.i.d. model"),
    ]
    above = 1.0 + 0.08 / sheet.height_of(axes)
    legend_above(axes, handles, 1 if sheet.form.narrow else 3, above)
