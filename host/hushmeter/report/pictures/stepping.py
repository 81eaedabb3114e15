"""Events that an attack detects, battery sizes at equal privacy, and a stretch of a home.

After Tables 5 and 6 and Fig. 2 of the stepping paper.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

from hushmeter.report.pictures.common import (
    LEFT_INCH,
    LEGEND_INCH,
    MOST_VECTOR_POINTS,
    RIGHT_INCH,
    TIME_LABELS_INCH,
    Plan,
)
from hushmeter.report.pictures.sheet import Form, Sheet, plain_numbers, time_axis
from hushmeter.report.pictures.stepping_common import (
    LABELS,
    MARKS,
    TITLE_INCH,
    colour,
    curve,
    log_axis,
    panels,
    rows_of,
    size_axis,
    source,
)
from hushmeter.study.equal_privacy import GRID_WH, REFERENCE
from hushmeter.study.measure import Row
from hushmeter.study.published import RATIOS, STUDIED_WH, accuracy_range
from hushmeter.study.stepping import EVENT_CONTROLLERS, Study

_STRETCH_INCH = 1.0


def events(study: Study) -> Plan:
    rows = [row for row in study.sizes if row.controller in EVENT_CONTROLLERS]
    at_half = {row.controller: row for row in rows if row.capacity_wh == STUDIED_WH}
    finding = (
        f"{study.about[0].name}, 0.5 kWh: of what the attack claims, "
        f"{_share(at_half['nill'])} is right against NILL, {_share(at_half['be:idle'])} against "
        f"BE (idle), {_share(at_half['ls2'])} against LS2"
    )
    least, most = accuracy_range(study.step_s)
    alt = (
        "Two line charts against battery size: load changes that an attack detects a day, and the "
        f"share of them that is right. {finding}."
    )
    caption = (
        "An attack that knows the controller claims load changes from the grid draw alone. Right "
        "is within 5 W, or 1 %. BE twice, for the two readings of what it does at the battery's "
        f"bounds. Shaded: the paper's accuracy, about {least:.0%} to {most:.0%}, on its own data."
    )

    def draw(form: Form) -> Sheet:
        titles = ["detected events a day", "share of them that is right"]
        sheet, parts = panels(source(study), form, finding, titles, EVENT_CONTROLLERS)
        parts[1].axhspan(100 * least, 100 * most, color=sheet.theme.band, linewidth=0)
        for name in EVENT_CONTROLLERS:
            own = rows_of(rows, name)
            x = [row.capacity_wh / 1000 for row in own]
            curve(parts[0], sheet, name, x, [row.events_per_day for row in own])
            share = [np.nan if row.accuracy is None else 100 * row.accuracy for row in own]
            curve(parts[1], sheet, name, x, share)
        top = max(row.events_per_day for row in rows)
        parts[0].set_ylim(0, 1.08 * max(top, 1))
        parts[1].set_ylim(0, 104)
        parts[0].set_ylabel("events a day")
        parts[1].set_ylabel("%")
        for axes in parts:
            plain_numbers(axes)
            size_axis(axes)
        return sheet

    return Plan("events", finding, alt, caption, draw)


def _share(row: Row) -> str:
    return "nothing" if row.accuracy is None else f"{row.accuracy:.0%}"


def ratios(study: Study) -> Plan:
    first = study.about[0].name
    found = {
        ratio.controller: ratio.ratio
        for ratio in study.ratios
        if ratio.home == first and ratio.reference_wh == STUDIED_WH
    }
    beyond = f"over {GRID_WH[-1] / STUDIED_WH:.0f}"
    told = ", ".join(
        f"{LABELS[name]} {beyond if ratio is None else f'{ratio:.1f}'} times"
        for name, ratio in found.items()
    )
    finding = f"{first}: battery for the privacy that LS2 has with 0.5 kWh: {told} as large"
    alt = (
        "Left, Markov mutual information against battery size for BE, NILL and LS2. Right, the "
        f"battery size at equal privacy over that of LS2, a dot a home. {finding}."
    )
    caption = (
        f"Left: {first}; dotted lines lead from LS2 to where the others leak no more than it. "
        "Right: all homes, for three sizes of LS2's battery; bars hold the interval over days and "
        "the grid, a factor 2^(1/4)."
    )
    beyond_grid = sum(ratio.ratio is None for ratio in study.ratios)
    if beyond_grid:
        caption += f" Beyond the grid's largest battery, and not drawn: {beyond_grid}."
    if study.step_s in RATIOS:
        caption += " Crosses: the paper's two ratios, of its own data; its size of LS2 is not said."

    def draw(form: Form) -> Sheet:
        names = [*found, REFERENCE]
        titles = ["Markov mutual information (bits a sample)", "battery over that of LS2"]
        sheet, parts = panels(source(study), form, finding, titles, names)
        _curves(parts[0], sheet, study, first, names)
        _ratio_dots(parts[1], sheet, study)
        return sheet

    return Plan("ratios", finding, alt, caption, draw)


def _curves(axes: Axes, sheet: Sheet, study: Study, home: str, names: Sequence[str]) -> None:
    rows = [row for row in study.curves if row.home == home]
    for name in names:
        own = rows_of(rows, name)
        x = [row.capacity_wh / 1000 for row in own]
        curve(axes, sheet, name, x, [row.mi_markov.bits for row in own])
    for ratio in study.ratios:
        if ratio.home == home and ratio.capacity_wh and ratio.controller in ("be:sat", "nill"):
            axes.hlines(
                ratio.reference_bits,
                ratio.reference_wh / 1000,
                ratio.capacity_wh / 1000,
                color=colour(sheet, ratio.controller),
                linestyle=(0, (1, 2)),
                linewidth=1.2,
            )
    values = [row.mi_markov.bits for row in rows]
    log_axis(axes, 0.7 * max(min(values), 1e-6), 1.4 * max(*values, 1e-5))
    axes.set_xscale("log")
    axes.set_xlim(0.1, 7)
    axes.set_xticks([0.125, 0.25, 0.5, 1, 2, 4], ["0.125", "0.25", "0.5", "1", "2", "4"])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("battery (kWh)")


def _ratio_dots(axes: Axes, sheet: Sheet, study: Study) -> None:
    names = list(dict.fromkeys(ratio.controller for ratio in study.ratios))
    bases = sorted({ratio.reference_wh for ratio in study.ratios})
    homes = list(dict.fromkeys(ratio.home for ratio in study.ratios))
    paper = RATIOS.get(study.step_s, {})
    highest = max(paper.values(), default=2.0)
    for ratio in study.ratios:
        if ratio.ratio is None:
            continue
        group = bases.index(ratio.reference_wh) * (len(names) + 1) + names.index(ratio.controller)
        spot = group + 0.7 * (homes.index(ratio.home) + 0.5) / len(homes) - 0.35
        shade, mark = colour(sheet, ratio.controller), MARKS[ratio.controller]
        low, high = ratio.ratio_ci
        axes.vlines(spot, low or ratio.ratio, high or ratio.ratio, color=shade, alpha=0.6)
        face = sheet.theme.paper if mark.dashed else shade
        axes.plot(spot, ratio.ratio, marker=mark.marker, ms=4, mec=shade, mfc=face)
        highest = max(highest, ratio.ratio, high or 0)
    middles = [place * (len(names) + 1) + (len(names) - 1) / 2 for place in range(len(bases))]
    for name, published in paper.items():
        for place in range(len(bases)):
            spot = place * (len(names) + 1) + names.index("be:sat" if name == "be" else name)
            axes.plot(spot, published, "x", ms=7, mew=1.6, color=sheet.theme.ink, zorder=5)
    axes.axhline(1, color=sheet.theme.muted, linewidth=0.9, linestyle=(0, (4, 3)))
    axes.set_ylim(0, 1.06 * highest)
    axes.set_xlim(-0.8, len(bases) * (len(names) + 1) - 1.2)
    axes.set_xticks(middles, [f"LS2 has\n{base / 1000:g} kWh" for base in bases])
    plain_numbers(axes)


def stretch(study: Study) -> Plan:
    part = study.stretch
    size = f"{part.capacity_wh / 1000:g} kWh"
    series = {"demand": part.demand_w, **part.grid_w}
    moves = {name: int(np.count_nonzero(np.diff(watts))) for name, watts in series.items()}
    finding = (
        f"{part.home}, {size}: demand changes {moves['demand']:,} times, the draw of BE "
        f"{moves['be:sat']:,}, of NILL {moves['nill']:,}, of LS2 {moves['ls2']:,} times"
    )
    alt = (
        "Four line charts of power over time, beneath each other: demand, BE, NILL, LS2. "
        f"{finding}."
    )
    caption = (
        "A lively stretch of the home, as the paper’s Fig. 2: what it uses, and what its "
        f"meter draws behind a battery of {size} with each of three controllers."
    )

    def draw(form: Form) -> Sheet:
        each = TITLE_INCH + _STRETCH_INCH
        body = LEGEND_INCH / 2 + len(series) * each + TIME_LABELS_INCH
        sheet = Sheet(form, body, finding, source(study), "")
        width = form.width_inch - LEFT_INCH - RIGHT_INCH
        top_w = 1.06 * max(int(watts.max()) for watts in series.values())
        edges = part.start_s + np.arange(part.demand_w.size + 1.0) * part.step_s
        for place, (name, watts) in enumerate(series.items()):
            top = LEGEND_INCH / 2 + place * each + TITLE_INCH
            axes = sheet.axes(LEFT_INCH, top, width, _STRETCH_INCH)
            is_demand = name == "demand"
            axes.stairs(
                watts / 1000,
                edges,
                fill=is_demand,
                baseline=0 if is_demand else None,
                color=sheet.theme.private if is_demand else colour(sheet, name),
                linewidth=0 if is_demand else 1.1,
                rasterized=watts.size > MOST_VECTOR_POINTS,
            )
            axes.set_title("demand" if is_demand else LABELS[name], pad=3)
            axes.set_ylim(-0.02 * top_w / 1000, top_w / 1000)
            axes.set_ylabel("kW")
            plain_numbers(axes, ticks=3)
            time_axis(axes, edges[0], edges[-1], form.narrow, labelled=place == len(series) - 1)
        return sheet

    return Plan("stretch", finding, alt, caption, draw)
