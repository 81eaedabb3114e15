"""Controllers side by side: what their draws tell, and what the attacks get out of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from hushmeter.report.battery_model import BatteryReport, Shown
from hushmeter.report.pictures.common import LEGEND_INCH, RIGHT_INCH, Plan, legend_above
from hushmeter.report.pictures.sheet import Form, Sheet

_NAMES_INCH = 0.95
_LETTER_INCH = 0.085
_TITLE_INCH = 0.42
_ROW_INCH = 0.235
_TICKS_INCH = 0.42
_GAP_INCH = 0.22
_BAR = 0.62
_NUMBER_ROOM = 1.55


@dataclass(frozen=True)
class _Column:
    """One measure: its title, its value in a run, perhaps with an interval and a baseline."""

    title: str
    value: Callable[[dict[str, Any]], float]
    interval: str = ""
    baseline: str = ""
    is_attack: bool = False


def _bits(title: str, name: str) -> _Column:
    return _Column(
        title, lambda figures: float(figures[f"{name}_bits"]), f"{name}_ci_bits",
        f"{name}_shuffled_bits",
    )  # fmt: skip


def _share(key: str) -> Callable[[dict[str, Any]], float]:
    return lambda figures: 100 * float(figures["attack"][key])


def _f1(signal: str) -> Callable[[dict[str, Any]], float]:
    return lambda figures: 100 * float(figures["appliances"][signal]["f1"])


_MEASURES = (
    _bits("changes, bits", "mi"),
    _bits("when switched, bits", "mi_binary"),
    _bits("Markov rate, bits", "mi_markov"),
)
_ATTACKS = (
    _Column("changes got back, %", _share("recall"), is_attack=True),
    _Column("claims right, %", _share("precision"), is_attack=True),
)
_APPLIANCES = _Column("appliances, F1 %", _f1("grid_blurred"), is_attack=True)


def plan(report: BatteryReport) -> Plan:
    """The picture's words, and how to draw it."""
    finding = _finding(report)
    alt = f"Bar charts with one row a controller. {finding}. The table beneath has every figure."
    caption = (
        "The less the better for the home, in every column. Left, in blue: mutual information of "
        "the changes of demand and draw, taken as independent, as switched or not, and as Markov "
        "sequences; the line is the 95 % interval, the tick what the same estimator says of "
        "sequences that have nothing to do with each other. Right, in red: what attacks achieve."
    )
    if report.run("none") is not None:
        caption += " Without a battery everything is told, so that row runs out of the frame."
    return Plan("controllers", finding, alt, caption, lambda form: _draw(report, finding, form))


def _finding(report: BatteryReport) -> str:
    hidden = report.hidden
    best = min(hidden, key=lambda run: run.figures["mi_bits"])
    found = max(hidden, key=lambda run: run.figures["attack"]["correct"])
    said = (
        f"{best.label} tells least of the load's changes, {best.figures['mi_bits']:.2f} bits a "
        f"sample"
    )
    plain = report.run("none")
    if plain is not None:
        said += f" of {plain.figures['mi_bits']:.2f}"
    return (
        f"{said}; behind {found.label} an attack still gets "
        f"{100 * found.figures['attack']['recall']:.0f} % of them back"
    )


def _draw(report: BatteryReport, finding: str, form: Form) -> Sheet:
    columns = [*_MEASURES, *_ATTACKS]
    if all(run.figures["appliances"] for run in report.runs):
        columns.append(_APPLIANCES)
    across = 1 if form.narrow else len(columns)
    lines = -(-len(columns) // across)
    height = _ROW_INCH * len(report.runs)
    line = _TITLE_INCH + height + _TICKS_INCH
    legend = (2 if form.narrow else 1) * LEGEND_INCH
    sheet = Sheet(form, legend + lines * line, finding, "", "")
    names_inch = max(_NAMES_INCH, _LETTER_INCH * max(len(run.label) for run in report.runs))
    room = form.width_inch - names_inch - RIGHT_INCH - (across - 1) * _GAP_INCH
    width = room / across
    panels = []
    for number, column in enumerate(columns):
        down, right = divmod(number, across)
        left = names_inch + right * (width + _GAP_INCH)
        top = legend + down * line + _TITLE_INCH
        panels.append(sheet.axes(left, top, width, height))
        _bars(panels[-1], column, report.runs, sheet, named=right == 0)
    _legend(panels[0], sheet)
    return sheet


def _bars(axes: Axes, column: _Column, runs: Sequence[Shown], sheet: Sheet, named: bool) -> None:
    theme = sheet.theme
    places = np.arange(len(runs))
    values = np.array([max(0.0, column.value(run.figures)) for run in runs])
    limit = 100.0 if column.is_attack else _limit(column, runs)
    axes.barh(
        places, np.minimum(values, limit), height=_BAR,
        color=theme.bad if column.is_attack else theme.seen, alpha=0.8,
    )  # fmt: skip
    for place, run in enumerate(runs):
        if column.interval:
            ends = np.minimum(run.figures[column.interval], limit)
            axes.plot(ends, [place, place], color=theme.ink, linewidth=1)
            at = min(run.figures[column.baseline], limit)
            axes.plot([at, at], [place - 0.4, place + 0.4], color=theme.muted, linewidth=1.4)
        axes.annotate(
            _number(column, values[place]), (1, place), xycoords=("axes fraction", "data"),
            xytext=(-1, 0), textcoords="offset points", ha="right", va="center", fontsize=7.5,
        )  # fmt: skip
    axes.set_title(column.title, fontsize=8.5, pad=4)
    axes.set_xlim(0, limit * _NUMBER_ROOM)
    axes.set_ylim(len(runs) - 0.5, -0.5)
    axes.set_yticks(places, [run.label for run in runs] if named else [""] * len(runs))
    axes.tick_params(axis="y", length=0)
    if column.is_attack:
        axes.set_xticks([0, 50, 100])
    else:
        ticks = [tick for tick in MaxNLocator(3).tick_values(0, limit) if tick <= limit]
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.grid(axis="x")


def _limit(column: _Column, runs: Sequence[Shown]) -> float:
    """The end of the axis: that of the runs with a battery, where there are any."""
    shown = [run for run in runs if run.usable_wh] or list(runs)
    largest = max(
        max(column.value(run.figures), float(run.figures[column.interval][1])) for run in shown
    )
    return max(largest, 1e-3)


def _number(column: _Column, value: float) -> str:
    if column.is_attack:
        return f"{value:.0f}" if value >= 10 or value == 0 else f"{value:.1f}"
    return f"{value:.3f}" if value < 1 else f"{value:.2f}"


def _legend(axes: Axes, sheet: Sheet) -> None:
    theme = sheet.theme
    handles = [
        Patch(color=theme.seen, alpha=0.8, label="told by the draw"),
        Line2D([], [], color=theme.ink, linewidth=1.2, label="95 % interval"),
        Line2D(
            [], [], color=theme.muted, linestyle="", marker="|", markersize=8,
            markeredgewidth=1.4, label="told by chance",
        ),
        Patch(color=theme.bad, alpha=0.8, label="got by an attack"),
    ]  # fmt: skip
    above = 1.0 + _TITLE_INCH / sheet.height_of(axes)
    legend_above(axes, handles, 2 if sheet.form.narrow else 4, above)
