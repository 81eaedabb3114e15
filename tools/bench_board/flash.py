"""What the writes of slots do to the flash chip, and what a day of them does to the samples."""

from __future__ import annotations

from typing import Any

from hushmeter.errors import HushmeterError
from tools import flash_day
from tools.bench_board.backends import make_backend
from tools.bench_board.figures import Add, Rows, collect
from tools.bench_board.life import FLASH

DAY = "Samples of a day at 1 Hz"
SLOTS, QUICK_SLOTS = 72, 2
"""The journal is rewritten about every 35 slots."""

MEMBERS = 12
"""A slot writes the same in every street, but for the set that was announced."""

OF_A_DAY = (
    ("missed_samples_mean", "missed, mean", "samples", 1.0),
    ("missed_samples_max", "missed, worst day", "samples", 1.0),
    ("late_samples_mean", "late by more than 0.1 s, mean", "samples", 1.0),
    ("worst_late_ms", "latest", "s", 1e-3),
)


def measure_flash(board: str, quick: bool) -> Rows:
    """Flash operations of a report and an answer, samples missed while they last, and wear."""

    def measure(add: Add) -> None:
        facts = make_backend(board).facts
        if facts.flash is None:
            raise HushmeterError(f"{facts.name} has no flash")
        slots = QUICK_SLOTS if quick else SLOTS
        sectors = facts.filesystem.bytes // facts.flash.erase_bytes
        jobs = flash_day.measure(MEMBERS, slots)
        add_operations(jobs, add)
        add_day(flash_day.figures(jobs, facts.flash, sectors), add)

    return collect("the flash chip's work", None, measure)


def add_operations(jobs: list[flash_day.Job], add: Add) -> None:
    """Operations by job; an answer writes one record to the journal and nothing else."""
    for kind in (flash_day.ANSWER, flash_day.REPORT):
        name, note = (
            ("journal append (an answer)", "")
            if kind == flash_day.ANSWER
            else ("report", "journal append, home log, some rewrites")
        )
        of_kind = [job for job in jobs if job.kind == kind]
        for event, unit in ((flash_day.ERASE, "sectors"), (flash_day.PROGRAM, "pages")):
            counts = [job.count(event) for job in of_kind]
            add(FLASH, f"{name}, {event}", unit, counts, note=note)


def add_day(figures: dict[str, Any], add: Add) -> None:
    for speed in ("typical", "longest"):
        day = figures[f"a_day_at_{speed}_times"]
        times = f"erase {day['erase_us'] / 1000:g} ms, page {day['program_us'] / 1000:g} ms"
        for key, name, unit, scale in OF_A_DAY:
            add(DAY, f"{name}, {speed} flash times", unit, scale * day[key], note=times)
    add(FLASH, "erases a day", "sectors", figures["erases_a_day"])
    add(FLASH, "life if spread evenly", "years", figures["years_if_spread_evenly"])
