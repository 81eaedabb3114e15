"""A disk under the aggregator's store that tells what it does, and all a crash may leave of it.

SQLite runs on a virtual file system of our own (`apsw`, which brings its own SQLite). What a
program wrote since the last sync of a file may be on the disk or not, in any order, its last write
in part, and the sectors of that one spoilt; what was synced elsewhere is there, and a deletion
whose folder was synced too.

    with recording() as record:
        ...                              # use a store
    for state in states(record.events):
        state.write(folder)              # open it as the next program would find it
"""

from __future__ import annotations

import itertools
import os
import signal
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from types import MappingProxyType, SimpleNamespace
from typing import Any, NamedTuple

import apsw

from hushmeter.cluster import store

SECTOR_BYTES, BLOCK_BYTES = 512, 4096
"""What a write is torn at, and what it spoils at most: the largest sector that disks have."""

_VFS = "told"
_LOGS = apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_SUPER_JOURNAL | apsw.SQLITE_OPEN_WAL


class Create(NamedTuple):
    """A file that was not there."""

    file: str


class Write(NamedTuple):
    """Bytes at a place of a file."""

    file: str
    at: int
    data: bytes


class Truncate(NamedTuple):
    """A file's new size."""

    file: str
    size: int


class Delete(NamedTuple):
    """A file that goes; `synced` if its folder is on the disk when that is done."""

    file: str
    synced: bool


class Sync(NamedTuple):
    """All writes of a file are on the disk, and so is that it exists.

    With `folder`, so is every creation and deletion before: SQLite's own layer for Unix syncs the
    folder with the first sync of a new journal or log (`UNIXFILE_DIRSYNC` in its `os_unix.c`).
    """

    file: str
    folder: bool


class Told(NamedTuple):
    """What the aggregator told anybody: it must hold whatever happens from here on."""

    what: Any


Change = Create | Write | Truncate | Delete
Event = Change | Sync | Told
Files = dict[str, bytearray]


@dataclass
class Record:
    """Everything in its order; `fatal` is the number of the change that kills this process.

    With `halved` a write that kills is done by half first.
    """

    events: list[Event] = field(default_factory=list)
    changes: int = 0
    fatal: int | None = None
    halved: bool = False

    def tell(self, what: Any) -> None:
        self.events.append(Told(what))

    def begins(self, change: Change) -> bool:
        """Before a change is done: whether to do half of it; or the process ends here."""
        if self.changes == self.fatal and not (self.halved and isinstance(change, Write)):
            os.kill(os.getpid(), signal.SIGKILL)
        self.events.append(change)
        self.changes += 1
        return self.fatal is not None and self.changes - 1 == self.fatal


class _Vfs(apsw.VFS):
    def __init__(self, record: Record) -> None:
        self._record = record
        super().__init__(_VFS, base="", maxpathname=1024)

    def xOpen(self, name: Any, flags: list[int]) -> _File:
        path = Path(name.filename() if isinstance(name, apsw.URIFilename) else str(name))
        new = not path.exists() and bool(flags[0] & apsw.SQLITE_OPEN_CREATE)
        if new:
            self._record.begins(Create(path.name))
        return _File(self._record, path.name, new and bool(flags[0] & _LOGS), name, flags)

    def xDelete(self, name: str, syncdir: bool) -> None:
        self._record.begins(Delete(Path(name).name, bool(syncdir)))
        super().xDelete(name, syncdir)


class _File(apsw.VFSFile):
    def __init__(
        self, record: Record, file: str, folder_due: bool, name: Any, flags: list[int]
    ) -> None:
        self._record = record
        self._file = file
        self._folder_due = folder_due
        super().__init__("", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        if self._record.begins(Write(self._file, offset, bytes(data))):
            super().xWrite(data[: len(data) // 2], offset)
            os.kill(os.getpid(), signal.SIGKILL)
        super().xWrite(data, offset)

    def xTruncate(self, size: int) -> None:
        self._record.begins(Truncate(self._file, size))
        super().xTruncate(size)

    def xSync(self, flags: int) -> None:
        # A test's own disk needs no sync, and what was not asked for is not told.
        self._record.events.append(Sync(self._file, self._folder_due))
        self._folder_due = False


class _Connection:
    """What the store uses of a connection, on apsw."""

    def __init__(self, address: str, checkpoint_pages: int, replaced: Mapping[str, str]) -> None:
        self._replaced = replaced
        flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI
        self._db = apsw.Connection(address, flags=flags, vfs=_VFS)
        self._db.execute(f"PRAGMA wal_autocheckpoint={checkpoint_pages}")
        self.executemany = self._db.executemany

    def execute(self, statement: str, values: Sequence[Any] = ()) -> Any:
        return self._db.execute(self._replaced.get(statement, statement), values)

    def executescript(self, script: str) -> None:
        self._db.execute(script)

    @property
    def in_transaction(self) -> bool:
        return bool(self._db.in_transaction)

    def close(self) -> None:
        self._db.close()


@contextmanager
def recording(
    record: Record, checkpoint_pages: int = 12, replaced: Mapping[str, str] = MappingProxyType({})
) -> Iterator[Record]:
    """Stores that are opened inside are on the disk that tells.

    Parameters
    ----------
    checkpoint_pages:
        When the log goes into the database: early, so that a short play has it.
    replaced:
        Statements to run in place of others: a store with a fault.
    """
    vfs = _Vfs(record)

    def connect(address: str, **options: Any) -> _Connection:
        return _Connection(address, checkpoint_pages, replaced)

    try:
        with _replaced_sqlite(connect, apsw.Error):
            yield record
    finally:
        vfs.unregister()


class _Unsynced(sqlite3.Connection):
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        super().execute("PRAGMA synchronous=OFF")

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        if statement.startswith("PRAGMA synchronous"):
            statement = "PRAGMA synchronous=OFF"
        return super().execute(statement, *values)


@contextmanager
def unsynced() -> Iterator[None]:
    """Stores that are opened inside do not wait for this machine's disk; else they are as ever."""
    with _replaced_sqlite(partial(sqlite3.connect, factory=_Unsynced), sqlite3.Error):
        yield


@contextmanager
def _replaced_sqlite(connect: Any, error: type[Exception]) -> Iterator[None]:
    before = store.sqlite3
    store.sqlite3 = SimpleNamespace(connect=connect, Error=error)  # type: ignore[assignment]
    try:
        yield
    finally:
        store.sqlite3 = before


class State(NamedTuple):
    """The disk after a crash: after `place` events; `kind` says what became of the last writes."""

    place: int
    kind: str
    files: Files

    def write(self, folder: Path) -> None:
        """Put the files into a folder, in place of all that is there."""
        for path in folder.iterdir():
            path.unlink()
        for name, content in self.files.items():
            (folder / name).write_bytes(content)


def apply(files: Files, change: Change) -> None:
    """Do one change; a write to a file whose creation was lost is lost too."""
    if isinstance(change, Create):
        files.setdefault(change.file, bytearray())
    elif isinstance(change, Delete):
        files.pop(change.file, None)
    elif (content := files.get(change.file)) is not None:
        if isinstance(change, Truncate):
            del content[change.size :]
            content.extend(bytes(change.size - len(content)))
        else:
            content.extend(bytes(max(0, change.at - len(content))))
            content[change.at : change.at + len(change.data)] = change.data


class _Disk:
    """What is on the disk for certain, and what came since."""

    def __init__(self) -> None:
        self._safe: Files = {}
        self.pending: list[Change] = []

    def take(self, event: Event) -> None:
        if isinstance(event, Told):
            return
        if not isinstance(event, Sync):
            self.pending.append(event)
        folder = event.folder if isinstance(event, Sync) else False
        if isinstance(event, Sync) or (isinstance(event, Delete) and event.synced):
            self._keep(event.file, folder)

    def _keep(self, file: str, folder: bool) -> None:
        left = []
        for change in self.pending:
            if change.file == file or (folder and isinstance(change, Create | Delete)):
                apply(self._safe, change)
            else:
                left.append(change)
        self.pending = left

    def after(self, changes: Iterable[Change]) -> Files:
        files = {name: bytearray(content) for name, content in self._safe.items()}
        for change in changes:
            apply(files, change)
        return files


def states(events: Sequence[Event], seed: int, samples: int, tears: int) -> Iterator[State]:
    """The disk after a crash at every change and sync.

    Parameters
    ----------
    samples:
        Subsets of the changes since the last sync: all where there are no more, else seeded ones.
    tears:
        Places at which the last write is torn, besides its ends of sectors.
    """
    disk = _Disk()
    random = Random(seed)
    for place, event in enumerate(events):
        disk.take(event)
        if isinstance(event, Told):
            continue
        done = place + 1
        yield State(done, "prefix", disk.after(disk.pending))
        if isinstance(event, Write):
            yield from _torn(disk, event, done, random, tears)
            yield State(done, "spoilt", _spoilt(disk, event))
        for some in _subsets(disk.pending, random, samples):
            yield State(done, "reordered", disk.after(some))
            if (torn := _one_torn(some, random)) is not None:
                yield State(done, "reordered and torn", disk.after(torn))


def _torn(disk: _Disk, last: Write, place: int, random: Random, tears: int) -> Iterator[State]:
    size = len(last.data)
    ends = set(range(SECTOR_BYTES, size, SECTOR_BYTES))
    ends |= set(random.sample(range(1, size), min(tears, size - 1)))
    for end in sorted(ends):
        part = Write(last.file, last.at, last.data[:end])
        yield State(place, "torn", disk.after([*disk.pending[:-1], part]))


def _spoilt(disk: _Disk, last: Write) -> Files:
    """The disk when every sector that the last write touches holds nothing of use."""
    files = disk.after(disk.pending[:-1])
    content = files.get(last.file)
    if content is not None:
        begin = last.at // BLOCK_BYTES * BLOCK_BYTES
        end = min(len(content), -(-(last.at + len(last.data)) // BLOCK_BYTES) * BLOCK_BYTES)
        content[begin:end] = b"\xa5" * max(0, end - begin)
    return files


def _subsets(pending: list[Change], random: Random, samples: int) -> Iterator[list[Change]]:
    """Proper subsets; those without the newest change were tried before it came."""
    if not pending:
        return
    *earlier, last = pending
    if 1 << len(earlier) <= samples:
        chosen: Iterable[tuple[bool, ...]] = itertools.product((False, True), repeat=len(earlier))
    else:
        chosen = [tuple(random.random() < 0.5 for _ in earlier) for _ in range(samples)]
    for keep in chosen:
        if not all(keep):
            yield [*itertools.compress(earlier, keep), last]


def _one_torn(changes: list[Change], random: Random) -> list[Change] | None:
    """The same with one of the writes done in part, None where there is no write."""
    places = [i for i, change in enumerate(changes) if isinstance(change, Write)]
    if not places:
        return None
    place = random.choice(places)
    write = changes[place]
    assert isinstance(write, Write)
    part = Write(write.file, write.at, write.data[: random.randrange(len(write.data))])
    return [*changes[:place], part, *changes[place + 1 :]]
