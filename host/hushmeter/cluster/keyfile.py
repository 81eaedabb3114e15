"""The authority's key of a street in a file: made once, and used wherever its street is met.

The file is an Ed25519 private key in PEM (PKCS #8), readable by its owner only. Who has it can
change the street's rosters; the supplier must never have it.

Meters get the public half, which people compare by its fingerprint.
"""

import hashlib
import os
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from hushmeter.cluster.roster import Authority
from hushmeter.errors import HushmeterError

_OWNER_ONLY = 0o600
_KEY_BYTES = 32


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


def fingerprint(public_key: bytes) -> str:
    """SHA-256 of a public key in groups of four hexadecimal digits."""
    digits = hashlib.sha256(public_key).hexdigest()
    return " ".join(digits[at : at + 4] for at in range(0, len(digits), 4))


def read_authority(text: str) -> bytes:
    """The authority's Ed25519 public key: 64 hexadecimal digits, or a file that holds it.

    A file holds the digits, the 32 bytes, a PEM public key, or the key that
    ``hushmeter authority`` made, of which only the public half is used.
    """
    is_file = Path(text).is_file()
    data = Path(text).read_bytes() if is_file else text.encode()
    if data.lstrip().startswith(b"-----BEGIN PRIVATE KEY"):
        return Authority(read_seed(Path(text))).public_key
    if data.lstrip().startswith(b"-----BEGIN"):
        return _pem_key(text, data)
    if is_file and len(data) == _KEY_BYTES:
        return data
    try:
        key = bytes.fromhex(data.decode().strip())
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES:
        raise HushmeterError(
            f"--authority {text}: neither 64 hexadecimal digits nor a file with a public key",
            hint="ask the authority of the street for its Ed25519 public key; for a street of "
            "your own make one with: hushmeter authority FILE --new",
        )
    return key


def _pem_key(name: str, data: bytes) -> bytes:
    try:
        key = load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise HushmeterError(f"--authority {name}: no public key in PEM: {error}") from error
    if not isinstance(key, Ed25519PublicKey):
        raise HushmeterError(f"--authority {name}: the key is not an Ed25519 key")
    return key.public_bytes_raw()
