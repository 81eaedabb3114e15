"""`hushmeter study stepping`: the experiments of Yang et al., CCS 2012, section 6, run again.

    sizes    one home, batteries of 0.1 to 1.2 kWh    Fig. 3 (a, c, e), Fig. 4 with seconds; Table 5
    homes    all homes, a battery of 0.5 kWh          Fig. 3 (b, d, f), Fig. 4 with seconds; Table 5
    ratios   battery size at equal privacy            Table 6
    stretch  some hours of one home                   Fig. 2

Every battery is ideal and 1C: its rates empty or fill it in an hour. All figures are of one run a
point, without its first day.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hushmeter.battery.metrics import BIN_W, DAY_S, THRESHOLD_W
from hushmeter.study import equal_privacy
from hushmeter.study.equal_privacy import GRID_WH, REFERENCES_WH, Ratio
from hushmeter.study.homes import Home
from hushmeter.study.measure import SHUFFLES, Point, Row, draw_of, measured, warm_up_samples
from hushmeter.study.published import PAPER, STUDIED_WH, Rows, Statement, statements
from hushmeter.study.run import Progress, rounded, run_all

CONTROLLERS = ("none", "be:sat", "be:idle", "nill", "lc", "ls1", "ls2", "rc")
EVENT_CONTROLLERS = ("be:idle", "be:sat", "nill", "ls2")
"""Table 5's, and LS2 as one against which such an attack is of no use."""
STRETCH_CONTROLLERS = ("be:sat", "nill", "ls2")
SIZES_WH = tuple(range(100, 1201, 100))
MOST_RATIO_HOMES = 6
"""Table 6 takes more runs than all else, so no more homes than the paper has are run for it."""

_POINTS_A_TASK = 4
_STRETCH_SAMPLES = 720
_STRETCH_SECONDS = 5000
_STRETCH_RASTER_S = 3600
_STRETCH_MOST_W = 4000


@dataclass(frozen=True)
class Stretch:
    """Some hours of one home: demand and draws, W, each of shape (samples,)."""

    home: str
    start_s: int
    step_s: int
    capacity_wh: int
    demand_w: NDArray[np.int64]
    grid_w: dict[str, NDArray[np.int64]]


@dataclass(frozen=True)
class About:
    """One home: its name, days, mean energy a day and load changes above the threshold a day."""

    name: str
    residents: int | None
    days: int
    kwh_per_day: float
    changes_per_day: float
    samples_left_out: int


@dataclass(frozen=True)
class Study:
    """Everything that the study found; `sizes` is of the first home."""

    seed: int
    source: str
    step_s: int
    about: list[About]
    sizes: list[Row]
    homes: list[Row]
    curves: list[Row]
    ratios: list[Ratio]
    stretch: Stretch
    statements: list[Statement]

    @property
    def is_synthetic(self) -> bool:
        return self.source == "synthetic"


def study(
    homes: Sequence[Home],
    seed: int,
    jobs: int = 1,
    dask: str | None = None,
    progress: Progress = lambda done, total: None,
) -> Study:
    """Runs it.

    Parameters
    ----------
    homes:
        All with steps of one length; the first one is looked at with every battery size.
    seed:
        Of the controllers' random numbers and the shuffles.
    jobs, dask, progress:
        As for :func:`hushmeter.study.run.run_all`. They change nothing in what is returned.
    """
    items = _tasks(homes, seed)
    found = run_all(measured, homes, items, jobs, dask, progress)
    rows = {
        (place, row.controller, row.capacity_wh): row
        for (place, _), part in zip(items, found, strict=True)
        for row in part
    }

    def picked(points: list[tuple[int, str, int]]) -> list[Row]:
        return [rows[point] for point in points]

    sizes, across = picked(_size_points()), picked(_home_points(len(homes)))
    curves = picked(_ratio_points(len(homes)))
    names = [home.name for home in homes[:MOST_RATIO_HOMES]]
    ratios = equal_privacy.ratios(curves, names)
    step_s = homes[0].step_s
    return Study(
        seed=seed,
        source=homes[0].source,
        step_s=step_s,
        about=[_about(home) for home in homes],
        sizes=sizes,
        homes=across,
        curves=curves,
        ratios=ratios,
        stretch=_stretch(homes[0], seed),
        statements=statements(Rows(sizes, across, step_s), ratios),
    )


def as_json(found: Study) -> dict[str, Any]:
    """The study as one object with stable keys; floats to nine decimals."""
    table: dict[str, Any] = {
        "study": "stepping",
        "paper": PAPER,
        "source": found.source,
        "seed": found.seed,
        "step_s": found.step_s,
        "bin_w": BIN_W,
        "threshold_w": THRESHOLD_W,
        "shuffles": SHUFFLES,
        "homes": [vars(about) for about in found.about],
        "by_size": [row.flat() for row in found.sizes],
        "by_home": [row.flat() for row in found.homes],
        "equal_privacy": [ratio_keys(ratio) for ratio in found.ratios],
        "equal_privacy_curves": [
            {
                key: value
                for key, value in row.flat().items()
                if key.startswith(("home", "controller", "capacity", "mi_markov"))
            }
            for row in found.curves
        ],
        "statements": [vars(statement) for statement in found.statements],
    }
    result: dict[str, Any] = rounded(table)
    return result


def ratio_keys(ratio: Ratio) -> dict[str, Any]:
    """A ratio with the keys of the files."""
    size_wh = ratio.capacity_wh
    return {
        "home": ratio.home,
        "controller": ratio.controller,
        "ls2_capacity_kwh": ratio.reference_wh / 1000,
        "ls2_mi_markov_bits": ratio.reference_bits,
        "capacity_kwh": None if size_wh is None else size_wh / 1000,
        "ratio": ratio.ratio,
        "ratio_ci": list(ratio.ratio_ci),
        "ratio_less_bias": ratio.ratio_less_bias,
    }


def _size_points() -> list[tuple[int, str, int]]:
    return [
        (0, name, size_wh)
        for name in CONTROLLERS
        for size_wh in (SIZES_WH if name != "none" else (0,))
    ]


def _home_points(homes: int) -> list[tuple[int, str, int]]:
    return [
        (place, name, STUDIED_WH if name != "none" else 0)
        for place in range(homes)
        for name in CONTROLLERS
    ]


def _ratio_points(homes: int) -> list[tuple[int, str, int]]:
    grids = dict.fromkeys(equal_privacy.CONTROLLERS, GRID_WH)
    grids[equal_privacy.REFERENCE] = REFERENCES_WH
    return [
        (place, name, size_wh)
        for place in range(min(homes, MOST_RATIO_HOMES))
        for name, sizes_wh in grids.items()
        for size_wh in sizes_wh
    ]


def _tasks(homes: Sequence[Home], seed: int) -> list[tuple[int, tuple[Point, ...]]]:
    """All points, each once, home by home in handfuls: a process keeps the home it has."""
    count = len(homes)
    wanted = dict.fromkeys([*_size_points(), *_home_points(count), *_ratio_points(count)])
    tasks = []
    for place in range(count):
        points = [Point(name, size_wh, seed) for home, name, size_wh in wanted if home == place]
        for first in range(0, len(points), _POINTS_A_TASK):
            tasks.append((place, tuple(points[first : first + _POINTS_A_TASK])))
    return tasks


def _about(home: Home) -> About:
    demand_w = home.demand_w()
    days = demand_w.size * home.step_s / DAY_S
    changes = int(np.count_nonzero(np.abs(np.diff(demand_w)) > THRESHOLD_W))
    return About(
        name=home.name,
        residents=home.household,
        days=int(days),
        kwh_per_day=int(demand_w.sum()) * home.step_s / 3_600_000 / days,
        changes_per_day=changes / days,
        samples_left_out=home.left_out,
    )


def _stretch(home: Home, seed: int) -> Stretch:
    """The liveliest stretch of the first home after the warm-up, beginning on the hour.

    One without a power that would flatten all else in a picture, if there is such a one.
    """
    demand_w, step_s = home.demand_w(), home.step_s
    length = _STRETCH_SECONDS if step_s == 1 else _STRETCH_SAMPLES
    length = min(length, demand_w.size // 2)
    raster = max(1, _STRETCH_RASTER_S // step_s)
    changes = np.cumsum(np.abs(np.diff(demand_w, prepend=demand_w[0])) > THRESHOLD_W)
    starts = np.arange(warm_up_samples(demand_w.size, step_s), demand_w.size - length + 1, raster)
    lively: NDArray[np.int64] = changes[starts + length - 1] - changes[starts]
    tame = [demand_w[start : start + length].max() <= _STRETCH_MOST_W for start in starts]
    first = int(starts[np.argmax(lively * tame if any(tame) else lively)])
    part = slice(first, first + length)
    return Stretch(
        home=home.name,
        start_s=home.start_s + first * step_s,
        step_s=step_s,
        capacity_wh=STUDIED_WH,
        demand_w=demand_w[part].copy(),
        grid_w={
            name: draw_of(home, Point(name, STUDIED_WH, seed))[part] for name in STRETCH_CONTROLLERS
        },
    )
