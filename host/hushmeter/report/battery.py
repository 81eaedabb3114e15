"""The page of ``hushmeter hide``: one home, its battery, and what the grid draw still tells.

pictures = draw_pictures(report)
page(report, pictures)          # the text of one file that needs no other
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hushmeter.battery.metrics import DAY_S
from hushmeter.battery.record import LONGEST_BRIDGED_S
from hushmeter.battery.setups import WS_PER_WH
from hushmeter.report import page as pages
from hushmeter.report.battery_model import BatteryReport, Shown
from hushmeter.report.pictures import (
    FORMS,
    Form,
    Picture,
    battery,
    battery_compare,
    battery_sizes,
    draw,
)

_MICRO = 1_000_000
_DIGITS = re.compile(r"[0-9]+")


@dataclass(frozen=True)
class Row:
    """A line of a table: what, its value, a note."""

    label: str
    value: str
    note: str = ""
    bad: bool = False


def draw_pictures(report: BatteryReport, forms: Sequence[Form] = FORMS) -> list[Picture]:
    """The day, with several runs the comparison, and the sizes where they were asked for."""
    plans = [battery.plan(report)]
    if len(report.runs) > 1 and report.hidden:
        plans.append(battery_compare.plan(report))
    if report.sizes:
        plans.append(battery_sizes.plan(report))
    return [draw(plan, forms) for plan in plans]


def page(report: BatteryReport, pictures: Sequence[Picture]) -> str:
    """The page's text."""
    first = report.runs[0]
    return (
        pages.environment()
        .get_template("battery.html.j2")
        .render(
            report=report,
            figures=first.figures,
            pictures=pictures,
            title=f"{len(report.runs)} controllers" if len(report.runs) > 1 else first.label,
            length=_length(report.record.steps * report.record.step_s),
            step=_length(report.record.step_s),
            rows=summary_rows(report),
            measures=measure_rows(report.runs),
            appliances=appliance_rows(report.runs),
            costs=_cost_rows(report.runs),
            settings=_settings(first.figures["settings"]),
            warnings=warnings(report.runs),
            bridged_minutes=LONGEST_BRIDGED_S // 60,
        )
    )


def summary_rows(report: BatteryReport) -> list[Row]:
    """The record, and of a single run what came out of it."""
    record, figures = report.record, report.runs[0].figures
    rows = [
        Row("Load", record.source, f"home {record.home}"),
        Row(
            "Record",
            _length(record.steps * record.step_s),
            f"from {record.clock(0)} UTC, steps of {_length(record.step_s)}",
        ),
        Row("Samples measured", f"{figures['samples']:,}", _left_out(report)),
        Row("Gaps", f"{record.gaps:,}", f"{record.missing_steps:,} steps" if record.gaps else ""),
    ]
    if len(report.runs) == 1:
        return rows + run_rows(report.runs[0])
    usable = {f"{run.usable_wh:,.0f} Wh" for run in report.hidden}
    errors = [run.figures["energy_balance_error_ws"] for run in report.runs]
    worst = None if None in errors else max(errors)
    return [
        *rows,
        Row("Battery", " or ".join(sorted(usable)) or "none", "between its bounds"),
        _balance_row(worst),
    ]


def _supply_rows(figures: dict[str, Any]) -> list[Row]:
    """What a second supply gave, if there is one."""
    if not figures.get("source_wh"):
        return []
    over_wh = figures["source_overdraft_wh"]
    return [
        Row(
            "Second supply",
            f"gave {figures['source_wh']:,.0f} Wh",
            f"at most {over_wh:,.0f} Wh above its design's power times the time",
        )
    ]


def run_rows(run: Shown) -> list[Row]:
    """One run in a dozen lines."""
    figures, attack = run.figures, run.figures["attack"]
    rows = [
        Row("Battery", f"{run.usable_wh:,.0f} Wh", "between its bounds")
        if run.usable_wh
        else Row("Battery", "none"),
        *_supply_rows(figures),
        *_information_rows(figures),
        Row(
            "Level changes",
            f"{figures['level_changes_per_day']:,.1f} a day",
            "of the draw",
        ),
        Row("Battery cycles", f"{figures['cycles_per_day']:.2f} a day"),
        Row(
            "Load-change attack",
            f"{attack['events']:,} claims, {attack['correct']:,} right",
            f"precision {percent(attack['precision'])}, recall {percent(attack['recall'])}",
            bad=attack["precision"] > 0.5,
        ),
        Row(
            "Load got back by a filter",
            f"{figures['reconstruction_r2']:.2f}",
            "R², 1 is the whole load",
            bad=figures["reconstruction_r2"] > 0.5,
        ),
        _balance_row(figures["energy_balance_error_ws"]),
        Row("Time of the controller", f"{1000 * figures['seconds']:,.1f} ms", "compiled"),
    ]
    return rows


def _information_rows(figures: dict[str, Any]) -> list[Row]:
    rows = []
    for name, label in (
        ("mi", "Changes tell"),
        ("mi_binary", "Switching tells"),
        ("mi_markov", "Changes tell, Markov"),
    ):
        low, high = figures[f"{name}_ci_bits"]
        rows.append(
            Row(
                label,
                f"{figures[f'{name}_bits']:z.3f} bits a sample",
                f"95 % {low:.3f} to {high:.3f}; by chance {figures[f'{name}_shuffled_bits']:.3f}",
            )
        )
    return rows


def _balance_row(error_ws: int | None) -> Row:
    if error_ws is None:
        return Row("Energy balance", "not checked", "two batteries in series with losses")
    note = "the battery's books are exact" if error_ws == 0 else "THE BOOKS ARE WRONG"
    return Row("Energy balance", f"{error_ws:,} Ws off", note, bad=error_ws != 0)


def measure_rows(runs: Sequence[Shown]) -> list[list[str]]:
    """One line a controller, for the table of the page and that of the terminal."""
    return [
        [
            run.label,
            *(f"{run.figures[f'{name}_bits']:z.3f}" for name in ("mi", "mi_binary", "mi_markov")),
            f"{run.figures['mi_shuffled_bits']:.3f}",
            f"{run.figures['reconstruction_r2']:.2f}",
            f"{run.figures['level_changes_per_day']:,.0f}",
            f"{run.figures['cycles_per_day']:.2f}",
            f"{run.figures['attack']['events']:,}",
            percent(run.figures["attack"]["precision"]),
            percent(run.figures["attack"]["recall"]),
            f"{1000 * run.figures['seconds']:,.1f}",
        ]
        for run in runs
    ]


MEASURES = (
    "", "bits", "binary", "Markov", "chance", "R²", "change", "cycle", "claims", "right", "of all",
    "ms",
)  # fmt: skip
"""What `measure_rows` has: changes of the draw and cycles of the battery are those of a day."""


def percent(share: float) -> str:
    """A share as a percentage of two digits."""
    return f"{100 * share:.1f}%" if 0 < share < 0.0995 else f"{100 * share:.0f}%"


def appliance_rows(runs: Sequence[Shown]) -> list[list[str]]:
    """F1 of the appliance attack: of the demand, the draw, and the draw with steps allowed for."""
    rows = []
    for run in runs:
        scores = run.figures["appliances"]
        if scores is not None:
            blurred = scores["grid_blurred"]
            rows.append(
                [
                    run.label,
                    *(f"{scores[name]['f1']:.2f}" for name in ("demand", "grid")),
                    f"{blurred['f1']:.2f}",
                    f"{blurred['chance_f1']:.2f}",
                    ", ".join(_found(blurred)) or "none",
                ]
            )
    return rows


def _found(scores: dict[str, Any]) -> list[str]:
    """The three appliances of which most runs were found, with at least one in ten."""
    shares = {
        name: right / runs
        for name, (_, right, runs) in scores["by_appliance"].items()
        if runs and right >= 0.1 * runs
    }
    best = sorted(shares, key=lambda name: -shares[name])[:3]
    return [f"{name} {shares[name]:.0%}" for name in best]


def _cost_rows(runs: Sequence[Shown]) -> list[list[str]]:
    rows = []
    for run in runs:
        cost = run.figures["cost"]
        if cost is not None:
            figures = (cost["before_micro"], cost["after_micro"], cost["saved_micro"])
            stored_wh = run.figures["end_charge_wh"] - run.figures["start_charge_wh"]
            rows.append(
                [
                    run.label,
                    *(f"{micro / _MICRO:,.2f} {cost['currency']}" for micro in figures),
                    f"{stored_wh:+,.0f} Wh",
                ]
            )
    return rows


def _settings(settings: dict[str, Any], prefix: str = "") -> dict[str, str]:
    shown: dict[str, str] = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            shown |= _settings(value, f"{prefix}{name}.")
        elif name.endswith("_ws"):
            shown[f"{prefix}{name.removesuffix('_ws')}"] = f"{value / WS_PER_WH:,.10g} Wh"
        else:
            shown[f"{prefix}{name}"] = f"{value:,}" if isinstance(value, int) else str(value)
    return shown


def warnings(runs: Sequence[Shown]) -> list[str]:
    """Each kind once, in its first wording, with the controllers that it is about if not all."""
    about: dict[str, list[tuple[str, str]]] = {}
    for run in runs:
        for warning in run.figures["warnings"]:
            about.setdefault(_DIGITS.sub("", warning), []).append((run.label, warning))
    found = []
    for told in about.values():
        labels, first = [label for label, _ in told], told[0][1]
        if len(labels) < len(runs):
            first = f"{first} ({', '.join(labels)})"
        elif len({warning for _, warning in told}) > 1:
            first = f"{first} (and alike for the others)"
        found.append(first)
    return found


def _left_out(report: BatteryReport) -> str:
    figures = report.runs[0].figures
    warm_up_s = figures["warm_up_s"]
    return f"after a warm-up of {_length(warm_up_s)}" if warm_up_s else "no warm-up left out"


def _length(seconds: int) -> str:
    """A length of time in its largest whole unit."""
    for unit_s, name in ((DAY_S, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= unit_s and seconds % unit_s == 0:
            count = seconds // unit_s
            return f"{count:,} {name}{'s' if count != 1 else ''}"
    if seconds > DAY_S:
        return f"{seconds / DAY_S:,.2f} days"
    return f"{seconds:,} s"
