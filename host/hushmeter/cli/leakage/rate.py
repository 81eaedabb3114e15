"""``hushmeter leakage rate``: what a given policy leaks, simulated and, if known, exact."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from hushmeter.cli.compiling import says_compiling
from hushmeter.cli.values import settings

if TYPE_CHECKING:
    from hushmeter.leakage.exact import Bracket


@click.command()
@click.option(
    "--policy", "names", multiple=True, required=True, metavar="NAME",
    help="best-effort, best-effort-pass, hold-mean, optimal, table:FILE, or a controller of the "
    "device such as ls2; repeated: in series, the first at the load.",
)  # fmt: skip
@click.option(
    "--dist", required=True, metavar="LAW",
    help="The load: a,b,c (probabilities of 0, 1, 2, ...), uniform:LEVELS, "
    "binary:P_LOW:DELTA or file:FILE (from leakage home --dist-out).",
)  # fmt: skip
@click.option("--capacity", type=int, required=True, help="Of each battery, in quanta.")
@click.option(
    "--steps", "--rate-steps", "steps", default=1_000_000, show_default=True,
    help="Simulated steps that count.",
)  # fmt: skip
@click.option("--seed", default="0", show_default=True, help="The same seed, the same figures.")
@click.option(
    "--set",
    "own",
    multiple=True,
    callback=settings,
    metavar="NAME=VALUE",
    help="A setting of a device's controller, such as discharge_rate_w=2; repeatable.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@says_compiling
def rate(names: tuple[str, ...], as_json: bool, **given: Any) -> None:
    """Say what a policy leaks to a reader who knows it; bits a step.

    `rate` is simulated, `stderr` its standard error from independent chains, at least 1e-9 for
    rounding. The truth lies from `lower` to `upper`, and is `exact` where these agree to 2e-10.
    A device's controller runs its own code on quanta of 1 W for 1 s, the capacity as its rate if it
    steps, else with rates that never bind.

    \b
    Example:
      hushmeter leakage rate --policy best-effort --dist 0.25,0.5,0.25 --capacity 3
    """
    # Loaded here, since it takes a second to load and --help does without.
    from hushmeter.leakage import rate as rates
    from hushmeter.leakage.distributions import parse_discrete
    from hushmeter.leakage.exact import bracket
    from hushmeter.leakage.forward import CHAINS

    law = parse_discrete(given["dist"]).integer_law()
    with Console(stderr=True).status("counting out the states"):
        machine = rates.in_series(names, law, given["capacity"], given["own"])
    with Console(stderr=True).status("simulating"):
        simulated = rates.simulate(machine, law, given["steps"], given["seed"])
    with Console(stderr=True).status("bracketing"):
        bounds = bracket(machine, law)
    found = {
        "rate": simulated.rate,
        "stderr": simulated.stderr,
        "exact": bounds.value if bounds.is_exact else None,
        "lower": bounds.lower,
        "upper": bounds.upper,
        "exact_method": bounds.method,
        "exact_seconds": bounds.seconds,
        "policy": list(names),
        "tie_rule": [rates.tie_rule(name) for name in names],
        "law": law.tolist(),
        "capacity": given["capacity"],
        "hidden_states": machine.states,
        "steps": simulated.steps,
        "chains": CHAINS,
        "seed": given["seed"],
        "seconds": simulated.seconds,
    }
    if as_json:
        click.echo(json.dumps(found, allow_nan=False))
        return
    _show(found, bounds)


def _show(found: dict[str, Any], bounds: Bracket) -> None:
    click.echo(f"{' + '.join(found['policy'])}, battery of {found['capacity']}")
    click.echo(f"simulated  {found['rate']:.9f} +- {found['stderr']:.2g} bits a step (one sigma)")
    if bounds.is_exact:
        click.echo(f"exact      {bounds.value:.9f} by {bounds.method}")
    else:
        click.echo(f"between    {bounds.lower:.9f} and {bounds.upper:.9f}")
    for name, rule in zip(found["policy"], found["tie_rule"], strict=True):
        if rule is not None:
            click.echo(f"{name}: {rule}")
    million = found["steps"] / found["seconds"] / 1e6
    click.echo(
        f"{found['steps']:,} steps, {found['hidden_states']:,} hidden states, "
        f"{found['seconds']:.3g} s, {million:.3g} million steps a second"
    )
