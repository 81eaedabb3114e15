"""``hushmeter leakage single``: the least that one battery can leak, with its certificate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

from hushmeter.cli.compiling import says_compiling, warm
from hushmeter.errors import HushmeterError

if TYPE_CHECKING:
    from hushmeter.leakage.policy import Policy

_MOST_SHOWN = 24
"""Charges up to which their law is printed."""


@click.command()
@click.option(
    "--dist", metavar="LAW",
    help="The load: a,b,c (probabilities of 0, 1, 2, ...), uniform:LEVELS, "
    "binary:P_LOW:DELTA or file:FILE (from leakage home --dist-out).",
)  # fmt: skip
@click.option(
    "--markov", type=click.Path(path_type=Path), metavar="FILE",
    help="The load is a Markov chain instead. FILE is JSON: transition, its rows from the present "
    "to the next level, and levels, whole and rising [default: 0, 1, 2, ...].",
)  # fmt: skip
@click.option("--capacity", type=int, required=True, help="Of the battery, in quanta.")
@click.option("--policy", "with_policy", is_flag=True, help="Show the policy, too.")
@click.option(
    "--tolerance", default=1e-6, show_default=True, help="With --markov: bits between the bounds."
)
@click.option(
    "--most-seconds", default=10.0, show_default=True, help="With --markov: time it may take."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@says_compiling
def single(as_json: bool, **given: Any) -> None:
    """Say the least that any policy of one battery leaks; bits a step.

    The truth lies from `lower` to `upper`. `theta` is the best law of the charge: `upper` is the
    information I(S - X; X) under it, `lower` the least entry of its gradient, both within 1e-13.
    `seconds` is without compilation, and if below 0.05 that of a second run, warm.
    For a Markov load the bounds come as near as --most-seconds allow: a binary load has them meet,
    more levels need more time. `value` is then what the policy found leaks at most; `draws` has
    its probabilities by memory, charge, load and draw, and `next_memory` the memory by memory and
    draw.

    \b
    Example:
      hushmeter leakage single --dist 0.5,0.5 --capacity 4
      echo '{"levels": [0, 1], "transition": [[0.9, 0.1], [0.2, 0.8]]}' > chain.json
      hushmeter leakage single --markov chain.json --capacity 3
    """
    dist, chain = given["dist"], given["markov"]
    if (dist is None) == (chain is None):
        raise HushmeterError("give the load as either --dist LAW or --markov FILE")
    if dist is not None:
        found = _independent(dist, given["capacity"], given["with_policy"])
    else:
        found = _markov(chain, **{name: given[name] for name in _MARKOV_OPTIONS})
    if as_json:
        click.echo(json.dumps(found, allow_nan=False))
        return
    _show(found, given["with_policy"])


_MARKOV_OPTIONS = ("capacity", "with_policy", "tolerance", "most_seconds")


def _independent(dist: str, capacity: int, with_policy: bool) -> dict[str, Any]:
    from hushmeter.leakage import single as singles
    from hushmeter.leakage.distributions import parse_discrete

    law = parse_discrete(dist).integer_law()
    found = warm(lambda: singles.solve(law, capacity))
    out = {
        "value": found.value,
        "lower": found.lower,
        "upper": found.upper,
        "theta": found.theta.tolist(),
        "law": law.tolist(),
        "capacity": capacity,
        "iterations": found.iterations,
        "seconds": found.seconds,
    }
    if with_policy:
        out.update(_policy_keys(singles.optimal_policy(law, found.theta)))
    return out


def _markov(
    path: Path, capacity: int, with_policy: bool, tolerance: float, most_seconds: float
) -> dict[str, Any]:
    from hushmeter.leakage import markov
    from hushmeter.leakage.markov_load import read

    if not tolerance > 0 or not most_seconds >= 0:
        raise HushmeterError("--tolerance must be above 0, and --most-seconds 0 or more")
    load = read(path)
    with Console(stderr=True).status("solving") as status:

        def progress(memories: int, lower: float, upper: float) -> None:
            status.update(f"{memories} memories: from {lower:.6f} to {upper:.6f} bits a step")

        found = markov.solve(load, capacity, tolerance, most_seconds, progress)
    out = {
        "value": found.value,
        "lower": found.lower,
        "upper": found.upper,
        "theta": None,
        "levels": load.levels.tolist(),
        "transition": load.transition.tolist(),
        "capacity": capacity,
        "memories": found.policy.memories,
        "iterations": found.iterations,
        "seconds": found.seconds,
    }
    if with_policy:
        out.update(_policy_keys(found.policy))
    return out


def _policy_keys(policy: Policy) -> dict[str, Any]:
    return {
        "draws": policy.draws.tolist(),
        "next_memory": policy.next_memory.tolist(),
        "initial": policy.initial.tolist(),
    }


def _show(found: dict[str, Any], with_policy: bool) -> None:
    console = Console()
    lower, upper = found["lower"], found["upper"]
    console.print(
        f"least leakage of a battery of {found['capacity']}: [bold]{found['value']:.9f}[/bold] "
        f"bits a step, from {lower:.9f} to {upper:.9f} (gap {upper - lower:.1e})"
    )
    console.print(f"{found['iterations']} iterations, {found['seconds']:.3g} s")
    theta = found["theta"]
    if theta is not None and len(theta) <= _MOST_SHOWN:
        table = Table("charge", "probability", "", box=None)
        for charge, chance in enumerate(theta):
            table.add_row(str(charge), f"{chance:.6f}", "█" * round(40 * chance / max(theta)))
        console.print(table)
    if theta is None:
        console.print(f"the policy remembers one of {found['memories']} pasts of the draws")
    if with_policy:
        _show_policy(console, found)


def _show_policy(console: Console, found: dict[str, Any]) -> None:
    draws = found["draws"]
    table = Table("memory", "charge", "load", *(f"draw {y}" for y in range(len(draws[0][0][0]))))
    for memory, by_charge in enumerate(draws):
        for charge, by_load in enumerate(by_charge):
            for load, row in enumerate(by_load):
                chances = (f"{chance:.4f}" if chance else "" for chance in row)
                table.add_row(str(memory), str(charge), str(load), *chances)
    console.print(table)
