"""What a home has disclosed exactly: its list of linear disclosures, kept beside epsilon.

The noise of the street's totals protects a home *given* what it tells exactly: a bill is the sum of
price times reading, a market total holds its bid, a dispute opens one slot. Each is a linear
function of readings or bids, none has an epsilon, and none can be taken back. So the home keeps a
list, in ``disclosures.jsonl`` of its folder, one JSON object a line.

An entry is on the disk, flushed and synced, before :meth:`Disclosures.add` returns: add first, then
disclose. A cut in between leaves an entry too many, never one too few. Entries are never changed or
removed. A last line without its end is an ``add`` that did not return, so nothing was disclosed by
it; the next one writes over it.

    disclosures = Disclosures(Path("home"))
    disclosures.add("bill", 1, 1008, "period 3 under tariff 5f2c: 12.345678 to pay")
    send(bill)
    for entry in disclosures.all():
        print(entry.kind, entry.first_slot, entry.last_slot, entry.what)
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from hushmeter.errors import HushmeterError

FILE = "disclosures.jsonl"

KINDS = {
    "bill": "a bill opened: the sum of price times reading over its slots",
    "reissue": "a bill opened again under corrected prices",
    "total": "a period's energy opened, every price 1",
    "dispute": "a slot opened to settle a dispute",
    "market": "exact totals of a street's bids that hold this home's",
}
"""What an entry may be, and what each tells."""

MOST_WHAT = 400
"""Characters of an entry's description."""

_LAST_SLOT = (1 << 64) - 1


@dataclass(frozen=True)
class Disclosure:
    """One linear function of a home's readings or bids that was told exactly.

    Attributes
    ----------
    kind:
        One of :data:`KINDS`.
    first_slot, last_slot:
        The slots that it is over, both included.
    what:
        In a line of words: to whom, under which prices, which number. Never a reading or a key.
    at_s:
        Unix time at which it was entered.
    """

    kind: str
    first_slot: int
    last_slot: int
    what: str
    at_s: int


class Disclosures:
    """The list of one home; the folder must be there, the file is made with its first entry.

    Two processes may add at the same time: an entry is written under a lock of the file.
    """

    def __init__(self, folder: Path) -> None:
        self._path = Path(folder) / FILE

    def add(
        self, kind: str, first_slot: int, last_slot: int, what: str, *, at_s: int | None = None
    ) -> Disclosure:
        """Enter one disclosure that is about to be made; it is on the disk when this returns.

        Every call is an entry of its own, also one equal to another.

        Raises
        ------
        HushmeterError
            A field is not what it must be, the file is damaged or it cannot be written; then
            nothing may be disclosed.
        """
        entry = Disclosure(kind, first_slot, last_slot, what, _now_s() if at_s is None else at_s)
        reason = _wrong(asdict(entry))
        if reason is not None:
            raise HushmeterError(f"a disclosure's {reason}")
        try:
            self._append(json.dumps(asdict(entry)).encode() + b"\n")
        except OSError as error:
            raise HushmeterError(
                f"{self._path} cannot be written: {error.strerror}",
                hint="make room; nothing was disclosed",
            ) from error
        return entry

    def _append(self, line: bytes) -> None:
        new = not self._path.exists()
        with open(self._path, "a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            data = file.read()
            whole = data.rfind(b"\n") + 1
            self._parsed(data[:whole])
            file.truncate(whole)
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        if new:
            _sync_folder(self._path.parent)

    def all(self) -> list[Disclosure]:
        """Every entry, oldest first.

        Raises
        ------
        HushmeterError
            The file cannot be read, or a line of it is no entry.
        """
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise HushmeterError(f"{self._path} cannot be read: {error.strerror}") from error
        return self._parsed(data[: data.rfind(b"\n") + 1])

    def _parsed(self, data: bytes) -> list[Disclosure]:
        found = []
        for number, line in enumerate(data.splitlines(), 1):
            try:
                fields_read = json.loads(line)
            except ValueError:
                fields_read = None
            reason = _wrong(fields_read)
            if reason is not None:
                raise HushmeterError(
                    f"line {number} of {self._path} is no disclosure: {reason}",
                    hint="restore the file: what a home disclosed cannot be found out again",
                )
            found.append(Disclosure(**fields_read))
        return found


def _now_s() -> int:
    return int(time.time())


def _wrong(entry: Any) -> str | None:
    """What is wrong with an entry's fields, None where nothing is."""
    if not isinstance(entry, dict) or set(entry) != {field.name for field in fields(Disclosure)}:
        return "fields must be kind, first_slot, last_slot, what and at_s"
    if entry["kind"] not in KINDS:
        return f"kind must be one of {', '.join(KINDS)}"
    numbers = [entry[name] for name in ("first_slot", "last_slot", "at_s")]
    if any(isinstance(number, bool) or not isinstance(number, int) for number in numbers):
        return "slots and time must be whole numbers"
    if not 0 <= entry["first_slot"] <= entry["last_slot"] <= _LAST_SLOT or entry["at_s"] < 0:
        return "slots must be from 0 on, the last one not before the first"
    what = entry["what"]
    if not isinstance(what, str) or not 0 < len(what) <= MOST_WHAT or not what.isprintable():
        return f"what must be one line of 1 to {MOST_WHAT} printable characters"
    return None


def _sync_folder(folder: Path) -> None:
    """A new file's name is on the disk only when its folder is."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
