"""Leakage over battery sizes and across homes, after Figs. 3 and 4 of the stepping paper."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from hushmeter.report.pictures.common import Plan
from hushmeter.report.pictures.sheet import Form, Sheet
from hushmeter.report.pictures.stepping_common import (
    LABELS,
    MARKS,
    MEASURES,
    colour,
    curve,
    log_axis,
    names_of,
    panels,
    rows_of,
    size_axis,
    source,
    value_of,
)
from hushmeter.study.measure import Estimate
from hushmeter.study.stepping import Study

_ROOM_BENEATH = 5
_MOST_BARS = 24
"""Homes up to which each has its interval drawn."""


def sizes(study: Study) -> Plan:
    rows, home = study.sizes, study.about[0].name
    middle = {row.controller: row.mi.bits for row in study.homes if row.home == home}
    finding = (
        f"{home}: LS2 leaks {middle['ls2']:.2g} bits a sample with 0.5 kWh, "
        f"BE {middle['be:sat']:.2g}, NILL {middle['nill']:.2g}; without a battery "
        f"{middle['none']:.2g}"
    )
    alt = (
        "Three line charts of mutual information of load changes against battery size from 0.1 to "
        f"1.2 kWh, one line a controller. {finding}."
    )
    caption = (
        "Mutual information of the load changes in demand and grid draw, bits a sample, on a "
        "logarithmic axis; shaded: 95 % interval over days. Batteries are 1C: a size in kWh is "
        "also its rate in kW. The shuffled baselines are in by_size.csv."
    )

    def draw(form: Form) -> Sheet:
        names = names_of(rows)
        sheet, parts = panels(source(study), form, finding, list(MEASURES.values()), names)
        for axes, measure in zip(parts, MEASURES, strict=True):
            for name in names:
                own = rows_of(rows, name)
                values = [value_of(row, measure) for row in own]
                if name == "none":
                    style = (0, (4, 2))
                    axes.axhline(values[0].bits, color=colour(sheet, name), linestyle=style)
                    continue
                x = [row.capacity_wh / 1000 for row in own]
                low, high = zip(*(value.ci_bits for value in values), strict=True)
                axes.fill_between(x, low, high, color=colour(sheet, name), alpha=0.15, linewidth=0)
                curve(axes, sheet, name, x, [value.bits for value in values])
            least = min(value_of(row, measure).bits for row in rows)
            most = max(value_of(row, measure).bits for row in rows)
            log_axis(axes, 0.7 * max(least, 1e-6), 1.4 * max(most, 1e-5))
            size_axis(axes)
            axes.set_ylabel("bits a sample" if axes is parts[0] or form.narrow else "")
        return sheet

    return Plan("sizes", finding, alt, caption, draw)


def homes(study: Study) -> Plan:
    names = names_of(study.homes, without=("none",))
    homes = len(study.about)
    lowest = [
        max(home["ls1"], home["ls2"], home["rc"])
        < min(home["be:sat"], home["be:idle"], home["nill"])
        for home in (
            {row.controller: row.mi.bits for row in study.homes if row.home == about.name}
            for about in study.about
        )
    ]
    finding = (
        f"With 0.5 kWh LS1, LS2 and RC leak less than BE and NILL in {sum(lowest)} of {homes} "
        f"home{'s' if homes > 1 else ''}"
    )
    alt = (
        "Three charts of mutual information with a battery of 0.5 kWh; for each controller a dot "
        f"a home with its interval and its shuffled baseline. {finding}."
    )
    caption = (
        "A dot a home, from left to right in the order of the table of homes, with its 95 % "
        "interval over days"
        + (" (left out for so many homes)" if homes > _MOST_BARS else "")
        + "; the short grey lines are the same estimator on shuffled data, what it says where "
        f"there is nothing; more than {_ROOM_BENEATH} times below the least dot they are not drawn."
    )

    def draw(form: Form) -> Sheet:
        sheet, parts = panels(source(study), form, finding, list(MEASURES.values()), names)
        for axes, measure in zip(parts, MEASURES, strict=True):
            for column, name in enumerate(names):
                values = [value_of(row, measure) for row in rows_of(study.homes, name)]
                spots = column + 0.7 * (np.arange(homes) + 0.5) / homes - 0.35
                _dots(axes, sheet, name, spots.tolist(), values)
            shown = [value_of(row, measure) for row in study.homes if row.capacity_wh]
            chance = min(value.shuffled_bits for value in shown)
            least = min(value.bits for value in shown) / _ROOM_BENEATH
            most = max(value.ci_bits[1] for value in shown)
            log_axis(axes, 0.7 * max(chance, least, 1e-5), 1.4 * max(most, 1e-4))
            axes.set_xlim(-0.6, len(names) - 0.4)
            axes.set_xticks(range(len(names)), [_short(name) for name in names], fontsize=7)
            axes.set_ylabel("bits a sample" if axes is parts[0] or form.narrow else "")
        return sheet

    return Plan("homes", finding, alt, caption, draw)


def _short(name: str) -> str:
    return LABELS[name].replace(" (", "\n(")


def _dots(
    axes: Axes, sheet: Sheet, name: str, x: Sequence[float], values: Sequence[Estimate]
) -> None:
    shade, mark = colour(sheet, name), MARKS[name]
    if len(x) <= _MOST_BARS:
        low, high = zip(*(value.ci_bits for value in values), strict=True)
        axes.vlines(x, [max(v, 1e-9) for v in low], high, color=shade, linewidth=1, alpha=0.7)
    axes.plot(
        x,
        [value.bits for value in values],
        linestyle="",
        marker=mark.marker,
        markersize=4 if len(x) <= _MOST_BARS else 2,
        markeredgecolor=shade,
        markerfacecolor=sheet.theme.paper if mark.dashed else shade,
    )
    half = 0.3 / len(x)
    axes.hlines(
        [max(value.shuffled_bits, 1e-9) for value in values],
        [spot - half for spot in x],
        [spot + half for spot in x],
        color=sheet.theme.quiet,
        linewidth=1.4,
    )
