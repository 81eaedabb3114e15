"""The load of some homes as energy per row, and the rule which meter replays which part of it."""

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hushfw.drivers import replay
from hushmeter.errors import HushmeterError

MISSING_ROW = replay.MISSING
"""The value of a row without a reading, -2^31, in what meters are fed."""


@dataclass(frozen=True)
class Load:
    """Energy of `homes` homes in rows of equal length.

    Attributes
    ----------
    start:
        Unix seconds at which the first row begins. Stamps without a zone are taken as UTC.
    row_s:
        Seconds of a row, 1 to 3600.
    energy_ws:
        int64, shape (homes, rows): watt-seconds of each row; 0 where missing.
    missing:
        bool, same shape: the source has no reading there.
    names:
        One label a home.
    source:
        Where it comes from, in a few words, for reports.
    """

    start: int
    row_s: int
    energy_ws: NDArray[np.int64]
    missing: NDArray[np.bool_]
    names: list[str]
    source: str

    def __post_init__(self) -> None:
        shape = self.energy_ws.shape
        if len(shape) != 2 or 0 in shape or self.missing.shape != shape:
            raise HushmeterError(
                f"a load of shape {shape} with gaps of shape {self.missing.shape}; "
                "both must be homes x rows, at least 1 x 1"
            )
        if len(self.names) != shape[0]:
            raise HushmeterError(f"{len(self.names)} names for {shape[0]} homes")
        if not 1 <= self.row_s <= replay.MOST_ROW_S:
            raise HushmeterError(
                f"{self.source}: rows of {self.row_s} s; they must be 1 to {replay.MOST_ROW_S} s"
            )

    @property
    def homes(self) -> int:
        """Number of homes (columns of the file)."""
        return int(self.energy_ws.shape[0])

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self.energy_ws.shape[1])

    def home(self, meter_index: int, meter_count: int) -> tuple[int, int]:
        """What meter `meter_index` of `meter_count` replays: (home, rows later).

        A file of several homes gives meter i its home i, from the start. A file of one home serves
        them all: meter i starts i/N of the file later and wraps at its end.

        Raises
        ------
        HushmeterError
            There are fewer homes than meters.
        """
        if not 0 <= meter_index < meter_count:
            raise HushmeterError(f"meter {meter_index} of {meter_count}: there is no such meter")
        if self.homes == 1:
            return 0, meter_index * self.rows // meter_count
        if meter_count > self.homes:
            raise HushmeterError(
                f"{self.source} has {self.homes} homes for {meter_count} meters",
                hint=f"use at most {self.homes} meters, or a file of one home, which serves all",
            )
        return meter_index, 0


def meter_rows(
    load: Load, meter_index: int, meter_count: int, start_row: int, count: int
) -> NDArray[np.int32]:
    """The rows that a meter is fed: int32 little-endian, shape (count,), `MISSING_ROW` in gaps.

    They belong to the time from `load.start + start_row * load.row_s` on, whatever part of the
    file they come from; `.tobytes()` is what the driver `replay` takes.

    Raises
    ------
    HushmeterError
        There are fewer homes than meters; the rows asked for are not all in the file (a file of
        one home wraps and always has them); a row does not fit 32 bits.
    """
    home, later = load.home(meter_index, meter_count)
    if start_row < 0 or count < 0:
        raise HushmeterError(f"rows {start_row} to {start_row + count}: both must be 0 or more")
    if load.homes > 1 and start_row + count > load.rows:
        raise HushmeterError(
            f"{load.source} has {load.rows} rows of {load.row_s} s; "
            f"rows up to {start_row + count} are asked for",
            hint="ask for fewer slots, or use a longer file",
        )
    picked = (np.arange(start_row, start_row + count) + later) % load.rows
    return _packed(load, home, picked)


def write_rows_bin(load: Load, home: int, path: Path, first_row: int = 0) -> None:
    """Writes the file that the driver `replay` reads on a board: a 16-byte header, then the rows.

    The rows are all those of `home`, beginning with `first_row` and wrapping at the end; they
    belong to the time from `load.start` on.
    """
    if not 0 <= home < load.homes:
        raise HushmeterError(f"{load.source} has homes 0 to {load.homes - 1}; {home} is asked for")
    header = struct.pack(replay.HEADER, replay.MAGIC, load.start, load.row_s)
    rows = _packed(load, home, (np.arange(load.rows) + first_row) % load.rows)
    try:
        path.write_bytes(header + rows.tobytes())
    except OSError as error:
        raise HushmeterError(f"{path} cannot be written: {error.strerror}") from error


def _packed(load: Load, home: int, picked: NDArray[np.int64]) -> NDArray[np.int32]:
    energy_ws = load.energy_ws[home, picked]
    if energy_ws.size and int(np.abs(energy_ws).max()) > -MISSING_ROW - 1:
        raise HushmeterError(f"{load.source}: a row of home {home} does not fit 32 bits")
    energy_ws[load.missing[home, picked]] = MISSING_ROW
    packed: NDArray[np.int32] = energy_ws.astype("<i4")
    return packed
