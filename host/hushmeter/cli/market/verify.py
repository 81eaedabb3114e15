"""``hushmeter market verify``: the prices of a transcript, computed again by anybody."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from hushmeter.errors import HushmeterError
from hushmeter.printable import printable

_FILE = click.Path(path_type=Path)


@click.command()
@click.argument("transcript", type=_FILE)
@click.option("--sha256", metavar="HEX", help="The digest that others have of it.")
@click.option("--intervals", type=click.IntRange(1), help="How many there must be.")
@click.option(
    "--curves", type=_FILE, metavar="FILE.csv",
    help="Work out the shares of these participants, from the record and their own curves.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def verify(
    transcript: Path, sha256: str | None, intervals: int | None, curves: Path | None, as_json: bool
) -> None:
    """Compute every price of a transcript again; exit 2 where it says what does not follow.

    With --curves, of a transcript with one interval, the shares of those participants: no more than
    the record and the own curve is needed.

    \b
    Example:
      hushmeter market verify out.json
    """
    from hushmeter.market import transcript as records

    found = records.read(transcript)
    data = json.loads(transcript.read_bytes())
    if sha256 is not None and sha256.lower() != data["sha256"]:
        raise HushmeterError(f"{transcript}: is another transcript; its digest is {data['sha256']}")
    if intervals is not None and intervals != len(found):
        raise HushmeterError(
            f"{transcript}: has {len(found)} intervals, not {intervals}; it was cut short"
        )
    shares = {} if curves is None else _shares(found, curves)
    if as_json:
        result = {
            "verified": True,
            "intervals": len(found),
            "void": sum(isinstance(one, records.Void) for one in found),
            "prices": [getattr(one, "price", None) for one in found],
            "traded_wh": [getattr(one, "traded_wh", None) for one in found],
            "sha256": data["sha256"],
            "allocations": shares,
        }
        click.echo(json.dumps(result))
        return
    console = Console(highlight=False)
    console.print(f"verified: {len(found)} intervals, digest {data['sha256']}")
    for who, share in shares.items():
        console.print(
            f"{printable(who)} buys {share['buy_wh']:,} Wh, sells {share['sell_wh']:,} Wh",
            markup=False,
        )


def _shares(found: list[Any], path: Path) -> dict[str, dict[str, int]]:
    from hushmeter.market import transcript as records
    from hushmeter.market.curves import read_curves

    if len(found) != 1 or not isinstance(found[0], records.Interval):
        raise HushmeterError("--curves needs a transcript with one interval that has a price")
    curves = read_curves(path)
    if list(curves.prices) != found[0].prices:
        raise HushmeterError(f"{path}: its grid is another than the transcript's")
    shares = {}
    for place, who in enumerate(curves.ids):
        buy, sell = records.own_share(
            found[0], who, curves.demand[place].tolist(), curves.supply[place].tolist()
        )
        shares[who] = {"buy_wh": buy, "sell_wh": sell}
    return shares
