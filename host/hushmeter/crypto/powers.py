"""Modular arithmetic: gmpy2's where it is installed, else Python's.

With gmpy2 powers are a few times faster, and ``powmod_sec`` takes the same time whatever a secret
exponent is; without it the time depends on the numbers. ``whole`` makes the integers that are quick
here out of Python's.
"""

from math import gcd as _gcd

try:
    from gmpy2 import gcd, invert, powmod, powmod_sec
    from gmpy2 import mpz as whole
except ImportError:  # pragma: no cover - depends on what is installed
    powmod = powmod_sec = pow
    whole = int
    gcd = _gcd

    def invert(x: int, modulus: int) -> int:
        """The inverse of x; as gmpy2, ZeroDivisionError where there is none."""
        try:
            return pow(x, -1, modulus)
        except ValueError:
            raise ZeroDivisionError("a number has no inverse") from None


__all__ = ["gcd", "invert", "powmod", "powmod_sec", "whole"]
