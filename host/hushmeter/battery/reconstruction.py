"""How much of the demand itself a linear filter gets back from the grid draw.

Mutual information of load *changes* says little of a battery that smooths: the filter turns each
step into a slow ramp, whose changes are all small and alike, and yet can be undone. So beside it
stands what the simplest adversary achieves, who knows some days of the home's demand and fits

    demand(t) = w_0 + sum over k of w_k grid(t + k),   k = -reach .. reach

and cuts what comes out to the range of the demand it knows. Two fits are tried, least squares and
least absolute values (by reweighting), and the better one on the known days is used: a filter
that is undone exactly but for rare moments at the battery's bounds is found by the second only.

The score is R^2 = 1 - (squared error) / (variance), on days that were not used in the fit: 1 is the
whole load, 0 no more than its mean, below 0 worse than the mean. R^2 is one of the measures that
Arzamasov and Böhm (Evaluating Privacy Measures for Load Hiding, 2024) compare; they take pairs of
one time, a window sees deconvolution too.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Watts = NDArray[np.int64]
Reals = NDArray[np.float64]

REACH = 5
"""Samples before and after that the filter sees."""

_MOST_WINDOWS = 1 << 17
"""Of a longer record so many windows are picked evenly; the error of R^2 is then below 0.01."""

_ROUNDS = 12
_FLOOR_W = 1.0
"""Residuals below count alike: whole watts are rounded anyway."""


def reconstruction_r2(
    demand_w: Watts,
    grid_w: Watts,
    blocks: NDArray[np.int64],
    reach: int = REACH,
    follows: NDArray[np.bool_] | None = None,
) -> float:
    """R^2 of the demand predicted from `2 reach + 1` samples of the grid draw around it.

    Blocks (days) with even numbers are predicted by the fit to the odd ones and the other way
    round. A demand that never changes gives 0: there is nothing to predict.

    Parameters
    ----------
    demand_w, grid_w:
        Watts, shape (N,), with N above 2 reach.
    blocks:
        Block of each sample, shape (N,), ascending from 0.
    follows:
        Whether each sample comes right after the one before it, shape (N,); a window in which
        one does not is left out.
    """
    middles = np.arange(reach, demand_w.size - reach)
    if follows is not None:
        breaks = np.cumsum(~follows)
        middles = middles[breaks[middles + reach] == breaks[middles - reach]]
    if not middles.size:
        return 0.0
    middles = middles[:: -(-middles.size // _MOST_WINDOWS)]
    windows = sliding_window_view(grid_w - grid_w.mean(), 2 * reach + 1)
    error = total = 0.0
    for parity in (0, 1):
        is_known = blocks[middles] % 2 == parity
        known, judged = middles[is_known], middles[~is_known]
        if not known.size or not judged.size:
            continue
        weights = _fit(windows[known - reach], demand_w[known].astype(np.float64))
        bounds = int(demand_w[known].min()), int(demand_w[known].max())
        wanted = demand_w[judged].astype(np.float64)
        error += _squared_error(weights, windows[judged - reach], wanted, bounds)
        total += float(((wanted - wanted.mean()) ** 2).sum())
    return 1 - error / total if total > 0 else 0.0


def _fit(windows: Reals, wanted: Reals) -> Reals:
    """The better of least squares and least absolute values, as (constant, weights)."""
    rows = _rows(windows)
    squares = values = _solve(rows, wanted, np.ones(wanted.size))
    for _ in range(_ROUNDS):
        trust = 1 / np.maximum(np.abs(rows @ values - wanted), _FLOOR_W)
        values = _solve(rows, wanted, trust)
    bounds = int(wanted.min()), int(wanted.max())
    return min(squares, values, key=lambda fit: _squared_error(fit, windows, wanted, bounds))


def _solve(rows: Reals, wanted: Reals, trust: Reals) -> Reals:
    """Weighted least squares by the normal equations; a constant draw gives the mean."""
    weighted = rows * trust[:, None]
    solution = np.linalg.lstsq(weighted.T @ rows, weighted.T @ wanted, rcond=1e-12)[0]
    return np.asarray(solution, dtype=np.float64)


def _rows(windows: Reals) -> Reals:
    return np.column_stack([np.ones(len(windows)), windows])


def _squared_error(weights: Reals, windows: Reals, wanted: Reals, bounds: tuple[int, int]) -> float:
    missed = np.clip(_rows(windows) @ weights, *bounds) - wanted
    return float(missed @ missed)
