"""One sample at every whole second of the meter's clock, in the middle of whatever runs.

The next sample is due at a tick count that comes from the clock and not from the sample before,
so lateness does not add up. `take_if_due` is called by the serve loop and, through `pace`, from
inside long computations; most calls compare two small integers and return. A sample that comes
late within its second counts for that second, and the worst lateness is kept. The slot has a gap
where a second passed entirely (it is missed), and where the driver had no reading or something in
taking the sample failed: a sample counts once it was read and handed over, and no reading is never
a reading of zero.

A point may also lie too deep: a board's stack is a few kilobytes, and a sensor's window, a
controller and a message to an inverter need some of them. Then the next point of the second takes
the sample.

A point may interrupt a draw, a key or a write to the flash. So what runs here touches none of them:
the driver, the controller with its own generator, the actuator, and sums of integers.
"""

from hushfw import port

try:
    from micropython import stack_use
except ImportError:
    stack_use = None

# What a sample takes of the stack, from here on, where its driver does not say (`stack_bytes`).
_ROOM_BYTES = 1600


def _deepest():
    """How much of the stack is used where it ends."""
    used = stack_use()
    try:
        return _deepest()
    except RuntimeError:
        return used


_DEEPEST = _deepest() if stack_use else 0


class Sampler:
    """Takes samples for a sink: sample(second, watts or None, whether the clock is set)."""

    def __init__(self, clock, ticks=None):
        self._clock = clock
        self._ticks = ticks or port.ticks_ms
        self._driver = None
        self._sink = None
        self._second = 0
        self._due = None
        self._taking = False
        self._deepest = _DEEPEST
        self.samples = 0
        self.missed = 0
        self.failed = 0
        self.worst_late_ms = 0

    def start(self, driver, sink):
        """From the next whole second on; a new driver and sink do not move the schedule."""
        self._driver, self._sink = driver, sink
        needs = [getattr(part, "stack_bytes", _ROOM_BYTES) for part in (driver, sink)]
        self._deepest = _DEEPEST - max(needs)
        if self._due is None:
            self.reschedule()

    def reschedule(self, jumped=True):
        """The clock was told the time: after a jump the next whole second is another.

        After a slew it is the same, and may be due by now: it is not to be skipped.
        """
        self._aim(self._clock.now_ms() // 1000 + 1 if jumped else self._second)

    def _aim(self, second):
        self._second = second
        self._due = self._clock.ticks_at(second * 1000)

    def due_ms(self):
        """How long until the next sample, 0 where it is due; None where none is taken."""
        if self._due is None:
            return None
        return max(0, port.ticks_diff(self._due, self._ticks()))

    def take_if_due(self):
        if self._due is None or self._taking or port.ticks_diff(self._ticks(), self._due) < 0:
            return
        if stack_use is not None and stack_use() > self._deepest:
            return
        self._taking = True
        try:
            self._take()
        except Exception:
            # What was interrupted must not end because a battery failed: the second is not
            # counted, so the slot has a gap.
            self.failed += 1
        finally:
            self._taking = False

    def _take(self):
        second, late_ms = divmod(self._clock.now_ms(), 1000)
        if second < self._second:
            # A slew that began or ended since has moved the second by less than a millisecond.
            self._aim(self._second)
            return
        self.missed += second - self._second
        self.worst_late_ms = max(self.worst_late_ms, late_ms)
        self._aim(second + 1)
        demand_w = self._read()
        self._sink.sample(second, demand_w, self._clock.is_set)
        if demand_w is None:
            self.failed += 1
        else:
            self.samples += 1

    def _read(self):
        """The driver's reading, None where it fails: the time passes for the slot all the same."""
        try:
            return self._driver.read()
        except Exception:
            return None
