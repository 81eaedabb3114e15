"""A home's settings on its meter: the options of provisioning, and ``hushmeter market set``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from hushmeter.cli.broker import Command
from hushmeter.cli.market.clear import amounts, epsilon_of
from hushmeter.errors import HushmeterError

if TYPE_CHECKING:
    from hushmeter.crypto.on_meter import Encryption

_FILE = click.Path(path_type=Path)
_CAPS_WH = (8000, 8000)


class Trading(NamedTuple):
    """What a meter is provisioned with: terms, None where it does not trade, and files."""

    terms: Mapping[str, Any] | None
    files: dict[str, bytes]


def trading_options(command: Command) -> Command:
    """Options by which a meter is made one that trades."""
    for option in (
        click.option(
            "--ring-pool", type=click.IntRange(1, 64), default=4, show_default=True, metavar="N",
            help="Encryptions made ready for the ring; an interval takes one for each ciphertext.",
        ),
        click.option(
            "--ring-table", type=_FILE, metavar="FILE",
            help="The comb table of the utility's key; without one each encryption takes a board "
            "minutes.",
        ),
        click.option(
            "--ring-key", type=_FILE, metavar="FILE",
            help="The utility's key, from market keygen --meter-file: this market's sums go round "
            "in a Paillier ring.",
        ),
        click.option("--market-epsilon", callback=epsilon_of, help="Noise of an interval."),
        click.option(
            "--market-cap-wh", callback=amounts, metavar="DEMAND[,SUPPLY]",
            help="The most of a home at any price, alike in the whole street. [default: 8000]",
        ),
        click.option(
            "--market-home", type=_FILE, metavar="FILE",
            help="The home's price responses, TOML or JSON: the meter trades. The length of an "
            "interval is theirs.",
        ),
    ):  # fmt: skip
        command = option(command)
    return command


def trading_of(options: Mapping[str, Any]) -> Trading:
    """The terms and the file of a home that trades.

    Raises
    ------
    HushmeterError
        The settings are wrong, or there are terms without settings.
    """
    path = options["market_home"]
    if path is None:
        for name in ("market_cap_wh", "market_epsilon", "ring_key", "ring_table"):
            if options[name] is not None:
                raise HushmeterError(
                    f"--{name.replace('_', '-')} is for a home that trades",
                    hint="give its settings: --market-home FILE",
                )
        return Trading(None, {})
    from hushfw.market import RESPONSES_FILE
    from hushmeter.market.meters import MarketTerms
    from hushmeter.market.responses import read_responses

    home = read_responses(path)
    caps = options["market_cap_wh"] or _CAPS_WH
    terms = MarketTerms(home.interval_s, caps, options["market_epsilon"])
    responses = {RESPONSES_FILE: json.dumps(home.on_meter()).encode()}
    ring = _ring_of(options)
    if ring is None:
        return Trading(terms.on_meter(), responses)
    on_meter = {**terms.on_meter(), "ring": dict(ring.settings or {})}
    return Trading(on_meter, {**responses, **ring.files})


def _ring_of(options: Mapping[str, Any]) -> Encryption | None:
    """The utility's key and its table, found good; None where masked words are summed."""
    from hushfw.pool import RING
    from hushmeter.cluster.keyfile import read_authority
    from hushmeter.crypto.on_meter import encryption_on_a_meter
    from hushmeter.market.ring import OWNER

    key, table = options["ring_key"], options["ring_table"]
    if key is None:
        if table is not None:
            raise HushmeterError("--ring-table needs the --ring-key that it was made for")
        return None
    return encryption_on_a_meter(
        _read(key), None if table is None else _read(table), OWNER,
        read_authority(options["authority"]), options["ring_pool"], stem=RING,
    )  # fmt: skip


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise HushmeterError(f"{path}: {error.strerror}") from error


@click.command("set")
@click.argument("file", type=_FILE)
@click.option("--port", required=True, metavar="P", help="Serial port of the home's meter.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def set_home(file: Path, port: str, as_json: bool) -> None:
    """Give a home's meter its price responses, over the home's own link.

    The meter keeps whole numbers and no names, and no message gives them back.

    \b
    Example:
      hushmeter market set home.toml --port /dev/ttyACM0
    """
    from hushmeter.link import Link, SerialTransport
    from hushmeter.market.meters import set_requests
    from hushmeter.market.responses import read_responses

    requests = set_requests(read_responses(file))
    link = Link(SerialTransport(port), timeout_s=10.0, tries=3)
    try:
        for name, fields in requests:
            link.request(name, **fields)
    finally:
        link.close()
    sent = requests[0][1]["size"]
    if as_json:
        click.echo(json.dumps({"port": port, "bytes": sent}))
    else:
        click.echo(f"The meter at {port} has the home's responses: {sent} bytes")
