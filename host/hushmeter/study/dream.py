"""`hushmeter study dream`: Tables 1 to 3 and Fig. 2 of the DREAM paper, and how far they hold.

    errors      error by cluster size and alpha, drawn and by Theorem 2       Table 1
    exposures   what a home shows over hours                                  Table 2
    appliances  what an appliance shows over hours, synthetic homes           Table 3
    meter       a day of one home with its share of the noise                 Fig. 2
    coalitions  epsilon against those who know shares, from exact laws

Faithful and hardened side by side. Everything random comes from the seed, cluster by cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hushmeter.errors import HushmeterError
from hushmeter.privacy import sampler
from hushmeter.privacy.coalitions import Coalition, faced_by
from hushmeter.privacy.population import MOST_MEMBERS
from hushmeter.study import dream_clusters, dream_exposure
from hushmeter.study.dream_clusters import FRACTION_BITS, Row, Settings, members_of, rows_of
from hushmeter.study.dream_exposure import Exposure
from hushmeter.study.dream_homes import Homes
from hushmeter.study.run import rounded, run_all

Progress = Callable[[int, int], None]

PAPER = (
    "Ács, Castelluccia: I have a DREAM! (DiffeRentially privatE smArt Metering), Information "
    "Hiding 2011"
)
SIZES = (100, 300, 500, 800, 1000)
ALPHAS = (0.0, 0.1, 0.3, 0.5)
CLUSTERS = 200
FIGURE_CLUSTER = 100
COALITIONS = (
    # N, M, T as the noise is made for; missing and colluding as they are.
    (100, 0, 0, 0, 1),
    (100, 0, 0, 0, 25),
    (100, 30, 0, 30, 17),
    (100, 0, 1, 0, 1),
    (100, 0, 25, 0, 25),
    (100, 30, 10, 0, 0),
    (100, 30, 10, 30, 10),
    (100, 30, 10, 30, 20),
    (1000, 300, 100, 300, 100),
)
_CLUSTERS_A_TASK = 25
_DRAWS_A_PROCESS = 5_000_000
"""Below this another process costs more than it brings."""


@dataclass(frozen=True)
class Meter:
    """Fig. 2: a day of one home, Wh a slot; `noisy_wh` by mode."""

    slot_s: int
    reading_wh: NDArray[np.int64]
    noisy_wh: dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class DreamStudy:
    """Everything that the study found; a table that was not asked for is empty."""

    homes: Homes
    settings: Settings
    clusters: int
    errors: list[Row]
    exposures: list[Exposure]
    appliances: list[Exposure]
    appliance_homes: int
    meter: Meter
    coalitions: list[Coalition]


def study(  # noqa: PLR0913
    homes: Homes,
    settings: Settings,
    sizes: Sequence[int] = SIZES,
    alphas: Sequence[float] = ALPHAS,
    clusters: int = CLUSTERS,
    tables: Sequence[int] = (1, 2, 3),
    truth: Homes | None = None,
    jobs: int = 1,
    progress: Progress = lambda done, total: None,
) -> DreamStudy:
    """Runs it.

    Parameters
    ----------
    homes:
        Of Tables 1 and 2 and of Fig. 2.
    tables:
        Which to compute.
    truth:
        Homes that say what appliances used, for Table 3; `homes` if they do.
    jobs, progress:
        As for :func:`hushmeter.study.run.run_all`; they change nothing in what is returned.

    Raises
    ------
    HushmeterError
        Sizes or alphas that leave nobody to make noise.
    """
    check(sizes, alphas, settings)
    known = homes if homes.appliances_ws is not None else truth
    if 3 in tables and known is None:
        raise HushmeterError("Table 3 needs synthetic homes, which say what each appliance used")
    # Tables 2 and 3 hold each home of a cluster; beyond the paper's sizes they add nothing.
    homely = [size for size in sizes if size <= max(SIZES)] or [min(sizes)]
    works = [("all", size, clusters, settings) for size in homely] if 2 in tables else []
    parts = [
        (name, dream_exposure.CLUSTER, clusters, _settings_of(known or homes, homes, settings))
        for name in dream_exposure.APPLIANCES
    ]
    total = 1 + len(works) + (len(parts) if 3 in tables else 0)
    progress(0, total)
    errors = _errors(homes, settings, sizes, tuple(alphas), clusters, jobs) if 1 in tables else []
    progress(1, total)
    exposures = _exposed(homes, works, lambda done: progress(1 + done, total))
    appliances: list[Exposure] = []
    if 3 in tables and known is not None:
        before = 1 + len(works)
        appliances = _exposed(known, parts, lambda done: progress(before + done, total))
    return DreamStudy(
        homes, settings, clusters, errors, exposures, appliances,
        known.count if known is not None else 0, _meter(homes, settings),
        [faced_by(*numbers, epsilon=settings.epsilon) for numbers in COALITIONS],
    )  # fmt: skip


def _settings_of(known: Homes, homes: Homes, settings: Settings) -> Settings:
    """With the same greatest power where the slots of Table 3's homes have another length."""
    return replace(settings, cap_wh=-(-settings.cap_wh * known.slot_s // homes.slot_s))


def check(sizes: Sequence[int], alphas: Sequence[float], settings: Settings) -> None:
    """Refuses what cannot be run."""
    for size in sizes:
        if not 2 <= size <= MOST_MEMBERS:
            raise HushmeterError(f"a cluster of {size} homes; wanted 2 to {MOST_MEMBERS}")
        for alpha in alphas:
            if not 0 <= alpha < 1:
                raise HushmeterError(f"alpha is {alpha}; it must be 0 or more and below 1")
            settings.protocol(size, alpha, "hardened")


def as_json(found: DreamStudy, table: int) -> dict[str, Any]:
    """The study as one object with stable keys; `rows` are those of the table asked for."""
    from hushmeter.study.dream_published import contradictions, statements

    rows: dict[int, list[dict[str, Any]]] = {
        1: [_row(row) for row in found.errors],
        2: [vars(row) for row in found.exposures],
        3: [vars(row) for row in found.appliances],
    }
    settings = found.settings
    whole: dict[str, Any] = {
        "study": "dream",
        "paper": PAPER,
        "source": found.homes.source,
        "homes": found.homes.count,
        "homes_left_out": found.homes.left_out,
        "slots": found.homes.slots,
        "slot_s": found.homes.slot_s,
        "seed": settings.seed,
        "clusters": found.clusters,
        "epsilon": float(settings.epsilon),
        "cap_wh": settings.cap_wh,
        "colluders": settings.colluders,
        "table": table,
        "rows": rows[table],
        "coalitions": [
            {**vars(one), "shape": one.shape, "within_bounds": one.is_within_bounds}
            for one in found.coalitions
        ],
        "statements": [vars(statement) for statement in statements(found)],
        "contradictions": [vars(one) for one in contradictions(found)],
    }
    result: dict[str, Any] = rounded(whole)
    return result


def _row(row: Row) -> dict[str, Any]:
    from hushmeter.study.dream_published import TABLE_1

    paper = TABLE_1.get((row.n, row.alpha)) if row.mode == "faithful" else None
    return {
        "n": row.n,
        "alpha": row.alpha,
        "mode": row.mode,
        "mean_error": row.mean_error,
        "sd_error": row.sd_error,
        "theory_error": row.theory_error,
        "mean_error_ci": list(row.interval),
        "theory_sigma": row.theory_sigma,
        "clip_error": row.clip_error,
        "missing": row.missing,
        "colluders": row.colluders,
        "roster_accepts": row.is_unsplittable,
        "clusters": row.clusters,
        "paper_mean": paper[0] if paper else None,
        "paper_dev": paper[1] if paper else None,
    }


def _errors(  # noqa: PLR0913
    homes: Homes,
    settings: Settings,
    sizes: Sequence[int],
    alphas: tuple[float, ...],
    clusters: int,
    jobs: int,
) -> list[Row]:
    bare = Homes(homes.readings_wh, homes.slot_s, homes.source)
    works: list[dream_clusters.Work] = [
        (size, alphas, first, min(first + _CLUSTERS_A_TASK, clusters), settings)
        for size in sizes
        for first in range(0, clusters, _CLUSTERS_A_TASK)
    ]
    draws = 2 * len(sizes) * len(alphas) * clusters * homes.slots
    parts = run_all(
        dream_clusters.measured, [bare], [(0, work) for work in works],
        min(jobs, 1 + draws // _DRAWS_A_PROCESS),
    )  # fmt: skip
    rows = []
    for size in sizes:
        own = [part for work, part in zip(works, parts, strict=True) if work[0] == size]
        rows += rows_of(size, alphas, np.concatenate(own), settings)
    return rows


def _exposed(
    homes: Homes, works: Sequence[dream_exposure.Work], progress: Callable[[int], None]
) -> list[Exposure]:
    rows = []
    for done, work in enumerate(works, start=1):
        rows += dream_exposure.measured(homes, work)
        progress(done)
    return rows


def _meter(homes: Homes, settings: Settings) -> Meter:
    """The first day of the home of the first cluster that uses the median energy.

    One share of each slot is added, for a street without dropouts, as in the paper.
    """
    size = min(FIGURE_CLUSTER, homes.count)
    counts = members_of(homes, size, settings.seed, 0)
    chosen, day = np.flatnonzero(counts), homes.day_slots
    readings = homes.readings_wh[chosen, :day]
    typical = np.argsort(readings.sum(axis=1), kind="stable")[len(chosen) // 2]
    own_wh = readings[typical]
    noisy = {}
    for mode in dream_clusters.MODES:
        protocol = settings.protocol(size, 0.0, mode)
        faithful = mode == "faithful"
        bounds = readings.max(axis=0) if faithful else np.full(day, settings.cap_wh)
        scales = np.empty((day, 2), dtype=np.int64)
        scales[:, 0] = (bounds << protocol.fraction_bits) * settings.epsilon.denominator
        scales[:, 1] = settings.epsilon.numerator
        stream = sampler.Stream("dream meter", settings.seed, mode)
        share = sampler.draw(stream, np.ones(day, np.int64), protocol.noise_shape, scales)
        plain = own_wh if faithful else np.minimum(own_wh, settings.cap_wh)
        noisy[mode] = plain + share / 2.0 ** (FRACTION_BITS if faithful else 0)
    return Meter(homes.slot_s, own_wh, noisy)


def epsilon_of(text: str) -> Fraction:
    """An epsilon as a user writes it."""
    try:
        value = Fraction(text)
    except (ValueError, ZeroDivisionError):
        value = Fraction(0)
    if not 0 < value <= 1000 or value.denominator > 1 << 16:
        raise HushmeterError(f"epsilon is {text!r}; wanted a number above 0 such as 1, 0.5 or 1/3")
    return value
