"""The page of a calibration: what error each load had before, and what is left of it."""

from __future__ import annotations

from hushmeter.devices.calibration import Found, rms
from hushmeter.report import page as pages
from hushmeter.report.pictures import FORMS, Form, draw
from hushmeter.report.pictures.calibration import errors_plan


def page(found: Found, version: int, *, written: bool, forms: tuple[Form, ...] = FORMS) -> str:
    """The page's text; it needs no other file."""
    rows = sorted(found.residuals, key=lambda row: row.true_w)
    return (
        pages.environment()
        .get_template("calibration.html.j2")
        .render(
            headline=headline(found),
            driver=found.driver,
            version=version,
            written=written,
            picture=draw(errors_plan(found, headline(found)), forms),
            rows=[
                [
                    f"{row.true_w:,.1f}", f"{row.read_w:,.1f}",
                    *(_error(row.percent(e), e) for e in (row.before_w, row.after_w)),
                    _error(row.percent(row.left_out_w), row.left_out_w),
                ]
                for row in rows
            ],
            constants=sorted(found.constants.items()),
            points=found.points,
        )
    )  # fmt: skip


def headline(found: Found) -> str:
    """What the calibration does, in one sentence; its honest part is the load left out."""
    before = rms([row.before_w for row in found.residuals]) or 0.0
    left = found.rms_left_out_w
    if left is None:
        return f"Errors of {before:.1f} W before; too few loads to say what is left"
    return f"Errors of {before:.1f} W before, {left:.1f} W for a load that the fit has not seen"


def _error(percent: float | None, watts: float | None) -> str:
    if watts is None:
        return "–"
    return f"{watts:+.1f} W" + ("" if percent is None else f" ({percent:+.2f} %)")
