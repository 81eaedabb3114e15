"""Mutual information of two sequences of symbols: estimate, bias and confidence interval.

The estimates are plug-in: entropies of the counted frequencies. They come out too high, by about
(K_A - 1)(K_B - 1) / (2 N ln 2) bits for K occupied bins a side and N samples, so each is returned
with two checks on it.

- The **shuffled baseline** is what the same estimator says of the same sequences once they have
  nothing to do with each other.
- The **interval** is a block jackknife (Künsch, Annals of Statistics 17, 1989). Samples of a home
  depend on each other for hours and follow the clock, so single samples may not be left out or
  drawn again as if they were independent. Whole days are left out instead, one at a time: within
  a day all dependence is kept, and one day is much like the next. What is left between days is
  counted in by a Bartlett window over the series of days. Leaving a day out also shows how the
  estimate moves with the sample size, which takes the bias of order 1/N out of the interval.

Every measure here is a sum of entropies, and leaving out a day changes an entropy only in the
cells which that day fills. So all the estimates without one day cost one pass over the counts
together, and no sample is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Symbols = NDArray[np.int64]
Estimates = NDArray[np.float64]
"""Bits; entry 0 from all blocks, entry 1 + i from all but block i."""

CONFIDENCE = 0.95
LEAST_DAYS = 10
"""Below so many days a record is cut into `PIECES` equal pieces and the interval is about those."""
PIECES = 20

MOST_UNSEEN = 0.05
"""Probability of missed cells above which a sample is too small for its alphabet."""

_DENSE = 8
"""Cells a sample up to which counting in a table beats sorting."""


@dataclass(frozen=True)
class Information:
    """A mutual information, in bits a sample.

    Attributes
    ----------
    bits:
        The plug-in estimate.
    corrected_bits:
        The same less its bias of order 1/N, by the jackknife; may be slightly negative.
    ci_bits:
        95 % interval for the true value, which is not negative: around `corrected_bits`, and
        widened, where it must be, to hold `bits` too. With too many singletons (`unseen` above
        `MOST_UNSEEN`) no correction is good enough and it reaches down to `bits` less the baseline.
    shuffled_bits, shuffled_sd_bits:
        Mean and standard deviation of the plug-in estimate over the shuffles.
    cells, singletons:
        Joint cells that are occupied, and those which a single sample occupies.
    unseen:
        Singletons over samples: about the probability of all the cells that the sample has
        missed (Good, Biometrika 40, 1953).
    """

    bits: float
    corrected_bits: float
    ci_bits: tuple[float, float]
    shuffled_bits: float
    shuffled_sd_bits: float
    cells: int
    singletons: int
    unseen: float


def blocks_of(samples: int, samples_a_day: int) -> NDArray[np.int64]:
    """Which block each sample belongs to: its day, or one of `PIECES` pieces of a short record.

    The last block takes what is left over, so no block is shorter than the others.
    """
    days = samples // samples_a_day
    count = days if days >= LEAST_DAYS else max(1, min(PIECES, samples // 2))
    length = samples_a_day if days >= LEAST_DAYS else max(1, samples // count)
    blocks: NDArray[np.int64] = np.minimum(np.arange(samples) // length, count - 1)
    return blocks


def independent(
    first: Symbols, second: Symbols, blocks: NDArray[np.int64], shuffles: int, seed: int
) -> Information:
    """I(A; B) of pairs taken as independent draws: H(A) + H(B) - H(A, B).

    Parameters
    ----------
    first, second:
        Symbols a and b of each sample, shape (N,), any integers.
    blocks:
        Block of each sample, shape (N,), ascending from 0.
    shuffles:
        2 or more: how often `second` is permuted in time for the baseline. The measure takes the
        samples as independent, and for such every order is as likely.
    seed:
        Of the shuffles.
    """
    a, b = _dense(first), _dense(second)
    joint = _joined(a, b)
    estimates = _entropies(a, blocks) + _entropies(b, blocks) - _entropies(joint, blocks)
    apart = _entropy(_counts(a)) + _entropy(_counts(b))
    generator = np.random.default_rng(seed)

    def shuffled() -> float:
        return apart - _entropy(_counts(_joined(a, generator.permutation(b))))

    return _information(estimates, joint, shuffled, shuffles)


def markov(  # noqa: PLR0913
    first: Symbols,
    second: Symbols,
    blocks: NDArray[np.int64],
    shuffles: int,
    seed: int,
    is_there: NDArray[np.bool_] | None = None,
) -> Information:
    """Rate of mutual information of first-order Markov sequences, I2 - I1.

    I1 = I(A_t-1; B_t-1) and I2 = I((A_t-1, A_t); (B_t-1, B_t)), so the rate is
    H(A_t | A_t-1) + H(B_t | B_t-1) - H(A_t, B_t | A_t-1, B_t-1). On a finite sample it may be
    slightly negative, or above I1.

    The baseline turns `second` round in time as if it were a ring, by a random part of the record
    between a sixteenth and the rest. Its own transitions stay as they are, but they now meet
    others of `first`. Permuting single samples would give it pairs it never has: a baseline that
    belongs to another sequence, and too high.

    Parameters are those of :func:`independent`, and `is_there`, shape (N,): a symbol that is not
    takes part in no pair. In the baseline the seam, and what is not there in the turned sequence,
    count like any sample; they are few.
    """
    a, b = _dense(first), _dense(second)
    kept: NDArray[np.bool_] | slice = slice(None)
    if is_there is not None:
        kept = is_there[1:] & is_there[:-1]
    blocks = blocks[1:][kept]
    pairs_a, pairs_b, from_a, from_b = _pairs(a)[kept], _pairs(b)[kept], a[:-1][kept], b[:-1][kept]
    joint = _joined(pairs_a, pairs_b)
    estimates = _entropies(pairs_a, blocks) - _entropies(from_a, blocks)
    estimates += _entropies(pairs_b, blocks) - _entropies(from_b, blocks)
    estimates += _entropies(_joined(from_a, from_b), blocks) - _entropies(joint, blocks)
    generator = np.random.default_rng(seed)
    least = -(-b.size // 16)

    def shuffled() -> float:
        turned = np.roll(b, int(generator.integers(least, b.size - least + 1)))
        rate = 0.0
        turned_pairs, turned_from = _pairs(turned)[kept], turned[:-1][kept]
        for left, right, sign in ((pairs_a, turned_pairs, 1), (from_a, turned_from, -1)):
            rate += sign * (_entropy(_counts(left)) + _entropy(_counts(right)))
            rate -= sign * _entropy(_counts(_joined(left, right)))
        return rate

    return _information(estimates, joint, shuffled, shuffles)


def entropy_bits(symbols: Symbols) -> float:
    """Plug-in entropy of a sequence of symbols."""
    return _entropy(_counts(_dense(symbols)))


def mean_interval(series: NDArray[np.float64]) -> tuple[float, float]:
    """Mean of a series of dependent values, and half the width of its 95 % interval.

    The variance of the mean is gamma_0 + 2 sum (1 - l/(L+1)) gamma_l over n, with L = n^(1/3) lags
    (a week, for a year of days), never less than gamma_0 / n; Student's t with n - 1 degrees.
    """
    count = series.size
    if count < 2:
        return float(series.sum()), math.inf
    centred = series - series.mean()
    plain = float(centred @ centred) / (count - 1)
    lags = int(round(count ** (1 / 3)))
    window = sum(
        (1 - lag / (lags + 1)) * float(centred[lag:] @ centred[:-lag]) for lag in range(1, lags + 1)
    )
    variance = max(plain, plain + 2 * window / (count - 1))
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, count - 1))
    return float(series.mean()), reach * math.sqrt(variance / count)


def _information(
    estimates: Estimates, joint: Symbols, shuffled: Callable[[], float], shuffles: int
) -> Information:
    blocks = estimates.size - 1
    bits = float(estimates[0])
    baseline = np.array([shuffled() for _ in range(shuffles)])
    counts = _counts(_dense(joint))
    singletons = int(np.count_nonzero(counts == 1))
    middle, half = mean_interval(blocks * estimates[0] - (blocks - 1) * estimates[1:])
    low = middle - half
    if singletons > MOST_UNSEEN * joint.size:
        low = min(low, bits - float(baseline.mean()) - half)
    return Information(
        bits=bits,
        corrected_bits=middle,
        ci_bits=(min(max(low, 0.0), bits), max(middle + half, bits)),
        shuffled_bits=float(baseline.mean()),
        shuffled_sd_bits=float(baseline.std(ddof=1)),
        cells=int(np.count_nonzero(counts)),
        singletons=singletons,
        unseen=singletons / joint.size,
    )


def _entropies(symbols: Symbols, blocks: NDArray[np.int64]) -> Estimates:
    """Entropy of all samples, then of all but each block.

    With n of N samples in a cell and S = sum n log2 n, the entropy is log2 N - S / N. Without a
    block that has m samples, c of them in the cell, N becomes N - m and n becomes n - c.
    """
    number = int(blocks[-1]) + 1
    keys = symbols * number + blocks
    if int(keys.max()) < _DENSE * keys.size:
        table = np.bincount(keys, minlength=-(-(int(keys.max()) + 1) // number) * number)
        places = np.flatnonzero(table)
        part = table[places]
    else:
        keys.sort()
        starts = np.flatnonzero(np.diff(keys, prepend=-1))
        places, part = keys[starts], np.diff(starts, append=keys.size)
    cells, block = np.divmod(places, number)
    first_of_cell = np.flatnonzero(np.diff(cells, prepend=-1))
    whole = np.add.reduceat(part, first_of_cell)
    in_cell = np.repeat(whole, np.diff(first_of_cell, append=cells.size))
    change = _n_log_n(in_cell - part) - _n_log_n(in_cell)
    total = float(_n_log_n(whole).sum())
    sums = np.append(total, total + np.bincount(block, weights=change, minlength=number))
    sizes = np.append(0, np.bincount(blocks, minlength=number))
    left = np.maximum(symbols.size - sizes, 1)
    result: Estimates = np.log2(left) - sums / left
    return result


def _entropy(counts: NDArray[np.int64]) -> float:
    total = int(counts.sum())
    return math.log2(total) - float(_n_log_n(counts).sum()) / total


def _n_log_n(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.log2(np.maximum(counts, 1)) * counts


def _counts(symbols: Symbols) -> NDArray[np.int64]:
    """How often each symbol occurs, for symbols of 0 or more; in no promised order."""
    if int(symbols.max()) < _DENSE * symbols.size:
        counted: NDArray[np.int64] = np.bincount(symbols)
        return counted
    ordered = np.sort(symbols)
    starts = np.flatnonzero(np.diff(ordered, prepend=-1))
    return np.diff(starts, append=symbols.size)


def _dense(symbols: Symbols) -> Symbols:
    """The same symbols numbered 0, 1, 2, ... in their order."""
    shifted = symbols - symbols.min()
    if int(shifted.max()) < _DENSE * symbols.size:
        numbers = np.cumsum(np.bincount(shifted) > 0) - 1
        renumbered: Symbols = numbers[shifted]
        return renumbered
    return np.unique(shifted, return_inverse=True)[1].astype(np.int64)


def _joined(first: Symbols, second: Symbols) -> Symbols:
    """One symbol for each pair of dense symbols."""
    joined: Symbols = first * (int(second.max()) + 1) + second
    return joined


def _pairs(symbols: Symbols) -> Symbols:
    """One dense symbol for each sample with the one before it, shape (N - 1,)."""
    return _dense(_joined(symbols[:-1], symbols[1:]))
