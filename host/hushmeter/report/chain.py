"""The page of the whole chain: one picture, energies, the battery, what leaks."""

from __future__ import annotations

from collections.abc import Iterator

from hushmeter.report import page as pages
from hushmeter.report.pictures import Picture
from hushmeter.study.chain import ChainRun, ChainStudy, Leakage

NOTHING = "–"


def page(found: ChainStudy, picture: Picture, command: str) -> str:
    """The page's text."""
    return (
        pages.environment()
        .get_template("chain.html.j2")
        .render(
            study=found,
            picture=picture,
            names=list(found.runs),
            rows=list(rows(found)),
            leaks=list(leakage_rows(found)),
            appliances={name: run.appliances for name, run in found.runs.items() if run.appliances},
            command=command,
        )
    )


def rows(found: ChainStudy) -> Iterator[tuple[str, list[str]]]:
    """A name and a figure for each controller."""
    runs = list(found.runs.values())
    yield "energy the home used", [f"{run.energy.true_wh:,.1f} Wh" for run in runs]
    yield "the meter's error of it", [_percent(run.energy.error_percent) for run in runs]
    yield "energy from the grid", [f"{run.energy.grid_true_wh:,.1f} Wh" for run in runs]
    yield "the meter's error of it", [_percent(run.energy.grid_error_percent) for run in runs]
    yield "seconds without a sample", [_missed(run) for run in runs]
    yield (
        "slots, and with a gap",
        [
            f"{run.energy.slots + run.energy.slots_with_gaps}, {run.energy.slots_with_gaps}"
            for run in runs
        ],
    )
    yield (
        "battery's power less its set-point, mean",
        [f"{run.battery.mean_difference_w:+.2f} W" for run in runs],
    )
    yield "the same, RMS", [f"{run.battery.rms_difference_w:,.1f} W" for run in runs]
    yield "looks like a delay of", [f"{run.battery.lag_s:.2f} s" for run in runs]
    yield "RMS beyond such a delay", [f"{run.battery.best_rms_difference_w:,.1f} W" for run in runs]
    yield "lost in the battery", [f"{run.battery.lost_wh:,.1f} Wh" for run in runs]
    yield (
        "its charge changed by",
        [f"{run.battery.charge_after_wh - run.battery.charge_before_wh:+,.1f} Wh" for run in runs],
    )
    yield "the meter's books say", [f"{run.battery.book_change_wh:+,d} Wh" for run in runs]
    yield "meter's clock, worst error", [f"{run.lived.worst_clock_ms:.0f} ms" for run in runs]
    yield (
        "its quartz, estimated",
        [f"{-run.lived.life['drift_ppb'] / 1000:+.1f} ppm" for run in runs],
    )


def leakage_rows(found: ChainStudy) -> Iterator[list[str]]:
    """Series, step, bits, their interval, "when", Markov, claims right and found, each with what
    chance finds, and R²."""
    first = next(iter(found.runs.values()), None)
    for one in first.before if first is not None else ():
        yield ["nothing hidden", *_leak(one)]
        for name, run in found.runs.items():
            for after in run.after:
                if after.step_s == one.step_s:
                    yield [name, *_leak(after)]


def _leak(one: Leakage) -> list[str]:
    low, high = one.mi_ci_bits
    return [
        f"{one.step_s} s",
        _beside(one.mi_bits, one.mi_shuffled_bits),
        f"{low:.2f}–{high:.2f}",
        _beside(one.mi_binary_bits, one.mi_binary_shuffled_bits),
        _beside(one.mi_markov_bits, one.mi_markov_shuffled_bits),
        f"{one.claims_right:.0%} ({one.claims_right_by_chance:.0%})",
        f"{one.claims_found:.0%} ({one.claims_found_by_chance:.0%})",
        f"{one.reconstruction_r2:.2f}",
    ]


def _beside(bits: float, by_chance: float) -> str:
    return f"{bits:.3f} ({by_chance:.3f})"


def _missed(run: ChainRun) -> str:
    return f"{run.lived.life['missed_samples'] + run.lived.life['failed_samples']:,}"


def _percent(value: float | None) -> str:
    return NOTHING if value is None else f"{value:+.2f} %"
