"""The demand of one home on regular steps of whole watts, and the rule for its gaps.

A step is a whole number of the file's rows, and its demand their mean. Whole watts are kept by
carrying the remainder on: after every step the energy is that of the file to within half a watt of
a step. The length of a step is stated, or that of a row; it is never guessed.

Gaps. A step of which a row is missing is missing as a whole. In a missing step the controller is
not called: its battery rests, its memory stays, and neither demand nor draw is known. What is
measured afterwards leaves out the step and the differences across it. Nothing is filled in. Gaps of
up to `LONGEST_BRIDGED_S` are passed over in this way and counted; a longer one is refused, unless
the user says that longer ones may be too: after a night without readings a battery would not be
where it was before.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from hushmeter.errors import HushmeterError
from hushmeter.loads import Load

LONGEST_BRIDGED_S = 3600
MOST_STEP_S = 3600
_MOST_NAMES = 8


@dataclass(frozen=True)
class Record:
    """The demand of one home.

    Attributes
    ----------
    source, home:
        File and column that it comes from.
    start:
        Unix seconds of the beginning of the first step.
    step_s, row_s:
        Seconds of a step, and of a row of the file.
    demand_w:
        int64, shape (steps,): whole watts; 0 where missing.
    missing:
        bool, shape (steps,).
    rows_left_over:
        Rows at the end of the file that fill no step.
    """

    source: str
    home: str
    start: int
    step_s: int
    row_s: int
    demand_w: NDArray[np.int64]
    missing: NDArray[np.bool_]
    rows_left_over: int

    @property
    def steps(self) -> int:
        return int(self.demand_w.size)

    @property
    def gaps(self) -> int:
        """Runs of missing steps."""
        return int(np.count_nonzero(np.diff(self.missing.astype(np.int8), prepend=0) == 1))

    @property
    def missing_steps(self) -> int:
        return int(np.count_nonzero(self.missing))

    def clock(self, step: int) -> str:
        """When a step begins, ISO 8601, UTC."""
        return clock(self.start + step * self.step_s)


def clock(unix_s: int) -> str:
    """Unix seconds as ISO 8601, UTC."""
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def record_of(
    load: Load, home: str | None = None, step_s: int | None = None, bridge_gaps: bool = False
) -> Record:
    """One home of a load, as steps.

    Parameters
    ----------
    load:
        What was read from a file.
    home:
        Name of the column; may be left out if there is one only.
    step_s:
        Seconds of a step, a multiple of the row; the row if None.
    bridge_gaps:
        Pass over gaps of any length.

    Raises
    ------
    HushmeterError
        No such home, or several and none named; a step that does not fit the rows; a gap that is
        too long; no reading at all.
    """
    place = _place(load, home)
    step_s = load.row_s if step_s is None else step_s
    if not 1 <= step_s <= MOST_STEP_S or step_s % load.row_s:
        raise HushmeterError(
            f"a step of {step_s} s; {load.source} has rows of {load.row_s} s, so a step is a "
            f"multiple of that, up to {MOST_STEP_S} s"
        )
    rows = step_s // load.row_s
    steps = load.rows // rows
    if not steps:
        raise HushmeterError(f"{load.source}: {load.rows} rows do not fill one step of {step_s} s")
    energy_ws = load.energy_ws[place, : steps * rows].reshape(steps, rows).sum(axis=1)
    missing: NDArray[np.bool_] = (
        load.missing[place, : steps * rows].reshape(steps, rows).max(axis=1)
    )
    energy_ws[missing] = 0
    record = Record(
        source=load.source,
        home=load.names[place],
        start=load.start,
        step_s=step_s,
        row_s=load.row_s,
        demand_w=_whole_watts(energy_ws, step_s),
        missing=missing,
        rows_left_over=load.rows - steps * rows,
    )
    record.demand_w[missing] = 0
    _check_gaps(record, bridge_gaps)
    return record


def _place(load: Load, home: str | None) -> int:
    if home is None and load.homes == 1:
        return 0
    if home is None or home not in load.names:
        names = ", ".join(load.names[:_MOST_NAMES])
        more = f" and {load.homes - _MOST_NAMES} more" if load.homes > _MOST_NAMES else ""
        wanted = "name one" if home is None else f"there is no home {home!r}"
        raise HushmeterError(
            f"{load.source} has {load.homes} homes, {names}{more}; {wanted}",
            hint=f"--home {load.names[0]}",
        )
    if load.names.count(home) > 1:
        raise HushmeterError(f"{load.source} has several columns named {home!r}; rename them")
    return load.names.index(home)


def _whole_watts(energy_ws: NDArray[np.int64], step_s: int) -> NDArray[np.int64]:
    """Mean watts of each step, the remainder carried on."""
    whole, rest = np.divmod(energy_ws, step_s)
    carried = (np.cumsum(rest) + step_s // 2) // step_s
    return np.asarray(whole + np.diff(carried, prepend=0), dtype=np.int64)


def _check_gaps(record: Record, bridge_gaps: bool) -> None:
    if record.missing.all():
        raise HushmeterError(f"{record.source}: home {record.home} has no reading at all")
    if bridge_gaps:
        return
    edges = np.flatnonzero(np.diff(record.missing.astype(np.int8), prepend=0, append=0))
    for first, last in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        length_s = (last - first) * record.step_s
        if length_s > LONGEST_BRIDGED_S:
            raise HushmeterError(
                f"{record.source}: home {record.home} has no readings from {record.clock(first)} "
                f"to {record.clock(last)}, {length_s} s; gaps of up to {LONGEST_BRIDGED_S} s are "
                "passed over",
                hint="--bridge-gaps passes over longer ones too: the battery rests meanwhile, and "
                "what is measured leaves them out",
            )
