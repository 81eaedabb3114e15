"""Whose day goes through the chain: a file's, or a synthetic home's whose appliances are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hushmeter.battery.appliances import Run as ApplianceRun
from hushmeter.emulate.stimulus import Trace, even, of_load
from hushmeter.errors import HushmeterError
from hushmeter.loads import read_load
from hushmeter.loads.synthetic.street import PRESETS, Street, truth

DAY_S = 86_400
_PRESET = "S1"
_SEED = 1


@dataclass(frozen=True)
class Source:
    """A day's demand; `truth` is what ran in it, None where nobody knows."""

    name: str
    trace: Trace
    seconds: int
    truth: Sequence[ApplianceRun] | None = None


def file_source(path: Path, day: int) -> Source:
    """A day of the first home of a file, counted from 1; rows are held for their length.

    Raises
    ------
    HushmeterError
        The file is no load, or has no such day, or a gap in it.
    """
    load = read_load(path)
    a_day = DAY_S // load.row_s
    first = (day - 1) * a_day
    rows = min(a_day, load.rows - first)
    if rows < 1:
        raise HushmeterError(
            f"{load.source} has {-(-load.rows // a_day)} days; day {day} is asked for"
        )
    trace = of_load(load, 0, first, rows)
    if trace.exports:
        raise HushmeterError(f"{load.source}: day {day} feeds in; these controllers take load only")
    return Source(f"{load.source}, day {day}", trace, rows * load.row_s)


def synthetic_source(day: int) -> Source:
    """A day of seconds of a synthetic home, with what ran in it."""
    preset = PRESETS[_PRESET]
    street = Street((preset.residents,), _SEED, preset.start, 1, numbers=[0])
    block = next(street.blocks(day, block_days=day))
    watts = block.demand_w[0][(day - 1) * DAY_S :].astype(float).tolist()
    begin_s = (day - 1) * DAY_S
    runs = [
        ApplianceRun(name, start_s - begin_s, end_s - begin_s, level_w)
        for name, start_s, end_s, level_w in truth(block.events)
        if begin_s <= start_s and end_s <= begin_s + DAY_S
    ]
    return Source(f"a synthetic home, day {day}", even(watts), DAY_S, runs)
