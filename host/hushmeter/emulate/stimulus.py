"""A trace of watts with time stamps: what a meter's sensor is shown, and the truth it is held to.

    trace = read_trace(Path("kettle.csv"))       # time_s,watts[,power_factor]
    trace.watts(12.5)                            # as a peer on the wire asks
    trace.energy_ws(0, 60)                       # the truth of a minute

A row holds from its time on until the next row's; the last one holds for ever, and the first one
before its time too. Watts are positive for load and negative for power fed in. The power factor is
above 0 where the current lags (inductive), below 0 where it leads (capacitive), 1 by default.
"""

from __future__ import annotations

import csv
import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path

from hushfw.core.peripherals import MAX_POWER_W
from hushmeter.errors import HushmeterError
from hushmeter.loads import Load

COLUMNS = ("time_s", "watts", "power_factor")
MOST_ROWS = 10_000_000
LEAST_POWER_FACTOR = 0.05
"""Below it a load of a few watts has a current that no home has."""


@dataclass(frozen=True)
class Trace:
    """Watts that change at given times.

    Attributes
    ----------
    times_s:
        Rising.
    steps_w, power_factors:
        From each time on.

    Raises
    ------
    HushmeterError
        The three differ in length, or there is no row.
    """

    times_s: Sequence[float]
    steps_w: Sequence[float]
    power_factors: Sequence[float] = ()
    _before_ws: list[float] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.power_factors:
            object.__setattr__(self, "power_factors", [1.0] * len(self.times_s))
        lengths = {len(self.times_s), len(self.steps_w), len(self.power_factors)}
        if len(lengths) != 1 or lengths == {0}:
            raise HushmeterError("a trace needs a time, watts and a power factor for each row")
        parts = (
            watts * (later - earlier)
            for watts, earlier, later in zip(
                self.steps_w, self.times_s, self.times_s[1:], strict=False
            )
        )
        object.__setattr__(self, "_before_ws", list(accumulate(parts, initial=0.0)))

    def row(self, now_s: float) -> int:
        """The row that holds at a time."""
        return max(0, bisect_right(self.times_s, now_s) - 1)

    def watts(self, now_s: float) -> float:
        """Signed watts at a time."""
        return self.steps_w[self.row(now_s)]

    def power_factor(self, now_s: float) -> float:
        """Signed power factor at a time."""
        return self.power_factors[self.row(now_s)]

    def energy_ws(self, first_s: float, last_s: float) -> float:
        """The energy between two times."""
        return self._until_ws(last_s) - self._until_ws(first_s)

    def mean_w(self, first_s: float, last_s: float) -> float:
        """The mean power between two times."""
        return self.energy_ws(first_s, last_s) / (last_s - first_s)

    def _until_ws(self, now_s: float) -> float:
        row = self.row(now_s)
        return self._before_ws[row] + self.steps_w[row] * (now_s - self.times_s[row])

    @property
    def length_s(self) -> float:
        """From the first row to the last."""
        return self.times_s[-1] - self.times_s[0]

    @property
    def exports(self) -> bool:
        """Whether power is ever fed in."""
        return min(self.steps_w) < 0


def constant(watts: float, power_factor: float = 1.0) -> Trace:
    """The same load for ever."""
    return Trace([0.0], [watts], [power_factor])


def even(steps_w: Sequence[float], step_s: float = 1.0, first_s: float = 0.0) -> Trace:
    """Steps of one length."""
    return Trace([first_s + place * step_s for place in range(len(steps_w))], steps_w)


def of_load(load: Load, home: int = 0, first_row: int = 0, rows: int | None = None) -> Trace:
    """Rows of a load as mean watts; time 0 is the first row's beginning.

    Raises
    ------
    HushmeterError
        No such rows, or one of them is missing: a stimulus shows no gap.
    """
    last = load.rows if rows is None else first_row + rows
    if not 0 <= home < load.homes or not 0 <= first_row < last <= load.rows:
        raise HushmeterError(
            f"rows {first_row} to {last} of home {home}; {load.source} has {load.rows} rows of "
            f"{load.homes} homes"
        )
    missing = load.missing[home, first_row:last]
    if missing.any():
        raise HushmeterError(
            f"{load.source}: {int(missing.sum())} of the rows {first_row} to {last} are missing",
            hint="take a part without gaps",
        )
    watts = (load.energy_ws[home, first_row:last] / load.row_s).tolist()
    return even(watts, load.row_s)


def read_trace(path: Path) -> Trace:
    """Reads ``time_s,watts[,power_factor]``; the names may be in the first line.

    Raises
    ------
    HushmeterError
        The file cannot be read, or a row is wrong; the message names the line.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return _of_rows(path, csv.reader(file))
    except OSError as error:
        raise HushmeterError(f"{path} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise HushmeterError(f"{path} is no CSV file: {error}") from error


def _of_rows(path: Path, lines: Iterable[list[str]]) -> Trace:
    times_s: list[float] = []
    steps_w: list[float] = []
    factors: list[float] = []
    columns = 0
    for number, cells in enumerate(lines, start=1):
        words = [cell.strip() for cell in cells]
        if words in ([], [""]) or (number == 1 and tuple(words) == COLUMNS[: len(words)]):
            continue
        columns = columns or len(words)
        row = _row(f"{path}: line {number}", words, columns)
        if times_s and row[0] <= times_s[-1]:
            raise HushmeterError(
                f"{path}: line {number}: time_s is {row[0]:g} after {times_s[-1]:g}; it must rise"
            )
        if len(times_s) == MOST_ROWS:
            raise HushmeterError(f"{path}: more than {MOST_ROWS} rows; use a part of it")
        times_s.append(row[0])
        steps_w.append(row[1])
        factors.append(row[2])
    if not times_s:
        raise HushmeterError(f"{path}: no rows; wanted time_s,watts or time_s,watts,power_factor")
    return Trace(times_s, steps_w, factors)


def _row(where: str, words: list[str], columns: int) -> tuple[float, float, float]:
    """Time, watts and power factor of one line."""
    if len(words) != columns or columns not in (2, 3):
        raise HushmeterError(
            f"{where}: {len(words)} cells; wanted {columns if columns in (2, 3) else '2 or 3'}: "
            "time_s,watts[,power_factor]"
        )
    bounds = ((0.0, 1e9), (-float(MAX_POWER_W), float(MAX_POWER_W)), (-1.0, 1.0))
    values = [1.0, 1.0, 1.0]
    for place, (word, name, (least, most)) in enumerate(zip(words, COLUMNS, bounds, strict=False)):
        try:
            values[place] = float(word)
        except ValueError:
            values[place] = math.nan
        if not least <= values[place] <= most:
            raise HushmeterError(
                f"{where}: {name} is {word!r}; it must be a number from {least:g} to {most:g}"
            )
    if abs(values[2]) < LEAST_POWER_FACTOR:
        raise HushmeterError(
            f"{where}: power_factor is {words[2]}; it must be {LEAST_POWER_FACTOR} to 1, or "
            "negative where the current leads"
        )
    return values[0], values[1], values[2]


def write_trace(trace: Trace) -> bytes:
    """The file that :func:`read_trace` reads."""
    rows = zip(trace.times_s, trace.steps_w, trace.power_factors, strict=True)
    text = "\n".join(f"{time_s!r},{watts!r},{factor!r}" for time_s, watts, factor in rows)
    return f"{','.join(COLUMNS)}\n{text}\n".encode("ascii")
