"""A model of a home's load, fitted to its readings: an i.i.d. law and a Markov chain.

    steps = quantise(record, choose_quantum(record, capacity_wh=500))     # of fit_levels
    model = fit(steps)          # model.law, model.chain, model.checks
    law_json(model), chain_json(model)      # files for `--dist file:FILE` and `--markov FILE`

**The chain** is counted and mixed with the law, P = (1 - m) counted + m law in every row, with the
m that codes unseen days best (see `fit_checks`). All levels then reach all others, and what the
chain keeps is the law of the load itself but for the ends of the record, so the two models agree
about a single step.

**Gaps.** Nothing is filled in. A transition across a gap is none.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hushmeter.leakage.entropies import entropy
from hushmeter.leakage.fit_checks import Check, check_laws
from hushmeter.leakage.fit_levels import Steps

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

_FOLD_MIX = 0.05


@dataclass(frozen=True)
class Chain:
    """A first-order Markov chain on the levels that occur.

    Attributes
    ----------
    levels:
        Shape (k,), rising quanta.
    transitions:
        Shape (k, k): Pr[next | now], rows sum to 1, all positive.
    stationary:
        Shape (k,).
    """

    levels: Integers
    transitions: Floats
    stationary: Floats

    @property
    def entropy_rate(self) -> float:
        """Bits a step."""
        return sum(
            float(mass) * entropy(row)
            for mass, row in zip(self.stationary, self.transitions, strict=True)
        )


@dataclass(frozen=True)
class LoadModel:
    """What was fitted.

    Attributes
    ----------
    law:
        Shape (n,): share of the known steps at level 0, 1, ..., n - 1, the highest.
    checks:
        Of iid, hourly, chain, markov, markov2, on the same steps.
    """

    steps: Steps
    law: Floats
    chain: Chain
    checks: tuple[Check, ...]

    @property
    def entropy(self) -> float:
        """Of the i.i.d. law, bits a step."""
        return entropy(self.law)

    @property
    def best(self) -> Check:
        """The law that codes unseen days best."""
        return min(self.checks, key=lambda check: check.unseen_bits)


def fit(steps: Steps) -> LoadModel:
    """Law, chain and checks of a load in quanta.

    Raises
    ------
    HushmeterError
        Gaps leave too few steps in a row.
    """
    checks = check_laws(steps)
    law = np.bincount(steps.known).astype(np.float64)
    mix = next(check.blend for check in checks if check.name == "chain")
    return LoadModel(steps, law / law.sum(), _chain(steps, mix), checks)


def _chain(steps: Steps, mix: float) -> Chain:
    """Counted transitions mixed with the law; a level that nothing follows goes on by the law."""
    levels = np.unique(steps.known)
    law = np.bincount(np.searchsorted(levels, steps.known)) / steps.known.size
    there = ~steps.missing
    transitions = _transitions(steps, levels, law, mix, there[1:] & there[:-1])
    return Chain(levels, transitions, stationary_law(transitions))


def chain_without(steps: Steps, folds: Integers, fold: int, levels: Integers) -> Chain:
    """The chain learned from all steps but those of one fold, on these levels.

    Parameters
    ----------
    folds:
        Of each step, shape (steps,).
    levels:
        All that occur in any fold; each is given half a count more than it was seen.
    """
    kept = ~steps.missing & (folds != fold)
    seen = np.searchsorted(levels, steps.levels[kept])
    counts = np.bincount(seen, minlength=levels.size) + 0.5
    pairs = kept[1:] & kept[:-1]
    transitions = _transitions(steps, levels, counts / counts.sum(), _FOLD_MIX, pairs)
    return Chain(levels, transitions, counts / counts.sum())


def _transitions(
    steps: Steps, levels: Integers, law: Floats, mix: float, pairs: NDArray[np.bool_]
) -> Floats:
    """Shape (k, k), from the steps t with `pairs[t]` to the ones after them."""
    count = levels.size
    now, after = steps.levels[:-1][pairs], steps.levels[1:][pairs]
    joint = np.searchsorted(levels, now) * count + np.searchsorted(levels, after)
    counted = np.bincount(joint, minlength=count * count).reshape(count, count)
    left = counted.sum(1, keepdims=True)
    return np.asarray(
        mix * law + (1 - mix) * np.where(left > 0, counted / np.maximum(left, 1), law),
        dtype=np.float64,
    )


def law_json(model: LoadModel) -> str:
    """The file that `--dist file:FILE` reads: probabilities of 0, 1, 2, ... quanta."""
    return json.dumps({"probabilities": model.law.tolist()}, allow_nan=False) + "\n"


def chain_json(model: LoadModel) -> str:
    """The file that `--markov FILE` reads: quanta of each level, and a row of transitions each."""
    chain = model.chain
    found = {"levels": chain.levels.tolist(), "transition": chain.transitions.tolist()}
    return json.dumps(found, allow_nan=False) + "\n"


def stationary_law(transitions: Floats) -> Floats:
    """The law that a chain with positive transitions keeps, shape (k,)."""
    count = transitions.shape[0]
    system = np.vstack([transitions.T - np.eye(count), np.ones(count)])
    law = np.linalg.lstsq(system, np.append(np.zeros(count), 1.0), rcond=None)[0]
    law = np.maximum(law, 0)
    return np.asarray(law / law.sum(), dtype=np.float64)
