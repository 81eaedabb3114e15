"""``hushmeter market``: curves, the price, each home's share, and the public record."""

import click

from hushmeter.cli import Entry, LazyGroup

COMMANDS = {
    "clear": Entry("market.clear", "clear", "Find the price of an interval from masked curves."),
    "curve": Entry("market.curve", "curve", "Make a home's curves from its settings."),
    "verify": Entry("market.verify", "verify", "Compute the prices of a transcript again."),
}


@click.group(cls=LazyGroup, entries=COMMANDS)
def market() -> None:
    """Trade on a local market without showing anybody a home's curve.

    \b
    Example:
      hushmeter market clear --curves street.csv
    """
