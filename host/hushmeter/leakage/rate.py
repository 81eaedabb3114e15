"""What a given policy leaks: bits a step, simulated with an error or exact between bounds.

    found = simulate(named("best-effort", law, capacity=3), law, steps=1_000_000, seed=1)
    found.rate, found.stderr
    exact(policy, law)                     # a Bracket, or None where no exact value is known

The rate is L = lim I(S_1, X^T; Y^T) / T = h(Y) - h(Y | X) for a load X that is independent from
step to step (Liu, Lee, Khisti, eq. 4). What can be simulated is a `Policy`, or a `Machine`: any
finite controller, or several in series.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hushmeter.leakage import forward
from hushmeter.leakage.exact import Bracket, cascade_upper, exact
from hushmeter.leakage.forward import CHAINS, LEAST_STDERR, Rate
from hushmeter.leakage.machine import Machine, from_policy, series
from hushmeter.leakage.machine_named import NAMES, in_series, named, tie_rule
from hushmeter.leakage.policy import Policy

__all__ = [
    "LEAST_STDERR",
    "NAMES",
    "Bracket",
    "Machine",
    "Rate",
    "cascade_upper",
    "exact",
    "in_series",
    "named",
    "simulate",
    "simulate_cascade",
    "tie_rule",
]

Law = NDArray[np.float64]


def simulate(
    policy: Policy | Machine, law: Law, steps: int, seed: int | str, chains: int = CHAINS
) -> Rate:
    """The rate of one battery, or of any machine, by the forward recursion over its hidden state.

    Parameters
    ----------
    law:
        Pr[X = 0, 1, ...], shape (inputs,).
    steps:
        So many are counted, over all chains together, rounded up to whole chains; those before
        them, in which the chains forget their start, are not counted.
    seed:
        7 and "7" are the same. The result depends on nothing else of the machine it runs on.
    chains:
        Independent runs, from whose spread the standard error comes.

    Raises
    ------
    HushmeterError
        An alphabet that does not fit, a policy that cannot be carried out, too few steps.
    """
    return forward.run(from_policy(policy), law, steps, seed, chains)


def simulate_cascade(
    policies: Sequence[Policy | Machine],
    law: Law,
    steps: int,
    seed: int | str,
    chains: int = CHAINS,
) -> Rate:
    """The rate of batteries in series; the draw of one is the load of the next.

    The reader sees the draw of the last alone: states, draws and memories before it are hidden.

    Raises
    ------
    HushmeterError
        As `simulate`.
    """
    return forward.run(series(policies), law, steps, seed, chains)
