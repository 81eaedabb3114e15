"""Meters that died: who reported in which slot, who fell silent, and what became of the slot."""

from __future__ import annotations

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from hushmeter.report.model import (
    CAME_BACK,
    DIED_BEFORE_ANSWER,
    DIED_BEFORE_REPORT,
    SLOT_STATUSES,
    StreetReport,
)
from hushmeter.report.pictures.common import (
    LEGEND_INCH,
    RIGHT_INCH,
    TIME_LABELS_INCH,
    Plan,
    legend_above,
    new_sheet,
    slot_edges,
    slot_list,
    slot_middles,
)
from hushmeter.report.pictures.sheet import Form, Sheet, Theme, time_axis

_MOST_ROWS = 24
_LABEL_INCH_PER_CHAR = 0.075
_LEFT_INCH = 0.86
_OUTCOME_INCH = 0.26
_GAP_INCH = 0.42
_MARKERS = {
    DIED_BEFORE_REPORT: "X",
    DIED_BEFORE_ANSWER: "v",
    CAME_BACK: "o",
}


def plan(report: StreetReport) -> Plan:
    finding = _finding(report)
    alt = (
        f"Timeline with one row a meter and one column a slot. {finding}. "
        f"Recovered without the silent meters: slots {_listed(report, 'recovered')}. "
        f"Completed when the meter returned: {_listed(report, 'completed')}. "
        f"Void: {_listed(report, 'void')}."
    )
    caption = (
        "A meter that dies before its report is left out, and the others' answers lift the masks "
        "it left behind: the total is recovered without it. A meter that dies between report and "
        "answer makes its slot void, for a second try with fewer meters would open its reading; "
        "if it returns in time and answers, the slot is completed late."
    )
    return Plan("dropouts", finding, alt, caption, lambda form: _draw(report, finding, form))


def _listed(report: StreetReport, status: str) -> str:
    return slot_list(report.slots_with_status(status))


def _finding(report: StreetReport) -> str:
    counts = {
        "recovered": len(report.slots_with_status("recovered")),
        "completed late": len(report.slots_with_status("completed")),
        "void": len(report.slots_with_status("void")),
    }
    disturbed = sum(counts.values())
    if not disturbed:
        return f"Every meter reported and answered in all {report.slots:,} slots"
    told = ", ".join(f"{number:,} {name}" for name, number in counts.items() if number)
    return f"Meters were missing in {disturbed:,} of {report.slots:,} slots: {told}"


def _rows(report: StreetReport) -> list[int]:
    """Columns of `words` to show: all meters of a small street, else those that were missing."""
    if report.meters <= _MOST_ROWS:
        return list(range(report.meters))
    silent = (~report.received()).sum(axis=0)
    concerned = {meter_id for _, meter_id, _ in report.events}
    missing = [
        column
        for column in range(report.meters)
        if silent[column] or report.meter_ids[column] in concerned
    ]
    worst = sorted(missing, key=lambda column: -int(silent[column]))[:_MOST_ROWS]
    return sorted(worst) or [0]


def _draw(report: StreetReport, finding: str, form: Form) -> Sheet:
    rows = _rows(report)
    columns = 2 if form.narrow else 5
    handles = _legend(report, form.theme)
    above = LEGEND_INCH + 0.19 * ((len(handles) - 1) // columns) + 0.06
    height = max(0.6, 0.2 * len(rows))
    body = above + height + _GAP_INCH + _OUTCOME_INCH + TIME_LABELS_INCH
    sheet = new_sheet(report, form, body, finding, _note(report, rows))
    width = form.width_inch - _LEFT_INCH - RIGHT_INCH
    meters = sheet.axes(_LEFT_INCH, above, width, height)
    outcome = sheet.axes(_LEFT_INCH, above + height + _GAP_INCH, width, _OUTCOME_INCH)
    _meter_rows(meters, report, rows, sheet.theme)
    _event_marks(meters, report, rows, sheet.theme)
    _outcome_row(outcome, report, form)
    edges = slot_edges(report)
    time_axis(meters, edges[0], edges[-1], form.narrow, labelled=False)
    time_axis(outcome, edges[0], edges[-1], form.narrow)
    legend_above(meters, handles, columns)
    return sheet


def _note(report: StreetReport, rows: list[int]) -> str:
    if len(rows) == report.meters:
        return ""
    return f"{len(rows)} of {report.meters:,} meters are shown, those missing most often."


def _meter_rows(axes: Axes, report: StreetReport, rows: list[int], theme: Theme) -> None:
    """One bar a meter: tinted where it reported, dark where it was silent."""
    edges = slot_edges(report)
    silent = (~report.received()[:, rows]).astype(np.int64).T
    _cells(axes, silent, (edges[0], edges[-1]), [theme.good, theme.quiet])
    for line in range(1, len(rows)):
        axes.axhline(line - 0.5, color=theme.paper, linewidth=2.5)
    axes.set_yticks(range(len(rows)), [f"meter {report.meter_ids[column]}" for column in rows])
    axes.tick_params(axis="y", length=0)
    axes.spines[:].set_visible(False)


def _cells(
    axes: Axes, kinds: NDArray[np.int64], span: tuple[float, float], colours: list[str]
) -> None:
    axes.imshow(
        kinds,
        cmap=ListedColormap(colours),
        vmin=0,
        vmax=len(colours) - 1,
        aspect="auto",
        interpolation="nearest",
        extent=(span[0], span[1], kinds.shape[0] - 0.5, -0.5),
    )


def _event_marks(axes: Axes, report: StreetReport, rows: list[int], theme: Theme) -> None:
    middles = slot_middles(report)
    line_of = {report.meter_ids[column]: line for line, column in enumerate(rows)}
    for slot, meter_id, what in report.events:
        if what in _MARKERS and meter_id in line_of:
            axes.plot(middles[slot], line_of[meter_id], clip_on=False, **_mark(what, theme))  # type: ignore[arg-type]


def _mark(what: str, theme: Theme) -> dict[str, object]:
    colour = {DIED_BEFORE_REPORT: theme.ink, DIED_BEFORE_ANSWER: theme.bad, CAME_BACK: theme.seen}
    return {
        "linestyle": "",
        "marker": _MARKERS[what],
        "markersize": 8,
        "color": colour[what],
        "markeredgecolor": theme.paper,
        "markeredgewidth": 0.8,
    }


def _status_colours(theme: Theme) -> list[str]:
    """In the order of `SLOT_STATUSES`."""
    return [theme.good, theme.seen, theme.bad, theme.warn]


def _outcome_row(axes: Axes, report: StreetReport, form: Form) -> None:
    edges, theme = slot_edges(report), form.theme
    kinds = np.array([[SLOT_STATUSES.index(status) for status in report.slot_status]])
    _cells(axes, kinds, (edges[0], edges[-1]), _status_colours(theme))
    axes.set_yticks([0], ["outcome"])
    axes.tick_params(axis="y", length=0)
    axes.spines[:].set_visible(False)
    for slot, label in _labels_with_room(report, form):
        axes.annotate(
            label,
            (edges[slot], -0.5),
            xytext=(0, 3),
            textcoords="offset points",
            color=theme.bad if report.slot_status[slot] == "void" else theme.ink,
            weight="bold",
        )


def _labels_with_room(report: StreetReport, form: Form) -> list[tuple[int, str]]:
    """(slot, label) of void and late slots, void first, without those that would overlap."""
    slots_per_inch = report.slots / (form.width_inch - _LEFT_INCH - RIGHT_INCH)
    taken: list[tuple[float, float]] = []
    labels = []
    for status in ("void", "completed"):
        for slot in report.slots_with_status(status):
            label = f"slot {slot} {status}"
            end = slot + len(label) * _LABEL_INCH_PER_CHAR * slots_per_inch
            if end <= report.slots and all(end < left or slot > right for left, right in taken):
                taken.append((slot, end))
                labels.append((slot, label))
    return labels


def _legend(report: StreetReport, theme: Theme) -> list[Artist]:
    happened = {what for _, _, what in report.events}
    handles: list[Artist] = [
        Patch(color=theme.good, label="reported; all answered"),
        Patch(color=theme.quiet, label="silent"),
    ]
    handles += [
        Line2D([], [], label=what, **_mark(what, theme))  # type: ignore[arg-type]
        for what in _MARKERS
        if what in happened
    ]
    names = ("all answered", "recovered", "void", "completed late")
    for status, name, colour in zip(SLOT_STATUSES, names, _status_colours(theme), strict=True):
        if status != "full" and report.slots_with_status(status):
            handles.append(Patch(color=colour, label=f"slot {name}"))
    return handles
