"""The page of `hushmeter study leakage-hil`, and the rows that the terminal shows too."""

from __future__ import annotations

from hushmeter.leakage.policy_file import CASCADE
from hushmeter.report import page as pages
from hushmeter.report.pictures import Picture
from hushmeter.study.leakage_hil import Measured, OnBoard
from hushmeter.study.leakage_measure import CONFIDENCE, FALSE_ALARM, Frequencies

Rows = list[tuple[str, str]]


def page(found: Measured, picture: Picture, command: str) -> str:
    """The page's text."""
    return (
        pages.environment()
        .get_template("leakage_hil.html.j2")
        .render(
            boards=" and ".join(one.board for one in found.boards),
            passed=found.passed,
            verdict=found.verdict,
            picture=picture,
            leakage=leakage_rows(found),
            tests=[(f"Board {one.board}", test_rows(one)) for one in found.boards],
            runs_a_false_alarm=round(1 / FALSE_ALARM),
            settings=_settings(found),
            command=command,
        )
    )


def leakage_rows(found: Measured) -> Rows:
    """What leaks, what should, and for a second supply what it gave."""
    figures, rate = found.design.figures, found.leakage
    rows = [
        ("verdict", found.verdict),
        ("measured", f"{rate.rate:.5f}, {CONFIDENCE:.1%} sure: {rate.low:.5f} to {rate.high:.5f}"),
        ("designed, rounded", f"{figures.rounded_lower:.9f} to {figures.rounded_upper:.9f}"),
        (
            "bound of these policies" if found.design.kind == CASCADE else "the least possible",
            f"{figures.value:.9f}",
        ),
        ("meets it, if table followed", "yes" if found.meets else "NO"),
        (
            "from frequencies alone",
            "too few steps"
            if found.plug_in_upper is None
            else f"{found.plug_in_upper:.5f} or less, but for sampling",
        ),
    ]
    if found.given is not None and found.most_overdraft_ws is not None:
        given, power_ws = found.given, (found.design.power or 0.0) * found.design.quantum_w
        rows += [
            (
                "the supply gave",
                f"{given.rate:.5f} quanta a step, {given.low:.5f} to {given.high:.5f}; "
                f"{found.design.power:g} was meant",
            ),
            (
                "overdraft",
                f"{found.overdraft_ws} Ws at the end, {found.most_overdraft_ws} Ws at most, of "
                f"{power_ws * found.design.step_s * found.steps:,.0f} Ws",
            ),
        ]
    return rows


def test_rows(one: OnBoard) -> Rows:
    """The tests of one board's draws, and of the control."""
    return [
        (f"{one.controller} against its table", _told(one.frequencies)),
        ("draws by its table", "yes" if one.frequencies.fits else "NO"),
        ("a bias it would notice", _bias(one)),
        (f"control: {one.control_name} in its place", _told(one.control)),
        ("the control is caught", "NO" if one.control.fits else "yes"),
        ("speed", f"{one.steps_per_s:,.0f} steps a second, the link included"),
    ]


def _bias(one: OnBoard) -> str:
    if one.bias_found is None:
        return "none: too few steps, or every draw of the table is certain"
    return f"{one.bias_found:.1%} of draws, in half of such runs; less is mostly unseen"


def _told(tested: Frequencies) -> str:
    return (
        f"chi-square {tested.chi_square:.1f}, {tested.freedom} degrees of freedom: "
        f"p = {tested.p_value:.2g}; successive draws: p = {tested.serial_p_value:.2g}"
    )


def _settings(found: Measured) -> Rows:
    design = found.design
    size = f"capacity {design.capacity}" if design.power is None else f"power {design.power:g}"
    load = ", ".join(f"{chance:.4g}" for chance in design.law[:12])
    return [
        ("load", f"{load}{', ...' if design.law.size > 12 else ''}, drawn here, seed {found.seed}"),
        ("design", f"{design.kind}, {size} quanta; {design.quantum_w} W, {design.step_s} s"),
        ("steps", f"{found.steps:,}"),
        (
            "the board's choices",
            "seeded from here" if found.repeatable else "its own generator, its own entropy",
        ),
    ]
