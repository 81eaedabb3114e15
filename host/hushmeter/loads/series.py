"""From stamped readings to a load: length of a row, gaps, absurd values, whole watt-seconds."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hushfw.drivers import replay
from hushmeter.errors import HushmeterError
from hushmeter.loads.cells import Text
from hushmeter.loads.load import Load

MOST_READINGS = 100_000_000
LONGEST_GAP_S = 31 * 86400
"""Rows that are absent altogether become missing rows, up to a jump of this length."""
LONGEST_RUN = 8
"""So many equal jumps in a row are another resolution and no gaps."""
LARGEST_ROW_WS = -replay.MISSING - 1


@dataclass(frozen=True)
class Readings:
    """What a file says, one entry a row.

    `stamps` (unix seconds) and `lines` have shape (rows,); `values` (billionths of `unit_ws`
    watt-seconds) and `missing` have shape (rows, homes). `row_s` is None where the stamps say it.
    Where `is_power` is set, `unit_ws` is that of a second and not of the row.
    """

    text: Text
    names: list[str]
    unit_ws: int
    row_s: int | None
    stamps: NDArray[np.int64]
    lines: NDArray[np.int64]
    values: NDArray[np.int64]
    missing: NDArray[np.bool_]
    is_power: bool = False


def to_load(readings: Readings, allow_export: bool) -> Load:
    """Checks everything that needs more than one row, fills gaps, and rounds.

    Energy becomes whole watt-seconds with the remainder carried down the column: the sum of the
    first n rows is that of the file, rounded, for every n.
    """
    row_s = _row_s(readings)
    if readings.is_power:
        readings = replace(readings, unit_ws=readings.unit_ws * row_s, is_power=False)
    _check_values(readings, row_s, allow_export)
    places = (readings.stamps - readings.stamps[0]) // row_s
    homes, rows = readings.values.shape[1], int(places[-1]) + 1
    if homes * rows > MOST_READINGS:
        raise readings.text.fault(f"{homes} homes x {rows} rows; at most {MOST_READINGS} readings")
    energy_ws = np.zeros((homes, rows), dtype=np.int64)
    missing = np.ones((homes, rows), dtype=np.bool_)
    for home in range(homes):
        energy_ws[home, places] = _whole_ws(readings.values[:, home], readings.unit_ws)
        missing[home, places] = readings.missing[:, home]
    return Load(
        start=int(readings.stamps[0]),
        row_s=row_s,
        energy_ws=energy_ws,
        missing=missing,
        names=readings.names,
        source=readings.text.name,
    )


def _row_s(readings: Readings) -> int:
    """Seconds of a row: the commonest distance of two rows; the others are its multiples."""
    jumps_s = np.diff(readings.stamps)
    back = np.flatnonzero(jumps_s <= 0)
    if back.size:
        raise _fault_after(
            readings,
            int(back[0]),
            "the time is not after that of the row before; rows must be in order, each time once "
            "(local time repeats an hour in autumn: use UTC)",
        )
    row_s = readings.row_s
    if row_s is None:
        if not jumps_s.size:
            raise readings.text.fault("a single row; two are needed to tell how long a row is")
        lengths_s, first, counts = np.unique(jumps_s, return_index=True, return_counts=True)
        row_s = int(lengths_s[np.lexsort((first, -counts))[0]])
    if row_s > replay.MOST_ROW_S:
        raise readings.text.fault(f"rows of {row_s} s; at most {replay.MOST_ROW_S} s are taken")
    _check_jumps(readings, jumps_s, row_s)
    return row_s


def _check_jumps(readings: Readings, jumps_s: NDArray[np.int64], row_s: int) -> None:
    odd = np.flatnonzero(jumps_s % row_s)
    if odd.size:
        raise _mixed(readings, int(odd[0]), jumps_s, row_s)
    long = np.flatnonzero(jumps_s > LONGEST_GAP_S)
    if long.size:
        raise _fault_after(
            readings,
            int(long[0]),
            f"{int(jumps_s[long[0]]) // 86400} days without rows; "
            f"a gap may be {LONGEST_GAP_S // 86400} days",
        )
    gaps = np.flatnonzero(jumps_s > row_s)
    if gaps.size >= 2 and 4 * gaps.size > jumps_s.size:
        raise _mixed(readings, int(gaps[0]), jumps_s, row_s)
    # A run: the gap at i equals the one LONGEST_RUN - 1 gaps later, with no row between.
    ahead = gaps[LONGEST_RUN - 1 :]
    behind = gaps[: ahead.size]
    for first in behind[ahead - behind == LONGEST_RUN - 1]:
        if np.ptp(jumps_s[first : first + LONGEST_RUN]) == 0:
            raise _mixed(readings, int(first), jumps_s, row_s)


def _mixed(readings: Readings, row: int, jumps_s: NDArray[np.int64], row_s: int) -> HushmeterError:
    return _fault_after(
        readings,
        row,
        f"mixed resolutions: {int(jumps_s[row])} s after the row before, where rows are {row_s} s",
    )


def _fault_after(readings: Readings, row: int, what: str) -> HushmeterError:
    return readings.text.fault(what, int(readings.lines[row + 1]))


def _check_values(readings: Readings, row_s: int, allow_export: bool) -> None:
    most_ws = min(replay.MOST_W * row_s, LARGEST_ROW_WS)
    most = most_ws * 10**9 // readings.unit_ws
    values = readings.values
    if int(values.max()) > most or int(values.min()) < -most:
        _refuse_first(readings, np.abs(values) > most, f"more than {most_ws // row_s} W is no home")
    if not allow_export and int(values.min()) < 0:
        _refuse_first(readings, values < 0, "negative energy, and export is not enabled")


def _refuse_first(readings: Readings, wrong: NDArray[np.bool_], what: str) -> None:
    row, home = divmod(int(wrong.argmax()), wrong.shape[1])
    raise readings.text.fault(what, int(readings.lines[row]), readings.names[home])


def _whole_ws(values: NDArray[np.int64], unit_ws: int) -> NDArray[np.int64]:
    """Billionths of `unit_ws` watt-seconds, shape (rows,), to whole watt-seconds with carry."""
    shorter = int(np.gcd(unit_ws, 10**9))
    per = 10**9 // shorter
    whole, rest = np.divmod(values * (unit_ws // shorter), per)
    carried = (np.cumsum(rest) + per // 2) // per
    return np.asarray(whole + np.diff(carried, prepend=0), dtype=np.int64)
