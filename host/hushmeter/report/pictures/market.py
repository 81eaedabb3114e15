"""The pictures of the market study: the day's draw, its prices, one clearing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from hushmeter.report.pictures.common import (
    LEFT_INCH,
    LEGEND_INCH,
    RIGHT_INCH,
    TIME_LABELS_INCH,
    Plan,
    legend_above,
)
from hushmeter.report.pictures.sheet import Form, Sheet, plain_numbers
from hushmeter.study.market import MarketStudy
from hushmeter.study.market_homes import FIRST_HOUR, INTERVAL_S, INTERVALS

_HEIGHT_INCH = 2.8
_DASHED = (0, (5, 2))
_DOTTED = (0, (1, 1.6))

Floats = NDArray[np.float64]


def plans(found: MarketStudy) -> list[Plan]:
    """The three pictures."""
    return [_load(found), _prices(found), _clearing(found)]


def _load(found: MarketStudy) -> Plan:
    change = 100 * (found.market.peak_w / found.flat.peak_w - 1)
    word = "lower" if change < 0 else "higher"
    finding = (
        f"The highest draw of {found.homes} homes is {abs(change):.0f} % {word} on the market: "
        f"{found.market.peak_w / 1000:,.0f} instead of {found.flat.peak_w / 1000:,.0f} kW"
    )
    alt = f"Two lines of kilowatts over a day from noon to noon. {finding}."
    caption = (
        "What the homes together draw from the utility, means of 15 minutes. The market moves "
        "cars, dishwashers and batteries away from dear hours and lets heat pumps follow the "
        "price; many that wait for the same cheap hour make a peak of their own there."
    )

    def draw(form: Form) -> Sheet:
        sheet, axes = _sheet(form, finding)
        shown = (
            (found.flat.rows, sheet.theme.private, _DASHED, "flat price"),
            (found.market.rows, sheet.theme.seen, "-", "market"),
        )
        for rows, colour, style, label in shown:
            _steps(axes, [row["utility_w"] / 1000 for row in rows], colour, style, label)
        axes.set_ylabel("kW from the utility")
        return _finished(sheet, axes)

    return Plan("load", finding, alt, caption, draw)


def _prices(found: MarketStudy) -> Plan:
    prices = [row["price"] for row in found.market.rows]
    finding = (
        f"The market's price goes from {min(prices)} to {max(prices)} micro-units per Wh; the flat "
        f"price that covers the utility's costs is {found.flat_price}"
    )
    alt = f"Three lines of prices over a day from noon to noon. {finding}."
    caption = (
        "Micro-units per Wh. The utility sells at the wholesale price or above, so the market's "
        "price is the next one on the grid, higher where much is bought and lower where homes "
        "alone have enough to sell."
    )

    def draw(form: Form) -> Sheet:
        sheet, axes = _sheet(form, finding)
        theme = sheet.theme
        costs = [row["wholesale"] for row in found.market.rows]
        _steps(axes, costs, theme.muted, _DOTTED, "wholesale")
        _steps(axes, [found.flat_price] * INTERVALS, theme.private, _DASHED, "flat price")
        _steps(axes, prices, theme.seen, "-", "market")
        axes.set_ylabel("micro-units per Wh")
        return _finished(sheet, axes)

    return Plan("prices", finding, alt, caption, draw)


def _clearing(found: MarketStudy) -> Plan:
    curves = found.curves
    finding = (
        f"At {_clock(curves['interval'])} supply meets demand at a price of {curves['price']}: "
        f"{curves['traded_wh'] / 1000:,.1f} kWh change hands in 15 minutes"
    )
    alt = f"A falling demand curve and a rising supply curve against the price. {finding}."
    caption = (
        "The totals of the day's dearest interval, as every participant sees them. Each is a sum; "
        "the utility's own curve is public, no home's is. The point is the first price of the grid "
        "at which supply is at least demand."
    )

    def draw(form: Form) -> Sheet:
        sheet, axes = _sheet(form, finding)
        theme, grid = sheet.theme, curves["prices"]
        for name, colour, style in (
            ("demand", theme.private, _DASHED), ("supply", theme.seen, "-"),
        ):  # fmt: skip
            axes.plot(
                grid, [amount / 1000 for amount in curves[name]], color=colour, linestyle=style,
                marker=".", markersize=4, linewidth=1.5, label=f"total {name}",
            )  # fmt: skip
        axes.plot(
            [curves["price"]], [curves["traded_wh"] / 1000], color=theme.ink, marker="o",
            linestyle="", markersize=6, label="traded",
        )  # fmt: skip
        top = max(curves["demand"]) / 1000
        axes.set_xlim(grid[0], min(grid[-1], 3 * curves["price"]))
        axes.set_ylim(0, 1.6 * top)
        axes.set_xlabel("price, micro-units per Wh")
        axes.set_ylabel("kWh in 15 minutes")
        return _legend(sheet, axes)

    return Plan("clearing", finding, alt, caption, draw)


def _sheet(form: Form, finding: str) -> tuple[Sheet, Axes]:
    sheet = Sheet(form, LEGEND_INCH + _HEIGHT_INCH + TIME_LABELS_INCH, finding, "", "")
    room = form.width_inch - LEFT_INCH - RIGHT_INCH
    return sheet, sheet.axes(LEFT_INCH, LEGEND_INCH, room, _HEIGHT_INCH)


def _steps(axes: Axes, values: Sequence[float], colour: str, style: object, label: str) -> None:
    hours: Floats = FIRST_HOUR + np.arange(INTERVALS + 1) * INTERVAL_S / 3600
    axes.add_line(
        Line2D(
            hours.tolist(), [*values, values[-1]], color=colour, linestyle=style,  # type: ignore[arg-type]
            linewidth=1.6, label=label, drawstyle="steps-post",
        )
    )  # fmt: skip


def _finished(sheet: Sheet, axes: Axes) -> Sheet:
    """Hours along x, and what is common."""
    axes.set_xlim(FIRST_HOUR, FIRST_HOUR + 24)
    ticks = range(FIRST_HOUR, FIRST_HOUR + 25, 6 if sheet.form.narrow else 3)
    axes.set_xticks(list(ticks), [f"{hour % 24:02d}:00" for hour in ticks])
    axes.set_xlabel("time of day")
    axes.autoscale_view(scalex=False)
    axes.relim()
    axes.set_ylim(0, 1.05 * max(max(map(float, line.get_ydata())) for line in axes.get_lines()))  # type: ignore[arg-type]
    return _legend(sheet, axes)


def _legend(sheet: Sheet, axes: Axes) -> Sheet:
    plain_numbers(axes)
    legend_above(axes, list(axes.get_lines()), 3)
    return sheet


def _clock(interval: int) -> str:
    seconds = FIRST_HOUR * 3600 + interval * INTERVAL_S
    return f"{seconds // 3600 % 24:02d}:{seconds // 60 % 60:02d}"
