"""The law of a load, as a user writes it: ``0.25,0.5,0.25``, ``uniform:21``, ``binary:0.9:1``."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hushmeter.errors import HushmeterError

MOST_LEVELS = 1024
"""The alphabet that a table file can hold."""

_SUM_TOLERANCE = 1e-9
_FORMS = "a,b,c (probabilities of 0, 1, 2, ...), uniform:LEVELS, binary:P_LOW:DELTA, file:FILE"


@dataclass(frozen=True)
class Discrete:
    """A load with finitely many levels, independent from step to step.

    Attributes
    ----------
    probabilities:
        Shape (n,), not negative, sum 1.
    levels:
        Shape (n,), rising, not negative: the power of each level, in any unit.
    """

    probabilities: NDArray[np.float64]
    levels: NDArray[np.float64]

    @property
    def mean(self) -> float:
        """In the unit of the levels."""
        return float(self.probabilities @ self.levels)

    def scaled_to(self, mean: float) -> Discrete:
        """The same probabilities with levels in proportion, so that the mean is `mean`."""
        if self.mean <= 0:
            raise HushmeterError("a load that is always 0 cannot be given a mean")
        return Discrete(self.probabilities, self.levels * (mean / self.mean))

    def integer_law(self) -> NDArray[np.float64]:
        """Pr[X = 0, 1, ..., highest level]: what a battery needs, whose charge is counted.

        Raises
        ------
        HushmeterError
            A level is no whole number, or the alphabet is too large.
        """
        for level in self.levels:
            if level != int(level):
                raise HushmeterError(f"level {level:g} is no whole number; a battery counts quanta")
        if self.levels[-1] >= MOST_LEVELS:
            raise HushmeterError(
                f"the highest level is {self.levels[-1]:g}; it must be below {MOST_LEVELS}"
            )
        law = np.zeros(int(self.levels[-1]) + 1)
        law[self.levels.astype(np.int64)] = self.probabilities
        return law


@dataclass(frozen=True)
class Exponential:
    """A load with density exp(-x / mean) / mean."""

    mean: float


def discrete(probabilities: NDArray[np.float64] | list[float], what: str = "--dist") -> Discrete:
    """Levels 0, 1, 2, ... with these probabilities.

    Raises
    ------
    HushmeterError
        Fewer than two entries, one that is negative or no number, or a sum other than 1; the
        message names the entry.
    """
    law = np.asarray(probabilities, dtype=np.float64)
    if law.ndim != 1 or not 2 <= len(law) <= MOST_LEVELS:
        raise HushmeterError(
            f"{what} has {law.size} probabilities; it must have 2 to {MOST_LEVELS}"
        )
    for place, value in enumerate(law):
        if not 0 <= value <= 1:
            raise HushmeterError(
                f"{what}: the probability of {place} is {value:g}; it must be from 0 to 1"
            )
    total = math.fsum(law)
    if abs(total - 1) > _SUM_TOLERANCE:
        raise HushmeterError(f"{what}: the probabilities sum to {total:.12g}; they must sum to 1")
    return Discrete(law / total, np.arange(len(law), dtype=np.float64))


def parse(text: str, what: str = "--dist") -> Discrete | Exponential:
    """The law that a user wrote; `what` names the option in errors.

    Raises
    ------
    HushmeterError
        It is none of the forms, or a number in it is out of its range.
    """
    kind, colon, rest = text.partition(":")
    if not colon:
        chances = [_number(word, what, place) for place, word in enumerate(text.split(","))]
        return discrete(chances, what)
    if kind == "uniform":
        return _uniform(rest, what)
    if kind == "binary":
        return binary(rest, what)
    if kind == "file":
        return _from_file(Path(rest), what)
    if kind == "exponential":
        mean = _number(rest, what, 0)
        if not 0 < mean < math.inf:
            raise HushmeterError(f"{what}: the mean is {mean:g}; it must be above 0")
        return Exponential(mean)
    raise HushmeterError(f"{what} is {text!r}; it must be {_FORMS} or exponential:MEAN")


def parse_discrete(text: str, what: str = "--dist") -> Discrete:
    """As `parse`, for what needs a finite number of levels."""
    law = parse(text, what)
    if isinstance(law, Exponential):
        raise HushmeterError(f"{what} is {text!r}; a finite number of levels is needed: {_FORMS}")
    return law


def binary(text: str, what: str) -> Discrete:
    """``P_LOW:DELTA``: 0 with probability P_LOW, else DELTA."""
    words = text.split(":")
    if len(words) != 2:
        raise HushmeterError(f"{what}: binary:{text} must be binary:P_LOW:DELTA, as binary:0.9:1")
    low, delta = (_number(word, what, place) for place, word in enumerate(words))
    if not 0 <= low <= 1:
        raise HushmeterError(f"{what}: P_LOW is {low:g}; it must be from 0 to 1")
    if not 0 < delta < math.inf:
        raise HushmeterError(f"{what}: DELTA is {delta:g}; it must be above 0")
    return Discrete(np.array([low, 1 - low]), np.array([0.0, delta]))


def _from_file(path: Path, what: str) -> Discrete:
    """`probabilities` of 0, 1, 2, ... in a JSON object, as `leakage home --dist-out` writes it."""
    try:
        found = json.loads(path.read_text())["probabilities"]
        law = [float(one) for one in found]
    except OSError as error:
        raise HushmeterError(f"{what}: {path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise HushmeterError(
            f"{what}: {path} must be a JSON object with a list of numbers, probabilities"
        ) from error
    return discrete(law, f"{what}: {path}")


def _uniform(text: str, what: str) -> Discrete:
    levels = _number(text, what, 0)
    if levels != int(levels) or not 2 <= levels <= MOST_LEVELS:
        raise HushmeterError(f"{what}: uniform:{text} must have 2 to {MOST_LEVELS} whole levels")
    count = int(levels)
    return Discrete(np.full(count, 1 / count), np.arange(count, dtype=np.float64))


def _number(word: str, what: str, place: int) -> float:
    """A decimal such as 0.25 or a fraction such as 1/3."""
    try:
        value = float(Fraction(word.strip())) if "/" in word else float(word)
    except (ValueError, ZeroDivisionError, OverflowError):
        value = math.nan
    if not math.isfinite(value):
        raise HushmeterError(
            f"{what}: entry {place} is {word.strip()!r}; it must be a number such as 0.25 or 1/4"
        )
    return value
