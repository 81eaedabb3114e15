"""The law of the noise in a street's total.

Each meter's share is the difference of two independent Polya (or gamma) variables of shape 1/n.
The sum over R meters has shape k = R/n: a difference of two negative binomials, or of two gammas.
With everybody present, k = N/n (DREAM, Theorem 2, where it is an equality).
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache

import numpy as np
from scipy import optimize, special, stats

_EXACT_UP_TO = 2000
"""Scale up to which the integer law is summed; above it the continuous one is equal to 1e-6."""


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
    most = int(float(scale) * (60 + 4 * float(shape))) + 60
    below = stats.nbinom.cdf(np.arange(most), float(shape), p)
    return float(2 * np.sum(below * (1 - below)))


@lru_cache(maxsize=4096)
def noise_half_width(scale: Fraction, shape: Fraction, coverage: float = 0.95) -> float:
    """Half the width of the central band that holds the noise with this probability.

    The continuous law's density at x > 0 is, for lambda = 1,
    x^(k-1/2) K_(k-1/2)(x) / (sqrt(pi) Gamma(k) 2^(k-1/2)); its integral is inverted.
    """
    if scale == 0:
        return 0.0
    k = float(shape)
    return float(scale) * float(
        optimize.brentq(lambda x: _inside(x, k) - coverage, 1e-9, 60 + 10 * k)
    )


def _inside(x: float, k: float) -> float:
    """Pr(|noise| <= x) for lambda = 1: the mean over A ~ Gamma(k) of F(A + x) - F(A - x)."""
    nodes, weights = _quantile_nodes()
    a = special.gammaincinv(k, nodes)
    upper = special.gammainc(k, a + x)
    lower = special.gammainc(k, np.maximum(a - x, 0))
    return float(np.sum(weights * (upper - lower)))


@lru_cache(maxsize=1)
def _quantile_nodes() -> tuple[np.ndarray, np.ndarray]:
    nodes, weights = np.polynomial.legendre.leggauss(400)
    return (nodes + 1) / 2, weights / 2
