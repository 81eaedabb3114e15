"""The boards on ports that a street takes in: their options, and whether they may come."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from hushmeter.cluster.keyfile import read_seed
from hushmeter.cluster.roster import Authority
from hushmeter.devices.meter_plan import derived_seed
from hushmeter.emulate.port_meter import Invitation, PortMeter
from hushmeter.emulate.settings import STREET, StreetSettings, seated
from hushmeter.errors import HushmeterError


def check_port_options(options: Mapping[str, Any]) -> None:
    """What cannot be, before a port is opened.

    Raises
    ------
    HushmeterError
        Names the option.
    """
    ports, provision = options["ports"], options["provision"]
    if provision and not ports:
        raise HushmeterError("--provision is for the boards on --port")
    if options["replace_identity"] and not provision:
        raise HushmeterError("--replace-identity goes with --provision")
    if len(ports) > options["meters"]:
        raise HushmeterError(
            f"{len(ports)} boards on ports are more than {options['meters']} --meters"
        )
    if ports and options["seed"] is not None and not options["force"]:
        raise HushmeterError(
            "--seed would put a fixed seed, which is insecure, onto a real board",
            hint="leave --seed out, or say --force",
        )


class Guests:
    """The boards on ports: looked at before the street is checked, let go after it has run."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.boards = {guest.name: guest for guest in map(PortMeter, options["ports"])}
        if len(self.boards) < len(options["ports"]):
            raise HushmeterError("one port is named twice")
        self.authority = _authority(options["authority"], options["seed"])
        self._options = options

    def seat(self, settings: StreetSettings, stack: ExitStack) -> StreetSettings:
        """The settings with every board in its place."""
        if not self.boards:
            return settings
        invitation = Invitation(
            street=settings.street,
            authority_key=self.authority.public_key,
            meters=settings.meters,
            emulated_street=STREET,
            provision=self._options["provision"],
            replace_identity=self._options["replace_identity"],
        )
        seats = []
        for guest in self.boards.values():
            stack.callback(guest.kill)
            click.echo(f"looking at the board at {guest.name}", err=True)
            seats.append(guest.look(invitation))
            click.echo(f"  {seats[-1].described()}", err=True)
        return replace(settings, ports=seated(seats, settings.meters))


def _authority(key: Path | None, seed: str | None) -> Authority:
    """Who signs the rosters: the key in a file, or one for this run only."""
    if key is not None:
        return Authority(read_seed(key))
    return Authority(secrets.token_bytes(32) if seed is None else derived_seed(seed, "authority"))
