"""Reads real loads. What a file is, its content says, not its name.

Two formats, each also packed with gzip:

UCI household file
    "Individual household electric power consumption", UCI Machine Learning Repository: separated
    by semicolons, `Date` (day/month/year) and `Time`, one row a minute, `Global_active_power` the
    mean of the minute in kW, gaps empty or `?`. One home.
Wide CSV
    First line the names, first column the time (ISO 8601) at which the row begins, then one column
    a home: Wh in the row, or mean watts of the row where all names end in `_w`. Missing is an empty
    cell, `?` or `NaN`.

Stamps without a zone are taken as UTC.
"""

import csv
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hushmeter.errors import HushmeterError
from hushmeter.loads.cells import Cells, Text, cut, numbers, open_text
from hushmeter.loads.load import Load
from hushmeter.loads.series import MOST_READINGS, Readings, to_load

UCI_COLUMNS = ("Date", "Time", "Global_active_power")
UCI_ROW_S = 60
WATTS = "_w"
"""The end of a column's name that says its unit."""
EPOCH = date(1970, 1, 1).toordinal()
LAST_YEAR = 2105

_DAY = re.compile(rb"([0-9]{1,2})/([0-9]{1,2})/([0-9]{4})")


def read_load(path: Path, allow_export: bool = False) -> Load:
    """Reads the load in a file.

    Parameters
    ----------
    path:
        A file in one of the formats above.
    allow_export:
        Negative energy is taken (a home that feeds in); otherwise it is an error.

    Raises
    ------
    HushmeterError
        The file is of no known format, empty, damaged or truncated, or a row is out of order,
        absurd or not a number. File, line and column are named.
    """
    with open_text(Path(path)) as text:
        first = text.read_line()
        if not first.strip():
            raise text.fault("the file is empty" if not first else "the first line is empty")
        second = text.read_line()
        text.unread_line(second)
        header = _header(first)
        if header[: len(UCI_COLUMNS) - 1] == list(UCI_COLUMNS[:-1]) and UCI_COLUMNS[-1] in header:
            return to_load(_read_uci(text, header), allow_export)
        header = _header(first, ",")
        if len(header) >= 2 and (not second.strip() or _is_stamp(second.split(b",")[0])):
            return to_load(_read_wide(text, header), allow_export)
        raise HushmeterError(
            f"{text.name}: unknown format",
            hint="unpack the archive first"
            if first.startswith(b"PK")
            else "wanted the UCI household file, or a CSV with the time in the first column "
            "and one column a home, of Wh, or of watts where the names end in _w",
        )


def _header(line: bytes, separator: str = ";") -> list[str]:
    try:
        fields = next(csv.reader([line.decode("utf-8-sig").strip()], delimiter=separator))
    except (UnicodeDecodeError, csv.Error, StopIteration):
        return []
    return [field.strip() for field in fields]


def _read_uci(text: Text, header: list[str]) -> Readings:
    power = header.index(UCI_COLUMNS[-1])
    return _read_table(
        text,
        separator=";",
        columns=len(header),
        stamps=_uci_stamps,
        picked=slice(power, power + 1),
        names=[UCI_COLUMNS[-1]],
        unit_ws=1000 * UCI_ROW_S,
        row_s=UCI_ROW_S,
    )


def _read_wide(text: Text, header: list[str]) -> Readings:
    names = [name or f"column {place}" for place, name in enumerate(header[1:], start=2)]
    in_watts = [name.endswith(WATTS) for name in names]
    if any(in_watts) and not all(in_watts):
        raise text.fault(
            f"column {names[in_watts.index(True)]} is in watts by its name and column "
            f"{names[in_watts.index(False)]} is not; all homes have one unit",
            1,
        )
    return _read_table(
        text,
        separator=",",
        columns=len(header),
        stamps=_iso_stamps,
        picked=slice(1, None),
        names=names,
        unit_ws=1 if in_watts[0] else 3600,
        row_s=None,
        is_power=in_watts[0],
    )


def _read_table(
    text: Text,
    *,
    separator: str,
    columns: int,
    stamps: Callable[[Text, Cells], NDArray[np.int64]],
    picked: slice,
    names: list[str],
    unit_ws: int,
    row_s: int | None,
    is_power: bool = False,
) -> Readings:
    parts: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]] = []
    gaps: list[NDArray[np.bool_]] = []
    readings = 0
    for line, block in text.blocks():
        cells = cut(text, line, block, separator, columns)
        if not cells.lines.size:
            continue
        values, missing = numbers(text, cells, picked, names)
        parts.append((stamps(text, cells), cells.lines, values))
        gaps.append(missing)
        readings += values.size
        if readings > MOST_READINGS:
            raise text.fault(f"more than {MOST_READINGS} readings; use a part of it")
    if not parts:
        raise text.fault("no rows after the header")
    all_stamps, all_lines, all_values = (
        np.concatenate([part[place] for part in parts]) for place in range(3)
    )
    return Readings(
        text,
        names,
        unit_ws,
        row_s,
        all_stamps,
        all_lines,
        all_values,
        np.concatenate(gaps),
        is_power,
    )


def _uci_stamps(text: Text, cells: Cells) -> NDArray[np.int64]:
    """Unix seconds of `Date` and `Time`, shape (lines,). A day is parsed once, not once a row."""
    letters = cells.matrix(1, 8)
    digits = letters - np.uint8(ord("0"))
    hours, minutes, seconds = (
        digits[:, place] * np.int64(10) + digits[:, place + 1] for place in (0, 3, 6)
    )
    good = (cells.ends[:, 1] - cells.starts[:, 1] == 8) & (letters[:, [2, 5]] == ord(":")).all(1)
    good &= (digits[:, [0, 1, 3, 4, 6, 7]] < 10).all(1)
    good &= (hours < 24) & (minutes < 60) & (seconds < 60)
    if not good.all():
        row = int((~good).argmax())
        raise text.fault("the time must be hh:mm:ss", int(cells.lines[row]), "Time")
    days = cells.matrix(0, 11).view("S11").ravel()
    new_day = np.flatnonzero(np.concatenate(([True], days[1:] != days[:-1])))
    ordinals = [_ordinal(text, cells, int(row)) for row in new_day]
    repeats = np.diff(new_day, append=days.size)
    midnights_s = (np.array(ordinals, dtype=np.int64) - EPOCH) * 86400
    stamps: NDArray[np.int64] = np.repeat(midnights_s, repeats)
    stamps += hours * 3600 + minutes * 60 + seconds
    return stamps


def _ordinal(text: Text, cells: Cells, row: int) -> int:
    match = _DAY.fullmatch(cells.raw(row, 0))
    if match:
        day, month, year = (int(part) for part in match.groups())
        try:
            if 1970 <= year <= LAST_YEAR:
                return date(year, month, day).toordinal()
        except ValueError:
            pass
    raise text.fault(
        f"the date must be day/month/year, 1970 to {LAST_YEAR}", int(cells.lines[row]), "Date"
    )


def _iso_stamps(text: Text, cells: Cells) -> NDArray[np.int64]:
    """Unix seconds of the first column, shape (lines,)."""
    stamps = np.empty(cells.lines.size, dtype=np.int64)
    for row in range(cells.lines.size):
        stamp = _stamp_s(cells.raw(row, 0))
        if stamp is None:
            raise text.fault(
                "the time must be ISO 8601 in whole seconds, such as 2009-04-01T00:30, "
                f"1970 to {LAST_YEAR}",
                int(cells.lines[row]),
                "1",
            )
        stamps[row] = stamp
    return stamps


def _is_stamp(cell: bytes) -> bool:
    return _stamp_s(cell) is not None


def _stamp_s(cell: bytes) -> int | None:
    try:
        stamp = datetime.fromisoformat(cell.strip(b' "\t\r\n').decode("ascii"))
        if stamp.tzinfo is None:
            stamp = stamp.replace(tzinfo=UTC)
        seconds = stamp.timestamp()
    except (ValueError, OverflowError):
        return None
    if not 1970 <= stamp.year <= LAST_YEAR or seconds < 0 or seconds % 1:
        return None
    return int(seconds)
