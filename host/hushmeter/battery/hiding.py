"""A home behind a battery: the run, and everything that is said about it.

    record = record_of(read_load(path))
    setup = setups(["ls2"], Battery(500, 500, 500), record.step_s)[0]
    run = hide(record, setup, seed=1)                 # run.grid_w, run.charge_ws
    Judge(record).judge(run).summary()                # what `hushmeter hide --json` prints

    for judged in compare(record, setups(["all"], battery, record.step_s), Judging(), seed=1):
        ...                                           # one run at a time

Memory. A run is held whole, 25 bytes a step; the simulation itself goes through it in pieces. With
the load that was read and what the attack needs, a year of seconds takes 3 GB, a month 0.7 GB. What
needs many times that, the mutual informations and the reconstruction, looks at `MOST_MEASURED`
samples at most: of a longer record, at whole days that are picked evenly, and the result says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hushfw.core.battery.settings import WITH_TABLE
from hushmeter.battery import attacks, tariff
from hushmeter.battery.appliance_attack import ApplianceAttack
from hushmeter.battery.appliances import Run as ApplianceRun
from hushmeter.battery.books import Units, energy_balance_error_ws
from hushmeter.battery.metrics import DAY_S, LEAST_SAMPLES, Metrics, Options, measure
from hushmeter.battery.record import Record
from hushmeter.battery.setups import MOST_BEYOND, WS_PER_WH, Setup
from hushmeter.battery.simulator import Simulation
from hushmeter.errors import HushmeterError

MOST_MEASURED = 4_000_000
"""Samples that mutual information and reconstruction look at: 46 days of seconds."""

_PIECE = 1 << 20
_SMOOTH_DEFAULT_S = 3600

Progress = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and how much there is."""


@dataclass(frozen=True)
class Judging:
    """How runs are judged.

    Attributes
    ----------
    options:
        Of :func:`hushmeter.battery.metrics.measure`; its warm-up counts from the record's start,
        gaps included.
    prices:
        A tariff, for the cost before and after.
    truth:
        What ran in the home, for the appliance attack.
    """

    options: Options = field(default_factory=Options)
    prices: tariff.Tariff | None = None
    truth: Sequence[ApplianceRun] | None = None


@dataclass(frozen=True)
class HiddenRun:
    """A record behind a battery.

    Attributes
    ----------
    grid_w:
        int64, shape (steps,): the draw; 0 in missing steps, where it is not known.
    charge_ws:
        int64, shape (steps + 1,): before the first step and after each.
    seconds:
        The controller's own, once it is compiled.
    given_ws, most_overdraft_ws:
        What a second supply gave (`source`), and by how much that was at most above its power.
    beyond_share:
        Of a policy (`table`, `source`): share of known steps whose demand was beyond its alphabet
        and passed to the grid; None of other controllers.
    """

    setup: Setup
    seed: int | str
    grid_w: NDArray[np.int64]
    charge_ws: NDArray[np.int64]
    seconds: float
    given_ws: int = 0
    most_overdraft_ws: int = 0
    beyond_share: float | None = None

    def warnings(self) -> list[str]:
        """What of the policy makes the figures worth less."""
        share = self.beyond_share
        if share is None or share <= MOST_BEYOND:
            return []
        return [
            f"in {share:.1%} of the steps the demand was beyond the policy's alphabet and passed "
            "to the grid; design the policy for this load"
        ]


@dataclass(frozen=True)
class ChangeAttack:
    """The load-change attack on one run; see :mod:`hushmeter.battery.attacks`."""

    events: int
    correct: int
    precision: float
    recall: float
    tolerance_w: float
    threshold_w: int
    claims: attacks.Claims

    def summary(self) -> dict[str, Any]:
        """For JSON: everything but the claims."""
        return {name: value for name, value in vars(self).items() if name != "claims"}


@dataclass(frozen=True)
class Judged:
    """A run and its judgement; `appliances` as :class:`ApplianceAttack` scores them."""

    record: Record
    run: HiddenRun
    metrics: Metrics
    attack: ChangeAttack
    cost_before: tariff.Cost | None
    cost_after: tariff.Cost | None
    appliances: dict[str, Any] | None

    @property
    def label(self) -> str:
        return self.run.setup.label

    def summary(self) -> dict[str, Any]:
        """What ``hushmeter hide --json`` prints of a run."""
        record, run = self.record, self.run
        measured = asdict(self.metrics)
        return {
            "controller": run.setup.label,
            **{name: value for name, value in measured.items() if name != "warnings"},
            "attack": self.attack.summary(),
            "seconds": run.seconds,
            "seed": run.seed,
            "source": record.source,
            "home": record.home,
            "start": record.clock(0),
            "steps": record.steps,
            "row_s": record.row_s,
            "gaps": record.gaps,
            "missing_steps": record.missing_steps,
            "rows_left_over": record.rows_left_over,
            "warm_up_s": self.metrics.warm_up_samples * record.step_s,
            "settings": _shown(run.setup.settings),
            "start_charge_wh": int(run.charge_ws[0]) / WS_PER_WH,
            "end_charge_wh": int(run.charge_ws[-1]) / WS_PER_WH,
            "demand_wh": int(record.demand_w.sum()) * record.step_s / WS_PER_WH,
            "grid_wh": int(run.grid_w.sum()) * record.step_s / WS_PER_WH,
            "source_wh": run.given_ws / WS_PER_WH,
            "source_overdraft_wh": run.most_overdraft_ws / WS_PER_WH,
            "beyond_share": run.beyond_share,
            "cost": _cost_summary(self.cost_before, self.cost_after),
            "appliances": self.appliances,
            "warnings": [*self.metrics.warnings, *run.warnings()],
        }


def hide(
    record: Record, setup: Setup, seed: int | str, progress: Progress | None = None
) -> HiddenRun:
    """Runs a record through a controller.

    Raises
    ------
    HushmeterError, HushError
        What the simulator or the device's code refuses.
    """
    known = np.flatnonzero(~record.missing)
    demand_w = record.demand_w[known] if known.size < record.steps else record.demand_w
    Simulation(setup.name, setup.settings, seed=seed).run(demand_w[None, :2])
    simulation = Simulation(setup.name, setup.settings, seed=seed)
    grid_w = np.zeros(record.steps, dtype=np.int64)
    charge_ws = np.empty(record.steps + 1, dtype=np.int64)
    charge_ws[0] = int(np.ravel(simulation.start_charge_ws)[0])
    seconds, filled = 0.0, 0
    for first in range(0, demand_w.size, _PIECE):
        piece = np.ascontiguousarray(demand_w[None, first : first + _PIECE])
        began = time.perf_counter()
        result = simulation.run(piece)
        seconds += time.perf_counter() - began
        places = known[first : first + _PIECE]
        grid_w[places] = result.grid_w[0]
        # The charge after every step up to the last of this piece, missing ones as the one before.
        last = int(places[-1])
        turns = np.searchsorted(places, np.arange(filled, last + 1), side="right")
        charges = np.append(charge_ws[filled], result.charge_ws[0])
        charge_ws[filled + 1 : last + 2] = charges[turns]
        filled = last + 1
        if progress is not None:
            progress(setup.label, filled, record.steps)
    charge_ws[filled + 1 :] = charge_ws[filled]
    given_ws, overdraft_ws = simulation.given_ws, simulation.most_overdraft_ws
    # Of two tables in series each counts; what is beyond the first is nearly always so for both.
    beyond = min(1.0, int(simulation.beyond_steps[0]) / max(1, known.size))
    has_policy = not set(WITH_TABLE).isdisjoint(setup.label.split("+"))
    supply_ws = int(given_ws[0]), int(overdraft_ws[0])
    share = beyond if has_policy else None
    return HiddenRun(setup, seed, grid_w, charge_ws, seconds, *supply_ws, share)


class Judge:
    """Measures and attacks runs of one record; what is of the demand alone is done once."""

    def __init__(self, record: Record, judging: Judging | None = None) -> None:
        self.record = record
        self.judging = judging or Judging()

    def judge(self, run: HiddenRun) -> Judged:
        """Measures and attacks a run.

        Raises
        ------
        HushmeterError
            Too little is left after warm-up and gaps to be measured.
        """
        prices = self.judging.prices
        return Judged(
            record=self.record,
            run=run,
            metrics=_metrics(self.record, run, self.judging.options),
            attack=_attack(self.record, run, self.judging.options),
            cost_before=self._cost_before,
            cost_after=_cost(self.record, run.grid_w, prices),
            appliances=self._appliances.scores(run.setup, run.grid_w) if self._appliances else None,
        )

    @cached_property
    def _cost_before(self) -> tariff.Cost | None:
        return _cost(self.record, self.record.demand_w, self.judging.prices)

    @cached_property
    def _appliances(self) -> ApplianceAttack | None:
        if self.judging.truth is None:
            return None
        return ApplianceAttack(self.record, self.judging.truth, self.judging.options.warm_up_s)


def compare(
    record: Record,
    chosen: Sequence[Setup],
    judging: Judging,
    seed: int | str,
    progress: Progress | None = None,
) -> Iterator[Judged]:
    """Every controller on the same record with the same seed, in their order; one is held."""
    judge = Judge(record, judging)
    for setup in chosen:
        yield judge.judge(hide(record, setup, seed, progress))


def books_error_ws(record: Record, run: HiddenRun) -> int | None:
    """The error of the run's energy balance; None for two batteries in series with losses.

    Of such the draw between them is needed, which is not kept. Nor is what a second supply gave
    after each step, so beside a battery it is None too.
    """
    setup = run.setup
    if setup.name == "source":
        taken_ws = int((record.demand_w - run.grid_w).sum()) * record.step_s
        return abs(taken_ws - run.given_ws)
    if setup.name == "cascade" and "source" in setup.label.split("+"):
        return None
    if len(setup.batteries) > 1 and not all(one.is_ideal for one in setup.batteries):
        return None
    if len(setup.batteries) == 1 and setup.name != "cascade":
        units = Units.of(setup.settings)
    elif all(one.is_ideal for one in setup.batteries):
        units = Units.ideal(record.step_s)
    else:
        return None
    return energy_balance_error_ws(record.demand_w, run.grid_w, run.charge_ws, units)


def _metrics(record: Record, run: HiddenRun, options: Options) -> Metrics:
    warm_up = -(-options.warm_up_s // record.step_s)
    known = np.flatnonzero(~record.missing)
    known = known[np.searchsorted(known, warm_up) :]
    if known.size < LEAST_SAMPLES:
        raise HushmeterError(
            f"{record.source}: {known.size} samples are left after a warm-up of "
            f"{options.warm_up_s} s; {LEAST_SAMPLES} are needed to measure anything"
        )
    picked, days = _picked(known, max(1, DAY_S // record.step_s))
    found = measure(
        record.demand_w[picked],
        run.grid_w[picked],
        record.step_s,
        replace(options, warm_up_s=0),
        usable_ws=run.setup.usable_ws,
        breaks=np.diff(picked, prepend=picked[:1] - 1) != 1,
    )
    error_ws = books_error_ws(record, run)
    notes = list(found.warnings)
    if days is not None:
        notes.append(
            f"mutual information and reconstruction are of {days[0]} of the record's {days[1]} "
            f"days, picked evenly: at most {MOST_MEASURED} samples are looked at"
        )
    if error_ws is None:
        notes.append("the energy balance of two in series is checked only for two ideal batteries")
    if record.gaps:
        notes.append(
            f"{record.gaps} gaps, {record.missing_steps} steps in all: the battery rested, and "
            "what is measured leaves them out"
        )
    return replace(
        found,
        warm_up_samples=min(warm_up, record.steps),
        energy_balance_error_ws=error_ws,
        warnings=tuple(notes),
    )


def _picked(
    known: NDArray[np.int64], steps_a_day: int
) -> tuple[NDArray[np.int64], tuple[int, int] | None]:
    """Steps to be measured, and of how many days how many they are if not all."""
    if known.size <= MOST_MEASURED:
        return known, None
    days = known // steps_a_day
    there = np.unique(days)
    count = max(1, min(there.size, MOST_MEASURED // steps_a_day))
    chosen = there[np.linspace(0, there.size - 1, count).round().astype(np.int64)]
    picked: NDArray[np.int64] = known[np.isin(days, chosen)]
    return picked, (count, int(there.size))


def _attack(record: Record, run: HiddenRun, options: Options) -> ChangeAttack:
    name, settings = _facing_the_grid(run.setup)
    known = np.flatnonzero(~record.missing)
    breaks = np.diff(known, prepend=known[:1] - 1) != 1
    rates = {f"{way}_rate_w": settings.get(f"{way}_rate_w", 0) for way in ("charge", "discharge")}
    claims = attacks.change_attack(
        name,
        run.grid_w[known],
        record.step_s,
        **rates,
        time_constant_s=settings.get("time_constant_s", _SMOOTH_DEFAULT_S),
    )
    first = int(np.searchsorted(known, -(-options.warm_up_s // record.step_s)))
    found = attacks.score(claims, record.demand_w[known], from_sample=first, breaks=breaks)
    return ChangeAttack(
        **asdict(found),
        tolerance_w=claims.tolerance_w,
        threshold_w=attacks.THRESHOLD_W,
        claims=replace(claims, samples=known[claims.samples]),
    )


def _facing_the_grid(setup: Setup) -> tuple[str, dict[str, Any]]:
    """The controller whose rule the draw shows: of two the second, unless that does nothing."""
    if setup.name != "cascade":
        return setup.name, setup.settings
    first, second = setup.settings["first"], setup.settings["second"]
    part = first if second["name"] == "none" else second
    return part["name"], part


def _cost(
    record: Record, power_w: NDArray[np.int64], prices: tariff.Tariff | None
) -> tariff.Cost | None:
    return tariff.cost(prices, power_w, record.step_s, record.start) if prices else None


def _cost_summary(before: tariff.Cost | None, after: tariff.Cost | None) -> dict[str, Any] | None:
    if before is None or after is None:
        return None
    return {
        "tariff": before.tariff,
        "currency": before.currency,
        "before_micro": before.cost_micro,
        "after_micro": after.cost_micro,
        "saved_micro": before.cost_micro - after.cost_micro,
        "standing_micro": before.standing_micro,
        "before_periods": [asdict(period) for period in before.periods],
        "after_periods": [asdict(period) for period in after.periods],
    }


def _shown(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings for JSON: a table by its size."""
    shown: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, bytes):
            shown[f"{name}_bytes"] = len(value)
        else:
            shown[name] = _shown(value) if isinstance(value, dict) else value
    return shown
