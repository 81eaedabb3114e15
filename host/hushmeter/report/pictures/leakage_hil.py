"""The measured leakage of a board, step by step nearer to what it was designed for."""

from __future__ import annotations

from matplotlib.ticker import FuncFormatter

from hushmeter.report.pictures.common import LEFT_INCH, LEGEND_INCH, RIGHT_INCH, Plan, legend_above
from hushmeter.report.pictures.sheet import Form, Sheet, plain_numbers
from hushmeter.study.leakage_hil import Measured
from hushmeter.study.leakage_measure import CONFIDENCE

_BODY_INCH = 2.6
_LABELS_INCH = 0.52


def plan(found: Measured) -> Plan:
    """The estimate and its interval after so many steps, beside the design's figure."""
    figures, last = found.design.figures, found.leakage
    where = " and ".join(one.board for one in found.boards)
    verdict = "as designed" if found.passed else found.verdict.partition(":")[0]
    finding = (
        f"{where}: {last.rate:.4f} ± {last.high - last.rate:.4f} bit a step leak, {verdict} "
        f"({_wanted(found)})"
    )
    alt = f"A line with a band that narrows onto a level as the steps grow. {finding}."
    caption = (
        f"The estimate after so many steps, with its interval of {CONFIDENCE:.1%}; shaded dark: "
        "what the rounded policy leaks, between its bounds."
    )

    warning = "REPEATABLE: the board's generator was seeded from here" if found.repeatable else ""

    def draw(form: Form) -> Sheet:
        sheet = Sheet(form, LEGEND_INCH + _BODY_INCH + _LABELS_INCH, finding, "", warning)
        width = form.width_inch - LEFT_INCH - RIGHT_INCH
        axes = sheet.axes(LEFT_INCH, LEGEND_INCH, width, _BODY_INCH)
        steps = [size for size, _ in found.running]
        theme = sheet.theme
        band = axes.fill_between(
            steps,
            [one.low for _, one in found.running],
            [one.high for _, one in found.running],
            color=theme.band,
            linewidth=0,
            label="interval",
        )
        (line,) = axes.plot(
            steps, [one.rate for _, one in found.running], color=theme.seen, label="measured"
        )
        bounds = figures.rounded_lower, figures.rounded_upper
        axes.axhspan(*bounds, color=theme.private, alpha=0.5, linewidth=0)
        level = axes.axhline(figures.value, color=theme.private, label="designed", linestyle="--")
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.set_xlabel("steps")
        axes.set_ylabel("bits a step")
        plain_numbers(axes)
        legend_above(axes, [line, band, level], 3)
        return sheet

    return Plan("leakage-hil", finding, alt, caption, draw)


def _wanted(found: Measured) -> str:
    figures = found.design.figures
    if figures.rounded_upper - figures.rounded_lower < 1e-6:
        return f"{figures.value:.4f}"
    return f"{figures.rounded_lower:.4f} to {figures.rounded_upper:.4f}"
