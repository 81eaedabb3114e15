"""The truth of a synthetic home: what ran when, as ``hushmeter homes --truth`` writes it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from hushmeter.battery.appliances import Run
from hushmeter.battery.record import Record
from hushmeter.errors import HushmeterError

_NUMBER = re.compile(r"home_([0-9]{1,9})_w")


class _Home(msgspec.Struct):
    home: int


class _Truth(msgspec.Struct):
    start: str
    homes: list[_Home]
    events: list[tuple[int, str, int, int, int]]


def read_truth(path: Path, record: Record) -> list[Run]:
    """What ran in the record's home, by start; seconds count from the record's first step.

    Raises
    ------
    HushmeterError
        The file cannot be read, is no such truth, begins at another time than the load, or does
        not know the home.
    """
    try:
        truth = msgspec.json.decode(path.read_bytes(), type=_Truth)
        start = datetime.fromisoformat(truth.start).replace(tzinfo=UTC)
    except OSError as error:
        raise HushmeterError(f"{path} cannot be read: {error.strerror}") from error
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise HushmeterError(
            f"{path}: is no truth of synthetic homes: {error}",
            hint="wanted the file that `hushmeter homes --truth` wrote with the load",
        ) from error
    if int(start.timestamp()) != record.start:
        raise HushmeterError(
            f"{path}: begins on {truth.start}, the load at {record.clock(0)}; "
            "they do not belong together"
        )
    numbers = [home.home for home in truth.homes]
    match = _NUMBER.fullmatch(record.home)
    number = int(match.group(1)) if match else numbers[0] if len(numbers) == 1 else None
    if number not in numbers:
        raise HushmeterError(
            f"{path}: knows homes {', '.join(map(str, numbers[:8]))}, and the load is of "
            f"{record.home!r}; it must be one of these, named home_N_w"
        )
    runs = [Run(*event[1:]) for event in truth.events if event[0] == number]
    return sorted(runs, key=lambda run: run.start_s)
