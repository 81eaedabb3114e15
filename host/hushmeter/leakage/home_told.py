"""What a run of a controller on a real load told the meter's reader, at most; bits a step.

What draws Y tell of the load X is I(X; Y) = H(Y) - H(Y | X).

- H(Y) is at most the length of any code for the draws. The code is that of a law which has been
  learned from other days: for most controllers the best of the laws of `fit_checks` on the
  draws themselves, and for a table that of a reader who knows the table and the home's
  Markov chain and carries on what the charge may be.
- H(Y | X) is what the controller's own coins add. It is exact: load and draws give the charge, and
  charge and load the probability of each draw. A controller without coins has none.

So each figure is an upper estimate, the looser the fewer days there are to learn from. The meter
is taken to be read in whole quanta; read to the watt it may tell more.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from hushmeter.battery.hiding import HiddenRun
from hushmeter.battery.record import Record
from hushmeter.battery.setups import WS_PER_WH
from hushmeter.leakage import fit_checks
from hushmeter.leakage.fit import chain_without
from hushmeter.leakage.fit_levels import Steps
from hushmeter.leakage.policy import Policy

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

MOST_STEPS = 20_000
"""Steps of a record, its first, that the reader of a table goes through."""


@dataclass(frozen=True)
class Told:
    """An upper estimate of what a run told.

    Attributes
    ----------
    bits, stderr:
        A step, and its standard error over folds of days (or pieces of a short record).
    draw_bits, coin_bits:
        The code of the draws, and the controller's own coins in it; bits is their difference, 0
        where the coins are more.
    steps:
        That the estimate rests on.
    law:
        The law that codes the draws: as in `fit_checks.Check`, or reader.
    whole_bits:
        Of a table: `bits` on the same load rounded to whole quanta; what is more of the load
        itself, its remainders give away.
    whole_stderr:
        Of a table: standard error of `bits` less `whole_bits`, over the same folds.
    beyond_share:
        Of a table: share of steps with a demand beyond its alphabet, which passes to the grid.
    """

    bits: float
    stderr: float
    draw_bits: float
    coin_bits: float
    steps: int
    law: str
    whole_bits: float | None = None
    whole_stderr: float | None = None
    beyond_share: float | None = None


@dataclass(frozen=True)
class TableTold(Told):
    """Of a table, with the means of the folds (bits a step) that the standard error is of."""

    fold_bits: tuple[float, ...] = ()

    def beside(self, whole: TableTold) -> Told:
        """Without the folds; beside the same on a load of whole quanta."""
        error = _error_of_mean(np.subtract(self.fold_bits, whole.fold_bits))
        kept = {entry.name: getattr(self, entry.name) for entry in fields(Told)}
        return Told(**kept | {"whole_bits": whole.bits, "whole_stderr": error})


def _error_of_mean(values: Floats) -> float:
    return float(values.std(ddof=1) / np.sqrt(values.size))


def told(record: Record, run: HiddenRun, steps: Steps) -> Told:
    """Of any controller but a table.

    Parameters
    ----------
    steps:
        The load in quanta; the draws are rounded to the same quantum.
    """
    quantum_w = steps.quantum_w
    draws = (2 * np.maximum(run.grid_w, 0) + quantum_w) // (2 * quantum_w)
    best = min(
        fit_checks.check_laws(replace(steps, levels=np.where(record.missing, 0, draws))),
        key=lambda check: check.unseen_bits,
    )
    coins = 0.0
    if run.setup.name in ("ls2", "rc") and run.setup.beta_w >= quantum_w:
        coins = float(coin_bits(record, run).mean())
    return Told(
        bits=max(0.0, best.unseen_bits - coins),
        stderr=best.unseen_stderr,
        draw_bits=best.unseen_bits,
        coin_bits=coins,
        steps=int(steps.known.size),
        law=best.name,
    )


def coin_bits(record: Record, run: HiddenRun) -> Floats:
    """-log2 Pr[draw | demand, charge, level before] of ls2 and rc, shape (known steps,).

    The rules are those of `hushfw.core.battery.stepping`, for an ideal battery. A coin that the
    bounds overrule, or between two equal levels, is none.
    """
    known = ~record.missing
    demand, draw = record.demand_w[known], run.grid_w[known]
    battery, beta = run.setup.batteries[0], run.setup.beta_w
    charge = run.charge_ws[:-1][known]
    low, high = battery.minimum_wh * WS_PER_WH, battery.full_wh * WS_PER_WH
    below = demand // beta
    above = -(-demand // beta)
    up = charge + (above * beta - demand) * record.step_s
    down = charge + (below * beta - demand) * record.step_s
    is_free = (above > below) & (up <= high) & (down >= low)
    if run.setup.name == "rc":
        chance_down = (charge - low) / (high - low)
        chance = np.where(draw == below * beta, chance_down, 1 - chance_down)
    else:
        before = np.append(-1, draw[:-1] // beta)
        is_held = (before == below) | (before == above) | (before < 0)
        chance = np.where(is_held, 1.0, 0.5)
    bits: Floats = np.where(is_free, -np.log2(np.where(is_free, chance, 1.0)), 0.0)
    return bits


@dataclass(frozen=True)
class _Path:
    """What a table met and did in its known steps, quanta."""

    levels: Integers
    draws: Integers
    charges: Integers
    beyond: Integers


def told_by_table(record: Record, run: HiddenRun, steps: Steps, policy: Policy) -> TableTold:
    """Of a table, remainders and what is beyond its alphabet included.

    Parameters
    ----------
    policy:
        With the probabilities that the table's thresholds really have.
    """
    from hushmeter.leakage import home_kernels

    known = np.flatnonzero(~record.missing)[:MOST_STEPS]
    path = _path(record, run, steps, policy.inputs, known)
    levels, folds = _as_met(record, steps, known, path)
    order = np.unique(path.levels)
    chains = [chain_without(levels, folds, fold, order) for fold in range(int(folds.max()) + 1)]
    chances = _by_level(policy, order)
    bits = home_kernels.surprises(
        path.draws,
        np.diff(known, prepend=known[0] - 2) == 1,
        folds[known],
        np.array([chain.stationary for chain in chains]),
        np.array([chain.transitions for chain in chains]),
        order,
        np.zeros(known.size, dtype=np.int64),
        chances[None],
        policy.initial.sum(0),
    )
    coins = -np.log2(chances[path.charges, np.searchsorted(order, path.levels), path.draws])
    sizes = np.bincount(folds[known])
    means = np.bincount(folds[known], weights=bits - coins)[sizes > 0] / sizes[sizes > 0]
    return TableTold(
        bits=max(0.0, float((bits - coins).mean())),
        stderr=_error_of_mean(means),
        draw_bits=float(bits.mean()),
        coin_bits=float(coins.mean()),
        steps=int(known.size),
        law="reader",
        beyond_share=float((path.beyond > 0).mean()),
        fold_bits=tuple(means.tolist()),
    )


def _path(record: Record, run: HiddenRun, steps: Steps, inputs: int, known: Integers) -> _Path:
    """From watts to what the table did; see `hushfw.core.battery.table`, without losses."""
    quantum_ws = steps.quantum_w * steps.step_s
    battery = run.setup.batteries[0]
    base = battery.minimum_wh * WS_PER_WH + quantum_ws - 1
    before = run.charge_ws[:-1][known]
    charges = -((base - before) // quantum_ws)
    owed = base + charges * quantum_ws - before
    levels = (owed + record.demand_w[known] * steps.step_s) // quantum_ws
    return _Path(
        levels=levels,
        draws=run.grid_w[known] // steps.quantum_w,
        charges=charges,
        beyond=np.maximum(levels - (inputs - 1), 0),
    )


def _as_met(record: Record, steps: Steps, known: Integers, path: _Path) -> tuple[Steps, Integers]:
    """The load as the table met it, with its remainders carried on, and the fold of each step."""
    levels = np.zeros(record.steps, dtype=np.int64)
    levels[known] = path.levels
    missing = np.ones(record.steps, dtype=np.bool_)
    missing[known] = False
    met = replace(steps, levels=levels, missing=missing)
    folds = np.zeros(record.steps, dtype=np.int64)
    folds[known] = fit_checks.folds_of(met, known)
    return met, folds


def _by_level(policy: Policy, order: Integers) -> Floats:
    """Pr[whole draw | charge, level], shape (states, k, outputs); beyond the alphabet it passes."""
    beyond = np.maximum(order - (policy.inputs - 1), 0)
    outputs = policy.outputs + int(beyond.max())
    chances = np.zeros((policy.capacity + 1, order.size, outputs))
    for place, (level, passed) in enumerate(zip(order, beyond, strict=True)):
        chances[:, place, passed : passed + policy.outputs] = policy.draws[0, :, level - passed]
    return chances
