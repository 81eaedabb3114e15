"""Whose transcript is it? The word of the street's authority that its own copy says the same.

A transcript proves its prices, and not that they are the street's: whoever writes one can publish a
curve that nobody offered. Each home has been told the totals of every interval it was in, so its
own copy is good. One that comes from elsewhere is as good as the authority's signature on it: the
authority signs what it was told itself, never what it is handed.

    signature   Ed25519: "hush1 market transcript" | street, 32 bytes | digest
"""

from __future__ import annotations

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hushmeter.errors import HushmeterError
from hushmeter.market import transcript
from hushmeter.market.transcript import Countersignature, File

MOST_STREET = 32


def _message(street: str, sha256: str) -> bytes:
    name = street.encode()
    if not 0 < len(name) <= MOST_STREET:
        raise HushmeterError(f"the street {street!r} must have 1 to {MOST_STREET} bytes of UTF-8")
    return b"hush1 market transcript" + name.ljust(MOST_STREET, b"\0") + bytes.fromhex(sha256)


def countersigned(data: bytes, seed: bytes, street: str) -> bytes:
    """A transcript with one more countersignature, after every price was computed again.

    Parameters
    ----------
    seed:
        32 secret bytes of the Ed25519 key that signs.

    Raises
    ------
    HushmeterError
        It is no transcript, or says what does not follow.
    """
    transcript.verify(data)
    file = transcript.stored(data)
    key = Ed25519PrivateKey.from_private_bytes(seed)
    public = key.public_key().public_bytes_raw().hex()
    signature = key.sign(_message(street, file.sha256)).hex()
    others = [one for one in file.countersignatures if (one.street, one.key) != (street, public)]
    file.countersignatures = [*others, Countersignature(street, public, signature)]
    return msgspec.json.encode(file) + b"\n"


def is_countersigned(file: File, authority: bytes, street: str) -> bool:
    """Whether an authority has countersigned a transcript as this street's."""
    from hushmeter.market.bills.tariffs import is_signed

    return any(
        one.street == street
        and one.key == authority.hex()
        and is_signed(one.key, _message(street, file.sha256), one.signature)
        for one in file.countersignatures
    )
