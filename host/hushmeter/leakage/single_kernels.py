"""The compiled core of the single-battery optimum: Newton's method on weighted-graph Laplacians.

States that share a value of s - x form a *class*; this module solves one class. With a(w, x) =
P(x) theta(w + x) and r(w) = sum_x a(w, x), Newton's step for the logarithms of theta solves

    M delta = theta (F - grad),    M = sum_w [ diag a(w, .) - a(w, .) a(w, .)^T / r(w) ],

and M is the Laplacian of a graph on the states whose weights sum_w a a' / r are never negative.
Elimination without subtractions (Grassmann, Taksar, Heyman, Operations Research 1985) keeps every
weight accurate in relative terms, whatever the scale of the probabilities. M is banded, so a step
costs O(states x bandwidth^2). Everything here is in nats.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hushmeter.compiler import compiled

_FLOOR = 1e-130
"""No state gets less. Raising theta(s) raises grad_s, so the bound below still holds."""

_RETIRED = 1e-40
"""A state with less is not made to lose more: its gradient may stay above the others'."""

_PATIENCE = 4
_CLOSE = 0.05
"""A step this short has Newton's method converge at once; F would not tell better from worse."""

_NOISE = 4e-16
"""What the gradient, and F in relative terms, are known to."""

_SHORTER = 6
_WIDEST = 64.0
"""The largest change of a logarithm in one step."""


@compiled
def classes(levels: NDArray[np.int64], states: int) -> NDArray[np.int64]:
    """The class of each state: s and s' are in one if a path of level differences joins them."""
    highest = levels[-1] - levels[0]
    differs = np.zeros(highest + 1, np.bool_)
    for i in range(len(levels)):
        for j in range(i):
            differs[levels[i] - levels[j]] = True
    steps = np.flatnonzero(differs)
    label = np.full(states, -1)
    queue = np.empty(states, np.int64)
    for start in range(states):
        if label[start] >= 0:
            continue
        label[start] = start
        queue[0] = start
        head, tail = 0, 1
        while head < tail:
            here = queue[head]
            head += 1
            for step in steps:
                for there in (here - step, here + step):
                    if 0 <= there < states and label[there] < 0:
                        label[there] = start
                        queue[tail] = there
                        tail += 1
    return label


@compiled
def evaluate(
    law: NDArray[np.float64],
    levels: NDArray[np.int64],
    states: NDArray[np.int64],
    theta: NDArray[np.float64],
    mixed: NDArray[np.float64],
    gradient: NDArray[np.float64],
) -> tuple[float, float]:
    """(F, least entry of the gradient); fills r, at s - x + highest level, and the gradient.

    F is the mean over w of the divergence of Pr(X | w) from P, summed from terms
    P(x) (t log t - t + 1) >= 0 with t = theta / r, so that nothing large cancels.
    """
    highest = levels[-1]
    mixed[:] = 0.0
    reached = np.zeros(len(mixed))
    for k in range(len(states)):
        for i in range(len(law)):
            cell = states[k] - levels[i] + highest
            mixed[cell] += law[i] * theta[k]
            reached[cell] += law[i]
    value = 0.0
    for cell in range(len(mixed)):
        value += mixed[cell] * max(0.0, 1.0 - reached[cell])
    least = np.inf
    for k in range(len(states)):
        slope = 0.0
        for i in range(len(law)):
            beside = mixed[states[k] - levels[i] + highest]
            ratio = theta[k] / beside
            log = np.log(ratio)
            slope += law[i] * log
            value += beside * law[i] * (ratio * log - ratio + 1.0)
        gradient[k] = slope
        least = min(least, slope)
    return value, least


@compiled
def weigh(
    law: NDArray[np.float64],
    levels: NDArray[np.int64],
    place: NDArray[np.int64],
    theta: NDArray[np.float64],
    mixed: NDArray[np.float64],
    weights: NDArray[np.float64],
) -> None:
    """Fills weights[k, d], of the edge between the states at places k and k + d."""
    weights[:] = 0.0
    found = np.empty(len(levels), np.int64)
    parts = np.empty(len(levels))
    for cell in range(len(mixed)):
        count = 0
        for i in range(len(levels)):
            state = cell - levels[-1] + levels[i]
            if 0 <= state < len(place) and place[state] >= 0:
                found[count] = place[state]
                parts[count] = law[i] * theta[place[state]]
                count += 1
        for i in range(count - 1):
            share = parts[i] / mixed[cell]
            row = weights[found[i]]
            for j in range(i + 1, count):
                row[found[j] - found[i]] += share * parts[j]


@compiled
def eliminate(
    weights: NDArray[np.float64], ground: NDArray[np.float64], right: NDArray[np.float64], last: int
) -> None:
    """Solves (Laplacian + diag ground) x = right in place, from both ends towards `last`.

    Without ground the entries of the right side sum to 0 but for rounding, x[last] is set to 0, and
    `last` bears what they do not: it should be the state of most mass.
    """
    states, width = weights.shape
    totals = ground.copy()
    for k in range(last):
        reach = min(width, states - k)
        totals[k] += weights[k, 1:reach].sum()
        for d in range(1, reach):
            share = weights[k, d] / totals[k]
            right[k + d] += share * right[k]
            ground[k + d] += share * ground[k]
            totals[k + d] = ground[k + d]
            row = weights[k + d]
            for e in range(d + 1, reach):
                row[e - d] += share * weights[k, e]
    for k in range(states - 1, last, -1):
        reach = min(width, k - last + 1)
        for d in range(1, reach):
            totals[k] += weights[k - d, d]
        for d in range(1, reach):
            share = weights[k - d, d] / totals[k]
            right[k - d] += share * right[k]
            ground[k - d] += share * ground[k]
            totals[k - d] = ground[k - d]
            for e in range(d + 1, reach):
                weights[k - e, e - d] += share * weights[k - e, e]
    right[last] = right[last] / ground[last] if ground[last] > 0.0 else 0.0
    for k in range(last + 1, states):
        for d in range(1, min(width, k - last + 1)):
            right[k] += weights[k - d, d] * right[k - d]
        right[k] /= totals[k]
    for k in range(last - 1, -1, -1):
        for d in range(1, min(width, states - k)):
            right[k] += weights[k, d] * right[k + d]
        right[k] /= totals[k]


@compiled
def moved(theta: NDArray[np.float64], by: NDArray[np.float64]) -> NDArray[np.float64]:
    """theta exp(by), above the floor, with sum 1."""
    masses = theta * np.exp(by - by.max())
    masses = np.maximum(masses / masses.sum(), _FLOOR)
    return np.asarray(masses / masses.sum())


@compiled
def newton(
    law: NDArray[np.float64],
    levels: NDArray[np.int64],
    place: NDArray[np.int64],
    theta: NDArray[np.float64],
    mixed: NDArray[np.float64],
    gradient: NDArray[np.float64],
    value: float,
    weights: NDArray[np.float64],
    widest: float,
) -> NDArray[np.float64]:
    """A step of log theta, no entry far beyond `widest`.

    If Newton's step is longer, mu diag(theta) is added to M (Levenberg, Marquardt): by the maximum
    principle mu = max |F - grad| / widest is enough. Slow ways, as the mass between states that
    rare levels link, are held back so, and the others are not.
    """
    noise = _NOISE * (1.0 + 8.0 * value)
    ground = np.zeros(len(theta))
    by = ground
    for _ in range(2):
        weigh(law, levels, place, theta, mixed, weights)
        by, spread = np.zeros(len(theta)), 0.0
        for k in range(len(theta)):
            short = value - gradient[k]
            # Noise at states of much mass would push those of little mass about.
            if abs(short) > noise and not (short < 0.0 and theta[k] < _RETIRED):
                by[k] = theta[k] * short
                spread = max(spread, abs(short))
        eliminate(weights, ground, by, int(theta.argmax()))
        by -= (theta * by).sum()
        if np.abs(by).max() <= 2.0 * widest:
            break
        ground = theta * (spread / widest)
    return by


@compiled
def descend(
    law: NDArray[np.float64],
    levels: NDArray[np.int64],
    states: NDArray[np.int64],
    place: NDArray[np.int64],
    theta: NDArray[np.float64],
    mixed: NDArray[np.float64],
    gradient: NDArray[np.float64],
    value: float,
    weights: NDArray[np.float64],
    widest: float,
) -> tuple[bool, NDArray[np.float64], float, bool]:
    """(whether found, theta where F is not higher, widest step next time, whether converged).

    A Newton step, shortened until F does not rise.
    """
    mixed_there, gradient_there = np.empty_like(mixed), np.empty_like(gradient)
    most = value + _NOISE * (1.0 + 8.0 * value)
    for _ in range(_SHORTER):
        by = newton(law, levels, place, theta, mixed, gradient, value, weights, widest)
        length = np.abs(by).max()
        trial = moved(theta, by)
        if length < _CLOSE:
            return True, trial, min(_WIDEST, 2.0 * widest), True
        found, _ = evaluate(law, levels, states, trial, mixed_there, gradient_there)
        if found <= most:
            return True, trial, min(_WIDEST, 2.0 * widest), False
        widest = min(widest, length) / 4.0
    return False, theta, 1.0, False


@compiled
def minimise(
    law: NDArray[np.float64],
    levels: NDArray[np.int64],
    states: NDArray[np.int64],
    width: int,
    theta: NDArray[np.float64],
    warm_up: int,
    most: int,
    enough: float,
) -> tuple[NDArray[np.float64], float, float, int]:
    """(theta, F, least entry of the gradient, steps) of one class of at least two states.

    Where no Newton step serves, and at first, theta becomes exp(sum_x P log r), normalised: it
    minimises a bound of F that touches it here (H(S - X) is concave), so F falls at every step.
    """
    place = np.full(states[-1] + 1, -1)
    for k in range(len(states)):
        place[states[k]] = k
    mixed = np.zeros(states[-1] + levels[-1] + 1)
    gradient = np.empty(len(states))
    weights = np.empty((len(states), width))
    value, least = evaluate(law, levels, states, theta, mixed, gradient)
    best, best_value, best_least = theta, value, least
    widest, close, idle, steps = 1.0, False, 0, 0
    while steps < most and best_value - best_least > enough and idle < _PATIENCE:
        steps += 1
        found = False
        if steps > warm_up:
            found, trial, widest, close = descend(
                law, levels, states, place, theta, mixed, gradient, value, weights, widest
            )
        theta = trial if found else moved(theta, -gradient)
        value, least = evaluate(law, levels, states, theta, mixed, gradient)
        if value - least < best_value - best_least:
            best, best_value, best_least = theta, value, least
            idle = 0
        elif close:
            idle += 1
    return best, best_value, best_least, steps
