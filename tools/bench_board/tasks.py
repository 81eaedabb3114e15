"""What there is to measure: independent tasks, a process each, and about how long they take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from hushmeter.devices.boards import load_board
from tools.bench_board.alone import measure_board, measure_firmware, measure_street
from tools.bench_board.crypto import (
    CURVE_ACTIONS,
    NOISE,
    has_assembler,
    measure_curves,
    measure_loaded,
    measure_paillier,
)
from tools.bench_board.figures import LARGE, Rows
from tools.bench_board.flash import measure_flash
from tools.bench_board.life import measure_life
from tools.bench_board.market import measure_market, measure_ring
from tools.bench_board.sensors import measure_clamp
from tools.bench_board.sensors_actuators import measure_actuators
from tools.bench_board.sensors_bus import measure_bus
from tools.bench_board.sensors_serial import measure_serial
from tools.bench_board.slots import measure_slots

AGREED_MEMBERS = 12
"""Up to this size the meter makes its own key and agrees on every pair by X25519."""

MEMBERS, QUICK_MEMBERS = (12, 100, 1000), (12,)
SLOTS, QUICK_SLOTS = 24, 4
"""Run back to back unless more are asked for."""


@dataclass(frozen=True)
class Task:
    """What one process measures.

    Attributes
    ----------
    name:
        The only one of that name in a run.
    minutes:
        About how long it takes on an emulated board: the longest are begun first.
    """

    name: str
    measure: Callable[[], Rows]
    minutes: float = 1


def tasks(board: str, members: tuple[int, ...], quick: bool) -> list[Task]:
    """What can be measured side by side, in the order of the table."""
    few = tuple(size for size in members if size <= LARGE)
    found = [Task("firmware", partial(measure_firmware, board, quick))]
    found += [
        Task(
            f"life, {size} meters",
            partial(measure_life, board, size, quick or size > AGREED_MEMBERS, quick),
            5 + size / 20,
        )
        for size in members
    ]
    if load_board(board).flash:
        found.append(Task("flash", partial(measure_flash, board, quick), 20))
    found += back_to_back(board, few, QUICK_SLOTS if quick else SLOTS)
    found.append(Task("parts", partial(measure_board, board, quick)))
    found += [
        Task(f"parts, {size} meters", partial(measure_street, board, size, quick), size / 100)
        for size in members
    ]
    found += [
        Task(f"market, {size} meters", partial(measure_market, board, size, quick), 5)
        for size in few
    ]
    found += [
        Task("ring", partial(measure_ring, board, quick), 5),
        Task("clamp", partial(measure_clamp, board, quick), 5),
        Task("serial sensors", partial(measure_serial, board, quick)),
        Task("sensors on a bus", partial(measure_bus, board, quick)),
        Task("actuators", partial(measure_actuators, board, quick)),
    ]
    found += [
        Task(f"everything loaded, {size} meters", partial(measure_loaded, board, size), 5)
        for size in sorted({max(few, default=MEMBERS[0]), max(members)})
    ]
    return found + crypto_tasks(board, quick)


def crypto_tasks(board: str, quick: bool) -> list[Task]:
    """Curves, noise and Paillier in each form; big integers alone are slow, so one at a time."""
    names = (*CURVE_ACTIONS, NOISE)
    if not has_assembler(board):
        found = [Task("curves", partial(measure_curves, board, False, quick, names))]
    else:
        fast = partial(measure_curves, board, True, quick, names)
        found = [Task("curves, assembler", fast, 20)]
        slow = () if quick else CURVE_ACTIONS
        found += [
            Task(f"{name}, big integers", partial(measure_curves, board, False, quick, (name,)), 30)
            for name in slow
        ]
    for bits in (2048,) if quick else (2048, 3072):
        for is_fast in (True, False) if has_assembler(board) else (False,):
            if is_fast or not quick or not has_assembler(board):
                form = "assembler" if is_fast else "big integers"
                paillier = partial(measure_paillier, board, bits, is_fast, quick)
                found.append(Task(f"Paillier {bits}, {form}", paillier, 5 if is_fast else 30))
    return found


def back_to_back(board: str, members: tuple[int, ...], count: int) -> list[Task]:
    """Slots without a pause, in streets of these sizes."""
    return [
        Task(
            f"{count} slots, {size} meters",
            partial(measure_slots, board, size, count),
            count * (5 + size / 20) / 60,
        )
        for size in members
    ]
