"""Power against the energy register of the same sensor: do both tell of the same load?

A register that has stopped gives good replies for ever. A sensor that counts energy besides gives
power away, and the other way round: over a window the sum of power and the step of the register
must agree. A window ends where either tells of 20 Wh and 60 readings have gone in, so that the
register's steps of 1 Wh and a load that switches between readings matter little. They disagree
where one is less than half of the other; a load that is sampled once a second or once in ten does
not get there by chance (60 samples of one that is on half of the time have a spread of 13 %).

    check = Check(watt_seconds_per_wh, most_step_wh)
    check.agree(energy_ws, register_wh)         # the verdict on the last window that has ended
    check.forget()                              # a reading is missing: begin the window anew

So a stuck register is found after 20 Wh, and not at all while nothing flows.
"""

_WINDOW_WH = 20
_LEAST_READINGS = 60
_STEPS_WH = 2


class Check:
    """One sensor's windows; the energy may be in any unit of which so many make a Wh."""

    def __init__(self, per_wh, most_step_wh):
        self._per_wh = per_wh
        self._most_step_wh = most_step_wh
        self._from_wh = None
        self._last_wh = 0
        self._sum = 0
        self._readings = 0
        self._verdict = True

    def forget(self):
        """Something is missing between the last reading and the next; the verdict stays."""
        self._from_wh = None

    def agree(self, energy, register_wh):
        """Adds a reading's energy and what the register says after it."""
        if self._from_wh is None or abs(register_wh - self._last_wh) > self._most_step_wh:
            # A register that leaps was set to zero, or has come to its end.
            self._begin(register_wh)
            return self._verdict
        self._last_wh = register_wh
        self._sum += energy
        self._readings += 1
        window = _WINDOW_WH * self._per_wh
        counted = (register_wh - self._from_wh) * self._per_wh
        larger = max(abs(self._sum), abs(counted))
        if larger >= window and self._readings >= _LEAST_READINGS:
            off = abs(self._sum - counted)
            self._verdict = off <= larger // 2 + _STEPS_WH * self._per_wh
            self._begin(register_wh)
        return self._verdict

    def _begin(self, register_wh):
        self._from_wh = self._last_wh = register_wh
        self._sum = self._readings = 0
