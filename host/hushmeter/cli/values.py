"""What the values of options mean, where several commands take the same kind."""

from datetime import date, datetime
from fractions import Fraction

import click

from hushfw.core.config import SAMPLERS
from hushmeter.errors import HushmeterError

_EXPONENT_DIGITS = 3


noise_sampler_option = click.option(
    "--noise-sampler",
    type=click.Choice(SAMPLERS),
    default=SAMPLERS[0],
    show_default=True,
    help="Of noise shares: bounded takes the same time whatever it draws, and adds 2^-64 of delta.",
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
