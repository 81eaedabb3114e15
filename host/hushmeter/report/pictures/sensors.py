"""Error curves of sensors beside the limits of two accuracy classes; all of it simulated."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from hushmeter.report.pictures.common import LEFT_INCH, RIGHT_INCH, TIME_LABELS_INCH, Plan
from hushmeter.report.pictures.sheet import Form, Sheet, plain_numbers
from hushmeter.study.sensors import Sensor, SensorStudy
from hushmeter.study.sensors_limits import limits

_SIMULATED = "Simulated: the device's drivers, and peers whose truth is known. No meter was tested."
_PANEL_INCH, _TITLE_INCH, _GAP_INCH, _LEGEND_LINE_INCH = 2.6, 0.28, 0.62, 0.19
_MOST_PERCENT = 4.0
_LEAST_W, _MOST_W = 4.0, 25_000.0
_FACTORS = ((1.0, "power factor 1"), (0.5, "power factor 0.5 inductive"))
_SHADES = {
    "clamp": ("#b3261e", "#ff7468", "o"),
    "level": ("#6d7885", "#a0abb6", "D"),
    "pulse": ("#4d7f2a", "#9ccc65", "P"),
    "pzem": ("#7a4fa3", "#c39be6", "X"),
    "p1": ("#c67a17", "#e6a04a", "s"),
    "ade7953": ("#0f4a63", "#9ed6ee", "v"),
}
_OTHER = ("#8a5a2b", "#d0a070", "h")


def plan(found: SensorStudy) -> Plan:
    """The one picture of the study."""
    finding = _finding(found)
    alt = (
        "Line charts of the error in percent against the load from 5 W to 20 kW, one line a "
        f"sensor, at two power factors, with the limits of class 1 and 2 shaded. {finding}."
    )
    caption = (
        "Error of the mean reading of a constant load. Shaded: limits of IEC 62053-21 for class 1 "
        "(dark) and class 2 (light), where the standard has any, for a meter of 10(100) A at "
        f"230 V. Beyond {_MOST_PERCENT:g} % a line leaves the picture; the table has the figures. "
        "Sensors that do not know a power factor have no line on the second chart. Everything is "
        "simulated."
    )
    return Plan("sensors", finding, alt, caption, lambda form: _draw(found, finding, form))


def _finding(found: SensorStudy) -> str:
    within = [name for name, one in found.sensors.items() if one.judged(1) and not one.fails(1)]
    beyond = [name for name, one in found.sensors.items() if one.fails(1)]
    if not within and not beyond:
        return "No sensor had a load for which the standard has a limit"
    said = f"In simulation {_list(within)} stay within the limits of class 1" if within else ""
    if not beyond:
        return said
    rest = ", ".join(
        f"{name} is beyond it at {one.fails(1)} of {one.judged(1)}"
        for name, one in found.sensors.items()
        if one.fails(1)
    )
    return f"{said}; {rest}" if said else f"In simulation, of class 1: {rest}"


def _list(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _draw(found: SensorStudy, finding: str, form: Form) -> Sheet:
    names = list(found.sensors)
    columns = 3 if form.narrow else 8
    legend = 0.06 + _LEGEND_LINE_INCH * -(-(len(names) + 2) // columns)
    rows = len(_FACTORS) if form.narrow else 1
    each = _TITLE_INCH + _PANEL_INCH + TIME_LABELS_INCH
    sheet = Sheet(form, legend + rows * each, finding, _SIMULATED, "")
    across = len(_FACTORS) // rows
    room = form.width_inch - LEFT_INCH - RIGHT_INCH - (across - 1) * _GAP_INCH
    for place, (factor, title) in enumerate(_FACTORS):
        row, column = divmod(place, across)
        left = LEFT_INCH + column * (room / across + _GAP_INCH)
        top = legend + row * each + _TITLE_INCH
        axes = sheet.axes(left, top, room / across, _PANEL_INCH)
        _panel(axes, sheet, list(found.sensors.values()), factor)
        axes.set_title(title)
        axes.set_ylabel("error (%)" if column == 0 else "")
    height = float(sheet.figure.get_size_inches()[1])
    corner = LEFT_INCH / form.width_inch, (legend + rows * each + 0.06) / height
    handles = [_line(sheet, name) for name in names] + [
        Patch(color=sheet.theme.quiet, alpha=0.45, label="class 1"),
        Patch(color=sheet.theme.quiet, alpha=0.2, label="class 2"),
    ]
    sheet.figure.legend(
        handles=handles, loc="upper left", bbox_to_anchor=corner, ncols=columns, handlelength=1.8
    )
    return sheet


def _panel(axes: Axes, sheet: Sheet, sensors: Sequence[Sensor], factor: float) -> None:
    _bands(axes, sheet, factor)
    axes.axhline(0, color=sheet.theme.muted, linewidth=0.7)
    for one in sensors:
        points = [point for point in one.points if point.power_factor == factor and point.watts > 0]
        known = [point for point in points if point.error_percent is not None]
        if not known:
            continue
        line = _line(sheet, one.name)
        line.set_data(
            [point.watts for point in known], [point.error_percent or 0.0 for point in known]
        )
        axes.add_line(line)
    axes.set_xscale("log")
    axes.set_xlim(_LEAST_W, _MOST_W)
    axes.set_ylim(-_MOST_PERCENT, _MOST_PERCENT)
    axes.xaxis.set_major_locator(FixedLocator([5, 50, 500, 5000, 20_000]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda watts, _: f"{watts:g} W" if watts < 1000 else f"{watts / 1000:g} kW")
    )
    plain_numbers(axes)


def _bands(axes: Axes, sheet: Sheet, factor: float) -> None:
    """The limits, as the standard has them for currents."""
    count = 400
    watts = [_LEAST_W * (_MOST_W / _LEAST_W) ** (place / count) for place in range(count + 1)]
    for place, alpha in ((1, 0.2), (0, 0.35)):
        bounds = [limits(load_w, factor)[place] for load_w in watts]
        known = [bound is not None for bound in bounds]
        high = [bound or 0.0 for bound in bounds]
        axes.fill_between(
            watts, [-bound for bound in high], high, where=known, step="mid",
            color=sheet.theme.quiet, alpha=alpha, linewidth=0,
        )  # fmt: skip


def _line(sheet: Sheet, name: str) -> Line2D:
    light, dark, marker = _SHADES.get(name, _OTHER)
    shade = light if sheet.theme.name == "light" else dark
    return Line2D([], [], color=shade, marker=marker, markersize=3.5, linewidth=1.2, label=name)
