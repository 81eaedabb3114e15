"""The page of the market study.

pictures = draw_market(study)
page(study, pictures, command)      # the text of one file that needs no other
"""

from __future__ import annotations

from collections.abc import Sequence

from hushmeter.report import page as pages
from hushmeter.report.pictures import FORMS, Form, Picture, draw
from hushmeter.report.pictures import market as pictures_of_market
from hushmeter.study.market import PAPER, MarketStudy

_MICRO = 1_000_000
_HEADINGS = {
    "load": "What the homes draw",
    "prices": "What energy costs",
    "clearing": "One interval",
}


def draw_market(found: MarketStudy, forms: Sequence[Form] = FORMS) -> list[Picture]:
    """The study's three pictures, in the order of the page."""
    return [draw(plan, forms) for plan in pictures_of_market.plans(found)]


def rows(found: MarketStudy) -> list[tuple[str, str, str]]:
    """What the two days come to: what, at the flat price, on the market."""
    days = found.flat, found.market

    def both(what: str, form: str, amounts: Sequence[float]) -> tuple[str, str, str]:
        shown = [form.format(amount) for amount in amounts]
        return what, shown[0], shown[1]

    def money(what: str, amounts: Sequence[float]) -> tuple[str, str, str]:
        return both(what, "{:,.2f}", [amount / _MICRO for amount in amounts])

    return [
        both("highest draw, kW", "{:,.1f}", [day.peak_w / 1000 for day in days]),
        both("energy from the utility, kWh", "{:,.0f}", [day.used_wh / 1000 for day in days]),
        money("homes pay", [day.paid_micro for day in days]),
        money("energy costs the utility", [day.energy_micro for day in days]),
        money("utility keeps", [day.paid_micro - day.energy_micro for day in days]),
        money("panels cost", [day.sun_micro for day in days]),
        money("comfort lost", [day.comfort_micro for day in days]),
        money("left in homes and batteries", [day.kept_micro for day in days]),
        money("cost to all together", [day.cost_micro for day in days]),
        both("too cool, kelvin hours a home", "{:,.1f}",
             [day.chill_kh / found.homes for day in days]),
        both("jobs not done in time", "{:,}", [day.late_jobs for day in days]),
    ]  # fmt: skip


def page(found: MarketStudy, pictures: Sequence[Picture], command: str) -> str:
    """The page's text."""
    gain = (found.flat.cost_micro - found.market.cost_micro) / _MICRO
    return (
        pages.environment()
        .get_template("market.html.j2")
        .render(
            study=found,
            paper=PAPER,
            pictures=pictures,
            headings=_HEADINGS,
            rows=rows(found),
            gain=gain,
            gain_percent=100 * gain * _MICRO / found.flat.cost_micro,
            paid_percent=100 * (found.market.paid_micro / found.flat.paid_micro - 1),
            command=command,
        )
    )
