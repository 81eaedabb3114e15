"""What energy costs the utility in each interval, and the supply curve that follows.

    interval,micro_per_wh
    0,92
    1,90

A utility sells at the wholesale price up to what its feeder carries easily; beyond, energy costs it
more by steps, which stand for losses and dear reserves.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hushmeter.errors import HushmeterError

_HEADER = ["interval", "micro_per_wh"]
MOST_PRICE = 1 << 24


@dataclass(frozen=True)
class Step:
    """Up to `amount_wh` more, at `percent` of the wholesale price."""

    amount_wh: int
    percent: int


def read_wholesale(path: Path) -> list[int]:
    """Prices by interval, micro-units per Wh.

    Raises
    ------
    HushmeterError
        The file cannot be read, an interval is missing or comes twice, or a price is no whole
        number from 0 on.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = [cells for cells in csv.reader(file, strict=True) if cells]
    except OSError as error:
        raise HushmeterError(f"{path}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise HushmeterError(f"{path}: is no CSV file in UTF-8: {error}") from error
    if not lines or lines[0] != _HEADER or len(lines) < 2:
        raise HushmeterError(f"{path}: must have a line {','.join(_HEADER)} and one an interval")
    prices = []
    for number, cells in enumerate(lines[1:]):
        if len(cells) != 2 or cells[0] != str(number):
            raise HushmeterError(f"{path}: interval {number} is missing where it should be")
        if not re.fullmatch("[0-9]{1,8}", cells[1]) or int(cells[1]) >= MOST_PRICE:
            raise HushmeterError(
                f"{path}: interval {number}: the price must be a whole number from 0 to "
                f"{MOST_PRICE - 1} micro-units per Wh"
            )
        prices.append(int(cells[1]))
    return prices


def supply_wh(wholesale: int, steps: Sequence[Step], prices: Sequence[int]) -> list[int]:
    """The utility's supply curve on a grid, Wh: all steps whose cost a price covers."""
    return [
        sum(step.amount_wh for step in steps if 100 * price >= step.percent * wholesale)
        for price in prices
    ]


def cost_micro(wholesale: int, steps: Sequence[Step], amount_wh: int) -> int:
    """What an amount costs the utility, cheapest step first, in micro-units rounded down.

    Beyond the last step everything costs as much as in it.
    """
    total, rest = 0, amount_wh
    for place, step in enumerate(steps):
        taken = rest if place == len(steps) - 1 else min(rest, step.amount_wh)
        total += taken * step.percent * wholesale
        rest -= taken
    return total // 100
