"""Exact noise: draws a second of the device's code, of the same compiled, and of opendp.

All draw from cryptographic generators and without rounding. A draw of opendp is a discrete Laplace
variable, which is a total here; a share is what one meter of a street adds. One core.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator
from typing import Any

from hushfw.core import noise
from hushfw.core.drbg import Drbg
from hushmeter.privacy.sampler import Stream, shares, totals
from tools.bench.figures import Benchmark, Figure, Skipped
from tools.bench.measure import in_fresh_process, seconds

SCALES = (30, 3000, 1_000_000)
METERS = 100
PEER = "total, opendp, vector"

Action = Callable[[], object]


def rates(action: Action, draws: int, quick: bool) -> tuple[float, ...]:
    """Draws a second, several times, once beforehand unmeasured."""
    action()
    return tuple(draws / seconds(action) for _ in range(2 if quick else 7))


def ours(scale: int, quick: bool) -> Iterator[Figure]:
    device, stream = Drbg(os.urandom(48)), Stream()
    few, many = (500, 20_000) if quick else (5_000, 500_000)

    def by_device() -> None:
        for _ in range(few):
            noise.share(device, METERS, scale, 1)

    cases: tuple[tuple[str, int, Action, str | None], ...] = (
        ("share, device code", few, by_device, None),
        ("share, compiled", many, lambda: shares(stream, many, METERS, scale), PEER),
        ("total, compiled", many, lambda: totals(stream, many, METERS, METERS, scale), PEER),
        (
            "total with dropouts, compiled", many,
            lambda: totals(stream, many, METERS, 7 * METERS // 10, scale), PEER,
        ),
    )  # fmt: skip
    for case, draws, action, peer in cases:
        yield Figure(case, scale, "draws/s", rates(action, draws, quick), peer)


def theirs(dp: Any, scale: int, quick: bool) -> Iterator[Figure]:
    dp.enable_features("contrib")
    many, few = (5_000, 500) if quick else (50_000, 5_000)
    space = dp.vector_domain(dp.atom_domain(T=int)), dp.l1_distance(T=int)
    vector = dp.m.make_laplace(*space, scale=float(scale))
    zeros = [0] * many
    yield Figure(PEER, scale, "draws/s", rates(lambda: vector(zeros), many, quick))
    single = dp.m.make_laplace(
        dp.atom_domain(T=int), dp.absolute_distance(T=int), scale=float(scale)
    )

    def one_by_one() -> None:
        for _ in range(few):
            single(0)

    yield Figure("total, opendp, scalar", scale, "draws/s", rates(one_by_one, few, quick))


def all_figures(quick: bool) -> list[Figure | Skipped]:
    found: list[Figure | Skipped] = []
    try:
        dp = importlib.import_module("opendp.prelude")
    except ImportError:
        dp = None
        found.append(Skipped(PEER, 0, "opendp is not installed"))
    for scale in SCALES[1:2] if quick else SCALES:
        found += ours(scale, quick)
        if dp is not None:
            found += theirs(dp, scale, quick)
    return found


def run(quick: bool) -> Iterator[Figure | Skipped]:
    yield from in_fresh_process(all_figures, quick)


BENCHMARK = Benchmark(
    name="privacy",
    title="Exact noise, one core",
    about="Discrete Laplace totals and Polya shares of 100 meters, drawn exactly from "
    "cryptographic generators; compilation not counted.",
    sizes="lambda, Wh",
    run=run,
)
