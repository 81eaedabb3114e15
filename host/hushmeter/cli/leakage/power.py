"""``hushmeter leakage power``: a point of the privacy-power function, with its certificate."""

from __future__ import annotations

import json
import math
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from hushmeter.cli.compiling import says_compiling, warm
from hushmeter.errors import HushmeterError
from hushmeter.leakage.distributions import Discrete, Exponential, parse

_MOST_SHOWN = 12
"""Levels up to which the whole policy is printed."""


@click.command()
@click.option(
    "--dist", required=True, metavar="LAW",
    help="The load: a,b,c (probabilities of 0, 1, 2, ...), uniform:LEVELS, binary:P_LOW:DELTA, "
    "exponential:MEAN or file:FILE (from leakage home --dist-out).",
)  # fmt: skip
@click.option(
    "--levels", metavar="A,B,C", help="The load's levels, rising. [default: 0, 1, 2, ...]"
)
@click.option("--mean", type=float, help="Scale the levels so that this is the load's mean.")
@click.option("--power", type=float, required=True, help="Mean power of the source, 0 to the mean.")
@click.option("--peak", type=float, help="The most that the source gives in a step.")
@click.option("--heuristics", is_flag=True, help="Show what simpler ways to use the source leak.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@says_compiling
def power(heuristics: bool, as_json: bool, **given: Any) -> None:
    """Say the least leakage with a second source of so much power on average; bits a step.

    The source may be solar, a car's battery, a second grid: the meter sees Y, 0 <= Y <= X, and the
    source gives X - Y. Between `lower` and `upper` lies the truth; `conditional` is the policy
    that reaches it, p(y | x) by rows of x. `multiplier_nats` is what a further unit of power would
    save. Of a discrete load `shannon_lower` is the analogue of Shannon's bound with discrete
    entropies. JSON has null for what does not exist, as a policy matrix of an exponential load.
    `seconds` is without compilation, and if below 0.05 that of a second run, warm.

    \b
    Example:
      hushmeter leakage power --dist uniform:21 --mean 1 --power 0.5 --heuristics
    """
    load = _load(given["dist"], given["levels"], given["mean"])
    if isinstance(load, Exponential):
        found = _exponential(load, given["power"], given["peak"])
    else:
        found = _discrete(load, given["power"], given["peak"])
    if as_json:
        click.echo(json.dumps(found, allow_nan=False))
        return
    _show(found, heuristics)


def _load(dist: str, levels: str | None, mean: float | None) -> Discrete | Exponential:
    load = parse(dist)
    if isinstance(load, Exponential):
        if levels is not None:
            raise HushmeterError("--levels is for a load with finitely many levels")
        return load if mean is None else Exponential(_checked_mean(mean))
    if levels is not None:
        load = Discrete(load.probabilities, _levels(levels, len(load.probabilities)))
    return load if mean is None else load.scaled_to(_checked_mean(mean))


def _checked_mean(mean: float) -> float:
    if not 0 < mean < math.inf:
        raise HushmeterError(f"--mean is {mean:g}; it must be above 0")
    return mean


def _levels(text: str, count: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    try:
        found = np.array([float(word) for word in text.split(",")])
    except ValueError as error:
        raise HushmeterError(f"--levels is {text!r}; it must be numbers such as 0,1.5,4") from error
    if len(found) != count:
        raise HushmeterError(f"--levels has {len(found)} levels and --dist {count} probabilities")
    if not np.isfinite(found).all() or found[0] < 0 or np.any(np.diff(found) <= 0):
        raise HushmeterError(f"--levels is {text!r}; levels must rise, from 0 or more")
    return found


def _discrete(load: Discrete, watts: float, peak: float | None) -> dict[str, Any]:
    from hushmeter.leakage import heuristics, power_bounds
    from hushmeter.leakage import power as powers

    # A first call compiles, or reads the compiled code; the one that is timed finds it there.
    middle = Discrete(np.full(3, 1 / 3), np.arange(3.0))
    powers.solve(middle, 0.5, None if peak is None else 1.5)
    point = warm(lambda: powers.solve(load, watts, peak))
    return {
        "value": point.value,
        "lower": point.lower,
        "upper": point.upper,
        "shannon_lower": power_bounds.discrete_lower(load, watts, peak),
        "conditional": point.conditional.tolist(),
        "time_division": heuristics.time_division_printed(load, watts),
        "time_division_exact": heuristics.time_division(load, watts, peak),
        "output_limit": heuristics.output_limit(load, watts, peak),
        "multiplier_nats": point.slope if math.isfinite(point.slope) else None,
        "power_used": point.power,
        "mean": load.mean,
        "levels": load.levels.tolist(),
        "probabilities": load.probabilities.tolist(),
        "levels_used": point.levels_used,
        "atom_at_zero": None,
        "iterations": point.iterations,
        "seconds": point.seconds,
    }


def _exponential(load: Exponential, watts: float, peak: float | None) -> dict[str, Any]:
    import time

    from hushmeter.leakage import power as powers
    from hushmeter.leakage import power_bounds

    if peak is not None:
        raise HushmeterError("--peak needs a load with finitely many levels; exponential has none")
    powers.exponential(load, watts)
    began = time.perf_counter()
    point = powers.exponential(load, watts)
    seconds = time.perf_counter() - began
    entropy_nats = 1 + math.log(load.mean)
    return {
        "value": point.value,
        "lower": point.lower,
        "upper": point.upper,
        "shannon_lower": min(point.value, power_bounds.continuous_lower(entropy_nats, point.power)),
        **dict.fromkeys(("conditional", "time_division", "time_division_exact", "output_limit")),
        "multiplier_nats": point.slope,
        "power_used": point.power,
        "mean": load.mean,
        **dict.fromkeys(("levels", "probabilities", "levels_used")),
        "atom_at_zero": point.atom_at_zero,
        "iterations": 0,
        "seconds": seconds,
    }


def _show(found: dict[str, Any], heuristics: bool) -> None:
    console = Console(highlight=False)
    slope = found["multiplier_nats"]
    console.print(f"Least leakage: [bold]{found['value']:.9g}[/bold] bits a step")
    console.print(f"  certified:   {found['lower']:.12g} to {found['upper']:.12g}")
    console.print(f"  power:       {found['power_used']:.6g} of a mean load of {found['mean']:.6g}")
    saved = "without bound" if slope is None else f"{slope:.6g} nats"
    console.print(f"  a further unit of power saves {saved} at this rate")
    console.print(f"  Shannon lower bound: {found['shannon_lower']:.9g}")
    if found["atom_at_zero"] is not None:
        console.print(
            f"  policy: the meter reads 0 with probability {found['atom_at_zero']:.6g}, else a "
            "value with the load's own density"
        )
    if heuristics and found["output_limit"] is not None:
        console.print(_beside(found))
    if found["conditional"] is not None:
        _show_policy(console, found)
    console.print(f"{found['iterations']} steps, {1000 * found['seconds']:.3g} ms")


def _beside(found: dict[str, Any]) -> Table:
    table = Table("the source is used", "bits a step", title="Beside it", title_justify="left")
    exact = found["time_division_exact"]
    table.add_row("as well as can be", f"{found['value']:.6f}")
    table.add_row("to limit the output", f"{found['output_limit']:.6f}")
    table.add_row(
        "in turn (time division)", "not with this peak" if exact is None else f"{exact:.6f}"
    )
    table.add_row("in turn, by the paper's formula", f"{found['time_division']:.6f}")
    return table


def _show_policy(console: Console, found: dict[str, Any]) -> None:
    levels, rows = found["levels"], found["conditional"]
    if len(levels) > _MOST_SHOWN:
        console.print(
            f"  policy: {found['levels_used']} of {len(levels)} levels are seen on the grid "
            "(p(y | x) with --json)"
        )
        return
    table = Table("load", title="From the grid, p(y | x)", title_justify="left")
    for level in levels:
        table.add_column(f"{level:.4g}", justify="right")
    for level, row in zip(levels, rows, strict=True):
        table.add_row(f"{level:.4g}", *(f"{share:.4f}" if share else "" for share in row))
    console.print(table)
