"""Certified brackets of an entropy rate by contexts: the last symbols, more of them where it pays.

For any complete set of contexts w, each a run of last symbols with the state Z before the run,

    sum p(w) H(next | w, Z)  <=  h  <=  sum p(w) H(next | w),

since a context is a function of the past, and more of the past, or Z, only lowers an entropy (Cover
and Thomas, theorem 4.5.1, there with runs of one length). Contexts whose two terms are apart are
lengthened by the symbol before, so a run that pins the state stays short.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hushmeter.leakage.exact_beliefs import Channel, entropies

Floats = NDArray[np.float64]

_GOAL = 4e-11
_LEAST_SHARE = 1e-5
_MOST_NUMBERS = 6_000_000
_MOST_WORK = 600_000_000
_LOGARITHM = 30
_OVERHEAD = 2_500
"""Of a round, in the same unit: a load that hardly ever changes takes many short ones."""
_MOST_STATES = 400


def bracket(seen: Channel) -> tuple[float, float]:
    """(lower, upper) of the entropy rate of the symbols, bits; as tight as a second or so allows.

    A context w is kept as Pr[w, next symbol | Z], which a symbol before it only multiplies from
    the left.
    """
    states, symbols = seen.states, seen.symbols
    contexts = seen.of_states()[None]
    if states > _MOST_STATES:
        low, high, _ = _terms(contexts, seen.law)
        return float(low.sum()), float(high.sum())
    moves = seen.moves.toarray().reshape(states, symbols, states).transpose(1, 0, 2).copy()
    room = max(1, _MOST_NUMBERS // (states * symbols * symbols))
    lower = upper = 0.0
    work = _MOST_WORK
    while True:
        low, high, share = _terms(contexts, seen.law)
        apart = high - low > _GOAL * np.maximum(share, _LEAST_SHARE)
        if np.count_nonzero(apart) > room:
            widest = np.argpartition(low - high, room)[:room]
            apart = np.zeros(len(low), dtype=bool)
            apart[widest] = True
        work -= int(np.count_nonzero(apart)) * states * symbols * (states * symbols + _LOGARITHM)
        work -= _OVERHEAD
        # What is settled is off by so much that the rest no longer matters.
        off = upper - lower + float((high - low)[~apart].sum())
        if work < 0 or off > float((high - low)[apart].sum()):
            return lower + float(low.sum()), upper + float(high.sum())
        lower += float(low[~apart].sum())
        upper += float(high[~apart].sum())
        contexts = (moves[:, None] @ contexts[apart][None]).reshape(-1, states, symbols)


def _terms(contexts: Floats, law: Floats) -> tuple[Floats, Floats, Floats]:
    """p(w) H(next | w, Z), p(w) H(next | w) and p(w) of each context."""
    from_state = law[:, None] * contexts
    low = _weighed(from_state).sum(1)
    together = from_state.sum(1)
    return low, _weighed(together), together.sum(1)


def _weighed(masses: Floats) -> Floats:
    """m H(row / m) with m the row's sum: the entropy of masses that do not sum to 1."""
    total = masses.sum(-1)
    return entropies(masses) - entropies(total[..., None])
