"""One home behind one battery and controller: what its grid draw gives away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hushmeter.battery import attacks, information, metrics
from hushmeter.battery.information import Information
from hushmeter.battery.metrics import DAY_S
from hushmeter.battery.setups import WS_PER_WH
from hushmeter.battery.simulator import Simulation
from hushmeter.study.homes import Home

Watts = NDArray[np.int64]

SHUFFLES = 4
_WARM_UP_SHARE = 10


@dataclass(frozen=True)
class Estimate:
    """Bits a sample: plug-in, 95 % interval over days, shuffled baseline."""

    bits: float
    ci_bits: tuple[float, float]
    shuffled_bits: float

    @property
    def less_baseline(self) -> float:
        return self.bits - self.shuffled_bits


@dataclass(frozen=True)
class Row:
    """What one run shows; without the warm-up.

    Attributes
    ----------
    capacity_wh:
        Of the battery, whose rates are the capacity in an hour (1C); 0 for the controller `none`.
    mi, mi_binary, mi_markov:
        As in :mod:`hushmeter.battery.metrics`.
    level_changes_per_day, cycles_per_day:
        Of the draw, and of the battery.
    events_per_day, correct_per_day:
        Load changes that the attack claims, and those of them that are right.
    accuracy, recall:
        Right claims over claims, None where nothing was claimed; and over the load changes there
        were.
    """

    home: str
    controller: str
    capacity_wh: int
    mi: Estimate
    mi_binary: Estimate
    mi_markov: Estimate
    level_changes_per_day: float
    cycles_per_day: float
    events_per_day: float
    correct_per_day: float
    accuracy: float | None
    recall: float

    def flat(self) -> dict[str, Any]:
        """The row with the keys of the files."""
        found: dict[str, Any] = {
            "home": self.home,
            "controller": self.controller,
            "capacity_kwh": self.capacity_wh / 1000,
        }
        for name in ("mi", "mi_binary", "mi_markov"):
            estimate: Estimate = getattr(self, name)
            found[f"{name}_bits"] = estimate.bits
            found[f"{name}_ci_bits"] = list(estimate.ci_bits)
            found[f"{name}_shuffled_bits"] = estimate.shuffled_bits
        for name in ("level_changes", "cycles", "events", "correct"):
            found[f"{name}_per_day"] = getattr(self, f"{name}_per_day")
        return {**found, "accuracy": self.accuracy, "recall": self.recall}


@dataclass(frozen=True)
class Point:
    """A controller and a battery of `capacity_wh`, with the seed of the study."""

    controller: str
    capacity_wh: int
    seed: int


def warm_up_samples(samples: int, step_s: int) -> int:
    """A day is left out before anything is measured, or a tenth of a short record."""
    return min(DAY_S // step_s, samples // _WARM_UP_SHARE)


def settings_of(point: Point, step_s: int) -> dict[str, int]:
    """Settings of the controller: an ideal battery of 1C."""
    if point.controller == "none":
        return {"step_s": step_s}
    return {
        "step_s": step_s,
        "capacity_ws": point.capacity_wh * WS_PER_WH,
        "charge_rate_w": point.capacity_wh,
        "discharge_rate_w": point.capacity_wh,
    }


def draw_of(home: Home, point: Point) -> Watts:
    """What the home draws from the grid, shape (samples,).

    The random numbers of a point are its own: they depend on the study's seed, the home's name,
    the controller and the capacity.
    """
    seed = f"{point.seed}/{home.name}/{point.controller}/{point.capacity_wh}"
    settings = settings_of(point, home.step_s)
    simulation = Simulation(point.controller, settings, seed=seed, threads=1)
    grid_w: Watts = simulation.run(home.demand_w()[None, :]).grid_w[0]
    return grid_w


def measured(home: Home, points: tuple[Point, ...]) -> list[Row]:
    """A row for each point."""
    return [_row(home, point) for point in points]


def _row(home: Home, point: Point) -> Row:
    """A part of what `metrics.measure` finds, whose reconstruction costs more than all of this."""
    demand_w, grid_w = home.demand_w(), draw_of(home, point)
    skipped = warm_up_samples(demand_w.size, home.step_s)
    kept_d, kept_g = demand_w[skipped:], grid_w[skipped:]
    days = kept_d.size * home.step_s / DAY_S
    blocks = information.blocks_of(kept_d.size, max(1, DAY_S // home.step_s))
    options = metrics.Options(shuffles=SHUFFLES, seed=point.seed)
    changes = np.diff(kept_d), np.diff(kept_g)
    plain, binary, markov = metrics.informations(*changes, blocks[1:], options)
    rate_w = point.capacity_wh
    claims = attacks.change_attack(point.controller, grid_w, home.step_s, rate_w, rate_w)
    score = attacks.score(claims, demand_w, from_sample=skipped)
    return Row(
        home=home.name,
        controller=point.controller,
        capacity_wh=point.capacity_wh,
        mi=_estimate(plain),
        mi_binary=_estimate(binary),
        mi_markov=_estimate(markov),
        level_changes_per_day=int(np.count_nonzero(changes[1])) / days,
        cycles_per_day=metrics.cycles(kept_d, kept_g, home.step_s, rate_w * WS_PER_WH) / days,
        events_per_day=score.events / days,
        correct_per_day=score.correct / days,
        accuracy=score.precision if score.events else None,
        recall=score.recall,
    )


def _estimate(found: Information) -> Estimate:
    return Estimate(found.bits, found.ci_bits, found.shuffled_bits)
