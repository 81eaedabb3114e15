"""Synthetic homes: a home's first days with what ran, and the mean day beside the published one."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.lines import Line2D

from hushmeter.loads.synthetic.appliances import LIGHT, NAMES
from hushmeter.loads.synthetic.events import DAY_S
from hushmeter.loads.synthetic.figures import ELEXON_YEAR_W, SUMMER, WINTER, Tally
from hushmeter.loads.synthetic.street import Block, Events, Street
from hushmeter.report.pictures.common import (
    LEFT_INCH,
    LEGEND_INCH,
    RIGHT_INCH,
    TIME_LABELS_INCH,
    legend_above,
)
from hushmeter.report.pictures.sheet import FORMS, Sheet, drawing, plain_numbers, time_axis

_POWER_INCH = 2.2
_GAP_INCH = 0.25
_ROW_INCH = 0.17
_NAMES_INCH = 1.55
_DAY_INCH = 3.2
_STRONG_W = 1000
_MIDDLE_W = 200
_MOST_POINTS = 12_000


def week_png(street: Street, block: Block, place: int = 0) -> bytes:
    """The days of a block in one home: what it draws, and beneath it every appliance."""
    home = street.homes[place]
    events = block.events[block.events["home"] == home.number]
    kinds = sorted(set(events["appliance"].tolist()))
    width = FORMS[0].width_inch - _NAMES_INCH - RIGHT_INCH
    rows_inch = _ROW_INCH * len(kinds)
    with drawing(FORMS[0]):
        people = f"{street.residents[place]} resident" + "s" * (street.residents[place] > 1)
        days = f"{block.days} day" + "s" * (block.days > 1)
        sheet = Sheet(
            FORMS[0],
            _POWER_INCH + _GAP_INCH + rows_inch + TIME_LABELS_INCH,
            f"A synthetic home with {people}: {days}, {len(events):,} events",
            f"Seed {street.seed}, home {home.number}. Above what it draws, beneath what runs: "
            f"dark from {_STRONG_W:,} W, middle from {_MIDDLE_W} W.",
            "",
        )
        power = sheet.axes(_NAMES_INCH, 0.05, width, _POWER_INCH - 0.05)
        _power(power, street, block, place, sheet)
        rows = sheet.axes(_NAMES_INCH, _POWER_INCH + _GAP_INCH, width, rows_inch)
        _rows(rows, street, events, kinds, sheet)
        first_s = street.start_s + block.first_day * DAY_S
        for axes in (power, rows):
            time_axis(axes, first_s, first_s + block.days * DAY_S, False, labelled=axes is rows)
        return sheet.png()


def _power(axes: Axes, street: Street, block: Block, place: int, sheet: Sheet) -> None:
    demand_w = block.demand_w[place].astype(np.float64)
    first_s = street.start_s + block.first_day * DAY_S
    edges = first_s + np.arange(demand_w.size + 1.0) * block.step_s
    few = demand_w.size <= _MOST_POINTS
    axes.stairs(
        demand_w / 1000,
        edges,
        fill=True,
        color=sheet.theme.private,
        linewidth=0.5 if few else 0,
        rasterized=not few,
    )
    axes.set_ylabel("power (kW)")
    plain_numbers(axes)


def _rows(axes: Axes, street: Street, events: Events, kinds: list[int], sheet: Sheet) -> None:
    theme = sheet.theme
    levels = ((0, theme.rule), (_MIDDLE_W, theme.seen), (_STRONG_W, theme.ink))
    for row, kind in enumerate(kinds):
        ran = events[events["appliance"] == kind]
        for least_w, colour in levels:
            most_w = min((level for level, _ in levels if level > least_w), default=1 << 30)
            bars = ran[(ran["watts"] >= least_w) & (ran["watts"] < most_w)]
            axes.add_collection(_bars(bars, street.start_s, row, colour))
    axes.set_ylim(len(kinds) - 0.5, -0.5)
    axes.set_yticks(
        range(len(kinds)), ["lamps" if kind == LIGHT else NAMES[kind] for kind in kinds]
    )
    axes.grid(axis="x")


def _bars(events: Events, start_s: int, row: int, colour: str) -> PolyCollection:
    left, right = events["start_s"] + start_s, events["end_s"] + start_s
    top, bottom = np.full(left.size, row - 0.38), np.full(left.size, row + 0.38)
    corners = np.stack([left, top, left, bottom, right, bottom, right, top], axis=-1)
    return PolyCollection(
        list(corners.reshape(-1, 4, 2)), facecolor=colour, edgecolor=colour, linewidth=0.4
    )


def mean_day_png(total: Tally) -> bytes:
    """The mean day of the street's homes, its seasons, and the published mean day."""
    homes = int(total.class_1.sum())
    with drawing(FORMS[0]):
        sheet = Sheet(
            FORMS[0],
            LEGEND_INCH + _DAY_INCH + TIME_LABELS_INCH,
            f"The mean day of {homes} synthetic homes beside the published one",
            f"{total.days} days, seed {total.street.seed}, homes with storage heaters left out. "
            "Published: Elexon, load profile class 1, mean of its seasons and kinds of day.",
            "",
        )
        width = FORMS[0].width_inch - LEFT_INCH - RIGHT_INCH
        axes = sheet.axes(LEFT_INCH, LEGEND_INCH, width, _DAY_INCH)
        theme = sheet.theme
        half_hours = np.arange(49) / 2
        axes.stairs(
            ELEXON_YEAR_W, np.arange(25), fill=True, color=theme.quiet, alpha=0.35, linewidth=0
        )
        lines = [Line2D([], [], color=theme.quiet, alpha=0.5, linewidth=6, label="published")]
        for label, months, colour, width in (
            ("synthetic", range(1, 13), theme.seen, 2.2),
            ("synthetic, winter", WINTER, theme.private, 1.1),
            ("synthetic, summer", SUMMER, theme.muted, 1.1),
        ):
            day_w = total.mean_day_w(months)
            if np.isnan(day_w).any():
                continue
            axes.stairs(day_w, half_hours, baseline=None, color=colour, linewidth=width)
            lines.append(Line2D([], [], color=colour, linewidth=width, label=label))
        axes.set_xlim(0, 24)
        axes.set_ylim(bottom=0)
        axes.set_xticks(range(0, 25, 3), [f"{hour:02}:00" for hour in range(0, 25, 3)])
        axes.set_xlabel("time of day")
        axes.set_ylabel("mean power of a home (W)")
        plain_numbers(axes)
        legend_above(axes, lines, 4)
        return sheet.png()
