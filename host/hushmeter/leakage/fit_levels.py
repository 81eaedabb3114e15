"""A home's load in whole quanta, as a battery counts it.

    steps = quantise(record, choose_quantum(record, capacity_wh=500))

A step's demand is rounded to whole quanta of `quantum_w` watts for a step. The battery then holds
floor(capacity / quantum) of them, and what is said is of that rounded load.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hushmeter.battery.record import Record
from hushmeter.battery.setups import WS_PER_WH
from hushmeter.errors import HushmeterError
from hushmeter.leakage.distributions import MOST_LEVELS

Integers = NDArray[np.int64]

USUAL_LEVELS = 40
MOST_CAPACITY = 500
"""Quanta that the battery has at most, unless the quantum is given: what a solver takes a second
for."""

LEAST_STEPS = 100
_NICE: tuple[int, ...] = tuple(digit * 10**power for power in range(6) for digit in (1, 2, 5))


@dataclass(frozen=True)
class Steps:
    """A load in whole quanta.

    Attributes
    ----------
    levels:
        int64, shape (steps,): quanta of each step; 0 where missing.
    missing:
        bool, shape (steps,).
    start:
        Unix seconds of the first step.
    """

    levels: Integers
    missing: NDArray[np.bool_]
    start: int
    quantum_w: int
    step_s: int
    source: str = ""
    home: str = ""

    @property
    def known(self) -> Integers:
        """The levels that are there."""
        kept: Integers = self.levels[~self.missing]
        return kept

    @property
    def quantum_wh(self) -> float:
        return self.quantum_w * self.step_s / WS_PER_WH

    def capacity(self, capacity_wh: int) -> int:
        """Whole quanta that a battery holds.

        Raises
        ------
        HushmeterError
            It holds none.
        """
        quanta: int = capacity_wh * WS_PER_WH // (self.quantum_w * self.step_s)
        if quanta < 1:
            raise HushmeterError(
                f"a battery of {capacity_wh} Wh holds less than one quantum of {self.quantum_w} W "
                f"for {self.step_s} s, {self.quantum_wh:.4g} Wh",
                hint="take a larger battery, a shorter --step-s, or more --levels",
            )
        return quanta


def choose_quantum(record: Record, capacity_wh: int, levels: int = USUAL_LEVELS) -> int:
    """The least of 1, 2, 5, 10, 20, ... W that fits the load into `levels` levels.

    It is no finer than a battery of `MOST_CAPACITY` quanta asks for.

    Raises
    ------
    HushmeterError
        `levels` is not 2 to `MOST_LEVELS`, or no quantum will do.
    """
    if not 2 <= levels <= MOST_LEVELS:
        raise HushmeterError(f"--levels is {levels}; it must be 2 to {MOST_LEVELS}")
    peak_w = int(record.demand_w.max(initial=0))
    capacity_ws = capacity_wh * WS_PER_WH
    for quantum_w in _NICE:
        fits = _rounded(peak_w, quantum_w) < levels
        if fits and capacity_ws // (quantum_w * record.step_s) <= MOST_CAPACITY:
            return quantum_w
    raise HushmeterError(
        f"{record.source}: no quantum up to {_NICE[-1]} W gives {levels} levels for a peak of "
        f"{peak_w} W and at most {MOST_CAPACITY} quanta in {capacity_wh} Wh"
    )


def quantise(record: Record, quantum_w: int) -> Steps:
    """The record in whole quanta, each step rounded to the nearest.

    Raises
    ------
    HushmeterError
        The quantum is below 1 W, the alphabet is too large, too few steps are known, or all of
        them are at one level.
    """
    if quantum_w < 1:
        raise HushmeterError(f"--quantum-w is {quantum_w}; it must be 1 or more")
    known = record.demand_w[~record.missing]
    if known.size < LEAST_STEPS:
        raise HushmeterError(
            f"{record.source}: {known.size} steps of {record.step_s} s have a reading; "
            f"{LEAST_STEPS} are needed to fit anything"
        )
    least_w, peak_w = int(known.min()), int(known.max())
    highest = _rounded(peak_w, quantum_w)
    if highest >= MOST_LEVELS:
        raise HushmeterError(
            f"{record.source}: a peak of {peak_w} W has {highest + 1} levels of {quantum_w} W; "
            f"at most {MOST_LEVELS} fit",
            hint=f"--quantum-w {-(-peak_w // (MOST_LEVELS - 1))} or more",
        )
    if _rounded(least_w, quantum_w) == highest:
        raise HushmeterError(
            f"{record.source}: the load is {least_w} to {peak_w} W, one level of {quantum_w} W, "
            "so there is nothing to tell; a load that changes is needed",
            hint="more --levels, or a smaller --quantum-w" if least_w < peak_w else None,
        )
    levels = (2 * record.demand_w + quantum_w) // (2 * quantum_w)
    return Steps(
        levels=np.where(record.missing, 0, levels),
        missing=record.missing,
        start=record.start,
        quantum_w=quantum_w,
        step_s=record.step_s,
        source=record.source,
        home=record.home,
    )


def _rounded(power_w: int, quantum_w: int) -> int:
    return (2 * power_w + quantum_w) // (2 * quantum_w)
