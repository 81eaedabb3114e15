"""A file of loads to calibrate with: CSV, a load a line.

    true_w,read_w
    0,3
    500,489

`true_w` is what the reference instrument says. A line with `read_w` needs no measurement; one
without is measured when its load is on. `true_v`, `true_a` and `power_factor` are optional.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

from hushmeter.errors import HushmeterError

COLUMNS = ("true_w", "read_w", "true_v", "true_a", "power_factor")
MOST_LINES = 1000


@dataclass(frozen=True)
class Planned:
    """One line; None where a column is absent or empty."""

    true_w: float
    read_w: float | None = None
    true_v: float | None = None
    true_a: float | None = None
    power_factor: float | None = None


def read(path: Path) -> list[Planned]:
    """The loads of a file.

    Raises
    ------
    HushmeterError
        It is no such file; the message names the line and what would be right.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file, restval="", strict=True)
            _check_columns(path, rows.fieldnames)
            found = [_planned(path, rows.line_num, row) for row in rows]
    except (UnicodeDecodeError, csv.Error) as error:
        raise HushmeterError(f"{path}: is not CSV: {error}", hint=_LIKE) from error
    if not found:
        raise HushmeterError(f"{path}: has no loads", hint=_LIKE)
    if len(found) > MOST_LINES:
        raise HushmeterError(f"{path}: {len(found)} loads; {MOST_LINES} is the most")
    return found


_LIKE = "a line true_w,read_w and below it a load a line, such as 500,489; read_w may be left out"


def _check_columns(path: Path, names: object) -> None:
    given = list(names) if isinstance(names, list) else []
    if "true_w" not in given:
        raise HushmeterError(f"{path}: has no column true_w", hint=_LIKE)
    unknown = [str(name) for name in given if name not in COLUMNS]
    if unknown:
        raise HushmeterError(
            f"{path}: column {unknown[0]!r} is not known; there are {', '.join(COLUMNS)}"
        )


def _planned(path: Path, line: int, row: dict[str | None, str | list[str]]) -> Planned:
    if None in row:
        raise HushmeterError(f"{path}, line {line}: more fields than columns")
    values = {str(name): _number(path, line, str(name), str(row[name])) for name in row}
    true_w = values.pop("true_w")
    if true_w is None:
        raise HushmeterError(f"{path}, line {line}: true_w is empty")
    return Planned(true_w, **values)


def _number(path: Path, line: int, name: str, text: str) -> float | None:
    if not text.strip():
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise HushmeterError(f"{path}, line {line}: {name} is {text!r}; it must be a number")
    return value
