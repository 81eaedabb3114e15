"""Cuts on a medium that is no bare flash: pages torn at any byte, and operations in any order.

A NOR flash does what it is told, one operation after the other. Behind a cache (an SD card, a
flash translation layer) what was not synced may reach the medium in part: `reordered` gives every
part, or a seeded sample where there are many. A cache that says a sync is done when it is not is
`lying`: there even what was synced may be lost.
"""

import itertools
from collections.abc import Iterator
from random import Random

from hil.power.record import (
    BLOCK_BYTES,
    Cut,
    Erase,
    Operation,
    Program,
    Record,
    Restarted,
    Sync,
)

ALL_SUBSETS_OF = 10


def torn(record: Record, random: Random, tears: int) -> Iterator[Cut]:
    """Each page torn at seeded bytes, among those where a byte more makes a difference."""
    for place in record.operations():
        event = record.events[place]
        if isinstance(event, Program):
            sizes = [at for at in range(1, len(event.data)) if event.data[at - 1] != 0xFF]
            for size in sorted(random.sample(sizes, min(tears, len(sizes)))):
                yield Cut(place, "torn", size)


def reordered(record: Record, random: Random, samples: int) -> Iterator[Cut]:
    """Losses among the operations since the last sync, which the newest one has overtaken."""
    yield from _losses(record, random, samples, None)


def lying(record: Record, random: Random, samples: int, operations: int) -> Iterator[Cut]:
    """The same among the last operations, whether they were synced or not."""
    yield from _losses(record, random, samples, operations)


def _losses(record: Record, random: Random, samples: int, cached: int | None) -> Iterator[Cut]:
    window: list[int] = []
    for place, event in enumerate(record.events):
        if isinstance(event, Restarted) or (isinstance(event, Sync) and cached is None):
            window = []
        elif isinstance(event, Program | Erase):
            window.append(place)
            window = window if cached is None else window[-cached:]
            until = _next_on_flash(record, place)
            for lost in _subsets(window[:-1], random, samples):
                if _possible(record, window, lost):
                    yield Cut(until, "lost", lost=lost)


def _next_on_flash(record: Record, place: int) -> int:
    """The last moment before the flash is asked for anything else: most has been said by then."""
    for later in range(place + 1, len(record.events)):
        if isinstance(record.events[later], Program | Erase | Sync | Restarted):
            return later
    return len(record.events)


def _subsets(places: list[int], random: Random, samples: int) -> Iterator[tuple[int, ...]]:
    if samples >= 1 << len(places) and len(places) <= ALL_SUBSETS_OF:
        for size in range(1, len(places) + 1):
            yield from itertools.combinations(places, size)
    elif places:
        for _ in range(samples):
            lost = tuple(place for place in places if random.random() < 0.5)
            if lost:
                yield lost


def _possible(record: Record, window: list[int], lost: tuple[int, ...]) -> bool:
    """No page is programmed in a block whose erase, which came before, was lost."""
    unerased: set[int] = set()
    for place in window:
        event = record.events[place]
        assert isinstance(event, Program | Erase)
        if place in lost:
            unerased |= {_block(event)} if isinstance(event, Erase) else set()
        elif isinstance(event, Erase):
            unerased.discard(_block(event))
        elif _block(event) in unerased:
            return False
    return True


def _block(event: Operation) -> int:
    return event.at // BLOCK_BYTES
