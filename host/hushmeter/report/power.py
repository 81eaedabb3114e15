"""The page of the privacy-power study.

pictures = draw_power(study)
page(study, pictures, command)      # the text of one file that needs no other
"""

from __future__ import annotations

from collections.abc import Sequence

from hushmeter.report import page as pages
from hushmeter.report.pictures import FORMS, Form, Picture, draw
from hushmeter.report.pictures import power as pictures_of_power
from hushmeter.study.power import FIGURES, PAPER, PowerStudy
from hushmeter.study.power_corrections import corrections
from hushmeter.study.power_published import statements

SHOWN_BESIDE = {
    "binary": ("falls_and_bends", "binary_curves_cross", "light_load_hides_sooner"),
    "uniform": ("optimal_is_much_better",),
    "same_levels": ("first_user_hides_first", "third_user_hides_last"),
    "same_mean": ("second_user_of_equal_means", "concave_and_piecewise_convex"),
    "users": ("regimes", "more_users_leak_more", "ends"),
    "exponential": (),
}
"""Which of the paper's statements belong to which picture."""

_HEADINGS = {
    "binary": "One user, a load that is on or off",
    "uniform": "One user, 21 levels",
    "same_levels": "Three users with the same levels",
    "same_mean": "Three users with the same mean",
    "users": "How many users: on or off",
    "exponential": "How many users: exponential loads",
}


def draw_power(found: PowerStudy, forms: Sequence[Form] = FORMS) -> list[Picture]:
    """The study's six pictures, in the order of the page."""
    return [draw(plan, forms) for plan in pictures_of_power.plans(found)]


def page(found: PowerStudy, pictures: Sequence[Picture], command: str) -> str:
    """The page's text."""
    told = statements(found)
    by_key = {statement.key: statement for statement in told}
    return (
        pages.environment()
        .get_template("power.html.j2")
        .render(
            study=found,
            paper=PAPER,
            pictures=pictures,
            headings={
                name: (title, f"as {FIGURES[name]} of the paper")
                for name, title in _HEADINGS.items()
            },
            beside={name: [by_key[key] for key in keys] for name, keys in SHOWN_BESIDE.items()},
            agreed=sum(statement.agrees for statement in told),
            statements=told,
            corrections=corrections(found),
            command=command,
        )
    )
