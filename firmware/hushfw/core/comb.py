"""Powers of one base mod n^2 from a table: Lim and Lee's comb, the dear part of an encryption.

The exponent's bits are written as `teeth` rows of `columns` bits. With g_i = g^(2^(i columns)), the
power is a walk over the columns from the highest: square, then multiply by the product of the g_i
whose row has a one in this column. All 2^teeth products are in the table, that of no g_i too, which
is 1: so there are columns - 1 squarings and as many products whatever the exponent is. Which entry
is read does depend on it; the entries lie in flash, and a board that caches its flash may show by
its time which were read lately.

The table is a file: magic HCMB, version 1, teeth, bytes of n, bits of the exponent, SHA-256 of n
(big-endian), then 2^teeth pairs as `pairs` has them. It is the household's or the utility's; who
puts it on the meter checks its SHA-256.
"""

import struct

from hushfw.core import pace
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
        if not LEAST_EXPONENT_BITS <= self.exponent_bits <= MOST_EXPONENT_BITS:
            _refuse(
                "its exponents have %d bits; %d to %d are allowed"
                % (self.exponent_bits, LEAST_EXPONENT_BITS, MOST_EXPONENT_BITS)
            )
        if found_size != size or key != sha256(modulus.to_bytes(size, "big")):
            _refuse("it is for another key")
        wanted = HEADER_BYTES + (2 * size << self.teeth)
        if length != wanted:
            _refuse("it has %d bytes; its header asks for %d" % (length, wanted))
        self._file = file
        self._columns = columns_of(self.exponent_bits, self.teeth)
        self._entry = bytearray(2 * size)
        self._number = Accumulator(modulus, size)
        self._size = size

    def power(self, exponent):
        """base^exponent as a pair in bytes; exponent is little-endian, `exponent_bits` long."""
        number, entry = self._number, self._entry
        for column in range(self._columns - 1, -1, -1):
            self._read(exponent, column)
            if column == self._columns - 1:
                number.load(entry)
            else:
                number.square()
                pace.point()
                number.multiply(entry)
            pace.point()
        return to_bytes(number.value(), self._size)

    def _read(self, exponent, column):
        which = 0
        for tooth in range(self.teeth):
            bit = tooth * self._columns + column
            if bit < self.exponent_bits:
                which |= (exponent[bit >> 3] >> (bit & 7) & 1) << tooth
        self._file.seek(HEADER_BYTES + 2 * self._size * which)
        if self._file.readinto(self._entry) != len(self._entry):
            _refuse("it ends before its entry %d" % which)
