"""Do masked words look like noise? Tests that can only say no.

A masked word is a reading plus keystreams of AES, modulo 2^64. To whoever lacks the keys the words
of a street must look like independent uniform numbers. The checks here look for the ways in which
masking fails in practice: a mask left out, a mask used twice, a mask shorter than the word, a
generator that counts, masks that cancel within a slot although they should not.

Passing shows that none of these faults is visible. It never shows that the masks are safe: a
keystream with a key that everybody knows passes too.

Every p-value is exact or an upper bound, except the chi-square one, whose error is below one tenth
of itself at the sample sizes for which it is used. The threshold is the false-alarm rate divided
by the number of checks (Bonferroni), so the checks may depend on each other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from hushmeter.errors import HushmeterError

FALSE_ALARM_RATE = 1e-6
"""Chance that independent uniform words fail at least one check."""

MINIMUM_WORDS = 64
"""With fewer words the checks have next to no power; a verdict would be an empty promise."""

_WORD_BITS = 64
_MODULUS = 1 << _WORD_BITS
_LEAST_EXPECTED = 20
"""Least expected count of a chi-square cell."""

Words = NDArray[np.uint64]
Check = Callable[["_Sample"], float | None]


@dataclass(frozen=True)
class NoiseVerdict:
    """Outcome of :func:`looks_like_noise`.

    Attributes
    ----------
    passed:
        No check saw anything.
    p_values:
        Check name -> p-value, already corrected for the positions that the check looks at.
    tests:
        Check name -> what it would notice, in plain words.
    false_alarm_rate:
        Chance that perfect noise fails, over all checks together.
    words:
        How many words were judged.
    """

    passed: bool
    p_values: dict[str, float]
    tests: dict[str, str]
    false_alarm_rate: float
    words: int

    @property
    def threshold(self) -> float:
        """p-value below which one check fails."""
        return self.false_alarm_rate / len(self.p_values)

    @property
    def failures(self) -> list[str]:
        """Names of the checks that failed, worst first."""
        ordered = sorted(self.p_values.items(), key=lambda item: item[1])
        return [name for name, p_value in ordered if p_value < self.threshold]

    def sentence(self) -> str:
        """The verdict for a reader who is no statistician."""
        checks = len(self.p_values)
        if self.passed:
            return (
                f"The {self.words:,} masked words pass all {checks} checks: none of them can tell "
                "the words from fair coin flips. Such checks can only falsify; passing them is no "
                "proof that the masks are safe."
            )
        named = ", ".join(f"{name} (p = {self.p_values[name]:.1e})" for name in self.failures)
        return (
            f"The {self.words:,} masked words do NOT look like noise: {len(self.failures)} of "
            f"{checks} checks fail, namely {named}. Perfect noise would do this with a chance "
            f"below {self.false_alarm_rate:.0e}."
        )


@dataclass(frozen=True)
class _Sample:
    """The words, and what several checks derive from them."""

    words: Words
    """All received words, shape (words,)."""
    before: Words
    """Words followed by another word of the same meter in the next slot, shape (pairs,)."""
    after: Words
    """Their followers, shape (pairs,)."""
    slot_sums: Words
    """Sum mod 2^64 of the words of each slot with at least two words, shape (<= slots,)."""


def looks_like_noise(words: Words, received: NDArray[np.bool_] | None = None) -> NoiseVerdict:
    """Judge whether masked words can be told from independent uniform 64-bit numbers.

    Parameters
    ----------
    words:
        uint64, shape (slots, meters), or (slots,) for one meter.
    received:
        Same shape; False where nothing was received and the word is to be ignored.

    Returns
    -------
    NoiseVerdict
        With a total false-alarm rate of 1e-6. Checks that need more words than there are (pairs of
        neighbouring slots, slot sums) are left out; the verdict names those that ran.

    Raises
    ------
    HushmeterError
        If the words are no uint64 matrix or fewer than :data:`MINIMUM_WORDS`.

    Notes
    -----
    One mask used twice shows as two words closer together than chance allows. With readings of up
    to 10 kWh the check notices a single such pair among 10 000 words; among 100 000 it notices
    only near-equal readings.
    """
    sample = _sample(words, received)
    p_values: dict[str, float] = {}
    tests: dict[str, str] = {}
    for name, meaning, check in _CHECKS:
        p_value = check(sample)
        if p_value is not None:
            p_values[name] = p_value
            tests[name] = meaning
    threshold = FALSE_ALARM_RATE / len(p_values)
    passed = min(p_values.values()) >= threshold
    return NoiseVerdict(passed, p_values, tests, FALSE_ALARM_RATE, len(sample.words))


def _sample(words: Words, received: NDArray[np.bool_] | None) -> _Sample:
    if words.dtype != np.uint64 or words.ndim not in (1, 2):
        raise HushmeterError(
            f"masked words are a uint64 array of shape (slots, meters), "
            f"not {words.dtype} of shape {words.shape}"
        )
    present = np.ones(words.shape, dtype=np.bool_) if received is None else received
    if present.shape != words.shape:
        raise HushmeterError(
            f"the mask of received words has shape {present.shape}, the words {words.shape}"
        )
    if words.ndim == 1:
        words, present = words[:, None], present[:, None]
    count = int(present.sum())
    if count < MINIMUM_WORDS:
        raise HushmeterError(
            f"{count} masked words are too few to judge; at least {MINIMUM_WORDS} are needed"
        )
    paired = present[:-1] & present[1:]
    sums: Words = np.where(present, words, np.uint64(0)).sum(axis=1, dtype=np.uint64)
    return _Sample(
        words=words[present],
        before=words[:-1][paired],
        after=words[1:][paired],
        slot_sums=sums[present.sum(axis=1) >= 2],
    )


def _two_sided_binomial(ones: NDArray[np.int64], trials: int) -> NDArray[np.float64]:
    """Exact two-sided p-values of counts of ones among fair flips; twice the smaller tail."""
    tail = np.minimum(stats.binom.cdf(ones, trials, 0.5), stats.binom.sf(ones - 1, trials, 0.5))
    doubled: NDArray[np.float64] = np.minimum(1.0, 2.0 * tail)
    return doubled


def _worst_bit(words: Words) -> float | None:
    """Smallest p-value over the 64 bit positions, times 64."""
    if len(words) < MINIMUM_WORDS:
        return None
    positions = np.arange(_WORD_BITS, dtype=np.uint64)
    ones = np.array([int(((words >> bit) & np.uint64(1)).sum()) for bit in positions])
    return min(1.0, _WORD_BITS * float(_two_sided_binomial(ones, len(words)).min()))


def _uniform(words: Words) -> float | None:
    """Kolmogorov-Smirnov distance of word / 2^64 from the uniform law, exact distribution."""
    if len(words) < 8:
        return None
    fractions = words.astype(np.float64) / float(_MODULUS)
    return float(stats.kstest(fractions, "uniform", method="exact").pvalue)


def _bit_balance(sample: _Sample) -> float | None:
    return _worst_bit(sample.words)


def _byte_values(sample: _Sample) -> float | None:
    """Two-sided chi-square of byte values, or of half-bytes when there are too few words."""
    octets = sample.words.view(np.uint8)
    if len(octets) >= 256 * _LEAST_EXPECTED:
        counts = np.bincount(octets, minlength=256)
    else:
        counts = np.bincount(np.concatenate([octets >> 4, octets & 15]), minlength=16)
    expected = counts.sum() / len(counts)
    statistic = float(((counts - expected) ** 2 / expected).sum())
    law = stats.chi2(len(counts) - 1)
    return min(1.0, 2.0 * float(min(law.cdf(statistic), law.sf(statistic))))


def _spread(sample: _Sample) -> float | None:
    return _uniform(sample.words)


def _runs(sample: _Sample) -> float | None:
    """Changes between neighbouring bits of a word: Binomial(63 per word, 1/2), exactly."""
    changes = (sample.words ^ (sample.words >> np.uint64(1))) & np.uint64((1 << 63) - 1)
    ones = np.array([int(np.bitwise_count(changes).sum(dtype=np.int64))])
    return float(_two_sided_binomial(ones, 63 * len(changes))[0])


def _serial_bits(sample: _Sample) -> float | None:
    """Correlation of each bit with itself one slot later.

    The exclusive ors along a chain of independent uniform words are again independent and uniform,
    so the counts are exactly binomial although neighbouring pairs share a word.
    """
    return _worst_bit(sample.before ^ sample.after)


def _serial_differences(sample: _Sample) -> float | None:
    """Differences mod 2^64 from slot to slot: independent and uniform for the same reason."""
    return _uniform(sample.after - sample.before)


def _near_repeats(sample: _Sample) -> float | None:
    """Smallest distance g, on the circle mod 2^64, between any two words.

    Two given words lie within g with chance (2g + 1) / 2^64; the sum over all pairs bounds the
    chance that any two do.
    """
    ordered = np.sort(sample.words)
    around = (int(ordered[0]) - int(ordered[-1])) % _MODULUS
    smallest = min(int(np.diff(ordered).min()), around)
    pairs = len(ordered) * (len(ordered) - 1) // 2
    return min(1.0, pairs * (2 * smallest + 1) / _MODULUS)


def _slot_sums(sample: _Sample) -> float | None:
    return _uniform(sample.slot_sums)


_CHECKS: tuple[tuple[str, str, Check], ...] = (
    ("bit balance", "a bit that is one too often or too seldom", _bit_balance),
    ("byte values", "a byte value that is too common, or values spread too evenly", _byte_values),
    ("spread", "words crowded in a part of the range from 0 to 2^64", _spread),
    ("runs of bits", "bits that stick together, as in small numbers", _runs),
    ("neighbouring slots, bits", "a bit that predicts itself one slot later", _serial_bits),
    (
        "neighbouring slots, differences",
        "a constant mask or a counter, once words are subtracted",
        _serial_differences,
    ),
    ("near repeats", "one mask used for two readings, anywhere", _near_repeats),
    ("slot sums", "masks that cancel without the keys", _slot_sums),
)
