"""Health tests of an entropy source: refuses a source that is broken, never proves one good.

Three tests over a batch of 64 to 4096 bytes, two of them after NIST SP 800-90B section 4.4, which
credit the source with at least 4 bits of min-entropy a byte:
- repetition count: no byte value comes RUN times in a row;
- adaptive proportion: in no whole window of 64 (512) bytes does its first value come 28 (87) times;
- stuck block: no stretch of 16 bytes at a multiple of 16 comes again later. It catches a constant,
  two reads that are equal, and any repetition of 31 bytes or more.

False alarms: let bytes be independent, none likelier than 1/16 each. Over the largest batch a run
has probability below 4096 * 16^-14 = 2^-44; a window is refused with less than 2^-52, and there
are 72; two stretches agree with at most 16^-16, and there are less than 2^20 pairs: 2^-44. The sum
is below 2^-40.

What they cannot see: a generator whose output looks random but is known, such as a fixed seed
through a hash.
"""

from hushfw.core.errors import HushError

LEAST = 64
MOST = 4096
RUN = 15
WINDOWS = ((64, 28), (512, 87))
BLOCK = 16


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
