"""Watts from the pulses of a meter, such that their energy is that of the pulses.

Let P be the energy of a pulse, C the energy of all pulses so far and

    m = min(P, P n age / span)

what is guessed to have been used since the last pulse: n pulses came in span up to the last one,
which is age old. While no pulse comes, the load can be no more than P / age, and m stops at P. Then
A = C + m is the energy used up to now, and a reading is what A has grown by since the reading
before. Hence

* the energy of any run of readings, without a gap, differs from that of the pulses counted in it by
  the difference of two m, each from 0 to P: by one pulse at most, however long the run. Nor is it
  further from the true energy, for that, too, is C and a part of a pulse;
* no reading is negative: m falls only where C grows by at least as much;
* at a constant load every reading is right but for the stamps' jitter; whole watts carry what is
  left of a watt-second to the next reading.

After a step to the load p the readings are right in the second after its second pulse, that is up
to 2 P / p and a second later: 73 s at 100 W, 8 s at 1 kW and 2 s at 10 kW, with 1000 imp/kWh. Where
the load fell, the guess was too high and the readings are 0 until a pulse shows that it has been
used up; where it rose, the pulse that comes early brings its energy in one reading. Spreading both
over more readings was tried: it makes the mean square error larger.

Pulses of energy drawn and of energy fed in are two such sums, and only the one whose pulse is the
newest goes on between pulses. Silence is a low load or a cut wire, which look the same: after
`silent_s`, in which the least load of the home makes a pulse, there is no reading. Nor is there
one when pulses come faster than `most_w` allows. After both, as after the start, two pulses are
needed to know the load.

Energies are in units of 1/imp_per_kwh Ws: a pulse is 3 600 000 of them, and everything is whole.
"""

PULSE = 3600000
DRAWN, FED = 0, 1
_SECOND_US = 1000000
_JITTER_US = 100000  # an interrupt that waited for the flash comes later than its pulse


class Pulses:
    """`take` once a second. `fault` says why there is no reading; None right after the start."""

    def __init__(self, imp_per_kwh, most_w, silent_s):
        self._per_ws = imp_per_kwh
        self._most = imp_per_kwh * most_w
        self._silent_us = silent_s * _SECOND_US
        self._age_us = 0
        self.forget(None)

    def forget(self, fault):
        """What came so far is no ground for a reading: two pulses from now are."""
        self.fault = fault
        self._seen = False
        self._known = 0
        self._span_us = 1
        self._flow = DRAWN
        self._guess = [0, 0]
        self._owed = 0
        self._runs = False

    def take(self, elapsed_us, drawn, drawn_age_us, fed=0, fed_age_us=0):
        """Watts of the time since the call before, None where there are none.

        drawn and fed are pulses since then, with the age of the last one of each.
        """
        before_us = self._age_us + elapsed_us
        if drawn or fed:
            self._take_pulses(before_us, (drawn, fed), (drawn_age_us, fed_age_us))
        elif before_us > self._silent_us:
            self._age_us = self._silent_us
            self.forget("silent")
        else:
            self._age_us = before_us
        if not self._known:
            return None
        self._owe(self._flow, 0)
        return self._read(elapsed_us)

    def _take_pulses(self, before_us, counts, ages_us):
        flow = DRAWN
        if counts[FED] and (not counts[DRAWN] or ages_us[FED] < ages_us[DRAWN]):
            flow = FED
        self._age_us = ages_us[flow]
        span_us = max(1, before_us - ages_us[flow])
        if self._floods(counts[DRAWN] + counts[FED], span_us):
            self.forget("flood")
            return
        if self._seen:
            self._flow, self._known, self._span_us = flow, counts[flow], span_us
        self._seen = True
        for each in (DRAWN, FED):
            if counts[each]:
                self._owe(each, counts[each])

    def _floods(self, pulses, span_us):
        """Whether they are more energy than the greatest power makes, one of them aside if new."""
        intervals = pulses if self._seen else pulses - 1
        return intervals * PULSE * _SECOND_US > self._most * (span_us + _JITTER_US)

    def _owe(self, flow, pulses):
        """Adds what A has grown by in one flow; only the newest one goes on between pulses."""
        guess = 0
        if flow == self._flow and self._known:
            guess = min(PULSE, self._known * PULSE * self._age_us // self._span_us)
        grown = pulses * PULSE + guess - self._guess[flow]
        self._guess[flow] = guess
        self._owed += grown if flow == DRAWN else -grown

    def _read(self, elapsed_us):
        if not self._runs:
            self._runs = True
            self._owed = 0
            return None
        self.fault = None
        # One that comes late within its second is of one second: the next one is the shorter.
        seconds = (elapsed_us + _JITTER_US) // _SECOND_US
        if seconds > 1:
            # Seconds that nobody asked for are gaps; this one has its share of their energy.
            owed, self._owed = self._owed, 0
            return owed // (seconds * self._per_ws)
        watts, self._owed = divmod(self._owed, self._per_ws)
        return watts
