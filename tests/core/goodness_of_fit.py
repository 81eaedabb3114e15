"""Does a sampler follow a law? Tools for the noise tests: a fast source, a test, an enumerator."""

import random
from collections import defaultdict
from collections.abc import Callable, Iterable
from fractions import Fraction

import numpy as np
from scipy import stats

FALSE_ALARM = 1e-6  # of every test in the noise suites that draws samples


class SeededSource:
    """Uniform integers by rejection from a seeded Mersenne twister: fast, and good for tests."""

    def __init__(self, seed: int) -> None:
        self._bits = random.Random(seed).getrandbits

    def below(self, n: int) -> int:
        """Uniform in 0..n-1, exactly."""
        width = n.bit_length()
        value = self._bits(width)
        while value >= n:
            value = self._bits(width)
        return value


def p_value(samples: Iterable[float], edges: Iterable[float], at_most: Iterable[float]) -> float:
    """Probability, under the law, of a fit as bad as this one: an upper bound, not asymptotic.

    `at_most[i]` is Pr(X <= edges[i]), edges ascending. Every cell between edges and every Pr(X <=
    edge) gives a count that is exactly binomial; the smallest two-sided tail is multiplied by the
    number of counts (Bonferroni). A test `p_value(...) > a` has false-alarm rate at most a.
    """
    values = np.sort(np.asarray(list(samples), dtype=float))
    reached = np.searchsorted(values, np.asarray(list(edges), dtype=float), side="right")
    cumulated = np.asarray(list(at_most))
    counts = np.concatenate([reached, np.diff(reached, prepend=0, append=len(values))])
    chances = np.concatenate([cumulated, np.diff(cumulated, prepend=0.0, append=1.0)])
    low = stats.binom.cdf(counts, len(values), chances)
    high = stats.binom.sf(counts - 1, len(values), chances)
    return float(min(1.0, 2 * len(counts) * np.minimum(low, high).min()))


class _Fork(Exception):
    """The script is used up and a draw with several outcomes is asked for."""

    def __init__(self, outcomes: int) -> None:
        super().__init__(outcomes)
        self.outcomes = outcomes


class _Script:
    """A source whose answers are given; knows how likely they were."""

    def __init__(self, answers: tuple[int, ...]) -> None:
        self._answers = iter(answers)
        self.probability = Fraction(1)

    def below(self, n: int) -> int:
        if n == 1:
            return 0
        answer = next(self._answers, None)
        if answer is None:
            raise _Fork(n)
        self.probability /= n
        return answer


def enumerate_law(
    draw: Callable[[_Script], int], smallest: Fraction = Fraction(0)
) -> tuple[dict[int, Fraction], Fraction]:
    """Exact law of `draw(source)` over all outcomes of its coins.

    Paths less likely than `smallest` are not followed; their total probability is the second
    result, so the true Pr(x) lies between law[x] and law[x] + that.
    """
    law: dict[int, Fraction] = defaultdict(Fraction)
    left_open = Fraction(0)
    scripts: list[tuple[int, ...]] = [()]
    while scripts:
        answers = scripts.pop()
        source = _Script(answers)
        try:
            outcome = draw(source)
        except _Fork as fork:
            if source.probability < smallest * fork.outcomes:
                left_open += source.probability
            else:
                scripts.extend((*answers, i) for i in range(fork.outcomes))
        else:
            law[outcome] += source.probability
    return law, left_open
