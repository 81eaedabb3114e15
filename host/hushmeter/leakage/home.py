"""What a home's load tells its meter, with a battery of a given size or with a second source.

    record = record_of(read_load(path))
    found = analyse(record, Asked(capacity_wh=500, rate_w=500))
    found.summary()                                # what `hushmeter leakage home --json` prints

Four kinds of figure stand side by side, all in bits a step, and are not to be mixed up.

- **Measured**: a controller runs on the load itself, and :mod:`hushmeter.leakage.home_told` says
  what its draws told at most. True of this load, loose where there are few days.
- **Optimum, i.i.d.**: J* of the load's law, certified. True of a load whose steps are independent,
  which a home's are not. Where a load stays high for hours, a battery is full or empty for as long
  and must show it, so J* is then too low to be reached, though it is what can be computed.
- **Limit, chain**: no controller of any kind leaks less, if the load is the fitted Markov chain.
  Together with the least that a simulated policy leaks on the chain it is a bracket.
- **Source**: I(P) of the load's law. Its policy has no memory, so on any load with that law,
  however dependent, it leaks at most I(P): I(X^T; Y^T) <= sum of I(X_t; Y_t).

Rates of the battery bind the measured controllers only. J* and the limit allow any rates, and with
less a battery leaks no less.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from hushmeter.battery.hiding import Judged, Progress
from hushmeter.battery.metrics import DAY_S
from hushmeter.battery.record import Record
from hushmeter.battery.setups import Battery
from hushmeter.errors import HushmeterError
from hushmeter.leakage import fit_levels, home_model, markov, rate, single
from hushmeter.leakage.block_bound import BlockBound, block_bound, block_entropies
from hushmeter.leakage.fit import LoadModel, fit
from hushmeter.leakage.home_measured import CONTROLLERS, Measured, measure, names_of
from hushmeter.leakage.home_model import ModelRate
from hushmeter.leakage.home_source import Source, source_of
from hushmeter.leakage.markov import MarkovOptimum
from hushmeter.leakage.markov_load import MarkovLoad

POLICIES = ("best-effort", "best-effort-pass", "hold-mean", "optimal")
MODEL_STEPS = 20_000
LEAST_DAYS = 10
"""Below so many, what was learned of the home is thin."""

_QUICK_CASES = 3_000
_QUICK_S, _THOROUGH_S = 3.0, 120.0
_TOLERANCE = 1e-4
_SIZES = 14
_LARGEST_SIZE = 4
_MOST_SIZE = 1000


@dataclass(frozen=True)
class Asked:
    """What is to be found out.

    Attributes
    ----------
    capacity_wh, rate_w:
        Of the battery.
    levels:
        At most so many of the load; the quantum follows, unless `quantum_w` says it.
    controllers:
        Run on the load itself, as `hushmeter hide` names them.
    source_w:
        Mean power of an alternative source, to be marked on its curve.
    thorough:
        Let the solver for Markov loads take minutes; else it is asked only where it takes seconds.
    seed:
        Of all that is random.
    """

    capacity_wh: int = 500
    rate_w: int = 500
    levels: int = fit_levels.USUAL_LEVELS
    quantum_w: int | None = None
    controllers: Sequence[str] = CONTROLLERS
    source_w: float | None = None
    thorough: bool = False
    seed: int = 1


@dataclass(frozen=True)
class Modelled:
    """A policy on integers under the two models, without limits of the rates."""

    policy: str
    iid: ModelRate
    chain: ModelRate


@dataclass(frozen=True)
class Size:
    """Limits for one size of battery."""

    capacity_wh: float
    capacity: int
    value: float
    lower: float
    upper: float
    chain_lower: float


@dataclass
class HomeLeakage:
    """Everything that was found; bits a step.

    Attributes
    ----------
    capacity:
        Of the battery, quanta.
    optimum:
        J* of the i.i.d. law.
    limit:
        Of the chain.
    left_out:
        Controllers and policies that could not be run, with the reason.
    bracket:
        Of the chain's optimum, from its solver; None where that would take too long.
    """

    record: Record
    asked: Asked
    model: LoadModel
    capacity: int
    optimum: single.SingleOptimum
    limit: BlockBound
    sizes: list[Size]
    source: Source
    measured: list[Measured] = field(default_factory=list)
    modelled: list[Modelled] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    bracket: MarkovOptimum | None = None
    seconds: float = 0.0

    @property
    def steps_a_day(self) -> float:
        return DAY_S / self.model.steps.step_s

    @property
    def without(self) -> float:
        """What the meter tells without a battery: at most the best code of unseen days."""
        return self.model.best.unseen_bits

    @property
    def with_source(self) -> float | None:
        """What the meter tells with the source that was asked for: at most I(P), nor more than
        without it, for the draws come from the load with coins of their own."""
        asked = self.source.asked
        return None if asked is None else min(asked.value, self.without)

    @property
    def best(self) -> Measured | None:
        """The controller with a battery that told least on the load itself."""
        behind = [one for one in self.measured if one.controller != "none"]
        return min(behind, key=lambda one: one.told.bits, default=None)

    @property
    def chain_lower(self) -> float:
        """No controller leaks less on the chain."""
        return max(self.limit.bits, 0.0 if self.bracket is None else self.bracket.lower)

    @property
    def chain_upper(self) -> tuple[float, float, str] | None:
        """(rate, standard error, name) of the policy known to leak least on the chain."""
        known = [(one.chain.rate, one.chain.stderr, one.policy) for one in self.modelled]
        if self.bracket is not None:
            known.append((self.bracket.upper, 0.0, "Markov solver"))
        return min(known, default=None)

    def warnings(self) -> list[str]:
        """What makes a figure worth less than it looks."""
        checks = {check.name: check for check in self.model.checks}
        iid, chain = checks["iid"].unseen_bits, checks["chain"].unseen_bits
        days = self.model.steps.known.size / self.steps_a_day
        found = []
        if days < LEAST_DAYS:
            found.append(
                f"{days:.1f} days of readings: what the models know of this home is thin, and what "
                "is measured is loose from above"
            )
        if min(chain, self.without) < 0.95 * iid:
            found.append(
                f"steps are not independent: the best law tried needs {self.without:.3g} bits a "
                f"step to write down days that it has not seen, the i.i.d. law {iid:.3g}; what is "
                "said under the i.i.d. law is of another, imagined home with the same levels"
            )
        found += [f"{name} was left out: {why}" for name, why in self.left_out.items()]
        found += [
            f"{one.controller} needs a rate of {one.rate_w:,} W and was run with that; with "
            f"{self.asked.rate_w:,} W the battery cannot follow it"
            for one in self.measured
            if one.rate_w > self.asked.rate_w
        ]
        known = self.model.steps.known.size
        found += [
            f"{one.controller} was measured on the first {one.told.steps:,} of {known:,} steps"
            for one in self.measured
            if one.told.steps < known
        ]
        return found

    def summary(self) -> dict[str, Any]:
        """For JSON; NaN and infinities do not occur."""
        steps, model = self.model.steps, self.model
        upper = self.chain_upper
        return {
            "source": self.record.source,
            "home": self.record.home,
            "start": self.record.clock(0),
            "step_s": steps.step_s,
            "steps": int(steps.levels.size),
            "known_steps": int(steps.known.size),
            "gaps": self.record.gaps,
            "quantum_w": steps.quantum_w,
            "quantum_wh": steps.quantum_wh,
            "levels": int(model.law.size),
            "levels_used": int(model.chain.levels.size),
            "mean_w": float(model.law @ np.arange(model.law.size)) * steps.quantum_w,
            "capacity_wh": self.asked.capacity_wh,
            "rate_w": self.asked.rate_w,
            "capacity": self.capacity,
            "model": {
                "iid_entropy": model.entropy,
                "chain_entropy_rate": model.chain.entropy_rate,
                "checks": [asdict(check) for check in model.checks],
                "best": model.best.name,
            },
            "without_battery": {
                "bits": self.without,
                "bits_a_day": self.without * self.steps_a_day,
            },
            "optimum_iid": {
                name: getattr(self.optimum, name)
                for name in ("value", "lower", "upper", "iterations", "seconds")
            },
            "chain": {
                "lower": self.chain_lower,
                "block_lower": self.limit.bits,
                "block_steps": self.limit.steps,
                "solver_lower": None if self.bracket is None else self.bracket.lower,
                "solver_upper": None if self.bracket is None else self.bracket.upper,
                "upper": None if upper is None else upper[0],
                "upper_stderr": None if upper is None else upper[1],
                "upper_policy": None if upper is None else upper[2],
            },
            "controllers": [
                {
                    "controller": one.controller,
                    "rate_w": one.rate_w,
                    **asdict(one.told),
                    "bits_a_day": one.told.bits * self.steps_a_day,
                    "measured": one.figures,
                }
                for one in self.measured
            ],
            "policies": [asdict(one) for one in self.modelled],
            "sizes": [asdict(one) for one in self.sizes],
            "power": {**self.source.summary(), "at_most": self.with_source},
            "seed": self.asked.seed,
            "warnings": self.warnings(),
            "seconds": self.seconds,
        }


def analyse(
    record: Record,
    asked: Asked,
    progress: Progress | None = None,
    keep: Callable[[Judged], None] | None = None,
) -> HomeLeakage:
    """Fits the load, computes limits, runs controllers.

    Parameters
    ----------
    progress:
        Told what is being done.
    keep:
        Given each run on the load itself, for pictures; none is held otherwise.

    Raises
    ------
    HushmeterError
        The load cannot be fitted, or the battery holds less than a quantum.
    """
    began = time.perf_counter()
    tell = progress or (lambda what, done, total: None)
    names = names_of(asked.controllers)
    battery = Battery(asked.capacity_wh, asked.rate_w, asked.rate_w)
    quantum_w = asked.quantum_w
    if quantum_w is None:
        quantum_w = fit_levels.choose_quantum(record, asked.capacity_wh, asked.levels)
    tell("load model", 0, 1)
    model = fit(fit_levels.quantise(record, quantum_w))
    capacity = model.steps.capacity(asked.capacity_wh)
    tell("load model", 1, 1)
    chain = model.chain
    largest = max(capacity, min(_MOST_SIZE, _LARGEST_SIZE * capacity))
    entropies = block_entropies(chain.levels, chain.transitions, chain.stationary, largest)
    found = HomeLeakage(
        record,
        asked,
        model,
        capacity,
        optimum=single.solve(model.law, capacity),
        limit=block_bound(entropies, capacity),
        sizes=_sizes(model, entropies, capacity, largest, tell),
        source=source_of(model, asked.source_w, tell),
    )
    runs = measure(record, model, battery, names, asked.seed, tell, keep)
    found.measured, found.left_out = runs
    _simulate(found, tell)
    _bracket(found, tell)
    found.seconds = time.perf_counter() - began
    return found


def _sizes(
    model: LoadModel, entropies: dict[int, float], capacity: int, largest: int, tell: Progress
) -> list[Size]:
    """Limits from one quantum to several times the battery, its own size among them."""
    quanta = {round(size) for size in np.geomspace(1, largest, _SIZES)} | {capacity}
    found = []
    for done, size in enumerate(sorted(quanta)):
        tell("battery sizes", done, len(quanta))
        optimum = single.solve(model.law, size)
        found.append(
            Size(
                capacity_wh=size * model.steps.quantum_wh,
                capacity=size,
                value=optimum.value,
                lower=optimum.lower,
                upper=optimum.upper,
                chain_lower=block_bound(entropies, size).bits,
            )
        )
    tell("battery sizes", len(quanta), len(quanta))
    return found


def _bracket(found: HomeLeakage, tell: Progress) -> None:
    """The optimum for the chain between bounds, where that is affordable."""
    chain = found.model.chain
    cases = chain.levels.size * (found.capacity + 1) * (int(chain.levels[-1]) + 1)
    if cases > _QUICK_CASES and not found.asked.thorough:
        return
    tell("Markov optimum", 0, 1)
    try:
        found.bracket = markov.solve(
            MarkovLoad(chain.levels, chain.transitions),
            found.capacity,
            _TOLERANCE,
            _THOROUGH_S if found.asked.thorough else _QUICK_S,
        )
    except HushmeterError as error:
        found.left_out["Markov optimum"] = error.message
    tell("Markov optimum", 1, 1)


def _simulate(found: HomeLeakage, tell: Progress) -> None:
    """The policies on integers, under both models."""
    model, chain = found.model, found.model.chain
    law = model.law[chain.levels]
    seed = found.asked.seed
    for done, name in enumerate(POLICIES):
        tell("models", done, len(POLICIES))
        if name.startswith("best-effort"):
            entries = model.law.size**2 * chain.levels.size * (found.capacity + 1)
            if entries > home_model.MOST_ENTRIES:
                found.left_out[f"{name} (model)"] = (
                    f"it has {entries:,} probabilities for so many levels; "
                    f"at most {home_model.MOST_ENTRIES:,} are gone through"
                )
                continue
        policy: Any = rate.named(name, model.law, found.capacity)
        found.modelled.append(
            Modelled(
                name,
                home_model.model_rate(policy, chain.levels, law, None, MODEL_STEPS, seed),
                home_model.model_rate(
                    policy, chain.levels, chain.stationary, chain.transitions, MODEL_STEPS, seed
                ),
            )
        )
    tell("models", len(POLICIES), len(POLICIES))
