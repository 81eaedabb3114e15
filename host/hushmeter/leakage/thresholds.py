"""Rounded laws: what a meter draws from, with the probabilities that its thresholds really have.

A law over outcomes 0 to n - 1 is n - 1 integers T_j = 2^30 Pr[outcome <= j], rounded to the
nearest (docs/table-format.md). The probabilities (T_j - T_(j-1)) / 2^30 are dyadic numbers of 30
bits, so a float holds each of them exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hushfw.core.battery import table_file
from hushfw.core.battery.table_file import BY_DEMAND, BY_DIFFERENCE, BY_STATE_AND_DEMAND, ONE
from hushfw.core.errors import HushError
from hushmeter.errors import HushmeterError
from hushmeter.leakage.policy import Policy, memoryless

Laws = NDArray[np.float64]

_WEIGHT_BITS = 62
_SAME = 1e-12


@dataclass(frozen=True)
class Rounded:
    """A policy in thresholds.

    Attributes
    ----------
    kind:
        Of the rows, as in a table file: by difference, by state and demand, or by demand.
    demand_levels, output_levels, states:
        1 state for rows by demand.
    initial:
        states - 1 thresholds of the first state's law.
    rows:
        output_levels - 1 thresholds each, in the order of a table file.
    """

    kind: int
    demand_levels: int
    output_levels: int
    states: int
    initial: tuple[int, ...]
    rows: tuple[tuple[int, ...], ...]

    def chances(self) -> Laws:
        """The exact probabilities, shape (rows, output_levels)."""
        return chances_of(self.rows)

    def first_state(self) -> Laws:
        """The exact law of the first state, shape (states,)."""
        law: Laws = chances_of([self.initial])[0]
        return law

    def draws(self) -> Laws:
        """q(y | x, s), exact, shape (states, demand_levels, output_levels)."""
        state, demand = np.ogrid[: self.states, : self.demand_levels]
        if self.kind == BY_DIFFERENCE:
            place = state - demand + self.demand_levels - 1
        else:
            place = state * self.demand_levels + demand
        laws: Laws = self.chances()[place]
        return laws

    def policy(self, name: str = "table") -> Policy:
        """The policy of a battery.

        Raises
        ------
        HushmeterError
            The rows are for a second supply: there is no battery.
        """
        if self.kind == BY_DEMAND:
            raise HushmeterError(
                f"{name} is a policy for a second supply, which has no battery and no state"
            )
        return memoryless(self.draws(), self.first_state(), name)

    def to_bytes(self, step_s: int, quantum_w: int, power_mw: int = 0) -> bytes:
        """The table file; what the device refuses in it is an error in its words."""
        rows = [list(row) for row in self.rows]
        try:
            if self.kind == BY_DEMAND:
                data: bytes = table_file.encode_source(step_s, quantum_w, power_mw, rows)
            else:
                levels = self.demand_levels, self.output_levels
                data = table_file.encode(
                    step_s, quantum_w, *levels, self.kind, list(self.initial), rows
                )
            table_file.Table(data)
        except HushError as error:
            raise HushmeterError(error.message) from error
        return data


def chances_of(rows: Sequence[Sequence[int]]) -> Laws:
    """Probabilities from thresholds, row by row, exact."""
    cumulative = np.array([[0, *row, ONE] for row in rows], dtype=np.float64)
    laws: Laws = np.diff(cumulative, axis=1) / ONE
    return laws


def rounded(law: Laws) -> tuple[int, ...]:
    """The thresholds of a law, each rounded to the nearest, as the device's own code does it."""
    weights = [int(chance * 2.0**_WEIGHT_BITS) for chance in law.tolist()]
    return tuple(table_file.thresholds(weights))


def of_policy(policy: Policy) -> Rounded:
    """A policy without memory in thresholds, by difference where it depends on s - x alone.

    A row that no run reaches may be any that can be carried out; it does not force rows by state
    and demand if its neighbours on the same difference say otherwise.

    Raises
    ------
    HushmeterError
        The policy remembers its outputs, which a table cannot.
    """
    if policy.memories != 1:
        raise HushmeterError(
            f"{policy.name} remembers its draws; a table knows charge and demand only"
        )
    draws, initial = policy.draws[0], policy.initial[0]
    states, inputs, outputs = draws.shape
    by_difference = _by_difference(draws)
    kind = BY_STATE_AND_DEMAND if by_difference is None else BY_DIFFERENCE
    laws = draws.reshape(-1, outputs) if by_difference is None else by_difference
    return Rounded(
        kind, inputs, outputs, states, rounded(initial), tuple(rounded(row) for row in laws)
    )


def of_conditional(conditional: Laws) -> Rounded:
    """p(y | x), shape (levels, levels), for a second supply."""
    levels = len(conditional)
    rows = tuple(rounded(row) for row in np.tril(conditional))
    return Rounded(BY_DEMAND, levels, levels, 1, (), rows)


def _by_difference(draws: Laws) -> Laws | None:
    """Shape (states + inputs - 1, outputs); None if q is not a function of s - x."""
    states, inputs, outputs = draws.shape
    rows = np.zeros((states + inputs - 1, outputs))
    for difference in range(1 - inputs, states):
        state = np.arange(max(0, difference), min(states, inputs + difference))
        laws = draws[state, state - difference]
        if np.abs(laws - laws[0]).max() > _SAME:
            return None
        rows[difference + inputs - 1] = laws[0]
    return rows
