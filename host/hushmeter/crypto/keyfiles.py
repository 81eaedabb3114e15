"""Paillier keys in files: the private one readable by its owner only, and never overwritten."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from hushmeter.crypto.paillier import PrivateKey, private_from
from hushmeter.errors import HushmeterError

KIND = "hushmeter Paillier private key"
_Hex = Annotated[str, Meta(pattern="^[0-9a-f]{2,2048}$")]


class _Stored(msgspec.Struct, forbid_unknown_fields=True):
    kind: str
    n: _Hex
    p: _Hex
    q: _Hex


def write_private(path: Path, key: PrivateKey) -> None:
    """Write a private key to a new file, whole or not at all.

    Raises
    ------
    HushmeterError
        The file is there already, or cannot be written.
    """
    content = {"kind": KIND, "n": f"{key.n:x}", "p": f"{key.p:x}", "q": f"{key.q:x}"}
    content = {
        name: v if name == "kind" else v.zfill(len(v) + len(v) % 2) for name, v in content.items()
    }
    try:
        # mkstemp makes files that their owner alone can read.
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w") as file:
                json.dump(content, file, indent=2)
                file.write("\n")
                file.flush()
                os.fsync(file.fileno())
            # Unlike a renaming, a link never replaces a file.
            os.link(temporary, path)
        finally:
            os.unlink(temporary)
    except FileExistsError:
        raise HushmeterError(
            f"{path} exists already, and a private key is not overwritten",
            hint="name another file",
        ) from None
    except OSError as error:
        raise HushmeterError(f"{path} cannot be written: {error.strerror}") from None


def read_private(path: Path) -> PrivateKey:
    """The private key in a file.

    Raises
    ------
    HushmeterError
        The file is absent or holds no such key; the message holds nothing of it.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise HushmeterError(
            f"{path} cannot be read: {error.strerror}",
            hint="make a key with: hushmeter paillier key FILE --new",
        ) from error
    try:
        stored = msgspec.json.decode(data, type=_Stored)
    except (msgspec.DecodeError, UnicodeDecodeError):
        stored = None
    if stored is None or stored.kind != KIND:
        raise HushmeterError(
            f"{path} holds no Paillier private key",
            hint="make a key with: hushmeter paillier key FILE --new",
        )
    return private_from(*(int(text, 16) for text in (stored.p, stored.q, stored.n)))
