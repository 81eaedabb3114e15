"""Health tests of an entropy source: refuses a source that is broken, never proves one good.

`check_entropy` tests a batch of 64 to 4096 bytes, `Monitor` every byte that is taken from a source.
Both have the two tests of NIST SP 800-90B section 4.4, which credit the source with at least 4 bits
of min-entropy a byte, and one that finds what comes again:
- repetition count: no byte value comes RUN times in a row;
- adaptive proportion: in no whole window of 64 (512) bytes does its first value come 28 (87) times;
- stuck block: in a batch, no stretch of 16 bytes at a multiple of 16 comes again later. It catches
  a constant, two reads that are equal, and any repetition of 31 bytes or more. The monitor knows
  the first 16 bytes of the last reads, by their hashes, and refuses a read that begins like one.

False alarms: let bytes be independent, none likelier than 1/16 each. Over the largest batch a run
has probability below 4096 * 16^-14 = 2^-44; a window is refused with less than 2^-52, and there
are 72; two stretches agree with at most 16^-16, and there are less than 2^20 pairs: 2^-44. The sum
is below 2^-40. In a year of 48 bytes every ten minutes, 2^21.3 bytes, the monitor has a run with
less than 2^-34, refuses a window with less than 2^-36 and a beginning with 2^-44: less than 2^-33.

What they cannot see: a generator whose output looks random but is known, such as a fixed seed
through a hash.
"""

from hushfw.core.errors import HushError
from hushfw.port import sha256

LEAST = 64
MOST = 4096
RUN = 15
WINDOWS = ((64, 28), (512, 87))
BLOCK = 16
_READS = 16


def _refuse(what):
    raise HushError("entropy", what + "; the board's entropy source must not be used")


def _repetition_count(samples):
    run = 0
    last = -1
    for value in samples:
        run = run + 1 if value == last else 1
        last = value
        if run >= RUN:
            _refuse("one byte value came %d times in a row" % RUN)


def _adaptive_proportion(samples, window, cutoff):
    for start in range(0, len(samples) - window + 1, window):
        if samples.count(samples[start : start + 1], start, start + window) >= cutoff:
            _refuse("one byte value filled %d of %d places" % (cutoff, window))


def _stuck_block(samples):
    for start in range(0, len(samples) - BLOCK, BLOCK):
        if samples.find(samples[start : start + BLOCK], start + 1) >= 0:
            _refuse("a stretch of %d bytes came twice" % BLOCK)


def check_entropy(samples):
    """Raises HushError("entropy") if the batch fails a test; false-alarm rate below 2^-40."""
    samples = bytes(samples)
    if not LEAST <= len(samples) <= MOST:
        raise HushError(
            "entropy", "%d bytes to test; there must be %d to %d" % (len(samples), LEAST, MOST)
        )
    _repetition_count(samples)
    for window, cutoff in WINDOWS:
        _adaptive_proportion(samples, window, cutoff)
    _stuck_block(samples)


class Monitor:
    """The continuous tests: `feed` takes all that is read from a source, in its order.

    A window goes on from one read to the next. Once a source was refused it stays refused.
    """

    def __init__(self):
        self._broken = False
        self._last = -1
        self._run = 0
        # [size, cutoff, the first value, how often it came, places left] of each kind of window
        self._windows = [[size, cutoff, b"", 0, 0] for size, cutoff in WINDOWS]
        self._beginnings = []

    def __repr__(self):
        return "Monitor(...)"

    def feed(self, samples):
        """Raises HushError("entropy") if a test fails now, or failed before."""
        if self._broken:
            _refuse("a test failed before")
        self._broken = True
        samples = bytes(samples)
        self._remember(samples)
        self._repetitions(samples)
        for window in self._windows:
            self._proportion(window, samples)
        self._broken = False

    def _repetitions(self, samples):
        last, run = self._last, self._run
        for value in samples:
            run = run + 1 if value == last else 1
            last = value
            if run >= RUN:
                _refuse("one byte value came %d times in a row" % RUN)
        self._last, self._run = last, run

    def _proportion(self, window, samples):
        at = 0
        while at < len(samples):
            if not window[4]:
                window[2], window[3], window[4] = samples[at : at + 1], 0, window[0]
            end = min(len(samples), at + window[4])
            window[3] += samples.count(window[2], at, end)
            window[4] -= end - at
            at = end
            if window[3] >= window[1]:
                _refuse("one byte value filled %d of %d places" % (window[1], window[0]))

    def _remember(self, samples):
        if len(samples) < BLOCK:
            return
        beginning = sha256(samples[:BLOCK])[:8]
        if beginning in self._beginnings:
            _refuse("two reads began with the same %d bytes" % BLOCK)
        self._beginnings.append(beginning)
        del self._beginnings[:-_READS]
