"""What came out of a meter, judged: how much it leaks, and whether its draws follow its table.

Three looks at loads x and draws y, of which the first trusts the design and the others do not:

    leakage      log2 p(y|x) - log2 p(y) of the whole run by the forward recursion over the hidden
                 charge, with the probabilities of the rounded table; its mean a step tends to the
                 rate (Arnold, Loeliger et al. 2006). The interval is from the spread of batches.
    plug-in      H(Y | last draws) - H(Y | X, S) from frequencies alone, S from the books of x and
                 y: an upper bound of what leaks but for sampling. It needs no table.
    frequencies  chi-square of the draws in each (S, X) against the table, and the correlation of
                 successive draws, each given its row: a meter that runs another policy is noticed,
                 if it differs by more than `bias_found`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from hushmeter.errors import HushmeterError

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

CONFIDENCE = 0.999
FALSE_ALARM = 1e-4
"""Of each test of frequencies and of correlation on one board."""
_BATCHES = 40
_LEAST_EXPECTED = 5.0
_LEAST_A_WORD = 50
_MOST_LAST = 8


@dataclass(frozen=True)
class Estimate:
    """Mean with its interval; bits a step."""

    rate: float
    stderr: float
    low: float
    high: float


@dataclass(frozen=True)
class Frequencies:
    """How the draws of one board compare with a table.

    Attributes
    ----------
    chi_square, freedom, p_value:
        Over all rows seen; 0 for the last where something impossible was drawn.
    serial_p_value:
        Of the correlation of successive draws.
    """

    chi_square: float
    freedom: int
    p_value: float
    serial_p_value: float

    @property
    def fits(self) -> bool:
        """Whether neither test calls."""
        return min(self.p_value, self.serial_p_value) >= FALSE_ALARM


def estimate(values: Floats) -> Estimate:
    """Mean of a stationary sequence, its interval from batches of successive values."""
    used = values[: values.size // _BATCHES * _BATCHES].reshape(_BATCHES, -1).mean(axis=1)
    stderr = float(used.std(ddof=1) / np.sqrt(_BATCHES))
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, _BATCHES - 1)) * stderr
    rate = float(values.mean())
    return Estimate(rate, stderr, rate - reach, rate + reach)


def densities(
    draws: Sequence[Floats], initial: Sequence[Floats], law: Floats, x: Integers, y: Integers,
    starts: Sequence[int],
) -> Floats:  # fmt: skip
    """log2 p(y_t | past, all x, start) - log2 p(y_t | past), shape (steps,).

    Parameters
    ----------
    draws:
        q(y | x, s) of each battery from the load to the meter, shape (states, inputs, outputs).
    initial, starts:
        Laws of the first states, and what they were.

    Raises
    ------
    HushmeterError
        The run cannot come from these policies.
    """
    hidden: Floats = np.ones(1)
    for law_of_first in initial:
        hidden = np.kron(hidden, law_of_first).astype(np.float64)
    if len(draws) == 1:
        # State and load tell the next state, so what is known of the start stays known.
        chances = draws[0][_possible(starts[0], x, y, draws[0].shape), x, y]
        if not (chances > 0).all():
            _refuse(int(np.argmin(chances)))
        with_load = np.log2(chances)
        mixed = _moves(draws[0] * law[None, : draws[0].shape[1], None]).sum(axis=0)
    else:
        moves = _moves(draws[0])
        for policy in draws[1:]:
            moves = _joined(moves, _moves(policy))
        known = _known_start(draws, starts)
        with_load = _log_likelihood([moves[a, b] for a, b in zip(x, y, strict=True)], known)
        mixed = np.einsum("x,xyij->yij", law, moves)
    values: Floats = with_load - _log_likelihood([mixed[b] for b in y], hidden)
    return values


def _possible(start: int, x: Integers, y: Integers, shape: tuple[int, ...]) -> Integers:
    """The state before each step, all of them in the battery."""
    state = states_of(start, x, y)
    wrong = (state < 0) | (state >= shape[0])
    if wrong.any():
        _refuse(int(np.argmax(wrong)) - 1)
    return state


def _refuse(step: int) -> None:
    raise HushmeterError(f"step {step}: the designed policy cannot have drawn this")


def _moves(policy: Floats) -> Floats:
    """Pr[y, next state | x, state], shape (inputs, outputs, states, states)."""
    states, inputs, outputs = policy.shape
    s, x, y = np.nonzero(policy)
    moves = np.zeros((inputs, outputs, states, states))
    moves[x, y, s, s - x + y] = policy[s, x, y]
    return moves


def _joined(first: Floats, second: Floats) -> Floats:
    """The same of two in series, their states as one."""
    size = first.shape[2] * second.shape[2]
    joined = np.einsum("xwij,wykl->xyikjl", first, second[: first.shape[1]])
    moves: Floats = joined.reshape(first.shape[0], second.shape[1], size, size)
    return moves


def _known_start(draws: Sequence[Floats], starts: Sequence[int]) -> Floats:
    place = 0
    for policy, start in zip(draws, starts, strict=True):
        place = place * policy.shape[0] + start
    law = np.zeros(int(np.prod([policy.shape[0] for policy in draws])))
    law[place] = 1.0
    return law


def _log_likelihood(steps: Sequence[Floats], belief: Floats) -> Floats:
    out = np.empty(len(steps))
    for place, matrix in enumerate(steps):
        belief = belief @ matrix
        chance = belief.sum()
        if not chance > 0:
            _refuse(place)
        out[place] = chance
        belief = belief / chance
    logs: Floats = np.log2(out)
    return logs


def states_of(start: int, x: Integers, y: Integers) -> Integers:
    """The charge before each step, by the books."""
    moved = np.concatenate([[0], np.cumsum(y - x)])
    return start + moved[:-1]


def frequencies(draws: Floats, state: Integers, x: Integers, y: Integers) -> Frequencies:
    """Compares the draws with a table, q(y | x, s) of shape (states, inputs, outputs).

    Cells of which fewer than 5 are expected in a row are put together; false alarm: 1e-4 each.
    """
    states, inputs, outputs = draws.shape
    inside = (state >= 0) & (state < states) & (y >= 0) & (y < outputs)
    if not inside.all():
        return Frequencies(float("inf"), 0, 0.0, 0.0)
    rows = draws[state, x]
    if (rows[np.arange(y.size), y] <= 0).any():
        return Frequencies(float("inf"), 0, 0.0, 0.0)
    seen = np.bincount((state * inputs + x) * outputs + y, minlength=draws.size)
    seen = seen.reshape(-1, outputs)
    expected = seen.sum(axis=1, keepdims=True) * draws.reshape(-1, outputs)
    total, freedom = 0.0, 0
    rare = np.zeros((2, outputs))
    for got, wanted in zip(seen, expected, strict=True):
        if (wanted >= _LEAST_EXPECTED).sum() > 1:
            part = _chi_square(got, wanted)
            total, freedom = total + part[0], freedom + part[1]
        else:
            rare += got, wanted
    # A sum over rows that are rare varies less than one row would: fewer false alarms.
    part = _chi_square(*rare)
    total, freedom = total + part[0], freedom + part[1]
    p_value = float(stats.chi2.sf(total, freedom)) if freedom else 1.0
    return Frequencies(total, freedom, p_value, _serial(rows, y))


def bias_found(draws: Floats, state: Integers, x: Integers, freedom: int) -> float | None:
    """The smallest bias that chi-square calls in half of such runs; less goes mostly unseen.

    A bias of b makes a share b of all draws its row's likeliest, whatever else would have come: q
    becomes (1 - b) q + b at that draw, which adds b^2 (1 / q - 1) a step to the expected
    chi-square, q the likeliest draw's probability (noncentral chi-square). None where no bias is
    found so.
    """
    likeliest = draws.max(axis=2)[state, x]
    a_step = float((1 / likeliest - 1).sum())
    if freedom == 0 or a_step <= 0:
        return None
    called = float(stats.chi2.isf(FALSE_ALARM, freedom))
    needed = float(
        optimize.brentq(lambda more: stats.ncx2.sf(called, freedom, more) - 0.5, 1e-9, 4 * called)
    )
    found = float(np.sqrt(needed / a_step))
    return found if found < 1 else None


def _chi_square(got: NDArray[Any], wanted: Floats) -> tuple[float, int]:
    """(chi-square, degrees of freedom) of one row; cells of fewer than 5 are put together."""
    large = wanted >= _LEAST_EXPECTED
    counts, hopes = [float(n) for n in got[large]], [float(n) for n in wanted[large]]
    rest = float(wanted[~large].sum())
    if rest >= _LEAST_EXPECTED:
        counts.append(float(got[~large].sum()))
        hopes.append(rest)
    elif rest > 0 and hopes:
        least = int(np.argmin(hopes))
        counts[least] += float(got[~large].sum())
        hopes[least] += rest
    if len(hopes) < 2:
        return 0.0, 0
    return sum((a - b) ** 2 / b for a, b in zip(counts, hopes, strict=True)), len(hopes) - 1


def _serial(rows: Floats, y: Integers) -> float:
    """Two-sided, by the normal law: successive draws, less their rows' means, are uncorrelated."""
    levels = np.arange(rows.shape[1])
    means = rows @ levels
    beyond, spread = y - means, rows @ levels**2 - means**2
    variance = float((spread[1:] * spread[:-1]).sum())
    if variance <= 0:
        return 1.0
    return float(2 * stats.norm.sf(abs((beyond[1:] * beyond[:-1]).sum()) / np.sqrt(variance)))


def plug_in(x: Integers, y: Integers, state: Integers) -> float | None:
    """H(Y | last draws) - H(Y | X, S) from counts, each with Miller and Madow's correction; bits.

    As many last draws as the run is long enough for, at most 8; None if it is too short to see all
    pairs of X and S often.
    """
    outputs = int(y.max()) + 1
    context = (state - state.min()) * (int(x.max()) + 1) + x
    if np.unique(context).size * outputs * _LEAST_A_WORD > y.size:
        return None
    last = 0
    while last < _MOST_LAST and outputs ** (last + 2) * _LEAST_A_WORD <= y.size:
        last += 1
    past = np.zeros(y.size - last, np.int64)
    for back in range(last):
        past = past * outputs + y[back : y.size - last + back]
    return _conditional(past, y[last:]) - _conditional(context, y)


def _conditional(context: Integers, y: Integers) -> float:
    """H(Y | context) from counts."""
    size = int(y.max()) + 1
    return _entropy(context * size + y) - _entropy(context)


def _entropy(values: Integers) -> float:
    counts = np.unique(values, return_counts=True)[1]
    shares = counts / values.size
    correction = (counts.size - 1) / (2 * values.size * np.log(2))
    return float(-(shares * np.log2(shares)).sum() + correction)
