"""The page of ``hushmeter leakage home``: what a home's meter tells, and how little it could.

pictures = draw_pictures(report)
page(report, pictures)          # the text of one file that needs no other
"""

from __future__ import annotations

from collections.abc import Sequence

from hushmeter.leakage.fit_checks import Check
from hushmeter.leakage.home import MODEL_STEPS
from hushmeter.leakage.home_measured import Measured
from hushmeter.leakage.home_told import Told
from hushmeter.report import page as pages
from hushmeter.report.battery import Row, percent
from hushmeter.report.leakage_model import LeakageReport, bits, label
from hushmeter.report.pictures import (
    FORMS,
    Form,
    Picture,
    battery,
    draw,
    leakage_controllers,
    leakage_sizes,
    leakage_source,
)

_LAWS = {
    "iid": "every step by itself",
    "hourly": "by the hour of the day",
    "chain": "by the step before (the fitted chain)",
    "markov": "by the step before, blended",
    "markov2": "by the two steps before",
}
_NEAR = 0.1
"""Share by which the chain may differ from the best law and still be called close."""


def draw_pictures(report: LeakageReport, forms: Sequence[Form] = FORMS) -> list[Picture]:
    """Controllers, the day, the sizes of battery, the second source."""
    plans = [leakage_controllers.plan(report)]
    if report.day.runs:
        plans.append(battery.plan(report.day))
    plans += [leakage_sizes.plan(report), leakage_source.plan(report)]
    return [draw(plan, forms) for plan in plans]


def page(report: LeakageReport, pictures: Sequence[Picture]) -> str:
    """The page's text."""
    found = report.found
    return (
        pages.environment()
        .get_template("leakage.html.j2")
        .render(
            report=report,
            found=found,
            pictures=pictures,
            opening=opening(report),
            rows=summary_rows(report),
            verdict=verdict(report),
            laws=[_law_row(check) for check in found.model.checks],
            controllers=controller_rows(report),
            policies=_policy_rows(report),
            warnings=found.warnings(),
            model_steps=MODEL_STEPS,
            bits=bits,
        )
    )


def opening(report: LeakageReport) -> list[str]:
    """What a homeowner wants to know, in sentences."""
    found, unit = report.found, report.unit
    told = [
        f"Without a battery the meter of this home tells up to {bits(found.without)} bits a "
        f"{unit}: as much as the answers to {report.questions(found.without)} yes-or-no questions "
        "a day about what happens inside."
    ]
    if found.chain_lower > 0:
        told.append(
            f"With a battery of {found.asked.capacity_wh:,} Wh even the best possible controller "
            f"would tell at least {bits(found.chain_lower)} bits a {unit}, "
            f"{report.questions(found.chain_lower)} questions a day, of a home with the habits of "
            "this one."
        )
    else:
        told.append(
            f"A battery of {found.asked.capacity_wh:,} Wh is so large for this home that nothing "
            "is certain to remain; were its steps independent, the best controller would tell "
            f"{bits(found.optimum.value)} bits a {unit}."
        )
    best = found.best
    if best is not None:
        told.append(
            f"The best of those that were run on this load ({label(best.controller)}) tells at "
            f"most {bits(best.told.bits)} bits a {unit}, {report.questions(best.told.bits)} "
            "questions."
        )
        if best.rate_w > found.asked.rate_w:
            able = [one for one in report.behind if one.rate_w <= found.asked.rate_w]
            told.append(
                f"It needs a battery that can be charged and emptied with {best.rate_w:,} W"
                + _next_best(report, min(able, key=lambda one: one.told.bits, default=None))
            )
    return told


def _next_best(report: LeakageReport, other: Measured | None) -> str:
    if other is None:
        return "."
    return (
        f"; with {report.found.asked.rate_w:,} W the best is {label(other.controller)}, at most "
        f"{bits(other.told.bits)} bits, {report.questions(other.told.bits)} questions."
    )


def summary_rows(report: LeakageReport) -> list[Row]:
    """The load, the model, the limits."""
    found, unit = report.found, report.unit
    steps, upper = found.model.steps, found.chain_upper
    rows = [
        Row("Load", found.record.source, f"home {found.record.home}"),
        Row(
            "Readings",
            f"{steps.known.size:,}",
            f"one a {unit}, {steps.known.size / found.steps_a_day:,.1f} days, "
            f"from {found.record.clock(0)} UTC; {found.record.gaps:,} gaps",
        ),
        Row(
            "Levels",
            f"{found.model.chain.levels.size} of {steps.quantum_w:,} W",
            f"rounded; a quantum is {steps.quantum_wh:.4g} Wh",
        ),
        Row(
            "Battery",
            f"{found.asked.capacity_wh:,} Wh",
            f"{found.capacity:,} quanta; {found.asked.rate_w:,} W",
        ),
        Row(
            "Told without a battery",
            f"{bits(found.without)} bits a {unit}",
            f"at most; {report.questions(found.without)} questions a day",
        ),
        Row(
            "Optimum, independent steps",
            f"{bits(found.optimum.value)} bits a {unit}",
            f"J*, certified within {found.optimum.upper - found.optimum.lower:.0e}",
        ),
        Row(
            "Limit, Markov chain",
            f"{bits(found.chain_lower)} bits a {unit}",
            "no controller leaks less, if the home is that chain"
            if found.chain_lower > 0
            else "nothing can be said for certain",
        ),
    ]
    for one in found.measured:
        if one.told.whole_bits is not None:
            rows.append(_remainder_row(one.told, unit))
    if upper is not None:
        rows.append(
            Row(
                "Least known on the chain",
                f"{bits(upper[0])} ± {bits(upper[1])} bits",
                f"{upper[2]}, any rate",
            )
        )
    return rows + _source_rows(report)


def _remainder_row(told: Told, unit: str) -> Row:
    """A difference of two estimates, which is said where it is twice its error."""
    whole, error = told.whole_bits or 0.0, told.whole_stderr or 0.0
    more = told.bits - whole
    figure = f"{more:+.3f} ± {error:.3f} bits a {unit}"
    note = f"designed table on the load, less the same on whole quanta ({bits(whole)})"
    if abs(more) > 2 * error:
        return Row("Given away by remainders", figure, note)
    return Row("Given away by remainders", "not distinguishable from 0", f"{figure}; {note}")


def _source_rows(report: LeakageReport) -> list[Row]:
    """The smaller of two bounds: the source's own, and that of the meter without it."""
    point, at_most = report.found.source.asked, report.found.with_source
    if point is None or at_most is None:
        return []
    alone = (
        f"time division {bits(point.time_division)}, output limit {bits(point.output_limit)}, "
        f"without a source {bits(report.found.source.curve[0].value)}"
    )
    if point.value <= report.found.without:
        note = f"at most: I(P), whatever the home's habits; {alone}"
    else:
        note = (
            "at most: as without the source, which never makes a meter tell more. A single "
            f"{report.unit}, taken alone, is told to {bits(point.value)} bits, I(P); {alone}"
        )
    name = f"Source of {point.power_w:,.4g} W"
    return [Row(name, f"{bits(at_most)} bits a {report.unit}", note)]


def verdict(report: LeakageReport) -> list[str]:
    """What the checks of the models mean for the figures."""
    found, unit = report.found, report.unit
    checks = {check.name: check for check in found.model.checks}
    iid, chain, best = checks["iid"], checks["chain"], found.model.best
    told = [
        f"Taken {unit} by {unit}, each independent of the others, days that the law had not seen "
        f"cost {bits(iid.unseen_bits)} bits a {unit} to write down. The chain, which knows the "
        f"{unit} before, needs {bits(chain.unseen_bits)}; the best of the laws tried "
        f"({_LAWS[best.name]}) {bits(best.unseen_bits)}."
    ]
    if best.unseen_bits < (1 - _NEAR) * iid.unseen_bits:
        told.append(_dependence(report))
    else:
        told.append("So for this load, at this step, independence is a fair description.")
    if chain.unseen_bits > (1 + _NEAR) * best.unseen_bits:
        told.append(
            "The chain is not the whole truth either: the best law does better, so a limit under "
            "the chain is of a home with somewhat more surprises than this one."
        )
    return told


def _dependence(report: LeakageReport) -> str:
    """What independence gets wrong; which way it errs about the battery is not known everywhere."""
    found = report.found
    optimum, lower = bits(found.optimum.value), bits(found.chain_lower)
    if found.chain_lower > found.optimum.value:
        battery = (
            "and the battery look better than it is: a load that stays high for a long time fills "
            f"or empties any battery, which then has to show it. J* ({optimum}) is exact for the "
            "imagined home and out of reach for this one"
        )
    else:
        battery = (
            f"and says little for sure about the battery: J* ({optimum}) is exact for the "
            "imagined home, and this one may have to leak less, as there is less to tell, or more, "
            "as a load that stays high for long fills or empties any battery, which has to show it"
        )
    return (
        "So independence is a bad description of this home. It makes the meter look more telling "
        f"than it is without a battery, {battery}. For this home the limit of the chain ({lower}) "
        "and the measured figures count."
    )


def _law_row(check: Check) -> list[str]:
    return [
        _LAWS[check.name],
        bits(check.seen_bits),
        f"{bits(check.unseen_bits)} ± {bits(check.unseen_stderr)}",
    ]


COLUMNS = ("", "at most", "±", "a day", "changes", "R²", "of all", "cycles", "W")
"""What `controller_rows` has."""


def controller_rows(report: LeakageReport) -> list[list[str]]:
    """One line a controller, for the page and the terminal."""
    return [
        [
            one.controller,
            bits(one.told.bits),
            bits(one.told.stderr),
            report.questions(one.told.bits),
            f"{one.figures['mi_bits']:z.3f}",
            f"{one.figures['reconstruction_r2']:.2f}",
            percent(one.figures["attack"]["recall"]),
            f"{one.figures['cycles_per_day']:.2f}",
            f"{one.rate_w:,}" if one.controller != "none" else "",
        ]
        for one in report.found.measured
    ]


def _policy_rows(report: LeakageReport) -> list[list[str]]:
    return [
        [
            one.policy,
            f"{bits(one.iid.rate)} ± {bits(one.iid.stderr)}",
            f"{bits(one.chain.rate)} ± {bits(one.chain.stderr)}",
        ]
        for one in report.found.modelled
    ]
