"""Gamma noise shares in fixed point: the faithful mode of the paper's Laplace noise.

A share is G1 - G2, both Gamma(shape 1/n, scale lambda), in units of u = 2^-fraction_bits Wh; n
shares sum to Laplace(lambda).

Idea. X ~ Exponential(lambda) times the part of a unit stick that falls to one of n colours is
Gamma(1/n, lambda), if the stick is broken at uniform places, M' = U M, again and again, and every
piece gets a uniform colour (the Dirichlet(1/n, ..., 1/n) law by its stick breaking). In units of
u, floor(X) is exactly geometric, and m' = floor(U m) is uniform in 0..m-1: the breaking on
integers is the Polya draw of `noise` for the scale lambda / u. No logarithm, no table, no float.

Error, both breakings run on the same X, U and colours. Let D = M - m be what is left of the true
stick less what is left of ours. It starts in [0, 1), and D' = U D + f with f = frac(U m), which
has mean 1/2; so over K pieces the D add up in the mean to at most E K + 2 - 2 E D_K. A piece is
off by |D - D'| <= (1 - U) D + f, all of them and the unbroken end D_K by at most E K + 1 in the
mean. E K = -ln(1 - p) <= ln(lambda/u) + 1/2, and a colour owns one piece in n. Hence for
lambda >= u

    E |drawn - true Gamma variable| < u (ln(lambda/u) + 2) / n    and twice that for a share,

7e-6 Wh for n = 100, lambda = 3000 Wh, u = 2^-16 Wh. The sum of n shares has the law of
floor(X1) - floor(X2): less than u away from a Laplace(lambda) variable. A draw is 0 with
probability (1 - p)^(1/n), as a true one is below u: often, at large n.
"""

from hushfw.core import noise
from hushfw.core.errors import HushError


def share(source, n, scale_num, scale_den, fraction_bits):
    """One meter's noise in 2^-fraction_bits Wh: lambda is scale_num / scale_den Wh."""
    if fraction_bits < 0:
        raise HushError("bad_config", "%d fraction bits; at least 0 is needed" % fraction_bits)
    return noise.share(source, n, scale_num << fraction_bits, scale_den)
