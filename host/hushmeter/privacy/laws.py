"""The law of the noise in a street's total.

Each meter's share is the difference of two independent Polya (or gamma) variables of shape 1/n.
The sum over R meters has shape k = R/n: a difference of two negative binomials, or of two gammas.
With everybody present, k = N/n (DREAM, Theorem 2, where it is an equality).
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import signal, special, stats

from hushfw.core.bounded import BITS

_EXACT_UP_TO = 2000
"""Scale up to which the integer law is summed; above it the continuous one is equal to 1e-6."""

_FINE = 256
"""The same for bands."""

_MOST_EXPONENT = 700.0


@lru_cache(maxsize=4096)
def mean_abs_noise(scale: Fraction, shape: Fraction) -> float:
    """E|noise| of a total, in the unit of the scale.

    Parameters
    ----------
    scale:
        lambda = cap / epsilon; 0 is no noise.
    shape:
        k = R/n, meters in the total over N - M - T.

    Returns
    -------
    float
        For the integer law E|A - B| = 2 sum F(m) (1 - F(m)), A and B negative binomial with law
        F; for large scales Theorem 2's 2 lambda / B(1/2, k).
    """
    if scale == 0:
        return 0.0
    if scale > _EXACT_UP_TO:
        return float(scale) * float(2 / special.beta(0.5, float(shape)))
    p = 1 - np.exp(-1 / float(scale))
    below = stats.nbinom.cdf(np.arange(_reach(float(scale), float(shape))), float(shape), p)
    return float(2 * np.sum(below * (1 - below)))


@lru_cache(maxsize=4096)
def noise_sd(scale: Fraction, shape: Fraction) -> float:
    """Standard deviation of the noise on a total; parameters as for :func:`mean_abs_noise`."""
    if scale == 0:
        return 0.0
    ratio = math.exp(-1 / float(scale))
    return math.sqrt(2 * ratio * float(shape)) / (1 - ratio)


def noise_half_width(scale: Fraction, shape: Fraction, coverage: float = 0.95) -> float:
    """Half the width of the central band that holds the noise with this probability.

    Parameters
    ----------
    scale, shape:
        As for :func:`mean_abs_noise`; the shape of a total is at least 1.

    Returns
    -------
    float
        For the integer law the least whole number that will do; for large scales the continuous
        law's, between whole numbers, from the integer law of a smaller scale (equal to 1e-4).
    """
    if scale == 0:
        return 0.0
    fine = min(scale, Fraction(_FINE))
    inside = _inside(float(fine), float(shape))
    least = int(np.searchsorted(inside, coverage))
    if scale == fine:
        return float(least)
    if least == 0:
        return float(scale / fine * Fraction(coverage / inside[0])) / 2
    # What the integer law has at w the continuous one has from w - 1/2 to w + 1/2.
    part = (coverage - inside[least - 1]) / (inside[least] - inside[least - 1])
    return float(scale / fine) * float(least - 0.5 + part)


def delta_of_total(epsilon: float, shares: int) -> float:
    """The most that bounded shares add to the delta of one slot's total.

    Each is within 2^-64 of its exact law in total variation, so a total of that many is within
    shares 2^-64 on either of two neighbouring inputs. With tau for that distance,
    Pr'(S | D) <= Pr(S | D) + tau <= e^eps Pr(S | D') + tau <= e^eps (Pr'(S | D') + tau) + tau.

    Parameters
    ----------
    epsilon:
        Of the slot.
    shares:
        Bounded shares in the total, one a meter and lane; exact ones add nothing.
    """
    return min(1.0, (1 + math.exp(min(epsilon, _MOST_EXPONENT))) * shares * 2.0**-BITS)


def _inside(scale: float, shape: float) -> NDArray[np.float64]:
    """Pr(|noise| <= w) for w = 0, 1, ...: the integer law, summed over all its masses."""
    mass = stats.nbinom.pmf(np.arange(_reach(scale, shape)), shape, 1 - np.exp(-1 / scale))
    both = signal.fftconvolve(mass, mass[::-1])[len(mass) - 1 :]
    inside: NDArray[np.float64] = np.cumsum(both) * 2 - both[0]
    return inside


def _reach(scale: float, shape: float) -> int:
    """Beyond this a negative binomial has no mass worth counting."""
    return int(scale * (60 + 4 * shape)) + 60
