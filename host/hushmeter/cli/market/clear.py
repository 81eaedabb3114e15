"""``hushmeter market clear``: one interval of a market, from a file of curves."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hushmeter.cli.values import positive_fraction
from hushmeter.errors import HushmeterError

if TYPE_CHECKING:
    from hushmeter.crypto.paillier import PrivateKey
    from hushmeter.market.curves import Curves
    from hushmeter.market.session import Outcome, Rules

_FILE = click.Path(path_type=Path)
_MOST_SHOWN = 20
_BACKENDS = ("masked", "paillier-ring")


def epsilon_of(ctx: click.Context, option: click.Parameter, text: str | None) -> Fraction | None:
    """A positive fraction."""
    if text is None:
        return None
    found = positive_fraction(text)
    if found is None:
        raise HushmeterError(
            f"{option.opts[0]} is {text!r}; it must be a number above 0 such as 1 or 1/2"
        )
    return found


def amounts(
    ctx: click.Context, option: click.Parameter, text: str | None
) -> tuple[int, int] | None:
    """Whole Wh of demand and supply; one amount is both."""
    if text is None:
        return None
    parts = text.split(",")
    if len(parts) > 2 or not all(part.isascii() and part.isdigit() for part in parts):
        raise HushmeterError(
            f"{option.opts[0]} is {text!r}; it must be whole Wh for demand and supply such as "
            "5000,2500"
        )
    return int(parts[0]), int(parts[-1])


epsilon_option = click.option(
    "--epsilon", callback=epsilon_of, help="Noise on the totals: epsilon of the interval."
)
caps_option = click.option(
    "--cap-wh", "caps", callback=amounts, metavar="DEMAND[,SUPPLY]",
    help="The most of a home at any price; what noise is made for.",
)  # fmt: skip


@click.command()
@click.option(
    "--curves", "files", type=_FILE, multiple=True, required=True, metavar="FILE.csv",
    help="Curves of the participants; repeat it for several files on one grid.",
)  # fmt: skip
@click.option(
    "--backend", type=click.Choice(_BACKENDS), default="masked", show_default=True,
    help="How the homes' curves are summed.",
)  # fmt: skip
@click.option(
    "--key-bits", "bits", type=click.Choice(["2048", "3072"]), default="2048", show_default=True,
    help="Of a new key of the utility's in a ring.",
)  # fmt: skip
@click.option(
    "--key", type=_FILE, metavar="FILE",
    help="The utility's private key for a ring, from hushmeter market keygen. [default: a new one]",
)  # fmt: skip
@click.option("--utility", metavar="ID", help="Whose curve is public; takes an imbalance.")
@click.option("--producer", multiple=True, metavar="ID", help="Declared; its curve is public too.")
@click.option(
    "--participants", type=_FILE, metavar="FILE",
    help="Who must have a curve, one id a line; nobody else may.",
)  # fmt: skip
@click.option("--silent", multiple=True, metavar="ID", help="A home that does not report.")
@click.option(
    "--unanswering", multiple=True, metavar="ID",
    help="A home that reports and does not answer: the interval is void.",
)  # fmt: skip
@click.option(
    "--missing", type=click.IntRange(0), metavar="M",
    help="The most homes that may stay silent. [default: a tenth]",
)  # fmt: skip
@click.option(
    "--least-homes", type=click.IntRange(1), default=2, show_default=True,
    help="Fewer are not summed; public curves do not count.",
)  # fmt: skip
@click.option(
    "--floors-only", is_flag=True,
    help="Leave the Wh that rounding leaves over to the utility, and count no remainders.",
)  # fmt: skip
@epsilon_option
@caps_option
@click.option("--interval", type=click.IntRange(1, (1 << 63) - 1), default=1, show_default=True)
@click.option("--seed", type=click.IntRange(0), help="Of the noise; insecure, for trials.")
@click.option("--transcript", type=_FILE, help="Write the public record to this file.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def clear(as_json: bool, transcript: Path | None, **given: Any) -> None:
    """Find the price of an interval, and what each participant may buy and sell.

    The file's first line is participant,side,PRICE,PRICE,... with ascending whole prices in
    micro-units per Wh; then one line ID,demand|supply,WH,WH,... a curve. Demand must not rise with
    the price, supply must not fall. All homes are members of this one process: the words they send
    are those of real meters, and nothing is hidden from who runs it.

    \b
    Example:
      hushmeter market clear --curves street.csv --utility grid --transcript out.json
    """
    from hushmeter.market import session

    curves = _read(given["files"], given["participants"])
    rules, insecure = _rules(curves, given)
    homes = len(curves.ids) - len(rules.public | ({rules.utility} if rules.utility else set()))
    key = _key(given["key"], given["backend"])
    backend = session.make_backend(
        given["backend"], homes, len(curves.prices), rules, int(given["bits"]), key
    )
    source = None if given["seed"] is None else session.SeededSource(given["seed"])
    found = session.run(
        curves, backend, rules, given["interval"], given["silent"], given["unanswering"], source
    )
    if transcript is not None:
        _write(transcript, found)
    if as_json:
        click.echo(json.dumps(_as_json(curves, found, homes, given, insecure), allow_nan=False))
    else:
        _show(curves, found, homes, given["backend"], insecure)
    if found.clearing is None:
        raise SystemExit(1)


def _key(path: Path | None, backend: str) -> PrivateKey | None:
    from hushmeter.crypto.keyfiles import read_private

    if path is None:
        return None
    if backend != "paillier-ring":
        raise HushmeterError("--key is for --backend paillier-ring; masked words need none")
    return read_private(path)


def _read(files: tuple[Path, ...], participants: Path | None) -> Curves:
    from hushmeter.market.curves import join, read_curves

    expected = None
    if participants is not None:
        try:
            lines = participants.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError as error:
            raise HushmeterError(f"{participants}: is no text in UTF-8: {error}") from error
        expected = [line.strip() for line in lines if line.strip()]
        if len(set(expected)) < len(expected):
            raise HushmeterError(f"{participants}: an id is there twice")
    if len(files) == 1:
        return read_curves(files[0], expected)
    together = join([(str(path), read_curves(path)) for path in files])
    if expected is not None:
        from hushmeter.market.curves import check_expected

        check_expected(together.ids, expected, "the files")
    return together


def _rules(curves: Curves, given: dict[str, Any]) -> tuple[Rules, list[str]]:
    """The market's rules, and what about them weakens it."""
    from hushmeter.market.session import Rules

    insecure = []
    caps = given["caps"]
    if given["epsilon"] is not None and caps is None:
        public = {*given["producer"], given["utility"]}
        homes = [place for place, who in enumerate(curves.ids) if who not in public]
        largest = (int(side[homes].max(initial=0)) for side in (curves.demand, curves.supply))
        caps = tuple(1 << (amount - 1).bit_length() if amount else 0 for amount in largest)
        insecure.append("caps-from-data")
    if given["seed"] is not None:
        insecure.append("fixed-seed")
    if given["least_homes"] < 2:
        insecure.append("single-home")
    return Rules(
        public=frozenset(given["producer"]),
        utility=given["utility"],
        missing=given["missing"],
        caps_wh=caps,
        epsilon=given["epsilon"],
        least_homes=given["least_homes"],
        floors_only=given["floors_only"],
    ), insecure


def _write(path: Path, found: Outcome) -> None:
    from hushmeter.market.transcript import written
    from hushmeter.outputs import write_whole

    write_whole(path, written([found.entry]))


def _as_json(
    curves: Curves, found: Outcome, homes: int, given: dict[str, Any], insecure: list[str]
) -> dict[str, Any]:
    cleared = found.clearing
    empty = dict.fromkeys(("price", "index", "demand", "supply", "traded_wh"))
    result = {**empty, "surplus": False, "scarcity": False}
    if cleared is not None:
        result = {
            "price": cleared.price,
            "index": cleared.index,
            "demand": list(cleared.demand),
            "supply": list(cleared.supply),
            "traded_wh": cleared.traded_wh,
            "surplus": cleared.surplus,
            "scarcity": cleared.scarcity,
        }
    return {
        **result,
        "allocations": {} if cleared is None else found.allocations(),
        "bytes": found.bytes,
        "seconds": found.seconds,
        "void": found.reason or None,
        "backend": given["backend"],
        "interval": given["interval"],
        "participants": len(curves.ids),
        "homes": homes,
        "silent": sorted(given["silent"]),
        "epsilon": None if given["epsilon"] is None else str(given["epsilon"]),
        "imbalance_wh": found.imbalance_wh,
        "rounds": 0 if cleared is None else len(found.entry["counts"]) + 1,
        "insecure": insecure,
    }


def _show(curves: Curves, found: Outcome, homes: int, backend: str, insecure: list[str]) -> None:
    console = Console(highlight=False)
    if insecure:
        console.print(Text("INSECURE: " + ", ".join(insecure), style="bold red"))
    cleared = found.clearing
    if cleared is None:
        console.print(Text(f"No price: {found.reason}. The interval takes the fallback price."))
        return
    note = " (scarce: all supply is sold)" if cleared.scarcity else ""
    note += " (surplus: the first price is enough)" if cleared.surplus else ""
    console.print(
        f"Price [bold]{cleared.price:,}[/bold] micro-units per Wh{note}, "
        f"[bold]{cleared.traded_wh:,}[/bold] Wh traded"
    )
    table = Table("participant", title="May buy and sell", title_justify="left")
    for heading in ("buys, Wh", "sells, Wh"):
        table.add_column(heading, justify="right")
    shares = list(found.allocations().items())
    for who, share in shares[:_MOST_SHOWN]:
        table.add_row(Text(who), f"{share['buy_wh']:,}", f"{share['sell_wh']:,}")
    if len(shares) > _MOST_SHOWN:
        table.add_row(f"and {len(shares) - _MOST_SHOWN:,} more", "", "")
    console.print(table)
    if found.imbalance_wh:
        console.print(f"Left to the utility: {found.imbalance_wh:+,} Wh bought beyond what is sold")
    console.print(
        f"{homes:,} homes summed ({backend}), {len(found.entry['counts']) + 1} sums, "
        f"{found.bytes:,} bytes, {1000 * found.seconds:.3g} ms"
    )
