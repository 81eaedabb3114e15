"""Files that appear together and whole, or not at all.

with Outputs() as outputs:
    table = outputs.open(Path("out/a.csv"))      # what cannot be written is refused here
    table.write(...)                             # into a hidden file beside a.csv
    outputs.put(Path("out/a.png"), picture)
                                                 # renamed here; on an error they are removed
write_whole(Path("out/run/b.json"), content)     # one file
make_folder(Path("out/run"))                     # a command that fills a whole folder

Missing folders are made; on an error they are removed again.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from hushmeter.errors import HushmeterError


class Outputs:
    """The files that a command writes."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._open: dict[Path, tuple[BinaryIO, Path]] = {}
        self._made: list[Path] = []

    def __enter__(self) -> Outputs:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self._finish()
        finally:
            self._stack.close()
            for _, temporary in self._open.values():
                temporary.unlink(missing_ok=True)
            for folder in reversed(self._made):
                # Those that have files by now stay.
                with suppress(OSError):
                    folder.rmdir()

    def open(self, path: Path) -> BinaryIO:
        """A file to write to, which will be `path`.

        Raises
        ------
        HushmeterError
            The folder cannot be made or written, the path is a folder or a device, or two outputs
            have one path.
        """
        resolved = path.resolve()
        if resolved in self._open:
            raise HushmeterError(f"{path} is asked for twice; give each output a name of its own")
        if path.exists() and not path.is_file():
            raise HushmeterError(f"{path} cannot be written: it is no ordinary file")
        self._made += make_folder(path.parent)
        try:
            handle, temporary = tempfile.mkstemp(dir=resolved.parent, prefix=f".{path.name}.")
        except OSError as error:
            raise HushmeterError(f"{path} cannot be written: {error.strerror}") from error
        file = self._stack.enter_context(os.fdopen(handle, "wb"))
        self._open[resolved] = (file, Path(temporary))
        return file

    def put(self, path: Path, content: bytes) -> None:
        """A whole file at once; the path may have been opened before to reserve it."""
        known = self._open.get(path.resolve())
        file = known[0] if known else self.open(path)
        file.write(content)

    @property
    def paths(self) -> list[Path]:
        """The files, in the order in which they were opened."""
        return list(self._open)

    def _finish(self) -> None:
        try:
            for file, _ in self._open.values():
                file.flush()
                os.fsync(file.fileno())
            for path, (_, temporary) in self._open.items():
                os.chmod(temporary, 0o644)
                os.replace(temporary, path)
        except OSError as error:
            raise HushmeterError(
                f"the output cannot be written: {error.strerror or error}",
                hint="name a folder that can be written and has room",
            ) from error


def write_whole(path: Path, content: bytes) -> None:
    """Write one file whole or not at all.

    Raises
    ------
    HushmeterError
        It cannot be written; an earlier file then stays as it was.
    """
    with Outputs() as outputs:
        outputs.put(path, content)


def make_folder(folder: Path) -> list[Path]:
    """Makes a folder and those above it where they are missing; returns those that it made.

    Raises
    ------
    HushmeterError
        It cannot be made, is none, or cannot be written.
    """
    folder = folder.resolve()
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        reason = None if os.access(folder, os.W_OK) else "no permission"
    except OSError as error:
        reason = error.strerror or str(error)
    if reason is not None:
        raise HushmeterError(
            f"the folder {folder} cannot be written: {reason}",
            hint="name a folder that can be written and has room",
        )
    return missing[::-1]
