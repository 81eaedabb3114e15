"""``hushmeter market curve``: a home's settings as demand and supply on a price grid."""

from __future__ import annotations

import json
from pathlib import Path

import click

from hushmeter.errors import HushmeterError

_FILE = click.Path(path_type=Path)


@click.command()
@click.argument("files", type=_FILE, nargs=-1, required=True)
@click.option("--prices", required=True, metavar="PRICE,...", help="Micro-units per Wh, ascending.")
@click.option("--out", type=_FILE, help="Write the curves for hushmeter market clear here.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def curve(files: tuple[Path, ...], prices: str, out: Path | None, as_json: bool) -> None:
    """Make curves from the settings of homes, TOML or JSON files.

    A home's thermostats, switches, appliances that must run, batteries and panels together give
    whole Wh at each price: demand that never rises with it, and supply that never falls.

    \b
    Example:
      hushmeter market curve home1.toml home2.toml --prices 60,120,180,240 --out street.csv
    """
    from hushmeter.market.curves import DEMAND, SUPPLY, gather, write_curves
    from hushmeter.market.responses import read_responses
    from hushmeter.outputs import write_whole

    grid = price_grid(prices)
    rows: list[tuple[str, str, list[int]]] = []
    for path in files:
        home = read_responses(path)
        demand, supply = home.curves(grid)
        rows += [(home.name, DEMAND, demand), (home.name, SUPPLY, supply)]
    curves = gather(grid, rows, source="the homes")
    text = write_curves(curves)
    if out is not None:
        write_whole(out, text)
    if as_json:
        found = {
            who: {
                "demand": curves.demand[place].tolist(),
                "supply": curves.supply[place].tolist(),
            }
            for place, who in enumerate(curves.ids)
        }
        click.echo(json.dumps({"prices": grid, "curves": found}))
    elif out is None:
        click.echo(text.decode(), nl=False)
    else:
        click.echo(f"Written: {out}")


def price_grid(text: str) -> list[int]:
    """The prices of --prices, in the order given.

    Raises
    ------
    HushmeterError
        One is no whole number.
    """
    try:
        return [int(word) for word in text.split(",")]
    except ValueError as error:
        raise HushmeterError(
            f"--prices is {text!r}; it must be whole micro-units per Wh such as 60,120,180"
        ) from error
