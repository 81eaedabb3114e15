"""``hushmeter leakage``: how many bits leak, each figure between bounds; one file a command."""

import click

from hushmeter.cli import Entry, LazyGroup

COMMANDS = {
    "cascade": Entry("leakage.cascade", "cascade", "Bounds for batteries in series."),
    "home": Entry("leakage.home", "home", "What a home's load file leaks, and the least it could."),
    "power": Entry("leakage.power", "power", "The least leakage with an alternative source."),
    "rate": Entry("leakage.rate", "rate", "What a given policy leaks, exact or simulated."),
    "single": Entry("leakage.single", "single", "The least that one battery can leak."),
    "users": Entry("leakage.users", "users", "Several homes that share an alternative source."),
}


@click.group(cls=LazyGroup, entries=COMMANDS)
def leakage() -> None:
    """Say how many bits a step leak from a load to the meter; bits unless a name says nats.

    \b
    Example:
      hushmeter leakage single --dist 0.5,0.5 --capacity 4
    """
