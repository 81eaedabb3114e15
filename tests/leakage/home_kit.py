"""Loads for the tests of `hushmeter leakage home`: records and files of known laws."""

import numpy as np
from click.testing import CliRunner

from hushmeter.battery.record import Record
from hushmeter.cli import main
from tests.battery.hide_kit import write_load

NEW_YEAR = 1_672_531_200
SLOW = np.array([[0.9, 0.1, 0.0], [0.05, 0.9, 0.05], [0.0, 0.2, 0.8]])
"""A chain that stays where it is for long."""


def record(watts, step_s=60, missing=(), home="home"):
    """A record of these watts, without a file."""
    gone = np.zeros(len(watts), dtype=np.bool_)
    gone[list(missing)] = True
    demand = np.where(gone, 0, np.asarray(watts, dtype=np.int64))
    return Record("made up", home, NEW_YEAR, step_s, step_s, demand, gone, 0)


def walk(transitions, steps, seed):
    """A run of a chain: its state at each step."""
    uniform = np.random.default_rng(seed).random(steps)
    sums = np.cumsum(transitions, axis=1)
    state, path = 0, np.empty(steps, dtype=np.int64)
    for step in range(steps):
        state = min(int(np.searchsorted(sums[state], uniform[step])), len(sums) - 1)
        path[step] = state
    return path


def leakage_home(load, *arguments):
    """The result of the command."""
    return CliRunner().invoke(main, ["leakage", "home", "--load", str(load), *map(str, arguments)])


__all__ = ["NEW_YEAR", "SLOW", "leakage_home", "record", "walk", "write_load"]
