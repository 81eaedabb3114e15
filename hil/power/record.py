"""What a flash and a link did, in their order, and the flash as a power cut leaves it.

A scenario is run once. Every cut of it is then made from the record alone: the operations before
the cut are applied to the flash as it was, and the one that the cut fell into is applied in part.

    for cut in record.cuts():
        image = record.image(cut)       # restart from this
        left = record.until(cut)        # what had been said and asked by then
"""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

PAGE_BYTES = 256
BLOCK_BYTES = 4096

Where = Literal["before", "torn", "ragged", "reordered", "lost"]


@dataclass(frozen=True)
class Program:
    """Bits of one page are cleared."""

    at: int
    data: bytes


@dataclass(frozen=True)
class Erase:
    """All bits of a block are set."""

    at: int
    size: int


@dataclass(frozen=True)
class Sync:
    """What came before is on the flash; before it, a medium with a cache may change the order."""


@dataclass(frozen=True)
class Asked:
    """Bytes that the host sent to the meter."""

    data: bytes


@dataclass(frozen=True)
class Said:
    """Bytes that left the meter."""

    data: bytes


@dataclass(frozen=True)
class Drawn:
    """Bytes that the meter's generator gave out, where that can be seen."""

    data: bytes


@dataclass(frozen=True)
class Restarted:
    """The scenario took the power away here, on purpose."""


Operation = Program | Erase
Event = Program | Erase | Sync | Asked | Said | Drawn | Restarted


@dataclass(frozen=True)
class Cut:
    """The power goes at an operation: its place in the record, and what becomes of it.

    before
        It does not happen.
    torn
        The first `size` bytes of the page are programmed, or of the block erased: half of it for 0.
    ragged
        Every bit that it changes is changed or not, by chance.
    reordered
        It happens, and a page programmed earlier since the last sync does not. Only a medium with
        a cache does that; littlefs allows it.
    lost
        It does not happen, and neither do the operations at the places `lost` before it.
    """

    event: int
    where: Where
    size: int = 0
    lost: tuple[int, ...] = ()

    def __str__(self) -> str:
        detail = f" at byte {self.size}" if self.size else f" without {self.lost}"
        return f"{self.where} event {self.event}{detail if self.size or self.lost else ''}"


@dataclass
class Record:
    """The flash as it was at first, and what happened then."""

    start: bytes
    events: list[Event] = field(default_factory=list)

    def operations(self) -> list[int]:
        """Places in the record where the flash is changed."""
        return [i for i, event in enumerate(self.events) if isinstance(event, Program | Erase)]

    def counts(self, begin: int = 0, end: int | None = None) -> dict[str, int]:
        """Pages programmed and blocks erased between two places of the record."""
        part = self.events[begin:end]
        return {
            "programs": sum(isinstance(event, Program) for event in part),
            "erases": sum(isinstance(event, Erase) for event in part),
        }

    def cuts(self, reordered: bool = True) -> Iterator[Cut]:
        """Every cut, in order, and at last the one after everything."""
        for i in self.operations():
            yield Cut(i, "before")
            yield Cut(i, "torn")
            yield Cut(i, "ragged")
            if reordered and self._overtaken(i) is not None:
                yield Cut(i, "reordered")
        yield Cut(len(self.events), "before")

    def until(self, cut: Cut) -> list[Event]:
        """What had happened when the power went, flash operations included."""
        return self.events[: cut.event]

    def image(self, cut: Cut) -> bytes:
        """The flash after a cut."""
        return next(self.images([cut]))

    def images(self, cuts: Iterable[Cut]) -> Iterator[bytes]:
        """The flash after each of several cuts, which must be in order."""
        flash = bytearray(self.start)
        done = 0
        for cut in cuts:
            if cut.event < done:
                raise ValueError("cuts must be in order")
            for event in self.events[done : cut.event]:
                apply(flash, event)
            done = cut.event
            yield self._after(flash, cut)

    def _after(self, flash: bytearray, cut: Cut) -> bytes:
        if cut.where == "before":
            return bytes(flash)
        if cut.where == "lost":
            return self._without(cut)
        after = bytearray(flash)
        event = self.events[cut.event]
        assert isinstance(event, Program | Erase)
        if cut.where == "torn":
            apply(after, _beginning(event, cut.size))
            return bytes(after)
        apply(after, event)
        if cut.where == "ragged":
            _by_chance(flash, after, event, random.Random(cut.event))
            return bytes(after)
        late = self._overtaken(cut.event)
        if late is None:
            raise ValueError(f"nothing is overtaken by event {cut.event}")
        # A page is programmed once after its block was erased.
        after[late.at : late.at + len(late.data)] = b"\xff" * len(late.data)
        return bytes(after)

    def _without(self, cut: Cut) -> bytes:
        flash = bytearray(self.start)
        for place, event in enumerate(self.events[: cut.event]):
            if place not in cut.lost:
                apply(flash, event)
        return bytes(flash)

    def _overtaken(self, place: int) -> Program | None:
        """The first page programmed since the last sync or erase before a program, if any."""
        first = None
        if isinstance(self.events[place], Program):
            for event in reversed(self.events[:place]):
                if isinstance(event, Sync | Erase | Restarted):
                    break
                if isinstance(event, Program):
                    first = event
        return first


def apply(flash: bytearray, event: Event) -> None:
    """Change the flash as an operation does; other events change nothing."""
    if isinstance(event, Erase):
        flash[event.at : event.at + event.size] = b"\xff" * event.size
    elif isinstance(event, Program):
        end = event.at + len(event.data)
        before = int.from_bytes(flash[event.at : end], "big")
        after = before & int.from_bytes(event.data, "big")
        flash[event.at : end] = after.to_bytes(len(event.data), "big")


def _beginning(event: Operation, size: int) -> Operation:
    if isinstance(event, Erase):
        return Erase(event.at, size or event.size // 2)
    return Program(event.at, event.data[: size or len(event.data) // 2])


def _by_chance(
    before: bytearray, after: bytearray, event: Operation, chance: random.Random
) -> None:
    """Take back half of the changes that an operation made."""
    size = event.size if isinstance(event, Erase) else len(event.data)
    for at in range(event.at, event.at + size):
        changed = before[at] ^ after[at]
        after[at] ^= changed & chance.randrange(256)
