"""What the utility received: one home's readings beside its masked words, and all words."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from scipy import stats

from hushmeter.privacy.words import NoiseVerdict
from hushmeter.report.model import StreetReport
from hushmeter.report.pictures.common import (
    LEFT_INCH,
    MOST_VECTOR_POINTS,
    RIGHT_INCH,
    TIME_LABELS_INCH,
    Floats,
    Plan,
    new_sheet,
    slot_edges,
    slot_middles,
    with_gaps,
)
from hushmeter.report.pictures.sheet import Form, Sheet, plain_numbers, time_axis

_TITLE_INCH = 0.3
_MOST_METERS = 60
_BINS = 32
_TWO_TO_64 = float(1 << 64)


def plan(report: StreetReport) -> Plan:
    verdict = report.noise_verdict()
    finding = _finding(verdict)
    sentence = verdict.sentence() if verdict else f"{finding}."
    alt = (
        "Four panels: one home's readings, which show its habits; the masked words sent in their "
        "place, which scatter over the whole range; a histogram of all masked words; and a map of "
        f"them over slots and meters. {sentence}"
    )
    caption = (
        f"Had the meters sent readings, the utility would have seen the orange bars. It received "
        f"the blue dots instead, numbers between 0 and 2⁶⁴. {sentence}"
    )
    return Plan("words", finding, alt, caption, lambda form: _draw(report, verdict, form))


def _finding(verdict: NoiseVerdict | None) -> str:
    if verdict is None:
        return "Too few masked words arrived to judge whether they look like noise"
    if verdict.passed:
        return (
            f"Readings go in, noise comes out: {verdict.words:,} masked words pass "
            f"all {len(verdict.p_values)} noise checks"
        )
    return (
        f"The masked words do NOT look like noise: {len(verdict.failures)} of "
        f"{len(verdict.p_values)} checks fail"
    )


def _draw(report: StreetReport, verdict: NoiseVerdict | None, form: Form) -> Sheet:
    """Two by two when wide, one beneath the other when narrow; left column in time."""
    height = 1.35 if form.narrow else 1.5
    row = _TITLE_INCH + height + TIME_LABELS_INCH
    rows = 4 if form.narrow else 2
    failed = verdict is not None and not verdict.passed
    note = ", ".join(verdict.failures) if verdict is not None and failed else ""
    sheet = new_sheet(report, form, rows * row, _finding(verdict), note and f"Failed: {note}.")
    full = form.width_inch - LEFT_INCH - RIGHT_INCH
    half = form.width_inch / 2 - LEFT_INCH - RIGHT_INCH
    width = full if form.narrow else half
    panels = []
    for number in range(4):
        column, line = (0, number) if form.narrow else divmod(number, 2)
        left = LEFT_INCH + column * form.width_inch / 2
        panels.append(sheet.axes(left, line * row + _TITLE_INCH, width, height))
    _readings(panels[0], report, sheet)
    _home_words(panels[1], report, sheet)
    _histogram(panels[2], report, sheet)
    _map(panels[3], report, sheet)
    return sheet


def _fractions(report: StreetReport) -> Floats:
    """Words / 2^64, shape (slots, meters); NaN where nothing was received."""
    fractions = report.word_array().astype(np.float64) / _TWO_TO_64
    fractions[~report.received()] = np.nan
    return fractions


def _readings(axes: Axes, report: StreetReport, sheet: Sheet) -> None:
    edges = slot_edges(report)
    axes.stairs(
        np.nan_to_num(with_gaps(report.reading_wh)),
        edges,
        fill=True,
        color=sheet.theme.private,
        linewidth=0,
        rasterized=report.slots > MOST_VECTOR_POINTS,
    )
    axes.set_title("one home's readings, which stay in the home")
    axes.set_ylabel("Wh per slot")
    plain_numbers(axes, ticks=4)
    time_axis(axes, edges[0], edges[-1], narrow=True)


def _home_words(axes: Axes, report: StreetReport, sheet: Sheet) -> None:
    edges = slot_edges(report)
    axes.plot(
        slot_middles(report),
        _fractions(report)[:, report.home_column],
        linestyle="",
        marker="o",
        markersize=3.2 if report.slots <= 300 else 1.5,
        color=sheet.theme.seen,
        clip_on=False,
        rasterized=report.slots > MOST_VECTOR_POINTS,
    )
    axes.set_title("its masked words, which the utility received")
    axes.set_ylabel("word / 2⁶⁴")
    axes.set_ylim(0, 1)
    plain_numbers(axes, ticks=4)
    time_axis(axes, edges[0], edges[-1], narrow=True)


def _histogram(axes: Axes, report: StreetReport, sheet: Sheet) -> None:
    """All words in equal bins, with the range in which 99 of 100 bins of noise fall."""
    theme = sheet.theme
    fractions = _fractions(report)
    known = fractions[~np.isnan(fractions)]
    bins = max(4, min(_BINS, len(known) // 8))
    low, high = stats.binom.interval(0.99, len(known), 1 / bins)
    axes.axhspan(float(low), float(high), color=theme.band, linewidth=0)
    axes.hist(known, bins=bins, range=(0, 1), color=theme.seen, rwidth=0.82)
    axes.axhline(len(known) / bins, color=theme.ink, linewidth=0.9, linestyle=(0, (4, 3)))
    axes.set_title("all meters' words: how often each size occurs")
    axes.set_xlabel("word / 2⁶⁴")
    axes.set_ylabel("words")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, max(axes.get_ylim()[1], 1.32 * float(high)))
    plain_numbers(axes, ticks=4)
    axes.legend(
        handles=[
            Line2D(
                [], [], color=theme.ink, linewidth=0.9, linestyle=(0, (4, 3)), label="all bins even"
            ),
            Patch(color=theme.band, label="where 99 of 100 bars end"),
        ],
        loc="upper right",
        ncols=2,
    )


def _map(axes: Axes, report: StreetReport, sheet: Sheet) -> None:
    """Words as shades of grey; gaps where nothing was received."""
    theme = sheet.theme
    shown = _fractions(report)[:, :_MOST_METERS].T
    plain = LinearSegmentedColormap.from_list("words", [theme.paper, theme.seen])
    shades = plain.with_extremes(bad=theme.quiet)
    axes.imshow(
        shown,
        cmap=shades,
        vmin=0,
        vmax=1,
        aspect="auto",
        interpolation="nearest",
        origin="upper",
        extent=(0, report.slots, shown.shape[0] + 0.5, 0.5),
    )
    if shown.shape[0] < report.meters:
        title = f"the words of the first {_MOST_METERS} of {report.meters:,} meters"
    else:
        title = "every word: light is 0, dark is 2⁶⁴"
    if sheet.theme.name == "dark":
        title = title.replace("light is 0, dark is 2⁶⁴", "dark is 0, light is 2⁶⁴")
    if np.isnan(shown).any():
        title += ", grey is silence"
    axes.set_title(title)
    axes.set_xlabel("slot")
    axes.set_ylabel("meter (column)")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
