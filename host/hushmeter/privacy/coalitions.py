"""Epsilon as it is, for those who know some of the shares: computed from exact laws.

Whoever knows the shares of t meters, and sees a total that m meters are missing from, is left with
the noise of H = N - m - t shares of shape 1/n: A - B, both negative binomial of shape k = H/n and
p = exp(-1/lambda). By convolution

    Pr(d) = (1 - p)^2k p^|d| h(|d|)      h(d) = sum_j a_j a_(j+d) p^2j      a_j = C(k + j - 1, j)

A home's reading moves the total by up to c = cap, so its epsilon is the largest of

    ln Pr(d) - ln Pr(d + c) = (|d + c| - |d|) / lambda + ln h(|d|) - ln h(|d + c|).

For k >= 1 the a_j never fall, so h never falls, and no ratio exceeds c / lambda, the nominal
epsilon: n = N - M - T is enough as long as m <= M and t <= T. For k < 1 they fall, and it does:
the law has too sharp a peak. Smaller moves than c give smaller ratios in both cases.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from hushmeter.errors import HushmeterError

Floats = NDArray[np.float64]

CAP_WH = 500
"""A cap at which laws are summed by default: epsilon hardly depends on it."""
_SCALES = 25
"""How many scales the sums go on for: what is left out is below 1e-18 of them."""
_SEEN = 30
"""How many scales from 0 ratios are looked for; beyond they only come nearer to nominal."""
_MOST_SCALE = 20_000


@dataclass(frozen=True)
class Coalition:
    """What a coalition faces.

    Attributes
    ----------
    members, missing_bound, colluding_bound:
        N, M and T, as the meters believe.
    missing, colluding:
        Silent meters, and those whose shares are known, as they are.
    nominal, measured:
        Epsilon.
    """

    members: int
    missing_bound: int
    colluding_bound: int
    missing: int
    colluding: int
    nominal: float
    measured: float

    @property
    def shape(self) -> float:
        """k = H/n."""
        left = self.members - self.missing - self.colluding
        return left / (self.members - self.missing_bound - self.colluding_bound)

    @property
    def is_within_bounds(self) -> bool:
        """No more are silent, and no more collude, than the noise was made for."""
        return self.missing <= self.missing_bound and self.colluding <= self.colluding_bound


def faced_by(  # noqa: PLR0913
    members: int,
    missing_bound: int,
    colluding_bound: int,
    missing: int,
    colluding: int,
    epsilon: Fraction = Fraction(1),
    cap_wh: int = CAP_WH,
) -> Coalition:
    """Epsilon of a home against those who know `colluding` shares while `missing` are silent.

    Raises
    ------
    HushmeterError
        Nobody is left, or the scale cap / epsilon is too large to be summed.
    """
    n = members - missing_bound - colluding_bound
    left = members - missing - colluding
    if min(n, left) < 1:
        raise HushmeterError(f"{n} and {left} shares are left; at least one must be")
    measured = measured_epsilon(Fraction(cap_wh) / epsilon, cap_wh, Fraction(left, n))
    return Coalition(
        members, missing_bound, colluding_bound, missing, colluding, float(epsilon), measured
    )


def measured_epsilon(scale: Fraction, cap_wh: int, shape: Fraction) -> float:
    """The largest |ln Pr(d) - ln Pr(d + cap)| over all d within 30 scales."""
    slope = 1 / float(scale)
    reach = int(_SEEN * scale) + cap_wh + 2
    logarithm = np.log(peaks(scale, shape, reach))
    # For every d there is its mirror image -d - cap with the opposite sign: half of them will do.
    d = np.arange(-(cap_wh // 2), reach - cap_wh)
    near, far = np.abs(d), np.abs(d + cap_wh)
    ratios = (far - near) * slope + logarithm[near] - logarithm[far]
    return float(np.abs(ratios).max())


def peaks(scale: Fraction, shape: Fraction, count: int) -> Floats:
    """h(0), ..., h(count - 1), to about 1e-12 of each: they are of one size, p^|d| being apart."""
    if not 0 < scale <= _MOST_SCALE:
        raise HushmeterError(f"a scale of {float(scale):g}; laws are summed up to {_MOST_SCALE}")
    terms = int(_SCALES * scale) + 40
    steps = np.arange(1, terms + count, dtype=np.float64)
    chances = np.concatenate([[1.0], np.cumprod((float(shape) - 1 + steps) / steps)])
    weighted = chances[:terms] * np.exp(-2 * np.arange(terms) / float(scale))
    found: Floats = signal.fftconvolve(chances[: terms + count - 1], weighted[::-1], "valid")
    return found


def law(scale: Fraction, shape: Fraction, count: int) -> Floats:
    """Pr(0), ..., Pr(count - 1) of the noise that is left."""
    p_log = -1 / float(scale)
    front = 2 * float(shape) * np.log(-np.expm1(p_log))
    found: Floats = np.exp(front + p_log * np.arange(count)) * peaks(scale, shape, count)
    return found
