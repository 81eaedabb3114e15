"""The error of totals over random clusters: Table 1 of the DREAM paper.

A cluster is N homes drawn at random, without replacement where there are more homes than that. In
each slot the aggregator gets the total and the noise of N shares; the error is that of the paper's
Definition 2, |total - X| / (X + 1) with X in Wh.

    faithful   shares of shape 1/(N - M), lambda = the slot's largest reading / epsilon, gamma
               noise in 2^-16 Wh
    hardened   shares of shape 1/(N - M - T), lambda = cap / epsilon, readings clipped to the cap,
               Polya noise in Wh

M is alpha N, rounded. Theorem 2 says what the error is when all report, clipping apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import sqrt

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from hushmeter.privacy import sampler
from hushmeter.privacy.population import Protocol
from hushmeter.study.dream_homes import Homes

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

MODES = ("faithful", "hardened")
FRACTION_BITS = 16
COVERAGE = 0.95


@dataclass(frozen=True)
class Settings:
    """What all clusters have in common; `colluders` is T of the hardened mode."""

    seed: int
    epsilon: Fraction
    cap_wh: int
    colluders: int

    def protocol(self, members: int, alpha: float, mode: str) -> Protocol:
        """The street that a cluster is. The faithful mode has no cap of its own; its M is the
        paper's."""
        missing = round(alpha * members)
        if mode == "faithful":
            return Protocol(members, missing, 0, (self.cap_wh,), self.epsilon, FRACTION_BITS)
        return Protocol(members, missing, self.colluders, (self.cap_wh,), self.epsilon)


@dataclass(frozen=True)
class Row:
    """One cell of Table 1.

    Attributes
    ----------
    mean_error, sd_error:
        Of the clusters' slot-averaged drawn errors.
    interval:
        Of the mean over all clusters, 95 %.
    theory_error:
        Theorem 2's mu, averaged likewise over the same clusters.
    theory_sigma:
        Its sigma: the spread of one slot's error, which `sd_error` is not.
    clip_error:
        The part of clipping alone, |clipped - X| / (X + 1).
    is_unsplittable:
        2 M + T < N: whether a hardened roster with these numbers is accepted.
    """

    n: int
    alpha: float
    mode: str
    mean_error: float
    sd_error: float
    interval: tuple[float, float]
    theory_error: float
    theory_sigma: float
    clip_error: float
    missing: int
    colluders: int
    is_unsplittable: bool
    clusters: int


def members_of(homes: Homes, size: int, seed: int, number: int) -> Integers:
    """How often each home is in cluster `number` of this size, shape (homes,)."""
    random = np.random.default_rng([seed, size, number])
    if size < homes.count:
        drawn = random.choice(homes.count, size, replace=False)
    else:
        drawn = random.integers(0, homes.count, size)
    counts: Integers = np.bincount(drawn, minlength=homes.count).astype(np.int64)
    return counts


def theorem_2(shape: float) -> tuple[float, float]:
    """(mu, sigma) in units of lambda / (X + 1), when N shares of shape 1/n add up to N/n."""
    mean = 2 / special.beta(0.5, shape)
    return float(mean), sqrt(2 * shape - mean**2)


Work = tuple[int, tuple[float, ...], int, int, Settings]
"""Size, alphas, first cluster and the one after the last."""


def measured(homes: Homes, work: Work) -> Floats:
    """Of each cluster, alpha and mode: drawn error, mu, sigma, clip error; mean over the slots.

    Shape (clusters, alphas, modes, 4). Depends on nothing but its arguments.
    """
    size, alphas, first, end, settings = work
    out = np.empty((end - first, len(alphas), len(MODES), 4))
    for number in range(first, end):
        counts = members_of(homes, size, settings.seed, number)
        street = _Cluster(homes, counts, settings)
        for a, alpha in enumerate(alphas):
            for m, mode in enumerate(MODES):
                protocol = settings.protocol(size, alpha, mode)
                stream = sampler.Stream(
                    "dream", settings.seed, size, number, repr(alpha), mode
                )  # fmt: skip
                out[number - first, a, m] = street.errors(protocol, mode, stream)
    return out


class _Cluster:
    """One cluster's slots."""

    def __init__(self, homes: Homes, counts: Integers, settings: Settings) -> None:
        chosen = counts > 0
        readings, weights = homes.readings_wh[chosen], counts[chosen]
        self._total_wh = weights @ readings
        self._clipped_wh = weights @ np.minimum(readings, settings.cap_wh)
        self._largest_wh = readings.max(axis=0)
        self._members = int(counts.sum())

    def errors(self, protocol: Protocol, mode: str, stream: sampler.Tape) -> tuple[float, ...]:
        faithful = mode == "faithful"
        sum_wh = self._total_wh if faithful else self._clipped_wh
        bounds_wh = self._largest_wh if faithful else np.full_like(sum_wh, protocol.caps_wh[0])
        scales = np.empty((len(sum_wh), 2), dtype=np.int64)
        scales[:, 0] = (bounds_wh << protocol.fraction_bits) * protocol.epsilon.denominator
        scales[:, 1] = protocol.epsilon.numerator
        reporters = np.full(len(sum_wh), self._members)
        noise = sampler.draw(stream, reporters, protocol.noise_shape, scales)
        missed_wh = sum_wh - self._total_wh
        drawn_wh = np.abs(missed_wh + noise / 2.0**protocol.fraction_bits)
        relative = 1 / (self._total_wh + 1)
        mu, sigma = theorem_2(self._members / protocol.noise_shape)
        unit = float((bounds_wh * relative).mean()) / float(protocol.epsilon)
        clip = float((np.abs(missed_wh) * relative).mean())
        return float((drawn_wh * relative).mean()), mu * unit, sigma * unit, clip


def rows_of(size: int, alphas: tuple[float, ...], found: Floats, settings: Settings) -> list[Row]:
    """The rows of one size, from `measured` over all clusters."""
    clusters = len(found)
    spread = float(stats.t.ppf((1 + COVERAGE) / 2, max(1, clusters - 1))) / sqrt(clusters)
    rows = []
    for a, alpha in enumerate(alphas):
        for m, mode in enumerate(MODES):
            drawn, mu, sigma, clip = found[:, a, m].T
            sd = float(drawn.std(ddof=1)) if clusters > 1 else 0.0
            mean = float(drawn.mean())
            protocol = settings.protocol(size, alpha, mode)
            rows.append(
                Row(
                    size, alpha, mode, mean, sd, (mean - spread * sd, mean + spread * sd),
                    float(mu.mean()), float(sigma.mean()), float(clip.mean()),
                    protocol.missing, protocol.colluders, protocol.is_unsplittable, clusters,
                )
            )  # fmt: skip
    return rows
