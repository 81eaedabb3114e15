"""What an adversary gets back from the grid draw alone: load changes, and whole loads.

Battery controllers that keep the draw still show the demand's own changes whenever the battery is
pinned, at its rate or at its bounds: the draw then is the demand less a constant, so e'(t) = d'(t)
(Yang et al., CCS 2012, section 4). The adversary knows the controller and the rates, not the
home. An attack makes claims, "demand changed by so much in this step", and a score compares them
with the truth:

    >>> claims = change_attack("nill", grid_w, step_s=60)
    >>> score(claims, demand_w).precision

- `be`: the held draw moves only at a pinned edge. Two moves in a row in the same direction are two
  times the same edge: d' = e'. In opposite directions the edge changed: d' = e' + sign(e')(charge
  rate + discharge rate).
- `copied`: what is neither a plateau nor next to one copies the demand. It is made for NILL, whose
  recovery states are plateaus (a value that repeats). Whoever has no better rule, against stepping
  for one, uses this.
- `smooth`: a battery that filters is undone by the inverse filter, see :func:`invert_smooth`.

A change that a controller rounds, holds back or makes up by chance is claimed all the same, and is
wrong: low precision is what hiding means here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hushmeter.errors import HushmeterError

Watts = NDArray[np.int64]

THRESHOLD_W = 20
"""Changes up to here are no events, for the attack and for the truth."""

TOLERANCE_W = 5
TOLERANCE_PERCENT = 1
"""A claim is right within the larger of the two, the percentage being of the true change."""


_EDGE_GROUPS = 40
_REFINEMENTS = 8


@dataclass(frozen=True)
class Claims:
    """Demand changed by `changes_w[i]` from sample `samples[i] - 1` to `samples[i]`.

    Both int64 of shape (claims,), `samples` ascending. `tolerance_w` is how exact the attack says
    it is: a change that was got back through a filter is worth less than one that was copied.
    """

    samples: NDArray[np.int64]
    changes_w: Watts
    tolerance_w: float = TOLERANCE_W


@dataclass(frozen=True)
class Score:
    """How good claims are; the names are keys of ``hushmeter hide --json``.

    Attributes
    ----------
    events:
        Claims made.
    correct:
        Those within the tolerance.
    precision:
        correct / events; 0 where nothing was claimed.
    recall:
        Right claims of true events over all true events; 0 where there were none.
    """

    events: int
    correct: int
    precision: float
    recall: float


@dataclass(frozen=True)
class Inversion:
    """A load got back from a smoothed draw.

    Attributes
    ----------
    demand_w:
        Watts, shape (N - 1,), for all samples but the last.
    time_constant_s:
        1 / g, known or estimated.
    uncertainty_w:
        By how much rounding the draw to whole watts can move an estimate.
    """

    demand_w: Watts
    time_constant_s: float
    uncertainty_w: float


def change_attack(
    controller: str,
    grid_w: Watts,
    step_s: int,
    charge_rate_w: int = 0,
    discharge_rate_w: int = 0,
    time_constant_s: float | None = None,
) -> Claims:
    """The load-change attack that is fit for a controller.

    Parameters
    ----------
    controller:
        Its name; one without a rule of its own is met with `copied`.
    grid_w:
        Whole watts of one home, shape (N,).
    step_s:
        Seconds of a step.
    charge_rate_w, discharge_rate_w:
        The battery's; needed for `be`, a help for the others.
    time_constant_s:
        Of `smooth`; estimated from the draw if not known.
    """
    if controller.partition(":")[0] == "be":
        return best_effort_changes(grid_w, charge_rate_w, discharge_rate_w)
    if controller == "smooth":
        return smoothed_changes(invert_smooth(grid_w, step_s, time_constant_s))
    if controller == "none":
        return changes_of(grid_w)
    return copied_changes(grid_w, charge_rate_w, discharge_rate_w)


def best_effort_changes(
    grid_w: Watts,
    charge_rate_w: int,
    discharge_rate_w: int,
    threshold_w: int = THRESHOLD_W,
) -> Claims:
    """Claims against `be`, where two steps in a row move the draw.

    Both moves have to exceed the threshold: small ones come from the battery's bounds.
    """
    if charge_rate_w < 1 or discharge_rate_w < 1:
        raise HushmeterError(
            f"rates are {charge_rate_w} and {discharge_rate_w} W; the attack on be needs both"
        )
    moves = np.diff(grid_w)
    large = np.abs(moves) > threshold_w
    places = np.flatnonzero(large[1:] & large[:-1]) + 1
    turned = np.sign(moves[places]) != np.sign(moves[places - 1])
    jump = np.sign(moves[places]) * (charge_rate_w + discharge_rate_w)
    return Claims(places + 1, moves[places] + np.where(turned, jump, 0))


def copied_changes(
    grid_w: Watts,
    charge_rate_w: int = 0,
    discharge_rate_w: int = 0,
    threshold_w: int = THRESHOLD_W,
) -> Claims:
    """Claims d' = e' where the draw is off its plateaus in two samples running.

    A plateau is a value that repeats at once, or the value of the plateau before, come back to.
    Where the rates are known, two moves in a row that together make up a whole rate are taken for
    a battery that runs full or empty within a step, and not claimed.
    """
    same = np.diff(grid_w) == 0
    flat = np.append(same, False) | np.append(False, same)
    last = np.maximum.accumulate(np.where(flat, np.arange(grid_w.size), 0))
    resting = flat | (grid_w == grid_w[last])
    moves = np.diff(grid_w)
    copied = ~resting[1:] & ~resting[:-1] & (np.abs(moves) > threshold_w)
    copied &= ~_gives_out(moves, discharge_rate_w, threshold_w)
    copied &= ~_gives_out(-moves, charge_rate_w, threshold_w)
    places = np.flatnonzero(copied)
    return Claims(places + 1, moves[places])


def _gives_out(moves: Watts, rate_w: int, threshold_w: int) -> NDArray[np.bool_]:
    """Moves that are one of two in a row, both upwards, which sum to a whole rate."""
    found = np.zeros(moves.size, dtype=np.bool_)
    if rate_w:
        upwards = (moves[1:] >= 0) & (moves[:-1] >= 0)
        both = upwards & (np.abs(moves[1:] + moves[:-1] - rate_w) <= threshold_w)
        found[1:] |= both
        found[:-1] |= both
    return found


def changes_of(demand_w: Watts, threshold_w: int = THRESHOLD_W) -> Claims:
    """What a load, known or got back, claims of its changes."""
    moves = np.diff(demand_w)
    places = np.flatnonzero(np.abs(moves) > threshold_w)
    return Claims(places + 1, moves[places])


def score(
    claims: Claims,
    demand_w: Watts,
    threshold_w: int = THRESHOLD_W,
    from_sample: int = 0,
    breaks: NDArray[np.bool_] | None = None,
) -> Score:
    """Compares claims with the demand that was there.

    A claim is right within its tolerance, or within 1 % of the true change if that is more.

    Parameters
    ----------
    claims:
        Of samples 1 to N - 1.
    demand_w:
        Whole watts, shape (N,).
    threshold_w:
        Changes above it are the true events that recall counts.
    from_sample:
        Claims and events before it are left out (warm-up).
    breaks:
        Samples before which others are missing, shape (N,); no event is looked for there.
    """
    truth = np.diff(demand_w)
    kept = claims.samples > from_sample
    if breaks is not None:
        kept &= ~breaks[claims.samples]
        truth[breaks[1:]] = 0
    places = claims.samples[kept] - 1
    right = are_right(claims, demand_w)[kept]
    is_event = np.abs(truth) > threshold_w
    there = int(np.count_nonzero(is_event[from_sample:]))
    found = int(np.count_nonzero(right & is_event[places]))
    events, correct = int(right.size), int(np.count_nonzero(right))
    return Score(
        events=events,
        correct=correct,
        precision=correct / events if events else 0.0,
        recall=found / there if there else 0.0,
    )


def are_right(claims: Claims, demand_w: Watts) -> NDArray[np.bool_]:
    """Whether each claim is right, shape (claims,): see :func:`score`."""
    truth = np.diff(demand_w)[claims.samples - 1]
    allowed = np.maximum(claims.tolerance_w, np.abs(truth) * (TOLERANCE_PERCENT / 100))
    right: NDArray[np.bool_] = np.abs(claims.changes_w - truth) <= allowed
    return right


def invert_smooth(grid_w: Watts, step_s: int, time_constant_s: float | None = None) -> Inversion:
    """Undoes a battery that smooths.

    Such a battery draws e = mean - g (charge - half), and its charge moves by (e - d) step_s, so

        e(t+1) - e(t) = -g step_s (e(t) - d(t)),   d(t) = e(t) + (e(t+1) - e(t)) / (g step_s)

    and nothing is hidden from whoever knows g. Exact but for rounding, and but for steps in which
    the battery is at a bound or the draw at 0.

    Parameters
    ----------
    grid_w:
        Whole watts, shape (N,), N of 3 or more.
    step_s:
        Seconds of a step.
    time_constant_s:
        1 / g; estimated by :func:`estimate_time_constant_s` if None.
    """
    if time_constant_s is None:
        time_constant_s = estimate_time_constant_s(grid_w, step_s)
    steps = time_constant_s / step_s
    found = np.rint(grid_w[:-1] + np.diff(grid_w) * steps).astype(np.int64)
    return Inversion(np.maximum(found, 0), time_constant_s, max(steps, 1.0))


def smoothed_changes(inverted: Inversion) -> Claims:
    """Changes of a load that was got back, as far as they stand out from the rounding.

    A change is a second difference of the draw times 1 / (g step_s), so half a watt of rounding
    in each of its terms moves it by up to twice the uncertainty of a level.
    """
    reach_w = 2 * inverted.uncertainty_w
    claims = changes_of(inverted.demand_w, max(THRESHOLD_W, round(reach_w)))
    return Claims(claims.samples, claims.changes_w, max(TOLERANCE_W, reach_w))


def estimate_time_constant_s(grid_w: Watts, step_s: int) -> float:
    """Time constant of a smoothing battery, from its draw alone.

    For a given demand, e' = (d - e) step_s g falls along a straight line in e, of slope -g step_s.
    A home is often at its base load, and that is its least: the lower edge of the points (e, e')
    is such a line. A first slope is taken from that edge; then the points are picked that lie, by
    that slope, at one base load, and fitted again, until they settle. Where the base load is steady
    it is good to 1 % while rounding is below what the base load varies by (half an hour, steps of a
    minute), and to 10 % for two hours. Where fridges and lamps run at all hours, as in
    :mod:`hushmeter.loads.synthetic`, it comes out too long, up to 2.4 times.

    Raises
    ------
    HushmeterError
        The draw is shorter than 400 samples or does not fall towards a base load.
    """
    level, moves = grid_w[:-1].astype(np.float64), np.diff(grid_w).astype(np.float64)
    if level.size < _EDGE_GROUPS * 10:
        raise HushmeterError(
            f"{grid_w.size} samples; {_EDGE_GROUPS * 10 + 1} are needed to estimate a time constant"
        )
    slope = _edge_slope(level, moves)
    for _ in range(_REFINEMENTS):
        if not -1 <= slope < 0:
            raise HushmeterError(
                "the draw does not behave like that of a smoothing battery; "
                "give its time constant if you know better"
            )
        demand = level - moves / slope
        at_base = np.abs(demand - np.quantile(demand, 0.2)) < 10 - 1.5 / slope
        x, y = level[at_base], moves[at_base]
        centred = x - x.mean()
        slope = float(centred @ y) / max(float(centred @ centred), 1e-9)
    return -step_s / slope


def _edge_slope(level: NDArray[np.float64], moves: NDArray[np.float64]) -> float:
    """Slope of the lower edge of the points, robustly: the median over all pairs of groups."""
    edge = np.empty((_EDGE_GROUPS, 2))
    for row, group in enumerate(np.array_split(np.argsort(level, kind="stable"), _EDGE_GROUPS)):
        ordered = group[np.argsort(moves[group])]
        low = ordered[group.size // 20 : max(7 * group.size // 20, group.size // 20 + 1)]
        edge[row] = level[low].mean(), moves[low].mean()
    first, second = np.triu_indices(_EDGE_GROUPS, 1)
    run, rise = (edge[second] - edge[first]).T
    return float(np.median(rise[run > 0] / run[run > 0])) if (run > 0).any() else 0.0
