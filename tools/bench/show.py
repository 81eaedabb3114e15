"""The figures as a table for the terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tools.bench.figures import MIB, Figure, Result

_SECOND_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))


def amount(value: float, unit: str) -> str:
    """A value with three digits that matter, and its unit."""
    if unit == "s" and value < 100:
        # What would round to a thousand of one unit is one of the next.
        scale, unit = next(
            (known for known in _SECOND_UNITS if value >= 0.9995 * known[0]), _SECOND_UNITS[-1]
        )
        return f"{value / scale:.3g} {unit}"
    return f"{value:,.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"


def table(result: Result) -> RenderableType:
    """One topic: its cases, and beneath them what was not measured."""
    benchmark = result.benchmark
    out = Table(
        title=Text(benchmark.title, style="bold"),
        title_justify="left",
        caption=Text(benchmark.about, style="dim"),
        caption_justify="left",
        box=None,
        pad_edge=False,
    )
    out.add_column(benchmark.sizes, justify="right")
    out.add_column("case")
    for name in ("median", "min to max", "memory"):
        out.add_column(name, justify="right", no_wrap=True)
    out.add_column("beside its peer", overflow="fold")
    out.add_column("", style="dim", overflow="fold")
    for figure in result.figures:
        out.add_row(*(Text(cell) for cell in _cells(result, figure)))
    notes = [Text(f"{s.size:,}  {s.case}: {s.reason}", style="yellow") for s in result.skipped]
    return Group(out, *notes, Text(""))


def _cells(result: Result, figure: Figure) -> list[str]:
    unit = figure.unit
    low, high = (amount(bound(figure.samples), unit) for bound in (min, max))
    memory = figure.memory_bytes
    peer = result.peer_of(figure)
    beside = "" if peer is None else f"{figure.times_better(peer):.3g} × {peer.case}"
    facts = ", ".join(_fact(name, value) for name, value in figure.facts.items())
    return [
        f"{figure.size:,}",
        figure.case,
        amount(figure.median, unit),
        low if low == high else f"{low} to {high}",
        "" if memory is None else f"{memory / MIB:,.1f} MiB",
        beside,
        facts,
    ]


def _fact(name: str, value: float) -> str:
    for ending, unit in (("_s", "s"), ("_bytes", "bytes")):
        if name.endswith(ending):
            return f"{name.removesuffix(ending).replace('_', ' ')} {amount(value, unit)}"
    return f"{name.replace('_', ' ')} {value:g}"


def machine_line(facts: dict[str, Any]) -> Text:
    packages = ", ".join(f"{name} {known}" for name, known in facts["packages"].items() if known)
    return Text(
        f"{facts['processor']}, {facts['cpus']} CPUs, {facts['python']}; {packages}\n", style="dim"
    )
