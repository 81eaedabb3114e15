"""What the benchmark yields: rows, and what could not be had."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hushmeter.errors import HushmeterError

LARGE = 100
"""A street of more meters is measured fewer times: a slot of it takes a minute of wall time."""


@dataclass(frozen=True)
class Row:
    """One figure.

    Attributes
    ----------
    topic:
        Heading that it stands under.
    unit:
        Of the samples: ``s``, ``bytes`` or a plural.
    members:
        Size of the street, or None where it does not matter.
    """

    topic: str
    case: str
    unit: str
    samples: tuple[float, ...]
    members: int | None = None
    note: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    def as_json(self) -> dict[str, Any]:
        return {
            "topic": self.topic,
            "case": self.case,
            "members": self.members,
            "unit": self.unit,
            "median": self.median,
            "mean": statistics.fmean(self.samples),
            "min": min(self.samples),
            "max": max(self.samples),
            "repeats": len(self.samples),
            "samples": list(self.samples),
            "note": self.note,
        }

    @staticmethod
    def from_json(kept: dict[str, Any]) -> Row:
        """The row that :meth:`as_json` has written; ``KeyError`` where a part of it is missing."""
        samples = tuple(float(sample) for sample in kept["samples"])
        members = None if kept["members"] is None else int(kept["members"])
        texts = (str(kept[name]) for name in ("topic", "case", "unit"))
        return Row(*texts, samples, members, str(kept["note"]))


@dataclass(frozen=True)
class Failure:
    """What ended a part of the benchmark: a refusal, a silence, an exception on the board."""

    part: str
    members: int | None
    reason: str

    def as_json(self) -> dict[str, Any]:
        return vars(self)


Rows = list[Row | Failure]
"""In the order in which they were measured; a failure is the last of its part."""

Add = Callable[..., None]
"""Takes the arguments of :class:`Row`, with one sample or a sequence of them."""


def collect(part: str, members: int | None, measure: Callable[[Add], None]) -> Rows:
    """The rows that ``measure`` adds, and what ended it early if anything did."""
    rows: Rows = []

    def add(
        topic: str,
        case: str,
        unit: str,
        samples: Any,
        members: int | None = members,
        note: str = "",
    ) -> None:
        several = tuple(samples) if isinstance(samples, list | tuple) else (samples,)
        rows.append(Row(topic, case, unit, several, members, note))

    try:
        measure(add)
    except HushmeterError as error:
        rows.append(Failure(part, members, str(error)))
    return rows
