"""What a grid draw gives away of the demand behind it, and what hiding it costs the battery.

Privacy, on load changes d'(t) = d(t) - d(t-1) and e'(t) = e(t) - e(t-1) (Yang et al., CCS 2012):

- `mi_*`: mutual information with the pairs taken as independent draws, in bins of `bin_w`.
- `mi_binary_*`: the same of "changed by more than `threshold_w`, up or down": does the grid draw
  show *when* something is switched, whatever its power?
- `mi_markov_*`: information rate with both sequences taken as first-order Markov.

How each is estimated, its shuffled baseline and its interval are in
:mod:`hushmeter.battery.information`. Two more, because one number never was enough:

- `mi_relative`: mutual information over H(d'), the share of what there is to learn. It compares
  homes; bits alone make a quiet home look private.
- `reconstruction_r2`: how well a linear filter gets the demand itself back; it catches what
  smoothing batteries leak (:mod:`hushmeter.battery.reconstruction`).

A low number here is no proof. Print an attack beside it (:mod:`hushmeter.battery.attacks`).

Where a record has a gap, what is measured are the samples that are there: no difference is taken
across the gap, no pair of differences, and no window. `breaks` says where.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hushmeter.battery import attacks, information
from hushmeter.battery.books import Units, energy_balance_error_ws
from hushmeter.battery.information import Information
from hushmeter.battery.reconstruction import REACH, reconstruction_r2
from hushmeter.errors import HushmeterError

Watts = NDArray[np.int64]

DAY_S = 86400
BIN_W = 20
THRESHOLD_W = attacks.THRESHOLD_W
SHUFFLES = 8
LEAST_SAMPLES = 4 * (2 * REACH + 1)


@dataclass(frozen=True)
class Metrics:
    """Measures of one run; the names are the keys of ``hushmeter hide --json``.

    Everything but `energy_balance_error_ws` is of the samples after the warm-up.

    Attributes
    ----------
    samples, step_s, warm_up_samples:
        Samples measured, seconds of one, and how many were left out before them.
    breaks:
        Gaps between these samples.
    bin_w, threshold_w:
        Width of a bin, with 0 in the middle of one; changes above the threshold count as events.
    blocks:
        Days (or pieces of a short record) that the intervals rest on.
    mi_bits, mi_corrected_bits, mi_ci_bits, mi_shuffled_bits, mi_shuffled_sd_bits:
        As in :class:`hushmeter.battery.information.Information`, bits a sample; likewise
        `mi_binary_*` and `mi_markov_*`.
    demand_entropy_bits, mi_relative:
        H(d') in the same bins, and `mi_bits` over it (0 if the demand never changes).
    change_correlation:
        Pearson's, of d' and e'; 0 if one of them never changes.
    reconstruction_r2:
        Share of the demand's variance that a linear filter predicts.
    level_changes_per_day:
        Samples whose draw differs from the one before, a day.
    cycles_per_day:
        Energy into and out of the battery over twice its usable capacity, a day; 0 without one.
    energy_balance_error_ws:
        Largest error of the balance over all beginnings of the run; None if no charge was given.
    peak_demand_w, peak_grid_w, demand_variance_w2, grid_variance_w2:
        Of the sampled power.
    warnings:
        What makes a number above worth less than it looks.
    """

    samples: int
    step_s: int
    warm_up_samples: int
    breaks: int
    bin_w: int
    threshold_w: int
    blocks: int
    mi_bits: float
    mi_corrected_bits: float
    mi_ci_bits: tuple[float, float]
    mi_shuffled_bits: float
    mi_shuffled_sd_bits: float
    mi_binary_bits: float
    mi_binary_corrected_bits: float
    mi_binary_ci_bits: tuple[float, float]
    mi_binary_shuffled_bits: float
    mi_binary_shuffled_sd_bits: float
    mi_markov_bits: float
    mi_markov_corrected_bits: float
    mi_markov_ci_bits: tuple[float, float]
    mi_markov_shuffled_bits: float
    mi_markov_shuffled_sd_bits: float
    demand_entropy_bits: float
    mi_relative: float
    change_correlation: float
    reconstruction_r2: float
    level_changes_per_day: float
    cycles_per_day: float
    energy_balance_error_ws: int | None
    peak_demand_w: int
    peak_grid_w: int
    demand_variance_w2: float
    grid_variance_w2: float
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Options:
    """How to measure; the defaults are what printed figures mean unless they say otherwise."""

    bin_w: int = BIN_W
    threshold_w: int = THRESHOLD_W
    warm_up_s: int = 0
    shuffles: int = SHUFFLES
    seed: int = 0

    def __post_init__(self) -> None:
        least = {"bin_w": 1, "threshold_w": 0, "warm_up_s": 0, "shuffles": 2}
        for name, bound in least.items():
            _check_least(name, getattr(self, name), bound)


def measure(  # noqa: PLR0913
    demand_w: Watts,
    grid_w: Watts,
    step_s: int,
    options: Options | None = None,
    usable_ws: int = 0,
    charge_ws: NDArray[np.int64] | None = None,
    units: Units | None = None,
    breaks: NDArray[np.bool_] | None = None,
) -> Metrics:
    """All measures of one home's run.

    Parameters
    ----------
    demand_w, grid_w:
        Whole watts on a regular grid, shape (N,); samples that are missing are left out.
    step_s:
        Seconds of a step.
    options:
        Bins, threshold, warm-up, shuffles.
    usable_ws:
        Capacity between the battery's bounds; 0 for none.
    charge_ws:
        Energy in the battery before the first step and after each, shape (N + 1,); checked
        if given.
    units:
        Of the battery, for that check; those of an ideal one by default.
    breaks:
        Whether samples are missing between each sample and the one before it, shape (N,).

    Raises
    ------
    HushmeterError
        Shapes or types do not fit, an option is out of range, or warm-up and gaps leave too little.
    """
    options = options or Options()
    demand_w, grid_w = _watts(demand_w, "demand_w"), _watts(grid_w, "grid_w")
    _check(demand_w, grid_w, step_s, options)
    error_ws = None
    if charge_ws is not None:
        books = units or Units.ideal(step_s)
        error_ws = energy_balance_error_ws(demand_w, grid_w, charge_ws, books)
    skipped = -(-options.warm_up_s // step_s)
    follows = _follows(breaks, demand_w.size)[skipped:]
    if np.count_nonzero(follows[2:] & follows[1:-1]) < LEAST_SAMPLES // 2:
        raise HushmeterError("too little is left between the gaps to be measured")
    demand_w, grid_w = demand_w[skipped:], grid_w[skipped:]
    days = demand_w.size * step_s / DAY_S
    blocks = information.blocks_of(demand_w.size, max(1, DAY_S // step_s))
    changes = np.diff(demand_w), np.diff(grid_w)
    plain, binary, markov = informations(*changes, blocks[1:], options, follows[1:])
    changes = changes[0][follows[1:]], changes[1][follows[1:]]
    demand_bins = quantise(changes[0], options.bin_w)
    entropy = information.entropy_bits(demand_bins)
    return Metrics(
        samples=demand_w.size,
        step_s=step_s,
        warm_up_samples=skipped,
        breaks=int(np.count_nonzero(~follows[1:])),
        bin_w=options.bin_w,
        threshold_w=options.threshold_w,
        blocks=int(blocks[-1]) + 1,
        **_named("mi", plain),
        **_named("mi_binary", binary),
        **_named("mi_markov", markov),
        demand_entropy_bits=entropy,
        mi_relative=plain.bits / entropy if entropy else 0.0,
        change_correlation=correlation(*changes),
        reconstruction_r2=reconstruction_r2(demand_w, grid_w, blocks, follows=follows),
        level_changes_per_day=int(np.count_nonzero(changes[1])) / days,
        cycles_per_day=cycles(demand_w, grid_w, step_s, usable_ws) / days,
        energy_balance_error_ws=error_ws,
        peak_demand_w=int(demand_w.max()),
        peak_grid_w=int(grid_w.max()),
        demand_variance_w2=float(demand_w.var()),
        grid_variance_w2=float(grid_w.var()),
        warnings=tuple(_warnings(plain, markov, int(blocks[-1]) + 1, days)),
    )


def informations(
    demand_changes_w: Watts,
    grid_changes_w: Watts,
    blocks: NDArray[np.int64],
    options: Options,
    is_change: NDArray[np.bool_] | None = None,
) -> tuple[Information, Information, Information]:
    """The three mutual informations of load changes: independent, binary, Markov.

    `is_change` is false where a difference was taken across a gap; such ones are left out.
    """
    kept = np.ones(blocks.size, dtype=np.bool_) if is_change is None else is_change
    demand_bins = quantise(demand_changes_w, options.bin_w)
    grid_bins = quantise(grid_changes_w, options.bin_w)
    demand_events = (np.abs(demand_changes_w[kept]) > options.threshold_w).astype(np.int64)
    grid_events = (np.abs(grid_changes_w[kept]) > options.threshold_w).astype(np.int64)
    rest = (options.shuffles, options.seed)
    return (
        information.independent(demand_bins[kept], grid_bins[kept], blocks[kept], *rest),
        information.independent(demand_events, grid_events, blocks[kept], *rest),
        information.markov(demand_bins, grid_bins, blocks, *rest, kept),
    )


def quantise(power_w: Watts, bin_w: int) -> NDArray[np.int64]:
    """Nearest multiple of `bin_w` to each, as the number of the multiple; ties away from 0.

    Zero is the middle of a bin and bins do not depend on the data, so runs can be compared.
    """
    sizes: NDArray[np.int64] = np.sign(power_w) * ((2 * np.abs(power_w) + bin_w) // (2 * bin_w))
    return sizes


def correlation(first: Watts, second: Watts) -> float:
    """Pearson's correlation; 0 where one of the two is constant."""
    left, right = first - first.mean(), second - second.mean()
    size = float(np.sqrt((left @ left) * (right @ right)))
    return float(left @ right) / size if size else 0.0


def cycles(demand_w: Watts, grid_w: Watts, step_s: int, usable_ws: int) -> float:
    """Full cycles of the battery: energy moved in and out over twice the usable capacity."""
    if usable_ws <= 0:
        return 0.0
    return int(np.abs(grid_w - demand_w).sum()) * step_s / (2 * usable_ws)


def _watts(power_w: Watts, name: str) -> Watts:
    power = np.asarray(power_w)
    if power.ndim != 1 or not np.issubdtype(power.dtype, np.integer):
        raise HushmeterError(
            f"{name} is {power.dtype} of shape {power.shape}; it must be whole watts of one home"
        )
    return power.astype(np.int64)


def _follows(breaks: NDArray[np.bool_] | None, samples: int) -> NDArray[np.bool_]:
    """Whether each sample comes right after the one before it, shape (N,)."""
    if breaks is None:
        return np.ones(samples, dtype=np.bool_)
    if breaks.shape != (samples,):
        raise HushmeterError(f"breaks has shape {breaks.shape}; it must be ({samples},)")
    follows: NDArray[np.bool_] = ~breaks
    return follows


def _check(demand_w: Watts, grid_w: Watts, step_s: int, options: Options) -> None:
    if demand_w.size != grid_w.size:
        raise HushmeterError(
            f"{demand_w.size} samples of demand and {grid_w.size} of the grid draw; "
            "there must be as many"
        )
    _check_least("step_s", step_s, 1)
    left = demand_w.size + -options.warm_up_s // step_s
    if left < LEAST_SAMPLES:
        raise HushmeterError(
            f"{max(left, 0)} samples are left after a warm-up of {options.warm_up_s} s; "
            f"{LEAST_SAMPLES} are needed"
        )


def _check_least(name: str, value: int, bound: int) -> None:
    if value < bound:
        raise HushmeterError(f"{name} is {value}; it must be {bound} or more")


def _named(prefix: str, found: Information) -> dict[str, Any]:
    return {
        f"{prefix}_bits": found.bits,
        f"{prefix}_corrected_bits": found.corrected_bits,
        f"{prefix}_ci_bits": found.ci_bits,
        f"{prefix}_shuffled_bits": found.shuffled_bits,
        f"{prefix}_shuffled_sd_bits": found.shuffled_sd_bits,
    }


def _warnings(plain: Information, markov: Information, blocks: int, days: float) -> Iterator[str]:
    for name, found in (("mi_bits", plain), ("mi_markov_bits", markov)):
        if found.unseen > information.MOST_UNSEEN:
            yield (
                f"{name}: too few samples for so many levels: {found.singletons} of "
                f"{found.cells} joint cells were met once, so about {found.unseen:.0%} of the law "
                "is unseen; compare it with its shuffled baseline, or take wider bins"
            )
    if days < information.LEAST_DAYS:
        yield (
            f"{days:.1f} days: the intervals rest on {blocks} pieces of this record and "
            "say nothing about other days"
        )
