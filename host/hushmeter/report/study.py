"""The page of a study: pictures, tables, and beside them what the publication says.

pictures = draw_stepping(study)
page(study, pictures, command)      # the text of one file that needs no other
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from hushmeter.battery.metrics import BIN_W, THRESHOLD_W
from hushmeter.report import page as pages
from hushmeter.report.pictures import FORMS, Form, Picture, draw, stepping, stepping_leakage
from hushmeter.report.pictures.stepping_common import LABELS
from hushmeter.study.equal_privacy import STEPS_PER_DOUBLING, Ratio
from hushmeter.study.measure import SHUFFLES, Row
from hushmeter.study.published import AXES, PAPER, RATIOS, STUDIED_WH, accuracy_range
from hushmeter.study.stepping import EVENT_CONTROLLERS, Study

SHOWN_BESIDE = {
    "stretch": (),
    "sizes": ("size_matters", "binary_depends_less_on_size"),
    "homes": (
        "stepping_leaks_least",
        "rc_is_best_in_binary",
        "lazy_is_next_in_binary",
        "lazy_is_best_in_markov",
        "markov_is_close",
    ),
    "events": (
        "nill_shows_more_events",
        "larger_batteries_show_fewer_events",
        "claims_are_accurate",
        "accuracy_is_the_same_in_all_homes",
    ),
    "ratios": ("be_needs_a_larger_battery", "nill_needs_a_larger_one_still"),
}
"""Which of the paper's statements belong to which picture."""

_HEADINGS = {
    "stretch": ("A stretch of one home", "as Fig. 2"),
    "sizes": ("Leakage against battery size", "as Fig. {figure} (a, c, e)"),
    "homes": ("Leakage across homes", "as Fig. {figure} (b, d, f)"),
    "events": ("Events that show", "as Table 5"),
    "ratios": ("Battery size at equal privacy", "as Table 6"),
}


def draw_stepping(study: Study, forms: Sequence[Form] = FORMS) -> list[Picture]:
    """The study's five pictures, in the order of the page."""
    plans = (
        stepping.stretch(study),
        stepping_leakage.sizes(study),
        stepping_leakage.homes(study),
        stepping.events(study),
        stepping.ratios(study),
    )
    return [draw(plan, forms) for plan in plans]


def page(study: Study, pictures: Sequence[Picture], command: str) -> str:
    """The page's text."""
    statements = {statement.key: statement for statement in study.statements}
    figure = 4 if study.step_s == 1 else 3
    return (
        pages.environment()
        .get_template("study.html.j2")
        .render(
            study=study,
            paper=PAPER,
            pictures=pictures,
            headings={
                name: (title, where.format(figure=figure) + " of the paper")
                for name, (title, where) in _HEADINGS.items()
            },
            beside={name: [statements[key] for key in keys] for name, keys in SHOWN_BESIDE.items()},
            axes=_axes(study),
            agreed=sum(statement.agrees for statement in study.statements),
            differs=[statement for statement in study.statements if not statement.agrees],
            events_by_size=_event_rows(study.sizes, lambda row: f"{row.capacity_wh / 1000:g} kWh"),
            events_by_home=_event_rows(study.homes, lambda row: row.home),
            event_names=[LABELS[name] for name in EVENT_CONTROLLERS],
            accuracy=[f"{share:.0%}" for share in accuracy_range(study.step_s)],
            ratio_rows=ratio_rows(study),
            grid=f"2^(1/{STEPS_PER_DOUBLING})",
            settings=_settings(study),
            command=command,
        )
    )


def ratio_rows(study: Study) -> list[list[str]]:
    """Table 6, for the page and the terminal: home, LS2's size, then the three controllers."""
    table: dict[tuple[str, int], list[str]] = {}
    for ratio in study.ratios:
        start = [ratio.home, f"{ratio.reference_wh / 1000:g} kWh"]
        table.setdefault((ratio.home, ratio.reference_wh), start).append(_ratio(ratio))
    paper = RATIOS.get(study.step_s)
    if paper:
        name = "paper: M1" if study.step_s > 1 else "paper: S1"
        table["", 0] = [name, "not said", f"{paper['be']}", "", f"{paper['nill']}"]
    return list(table.values())


def _ratio(ratio: Ratio) -> str:
    low, high = ratio.ratio_ci
    if ratio.ratio is None:
        return "beyond the grid"
    ends = ["" if low is None else f"{low:.2f}", "more" if high is None else f"{high:.2f}"]
    interval = " to ".join(ends) if ends[0] else f"up to {ends[1]}"
    unbiased = "?" if ratio.ratio_less_bias is None else f"{ratio.ratio_less_bias:.2f}"
    return f"{ratio.ratio:.2f} ({interval}; {unbiased})"


def _event_rows(rows: Iterable[Row], name: Callable[[Row], str]) -> list[list[str]]:
    """A line a size or home: events a day and their accuracy, controller by controller."""
    table: dict[str, dict[str, Row]] = {}
    for row in rows:
        if row.controller in EVENT_CONTROLLERS:
            table.setdefault(name(row), {})[row.controller] = row
    return [[label, *_cells(found)] for label, found in table.items()]


def _cells(found: dict[str, Row]) -> list[str]:
    cells = []
    for name in EVENT_CONTROLLERS:
        row = found[name]
        cells += [
            f"{row.events_per_day:.1f}",
            "–" if row.accuracy is None else f"{row.accuracy:.0%}",
        ]
    return cells


def _axes(study: Study) -> dict[str, str]:
    """What the ends of the published axes say of heights, where the text has them."""
    if study.step_s != 60:
        return {}
    told = {}
    for which, rows in (("sizes", study.sizes), ("homes", study.homes)):
        parts = []
        for measure, label in (("mi", "independent"), ("mi_binary", "binary")):
            values = [getattr(row, measure).bits for row in rows if row.controller != "none"]
            low, high = AXES[measure][which]
            guess = "presumably " if measure == "mi_binary" else ""
            parts.append(
                f"{guess}{low:g} to {high:g} ({label}; here the curves go from "
                f"{min(values):.2g} to {max(values):.2g})"
            )
        told[which] = (
            f"The published curves are a picture; its value axes run from {' and '.join(parts)}. "
            "The paper says neither its bins nor the base of its logarithm."
        )
    return told


def _settings(study: Study) -> dict[str, Any]:
    days = sorted({about.days for about in study.about})
    return {
        "loads": "synthetic homes" if study.is_synthetic else study.source,
        "homes": f"{len(study.about)}",
        "days": " to ".join(f"{days[end]}" for end in ((0, -1) if len(days) > 1 else (0,))),
        "step": f"{study.step_s} s",
        "batteries": "ideal, 1C: charge and discharge rate are the capacity in an hour; half full "
        "at first; the first day (a tenth of a record shorter than ten days) is not measured",
        "homes compared at": f"{STUDIED_WH / 1000:g} kWh",
        "bins": f"{BIN_W} W, zero in the middle of one",
        "threshold": f"{THRESHOLD_W} W, binary measure and events",
        "shuffled baselines": f"mean of {SHUFFLES}",
        "seed": study.seed,
    }
