"""The books of a battery, checked to the last unit: what went in and out is what is there.

A controller reports its charge in whole Ws, rounded down; what is exact are the units of
`hushfw.core.battery.limits`, of which a Ws has one for an ideal battery and up to a million for
one with losses. With S(t) the units that the powers e - d of the steps up to t have moved, the
charge of a run that is in order obeys, for one fraction r of a Ws that was there at the start and
was not reported,

    charge(t) = floor((charge(0) * unit + r + S(t)) / unit)   for all t,    0 <= r < unit.

Each t bounds r from both sides, so all of them together are checked by two extremes, in integers.
An ideal battery has r = 0, and this is sum (e - d) * step_s = charge(t) - charge(0).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hushfw.core.battery.limits import Limits
from hushfw.core.battery.settings import Given
from hushmeter.errors import HushmeterError

Watts = NDArray[np.int64]


@dataclass(frozen=True)
class Units:
    """What a watt moves in a step, in units of charge.

    Attributes
    ----------
    unit:
        Units in a Ws.
    up, down:
        Units that 1 W of charging adds in a step, and that 1 W of discharging takes.
    """

    unit: int
    up: int
    down: int

    @classmethod
    def ideal(cls, step_s: int) -> Units:
        """Of a battery without losses: the unit is the Ws."""
        return cls(1, step_s, step_s)

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Units:
        """Of the battery that these settings of a controller describe."""
        limits = Limits(Given("none", settings))
        return cls(limits.unit, limits.up, limits.down)


def energy_balance_error_ws(
    demand_w: Watts,
    grid_w: Watts,
    charge_ws: NDArray[np.int64],
    units: Units,
) -> int:
    """Largest error of the reported charge against the books, over the run; 0 if in order.

    Parameters
    ----------
    demand_w, grid_w:
        Whole watts, shape (N,).
    charge_ws:
        Before the first step and after each, shape (N + 1,).
    units:
        Of the battery.

    Raises
    ------
    HushmeterError
        `charge_ws` has another shape.
    """
    if charge_ws.shape != (demand_w.size + 1,):
        raise HushmeterError(
            f"charge_ws has shape {charge_ws.shape}; it must be ({demand_w.size + 1},): "
            "before the first step and after each"
        )
    power_w = grid_w - demand_w
    moved = np.cumsum(np.where(power_w > 0, power_w * units.up, power_w * units.down))
    short = (charge_ws[1:] - charge_ws[0]) * units.unit - moved
    rest = min(max(int(short.max(initial=0)), 0), units.unit - 1)
    return int(np.abs(-((rest - short) // units.unit)).max(initial=0))
