"""What the values of options mean, where several commands take the same kind."""

from datetime import date, datetime
from fractions import Fraction

import click

from hushfw.core.config import SAMPLERS
from hushfw.core.roster import MAX_WINDOW_DAYS
from hushmeter.devices.meter_plan import PrivacyCap
from hushmeter.errors import HushmeterError

_EXPONENT_DIGITS = 3
_DAY_DIGITS = 3


noise_sampler_option = click.option(
    "--noise-sampler",
    type=click.Choice(SAMPLERS),
    default=SAMPLERS[0],
    show_default=True,
    help="Of noise shares: bounded takes the same time whatever it draws, and adds 2^-64 of delta.",
)


def _privacy_cap(
    ctx: click.Context, option: click.Parameter, text: str | None
) -> PrivacyCap | None:
    """50/30d: an epsilon over so many days; None where none is given."""
    if text is None:
        return None
    amount, slash, days = text.removesuffix("d").rpartition("/")
    epsilon = positive_fraction(amount) if slash and text.endswith("d") else None
    window_days = int(days) if days.isdecimal() and len(days) <= _DAY_DIGITS else 0
    if (
        epsilon is None
        or max(epsilon.as_integer_ratio()) >= 1 << 32
        or not 1 <= window_days <= MAX_WINDOW_DAYS
    ):
        raise HushmeterError(
            f"{option.opts[0]} is {text!r}; it must be an epsilon over 1 to {MAX_WINDOW_DAYS} "
            "days, such as 4320/30d"
        )
    return PrivacyCap(epsilon, window_days)


privacy_cap_option = click.option(
    "--privacy-cap",
    callback=_privacy_cap,
    metavar="EPSILON/DAYSd",
    help="What the home calls enough, such as 4320/30d: reaching it labels totals, stops nothing.",
)


def settings(ctx: click.Context, option: click.Parameter, texts: tuple[str, ...]) -> dict[str, int]:
    """name=value, repeated; whole numbers."""
    found: dict[str, int] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        try:
            number = int(value)
        except ValueError:
            equals = ""
        if not equals or not name:
            raise HushmeterError(
                f"{option.opts[0]} {text!r}; it must be name=value with a whole number, "
                "such as offset_w=115"
            )
        if name in found:
            raise HushmeterError(f"{option.opts[0]} {name} is given twice")
        found[name] = number
    return found


def day(ctx: click.Context, option: click.Parameter, text: str | None) -> date | None:
    """A day such as 2023-01-01; None where none is given."""
    if text is None:
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%d").date()
    except ValueError as error:
        raise HushmeterError(
            f"{option.opts[0]} is {text!r}; it must be a day such as 2023-01-01"
        ) from error


def positive_fraction(text: str) -> Fraction | None:
    """The exact value of a positive decimal or fraction; None for any other text."""
    exponent = text.lower().partition("e")[2]
    # A number with an exponent is written out, so a long one would take for ever.
    if len(exponent) > _EXPONENT_DIGITS:
        return None
    try:
        found = Fraction(text)
    except (ValueError, ZeroDivisionError):
        return None
    return found if found > 0 else None
