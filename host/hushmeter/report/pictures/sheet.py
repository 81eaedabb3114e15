"""A sheet to draw on: theme, size, headline, and axes placed in inches.

Every picture is drawn in four forms, for a wide and a narrow window and for light and dark
surroundings; they differ only in what this module defines.
"""

from __future__ import annotations

import io
import math
import re
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

_DAY_S = 86_400
_TICK_STEPS_S = (10, 60, 300, 600, 1800, 3600, 7200, 10_800, 21_600, 43_200, _DAY_S)
_INCH_PER_TITLE_LINE = 0.21
_INCH_PER_NOTE_LINE = 0.17
_PATH = re.compile(rb' d="[^"]*"')
_SURPLUS_DIGITS = re.compile(rb"(\.\d\d)\d+")
_TITLE_CHARS_PER_INCH = 10.3
_NOTE_CHARS_PER_INCH = 15.0
_WARNING_CHARS_PER_INCH = 12.5


@dataclass(frozen=True)
class Theme:
    """Colours; told apart by lightness as well as hue, so that they survive in grey."""

    name: str
    paper: str
    ink: str
    muted: str
    rule: str
    private: str
    """What only the home knows."""
    seen: str
    """What the utility sees."""
    band: str
    good: str
    warn: str
    bad: str
    quiet: str


LIGHT = Theme(
    name="light",
    paper="#ffffff",
    ink="#1c2530",
    muted="#5b6672",
    rule="#d9dee3",
    private="#d98a2b",
    seen="#17607d",
    band="#cfe1e8",
    good="#dfeae6",
    warn="#e0a63c",
    bad="#b3261e",
    quiet="#8793a0",
)
DARK = Theme(
    name="dark",
    paper="#171c22",
    ink="#e6eaee",
    muted="#a0abb6",
    rule="#343d47",
    private="#e6a04a",
    seen="#6db9d8",
    band="#24414e",
    good="#26363a",
    warn="#d9a441",
    bad="#ff7468",
    quiet="#65717d",
)


@dataclass(frozen=True)
class Form:
    """One of the forms of a picture: how wide, in which colours."""

    theme: Theme
    narrow: bool

    @property
    def width_inch(self) -> float:
        return 4.3 if self.narrow else 9.6

    @property
    def name(self) -> str:
        return f"{'narrow' if self.narrow else 'wide'}-{self.theme.name}"

    def rc(self) -> dict[Any, Any]:
        """Settings of matplotlib; the fixed salt makes the same run give the same bytes."""
        theme = self.theme
        return {
            "font.family": "DejaVu Sans",
            "font.size": 8.5,
            "text.parse_math": False,
            "text.color": theme.ink,
            "figure.facecolor": theme.paper,
            "axes.facecolor": theme.paper,
            "axes.edgecolor": theme.rule,
            "axes.labelcolor": theme.muted,
            "axes.titlesize": 9,
            "axes.titlelocation": "left",
            "axes.titlecolor": theme.ink,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.axisbelow": True,
            "grid.color": theme.rule,
            "grid.linewidth": 0.6,
            "xtick.color": theme.rule,
            "ytick.color": theme.rule,
            "xtick.labelcolor": theme.muted,
            "ytick.labelcolor": theme.muted,
            "legend.frameon": False,
            "legend.fontsize": 8.5,
            "legend.handlelength": 1.6,
            "legend.columnspacing": 1.4,
            "legend.borderaxespad": 0.0,
            "legend.borderpad": 0.0,
            "svg.hashsalt": "hushmeter",
            "svg.fonttype": "path",
        }


FORMS = tuple(Form(theme, narrow) for narrow in (False, True) for theme in (LIGHT, DARK))


class Sheet:
    """A figure with a headline that states the finding, and an optional warning line below."""

    def __init__(self, form: Form, body_inch: float, title: str, note: str, warning: str) -> None:
        self.form = form
        self.theme = form.theme
        self._body_inch = body_inch
        width = form.width_inch
        titles = textwrap.wrap(title, int(width * _TITLE_CHARS_PER_INCH))
        notes = textwrap.wrap(note, int(width * _NOTE_CHARS_PER_INCH))
        warnings = textwrap.wrap(warning, int(width * _WARNING_CHARS_PER_INCH))
        head = 0.1 + len(titles) * _INCH_PER_TITLE_LINE + len(notes) * _INCH_PER_NOTE_LINE
        self._foot = 0.06 + len(warnings) * _INCH_PER_NOTE_LINE
        self._height = head + body_inch + self._foot
        self.figure = Figure(figsize=(width, self._height))
        self._lines(titles, 0.06, _INCH_PER_TITLE_LINE, size=11, weight="bold")
        below = 0.06 + len(titles) * _INCH_PER_TITLE_LINE
        self._lines(notes, below, _INCH_PER_NOTE_LINE, size=8.5, color=self.theme.muted)
        self._lines(
            warnings,
            head + body_inch,
            _INCH_PER_NOTE_LINE,
            size=8.5,
            color=self.theme.bad,
            weight="bold",
        )

    def _lines(self, lines: list[str], top_inch: float, step_inch: float, **style: object) -> None:
        for number, line in enumerate(lines):
            self.figure.text(
                0.03 / self.form.width_inch,
                1 - (top_inch + number * step_inch) / self._height,
                line,
                va="top",
                **style,  # type: ignore[arg-type]
            )

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Axes at `left` and `top` of the body, all in inches."""
        bottom = self._foot + self._body_inch - top - height
        across, up = self.form.width_inch, self._height
        axes = self.figure.add_axes((left / across, bottom / up, width / across, height / up))
        axes.tick_params(length=3)
        return axes

    def height_of(self, axes: Axes) -> float:
        """Height of axes on this sheet, inches."""
        return float(axes.get_position().height * self._height)

    def svg(self) -> bytes:
        """The sheet as SVG, without date and with paths rounded to a hundredth of a point."""
        out = io.BytesIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        self.figure.savefig(out, format="svg", metadata=nothing, dpi=150)
        return _PATH.sub(lambda path: _SURPLUS_DIGITS.sub(rb"\1", path.group()), out.getvalue())

    def png(self) -> bytes:
        """The sheet as PNG."""
        out = io.BytesIO()
        self.figure.savefig(out, format="png", metadata={"Software": None}, dpi=150)
        return out.getvalue()


@contextmanager
def drawing(form: Form) -> Iterator[None]:
    """Matplotlib's own defaults with the form's on top, whatever the user has configured."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(form.rc())
        yield


def time_axis(
    axes: Axes, first_s: float, last_s: float, narrow: bool, labelled: bool = True
) -> None:
    """Time along x, in Unix seconds, with ticks at round times."""
    most = 5 if narrow else 9
    step = next((step for step in _TICK_STEPS_S if (last_s - first_s) / step < most), None)
    step = step or _DAY_S * math.ceil((last_s - first_s) / most / _DAY_S)
    ticks = range(math.ceil(first_s / step) * step, math.floor(last_s) + 1, step)
    within_a_day = last_s - first_s <= _DAY_S
    axes.set_xlim(first_s, last_s)
    axes.set_xticks(ticks, [_tick_label(tick, within_a_day) for tick in ticks])
    first, last = (f"{datetime.fromtimestamp(time, UTC):%Y-%m-%d}" for time in (first_s, last_s))
    if not labelled:
        axes.tick_params(labelbottom=False)
    elif within_a_day:
        axes.set_xlabel(f"time of day, {first} (UTC)")
    else:
        axes.set_xlabel(f"{first} to {last} (UTC)")


def _tick_label(unix_s: int, within_a_day: bool) -> str:
    midnight = unix_s % _DAY_S == 0 and not within_a_day
    return datetime.fromtimestamp(unix_s, UTC).strftime("%d %b" if midnight else "%H:%M")


def plain_numbers(axes: Axes, ticks: int = 5) -> None:
    """Thousands with commas along y, and faint lines across."""
    axes.yaxis.set_major_locator(MaxNLocator(ticks))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axes.grid(axis="y")
