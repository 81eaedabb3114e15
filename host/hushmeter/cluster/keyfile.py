"""The authority's key of a street in a file: made once, and used wherever its street is met.

The file is an Ed25519 private key in PEM (PKCS #8), readable by its owner only. Who has it can
change the street's rosters; the supplier must never have it.
"""

import os
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from hushmeter.errors import HushmeterError

_OWNER_ONLY = 0o600


def new_key(path: Path) -> bytes:
    """Make a key, write it to a new file, and return its public half.

    Raises
    ------
    HushmeterError
        The file is there already: a key is never overwritten.
    """
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
    except FileExistsError:
        raise HushmeterError(
            f"{path} exists already, and a street's key is not overwritten",
            hint=f"show it with: hushmeter authority {path}",
        ) from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
    return key.public_key().public_bytes_raw()


def read_seed(path: Path) -> bytes:
    """The 32 secret bytes of the key in a file, for :class:`hushmeter.cluster.roster.Authority`.

    Raises
    ------
    HushmeterError
        The file is absent, or holds no Ed25519 private key.
    """
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    except OSError as error:
        raise HushmeterError(
            f"{path} cannot be read: {error.strerror}",
            hint=f"make a street's key with: hushmeter authority {path} --new",
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise HushmeterError(
            f"{path} holds no Ed25519 private key",
            hint="make a street's key with: hushmeter authority FILE --new",
        )
    return key.private_bytes_raw()
