"""Demand and supply of each participant at each grid price, in whole Wh, and their file.

    participant,side,100,150,200          prices in micro-units per Wh, ascending
    home 1,demand,900,700,400             Wh, never rising with the price
    home 1,supply,0,0,250                 Wh, never falling
    home 2,demand,500,500,500             no supply row: sells nothing

Everything is checked before it is used, for a curve that is none would break the clearing of all
others: a participant has at most one row a side, a row has one entry a price, entries are whole
numbers from 0 to 2^42, demand does not rise and supply does not fall.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hushmeter.errors import HushmeterError
from hushmeter.printable import printable

Wh = NDArray[np.int64]

DEMAND, SUPPLY = "demand", "supply"
SIDES = (DEMAND, SUPPLY)
MOST_WH = 1 << 42
"""Of one entry: with `MOST_PARTICIPANTS` of them a total stays below 2^62."""
MOST_PARTICIPANTS = 1 << 20
MOST_PRICES = 1 << 12
MOST_PRICE = 1 << 32
"""Prices are below this many micro-units per Wh, and above as many below 0."""

_WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,29})")
_SHOWN = 40


@dataclass(frozen=True, eq=False)
class Curves:
    """Curves of all participants on one grid.

    Attributes
    ----------
    prices:
        Ascending, micro-units per Wh.
    ids:
        One a participant, ascending by :func:`id_key`.
    demand, supply:
        Wh, shape (participants, prices).
    """

    prices: tuple[int, ...]
    ids: tuple[str, ...]
    demand: Wh
    supply: Wh

    def part(self, chosen: Sequence[int]) -> Curves:
        """The participants at these places, in this order."""
        ids = tuple(self.ids[place] for place in chosen)
        return Curves(self.prices, ids, self.demand[chosen], self.supply[chosen])


def id_key(participant: str) -> tuple[int, int, str]:
    """What orders ids: whole numbers first, by value; then other texts, by their characters."""
    if re.fullmatch("0|[1-9][0-9]*", participant):
        return 0, int(participant), ""
    return 1, 0, participant


def check_prices(prices: Sequence[int], source: str = "the grid") -> None:
    """Raises HushmeterError unless the prices are an ascending grid within bounds."""
    if not 1 <= len(prices) <= MOST_PRICES:
        raise HushmeterError(f"{source}: {len(prices)} prices; a grid has 1 to {MOST_PRICES}")
    for price in prices:
        if not -MOST_PRICE < price < MOST_PRICE:
            raise HushmeterError(
                f"{source}: price {price}; prices are between -2^32 and 2^32 micro-units per Wh"
            )
    for before, price in zip(prices, prices[1:], strict=False):
        if price <= before:
            raise HushmeterError(f"{source}: price {price} after {before}; prices must ascend")


def check_row(participant: str, side: str, prices: Sequence[int], row: Sequence[int]) -> None:
    """One side of a curve, against every rule.

    Raises
    ------
    HushmeterError
        Names the participant, the side and the price of the first entry that is wrong.
    """
    who = f"participant {printable(participant, most=_SHOWN)}, {side}"
    if len(row) != len(prices):
        raise HushmeterError(f"{who}: {len(row)} entries for a grid of {len(prices)} prices")
    before = None
    for price, amount_wh in zip(prices, row, strict=True):
        if amount_wh < 0:
            raise HushmeterError(f"{who} at price {price}: {amount_wh} Wh is negative")
        if amount_wh > MOST_WH:
            raise HushmeterError(
                f"{who} at price {price}: {amount_wh} Wh is too large; the most is {MOST_WH}"
            )
        if before is not None and (amount_wh > before if side == DEMAND else amount_wh < before):
            wrong, rule = ("rises", "fall") if side == DEMAND else ("falls", "rise")
            raise HushmeterError(
                f"{who} at price {price}: {wrong} from {before} to {amount_wh} Wh; {side} may only "
                f"{rule} or stay as the price rises"
            )
        before = amount_wh


def gather(
    prices: Sequence[int],
    rows: Iterable[tuple[str, str, Sequence[int]]],
    expected: Iterable[str] | None = None,
    source: str = "the curves",
) -> Curves:
    """Checked curves from rows of (participant, side, entries); a side without a row is zero.

    Parameters
    ----------
    expected:
        Whom the market is for; everybody else is refused and nobody may be missing.

    Raises
    ------
    HushmeterError
        A rule does not hold; names the participant and the entry.
    """
    check_prices(prices, source)
    found: dict[str, dict[str, Sequence[int]]] = {}
    for participant, side, row in rows:
        try:
            sides = _new_row(found, participant, side)
            check_row(participant, side, prices, row)
        except HushmeterError as error:
            raise HushmeterError(f"{source}: {error.message}", hint=error.hint) from error
        sides[side] = row
    check_expected(found, expected, source)
    if not found:
        raise HushmeterError(f"{source}: there is no participant")
    ids = tuple(sorted(found, key=id_key))
    demand, supply = (np.zeros((len(ids), len(prices)), np.int64) for _ in SIDES)
    for place, participant in enumerate(ids):
        for side, into in ((DEMAND, demand), (SUPPLY, supply)):
            if side in found[participant]:
                into[place] = found[participant][side]
    return Curves(tuple(prices), ids, demand, supply)


def _new_row(
    found: dict[str, dict[str, Sequence[int]]], participant: str, side: str
) -> dict[str, Sequence[int]]:
    shown = printable(participant, most=_SHOWN)
    if not participant or participant != participant.strip() or not participant.isprintable():
        raise HushmeterError(
            f"participant {shown!r}; an id is printable text without spaces at its ends"
        )
    if side not in SIDES:
        raise HushmeterError(
            f"participant {shown}: side {printable(side, most=_SHOWN)!r}; it is demand or supply"
        )
    sides = found.setdefault(participant, {})
    if side in sides:
        raise HushmeterError(f"participant {shown} has {side} twice; each side has one row")
    if len(found) > MOST_PARTICIPANTS:
        raise HushmeterError(
            f"participant {shown} is one too many; a market has at most {MOST_PARTICIPANTS}"
        )
    return sides


def check_expected(found: Iterable[str], expected: Iterable[str] | None, source: str) -> None:
    """Raises HushmeterError where somebody is missing, or there is somebody else."""
    if expected is None:
        return
    wanted, there = set(expected), set(found)
    for word, ids in (("is missing", wanted - there), ("is not expected", there - wanted)):
        if ids:
            first = printable(min(ids, key=id_key), most=_SHOWN)
            more = f" (and {len(ids) - 1} more)" if len(ids) > 1 else ""
            raise HushmeterError(f"{source}: participant {first} {word}{more}")


def read_curves(path: Path, expected: Iterable[str] | None = None) -> Curves:
    """The curves of a file.

    Raises
    ------
    HushmeterError
        The file cannot be read or breaks a rule; names the line, the participant and the entry.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file, strict=True)
            prices = _header(next(lines, None), str(path))
            return gather(prices, _rows(lines, prices, str(path)), expected, str(path))
    except OSError as error:
        raise HushmeterError(f"{path}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise HushmeterError(f"{path}: is no CSV file in UTF-8: {error}") from error


def join(parts: Sequence[tuple[str, Curves]]) -> Curves:
    """Curves of several files, (name, curves) each, on the grid of the first.

    Raises
    ------
    HushmeterError
        Grids differ, or a participant is in two files.
    """
    first, prices = parts[0][0], parts[0][1].prices
    seen: dict[str, str] = {}
    for name, part in parts:
        if part.prices != prices:
            raise HushmeterError(
                f"{name}: its grid is another than that of {first}; participant "
                f"{printable(part.ids[0], most=_SHOWN)} cannot be in one market with the others"
            )
        for who in part.ids:
            if who in seen:
                shown = printable(who, most=_SHOWN)
                raise HushmeterError(f"{name}: participant {shown} is in {seen[who]} already")
            seen[who] = name
    ids = [who for _, part in parts for who in part.ids]
    order = sorted(range(len(ids)), key=lambda place: id_key(ids[place]))
    demand, supply = (
        np.vstack([getattr(part, side) for _, part in parts])[order] for side in SIDES
    )
    return Curves(prices, tuple(ids[place] for place in order), demand, supply)


def _header(cells: list[str] | None, source: str) -> list[int]:
    if cells is None or cells[:2] != ["participant", "side"]:
        raise HushmeterError(
            f"{source}: the first line must be participant,side,PRICE,PRICE,... with whole "
            "micro-units per Wh"
        )
    prices = []
    for cell in cells[2:]:
        if not _WHOLE.fullmatch(cell):
            shown = printable(cell, most=_SHOWN)
            raise HushmeterError(f"{source}: price {shown!r}; a price is a whole number")
        prices.append(int(cell))
    return prices


def _rows(
    lines: Iterable[list[str]], prices: Sequence[int], source: str
) -> Iterable[tuple[str, str, list[int]]]:
    for cells in lines:
        if not cells:
            continue
        participant, side = cells[0], cells[1] if len(cells) > 1 else ""
        row = []
        for place, cell in enumerate(cells[2:]):
            if not _WHOLE.fullmatch(cell):
                at = f"price {prices[place]}" if place < len(prices) else f"entry {place + 1}"
                raise HushmeterError(
                    f"{source}: participant {printable(participant, most=_SHOWN)}, "
                    f"{printable(side, most=_SHOWN)} at {at}: {printable(cell, most=_SHOWN)!r} is "
                    "no whole number of Wh"
                )
            row.append(int(cell))
        yield participant, side, row


def write_curves(curves: Curves) -> bytes:
    """The file's text; sides without an entry above 0 are left out, but for one a participant."""
    lines = ["participant,side," + ",".join(map(str, curves.prices))]
    for place, participant in enumerate(curves.ids):
        for side, amounts in ((DEMAND, curves.demand[place]), (SUPPLY, curves.supply[place])):
            if side == DEMAND or amounts.any():
                lines.append(f"{_cell(participant)},{side}," + ",".join(map(str, amounts.tolist())))
    return ("\n".join(lines) + "\n").encode()


def _cell(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if set(text) & set(',"') else text
