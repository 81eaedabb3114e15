"""What a policy leaks whose file does not say so, as a table made by hand; and what is the least.

A battery's rate is bracketed as by `hushmeter leakage rate`, a second supply's computed; the least
is from the solvers. Nothing was rounded here, so nothing was lost by rounding.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hushmeter.leakage.distributions import Discrete
from hushmeter.leakage.entropies import mutual_information
from hushmeter.leakage.thresholds import Rounded

Laws = NDArray[np.float64]

_ROUNDING = 1e-12


def of_batteries(parts: Sequence[Rounded], law: Laws, capacity: int) -> dict[str, float]:
    """The fields of `policy_file.Figures`; the first battery at the load, capacity of each.

    Raises
    ------
    HushmeterError
        The battery is larger than the solver takes.
    """
    from hushmeter.leakage import single
    from hushmeter.leakage.exact import bracket
    from hushmeter.leakage.machine import series

    least = single.solve(law, capacity * len(parts))
    found = bracket(series([part.policy("the policy") for part in parts]), law)
    if len(parts) == 1:
        value, upper = least.value, least.upper
    else:
        # The least of a pair is not known: these two are the best pair that there is here.
        value = upper = max(found.upper, least.lower)
    return {
        "value": value,
        "lower": least.lower,
        "upper": upper,
        "rounded_lower": found.lower,
        "rounded_upper": max(found.upper, found.lower),
        "rounding_loss_bits": 0.0,
    }


def of_source(part: Rounded, law: Laws, power: float, peak: float | None) -> dict[str, float]:
    """The same of a second supply.

    Raises
    ------
    HushmeterError
        No policy has such a power and peak.
    """
    from hushmeter.leakage import power as solver

    levels = np.arange(len(law))
    least = solver.solve(Discrete(law, levels.astype(np.float64)), power, peak)
    joint = law[:, None] * part.chances()
    leaks = max(0.0, mutual_information(joint))
    value = max(0.0, least.value)
    return {
        "value": value,
        "lower": min(max(0.0, least.lower), value),
        "upper": max(least.upper, value),
        "rounded_lower": max(0.0, leaks - _ROUNDING),
        "rounded_upper": leaks + _ROUNDING,
        "rounding_loss_bits": 0.0,
        "rounded_power": float((joint * (levels[:, None] - levels)).sum()),
    }
