"""The four pictures of a street's run.

One module a picture. Each offers `plan(report)`: the finding (the headline), an alternative text, a
caption, and a function that draws it in a given form. Findings are computed: they say what this run
shows, also when that is unpleasant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hushmeter.report.model import StreetReport
from hushmeter.report.pictures import dropouts, home, total, words
from hushmeter.report.pictures.common import Plan
from hushmeter.report.pictures.sheet import FORMS, Form, drawing

__all__ = ["FORMS", "Form", "Picture", "Plan", "draw", "draw_all"]


@dataclass(frozen=True)
class Picture:
    """A drawn picture with its words.

    Attributes
    ----------
    svg:
        Form name -> SVG document.
    png:
        The first form as PNG.
    """

    name: str
    finding: str
    alt: str
    caption: str
    svg: dict[str, bytes]
    png: bytes


def draw_all(report: StreetReport, forms: Sequence[Form] = FORMS) -> list[Picture]:
    """Draw every picture of a street in every form; the first form also as PNG."""
    return [draw(module.plan(report), forms) for module in (home, total, words, dropouts)]


def draw(plan: Plan, forms: Sequence[Form] = FORMS) -> Picture:
    """Draw one picture in every form; the first form also as PNG."""
    svg: dict[str, bytes] = {}
    png = b""
    for form in forms:
        with drawing(form):
            sheet = plan.draw(form)
            svg[form.name] = sheet.svg()
            png = png or sheet.png()
    return Picture(plan.name, plan.finding, plan.alt, plan.caption, svg, png)
