"""Exact leakage rates, between bounds that are certain.

L = h(Y) - h(Y | X). Where state, load and draw give the next state, the second term is an
expectation over the chain's long run. Else, as for batteries in series, it is h(X, Y) - H(X). An
entropy rate is found through the reader's beliefs where they are few (`exact_beliefs`), else h(Y)
by contexts (`exact_contexts`), and h(Y | X) from the states some steps back (`exact_given`). All is
in floating point; bounds are widened by `ROUNDING`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hushmeter.errors import HushmeterError
from hushmeter.leakage import exact_contexts, exact_given
from hushmeter.leakage.entropies import entropy
from hushmeter.leakage.exact_beliefs import Channel, channel, entropy_rate
from hushmeter.leakage.machine import Machine, from_policy, series
from hushmeter.leakage.machine_load import Process, under
from hushmeter.leakage.policy import Policy

Floats = NDArray[np.float64]

AGREEMENT = 2e-10
"""A bracket that is narrower than this counts as an exact value."""
ROUNDING = 1e-12
MOST_STEPS_BACK = 10_000
MOST_CAPACITY = 1_000
_STEPS_BACK = 64


@dataclass(frozen=True)
class Bracket:
    """A leakage rate lies from lower to upper, bits a step.

    Where the entropies leave more room, lower is J* of all the battery that there is.

    Attributes
    ----------
    lower, upper:
        Certain but for rounding, which is within them.
    method:
        How h(Y) was found: beliefs, contexts, or both for different classes of states; optimum
        where the bound of one step meets the least that the battery can leak.
    seconds:
        That it took.
    """

    lower: float
    upper: float
    method: str
    seconds: float

    @property
    def value(self) -> float:
        """The middle."""
        return (self.lower + self.upper) / 2

    @property
    def is_exact(self) -> bool:
        """Whether the middle can be called the value."""
        return self.upper - self.lower < AGREEMENT


def exact(policy: Policy | Machine, law: Floats) -> Bracket | None:
    """The rate where it is known to `AGREEMENT`; None where it is not.

    Raises
    ------
    HushmeterError
        An alphabet that does not fit, a policy that cannot be carried out.
    """
    found = bracket(policy, law)
    return found if found.is_exact else None


def bracket(policy: Policy | Machine, law: Floats) -> Bracket:
    """Bounds of the rate, as tight as a second or two allow: work is counted, not time.

    Raises
    ------
    HushmeterError
        As `exact`.
    """
    started = time.perf_counter()
    process = under(from_policy(policy), law)
    load = entropy(process.law)
    least = least_of_all(process)
    outer, inner = process.single_letter
    if outer - inner - least < AGREEMENT / 2:
        seconds = time.perf_counter() - started
        lower = min(least, outer - inner) - ROUNDING
        return Bracket(max(0.0, lower), outer - inner + ROUNDING, "optimum", seconds)
    lower = upper = 0.0
    methods = []
    part = 1 / len(process.classes)
    for share, class_law in process.classes:
        draws = channel(process, class_law, with_load=False)
        at_least, at_most, method = _entropy_rate(draws, part)
        if process.machine.is_resolved:
            given_least = given_most = 0.0
        else:
            pairs = channel(process, class_law, with_load=True)
            given_least, given_most = _given_loads(pairs, load, part)
        lower += share * (at_least - given_most)
        upper += share * (at_most - given_least)
        methods.append(method)
    known = inner if process.machine.is_resolved else 0.0
    lower, upper = lower - known - ROUNDING, upper - known + ROUNDING
    if upper - lower > AGREEMENT:
        lower = max(lower, least)
        upper = min(upper, load + ROUNDING)
    seconds = time.perf_counter() - started
    return Bracket(max(0.0, lower), upper, " and ".join(sorted(set(methods))), seconds)


def least_of_all(process: Process) -> float:
    """What no policy of a battery as large as all of the machine's together can go below, bits."""
    from hushmeter.leakage import single

    capacity = process.machine.capacity
    if capacity is None or not 1 <= capacity <= MOST_CAPACITY:
        return 0.0
    return single.solve(process.law, capacity).lower


def _entropy_rate(seen: Channel, part: float) -> tuple[float, float, str]:
    """(lower, upper, method) of the entropy rate of the symbols, with that part of the work."""
    found = entropy_rate(seen, part)
    if found is not None and found[1] < AGREEMENT / 4:
        rate, off = found
        return rate - off, rate + off, "beliefs"
    lower, upper = exact_contexts.bracket(seen, part)
    return lower, upper, "contexts"


def _given_loads(pairs: Channel, load: float, part: float) -> tuple[float, float]:
    """(lower, upper) of h(Y | X) from loads and draws together; load is H(X)."""
    found = entropy_rate(pairs, part / 2)
    if found is not None and found[1] < AGREEMENT / 4:
        rate, off = found
        return rate - off - load, rate + off - load
    return (
        exact_given.at_least(pairs, _STEPS_BACK, load, part),
        exact_given.at_most(pairs, _STEPS_BACK, load, part),
    )


def single_letter(policy: Policy | Machine, law: Floats) -> float:
    """H(Y) - H(Y | X, state) in the long run: at least the rate; the rate, if invariant.

    For a single battery no rate is below J*, so with J* below this is a bracket of what rounding a
    table's probabilities costs.
    """
    outer, inner = under(from_policy(policy), law).single_letter
    return outer - inner


def cascade_upper(policies: Sequence[Policy | Machine], law: Floats, steps_back: int) -> float:
    """At least the rate of batteries in series, from up to so many steps looked back; bits.

        h(Y) - H(Y_n | Y_n-k ... Y_n-1, X_n-k ... X_n, states at n-k)  >=  h(Y) - h(Y | X)

    since the states at an earlier time tell less. For invariant policies h(Y) is H(Y), and k = 0 is
    Theorem 1 of Liu, Lee and Khisti. Followed to the end the bound falls with k to the rate. Where
    the beliefs become too many, the states of the least likely ones are told, which keeps it a
    bound, but one that may rise with k: so the least over k from 0 to `steps_back` is returned, and
    no more steps are looked back than the work allowed.

    Raises
    ------
    HushmeterError
        As `rate.simulate_cascade`, or a number of steps out of range.
    """
    if not 0 <= steps_back <= MOST_STEPS_BACK:
        raise HushmeterError(f"{steps_back} steps back; it must be 0 to {MOST_STEPS_BACK}")
    process = under(series(policies), law)
    load = entropy(process.law)
    total = 0.0
    part = 1 / len(process.classes)
    for share, class_law in process.classes:
        _, most, _ = _entropy_rate(channel(process, class_law, with_load=False), part)
        pairs = channel(process, class_law, with_load=True)
        total += share * (most - exact_given.at_least(pairs, steps_back, load, part))
    return min(total, load) + ROUNDING
