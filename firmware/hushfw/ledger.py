"""The privacy ledger: what this meter's reports have spent, exactly, and never too little.

A report spends its worst case, the sum of its lanes' epsilons, whatever was used and whatever
becomes of its slot. So the journal's records of reports are the truth: each counts once, when it is
flushed, before the report leaves. A power cut may leave one that never left, which is counted too;
the same bytes sent again are no new record. Records that go at the journal's rewrite stay in one
record of sums (kind LEDGER), through the slot that it names; later ones are added to it. A new
epoch begins with such a record, so that every report counts with the epsilon it had.

Sums are numerators over one denominator, which all epsilons so far share. One that would not fit
into 64 bits is replaced by 2^63, and numerators are rounded up.

A window is a number of days of the roster's calendar, so a counter a day is kept, for 92 days. Days
never go back: under a roster with an earlier calendar, reports count on the last day there was.
A report without noise has no epsilon; those are counted apart, and no cap covers one.
"""

import struct

from hushfw.core.roster import MAX_WINDOW_DAYS

DEFAULT_DAYS = 30

_HEAD = ">IQQQQIQQQIIB"
_NUM_BYTES = 24
_MOST_DEN = (1 << 64) - 1
_ROUND_DEN = 1 << 63


class Ledger:
    """Sums through the slot `through`; one epoch's epsilon and calendar for what follows.

    epoch is 0 before the first record. rate, total and the days' counters are numerators over den;
    rate is 0 where reports have no noise. since is the first slot that is counted, 0 where all are.
    """

    def __init__(self):
        self.epoch = self.through = self.since = 0
        self._start_s = self._first_slot = 0
        self._slot_s = 1
        self.den = 1
        self.rate = self.total = 0
        self.reports = self.noiseless = 0
        self._noiseless_day = 0
        self.newest_day = 0
        self._days = [0] * MAX_WINDOW_DAYS

    def restore(self, payload):
        """The state that a record holds."""
        size = struct.calcsize(_HEAD)
        (
            self.epoch,
            self.through,
            self.since,
            self._start_s,
            self._first_slot,
            self._slot_s,
            self.den,
            self.reports,
            self.noiseless,
            self._noiseless_day,
            self.newest_day,
            width,
        ) = struct.unpack(_HEAD, payload[:size])
        self.rate = int.from_bytes(payload[size : size + _NUM_BYTES], "big")
        size += _NUM_BYTES
        self.total = int.from_bytes(payload[size : size + _NUM_BYTES], "big")
        size += _NUM_BYTES
        for i in range(MAX_WINDOW_DAYS):
            self._days[i] = int.from_bytes(payload[size : size + width], "big")
            size += width

    def record(self):
        """The state as a record's payload."""
        width = _size_of(max(self._days))
        head = struct.pack(
            _HEAD,
            self.epoch,
            self.through,
            self.since,
            self._start_s,
            self._first_slot,
            self._slot_s,
            self.den,
            self.reports,
            self.noiseless,
            self._noiseless_day,
            self.newest_day,
            width,
        )
        sums = self.rate.to_bytes(_NUM_BYTES, "big") + self.total.to_bytes(_NUM_BYTES, "big")
        days = bytearray(MAX_WINDOW_DAYS * width)
        for i in range(MAX_WINDOW_DAYS):
            days[i * width : (i + 1) * width] = self._days[i].to_bytes(width, "big")
        return head + sums + days

    def count(self, slot):
        """A report of this slot is in the journal."""
        if self.epoch and slot > self.through:
            self._spend(self._day(slot), 1, 1)
            self.through = slot

    def _day(self, slot):
        return (self._start_s + (slot - self._first_slot) * self._slot_s) // 86400

    def _spend(self, day, reports, in_window):
        if day > self.newest_day:
            for gone in range(max(self.newest_day + 1, day - MAX_WINDOW_DAYS + 1), day + 1):
                self._days[gone % MAX_WINDOW_DAYS] = 0
            self.newest_day = day
        self.reports += reports
        self.total += reports * self.rate
        self._days[self.newest_day % MAX_WINDOW_DAYS] += in_window * self.rate
        if not self.rate:
            self.noiseless += reports
            self._noiseless_day = self.newest_day

    def window(self, days, today):
        """(numerator spent, whether without a bound) in the days that end with this one."""
        today = max(today, self.newest_day)
        spent = 0
        first = max(today - days, self.newest_day - MAX_WINDOW_DAYS) + 1
        for day in range(first, self.newest_day + 1):
            spent += self._days[day % MAX_WINDOW_DAYS]
        return spent, self.noiseless > 0 and self._noiseless_day > today - days

    def reaches(self, cap, slot):
        """Whether the window's epsilon is at the cap, or above it, with a report of this slot."""
        if cap is None:
            return False
        spent, boundless = self.window(cap["window_days"], self._day(slot))
        return boundless or not self.rate or self._at(cap, spent + self.rate)

    def _at(self, cap, spent):
        num, den = cap["epsilon"]
        return spent * den >= num * self.den

    def begun(self, roster, last_masked):
        """The record with which this roster's epoch begins; the ledger itself stays as it was."""
        new = Ledger()
        new.restore(self.record())
        num, den = _epsilon(roster)
        new._share(den)
        new.rate = -(-num * new.den // den)
        new.epoch, new.through = roster.epoch, last_masked
        new._start_s, new._first_slot = roster.start_s, roster.first_slot
        new._slot_s = roster.slot_s
        if not self.epoch and last_masked:
            new._take_over(roster)
        return new.record()

    def _share(self, den):
        """Makes den divide the common denominator, as far as there is room for it."""
        wanted = self.den // _gcd(self.den, den) * den
        if wanted > _MOST_DEN:
            wanted = _ROUND_DEN
        if wanted != self.den:
            self.total = -(-self.total * wanted // self.den)
            self._days = [-(-count * wanted // self.den) for count in self._days]
            self.den = wanted

    def _take_over(self, roster):
        """A journal without a ledger: this epoch's slots count as reported, each of them.

        They count on the last one's day, so that they stay in a window for longer, not shorter.
        """
        self.since = min(roster.first_slot, self.through + 1)
        count = self.through + 1 - self.since
        if count:
            kept = MAX_WINDOW_DAYS * 86400 // roster.slot_s + 1
            self._spend(self._day(self.through), count, min(count, kept))

    def fields(self, cap, today):
        """What the message says of it; cap is the configuration's, today a day or 0."""
        days = cap["window_days"] if cap else DEFAULT_DAYS
        spent, boundless = self.window(days, today)
        num, den = cap["epsilon"] if cap else (0, 0)
        return {
            "epoch": self.epoch,
            "den": self.den,
            "slot_num": _packed(self.rate),
            "window_num": _packed(spent),
            "total_num": _packed(self.total),
            "reports": self.reports,
            "noiseless": self.noiseless,
            "window_noiseless": int(boundless),
            "since_slot": self.since,
            "through_slot": self.through,
            "day": max(today, self.newest_day),
            "window_days": days,
            "cap_num": num,
            "cap_den": den,
            "reached": int(cap is not None and (boundless or self._at(cap, spent))),
            "market_intervals": 0,
            "market_num": 0,
            "market_den": 0,
        }

    def spent_on(self):
        """(day, numerator) of the days kept on which something was spent, oldest first."""
        first = max(0, self.newest_day - MAX_WINDOW_DAYS + 1)
        for day in range(first, self.newest_day + 1):
            if self._days[day % MAX_WINDOW_DAYS]:
                yield day, self._days[day % MAX_WINDOW_DAYS]


def _epsilon(roster):
    """(numerator, denominator) of a report's epsilon in lowest terms; 0/1 without noise."""
    num, den = 0, 1
    for lane in roster.lane_list:
        if lane.noiseless():
            return 0, 1
        num = num * lane.epsilon_den + lane.epsilon_num * den
        den *= lane.epsilon_den
    common = _gcd(num, den)
    return num // common, den // common


def _gcd(a, b):
    while b:
        a, b = b, a % b
    return a


def _size_of(number):
    """The bytes that a number takes, at least 1."""
    size = 1
    while number >> 8 * size:
        size += 1
    return size


def _packed(number):
    return number.to_bytes(_size_of(number), "big")
