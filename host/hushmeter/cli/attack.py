"""``hushmeter attack``: the script book of attacks, listed and played."""

from __future__ import annotations

import json
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

_SEED = "script book"


@click.group()
def attack() -> None:
    """Play attacks on a street: first without the defence, then against the shipped meters.

    \b
    Example:
      hushmeter attack run second-set
    """


@attack.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def list_attacks(as_json: bool) -> None:
    """Name every attack, and what stands against it.

    \b
    Example:
      hushmeter attack list
    """
    from hushmeter.attack.book import book

    known = list(book().values())
    if as_json:
        rows = [
            {
                "attack": one.name,
                "family": one.family,
                "summary": one.summary,
                "defence": one.defence,
                "false_alarm_rate": one.false_alarm_rate,
            }
            for one in known
        ]
        click.echo(json.dumps({"attacks": rows}))
        return
    table = Table("attack", "what it does", "what stands against it", title="Script book")
    for one in known:
        table.add_row(one.name, one.summary, one.defence)
    Console().print(table)


@attack.command()
@click.argument("name")
@click.option(
    "--seed", default=_SEED, show_default=True, help="Same seed, same readings, keys and noise."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def run(name: str, seed: str, as_json: bool) -> None:
    """Play attack NAME, or all of them, and say what each found.

    Exits with 1 if an attack does not succeed without its defence, or succeeds against it.

    \b
    Example:
      hushmeter attack run all --json
    """
    from hushmeter.attack.book import Row, chosen, play

    wanted = chosen(name)
    rows: list[Row] = []
    console = Console(stderr=True)
    bars = Progress(
        TextColumn("{task.description:>24}"), BarColumn(), MofNCompleteColumn(),
        console=console, disable=not console.is_terminal,
    )  # fmt: skip
    with bars:
        task = bars.add_task("attacks", total=len(wanted))
        for one in wanted:
            bars.update(task, description=one.name)
            rows.append(play(one, seed))
            bars.advance(task)
    found = [row.as_json() for row in rows]
    good = [row["undefended_succeeds"] and row["defended"] for row in found]
    if as_json:
        tally = {"tried": len(found), "defended": sum(row["defended"] for row in found)}
        click.echo(json.dumps({"seed": seed, **tally, "attacks": found}))
    else:
        _show(found, sum(row.seconds for row in rows))
    if not all(good):
        raise SystemExit(1)


def _show(found: list[dict[str, Any]], seconds: float) -> None:
    console = Console()
    table = Table("attack", "without the defence", "as shipped", "what it found without")
    for row in found:
        table.add_row(
            row["attack"],
            "succeeds" if row["undefended_succeeds"] else "fails",
            "defended" if row["defended"] else "[bold red]SUCCEEDS[/]",
            _in_words(row["evidence"]["undefended"]),
        )
    console.print(table)
    held = sum(row["defended"] for row in found)
    console.print(f"{len(found)} attacks, {held} defended, {seconds:.1f} s")
    if len(found) == 1:
        console.print_json(json.dumps(found[0]["evidence"]))


def _in_words(evidence: dict[str, Any]) -> str:
    """The evidence's own numbers, the shortest way."""
    if evidence.get("opened"):
        homes = ", ".join(map(str, evidence["homes"]))
        noise_wh = evidence["own_noise_wh"]
        return (
            f"home {homes}: {evidence['recovered_wh']} Wh, "
            f"truly {evidence['true_wh']} Wh (own noise {noise_wh:+d})"
        )
    numbers = [
        f"{name.replace('_', ' ')} {value}"
        for name, value in evidence.items()
        if isinstance(value, int | float | str) and not isinstance(value, bool) and value != ""
    ]
    return ", ".join(numbers[:3])
