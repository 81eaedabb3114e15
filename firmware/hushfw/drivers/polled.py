"""Alternating samples of two analogue pins on any board, by the microsecond counter.

What `alternating` promises, except that an interrupt delays the samples that fall into it; those
after it are on time again. Where one comes later than a whole spacing, or the interpreter cannot
keep up, the window is not to be used.
"""

import time


class Polled:
    """The interpreter does it, by the microsecond counter."""

    SPACING_US = 200

    def __init__(self, hardware, converters, spacing_us):
        self._voltage, self._current = converters
        self._spacing_us = spacing_us
        self.pair_ns = 2000 * spacing_us
        self.worst_late_us = 0
        # A test's hardware brings its own time.
        self._time = hardware if hasattr(hardware, "ticks_us") else time

    def take(self, samples, pairs):
        ticks_us, ticks_diff = self._time.ticks_us, self._time.ticks_diff
        ticks_add, spacing_us = self._time.ticks_add, self._spacing_us
        readers = (self._voltage.read_u16, self._current.read_u16)
        worst_us = 0
        due = ticks_add(ticks_us(), spacing_us)
        for k in range(2 * pairs):
            read = readers[k & 1]
            while True:
                late_us = ticks_diff(ticks_us(), due)
                if late_us >= 0:
                    break
            samples[k] = read() >> 4
            if late_us > worst_us:
                worst_us = late_us
            due = ticks_add(due, spacing_us)
        self.worst_late_us = worst_us
        return worst_us < spacing_us
