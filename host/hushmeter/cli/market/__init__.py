"""``hushmeter market``: curves, the price, each home's share, and the public record."""

import click

from hushmeter.cli import Entry, LazyGroup

COMMANDS = {
    "clear": Entry("market.clear", "clear", "Find the price of an interval from masked curves."),
    "countersign": Entry(
        "market.countersign", "countersign", "Sign a transcript as the street's authority."
    ),
    "curve": Entry("market.curve", "curve", "Make a home's curves from its settings."),
    "keygen": Entry("market.keygen", "keygen", "Make the utility's Paillier key for the ring."),
    "day": Entry("market.day", "day", "Run a day of a market on emulated meters."),
    "set": Entry("market.home", "set_home", "Give a home's meter its price responses."),
    "verify": Entry("market.verify", "verify", "Compute the prices of a transcript again."),
}


@click.group(cls=LazyGroup, entries=COMMANDS)
def market() -> None:
    """Trade on a local market without showing anybody a home's curve.

    \b
    Example:
      hushmeter market clear --curves street.csv
    """
