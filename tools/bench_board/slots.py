"""Slots back to back: whether the largest block that a meter could still allocate shrinks.

The meter has a day of slots behind it, made on the unix port, so its journal is as long as it ever
gets. Each slot is two rows, idle time in which its masks are made, a report, an answer and their
acknowledgements; every so many slots the life message says how large the largest free block is.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tools import flash_day
from tools.bench_board.backends import Backend, make_backend
from tools.bench_board.figures import Add, Rows, collect
from tools.bench_board.life import Meter, one_slot
from tools.bench_board.street import SLOT_S, Street

BACK_TO_BACK = "Slots back to back"
MONTH = 30 * flash_day.SLOTS_A_DAY
MOST_LOOKS = 60
SETTLING = 0.2
"""The trend leaves out this share of the slots: what a meter allocates once is no leak."""

Look = tuple[int, int, int]
"""Slots run, the largest free block, and all that is free after an answer's collection, bytes."""


def measure_slots(board: str, members: int, slots: int) -> Rows:
    """The largest free block over so many slots in a street of this size."""

    def measure(add: Add) -> None:
        add_looks(look_at(make_backend(board), members, slots), slots, add)

    return collect("slots back to back", members, measure)


def look_at(backend: Backend, members: int, slots: int) -> list[Look]:
    """Run the slots and look at the heap before the first, now and then, and after the last."""
    day = flash_day.SLOTS_A_DAY
    street = Street(members, backend.facts.name, True, day + min(slots, day) // 2, SLOT_S // 2)
    with tempfile.TemporaryDirectory() as folder:
        files = flash_day.with_history(street, Path(folder), day)
    every = max(1, slots // MOST_LOOKS)
    with backend.meter(files) as machine:
        meter = Meter(machine, None)
        meter.boot()
        looks = []
        for ran in range(slots + 1):
            slot = one_slot(meter, street, day + 1 + ran, ahead=True)
            if ran % every == 0 or ran == slots:
                free = slot.answer_status["free_heap_bytes"]
                looks.append((ran, meter.largest_free_bytes(), free))
    return looks


def trend(looks: Sequence[Look]) -> float:
    """Least squares: bytes that the largest free block grows by in a slot, once it has settled."""
    settled = [look for look in looks if look[0] >= SETTLING * looks[-1][0]]
    ran, largest, _ = zip(*settled, strict=True)
    return statistics.linear_regression(ran, largest).slope


def add_looks(looks: Sequence[Look], slots: int, add: Add) -> None:
    """The largest free block at three moments, its least, and its trend."""
    largest = [block for _, block, _ in looks]
    ran = f"{slots:,} slots, a day behind them"
    for when, block in (
        ("start", largest[0]),
        ("middle", largest[len(largest) // 2]),
        ("end", largest[-1]),
        ("least", min(largest)),
    ):
        add(BACK_TO_BACK, f"largest free block, {when}", "bytes", block, note=ran)
    add(BACK_TO_BACK, "its trend", "bytes a slot", trend(looks), note="least squares, settled")
    add(BACK_TO_BACK, "free heap, least", "bytes", min(free for _, _, free in looks), note=ran)
