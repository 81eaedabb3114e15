"""Exact laws of shares and totals, and broken copies of the compiled sampler."""

import inspect
import math
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
from scipy import signal, stats

from hushmeter.privacy import sampler_kernels
from tests.core.goodness_of_fit import p_value


def cumulated(shape: float, scale: Fraction) -> tuple[np.ndarray, np.ndarray]:
    """Values d and Pr(A - B <= d), A and B negative binomial with this shape, by convolution."""
    reach = int(scale * (45 + 4 * Fraction(shape))) + 40
    pmf = stats.nbinom(shape, -math.expm1(-1 / scale)).pmf(np.arange(reach))
    values = np.arange(1 - reach, reach)
    return values, np.clip(np.cumsum(signal.fftconvolve(pmf, pmf[::-1])), 0, 1)


def fit(samples: np.ndarray, shape: float, scale: Fraction) -> float:
    """p-value, an upper bound: about 30 quantiles of the law, and the small values one by one."""
    values, at_most = cumulated(shape, scale)
    wanted = np.searchsorted(at_most, np.linspace(0.002, 0.998, 31))
    small = np.flatnonzero((np.abs(values) <= 4) & (at_most > 1e-4) & (at_most < 1 - 1e-4))
    chosen = np.unique(np.concatenate([wanted, small]))
    return p_value(samples, values[chosen], at_most[chosen])


def broken(old: str, new: str) -> SimpleNamespace:
    """The kernels with one piece of their text replaced, uncompiled."""
    text = inspect.getsource(sampler_kernels)
    assert text.count(old) >= 1, old
    names: dict[str, object] = {"__name__": "broken"}
    text = text.replace("from hushmeter.compiler import compiled", "compiled = lambda f: f")
    exec(compile(text.replace(old, new), "broken", "exec"), names)
    return SimpleNamespace(**names)
