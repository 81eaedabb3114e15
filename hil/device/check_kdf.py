"""SHA-256, HMAC and HKDF inside the interpreter at hand: FIPS 180-4, RFC 4231, RFC 5869."""

from binascii import hexlify, unhexlify

from hushfw_checks import expect, refuses, run
from vectors_crypto import HKDF_SHA256, HMAC_SHA256, SHA256

from hushfw import port
from hushfw.core import kdf


def check_sha256_matches_fips_180():
    for source, message, digest in SHA256:
        expect(hexlify(port.sha256(unhexlify(message))), digest.encode(), source)


def check_sha256_in_pieces_matches_sha256_at_once():
    hasher = port.sha256_new()
    hasher.update(b"a")
    hasher.update(b"bc")
    expect(hasher.digest(), port.sha256(b"abc"))


def check_hmac_matches_rfc_4231():
    for source, key, message, tag in HMAC_SHA256:
        got = hexlify(kdf.hmac_sha256(unhexlify(key), unhexlify(message)))
        expect(got[: len(tag)], tag.encode(), source)


def check_hkdf_matches_rfc_5869():
    for source, ikm, salt, info, prk, okm in HKDF_SHA256:
        ikm, salt, info = unhexlify(ikm), unhexlify(salt), unhexlify(info)
        expect(hexlify(kdf.hkdf_extract(salt, ikm)), prk.encode(), source)
        expect(hexlify(kdf.hkdf(ikm, salt, info, len(okm) // 2)), okm.encode(), source)


def check_hkdf_refuses_more_than_255_blocks():
    refuses("internal", kdf.hkdf_expand, bytes(32), b"", 255 * 32 + 1)


def check_crc32_matches_its_check_value():
    """CRC-32/ISO-HDLC: the check value of "123456789" in the catalogue of CRC algorithms."""
    expect(port.crc32(b"123456789"), 0xCBF43926)


run(globals())
