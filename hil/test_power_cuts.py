"""The power goes at every flash operation of a scenario, and the meter goes on as it must.

The scenario (`hil.power.scenario`) is run once and recorded; each cut is a restart from the flash
as it was then. On the unix port every cut is tried. On an emulated board a sample is: in one slot
the last page that its report programs and the last block that its answer erases, both torn.
There ``--power-cuts all``, or ``--nightly``, tries every one, before the operation and in its
middle, which takes hours.
"""

from __future__ import annotations

import functools
import os
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from hil.backends import Board, EmulatedBoard, UnixBoard, firmware_for
from hil.power import update
from hil.power.cuts import Played, Tally, by_content, restarts, sweep
from hil.power.ledger import Ledger
from hil.power.pico_machine import PicoMachine
from hil.power.record import Cut, Erase, Program, Record
from hil.power.scenario import Host, Machine, Step, chosen
from hil.power.street import PowerStreet
from hil.power.unix_machine import UnixMachine, image_of
from hushmeter.emulate import littlefs

pytestmark = pytest.mark.xdist_group("power-cuts")

DEPTH_OF_ALL, DEPTH = 20, 2
AGREED = 3
REWRITE_SOON = b"from hushfw import journal\njournal._REWRITE_BYTES = 700\n"
"""As boot.py: the journal is rewritten within a few slots, not after eight kilobytes."""

_TIMEOUT_S = 24 * 3600


@dataclass
class Bench:
    """How the board at hand is recorded and restarted."""

    street: PowerStreet
    image: bytes
    recorder: Callable[[], Machine]
    restarter: Callable[[], Machine]
    depth: int


def bench_of(board: Board) -> Bench:
    """The bench of a board whose flash can be seen; skips on any other."""
    if isinstance(board, UnixBoard):
        street = PowerStreet(board.name)
        return Bench(street, image_of(street.files()), UnixMachine, UnixMachine, DEPTH_OF_ALL)
    if isinstance(board, EmulatedBoard):
        # Agreeing on every key takes an emulated board minutes: it is given most of them.
        street = PowerStreet(board.facts.name, agreed=AGREED)
        recorder = functools.partial(PicoMachine, board.facts)
        firmware = firmware_for(board.facts)
        files = {**firmware, **street.files(), "boot.py": REWRITE_SOON}
        image = recorder().image_of(files)
        restarter = functools.partial(PicoMachine, board.facts, firmware)
        return Bench(street, image, recorder, restarter, DEPTH)
    pytest.skip(f"the flash of {board.name} cannot be seen or cut")


def skip_unless_all(request: pytest.FixtureRequest, board: Board) -> None:
    """On an emulated board, which is slow, only where somebody asked for it."""
    wanted = request.config.getoption("--power-cuts")
    every = wanted == "all" or (wanted is None and request.config.getoption("--nightly"))
    if isinstance(board, EmulatedBoard) and not every:
        pytest.skip("nightly: takes hours; run with --power-cuts all")


def workers(request: pytest.FixtureRequest) -> int:
    wanted = request.config.getoption("--power-workers")
    return int(wanted) if wanted else os.cpu_count() or 1


def part_of(cuts: list[Cut], part: str | None) -> list[Cut]:
    """Part I of N, spread over the whole scenario; the record is the same each time."""
    if part is None:
        return cuts
    found = re.fullmatch(r"([1-9]\d*)/([1-9]\d*)", part)
    if found is None or int(found[1]) > int(found[2]):
        pytest.fail(f"--power-part {part} must be I/N, part I of N, such as 1/4")
    return cuts[int(found[1]) - 1 :: int(found[2])]


def rewrites(record: Record) -> int:
    """How often the record shows the journal's other file being made."""
    pages = [event.data for event in record.events if isinstance(event, Program)]
    return sum(b"journal.bin.tmp" in page for page in pages)


class Reporter:
    """Says now and then how far a long sweep is."""

    def __init__(self, total: int, every_s: float = 60.0) -> None:
        self._total = total
        self._every_s = every_s
        self._begin = self._last = time.monotonic()

    def __call__(self, tally: Tally) -> None:
        now = time.monotonic()
        if now - self._last >= self._every_s:
            self._last = now
            done = f"{tally.cuts.total()} of {self._total} after {now - self._begin:.0f} s"
            print(f"\npower cuts: {done}; {tally}", file=sys.__stderr__, flush=True)


@pytest.mark.timeout(_TIMEOUT_S)
def test_a_cut_at_any_flash_operation_masks_and_answers_no_slot_twice_and_loses_nothing(
    board: Board, request: pytest.FixtureRequest
) -> None:
    bench = bench_of(board)
    skip_unless_all(request, board)
    recorder = bench.recorder()
    try:
        played = Played.on(recorder, bench.street, bench.image)
    finally:
        recorder.close()
    assert rewrites(played.record) > 1
    wheres = ("before", "torn") if isinstance(board, EmulatedBoard) else None
    cuts = [cut for cut in played.record.cuts() if wheres is None or cut.where in wheres]
    assert len(cuts) > 400
    cuts = part_of(cuts, request.config.getoption("--power-part"))
    begin = time.monotonic()
    tally = sweep(
        bench.restarter,
        played,
        by_content(played.record, cuts),
        depth=bench.depth,
        workers=workers(request),
        progress=Reporter(len(cuts)),
    )
    board.numbers.update(tally.numbers())
    board.numbers.update(played.numbers())
    board.numbers["power_cuts_took_s"] = round(time.monotonic() - begin, 1)
    assert tally.cuts.total() == len(cuts)
    assert not tally.faults, [f"{cut}: {fault}" for cut, fault in tally.faults[:10]]


def sample_of(record: Record, report: Step, answer: Step) -> list[Cut]:
    """The last page programmed for the report, and the last block erased for the answer: torn."""

    def last(step: Step, kind: type[Program] | type[Erase]) -> int:
        part = range(step.begin, step.end)
        return max((i for i in part if isinstance(record.events[i], kind)), default=step.end)

    page, block = last(report, Program), last(answer, Erase)
    if block == answer.end:
        block = last(answer, Program)
    return [Cut(page, "torn"), Cut(block, "torn")]


def test_a_sample_of_cuts_masks_and_answers_no_slot_twice_and_loses_nothing(board: Board) -> None:
    """One slot on the emulated board, whose enrolment the unix port has done."""
    if not isinstance(board, EmulatedBoard):
        pytest.skip("every cut is tried on the unix port, and none on a real board")
    street = PowerStreet(board.facts.name, agreed=AGREED)
    firmware = firmware_for(board.facts)
    machine = PicoMachine(board.facts, firmware)
    try:
        own_key, files = enrolled_elsewhere(street)
        machine.start(machine.image_of({**firmware, **files}))
        host = Host(machine, street)
        epoch = street.epoch(1, own_key)
        host.hello()
        begin = len(machine.record.events)
        host.measure(1)
        middle = len(machine.record.events)
        host.announce(epoch, 1, chosen(epoch, 1))
        record = machine.record
        steps = [Step("report", begin, middle), Step("answer", middle, len(record.events))]
        played = Played(street, record, steps)
        tally = Tally()
        for cut, faults in restarts(machine, played, sample_of(record, *steps), depth=1):
            tally.add(cut, faults)
    finally:
        machine.close()
    sample = {f"sample_of_{name}": value for name, value in tally.numbers().items()}
    board.numbers.update(sample)
    assert sorted(Ledger.of(record.events).answers) == [(1, 1)]
    assert tally.cuts.total() == 2
    assert not tally.faults, [f"{cut}: {fault}" for cut, fault in tally.faults]


def enrolled_elsewhere(street: PowerStreet) -> tuple[bytes, dict[str, bytes]]:
    """The meter's key, and its files once the unix port has taken the first roster with them."""
    with UnixMachine() as machine:
        machine.start(image_of(street.files()))
        host = Host(machine, street)
        own_key = host.hello()["public_key"]
        host.enrol(street.epoch(1, own_key))
        return own_key, littlefs.read(machine.off())


@pytest.mark.timeout(_TIMEOUT_S)
def test_an_update_cut_at_any_flash_operation_of_its_switch_starts_old_or_new(
    board: Board, request: pytest.FixtureRequest
) -> None:
    """From the first byte of the new main.py to the change of the place in use."""
    if not isinstance(board, EmulatedBoard):
        pytest.skip("tests/power has it for the unix port, and a real board is not cut")
    skip_unless_all(request, board)
    machine = PicoMachine(board.facts)
    own = {"journal.bin": bytes(range(256)) * 5, "seed.bin": bytes(40)}
    try:
        machine.start(machine.image_of(update.before(own)))
        update.update(machine.run_code)
        record = machine.record
        begin = next(
            i
            for i, event in enumerate(record.events)
            if isinstance(event, Program) and b"main.py.tmp" in event.data
        )
        cuts = [c for c in record.cuts() if c.event >= begin and c.where in ("before", "torn")]
        seen = []
        for cut, image in zip(cuts, record.images(cuts), strict=True):
            seen.append(machine.starts(image))
            files = littlefs.read(machine.off())
            assert {name: files[name] for name in own} == own, cut
    finally:
        machine.close()
    board.numbers["power_cuts_of_an_update"] = len(cuts)
    board.numbers["power_cuts_of_an_update_old"] = seen.count(update.RUNS_OLD)
    board.numbers["power_cuts_of_an_update_new"] = seen.count(update.RUNS_NEW)
    assert set(seen) == {update.RUNS_OLD, update.RUNS_NEW}
    changed = seen.index(update.RUNS_NEW)
    assert set(seen[changed:]) == {update.RUNS_NEW}
