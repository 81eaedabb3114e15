"""``hushmeter leakage users``: several homes that share one alternative source."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

from hushmeter.cli.compiling import says_compiling, warm
from hushmeter.errors import HushmeterError
from hushmeter.leakage.distributions import Discrete, Exponential, parse

if TYPE_CHECKING:
    from hushmeter.leakage.users import Load

_FILE = click.Path(path_type=Path)
_KINDS = ("binary", "exponential")


@click.command()
@click.option("--binary", metavar="P_LOW:DELTA,...", help="Users that are 0 or DELTA.")
@click.option("--exponential", metavar="MEAN,...", help="Users with exponential loads.")
@click.option("--dist", multiple=True, metavar="LAW", help="One more user; may be repeated.")
@click.option(
    "--joint", type=_FILE,
    help="Users who depend on each other, a CSV file: a row is the load of each user and then the "
    "probability.",
)  # fmt: skip
@click.option("--power", type=float, required=True, help="Mean power of the source.")
@click.option("--peak", type=float, help="The most that the source gives in a step; with --joint.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@says_compiling
def users(as_json: bool, **given: Any) -> None:
    """Share a source among homes so that least leaks in all; bits a step.

    Independent users each run their own policy on their part (leakage power --power PART);
    `multiplier_nats` is the common slope, and `water_level` its inverse, which every exponential
    user gets unless it takes less. With --joint the readings are chosen together, and `per_user` is
    what all of them tell of one user, which need not add up to the total.

    \b
    Examples:
      hushmeter leakage users --binary 0.9:1,0.5:1,0.1:1 --power 0.2
      hushmeter leakage users --exponential 1,2,3 --power 3
    """
    _check(given)
    if given["joint"] is not None:
        names, found = _joint(given["joint"], given["power"], given["peak"])
    else:
        names, found = _independent(given)
    if as_json:
        click.echo(json.dumps(found, allow_nan=False))
        return
    _show(names, found)


def _check(given: dict[str, Any]) -> None:
    separate = bool(given["binary"] or given["exponential"] or given["dist"])
    if given["joint"] is not None and separate:
        raise HushmeterError("--joint has all users in one file; give no other users beside it")
    if given["joint"] is None and not separate:
        raise HushmeterError("there is no user; give --binary, --exponential, --dist or --joint")
    if given["joint"] is None and given["peak"] is not None:
        raise HushmeterError(
            "--peak limits what all users together get in a step, so their readings are chosen "
            "together",
            hint="write the users' joint law to a file and give it with --joint",
        )


def _independent(given: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
    from hushmeter.leakage import users as shares

    names, loads = _loads(given)
    # A first call compiles, or reads the compiled code; the one that is timed finds it there.
    shares.solve([parse("0.5,0.5")], 0.25)
    found = warm(lambda: shares.solve(loads, given["power"]))
    return names, {
        "total": found.total,
        "lower": found.lower,
        "upper": found.upper,
        "per_user": list(found.per_user),
        "allocation": list(found.allocation),
        "multiplier_nats": _finite(found.multiplier_nats),
        "water_level": found.water_level,
        "means": [load.mean for load in loads],
        "iterations": found.iterations,
        "seconds": found.seconds,
    }


def _joint(path: Path, power: float, peak: float | None) -> tuple[list[str], dict[str, Any]]:
    import numpy as np

    from hushmeter.leakage import users_joint

    load = users_joint.read(path)
    twice = users_joint.joint(np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([0.5, 0.5]))
    users_joint.solve(twice, 0.25)
    found = warm(lambda: users_joint.solve(load, power, peak))
    return [f"user {number}" for number in range(1, load.vectors.shape[1] + 1)], {
        "total": found.total,
        "lower": found.lower,
        "upper": found.upper,
        "per_user": list(found.per_user),
        "allocation": list(found.allocation),
        "multiplier_nats": _finite(found.slope),
        "water_level": None,
        "means": (load.probabilities @ load.vectors).tolist(),
        "loads": load.vectors.tolist(),
        "readings": found.outputs.tolist(),
        "conditional": found.conditional.tolist(),
        "iterations": found.iterations,
        "seconds": found.seconds,
    }


def _loads(given: dict[str, Any]) -> tuple[list[str], list[Load]]:
    texts = [(f"{kind}:{word}", f"--{kind}") for kind in _KINDS for word in _words(given[kind])]
    texts += [(text, "--dist") for text in given["dist"]]
    loads: list[Discrete | Exponential] = [
        parse(text, f"{option}, user {number}") for number, (text, option) in enumerate(texts, 1)
    ]
    return [text for text, _ in texts], loads


def _words(text: str | None) -> list[str]:
    return [] if text is None else [word.strip() for word in text.split(",")]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _show(names: list[str], found: dict[str, Any]) -> None:
    console = Console(highlight=False)
    table = Table("user", title="A shared source", title_justify="left")
    for heading in ("mean", "gets", "leaks, bits a step"):
        table.add_column(heading, justify="right")
    rows = zip(names, found["means"], found["allocation"], found["per_user"], strict=True)
    for name, mean, part, bits in rows:
        table.add_row(name, f"{mean:.6g}", f"{part:.6g}", f"{bits:.6f}")
    console.print(table)
    console.print(
        f"Together [bold]{found['total']:.9g}[/bold] bits a step, certified "
        f"{found['lower']:.12g} to {found['upper']:.12g}"
    )
    slope = found["multiplier_nats"]
    saved = "without bound" if slope is None else f"{slope:.6g} nats"
    console.print(f"A further unit of power saves {saved} at this rate")
    if found["water_level"] is not None:
        console.print(f"Water level: {found['water_level']:.6g}")
    console.print(f"{found['iterations']} steps, {1000 * found['seconds']:.3g} ms")
