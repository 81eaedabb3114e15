"""The pictures of the DREAM study: error by size, a meter's day, what homes and appliances show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from hushmeter.report.pictures.common import LEFT_INCH, RIGHT_INCH, TIME_LABELS_INCH, Plan
from hushmeter.report.pictures.sheet import Form, Sheet, plain_numbers
from hushmeter.study.dream import DreamStudy
from hushmeter.study.dream_clusters import MODES, Row
from hushmeter.study.dream_published import TABLE_1, TABLE_3

_BODY_INCH = 3.1
_LEGEND_LINE_INCH = 0.19
_ROW_INCH = 0.27
_NAMES_INCH = 1.5
_MARKS = {"faithful": "o", "hardened": "s", "the paper": "x"}
_Style = Literal["-", "--", ""]
_LINES: tuple[_Style, _Style] = ("-", "--")


def plans(found: DreamStudy) -> list[Plan]:
    """Those of the tables that were computed, in the order of the page."""
    made = [_errors(found)] if found.errors else []
    made.append(_meter(found))
    if found.appliances:
        made.append(_appliances(found))
    return made


def _errors(found: DreamStudy) -> Plan:
    alphas = sorted({row.alpha for row in found.errors})
    ends = alphas[:1] + alphas[1:][-1:]
    small = min(row.n for row in found.errors)
    first = {row.mode: row for row in found.errors if (row.n, row.alpha) == (small, ends[0])}
    finding = (
        f"With {small:,} homes and alpha = {ends[0]:g} totals are off by "
        f"{first['faithful'].mean_error:.1%} in the faithful mode and "
        f"{first['hardened'].mean_error:.1%} with a cap that does not look at the data"
    )

    def draw(form: Form) -> Sheet:
        sheet, axes = _sheet(form, finding, 3 if form.narrow else 2)
        handles = []
        for m, mode in enumerate(MODES):
            for style, alpha in zip(_LINES, ends, strict=False):
                rows = [r for r in found.errors if (r.mode, r.alpha) == (mode, alpha)]
                handles.append(_curve(axes, rows, _colour(sheet, m), style, mode, alpha))
        printed = [
            (n, cell[0]) for (n, alpha), cell in TABLE_1.items() if alpha in ends
        ]  # fmt: skip
        axes.plot(*zip(*printed, strict=True), "x", color=sheet.theme.ink, markersize=5)
        handles.append(_handle("the paper's Table 1", sheet.theme.ink, "", "x"))
        axes.set(xscale="log", yscale="log", xlabel="homes in the cluster", ylabel="error")
        _size_axis(axes, sorted({row.n for row in found.errors} | {n for n, _ in printed}))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
        axes.grid(axis="y")
        _legend(sheet, handles, 2 if form.narrow else 3)
        return sheet

    caption = (
        "Mean over random clusters of the slot-averaged drawn error; lines are Theorem 2 on the "
        "same clusters. Bars, mostly smaller than the marks, are 95 % intervals of the mean. Marks "
        "above their line: readings clipped at the cap. The paper's clusters are of its own homes."
    )
    alt = f"Error against cluster size, falling in all modes. {finding}."
    return Plan("errors", finding, alt, caption, draw)


def _curve(  # noqa: PLR0913
    axes: Axes, rows: Sequence[Row], colour: str, style: _Style, mode: str, alpha: float
) -> Line2D:
    rows = sorted(rows, key=lambda row: row.n)
    sizes = [row.n for row in rows]
    axes.plot(sizes, [row.theory_error for row in rows], style, color=colour, linewidth=1.3)
    means = [row.mean_error for row in rows]
    halves = [(row.interval[1] - row.interval[0]) / 2 for row in rows]
    axes.errorbar(
        sizes, means, halves, fmt=_MARKS[mode], color=colour, markersize=3.5, linewidth=1.2
    )
    return _handle(f"{mode}, alpha = {alpha:g}", colour, style, _MARKS[mode])


def _size_axis(axes: Axes, sizes: Sequence[int]) -> None:
    low, high = min(sizes), max(sizes)
    axes.set_xlim(low / 1.2, high * 1.2)
    ticks = [base * 10**power for power in range(1, 7) for base in (1, 3)]
    wide = high / low > 1000
    ticks = [tick for tick in ticks if low <= tick <= high and (not wide or str(tick)[0] == "1")]
    axes.xaxis.set_major_locator(FixedLocator(ticks or [low, high]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def _meter(found: DreamStudy) -> Plan:
    meter = found.meter
    changed = {
        mode: float(np.mean(np.abs(noisy - meter.reading_wh) > 1))
        for mode, noisy in meter.noisy_wh.items()
    }
    finding = (
        "One home's share of the noise hides next to nothing: without masks "
        f"{1 - max(changed.values()):.0%} of its readings or more would be bare to 1 Wh"
    )

    def draw(form: Form) -> Sheet:
        sheet, axes = _sheet(form, finding, 2 if form.narrow else 1)
        hours = np.arange(len(meter.reading_wh)) * meter.slot_s / 3600
        axes.step(hours, meter.reading_wh, where="post", color=sheet.theme.quiet, linewidth=2.6)
        handles = [_handle("measured", sheet.theme.quiet, "-", "")]
        for m, mode in enumerate(MODES):
            colour = _colour(sheet, m)
            noisy_wh = meter.noisy_wh[mode]
            axes.step(hours, noisy_wh, where="post", color=colour, linewidth=0.9, ls=_LINES[m])
            handles.append(_handle(f"with {mode} share", colour, _LINES[m], ""))
        axes.set(xlabel="hour of the day", ylabel="Wh in a slot", xlim=(0, 24))
        axes.set_xticks(range(0, 25, 6 if form.narrow else 3))
        plain_numbers(axes)
        _legend(sheet, handles, 2 if form.narrow else 3)
        return sheet

    caption = (
        "A day of the home with the median use of a cluster, after the paper's Fig. 2. The noise "
        "that protects is that of the whole street; the share of one meter is mostly zero. So "
        "reports must be masked."
    )
    alt = f"A home's day in steps, and the same with noise, which nearly coincide. {finding}."
    return Plan("meter", finding, alt, caption, draw)


def _appliances(found: DreamStudy) -> Plan:
    day = [row for row in found.appliances if row.hours == max(r.hours for r in found.appliances)]
    names = list(dict.fromkeys(row.what for row in day))
    means = {(row.what, row.mode): row.mean for row in day}
    names.sort(key=lambda name: means[name, "faithful"])
    top = names[-1]
    finding = (
        f"{top} show most over a day, epsilon {means[top, 'faithful']:.1f} in the faithful mode; "
        f"what a meter accounts for is {day[0].spent:g} a day, whatever ran"
    )

    def draw(form: Form) -> Sheet:
        body = len(names) * _ROW_INCH
        sheet, axes = _sheet(form, finding, 2 if form.narrow else 1, body, _NAMES_INCH)
        places = range(len(names))
        for place in places:
            axes.axhline(place, color=sheet.theme.rule, linewidth=0.6, zorder=0)
        handles = []
        for m, mode in enumerate(MODES):
            values = [max(means[name, mode], 1e-3) for name in names]
            axes.plot(values, places, _MARKS[mode], color=_colour(sheet, m), markersize=5)
            handles.append(_handle(mode, _colour(sheet, m), "", _MARKS[mode]))
        printed = [TABLE_3[name][-1][0] for name in names]
        axes.plot(printed, places, "x", color=sheet.theme.ink, markersize=5)
        handles.append(_handle("the paper", sheet.theme.ink, "", "x"))
        axes.set(xscale="log", xlabel="epsilon over a day", ylim=(-0.6, len(names) - 0.4))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.set_yticks(places, names)
        _legend(sheet, handles, 2 if form.narrow else 3)
        return sheet

    caption = (
        "What an appliance adds to the sum of X epsilon / lambda over 24 hours, mean of the homes "
        "and days in which it ran; clusters of 100 synthetic homes."
    )
    alt = f"Dots by appliance on a logarithmic scale. {finding}."
    return Plan("appliances", finding, alt, caption, draw)


def _sheet(
    form: Form, finding: str, lines: int, body: float = _BODY_INCH, left: float = LEFT_INCH
) -> tuple[Sheet, Axes]:
    """A sheet with room for a legend of so many lines above one pair of axes."""
    legend = 0.12 + _LEGEND_LINE_INCH * lines
    sheet = Sheet(form, legend + body + TIME_LABELS_INCH, finding, "", "")
    return sheet, sheet.axes(left, legend, form.width_inch - left - RIGHT_INCH, body)


def _legend(sheet: Sheet, handles: Sequence[Line2D], columns: int) -> None:
    axes = sheet.figure.axes[0]
    above = 1 + 0.06 / sheet.height_of(axes)
    axes.legend(
        handles=list(handles), loc="lower left", bbox_to_anchor=(0.0, above), ncols=columns,
        handlelength=2.4,
    )  # fmt: skip


def _handle(label: str, colour: str, style: _Style, mark: str) -> Line2D:
    return Line2D([], [], color=colour, linestyle=style, marker=mark or None,
                  markersize=4.5, label=label)  # fmt: skip


def _colour(sheet: Sheet, mode: int) -> str:
    return (sheet.theme.private, sheet.theme.seen)[mode]
