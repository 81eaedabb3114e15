"""Questions that a command asks before it goes on."""

import sys

import click

from hushmeter.devices.trust import Consent, Pin
from hushmeter.errors import HushmeterError

accept_option = click.option(
    "--accept-new-hash",
    "accept",
    is_flag=True,
    help="Take an image whose digest nobody knows without asking, and pin it.",
)


def can_answer() -> bool:
    """Whether somebody sits at the terminal."""
    return sys.stdin.isatty()


def confirmed(question: str, option: str) -> bool:
    """Ask yes or no on the terminal; where nobody can answer, say which option stands for yes.

    Raises
    ------
    HushmeterError
        Standard input is no terminal.
    """
    if not can_answer():
        raise HushmeterError(f"{question} Nobody is here to ask.", hint=f"say yes with {option}")
    return click.confirm(question, default=False, err=True)


def image_consent(accept: bool) -> Consent:
    """What asks about an image whose digest nobody knows; yes without a question if ``accept``."""

    def consent(pin: Pin) -> bool:
        click.echo(
            "Nobody has checked this image yet:\n"
            f"  address  {pin.url}\n  bytes    {pin.bytes}\n  sha256   {pin.sha256}\n"
            "Compare it with what the makers publish. From now on only this file is taken.",
            err=True,
        )
        return accept or confirmed("Take it?", "--accept-new-hash")

    return consent
