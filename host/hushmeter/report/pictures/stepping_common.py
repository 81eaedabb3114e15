"""Curves of controllers, in the stepping study and over battery sizes: marks, panels, axes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from hushmeter.report.pictures.common import LEFT_INCH, RIGHT_INCH, TIME_LABELS_INCH
from hushmeter.report.pictures.sheet import Form, Sheet
from hushmeter.study.measure import Estimate, Row
from hushmeter.study.stepping import Study

TITLE_INCH = 0.26
_PANEL_INCH = 2.5
_GAP_INCH = 0.62
_LEGEND_LINE_INCH = 0.19

LABELS = {
    "be:sat": "BE (sat)",
    "be:idle": "BE (idle)",
    "nill": "NILL",
    "lc": "LC",
    "ls1": "LS1",
    "ls2": "LS2",
    "rc": "RC",
    "hold-mean": "hold-mean",
    "smooth": "smooth",
    "table": "table",
    "none": "no battery",
}
MEASURES = {"mi": "independent", "mi_binary": "binary, 20 W", "mi_markov": "Markov"}


@dataclass(frozen=True)
class _Mark:
    light: str
    dark: str
    marker: str
    dashed: bool = False


MARKS = {
    "be:sat": _Mark("#b3261e", "#ff7468", "o"),
    "be:idle": _Mark("#b3261e", "#ff7468", "o", dashed=True),
    "nill": _Mark("#c67a17", "#e6a04a", "s"),
    "lc": _Mark("#6d7885", "#a0abb6", "D"),
    "ls1": _Mark("#3f93b5", "#4f9fc0", "^"),
    "ls2": _Mark("#0f4a63", "#9ed6ee", "v"),
    "rc": _Mark("#4d7f2a", "#9ccc65", "P"),
    "hold-mean": _Mark("#7a4fa3", "#c39be6", "X"),
    "smooth": _Mark("#a03b6f", "#e58ab8", "*"),
    "table": _Mark("#8a5a2b", "#d0a070", "h"),
    "none": _Mark("#5b6672", "#a0abb6", "", dashed=True),
}


def source(study: Study) -> str:
    """What stands on every picture, so that it is not taken for the paper's."""
    if study.is_synthetic:
        return "Synthetic homes, not the paper's data (which are not public)."
    return f"Loads of {study.source}, not the paper's data."


def colour(sheet: Sheet, controller: str) -> str:
    mark = MARKS[controller]
    return mark.light if sheet.theme.name == "light" else mark.dark


def _line(sheet: Sheet, controller: str) -> Line2D:
    mark = MARKS[controller]
    return Line2D(
        [],
        [],
        color=colour(sheet, controller),
        marker=mark.marker,
        markersize=4,
        markerfacecolor=sheet.theme.paper if mark.dashed else colour(sheet, controller),
        linestyle=(0, (4, 2)) if mark.dashed else "-",
        linewidth=1.3,
        label=LABELS[controller],
    )


def curve(
    axes: Axes, sheet: Sheet, controller: str, x: Sequence[float], y: Sequence[float]
) -> None:
    line = _line(sheet, controller)
    line.set_data(list(x), list(y))
    axes.add_line(line)


def panels(
    source_text: str, form: Form, finding: str, titles: Sequence[str], controllers: Iterable[str]
) -> tuple[Sheet, list[Axes]]:
    """A sheet with one panel a title, side by side or beneath each other, and the legend above."""
    names = list(controllers)
    columns = 4 if form.narrow else 8
    legend = 0.04 + _LEGEND_LINE_INCH * -(-len(names) // columns)
    rows = len(titles) if form.narrow else 1
    each = TITLE_INCH + _PANEL_INCH + TIME_LABELS_INCH
    sheet = Sheet(form, legend + rows * each, finding, source_text, "")
    across = len(titles) // rows
    room = form.width_inch - RIGHT_INCH - LEFT_INCH - (across - 1) * _GAP_INCH
    parts = []
    for place, title in enumerate(titles):
        row, column = divmod(place, across)
        left = LEFT_INCH + column * (room / across + _GAP_INCH)
        top = legend + row * each + TITLE_INCH
        axes = sheet.axes(left, top, room / across, _PANEL_INCH)
        axes.set_title(title)
        parts.append(axes)
    sheet.figure.legend(
        handles=[_line(sheet, name) for name in names],
        loc="upper left",
        bbox_to_anchor=_corner(sheet, legend + rows * each),
        ncols=columns,
    )
    return sheet, parts


def _corner(sheet: Sheet, body_inch: float) -> tuple[float, float]:
    """The upper left corner of the body, in parts of the figure."""
    height = float(sheet.figure.get_size_inches()[1])
    foot = 0.06
    return LEFT_INCH / sheet.form.width_inch, (body_inch + foot) / height


def log_axis(axes: Axes, low: float, high: float) -> None:
    """A logarithmic value axis with 1, 2 and 5 of each power of ten written out."""
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    ticks = [
        digit * 10.0**power
        for power in range(-6, 3)
        for digit in (1, 2, 5)
        if low <= digit * 10.0**power <= high
    ]
    axes.yaxis.set_major_locator(FixedLocator(ticks))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
    axes.grid(axis="y")


def value_of(row: Row, measure: str) -> Estimate:
    estimate: Estimate = getattr(row, measure)
    return estimate


def rows_of(rows: Iterable[Row], controller: str) -> list[Row]:
    return [row for row in rows if row.controller == controller]


def names_of(rows: Iterable[Row], without: Sequence[str] = ()) -> list[str]:
    return [name for name in dict.fromkeys(row.controller for row in rows) if name not in without]


def size_axis(axes: Axes) -> None:
    axes.set_xlim(0.05, 1.25)
    axes.set_xticks([0.1, 0.3, 0.5, 0.7, 0.9, 1.1])
    axes.set_xlabel("battery (kWh)")
