"""Powers of one base mod n^2 from a table: Lim and Lee's comb, the dear part of an encryption.

The exponent's bits are written as `teeth` rows of `columns` bits. With g_i = g^(2^(i columns)), the
power is a walk over the columns from the highest: square, then multiply by the product of the g_i
whose row has a one in this column. All 2^teeth products are in the table, that of no g_i too, which
is 1: so there are columns - 1 squarings and as many products whatever the exponent is. Which entry
is read does depend on it; the entries lie in flash, and a board that caches its flash may show by
its time which were read lately.

The table is a file: magic HCMB, version 1, teeth, bytes of n, bits of the exponent, SHA-256 of n
(big-endian), then 2^teeth pairs as `pairs` has them. It is the household's or the utility's; who
puts it on the meter checks its SHA-256, and whoever uses it that its entries are these powers:
under a table of ones a ciphertext would hide nothing.

    comb = Comb(file, length, n, 256)
    for _ in comb.steps(exponent):
        pace.point()
    comb.number.value()
"""

import struct

from hushfw.core.errors import HushError
from hushfw.core.pairs import Accumulator, to_bytes
from hushfw.port import sha256

MAGIC = b"HCMB"
VERSION = 1
_HEADER = ">4sBBHH32s"
HEADER_BYTES = 42
MOST_TEETH = 8
LEAST_EXPONENT_BITS = 256
MOST_EXPONENT_BITS = 2048


def _refuse(reason):
    raise HushError("bad_table", "comb table: " + reason)


def columns_of(bits, teeth):
    return -(-bits // teeth)


def header(modulus, size, teeth, bits):
    """The file's first bytes."""
    key = sha256(modulus.to_bytes(size, "big"))
    return struct.pack(_HEADER, MAGIC, VERSION, teeth, size, bits, key)


class Comb:
    """A table in an open file, or anything else with seek and readinto."""

    def __init__(self, file, length, modulus, size):
        """length: the file's; modulus: the n that it must be for, of `size` bytes."""
        data = file.read(HEADER_BYTES)
        if len(data) != HEADER_BYTES or data[:4] != MAGIC:
            _refuse("this is none; it must begin with %s" % MAGIC.decode())
        _, version, self.teeth, found_size, self.exponent_bits, key = struct.unpack(_HEADER, data)
        if version != VERSION:
            _refuse("version %d is unknown; this firmware reads %d" % (version, VERSION))
        if not 1 <= self.teeth <= MOST_TEETH:
            _refuse("it has %d teeth; 1 to %d are read" % (self.teeth, MOST_TEETH))
        bits = self.exponent_bits
        if bits % 8 or not LEAST_EXPONENT_BITS <= bits <= MOST_EXPONENT_BITS:
            _refuse(
                "its exponents have %d bits; %d to %d in whole bytes are allowed"
                % (bits, LEAST_EXPONENT_BITS, MOST_EXPONENT_BITS)
            )
        if found_size != size or key != sha256(modulus.to_bytes(size, "big")):
            _refuse("it is for another key")
        wanted = HEADER_BYTES + (2 * size << self.teeth)
        if length != wanted:
            _refuse("it has %d bytes; its header asks for %d" % (length, wanted))
        self._file = file
        self._columns = columns_of(self.exponent_bits, self.teeth)
        self._entry = bytearray(2 * size)
        self._size = size
        self.exponent_bytes = bits >> 3
        self.number = Accumulator(modulus, size)

    def steps(self, exponent):
        """Leaves base^exponent in `number`; yields between its squares and products.

        exponent: little-endian, `exponent_bytes` of them.
        """
        if len(exponent) != self.exponent_bytes:
            raise HushError("internal", "an exponent has %d bytes" % len(exponent))
        number, entry = self.number, self._entry
        for _ in number.prepare(self._columns - 1):
            yield
        self._read(self._place(exponent, self._columns - 1))
        number.load(entry)
        for column in range(self._columns - 2, -1, -1):
            number.square()
            yield
            self._read(self._place(exponent, column))
            number.multiply(entry)
            yield

    def _place(self, exponent, column):
        """Which entry a column asks for: a bit from every row."""
        place = 0
        for tooth in range(self.teeth):
            bit = tooth * self._columns + column
            if bit < self.exponent_bits:
                place |= (exponent[bit >> 3] >> (bit & 7) & 1) << tooth
        return place

    def _read(self, place):
        self._file.seek(HEADER_BYTES + len(self._entry) * place)
        if self._file.readinto(self._entry) != len(self._entry):
            _refuse("it ends before its entry %d" % place)

    def check_steps(self, base):
        """Refuses a table that is not of this base (a pair in bytes); yields between pieces.

        Entry 2^i is entry 2^(i-1) squared `columns` times; every other is a product of two before.
        """
        number, entry = self.number, self._entry
        one = bytes((1,)) + bytes(2 * self._size - 1)
        for place in range(1 << self.teeth):
            top = 1
            while 2 * top <= place:
                top *= 2
            if place < 2:
                number.load(base if place else one)
            elif place == top:
                self._read(place >> 1)
                number.load(entry)
                number.resume(number.keep())
                for _ in range(self._columns):
                    number.square()
                    yield
            else:
                self._read(top)
                number.load(entry)
                self._read(place - top)
                number.multiply(entry)
                yield
            self._read(place)
            if to_bytes(number.value(), self._size) != entry:
                _refuse("its entry %d is not the power that it must be" % place)
            yield
