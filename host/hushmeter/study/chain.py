"""The whole chain over a day: what is metered, what the grid sees, and what that leaks.

    found = study(trace, "UCI household, 1 February 2007", 86_400, ["ls2", "table"])
    found.runs["ls2"].grid.mi_bits

Leakage is measured on the truth, at 1 s and at longer steps: the mutual information of changes of
demand and of what the grid sees (:mod:`hushmeter.battery.metrics`), the attack that claims changes
of the load (:mod:`hushmeter.battery.attacks`), and where it is known what ran, the one that claims
appliances. "Before" is the same of the demand itself. One day is little: intervals are in the data.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hushmeter.battery import attacks
from hushmeter.battery.appliance_attack import ApplianceAttack
from hushmeter.battery.appliances import Run as ApplianceRun
from hushmeter.battery.metrics import LEAST_SAMPLES, Options, measure
from hushmeter.battery.record import Record
from hushmeter.battery.setups import Setup
from hushmeter.emulate.stimulus import Trace
from hushmeter.errors import HushmeterError
from hushmeter.study.chain_day import PLANS, SLOT_S, START_S, Lived, live_through

WS_PER_WH = 3600
STEPS_S = (1, 60, 600)
"""At which leakage is measured, where there is enough; the last is a slot's length."""

_LEAST_WH = 20.0
_SHUFFLES = 8

Whole = NDArray[np.int64]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Leakage:
    """What one series tells of the demand at one step.

    Attributes
    ----------
    mi_*, reconstruction_r2:
        As in :class:`hushmeter.battery.metrics.Metrics`; those with "shuffled" are what the same
        estimate finds by chance.
    claims_right, claims_found:
        Of the load-change attack: share of claims that are right, share of changes it got.
    claims_right_by_chance, claims_found_by_chance:
        The same claims held against the demand's changes in another order.
    """

    step_s: int
    samples: int
    mi_bits: float
    mi_ci_bits: tuple[float, float]
    mi_shuffled_bits: float
    mi_binary_bits: float
    mi_binary_shuffled_bits: float
    mi_markov_bits: float
    mi_markov_shuffled_bits: float
    mi_relative: float
    reconstruction_r2: float
    claims_right: float
    claims_found: float
    claims_right_by_chance: float
    claims_found_by_chance: float


@dataclass(frozen=True)
class Energy:
    """Of the whole run, Wh; `metered` is the sum of the home's own log's slots without a gap."""

    true_wh: float
    metered_wh: float
    grid_true_wh: float
    grid_metered_wh: float
    slots: int
    slots_with_gaps: int

    @property
    def error_percent(self) -> float | None:
        return 100 * (self.metered_wh / self.true_wh - 1) if self.true_wh else None

    @property
    def grid_error_percent(self) -> float | None:
        """None where next to nothing came from the grid: the registers count whole Wh."""
        if self.grid_true_wh < _LEAST_WH:
            return None
        return 100 * (self.grid_metered_wh / self.grid_true_wh - 1)


@dataclass(frozen=True)
class BatteryTruth:
    """Commanded and real power, both positive where the battery charges.

    Attributes
    ----------
    lost_wh:
        What went in and is not in it.
    lag_s, best_rms_difference_w:
        By which part of a second the commanded power must be late to look most like the real one,
        and what is left then.
    """

    commanded_wh: float
    real_wh: float
    lost_wh: float
    mean_difference_w: float
    rms_difference_w: float
    lag_s: float
    best_rms_difference_w: float
    charge_before_wh: float
    charge_after_wh: float
    book_change_wh: int
    """By how much the meter's own books say that the charge has changed, from slot 1's end on."""


@dataclass(frozen=True)
class ChainRun:
    """One controller's day."""

    lived: Lived
    energy: Energy
    battery: BatteryTruth
    before: Sequence[Leakage]
    after: Sequence[Leakage]
    appliances: Mapping[str, Any] | None


@dataclass(frozen=True)
class ChainStudy:
    """All controllers on the same day."""

    source: str
    seconds: int
    runs: Mapping[str, ChainRun] = field(default_factory=dict)
    excerpt: Mapping[str, Any] | None = None
    """Of the same run on an emulated board, second by second beside this one."""


def study(  # noqa: PLR0913
    trace: Trace,
    source: str,
    seconds: int,
    controllers: Sequence[str],
    slot_s: int = SLOT_S,
    truth: Sequence[ApplianceRun] | None = None,
    progress: Progress = lambda what, done, total: None,
) -> ChainStudy:
    """Lives through the day with each controller.

    Raises
    ------
    HushmeterError
        No such controller, or the day is shorter than a slot.
    """
    unknown = [name for name in controllers if name not in PLANS]
    if unknown or not controllers:
        raise HushmeterError(f"no controller {unknown}; there are {', '.join(PLANS)}")
    if seconds < slot_s:
        raise HushmeterError(f"{seconds} s is less than a slot of {slot_s} s")
    runs = {}
    for name in controllers:
        plan = PLANS[name](trace, seconds, slot_s=slot_s)
        with tempfile.TemporaryDirectory(prefix="hushmeter-chain-") as folder:
            lived = live_through(plan, Path(folder), partial(progress, name))
        runs[name] = judged(lived, truth)
    return ChainStudy(source, seconds, runs)


def judged(lived: Lived, truth: Sequence[ApplianceRun] | None = None) -> ChainRun:
    """Everything that is said about a day."""
    demand, grid = whole(lived.demand_w), whole(lived.grid_w)
    settings = _settings(lived)
    name = settings.pop("name")
    steps = [step_s for step_s in STEPS_S if demand.size // step_s >= LEAST_SAMPLES]
    before = [leakage(demand, demand, step_s, "none", {}) for step_s in steps]
    after = [leakage(demand, grid, step_s, name, settings) for step_s in steps]
    return ChainRun(
        lived, energy(lived), battery_truth(lived), before, after,
        appliances(lived, demand, grid, truth),
    )  # fmt: skip


def whole(power_w: NDArray[np.float64]) -> Whole:
    """Whole watts; the remainder is carried on, so that energy stays."""
    sums = np.rint(np.cumsum(power_w)).astype(np.int64)
    found: Whole = np.concatenate((sums[:1], sums[1:] - sums[:-1]))
    return found


def _settings(lived: Lived) -> dict[str, Any]:
    """The controller as the attacks ask for it."""
    wanted = dict(lived.plan.controller)
    rate_w = wanted.pop("rate_w", 0)
    return {"name": wanted["name"], "charge_rate_w": rate_w, "discharge_rate_w": rate_w}


def leakage(
    demand: Whole, grid: Whole, step_s: int, name: str, rates: Mapping[str, int]
) -> Leakage:
    """What the grid's series tells of the demand, both summed to steps."""
    count = demand.size // step_s
    means = [
        np.rint(series[: count * step_s].reshape(count, step_s).mean(axis=1)).astype(np.int64)
        for series in (demand, grid)
    ]
    found = measure(means[0], means[1], step_s, Options())
    scored, by_chance = _change_attack(means[0], means[1], step_s, name, rates)
    return Leakage(
        step_s=step_s,
        samples=count,
        mi_bits=found.mi_bits,
        mi_ci_bits=found.mi_ci_bits,
        mi_shuffled_bits=found.mi_shuffled_bits,
        mi_binary_bits=found.mi_binary_bits,
        mi_binary_shuffled_bits=found.mi_binary_shuffled_bits,
        mi_markov_bits=found.mi_markov_bits,
        mi_markov_shuffled_bits=found.mi_markov_shuffled_bits,
        mi_relative=found.mi_relative,
        reconstruction_r2=found.reconstruction_r2,
        claims_right=scored.precision,
        claims_found=scored.recall,
        claims_right_by_chance=by_chance[0],
        claims_found_by_chance=by_chance[1],
    )


def _change_attack(
    demand: Whole, grid: Whole, step_s: int, name: str, rates: Mapping[str, int]
) -> tuple[attacks.Score, tuple[float, float]]:
    """Of the attack that is fit for the controller and of the one that takes every change for the
    demand's, the one that gets more: its score, and precision and recall by chance.

    The first looks for plateaus, which a real inverter's ramp and a meter's noise make uneven.
    """
    rates = {f"{way}_rate_w": rates.get(f"{way}_rate_w", 0) for way in ("charge", "discharge")}
    tried = (attacks.change_attack(name, grid, step_s, **rates), attacks.changes_of(grid))
    claims = max(tried, key=lambda one: attacks.score(one, demand).recall)
    chance = np.random.default_rng(0)
    moves = np.diff(demand)
    others = [
        attacks.score(claims, np.concatenate(([0], np.cumsum(chance.permutation(moves)))))
        for _ in range(_SHUFFLES)
    ]
    precision = sum(one.precision for one in others) / _SHUFFLES
    recall = sum(one.recall for one in others) / _SHUFFLES
    return attacks.score(claims, demand), (precision, recall)


def energy(lived: Lived) -> Energy:
    """Slots without a gap, metered and true."""
    slot_s = lived.plan.slot_s
    grid_w = lived.grid_w
    sums = [0.0, 0.0, 0.0, 0.0]
    gaps = count = 0
    for record in lived.records:
        first = (record["slot"] - 1) * slot_s
        if record["flags"] or first + slot_s > grid_w.size:
            gaps += 1
            continue
        count += 1
        part = slice(first, first + slot_s)
        sums[0] += float(lived.demand_w[part].sum()) / WS_PER_WH
        sums[1] += record["demand_ws"] / WS_PER_WH
        sums[2] += float(np.maximum(grid_w[part], 0).sum()) / WS_PER_WH
        sums[3] += record["import_wh"]
    return Energy(sums[0], sums[1], sums[2], sums[3], count, gaps)


def battery_truth(lived: Lived) -> BatteryTruth:
    """How far the battery was from what it was told, and by how much later it followed."""
    known = ~np.isnan(lived.commanded_w)
    told, real = lived.commanded_w[known], lived.battery_w[known]
    difference = real - told
    stored_wh = lived.charge_wh[1] - lived.charge_wh[0]
    lag, best = _lag(np.nan_to_num(lived.commanded_w), lived.battery_w)
    real_wh = float(lived.battery_w.sum()) / WS_PER_WH
    return BatteryTruth(
        commanded_wh=float(told.sum()) / WS_PER_WH,
        real_wh=real_wh,
        lost_wh=real_wh - stored_wh,
        mean_difference_w=float(difference.mean()) if known.any() else 0.0,
        rms_difference_w=float(np.sqrt((difference**2).mean())) if known.any() else 0.0,
        lag_s=lag,
        best_rms_difference_w=best,
        charge_before_wh=lived.charge_wh[0],
        charge_after_wh=lived.charge_wh[1],
        book_change_wh=lived.records[-1]["charge_wh"] - lived.records[0]["charge_wh"]
        if lived.records
        else 0,
    )


def _lag(told: NDArray[np.float64], real: NDArray[np.float64]) -> tuple[float, float]:
    """By which part of a second the commanded power must be late to look most like the real one.

    A set-point that is s late moves the share s of each second's power to the next second.
    """
    earlier = np.concatenate(([0.0], told[:-1]))
    step = earlier - told
    square = float(step @ step)
    share = float((real - told) @ step) / square if square else 0.0
    left = real - told - share * step
    return share, float(np.sqrt((left**2).mean()))


def appliances(
    lived: Lived, demand: Whole, grid: Whole, truth: Sequence[ApplianceRun] | None
) -> Mapping[str, Any] | None:
    """The appliance attack's scores; None where nobody knows what ran, or too little did."""
    if truth is None:
        return None
    record = Record(
        "chain", "home", START_S, 1, 1, demand, np.zeros(demand.size, dtype=np.bool_), 0
    )
    rate_w = int(lived.plan.controller.get("rate_w", 0))
    setup = Setup(lived.plan.label, lived.plan.label, {}, 0, rate_w, ())
    try:
        return ApplianceAttack(record, truth, 0).scores(setup, grid)
    except HushmeterError:
        return None


def as_json(found: ChainStudy) -> dict[str, Any]:
    """One object with stable keys."""
    return {
        "study": "chain",
        "simulated": True,
        "source": found.source,
        "seconds": found.seconds,
        "controllers": {name: _run_json(run) for name, run in found.runs.items()},
        "excerpt": None if found.excerpt is None else dict(found.excerpt),
    }


def _run_json(run: ChainRun) -> dict[str, Any]:
    lived, energy = run.lived, run.energy
    return {
        "settings": dict(lived.plan.controller),
        "sensor": lived.plan.parts()["driver"]["name"],
        "energy": {
            **asdict(energy),
            "error_percent": energy.error_percent,
            "grid_error_percent": energy.grid_error_percent,
        },
        "battery": asdict(run.battery),
        "leakage": {
            "before": [asdict(one) for one in run.before],
            "after": [asdict(one) for one in run.after],
            "appliances": run.appliances,
        },
        "samples": {
            key: lived.life[key] for key in ("samples", "missed_samples", "failed_samples")
        },
        "clock": {
            "worst_offset_ms": lived.worst_clock_ms,
            "drift_ppb": lived.life["drift_ppb"],
        },
        "actuator": dict(lived.actuator),
        "seconds": lived.took_s,
    }
