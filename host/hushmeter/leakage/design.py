"""From a load to a policy that a meter runs: the optimum, rounded, and what rounding costs.

    design = battery(parse_discrete("0.5,0.5"), capacity=2, step_s=60, quantum_w=100)
    design.figures.rounding_loss_bits

**What the rounded policy leaks.** A battery's rounded policy is no longer exactly invariant, so its
rate L is bracketed and not claimed:

    J*  <=  L  <=  H(Y) - H(Y | X, S)        under the law of (X, S) in the long run.

Below: no policy leaks less than the optimum (its certified lower bound is taken). Above: L is the
limit of I(X^T, S_1; Y^T) / T, whose terms are H(Y_t | past draws) - H(Y_t | past draws, X^T, S_1).
The first is at most H(Y_t); the second at least H(Y_t | X_t, S_t, all that), which is H(Y_t | X_t,
S_t), since a policy draws from load and state alone. The mean over t of the first is at most the
entropy of the mean law, that of the second is what it is under the mean law. For two batteries S is
the pair of states, and the same holds. For an invariant policy the right side is what it leaks, so
the bracket is as narrow as the rounding.

A second supply's policy has no memory: its leakage I(X;Y) is computed, not bracketed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hushfw.core.battery.table_file import MOST_BYTES, Table
from hushmeter.errors import HushmeterError
from hushmeter.leakage.distributions import Discrete
from hushmeter.leakage.entropies import mutual_information
from hushmeter.leakage.policy import Policy
from hushmeter.leakage.policy_file import BATTERY, CASCADE, SOURCE, Design, Figures
from hushmeter.leakage.thresholds import of_conditional, of_policy

Laws = NDArray[np.float64]

STEP_S, QUANTUM_W = 60, 100
ROUNDING = 1e-12
"""Bits: entropies of some thousand terms and a stationary law, in floating point."""
_WS_PER_WH = 3600
_MOST_ENTRIES = 20_000_000


@dataclass(frozen=True)
class Needs:
    """What one battery of a design must have, without losses, the reserve included."""

    capacity_wh: int
    charge_rate_w: int
    discharge_rate_w: int


def battery(
    load: Discrete,
    capacity: int,
    step_s: int = STEP_S,
    quantum_w: int = QUANTUM_W,
    command: str = "",
) -> Design:
    """The policy of one battery that leaks least.

    Parameters
    ----------
    load:
        Levels are whole quanta.
    capacity:
        In quanta of energy, quantum_w * step_s each.

    Raises
    ------
    HushmeterError
        A level is no whole number, the capacity is out of its range, or no meter takes the table.
    """
    from hushmeter.leakage import single

    law = load.integer_law()
    _check_size(law.size, capacity)
    found = single.solve(law, capacity)
    part = of_policy(single.optimal_policy(law, found.theta))
    above = leaks_at_most([part.policy("the rounded policy")], law)
    figures = Figures(
        value=found.value,
        lower=found.lower,
        upper=found.upper,
        rounded_lower=found.lower,
        rounded_upper=max(above, found.lower),
        rounding_loss_bits=max(0.0, above - found.lower),
    )
    return _checked(
        Design(BATTERY, law, step_s, quantum_w, (part,), figures, command, capacity=capacity)
    )


def cascade(  # noqa: PLR0913
    load: Discrete,
    capacity: int,
    step_s: int = STEP_S,
    quantum_w: int = QUANTUM_W,
    command: str = "",
    seed: int = 1,
) -> Design:
    """Policies of two batteries in series at the least of Theorem 1's bound.

    As `battery`; `capacity` is each one's. `figures.value` is the bound that these policies attain,
    `figures.lower` that of any two batteries.
    """
    from hushmeter.leakage import cascade as solver

    law = load.integer_law()
    found = solver.solve(law, capacity, "different", seed=seed)
    parts = tuple(of_policy(policy) for policy in found.policies)
    above = leaks_at_most([part.policy("a rounded policy") for part in parts], law)
    figures = Figures(
        value=found.upper_bound,
        lower=min(found.lower_bound, found.upper_bound),
        upper=found.upper_bound,
        rounded_lower=found.lower_bound,
        rounded_upper=above,
        rounding_loss_bits=max(0.0, above - found.upper_bound),
    )
    return _checked(
        Design(CASCADE, law, step_s, quantum_w, parts, figures, command, capacity=capacity)
    )


def source(  # noqa: PLR0913
    load: Discrete,
    power: float,
    peak: float | None = None,
    step_s: int = STEP_S,
    quantum_w: int = QUANTUM_W,
    command: str = "",
) -> Design:
    """The memoryless p(y | x) of the privacy-power function at this power of a second supply.

    Parameters
    ----------
    power, peak:
        On average and at most, in quanta a step.
    """
    from hushmeter.leakage import power as solver

    law = load.integer_law()
    _check_size(law.size, 0)
    found = solver.solve(load, power, peak)
    part = of_conditional(_on_whole_levels(load, found.conditional, peak))
    joint = law[:, None] * part.chances()
    leaks = max(0.0, mutual_information(joint))
    used = np.arange(len(law))
    figures = Figures(
        value=max(0.0, found.value),
        lower=min(max(0.0, found.lower), max(0.0, found.value)),
        upper=max(found.upper, found.value, 0.0),
        rounded_lower=max(0.0, leaks - ROUNDING),
        rounded_upper=leaks + ROUNDING,
        rounding_loss_bits=max(0.0, leaks - max(0.0, found.value)),
        rounded_power=float((joint * (used[:, None] - used)).sum()),
    )
    return _checked(
        Design(
            SOURCE, law, step_s, quantum_w, (part,), figures, command, power=power, peak=peak
        )
    )  # fmt: skip


def shared(
    homes: Mapping[str, Discrete],
    power: float,
    step_s: int = STEP_S,
    quantum_w: int = QUANTUM_W,
    command: str = "",
) -> dict[str, Design]:
    """A policy for each home on a supply that they share, by name.

    The allocation that leaks least in all is computed from the loads' laws, which are public; then
    each home's meter runs its own policy on its own share and tells the others nothing.

    Parameters
    ----------
    power:
        Of all together, in quanta a step.
    """
    from hushmeter.leakage import users

    found = users.solve(list(homes.values()), power)
    return {
        name: source(load, min(share, load.mean), None, step_s, quantum_w, command)
        for (name, load), share in zip(homes.items(), found.allocation, strict=True)
    }


def leaks_at_most(policies: Sequence[Policy], law: Laws) -> float:
    """H(Y) - H(Y | X, S) in the long run: a bound of what batteries in series leak; bits."""
    from hushmeter.leakage.exact import single_letter
    from hushmeter.leakage.machine import series

    return max(0.0, single_letter(series(policies), law)) + ROUNDING


def needs(design: Design, place: int = 0) -> Needs:
    """What the battery of a part must have, as hushfw/core/battery/table.py derives it."""
    table = Table(design.table(place))
    quantum_ws = design.quantum_w * design.step_s
    return Needs(
        capacity_wh=math.ceil((table.states * quantum_ws - 1) / _WS_PER_WH),
        charge_rate_w=(table.most_up + 1) * design.quantum_w - 1,
        discharge_rate_w=(table.most_down + 1) * design.quantum_w - 1,
    )


def _on_whole_levels(load: Discrete, conditional: Laws, peak: float | None) -> Laws:
    """p(y | x) for all x from 0 to the highest level, on the same y.

    A demand that is no level of the load is treated as the level below it, so the meter shows no
    draw that it would not show anyway; where the source cannot give that, or there is none below,
    the grid gives all of it.
    """
    levels = load.levels.astype(np.int64)
    size = int(levels[-1]) + 1
    out = np.zeros((size, size))
    for demand in range(size):
        below = int(np.searchsorted(levels, demand, side="right")) - 1
        row = np.zeros(size)
        if below >= 0:
            row[levels] = conditional[below]
        least = int(np.flatnonzero(row)[0]) if row.any() else demand
        beyond_peak = peak is not None and demand - least > peak + 1e-9
        if below < 0 or (beyond_peak and levels[below] != demand):
            row = np.zeros(size)
            row[demand] = 1.0
        out[demand] = row
    return out


def _check_size(levels: int, capacity: int) -> None:
    """Before anything is solved: no meter reads a table of any size."""
    size = 4 * ((levels - 1) * (levels + capacity) + capacity)
    if size > MOST_BYTES or (capacity + 1) * levels**2 > _MOST_ENTRIES:
        raise HushmeterError(
            f"{levels} levels and a capacity of {capacity} make a table of {size:,} bytes; it "
            f"must be at most {MOST_BYTES:,}, and levels^2 * (capacity + 1) at most "
            f"{_MOST_ENTRIES:,}",
            hint="take fewer levels (a larger --quantum-w), or a smaller capacity",
        )


def _checked(design: Design) -> Design:
    """The design, if a meter takes its tables."""
    if design.power is not None and design.power * design.quantum_w > 10**6:
        raise HushmeterError("the source's power is above 1 MW; lower --quantum-w")
    for place in range(len(design.parts)):
        design.table(place)
    return design
