"""The picture of a home's ledger: what its hours cost, and how much of that its use took up."""

from __future__ import annotations

import numpy as np

from hushmeter.privacy.exposure import HOUR_S, HomeExposure
from hushmeter.report.pictures.common import LEFT_INCH, RIGHT_INCH, TIME_LABELS_INCH, Plan
from hushmeter.report.pictures.sheet import Form, Sheet, plain_numbers, time_axis

_PANEL_INCH = 1.35
_GAP_INCH = 0.5
_TITLE_INCH = 0.22


def hours_plan(found: HomeExposure) -> Plan:
    """Two rows of bars over the same hours."""
    unit = "hour" if found.hour_s == HOUR_S else f"{found.hour_s / HOUR_S:g} hours"
    worst = int(np.argmax(found.shown))
    finding = (
        f"Each {unit} costs epsilon {found.spent.max():.3g}; the use of the heaviest one takes up "
        f"{found.shown[worst]:.2g} of it"
    )

    def draw(form: Form) -> Sheet:
        body = 2 * (_TITLE_INCH + _PANEL_INCH) + _GAP_INCH + TIME_LABELS_INCH - _TITLE_INCH
        sheet = Sheet(form, body, finding, "", "")
        theme = sheet.theme
        width = form.width_inch - LEFT_INCH - RIGHT_INCH
        first_s, last_s = int(found.hours_s[0]), int(found.hours_s[-1]) + found.hour_s
        rows = (
            (found.spent, theme.seen, "spent: what the ledger counts, whatever was used"),
            (found.shown, theme.private, "shown: what the energy used took up of it"),
        )
        for panel, (values, colour, title) in enumerate(rows):
            top = _TITLE_INCH + panel * (_PANEL_INCH + _GAP_INCH)
            axes = sheet.axes(LEFT_INCH, top, width, _PANEL_INCH)
            axes.bar(found.hours_s, values, width=0.86 * found.hour_s, align="edge", color=colour)
            axes.set_title(title)
            axes.set_ylabel("epsilon")
            time_axis(axes, first_s, last_s, form.narrow, labelled=panel == 1)
            plain_numbers(axes, 3)
        return sheet

    caption = (
        "The upper bars bound what any reader of the totals can learn from the hour, and an hour "
        "without use costs as much as any other. The lower ones are drawn at a scale of their own: "
        "energy over the cap, times epsilon. They depend on what was used, so they stay in the "
        "home and promise nothing."
    )
    alt = f"Two rows of bars by {unit}. {finding}."
    return Plan("hours", finding, alt, caption, draw)
