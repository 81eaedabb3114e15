"""Sums of AES blocks on this interpreter: known blocks, and both ways of making them alike."""

from binascii import unhexlify

from hushfw_checks import expect, run

from hushfw import port
from hushfw.core import prfsum

# FIPS 197, appendices B and C.1: key, plaintext, ciphertext.
FIPS_197 = (
    (
        "2b7e151628aed2a6abf7158809cf4f3c",
        "3243f6a8885a308d313198a2e0370734",
        "3925841d02dc09fbdc118597196a0b32",
    ),
    (
        "000102030405060708090a0b0c0d0e0f",
        "00112233445566778899aabbccddeeff",
        "69c4e0d86a7b0430d8cdb78070b4c55a",
    ),
)

KINDS = [prfsum.PureSum]
if prfsum.Sum is not prfsum.PureSum:
    KINDS.append(prfsum.Sum)


def stream(name, size):
    out = b""
    while len(out) < size:
        out += port.sha256(name + len(out).to_bytes(4, "big"))
    return out[:size]


def words(block):
    return [int.from_bytes(block[:8], "big"), int.from_bytes(block[8:], "big")]


def check_known_blocks_come_out():
    for kind in KINDS:
        for key, data, wanted in FIPS_197:
            sums = kind(2, unhexlify(data))
            sums.add(unhexlify(key), 0, 16, 1, True)
            expect(sums.words(), words(unhexlify(wanted)), kind)


def check_a_chained_block_is_a_block_under_a_block():
    first, data = stream(b"first", 16), stream(b"data", 16)
    for number in range(40):
        key = stream(b"key %d" % number, 16)
        wanted = words(port.aes(port.aes(key).encrypt(first)).encrypt(data))
        for kind in KINDS:
            sums = kind(2, data, first)
            sums.add(key, 0, 16, 1, True)
            expect(sums.words(), wanted, kind)


def check_every_byte_of_the_s_box_is_used_right():
    """A key of one repeated byte sends that byte through the key schedule's S-box."""
    for value in range(256):
        key, data = bytes((value,)) * 16, bytes((value ^ 0x5A,)) * 16
        wanted = words(port.aes(key).encrypt(data))
        for kind in KINDS:
            sums = kind(2, data)
            sums.add(key, 0, 16, 1, True)
            expect(sums.words(), wanted, kind)


def check_signs_strides_and_lanes():
    keys, data = stream(b"keys", 400), stream(b"data", 16)
    for lanes in (1, 2):
        wanted = [0, 0]
        for at, sign in ((3, 1), (35, 1), (67, 1), (101, -1), (117, -1), (133, -1), (149, -1)):
            block = words(port.aes(keys[at : at + 16]).encrypt(data))
            wanted = [wanted[0] + sign * block[0], wanted[1] + sign * block[1]]
        for kind in KINDS:
            sums = kind(lanes, data)
            sums.add(keys, 3, 32, 3, True)
            sums.add(keys, 101, 16, 4, False)
            sums.add(keys, 0, 16, 0, True)
            expect(sums.words(), wanted[:lanes], kind)


def check_more_lanes_are_the_blocks_that_follow():
    keys, data = stream(b"keys", 64), stream(b"data", 12) + b"\0\0\0\xff"
    for lanes in (3, 4, 47, 96):
        for first in (None, stream(b"first", 16)):
            wanted = [0] * lanes
            for at, sign in ((0, 1), (16, 1), (40, -1)):
                key = keys[at : at + 16]
                key = key if first is None else port.aes(key).encrypt(first)
                for lane in range(lanes):
                    counter = (0xFF + lane // 2).to_bytes(4, "big")
                    block = words(port.aes(key).encrypt(data[:12] + counter))
                    wanted[lane] += sign * block[lane & 1]
            for kind in KINDS:
                sums = kind(lanes, data, first)
                sums.add(keys, 0, 16, 2, True)
                sums.add(keys, 40, 16, 1, False)
                expect(sums.words(), wanted, kind)


def check_the_sum_of_the_largest_street_fits():
    """The same keys again and again; the half-words of a sum of so many have no room for more."""
    keys, data = stream(b"keys", 32), stream(b"data", 16)
    once = [
        sum(pair)
        for pair in zip(*[words(port.aes(keys[i : i + 16]).encrypt(data)) for i in (0, 16)])
    ]
    for kind in KINDS:
        for positive, sign in ((True, 1), (False, -1)):
            sums = kind(2, data)
            for _ in range(500):
                sums.add(keys, 0, 16, 2, positive)
            expect(sums.words(), [sign * 500 * word for word in once], kind)


run(globals())
