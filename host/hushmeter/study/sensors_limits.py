"""Limits of percentage error of IEC 62053-21, for a simulated error curve to be set beside.

Table 6 of IEC 62053-21:2003, direct connected meters, single phase or balanced, class 1 and 2:

    current                  power factor      class 1   class 2
    0.05 Ib <= I < 0.1 Ib    1                  1.5       2.5
    0.1 Ib  <= I <= Imax     1                  1.0       2.0
    0.1 Ib  <= I < 0.2 Ib    0.5 inductive      1.5       2.5
                             0.8 capacitive     1.5       none
    0.2 Ib  <= I <= Imax     0.5 inductive      1.0       2.0
                             0.8 capacitive     1.0       none

For other power factors, and for smaller or larger currents, the table has no limit. (At a user's
special request it has one for class 1 at 0.25 inductive and 0.5 capacitive; that is left out.)

Assumed here: a home's meter for 10(100) A at 230 V, so Ib = 10 A and Imax = 100 A. The standard
tests a meter for both directions of energy with the same limits. That a curve of a simulation
stays within them is no test of a meter, let alone a certificate.
"""

from __future__ import annotations

STANDARD = "IEC 62053-21:2003, Table 6"
VOLTAGE_V = 230.0
BASIC_A = 10.0
MAXIMUM_A = 100.0
ASSUMED = f"{BASIC_A:.0f}({MAXIMUM_A:.0f}) A at {VOLTAGE_V:.0f} V"

_NEAR = 1e-6

Limits = tuple[float | None, float | None]
"""Of class 1 and of class 2, percent either way; None where there is none."""


def current_a(watts: float, power_factor: float) -> float:
    """RMS current of a load at the nominal voltage."""
    return abs(watts) / (VOLTAGE_V * abs(power_factor))


def limits(watts: float, power_factor: float) -> Limits:
    """Limits at a load; a power factor below 0 means capacitive.

    >>> limits(2300, 1.0), limits(2300, 0.5), limits(2300, -0.8), limits(50, 1.0)
    ((1.0, 2.0), (1.0, 2.0), (1.0, None), (None, None))
    """
    share = current_a(watts, power_factor) / BASIC_A
    if share > MAXIMUM_A / BASIC_A + _NEAR:
        return None, None
    if abs(power_factor - 1) < _NEAR:
        return _from(share, 0.05, 0.1, (1.5, 2.5), (1.0, 2.0))
    if abs(power_factor - 0.5) < _NEAR:
        return _from(share, 0.1, 0.2, (1.5, 2.5), (1.0, 2.0))
    if abs(power_factor + 0.8) < _NEAR:
        return _from(share, 0.1, 0.2, (1.5, None), (1.0, None))
    return None, None


def _from(share: float, least: float, full: float, low: Limits, high: Limits) -> Limits:
    if share < least - _NEAR:
        return None, None
    return low if share < full - _NEAR else high
