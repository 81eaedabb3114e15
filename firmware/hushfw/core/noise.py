"""Exact noise shares: n independent shares whose sum is discrete Laplace, from integer coins only.

A share is P1 - P2, both Polya(r = 1/n, p = exp(-1/lambda)): the negative binomial with real r,
whose generating function is ((1 - p) / (1 - p t))^r. The n-fold product of that is the geometric
law's, (1 - p) / (1 - p t); so n shares sum to the difference of two independent geometric
variables, which is discrete Laplace: Pr(d) = (1 - p) / (1 + p) * p^|d|.

How one Polya variable is drawn. Draw a geometric total G and give one of n colours its part of a
Polya urn after G draws. The urn (start: 1/n of each colour; return every ball with a copy) is a
uniform random permutation of G balls whose cycles are coloured independently and uniformly. The
cycle of the first ball is uniform in 1..G long and what is left is again a uniform permutation,
so a cycle costs one draw, and there are H_G, about ln G, of them in the mean. The exponential
formula checks it: with c = 1/n,

    sum_G z^G E[t^owned | G] = exp(sum_L (c t^L + 1 - c) z^L / L) = (1 - t z)^-c (1 - z)^-(1-c)

and weighting G by (1 - p) p^G, which sets z = p, leaves ((1 - p) / (1 - p t))^c. With t for
the first colour and s for the second it leaves the product of two such functions: the parts of two
colours are independent, so one urn gives P1 and P2 at once. (If n = 1 there is but one colour.)

The coin exp(-a/b) and the geometric law made from it follow Canonne, Kamath and Steinke (2020),
"The discrete Gaussian for differential privacy", algorithms 1 and 2. Every decision compares an
exact uniform integer with an integer; nothing is rounded or cut off, so there is no error term.

Loops are unbounded but end with probability 1, with geometric tails; memory is a few integers.
The number of steps follows G and its cycles, not which of them are owned; it still says something
about the value drawn, so send at a fixed time in the slot, not when ready.

`source` is any object with below(n), an exact uniform integer in 0..n-1.
"""

from hushfw.core import pace
from hushfw.core.errors import HushError


def share(source, n, scale_num, scale_den):
    """One meter's noise in Wh when n meters count: lambda is scale_num / scale_den Wh."""
    _check_count(n)
    if n == 1:
        first = geometric(source, scale_num, scale_den)
        return first - geometric(source, scale_num, scale_den)
    first, second = split(source, geometric(source, scale_num, scale_den), n)
    return first - second


def polya(source, n, scale_num, scale_den):
    """Negative binomial with r = 1/n and p = exp(-scale_den / scale_num); geometric if n = 1."""
    _check_count(n)
    return split(source, geometric(source, scale_num, scale_den), n)[0]


def _check_count(n):
    if n < 1:
        raise HushError("bad_config", "%d noise shares; at least 1 is needed" % n)


def split(source, total, n):
    """The parts of `total` balls that fall to the first and the second of n colours in an urn."""
    below = source.below
    first = second = 0
    while total:
        pace.point()
        # One draw decides both: the quotient is what the cycle leaves over, the rest its colour.
        draw = below(n * total)
        left = draw // n
        colour = draw - left * n
        if colour == 0:
            first += total - left
        elif colour == 1:
            second += total - left
        total = left
    return first, second


def geometric(source, scale_num, scale_den):
    """Pr(g) = (1 - p) p^g for g >= 0, with p = exp(-scale_den / scale_num)."""
    if scale_num < 1 or scale_den < 1:
        raise HushError(
            "bad_config", "noise scale %d/%d; both must be at least 1" % (scale_num, scale_den)
        )
    # low + scale_num * high is geometric with p = exp(-1/scale_num); the quotient thins it.
    low = source.below(scale_num)
    while not _coin(source, low, scale_num):
        low = source.below(scale_num)
    high = 0
    while _coin(source, 1, 1):
        high += 1
    return (low + scale_num * high) // scale_den


def bernoulli_exp(source, num, den):
    """True with probability exp(-num / den), for any num >= 0 and den >= 1."""
    while num > den:
        if not _coin(source, 1, 1):
            return False
        num -= den
    return _coin(source, num, den)


def _coin(source, num, den):
    """True with probability exp(-num / den), for 0 <= num <= den.

    With x = num/den the loop ends at k with probability x^(k-1)/(k-1)! - x^k/k!; summed over the
    odd k this is the alternating series of exp(-x).
    """
    below = source.below
    k = 1
    pace.point()
    while below(den * k) < num:
        k += 1
    return k & 1 == 1
