"""The meter's own clock: the board's quartz, told the time by the supplier and never rushed.

Until it is told, it counts from the boot. The first message of a boot sets it; a later one finds an
error of a few milliseconds, which goes away slowly: the clock runs up to 500 ppm faster or slower
until it is right (a slew). An error above `MOST_SLEW_MS` is a step, one above `MOST_STEP_MS` is
refused: the first message or this one is wrong, and a restart decides. Between messages the
quartz's own error, estimated over hours, is taken off.

With `rate = 10^9 + drift + slew` in parts of 10^9, and the rest carried at every change of rate,

    reading = base + ((local - base_local) * rate + rest) // 10^9

loses nothing to rounding. Both corrections are bounded, so that between two steps the clock is
never more than 0.07 % faster than the quartz: what a slot lasts is not the supplier's choice.
"""

from hushfw import port
from hushfw.core.errors import HushError
from hushfw.core.roster import MAX_START_S

MOST_SLEW_MS = 1000
MOST_STEP_MS = 60000
MOST_DRIFT_PPB = 200000
SLEW_PPB = 500000
MOST_UNIX_MS = 1000 * MAX_START_S
MOST_AGE_MS = 50
_AT_ONCE_MS = 20

_BILLION = 1000000000
_LEAST_SPAN_MS = 900000
_RENEW_MS = 6 * 3600000


def _refuse(message):
    raise HushError("bad_clock", message)


class Clock:
    """Reads in ms: since the boot until it is set, then unix time."""

    def __init__(self, ticks=None):
        self._ticks = ticks or port.ticks_ms
        self._ticks_before = self._ticks()
        self._local_ms = 0
        self._base_local_ms = 0
        self._base_ms = 0
        self._rest = 0
        self._slew_ppb = 0
        self._slew_end_ms = 0
        self._told_ms = -1
        self._references = []
        self.is_set = False
        # The error that the last message found, and what the quartz loses, in parts of 10^9.
        self.offset_ms = 0
        self.drift_ppb = 0

    def local_ms(self):
        """Milliseconds of the quartz since the boot; asked at least every 6 days, never wraps."""
        ticks = self._ticks()
        self._local_ms += port.ticks_diff(ticks, self._ticks_before)
        self._ticks_before = ticks
        return self._local_ms

    def now_ms(self):
        local_ms = self.local_ms()
        if self._slew_ppb and local_ms >= self._slew_end_ms:
            self._rebase(self._slew_end_ms)
            self._slew_ppb = 0
        return self._at(local_ms)[0]

    def ticks_at(self, reading_ms):
        """The tick count at which the clock will read this, if it goes on as it does now."""
        now_ms = self.now_ms()
        wait_ms = -((now_ms - reading_ms) * _BILLION // self._rate()) if reading_ms > now_ms else 0
        return port.ticks_add(self._ticks_before, wait_ms)

    def _rate(self):
        return _BILLION + self.drift_ppb + self._slew_ppb

    def _at(self, local_ms):
        """(whole milliseconds, 10^-9 of one) that the clock reads at this local time."""
        whole, rest = divmod((local_ms - self._base_local_ms) * self._rate() + self._rest, _BILLION)
        return self._base_ms + whole, rest

    def _rebase(self, local_ms):
        self._base_ms, self._rest = self._at(local_ms)
        self._base_local_ms = local_ms

    def tell(self, unix_ms, least_ms=0):
        """It is unix_ms now. True where the clock jumped: set, or stepped; else it slews.

        least_ms is what the journal knows to be past: a boot is told no time before that.
        """
        if not self._told_ms < unix_ms < MOST_UNIX_MS:
            _refuse("a time at or before one that was told already, or beyond every calendar")
        now_ms = self.now_ms()
        error_ms = unix_ms - now_ms
        jumps = not self.is_set or not -MOST_SLEW_MS <= error_ms <= MOST_SLEW_MS
        if not self.is_set:
            if unix_ms < least_ms:
                _refuse("this meter reported a slot that ends %d ms later" % (least_ms - unix_ms))
        elif not -MOST_STEP_MS <= error_ms <= MOST_STEP_MS:
            _refuse("it is off by %d ms; a clock that is set steps 60 s at most" % error_ms)
        self._rebase(self._local_ms)
        self._told_ms = unix_ms
        if jumps:
            self._jump(unix_ms)
        else:
            self._slew(error_ms)
        self.offset_ms = error_ms if self.is_set else 0
        self.is_set = True
        self._estimate(unix_ms)
        return jumps

    def _jump(self, unix_ms):
        self._base_ms, self._rest, self._slew_ppb = unix_ms, 0, 0
        # Somebody's clock was wrong: what was learnt between the two is worthless.
        self._references = []

    def _slew(self, error_ms):
        self._slew_ppb = SLEW_PPB if error_ms > 0 else -SLEW_PPB if error_ms < 0 else 0
        self._slew_end_ms = self._local_ms + abs(error_ms) * (_BILLION // SLEW_PPB)

    def _estimate(self, unix_ms):
        """Drift against the oldest reference; two are kept, so that one is 6 to 12 hours old."""
        here = (unix_ms, self._local_ms)
        if not self._references:
            self._references = [here, here]
        (old_ms, old_local_ms), (_, new_local_ms) = self._references
        span_ms = self._local_ms - old_local_ms
        if span_ms >= _LEAST_SPAN_MS:
            drift_ppb = (unix_ms - old_ms - span_ms) * _BILLION // span_ms
            if -MOST_DRIFT_PPB <= drift_ppb <= MOST_DRIFT_PPB:
                self.drift_ppb = drift_ppb
        if self._local_ms - new_local_ms >= _RENEW_MS:
            self._references = [self._references[1], here]


class Wait:
    """How old a message may be that was just read: the serve loop was at work before it looked.

    The loop calls `begin` before it waits for bytes; whatever it does first afterwards calls `end`.
    Bytes that came during the wait are fresh. If the wait was none, they may have lain there since
    the wait before it ended.
    """

    def __init__(self, ticks=None):
        self._ticks = ticks or port.ticks_ms
        self._began = self._ended = None
        self._lay_ms = 0

    def begin(self):
        self._began = self._ticks()

    def end(self):
        if self._began is None:
            return
        now = self._ticks()
        at_once = port.ticks_diff(now, self._began) < _AT_ONCE_MS
        worked = self._ended is not None and at_once
        self._lay_ms = port.ticks_diff(now, self._ended) if worked else 0
        self._began, self._ended = None, now

    def check_fresh(self):
        """Refuses a time that may have waited longer than a clock should be wrong."""
        age_ms = self._lay_ms
        if self._ended is not None:
            age_ms += port.ticks_diff(self._ticks(), self._ended)
        if age_ms > MOST_AGE_MS:
            raise HushError("busy", "the meter was at work when this time came; tell it anew")
