"""Which appliance ran when, from the grid draw alone, and how much of that is true.

The adversary of Hart (1985, 1992): a switched appliance leaves an edge up and, some time later,
the same edge down. Edges are found between steady stretches of the draw, and paired where they
cancel within 35 W, or 3.5 % above 1 kW (Hart's figures), the nearest first, so that an appliance
that runs inside the run of another is taken out before the outer one is looked for. A pair is a
claim only if some signature, that is the power and the length of run that an appliance is known
for, allows it, and if the home never drew less than that power in between. Events and their
matching are the project's own, not those of a package; no learning is involved, so what this
attack finds is a lower bound of what can be found.

    >>> known = signatures_from(training_truth, step_s=60)
    >>> claims = claim_runs(grid_w, 60, known)
    >>> score_runs(claims, truth, step_s=60).f1

Runs count: a claim is right if the same appliance ran, began and ended when it says, within
tolerance, and no other claim has been counted for that run.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hushmeter.errors import HushmeterError

Watts = NDArray[np.int64]

STEADY_W = 15
"""Neighbouring samples within this belong to the same steady stretch."""
LEAST_EDGE_W = 30
PAIR_TOLERANCE_W = 35
PAIR_TOLERANCE = 0.035
STEADY_S = 3
"""A stretch shorter than this, where samples are that fine, is a transient and no level."""

_LEVEL_SAMPLES = 3
_FARTHEST = 24
_SWEEPS = 3


class Run(NamedTuple):
    """An appliance at `watts` from `start_s` up to `end_s`, seconds from the first sample."""

    appliance: str
    start_s: int
    end_s: int
    watts: int


@dataclass(frozen=True)
class Signature:
    """What an adversary knows of an appliance: ranges of power and of the length of a run."""

    appliance: str
    least_w: float
    most_w: float
    shortest_s: float
    longest_s: float


@dataclass(frozen=True)
class Edges:
    """Steps between steady levels, shape (edges,).

    `samples` is the first that is no longer of the old level, `settled` the first of the new one,
    which comes later if there is a transient or a ramp between them.
    """

    samples: NDArray[np.int64]
    settled: NDArray[np.int64]
    changes_w: NDArray[np.float64]


@dataclass(frozen=True)
class RunScore:
    """How good claimed runs are.

    Attributes
    ----------
    events, correct, runs:
        Claims, right ones, and runs there were.
    precision, recall, f1:
        correct / events, correct / runs, and their harmonic mean; 0 where undefined.
    by_appliance:
        (events, correct, runs) of each appliance.
    """

    events: int
    correct: int
    runs: int
    precision: float
    recall: float
    f1: float
    by_appliance: dict[str, tuple[int, int, int]]


def signatures_from(truth: Iterable[Run], step_s: int) -> list[Signature]:
    """What may be learned of the appliances from runs that are known, say of some other weeks.

    The ranges hold the middle 98 % of each appliance's runs, widened by the pair tolerance and by
    a step. An appliance of less than `LEAST_EDGE_W` leaves no edge and gets no signature.
    """
    known: dict[str, list[Run]] = defaultdict(list)
    for run in truth:
        known[run[0]].append(Run(*run))
    found = []
    for name, runs in sorted(known.items()):
        least_w, most_w = np.quantile([run.watts for run in runs], (0.01, 0.99))
        short_s, long_s = np.quantile([run.end_s - run.start_s for run in runs], (0.01, 0.99))
        if most_w >= LEAST_EDGE_W:
            slack_w = _allowed_w(most_w)
            found.append(
                Signature(
                    name,
                    max(least_w - slack_w, LEAST_EDGE_W),
                    most_w + slack_w,
                    max(short_s - step_s, step_s),
                    long_s + step_s,
                )
            )
    return found


def find_edges(power_w: Watts, step_s: int) -> Edges:
    """Steps between steady stretches of at least 3 s, or one sample where steps are longer.

    The levels are means of up to three samples of the stretch next to the edge.

    Parameters
    ----------
    power_w:
        Whole watts, shape (N,).
    step_s:
        Seconds of a step.
    """
    breaks = np.flatnonzero(np.abs(np.diff(power_w)) > STEADY_W) + 1
    starts, ends = np.append(0, breaks), np.append(breaks, power_w.size)
    is_level = ends - starts >= max(1, STEADY_S // step_s)
    is_level &= ~_ramps(power_w, starts, ends, step_s)
    starts, ends = starts[is_level], ends[is_level]
    sums = np.append(0, np.cumsum(power_w))
    reach = np.minimum(_LEVEL_SAMPLES, ends - starts)
    opening = (sums[starts + reach] - sums[starts]) / reach
    closing = (sums[ends] - sums[ends - reach]) / reach
    changes = opening[1:] - closing[:-1]
    large = np.abs(changes) >= LEAST_EDGE_W
    return Edges(ends[:-1][large], starts[1:][large], changes[large])


def _ramps(
    power_w: Watts, starts: NDArray[np.int64], ends: NDArray[np.int64], step_s: int
) -> NDArray[np.bool_]:
    """Stretches of one sample on the way from a level to a higher or a lower one.

    Where a row is the mean of many seconds, an appliance that is switched within it leaves a row
    at a part of its power.
    """
    ramps = np.zeros(starts.size, dtype=np.bool_)
    if step_s > STEADY_S:
        before, middle = power_w[starts[1:-1] - 1], power_w[starts[1:-1]]
        after = power_w[ends[1:-1]]
        between = (middle - before) * (after - middle) > 0
        ramps[1:-1] = between & (ends[1:-1] - starts[1:-1] == 1)
    return ramps


def claim_runs(
    power_w: Watts, step_s: int, signatures: Sequence[Signature], blur_w: int = 0
) -> list[Run]:
    """The runs that an adversary claims to see, in order of their beginnings.

    Parameters
    ----------
    power_w:
        What the meter reports (or the demand, to see what a battery is worth), shape (N,).
    step_s:
        Seconds of a step.
    signatures:
        What the adversary knows of the home's appliances.
    blur_w:
        By how much more an edge may differ from the appliance's power, and two edges from each
        other. An adversary of stepping, who knows that edges come in multiples of beta, uses
        beta: a kettle of 2.7 kW shows behind steps of 500 W, if not as 2.7 kW.

    Raises
    ------
    HushmeterError
        There are no signatures.
    """
    if not signatures:
        raise HushmeterError("no appliance is known; the attack needs at least one signature")
    signatures = [_blurred(known, blur_w) for known in signatures]
    edges = find_edges(power_w, step_s)
    left = np.arange(edges.samples.size)
    claims: list[Run] = []
    for _ in range(_SWEEPS):
        before = len(claims)
        for distance in range(1, _FARTHEST + 1):
            ups, downs = left[:-distance], left[distance:]
            claimed, found = _pairs_of(power_w, step_s, edges, (ups, downs), signatures, blur_w)
            claims += found
            taken = np.concatenate([ups[claimed], downs[claimed]])
            left = left[~np.isin(left, taken, assume_unique=True)]
        if len(claims) == before:
            break
    return sorted(claims, key=lambda run: (run.start_s, run.end_s))


def score_runs(claims: Iterable[Run], truth: Iterable[Run], step_s: int) -> RunScore:
    """Compares claimed runs with those that were.

    A beginning may be off by two steps, an end by two steps or a tenth of the run.
    """
    said, was = _by_appliance(claims), _by_appliance(truth)
    table = {}
    for name in sorted(said.keys() | was.keys()):
        right = _matches(said[name], was[name], step_s)
        table[name] = (len(said[name]), right, len(was[name]))
    events, correct, runs = (sum(row[i] for row in table.values()) for i in range(3))
    return RunScore(
        events=events,
        correct=correct,
        runs=runs,
        precision=correct / events if events else 0.0,
        recall=correct / runs if runs else 0.0,
        f1=2 * correct / (events + runs) if events + runs else 0.0,
        by_appliance=table,
    )


def chance_f1(
    claims: Sequence[Run], truth: Sequence[Run], length_s: int, step_s: int, seed: int = 0
) -> float:
    """F1 of the same claims at other times: what a claim is worth that knows nothing.

    The mean of eight turns of all claims together, round the record as if it were a ring.
    """
    generator = np.random.default_rng(seed)
    total = 0.0
    for turn in generator.integers(length_s // 16, length_s, size=8):
        turned = []
        for run in claims:
            start_s = (run.start_s + int(turn)) % length_s
            turned.append(Run(run.appliance, start_s, start_s + run.end_s - run.start_s, run.watts))
        total += score_runs(turned, truth, step_s).f1
    return total / 8


def _pairs_of(
    power_w: Watts,
    step_s: int,
    edges: Edges,
    pairs: tuple[NDArray[np.int64], NDArray[np.int64]],
    signatures: Sequence[Signature],
    blur_w: int,
) -> tuple[NDArray[np.bool_], list[Run]]:
    """Which of these pairs of edges are claimed, and the claims."""
    ups, downs = pairs
    rises, falls = edges.changes_w[ups], edges.changes_w[downs]
    allowed_w = _allowed_w(np.maximum(rises, -falls)) + blur_w
    claimed = (rises > 0) & (falls < 0) & (np.abs(rises + falls) <= allowed_w)
    starts, ends = edges.samples[ups[claimed]], edges.samples[downs[claimed]]
    watts = (rises[claimed] - falls[claimed]) / 2
    label = _labels(watts, (ends - starts) * step_s, signatures)
    least_w = _least_between(power_w, edges.settled[ups[claimed]], ends)
    good = (label >= 0) & (least_w >= watts - _allowed_w(watts) - blur_w)
    claimed[claimed] = good
    rows = zip(label[good], starts[good], ends[good], watts[good], strict=True)
    runs = [
        Run(signatures[name].appliance, int(start) * step_s, int(end) * step_s, round(float(w)))
        for name, start, end, w in rows
    ]
    return claimed, runs


def _blurred(known: Signature, blur_w: int) -> Signature:
    least_w = max(known.least_w - blur_w, LEAST_EDGE_W)
    return replace(known, least_w=least_w, most_w=known.most_w + blur_w)


def _labels(
    watts: NDArray[np.float64], lengths_s: NDArray[np.int64], signatures: Sequence[Signature]
) -> NDArray[np.int64]:
    """The signature in whose middle the power is most nearly, of those that allow it, or -1."""
    best = np.full(watts.size, np.inf)
    label = np.full(watts.size, -1, dtype=np.int64)
    for number, known in enumerate(signatures):
        off = np.abs(2 * watts - known.least_w - known.most_w) / (known.most_w - known.least_w)
        fits = (off <= 1) & (lengths_s >= known.shortest_s) & (lengths_s <= known.longest_s)
        better = fits & (off < best)
        best[better], label[better] = off[better], number
    return label


def _least_between(
    power_w: Watts, starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The least power from each start up to its end."""
    if not starts.size:
        return np.zeros(0, dtype=np.int64)
    turns = np.column_stack([starts, ends]).ravel()
    least: NDArray[np.int64] = np.minimum.reduceat(power_w, turns)[::2]
    return least


def _allowed_w(power_w: NDArray[np.float64] | float) -> Any:
    """By how much two edges of this power may differ; the type is that of `power_w`."""
    return np.maximum(PAIR_TOLERANCE_W, PAIR_TOLERANCE * power_w)


def _by_appliance(runs: Iterable[Run]) -> dict[str, list[Run]]:
    sorted_runs: dict[str, list[Run]] = defaultdict(list)
    for run in sorted((Run(*run) for run in runs), key=lambda run: run.start_s):
        sorted_runs[run.appliance].append(run)
    return sorted_runs


def _matches(claims: list[Run], runs: list[Run], step_s: int) -> int:
    """Claims that have a run of their own; each takes the earliest that is free."""
    starts = [run.start_s for run in runs]
    free = [True] * len(runs)
    slack_s = 2 * step_s
    matched = 0
    for claim in claims:
        place = bisect_left(starts, claim.start_s - slack_s)
        while place < len(runs) and starts[place] <= claim.start_s + slack_s:
            run = runs[place]
            end_slack_s = max(slack_s, (run.end_s - run.start_s) / 10)
            if free[place] and abs(run.end_s - claim.end_s) <= end_slack_s:
                free[place] = False
                matched += 1
                break
            place += 1
    return matched
