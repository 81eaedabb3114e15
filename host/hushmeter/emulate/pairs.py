"""Keys and pair secrets made on the host, for streets too large to agree on them by emulation.

A thousand meters need half a million X25519 agreements. This mode computes them here and writes
them into the meters' storage. The host then knows every key: insecure, and named so everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hushfw.core.roster import SUPPLIER_ID
from hushmeter.devices import meter_plan


def public_key(private_key: bytes) -> bytes:
    """The X25519 public key of a key made on the host, 32 bytes."""
    key = X25519PrivateKey.from_private_bytes(private_key).public_key()
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def files(private_keys: Sequence[bytes], supplier_key: bytes) -> Iterator[dict[str, bytes]]:
    """For every meter its key file and its pair secrets; meter i has the id i + 1."""
    keys = [X25519PrivateKey.from_private_bytes(key) for key in private_keys]
    publics = [key.public_key() for key in keys]
    raw = [public.public_bytes(Encoding.Raw, PublicFormat.Raw) for public in publics]
    supplier = X25519PublicKey.from_public_bytes(supplier_key)
    secrets: dict[tuple[int, int], bytes] = {}
    for index, key in enumerate(keys):
        entries = [SUPPLIER_ID.to_bytes(4, "big") + supplier_key + key.exchange(supplier)]
        for other, public in enumerate(publics):
            if other == index:
                continue
            both = (min(index, other), max(index, other))
            secret = secrets.pop(both, None)
            if secret is None:
                secret = secrets[both] = key.exchange(public)
            entries.append((other + 1).to_bytes(4, "big") + raw[other] + secret)
        yield {
            meter_plan.IDENTITY_FILE: meter_plan.with_checksum(private_keys[index] + raw[index]),
            meter_plan.PAIRS_FILE: b"".join(entries),
        }
