"""The picture of a calibration: each load's error before and after, against its size."""

from __future__ import annotations

import numpy as np
from matplotlib.lines import Line2D

from hushmeter.devices.calibration import Found
from hushmeter.report.pictures.common import (
    LEFT_INCH,
    LEGEND_INCH,
    RIGHT_INCH,
    TIME_LABELS_INCH,
    Plan,
    legend_above,
)
from hushmeter.report.pictures.sheet import Form, Sheet, plain_numbers

_PANEL_INCH = 2.4


def errors_plan(found: Found, finding: str) -> Plan:
    """Errors in watts over the true watts."""
    rows = sorted(found.residuals, key=lambda row: row.true_w)
    true_w = np.array([row.true_w for row in rows])
    left = [(row.true_w, row.left_out_w) for row in rows if row.left_out_w is not None]

    def draw(form: Form) -> Sheet:
        sheet = Sheet(form, LEGEND_INCH + _PANEL_INCH + TIME_LABELS_INCH, finding, "", "")
        theme = sheet.theme
        width = form.width_inch - LEFT_INCH - RIGHT_INCH
        axes = sheet.axes(LEFT_INCH, LEGEND_INCH, width, _PANEL_INCH)
        axes.axhline(0, color=theme.rule, linewidth=1)
        axes.plot(true_w, [row.before_w for row in rows], "o-", color=theme.private, markersize=4)
        axes.plot(true_w, [row.after_w for row in rows], "s-", color=theme.seen, markersize=4)
        axes.plot(*zip(*left, strict=True), "x", color=theme.bad) if left else None
        axes.set_xscale("symlog", linthresh=10)
        axes.set_xlabel("true watts")
        axes.set_ylabel("error, watts")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        plain_numbers(axes, 5)
        handles = [
            Line2D([], [], color=theme.private, marker="o", markersize=4, label="before"),
            Line2D([], [], color=theme.seen, marker="s", markersize=4, label="after"),
            Line2D([], [], color=theme.bad, marker="x", linestyle="", label="left out of the fit"),
        ]
        legend_above(axes, handles, 3)
        return sheet

    caption = (
        "Read minus true, for each load. Points that the fit goes through are left with what "
        "rounding to watts leaves; a cross is the load’s error under a fit that was made without "
        "it, which is what to expect between the loads."
    )
    alt = f"Errors of {len(rows)} loads before and after calibration. {finding}."
    return Plan("calibration", finding, alt, caption, draw)
