"""The pictures of a market day on meters: its prices, what was traded, one clearing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from hushmeter.emulate.market_day import DayInterval, DayRun
from hushmeter.report.pictures.common import (
    LEFT_INCH,
    LEGEND_INCH,
    RIGHT_INCH,
    TIME_LABELS_INCH,
    Plan,
    legend_above,
)
from hushmeter.report.pictures.sheet import Form, Sheet, plain_numbers

_HEIGHT_INCH = 2.8
_DASHED = (0, (5, 2))
_DOTTED = (0, (1, 1.6))
_NAN = float("nan")


def plans(run: DayRun) -> list[Plan]:
    """Three pictures; none of one clearing where every interval is void."""
    example = busiest(run)
    return [_prices(run), _traded(run), *([] if example is None else [_clearing(run, example)])]


def busiest(run: DayRun) -> DayInterval | None:
    """The interval with the highest price in which most was traded."""
    cleared = [row for row in run.intervals if row.outcome.clearing is not None]
    return max(cleared, key=_price_and_traded, default=None)


def _price_and_traded(row: DayInterval) -> tuple[int, int]:
    found = row.outcome.clearing
    return (0, 0) if found is None else (found.price, found.traded_wh)


def _prices(run: DayRun) -> Plan:
    prices = [_of(row, "price") for row in run.intervals]
    known = [price for price in prices if not np.isnan(price)]
    void = len(prices) - len(known)
    finding = f"{len(known)} of {len(prices)} intervals have a price"
    if known:
        finding += f", from {min(known):.0f} to {max(known):.0f} micro-units per Wh"
    if void:
        finding += f"; {void} take the fallback price of {run.settings.fallback}"
    alt = f"Lines of prices over a day. {finding}."
    caption = (
        "Micro-units per Wh. The utility sells at the wholesale price or above; an interval whose "
        "sum cannot be opened has no price of its own and takes the fallback price."
    )

    def draw(form: Form) -> Sheet:
        sheet, axes = _sheet(form, finding)
        theme = sheet.theme
        _steps(run, axes, [row.wholesale for row in run.intervals], theme.muted, _DOTTED,
               "wholesale")  # fmt: skip
        _steps(run, axes, prices, theme.seen, "-", "market")
        if void:
            fallback = [run.settings.fallback if np.isnan(one) else _NAN for one in prices]
            _steps(run, axes, fallback, theme.private, _DASHED, "fallback (void)")
        axes.set_ylabel("micro-units per Wh")
        return _finished(run, sheet, axes)

    return Plan("prices", finding, alt, caption, draw)


def _traded(run: DayRun) -> Plan:
    homes = [
        sum(row.shares[meter_id][1] for meter_id in row.outcome.present) / 1000
        if row.outcome.clearing is not None
        else _NAN
        for row in run.intervals
    ]
    traded = [_of(row, "traded_wh") / 1000 for row in run.intervals]
    total = np.nansum(traded)
    part = np.nansum(homes) / total if total else 0.0
    finding = f"{total:,.0f} kWh change hands, {100 * part:.0f} % of it sold by homes"
    alt = f"Lines of kilowatt-hours in each quarter of an hour. {finding}."
    caption = (
        "kWh in 15 minutes. The total is public; what homes sell is shown here because the homes "
        "are emulated: no message carries it."
    )

    def draw(form: Form) -> Sheet:
        sheet, axes = _sheet(form, finding)
        _steps(run, axes, traded, sheet.theme.seen, "-", "traded")
        _steps(run, axes, homes, sheet.theme.private, _DASHED, "sold by homes")
        axes.set_ylabel("kWh in 15 minutes")
        return _finished(run, sheet, axes)

    return Plan("traded", finding, alt, caption, draw)


def _clearing(run: DayRun, row: DayInterval) -> Plan:
    entry = row.outcome.entry
    finding = (
        f"At {_clock(run, row.number)} supply meets demand at a price of {entry['price']}: "
        f"{entry['traded_wh'] / 1000:,.2f} kWh change hands in 15 minutes"
    )
    alt = f"A falling demand curve and a rising supply curve against the price. {finding}."
    caption = (
        "The totals of one interval, as every home is told them. Demand is the homes' masked sum; "
        "supply is theirs and the utility's, which is public."
    )

    def draw(form: Form) -> Sheet:
        sheet, axes = _sheet(form, finding)
        theme, grid = sheet.theme, entry["prices"]
        shown = (
            ("total demand", entry["demand"], theme.private, _DASHED),
            ("total supply", entry["supply"], theme.seen, "-"),
        )
        for label, amounts, colour, style in shown:
            axes.plot(
                grid, [amount / 1000 for amount in amounts], color=colour, linestyle=style,
                marker=".", markersize=4, linewidth=1.5, label=label,
            )  # fmt: skip
        axes.plot(
            [entry["price"]], [entry["traded_wh"] / 1000], color=theme.ink, marker="o",
            linestyle="", markersize=6, label="traded",
        )  # fmt: skip
        top = max(*entry["demand"], entry["traded_wh"], 1) / 1000
        axes.set_xlim(grid[0], min(grid[-1], max(3 * entry["price"], grid[0] + 1)))
        axes.set_ylim(0, 1.6 * top)
        axes.set_xlabel("price, micro-units per Wh")
        axes.set_ylabel("kWh in 15 minutes")
        return _legend(sheet, axes)

    return Plan("clearing", finding, alt, caption, draw)


def _of(row: DayInterval, name: str) -> float:
    found = row.outcome.clearing
    return _NAN if found is None else float(getattr(found, name))


def _hours(run: DayRun) -> list[float]:
    begin, length = run.settings.start_s % 86_400, run.settings.terms.interval_s
    return [(begin + length * k) / 3600 for k in range(len(run.intervals) + 1)]


def _clock(run: DayRun, number: int) -> str:
    second = number * run.settings.terms.interval_s % 86_400
    return f"{second // 3600:02d}:{second // 60 % 60:02d}"


def _sheet(form: Form, finding: str) -> tuple[Sheet, Axes]:
    sheet = Sheet(form, LEGEND_INCH + _HEIGHT_INCH + TIME_LABELS_INCH, finding, "", "")
    room = form.width_inch - LEFT_INCH - RIGHT_INCH
    return sheet, sheet.axes(LEFT_INCH, LEGEND_INCH, room, _HEIGHT_INCH)


def _steps(
    run: DayRun, axes: Axes, values: Sequence[float], colour: str, style: object, label: str
) -> None:
    axes.add_line(
        Line2D(
            _hours(run), [*values, values[-1]], color=colour, linestyle=style,  # type: ignore[arg-type]
            linewidth=1.6, label=label, drawstyle="steps-post",
        )
    )  # fmt: skip


def _finished(run: DayRun, sheet: Sheet, axes: Axes) -> Sheet:
    """Hours along x, and what is common."""
    hours = _hours(run)
    axes.set_xlim(hours[0], hours[-1])
    if hours[-1] - hours[0] >= 6:
        step = 6 if sheet.form.narrow else 3
        ticks = range(-(-int(hours[0]) // step) * step, int(hours[-1]) + 1, step)
        axes.set_xticks(list(ticks), [f"{hour % 24:02d}:00" for hour in ticks])
    axes.set_xlabel("time of day")
    tops = [np.nanmax(line.get_ydata(), initial=0) for line in axes.get_lines()]
    axes.set_ylim(0, 1.05 * max(*tops, 1e-3))
    return _legend(sheet, axes)


def _legend(sheet: Sheet, axes: Axes) -> Sheet:
    plain_numbers(axes)
    legend_above(axes, list(axes.get_lines()), 3)
    return sheet
