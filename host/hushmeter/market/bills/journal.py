"""What a home has opened: on the disk before it leaves, and asked before anything else is opened.

``bills.jsonl`` in the home's folder, one JSON object a line, only ever added to, under a lock. A
last line without its end was cut off while it was written, so nothing was opened by it.

    with Journal(folder) as journal:
        found = standing(journal.openings, opening, reissue=False)
        ...
        journal.add(opening)
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Literal

import msgspec

from hushmeter.errors import HushmeterError
from hushmeter.market.bills import files
from hushmeter.market.bills.failures import Failure
from hushmeter.market.bills.files import Home

FILE = "bills.jsonl"
MOST_OPENINGS = 2
"""Of one period: the bill, and one reissue."""


class Opening(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One opening; the digest is over prices and products, so no other total has it."""

    home: Home
    first_slot: int
    last_slot: int
    opening_sha256: str
    tariff_sha256: str
    kind: Literal["bill", "reissue", "slot"] = "bill"

    def overlaps(self, other: Opening) -> bool:
        """Whether a slot of one home is in both."""
        apart = self.last_slot < other.first_slot or other.last_slot < self.first_slot
        return self.home == other.home and not apart

    def same_period(self, other: Opening) -> bool:
        """Whether both are over the same slots."""
        return (self.first_slot, self.last_slot) == (other.first_slot, other.last_slot)


class Journal:
    """The openings of one folder, locked while it is in use.

    Raises
    ------
    HushmeterError
        The folder is not there, or a line of the file is none of its own.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._file: BinaryIO | None = None
        self._openings: list[Opening] = []

    def __enter__(self) -> Journal:
        new = not self._path.exists()
        try:
            file = open(self._path, "a+b")  # noqa: SIM115 - closed in __exit__
        except OSError as error:
            raise HushmeterError(
                f"{self._path} cannot be written: {error.strerror}",
                hint="name the home's own folder; it remembers what was opened",
            ) from error
        self._file = file
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            data = file.read()
            whole = data.rfind(b"\n") + 1
            file.truncate(whole)
            self._openings = [self._parsed(line) for line in data[:whole].splitlines()]
            if new:
                _sync_folder(self._path.parent)
        except BaseException:
            file.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()

    def _parsed(self, line: bytes) -> Opening:
        try:
            return msgspec.json.decode(line, type=Opening)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise HushmeterError(
                f"{self._path}: a line is damaged: {error}",
                hint="restore it: without it the home does not know what it has opened",
            ) from error

    @property
    def openings(self) -> list[Opening]:
        """Oldest first."""
        return list(self._openings)

    def add(self, opening: Opening) -> None:
        """Write down an opening that is about to leave; on the disk when this returns."""
        if self._file is None:
            raise ValueError("a journal is written to inside its with statement")
        self._file.write(files.canonical(opening) + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self._openings.append(opening)


def standing(
    openings: list[Opening], wanted: Opening, reissue: bool
) -> Literal["new", "again", "reissue"]:
    """What an opening is beside those before it.

    The same once more tells nothing new. Single slots were opened with consent and do not count.

    Raises
    ------
    Failure
        A slot was opened under other prices or in another period, or the period has had its
        reissue.
    """
    before = [one for one in openings if one.kind != "slot" and one.overlaps(wanted)]
    if any(one.opening_sha256 == wanted.opening_sha256 for one in before):
        return "again"
    for one in before:
        if not one.same_period(wanted):
            slot = max(one.first_slot, wanted.first_slot)
            raise Failure(
                "history",
                f"it was opened before, in the period {one.first_slot} to {one.last_slot}",
                slot,
            )
    if not before:
        return "new"
    ends = wanted.first_slot, wanted.last_slot
    if len(before) >= MOST_OPENINGS:
        raise Failure("history", "the period was opened and reissued before", *ends)
    if not reissue:
        raise Failure(
            "history", "the period was opened under other prices before; a reissue tells more "
            "of it and needs the home's consent", *ends,
        )  # fmt: skip
    return "reissue"


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
