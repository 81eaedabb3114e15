"""What every page has in common: templates that escape, pictures inside, and whole files."""

from __future__ import annotations

import base64
import os
import tempfile
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from hushmeter.errors import HushmeterError


def environment() -> Environment:
    """Templates of this package; whatever is put into them is escaped."""
    made = Environment(
        loader=PackageLoader("hushmeter.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["data_uri"] = svg_data_uri
    return made


def svg_data_uri(svg: bytes) -> str:
    """A picture as an address that holds it."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode("ascii")


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file under another name and rename it, with the folders above it.

    Raises
    ------
    HushmeterError
        It cannot be written; an earlier file then stays as it was.
    """
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        raise HushmeterError(
            f"cannot write {path}: {error.strerror or error}",
            hint="name a folder that can be written and has room",
        ) from error
