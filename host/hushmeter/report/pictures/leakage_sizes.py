"""The least that can leak against the size of the battery, with the user's own marked."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from hushmeter.report.leakage_model import LeakageReport, bits
from hushmeter.report.pictures.common import (
    LEFT_INCH,
    LEGEND_INCH,
    RIGHT_INCH,
    TIME_LABELS_INCH,
    Plan,
    legend_above,
)
from hushmeter.report.pictures.sheet import Form, Sheet
from hushmeter.report.pictures.stepping_common import log_axis

_LEAST_BITS = 1e-4
_ROOM = 1.5
_CHAIN = (0, (5, 2))


def plan(report: LeakageReport) -> Plan:
    """The picture's words, and how to draw it."""
    finding = _finding(report)
    alt = f"Two falling curves of bits against battery size on logarithmic axes. {finding}."
    caption = (
        "Limits, not measurements, on logarithmic axes. Solid: the certified optimum J* for "
        "independent steps. Dashed: what no controller gets below if the home is the fitted Markov "
        "chain; it is a limit, not an optimum, so the truth under the chain is above it. The line "
        "upright is the battery asked for; the point on it is the least that a known policy "
        "leaks on the chain. Where the solid curve is above the level line, the home of "
        "independent steps tells more than this one does without any battery."
    )
    return Plan("sizes", finding, alt, caption, lambda form: _draw(report, finding, form))


def _finding(report: LeakageReport) -> str:
    found = report.found
    last = found.sizes[-1]
    here = next(size for size in found.sizes if size.capacity == found.capacity)
    if last.capacity == here.capacity:
        return f"A battery of {here.capacity_wh:,.0f} Wh: at least {bits(here.chain_lower)} bits"
    return (
        f"From {found.asked.capacity_wh:,} to {last.capacity_wh:,.0f} Wh the limit falls from "
        f"{bits(here.chain_lower)} to {bits(last.chain_lower)} bits a {report.unit}"
    )


def _draw(report: LeakageReport, finding: str, form: Form) -> Sheet:
    legend = (3 if form.narrow else 1) * LEGEND_INCH
    height = 2.6
    sheet = Sheet(form, legend + height + TIME_LABELS_INCH, finding, report.source, "")
    axes = sheet.axes(LEFT_INCH, legend, form.width_inch - LEFT_INCH - RIGHT_INCH, height)
    _curves(axes, report, sheet)
    return sheet


def _curves(axes: Axes, report: LeakageReport, sheet: Sheet) -> None:
    theme, found = sheet.theme, report.found
    sizes = [size.capacity_wh for size in found.sizes]
    optimum = [max(size.value, _LEAST_BITS) for size in found.sizes]
    limit = [max(size.chain_lower, _LEAST_BITS) for size in found.sizes]
    axes.plot(sizes, optimum, color=theme.seen, linewidth=1.5)
    axes.plot(sizes, limit, color=theme.bad, linewidth=1.3, linestyle=_CHAIN)
    axes.axvline(found.asked.capacity_wh, color=theme.private, linewidth=1.4)
    axes.axhline(found.without, color=theme.muted, linewidth=1.0)
    handles = [
        Line2D([], [], color=theme.muted, label="told without a battery"),
        Line2D([], [], color=theme.seen, label="optimum, i.i.d."),
        Line2D([], [], color=theme.bad, linestyle=_CHAIN, label="limit, Markov chain"),
        Line2D([], [], color=theme.private, label=f"{found.asked.capacity_wh:,} Wh"),
    ]
    shown = [*optimum, *limit, found.without]
    upper = found.chain_upper
    if upper is not None:
        rate = max(upper[0], _LEAST_BITS)
        shown.append(rate)
        (point,) = axes.plot(
            [found.asked.capacity_wh], [rate], color=theme.ink, marker="o", linestyle="",
            markersize=5, label=f"{upper[2]} on the chain",
        )  # fmt: skip
        handles.append(point)
    axes.set_xscale("log")
    axes.set_xlim(sizes[0] / 1.1, sizes[-1] * 1.1)
    log_axis(axes, min(shown) / _ROOM, max(shown) * _ROOM)
    _size_ticks(axes, sizes[0], sizes[-1], sheet.form.narrow)
    axes.set_ylabel(f"bits a {report.unit}")
    axes.set_xlabel("battery (Wh)")
    legend_above(axes, handles, 2 if sheet.form.narrow else 5)


def _size_ticks(axes: Axes, least: float, most: float, narrow: bool) -> None:
    digits = (1,) if narrow and most / least > 100 else (1, 2, 5)
    ticks = [digit * 10.0**power for power in range(-1, 7) for digit in digits]
    axes.xaxis.set_major_locator(FixedLocator([tick for tick in ticks if least <= tick <= most]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
