"""h(Y | X) of a machine whose hidden state the loads and draws do not tell: bounds that close in.

With Z_n-k the hidden state k steps back, and c any function of it that the loads and draws carry
on (for batteries in series the charge of all together, since what comes in and goes out is known),

    H(Y_n | X, Y of k steps, Z_n-k)  <=  h(Y | X)  <=  H(Y_n | X, Y of k steps, c(Z_n-k)):

c(Z_n-k) follows from what was known before, and Z_n-k tells more than that. The laws of the hidden
state that may be held after k steps are followed with their probabilities; equal ones are one.
Where they become too many, the state itself is told for some (a lower bound stays one), or only its
c for some (an upper bound stays one), chosen so that little is lost.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph

from hushmeter.leakage.exact_beliefs import CHUNK, ROW, Channel, binary_entropy, entropies

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

MOST_WORK = 80_000_000
"""Numbers that are gone through, for each bound: a third of a second or so."""
_MOST_ROWS = 40_000
_MOST_NUMBERS = 2 * CHUNK
_MOST_STATES = 1_200
_MOST_LINKS = 3_000_000
"""With more transitions, nothing is known of the state in an upper bound."""
_MOST_MOVES = 10_000_000
"""With more, nothing is looked back: the laws after all states would take too much memory."""
_GRID = 2.0**-47
_ROUNDING = 1e-12


def at_least(seen: Channel, steps_back: int, load_entropy: float, part: float = 1) -> float:
    """A lower bound of h(Y | X), bits: the greatest of those from 0 to so many steps back.

    Parameters
    ----------
    seen:
        Loads and draws.
    load_entropy:
        H(X): the load is drawn anew, so H(Y | X, law) = H(X, Y | law) - H(X).
    part:
        Of `MOST_WORK`; with that done it looks no further back.
    """
    if _is_large(seen):
        return float(seen.law @ entropies(seen.of_states())) - load_entropy - _ROUNDING
    told = np.eye(seen.states)
    label = np.arange(seen.states)
    return -_followed(seen, told, label, steps_back, -1, int(part * MOST_WORK)) - load_entropy


def at_most(seen: Channel, steps_back: int, load_entropy: float, part: float = 1) -> float:
    """An upper bound of h(Y | X), as `at_least`."""
    label = carried(seen)
    if _is_large(seen):
        return _one_step(seen, label) - load_entropy + _ROUNDING
    told = np.zeros((int(label.max()) + 1, seen.states))
    told[label, np.arange(seen.states)] = seen.law
    told /= told.sum(1, keepdims=True)
    return _followed(seen, told, label, steps_back, 1, int(part * MOST_WORK)) - load_entropy


def _is_large(seen: Channel) -> bool:
    return seen.states > _MOST_STATES or seen.states**2 * seen.symbols > _MOST_MOVES


def _one_step(seen: Channel, label: Integers) -> float:
    """H(symbol | label) in the long run."""
    masses = np.zeros((int(label.max()) + 1, seen.symbols))
    np.add.at(masses, label, seen.law[:, None] * seen.of_states())
    shares = masses.sum(1)
    return float(shares @ entropies(masses / np.maximum(shares, np.finfo(float).tiny)[:, None]))


def carried(seen: Channel) -> Integers:
    """The finest c: two states share a number where one state and symbol can lead to both.

    And where states that share one do, with the same symbol; so c and the symbol give the next c.
    Of a very large channel c is a constant, which is one too.
    """
    if seen.moves.nnz > _MOST_LINKS:
        return np.zeros(seen.states, dtype=np.int64)
    moves = seen.moves.tocoo()
    symbol, head = np.divmod(moves.col, seen.states)
    label = np.arange(seen.states)
    while True:
        key = label[moves.row] * seen.symbols + symbol
        _, place = np.unique(key, return_inverse=True)
        first = np.zeros(int(place.max()) + 1, dtype=np.int64)
        first[place] = head
        links = sparse.coo_array(
            (np.ones(2 * len(head)), (
                np.concatenate([head, head]),
                np.concatenate([first[place], _first_of(label)[label[head]]]),
            )),
            shape=(seen.states, seen.states),
        )  # fmt: skip
        count, merged = csgraph.connected_components(links, directed=False)
        if count == len(np.unique(label)):
            return np.asarray(merged, dtype=np.int64)
        label = merged.astype(np.int64)


def _first_of(label: Integers) -> Integers:
    """A state of each label."""
    found = np.zeros(int(label.max()) + 1, dtype=np.int64)
    found[label] = np.arange(len(label))
    return found


def _followed(  # noqa: PLR0913
    seen: Channel, told: Floats, label: Integers, steps_back: int, sign: int, work: int
) -> float:
    """The least of sign * H(X, Y | laws held after k steps) + rounding over k up to steps_back."""
    beliefs, lost = told, 0.0
    shares: Floats = np.bincount(label, seen.law, minlength=len(told)).astype(np.float64)
    best = np.inf
    most = min(_MOST_ROWS, _MOST_NUMBERS // (seen.states * seen.symbols))
    is_full = False
    for back in range(steps_back + 1):
        joint, chances = seen.after(beliefs)
        now = sign * float(shares @ entropies(chances)) + lost
        if is_full and now >= best:
            break
        best = min(best, now)
        row, symbol = np.nonzero(chances)
        work -= len(beliefs) * seen.work + len(row) * (4 * seen.states + ROW)
        if back == steps_back or work < 0:
            break
        ahead = joint[row, symbol] / chances[row, symbol][:, None]
        beliefs, shares, moved = _merged(ahead, shares[row] * chances[row, symbol])
        lost += float(shares @ (moved * np.log2(seen.symbols) + binary_entropy(moved)))
        if len(beliefs) > most:
            is_full = True
            beliefs, shares = _thinned(beliefs, shares, told, label, most)
    return best


def _merged(beliefs: Floats, shares: Floats) -> tuple[Floats, Floats, Floats]:
    """Equal laws as one: (laws, shares, how far any was moved in total variation).

    Rows are compared by a sum with random weights; were two different ones taken for equal, the
    distance would say so and be accounted for.
    """
    weights = np.random.default_rng(1).integers(1, 1 << 62, beliefs.shape[1])
    names = np.round(beliefs / _GRID).astype(np.int64) @ weights
    _, first, place = np.unique(names, return_index=True, return_inverse=True)
    away = np.abs(beliefs - beliefs[first][place]).sum(1) / 2
    moved = np.zeros(len(first))
    np.maximum.at(moved, place, away)
    return beliefs[first], np.bincount(place, shares).astype(np.float64), moved


def _thinned(
    beliefs: Floats, shares: Floats, told: Floats, label: Integers, most: int
) -> tuple[Floats, Floats]:
    """At most so many laws, and those of `told`: of the least important ones only that is known."""
    importance = shares * entropies(beliefs)
    order = np.argsort(importance)
    gone, kept = order[: len(beliefs) - most // 2], order[len(beliefs) - most // 2 :]
    masses = shares[gone] @ beliefs[gone]
    by_label = np.bincount(label, masses, minlength=len(told))
    if len(told) == len(label):
        pooled = told
    else:
        pooled = np.zeros_like(told)
        pooled[label, np.arange(len(label))] = masses
        pooled /= np.maximum(by_label, np.finfo(float).tiny)[:, None]
    some = by_label > 0
    return (
        np.concatenate([beliefs[kept], pooled[some]]),
        np.concatenate([shares[kept], by_label[some]]),
    )
