"""What a second source of energy (solar, another supply) buys a home: I(P) and simple rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hushmeter.errors import HushmeterError
from hushmeter.leakage import heuristics, power
from hushmeter.leakage.distributions import Discrete
from hushmeter.leakage.fit import LoadModel

_POINTS = 24


@dataclass(frozen=True)
class SourcePoint:
    """One mean power of the source; bits a step.

    Attributes
    ----------
    value, lower, upper:
        I(P), with its certificate.
    time_division, output_limit:
        What two simple rules leak with the same power, exactly.
    """

    power_w: float
    value: float
    lower: float
    upper: float
    time_division: float
    output_limit: float


@dataclass(frozen=True)
class Source:
    """The curve from no power to all of the load.

    Attributes
    ----------
    asked:
        The point that was asked for, if one was.
    mean_w:
        Of the load in quanta: a source of this power hides all.
    """

    curve: list[SourcePoint]
    asked: SourcePoint | None
    mean_w: float

    def summary(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "mean_w": self.mean_w,
            "point": None if self.asked is None else asdict(self.asked),
            "curve": [asdict(point) for point in self.curve],
        }


def source_of(
    model: LoadModel,
    asked_w: float | None,
    tell: Callable[[str, int, int], None],
) -> Source:
    """The curve of a home's law, and the point of a source of `asked_w` on average.

    Raises
    ------
    HushmeterError
        `asked_w` is negative or above the mean load.
    """
    levels = np.flatnonzero(model.law)
    load = Discrete(model.law[levels], np.asarray(levels * model.steps.quantum_w, dtype=np.float64))
    if asked_w is not None and not 0 <= asked_w <= load.mean:
        raise HushmeterError(
            f"--source-w is {asked_w:g}; it must be 0 to {load.mean:.6g} W, the mean load, which "
            "hides all"
        )
    curve = []
    for done, share in enumerate(np.linspace(0, 1, _POINTS + 1)):
        tell("second source", done, _POINTS + 1)
        curve.append(_point(load, float(share) * load.mean))
    tell("second source", _POINTS + 1, _POINTS + 1)
    return Source(curve, None if asked_w is None else _point(load, asked_w), load.mean)


def _point(load: Discrete, power_w: float) -> SourcePoint:
    found = power.solve(load, power_w)
    divided = heuristics.time_division(load, power_w)
    return SourcePoint(
        power_w=power_w,
        value=found.value,
        lower=found.lower,
        upper=found.upper,
        time_division=0.0 if divided is None else divided,
        output_limit=heuristics.output_limit(load, power_w),
    )
