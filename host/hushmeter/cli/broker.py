"""The options by which a command finds its broker; a password is never a word of a command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click

from hushmeter.devices.boards import Board
from hushmeter.devices.network_plan import NO_NETWORK, NetworkPlan, Wifi, network_plan
from hushmeter.errors import HushmeterError
from hushmeter.link.broker import Broker, parse_broker

Command = TypeVar("Command", bound=Callable[..., Any])

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_MOST_SECRET = 64


def broker_options(command: Command) -> Command:
    """``--broker``, which must be given, and what it needs."""
    return _with_options(command, _broker_option(True), *_CREDENTIALS)


def network_options(command: Command) -> Command:
    """What a meter needs that publishes by itself."""
    return _with_options(command, _broker_option(False), *_CREDENTIALS, *_OF_THE_METER)


def _with_options(command: Command, *options: Callable[[Command], Command]) -> Command:
    for option in reversed(options):
        command = option(command)
    return command


def _broker_option(required: bool) -> Callable[[Any], Any]:
    return click.option(
        "--broker", "broker_url", required=required, metavar="URL",
        help="mqtt://host:1883, or mqtts://host:8883 with TLS.",
    )  # fmt: skip


_CREDENTIALS = (
    click.option(
        "--ca", type=_FILE, help="The one authority whose brokers are trusted; with mqtts."
    ),
    click.option("--broker-user", metavar="NAME", help="Name at the broker."),
    click.option("--broker-password-file", type=_FILE, help="Its first line is the password."),
)
_OF_THE_METER = (
    click.option(
        "--broker-address", metavar="IP",
        help="Where the meter finds the broker: looking its name up may hold a board up.",
    ),
    click.option("--keepalive-s", type=click.IntRange(2, 3600), help="[default: 60]"),
    click.option("--wifi-ssid", metavar="NAME", help="The home's Wi-Fi."),
    click.option("--wifi-password-file", type=_FILE, help="Its first line is the password."),
)  # fmt: skip


def network_of(board: Board, options: Mapping[str, Any]) -> NetworkPlan:
    """How a meter on this board publishes by itself; nothing where no broker is named.

    Raises
    ------
    HushmeterError
        An option needs another one, or the board has no such network.
    """
    if options["broker_url"] is None:
        for name in ("ca", "broker_user", "broker_password_file", "broker_address", "wifi_ssid",
                     "wifi_password_file", "keepalive_s"):  # fmt: skip
            if options[name] is not None:
                raise HushmeterError(f"--{name.replace('_', '-')} needs a --broker")
        return NO_NETWORK
    broker, authority = broker_from(options)
    ssid, file = options["wifi_ssid"], options["wifi_password_file"]
    if ssid is None and file is not None:
        raise HushmeterError("--wifi-password-file needs --wifi-ssid")
    wifi = None if ssid is None else Wifi(ssid, None if file is None else read_secret(file))
    address, keepalive_s = options["broker_address"], options["keepalive_s"]
    if not broker.tls:
        click.echo(
            "the way to the broker is not encrypted: who listens sees which meter says something "
            "when, and its password there",
            err=True,
        )
    return network_plan(board, broker, authority, wifi, address, keepalive_s)


def broker_from(options: Mapping[str, Any]) -> tuple[Broker, Path | None]:
    """The broker of the options, and the authority's file.

    Raises
    ------
    HushmeterError
        The URL is none, or a password comes without a name.
    """
    broker = parse_broker(options["broker_url"])
    user, file = options["broker_user"], options["broker_password_file"]
    if user is None and file is not None:
        raise HushmeterError("--broker-password-file needs --broker-user")
    if user is not None:
        password = None if file is None else read_secret(file)
        broker = replace(broker, username=user, password=password)
    authority: Path | None = options["ca"]
    return broker, authority


def read_secret(path: Path) -> str:
    """The first line of a file; what stands there is in no error.

    Raises
    ------
    HushmeterError
        The file has no such line, or it is too long for a password.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        lines = []
    if not lines or not 0 < len(lines[0].encode()) <= _MOST_SECRET:
        raise HushmeterError(f"{path}: its first line must be a password of 1 to 64 bytes")
    return lines[0]
