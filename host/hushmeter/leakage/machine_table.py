"""The policy in a table file, with the probabilities that its thresholds really have.

Both a file of `hushmeter design` and the binary file of a meter (docs/table-format.md) are read.
"""

from __future__ import annotations

import struct
from pathlib import Path

from hushfw.core.battery.table_file import BY_DIFFERENCE, MAGIC, Table
from hushfw.core.errors import HushError
from hushmeter.errors import HushmeterError
from hushmeter.leakage import policy_file
from hushmeter.leakage.machine import Machine, series
from hushmeter.leakage.policy import Policy
from hushmeter.leakage.thresholds import Rounded

_HEADER_SIZE = 20


def read(path: Path) -> Policy | Machine:
    """The policy of a table file, or both policies of a design for two batteries, in series.

    Raises
    ------
    HushmeterError
        The file cannot be read, is no table, or has a row that cannot be carried out.
    """
    data = policy_file.contents(path)
    if data[: len(MAGIC)] == MAGIC:
        return from_bytes(data, str(path))
    design = policy_file.parse(data, str(path))
    return series(design.policies()) if design.kind == policy_file.CASCADE else design.policy()


def from_bytes(data: bytes, name: str) -> Policy:
    """The policy of a meter's table file.

    Raises
    ------
    HushmeterError
        What the device refuses, such as a row that leads out of the battery.
    """
    try:
        table = Table(data)
    except HushError as error:
        raise HushmeterError(f"{name}: {error.message}") from error
    loads, draws, states = table.demand_levels, table.output_levels, table.states
    rows = states + loads - 1 if table.kind == BY_DIFFERENCE else states * loads
    numbers = struct.unpack_from(f">{states - 1 + rows * (draws - 1)}I", data, _HEADER_SIZE)
    starts = range(states - 1, len(numbers), draws - 1)
    return Rounded(
        table.kind, loads, draws, states, numbers[: states - 1],
        tuple(numbers[at : at + draws - 1] for at in starts),
    ).policy(name)  # fmt: skip
