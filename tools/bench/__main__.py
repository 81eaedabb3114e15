"""``python -m tools.bench``: run the benchmarks, show them, keep them as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.console import Console

from hushmeter.errors import HushmeterError
from tools.bench import show
from tools.bench.figures import run_topic
from tools.bench.measure import machine_facts
from tools.bench.topics import all_topics

TOPICS = all_topics()
DEFAULT_OUT = Path("out/bench/bench.json")


@click.command()
@click.option("--only", multiple=True, type=click.Choice(sorted(TOPICS)), help="Run this topic.")
@click.option("--quick", is_flag=True, help="Small sizes, few repeats: a trial, no figures.")
@click.option("--json", "as_json", is_flag=True, help="Print the JSON and no table.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default=DEFAULT_OUT)
def main(only: tuple[str, ...], quick: bool, as_json: bool, out: Path) -> None:
    """Measure the host, beside a peer where there is one."""
    # Progress and tables go to one place, so that --json alone has standard output to itself.
    console = Console(stderr=as_json, width=None if Console().is_terminal else 160)
    facts = machine_facts()
    console.print(show.machine_line(facts))
    topics, pictures = {}, {}
    for name in only or TOPICS:
        with console.status(TOPICS[name].title):
            result = run_topic(TOPICS[name], quick)
        topics[name] = result.as_json()
        if TOPICS[name].picture:
            # Loaded here, since it loads matplotlib.
            from tools.bench import picture

            pictures[out.with_name(f"{name}.png")] = picture.draw(result)
        if not as_json:
            console.print(show.table(result))
    text = json.dumps({"quick": quick, "machine": facts, "topics": topics}, indent=2)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text + "\n", encoding="utf-8")
    for path, png in pictures.items():
        path.write_bytes(png)
    if as_json:
        click.echo(text)
    else:
        console.print(f"written to {', '.join(map(str, (out, *pictures)))}")


if __name__ == "__main__":
    try:
        main()
    except HushmeterError as error:
        hint = f"\nhint: {error.hint}" if error.hint else ""
        raise SystemExit(f"error: {error}{hint}") from error
