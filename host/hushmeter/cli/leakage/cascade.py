"""``hushmeter leakage cascade``: batteries in series, between two theorems and closer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

from hushmeter.cli.compiling import says_compiling

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hushmeter.leakage.cascade import CascadeOptimum
    from hushmeter.leakage.cascade_search import Certified
    from hushmeter.leakage.policy import Policy
    from hushmeter.leakage.rate import Rate

_KINDS = ("same", "different", "individual")
_EFFORTS = ("none", "quick", "thorough")


@click.command()
@click.option(
    "--dist", required=True, metavar="LAW",
    help="The load: a,b,c (probabilities of 0, 1, 2, ...), uniform:LEVELS, binary:P_LOW:DELTA or "
    "file:FILE (from leakage home --dist-out).",
)  # fmt: skip
@click.option("--capacity", type=int, required=True, help="Of each battery.")
@click.option(
    "--policies", type=click.Choice(_KINDS), default="different", show_default=True,
    help="One policy for all, one each, or each as if it were alone.",
)  # fmt: skip
@click.option(
    "--batteries", type=click.IntRange(2, 12), default=2, show_default=True, help="In series."
)
@click.option(
    "--rate-steps", type=click.IntRange(0), default=1_000_000, show_default=True,
    help="Steps that are simulated for the rate of the policies; 0: none.",
)  # fmt: skip
@click.option(
    "--search", type=click.Choice(_EFFORTS), default="quick", show_default=True,
    help="How hard to look for policies that certainly leak less.",
)  # fmt: skip
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@says_compiling
def cascade(dist: str, capacity: int, as_json: bool, **given: Any) -> None:
    """Say what batteries in series leak: Liu, Lee and Khisti's bounds, and what is certain beyond.

    The least leakage is between lower_bound, which is that of one battery as large as all together,
    and best_upper, the smallest rate that is certified for policies that were found. upper_bound is
    Theorem 1's at the policies asked for, and rate what these leak in a simulation.

    \b
    Example:
      hushmeter leakage cascade --dist 0.5,0.5 --capacity 2 --policies same
    """
    from hushmeter.leakage import cascade as solver
    from hushmeter.leakage import cascade_search, rate
    from hushmeter.leakage.distributions import parse_discrete

    law = parse_discrete(dist).integer_law()
    console = Console(stderr=True)
    with console.status("Batteries in series", spinner="line"):
        found = solver.solve(law, capacity, given["policies"], given["batteries"], given["seed"])
        start = found
        if given["policies"] != "different" and given["search"] != "none":
            start = solver.solve(law, capacity, "different", given["batteries"], given["seed"])
        best = cascade_search.improve(start, law, given["search"], given["seed"])
        if found.upper_bound < best.bits:
            best = cascade_search.improve(found, law, "none")
        rates = [
            rate.simulate_cascade(policies, law, given["rate_steps"], given["seed"])
            if given["rate_steps"]
            else None
            for policies in (found.policies, best.policies)
        ]
    if as_json:
        click.echo(json.dumps(_table(law, found, best, rates), allow_nan=False))
        return
    _show(capacity, found, best, rates)


def _table(
    law: NDArray[np.float64], found: CascadeOptimum, best: Certified, rates: list[Rate | None]
) -> dict[str, Any]:
    own, better = rates
    return {
        "lower_bound": found.lower_bound,
        "upper_bound": found.upper_bound,
        "best_upper": best.bits,
        "rate": None if own is None else float(own.rate),
        "rate_stderr": None if own is None else float(own.stderr),
        "policy_a": _policy(found.policies[0]),
        "policy_b": _policy(found.policies[-1]),
        "starts": found.starts,
        "stationarity_gap": found.stationarity_gap,
        "seconds": found.seconds,
        "policies": found.kind,
        "law": law.tolist(),
        "capacity": found.policies[0].capacity,
        "batteries": len(found.policies),
        "chain": [_policy(policy) for policy in found.policies],
        "starts_that_agree": found.reached,
        "newton_steps": found.steps,
        "best_rate": None if better is None else float(better.rate),
        "best_rate_stderr": None if better is None else float(better.stderr),
        "best_chain": [_policy(policy) for policy in best.policies],
        "best_recalls": list(best.recalled),
        "best_seconds": best.seconds,
    }


def _policy(policy: Policy) -> dict[str, Any]:
    """As `Policy`: q(y | x, s, m) as draws[m][s][x][y]; without memory draws[s][x][y]."""
    if policy.memories == 1:
        return {"initial": policy.initial[0].tolist(), "draws": policy.draws[0].tolist()}
    return {
        "initial": policy.initial.tolist(),
        "draws": policy.draws.tolist(),
        "next_memory": policy.next_memory.tolist(),
    }


def _show(capacity: int, found: CascadeOptimum, best: Certified, rates: list[Rate | None]) -> None:
    console = Console()
    count = len(found.policies)
    table = Table("bits a step", "", title=f"{count} batteries of capacity {capacity} in series")
    table.add_row(
        f"{found.lower_bound:.9f}", f"no less: one battery of {count * capacity} (Theorem 2)"
    )
    table.add_row(f"{best.bits:.9f}", f"certified for the best policies found{_recall(best)}")
    if rates[1] is not None:
        table.add_row(f"{rates[1].rate:.6f} ± {rates[1].stderr:.6f}", "their rate, simulated")
    table.add_row(f"{found.upper_bound:.9f}", f"Theorem 1, policies: {found.kind}")
    if rates[0] is not None:
        table.add_row(f"{rates[0].rate:.6f} ± {rates[0].stderr:.6f}", "their rate, simulated")
    console.print(table)
    if found.starts:
        console.print(
            f"{found.reached} of {found.starts} starts agree; stationarity gap "
            f"{found.stationarity_gap:.1e} bit; {found.steps} Newton steps, {found.seconds:.3f} s; "
            f"search {best.seconds:.1f} s"
        )
    else:
        console.print(
            "Each battery as if it were alone: nothing was minimised together. Stationarity gap "
            f"{found.stationarity_gap:.3f} bit; search {best.seconds:.1f} s"
        )
    console.print("Policies are printed with --json.")


def _recall(best: Certified) -> str:
    told = [
        f"{chr(ord('A') + place)} recalls {outputs} output{'s' if outputs > 1 else ''}"
        for place, outputs in enumerate(best.recalled)
        if outputs
    ]
    return f" ({', '.join(told)})" if told else ""
