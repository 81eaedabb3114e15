"""What a meter is given so that it can encrypt: settings, key file and table, found right first."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hushfw import pool as device
from hushmeter.crypto.comb_table import check_table
from hushmeter.crypto.paillier import check


@dataclass(frozen=True)
class Encryption:
    """The object ``paillier`` of a configuration, and files by their names on the meter."""

    settings: Mapping[str, Any] | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)


NO_ENCRYPTION = Encryption()


def encryption_on_a_meter(
    key: bytes,
    table: bytes | None,
    owner: bytes,
    roster: bytes,
    pool: int = 8,
    when_empty: str = "wait",
    insecure: bool = False,
    bills: bool = False,
    leaves_kib: int | None = None,
    stem: str = device.HOUSEHOLD,
    found_good: bool = False,
) -> Encryption:
    """Check a public file and its table as the meter will, and name them for its configuration.

    Parameters
    ----------
    table:
        None for naive encryption, without a table.
    owner, roster:
        Whom the meter asks the key to be made for.
    pool:
        Encryptions made ready in idle time.
    when_empty:
        ``wait`` or ``fail``.
    bills:
        Whether the meter commits to every slot's readings, and signs.
    leaves_kib:
        Flash for commitments that not both home and utility have; None for the device's own.
    stem:
        What the files' names begin with: the household's key, or the utility's for the ring.
    found_good:
        Whether the meter may take this check for its own, which takes a board a minute.

    Raises
    ------
    HushError
        ``bad_key`` or ``bad_table``.
    """
    found = check(key, owner, roster, insecure)
    settings: dict[str, Any] = {
        "randomness": "naive" if table is None else "comb",
        "pool": pool,
        "when_empty": when_empty,
        "key_sha256": hashlib.sha256(key).hexdigest(),
    }
    if bills:
        settings["bills"] = True
    if leaves_kib is not None:
        settings["leaves_kib"] = leaves_kib
    files = {f"{stem}.key": key}
    if table is not None:
        check_table(found, table)
        settings["table_sha256"] = hashlib.sha256(table).hexdigest()
        files[f"{stem}.comb"] = table
    if found_good:
        files[f"{stem}.ok"] = device.note_of(settings, owner, roster)
    return Encryption(settings, files)
