"""What the commands of bills share: options, and how a failed check is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from hushmeter.errors import HushmeterError
from hushmeter.printable import printable

FILE = click.Path(dir_okay=False, path_type=Path)
Command = TypeVar("Command", bound=Callable[..., Any])

FAILED = 1

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
authority = click.option(
    "--authority", required=True, metavar="KEY|FILE", help="The street's authority."
)  # fmt: skip
meter_key = click.option(
    "--meter-key",
    metavar="KEY|FILE",
    help="The meter's Ed25519 public key; without it the leaves must bring its certificate.",
)
transcripts = click.option(
    "--transcript",
    "transcripts",
    type=FILE,
    multiple=True,
    help="One's own copy of a market transcript, for market prices; may be given several times.",
)


def public_ed25519(text: str | None, option: str) -> bytes | None:
    """An Ed25519 public key from an option; see ``read_authority``.

    Raises
    ------
    HushmeterError
        It is none; names the option.
    """
    from hushmeter.cluster.keyfile import read_authority

    if text is None:
        return None
    try:
        return read_authority(text)
    except HushmeterError as error:
        message = error.message.replace("--authority", option)
        raise HushmeterError(message) from error


def shown(facts: dict[str, Any], as_json: bool) -> None:
    """One JSON object, or a line a fact."""
    if as_json:
        click.echo(json.dumps(facts))
        return
    for name, value in facts.items():
        click.echo(f"{name.replace('_', ' '):16} {printable(str(value))}")
