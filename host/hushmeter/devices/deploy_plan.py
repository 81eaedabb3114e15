"""Puts the firmware onto a board so that a cut anywhere leaves the old one or the new one.

The new firmware goes into the place that is not in use. Its manifest is removed first and written
last, so the loader never takes a place that is half written. Then one rename changes the place in
use, unconfirmed: if the new firmware does not come up, the loader returns to the old one. The
meter's own files (configuration, keys, journal) are never touched.

    found = look(files)
    plan = make_plan(found, firmware, loader)
    carry_out(files, plan)
"""

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from packaging.version import Version

from hushmeter.devices.boardfiles import TEMPORARY, BoardFiles, FilesystemFull, Room
from hushmeter.devices.console import WrongAnswer
from hushmeter.devices.firmware import (
    FOLDER,
    LOADER,
    MANIFEST,
    OLD_PACKAGE,
    PLACES,
    USE_FILE,
    Firmware,
    Manifest,
    Use,
    in_place,
)
from hushmeter.errors import HushmeterError
from hushmeter.printable import printable

Progress = Callable[[int, int], None]

_SPARE_BLOCKS = 4
_FOLDER_BLOCKS = 2
_MOST_WORDS = 64


class Older(HushmeterError):
    """The firmware on the board is newer than the one to be deployed, or nobody can tell."""


@dataclass(frozen=True)
class Found:
    """What lies on a board.

    Attributes
    ----------
    sizes:
        Bytes of every file by path; folders end in ``/``.
    manifests:
        The manifests of the complete places only.
    loader:
        SHA-256 of ``main.py``, or None.
    """

    sizes: dict[str, int]
    use: Use | None
    manifests: dict[str, Manifest]
    loader: str | None
    room: Room

    @property
    def place(self) -> str | None:
        """The place in use, if that is known."""
        return self.use.place if self.use is not None else None

    @property
    def old_layout(self) -> bool:
        """Whether the firmware lies in the root, as before there were two places."""
        return f"{OLD_PACKAGE}/" in self.sizes

    def beneath(self, folder: str) -> list[str]:
        """Paths of all files and folders below a folder (without ``/``), the deepest first."""
        below = [path for path in self.sizes if path.startswith(f"{folder}/")]
        return sorted(below, reverse=True)


@dataclass(frozen=True)
class Plan:
    """What is to be done, in the order of the fields.

    Attributes
    ----------
    settle:
        Written first, where the firmware in use never proved itself and the other one did: the
        proven one must not be overwritten.
    place:
        Where the new firmware goes.
    send, copy, keep:
        Paths within the place: from the host, from the other place, there already. With ``copy``
        goes the path to copy from.
    clean:
        Paths that are removed once the new firmware is confirmed.
    """

    place: str
    settle: Use | None
    remove: list[str]
    send: dict[str, bytes]
    copy: dict[str, str]
    keep: list[str]
    manifest: bytes
    loader: bytes | None
    loader_first: bool
    clean: list[str]
    digests: dict[str, str] = field(repr=False)


def look(files: BoardFiles) -> Found:
    """Read what a deployment depends on."""
    sizes = files.listing()
    use_data = files.read(USE_FILE)
    if (use_data is None) == (USE_FILE in sizes):
        # What it says decides which firmware is overwritten.
        raise WrongAnswer(f"the board contradicts itself: is there a {USE_FILE}?")
    manifests = {}
    for place in PLACES:
        path = f"{FOLDER}/{place}/{MANIFEST}"
        data = files.read(path) if path in sizes else None
        manifest = Manifest.from_json(data) if data is not None else None
        if manifest is not None and is_complete(sizes, place, manifest):
            manifests[place] = manifest
    return Found(
        sizes=sizes,
        use=Use.from_json(use_data) if use_data is not None else None,
        manifests=manifests,
        loader=files.digests([LOADER])[LOADER],
        room=files.room(),
    )


def is_complete(sizes: dict[str, int], place: str, manifest: Manifest) -> bool:
    """Whether every file of a manifest is there with its size, as the loader checks it."""
    return all(
        sizes.get(f"{FOLDER}/{place}/{path}") == size for path, (size, _) in manifest.files.items()
    )


def is_deployed(found: Found, firmware: Firmware, loader: bytes) -> bool:
    """Whether exactly this firmware and this loader are the ones in use."""
    if found.use is None or found.loader != hashlib.sha256(loader).hexdigest():
        return False
    return found.manifests.get(found.use.place) == firmware.manifest


def check_not_older(found: Found, firmware: Firmware, running: str | None) -> None:
    """Refuse a version that is older than the one in use, or that cannot be compared with it.

    Parameters
    ----------
    running:
        The version that the meter named when it was greeted; counts where no manifest tells.
    """
    place, _ = _target(found)
    last = next((m.version for p, m in found.manifests.items() if p != place), running)
    if last is None:
        return
    try:
        older = Version(firmware.version) < Version(last)
    except ValueError:  # InvalidVersion is one, and so is a number that is too long for an int.
        raise Older(
            f"the board has firmware {printable(last)[:_MOST_WORDS]!r}, which is no version that "
            f"can be compared with {firmware.version}",
            hint="--force deploys it all the same",
        ) from None
    if older:
        raise Older(
            f"the board has firmware {last}; {firmware.version} is older",
            hint="an older firmware may not know the journal's newest records; "
            "--force deploys it all the same",
        )


def _target(found: Found) -> tuple[str, Use | None]:
    """The place to write, and the use file to write before that."""
    use = found.use
    if use is None:
        return PLACES[0], None
    other = PLACES[1 - PLACES.index(use.place)]
    if not use.confirmed and other in found.manifests:
        return use.place, Use(other, confirmed=True)
    return other, None


def make_plan(found: Found, files: BoardFiles, firmware: Firmware, loader: bytes) -> Plan:
    """Decide what to send, copy, keep and remove, and that there is room for it.

    Raises
    ------
    FilesystemFull
        There is not.
    """
    place, settle = _target(found)
    folder = f"{FOLDER}/{place}"
    wanted = firmware.manifest.files
    there = {path: f"{folder}/{path}" for path in wanted}
    same_size = [p for p, full in there.items() if found.sizes.get(full) == wanted[p][0]]
    have = files.digests(there[path] for path in same_size)
    keep = [path for path in same_size if have[there[path]] == wanted[path][1]]
    copy = dict(_copies(found, place, firmware, keep))
    send = {p: data for p, data in firmware.files.items() if p not in keep and p not in copy}
    plan = Plan(
        place=place,
        settle=settle,
        remove=_removals(found, folder, set(wanted)),
        send=send,
        copy=copy,
        keep=keep,
        manifest=in_place(firmware, place)[f"{folder}/{MANIFEST}"],
        loader=None if found.loader == hashlib.sha256(loader).hexdigest() else loader,
        loader_first=found.use is not None,
        clean=[*found.beneath(OLD_PACKAGE)] if found.old_layout else [],
        digests={path: digest for path, (_, digest) in wanted.items()},
    )
    _check_room(found, plan, firmware)
    return plan


def _copies(
    found: Found, place: str, firmware: Firmware, keep: list[str]
) -> Iterator[tuple[str, str]]:
    """Files that the other place has, by their path: the path to copy each from."""
    for other, manifest in found.manifests.items():
        if other == place:
            continue
        by_digest = {digest: path for path, (_, digest) in manifest.files.items()}
        for path, (_, digest) in firmware.manifest.files.items():
            if path not in keep and digest in by_digest:
                yield path, f"{FOLDER}/{other}/{by_digest[digest]}"


def _removals(found: Found, folder: str, wanted: set[str]) -> list[str]:
    """The place's manifest, then what does not belong in it, the deepest first."""
    manifest = f"{folder}/{MANIFEST}"
    needed = {manifest}
    for path in wanted:
        parts = f"{folder}/{path}".split("/")
        needed.update("/".join(parts[:i]) + "/" for i in range(1, len(parts)))
        needed.add("/".join(parts))
    stale = [path for path in found.beneath(folder) if path not in needed]
    left = [path + TEMPORARY for path in (LOADER, USE_FILE, MANIFEST)]
    return [manifest, *stale, *(path for path in left if path in found.sizes)]


def _check_room(found: Found, plan: Plan, firmware: Firmware) -> None:
    block = found.room.block_bytes

    def blocks(size: int) -> int:
        return -(-size // block)

    new = [*plan.send, *plan.copy]
    needed = sum(blocks(len(firmware.files[path])) for path in new)
    needed += blocks(len(plan.manifest)) + blocks(len(plan.loader or b"")) + _SPARE_BLOCKS
    folder = f"{FOLDER}/{plan.place}"
    folders = {path.rpartition("/")[0] for path in new}
    needed += _FOLDER_BLOCKS * sum(f"{folder}/{name}/" not in found.sizes for name in folders)
    replaced = {f"{folder}/{path}" for path in new}
    freed = sum(blocks(found.sizes.get(path, 0)) for path in replaced.union(plan.remove))
    have = found.room.free_bytes // block + freed
    if needed > have:
        raise FilesystemFull(
            f"the firmware needs {needed * block // 1024} KiB beside the one in use, and the "
            f"board's filesystem has {have * block // 1024} KiB left",
            hint="remove files that are not the meter's own; hushmeter doctor shows them",
        )


@dataclass(frozen=True)
class Done:
    """What a deployment wrote, and how long that took."""

    sent_bytes: int
    sent_files: int
    copied_files: int
    kept_files: int
    copy_ms: int


def carry_out(files: BoardFiles, plan: Plan, progress: Progress = lambda done, all_: None) -> Done:
    """Do what was planned, up to and including the change of the place in use."""
    began = time.monotonic()
    if plan.settle is not None:
        files.replace(USE_FILE, plan.settle.to_json())
    files.remove(plan.remove)
    folder = f"{FOLDER}/{plan.place}"
    total = len(plan.send) + len(plan.copy)
    for count, (path, source) in enumerate(plan.copy.items(), 1):
        files.copy(source, f"{folder}/{path}", plan.digests[path])
        progress(count, total)
    for count, (path, data) in enumerate(plan.send.items(), len(plan.copy) + 1):
        files.write(f"{folder}/{path}", data)
        progress(count, total)
    files.replace(f"{folder}/{MANIFEST}", plan.manifest)
    _switch(files, plan)
    return Done(
        sent_bytes=sum(map(len, plan.send.values())),
        sent_files=len(plan.send),
        copied_files=len(plan.copy),
        kept_files=len(plan.keep),
        copy_ms=round((time.monotonic() - began) * 1000),
    )


def _switch(files: BoardFiles, plan: Plan) -> None:
    """The loader and the place in use, in the order in which a cut between them does no harm.

    A loader that knows places runs the firmware of either; one that does not ignores the use file
    and runs the firmware in the root, which a newer loader need not be able to.
    """
    use = Use(plan.place, confirmed=False).to_json()
    if plan.loader is not None and plan.loader_first:
        files.replace(LOADER, plan.loader)
    files.replace(USE_FILE, use)
    if plan.loader is not None and not plan.loader_first:
        files.replace(LOADER, plan.loader)
