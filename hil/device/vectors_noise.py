"""Noise shares that a fixed tape must give, on every interpreter and board.

The tape is SHA-256 in counter mode: SHA-256(label | 4-byte big-endian block number), blocks 0, 1,
2, ... joined. The digest is SHA-256 over the decimal shares joined by commas. The shares of one
case are drawn one after the other from the tape of its label. The digests were recorded from this
project's own code: they hold its ports equal, they do not prove its law.
"""

import binascii
import hashlib

# label: meters, numerator and denominator of the scale in Wh, shares
POLYA = {
    b"polya 10": (10, 3000, 1, 60),
    b"polya 97": (97, 500, 3, 60),
    b"polya 1000, tape 1": (1000, 1000000, 1, 60),
    b"polya 3": (3, 1000000, 1, 20),
}

# label: meters, numerator and denominator of the scale in Wh, fraction bits, shares
GAMMA = {
    b"gamma 10": (10, 3000, 1, 16, 10),
    b"gamma 97": (97, 500, 3, 16, 10),
}

DIGEST = {
    b"polya 10": "4e56f2addb64eb6d5e265929f6fb5bdec0c9033577e4b6ac6fed415be8af9b68",
    b"polya 97": "83d137d23d7d3d85e9e76e142f13de809f44425b65c65be5290f2ae8db4cbebc",
    b"polya 1000, tape 1": "603a7876bac42309bf9a20cf9e2536ccadb03d58665a4e78cacfe89b133a51d6",
    b"polya 3": "00ac04ae7669fbd7372b11e53fde3efef2b9a39e0783902c1041305b20f0e425",
    b"gamma 10": "387035772bef0a1ae70407fad65c1307fb961d7253f7f0f6ded684f61ac091ad",
    b"gamma 97": "1bd431de05f6c86281997d39f06dace1e85b989f4adabcc40f251d3efca273f8",
}

TAPE_BYTES = 12288


def tape_bytes(label):
    """The tape of this label."""
    blocks = []
    for number in range(TAPE_BYTES // 32):
        blocks.append(hashlib.sha256(label + number.to_bytes(4, "big")).digest())
    return b"".join(blocks)


def digest(shares):
    """Hex digest of a list of shares."""
    text = ",".join([str(share) for share in shares])
    return binascii.hexlify(hashlib.sha256(text.encode()).digest()).decode()
