"""A day of a meter's writes on a real flash chip: samples missed, and how the chip wears.

    python -m tools.flash_day [--slots 72] [--members 12]

The emulated flash takes no time, so its operations are measured and their times are added. A meter
that has a day of slots behind it runs on an emulated Pico. Every erase and program of its reports
and answers is recorded with its place in time, and every pace point too: there the meter reads an
analogue pin, which the emulator sees. Then days at 1 Hz are simulated:

- a report's work begins at its slot's end, where the last sample was taken; an answer's begins
  anywhere in a second;
- an operation takes the chip's typical or its longest time, all of them alike;
- a sample that is due is taken at the next point, or when the work is over.

A second that passes entirely between two points is missed. What the same days would miss without
points is given beside it.
"""

from __future__ import annotations

import json
import math
import random
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from hushmeter.devices.boards import Flash, load_board
from hushmeter.emulate.pico import EmulatedPico
from hushmeter.emulate.pico_flash import ERASE, PROGRAM, FlashTimes
from hushmeter.emulate.unix import UnixMeter
from hushmeter.errors import HushmeterError
from hushmeter.link import Link
from tools.bench_board.backends import ENTROPY_SEED, firmware_compiled
from tools.bench_board.street import DAY_S, QUICK_ROW_S, SLOT_S, Street

BOARD = "pico"
OUT = Path("out/bench/flash_day.json")
SLOTS_A_DAY = DAY_S // SLOT_S
TYPICAL = FlashTimes(erase_us=45_000, program_us=400)
"""W25Q16JV datasheet, AC characteristics: sector erase and page program, typical."""

TIMEOUT_S = 300.0
REPORT, ANSWER = "report", "answer"
POINT = "point"
LATE_S = 0.1
_PIN = 26
MAIN = (
    b"""
import machine
from hushfw.core import pace
pace.install(machine.ADC(machine.Pin(%d)).read_u16)
pace.install = lambda hook: None
from hushfw import app
app.main()
"""
    % _PIN
)
"""Every point reads the pin."""


@dataclass(frozen=True)
class Job:
    """The work of one report or answer: what happened when, s after it began.

    ``events`` are points, erases and programs in the order of time.
    """

    kind: str
    events: tuple[tuple[float, str], ...]

    def count(self, event: str) -> int:
        return sum(name == event for _, name in self.events)

    def without_points(self) -> Job:
        """The same work with no point before its end."""
        kept = [event for event in self.events[:-1] if event[1] != POINT]
        return Job(self.kind, (*kept, self.events[-1]))


@dataclass(frozen=True)
class Day:
    """What a simulated day came to; ``late`` are samples delayed by more than 100 ms."""

    missed: int = 0
    late: int = 0
    worst_late_ms: int = 0

    def __add__(self, other: Day) -> Day:
        worst_late_ms = max(self.worst_late_ms, other.worst_late_ms)
        return Day(self.missed + other.missed, self.late + other.late, worst_late_ms)


def job_of(kind: str, began_s: float, ended_s: float, events: Sequence[tuple[float, str]]) -> Job:
    """A job from what was seen in it; its end is a point, for the serve loop follows."""
    made = Job(kind, tuple((at_s - began_s, name) for at_s, name in [*events, (ended_s, POINT)]))
    if not made.count(PROGRAM):
        raise HushmeterError(f"a {kind} left the flash alone; it must write to the journal")
    return made


def run(job: Job, begins_s: float, times: FlashTimes) -> Day:
    """One job that begins so long after the second in which the last sample was taken."""
    busy_s = {ERASE: times.erase_us / 1e6, PROGRAM: times.program_us / 1e6}
    flash_s, sampled, missed, late_s = 0.0, 0, 0, [0.0]
    for at_s, name in job.events:
        if name in busy_s:
            flash_s += busy_s[name]
            continue
        now_s = begins_s + at_s + flash_s
        second = math.floor(now_s)
        if second > sampled:
            missed += second - sampled - 1
            late_s.append(now_s - second)
            sampled = second
    return Day(missed, sum(late > LATE_S for late in late_s), round(1000 * max(late_s)))


def simulate(jobs: Sequence[Job], times: FlashTimes, days: int = 50, seed: int = 1) -> list[Day]:
    """Days of jobs in their measured order, each from a slot drawn anew."""
    chance = random.Random(seed)
    reports = [job for job in jobs if job.kind == REPORT]
    answers = [job for job in jobs if job.kind == ANSWER]
    out = []
    for _ in range(days):
        first = chance.randrange(len(reports))
        day = Day()
        for slot in range(first, first + SLOTS_A_DAY):
            day += run(reports[slot % len(reports)], 0.0, times)
            day += run(answers[slot % len(answers)], chance.random(), times)
        out.append(day)
    return out


def with_history(street: Street, folder: Path, slots: int) -> dict[str, bytes]:
    """The storage of a meter that has run so many slots, made by a process of the unix port."""
    for name, data in street.files.items():
        (folder / name).write_bytes(data)
    meter = UnixMeter(folder)
    meter.start()
    try:
        link = Link(meter, timeout_s=TIMEOUT_S, tries=1)
        roster = street.enrol(link.request("hello_request").fields["public_key"])
        link.request("roster_begin", size=len(roster.data), digest=roster.hash)
        for at in range(0, len(roster.data), 900):
            link.request("roster_chunk", offset=at, data=roster.data[at : at + 900])
        link.request("roster_commit")
        for slot in range(1, slots + 1):
            feed(link, street, slot)
            link.request("advance", now_s=street.start_of(slot + 1))
            link.request("announce", **street.announcement(slot))
        return meter.files()
    finally:
        meter.kill()


def feed(link: Link, street: Street, slot: int) -> None:
    for fields in street.feeds(slot):
        link.request("feed", **fields)


def measure(members: int, slots: int) -> list[Job]:
    """The jobs of so many slots after a first day, midnight among them."""
    facts = load_board(BOARD)
    street = Street(members, facts.name, True, SLOTS_A_DAY + slots // 2, QUICK_ROW_S)
    with tempfile.TemporaryDirectory() as folder:
        files = with_history(street, Path(folder), SLOTS_A_DAY)
    seen: list[tuple[float, str]] = []
    jobs = []
    files = {**firmware_compiled(facts.name), **files, "main.py": MAIN}

    def point(now_s: float) -> int:
        seen.append((now_s, POINT))
        return 0

    with EmulatedPico(facts, entropy=ENTROPY_SEED, files=files) as pico:
        pico.on_flash = lambda done: seen.append((pico.simulated_s, done.kind))
        pico.drive_adc(_PIN, point)
        link = Link(pico, timeout_s=TIMEOUT_S, tries=1)
        link.request("hello_request")
        for slot in range(SLOTS_A_DAY + 1, SLOTS_A_DAY + slots + 1):
            feed(link, street, slot)
            end_s = street.start_of(slot + 1)
            link.request("advance", now_s=end_s - QUICK_ROW_S)
            for kind, request, fields in (
                (REPORT, "advance", {"now_s": end_s}),
                (ANSWER, "announce", street.announcement(slot)),
            ):
                seen.clear()
                began_s = pico.simulated_s
                link.request(request, **fields)
                jobs.append(job_of(kind, began_s, pico.simulated_s, seen))
    return jobs


def figures(jobs: Sequence[Job], flash: Flash, sectors: int) -> dict[str, Any]:
    """Operations a job, days at both speeds of the chip, and its life."""
    out: dict[str, Any] = {"emulated": True}
    for kind in (REPORT, ANSWER):
        of_kind = [job for job in jobs if job.kind == kind]
        for event in (ERASE, PROGRAM, POINT):
            counts = [job.count(event) for job in of_kind]
            mean = round(statistics.fmean(counts), 2)
            out[f"{event}s_a_{kind}"] = {"mean": mean, "max": max(counts)}
    if flash.worst_erase_us is None or flash.worst_program_us is None or flash.erase_cycles is None:
        raise HushmeterError("the board's file does not say how slow its flash may be")
    worst = FlashTimes(flash.worst_erase_us, flash.worst_program_us)
    for name, times in (("typical", TYPICAL), ("longest", worst)):
        out[f"a_day_at_{name}_times"] = asdict(times) | of_days(simulate(jobs, times))
        bare = [job.without_points() for job in jobs]
        out[f"without_points_at_{name}_times"] = of_days(simulate(bare, times))
    reports = sum(job.kind == REPORT for job in jobs)
    erases_a_day = sum(job.count(ERASE) for job in jobs) * SLOTS_A_DAY / reports
    out["erases_a_day"] = round(erases_a_day, 1)
    # The filesystem moves what it writes over all its sectors; a bound needs a worse spread.
    out["years_if_spread_evenly"] = round(sectors * flash.erase_cycles / erases_a_day / 365)
    return out


def of_days(days: Sequence[Day]) -> dict[str, float]:
    """Means and the worst of simulated days."""
    return {
        "missed_samples_mean": statistics.fmean(day.missed for day in days),
        "missed_samples_max": max(day.missed for day in days),
        "late_samples_mean": statistics.fmean(day.late for day in days),
        "worst_late_ms": max(day.worst_late_ms for day in days),
    }


@click.command()
@click.option("--members", default=12, show_default=True, help="N of the street")
@click.option("--slots", default=72, show_default=True, help="slots measured after the first day")
def main(members: int, slots: int) -> None:
    """Print the figures and keep them as JSON."""
    facts = load_board(BOARD)
    if facts.flash is None:
        raise HushmeterError(f"{facts.name} has no flash")
    jobs = measure(members, slots)
    found = figures(jobs, facts.flash, facts.filesystem.bytes // facts.flash.erase_bytes)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    kept = {"members": members, "slots": slots, "figures": found}
    OUT.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    click.echo(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
