"""Real power from alternating samples of voltage and current: v, i, v, i, ... at one spacing.

A window runs from one rising zero crossing of the voltage to a later one, so it holds whole cycles
whatever the frequency is. Both crossings lie between two samples; the samples at the ends count for
the part of their cell that is inside, so that the weights add up to the length L of the window.
Over it

    P0 = mean v[n] i[n]     P1 = mean v[n+1] i[n]     both less mean v * mean i (the pins' rest)

A current sample lies half-way between two voltage samples, y = pi / (pairs a cycle) from each. With
phi the lag of the current as it is measured and S = U I,

    P0 = S cos(phi - y),  P1 = S cos(phi + y)
    M = (P0 + P1) / (2 cos y) = S cos phi,  Q = (P0 - P1) / (2 sin y) = S sin phi

which is what a voltage interpolated between its neighbours gives, and exact for the fundamental.
If the sensor makes the current lead by another d (clamp and transformer), the power is

    M cos d - Q sin d

A harmonic h that is in the voltage as well is weighted by cos(h y) / cos y instead of 1.

Sums of products are kept in two words of 16 and 32 bits: 16-bit samples whose rest is in the middle
third give products below 2^31, and 4096 of them fit. Only what is made from the sums, some twenty
integers a window, is beyond a small processor's small integers. Numbers named _q8 are in 256ths.
What a reading does not need is in `mains_figures`.

Errors, with p pairs in a window, s steps of noise RMS in each pin and the gains g of a step: noise
sqrt((U s g_i)^2 + (I s g_v)^2) / sqrt(p), without bias; (h^2 - 1) y^2 / 2 of the power that a
harmonic h itself carries; 1 / p^2 of U I a cycle from parts of cells at the ends. A converter that
is not linear adds its share of the power, which no sum takes away.

The loops over samples are here as their definition, and in `mains_viper` in machine code, which is
used where the interpreter can run it and a known window comes out the same.
"""

from array import array

MOST_PAIRS = 4096
LEAST_MHZ, MOST_MHZ = 45000, 65000
_SLACK_MHZ = 1000
_NS_MHZ = 1000000000000  # period in ns = this / frequency in mHz
_MOST_CROSSINGS = 16
# A voltage whose peaks are less than this share of the scale apart is none.
_LEAST_SWING = 16

_Q = 28
_ONE = 1 << _Q
_PI = 843314857  # pi in 2^-28
_MDEG_HALF_TURN = 180000
NO_TURN = (_ONE, 0)


def survey(samples, pairs, out):
    """Sum, least and greatest of the voltage samples, then of the current's, into out[0:6]."""
    for first in (0, 1):
        lane = [samples[k] for k in range(first, 2 * pairs, 2)]
        out[3 * first] = sum(lane)
        out[3 * first + 1] = min(lane)
        out[3 * first + 2] = max(lane)


def crossings(samples, pairs, middle, depth, out, most):
    """Where the voltage rises through the middle, after it was `depth` below: pairs n with
    v[n - 1] < middle <= v[n] and a pair after them. Their number into out[0], the first `most`
    of them behind it.
    """
    count = 0
    armed = False
    for n in range(pairs - 1):
        v = samples[2 * n] - middle
        if v < -depth:
            armed = True
        elif armed and v >= 0:
            armed = False
            count += 1
            if count <= most:
                out[count] = n
    out[0] = count


def add(samples, first, last, middle_v, middle_i, out):
    """Sums over the pairs from first to before last, the middles taken away: v, i, then low and
    high word of v v, i i, v i, and v[n + 1] i; into out[0:10].
    """
    for k in range(10):
        out[k] = 0
    for n in range(first, last):
        v, i = samples[2 * n] - middle_v, samples[2 * n + 1] - middle_i
        after = samples[2 * n + 2] - middle_v
        out[0] += v
        out[1] += i
        for k, product in ((2, v * v), (4, i * i), (6, v * i), (8, after * i)):
            out[k] += product & 0xFFFF
            out[k + 1] += product >> 16


PURE = (survey, crossings, add)


def _run(kernels):
    """What the loops make of a window that uses their whole range."""
    samples = array("H", [(7919 * k * k + 31 * k) % 65521 for k in range(80)])
    out = array("i", bytes(40))
    found = []
    kernels[0](samples, 40, out)
    found.extend(out[:6])
    kernels[1](samples, 40, 32000, 9000, out, 3)
    found.extend(out[:4])
    kernels[2](samples, 3, 37, 30000, 36000, out)
    return found + list(out)


def _chosen():
    try:
        from hushfw.core import mains_viper as fast
    except (ImportError, SyntaxError, ValueError):
        # No such compiler, or bytecode for another machine.
        return PURE
    kernels = (fast.survey, fast.crossings, fast.add)
    return kernels if _run(kernels) == _run(PURE) else PURE


KERNELS = _chosen()


class Window:
    """A buffer for so many pairs, allocated once, and what the last samples in it say."""

    def __init__(self, pairs, full_scale, kernels=None):
        if not 16 <= pairs <= MOST_PAIRS:
            raise ValueError("%d pairs of samples; wanted 16 to %d" % (pairs, MOST_PAIRS))
        self.pairs = pairs
        self.samples = array("H", bytes(4 * pairs))
        self._full = full_scale
        self._survey, self._crossings, self._add = kernels or KERNELS
        self._out = array("i", bytes(4 * (_MOST_CROSSINGS + 1)))
        self._middle_v = self._middle_i = self._swing = 0
        # The pairs at the two ends and their weights.
        self._ends = ((0, 0), (0, 0))
        self.cycles = 0
        self.length_q8 = 0
        self.frequency_mhz = 0

    def evaluate(self, pairs, pair_ns, least_cycles):
        """Takes the buffer's first pairs, one every pair_ns. None, or what is wrong with them."""
        self.cycles = 0
        self._survey(self.samples, pairs, self._out)
        return self._pins_fault(pairs) or self._find_cycles(pairs, pair_ns, least_cycles)

    def _pins_fault(self, pairs):
        """What the survey says of the two pins; where they rest, if it is good."""
        total_v, least_v, most_v, total_i, least_i, most_i = self._out[:6]
        if least_v == most_v or least_i == most_i:
            return "stuck"
        if min(least_v, least_i) <= 0 or max(most_v, most_i) >= self._full:
            return "clipped"
        self._middle_v, self._middle_i = total_v // pairs, total_i // pairs
        for middle in (self._middle_v, self._middle_i):
            if not self._full <= 3 * middle <= 2 * self._full:
                return "out_of_range"
        self._swing = most_v - least_v
        return "no_mains" if self._swing < self._full // _LEAST_SWING else None

    def _find_cycles(self, pairs, pair_ns, least_cycles):
        """Whole cycles between the first and the last rise of the voltage, if their length fits."""
        out = self._out
        middle, depth = self._middle_v, self._swing // 8
        self._crossings(self.samples, pairs, middle, depth, out, _MOST_CROSSINGS)
        cycles = min(out[0], _MOST_CROSSINGS) - 1
        if cycles < least_cycles:
            return "no_mains"
        begin_q8, end_q8 = self._crossing_q8(out[1]), self._crossing_q8(out[cycles + 1])
        mhz = _NS_MHZ * cycles * 256 // ((end_q8 - begin_q8) * pair_ns)
        if not LEAST_MHZ - _SLACK_MHZ <= mhz <= MOST_MHZ + _SLACK_MHZ:
            return "no_mains"
        self.cycles, self.frequency_mhz = cycles, mhz
        self._weigh(begin_q8, end_q8)
        return None

    def _crossing_q8(self, n):
        """The place of the crossing before pair n, by a straight line."""
        before = self._middle_v - self.samples[2 * n - 2]
        after = self.samples[2 * n] - self._middle_v
        return 256 * (n - 1) + (256 * before + (before + after) // 2) // (before + after)

    def _weigh(self, begin_q8, end_q8):
        """Sums over the whole cells between the two crossings, and the parts of one at each end."""
        first = (begin_q8 + 128 + 255) // 256
        last = (end_q8 - 128) // 256
        self._ends = (
            (first - 1, 256 * first - 128 - begin_q8),
            (last + 1, end_q8 - 128 - 256 * last),
        )
        self._add(self.samples, first, last + 1, self._middle_v, self._middle_i, self._out)
        self.length_q8 = end_q8 - begin_q8

    def mean_q8(self, word, total, left, right):
        """Length squared times the mean of a product, less that of its factors' means.

        The product's sum is in two words of `out`, and its factors are voltage samples at an even
        and current samples at an odd offset from a pair's first; at 2 is the next voltage.
        """
        out, samples = self._out, self.samples
        products = 256 * (out[word] + (out[word + 1] << 16))
        for n, weight in self._ends:
            k = 2 * n
            products += (
                weight
                * (samples[k + left] - self._middle(left))
                * (samples[k + right] - self._middle(right))
            )
        return self.length_q8 * products - total

    def _middle(self, offset):
        return self._middle_i if offset & 1 else self._middle_v

    def total_q8(self, lane):
        """The weighted sum of the voltage's (0) or the current's (1) samples less their middle."""
        samples, middle = self.samples, self._middle(lane)
        total = 256 * self._out[lane]
        for n, weight in self._ends:
            total += weight * (samples[2 * n + lane] - middle)
        return total

    def real_q8(self, turn=NO_TURN):
        """Signed real power, steps squared, of a sensor with this `turn`."""
        rest = self.total_q8(0) * self.total_q8(1)
        p0, p1 = self.mean_q8(6, rest, 0, 1), self.mean_q8(8, rest, 2, 1)
        y, square = self.half_pair(), self.length_q8 * self.length_q8
        power = ((p0 + p1) * _ONE // (2 * cosine(y)) << 8) // square
        if turn[1]:
            across = ((p0 - p1) * _ONE // (2 * sine(y)) << 8) // square
            power = (power * turn[0] - across * turn[1] + _ONE // 2) >> _Q
        return power

    def half_pair(self):
        """Angle of the mains between a voltage sample and the current sample after it, 2^-28."""
        return _PI * 256 * self.cycles // self.length_q8


def turn_by(phase_mdeg):
    """(cosine, sine) of the lead that a sensor gives the current, for `Window`."""
    angle = _PI * phase_mdeg // _MDEG_HALF_TURN
    return cosine(angle), sine(angle)


def sine(angle):
    """Of a small angle, both in 2^-28, right to some of these below 0.2 rad, to 2^-22 at 0.35."""
    square = angle * angle >> _Q
    return angle - (angle * (square - (square * square // 20 >> _Q)) // 6 >> _Q)


def cosine(angle):
    """Of a small angle, as above."""
    square = angle * angle >> _Q
    return _ONE - square // 2 + (square * (square - (square * square // 30 >> _Q)) // 24 >> _Q)
