"""HMAC-SHA256 (RFC 2104) and HKDF-SHA256 (RFC 5869): one secret in, one sub-key a purpose out.

    prk = hkdf_extract(salt, secret)
    mask_key = hkdf_expand(prk, b"hush1|mask|...", 16)

A roster needs thousands of these, under few keys or with few different messages, so an `Hmac` keeps
the two padded keys for as many messages as there are. They are made by one exclusive or of 64-byte
integers: on a board that is several times faster than byte by byte.
"""

from hushfw.core.errors import HushError
from hushfw.port import sha256, sha256_new

HASH = 32
BLOCK = 64
_INNER = int.from_bytes(b"\x36" * BLOCK, "little")
_OUTER = int.from_bytes(b"\x5c" * BLOCK, "little")


class Hmac:
    """HMAC under one key: `of` gives the tag of a message."""

    def __init__(self, key):
        if len(key) > BLOCK:
            key = sha256(key)
        secret = int.from_bytes(key, "little")
        self._inner = (secret ^ _INNER).to_bytes(BLOCK, "little")
        self._outer = (secret ^ _OUTER).to_bytes(BLOCK, "little")

    def __repr__(self):
        return "Hmac(...)"

    def of(self, message):
        inner = sha256_new(self._inner)
        inner.update(message)
        outer = sha256_new(self._outer)
        outer.update(inner.digest())
        return outer.digest()


def hmac_sha256(key, message):
    return Hmac(key).of(message)


def hkdf_extract(salt, ikm):
    """An empty salt means 32 zero bytes, which is what HMAC pads it to."""
    return Hmac(salt).of(ikm)


def hkdf_expand(prk, info, length):
    """prk is 32 bytes, or an `Hmac` under them if it serves for more than one expansion."""
    if not 0 <= length <= 255 * HASH:
        raise HushError("internal", "HKDF length is %d; it must be 0 to %d" % (length, 255 * HASH))
    keyed = prk if isinstance(prk, Hmac) else Hmac(prk)
    block = out = b""
    counter = 1
    while len(out) < length:
        block = keyed.of(block + info + bytes((counter,)))
        out += block
        counter += 1
    return out[:length]


def hkdf(ikm, salt, info, length):
    return hkdf_expand(hkdf_extract(salt, ikm), info, length)
