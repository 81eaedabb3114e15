"""Small JSON files that one program writes and another reads while both run."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from hushmeter.errors import HushmeterError


def write(path: Path, value: Any) -> None:
    """Replaces the file whole: a reader sees the old one or the new one."""
    write_bytes(path, json.dumps(value).encode())


def write_bytes(path: Path, data: bytes) -> None:
    """As :func:`write`, with a file's bytes."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def read(path: Path, default: Any = None) -> Any:
    """What the file says; the default where there is none.

    Raises
    ------
    HushmeterError
        It cannot be read, or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return default
    except OSError as error:
        raise HushmeterError(f"{path}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise HushmeterError(f"{path}: is not JSON: {error}") from error
