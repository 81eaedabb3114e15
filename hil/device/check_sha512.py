"""SHA-512 inside the interpreter at hand: FIPS 180-4, and every boundary of the padding."""

from binascii import hexlify, unhexlify

from hushfw_checks import expect, run
from vectors_crypto import SHA512, SHA512_BOUNDARIES

from hushfw.core.sha512 import sha512


def check_sha512_matches_fips_180():
    for source, message, digest in SHA512:
        expect(hexlify(sha512(unhexlify(message))), digest.encode(), source)


def check_sha512_pads_right_at_every_boundary():
    digests = b"".join([sha512(bytes(range(n))) for n in SHA512_BOUNDARIES[0]])
    expect(hexlify(sha512(digests)), SHA512_BOUNDARIES[1].encode())


run(globals())
