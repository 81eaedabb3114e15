"""Masks that cancel in the street's sum, and answers that lift what did not cancel.

Report of meter i:   x_i + share_i + K_i + sum_j sign(i-j) D_ij + C_i            (mod 2^64)
Answer, given S:     C_i + sum_{j in S} sign(i-j) D_ij + sum_{j not in S} sign(i-j) E_ij(S)

D and E of a pair enter its two ends with opposite signs. Summed over the meters that reported and
answered the same S, reports less answers less K is the sum of x + share: D within the group
cancels in the reports, D towards S is lifted by the answers, E cancels among the answers. Had two
meters answered different sets, their E would differ and the sum would stay masked.

All words are unsigned 64-bit, one a lane. Each is part of an AES block whose input names the use,
so no word ever serves twice.
"""

import struct

from hushfw import port
from hushfw.core import kdf, pace, prfsum

PRF_VERSION = 1
DOMAIN_SLOT = 1
DOMAIN_MARKET = 2

USE_DUMMY = 2
USE_ANSWER = 3
USE_KEYSTREAM = 4

MASK = (1 << 64) - 1
TAG_BYTES = 16
KEY_BYTES = 16


def prf_input(use, turn, slot, block, domain=DOMAIN_SLOT):
    """version, domain, use, round, slot, lane block: 16 bytes that occur once."""
    return struct.pack(">BBBBQI", PRF_VERSION, domain, use, turn, slot, block)


def pads(key, use, turn, slot, lanes, domain=DOMAIN_SLOT):
    """One 64-bit word a lane from one PRF key, two lanes to a block."""
    blocks = (lanes + 1) // 2
    data = b"".join([prf_input(use, turn, slot, block, domain) for block in range(blocks)])
    out = port.aes(key).encrypt(data)
    return [int.from_bytes(out[8 * i : 8 * i + 8], "big") for i in range(lanes)]


def subkey(prk, purpose, lower_id, higher_id, lower_key, higher_key, length=KEY_BYTES):
    """One key for one purpose between two parties; prk = hkdf_extract(roster hash, raw secret)."""
    info = b"hush1" + purpose + struct.pack(">II", lower_id, higher_id) + lower_key + higher_key
    return kdf.hkdf_expand(prk, info, length)


def pair_record(extract, secret, *both):
    """Mask key and answer key of a pair; extract is the Hmac whose key is the roster's hash."""
    prk = kdf.Hmac(extract.of(secret))
    return subkey(prk, b"mask", *both) + subkey(prk, b"answer", *both)


_NO_SALT = kdf.Hmac(b"")


def next_day_keys(keys, day):
    """The one-way ratchet of keys end to end: yesterday's cannot be had from today's."""
    # What hkdf_expand hashes for the first of its blocks, which is longer than a key.
    message = b"hush1 day" + struct.pack(">I", day) + b"\x01"
    out = b""
    for at in range(0, len(keys), KEY_BYTES):
        pace.point()
        prk = _NO_SALT.of(keys[at : at + KEY_BYTES])
        out += kdf.Hmac(prk).of(message)[:KEY_BYTES]
    return out


def next_day_key(key, day):
    return next_day_keys(key, day)


def silent_digest(roster_hash, slot, silent):
    """What an answer is bound to: the roster, the slot and the set S as a bit map."""
    return port.sha256(b"hush1 silent" + roster_hash + struct.pack(">Q", slot) + silent)


def in_silent(silent, index):
    return bool(silent[index >> 3] & (1 << (index & 7)))


def silent_map(members, indexes):
    """The bit map of a set of member indexes."""
    out = bytearray((members + 7) // 8)
    for index in indexes:
        out[index >> 3] |= 1 << (index & 7)
    return bytes(out)


def silent_indexes(silent, members):
    """The member indexes in a bit map, or None where it is not one of this many members."""
    if len(silent) != (members + 7) // 8:
        return None
    if members & 7 and silent[-1] >> (members & 7):
        return None
    found = []
    for place in range(len(silent)):
        bits = silent[place]
        index = 8 * place
        while bits:
            if bits & 1:
                found.append(index)
            bits >>= 1
            index += 1
    return found


def dummy_sum(lanes, slot):
    """An empty sum of D: keys to add are mask keys."""
    return prfsum.Sum(lanes, prf_input(USE_DUMMY, 1, slot, 0))


def answer_sum(lanes, slot, digest):
    """An empty sum of E: keys to add are answer keys, each bound to S before it is used."""
    return prfsum.Sum(lanes, prf_input(USE_ANSWER, 2, slot, 0), digest[:16])


def masked(values, dummies, keystream_key, recovery, slot):
    """The words of a report whose sum of D is known."""
    lanes = len(values)
    stream = pads(keystream_key, USE_KEYSTREAM, 1, slot, lanes)
    return [values[k] + stream[k] + recovery[k] + dummies[k] & MASK for k in range(lanes)]


def lifted(dummies, bound, recovery):
    """The words of an answer whose sums of D and E are known."""
    return [recovery[k] + dummies[k] + bound[k] & MASK for k in range(len(recovery))]


def pack_words(words):
    return b"".join([word.to_bytes(8, "big") for word in words])


def unpack_words(data):
    return [int.from_bytes(data[i : i + 8], "big") for i in range(0, len(data), 8)]


def signed(word):
    """A sum mod 2^64 read as a signed window."""
    return word - (1 << 64) if word >> 63 else word


def tag(key, purpose, roster_hash, meter_id, slot, content):
    """Authenticates a message and binds it to roster, meter, slot and purpose (round)."""
    head = b"hush1 " + purpose + roster_hash + struct.pack(">IQ", meter_id, slot)
    return kdf.hmac_sha256(key, head + content)[:TAG_BYTES]


def same_tag(left, right):
    """Compares without stopping at the first difference."""
    if len(left) != len(right):
        return False
    difference = 0
    for a, b in zip(left, right):
        difference |= a ^ b
    return difference == 0
