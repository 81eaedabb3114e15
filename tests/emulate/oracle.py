"""What a street without battery and noise must report, from the load file by other means.

Nothing of the project is used: files are read with the csv module, and a reading comes from sums
instead of steps. With cum(t) the energy up to t in whole watt-seconds, a meter that samples every
step_s seconds has counted step_s * floor(cum / step_s); its readings are the differences of the
whole watt-hours in that.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import floor
from pathlib import Path

import numpy as np

MOST_HELD = 2


@dataclass
class Rows:
    """Watt-seconds a row, one array a home, -1 where missing; row_s seconds a row."""

    row_s: int
    homes: list[np.ndarray]


def read(path: Path) -> Rows:
    data = path.read_bytes()
    lines = (gzip.decompress(data) if path.suffix == ".gz" else data).decode().splitlines()
    if ";" in lines[0]:
        kw = [row["Global_active_power"] for row in csv.DictReader(lines, delimiter=";")]
        return Rows(60, [_whole(kw, Fraction(60_000))])
    table = list(csv.reader(lines))[1:]
    stamps = [np.datetime64(row[0]) for row in table[:2]]
    row_s = int((stamps[1] - stamps[0]) / np.timedelta64(1, "s"))
    columns = list(zip(*table, strict=True))[1:]
    return Rows(row_s, [_whole(column, Fraction(3600)) for column in columns])


def _whole(column: Sequence[str], unit_ws: Fraction) -> np.ndarray:
    """Whole watt-seconds whose sums are those of the file, rounded."""
    out, exact, told = [], Fraction(0), 0
    for cell in column:
        if cell in ("", "?"):
            out.append(-1)
            continue
        exact += Fraction(cell) * unit_ws
        out.append(floor(exact + Fraction(1, 2)) - told)
        told += out[-1]
    return np.array(out)


def _held(rows: np.ndarray) -> np.ndarray:
    """Missing rows as the one before, twice at most, then as nothing."""
    out = rows.copy()
    held = 0
    for at, value in enumerate(rows):
        held = held + 1 if value < 0 else 0
        if held:
            out[at] = out[at - 1] if at and held <= MOST_HELD else 0
    return out


def _parts(rows: np.ndarray, parts: int) -> np.ndarray:
    """Each row's energy in equal parts, remainders carried within the row."""
    until = rows[:, None] * np.arange(parts + 1) // parts
    return np.diff(until, axis=1).ravel()


def fed(rows: Rows, meter: int, meters: int) -> np.ndarray:
    """The rows that a meter replays."""
    if len(rows.homes) > 1:
        return _held(rows.homes[meter])
    only = rows.homes[0]
    return _held(np.roll(only, -(meter * len(only) // meters)))


def readings(
    rows: Rows, meter: int, meters: int, slots: int, slot_s: int, away: tuple[int, int] | None
) -> list[int | None]:
    """Whole Wh of each slot, unclipped; away is (slot after the last report, slot of the return).

    Who comes back has kept the rest below 1 Wh, and has lost the rest below 1 W.
    """
    step_s = min(rows.row_s, slot_s)
    energy = fed(rows, meter, meters)
    energy = np.resize(energy, max(len(energy), -(-slots * slot_s // rows.row_s)))
    steps = _parts(energy, rows.row_s // step_s)[: slots * slot_s // step_s]
    slot_sums = steps.reshape(slots, -1).sum(axis=1)
    out: list[int | None] = [None] * slots
    rest_ws = 0
    for begin, end in [(0, slots)] if away is None else [(0, away[0]), (away[1], slots)]:
        counted = rest_ws + np.cumsum(slot_sums[begin:end]) // step_s * step_s
        whole = counted // 3600
        out[begin:end] = [int(wh) for wh in np.diff(whole, prepend=0)]
        rest_ws = int(counted[-1] % 3600) if len(counted) else rest_ws
    return out
