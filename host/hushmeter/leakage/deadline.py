"""A limit of time for loops whose rounds take about equally long.

rounds = deadline.rounds()
while ... and rounds.fits():        # the first always does
"""

from __future__ import annotations

import math
import time


class Deadline:
    """A moment of `time.perf_counter`, infinity for never."""

    def __init__(self, at_s: float = math.inf) -> None:
        self.at_s = at_s

    def left_s(self) -> float:
        """Seconds until then; negative afterwards."""
        return self.at_s - time.perf_counter()

    def share(self, part: float) -> Deadline:
        """An earlier one, after this part of what is left."""
        return Deadline(self.at_s - (1 - part) * max(0.0, self.left_s()))

    def rounds(self, grows: float = 1.0) -> Rounds:
        """For one loop, each of whose rounds takes `grows` times as long as the one before."""
        return Rounds(self, grows)


class Rounds:
    """Says before each round whether there is time for it."""

    def __init__(self, deadline: Deadline, grows: float) -> None:
        self._deadline, self._grows = deadline, grows
        self._began_s = math.nan

    def fits(self) -> bool:
        """Whether another round, as long as the last one, ends in time; the first always does."""
        before_s, self._began_s = self._began_s, time.perf_counter()
        if math.isnan(before_s):
            return True
        return self._grows * (self._began_s - before_s) < self._deadline.left_s()


NEVER = Deadline()
