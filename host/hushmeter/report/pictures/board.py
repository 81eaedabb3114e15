"""Pictures of one board's runs: figures over the size of a street, time a test took, trends."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from hushmeter.devices.hil_run import Result, Run
from hushmeter.report.pictures.common import LEFT_INCH, RIGHT_INCH, Plan
from hushmeter.report.pictures.sheet import Form, Sheet, plain_numbers

_SIZED = re.compile(r"(?P<what>.+)_for_n_(?P<size>\d+)$")
_TRENDS_FIRST = ("slot_ms", "answer_ms", "free_heap", "largest_free")
_MOST_TRENDS = 9
_MOST_BARS = 15
_CELL_INCH, _GAP_INCH, _HEAD_INCH = 1.0, 0.62, 0.3
_BAR_INCH = 0.2
_KIB = 1024

Line = tuple[str, str, list[float], list[float]]
"""Title, unit, and the points of one small picture."""


def plans(runs: Sequence[Run]) -> list[Plan]:
    """What can be drawn of these runs of one board, the newest last."""
    return [plan for plan in (_sizes(runs[-1]), _times(runs[-1]), _trends(runs)) if plan]


def _sizes(run: Run) -> Plan | None:
    families: dict[str, dict[int, float]] = defaultdict(dict)
    for name, number in run.numbers.items():
        found = _SIZED.match(name)
        if found:
            families[found["what"]][int(found["size"])] = number.value
    lines: list[Line] = []
    for what, by_size in sorted(families.items()):
        sizes = sorted(by_size)
        if len(sizes) > 1:
            unit = next(n.unit for name, n in run.numbers.items() if name.startswith(f"{what}_for"))
            values = [by_size[size] for size in sizes]
            lines.append(_scaled(what, unit, [float(size) for size in sizes], values))
    if not lines:
        return None
    finding = f"The same slot in larger streets, on {run.board.label}"
    caption = "Each figure over the number of meters in the street, in the newest run."
    alt = f"{finding}. " + "; ".join(_told(line) for line in lines)
    return Plan(
        "sizes", finding, alt, caption, lambda form: _grid(form, finding, "meters", lines, True)
    )


def _times(run: Run) -> Plan | None:
    timed = [test for test in run.tests if test.wall_s is not None]
    if not timed:
        return None
    timed = sorted(timed, key=_wall_s, reverse=True)[:_MOST_BARS]
    total = sum(map(_wall_s, run.tests))
    share = sum(map(_wall_s, timed[:3])) / (total or 1)
    finding = f"Three tests take {share:.0%} of the suite's time" if len(timed) > 3 else "Time"
    caption = (
        "Time on the host, seconds, longest first; what several tests share is counted with the "
        "first of them."
    )
    alt = f"{finding}. " + "; ".join(f"{_leaf(test)}: {_wall_s(test):.1f} s" for test in timed)
    return Plan("times", finding, alt, caption, lambda form: _bars(form, finding, timed))


def _trends(runs: Sequence[Run]) -> Plan | None:
    if len(runs) < 2:
        return None
    names = [name for name in runs[-1].numbers if sum(name in run.numbers for run in runs) > 1]
    if not names:
        return None
    names.sort(key=_rank)
    lines = []
    for name in names[:_MOST_TRENDS]:
        points = [
            (i, run.numbers[name].value) for i, run in enumerate(runs, 1) if name in run.numbers
        ]
        at, values = [float(i) for i, _ in points], [float(value) for _, value in points]
        lines.append(_scaled(name, runs[-1].numbers[name].unit, at, values))
    finding = f"{len(runs)} runs of {runs[-1].board.label}"
    caption = "The newest run is the rightmost point. Axes begin at zero."
    alt = f"{finding}. " + "; ".join(_told(line) for line in lines)
    return Plan("trends", finding, alt, caption, lambda form: _grid(form, finding, "run", lines))


def _rank(name: str) -> tuple[int, str, int]:
    """The figures that matter most come first, and small streets before large ones."""
    first = [i for i, start in enumerate(_TRENDS_FIRST) if name.startswith(start)]
    sized = _SIZED.match(name)
    what, size = (sized["what"], int(sized["size"])) if sized else (name, 0)
    return min(first, default=len(_TRENDS_FIRST)), what, size


def _scaled(name: str, unit: str, at: list[float], values: list[float]) -> Line:
    """Bytes become KiB, and the unit leaves the name."""
    if unit == "bytes":
        return name.replace("_bytes", "").replace("_", " "), "KiB", at, [v / _KIB for v in values]
    return re.sub(rf"_{unit.lower()}(?=_|$)", "", name).replace("_", " "), unit, at, values


def _told(line: Line) -> str:
    title, unit, at, values = line
    return f"{title}: " + ", ".join(
        f"{value:,.4g} {unit} at {place:g}" for place, value in zip(at, values, strict=True)
    )


def _grid(form: Form, finding: str, along: str, lines: list[Line], sized: bool = False) -> Sheet:
    """Small axes in rows, each with its own scale from zero."""
    columns = 1 if form.narrow else 3
    rows = math.ceil(len(lines) / columns)
    step = _HEAD_INCH + _CELL_INCH + _GAP_INCH
    sheet = Sheet(form, rows * step, finding, "", "")
    width = form.width_inch / columns
    for i, line in enumerate(lines):
        row, column = divmod(i, columns)
        axes = sheet.axes(
            column * width + LEFT_INCH,
            row * step + _HEAD_INCH,
            width - LEFT_INCH - RIGHT_INCH,
            _CELL_INCH,
        )
        _small(axes, line, sheet, sized)
        axes.set_xlabel(along, labelpad=1)
    return sheet


def _small(axes: Axes, line: Line, sheet: Sheet, sized: bool) -> None:
    title, unit, at, values = line
    axes.plot(at, values, color=sheet.theme.seen, marker="o", markersize=3.5, linewidth=1.3)
    axes.set_title(f"{title}, {unit}" if unit else title, fontsize=8.5)
    axes.set_ylim(0, max(values) * 1.15 or 1)
    plain_numbers(axes, 3)
    if sized:
        axes.set_xscale("log")
        axes.set_xticks(at, [f"{place:g}" for place in at])
        axes.minorticks_off()
    else:
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.set_xlim(min(at) - 0.3, max(at) + 0.3)


def _bars(form: Form, finding: str, timed: Sequence[Result]) -> Sheet:
    left = 2.0 if form.narrow else 4.6
    height = _BAR_INCH * len(timed)
    sheet = Sheet(form, height + 0.4, finding, "", "")
    axes = sheet.axes(left, 0.05, form.width_inch - left - 0.55, height)
    values = [_wall_s(test) for test in timed]
    colours = [sheet.theme.bad if test.outcome == "failed" else sheet.theme.seen for test in timed]
    axes.barh(range(len(timed)), values, color=colours, height=0.62)
    most = 30 if form.narrow else 74
    names = [_cut(_leaf(test), most) for test in timed]
    axes.set_yticks(range(len(timed)), names, fontsize=7 if form.narrow else 8)
    axes.set_ylim(len(timed) - 0.5, -0.5)
    for i, value in enumerate(values):
        axes.annotate(
            f"{value:,.1f}", (value, i), (3, 0), textcoords="offset points", va="center", size=7.5
        )
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.set_xlim(0, max(values) or 1)
    return sheet


def _wall_s(test: Result) -> float:
    return test.wall_s or 0.0


def _leaf(test: Result) -> str:
    """What the test promises, without its file; a parameter comes first, where it is not cut."""
    promise, _, parameter = test.name.rpartition("::")[2].removeprefix("test_").partition("[")
    text = promise.replace("_", " ")
    return f"{parameter.removesuffix(']')}: {text}" if parameter else text


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
