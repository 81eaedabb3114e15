"""How time grows with size: the medians of a topic as lines on two logarithmic axes, a PNG.

Ours are solid; a case that names one of ours as its peer is in that one's colour, broken.
"""

from __future__ import annotations

from itertools import cycle

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from hushmeter.report.pictures.sheet import LIGHT, Form, Sheet, drawing
from tools.bench.figures import Figure, Result
from tools.bench.show import amount

Dashes = tuple[float, tuple[float, ...]]
"""Where a broken line begins, and its strokes and gaps in points."""

_COLOURS = ("#17607d", "#c67a17", "#4d7f2a", "#7a4fa3", "#b3261e", "#5b6672")
_SOLID: Dashes = (0, ())
_BROKEN: tuple[Dashes, ...] = ((0, (5, 2)), (0, (1, 1.6)), (0, (5, 1.5, 1, 1.5)))
_MARKERS = ("s", "^", "D")
_PLOT_INCH, _LEFT_INCH, _RIGHT_INCH, _LABELS_INCH, _LINE_INCH = 3.6, 0.85, 0.3, 0.55, 0.19
_COLUMNS = 3


def draw(result: Result) -> bytes:
    """A PNG of all cases that were timed at two sizes or more."""
    lines = lines_of(result)
    form = Form(LIGHT, narrow=False)
    with drawing(form):
        legend_inch = 0.1 + _LINE_INCH * -(-len(lines) // _COLUMNS)
        body_inch = legend_inch + _PLOT_INCH + _LABELS_INCH
        sheet = Sheet(form, body_inch, result.benchmark.title, "", "")
        room_inch = form.width_inch - _LEFT_INCH - _RIGHT_INCH
        axes = sheet.axes(_LEFT_INCH, legend_inch, room_inch, _PLOT_INCH)
        for line in lines:
            axes.add_line(line)
        sizes = sorted({figure.size for figure in result.figures})
        _set_axes(axes, sizes, result.benchmark.sizes)
        above = 1 + (legend_inch - 0.04) / _PLOT_INCH
        axes.legend(
            handles=lines, loc="upper left", bbox_to_anchor=(0, above), ncols=_COLUMNS,
            handlelength=2.6,
        )  # fmt: skip
        return sheet.png()


def lines_of(result: Result) -> list[Line2D]:
    """A line for each case that was timed at two sizes or more; peers after ours, broken."""
    cases: dict[str, list[Figure]] = {}
    for figure in result.figures:
        if figure.unit == "s":
            cases.setdefault(figure.case, []).append(figure)
    cases = {case: found for case, found in cases.items() if len(found) > 1}
    ours = [case for case, found in cases.items() if found[0].peer not in cases]
    colours = dict(zip(ours, cycle(_COLOURS), strict=False))
    drawn = [_line(cases[case], colours[case], _SOLID, "o") for case in ours]
    for case in ours:
        peers = [found for found in cases.values() if found[0].peer == case]
        looks = zip(peers, cycle(_BROKEN), cycle(_MARKERS), strict=False)
        drawn += [_line(found, colours[case], style, marker) for found, style, marker in looks]
    return drawn


def _line(found: list[Figure], colour: str, style: Dashes, marker: str) -> Line2D:
    found = sorted(found, key=lambda figure: figure.size)
    return Line2D(
        [figure.size for figure in found],
        [figure.median for figure in found],
        color=colour, linestyle=style, linewidth=1.5, marker=marker, markersize=4,
        markerfacecolor=colour if style == _SOLID else LIGHT.paper, label=found[0].case,
    )  # fmt: skip


def _set_axes(axes: Axes, ticks: list[int], sizes: str) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.autoscale_view()
    axes.xaxis.set_major_locator(FixedLocator(_apart(ticks)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda size, _: f"{size:,.0f}"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda time_s, _: amount(time_s, "s")))
    axes.set_xlabel(sizes)
    axes.set_ylabel("median time")
    axes.grid(axis="y")


def _apart(ticks: list[int]) -> list[int]:
    """Those that leave room for a label on a logarithmic axis."""
    kept: list[int] = []
    for tick in ticks:
        if not kept or tick >= 1.6 * kept[-1]:
            kept.append(tick)
    return kept
