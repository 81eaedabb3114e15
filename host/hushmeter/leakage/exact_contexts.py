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
from scipy import sparse

from hushmeter.leakage.exact_beliefs import Channel, entropies

Floats = NDArray[np.float64]

_GOAL = 4e-11
_LEAST_SHARE = 1e-5
_MOST_NUMBERS = 6_000_000
MOST_WORK = 1_200_000_000
"""Products and sums: half a second or so."""
_LOGARITHM = 30
_OVERHEAD = 250_000
"""Of a round, in the same unit: a load that hardly ever changes takes many short ones."""
_MOST_STATES = 400


def bracket(seen: Channel, part: float = 1) -> tuple[float, float]:
    """(lower, upper) of the entropy rate of the symbols, bits.

    As tight as that part of `MOST_WORK` allows. A context w is kept as Pr[w, next symbol | Z],
    which a symbol before it only multiplies from the left.
    """
    states, symbols = seen.states, seen.symbols
    contexts = seen.of_states()[:, None]
    if states > _MOST_STATES:
        low, high, _ = _terms(contexts, seen.law)
        return float(low.sum()), float(high.sum())
    # Sparse, as a product of dense ones waits for processors where others use them.
    moves = _by_state_and_symbol(seen)
    room = max(1, _MOST_NUMBERS // (states * symbols * symbols))
    lower = upper = 0.0
    work = int(part * MOST_WORK)
    longer = symbols * (moves.nnz + states * symbols * _LOGARITHM)
    while True:
        low, high, share = _terms(contexts, seen.law)
        apart = high - low > _GOAL * np.maximum(share, _LEAST_SHARE)
        if np.count_nonzero(apart) > room:
            widest = np.argpartition(low - high, room)[:room]
            apart = np.zeros(len(low), dtype=bool)
            apart[widest] = True
        work -= int(np.count_nonzero(apart)) * longer + _OVERHEAD
        # What is settled is off by so much that the rest no longer matters.
        off = upper - lower + float((high - low)[~apart].sum())
        if work < 0 or off > float((high - low)[apart].sum()):
            return lower + float(low.sum()), upper + float(high.sum())
        lower += float(low[~apart].sum())
        upper += float(high[~apart].sum())
        contexts = np.asarray(moves @ contexts[:, apart].reshape(states, -1))
        contexts = contexts.reshape(states, -1, symbols)


def _by_state_and_symbol(seen: Channel) -> sparse.csr_array:
    """Weights with a row for each state and symbol, shape (states * symbols, states)."""
    moves = seen.moves.tocoo()
    symbol, head = np.divmod(moves.col, seen.states)
    shape = (seen.states * seen.symbols, seen.states)
    return sparse.csr_array((moves.data, (moves.row * seen.symbols + symbol, head)), shape)


def _terms(contexts: Floats, law: Floats) -> tuple[Floats, Floats, Floats]:
    """p(w) H(next | w, Z), p(w) H(next | w) and p(w) of each context; shape (states, w, next)."""
    from_state = law[:, None, None] * contexts
    low = _weighed(from_state).sum(0)
    together = from_state.sum(0)
    return low, _weighed(together), together.sum(1)


def _weighed(masses: Floats) -> Floats:
    """m H(row / m) with m the row's sum: the entropy of masses that do not sum to 1."""
    total = masses.sum(-1)
    return entropies(masses) - entropies(total[..., None])
