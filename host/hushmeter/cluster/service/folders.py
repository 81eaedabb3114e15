"""A folder of street folders: what a worker has to know of each street that it may serve.

    STREETS/
        any-name/
            roster.bin       the signed roster of the newest epoch, as the meters have it
            supplier.pem     the supplier's X25519 private key (PKCS #8), readable by its owner only

The street's name is the one in its roster.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from hushmeter.cluster import roster as rosters
from hushmeter.cluster.supplier import Supplier
from hushmeter.errors import HushmeterError

ROSTER, KEY = "roster.bin", "supplier.pem"
_OWNER_ONLY = 0o600
_FORBIDDEN = "/+#\0"
"""Characters that would give a street's name another meaning in an MQTT topic."""


@dataclass(frozen=True)
class StreetFolder:
    """One street's roster and supplier."""

    name: str
    roster: rosters.SignedRoster
    supplier: Supplier


def read_streets(folder: Path) -> dict[str, StreetFolder]:
    """Every street of a folder, by name.

    Raises
    ------
    HushmeterError
        There is none, one of them has no valid roster or key, or two have one name.
    """
    try:
        paths = sorted(path for path in folder.iterdir() if (path / ROSTER).exists())
    except OSError as error:
        raise HushmeterError(
            f"--streets {folder} cannot be read: {error.strerror}",
            hint=f"name a folder of folders, each with {ROSTER} and {KEY}",
        ) from error
    if not paths:
        raise HushmeterError(
            f"--streets {folder} holds no street", hint=f"a street is a folder with {ROSTER}"
        )
    streets: dict[str, StreetFolder] = {}
    for path in paths:
        street = read_street(path)
        if street.name in streets:
            raise HushmeterError(f"{path}: another folder holds the street {street.name} already")
        streets[street.name] = street
    return streets


def read_street(path: Path) -> StreetFolder:
    """One street's folder.

    Raises
    ------
    HushmeterError
        As :func:`read_streets`.
    """
    try:
        roster = rosters.parse((path / ROSTER).read_bytes())
    except HushmeterError as error:
        raise HushmeterError(f"{path / ROSTER}: {error.message}", error.hint) from error
    name = str(roster.device.street)
    check_topic(name, str(path))
    supplier = Supplier(_secret(path / KEY))
    if supplier.public_key != roster.device.supplier_key:
        raise HushmeterError(
            f"{path / KEY} is not the key of the roster's supplier",
            hint="use the key that the street was enrolled with",
        )
    return StreetFolder(name, roster, supplier)


def check_topic(name: str, where: str) -> None:
    """Refuse a street's name that would have another meaning in an MQTT topic.

    Raises
    ------
    HushmeterError
        It holds such a character.
    """
    if set(name) & set(_FORBIDDEN):
        raise HushmeterError(
            f"{where}: the street {name!r} cannot be an MQTT topic",
            hint="enrol it under a name without / + # and NUL",
        )


def _secret(path: Path) -> bytes:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        data = path.read_bytes()
    except OSError as error:
        raise HushmeterError(f"{path} cannot be read: {error.strerror}") from error
    if mode & 0o077:
        raise HushmeterError(f"{path} can be read by others", hint=f"chmod 600 {path}")
    try:
        key = load_pem_private_key(data, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, X25519PrivateKey):
        raise HushmeterError(
            f"{path} holds no X25519 private key in PEM",
            hint="make one with: openssl genpkey -algorithm x25519",
        )
    return key.private_bytes_raw()


def write_street(path: Path, roster: rosters.SignedRoster, supplier_secret: bytes) -> None:
    """Make a street's folder, or give the one that is there a new roster.

    Parameters
    ----------
    supplier_secret:
        32 bytes, an X25519 private key.
    """
    path.mkdir(parents=True, exist_ok=True)
    if not (path / KEY).exists():
        pem = X25519PrivateKey.from_private_bytes(supplier_secret).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        )
        descriptor = os.open(path / KEY, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
    fresh = path / f".{ROSTER}"
    fresh.write_bytes(roster.data)
    fresh.replace(path / ROSTER)
