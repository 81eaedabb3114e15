"""AES-128 in place (FIPS 197) for `prfsum`, in the subset of Python that MicroPython compiles.

The state is four words, row 0 in the low byte. A round looks up T[s] = (2S, S, S, 3S), S = the
S-box of s, for each byte and turns it into its row (the tables of the Rijndael proposal, section
5.2.1). T and T turned by two rows are kept, so a column needs one more turn only; S is byte 1 of
T. Keys and data are read byte by byte, since a word load must be aligned on small processors.

Each half-word of a block is added to a 32-bit counter of its own, so no carry is needed before
the end: 32767 blocks of 65535 fit.

The lookups take place in static RAM, behind no data cache on the boards we know; like the
interpreter's own AES, this is not made to be constant in time.
"""

# ptr8 and ptr32 are words of the compiler, not names that Python could look up.
# ruff: noqa: F821
# mypy: disable-error-code="name-defined"

import struct

import micropython

from hushfw.core import pace

# Words of the work space: 44 of round keys, a state, then the blocks to encrypt.
_STATE = 44
_DATA = 48
_FIRST = 52
_WORDS = 56
# What counts in the block to encrypt: its last two bytes.
_NUMBER = 4 * _DATA + 14


def _tables():
    """T, then T turned by two rows: 256 words each."""
    out = bytearray(2048)
    _put(out, 0, 0x63)
    power = inverse = 1
    for _ in range(255):
        # Powers of 3 run through all elements but zero; division by 3 follows their inverses.
        turned = inverse * 0x101
        box = turned ^ turned >> 4 ^ turned >> 5 ^ turned >> 6 ^ turned >> 7 ^ 0x63
        _put(out, power, box & 255)
        power ^= power << 1 ^ (power >> 7) * 0x11B
        inverse ^= inverse << 1
        inverse ^= inverse << 2
        inverse ^= inverse << 4
        inverse = (inverse ^ (inverse >> 7 & 1) * 0x09) & 255
    return out


def _put(out, place, box):
    double = box << 1 ^ (box >> 7) * 0x11B
    triple = double ^ box
    struct.pack_into("4B", out, 4 * place, double, box, box, triple)
    struct.pack_into("4B", out, 1024 + 4 * place, box, triple, double, box)


_TABLES = _tables()


@micropython.viper
def _expand(work, keys, start):
    """Round keys from the 16 bytes of keys at start."""
    w = ptr32(work)
    k = ptr8(keys)
    box = ptr8(_TABLES)
    at = int(start)
    a = k[at] | k[at + 1] << 8 | k[at + 2] << 16 | k[at + 3] << 24
    b = k[at + 4] | k[at + 5] << 8 | k[at + 6] << 16 | k[at + 7] << 24
    c = k[at + 8] | k[at + 9] << 8 | k[at + 10] << 16 | k[at + 11] << 24
    d = k[at + 12] | k[at + 13] << 8 | k[at + 14] << 16 | k[at + 15] << 24
    constant = 1
    i = 0
    while True:
        w[i] = a
        w[i + 1] = b
        w[i + 2] = c
        w[i + 3] = d
        i += 4
        if i == 44:
            break
        a ^= constant ^ box[(d >> 8 & 255) * 4 + 1] ^ box[(d >> 16 & 255) * 4 + 1] << 8
        a ^= box[(d >> 24 & 255) * 4 + 1] << 16 ^ box[(d & 255) * 4 + 1] << 24
        b ^= a
        c ^= b
        d ^= c
        constant = constant << 1 ^ (constant >> 7) * 0x11B


@micropython.viper
def _encrypt(work, source):
    """The state becomes the block at `source`, encrypted."""
    w = ptr32(work)
    t = ptr32(_TABLES)
    box = ptr8(_TABLES)
    i = int(source)
    a = w[i] ^ w[0]
    b = w[i + 1] ^ w[1]
    c = w[i + 2] ^ w[2]
    d = w[i + 3] ^ w[3]
    i = 4
    while i < 40:
        u = t[b >> 8 & 255] ^ t[256 + (d >> 24 & 255)]
        x = t[a & 255] ^ t[256 + (c >> 16 & 255)] ^ u << 8 ^ u >> 24 & 255 ^ w[i]
        u = t[c >> 8 & 255] ^ t[256 + (a >> 24 & 255)]
        y = t[b & 255] ^ t[256 + (d >> 16 & 255)] ^ u << 8 ^ u >> 24 & 255 ^ w[i + 1]
        u = t[d >> 8 & 255] ^ t[256 + (b >> 24 & 255)]
        z = t[c & 255] ^ t[256 + (a >> 16 & 255)] ^ u << 8 ^ u >> 24 & 255 ^ w[i + 2]
        u = t[a >> 8 & 255] ^ t[256 + (c >> 24 & 255)]
        d = t[d & 255] ^ t[256 + (b >> 16 & 255)] ^ u << 8 ^ u >> 24 & 255 ^ w[i + 3]
        a = x
        b = y
        c = z
        i += 4
    x = box[(a & 255) * 4 + 1] ^ box[(b >> 8 & 255) * 4 + 1] << 8 ^ w[40]
    w[44] = x ^ box[(c >> 16 & 255) * 4 + 1] << 16 ^ box[(d >> 24 & 255) * 4 + 1] << 24
    x = box[(b & 255) * 4 + 1] ^ box[(c >> 8 & 255) * 4 + 1] << 8 ^ w[41]
    w[45] = x ^ box[(d >> 16 & 255) * 4 + 1] << 16 ^ box[(a >> 24 & 255) * 4 + 1] << 24
    x = box[(c & 255) * 4 + 1] ^ box[(d >> 8 & 255) * 4 + 1] << 8 ^ w[42]
    w[46] = x ^ box[(a >> 16 & 255) * 4 + 1] << 16 ^ box[(b >> 24 & 255) * 4 + 1] << 24
    x = box[(d & 255) * 4 + 1] ^ box[(a >> 8 & 255) * 4 + 1] << 8 ^ w[43]
    w[47] = x ^ box[(b >> 16 & 255) * 4 + 1] << 16 ^ box[(c >> 24 & 255) * 4 + 1] << 24


@micropython.viper
def _collect(sums, place, work, positive):
    """Adds the state's eight half-words, big-endian, to the counters from `place` on, or takes
    them away.
    """
    total = ptr32(sums)
    state = ptr8(work)
    sign = 1 if bool(positive) else -1
    at = int(place)
    i = 0
    while i < 8:
        half = state[176 + 2 * i] << 8 | state[177 + 2 * i]
        total[at + i] = int(total[at + i]) + sign * half
        i += 1


class FastSum:
    """What `prfsum.PureSum` is, in place."""

    def __init__(self, lanes, data, first=None):
        self._lanes = lanes
        self._work = bytearray(4 * _WORDS)
        self._work[4 * _DATA : 4 * _DATA + 16] = data
        self._chained = first is not None
        if self._chained:
            self._work[4 * _FIRST : 4 * _FIRST + 16] = first
        self._number = int.from_bytes(data[14:], "big")
        self._blocks = max(1, (lanes + 1) // 2)
        self._sums = bytearray(32 * self._blocks)

    def add(self, keys, at, stride, count, positive):
        work, sums, chained = self._work, self._sums, self._chained
        for start in range(at, at + stride * count, stride):
            _expand(work, keys, start)
            if chained:
                _encrypt(work, _FIRST)
                _expand(work, work, 4 * _STATE)
            if self._blocks == 1:
                _encrypt(work, _DATA)
                _collect(sums, 0, work, positive)
            else:
                self._add_blocks(positive)

    def _add_blocks(self, positive):
        work, sums, number = self._work, self._sums, self._number
        pace.point()
        for block in range(self._blocks):
            work[_NUMBER] = number + block >> 8 & 255
            work[_NUMBER + 1] = number + block & 255
            _encrypt(work, _DATA)
            _collect(sums, 8 * block, work, positive)

    def words(self):
        out = []
        for lane in range(self._lanes):
            word = 0
            for half in struct.unpack_from("4i", self._sums, 16 * lane):
                word = (word << 16) + half
            out.append(word)
        return out
