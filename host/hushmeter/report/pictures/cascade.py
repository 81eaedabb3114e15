"""The curves of the study of batteries in series, after Fig. 2 of the letter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from hushmeter.report.pictures.common import LEFT_INCH, RIGHT_INCH, TIME_LABELS_INCH, Plan
from hushmeter.report.pictures.sheet import Form, Sheet
from hushmeter.report.pictures.stepping_common import log_axis
from hushmeter.study.cascade import LOADS, CascadeStudy, Row

_PANEL_INCH = 2.9
_TITLE_INCH = 0.26
_GAP_INCH = 0.62
_LEGEND_LINE_INCH = 0.19


@dataclass(frozen=True)
class _Curve:
    label: str
    light: str
    dark: str
    marker: str
    value: Callable[[Row], float]
    dashed: bool = False


_LOWER = _Curve("1 lower bound", "#1c2530", "#e6eaee", "", lambda row: row.lower_bound, True)
_SAME = _Curve("2 Theorem 1, same", "#17607d", "#6db9d8", "o", lambda row: row.theorem_1_same)
_INDIVIDUAL = _Curve("3 individual", "#c67a17", "#e6a04a", "s", lambda row: row.individual)
_BEST_EFFORT = _Curve("4 best effort", "#b3261e", "#ff7468", "^", lambda row: row.best_effort.bits)
_PASS = _Curve(
    "4 best effort (pass)", "#b3261e", "#ff7468", "^", lambda row: row.best_effort_pass.bits, True
)
_HOLD = _Curve("5 hold-mean", "#7a4fa3", "#c39be6", "X", lambda row: row.hold_mean.bits)
_DIFFERENT = _Curve(
    "new: Theorem 1, different", "#3f93b5", "#9ed6ee", "D", lambda row: row.theorem_1_different,
    True,
)  # fmt: skip
_BEST = _Curve("new: best certified", "#4d7f2a", "#9ccc65", "v", lambda row: row.best_upper)
_RATE_SAME = _Curve("rate of 2", "#17607d", "#6db9d8", "o", lambda row: row.rate_same.bits, True)
_RATE_INDIVIDUAL = _Curve(
    "rate of 3", "#c67a17", "#e6a04a", "s", lambda row: row.rate_individual.bits, True
)

_FIGURE_2 = (_BEST_EFFORT, _PASS, _HOLD, _INDIVIDUAL, _SAME, _DIFFERENT, _BEST, _LOWER)
_ABOVE = (_INDIVIDUAL, _RATE_INDIVIDUAL, _SAME, _RATE_SAME, _DIFFERENT, _BEST)


def plans(found: CascadeStudy) -> list[Plan]:
    """The two pictures, in the order of the page."""
    return [_figure_2(found), _above_the_bound(found)]


def _figure_2(found: CascadeStudy) -> Plan:
    row = found.of("binary")[-1]
    finding = (
        f"Two batteries of {row.capacity} in series leak at most {row.best_upper:.3g} bits a step "
        f"of a binary load; the letter's bound is {row.theorem_1_same:.3g}, best effort on one of "
        f"{row.total} leaks {row.best_effort.bits:.3g}"
    )
    alt = (
        "Two line charts, binary and ternary load, of leakage on a logarithmic axis against total "
        f"battery size, eight curves each. {finding}."
    )
    caption = (
        "Curves 1 to 5 are the letter's. 1: one battery of the total size, which nothing passes. 2 "
        "and 3: Theorem 1 for two batteries of half the size each, one policy for both, and each "
        "battery's own optimum. 4 and 5: controllers on one battery of the total size. For a "
        "binary load both readings of 4, and 5, coincide."
    )

    def draw(form: Form) -> Sheet:
        sheet, panels = _panels(form, finding, _FIGURE_2)
        for axes, load in zip(panels, LOADS, strict=True):
            rows = found.of(load)
            values = [_draw(axes, sheet, curve, rows) for curve in _FIGURE_2]
            low = min(min(value) for value in values)
            high = max(max(value) for value in values)
            log_axis(axes, 0.8 * low, 1.25 * high)
            axes.set_ylabel("bits a step" if axes is panels[0] or form.narrow else "")
        return sheet

    return Plan("figure_2", finding, alt, caption, draw)


def _above_the_bound(found: CascadeStudy) -> Plan:
    closed = [row.gap_closed for row in found.rows]
    finding = (
        f"Of the gap between the letter's two bounds, {min(closed):.0%} to {max(closed):.0%} is "
        "closed by policies whose rate is certified"
    )
    alt = (
        "Two line charts, binary and ternary load, of how much more leaks than the lower bound, in "
        f"per cent, against total battery size. {finding}."
    )
    caption = (
        "How far each curve is above the lower bound. Dashed with open marks: what the policies of "
        "curves 2 and 3 leak in truth, simulated (forward recursion), where Theorem 1 only bounds "
        "it, and Theorem 1 with different policies."
    )

    def draw(form: Form) -> Sheet:
        sheet, panels = _panels(form, finding, _ABOVE)
        for axes, load in zip(panels, LOADS, strict=True):
            rows = found.of(load)
            most = 0.0
            for curve in _ABOVE:
                values = _draw(axes, sheet, curve, rows, above=True)
                most = max(most, *values)
            axes.set_ylim(0, 1.06 * most)
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f} %"))
            axes.grid(axis="y")
            axes.set_ylabel("above the lower bound" if axes is panels[0] or form.narrow else "")
        return sheet

    return Plan("above_the_bound", finding, alt, caption, draw)


def _draw(
    axes: Axes, sheet: Sheet, curve: _Curve, rows: Sequence[Row], *, above: bool = False
) -> list[float]:
    values = [curve.value(row) / row.lower_bound - 1 if above else curve.value(row) for row in rows]
    line = _line(sheet, curve)
    line.set_data([row.total for row in rows], values)
    axes.add_line(line)
    totals = [row.total for row in rows]
    axes.set_xlim(min(totals) - 0.4, max(totals) + 0.4)
    axes.xaxis.set_major_locator(MaxNLocator(len(totals), integer=True))
    axes.set_xticks(totals)
    axes.set_xlabel("total battery size, steps of the load")
    return values


def _line(sheet: Sheet, curve: _Curve) -> Line2D:
    colour = curve.light if sheet.theme.name == "light" else curve.dark
    return Line2D(
        [],
        [],
        color=colour,
        marker=curve.marker,
        markersize=4.5,
        markerfacecolor=sheet.theme.paper if curve.dashed else colour,
        linestyle=(0, (4, 2)) if curve.dashed else "-",
        linewidth=1.4,
        label=curve.label,
    )


def _panels(form: Form, finding: str, curves: Sequence[_Curve]) -> tuple[Sheet, list[Axes]]:
    """A sheet with one panel a load, side by side or beneath each other, and the legend above."""
    columns = 2 if form.narrow else 4
    legend = 0.06 + _LEGEND_LINE_INCH * -(-len(curves) // columns)
    down = len(LOADS) if form.narrow else 1
    each = _TITLE_INCH + _PANEL_INCH + TIME_LABELS_INCH
    sheet = Sheet(form, legend + down * each, finding, "Liu, Lee and Khisti's two loads.", "")
    across = len(LOADS) // down
    room = form.width_inch - RIGHT_INCH - LEFT_INCH - (across - 1) * _GAP_INCH
    found = []
    for place, (name, law) in enumerate(LOADS.items()):
        row, column = divmod(place, across)
        left = LEFT_INCH + column * (room / across + _GAP_INCH)
        top = legend + row * each + _TITLE_INCH
        axes = sheet.axes(left, top, room / across, _PANEL_INCH)
        axes.set_title(f"{name}: {', '.join(f'{chance:g}' for chance in law)}")
        found.append(axes)
    height = float(sheet.figure.get_size_inches()[1])
    sheet.figure.legend(
        handles=[_line(sheet, curve) for curve in curves],
        loc="upper left",
        bbox_to_anchor=(LEFT_INCH / form.width_inch, (legend + down * each + 0.06) / height),
        ncols=columns,
    )
    return sheet, found
