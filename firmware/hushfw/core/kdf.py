"""HMAC-SHA256 (RFC 2104) and HKDF-SHA256 (RFC 5869): one secret in, one sub-key a purpose out.

    prk = hkdf_extract(salt, secret)
    mask_key = hkdf_expand(prk, b"hush1|mask|...", 16)

The key pads are made by one exclusive or of 64-byte integers: on a board that is several times
faster than byte by byte.
"""

from hushfw import port
from hushfw.core.errors import HushError

HASH = 32
BLOCK = 64
_INNER = int.from_bytes(b"\x36" * BLOCK, "little")
_OUTER = int.from_bytes(b"\x5c" * BLOCK, "little")


def hmac_sha256(key, message):
    if len(key) > BLOCK:
        key = port.sha256(key)
    secret = int.from_bytes(key, "little")
    inner = port.sha256_new((secret ^ _INNER).to_bytes(BLOCK, "little"))
    inner.update(message)
    outer = port.sha256_new((secret ^ _OUTER).to_bytes(BLOCK, "little"))
    outer.update(inner.digest())
    return outer.digest()


def hkdf_extract(salt, ikm):
    """An empty salt means 32 zero bytes, which is what HMAC pads it to."""
    return hmac_sha256(salt, ikm)


def hkdf_expand(prk, info, length):
    if not 0 <= length <= 255 * HASH:
        raise HushError("internal", "HKDF length is %d; it must be 0 to %d" % (length, 255 * HASH))
    block = out = b""
    counter = 1
    while len(out) < length:
        block = hmac_sha256(prk, block + info + bytes((counter,)))
        out += block
        counter += 1
    return out[:length]


def hkdf(ikm, salt, info, length):
    return hkdf_expand(hkdf_extract(salt, ikm), info, length)
