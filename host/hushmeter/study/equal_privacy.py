"""How large a battery another controller needs to leak as little as LS2 (the paper's Table 6).

LS2 runs with a battery of size C0. The other controller runs with sizes on a grid of factor
2^(1/4), and its **first crossing** is the smallest of them at which its Markov mutual information
is no higher than that of LS2. The ratio is that size over C0. All batteries are 1C, so a larger one
is also a stronger one. Leakage does not fall evenly with the size, hence "first": further crossings
are not looked for.

What a ratio rests on is said with it:

- the interval: from the grid point below the first size at which the two intervals of confidence
  (over days) touch, up to the first size at which the other's lies wholly below that of LS2. It
  holds the width of the grid and the days; both ends are on the careful side, because the intervals
  are taken as if the two had not been measured on the same days;
- the ratio once more with the shuffled baselines taken off: the plug-in estimate is too high, and
  by more for a controller with many levels than for one with few;
- C0: the paper does not say which it took, so there are three;
- homes: the command prints every home's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hushmeter.study.measure import Row

REFERENCE = "ls2"
CONTROLLERS = ("be:sat", "be:idle", "nill")
REFERENCES_WH = (250, 500, 1000)
STEPS_PER_DOUBLING = 4
_LEAST_WH = 125
_DOUBLINGS = 5.5

GRID_WH = tuple(
    round(_LEAST_WH * 2 ** (step / STEPS_PER_DOUBLING))
    for step in range(int(_DOUBLINGS * STEPS_PER_DOUBLING) + 1)
)
"""From half of the smallest C0 to five times the largest."""


@dataclass(frozen=True)
class Ratio:
    """Battery size at equal privacy, in units of the size that LS2 has.

    Attributes
    ----------
    reference_wh:
        C0.
    reference_bits:
        Markov mutual information of LS2 with C0.
    capacity_wh, ratio:
        The first crossing; None if even the largest of the grid leaks more.
    ratio_ci:
        The interval; an end is None where the grid ends before it is found.
    ratio_less_bias:
        From the estimates less their shuffled baselines.
    """

    home: str
    controller: str
    reference_wh: int
    reference_bits: float
    capacity_wh: int | None
    ratio: float | None
    ratio_ci: tuple[float | None, float | None]
    ratio_less_bias: float | None


def ratio_of(home: str, controller: str, curve: Sequence[Row], reference: Row) -> Ratio:
    """The ratio of one controller in one home.

    Parameters
    ----------
    curve:
        The controller's rows on the grid, by size.
    reference:
        The row of LS2 with C0.
    """
    base, wanted = reference.capacity_wh, reference.mi_markov

    def first(is_met: Callable[[Row], bool]) -> int | None:
        return next((place for place, row in enumerate(curve) if is_met(row)), None)

    def size(place: int | None) -> float | None:
        return None if place is None else curve[place].capacity_wh / base

    met = first(lambda row: row.mi_markov.bits <= wanted.bits)
    maybe = first(lambda row: row.mi_markov.ci_bits[0] <= wanted.ci_bits[1])
    surely = first(lambda row: row.mi_markov.ci_bits[1] <= wanted.ci_bits[0])
    unbiased = first(lambda row: row.mi_markov.less_baseline <= wanted.less_baseline)
    return Ratio(
        home=home,
        controller=controller,
        reference_wh=base,
        reference_bits=wanted.bits,
        capacity_wh=None if met is None else curve[met].capacity_wh,
        ratio=size(met),
        ratio_ci=(size(maybe - 1) if maybe else None, size(surely)),
        ratio_less_bias=size(unbiased),
    )


def ratios(rows: Sequence[Row], homes: Sequence[str]) -> list[Ratio]:
    """Every home's ratios, by home, controller and C0."""
    found = {(row.home, row.controller, row.capacity_wh): row for row in rows}
    return [
        ratio_of(
            home,
            controller,
            [found[home, controller, size_wh] for size_wh in GRID_WH],
            found[home, REFERENCE, base_wh],
        )
        for home in homes
        for controller in CONTROLLERS
        for base_wh in REFERENCES_WH
    ]
