"""How well a law describes a home's load, said by a code.

What counts are the bits a step that it costs to write down days that the law has not seen
(cross-entropy, folds left out in turn). No law can make it shorter than the load's true entropy
rate on average, so each is an upper estimate of what the home tells, and the gap between two says
what the worse one does not know. Probabilities are blended with those of the next simpler law,
p(s | c) = (N(c, s) + k p(s)) / (N(c) + k), so that a level that was never seen costs much but not
everything; k is the one that codes the unseen days best.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hushmeter.battery.metrics import DAY_S
from hushmeter.errors import HushmeterError
from hushmeter.leakage.fit_levels import LEAST_STEPS, Steps

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

_FOLDS = 10
_HOURS = 24
_MIXES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
_BLENDS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)


@dataclass(frozen=True)
class Check:
    """How well one law describes the load.

    Attributes
    ----------
    name:
        iid; hourly (a law for each hour of the day); chain (as it is handed on); markov (by the
        level before, blended); markov2 (by the two before).
    seen_bits:
        Bits a step of the data the law was counted from: too low, the more so the more it counts.
    unseen_bits, unseen_stderr:
        Bits a step of folds that were left out, and the standard error over the folds.
    blend:
        The k of the module's text, or the chain's m.
    """

    name: str
    seen_bits: float
    unseen_bits: float
    unseen_stderr: float
    blend: float


def check_laws(steps: Steps) -> tuple[Check, ...]:
    """How well laws describe a sequence of levels; also used of what the grid sees.

    Raises
    ------
    HushmeterError
        Gaps leave too few steps in a row.
    """
    there = ~steps.missing
    follows = np.flatnonzero(there[2:] & there[1:-1] & there[:-2]) + 2
    if follows.size < LEAST_STEPS // 2:
        raise HushmeterError(
            f"{steps.source}: {follows.size} steps have a reading and two before it; "
            f"{LEAST_STEPS // 2} are needed, so the gaps leave too little"
        )
    symbols = np.unique(steps.levels, return_inverse=True)[1].astype(np.int64)
    count = int(symbols.max()) + 1
    now, before, earlier = symbols[follows], symbols[follows - 1], symbols[follows - 2]
    hours = (steps.start + follows * steps.step_s) % DAY_S * _HOURS // DAY_S
    folds = folds_of(steps, follows)
    uniform = _Code(np.full(now.size, 1 / count), np.full(now.size, 1 / count), 0.0)
    plain = _refined(uniform, np.zeros_like(now), now, folds)
    markov = _refined(plain, before, now, folds)
    found = {
        "iid": plain,
        "hourly": _refined(plain, hours, now, folds),
        "chain": _mixed(plain, before, now, folds),
        "markov": markov,
        "markov2": _refined(markov, earlier * count + before, now, folds),
    }
    return tuple(_check(name, code, folds) for name, code in found.items())


@dataclass(frozen=True)
class _Code:
    """Probability that a law gives to what came, shape (samples,)."""

    seen: Floats
    unseen: Floats
    blend: float


def _refined(base: _Code, contexts: Integers, symbols: Integers, folds: Integers) -> _Code:
    """The law by context, blended with `base`; each fold coded by what the others have counted."""
    pairs = contexts * (int(symbols.max()) + 1) + symbols
    in_context, in_pair = _counts(contexts, folds), _counts(pairs, folds)

    def unseen(blend: float) -> Floats:
        pair, context = in_pair[0] - in_pair[1], in_context[0] - in_context[1]
        return np.asarray((pair + blend * base.unseen) / (context + blend), dtype=np.float64)

    blend = min(_BLENDS, key=lambda value: float(-np.log2(unseen(value)).sum()))
    seen = (in_pair[0] + blend * base.seen) / (in_context[0] + blend)
    return _Code(np.asarray(seen, dtype=np.float64), unseen(blend), blend)


def _mixed(base: _Code, contexts: Integers, symbols: Integers, folds: Integers) -> _Code:
    """The counted law of each context, mixed with `base` by one share for all contexts."""
    pairs = contexts * (int(symbols.max()) + 1) + symbols
    in_context, in_pair = _counts(contexts, folds), _counts(pairs, folds)
    context = in_context[0] - in_context[1]
    known = (in_pair[0] - in_pair[1]) / np.maximum(context, 1)
    known = np.where(context > 0, known, base.unseen)

    def unseen(mix: float) -> Floats:
        return np.asarray((1 - mix) * known + mix * base.unseen, dtype=np.float64)

    mix = min(_MIXES, key=lambda value: float(-np.log2(unseen(value)).sum()))
    seen = (1 - mix) * in_pair[0] / in_context[0] + mix * base.seen
    return _Code(np.asarray(seen, dtype=np.float64), unseen(mix), mix)


def _counts(symbols: Integers, folds: Integers) -> tuple[Integers, Integers]:
    """For each sample, how often its symbol is there in all, and in its own fold."""
    dense = np.unique(symbols, return_inverse=True)[1]
    joint = np.unique(dense * (int(folds.max()) + 1) + folds, return_inverse=True)[1]
    return np.bincount(dense)[dense], np.bincount(joint)[joint]


def folds_of(steps: Steps, places: Integers) -> Integers:
    """A fold for each place: days in turn, or ten equal pieces where there are too few days."""
    days = (steps.start % DAY_S + places * steps.step_s) // DAY_S
    if np.unique(days).size >= _FOLDS:
        return np.asarray(np.unique(days, return_inverse=True)[1] % _FOLDS, dtype=np.int64)
    return np.asarray(np.arange(places.size) * _FOLDS // places.size, dtype=np.int64)


def _check(name: str, code: _Code, folds: Integers) -> Check:
    bits = -np.log2(code.unseen)
    sizes = np.bincount(folds)
    means = np.bincount(folds, weights=bits)[sizes > 0] / sizes[sizes > 0]
    return Check(
        name=name,
        seen_bits=float(-np.log2(code.seen).mean()),
        unseen_bits=float(bits.mean()),
        unseen_stderr=float(means.std(ddof=1) / np.sqrt(means.size)),
        blend=code.blend,
    )
