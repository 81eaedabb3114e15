"""A load whose next level depends on the present one, and the file that holds it."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from hushmeter.errors import HushmeterError

MOST_STATES = 64
MOST_LEVEL = 1023

_SUM_TOLERANCE = 1e-9
_FORM = 'a file such as {"levels": [0, 1], "transition": [[0.9, 0.1], [0.2, 0.8]]}'


@dataclass(frozen=True)
class MarkovLoad:
    """An irreducible chain on levels.

    Attributes
    ----------
    levels:
        Shape (n,): whole numbers of quanta, rising.
    transition:
        Shape (n, n): Q(x, x') = Pr(next is x' | now x), rows sum to 1.
    """

    levels: NDArray[np.int64]
    transition: NDArray[np.float64]

    def stationary(self) -> NDArray[np.float64]:
        """Shape (n,): the part of the time at each level."""
        n = len(self.levels)
        equations = np.vstack([self.transition.T - np.eye(n), np.ones(n)])
        law = np.linalg.lstsq(equations, np.append(np.zeros(n), 1.0), rcond=None)[0]
        law = np.maximum(law, 0.0)
        return np.asarray(law / law.sum())


def read(path: Path) -> MarkovLoad:
    """The load in a JSON file with ``transition`` and, if they are not 0, 1, 2, ..., ``levels``.

    Raises
    ------
    HushmeterError
        The file cannot be read, is no JSON object, or an entry is out of its range.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise HushmeterError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise HushmeterError(f"{path} is no JSON: {error}", f"it must be {_FORM}") from error
    if not isinstance(found, dict) or not isinstance(found.get("transition"), list):
        raise HushmeterError(f"{path} has no list named transition", f"it must be {_FORM}")
    unknown = sorted(set(found) - {"transition", "levels"})
    if unknown:
        raise HushmeterError(f"{path} has an entry {unknown[0]!r}", f"it must be {_FORM}")
    return markov_load(found["transition"], found.get("levels"), str(path))


def markov_load(transition: Any, levels: Any = None, what: str = "the chain") -> MarkovLoad:
    """A load from lists of numbers; levels are 0, 1, 2, ... unless given.

    Raises
    ------
    HushmeterError
        An entry is no number or out of its range, a row does not sum to 1, or some level is never
        reached again from another; the message names the entry.
    """
    rows = list(transition)
    if not 2 <= len(rows) <= MOST_STATES:
        raise HushmeterError(f"{what}: {len(rows)} rows in transition; it must have 2 to 64")
    matrix = np.array([_row(row, place, len(rows), what) for place, row in enumerate(rows)])
    found = _levels(range(len(rows)) if levels is None else levels, len(rows), what)
    count, label = connected_components(matrix > 0, connection="strong")
    if count > 1:
        other = int(np.flatnonzero(label != label[0])[0])
        raise HushmeterError(
            f"{what}: rows 0 and {other} of transition do not lead to each other; every level "
            "must be reached again from every other"
        )
    return MarkovLoad(found, matrix)


def _row(row: Any, place: int, length: int, what: str) -> NDArray[np.float64]:
    where = f"{what}: transition row {place}"
    if not isinstance(row, list | tuple | np.ndarray) or len(row) != length:
        raise HushmeterError(f"{where} must be a list of {length} probabilities")
    for column, value in enumerate(row):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 0 <= value <= 1:
            raise HushmeterError(
                f"{where}, column {column} is {value!r}; it must be a probability from 0 to 1"
            )
    total = math.fsum(row)
    if abs(total - 1) > _SUM_TOLERANCE:
        raise HushmeterError(f"{where} sums to {total:.12g}; it must sum to 1")
    return np.asarray(row, dtype=np.float64) / total


def _levels(levels: Any, length: int, what: str) -> NDArray[np.int64]:
    if not isinstance(levels, list | tuple | range | np.ndarray) or len(levels) != length:
        raise HushmeterError(f"{what}: levels must be a list of {length} whole numbers")
    for place, value in enumerate(levels):
        number = isinstance(value, int | float | np.integer) and not isinstance(value, bool)
        if not number or value != int(value) or not 0 <= value <= MOST_LEVEL:
            raise HushmeterError(
                f"{what}: level {place} is {value!r}; it must be a whole number of quanta, "
                f"0 to {MOST_LEVEL}"
            )
        if place and value <= levels[place - 1]:
            raise HushmeterError(
                f"{what}: level {place} is {value:g}, after {levels[place - 1]:g}; levels must rise"
            )
    return np.array([int(value) for value in levels], dtype=np.int64)
