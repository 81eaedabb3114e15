"""Modular powers: gmpy2's where it is installed, else Python's.

With gmpy2 they are a few times faster, and ``powmod_sec`` takes the same time whatever a secret
exponent is; without it the time depends on the numbers.
"""

try:
    from gmpy2 import powmod, powmod_sec
except ImportError:  # pragma: no cover - depends on what is installed
    powmod = powmod_sec = pow

__all__ = ["powmod", "powmod_sec"]
