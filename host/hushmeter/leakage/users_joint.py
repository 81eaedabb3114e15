"""Users whose loads depend on each other: one vector load, one source (the paper's Theorem 1).

    load = read(Path("joint.csv"))      # a row: each user's load, then the probability
    point = solve(load, power=0.5)      # least I(X;Y) with 0 <= Y_i <= X_i, sum E[X_i - Y_i] <= P

**Outputs.** Theorem 2 raises each Y_i to the next level of user i. More can be said: whatever Y = y
can come from lies above y in every component, hence above the componentwise minimum of all such X;
raising y to that minimum is a function of y, keeps Y <= X, and draws less. So the outputs are the
minima of sets of vectors that occur, which may be vectors that do not occur themselves.

Solved by interior points (:mod:`hushmeter.leakage.power_interior`); the vectors are no chain, so
isotonic regression does not apply, and I(P) may have straight pieces.
"""

from __future__ import annotations

import csv
import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hushmeter.errors import HushmeterError
from hushmeter.leakage import power_interior as interior
from hushmeter.leakage.distributions import Discrete
from hushmeter.leakage.entropies import NATS_TO_BITS, entropy, mutual_information
from hushmeter.leakage.power import NOTHING, PEAK_GAP_NATS, check_peak, check_power, rounding_bits

Floats = NDArray[np.float64]

MOST_VECTORS = 1024
"""Of the load, and of the meters' readings."""
_SUM_TOLERANCE = 1e-9
_FORMAT = "a row is the load of each user and then the probability, as 0,1.5,0.25"


@dataclass(frozen=True)
class JointLoad:
    """The loads of several users in a step.

    Attributes
    ----------
    vectors:
        Shape (vectors, users), not negative, each once.
    probabilities:
        Shape (vectors,), above 0, sum 1.
    """

    vectors: Floats
    probabilities: Floats

    @property
    def mean(self) -> float:
        """Of the sum over users."""
        return float(self.probabilities @ self.vectors.sum(1))


@dataclass(frozen=True)
class JointPoint:
    """The least leakage of a vector load with a shared source.

    Attributes
    ----------
    total, lower, upper:
        Bits a step: I(X;Y) of all loads and all readings.
    per_user:
        I(X_i;Y), what all readings together tell of one user; they need not add up to the total.
    allocation:
        Mean power that each user gets.
    outputs:
        Shape (outputs, users): the readings that occur.
    conditional:
        Shape (vectors, outputs): p(y | x).
    slope:
        -dI/dP, nats per unit of power.
    """

    total: float
    lower: float
    upper: float
    per_user: tuple[float, ...]
    allocation: tuple[float, ...]
    outputs: Floats
    conditional: Floats
    slope: float
    iterations: int
    seconds: float


def joint(vectors: Floats, probabilities: Floats, what: str = "the joint law") -> JointLoad:
    """A checked vector load, without what has probability 0.

    Raises
    ------
    HushmeterError
        A load or a probability is negative or no number, a vector is there twice, or the sum is
        not 1; the message names the row.
    """
    for row, (vector, probability) in enumerate(zip(vectors, probabilities, strict=True), 1):
        if not (np.isfinite(vector).all() and np.all(vector >= 0)):
            raise HushmeterError(f"{what}: row {row} has a load that is negative or no number")
        if not 0 <= probability <= 1:
            raise HushmeterError(
                f"{what}: the probability of row {row} is {probability:g}; it must be from 0 to 1"
            )
    total = math.fsum(probabilities)
    if abs(total - 1) > _SUM_TOLERANCE:
        raise HushmeterError(f"{what}: the probabilities sum to {total:.12g}; they must sum to 1")
    if len(np.unique(vectors, axis=0)) != len(vectors):
        raise HushmeterError(f"{what}: the same loads are there twice; add their probabilities up")
    kept = probabilities > 0
    if kept.sum() > MOST_VECTORS:
        raise HushmeterError(f"{what} has {kept.sum()} rows; at most {MOST_VECTORS} can be solved")
    return JointLoad(vectors[kept], probabilities[kept] / total)


def independent(loads: list[Discrete]) -> JointLoad:
    """The vector load of users who have nothing to do with each other."""
    places = np.indices([len(load.levels) for load in loads]).reshape(len(loads), -1)
    pairs = list(zip(loads, places, strict=True))
    vectors = np.stack([load.levels[place] for load, place in pairs], axis=1)
    masses = np.prod([load.probabilities[place] for load, place in pairs], axis=0)
    return joint(vectors, masses)


def read(path: Path) -> JointLoad:
    """A vector load from a CSV file, with or without a line of names.

    Raises
    ------
    HushmeterError
        The file cannot be read, or a row is not as it must be.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            lines = [row for row in csv.reader(file) if any(cell.strip() for cell in row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no CSV text"
        raise HushmeterError(f"{path} cannot be read: {reason}") from error
    numbers = [_numbers(line) for line in lines]
    if numbers and numbers[0] is None:
        numbers = numbers[1:]
    width = len(numbers[0]) if numbers and numbers[0] else 0
    for row, values in enumerate(numbers, 1):
        if values is None or len(values) != width or width < 2:
            raise HushmeterError(f"{path}: row {row} does not fit; {_FORMAT}")
    if not numbers:
        raise HushmeterError(f"{path} has no rows; {_FORMAT}")
    table = np.array(numbers, dtype=np.float64)
    return joint(table[:, :-1], table[:, -1], str(path))


def solve(load: JointLoad, power: float, peak: float | None = None) -> JointPoint:
    """The least leakage with `power` on average, and `peak` at most in a step, for all together.

    Raises
    ------
    HushmeterError
        The power or peak is out of its range, or there are too many possible readings.
    """
    check_peak(peak)
    power = check_power(power, load.mean, "the sum of the means")
    began = time.perf_counter()
    outputs = readings(load)
    law, vectors = load.probabilities, load.vectors
    fits = np.all(vectors[:, None, :] >= outputs[None, :, :], axis=2)
    apart = vectors.sum(1)[:, None] - outputs.sum(1)[None, :]
    # The two sums of equal vectors are equal bit for bit, so a vector's own reading costs 0.
    if peak is not None:
        fits &= apart <= peak + 1e-12 * max(float(apart.max()), 1e-300)
    span = float(apart[fits].max())
    if span == 0 or power <= NOTHING * span or len(law) == 1:
        policy = ((apart == 0) & fits).astype(np.float64)
        leakage = bound = entropy(law)
        slope = math.inf if span and len(law) > 1 else 0.0
        steps = 0
    else:
        costs = np.where(fits, apart / span, np.inf)
        policy, nats, _, dual, slope, steps = interior.solve(
            law, costs, power / span, PEAK_GAP_NATS
        )
        leakage, bound, slope = nats * NATS_TO_BITS, dual * NATS_TO_BITS, slope / span
    leakage = max(0.0, leakage)
    rounding = rounding_bits(max(policy.shape))
    given = np.array([law @ (policy @ outputs[:, user]) for user in range(vectors.shape[1])])
    return JointPoint(
        total=leakage,
        lower=min(leakage, max(0.0, bound - rounding)),
        upper=leakage + rounding,
        per_user=tuple(_about(load, policy, user) for user in range(vectors.shape[1])),
        allocation=tuple(float(value) for value in law @ vectors - given),
        outputs=outputs,
        conditional=policy,
        slope=float(slope),
        iterations=steps,
        seconds=time.perf_counter() - began,
    )


def readings(load: JointLoad) -> Floats:
    """The vectors that are componentwise minima of vectors of the load; shape (outputs, users).

    Raises
    ------
    HushmeterError
        There are more than can be solved.
    """
    found = {tuple(vector) for vector in load.vectors}
    fresh = set(found)
    while fresh:
        met = np.array(sorted(fresh))[:, None, :], load.vectors[None, :, :]
        lower = np.unique(np.minimum(*met).reshape(-1, load.vectors.shape[1]), axis=0)
        fresh = {tuple(vector) for vector in lower} - found
        found |= fresh
        if len(found) > MOST_VECTORS:
            raise HushmeterError(
                f"these loads can lead to more than {MOST_VECTORS} different readings",
                hint="give fewer users or fewer levels, or treat users as independent",
            )
    return np.array(sorted(found))


def _about(load: JointLoad, policy: Floats, user: int) -> float:
    """I(X_i;Y) in bits."""
    levels, place = np.unique(load.vectors[:, user], return_inverse=True)
    law = np.zeros((len(levels), policy.shape[1]))
    np.add.at(law, place, load.probabilities[:, None] * policy)
    return max(0.0, mutual_information(law))


def _numbers(cells: list[str]) -> list[float] | None:
    try:
        return [float(cell) for cell in cells]
    except ValueError:
        return None
