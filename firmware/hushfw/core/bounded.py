"""Bounded noise shares: the law of `noise` up to 2^-64, in a number of steps fixed beforehand.

A share is drawn as in `noise`, from a geometric total and an urn; what is unbounded there is cut
off or rounded here, so that every share takes the same draws and the same steps:

- The total G has independent binary digits: (1 - p) p^g is the product over b of the chances
  1 / (1 + p^(2^b)) of a zero and p^(2^b) / (1 + p^(2^b)) of a one, since the product of all
  (1 + p^(2^b)) is 1 / (1 - p). A digit is one `width`-bit word compared with a threshold from a
  table. Digits from 2^b >= 49 lambda on are taken to be 0.
- The urn is played for `cycles` cycles, whether or not balls are left. A word u of `width` bits
  gives both what a cycle leaves, the whole part of u total / 2^width, and its colour, from the part
  behind the point: together the whole part of u n total / 2^width, nearly uniform below n total.

How far the law is from the exact one, in total variation (how often two draws that are coupled
as well as can be must differ), with K digits and words of K + bits of n + 68 bits or more:

    digits left out   1 - (1 - p) sum_{g < 2^K} p^g = p^(2^K) <= exp(-49)                < 2^-69
    digits rounded    K thresholds, each off by less than 2^(1 - width)                  < 2^-68
    words of cycles   the whole part of u m / 2^width is m / 2^(width + 1) from uniform at most;
                      totals halve in the mean, so all cycles together n 2^K / 2^width  < 2^-67
    cycles left out   their number is Poisson with mean -ln(1 - p): put one t for every cycle into
                      the exponential formula of `noise`. -ln(1 - p) <= ln(lambda + 1) <= L = k ln 2
                      for the k bits of the whole part of lambda + 1, and with m = cycles + 1
                      Pr(m or more) <= exp(-L) L^m / m! (m + 1) / (m + 1 - L)           <= 2^-66

The sum is below 2^-65, so a share is within 2^-64 with room to spare. A distance is not a part of
epsilon: it goes into delta, (1 + exp(epsilon)) times for each share in a total.

Here 64 is `bits`: tests lower it, to compute the exact distance where it can be seen.
"""

from hushfw.core import pace
from hushfw.core.errors import HushError

BITS = 64
_LN2_NUM, _LN2_DEN = 69315, 100000


class Bounded:
    """Shares of one lane: n meters count, lambda is scale_num / scale_den Wh.

    `source` of a share is any object with bytes(n), uniform.
    """

    def __init__(self, n, scale_num, scale_den, bits=BITS):
        if n < 1:
            raise HushError("bad_config", "%d noise shares; at least 1 is needed" % n)
        if scale_num < 1 or scale_den < 1:
            raise HushError(
                "bad_config", "noise scale %d/%d; both must be at least 1" % (scale_num, scale_den)
            )
        self.digits = _digits(scale_num, scale_den, bits)
        self.cycles = 0 if n == 1 else _cycles(scale_num // scale_den + 1, bits)
        self._word = self.digits + _bit_length(n) + bits + 4 + 7 >> 3
        self.width = 8 * self._word
        self._mask = (1 << self.width) - 1
        self._urns = 2 if n == 1 else 1
        self.draw_bytes = self._word * (self._urns * self.digits + self.cycles)
        self.thresholds = _thresholds(scale_num, scale_den, self.digits, self.width)
        # The part behind the point is below the first for one colour, then below the second.
        self._first = -(-(1 << self.width) // n)
        self._second = -(-(2 << self.width) // n)

    def share(self, source):
        """One meter's noise in Wh."""
        words = source.bytes(self.draw_bytes)
        total = self._total(words, 0)
        if self._urns == 2:
            return total - self._total(words, self._word * self.digits)
        return self._split(words, self._word * self.digits, total)

    def _total(self, words, at):
        """A geometric variable, digit by digit."""
        pace.point()
        size = self._word
        total = 0
        place = 1
        for threshold in self.thresholds:
            total += place * (int.from_bytes(words[at : at + size], "little") < threshold)
            place += place
            at += size
        return total

    def _split(self, words, at, total):
        """What falls to the first colour less what falls to the second."""
        pace.point()
        size, width, mask = self._word, self.width, self._mask
        first, second = self._first, self._second
        spare = 1 << self.digits
        share = 0
        for _ in range(self.cycles):
            # Where no ball is left, as many as never were are divided, and count for nothing.
            alive = total > 0
            balls = total + spare * (not alive)
            product = int.from_bytes(words[at : at + size], "little") * balls
            left = product >> width
            part = product & mask
            share += alive * (balls - left) * (2 * (part < first) - (part < second))
            total = alive * left
            at += size
        return share


def _bit_length(n):
    size = 0
    while n:
        n >>= 1
        size += 1
    return size


def _digits(num, den, bits):
    """How many binary digits a total has; 0 where it is beyond all reach that it is not 0."""
    # exp(-reach) < 2^-(bits + 5)
    reach = 48 * (bits + 5) // 69 + 1
    size = 0
    while den << size < reach * num:
        size += 1
    return size


def _cycles(above, bits):
    """The least number that is exceeded with probability 2^-(bits + 2) at most; lambda < above."""
    k = _bit_length(above)
    # L = mean_num / mean_den, rounded up.
    mean_num, mean_den = k * _LN2_NUM, _LN2_DEN
    power = factorial = 1
    m = 0
    while True:
        m += 1
        power *= mean_num
        factorial *= m * mean_den
        room = (m + 1) * mean_den - mean_num
        # exp(-L) is 2^-k.
        if room > 0 and power * (m + 1) * mean_den << bits + 2 <= factorial * room << k:
            return m - 1


def _thresholds(num, den, digits, width):
    """floor(2^width * Pr(digit b is one)) for b = 0, 1, ...: Pr = e / (1 + e), e = p^(2^b)."""
    # exp(-x) for x <= 1/2 by its series, then up by squaring; each doubles the error.
    halvings = 0
    while 2 * den > num << halvings:
        halvings += 1
    one = 1 << width + digits + halvings + 16
    power = _exp_minus(one * den // (num << halvings), one)
    for _ in range(halvings):
        power = power * power // one
    out = []
    for _ in range(digits):
        out.append((power << width) // (one + power))
        power = power * power // one
    return out


def _exp_minus(x, one):
    """one * exp(-x / one) for 0 <= x <= one / 2; off by less than 2^7, one for each term."""
    term = total = one
    k = 0
    while term:
        k += 1
        term = term * x // (one * k)
        total += -term if k & 1 else term
    return total
