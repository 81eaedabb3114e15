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

# label: meters, numerator and denominator of the scale in Wh, shares
BOUNDED = {
    b"bounded 1": (1, 7, 1, 20),
    b"bounded 2": (2, 500, 3, 12),
    b"bounded 97": (97, 3000, 1, 12),
    b"bounded 1000": (1000, 65536000000, 3, 6),
    b"bounded 5": (5, 1, 3, 20),
}

DIGEST = {
    b"polya 10": "7e3ff450e681861a6f03e3a088a7c90a9c092478c805e099a8b224bac7ca980a",
    b"polya 97": "5b023c95c834e41c0f03ee0ef9e3b312cf1a0bcc45b9c180ba8b01d65e5c6dd7",
    b"polya 1000, tape 1": "b7a05b132b3be4f33773d020710d99327e668cd10a8ada7ddbec072cd61cddb6",
    b"polya 3": "5d412e93413b93a8753dd00077a2d0f2516de339290e4ff002ee48b85c085842",
    b"gamma 10": "f991868836696f75f2f1db1517216a7daf0ec17f0d7662fccc7f441d7edd3cfc",
    b"gamma 97": "9f64d112eabcceb1334c16db106bec2a85d22ff209a3716495d6121a732e9966",
    b"bounded 1": "d3eab44af84c2de6037c1222445eecfd9f1fe7e999606f12c8efdd457c173b98",
    b"bounded 2": "15cf0a0aa1342266ae3007d28f98c9e99d02700711bbbabd37de536c5ea6493c",
    b"bounded 97": "8d6a0c7dbecbc87de690e41352b60dbe8463d69afde0e3c2262751633dbf81a5",
    b"bounded 1000": "53757acada591c6b15f15aa34ee1deaf6342f074a996f7deecf165eed172cda7",
    b"bounded 5": "f1ae85db8acbb5f9e62000da00cfbbd76dee0ac08a411395f22488ff7bd4e4c8",
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
