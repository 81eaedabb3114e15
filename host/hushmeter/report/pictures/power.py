"""The curves of the privacy-power study, after Figs. 3 to 8 of the paper."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from hushmeter.report.pictures.common import LEFT_INCH, RIGHT_INCH, TIME_LABELS_INCH, Plan
from hushmeter.report.pictures.sheet import Form, Sheet, plain_numbers
from hushmeter.study.power import BINARY, SAME_LEVELS, SAME_MEAN, PowerStudy, Row, private_from

_PANEL_INCH = 2.9
_TITLE_INCH = 0.26
_GAP_INCH = 0.62
_LEGEND_LINE_INCH = 0.19
_SOLID: tuple[int, tuple[int, ...]] = (0, ())
_DASHED = (0, (5, 2))
_DOTTED = (0, (1, 1.6))


@dataclass(frozen=True)
class _Line:
    """One curve: its values, name, colours on light and dark paper, and how it is drawn."""

    x: Sequence[float]
    y: Sequence[float]
    label: str
    light: str
    dark: str
    style: tuple[int, tuple[float, ...]] = _SOLID
    width: float = 1.6


_SHADES = (
    ("#0f4a63", "#9ed6ee"),
    ("#b3261e", "#ff7468"),
    ("#4d7f2a", "#9ccc65"),
    ("#c67a17", "#e6a04a"),
    ("#7a4fa3", "#c39be6"),
)
_STYLES = (_SOLID, _DASHED, _DOTTED, (0, (5, 1.5, 1, 1.5)), (0, (8, 2)))


def plans(found: PowerStudy) -> list[Plan]:
    """The six pictures, in the paper's order."""
    return [
        _binary(found),
        _uniform(found),
        _three(found, "same_levels", SAME_LEVELS),
        _three(found, "same_mean", SAME_MEAN),
        _users(found),
        _exponential(found),
    ]


def _binary(found: PowerStudy) -> Plan:
    rows = found.tables["binary"]
    lines = []
    for place, low in enumerate(BINARY):
        own = [row for row in rows if row["p_low"] == low]
        lines.append(
            _Line(_down(own, "power"), _down(own, "bits"), f"p = {low:g}", *_SHADES[place],
                  _STYLES[place])
        )  # fmt: skip
    finding = (
        "A load that is rarely on is hidden with little power: 0.1 for p = 0.9, "
        "0.9 for p = 0.1, which leaks as much without a source"
    )
    return _plan(
        "binary", finding, [("", lines)], "Bits a step that leak from a load that is 0 with "
        "probability p, else 1, against the mean power of the source.",
    )  # fmt: skip


def _uniform(found: PowerStudy) -> Plan:
    rows = found.tables["uniform"]
    x = _down(rows, "power")
    named = (
        ("optimal", "best policy", 0, _SOLID),
        ("output_limit", "output limit", 3, _SOLID),
        ("output_limit_printed", "output limit, as printed", 3, _DOTTED),
        ("time_division_exact", "time division", 1, _SOLID),
        ("time_division_printed", "time division, as printed", 1, _DOTTED),
        ("shannon_lower", "Shannon lower bound, discrete", 2, _DASHED),
    )
    lines = [
        _Line(x, _down(rows, key), label, *_SHADES[shade], style)
        for key, label, shade, style in named
    ]
    middle = min(rows, key=lambda row: abs((row["power"] or 0) - 0.5))
    finding = (
        f"With half of the load's energy the best policy leaks {middle['optimal']:.2f} bits, the "
        f"output limit {middle['output_limit']:.2f}, time division "
        f"{middle['time_division_exact']:.2f}"
    )
    return _plan(
        "uniform", finding, [("", lines)], "Bits a step that leak from a uniform load with 21 "
        "levels and mean 1, against the mean power of the source. Dotted: the paper's formulas "
        "for the two simple ways; the lines beside them are exact.",
    )  # fmt: skip


def _three(found: PowerStudy, name: str, settings: Sequence[tuple[float, float]]) -> Plan:
    rows = found.tables[name]
    x = _down(rows, "power")
    bits, parts = [], []
    for place, (low, delta) in enumerate(settings):
        label = f"user {place + 1}: p = {low:g}, level {delta:g}"
        look = (*_SHADES[place], _STYLES[place])
        bits.append(_Line(x, _down(rows, f"user_{place + 1}_bits"), label, *look))
        parts.append(_Line(x, _down(rows, f"user_{place + 1}_power"), label, *look))
    hidden = private_from(settings)
    finding = (
        f"User {1 + hidden.index(min(hidden))} is private first, from P = {min(hidden):.3g}; the "
        f"last, user {1 + hidden.index(max(hidden))}, needs {max(hidden):.3g}"
    )
    panels = [("bits a step that leak", bits), ("power that each user gets", parts)]
    return _plan(
        name, finding, panels, "Three users share a source so that least leaks in all. Each is 0 "
        "with probability p, else at its level. The paper draws the left panel.",
    )  # fmt: skip


def _users(found: PowerStudy) -> Plan:
    rows = found.tables["users"]
    crossing = next(
        (row for row in rows if (row["users_3"] or 0.0) < (row["users_2"] or 0.0) - 1e-9), None
    )
    finding = (
        "Without a source one, two and three of these binary users leak "
        f"{rows[0]['users_1']:.2f}, {rows[0]['users_2']:.2f} and {rows[0]['users_3']:.2f} bits"
    )
    if crossing is not None:
        finding += f"; from a power of {crossing['power']:.2f} on three leak less than two"
    return _plan(
        "users", finding, [("", _counted(rows))], "Bits a step that leak in all, against the mean "
        "power of the source. The first one, two or three users of Fig. 5, all with the level that "
        "makes the total mean 1; the paper's text does not say whom it took.",
    )  # fmt: skip


def _exponential(found: PowerStudy) -> Plan:
    rows = found.tables["exponential"]
    finding = (
        "Exponential users with the same total load leak more the more they are, and without bound "
        "as the source's power goes to 0"
    )
    return _plan(
        "exponential", finding, [("", _counted(rows))], "Bits a step that leak in all, against the "
        "mean power of the source. Means of users in the proportions 1, 1 to 2 and 1 to 2 to 3, 1 "
        "in all; the paper's text does not say which it took. The axis of power is logarithmic.",
        log_x=True,
    )  # fmt: skip


def _counted(rows: Sequence[Row]) -> list[_Line]:
    names = ("one user", "two users", "three users")
    return [
        _Line(_down(rows, "power"), _down(rows, f"users_{place + 1}"), name, *_SHADES[place],
              _STYLES[place])
        for place, name in enumerate(names)
    ]  # fmt: skip


def _plan(
    name: str,
    finding: str,
    panels: Sequence[tuple[str, Sequence[_Line]]],
    caption: str,
    log_x: bool = False,
) -> Plan:
    labels = ", ".join(line.label for line in panels[0][1])
    alt = f"Line chart against the power of the source, with a line each for {labels}. {finding}."

    def draw(form: Form) -> Sheet:
        sheet, parts = _sheet(form, finding, panels)
        for axes, (title, lines) in zip(parts, panels, strict=True):
            for line in lines:
                axes.add_line(_drawn(sheet, line))
            most = max(max(line.y) for line in lines)
            axes.set_ylim(0, 1.04 * most)
            plain_numbers(axes)
            axes.set_xlabel("mean power of the source")
            axes.set_ylabel("" if title else "bits a step")
            axes.set_title(title)
            _power_axis(axes, lines[0].x, log_x, lines)
        return sheet

    return Plan(name, finding, alt, caption, draw)


def _sheet(
    form: Form, finding: str, panels: Sequence[tuple[str, Sequence[_Line]]]
) -> tuple[Sheet, list[Axes]]:
    """A sheet with the legend above and the panels side by side, on a narrow one beneath."""
    lines = panels[0][1]
    columns = 1 if form.narrow else 3
    legend = 0.06 + _LEGEND_LINE_INCH * -(-len(lines) // columns)
    rows = len(panels) if form.narrow else 1
    across = len(panels) // rows
    title = _TITLE_INCH if panels[0][0] else 0.06
    each = title + _PANEL_INCH + TIME_LABELS_INCH
    sheet = Sheet(form, legend + rows * each, finding, "", "")
    room = form.width_inch - LEFT_INCH - RIGHT_INCH - (across - 1) * _GAP_INCH
    parts = []
    for place in range(len(panels)):
        row, column = divmod(place, across)
        left = LEFT_INCH + column * (room / across + _GAP_INCH)
        top = legend + row * each + title
        parts.append(sheet.axes(left, top, room / across, _PANEL_INCH))
    height = float(sheet.figure.get_size_inches()[1])
    corner = LEFT_INCH / form.width_inch, (legend + rows * each + 0.06) / height
    sheet.figure.legend(
        handles=[_drawn(sheet, line, empty=True) for line in lines],
        loc="upper left", bbox_to_anchor=corner, ncols=columns, handlelength=2.6,
    )  # fmt: skip
    return sheet, parts


def _drawn(sheet: Sheet, line: _Line, empty: bool = False) -> Line2D:
    return Line2D(
        [] if empty else list(line.x),
        [] if empty else list(line.y),
        color=line.light if sheet.theme.name == "light" else line.dark,
        linestyle=line.style,
        linewidth=line.width,
        label=line.label,
    )


def _power_axis(axes: Axes, x: Sequence[float], logarithmic: bool, lines: Sequence[_Line]) -> None:
    most = max(max(line.x) for line in lines)
    if not logarithmic:
        axes.set_xlim(0, most)
        return
    axes.set_xscale("log")
    axes.set_xlim(min(x), most)
    ticks = [tick for tick in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0) if min(x) <= tick <= most]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _down(rows: Sequence[Row], key: str) -> list[float]:
    return [math.nan if (value := row[key]) is None else value for row in rows]
