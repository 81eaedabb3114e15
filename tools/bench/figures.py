"""What a benchmark is, and what it yields."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

MIB = 1 << 20


@dataclass(frozen=True)
class Figure:
    """One measured case at one size.

    Attributes
    ----------
    size:
        How much of the thing: meters, processes, bytes.
    unit:
        Of the samples, ``s`` or something per second.
    peer:
        The case of the same topic and size that this one is compared with.
    memory_bytes:
        What the case added to its process at its peak, where it was measured.
    facts:
        Further numbers by a name that carries the unit.
    """

    case: str
    size: int
    unit: str
    samples: tuple[float, ...]
    peer: str | None = None
    memory_bytes: int | None = None
    facts: dict[str, float] = field(default_factory=dict)

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    def times_better(self, other: Figure) -> float:
        """How many times better than another figure; below 1 it is worse."""
        if self.unit.endswith("/s"):
            return self.median / other.median
        return other.median / self.median


@dataclass(frozen=True)
class Skipped:
    """A case that was not measured, and why."""

    case: str
    size: int
    reason: str


@dataclass(frozen=True)
class Benchmark:
    """One topic.

    Attributes
    ----------
    name:
        What ``--only`` takes.
    about:
        What is measured and what is left out, in a sentence or two.
    sizes:
        What the sizes count.
    run:
        Measures; True means small sizes and few repeats.
    picture:
        Whether a picture of how time grows with size is written beside the figures.
    """

    name: str
    title: str
    about: str
    sizes: str
    run: Callable[[bool], Iterator[Figure | Skipped]]
    picture: bool = False


@dataclass(frozen=True)
class Result:
    """A topic that was run."""

    benchmark: Benchmark
    figures: list[Figure]
    skipped: list[Skipped]

    def peer_of(self, figure: Figure) -> Figure | None:
        for other in self.figures:
            if (other.case, other.size) == (figure.peer, figure.size):
                return other
        return None

    def as_json(self) -> dict[str, Any]:
        return {
            "title": self.benchmark.title,
            "about": self.benchmark.about,
            "sizes": self.benchmark.sizes,
            "figures": [self._figure_as_json(figure) for figure in self.figures],
            "skipped": [vars(skipped) for skipped in self.skipped],
        }

    def _figure_as_json(self, figure: Figure) -> dict[str, Any]:
        peer = self.peer_of(figure)
        return {
            "case": figure.case,
            "size": figure.size,
            "unit": figure.unit,
            "median": figure.median,
            "min": min(figure.samples),
            "max": max(figure.samples),
            "repeats": len(figure.samples),
            "peer": figure.peer,
            "times_better_than_peer": figure.times_better(peer) if peer else None,
            "memory_bytes": figure.memory_bytes,
            "facts": figure.facts,
        }


def run_topic(benchmark: Benchmark, quick: bool) -> Result:
    result = Result(benchmark, [], [])
    for found in benchmark.run(quick):
        if isinstance(found, Figure):
            result.figures.append(found)
        else:
            result.skipped.append(found)
    return result
