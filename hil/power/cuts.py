"""Every cut of a scenario, shared out among processes."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from hil.power.ledger import Ledger
from hil.power.record import Cut, Record
from hil.power.recovery import KINDS, Fault, Recovery
from hil.power.scenario import Machine, Step, play
from hil.power.street import PowerStreet
from hushmeter.emulate import littlefs

_CHUNK = 4

Progress = Callable[["Tally"], None]


@dataclass
class Played:
    """A scenario that was run once, uncut."""

    street: PowerStreet
    record: Record
    steps: list[Step]

    @staticmethod
    def on(machine: Machine, street: PowerStreet, image: bytes) -> Played:
        """Run the whole scenario from this content of the flash."""
        machine.start(image)
        steps = play(machine, street)
        return Played(street, machine.record, steps)

    def numbers(self) -> dict[str, float]:
        """Mean flash operations by part of the scenario, as figures of a run."""
        found: dict[str, float] = {}
        for name in dict.fromkeys(step.name for step in self.steps):
            parts = [self.record.counts(s.begin, s.end) for s in self.steps if s.name == name]
            # A slot that is not reported writes nothing.
            parts = [part for part in parts if part["programs"]] or parts
            for kind in parts[0]:
                mean = sum(part[kind] for part in parts) / len(parts)
                found[f"flash_{kind}_per_{name.replace(' ', '_')}"] = round(mean, 2)
        return found


@dataclass
class Tally:
    """What a number of cuts came to."""

    cuts: Counter[str] = field(default_factory=Counter)
    faults: list[tuple[Cut, Fault]] = field(default_factory=list)

    def add(self, cut: Cut, faults: Sequence[Fault]) -> None:
        self.cuts[cut.where] += 1
        self.faults += [(cut, fault) for fault in faults]

    def found(self, kind: str) -> int:
        """Cuts at which this kind of fault was seen."""
        return len({cut for cut, fault in self.faults if fault.kind == kind})

    def numbers(self) -> dict[str, int]:
        """Figures of a run."""
        figures = {f"power_cuts_{where}": count for where, count in self.cuts.items()}
        figures |= {f"power_cuts_{kind.replace(' ', '_')}": self.found(kind) for kind in KINDS}
        return {"power_cuts": self.cuts.total(), **figures}

    def __str__(self) -> str:
        faults = ", ".join(f"{kind}: {self.found(kind)}" for kind in KINDS)
        return f"{self.cuts.total()} cuts; {faults}"


def restarts(
    machine: Machine, played: Played, cuts: Sequence[Cut], depth: int
) -> Iterator[tuple[Cut, list[Fault]]]:
    """Restart from each of these cuts, on one machine; they must be in order."""
    whole = Ledger.of(played.record.events)
    for cut, image in zip(cuts, played.record.images(cuts), strict=True):
        left = Ledger.of(played.record.until(cut))
        yield cut, Recovery(machine, played.street, left, whole, depth).run(image)


def by_content(record: Record, cuts: Sequence[Cut]) -> tuple[list[Cut], list[Cut]]:
    """The first cut of each content that the files are found with, and the other cuts.

    Most operations change nothing that a file shows: littlefs writes elsewhere and then changes
    over. So the first ones say most.
    """
    seen: set[bytes] = set()
    first: list[Cut] = []
    rest: list[Cut] = []
    for cut, image in zip(cuts, record.images(cuts), strict=True):
        digest = hashlib.sha256(repr(littlefs.read(image)).encode()).digest()
        (rest if digest in seen else first).append(cut)
        seen.add(digest)
    return first, rest


def sweep(
    make: Callable[[], Machine],
    played: Played,
    parts: Sequence[Sequence[Cut]],
    *,
    depth: int,
    workers: int,
    progress: Progress = lambda tally: None,
) -> Tally:
    """Restart from each of these cuts, on one machine for each of several processes.

    Parameters
    ----------
    parts:
        Cuts in their order; one part is done after the other.
    depth:
        How many of the last slots are asked for after a restart.
    """
    tally = Tally()
    chunks: list[Sequence[Cut]] = []
    for part in parts:
        # Each chunk goes through the whole scenario: a run that is broken off has seen all of it.
        count = -(-len(part) // _CHUNK)
        chunks += [part[i::count] for i in range(count)]
    with ProcessPoolExecutor(workers, initializer=_begin, initargs=(make, played, depth)) as pool:
        for done in pool.map(_work, chunks):
            for cut, faults in done:
                tally.add(cut, faults)
            progress(tally)
    return tally


_here: dict[str, Any] = {}


def _begin(make: Callable[[], Machine], played: Played, depth: int) -> None:
    _here.update(machine=make(), played=played, depth=depth)


def _work(cuts: Sequence[Cut]) -> list[tuple[Cut, list[Fault]]]:
    return list(restarts(_here["machine"], _here["played"], cuts, _here["depth"]))
