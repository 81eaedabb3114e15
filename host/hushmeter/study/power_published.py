"""What the privacy-power paper says of its Figs. 3 to 8, and whether it holds.

Each statement has a rule, written beside it, by which it counts as agreed with.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

from hushmeter.study.power import (
    BINARY,
    CROWDS,
    SAME_LEVELS,
    SAME_MEAN,
    PowerStudy,
    Row,
    private_from,
)
from hushmeter.study.published import Statement

_HIDDEN = 1e-6
"""Bits; what is below counts as perfect privacy."""
_SLACK = 1e-9
_MUCH = 1.25
_SHAPE = 1e-6
"""Second differences of less are rounding."""


def statements(found: PowerStudy) -> list[Statement]:
    """What the paper's section V says of its figures."""
    return [
        _falls_and_bends(found),
        _binary_curves_cross(found),
        _light_load_hides_sooner(found),
        _optimal_is_much_better(found),
        _first_user_hides_first(found),
        _third_user_hides_last(found),
        _second_user_of_equal_means(found),
        _concave_and_piecewise_convex(found),
        _regimes(found),
        _more_users_leak_more(found),
        _ends(found),
    ]


def _falls_and_bends(found: PowerStudy) -> Statement:
    curves = _binary_curves(found)
    curves += [_column(found, "uniform", "optimal")]
    for name, counts in (("users", (1, 2, 3)), ("exponential", (1, 2, 3))):
        curves += [_column(found, name, f"users_{count}") for count in counts]
    falling = [all(b[1] <= a[1] + _SLACK for a, b in pairwise(curve)) for curve in curves]
    convex = [min(_bends(curve)) >= -_SLACK for curve in curves]
    return Statement(
        "falls_and_bends",
        "The privacy-power function falls and is convex (Lemma 1; Figs. 3, 4, 7 and 8).",
        f"{sum(falling)} of {len(curves)} curves never rise and {sum(convex)} are convex.",
        "all of them, to 1e-9 bit",
        all(falling) and all(convex),
    )


def _binary_curves_cross(found: PowerStudy) -> Statement:
    curves = dict(zip(BINARY, _binary_curves(found), strict=True))
    crossing = []
    for low in BINARY:
        for other in BINARY:
            if low < other and _cross(curves[low], curves[other]):
                crossing.append(f"{low:g} and {other:g}")
    return Statement(
        "binary_curves_cross",
        "Fig. 3: the curves of two values of p may cross.",
        f"Those of {', '.join(crossing)} do." if crossing else "None do.",
        "one pair at least",
        bool(crossing),
    )


def _light_load_hides_sooner(found: PowerStudy) -> Statement:
    curves = dict(zip(BINARY, _binary_curves(found), strict=True))
    start = curves[0.1][0][1], curves[0.9][0][1]
    hidden = {low: _hidden_at(curves[low]) for low in (0.1, 0.9)}
    return Statement(
        "light_load_hides_sooner",
        "Fig. 3: p = 0.1 and p = 0.9 start alike, and p = 0.9 is private with much less power.",
        f"Both start at {start[0]:.4f} bits; private from {hidden[0.9]:.2f} and {hidden[0.1]:.2f}.",
        "equal starts, and less power",
        abs(start[0] - start[1]) < _SLACK and hidden[0.9] < hidden[0.1],
    )


def _optimal_is_much_better(found: PowerStudy) -> Statement:
    rows = [row for row in found.tables["uniform"] if 0.25 <= value_of(row, "power") <= 0.75]
    factors = [
        min(value_of(row, "output_limit"), value_of(row, "time_division_exact"))
        / value_of(row, "optimal")
        for row in rows
    ]
    return Statement(
        "optimal_is_much_better",
        "Fig. 4: the best policy is much more private than time division and output limit.",
        f"From P = 0.25 to 0.75 the better of the two leaks {min(factors):.2f} to "
        f"{max(factors):.2f} times as much, by the corrected formulas.",
        f"{_MUCH:g} times as much or more, all the way",
        min(factors) >= _MUCH,
    )


def _first_user_hides_first(found: PowerStudy) -> Statement:
    users = [_column(found, "same_levels", f"user_{number}_bits") for number in (1, 2, 3)]
    hidden = private_from(SAME_LEVELS)
    return Statement(
        "first_user_hides_first",
        "Fig. 5: without a source users 1 and 3 leak alike; user 1 is private much sooner.",
        f"Both leak {users[0][0][1]:.4f} bits at 0; private from P = {hidden[0]:.3g} and "
        f"{hidden[2]:.3g}.",
        "equal starts, and less than half of the power",
        abs(users[0][0][1] - users[2][0][1]) < _SLACK and hidden[0] < hidden[2] / 2,
    )


def _third_user_hides_last(found: PowerStudy) -> Statement:
    users = [_column(found, "same_levels", f"user_{number}_bits") for number in (1, 2, 3)]
    hidden = private_from(SAME_LEVELS)
    return Statement(
        "third_user_hides_last",
        "Fig. 5: user 3 is private at a much higher P than user 2, who leaks most at first.",
        f"User 2 starts at {users[1][0][1]:.4f} bits and is private from P = {hidden[1]:.3g}, user "
        f"3 from {hidden[2]:.3g}.",
        "user 2 starts highest, user 3 ends last",
        max(curve[0][1] for curve in users) == users[1][0][1] and hidden[2] > hidden[1],
    )


def _second_user_of_equal_means(found: PowerStudy) -> Statement:
    starts = [value_of(found.tables["same_mean"][0], f"user_{number}_bits") for number in (1, 2, 3)]
    hidden = private_from(SAME_MEAN)
    return Statement(
        "second_user_of_equal_means",
        "Fig. 6, equal means: user 2 leaks most without a source and is private much before the "
        "others.",
        f"Private from P = {hidden[1]:.3g}; user 1 from {hidden[0]:.3g}, user 3 from "
        f"{hidden[2]:.3g}.",
        f"it starts highest, and the others need {_MUCH:g} times as much or more",
        max(starts) == starts[1] and min(hidden[0], hidden[2]) >= _MUCH * hidden[1],
    )


def _concave_and_piecewise_convex(found: PowerStudy) -> Statement:
    first, third = (_column(found, "same_mean", f"user_{number}_bits") for number in (1, 3))
    hidden = private_from(SAME_MEAN)
    turn = _last_concave(first)
    kinks = sum(bend < -_SHAPE for bend in _bends(third))
    return Statement(
        "concave_and_piecewise_convex",
        "Fig. 6: user 1's curve is concave, user 3's piecewise convex.",
        f"User 1's is concave until user 2 is private, P = {hidden[1]:.3g}, and convex from "
        f"there to {hidden[0]:.3g}, where it is private itself. "
        f"User 3's bends the other way only where another user is done ({kinks} of "
        f"{len(third) - 2} second differences are negative).",
        "user 1's is concave as long as it falls; user 3's is convex but for a few points",
        turn >= hidden[0] and kinks <= 4,
    )


def _regimes(found: PowerStudy) -> Statement:
    told, held = [], True
    for count in (2, 3):
        seen = [int(value_of(row, f"seen_{count}")) for row in found.tables["users"]]
        stages = list(dict.fromkeys(seen))
        held = held and stages == list(range(count, -1, -1))
        told.append(f"{count} users: {', '.join(map(str, stages))}")
    return Statement(
        "regimes",
        "Fig. 7: with several users there is a regime for each number that still draw from the "
        "grid what can be read.",
        f"Users that leak, by rising power, {'; '.join(told)}.",
        "every number from all to none, in that order",
        held,
    )


def _more_users_leak_more(found: PowerStudy) -> Statement:
    told, held = [], True
    for name, label in (("users", "Binary"), ("exponential", "Exponential")):
        fails = [
            f"{more} leak less than {fewer} from P = {where:.2g}"
            for fewer, more in ((1, 2), (2, 3))
            if (where := _first_below(found, name, more, fewer)) is not None
        ]
        told.append(f"{label}: {', '.join(fails) if fails else 'at every power'}.")
        held = held and not fails
    return Statement(
        "more_users_leak_more",
        "Figs. 7 and 8: the leakage rises with the number of users, at the same total load.",
        " ".join(told) + " It depends on who the users are, and those of Fig. 7 are chosen here.",
        "at every power, both loads",
        held,
    )


def _first_below(found: PowerStudy, name: str, more: int, fewer: int) -> float | None:
    """The first power at which more users leak less than fewer."""
    for row in found.tables[name]:
        if value_of(row, f"users_{more}") < value_of(row, f"users_{fewer}") - _SLACK:
            return value_of(row, "power")
    return None


def _ends(found: PowerStudy) -> Statement:
    first, last = found.tables["users"][0], found.tables["users"][-1]
    entropies = [value_of(first, f"users_{count}") for count in (1, 2, 3)]
    ends = [
        value_of(found.tables[name][-1], f"users_{count}")
        for name in ("users", "exponential")
        for count in (1, 2, 3)
    ]
    right = [sum(binary_entropy(low) for low in crowd) for crowd in CROWDS]
    return Statement(
        "ends",
        "Figs. 7 and 8: perfect privacy at the total mean; without a source everything leaks.",
        f"At P = {value_of(last, 'power'):g} at most {max(ends):.1g} bits; binary users without a "
        f"source leak {', '.join(f'{bits:.4f}' for bits in entropies)} bits, their entropies.",
        "to 1e-9 bit; binary users only at P = 0",
        max(ends) < _SLACK
        and all(abs(a - b) < _SLACK for a, b in zip(entropies, right, strict=True)),
    )


def value_of(row: Row, key: str) -> float:
    """A cell of a table; NaN where it is empty."""
    value = row[key]
    return math.nan if value is None else value


def _column(found: PowerStudy, name: str, key: str) -> list[tuple[float, float]]:
    """(power, value) down a table."""
    return [(value_of(row, "power"), value_of(row, key)) for row in found.tables[name]]


def _binary_curves(found: PowerStudy) -> list[list[tuple[float, float]]]:
    return [
        [
            (value_of(row, "power"), value_of(row, "bits"))
            for row in found.tables["binary"]
            if row["p_low"] == low
        ]
        for low in BINARY
    ]


def _bends(curve: Sequence[tuple[float, float]]) -> list[float]:
    """How far each point lies below the chord of its neighbours; negative where it lies above."""
    found = []
    for (x0, y0), (x1, y1), (x2, y2) in zip(curve, curve[1:], curve[2:], strict=False):
        found.append(y0 + (y2 - y0) * (x1 - x0) / (x2 - x0) - y1)
    return found


def _last_concave(curve: Sequence[tuple[float, float]]) -> float:
    """The power up to which a curve that starts concave stays so."""
    for (power, _), bend in zip(curve[1:], _bends(curve), strict=False):
        if bend > _SHAPE:
            return power
    return curve[-1][0]


def _hidden_at(curve: Sequence[tuple[float, float]]) -> float:
    """The first power at which nothing leaks."""
    return next((power for power, bits in curve if bits < _HIDDEN), math.inf)


def _cross(first: Sequence[tuple[float, float]], second: Sequence[tuple[float, float]]) -> bool:
    """Whether each is above the other somewhere."""
    above = _interpolator(second)
    signs = {bits > above(power) for power, bits in first if abs(bits - above(power)) > _HIDDEN}
    return len(signs) == 2


def _interpolator(curve: Sequence[tuple[float, float]]) -> Callable[[float], float]:
    def value(power: float) -> float:
        for (x0, y0), (x1, y1) in pairwise(curve):
            if power <= x1:
                return y0 + (y1 - y0) * (power - x0) / (x1 - x0)
        return curve[-1][1]

    return value


def binary_entropy(p: float) -> float:
    """The binary entropy in bits."""
    return -p * math.log2(p) - (1 - p) * math.log2(1 - p)
