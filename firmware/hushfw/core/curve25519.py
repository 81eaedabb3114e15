"""The group of Curve25519, in the two forms that `x25519` and `ed25519` need.

    ladder(scalar32, u)                 u-coordinate of a multiple on the Montgomery curve
    sum_of_multiples(two_d, *terms)     on the Edwards curve; a term is (scalar as bytes, point)
    high_power(x)                       (x^(2^250 - 1), x^11), for inverses and square roots

`curve_integers` is the reference; `curve_programs` is used where `field` has a fast machine. A
point of the Edwards curve is (X, Y, Z, T): x = X/Z, y = Y/Z, T = XY/Z.
"""

from hushfw.core.field import FAST, P

if FAST:
    from hushfw.core.curve_programs import high_power, ladder, sum_of_multiples
else:
    from hushfw.core.curve_integers import high_power, ladder, sum_of_multiples

__all__ = ["P", "high_power", "inverse", "ladder", "sum_of_multiples"]


def inverse(x):
    """x^(p-2) mod p, p - 2 = 2^5 (2^250 - 1) + 11; 0 for 0."""
    f250, x11 = high_power(x)
    return pow(f250, 32, P) * x11 % P
