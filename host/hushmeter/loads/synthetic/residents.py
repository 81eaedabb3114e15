"""How many residents are at home and awake: a Markov chain by time of day for each of them.

A resident is asleep, active (at home and awake) or out; every ten minutes he may wake, go to sleep,
leave or return, with probabilities that depend on the time of day, on weekday or weekend, and on
whether he goes out to work or school on weekdays. The idea of active occupancy as a chain in steps
of ten minutes is that of Richardson, Thomson, Infield, "A high-resolution domestic building
occupancy model for energy demand simulations", Energy and Buildings 40 (2008) 1560-1566; theirs has
a matrix for every number of residents and time, estimated from the UK Time Use Survey 2000. Here a
dozen parameters, fitted by least squares to the active share by time of day of that survey as
published with the model (error 0.04 on weekdays and 0.05 at weekends, root mean square over homes
of 1 to 5 and the day), stand for all of them. The residents of a home keep the same hours, shifted
by up to an hour or so against others'.
"""

import numpy as np
from numpy.typing import NDArray

from hushmeter.loads.synthetic.activities import SLOTS, Activity, bump, hours, shares

ASLEEP, ACTIVE, OUT = 0, 1, 2
MOST_RESIDENTS = 5
HOUSEHOLD_SHARES = (0.30, 0.34, 0.16, 0.13, 0.07)
"""Homes of 1 to 5 residents. One-person homes are 30 % (Census 2021, England and Wales), the mean
is 2.3 (2.36 in England in 2011; here six count as five); the split of the rest is unchecked."""
WORKER_SHARES = (0.47, 0.64, 0.90, 0.98, 0.98)
"""Residents who are out to work or school on weekdays, by the size of the home. Fitted."""
SHIFT_SLOTS = 3.0
"""Standard deviation of a home's hours, in slots."""

_TRIP = (0.044, 0.056)
_HOME_AGAIN = 0.060
"""Leaving for shopping and the like in the daytime, and coming home from it, each ten minutes."""


def _rise(middle_h: float, width_h: float, clock_h: NDArray[np.float64]) -> NDArray[np.float64]:
    rise: NDArray[np.float64] = 1 / (1 + np.exp((middle_h - clock_h) / width_h))
    return rise


def hazards() -> NDArray[np.float64]:
    """Probabilities a slot, shape (2, 2, 4, 144).

    The axes: weekday or weekend; stays at home or works; waking, going to sleep, leaving,
    returning; slot. The night until 4:00 belongs to the day before, which the caller sees to.
    """
    clock = hours()
    late = np.where(clock < 4, clock + 24, clock)
    table = np.zeros((2, 2, 4, SLOTS))
    for weekend, (wake, sleep) in enumerate(
        (((0.25, 7.50, 0.51), (0.33, 23.66, 1.12)), ((0.35, 8.30, 0.54), (0.18, 22.64, 0.91)))
    ):
        table[weekend, :, 0] = wake[0] * _rise(*wake[1:], late) * (late < 20)
        table[weekend, :, 1] = sleep[0] * _rise(*sleep[1:], late) * (late > 18)
    table[:, :, 2] = _rise(7, 0.7, clock) * _rise(-19, 0.7, -clock)
    table[:, :, 2] *= np.array(_TRIP)[:, None, None]
    table[:, :, 3] = _HOME_AGAIN
    table[0, 1, 2] += 0.24 * bump(8.5, 0.60)
    table[0, 1, 3, (clock > 8) & (clock < 15)] *= 0.15
    table[0, 1, 3] += 0.022 * bump(17.5, 0.5)
    table[1, 1, 2] += 0.20 * bump(8.0, 1.0)
    return table


def active_probability() -> NDArray[np.float64]:
    """Of one resident, by the chain's forward recursion, shape (2, 2, 144): axes as `hazards`."""
    table = hazards()
    active = np.empty((2, 2, SLOTS))
    for weekend in range(2):
        for worker in range(2):
            state = np.array([1.0, 0.0, 0.0])
            for step in range(2 * SLOTS):
                wake, sleep, leave, back = table[weekend, worker, :, step % SLOTS]
                asleep, awake, out = state
                state = np.array(
                    [
                        asleep * (1 - wake) + awake * sleep,
                        awake * (1 - sleep - leave) + asleep * wake + out * back,
                        out * (1 - back) + awake * leave,
                    ]
                )
                active[weekend, worker, step % SLOTS] = state[ACTIVE]
    return active


def mean_exposure() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How much of the time each activity goes on in the mean home: (mean, mean of the square).

    Shape (activities,): the time average of the probability that somebody is at it, over homes by
    `HOUSEHOLD_SHARES` and over the week; it turns cycles a year into a rate while exposed.
    """
    table, active = shares(), active_probability()
    first = np.zeros(len(Activity))
    second = np.zeros(len(Activity))
    for residents, (home_share, workers) in enumerate(
        zip(HOUSEHOLD_SHARES, WORKER_SHARES, strict=True), start=1
    ):
        weight = home_share / sum(HOUSEHOLD_SHARES)
        for weekend, week in enumerate((5 / 7, 2 / 7)):
            there = (1 - workers) * active[weekend, 0] + workers * active[weekend, 1]
            share = np.where(_needs_somebody()[:, None], table[weekend], 1.0)
            at_it = 1 - (1 - there * share) ** residents
            at_it = np.where(_needs_somebody()[:, None], at_it, table[weekend])
            first += weight * week * at_it.mean(axis=1)
            second += weight * week * (at_it * _given_active(share, there, residents)).mean(axis=1)
    return first, second


def _needs_somebody() -> NDArray[np.bool_]:
    return ~np.isin(np.arange(len(Activity)), (Activity.LEVEL, Activity.NIGHT, Activity.BOILER))


def _given_active(
    share: NDArray[np.float64], there: NDArray[np.float64], residents: int
) -> NDArray[np.float64]:
    """The share at an activity while an appliance runs: with the residents that are likely then."""
    likely = np.maximum(1.0, residents * there)
    given: NDArray[np.float64] = 1 - (1 - share) ** likely
    return given
