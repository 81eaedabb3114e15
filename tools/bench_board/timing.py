"""Does the time of an operation tell of its secret? ``python -m tools.bench_board.timing``.

Two kinds of secrets, one fixed and random ones, are timed in random order (the manner of dudect, by
Reparaz, Balasch and Verbauwhede, 2017). If the time does not depend on the secret, both kinds have
the same law of times. Two tests look for a difference: Welch's t of the means, and of the distances
from the median. An operation is said to depend on its secret if one of them has p < 5e-6; for one
that does not, the false-alarm rate is 1e-5, as far as the times are normal. That nothing was found
says only that these samples show nothing.

A comparison that stops at the first difference is the positive control: if it is not found, the
measurement is worth nothing and ends with an error.
"""

from __future__ import annotations

import ast
import json
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy import stats

from hushmeter.errors import HushmeterError
from tools.bench_board.backends import firmware_compiled, make_backend, modules, script

FALSE_ALARM = 1e-5
"""Of one operation: half for its mean, half for its spread."""

CONTROL = "tag comparison that stops early"
SAMPLES = 20
QUICK = (CONTROL, "tag comparison", "noise share, bounded")

Times = NDArray[np.float64]


@dataclass(frozen=True)
class Verdict:
    """What was found of one operation; times are in ``unit``.

    ``p`` is twice the smaller of both tests' p.
    """

    name: str
    unit: str
    samples: int
    fixed_mean: float
    random_mean: float
    fixed_span: float
    random_span: float
    t: float
    p: float

    @property
    def depends(self) -> bool:
        return self.p < FALSE_ALARM


def judged(name: str, unit: str, fixed: Times, random: Times) -> Verdict:
    """Both tests on two sets of times."""
    t, p_mean = welch(fixed, random)
    return Verdict(
        name=name,
        unit=unit,
        samples=min(len(fixed), len(random)),
        fixed_mean=float(fixed.mean()),
        random_mean=float(random.mean()),
        fixed_span=float(np.ptp(fixed)),
        random_span=float(np.ptp(random)),
        t=t,
        p=min(1.0, 2 * min(p_mean, spread(fixed, random))),
    )


def welch(fixed: Times, random: Times) -> tuple[float, float]:
    """(t, p) of equal means; an emulator's times may have no spread at all."""
    if np.ptp(fixed) == np.ptp(random) == 0:
        same = fixed[0] == random[0]
        return (0.0, 1.0) if same else (float("inf"), 0.0)
    squares = [float(times.var(ddof=1)) / len(times) for times in (fixed, random)]
    t = float(fixed.mean() - random.mean()) / sum(squares) ** 0.5
    # Welch and Satterthwaite's degrees of freedom.
    parts = [s * s / (len(x) - 1) for s, x in zip(squares, (fixed, random), strict=True)]
    return t, float(2 * stats.t.sf(abs(t), sum(squares) ** 2 / sum(parts)))


def spread(fixed: Times, random: Times) -> float:
    """p of equal spread: Welch's test of the distances from the median."""
    away = [np.abs(times - np.median(times)) for times in (fixed, random)]
    return welch(away[0], away[1])[1]


def operations() -> list[str]:
    """Names of what the device script can time, in its order."""
    tree = ast.parse(script("timing_ops")["timing_ops.py"])
    tables = {"SECRETS", "SHARES"}
    return [
        str(ast.literal_eval(key))
        for node in tree.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") in tables
        if isinstance(node.value, ast.Dict)
        for key in node.value.keys
        if key is not None
    ]


def measure(board: str, name: str, samples: int) -> Verdict:
    """Run one operation on a board of its own.

    Raises
    ------
    HushmeterError
        The board is not there, or too few times of one kind came.
    """
    backend = make_backend(board)
    files = modules(firmware_compiled(backend.facts.name)) | script("timing_ops")
    lines = backend.run(f"import timing_ops\ntiming_ops.run({name!r}, {samples})", files)
    times: tuple[list[float], list[float]] = ([], [])
    for line in lines:
        kind, took = line.split()
        times[int(kind)].append(float(took))
    if min(map(len, times)) < 3:
        raise HushmeterError(f"{name}: only {len(times[0])} and {len(times[1])} times came")
    unit = "cycles" if backend.clock == "simulated" else "us"
    return judged(name, unit, np.array(times[0]), np.array(times[1]))


def table(board: str, verdicts: Sequence[Verdict]) -> Table:
    out = Table(
        title=f"Time and secrets on {board}",
        caption=f"Welch of means and spread, false-alarm rate {FALSE_ALARM:g} an operation.",
        box=None,
    )
    for heading in ("operation", "fixed", "random", "span", "span", "t", "p", "depends"):
        out.add_column(heading, justify="left" if heading == "operation" else "right")
    for v in verdicts:
        means = (f"{v.fixed_mean:,.0f}", f"{v.random_mean:,.0f}")
        spans = (f"{v.fixed_span:,.0f}", f"{v.random_span:,.0f}")
        found = "yes" if v.depends else "not seen"
        out.add_row(v.name, *means, *spans, f"{v.t:.1f}", f"{v.p:.1g}", found)
    return out


@click.command()
@click.option("--board", default="pico", show_default=True, help="pico (emulated) or unix.")
@click.option("--samples", type=click.IntRange(3), default=SAMPLES, show_default=True)
@click.option("--only", multiple=True, metavar="NAME", help="Only these operations.")
@click.option("--quick", is_flag=True, help="Only a few of them, the control included.")
@click.option("--jobs", type=click.IntRange(1), default=2, show_default=True)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Keep as JSON.")
def main(
    board: str, samples: int, only: Sequence[str], quick: bool, jobs: int, out: Path | None
) -> None:
    """Time operations with a fixed secret and with random ones."""
    known = operations()
    names = list(only or (QUICK if quick else known))
    if CONTROL not in names:
        names.insert(0, CONTROL)
    for name in names:
        if name not in known:
            raise click.BadParameter(f"{name!r}: it must be one of {', '.join(known)}")
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        running = [pool.submit(measure, board, name, samples) for name in names]
        verdicts = [future.result() for future in running]
    Console(width=130).print(table(board, verdicts))
    if out is not None:
        out.write_text(json.dumps([asdict(v) for v in verdicts], indent=2) + "\n", "utf-8")
    if not next(v for v in verdicts if v.name == CONTROL).depends:
        raise HushmeterError("the comparison that stops early was not found: nothing is shown")


if __name__ == "__main__":
    try:
        main()
    except HushmeterError as error:
        raise SystemExit(f"error: {error}") from error
