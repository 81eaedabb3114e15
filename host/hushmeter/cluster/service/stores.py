"""Where streets are kept, from one address.

    stores = open_stores("sqlite:///var/lib/hushmeter", shards=4)
    stores = open_stores("postgresql://hush@db.example/hush", shards=4)
    shard = stores.shard(0)

A street's shard is fixed by its name: the first 8 bytes of the name's SHA-256, mod the number.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from hushmeter.cluster.service.sql import ShardStore
from hushmeter.cluster.service.store_sqlite import SqliteStores
from hushmeter.errors import HushmeterError

KINDS = "a folder, sqlite:///FOLDER, or postgresql://USER@HOST/DATABASE"


class Stores(Protocol):
    """All shards."""

    def shard(self, number: int) -> ShardStore:
        """A connection to one shard's database."""


def shard_of(street: str, shards: int) -> int:
    """Which of the shards a street belongs to."""
    return int.from_bytes(hashlib.sha256(street.encode()).digest()[:8], "big") % shards


def parse_shard(text: str) -> tuple[int, int]:
    """``i/n``: shard i of n, counted from 0.

    Raises
    ------
    HushmeterError
        It is no such thing, or i is not below n.
    """
    number, slash, count = text.partition("/")
    digits = slash and number.isdecimal() and count.isdecimal()
    if not digits or len(text) > 12 or not 0 <= int(number) < int(count):
        raise HushmeterError(
            f"--shard {text!r} is no shard; i/n with i from 0 to n - 1 is, such as 0/4"
        )
    return int(number), int(count)


def open_stores(url: str, shards: int) -> Stores:
    """The shards at an address.

    Raises
    ------
    HushmeterError
        The address is of no kind that we know; or what the kind says of a folder or a database.
    """
    scheme, colon, rest = url.partition(":")
    if colon and scheme in ("postgresql", "postgres"):
        from hushmeter.cluster.service.store_postgres import PostgresStores

        return PostgresStores(url)
    if colon and scheme == "sqlite":
        path = _sqlite_path(url)
    elif "://" in url or not url or (colon and len(scheme) > 1 and "/" not in scheme and not rest):
        raise HushmeterError(
            f"--store begins with {scheme[:20]!r}, which is no kind of store", hint=f"name {KINDS}"
        )
    else:
        path = url
    return SqliteStores(Path(path), shards)


def _sqlite_path(url: str) -> str:
    parts = urlsplit(url)
    path = unquote(parts.path)
    if parts.netloc or parts.query or not path.strip("/"):
        raise HushmeterError(
            "--store sqlite: names no folder", hint="three slashes and its path: sqlite:///FOLDER"
        )
    return path
